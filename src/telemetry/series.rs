//! The numbers of one route and its upstream, sharded by worker.
//!
//! A worker records into its own shard behind a lock that only the once-a-second summing and a scrape share with it.
//! Labels are bounded: methods and statuses are closed sets, names come from the config.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::cells::CellSum;
use super::clients::Clients;
use super::history::TrafficHistory;
use super::labels::{SeriesKey, StandIn};
use super::latency::{Interval, LatencyWindow, OverCounts, Recorder, Rolling, Summary};
use super::load::RateLimitSeries;
use super::recent::Recent;
use super::slow::{Slow, Yardstick};
use crate::reliability::usual;

pub use super::labels::{Direction, ExchangeOutcome, Method};
pub use super::totals::{Exemplar, Finished, Totals};
pub use super::upstreams::{TunnelEnd, UpstreamSeries};

#[derive(Default)]
struct RouteInner {
    total: Recorder,
    first_byte: Recorder,
    sums: Totals,
    clients: Clients,
}

/// One worker's share, on cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
struct SeriesShard {
    started: AtomicU64,
    finished: AtomicU64,
    inner: Mutex<RouteInner>,
}

/// The numbers of one route and its upstream.
pub struct Series {
    /// The route, upstream and direction that it counts.
    pub key: SeriesKey,
    /// Nanoseconds; zero: not known.
    usual: AtomicU64,
    /// Label `http_route` of OpenTelemetry's metrics: the route's template, else its name.
    http_route: Mutex<Arc<str>>,
    shards: Box<[SeriesShard]>,
    rolling: Mutex<RollingWindows>,
    stand_ins: Mutex<Vec<(StandInKey, u64)>>,
    /// Where its clients may ask so often and no more.
    pub rate_limit: Arc<RateLimitSeries>,
}

/// What stood in, why, and as what the exchange is counted: closed sets all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandInKey {
    pub by: StandIn,
    /// The label of the refusal, or `upstream_5xx`.
    pub reason: &'static str,
    pub outcome: ExchangeOutcome,
}

/// What is summed up once a second.
struct RollingWindows {
    total: Rolling,
    first_byte: Rolling,
    outcomes: Outcomes,
    slow: Slow,
}

/// Counts by outcome, second by second, for the last five minutes.
#[derive(Default)]
struct Outcomes {
    seconds: Recent,
    last: [u64; 7],
}

impl Outcomes {
    /// Closes a second; how many ended in it.
    fn turn(&mut self, now: Instant, sums: [u64; 7]) -> [u64; 7] {
        let mut delta = [0; 7];
        for ((delta, now), before) in delta.iter_mut().zip(sums).zip(self.last) {
            *delta = now - before;
        }
        self.last = sums;
        self.seconds.push(now, delta);
        delta
    }
}

/// Where one series after the other is summed up.
#[derive(Default)]
pub(super) struct SumScratch {
    total: CellSum,
    first_byte: CellSum,
    room: Vec<u8>,
}

impl Series {
    /// `nth`: of all series; neighbours close their minutes at different seconds.
    pub(super) fn new(key: SeriesKey, nth: usize, workers: usize, now: Instant) -> Self {
        let apart = Duration::from_secs(nth as u64 % 60);
        let shards: Box<[SeriesShard]> = (0..workers.max(1)).map(|_| SeriesShard::default()).collect();
        let rolling = Mutex::new(RollingWindows {
            total: Rolling::new(now, apart),
            first_byte: Rolling::new(now, apart),
            outcomes: Outcomes::default(),
            slow: Slow::default(),
        });
        Self {
            http_route: Mutex::new(key.0.text()),
            key,
            usual: AtomicU64::new(0),
            shards,
            rolling,
            stand_ins: Mutex::default(),
            rate_limit: Arc::default(),
        }
    }

    /// The median time to the first byte while all was well; `None`: not known.
    pub fn usual(&self) -> Option<Duration> {
        let nanos = self.usual.load(Ordering::Relaxed);
        (nanos > 0).then(|| Duration::from_nanos(nanos))
    }

    /// Does it learn its usual time in this turn? See [`usual::is_due`].
    pub fn learns_at(&self, turn: u64) -> bool {
        usual::is_due(self.usual(), turn)
    }

    /// Learns the usual time from the last five minutes.
    pub fn learn_usual(&self, now: Instant) {
        let (known, span) = (self.usual(), LatencyWindow::FiveMinutes);
        let learnt = {
            let rolling = self.rolling.lock().unwrap_or_else(PoisonError::into_inner);
            let first_byte = &rolling.first_byte;
            usual::learn(known, first_byte.count(span, now), || first_byte.median(span, now))
        };
        if let Some(median) = learnt {
            // At most 120 s.
            self.usual.store(median.as_nanos() as u64, Ordering::Relaxed);
        }
    }

