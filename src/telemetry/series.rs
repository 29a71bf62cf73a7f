//! The numbers of one route and its upstream, sharded by worker.
//!
//! A worker records into its own shard behind a lock that only the once-a-second summing and a scrape share with it.
//! Labels are bounded: methods and statuses are closed sets, names come from the config.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::SeriesKey;
use super::latency::{Interval, Recorder, Rolling, Span, Summary};

pub use super::upstreams::{TunnelEnd, UpstreamSeries};

/// Which way an exchange goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From clients to the backend.
    Ingress,
    /// From the application to its dependencies.
    Egress,
}

impl Direction {
    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

/// `http.request.method` of OpenTelemetry: unknown ones are `_OTHER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
    Connect,
    Trace,
    Other,
}

impl Method {
    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Connect => "CONNECT",
            Self::Trace => "TRACE",
            Self::Other => "_OTHER",
        }
    }
}

/// How an exchange ended, seen by the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 1xx–3xx.
    Ok,
    /// 4xx.
    ClientError,
    /// 5xx of the upstream.
    ServerError,
    /// Our own refusal: breaker, cap.
    Refused,
    /// Nothing came in time.
    Timeout,
    /// No connection, a reset, nonsense, a body that broke off.
    UpstreamFailed,
    /// The client left; no error of anybody's service.
    ClientGone,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Ok,
        Self::ClientError,
        Self::ServerError,
        Self::Refused,
        Self::Timeout,
        Self::UpstreamFailed,
        Self::ClientGone,
    ];

    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ClientError => "client_error",
            Self::ServerError => "server_error",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::UpstreamFailed => "upstream_failed",
            Self::ClientGone => "client_gone",
        }
    }

    /// Does it count against the service (semantics of `sre_error_rate`)?
    pub fn is_failure(self) -> bool {
        match self {
            Self::ServerError | Self::Refused | Self::Timeout | Self::UpstreamFailed => true,
            Self::Ok | Self::ClientError | Self::ClientGone => false,
        }
    }
}

/// What an exchange tells at its end.
#[derive(Debug)]
pub struct Finished {
    /// Whose shard.
    pub worker: usize,
    /// What was asked.
    pub method: Method,
    /// `None`: there was no answer.
    pub status: Option<u16>,
    /// How it ended.
    pub outcome: Outcome,
    /// To the final head.
    pub first_byte: Option<Duration>,
    /// To the last byte.
    pub total: Duration,
    /// Of the request's body.
    pub bytes_in: u64,
    /// Of the answer's body.
    pub bytes_out: u64,
    /// For exemplars.
    pub trace_id: Option<[u8; 16]>,
    /// Longer than the slow limit.
    pub slow: bool,
    /// When it ended.
    pub now: Instant,
}

/// Upper bounds of `http_request_duration_ms`, milliseconds: the guide's targets and alert thresholds among them.
pub const MS_BOUNDS: [f64; 17] = [
    1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_000.0, 2_500.0, 3_000.0, 5_000.0,
    8_000.0, 10_000.0, 30_000.0,
];
/// Upper bounds of OpenTelemetry's `http.server.request.duration`, seconds.
pub const SECOND_BOUNDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// The trace of one request that fell into a bucket.
#[derive(Clone, Copy, Debug)]
pub struct Exemplar {
    /// W3C trace id.
    pub trace_id: [u8; 16],
    /// Seconds.
    pub value: f64,
}

/// (method, status) pairs told apart; more are counted with status 0.
const MOST_PAIRS: usize = 64;

/// Sums since the start.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// By method and status; status 0: none, or one of too many.
    pub requests: Vec<((Method, u16), u64)>,
    /// By outcome, in the order of [`Outcome::ALL`].
    pub outcomes: [u64; 7],
    /// Not cumulative; the last one is beyond all bounds.
    pub ms: [u64; 18],
    /// Not cumulative; the last one is beyond all bounds.
    pub seconds: [u64; 15],
    /// Of all durations.
    pub sum: Duration,
    /// Longer than the slow limit.
    pub slow: u64,
    /// Bytes of request bodies.
    pub bytes_in: u64,
    /// Bytes of answers' bodies.
    pub bytes_out: u64,
    /// The last trace of each bucket of `seconds`.
    pub exemplars: [Option<Exemplar>; 15],
}

impl Totals {
    fn count(&mut self, done: &Finished) {
        let key = (done.method, done.status.unwrap_or(0));
        let full = self.requests.len() >= MOST_PAIRS;
        match self.requests.iter_mut().find(|(known, _)| *known == key) {
            Some((_, count)) => *count += 1,
            None if full => self.count_other(done.method),
            None => self.requests.push((key, 1)),
        }
        self.outcomes[done.outcome as usize] += 1;
        let seconds = done.total.as_secs_f64();
        self.ms[MS_BOUNDS.partition_point(|bound| *bound < seconds * 1_000.0)] += 1;
        let bucket = SECOND_BOUNDS.partition_point(|bound| *bound < seconds);
        self.seconds[bucket] += 1;
        if let Some(trace_id) = done.trace_id {
            self.exemplars[bucket] = Some(Exemplar { trace_id, value: seconds });
        }
        self.sum += done.total;
        self.slow += u64::from(done.slow);
        self.bytes_in += done.bytes_in;
        self.bytes_out += done.bytes_out;
    }

