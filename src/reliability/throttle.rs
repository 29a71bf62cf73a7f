//! Client-side throttling: an upstream that turns requests away is asked less (Google, *Site Reliability Engineering*, chapter 21,
//! "Client-Side Throttling").
//!
//! ```text
//! chance to refuse = max(0, (requests − K × accepts) / (requests + 1))      over the last two minutes, K = 2, at most 0.95
//! ```
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

/// The chance that a request is to be refused.
pub fn chance(requests: u64, accepts: u64, k: f64) -> f64 {
    if requests < LEAST {
        return 0.0;
    }
    let (requests, accepts) = (requests as f64, accepts as f64);
    ((requests - k * accepts) / (requests + 1.0)).clamp(0.0, MOST)
}

/// What was asked and taken in the last two minutes.
#[derive(Clone, Debug)]
pub struct ThrottleWindow {
    buckets: [(u64, u64); BUCKETS],
    /// Number of the newest bucket.
    newest: u64,
    origin: Instant,
}

impl ThrottleWindow {
    /// Empty.
    pub fn new(now: Instant) -> Self {
        Self { buckets: [(0, 0); BUCKETS], newest: 0, origin: now }
    }

    /// Counts what came since the last time; then how many were asked and taken in the window.
    pub fn count(&mut self, requests: u64, accepts: u64, now: Instant) -> (u64, u64) {
        let length = WINDOW.as_millis() / BUCKETS as u128;
        let at = now.saturating_duration_since(self.origin).as_millis() / length;
        let at = u64::try_from(at).unwrap_or(u64::MAX);
        for step in 1..=at.saturating_sub(self.newest).min(BUCKETS as u64) {
            self.buckets[(self.newest + step) as usize % BUCKETS] = (0, 0);
        }
        self.newest = self.newest.max(at);
        let (asked, taken) = &mut self.buckets[self.newest as usize % BUCKETS];
        (*asked, *taken) = (*asked + requests, *taken + accepts);
        self.buckets.iter().fold((0, 0), |(asked, taken), bucket| (asked + bucket.0, taken + bucket.1))
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

    #[test]
    fn it_is_the_formula_of_the_book_with_a_floor_and_a_ceiling() {
        assert_eq!(chance(19, 0, 2.0), 0.0, "too few to tell");
        assert_eq!(chance(100, 50, 2.0), 0.0);
        assert!((chance(300, 100, 2.0) - 100.0 / 301.0).abs() < 1e-9);
        assert_eq!(chance(10_000, 0, 2.0), MOST);
    }

    #[test]
    fn what_is_older_than_two_minutes_is_forgotten() {
        let start = Instant::now();
        let mut window = ThrottleWindow::new(start);
        assert_eq!(window.count(100, 0, start), (100, 0));
        assert_eq!(window.count(10, 10, start + Duration::from_secs(60)), (110, 10));
        assert_eq!(window.count(0, 0, start + Duration::from_secs(121)), (10, 10));
        assert_eq!(window.count(1, 1, start + Duration::from_secs(3_600)), (1, 1));
    }

    /// An upstream that takes so many a second; how many it was asked in each second, and how many were refused here.
    fn lives(asked: &[u64], takes: u64) -> Vec<(u64, u64)> {
        let start = Instant::now();
        let (mut window, mut refusing) = (ThrottleWindow::new(start), 0.0);
        (0..)
            .zip(asked)
            .map(|(second, asked)| {
                let refused = (*asked as f64 * refusing) as u64;
                let sent = asked - refused;
                let now = start + Duration::from_secs(second);
                let (requests, accepts) = window.count(*asked, sent.min(takes), now);
                refusing = chance(requests, accepts, 2.0);
                (sent, refused)
            })
            .collect()
    }

    proptest! {
        #[test]
        fn below_capacity_nobody_is_refused(asked in prop::collection::vec(0_u64..100, 1..300)) {
            prop_assert!(lives(&asked, 100).iter().all(|(_, refused)| *refused == 0));
        }
    }

    #[test]
    fn an_overloaded_upstream_is_asked_twice_of_what_it_takes_and_all_again_soon_after() {
        let mut asked = vec![90; 120];
        asked.extend(vec![1_000; 300]);
        asked.extend(vec![90; 300]);
        let seen = lives(&asked, 100);
        let steady = seen[360..420].iter().map(|(sent, _)| sent).sum::<u64>() / 60;
        assert!((190..=210).contains(&steady), "{steady}");
        assert!(seen[541..].iter().all(|(_, refused)| *refused == 0), "it is over after two minutes");
    }

    #[test]
    fn an_upstream_that_is_well_again_is_seen_to_be() {
        let start = Instant::now();
        let (mut window, mut refusing) = (ThrottleWindow::new(start), 0.0);
        for second in 0..400 {
            let takes = second >= 150;
            let sent = 100 - (100.0 * refusing) as u64;
            let now = start + Duration::from_secs(second);
            let (requests, accepts) = window.count(100, if takes { sent } else { 0 }, now);
            refusing = chance(requests, accepts, 2.0);
            assert!(refusing <= MOST);
        }
        assert_eq!(refusing, 0.0);
    }
}
