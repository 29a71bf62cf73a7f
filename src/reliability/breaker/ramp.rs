//! Growing back after closing.

use std::time::{Duration, Instant};

use crate::reliability::backoff;

/// Growing back after closing.
#[derive(Debug)]
pub(super) struct Ramp {
    pub(super) until: Instant,
    /// The second that `admitted` counts.
    second: Instant,
    admitted: u32,
}

/// Attempts per second that a ramp never holds back: it is there to tame a crowd, and this many are none.
pub(super) const NO_CROWD: u32 = 10;

impl Ramp {
    /// Until `until`, from `now` on.
    pub(super) fn new(until: Instant, now: Instant) -> Self {
        Self { until, second: now, admitted: 0 }
    }

    /// Does this attempt pass? The share grows linearly from a tenth to all over `length`.
    pub(super) fn admits(&mut self, length: Duration, now: Instant, draw: u64) -> bool {
        if now.saturating_duration_since(self.second) >= Duration::from_secs(1) {
            self.second = now;
            self.admitted = 0;
        }
        self.admitted = self.admitted.saturating_add(1);
        let left = self.until.saturating_duration_since(now).as_secs_f64();
        let share = (1.0 - left / length.as_secs_f64().max(0.001)).max(0.1);
        self.admitted <= NO_CROWD || backoff::share(draw) <= share
    }
}
