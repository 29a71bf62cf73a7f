//! HDR histograms and their rolling windows. The only file that names hdrhistogram.
//!
//! Values are microseconds, 1 µs to 120 s with three significant digits; what is outside is recorded at the bound.
//! Windows are merged from exact intervals, never averaged. What is recorded and kept is counts by cell (`telemetry::cells`),
//! a histogram is only made of them where one is read: a full-size one takes 147 KiB.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use super::cells::{self, CellSum};
use super::packed::Packed;
use super::rings::{Every, Rings};
use crate::runtime::clock::Moment;

pub use super::cells::HIGHEST;
pub use super::recorder::Recorder;

fn fresh() -> Histogram<u64> {
    // The bounds are constants that the constructor accepts.
    Histogram::new_with_bounds(1, HIGHEST, 3).expect("1..=120e6 with 3 digits is a valid range")
}

fn add(histogram: &mut Histogram<u64>, packed: &Packed) {
    packed.each(|cell, count| {
        // Cannot fail: every cell lies within the bounds.
        let _ = histogram.record_n(cells::value(cell), count);
    });
}

/// All durations, and how many of them were over each limit. A limit is held to three significant digits, as all values
/// are: what lies in the same step as the limit is not over it.
pub type OverCounts = [u64; 7];

/// The cell that each limit of a budget falls into: warn and alert of p50, p95, p99.
#[derive(Clone, Copy)]
struct DurationLimits([u16; 6]);

impl DurationLimits {
    fn of(limits: &[Duration; 6]) -> Self {
        Self(limits.map(cells::of))
    }

    fn count(self, over: &mut OverCounts, cell: u16, count: u64) {
        over[0] += count;
        for (over, limit) in over.iter_mut().skip(1).zip(self.0) {
            *over += if cell > limit { count } else { 0 };
        }
    }
}

/// What was recorded, over each limit.
pub(super) fn over(recorded: &CellSum, limits: &[Duration; 6]) -> OverCounts {
    let (mut over, limits) = ([0; 7], DurationLimits::of(limits));
    recorded.iter().for_each(|(cell, count)| limits.count(&mut over, cell, count));
    over
}

/// The windows that are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatencyWindow {
    TenSeconds,
    Minute,
    FiveMinutes,
    Hour,
}

impl LatencyWindow {
    /// All of them, shortest first.
    pub const ALL: [Self; 4] = [Self::TenSeconds, Self::Minute, Self::FiveMinutes, Self::Hour];

    /// Its length in seconds.
    pub fn seconds(self) -> u64 {
        match self {
            Self::TenSeconds => 10,
            Self::Minute => 60,
            Self::FiveMinutes => 300,
            Self::Hour => 3_600,
        }
    }

    /// As in the API.
    pub fn label(self) -> &'static str {
        match self {
            Self::TenSeconds => "10s",
            Self::Minute => "1m",
            Self::FiveMinutes => "5m",
            Self::Hour => "1h",
        }
    }

    fn every(self) -> Every {
        match self {
            Self::TenSeconds => Every::Second,
            Self::Minute | Self::FiveMinutes => Every::Ten,
            Self::Hour => Every::Minute,
        }
    }
}

/// What was counted in one interval, packed.
#[derive(Clone, Debug)]
pub struct Interval {
    pub from: Instant,
    pub to: Instant,
    parts: Vec<Packed>,
}

/// The rolling windows of one series: seconds for 10 s, tens for 5 min, minutes for 1 h. Where a series' intervals take
/// much room, the older ones are joined: up to a minute of the last five, up to five of the last hour.
pub struct Rolling(Rings);

impl Rolling {
    /// Empty; its intervals end `apart` sooner than those of others that begin now.
    pub fn new(now: Instant, apart: Duration) -> Self {
        Self(Rings::new(now, apart))
    }

    /// Closes a second with what the shards recorded in it; it is empty afterwards. `room` is scratch.
    pub(super) fn turn(&mut self, recorded: &mut CellSum, room: &mut Vec<u8>, now: Instant) {
        self.0.turn(recorded, room, now);
    }

    fn within(&self, span: LatencyWindow, now: Instant) -> impl Iterator<Item = &Packed> {
        self.0.within(span.every(), Duration::from_secs(span.seconds()), now)
    }

    fn histogram(&self, span: LatencyWindow, now: Instant) -> Histogram<u64> {
        let mut sum = fresh();
        self.within(span, now).for_each(|packed| add(&mut sum, packed));
        sum
    }

    /// How much was recorded within `span` before `now`.
    pub fn count(&self, span: LatencyWindow, now: Instant) -> u64 {
        self.within(span, now).map(Packed::all).sum()
    }

