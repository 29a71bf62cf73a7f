//! The breaker: may this upstream be called now?
//!
//! ```text
//!            too many bad                  the wait is over
//!   Closed ───────────────▶  Open  ─────────────────────▶  HalfOpen
//!     ▲  (ramping at first)   ▲                              │   │
//!     │                       └──────── a probe was bad ─────┘   │
//!     └───────────────── `successes` good probes in a row ───────┘
//! ```
//!
//! An operator's hold is one more phase, entered from and left to any of these. Pure: time and chance come in, a
//! decision comes out; the lock, the log line and the metric are `upstream::gate`'s.
//!
//! # Invariants
//! * A verdict counts only in the phase that admitted its attempt (tickets carry a generation), so a slow success from
//!   before the trip cannot close the breaker.
//! * Half-open has at most `probes` attempts in flight; each gives its slot back when it is settled, abandoned or
//!   overdue, so the phase is always left.
//! * While open or held open nothing is admitted.

mod policy;
mod ramp;
mod told;

use std::time::{Duration, Instant};

use super::backoff;
use super::verdict::{RETRY_AFTER_CAP, Verdict};
use super::window::{Tally, Window};
use crate::units::Percent;
pub use policy::BreakerPolicy;
use ramp::Ramp;
pub use told::{BreakerState, BreakerView, Hold, Refusal, Transition, Why};

/// Leave to make one attempt. Goes back through [`Breaker::settle`].
#[derive(Debug)]
#[must_use = "an unsettled ticket keeps a probe's slot until it is overdue"]
pub struct Ticket {
    generation: u64,
    /// Number of the probe, when it is one.
    probe: Option<u64>,
}

impl Ticket {
    /// A ticket of the plainly closed phase `generation`: made where no lock is taken.
    pub fn plain(generation: u64) -> Self {
        Self { generation, probe: None }
    }

    /// Is it one of the few of a half-open breaker?
    pub fn is_probe(&self) -> bool {
        self.probe.is_some()
    }

    /// The phase it belongs to.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

#[derive(Debug)]
enum Phase {
    Closed { ramp: Option<Ramp> },
    Open { until: Instant },
    HalfOpen { probes: Vec<(u64, Instant)>, good: u32 },
    Held(Hold),
}

/// One breaker.
#[derive(Debug)]
pub struct Breaker {
    policy: BreakerPolicy,
    phase: Phase,
    window: Window,
    /// Bad verdicts in a row.
    consecutive: u32,
    last_counted: Option<Instant>,
    /// Openings since it was last closed for good; lengthens the wait.
    trips: u32,
    generation: u64,
    since: Instant,
    why: Option<Why>,
    /// When it left the closed state.
    opened: Option<Instant>,
    next_probe: u64,
    seed: u64,
    /// The upstream's usual answer time.
    typical: Option<Duration>,
    /// The upstream asked for peace until then.
    not_before: Option<Instant>,
}

impl Breaker {
    /// Closed. `seed` makes its jitter differ from other breakers'.
    pub fn new(policy: BreakerPolicy, seed: u64, now: Instant) -> Self {
        let window = Window::new(policy.window, now);
        Self {
            policy,
            phase: Phase::Closed { ramp: None },
            window,
            consecutive: 0,
            last_counted: None,
            trips: 0,
            generation: 0,
            since: now,
            why: None,
            opened: None,
            next_probe: 0,
            seed: seed | 1,
            typical: None,
            not_before: None,
        }
    }

    /// Closed, not ramping, no failure in a row, not held: whoever asks is admitted, and a good verdict only counts.
    pub fn is_plain(&self) -> bool {
        matches!(self.phase, Phase::Closed { ramp: None }) && self.consecutive == 0
    }

    /// The state.
    pub fn state(&self) -> BreakerState {
        match &self.phase {
            Phase::Closed { .. } => BreakerState::Closed,
            Phase::Open { .. } => BreakerState::Open,
            Phase::HalfOpen { .. } => BreakerState::HalfOpen,
            Phase::Held(hold) => hold.state,
        }
    }

