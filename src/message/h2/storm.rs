//! How many frames a peer may send that ask for work and bring nothing.
//!
//! SETTINGS, PING, PRIORITY, empty frames, resets and streams beyond the limit cost their sender next to nothing. Each
//! takes one from an allowance that grows with time and with what is really done, so an application that cancels many
//! calls at once goes on, and a flood ends (CVE-2019-9511 to 9518, CVE-2023-44487, CVE-2024-27316).

use std::time::{Duration, Instant};

/// What may come at once: many times the streams of a connection.
const MOST: u32 = 2_000;
/// What comes back in a second.
const A_SECOND: u32 = 200;

/// The allowance of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Storm {
    left: u32,
    since: Instant,
}

impl Storm {
    /// A full allowance at `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self { left: MOST, since: now }
    }

    /// Time passes.
    pub(super) fn pass(&mut self, now: Instant) {
        let one = Duration::from_secs(1) / A_SECOND;
        let passed = now.saturating_duration_since(self.since);
        let back = (passed.as_nanos() / one.as_nanos()).min(u128::from(MOST)) as u32;
        if back == MOST {
            self.since = now;
        } else {
            self.since += one * back;
        }
        self.earn(back);
    }

    /// Something real was done: `frames` more may come that are not.
    pub(super) fn earn(&mut self, frames: u32) {
        self.left = self.left.saturating_add(frames).min(MOST);
    }

    /// As many idle frames more; false: they are too many.
    #[must_use]
    pub(super) fn spend(&mut self, frames: u32) -> bool {
        match self.left.checked_sub(frames) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_ends_and_a_steady_trickle_does_not() {
        let begin = Instant::now();
        let mut storm = Storm::new(begin);
        assert_eq!((0..10_000).filter(|_| storm.spend(1)).count(), MOST as usize);
        storm.pass(begin + Duration::from_secs(1));
        assert_eq!((0..10_000).filter(|_| storm.spend(1)).count(), A_SECOND as usize);
        let mut trickle = Storm::new(begin);
        for second in 1..10_000 {
            trickle.pass(begin + Duration::from_secs(second));
            assert!((0..A_SECOND).all(|_| trickle.spend(1)));
        }
    }

    #[test]
    fn time_that_is_looked_at_often_counts_in_whole() {
        let begin = Instant::now();
        let mut storm = Storm::new(begin);
        while storm.spend(1) {}
        for millis in (7..=1_000).step_by(7).chain([1_000]) {
            storm.pass(begin + Duration::from_millis(millis));
        }
        assert_eq!((0..10_000).filter(|_| storm.spend(1)).count(), A_SECOND as usize);
    }

    #[test]
    fn what_is_really_done_pays() {
        let mut storm = Storm::new(Instant::now());
        for _ in 0..100_000 {
            assert!(storm.spend(1) && storm.spend(1));
            storm.earn(2);
        }
    }
}
