//! The breaker's shell: lock, decide, unlock, tell.
//!
//! While the breaker is plainly closed nobody takes the lock ([`super::plain`]); what was counted meanwhile is folded in
//! once a second at the latest.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::permit::Permit;
use super::plain::{Guarded, Machine};
use crate::reliability::breaker::{Breaker, BreakerPolicy, BreakerView, Hold, Refusal, Ticket, Transition};
use crate::reliability::verdict::Verdict;

/// Hears of every transition, outside the lock.
pub type OnMove = Box<dyn Fn(&Transition) + Send + Sync>;

/// One upstream's breaker.
pub struct Gate {
    breaker: Guarded<Breaker>,
    on_move: OnMove,
}

impl Machine for Breaker {
    fn generation(&self) -> u64 {
        Self::generation(self)
    }

    fn is_plain(&self) -> bool {
        Self::is_plain(self)
    }

    fn credit_good(&mut self, n: u64, now: Instant) {
        Self::credit_good(self, n, now);
    }
}

impl Gate {
    /// A closed breaker for `workers` workers.
    pub fn new(policy: BreakerPolicy, seed: u64, workers: usize, now: Instant, on_move: OnMove) -> Arc<Self> {
        let breaker = Guarded::new(Breaker::new(policy, seed, now), workers);
        Arc::new(Self { breaker, on_move })
    }

    /// May one more attempt start?
    pub fn admit(self: &Arc<Self>, worker: usize, now: Instant, draw: u64) -> Result<Permit, Refusal> {
        if let Some(generation) = self.breaker.plain() {
            return Ok(Permit::new(Arc::clone(self), Ticket::plain(generation), worker));
        }
        let (answer, moved) = self.with(now, |breaker| breaker.admit(now, draw));
        self.tell(moved);
        answer.map(|ticket| Permit::new(Arc::clone(self), ticket, worker))
    }

    /// The attempt behind `ticket` has ended.
    pub(super) fn settle(&self, worker: usize, ticket: Ticket, verdict: Verdict, now: Instant) {
        let generation = ticket.generation();
        let counted = match verdict {
            Verdict::Good => self.breaker.count_good(worker, generation),
            Verdict::Abandoned => self.breaker.plain() == Some(generation),
            Verdict::Slow | Verdict::Bad(_) | Verdict::RateLimited { .. } => false,
        };
        if !counted {
            let moved = self.with(now, |breaker| breaker.settle(ticket, verdict, now));
            self.tell(moved);
        }
    }

    /// What time alone brings; called once a second.
    pub fn tick(&self, now: Instant) {
        let moved = self.with(now, |breaker| breaker.tick(now));
        self.tell(moved);
    }

    /// An operator's hold.
    pub fn hold(&self, hold: Hold, now: Instant) {
        let moved = self.with(now, |breaker| breaker.hold(hold, now));
        self.tell(Some(moved));
    }

    /// An operator closes it; see [`Breaker::close`].
    pub fn close(&self, force: bool, now: Instant) -> bool {
        let moved = self.with(now, |breaker| breaker.close(force, now));
        self.tell(moved);
        moved.is_some()
    }

    /// Ends a hold; false when there was none.
    pub fn release(&self, now: Instant) -> bool {
        let moved = self.with(now, |breaker| breaker.release(now));
        self.tell(moved);
        moved.is_some()
    }

    /// Another policy; state and counts stay.
    pub fn reconfigure(&self, policy: BreakerPolicy, now: Instant) {
        self.with(now, |breaker| breaker.reconfigure(policy, now));
    }

    /// The upstream's median answer time.
    pub fn set_typical(&self, median: Option<Duration>, now: Instant) {
        self.with(now, |breaker| breaker.set_typical(median));
    }

    /// How long a probe may take; `None`: the breaker is not half-open.
    pub fn probe_limit(&self, now: Instant) -> Option<Duration> {
        if self.breaker.plain().is_some() {
            return None;
        }
        self.with(now, |breaker| breaker.probe_limit())
    }

    /// A look at everything.
    pub fn view(&self, now: Instant) -> BreakerView {
        self.with(now, |breaker| breaker.view(now))
    }

    fn with<T>(&self, now: Instant, decide: impl FnOnce(&mut Breaker) -> T) -> T {
        self.breaker.with(now, decide)
    }

    fn tell(&self, moved: Option<Transition>) {
        if let Some(moved) = moved {
            (self.on_move)(&moved);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::reliability::verdict::Why;
    use crate::runtime::clock;

    fn gate(failures: u32) -> (Arc<Gate>, Arc<AtomicUsize>) {
        let policy = BreakerPolicy {
            failures: NonZeroU32::new(failures),
            ramp: Duration::ZERO,
            ..crate::config::presets::breaker("")
        };
        let moves = Arc::new(AtomicUsize::new(0));
        let heard = Arc::clone(&moves);
        let on_move: OnMove = Box::new(move |_| {
            heard.fetch_add(1, Ordering::Relaxed);
        });
        (Gate::new(policy, 1, 2, clock::instant(), on_move), moves)
    }

    #[test]
    fn good_verdicts_reach_the_window_without_a_lock() {
        let (gate, _) = gate(3);
        let now = clock::instant();
        for worker in 0..2 {
            gate.admit(worker, now, 0).expect("closed").settle(Verdict::Good, now);
        }
        assert_eq!(gate.view(now).tally.total, 2);
    }

    #[test]
    fn failures_of_two_workers_trip_one_breaker() {
        let (gate, moves) = gate(3);
        let now = clock::instant();
        for worker in [0, 1, 0] {
            gate.admit(worker, now, 0).expect("closed").settle(Verdict::Bad(Why::Connect), now);
        }
        assert!(gate.admit(1, now, 0).is_err());
        assert_eq!(moves.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_good_answer_between_two_failures_ends_the_row() {
        let (gate, _) = gate(2);
        let now = clock::instant();
        for verdict in [Verdict::Bad(Why::Connect), Verdict::Good, Verdict::Bad(Why::Connect)] {
            gate.admit(0, now, 0).expect("closed").settle(verdict, now);
        }
        assert_eq!(gate.view(now).consecutive, 1);
    }

    #[test]
    fn a_permit_dropped_in_silence_counts_nowhere() {
        let (gate, _) = gate(1);
        let now = clock::instant();
        drop(gate.admit(0, now, 0).expect("closed"));
        assert_eq!(gate.view(now).tally.total, 0);
    }
}
