//! Client-side throttling: an upstream that turns requests away is asked less (Google, *Site Reliability Engineering*, chapter 21,
//! "Client-Side Throttling").
//!
//! ```text
//! chance to refuse = max(0, (requests − K × accepts) / (requests + 1))      K = 2, at most 0.95
//! ```
//!
//! The chance is the lesser of that of the last two minutes and that of the last ten seconds: the book's two minutes alone refuse for another
//! three minutes after an outage is over.
//!
//! An attempt is accepted unless the upstream turned it away or could not take it: 429, 503, no connection, no answer, a broken one. Any
//! other status is an accept: a bug that answers 500 is no overload, and the breaker's. Refusals of our own count as requests.
//!
//! Different from the book: an attempt counts when it has ended, not when it begins. Else the first attempts at an upstream that takes ten
//! seconds by nature would look like ten seconds of refusals, and ordinary requests be refused; what hangs is the
//! breaker's. Fewer than 20 requests say nothing. One in twenty goes on always, so that it is seen when the upstream is well again, and the
//! probes of a breaker are none of this.

use std::time::{Duration, Instant};

use super::concurrency::AdmissionMode;
use super::verdict::Verdict;

/// Counts are kept for so long, in buckets.
const WINDOW: Duration = Duration::from_secs(120);
const BUCKETS: usize = 24;
/// The newest of them, with the one that is filling: ten seconds or a little more.
const LATELY: u64 = 3;
/// Fewer requests say nothing.
const LEAST: u64 = 20;
/// The most that is refused.
const MOST: f64 = 0.95;

/// When to ask less.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ThrottlePolicy {
    /// In shadow it counts what it would refuse.
    pub mode: AdmissionMode,
    /// Requests for each accept before any is refused; more is more patient.
    pub k: f64,
}

/// Off; 2 is the book's.
impl Default for ThrottlePolicy {
    fn default() -> Self {
        Self { mode: AdmissionMode::Off, k: 2.0 }
    }
}

/// Did the upstream take an attempt that was answered with `status`? `None`: it says nothing of that.
pub fn accepts(verdict: Verdict, status: Option<u16>) -> Option<bool> {
    match (verdict, status) {
        (Verdict::Inconclusive(_), _) => None,
        (Verdict::RateLimited { .. }, _) | (Verdict::Bad(_), None) => Some(false),
        (Verdict::Good | Verdict::Slow | Verdict::Bad(_), status) => Some(!matches!(status, Some(429 | 503))),
    }
}

/// The chance that a request is to be refused, by what was counted in the last two minutes, and lately.
pub fn chance([all, lately]: [Counts; 2], k: f64) -> f64 {
    if all.requests < LEAST {
        return 0.0;
    }
    all.chance(k).min(lately.chance(k))
}

/// What was asked and taken in some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub requests: u64,
    pub accepts: u64,
}

impl Counts {
    fn and(self, other: Self) -> Self {
        Self { requests: self.requests + other.requests, accepts: self.accepts + other.accepts }
    }

    fn chance(self, k: f64) -> f64 {
        let (requests, accepts) = (self.requests as f64, self.accepts as f64);
        ((requests - k * accepts) / (requests + 1.0)).clamp(0.0, MOST)
    }
}

/// What was asked and taken in the last two minutes.
#[derive(Clone, Debug)]
pub struct ThrottleWindow {
    buckets: [Counts; BUCKETS],
    /// Number of the newest bucket.
    newest: u64,
    origin: Instant,
}

impl ThrottleWindow {
    /// Empty.
    pub fn new(now: Instant) -> Self {
        Self { buckets: [Counts::default(); BUCKETS], newest: 0, origin: now }
    }

