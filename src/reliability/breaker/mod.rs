//! The breaker: may this upstream be called now?
//!
//! ```text
//!            too many bad                  the wait is over
//!   Closed ───────────────▶  Open  ─────────────────────▶  HalfOpen
//!     ▲  (ramping at first)   │▲                             │   │
//!     │                       │└──────── a probe was bad ────┘   │
//!     └── `successes` good checks, or good probes in a row ──────┘
//! ```
//!
//! An operator's hold is one more phase, entered from and left to any of these. Pure: time and chance come in, a
//! decision comes out; the lock, the log line and the metric are `upstream::gate`'s.
//!
//! It counts exchanges, not attempts, and only what says something new ([`ExchangeEvidence`]): of bad answers that were
//! in flight together one counts, of connections that failed one an endpoint within `dedup_window`; what one client,
//! one route or one endpoint brings counts for at most half of what opens it while others are served. In *shadow* it
//! does all this and refuses nothing.
//!
//! # Invariants
//! * A verdict counts only in the phase that admitted its exchange (tickets carry a generation), so a slow success from
//!   before the trip cannot close the breaker.
//! * Half-open has at most `probes` exchanges in flight; each gives its slot back when it is settled, abandoned or late, so
//!   the phase is always left.
//! * While open or held open nothing is admitted, but in shadow, where what is admitted against the phase counts nowhere.
//! * It remembers when it left the closed phase exactly as long as evidence keeps it from being closed: an operator's
//!   hold is no evidence, and what was closed before it is closed after it.
//! * Failures in a row are counted only while closed or held.
//! * Good probes and checks never reach `successes` without closing it.

mod checks;
mod counting;
mod evidence;
mod hold;
mod phase;
mod policy;
mod ramp;
mod ticket;
mod trip;
mod view;

use std::time::{Duration, Instant};

use super::backoff;
use super::outlier::Sees;
pub use super::rise_fall::Check;
use super::verdict::{RETRY_AFTER_CAP, Verdict};
use super::window::{Tally, Window};
pub use evidence::ExchangeEvidence;
use evidence::FailureRow;
use phase::{BreakerPhase, Probe};
pub use policy::{BreakerPolicy, Mode};
use ticket::TicketKind;
pub use ticket::{Fitness, PermitRequest, Ticket};
pub use trip::Trip;
pub use view::{BreakerState, BreakerTransition, BreakerView, FailedAttempt, Hold, Refusal, TransitionCause};

/// The shortest time after which a probe is late, however fast its route usually answers.
const SOON: Duration = Duration::from_secs(1);

/// One breaker: its policy, its phase and what it has counted.
#[derive(Debug)]
pub struct Breaker {
    policy: BreakerPolicy,
    phase: BreakerPhase,
    window: Window,
    row: FailureRow,
    /// Openings since it was last closed for good; lengthens the wait.
    trips: u32,
    generation: u64,
    since: Instant,
    why: Option<TransitionCause>,
    /// When evidence made it leave the closed phase.
    opened: Option<Instant>,
    /// What a check must see to have noticed what opened it.
    opened_by: Sees,
    /// Slow answers opened it: a probe that is slow again has failed.
    opened_slow: bool,
    /// Checks that passed in a row since it is open or half-open.
    checks: u32,
    /// Checks closed it last, and it opened again within the ramp.
    checks_were_wrong: bool,
    closed_by_checks: bool,
    next_probe: u64,
    seed: u64,
    /// The upstream asked for peace until then.
    not_before: Option<Instant>,
    /// The attempts that tripped it, oldest first.
    tripped_by: Vec<FailedAttempt>,
}

impl Breaker {
    /// Closed. `seed` makes its jitter differ from other breakers'.
    pub fn new(policy: BreakerPolicy, seed: u64, now: Instant) -> Self {
        let window = Window::new(policy.window, now);
        Self {
            policy,
            phase: BreakerPhase::Closed { ramp: None },
            window,
            row: FailureRow::default(),
            trips: 0,
            generation: 0,
            since: now,
            why: None,
            opened: None,
            opened_by: Sees::Connecting,
            opened_slow: false,
            checks: 0,
            checks_were_wrong: false,
            closed_by_checks: false,
            next_probe: 0,
            seed: seed | 1,
            not_before: None,
            tripped_by: Vec::new(),
        }
    }

    /// Closed, not ramping, no failure in a row, not held: whoever asks is admitted, and a good verdict only counts.
    pub fn is_steady(&self) -> bool {
        let even = self.row.count() == 0 || self.policy.mode == Mode::Off;
        matches!(self.phase, BreakerPhase::Closed { ramp: None }) && even && !self.checks_were_wrong
    }

    /// In shadow, and would be open: whoever asks is admitted, and nothing counts.
    pub fn is_passing(&self) -> bool {
        self.policy.mode == Mode::Shadow && matches!(self.phase, BreakerPhase::Open { .. })
    }

    /// The state that requests meet.
    pub fn state(&self) -> BreakerState {
        if self.policy.mode == Mode::On || self.phase.is_held() {
            self.phase.state()
        } else {
            BreakerState::Closed
        }
    }

