//! How many exchanges were over the limits of a performance budget, second by second, for five minutes.
//!
//! Counted from the histograms once a second, off the request path, so any limit will do. When the limits change, the
//! last five minutes are counted anew from what the histograms kept, in steps of ten seconds: nothing is forgotten.

use std::time::{Duration, Instant};

use super::cells::CellSum;
use super::latency::{OverCounts, Rolling, over};
use super::recent::Recent;
use crate::config::Until;

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
    seconds: Recent,
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
        self.seconds = Recent::default();
        let kept = match yardstick {
            None => Vec::new(),
            Some(Yardstick { until: Until::LastByte, limits }) => total.over(&limits, now),
            Some(Yardstick { until: Until::FirstByte, limits }) => first.over(&limits, now),
        };
        kept.into_iter().for_each(|(at, over)| self.seconds.push(at, over));
    }

    pub(super) fn yardstick(&self) -> Option<Yardstick> {
        self.yardstick
    }

    /// Closes a second with what the shards recorded in it.
    pub(super) fn turn(&mut self, total: &CellSum, first: &CellSum, now: Instant) {
        let Some(Yardstick { until, limits }) = self.yardstick else { return };
        let recorded = if until == Until::LastByte { total } else { first };
        self.seconds.push(now, over(recorded, &limits));
    }

    /// All exchanges of the last `span`, and how many were over each limit; `None`: they are not measured.
    pub(super) fn within(&self, span: Duration, now: Instant) -> Option<(Yardstick, OverCounts)> {
        let yardstick = self.yardstick?;
        Some((yardstick, self.seconds.within(span, now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock;
    use crate::telemetry::cells;
    use crate::telemetry::recent::LONGEST;

    fn yardstick(millis: [u64; 6], until: Until) -> Option<Yardstick> {
        Some(Yardstick { until, limits: millis.map(Duration::from_millis) })
    }

    fn within(slow: &Slow, now: Instant) -> Option<OverCounts> {
        slow.within(LONGEST, now).map(|(_, over)| over)
    }

    /// Durations of so many milliseconds each.
    fn recorded(millis: &[u64]) -> CellSum {
        let mut sum = CellSum::default();
        millis.iter().for_each(|ms| sum.add(cells::of(Duration::from_millis(*ms)), 1));
        sum
    }

    #[test]
    fn any_limit_is_counted_and_what_meets_it_is_not_over_it() {
        let t0 = clock::instant();
        let rolling = Rolling::new(t0, Duration::ZERO);
        let mut slow = Slow::default();
        assert_eq!(within(&slow, t0), None, "nobody asked for it");
        slow.measure(
            yardstick([137, 250, 400, 1_000, 5_000, 8_000], Until::LastByte),
            &rolling,
            &rolling,
            t0,
        );
        slow.turn(&recorded(&[100, 137, 138, 251, 999, 1_002, 9_000]), &recorded(&[1]), t0);
        assert_eq!(within(&slow, t0), Some([7, 5, 4, 3, 2, 1, 1]));
        assert_eq!(within(&slow, t0 + LONGEST), Some([0; 7]), "what is older is forgotten");
    }

    #[test]
    fn another_limit_holds_for_the_last_minutes_too() {
        let t0 = clock::instant();
        let (mut total, first) = (Rolling::new(t0, Duration::ZERO), Rolling::new(t0, Duration::ZERO));
        let mut slow = Slow::default();
        slow.measure(yardstick([500; 6], Until::LastByte), &total, &first, t0);
        for second in 1..=30 {
            let mut sum = recorded(&[300, 700]);
            let now = t0 + Duration::from_secs(second);
            slow.turn(&sum, &CellSum::default(), now);
            total.turn(&mut sum, &mut Vec::new(), now);
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
