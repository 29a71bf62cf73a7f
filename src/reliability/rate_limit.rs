//! How many requests a client may make: the sliding window of Cloudflare's "How we built rate limiting capable of scaling to millions of
//! domains" (blog.cloudflare.com/counting-things-a-lot-of-different-things).
//!
//! ```text
//! count = of this window + of the one before × the share of it that is less than a window ago
//! ```
//!
//! What is refused does not count, so a client that asks too often gets its share and is not shut out. Refuses to know who a client
//! is. Invariant: no window has more than `requests` that were let through.

use std::time::Duration;

use super::concurrency::AdmissionMode;

/// How often one client may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimitPolicy {
    /// In shadow it counts what it would refuse.
    pub mode: AdmissionMode,
    /// Requests in each window.
    pub requests: u32,
    /// How long a window is.
    pub per: Duration,
    /// The field whose value tells clients apart, in lower case; `None`, or where a request has none: their address.
    pub header: Option<String>,
}

/// What is known of one client.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    /// Requests let through in the window before this one.
    pub before: u64,
    /// Requests let through in this window.
    pub now: u64,
    /// How long this window has lasted.
    pub into: Duration,
}

impl RateLimitPolicy {
    /// Is one more too many? Then how long to wait until it would not be.
    pub fn excess(&self, asked: Asked) -> Option<Duration> {
        let (most, per) = (u128::from(self.requests.max(1)), self.per.as_nanos().max(1));
        let (before, now) = (u128::from(asked.before), u128::from(asked.now));
        let left = per.saturating_sub(asked.into.as_nanos());
        // A part of a request is none.
        if before * left / per + now < most {
            return None;
        }
        // How much of a window may be left so that fewer than `room` of what it let through count.
        let may_be_left = |let_through: u128, room: u128| (room * per - 1) / let_through.max(1);
        let nanos = match most.checked_sub(now) {
            // Enough of this window has to pass, in the next.
            None | Some(0) => left + per.saturating_sub(may_be_left(now, most)),
            // Enough of the window before.
            Some(room) => left.saturating_sub(may_be_left(before, room)),
        };
        // Whole milliseconds, upwards: whoever rounds it to what a client reads may drop no part.
        Some(Duration::from_millis(u64::try_from(nanos.div_ceil(1_000_000)).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn policy(requests: u32) -> RateLimitPolicy {
        RateLimitPolicy { mode: AdmissionMode::On, requests, per: 60 * SECOND, header: None }
    }

    /// Asks at these times, in milliseconds; which were let through.
    fn lives(policy: &RateLimitPolicy, times: &[u64]) -> Vec<u64> {
        let per = policy.per.as_millis() as u64;
        let (mut window, mut asked, mut passed) = (0, Asked::default(), Vec::new());
        for at in times {
            if at / per > window {
                let before = if at / per == window + 1 { asked.now } else { 0 };
                (window, asked) = (at / per, Asked { before, ..Asked::default() });
            }
            asked.into = Duration::from_millis(at % per);
            if policy.excess(asked).is_none() {
                asked.now += 1;
                passed.push(*at);
            }
        }
        passed
    }

    proptest! {
        #[test]
        fn no_window_has_more_than_it_may(mut times in prop::collection::vec(0_u64..600_000, 1..2_000), requests in 1_u32..50) {
            times.sort_unstable();
            let passed = lives(&policy(requests), &times);
            for window in 0..10 {
                let within = passed.iter().filter(|at| **at / 60_000 == window).count();
                prop_assert!(within <= requests as usize);
            }
        }

        /// A client that asks evenly, no more often than it may, is never refused; whoever asks too often is not shut out.
        #[test]
        fn who_asks_evenly_is_never_refused(requests in 1_u32..600, offset in 0_u64..60_000) {
            let apart = 60_000_u64.div_ceil(u64::from(requests)) + 1;
            let times: Vec<u64> = (0..u64::from(requests) * 5).map(|nth| offset + nth * apart).collect();
            prop_assert_eq!(lives(&policy(requests), &times).len(), times.len());
        }

        #[test]
        fn who_waits_as_long_as_told_is_let_through(before in 0_u64..100, now in 0_u64..100, millis in 0_u64..60_000) {
            let policy = policy(50);
            let (before, now) = (before.min(50), now.min(50));
            let asked = Asked { before, now, into: Duration::from_millis(millis) };
            if let Some(wait) = policy.excess(asked) {
                // As a client reads it: in whole seconds.
                let at = asked.into + Duration::from_secs(wait.as_millis().div_ceil(1_000).max(1) as u64);
                let later = match at.as_secs() / 60 {
                    0 => Asked { into: at, ..asked },
                    1 => Asked { before: now, now: 0, into: at - policy.per },
                    _ => Asked::default(),
                };
                prop_assert_eq!(policy.excess(later), None, "after {:?}", wait);
            }
        }
    }

    #[test]
    fn where_the_wait_ends_exactly_at_the_limit_it_is_a_little_longer() {
        let asked = Asked { before: 50, now: 38, into: Duration::from_millis(11_600) };
        assert_eq!(policy(50).excess(asked), Some(Duration::from_millis(34_001)));
        let full = Asked { before: 0, now: 50, into: Duration::ZERO };
        assert_eq!(policy(50).excess(full), Some(Duration::from_millis(60_001)));
    }

    #[test]
    fn a_client_that_asks_far_too_often_has_its_share() {
        let times: Vec<u64> = (0..600_000).step_by(50).collect();
        let passed = lives(&policy(60), &times).len();
        assert!((540..=660).contains(&passed), "{passed}");
    }
}
