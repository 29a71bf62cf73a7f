//! Which endpoint? Power of two choices over peak-EWMA costs.
//!
//! The average jumps up at once and decays slowly (Finagle's peak EWMA). A failure is recorded as a long answer, so an
//! endpoint that fails fast is not mistaken for a fast one.

use std::time::{Duration, Instant};

use super::verdict::Verdict;

/// Time in which the weight of an old answer falls to 1/e.
const DECAY: Duration = Duration::from_secs(10);
/// What a failure is taken for, at least.
const PENALTY: Duration = Duration::from_secs(5);

/// A moving average of answer times, seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PeakEwma {
    seconds: f64,
    at: Instant,
}

impl PeakEwma {
    /// Begins with a guess that makes a new endpoint attractive.
    pub fn new(now: Instant) -> Self {
        Self { seconds: 0.001, at: now }
    }

    /// As [`Self::parts`] told it.
    pub fn resumed(seconds: f64, at: Instant) -> Self {
        Self { seconds, at }
    }

    /// Seconds, and when that was.
    pub fn parts(self) -> (f64, Instant) {
        (self.seconds, self.at)
    }

    /// With one more answer.
    #[must_use]
    pub fn with(self, verdict: Verdict, took: Duration, now: Instant) -> Self {
        let seen = match verdict {
            Verdict::Good | Verdict::Slow => took,
            Verdict::Bad(_) => took.max(PENALTY),
            Verdict::RateLimited { retry_after } => retry_after.unwrap_or(PENALTY).max(took),
            Verdict::Inconclusive(_) => return self,
        }
        .as_secs_f64();
        let held = self.at(now);
        let seconds = if seen > held {
            seen
        } else {
            let weight = (-now.saturating_duration_since(self.at).as_secs_f64() / DECAY.as_secs_f64()).exp();
            // Even answers at the same instant must count for something.
            let weight = weight.min(0.95);
            held * weight + seen * (1.0 - weight)
        };
        Self { seconds, at: now }
    }

    /// With an attempt that was given up when it had had no answer for so long: its answer would have taken longer.
    #[must_use]
    pub fn unanswered(self, waited: Duration, now: Instant) -> Self {
        let seconds = waited.as_secs_f64();
        if seconds > self.at(now) { Self { seconds, at: now } } else { self }
    }

    /// The average at `now`, decayed: an endpoint that was bad long ago gets another chance.
    pub fn at(self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.at).as_secs_f64();
        self.seconds * (-age / DECAY.as_secs_f64()).exp()
    }
}

/// How well an endpoint suits the next attempt; the best there is comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// In rotation, and not tried.
    Good,
    /// In rotation, of the address family that is used when the preferred one is of no use.
    Fallback,
    /// Ejected, or failing its checks.
    Out,
    /// This exchange has tried it, and it is in rotation.
    Tried,
    /// This exchange has tried it, and it is out.
    TriedOut,
}

/// Of `n` endpoints, the cheaper of two drawn ones among those of the best rank: an endpoint that the exchange has tried is
/// never picked while another is left, and when all are out, health is not believed.
pub fn pick(rank: impl Fn(usize) -> Rank, cost: impl Fn(usize) -> f64, n: usize, draw: u64) -> Option<usize> {
    let best = (0..n).map(&rank).min()?;
    let usable = (0..n).filter(|at| rank(*at) == best).count();
    let nth = |wanted: usize| (0..n).filter(|at| rank(*at) == best).nth(wanted);
    let first = (draw % usable as u64) as usize;
    let a = nth(first)?;
    if usable == 1 {
        return Some(a);
    }
    let offset = 1 + ((draw >> 32) % (usable as u64 - 1)) as usize;
    let b = nth((first + offset) % usable)?;
    if cost(b) < cost(a) { Some(b) } else { Some(a) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::reliability::verdict::BadReason;

    #[test]
    fn failing_fast_is_not_rewarded() {
        let t0 = Instant::now();
        let good = PeakEwma::new(t0).with(Verdict::Good, Duration::from_millis(50), t0);
        let bad = PeakEwma::new(t0).with(Verdict::Bad(BadReason::Connect), Duration::from_millis(1), t0);
        assert!(bad.at(t0) > good.at(t0));
    }

    #[test]
    fn what_does_not_answer_is_slow_and_what_was_given_up_soon_is_not_quick() {
        let t0 = Instant::now();
        let slow = PeakEwma::new(t0).unanswered(Duration::from_millis(200), t0);
        assert_eq!(slow.at(t0), 0.2);
        assert_eq!(slow.unanswered(Duration::from_millis(1), t0), slow);
    }

    fn any_rank() -> impl Strategy<Value = Rank> {
        prop_oneof![
            Just(Rank::Good),
            Just(Rank::Fallback),
            Just(Rank::Out),
            Just(Rank::Tried),
            Just(Rank::TriedOut)
        ]
    }

    proptest! {
        /// A slow answer that somebody waited for costs its endpoint as much.
        #[test]
        fn what_was_given_up_costs_no_more_than_its_answer_would_have(held: u16, waited: u16, more: u16) {
            let (t0, millis) = (Instant::now(), |millis: u16| Duration::from_millis(millis.into()));
            let before = PeakEwma::new(t0).with(Verdict::Good, millis(held), t0);
            let given_up = before.unanswered(millis(waited), t0);
            prop_assert!(given_up.at(t0) >= before.at(t0));
            let answered = before.with(Verdict::Good, millis(waited) + millis(more), t0);
            prop_assert!(given_up.at(t0) <= answered.at(t0).max(before.at(t0)));
        }

        #[test]
        fn the_best_rank_there_is_comes_first(ranks in prop::collection::vec(any_rank(), 1..8), draw: u64) {
            let picked = pick(|at| ranks[at], |_| 1.0, ranks.len(), draw).expect("there is one");
            prop_assert_eq!(ranks[picked], *ranks.iter().min().expect("there is one"));
        }

        #[test]
        fn the_worst_of_several_is_never_picked(n in 2_usize..8, draw: u64) {
            let picked = pick(|_| Rank::Good, |at| if at == 0 { 9.0 } else { 1.0 }, n, draw);
            prop_assert_ne!(picked, Some(0));
        }
    }
}