    /// Rises with every transition.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The upstream's median answer time, from which probes' deadlines follow.
    pub fn set_typical(&mut self, median: Option<Duration>) {
        self.typical = median;
    }

    /// May one more attempt start? `draw` is any number; it decides while ramping.
    pub fn admit(&mut self, now: Instant, draw: u64) -> (Result<Ticket, Refusal>, Option<Transition>) {
        let moved = self.tick(now);
        let generation = self.generation;
        let ticket = Ticket { generation, probe: None };
        let deadline = now + self.probe_deadline();
        let next = self.next_probe;
        let answer = match &mut self.phase {
            _ if !self.policy.enabled => Ok(ticket),
            Phase::Closed { ramp: None } => Ok(ticket),
            Phase::Closed { ramp: Some(ramp) } => {
                if ramp.admits(self.policy.ramp, now, draw) {
                    Ok(ticket)
                } else {
                    Err(Refusal::Ramping)
                }
            }
            Phase::Open { until } => Err(Refusal::Open { probe_in: until.saturating_duration_since(now) }),
            Phase::HalfOpen { probes, .. } if (probes.len() as u64) < u64::from(self.policy.probes.get()) => {
                probes.push((next, deadline));
                self.next_probe += 1;
                Ok(Ticket { generation, probe: Some(next) })
            }
            Phase::HalfOpen { .. } => Err(Refusal::Probing),
            Phase::Held(hold) if hold.state == BreakerState::Open => {
                Err(Refusal::Held { expires_in: hold.until.saturating_duration_since(now) })
            }
            Phase::Held(_) => Ok(ticket),
        };
        self.check_invariants();
        (answer, moved)
    }

    /// `n` good verdicts that were counted elsewhere, without a lock, in the phase that is still on.
    pub fn credit_good(&mut self, n: u64, now: Instant) {
        if n > 0 {
            self.window.count(Tally { total: n, bad: 0, slow: 0 }, now);
        }
    }

    /// The attempt behind `ticket` has ended.
    pub fn settle(&mut self, ticket: Ticket, verdict: Verdict, now: Instant) -> Option<Transition> {
        if ticket.generation != self.generation {
            return None; // a straggler: the phase that asked is over
        }
        let known_probe = match &mut self.phase {
            Phase::HalfOpen { probes, .. } => {
                let before = probes.len();
                probes.retain(|(number, _)| Some(*number) != ticket.probe);
                probes.len() < before
            }
            Phase::Closed { .. } | Phase::Open { .. } | Phase::Held(_) => false,
        };
        if let Verdict::RateLimited { retry_after: Some(wish) } = verdict {
            self.not_before = Some(now + wish.min(RETRY_AFTER_CAP));
        }
        let why = match (&self.phase, verdict) {
            (_, Verdict::Abandoned) => None,
            (Phase::Closed { .. } | Phase::Held(_), _) => self.counted(verdict, now),
            (Phase::HalfOpen { .. }, _) if !known_probe => None,
            (Phase::HalfOpen { .. }, Verdict::Bad(_) | Verdict::RateLimited { .. }) => Some(Why::ProbeFailed),
            (Phase::HalfOpen { .. }, Verdict::Good | Verdict::Slow) => self.probe_passed(),
            (Phase::Open { .. }, _) => None,
        };
        let held = matches!(self.phase, Phase::Held(_));
        let moved = why.filter(|_| self.policy.enabled && !held).map(|why| self.go(why, now));
        self.check_invariants();
        moved
    }

