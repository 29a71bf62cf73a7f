//! HDR histograms and their rolling windows. The only file that names hdrhistogram.
//!
//! Values are microseconds, 1 µs to 120 s with three significant digits; what is outside is recorded at the bound.
//! Windows are merged from exact intervals, never averaged. Intervals are kept in the V2 format, which is a few
//! hundred bytes for a quiet second and not the 74 KiB of an open histogram.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer, V2Serializer};

use crate::runtime::clock::Moment;

/// The largest value, in microseconds: 120 s.
pub const HIGHEST: u64 = 120_000_000;

fn fresh() -> Histogram<u64> {
    // The bounds are constants that the constructor accepts.
    Histogram::new_with_bounds(1, HIGHEST, 3).expect("1..=120e6 with 3 digits is a valid range")
}

/// A histogram that goes round between a recorder and its windows; none where nothing is recorded.
pub type Spare = Option<Box<Histogram<u64>>>;

/// A histogram of durations that costs nothing until it is used.
#[derive(Debug, Default)]
pub struct Recorder(Option<Box<Histogram<u64>>>);

impl Recorder {
    /// Records one duration.
    pub fn record(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(HIGHEST).clamp(1, HIGHEST);
        // Cannot fail: the value lies within the bounds.
        let _ = self.0.get_or_insert_with(|| Box::new(fresh())).record(micros);
    }

    /// Takes what was recorded and leaves `spare` in its place, so that the next record allocates nothing.
    pub fn exchange(&mut self, spare: Spare) -> Spare {
        std::mem::replace(&mut self.0, spare)
    }
}

/// All durations, and how many of them were over each limit. A limit is held to three significant digits, as all values
/// are: what lies in the same step as the limit is not over it.
pub type Over = [u64; 7];

fn over(recorded: &Histogram<u64>, limits: &[Duration; 6]) -> Over {
    let limits = limits.map(|limit| {
        let micros = u64::try_from(limit.as_micros()).unwrap_or(HIGHEST).clamp(1, HIGHEST);
        recorded.highest_equivalent(micros)
    });
    let mut over = [0; 7];
    for step in recorded.iter_recorded() {
        let (count, value) = (step.count_since_last_iteration(), step.value_iterated_to());
        over[0] += count;
        for (over, limit) in over.iter_mut().skip(1).zip(limits) {
            *over += if value > limit { count } else { 0 };
        }
    }
    over
}

/// What was recorded, over each limit; `None`: nothing was.
pub(super) fn spare_over(recorded: &Spare, limits: &[Duration; 6]) -> Option<Over> {
    recorded.as_deref().filter(|recorded| !recorded.is_empty()).map(|recorded| over(recorded, limits))
}

/// The windows that are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// 10 s.
    TenSeconds,
    /// 1 min.
    Minute,
    /// 5 min.
    FiveMinutes,
    /// 1 h.
    Hour,
}

impl Span {
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
}

/// One interval, compact.
#[derive(Clone, Debug)]
pub struct Interval {
    /// When it began.
    pub from: Instant,
    /// When it ended.
    pub to: Instant,
    bytes: Vec<u8>,
}

/// What a ring adds up into the next one.
struct Ring {
    every: Duration,
    keep: usize,
    intervals: VecDeque<Interval>,
    open: Option<Box<Histogram<u64>>>,
    since: Instant,
}

impl Ring {
    fn new(every: u64, keep: usize, now: Instant) -> Self {
        Self { every: Duration::from_secs(every), keep, intervals: VecDeque::new(), open: None, since: now }
    }

    fn add(&mut self, recorded: &Histogram<u64>) {
        let open = self.open.get_or_insert_with(|| Box::new(fresh()));
        // Cannot fail: both have the same bounds.
        let _ = open.add(recorded);
    }

    fn turn(&mut self, now: Instant) {
        if now.saturating_duration_since(self.since) < self.every {
            return;
        }
        if let Some(open) = self.open.take().filter(|open| !open.is_empty()) {
            let mut bytes = Vec::new();
            // Writing to a Vec cannot fail, and the format holds every count.
            if V2Serializer::new().serialize(&open, &mut bytes).is_ok() {
                self.intervals.push_back(Interval { from: self.since, to: now, bytes });
            }
        }
        let oldest = self.every * u32::try_from(self.keep).unwrap_or(u32::MAX);
        while self.intervals.front().is_some_and(|first| now.saturating_duration_since(first.to) > oldest) {
            self.intervals.pop_front();
        }
        self.since = now;
    }
}

/// The rolling windows of one series: seconds for 10 s, tens for 5 min, minutes for 1 h.
pub struct Rolling {
    rings: [Ring; 3],
}

impl Rolling {
    /// Empty.
    pub fn new(now: Instant) -> Self {
        Self { rings: [Ring::new(1, 10, now), Ring::new(10, 30, now), Ring::new(60, 60, now)] }
    }

    /// Adds what a shard recorded; returns the histogram, emptied, for the next time. One that recorded nothing goes back
    /// to the allocator.
    pub fn add(&mut self, recorded: Spare) -> Spare {
        let mut recorded = recorded.filter(|recorded| !recorded.is_empty())?;
        self.rings.iter_mut().for_each(|ring| ring.add(&recorded));
        recorded.reset();
        Some(recorded)
    }

