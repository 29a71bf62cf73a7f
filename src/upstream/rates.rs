//! How often the clients of a route have asked, over all workers, in fixed memory.
//!
//! Clients are unbounded, so they are counted in a count-min sketch (pingora-limits): four rows of 8,192 counters for each of two windows,
//! 512 KiB a route. Clients that share a counter in all four rows are counted together: of a route with 100,000 requests a window a
//! client is seldom taken for one that asked 12 times more. [`RateLimitPolicy`] decides; no lock is taken.

use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use pingora_limits::estimator::Estimator;

use crate::names::RouteName;
use crate::reliability::concurrency::AdmissionMode;
use crate::reliability::rate_limit::{Asked, RateLimitPolicy};
use crate::telemetry::load::RateLimitSeries;

const ROWS: usize = 4;
const COUNTERS: usize = 8_192;

/// What the clients of one route have asked.
pub struct RateLimiter {
    policy: RateLimitPolicy,
    series: Arc<RateLimitSeries>,
    origin: Instant,
    /// The window that is counted, from 0 on.
    window: AtomicU64,
    counts: [Estimator; 2],
}

/// A request is too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooOften {
    /// Requests that a client may make in a window.
    pub requests: u32,
    /// How long a window is.
    pub per: Duration,
    /// How long to wait.
    pub wait: Duration,
}

impl RateLimiter {
    fn new(policy: RateLimitPolicy, series: &Arc<RateLimitSeries>, now: Instant) -> Self {
        let counts = [Estimator::new(ROWS, COUNTERS), Estimator::new(ROWS, COUNTERS)];
        Self { policy, series: Arc::clone(series), origin: now, window: AtomicU64::new(0), counts }
    }

    /// The field whose value tells clients apart.
    pub fn header(&self) -> Option<&str> {
        self.policy.header.as_deref()
    }

    /// One more request of `client`; an error: it is too many.
    pub fn asks(&self, client: &impl Hash, now: Instant) -> Result<(), TooOften> {
        let RateLimitPolicy { mode, requests, per, .. } = self.policy;
        if mode == AdmissionMode::Off {
            return Ok(());
        }
        let (at, into) = self.turn(now);
        // A sketch counts no more than there were requests.
        let count = |window: u64| self.of(window).get(client).max(0) as u64;
        let asked = Asked { before: count(at + 1), now: count(at), into };
        match self.policy.excess(asked) {
            None => {
                self.of(at).incr(client, 1);
                Ok(())
            }
            Some(_) if mode == AdmissionMode::Shadow => {
                self.series.shadow_refused.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Some(wait) => {
                self.series.refused.fetch_add(1, Ordering::Relaxed);
                Err(TooOften { requests, per, wait })
            }
        }
    }

    /// The window of this number; the one before it is the other, and so is the one after it.
    fn of(&self, window: u64) -> &Estimator {
        &self.counts[(window % 2) as usize]
    }

    /// The number of the window, and how long it has lasted. Who is the first in it clears what is older than the one before.
    fn turn(&self, now: Instant) -> (u64, Duration) {
        let gone = now.saturating_duration_since(self.origin);
        let per = self.policy.per.as_nanos();
        let at = u64::try_from(gone.as_nanos() / per).unwrap_or(u64::MAX);
        // Less than a window, which is at most an hour.
        let into = Duration::from_nanos((gone.as_nanos() % per) as u64);
        let seen = self.window.fetch_max(at, Ordering::Relaxed);
        if at > seen {
            self.of(at).reset();
            if at > seen + 1 {
                self.of(at + 1).reset();
            }
        }
        // A request that began before another one's turn counts in that one's window.
        if at < seen { (seen, Duration::ZERO) } else { (at, into) }
    }
}

/// The limiters that routes use: one that has the same limit after a reload is the same.
#[derive(Default)]
pub(super) struct RateLimiters(Mutex<Vec<(RouteName, Weak<RateLimiter>)>>);

impl RateLimiters {
    /// The one of the route of this name.
    pub(super) fn of(
        &self,
        route: &RouteName,
        policy: &RateLimitPolicy,
        series: &Arc<RateLimitSeries>,
        now: Instant,
    ) -> Arc<RateLimiter> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(_, limiter)| limiter.strong_count() > 0);
        let known = all.iter().filter(|(name, _)| name == route).filter_map(|(_, limiter)| limiter.upgrade());
        if let Some(same) = known.into_iter().find(|limiter| limiter.policy == *policy) {
            return same;
        }
        let limiter = Arc::new(RateLimiter::new(policy.clone(), series, now));
        all.push((route.clone(), Arc::downgrade(&limiter)));
        limiter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn policy(mode: AdmissionMode) -> RateLimitPolicy {
        RateLimitPolicy { mode, requests: 10, per: 10 * SECOND, header: None }
    }

    #[test]
    fn each_client_has_its_own_and_it_comes_back() {
        let now = Instant::now();
        let limiter = RateLimiter::new(policy(AdmissionMode::On), &Arc::default(), now);
        let passes = |client: u32, at: Instant| (0..20).filter(|_| limiter.asks(&client, at).is_ok()).count();
        assert_eq!((passes(1, now), passes(2, now)), (10, 10));
        let wait = limiter.asks(&1_u32, now + 4 * SECOND).expect_err("too many").wait;
        assert!(wait > 6 * SECOND && wait < 8 * SECOND, "{wait:?}");
        assert_eq!(passes(1, now + 15 * SECOND), 5, "half of the window before still counts");
        assert_eq!(passes(1, now + 100 * SECOND), 10, "all is forgotten");
    }

    #[test]
    fn in_shadow_it_counts_and_refuses_nothing() {
        let now = Instant::now();
        let limiter = RateLimiter::new(policy(AdmissionMode::Shadow), &Arc::default(), now);
        assert!((0..30).all(|_| limiter.asks(&1_u32, now).is_ok()));
        assert_eq!(limiter.series.shadow_refused.load(Ordering::Relaxed), 20);
    }

    #[test]
    fn many_clients_below_their_limit_are_not_taken_for_one() {
        let now = Instant::now();
        let limiter = RateLimiter::new(policy(AdmissionMode::On), &Arc::default(), now);
        let refused = (0..20_000_u32).filter(|client| limiter.asks(client, now).is_err()).count();
        assert_eq!(refused, 0);
    }

    #[test]
    fn a_reload_without_another_limit_forgets_nothing() {
        let (all, series, now) = (RateLimiters::default(), Arc::default(), Instant::now());
        let name = RouteName::new("a").unwrap();
        let first = all.of(&name, &policy(AdmissionMode::On), &series, now);
        assert!(Arc::ptr_eq(&first, &all.of(&name, &policy(AdmissionMode::On), &series, now)));
        assert!(!Arc::ptr_eq(&first, &all.of(&name, &policy(AdmissionMode::Shadow), &series, now)));
    }
}
