//! Sums over exchanges since the start: by method and status, by outcome, in fixed buckets.

use std::time::{Duration, Instant};

use super::labels::{ExchangeOutcome, Method};
use super::seconds::Seconds;

/// What an exchange tells at its end.
#[derive(Debug)]
pub struct Finished {
    /// The worker whose shard counts it.
    pub worker: usize,
    /// Who asked: a fingerprint, see [`Party`](crate::reliability::party::Party).
    pub client: u32,
    pub method: Method,
    /// `None`: there was no answer.
    pub status: Option<u16>,
    pub outcome: ExchangeOutcome,
    /// To the final head.
    pub first_byte: Option<Duration>,
    /// To the last byte.
    pub total: Duration,
    /// Of the request's body.
    pub bytes_in: u64,
    /// Of the answer's body.
    pub bytes_out: u64,
    /// W3C trace id, for exemplars; `None`: the request had no trace.
    pub trace_id: Option<[u8; 16]>,
    /// Longer than the slow limit.
    pub slow: bool,
    pub now: Instant,
}

/// Upper bounds of `http_request_duration_ms`, milliseconds: the guide's targets and alert thresholds among them.
pub const MS_BOUNDS: [f64; 17] = [
    1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_000.0, 2_500.0, 3_000.0, 5_000.0,
    8_000.0, 10_000.0, 30_000.0,
];

/// The trace of one request that fell into a bucket.
#[derive(Clone, Copy, Debug)]
pub struct Exemplar {
    pub trace_id: [u8; 16],
    /// What was measured, in seconds.
    pub value: f64,
}

/// (method, status) pairs told apart; more are counted with status 0.
const MOST_PAIRS: usize = 64;

/// Exchanges of one method that ended with one status.
#[derive(Clone, Debug)]
pub struct MethodStatus {
    /// The method of the request; unknown ones are one.
    pub method: Method,
    /// 0: there was no answer, or it is one of too many.
    pub status: u16,
    /// How long they took.
    pub took: Seconds,
    /// The last trace of each bucket; `None`: there was none in any.
    pub exemplars: Option<Box<[Option<Exemplar>; 15]>>,
}

impl MethodStatus {
    fn new(method: Method, status: u16) -> Self {
        Self { method, status, took: Seconds::default(), exemplars: None }
    }
}

/// Sums since the start.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// By method and status.
    pub pairs: Vec<MethodStatus>,
    /// By outcome, in the order of [`ExchangeOutcome::ALL`].
    pub outcomes: [u64; 7],
    /// Not cumulative; the last one is beyond all bounds.
    pub ms: [u64; 18],
    /// The sum of all durations.
    pub sum: Duration,
    /// Longer than the slow limit.
    pub slow: u64,
    /// Bytes of request bodies.
    pub bytes_in: u64,
    /// Bytes of answers' bodies.
    pub bytes_out: u64,
}

impl Totals {
    pub(super) fn count(&mut self, done: &Finished) {
        let pair = self.pair(done.method, done.status.unwrap_or(0));
        let bucket = pair.took.record(done.total);
        if let Some(trace_id) = done.trace_id {
            pair.exemplars.get_or_insert_default()[bucket] =
                Some(Exemplar { trace_id, value: done.total.as_secs_f64() });
        }
        self.outcomes[done.outcome as usize] += 1;
        let ms = done.total.as_secs_f64() * 1_000.0;
        self.ms[MS_BOUNDS.partition_point(|bound| *bound < ms)] += 1;
        self.sum += done.total;
        self.slow += u64::from(done.slow);
        self.bytes_in += done.bytes_in;
        self.bytes_out += done.bytes_out;
    }

    /// The pair's own counts, or those of status 0 once there are too many pairs.
    fn pair(&mut self, method: Method, status: u16) -> &mut MethodStatus {
        let known = |pairs: &[MethodStatus], status| {
            pairs.iter().position(|pair| pair.method == method && pair.status == status)
        };
        let at = known(&self.pairs, status).or_else(|| {
            let full = self.pairs.len() >= MOST_PAIRS;
            full.then(|| known(&self.pairs, 0)).flatten()
        });
        let at = at.unwrap_or_else(|| {
            let status = if self.pairs.len() < MOST_PAIRS { status } else { 0 };
            // A pair is 150 bytes, and most series have one or two.
            self.pairs.reserve_exact(1);
            self.pairs.push(MethodStatus::new(method, status));
            self.pairs.len() - 1
        });
        // It is there: either it was found or it was just made.
        &mut self.pairs[at]
    }

    pub(super) fn add(&mut self, other: &Self) {
        for more in &other.pairs {
            let pair = self.pair(more.method, more.status);
            pair.took.add(&more.took);
            if let Some(more) = &more.exemplars {
                let held = pair.exemplars.get_or_insert_default();
                held.iter_mut().zip(**more).for_each(|(held, more)| *held = more.or(*held));
            }
        }
        self.outcomes.iter_mut().zip(other.outcomes).for_each(|(sum, more)| *sum += more);
        self.ms.iter_mut().zip(other.ms).for_each(|(sum, more)| *sum += more);
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