    /// Closes intervals that are over.
    pub fn turn(&mut self, now: Instant) {
        self.rings.iter_mut().for_each(|ring| ring.turn(now));
    }

    /// All that was recorded within `span` before `now`.
    pub fn merged(&self, span: Span, now: Instant) -> Summary {
        let ring = match span {
            Span::TenSeconds => &self.rings[0],
            Span::Minute | Span::FiveMinutes => &self.rings[1],
            Span::Hour => &self.rings[2],
        };
        let mut sum = fresh();
        if let Some(open) = &ring.open {
            // Cannot fail: both have the same bounds.
            let _ = sum.add(&**open);
        }
        let length = Duration::from_secs(span.seconds());
        let mut reader = Deserializer::new();
        for interval in &ring.intervals {
            if now.saturating_duration_since(interval.from) <= length + ring.every
                && let Ok(read) = reader.deserialize::<u64, _>(&mut interval.bytes.as_slice())
            {
                let _ = sum.add(&read);
            }
        }
        Summary::of(&sum)
    }

    /// The last five minutes in steps of ten seconds, oldest first: when each ended, and what was over each limit.
    pub fn over(&self, limits: &[Duration; 6], now: Instant) -> Vec<(Instant, Over)> {
        let ring = &self.rings[1];
        let mut reader = Deserializer::new();
        let mut read = |interval: &Interval| {
            let recorded = reader.deserialize::<u64, _>(&mut interval.bytes.as_slice()).ok()?;
            Some((interval.to, over(&recorded, limits)))
        };
        let mut all: Vec<_> = ring.intervals.iter().filter_map(&mut read).collect();
        all.extend(ring.open.as_deref().map(|open| (now, over(open, limits))));
        all
    }

    /// The one-minute intervals, the open one included.
    pub fn minutes(&self, now: Instant) -> Vec<Interval> {
        let ring = &self.rings[2];
        let mut all: Vec<Interval> = ring.intervals.iter().cloned().collect();
        if let Some(open) = ring.open.as_deref().filter(|open| !open.is_empty()) {
            let mut bytes = Vec::new();
            if V2Serializer::new().serialize(open, &mut bytes).is_ok() {
                all.push(Interval { from: ring.since, to: now, bytes });
            }
        }
        all
    }
}

/// What a window says, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub struct Summary {
    /// Exchanges.
    pub count: u64,
    /// Median; absent without exchanges.
    pub p50_ms: Option<f64>,
    /// 90th percentile.
    pub p90_ms: Option<f64>,
    /// 95th percentile.
    pub p95_ms: Option<f64>,
    /// 99th percentile.
    pub p99_ms: Option<f64>,
    /// 99.9th percentile.
    pub p999_ms: Option<f64>,
    /// The longest.
    pub max_ms: Option<f64>,
    /// The mean.
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
pub fn interval_log(started: Moment, series: &[(String, Vec<Interval>)]) -> String {
    let mut text = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut builder = IntervalLogWriterBuilder::new();
    builder
        .add_comment("[Logged by Strop; values are microseconds]")
        .with_start_time(started.wall)
        .with_max_value_divisor(1_000.0);
    if let Ok(mut writer) = builder.begin_log_with(&mut text, &mut serializer) {
        let mut reader = Deserializer::new();
        for (tag, intervals) in series {
            for interval in intervals {
                let Ok(read) = reader.deserialize::<u64, _>(&mut interval.bytes.as_slice()) else { continue };
                let from = interval.from.saturating_duration_since(started.instant);
                let length = interval.to.saturating_duration_since(interval.from);
                // Writing to a Vec cannot fail.
                let _ = writer.write_histogram(&read, from, length, Tag::new(tag));
            }
        }
    }
    String::from_utf8(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

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
        let mut rolling = Rolling::new(now.instant);
        let mut recorder = Recorder::default();
        let mut spare = None;
        let mut offline = fresh();
        for (at, micros) in known().into_iter().enumerate() {
            recorder.record(Duration::from_micros(micros));
            offline.record(micros).expect("in range");
            if at % 1_000 == 999 {
                let second = now.instant + Duration::from_secs(at as u64 / 1_000 + 1);
                spare = rolling.add(recorder.exchange(spare));
                rolling.turn(second);
            }
        }
        let end = Moment { instant: now.instant + Duration::from_secs(10), wall: now.wall };
        let log = interval_log(now, &[("all".to_owned(), rolling.minutes(end.instant))]);
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
        let summary = rolling.merged(Span::Minute, end.instant);
        assert_eq!(summary.count, 10_000);
        assert_eq!(summary.p99_ms, Some(offline.value_at_quantile(0.99) as f64 / 1_000.0));
    }

    #[test]
    fn a_window_forgets_what_is_older() {
        let t0 = clock::instant();
        let mut rolling = Rolling::new(t0);
        let mut recorder = Recorder::default();
        recorder.record(Duration::from_millis(5));
        rolling.add(recorder.exchange(None));
        for second in 1..=30 {
            rolling.turn(t0 + Duration::from_secs(second));
        }
        let now = t0 + Duration::from_secs(30);
        assert_eq!(rolling.merged(Span::TenSeconds, now).count, 0);
        assert_eq!(rolling.merged(Span::Minute, now).count, 1);
        assert_eq!(rolling.merged(Span::Hour, now).count, 1);
    }
}