    /// All that was recorded within `span` before `now`.
    pub fn merged(&self, span: LatencyWindow, now: Instant) -> Summary {
        if self.count(span, now) == 0 {
            return Summary { p99_is_only_max: true, ..Summary::default() };
        }
        Summary::of(&self.histogram(span, now))
    }

    /// The median of what was recorded within `span` before `now`; zero when that was nothing.
    pub fn median(&self, span: LatencyWindow, now: Instant) -> Duration {
        Duration::from_micros(self.histogram(span, now).value_at_quantile(0.5))
    }

    /// The last five minutes in steps of ten seconds, of up to a minute where they were joined, oldest first: when each
    /// ended, and what was over each limit.
    pub fn over(&self, limits: &[Duration; 6], now: Instant) -> Vec<(Instant, OverCounts)> {
        let limits = DurationLimits::of(limits);
        let count = |over: &mut OverCounts, packed: &Packed| {
            packed.each(|cell, count| limits.count(over, cell, count));
        };
        let closed = self.0.closed(Every::Ten).map(|(_, to, packed)| {
            let mut over = [0; 7];
            count(&mut over, packed);
            (to, over)
        });
        let mut all: Vec<_> = closed.collect();
        let mut open = [0; 7];
        self.0.open(Every::Ten).1.for_each(|packed| count(&mut open, packed));
        all.extend((open[0] > 0).then_some((now, open)));
        all
    }

    /// The one-minute intervals, longer ones where they were joined, the open one included.
    pub fn minutes(&self, now: Instant) -> Vec<Interval> {
        let closed = self.0.closed(Every::Minute);
        let mut all: Vec<_> =
            closed.map(|(from, to, packed)| Interval { from, to, parts: vec![packed.clone()] }).collect();
        let (from, open) = self.0.open(Every::Minute);
        let parts: Vec<_> = open.cloned().collect();
        all.extend((!parts.is_empty()).then_some(Interval { from, to: now, parts }));
        all
    }
}

/// What a window says, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Summary {
    /// Exchanges that ended within the window.
    pub count: u64,
    /// Median; absent without exchanges.
    pub p50_ms: Option<f64>,
    /// 90th percentile; absent without exchanges.
    pub p90_ms: Option<f64>,
    /// 95th percentile; absent without exchanges.
    pub p95_ms: Option<f64>,
    /// 99th percentile; absent without exchanges.
    pub p99_ms: Option<f64>,
    /// 99.9th percentile; absent without exchanges.
    pub p999_ms: Option<f64>,
    /// The longest exchange; absent without exchanges.
    pub max_ms: Option<f64>,
    /// The mean of all; absent without exchanges.
    pub mean_ms: Option<f64>,
    /// Below 100 exchanges a 99th percentile is just the maximum.
    pub p99_is_only_max: bool,
}

impl Summary {
    fn of(histogram: &Histogram<u64>) -> Self {
        let count = histogram.len();
        let ms = |micros: u64| (count > 0).then_some(micros as f64 / 1_000.0);
        let at = |quantile: f64| ms(histogram.value_at_quantile(quantile));
        Self {
            count,
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p95_ms: at(0.95),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: ms(histogram.max()),
            mean_ms: (count > 0).then_some(histogram.mean() / 1_000.0),
            p99_is_only_max: count < 100,
        }
    }
}