    /// The state it would be in if it were on; `None`: it is not in shadow.
    pub fn shadow_state(&self) -> Option<BreakerState> {
        (self.policy.mode == Mode::Shadow).then(|| self.phase.state())
    }

    /// Rises with every transition.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// May one more exchange start? `draw` is any number; it decides while ramping.
    pub fn admit(
        &mut self,
        ask: PermitRequest,
        now: Instant,
        draw: u64,
    ) -> (Result<Ticket, Refusal>, Option<BreakerTransition>) {
        let moved = self.tick(now);
        let answer = match self.asked(ask, now, draw) {
            Err(Refusal::Held { expires_in }) => Err(Refusal::Held { expires_in }),
            Err(_) if self.policy.mode == Mode::Shadow => Ok(Ticket::uncounted(self.generation)),
            answer => answer,
        };
        self.check_invariants();
        (answer, moved)
    }

    /// What a breaker that is on would answer.
    fn asked(&mut self, ask: PermitRequest, now: Instant, draw: u64) -> Result<Ticket, Refusal> {
        let ticket = Ticket::steady(self.generation);
        let late_at = now + self.patience(ask.usual);
        let waited = now.saturating_duration_since(self.since);
        match &mut self.phase {
            BreakerPhase::Closed { ramp: None } => Ok(ticket),
            BreakerPhase::Closed { ramp: Some(ramp) } => {
                if ramp.admits(self.policy.ramp, now, draw) {
                    Ok(ticket)
                } else {
                    Err(Refusal::Ramping)
                }
            }
            BreakerPhase::Open { until } => {
                Err(Refusal::Open { probe_in: until.saturating_duration_since(now) })
            }
            BreakerPhase::HalfOpen { probes, .. } => {
                let room = (probes.len() as u64) < u64::from(self.policy.probes.get());
                if !room || waited < ask.fitness.patience() {
                    return Err(Refusal::Probing);
                }
                let number = self.next_probe;
                self.next_probe += 1;
                probes.push(Probe { number, late_at });
                Ok(Ticket { kind: TicketKind::Probe(number), ..ticket })
            }
            BreakerPhase::Held { hold, .. } if hold.state == BreakerState::Open => {
                Err(Refusal::Held { expires_in: hold.until.saturating_duration_since(now) })
            }
            BreakerPhase::Held { .. } => Ok(ticket),
        }
    }

    /// When a probe is late: five times what is usual, at least a second, four times longer with each re-opening (what
    /// came back slower is let in at last), at most `probe_timeout`.
    fn patience(&self, usual: Option<Duration>) -> Duration {
        let limit = self.policy.probe_timeout;
        usual.map_or(limit, |usual| {
            let first = usual.saturating_mul(5).max(SOON);
            first.saturating_mul(4_u32.saturating_pow(self.trips.saturating_sub(1))).min(limit)
        })
    }

    /// `n` good verdicts that were counted elsewhere, without a lock, in the phase that is still on.
    pub fn credit_good(&mut self, n: u64, now: Instant) {
        if n > 0 {
            self.window.count(Tally { total: n, ..Tally::default() }, now);
            if self.policy.mode == Mode::Off {
                self.row.end();
            }
        }
    }

    /// The exchange behind `ticket` has ended.
    pub fn settle(
        &mut self,
        ticket: Ticket,
        evidence: &ExchangeEvidence<'_>,
        now: Instant,
    ) -> Option<BreakerTransition> {
        if ticket.generation != self.generation || ticket.is_uncounted() {
            return None; // a straggler (the phase that asked is over), or in shadow what would not have been sent
        }
        let known_probe = match &mut self.phase {
            BreakerPhase::HalfOpen { probes, .. } => {
                let before = probes.len();
                probes.retain(|probe| ticket.kind != TicketKind::Probe(probe.number));
                probes.len() < before
            }
            BreakerPhase::Closed { .. } | BreakerPhase::Open { .. } | BreakerPhase::Held { .. } => false,
        };
        let verdict = evidence.verdict;
        if let Verdict::RateLimited { retry_after: Some(wish) } = verdict {
            self.not_before = Some(now + wish.min(RETRY_AFTER_CAP));
        }
        self.row.remember(evidence, now);
        let why = match &self.phase {
            _ if matches!(verdict, Verdict::Inconclusive(_)) => None,
            BreakerPhase::Closed { .. } | BreakerPhase::Held { .. } => self.counted(evidence, now),
            BreakerPhase::HalfOpen { .. } if !known_probe => None,
            BreakerPhase::HalfOpen { .. } if verdict == Verdict::Slow && self.opened_slow => {
                self.probe_failed(evidence)
            }
            BreakerPhase::HalfOpen { .. } if verdict.is_good() => self.probe_passed(),
            BreakerPhase::HalfOpen { .. } => self.probe_failed(evidence),
            BreakerPhase::Open { .. } => None,
        };
        let why = self.noted_by_hold(verdict, why).filter(|_| self.policy.mode != Mode::Off);
        let moved = why.map(|why| self.go(why, now));
        self.check_invariants();
        moved
    }

