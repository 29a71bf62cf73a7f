//! The numbers of telling people: what became of attempts, how long they took, what still waits.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::family::Family;
use super::seconds::Seconds;
use crate::runtime::clock;

/// What waits for one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Messages that nobody has taken yet.
    pub messages: usize,
    /// How long the oldest of them has waited.
    pub oldest: Duration,
}

/// How the heartbeat is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beaten {
    /// When it was last heard outside, in seconds since 1970; `None`: not yet.
    pub heard_at: Option<u64>,
    /// What the last turn came to: `called`, why the call failed, or why it was withheld.
    pub last: &'static str,
}

/// The outcome of an attempt that reached its receiver.
const DELIVERED: &str = "delivered";

#[derive(Debug, Default)]
struct PeopleSums {
    /// Turns of the heartbeat by what they came to.
    beats: BTreeMap<&'static str, u64>,
    /// `None`: there is none.
    beaten: Option<Beaten>,
    /// What came in from pagers and chats, by sender and by what became of it.
    posts: BTreeMap<(&'static str, &'static str), u64>,
    /// By channel and outcome.
    attempts: BTreeMap<(String, &'static str), u64>,
    took: BTreeMap<String, Seconds>,
    /// By channel: the first failure since something was delivered, and what the last one failed at.
    failing: BTreeMap<String, (Instant, &'static str)>,
}

type WaitingSource = Box<dyn Fn() -> BTreeMap<String, Waiting> + Send + Sync>;

/// Attempts to tell people, heartbeats and posts of pagers, behind one lock.
#[derive(Default)]
pub struct PeopleMetrics {
    sums: Mutex<PeopleSums>,
    queue: OnceLock<WaitingSource>,
}

impl PeopleMetrics {
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

    /// A turn of the heartbeat came to `outcome`; `heard_at`: seconds since 1970, when somebody heard it.
    pub fn beat(&self, outcome: &'static str, heard_at: Option<u64>) {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        *sums.beats.entry(outcome).or_default() += 1;
        let before = sums.beaten.as_ref().and_then(|beaten| beaten.heard_at);
        sums.beaten = Some(Beaten { heard_at: heard_at.or(before), last: outcome });
    }

    /// A pager or a chat has posted something, and this became of it.
    pub fn posted(&self, from: &'static str, outcome: &'static str) {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        *sums.posts.entry((from, outcome)).or_default() += 1;
    }

    /// How the heartbeat is; `None`: there is none, or it was not its turn yet.
    pub fn heartbeat(&self) -> Option<Beaten> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner).beaten.clone()
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
        let mut beats = Family::counter(
            "strop_heartbeats_total",
            "Turns of the heartbeat, by what they came to: called, why the call failed, or why it was withheld.",
        );
        let mut heard = Family::gauge(
            "strop_heartbeat_last_success_timestamp_seconds",
            "When the heartbeat was last heard outside, in seconds since 1970.",
        );
        let mut posts = Family::counter(
            "strop_inbound_posts_total",
            "Posts of pagers and chats, by sender and by what became of them.",
        );
        {
            let sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
            for ((channel, outcome), count) in &sums.attempts {
                attempts.count(&[("channel", channel), ("outcome", outcome)], *count);
            }
            for (outcome, count) in &sums.beats {
                beats.count(&[("outcome", outcome)], *count);
            }
            for ((from, outcome), count) in &sums.posts {
                posts.count(&[("from", from), ("outcome", outcome)], *count);
            }
            if let Some(at) = sums.beaten.as_ref().and_then(|beaten| beaten.heard_at) {
                heard.set(&[], at as f64);
            }
            for (channel, seconds) in &sums.took {
                took.seconds(&[("channel", channel)], seconds);
            }
        }
        for (channel, waiting) in self.queue.get().map(|ask| ask()).unwrap_or_default() {
            length.set(&[("channel", &channel)], waiting.messages as f64);
            oldest.set(&[("channel", &channel)], waiting.oldest.as_secs_f64());
        }
        vec![attempts, took, length, oldest, beats, heard, posts]
    }
}
