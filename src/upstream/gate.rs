//! The breaker's shell: lock, decide, unlock, tell.
//!
//! While the breaker is steadily closed (or would be open, in shadow) nobody takes the lock ([`super::fast_path`]);
//! what was counted meanwhile is folded in once a second at the latest.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use super::fast_path::{Guarded, GuardedMachine};
use super::witness::Witness;
use crate::reliability::breaker::{
    Breaker, BreakerPolicy, BreakerState, BreakerTransition, BreakerView, Check, ExchangeEvidence, Hold,
    PermitRequest, Refusal, Ticket,
};
use crate::reliability::outlier::Sees;
use crate::reliability::party::{Lately, Party};
use crate::reliability::verdict::Verdict;
use crate::runtime::chance;
use crate::telemetry::breakers::BreakerSeries;
use crate::telemetry::event::{Event, UpstreamEvent};

/// Hears of every transition, outside the lock.
pub type OnMove = Box<dyn Fn(&BreakerTransition) + Send + Sync>;

/// Tells metrics and log of every transition.
fn telling(series: Arc<BreakerSeries>) -> OnMove {
    Box::new(move |moved| {
        series.moved(moved);
        let why = moved.why.describe();
        let (upstream, from, to) = (&*series.label, moved.from.label(), moved.to.label());
        if moved.shadow {
            UpstreamEvent::BreakerWouldMove { upstream, from, to, why: &why }.tell();
        } else {
            Event::BreakerMoved { upstream, from, to, why: &why }.tell();
        }
    })
}

/// One breaker: an upstream's, or an operation's.
pub struct Gate {
    breaker: Guarded<Breaker>,
    witness: Witness,
    /// Exchanges that ended badly since the last that went well, over all phases.
    row: AtomicU32,
    /// Times that an operator has held it.
    holds: AtomicU32,
    on_move: OnMove,
}

impl GuardedMachine for Breaker {
    fn generation(&self) -> u64 {
        Self::generation(self)
    }

    fn is_steady(&self) -> bool {
        Self::is_steady(self)
    }

    fn is_passing(&self) -> bool {
        Self::is_passing(self)
    }

    fn credit_good(&mut self, n: u64, now: Instant) {
        Self::credit_good(self, n, now);
    }
}

impl Gate {
    /// A closed breaker for `workers` workers.
    pub fn new(policy: BreakerPolicy, seed: u64, workers: usize, now: Instant, on_move: OnMove) -> Arc<Self> {
        let breaker = Guarded::new(Breaker::new(policy, seed, now), workers);
        Arc::new(Self {
            breaker,
            witness: Witness::new(workers, now),
            row: AtomicU32::new(0),
            holds: AtomicU32::new(0),
            on_move,
        })
    }

    /// The same, with a jitter of its own, and telling metrics and log.
    pub fn told(
        policy: BreakerPolicy,
        series: &Arc<BreakerSeries>,
        workers: usize,
        now: Instant,
    ) -> Arc<Self> {
        let seed = chance::draw();
        Self::new(policy, seed, workers, now, telling(Arc::clone(series)))
    }

    /// May one more exchange start? `ask` is only called when it is not steady.
    pub(super) fn ticket(
        &self,
        now: Instant,
        draw: u64,
        ask: impl FnOnce() -> PermitRequest,
    ) -> Result<Ticket, Refusal> {
        if let Some(generation) = self.breaker.steady() {
            return Ok(Ticket::steady(generation));
        }
        if let Some(generation) = self.breaker.passing() {
            return Ok(Ticket::uncounted(generation));
        }
        let (answer, moved) = self.with(now, |breaker| breaker.admit(ask(), now, draw));
        self.tell(moved);
        answer
    }

    /// Is it steadily closed: is there nothing to decide?
    pub fn is_steady(&self) -> bool {
        self.breaker.steady().is_some()
    }