    /// Counts a verdict of the closed phase; the cause when it trips.
    fn counted(&mut self, verdict: Verdict, now: Instant) -> Option<Why> {
        let (bad, slow) = match verdict {
            Verdict::Good => (0, 0),
            Verdict::Slow => (0, 1),
            Verdict::Bad(_) | Verdict::RateLimited { .. } => (1, 0),
            Verdict::Abandoned => return None,
        };
        self.window.count(Tally { total: 1, bad, slow }, now);
        match verdict {
            Verdict::Good | Verdict::Slow => self.consecutive = 0,
            Verdict::Bad(_) => {
                let lumped = self.last_counted.is_some_and(|last| {
                    !self.policy.lump.is_zero() && now.saturating_duration_since(last) < self.policy.lump
                });
                if !lumped {
                    self.consecutive = self.consecutive.saturating_add(1);
                    self.last_counted = Some(now);
                }
                if self.policy.failures.is_some_and(|most| self.consecutive >= most.get()) {
                    return Some(Why::Failures(self.consecutive));
                }
            }
            Verdict::RateLimited { .. } | Verdict::Abandoned => {}
        }
        let tally = self.window.tally(now);
        if tally.total < self.policy.min_requests {
            return None;
        }
        let reached =
            |share: Option<Percent>, part| share.is_some_and(|share| share.reached_by(part, tally.total));
        if bad > 0 && reached(self.policy.failure_rate, tally.bad) {
            return Some(Why::FailureRate(tally));
        }
        (slow > 0 && reached(self.policy.slow_rate, tally.slow)).then_some(Why::SlowRate(tally))
    }

    fn probe_passed(&mut self) -> Option<Why> {
        let Phase::HalfOpen { good, .. } = &mut self.phase else { return None };
        *good += 1;
        (*good >= self.policy.successes.get()).then_some(Why::ProbesPassed)
    }

    /// What time alone brings: the wait is over, a hold has expired, a probe is overdue, the ramp has ended.
    pub fn tick(&mut self, now: Instant) -> Option<Transition> {
        let why = match &mut self.phase {
            Phase::Open { until } if *until <= now => Some(Why::WaitOver),
            Phase::HalfOpen { probes, .. } if probes.iter().any(|(_, deadline)| *deadline <= now) => {
                Some(Why::ProbeFailed)
            }
            Phase::Held(hold) if hold.until <= now => Some(Why::HoldExpired),
            Phase::Closed { ramp } if ramp.as_ref().is_some_and(|ramp| ramp.until <= now) => {
                *ramp = None;
                self.trips = 0;
                None
            }
            Phase::Closed { .. } | Phase::Open { .. } | Phase::HalfOpen { .. } | Phase::Held(_) => None,
        };
        why.map(|why| self.go(why, now))
    }