    fn count_other(&mut self, method: Method) {
        match self.requests.iter_mut().find(|(known, _)| *known == (method, 0)) {
            Some((_, count)) => *count += 1,
            None => self.requests.push(((method, 0), 1)),
        }
    }

    fn add(&mut self, other: &Self) {
        for (key, count) in &other.requests {
            match self.requests.iter_mut().find(|(known, _)| known == key) {
                Some((_, sum)) => *sum += count,
                None => self.requests.push((*key, *count)),
            }
        }
        self.outcomes.iter_mut().zip(other.outcomes).for_each(|(sum, more)| *sum += more);
        self.ms.iter_mut().zip(other.ms).for_each(|(sum, more)| *sum += more);
        self.seconds.iter_mut().zip(other.seconds).for_each(|(sum, more)| *sum += more);
        self.exemplars.iter_mut().zip(other.exemplars).for_each(|(held, more)| *held = more.or(*held));
        self.sum += other.sum;
        self.slow += other.slow;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
    }

    /// All exchanges that ended.
    pub fn count_all(&self) -> u64 {
        self.outcomes.iter().sum()
    }
}

#[derive(Default)]
struct Inner {
    total: Recorder,
    first_byte: Recorder,
    sums: Totals,
}

/// One worker's share, on cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
struct Shard {
    started: AtomicU64,
    finished: AtomicU64,
    inner: Mutex<Inner>,
}

/// The numbers of one route and its upstream.
pub struct Series {
    /// Route, upstream, direction.
    pub key: SeriesKey,
    shards: Box<[Shard]>,
    rolling: Mutex<(Rolling, Rolling, Outcomes)>,
}

/// Counts by outcome, second by second, for the last five minutes.
#[derive(Default)]
struct Outcomes {
    seconds: std::collections::VecDeque<(Instant, [u64; 7])>,
    last: [u64; 7],
}

impl Outcomes {
    fn turn(&mut self, now: Instant, sums: [u64; 7]) {
        let mut delta = [0; 7];
        for ((delta, now), before) in delta.iter_mut().zip(sums).zip(self.last) {
            *delta = now - before;
        }
        self.last = sums;
        self.seconds.push_back((now, delta));
        while self.seconds.len() > 300 {
            self.seconds.pop_front();
        }
    }

    fn within(&self, span: Duration, now: Instant) -> [u64; 7] {
        let young = |seen: &&(Instant, [u64; 7])| now.saturating_duration_since(seen.0) < span;
        self.seconds.iter().filter(young).fold([0; 7], |mut sum, (_, more)| {
            sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            sum
        })
    }
}

impl Series {
    pub(super) fn new(key: SeriesKey, workers: usize, now: Instant) -> Self {
        let shards = (0..workers.max(1)).map(|_| Shard::default()).collect();
        let rolling = Mutex::new((Rolling::new(now), Rolling::new(now), Outcomes::default()));
        Self { key, shards, rolling }
    }

    fn shard(&self, worker: usize) -> &Shard {
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

    pub(super) fn rotate(&self, now: Instant) {
        let mut rolling = self.rolling.lock().unwrap_or_else(PoisonError::into_inner);
        let (total, first_byte, outcomes) = &mut *rolling;
        for shard in &self.shards {
            let (recorded, first) = {
                let mut inner = shard.inner.lock().unwrap_or_else(PoisonError::into_inner);
                (inner.total.take(), inner.first_byte.take())
            };
            let emptied = (recorded.map(|h| total.add(h)), first.map(|h| first_byte.add(h)));
            let mut inner = shard.inner.lock().unwrap_or_else(PoisonError::into_inner);
            // A histogram that recorded nothing for a second is given back to the allocator instead.
            if let Some(emptied) = emptied.0.filter(|h| !h.is_empty()) {
                inner.total.put_back(emptied);
            }
            if let Some(emptied) = emptied.1.filter(|h| !h.is_empty()) {
                inner.first_byte.put_back(emptied);
            }
        }
        total.turn(now);
        first_byte.turn(now);
        outcomes.turn(now, self.totals().outcomes);
    }

    /// What a window says of totals and of first bytes.
    pub fn window(&self, span: Span, now: Instant) -> (Summary, Summary) {
        let rolling = self.rolling.lock().unwrap_or_else(PoisonError::into_inner);
        (rolling.0.merged(span, now), rolling.1.merged(span, now))
    }

    /// Ended exchanges by outcome within `span`, at most five minutes.
    pub fn outcomes_within(&self, span: Duration, now: Instant) -> [u64; 7] {
        self.rolling.lock().unwrap_or_else(PoisonError::into_inner).2.within(span, now)
    }

    pub(super) fn intervals(&self, now: Instant) -> Vec<Interval> {
        self.rolling.lock().unwrap_or_else(PoisonError::into_inner).0.minutes(now)
    }

    pub(super) fn tag(&self) -> String {
        format!("{}.{}.{}", self.key.2.label(), self.key.0, self.key.1)
    }
}