    /// May an exchange that was admitted in `generation` make another attempt? Once that phase is over only while the
    /// breaker is closed: half-open is for its own probes.
    pub(super) fn goes_on(&self, generation: u64, now: Instant) -> bool {
        self.breaker.generation() == generation
            || self.with(now, |breaker| breaker.state() == BreakerState::Closed)
    }

    /// Who was answered well lately, as seen from `party`.
    pub fn lately(&self, party: Party, now: Instant) -> Lately {
        self.witness.lately(party, now)
    }

    /// The exchange behind `ticket` has ended.
    pub(super) fn settle(
        &self,
        worker: usize,
        ticket: Ticket,
        evidence: &ExchangeEvidence<'_>,
        now: Instant,
    ) {
        let generation = ticket.generation();
        self.count_row(evidence.verdict);
        if evidence.verdict.is_good() {
            self.witness.note(worker, evidence.blame.party, now);
        }
        let done = match evidence.verdict {
            _ if ticket.is_uncounted() => true,
            Verdict::Good => self.breaker.count_good(worker, generation),
            Verdict::Inconclusive(_) => self.breaker.steady() == Some(generation),
            Verdict::Slow | Verdict::Bad(_) | Verdict::RateLimited { .. } => false,
        };
        if !done {
            let moved = self.with(now, |breaker| breaker.settle(ticket, evidence, now));
            self.tell(moved);
        }
    }

    fn count_row(&self, verdict: Verdict) {
        match verdict {
            // Written only where it changes something: all workers read it.
            Verdict::Good | Verdict::Slow if self.row.load(Ordering::Relaxed) == 0 => {}
            Verdict::Good | Verdict::Slow => self.row.store(0, Ordering::Relaxed),
            Verdict::Bad(_) => {
                self.row.fetch_add(1, Ordering::Relaxed);
            }
            Verdict::RateLimited { .. } | Verdict::Inconclusive(_) => {}
        }
    }

    /// Exchanges that ended badly since the last that went well, whatever the breaker made of them.
    pub fn bad_in_a_row(&self) -> u32 {
        self.row.load(Ordering::Relaxed)
    }

    /// A round of active checks has ended.
    pub fn checked(&self, sees: Sees, check: Check, now: Instant) {
        if self.breaker.steady().is_none() {
            let moved = self.with(now, |breaker| breaker.checked(sees, check, now));
            self.tell(moved);
        }
    }

    /// Would a harmless connect be of use?
    pub fn wants_connect(&self, now: Instant) -> bool {
        self.breaker.steady().is_none() && self.with(now, |breaker| breaker.wants_connect(now))
    }

    /// What came of a harmless connect.
    pub fn connected(&self, check: Check, now: Instant) {
        let moved = self.with(now, |breaker| breaker.connected(check, now));
        self.tell(moved);
    }

    /// What time alone brings; called once a second.
    pub fn tick(&self, now: Instant) {
        let moved = self.with(now, |breaker| breaker.tick(now));
        self.tell(moved);
    }

    /// Holds the breaker open or closed, by an operator's order.
    pub fn hold(&self, hold: Hold, now: Instant) {
        self.holds.fetch_add(1, Ordering::Relaxed);
        let moved = self.with(now, |breaker| breaker.hold(hold, now));
        self.tell(Some(moved));
    }

    /// How often an operator has held it.
    pub fn holds(&self) -> u32 {
        self.holds.load(Ordering::Relaxed)
    }

    /// An operator closes it; see [`Breaker::close`].
    pub fn close(&self, force: bool, now: Instant) -> bool {
        let moved = self.with(now, |breaker| breaker.close(force, now));
        self.tell(moved);
        moved.is_some()
    }

    /// Ends a hold that `which` picks; false when there was none.
    pub fn release(&self, now: Instant, which: impl FnOnce(&Hold) -> bool) -> bool {
        let moved = self.with(now, |breaker| {
            let picked = breaker.view(now).hold.is_some_and(|hold| which(&hold));
            if picked { breaker.release(now) } else { None }
        });
        self.tell(moved);
        moved.is_some()
    }