    /// When time alone will next bring something.
    pub fn next_deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Closed { ramp } => ramp.as_ref().map(|ramp| ramp.until),
            Phase::Open { until } => Some(*until),
            Phase::HalfOpen { probes, .. } => probes.iter().map(|(_, deadline)| *deadline).min(),
            Phase::Held(hold) => Some(hold.until),
        }
    }

    /// The whole transition table of evidence: the cause picks the next phase.
    fn go(&mut self, why: Why, now: Instant) -> Transition {
        let next = match why {
            Why::Failures(_) | Why::FailureRate(_) | Why::SlowRate(_) | Why::ProbeFailed => self.opened(now),
            Why::WaitOver | Why::HoldExpired | Why::Operator => {
                Phase::HalfOpen { probes: Vec::new(), good: 0 }
            }
            Why::ProbesPassed => {
                let until = now + self.policy.ramp;
                let ramp = (!self.policy.ramp.is_zero()).then(|| Ramp::new(until, now));
                Phase::Closed { ramp }
            }
        };
        self.enter(next, why, now)
    }

    fn opened(&mut self, now: Instant) -> Phase {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let wait = backoff::nth(self.policy.open_for, self.policy.open_for_max, self.trips, self.seed);
        self.trips = self.trips.saturating_add(1);
        let until = now + wait;
        Phase::Open { until: self.not_before.take().map_or(until, |wish| until.max(wish)) }
    }

    fn enter(&mut self, phase: Phase, why: Why, now: Instant) -> Transition {
        let from = self.state();
        self.phase = phase;
        self.generation += 1;
        self.since = now;
        self.why = Some(why);
        self.consecutive = 0;
        self.last_counted = None;
        let to = self.state();
        let recovered = if to == BreakerState::Closed {
            self.window = Window::new(self.policy.window, now);
            self.opened.take().map(|opened| now.saturating_duration_since(opened))
        } else {
            self.opened.get_or_insert(now);
            None
        };
        if matches!(self.phase, Phase::Closed { ramp: None }) {
            self.trips = 0;
        }
        self.check_invariants();
        Transition { from, to, why, generation: self.generation, recovered }
    }

    /// An operator holds it open or closed until the hold expires or is released.
    pub fn hold(&mut self, hold: Hold, now: Instant) -> Transition {
        self.enter(Phase::Held(hold), Why::Operator, now)
    }

    /// An operator closes it. What still fails is not believed: it goes to half-open and must pass its probes, unless
    /// `force`. A closed one stays as it is.
    pub fn close(&mut self, force: bool, now: Instant) -> Option<Transition> {
        match (&self.phase, force) {
            (Phase::Closed { .. }, _) => None,
            (Phase::HalfOpen { .. }, false) => None,
            (_, true) => {
                self.trips = 0;
                Some(self.enter(Phase::Closed { ramp: None }, Why::Operator, now))
            }
            (Phase::Open { .. } | Phase::Held(_), false) => Some(self.go(Why::Operator, now)),
        }
    }

    /// Ends an operator's hold: the evidence rules again, beginning with probes when it was held open.
    pub fn release(&mut self, now: Instant) -> Option<Transition> {
        match &self.phase {
            Phase::Held(hold) if hold.state == BreakerState::Closed => {
                Some(self.enter(Phase::Closed { ramp: None }, Why::Operator, now))
            }
            Phase::Held(_) => Some(self.go(Why::Operator, now)),
            Phase::Closed { .. } | Phase::Open { .. } | Phase::HalfOpen { .. } => None,
        }
    }

    /// Another policy. State and counts stay; a threshold that is already exceeded trips at the next bad verdict.
    pub fn reconfigure(&mut self, policy: BreakerPolicy, now: Instant) {
        self.window.respan(policy.window, now);
        self.policy = policy;
    }

    fn probe_deadline(&self) -> Duration {
        let limit = self.policy.probe_timeout;
        self.typical.map_or(limit, |typical| limit.min((typical * 5).max(Duration::from_millis(100))))
    }

    /// How long a probe may take.
    pub fn probe_limit(&self) -> Option<Duration> {
        matches!(self.phase, Phase::HalfOpen { .. }).then(|| self.probe_deadline())
    }

    /// A look at everything.
    pub fn view(&mut self, now: Instant) -> BreakerView {
        let (probes_in_flight, good_probes) = match &self.phase {
            Phase::HalfOpen { probes, good } => (u32::try_from(probes.len()).unwrap_or(u32::MAX), *good),
            Phase::Closed { .. } | Phase::Open { .. } | Phase::Held(_) => (0, 0),
        };
        BreakerView {
            state: self.state(),
            ramping: matches!(self.phase, Phase::Closed { ramp: Some(_) }),
            since: self.since,
            why: self.why,
            generation: self.generation,
            consecutive: self.consecutive,
            tally: self.window.tally(now),
            trips: self.trips,
            open_until: if let Phase::Open { until } = &self.phase { Some(*until) } else { None },
            probes_in_flight,
            good_probes,
            hold: if let Phase::Held(hold) = &self.phase { Some(hold.clone()) } else { None },
        }
    }

    fn check_invariants(&self) {
        debug_assert!(self.opened.is_none() || self.state() != BreakerState::Closed);
    }
}

#[cfg(test)]
mod tests;
