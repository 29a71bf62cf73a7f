//! Exact counts over the last N seconds, in ten buckets.
//!
//! A burst and the same burst spread out reach the same decision: counts, no averages. A gap longer than the window
//! clears it. Invariant: the tally is the sum of the buckets that are younger than the window.

use std::time::{Duration, Instant};

use super::party::{Blame, Contributions};

const BUCKETS: u64 = 10;

/// Verdicts that were counted, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All verdicts that count.
    pub total: u64,
    /// Bad and rate-limited ones.
    pub bad: u64,
    /// Verdicts that were slow.
    pub slow: u64,
    /// Bad ones that say something new: what was in flight together, or failed within one dedup window, is one.
    pub events: u64,
    /// Bad ones that got no session to send a request on.
    pub unconnected: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.total += other.total;
        self.bad += other.bad;
        self.slow += other.slow;
        self.events += other.events;
        self.unconnected += other.unconnected;
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    tally: Tally,
    bad_by: Contributions,
    slow_by: Contributions,
}

/// Counts of the last `span`.
#[derive(Clone, Debug)]
pub struct Window {
    span: Duration,
    origin: Instant,
    /// Number of the newest bucket since `origin`.
    newest: u64,
    buckets: [Bucket; BUCKETS as usize],
}

impl Window {
    /// An empty window of `span`.
    pub fn new(span: Duration, now: Instant) -> Self {
        Self { span, origin: now, newest: 0, buckets: [Bucket::default(); BUCKETS as usize] }
    }

    /// Counts verdicts in the bucket of `now`.
    pub fn count(&mut self, what: Tally, now: Instant) {
        self.turn(now);
        if let Some(bucket) = self.buckets.get_mut((self.newest % BUCKETS) as usize) {
            bucket.tally.add(what);
        }
    }

    /// Counts at `now` what `blame` has brought.
    pub fn blame(&mut self, what: Tally, blame: &Blame, now: Instant) {
        self.count(what, now);
        if let Some(bucket) = self.buckets.get_mut((self.newest % BUCKETS) as usize) {
            if what.bad > 0 {
                bucket.bad_by.add(blame);
            }
            if what.slow > 0 {
                bucket.slow_by.add(blame);
            }
        }
    }

    /// What clients, routes and endpoints have contributed to the bad ones and to the slow ones of the window.
    pub fn contributions(&mut self, now: Instant) -> (Contributions, Contributions) {
        self.turn(now);
        self.buckets.iter().fold(
            Default::default(),
            |(mut bad, mut slow): (Contributions, Contributions), bucket| {
                bad.merge(&bucket.bad_by);
                slow.merge(&bucket.slow_by);
                (bad, slow)
            },
        )
    }

    /// What the window holds at `now`.
    pub fn tally(&mut self, now: Instant) -> Tally {
        self.turn(now);
        self.buckets.iter().fold(Tally::default(), |mut sum, bucket| {
            sum.add(bucket.tally);
            sum
        })
    }

    /// Another length: what was counted stays, for as long as the new length says from now on.
    pub fn respan(&mut self, span: Duration, now: Instant) {
        if span == self.span {
            return;
        }
        let (tally, (bad_by, slow_by)) = (self.tally(now), self.contributions(now));
        *self = Self::new(span, now);
        if let Some(bucket) = self.buckets.first_mut() {
            *bucket = Bucket { tally, bad_by, slow_by };
        }
    }

    fn turn(&mut self, now: Instant) {
        let bucket = (self.span.as_nanos() / u128::from(BUCKETS)).max(1);
        let at = now.saturating_duration_since(self.origin).as_nanos() / bucket;
        let at = u64::try_from(at).unwrap_or(u64::MAX).max(self.newest);
        for number in (self.newest + 1..=at).take(BUCKETS as usize) {
            if let Some(bucket) = self.buckets.get_mut((number % BUCKETS) as usize) {
                *bucket = Bucket::default();
            }
        }
        if at - self.newest > BUCKETS {
            self.buckets = [Bucket::default(); BUCKETS as usize];
        }
        self.newest = at;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BAD: Tally = Tally { total: 1, bad: 1, slow: 0, events: 1, unconnected: 0 };

    #[test]
    fn what_is_older_than_the_window_is_forgotten() {
        let t0 = Instant::now();
        let mut window = Window::new(Duration::from_secs(10), t0);
        window.count(BAD, t0);
        window.count(BAD, t0 + Duration::from_secs(5));
        assert_eq!(window.tally(t0 + Duration::from_secs(9)).bad, 2);
        assert_eq!(window.tally(t0 + Duration::from_secs(12)).bad, 1);
        assert_eq!(window.tally(t0 + Duration::from_secs(60)).bad, 0);
    }

    proptest! {
        #[test]
        fn it_counts_what_a_list_would(gaps in prop::collection::vec(0_u64..3_000, 1..120)) {
            let t0 = Instant::now();
            let mut window = Window::new(Duration::from_secs(10), t0);
            let mut at = 0;
            let mut list = Vec::new();
            for gap in gaps {
                at += gap;
                list.push(at);
                window.count(BAD, t0 + Duration::from_millis(at));
            }
            let held = window.tally(t0 + Duration::from_millis(at)).bad;
            let oldest = (at / 1_000).saturating_sub(9) * 1_000;
            prop_assert_eq!(held, list.iter().filter(|seen| **seen >= oldest).count() as u64);
        }
    }
}