    /// Label `http_route` of OpenTelemetry's metrics: the route's template, else its name.
    pub fn http_route(&self) -> Arc<str> {
        Arc::clone(&self.http_route.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set_http_route(&self, label: Arc<str>) {
        *self.http_route.lock().unwrap_or_else(PoisonError::into_inner) = label;
    }

    fn shard(&self, worker: usize) -> &SeriesShard {
        // There is at least one shard.
        &self.shards[worker % self.shards.len()]
    }

    /// An exchange has begun.
    pub fn started(&self, worker: usize) {
        self.shard(worker).started.fetch_add(1, Ordering::Relaxed);
    }

    /// An exchange has ended.
    pub fn finished(&self, done: &Finished) {
        let shard = self.shard(done.worker);
        shard.finished.fetch_add(1, Ordering::Relaxed);
        let mut inner = shard.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.total.record(done.total);
        if let Some(first_byte) = done.first_byte {
            inner.first_byte.record(first_byte);
        }
        inner.sums.count(done);
        inner.clients.count(done.client, done.outcome);
    }

    /// Something stood in for the upstream's answer to an exchange that has ended.
    pub fn stood_in(&self, by: StandIn, reason: &'static str, outcome: ExchangeOutcome) {
        let key = StandInKey { by, reason, outcome };
        let mut all = self.stand_ins.lock().unwrap_or_else(PoisonError::into_inner);
        match all.iter_mut().find(|(known, _)| *known == key) {
            Some((_, count)) => *count += 1,
            None => all.push((key, 1)),
        }
    }

    /// Answers that something stood in for, since the start.
    pub fn stand_ins(&self) -> Vec<(StandInKey, u64)> {
        self.stand_ins.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Exchanges that have begun and not ended.
    pub fn in_flight(&self) -> u64 {
        // Finished is read first: an exchange that ends in between is shown as in flight, never as minus one.
        let finished: u64 = self.shards.iter().map(|shard| shard.finished.load(Ordering::Acquire)).sum();
        let started: u64 = self.shards.iter().map(|shard| shard.started.load(Ordering::Acquire)).sum();
        started.saturating_sub(finished)
    }

    /// Sums since the start, over all workers.
    pub fn totals(&self) -> Totals {
        let mut sum = Totals::default();
        for shard in &self.shards {
            sum.add(&shard.inner.lock().unwrap_or_else(PoisonError::into_inner).sums);
        }
        sum
    }

    /// Ended exchanges since the start by outcome, over all workers.
    pub fn outcomes(&self) -> [u64; 7] {
        self.shards.iter().fold([0; 7], |mut sum, shard| {
            let inner = shard.inner.lock().unwrap_or_else(PoisonError::into_inner);
            sum.iter_mut().zip(inner.sums.outcomes).for_each(|(sum, more)| *sum += more);
            sum
        })
    }

    /// Clients that were served, and that got failures, since the last call. One asks: the control task.
    pub fn clients(&self) -> Clients {
        self.shards.iter().fold(Clients::default(), |mut sum, shard| {
            let mut inner = shard.inner.lock().unwrap_or_else(PoisonError::into_inner);
            sum.add(&std::mem::take(&mut inner.clients));
            sum
        })
    }

    /// Moves what the shards have recorded into the windows and into the history.
    pub(super) fn rotate(&self, scratch: &mut SumScratch, history: &mut TrafficHistory, now: Instant) {
        let mut rolling = self.rolling.lock().unwrap_or_else(PoisonError::into_inner);
        let RollingWindows { total, first_byte, outcomes, slow } = &mut *rolling;
        let mut sums = [0; 7];
        for shard in &self.shards {
            let mut inner = shard.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.total.drain(&mut scratch.total);
            inner.first_byte.drain(&mut scratch.first_byte);
            sums.iter_mut().zip(inner.sums.outcomes).for_each(|(sum, more)| *sum += more);
        }
        slow.turn(&scratch.total, &scratch.first_byte, now);
        let ended = outcomes.turn(now, sums);
        history.add(&self.key, &scratch.total, ended);
        total.turn(&mut scratch.total, &mut scratch.room, now);
        first_byte.turn(&mut scratch.first_byte, &mut scratch.room, now);
    }

    /// What it is measured against; `None`: against nothing.
    pub fn yardstick(&self) -> Option<Yardstick> {
        self.rolling.lock().unwrap_or_else(PoisonError::into_inner).slow.yardstick()
    }

    /// What a window says of totals and of first bytes.
    pub fn window(&self, span: LatencyWindow, now: Instant) -> (Summary, Summary) {
        let rolling = self.rolling.lock().unwrap_or_else(PoisonError::into_inner);
        (rolling.total.merged(span, now), rolling.first_byte.merged(span, now))
    }

    /// How many exchanges ended within `span`.
    pub fn ended_within(&self, span: LatencyWindow, now: Instant) -> u64 {
        self.rolling.lock().unwrap_or_else(PoisonError::into_inner).total.count(span, now)
    }

    /// Ended exchanges by outcome within `span`, at most five minutes.
    pub fn outcomes_within(&self, span: Duration, now: Instant) -> [u64; 7] {
        self.rolling.lock().unwrap_or_else(PoisonError::into_inner).outcomes.seconds.within(span, now)
    }

    /// Measures against these limits from now on; `None`: not at all.
    pub fn measure(&self, yardstick: Option<Yardstick>, now: Instant) {
        let mut rolling = self.rolling.lock().unwrap_or_else(PoisonError::into_inner);
        let RollingWindows { total, first_byte, slow, .. } = &mut *rolling;
        slow.measure(yardstick, total, first_byte, now);
    }

    /// Exchanges within `span`, at most five minutes, and how many were over which limit; `None`: they are not measured.
    pub fn slow_within(&self, span: Duration, now: Instant) -> Option<(Yardstick, OverCounts)> {
        self.rolling.lock().unwrap_or_else(PoisonError::into_inner).slow.within(span, now)
    }

    pub(super) fn intervals(&self, now: Instant) -> Vec<Interval> {
        self.rolling.lock().unwrap_or_else(PoisonError::into_inner).total.minutes(now)
    }

    pub(super) fn tag(&self) -> String {
        format!("{}.{}.{}", self.key.2.label(), self.key.0, self.key.1)
    }
}
