//! How many exchanges were over the limits of a performance budget, second by second, for five minutes.
//!
//! Counted from the histograms once a second, off the request path, so any limit will do. When the limits change, the
//! last five minutes are counted anew from what the histograms kept, in steps of ten seconds: nothing is forgotten.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::latency::{Over, Rolling, Spare, spare_over};
use crate::config::Until;

/// The longest window.
const LONGEST: Duration = Duration::from_secs(300);

/// What is measured, and against what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Yardstick {
    /// Up to which byte.
    pub until: Until,
    /// Warn and alert of p50, p95, p99.
    pub limits: [Duration; 6],
}

/// The counts of one series.
#[derive(Default)]
pub(super) struct Slow {
    yardstick: Option<Yardstick>,
    seconds: VecDeque<(Instant, Over)>,
    /// Of the second that is not closed yet.
    open: Over,
}

impl Slow {
    /// Takes another yardstick, and counts what the histograms kept by it.
    pub(super) fn measure(
        &mut self,
        yardstick: Option<Yardstick>,
        total: &Rolling,
        first: &Rolling,
        now: Instant,
    ) {
        if self.yardstick == yardstick {
            return;
        }
        self.yardstick = yardstick;
        self.seconds = match yardstick {
            None => VecDeque::new(),
            Some(Yardstick { until: Until::LastByte, limits }) => total.over(&limits, now).into(),
            Some(Yardstick { until: Until::FirstByte, limits }) => first.over(&limits, now).into(),
        };
    }

    /// Counts what a shard recorded since the last second.
    pub(super) fn count(&mut self, total: &Spare, first: &Spare) {
        let Some(Yardstick { until, limits }) = self.yardstick else { return };
        let recorded = if until == Until::LastByte { total } else { first };
        let more = spare_over(recorded, &limits).unwrap_or_default();
        self.open.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
    }

    /// Closes the second.
    pub(super) fn turn(&mut self, now: Instant) {
        let counted = std::mem::take(&mut self.open);
        if counted[0] > 0 {
            self.seconds.push_back((now, counted));
        }
        while self.seconds.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) >= LONGEST) {
            self.seconds.pop_front();
        }
    }

    /// All exchanges of the last `span`, and how many were over each limit; `None`: they are not measured.
    pub(super) fn within(&self, span: Duration, now: Instant) -> Option<(Yardstick, Over)> {
        let yardstick = self.yardstick?;
        let young = self.seconds.iter().rev().take_while(|(at, _)| now.saturating_duration_since(*at) < span);
        let sum = young.fold([0; 7], |mut sum, (_, more)| {
            sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            sum
        });
        Some((yardstick, sum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock;
    use crate::telemetry::latency::Recorder;

    fn yardstick(millis: [u64; 6], until: Until) -> Option<Yardstick> {
        Some(Yardstick { until, limits: millis.map(Duration::from_millis) })
    }

    fn within(slow: &Slow, now: Instant) -> Option<Over> {
        slow.within(LONGEST, now).map(|(_, over)| over)
    }

    /// A histogram of so many milliseconds each.
    fn recorded(millis: &[u64]) -> Spare {
        let mut recorder = Recorder::default();
        millis.iter().for_each(|ms| recorder.record(Duration::from_millis(*ms)));
        recorder.exchange(None)
    }

    #[test]
    fn any_limit_is_counted_and_what_meets_it_is_not_over_it() {
        let t0 = clock::instant();
        let rolling = Rolling::new(t0);
        let mut slow = Slow::default();
        assert_eq!(within(&slow, t0), None, "nobody asked for it");
        slow.measure(
            yardstick([137, 250, 400, 1_000, 5_000, 8_000], Until::LastByte),
            &rolling,
            &rolling,
            t0,
        );
        slow.count(&recorded(&[100, 137, 138, 251, 999, 1_002, 9_000]), &recorded(&[1]));
        slow.turn(t0);
        assert_eq!(within(&slow, t0), Some([7, 5, 4, 3, 2, 1, 1]));
        assert_eq!(within(&slow, t0 + LONGEST), Some([0; 7]), "what is older is forgotten");
    }

    #[test]
    fn another_limit_holds_for_the_last_minutes_too() {
        let t0 = clock::instant();
        let (mut total, first) = (Rolling::new(t0), Rolling::new(t0));
        let mut slow = Slow::default();
        slow.measure(yardstick([500; 6], Until::LastByte), &total, &first, t0);
        for second in 1..=30 {
            let spare = recorded(&[300, 700]);
            slow.count(&spare, &None);
            total.add(spare);
            let now = t0 + Duration::from_secs(second);
            total.turn(now);
            slow.turn(now);
        }
        let now = t0 + Duration::from_secs(30);
        assert_eq!(within(&slow, now), Some([60, 30, 30, 30, 30, 30, 30]));
        slow.measure(yardstick([200; 6], Until::LastByte), &total, &first, now);
        assert_eq!(within(&slow, now), Some([60; 7]), "none is lost, none is counted twice");
        slow.measure(yardstick([200; 6], Until::FirstByte), &total, &first, now);
        assert_eq!(within(&slow, now), Some([0; 7]), "heads are counted by themselves");
        slow.measure(None, &total, &first, now);
        assert_eq!(within(&slow, now), None);
    }
}