    /// What time alone brings: the wait is over, a hold has expired, a probe is late, the ramp has ended.
    pub fn tick(&mut self, now: Instant) -> Option<BreakerTransition> {
        let why = match &mut self.phase {
            BreakerPhase::Open { until } if *until <= now => Some(TransitionCause::WaitOver),
            BreakerPhase::HalfOpen { probes, .. } if probes.iter().any(|probe| probe.late_at <= now) => {
                self.opened_by = Sees::Answering;
                Some(TransitionCause::ProbeFailed)
            }
            BreakerPhase::Held { hold, .. } if hold.until <= now => {
                return Some(self.after_hold(TransitionCause::HoldExpired, now));
            }
            BreakerPhase::Closed { ramp } if ramp.as_ref().is_some_and(|ramp| ramp.until <= now) => {
                *ramp = None;
                self.trips = 0;
                None
            }
            BreakerPhase::Closed { .. }
            | BreakerPhase::Open { .. }
            | BreakerPhase::HalfOpen { .. }
            | BreakerPhase::Held { .. } => None,
        };
        why.map(|why| self.go(why, now))
    }

    /// The whole transition table of evidence: the cause picks the next phase.
    fn go(&mut self, why: TransitionCause, now: Instant) -> BreakerTransition {
        let next = match why {
            TransitionCause::Tripped(trip) => {
                let connecting = trip.is_connecting().unwrap_or_else(|| self.row.is_connecting());
                self.opened_by = if connecting { Sees::Connecting } else { Sees::Answering };
                self.opened_slow = trip.is_slow();
                let ramping = matches!(self.phase, BreakerPhase::Closed { ramp: Some(_) });
                self.checks_were_wrong |= self.closed_by_checks && ramping;
                self.tripped_by = self.row.seen().cloned().collect();
                self.opened(now)
            }
            TransitionCause::ProbeFailed => self.opened(now),
            TransitionCause::WaitOver | TransitionCause::HoldExpired | TransitionCause::Operator => {
                BreakerPhase::half_open(self.policy.probes)
            }
            TransitionCause::ProbesPassed | TransitionCause::ChecksPassed => {
                BreakerPhase::closed(self.policy.ramp, now)
            }
            TransitionCause::ModeChanged => BreakerPhase::Closed { ramp: None },
        };
        self.closed_by_checks = why == TransitionCause::ChecksPassed;
        self.enter(next, why, now)
    }

    fn opened(&mut self, now: Instant) -> BreakerPhase {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let wait = backoff::nth(self.policy.open_for, self.policy.open_for_max, self.trips, self.seed);
        self.trips = self.trips.saturating_add(1);
        let until = now + wait;
        BreakerPhase::Open { until: self.not_before.take().map_or(until, |wish| until.max(wish)) }
    }

    fn enter(&mut self, phase: BreakerPhase, why: TransitionCause, now: Instant) -> BreakerTransition {
        let (seen_before, state_before) = (self.state(), self.phase.state());
        let held = self.phase.is_held() || phase.is_held();
        self.phase = phase;
        self.generation += 1;
        self.since = now;
        self.why = Some(why);
        self.row.begin();
        self.checks = 0;
        let shadow = self.policy.mode == Mode::Shadow && !held;
        let (from, to) =
            if shadow { (state_before, self.phase.state()) } else { (seen_before, self.state()) };
        let recovered = if self.phase.is_tripped() {
            self.opened.get_or_insert(now);
            None
        } else {
            self.window = Window::new(self.policy.window, now);
            self.opened.take().map(|opened| now.saturating_duration_since(opened))
        };
        if matches!(self.phase, BreakerPhase::Closed { ramp: None }) {
            self.trips = 0;
        }
        self.check_invariants();
        BreakerTransition { from, to, shadow, why, generation: self.generation, recovered }
    }

    /// Another policy. State and counts stay, and a threshold that is already exceeded trips at the next bad exchange;
    /// but with another mode counting begins anew, from closed.
    pub fn reconfigure(&mut self, policy: BreakerPolicy, now: Instant) -> Option<BreakerTransition> {
        self.window.respan(policy.window, now);
        let another = self.policy.mode != policy.mode;
        let visible = self.state();
        self.policy = policy;
        self.checks = self.checks.min(self.policy.successes.get() - 1);
        if let BreakerPhase::HalfOpen { probes, good, most } = &mut self.phase {
            *good = (*good).min(self.policy.successes.get() - 1);
            *most = self.policy.probes.get().max(u32::try_from(probes.len()).unwrap_or(u32::MAX));
        }
        if !another || self.phase.is_held() {
            return None;
        }
        let closed = matches!(self.phase, BreakerPhase::Closed { .. });
        let moved = self.go(TransitionCause::ModeChanged, now);
        (!closed).then_some(BreakerTransition {
            from: visible,
            to: BreakerState::Closed,
            shadow: false,
            ..moved
        })
    }
}

#[cfg(test)]
mod tests;