    /// Another policy; state and counts stay, unless the mode is another.
    pub fn reconfigure(&self, policy: BreakerPolicy, now: Instant) {
        let moved = self.with(now, |breaker| breaker.reconfigure(policy, now));
        self.tell(moved);
    }

    /// A look at everything.
    pub fn view(&self, now: Instant) -> BreakerView {
        self.with(now, |breaker| breaker.view(now))
    }

    fn with<T>(&self, now: Instant, decide: impl FnOnce(&mut Breaker) -> T) -> T {
        self.breaker.with(now, decide)
    }

    fn tell(&self, moved: Option<BreakerTransition>) {
        if let Some(moved) = moved {
            (self.on_move)(&moved);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::reliability::breaker::Mode;
    use crate::reliability::verdict::BadReason;
    use crate::runtime::clock;

    const BAD: Verdict = Verdict::Bad(BadReason::Status);

    fn gate(failures: u32, mode: Mode) -> (Arc<Gate>, Arc<AtomicUsize>) {
        let policy = BreakerPolicy {
            mode,
            failures: NonZeroU32::new(failures),
            ramp: Duration::ZERO,
            ..BreakerPolicy::default()
        };
        let moves = Arc::new(AtomicUsize::new(0));
        let heard = Arc::clone(&moves);
        let on_move: OnMove = Box::new(move |_| {
            heard.fetch_add(1, Ordering::Relaxed);
        });
        (Gate::new(policy, 1, 2, clock::instant(), on_move), moves)
    }

    fn one(gate: &Arc<Gate>, worker: usize, verdict: Verdict, now: Instant) {
        let permit = gate.admit(worker, now, 0, || PermitRequest::SAFE).expect("admitted");
        permit.settle(&ExchangeEvidence::of(verdict, now), now);
    }

    #[test]
    fn good_verdicts_reach_the_window_without_a_lock() {
        let (gate, _) = gate(3, Mode::On);
        let now = clock::instant();
        (0..2).for_each(|worker| one(&gate, worker, Verdict::Good, now));
        assert_eq!(gate.view(now).tally.total, 2);
    }

    #[test]
    fn failures_of_two_workers_trip_one_breaker() {
        let (gate, moves) = gate(3, Mode::On);
        let now = clock::instant();
        [0, 1, 0].into_iter().for_each(|worker| one(&gate, worker, BAD, now));
        assert!(gate.admit(1, now, 0, || PermitRequest::SAFE).is_err());
        assert_eq!(moves.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn in_shadow_it_moves_and_refuses_nothing() {
        let (gate, moves) = gate(3, Mode::Shadow);
        let now = clock::instant();
        (0..9).for_each(|_| one(&gate, 0, BAD, now));
        let view = gate.view(now);
        assert_eq!((view.state, view.shadow_state), (BreakerState::Closed, Some(BreakerState::Open)));
        assert_eq!(moves.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_row_goes_on_when_the_breaker_would_have_opened() {
        let (gate, _) = gate(3, Mode::Shadow);
        let now = clock::instant();
        (0..9).for_each(|worker| one(&gate, worker % 2, BAD, now));
        assert_eq!(gate.bad_in_a_row(), 9);
        one(&gate, 0, Verdict::Good, now);
        assert_eq!(gate.bad_in_a_row(), 0);
    }

    #[test]
    fn a_good_answer_between_two_failures_ends_the_row() {
        let (gate, _) = gate(2, Mode::On);
        let now = clock::instant();
        for verdict in [BAD, Verdict::Good, BAD] {
            one(&gate, 0, verdict, now);
        }
        assert_eq!(gate.view(now).consecutive, 1);
    }

    #[test]
    fn a_permit_dropped_in_silence_counts_nowhere() {
        let (gate, _) = gate(1, Mode::On);
        let now = clock::instant();
        drop(gate.admit(0, now, 0, || PermitRequest::SAFE).expect("closed"));
        assert_eq!(gate.view(now).tally.total, 0);
    }
}
