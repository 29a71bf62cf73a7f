//! How much less an upstream is asked while it turns requests away, over all workers.
//!
//! The core (`reliability::throttle`) decides the chance, four times a second, from what each worker has counted. A request
//! reads it with one load and takes no lock; while the mode is off it does nothing but that load.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::reliability::concurrency::AdmissionMode;
use crate::reliability::throttle::{self, Counts, ThrottlePolicy, ThrottleWindow};
use crate::reliability::verdict::Verdict;
use crate::telemetry::load::ThrottleSeries;

/// The chance in 2^-32 in the lower half, the mode above it: 0 off, 1 shadow, 2 on.
const SHADOW: u64 = 1 << 32;
const ON: u64 = 2 << 32;
/// A chance of 1.
const ONE: f64 = 4_294_967_296.0;

/// Attempts that one worker has counted, on cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
struct ThrottleShard {
    requests: AtomicU64,
    accepts: AtomicU64,
}

/// How much less one upstream is asked.
pub struct Throttle {
    word: AtomicU64,
    shards: Box<[ThrottleShard]>,
    series: Arc<ThrottleSeries>,
    window: Mutex<Option<ThrottleWindow>>,
}

impl Throttle {
    /// Off, for `workers` workers; it counts in `series`.
    pub(super) fn new(series: &Arc<ThrottleSeries>, workers: usize) -> Arc<Self> {
        Arc::new(Self {
            word: AtomicU64::new(0),
            shards: (0..workers.max(1)).map(|_| ThrottleShard::default()).collect(),
            series: Arc::clone(series),
            window: Mutex::default(),
        })
    }

    fn shard(&self, worker: usize) -> &ThrottleShard {
        // There is at least one shard.
        &self.shards[worker % self.shards.len()]
    }

    /// Is a request to be refused? `draw` is a number that was drawn, and only asked for where it matters.
    pub fn refuses(&self, worker: usize, draw: impl FnOnce() -> u64) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        let chance = word & (SHADOW - 1);
        if chance == 0 || draw() >> 32 >= chance {
            return false;
        }
        if word < ON {
            self.series.shadow_refused.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        self.series.refused.fetch_add(1, Ordering::Relaxed);
        self.shard(worker).requests.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// An attempt has ended; `status`: of its answer, where there is one.
    pub fn ended(&self, worker: usize, verdict: Verdict, status: Option<u16>) {
        if self.word.load(Ordering::Relaxed) == 0 {
            return;
        }
        if let Some(accepted) = throttle::accepts(verdict, status) {
            let shard = self.shard(worker);
            shard.requests.fetch_add(1, Ordering::Relaxed);
            shard.accepts.fetch_add(u64::from(accepted), Ordering::Relaxed);
        }
    }

    /// Decides the chance anew.
    pub(super) fn turn(&self, policy: &ThrottlePolicy, now: Instant) {
        if policy.mode == AdmissionMode::Off {
            if self.word.swap(0, Ordering::Relaxed) != 0 {
                *self.window.lock().unwrap_or_else(PoisonError::into_inner) = None;
                self.series.show(None);
            }
            return;
        }
        let taken = |of: fn(&ThrottleShard) -> &AtomicU64| -> u64 {
            self.shards.iter().map(|shard| of(shard).swap(0, Ordering::Relaxed)).sum()
        };
        let (requests, accepts) = (taken(|shard| &shard.requests), taken(|shard| &shard.accepts));
        let seen = self
            .window
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_with(|| ThrottleWindow::new(now))
            .count(Counts { requests, accepts }, now);
        let chance = throttle::chance(seen, policy.k);
        let mode = if policy.mode == AdmissionMode::On { ON } else { SHADOW };
        // Below 1, so it fits into the lower half.
        self.word.store(mode | (chance * ONE) as u64, Ordering::Relaxed);
        self.series.show(Some(chance));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Verdict = Verdict::Good;

    fn throttle(mode: AdmissionMode, turned_away: u64) -> Arc<Throttle> {
        let throttle = Throttle::new(&Arc::default(), 2);
        let policy = ThrottlePolicy { mode, ..ThrottlePolicy::default() };
        throttle.turn(&policy, Instant::now());
        (0..turned_away).for_each(|_| throttle.ended(0, GOOD, Some(503)));
        (0..100).for_each(|_| throttle.ended(1, GOOD, Some(200)));
        throttle.turn(&policy, Instant::now());
        throttle
    }

    #[test]
    fn it_refuses_by_the_chance_that_is_drawn() {
        // 300 asked, 100 taken: a third.
        let on = throttle(AdmissionMode::On, 200);
        assert!(on.refuses(0, || 0) && on.refuses(0, || u64::MAX / 4));
        assert!(!on.refuses(0, || u64::MAX / 2));
        assert_eq!(on.series.refused.load(Ordering::Relaxed), 2);
        assert!(!throttle(AdmissionMode::On, 100).refuses(0, || 0), "half of them were taken");
    }

    #[test]
    fn in_shadow_it_counts_and_off_it_does_not_even_that() {
        let shadow = throttle(AdmissionMode::Shadow, 200);
        assert!(!shadow.refuses(0, || 0));
        assert_eq!(shadow.series.shadow_refused.load(Ordering::Relaxed), 1);
        let off = throttle(AdmissionMode::Off, 200);
        assert!(!off.refuses(0, || panic!("nothing is drawn")));
    }
}
