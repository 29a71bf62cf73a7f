//! The numbers of telling people: what became of attempts, how long they took, what still waits.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::metrics::Family;
use super::upstreams::Seconds;
use crate::runtime::clock;

/// What waits for one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Messages that nobody has taken yet.
    pub messages: usize,
    /// How long the oldest of them has waited.
    pub oldest: Duration,
}

/// The outcome of an attempt that reached its receiver.
const DELIVERED: &str = "delivered";

#[derive(Debug, Default)]
struct Sums {
    /// By channel and outcome.
    attempts: BTreeMap<(String, &'static str), u64>,
    took: BTreeMap<String, Seconds>,
    /// By channel: the first failure since something was delivered, and what the last one failed at.
    failing: BTreeMap<String, (Instant, &'static str)>,
}

type Ask = Box<dyn Fn() -> BTreeMap<String, Waiting> + Send + Sync>;

/// All of them.
#[derive(Default)]
pub struct People {
    sums: Mutex<Sums>,
    queue: OnceLock<Ask>,
}

impl People {
    /// One attempt ended: `outcome` is "delivered", or what it failed at.
    pub fn attempt(&self, channel: &str, outcome: &'static str, took: Duration) {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        *sums.attempts.entry((channel.to_owned(), outcome)).or_default() += 1;
        sums.took.entry(channel.to_owned()).or_default().record(took);
        if outcome == DELIVERED {
            sums.failing.remove(channel);
        } else {
            let now = clock::instant();
            sums.failing.entry(channel.to_owned()).or_insert((now, outcome)).1 = outcome;
        }
    }

    /// How long a channel has failed without a delivery, and what the last attempt failed at; `None`: it does not.
    pub fn failing(&self, channel: &str) -> Option<(Duration, &'static str)> {
        let sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, why) = sums.failing.get(channel)?;
        Some((clock::instant().saturating_duration_since(*since), why))
    }

    /// Where to ask what waits, by channel. Only the first one is asked.
    pub fn ask(&self, ask: impl Fn() -> BTreeMap<String, Waiting> + Send + Sync + 'static) {
        self.queue.get_or_init(|| Box::new(ask));
    }

    pub(super) fn families(&self) -> Vec<Family> {
        let mut attempts = Family::counter(
            "notify_attempts_total",
            "Attempts to tell somebody, by channel and by what became of them.",
        );
        let mut took = Family::histogram("notify_attempt_seconds", "Time of one attempt, by channel.");
        let mut length = Family::gauge("notify_queue", "Messages that nobody has taken yet, by channel.");
        let mut oldest = Family::gauge(
            "notify_oldest_undelivered_seconds",
            "How long the oldest of these has waited; 0: none waits.",
        );
        {
            let sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
            for ((channel, outcome), count) in &sums.attempts {
                attempts.count(&[("channel", channel), ("outcome", outcome)], *count);
            }
            for (channel, seconds) in &sums.took {
                took.seconds(&[("channel", channel)], seconds);
            }
        }
        for (channel, waiting) in self.queue.get().map(|ask| ask()).unwrap_or_default() {
            length.set(&[("channel", &channel)], waiting.messages as f64);
            oldest.set(&[("channel", &channel)], waiting.oldest.as_secs_f64());
        }
        vec![attempts, took, length, oldest]
    }
}
