//! Has this worker run all the time?
//!
//! A process that was stopped, or that got no processor, finds its deadlines passed and its connections given
//! up by their peers; neither says anything of the peers. The worker beats once a second; a beat that comes
//! late shows a stall.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// The time between two beats.
pub const BEAT: Duration = Duration::from_secs(1);
/// A beat that is later than this shows a stall: far beyond what a busy worker is late.
const LATE: Duration = Duration::from_secs(2);

/// The beats of one worker.
#[derive(Debug)]
pub struct Pulse {
    last: Cell<Instant>,
    /// When the last stall was over.
    stalled: Cell<Option<Instant>>,
}

impl Pulse {
    /// Beats first at `now`.
    pub fn new(now: Instant) -> Self {
        Self { last: Cell::new(now), stalled: Cell::new(None) }
    }

    /// Notes that the worker runs at `now`.
    pub fn beat(&self, now: Instant) {
        if self.is_late(now) {
            self.stalled.set(Some(now));
        }
        self.last.set(now);
    }

    fn is_late(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last.get()) > BEAT + LATE
    }

    /// Did the worker stand still at some time between `since` and `now`?
    pub fn stood_still(&self, since: Instant, now: Instant) -> bool {
        self.is_late(now) || self.stalled.get().is_some_and(|over| over >= since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock;

    #[test]
    fn a_stall_is_seen_before_and_after_the_beat_that_follows_it() {
        let t0 = clock::instant();
        let pulse = Pulse::new(t0);
        let at = |seconds: u64| t0 + Duration::from_secs(seconds);
        pulse.beat(at(1));
        assert!(!pulse.stood_still(t0, at(2)));
        assert!(pulse.stood_still(at(1), at(76)), "the beat has not come yet");
        pulse.beat(at(76));
        assert!(pulse.stood_still(at(1), at(77)));
        assert!(!pulse.stood_still(at(77), at(78)), "what began after it is judged again");
    }
}