/// Writes intervals as an HdrHistogram log (version 1.3 of its format, V2 deflated), tagged by series. Values are
/// microseconds; the maximum column is in milliseconds.
pub fn interval_log(started: Moment, series: impl Iterator<Item = (String, Vec<Interval>)>) -> String {
    let mut text = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut builder = IntervalLogWriterBuilder::new();
    builder
        .add_comment("[Logged by Strop; values are microseconds]")
        .add_comment(
            "[Intervals are minutes; older ones of a series that takes much room are joined, up to five]",
        )
        .with_start_time(started.wall)
        .with_max_value_divisor(1_000.0);
    if let Ok(mut writer) = builder.begin_log_with(&mut text, &mut serializer) {
        for (tag, intervals) in series {
            for interval in intervals {
                let mut sum = fresh();
                interval.parts.iter().for_each(|packed| add(&mut sum, packed));
                let from = interval.from.saturating_duration_since(started.instant);
                let length = interval.to.saturating_duration_since(interval.from);
                // Writing to a Vec cannot fail.
                let _ = writer.write_histogram(&sum, from, length, Tag::new(&tag));
            }
        }
    }
    String::from_utf8(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
    use proptest::prelude::*;

    use super::*;
    use crate::runtime::clock;

    /// Latencies of a known shape, in microseconds: a fast hump, a slow one, and outliers.
    fn known() -> Vec<u64> {
        (0..10_000_u64)
            .map(|n| if n % 100 == 7 { 900_000 + n * 13 } else { 1_000 + (n * 7_919) % 50_000 })
            .collect()
    }

    #[test]
    fn a_dump_equals_an_offline_histogram_of_the_same_latencies() {
        let now = clock::now();
        let mut rolling = Rolling::new(now.instant, Duration::ZERO);
        let (mut recorder, mut sum, mut room) = (Recorder::default(), CellSum::default(), Vec::new());
        let mut offline = fresh();
        for (at, micros) in known().into_iter().enumerate() {
            recorder.record(Duration::from_micros(micros));
            offline.record(micros).expect("in range");
            if at % 1_000 == 999 {
                let second = now.instant + Duration::from_secs(at as u64 / 1_000 + 1);
                recorder.drain(&mut sum);
                rolling.turn(&mut sum, &mut room, second);
            }
        }
        let end = Moment { instant: now.instant + Duration::from_secs(10), wall: now.wall };
        let log = interval_log(now, [("all".to_owned(), rolling.minutes(end.instant))].into_iter());
        let mut dumped = fresh();
        for entry in IntervalLogIterator::new(log.as_bytes()) {
            if let LogEntry::Interval(interval) = entry.expect("a valid log") {
                let bytes = base64::engine::general_purpose::STANDARD
                    .decode(interval.encoded_histogram())
                    .expect("base64");
                let read: Histogram<u64> =
                    Deserializer::new().deserialize(&mut bytes.as_slice()).expect("a histogram");
                dumped.add(read).expect("same bounds");
            }
        }
        assert_eq!(dumped, offline);
        let summary = rolling.merged(LatencyWindow::Minute, end.instant);
        assert_eq!(summary.count, 10_000);
        assert_eq!(summary.p99_ms, Some(offline.value_at_quantile(0.99) as f64 / 1_000.0));
    }

    #[test]
    fn a_window_forgets_what_is_older() {
        let t0 = clock::instant();
        let mut rolling = Rolling::new(t0, Duration::ZERO);
        let mut sum = CellSum::default();
        sum.add(cells::of(Duration::from_millis(5)), 1);
        for second in 1..=30 {
            rolling.turn(&mut sum, &mut Vec::new(), t0 + Duration::from_secs(second));
        }
        let now = t0 + Duration::from_secs(30);
        assert_eq!(rolling.merged(LatencyWindow::TenSeconds, now).count, 0);
        assert_eq!(rolling.merged(LatencyWindow::Minute, now).count, 1);
        assert_eq!(rolling.merged(LatencyWindow::Hour, now).count, 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_window_is_what_an_offline_histogram_of_its_durations_is(
            seconds in prop::collection::vec(
                prop::collection::vec((0_u64..130_000_000, 1_usize..40), 0..6), 1..400)
        ) {
            let t0 = clock::instant();
            let (mut rolling, mut recorder) = (Rolling::new(t0, Duration::ZERO), Recorder::default());
            let (mut sum, mut room) = (CellSum::default(), Vec::new());
            let mut recorded = Vec::new();
            for (at, second) in seconds.iter().enumerate() {
                for (micros, times) in second {
                    (0..*times).for_each(|_| recorder.record(Duration::from_micros(*micros)));
                    recorded.push((at as u64 + 1, micros.clamp(&1, &HIGHEST), *times as u64));
                }
                recorder.drain(&mut sum);
                rolling.turn(&mut sum, &mut room, t0 + Duration::from_secs(at as u64 + 1));
            }
            let last = seconds.len() as u64;
            for span in LatencyWindow::ALL {
                // An interval that ended within the window is in it as a whole.
                let every = [1, 10, 60][span.every() as usize];
                let mut offline = fresh();
                for (second, micros, times) in &recorded {
                    let ended = second.div_ceil(every) * every;
                    if last.saturating_sub(ended) <= span.seconds() {
                        offline.record_n(**micros, *times).expect("in range");
                    }
                }
                let now = t0 + Duration::from_secs(last);
                prop_assert!(rolling.histogram(span, now).iter_recorded().eq(offline.iter_recorded()));
                prop_assert_eq!(rolling.merged(span, now), Summary::of(&offline));
                prop_assert_eq!(rolling.count(span, now), offline.len());
            }
        }
    }

    #[test]
    fn a_cell_is_a_bucket_of_the_histogram() {
        let histogram = fresh();
        for cell in 1..cells::CELLS as u16 {
            let value = cells::value(cell);
            assert_eq!((histogram.lowest_equivalent(value), cells::number(value)), (value, cell));
            assert_eq!(cells::number(histogram.highest_equivalent(value).min(HIGHEST)), cell);
        }
    }
}
