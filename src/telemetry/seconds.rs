//! Durations counted in fixed buckets of seconds.

use std::time::Duration;

/// Upper bounds of OpenTelemetry's `http.server.request.duration`, seconds.
pub const SECOND_BOUNDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// A histogram of seconds with fixed buckets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seconds {
    /// Not cumulative; the last one is beyond all bounds.
    pub buckets: [u64; 15],
    /// The sum of all values.
    pub sum: Duration,
}

impl Seconds {
    /// Counts one value; the bucket it fell into.
    pub fn record(&mut self, took: Duration) -> usize {
        let seconds = took.as_secs_f64();
        let bucket = SECOND_BOUNDS.partition_point(|bound| *bound < seconds);
        self.buckets[bucket] += 1;
        self.sum += took;
        bucket
    }

    /// Adds what another has counted.
    pub fn add(&mut self, other: &Self) {
        self.buckets.iter_mut().zip(other.buckets).for_each(|(sum, more)| *sum += more);
        self.sum += other.sum;
    }

    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}