    /// Counts what came since the last time; then what there was in the last two minutes, and lately.
    pub fn count(&mut self, new: Counts, now: Instant) -> [Counts; 2] {
        let length = WINDOW.as_millis() / BUCKETS as u128;
        let at = now.saturating_duration_since(self.origin).as_millis() / length;
        let at = u64::try_from(at).unwrap_or(u64::MAX);
        for step in 1..=at.saturating_sub(self.newest).min(BUCKETS as u64) {
            self.buckets[(self.newest + step) as usize % BUCKETS] = Counts::default();
        }
        self.newest = self.newest.max(at);
        let filling = &mut self.buckets[self.newest as usize % BUCKETS];
        *filling = filling.and(new);
        let all = self.buckets.iter().fold(Counts::default(), |sum, bucket| sum.and(*bucket));
        let newest = (0..LATELY).filter_map(|ago| self.newest.checked_sub(ago));
        let lately = newest.map(|at| self.buckets[at as usize % BUCKETS]);
        [all, lately.fold(Counts::default(), Counts::and)]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::reliability::verdict::{BadReason, Inconclusive};

    #[test]
    fn only_what_was_turned_away_or_not_taken_is_no_accept() {
        assert_eq!(accepts(Verdict::Good, Some(200)), Some(true));
        assert_eq!(accepts(Verdict::Good, Some(404)), Some(true));
        assert_eq!(accepts(Verdict::Bad(BadReason::Status), Some(500)), Some(true), "a bug is no overload");
        assert_eq!(accepts(Verdict::Bad(BadReason::Status), Some(503)), Some(false));
        assert_eq!(accepts(Verdict::RateLimited { retry_after: None }, Some(403)), Some(false));
        assert_eq!(accepts(Verdict::Bad(BadReason::Timeout), None), Some(false));
        assert_eq!(accepts(Verdict::Inconclusive(Inconclusive::ClientGone), None), None);
    }

    const fn counts(requests: u64, accepts: u64) -> Counts {
        Counts { requests, accepts }
    }

    #[test]
    fn it_is_the_formula_of_the_book_with_a_floor_and_a_ceiling() {
        let of = |requests, accepts| chance([counts(requests, accepts); 2], 2.0);
        assert_eq!(of(19, 0), 0.0, "too few to tell");
        assert_eq!(of(100, 50), 0.0);
        assert!((of(300, 100) - 100.0 / 301.0).abs() < 1e-9);
        assert_eq!(of(10_000, 0), MOST);
        assert_eq!(chance([counts(10_000, 0), counts(30, 20)], 2.0), 0.0, "it is well again");
        assert_eq!(chance([counts(10_000, 9_000), counts(30, 0)], 2.0), 0.0, "a moment is no overload");
    }

    #[test]
    fn what_is_older_than_two_minutes_is_forgotten() {
        let start = Instant::now();
        let mut window = ThrottleWindow::new(start);
        let mut at = |new, seconds| window.count(new, start + Duration::from_secs(seconds));
        assert_eq!(at(counts(100, 0), 0), [counts(100, 0); 2]);
        assert_eq!(at(counts(10, 10), 60), [counts(110, 10), counts(10, 10)]);
        assert_eq!(at(counts(0, 0), 121), [counts(10, 10), counts(0, 0)]);
        assert_eq!(at(counts(1, 1), 3_600), [counts(1, 1); 2]);
    }

    /// An upstream that takes so many a second; how many it was sent in each second, and how many were refused here.
    fn lives(asked: &[u64], takes: impl Fn(usize) -> u64) -> Vec<(u64, u64)> {
        let start = Instant::now();
        let (mut window, mut refusing) = (ThrottleWindow::new(start), 0.0);
        let second = |(at, asked): (usize, &u64)| {
            let refused = (*asked as f64 * refusing) as u64;
            let sent = asked - refused;
            let now = start + Duration::from_secs(at as u64);
            refusing = chance(window.count(counts(*asked, sent.min(takes(at))), now), 2.0);
            (sent, refused)
        };
        asked.iter().enumerate().map(second).collect()
    }

    proptest! {
        #[test]
        fn below_capacity_nobody_is_refused(asked in prop::collection::vec(0_u64..100, 1..300)) {
            prop_assert!(lives(&asked, |_| 100).iter().all(|(_, refused)| *refused == 0));
        }
    }

    #[test]
    fn an_overloaded_upstream_is_asked_twice_of_what_it_takes_and_all_again_soon_after() {
        let mut asked = vec![90; 120];
        asked.extend(vec![1_000; 300]);
        asked.extend(vec![90; 300]);
        let seen = lives(&asked, |_| 100);
        let steady = seen[300..420].iter().map(|(sent, _)| sent).sum::<u64>() / 120;
        assert!((180..=230).contains(&steady), "{steady}");
        assert!(seen[450..].iter().all(|(_, refused)| *refused == 0), "{:?}", &seen[420..450]);
    }

    #[test]
    fn an_upstream_that_is_well_again_is_asked_all_within_a_minute() {
        let seen = lives(&[100; 400], |second| if second < 150 { 0 } else { 100 });
        assert!(seen[140].1 >= 90, "{:?}", seen[140]);
        assert!(seen[210..].iter().all(|(_, refused)| *refused == 0), "{:?}", &seen[150..210]);
    }
}
