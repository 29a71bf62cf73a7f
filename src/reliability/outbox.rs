//! Writes that are queued because their upstream cannot be asked: which may be sent next, and what an outcome means for one.
//!
//! Decides order, pace, repetition and end. Refuses to know where the bytes are, what the time is and how a write is sent.
//! Invariants: of the writes of one order key the oldest that is not over is the only one that may be sent; a write that may
//! have reached an upstream which does not know it again is never sent a second time unless somebody orders it; what is over
//! by failure is kept as a dead letter until somebody drops it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::backoff;
use crate::units::At;

/// A write that could not be sent because its upstream cannot be asked waits so long before it is offered again.
const RECHECK: Duration = Duration::from_secs(1);
/// The longest `Retry-After` that is heeded: a longer one would outlast most lifetimes of queued writes.
const LONGEST_ASKED: Duration = Duration::from_secs(3_600);
/// Writes of one upstream that are being sent at the same time, at most.
const SENDING: usize = 4;

/// When a queued write is sent once more, and when it is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayPolicy {
    /// A write that is older is given up.
    pub ttl: Duration,
    /// Attempts that reach the upstream, at most.
    pub attempts: u32,
    /// The wait after the first attempt; each further one is longer.
    pub backoff: Duration,
    /// The longest wait between two attempts.
    pub backoff_max: Duration,
}

/// What may be queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Writes in number.
    pub messages: usize,
    /// Bytes of them.
    pub bytes: u64,
}

/// What became of one attempt to send a queued write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayOutcome {
    /// Provably nothing of it left the process.
    Unsent,
    /// The upstream answered.
    Answered {
        status: u16,
        /// How long the upstream asks to be left alone.
        retry_after: Option<Duration>,
        /// The upstream says by the status that it has done nothing and forgets that it was asked.
        undone: bool,
    },
    /// It may have arrived: the connection broke, or time was up.
    Unsure,
}

/// Why a write is a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadReason {
    /// The upstream refused it for good.
    Refused,
    /// It may have arrived, and the upstream would not know it again.
    Unsure,
    /// It became older than it may.
    Expired,
    /// It was sent as often as it may be.
    Exhausted,
    /// No upstream takes it any more.
    NoRoute,
}

impl DeadReason {
    /// All of them, for metrics and the contract.
    pub const ALL: [Self; 5] = [Self::Refused, Self::Unsure, Self::Expired, Self::Exhausted, Self::NoRoute];

    pub fn label(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unsure => "unsure",
            Self::Expired => "expired",
            Self::Exhausted => "exhausted",
            Self::NoRoute => "no_route",
        }
    }
}

/// Where a queued write is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueuePhase {
    /// Its bytes are not known to be durable yet: it is not sent, and what has its order key waits for it.
    Writing,
    /// It is sent when its turn comes.
    Waiting,
    /// It is being sent.
    Sending,
    /// It is given up.
    Dead(DeadReason),
}

impl QueuePhase {
    pub fn label(self) -> &'static str {
        match self {
            Self::Writing => "writing",
            Self::Waiting => "waiting",
            Self::Sending => "sending",
            Self::Dead(_) => "dead",
        }
    }
}

/// A queued write, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedWrite {
    pub upstream: Arc<str>,
    pub route: Arc<str>,
    /// Hash of its upstream and order key; `None`: it has none.
    pub order: Option<u64>,
    /// The upstream knows it again, by its key or by its method.
    pub known_again: bool,
    pub queued: At,
    /// Bytes of it on disk.
    pub bytes: u64,
    /// Attempts that reached the upstream, or may have.
    pub attempts: u32,
    /// Not offered before.
    pub due: At,
    pub phase: QueuePhase,
}

/// What comes after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextReplay {
    /// It is delivered.
    Delivered,
    /// It is offered again after a while; `counted`: as another attempt.
    Later { wait: Duration, counted: bool },
    /// It is given up.
    Dead(DeadReason),
}

/// What comes after `outcome` of a write. `draw`: any number.
pub fn after(
    outcome: ReplayOutcome,
    write: &QueuedWrite,
    policy: &ReplayPolicy,
    now: At,
    draw: u64,
) -> NextReplay {
    let asked = match outcome {
        ReplayOutcome::Unsent if now.since(write.queued) >= policy.ttl => {
            return NextReplay::Dead(DeadReason::Expired);
        }
        ReplayOutcome::Unsent => return NextReplay::Later { wait: RECHECK, counted: false },
        ReplayOutcome::Answered { status: 200..=299, .. } => return NextReplay::Delivered,
        // Both say that the request was not taken (RFC 6585 section 4, RFC 9110 section 15.6.4).
        ReplayOutcome::Answered { status: 429 | 503, retry_after, .. }
        | ReplayOutcome::Answered { undone: true, retry_after, .. } => retry_after,
        ReplayOutcome::Answered { status: 408 | 425 | 500.., retry_after, .. } if write.known_again => {
            retry_after
        }
        ReplayOutcome::Unsure if write.known_again => None,
        ReplayOutcome::Answered { status: 408 | 500.., .. } | ReplayOutcome::Unsure => {
            return NextReplay::Dead(DeadReason::Unsure);
        }
        ReplayOutcome::Answered { .. } => return NextReplay::Dead(DeadReason::Refused),
    };
    let made = write.attempts + 1;
    let wait = backoff::nth(policy.backoff, policy.backoff_max, made.saturating_sub(1), draw);
    let wait = wait.max(asked.unwrap_or_default().min(LONGEST_ASKED));
    if made >= policy.attempts {
        NextReplay::Dead(DeadReason::Exhausted)
    } else if now.since(write.queued) + wait >= policy.ttl {
        NextReplay::Dead(DeadReason::Expired)
    } else {
        NextReplay::Later { wait, counted: true }
    }
}

/// What is queued of one upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueSums {
    /// Writes that are to be sent.
    pub waiting: usize,
    pub dead: usize,
    /// Bytes of both.
    pub bytes: u64,
    /// When the oldest one that is to be sent was queued.
    pub oldest: Option<At>,
}

/// The queue: what is queued, by number, in the order in which it came.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    writes: BTreeMap<u64, QueuedWrite>,
    last: u64,
    /// By upstream, when the pace lets the next one go.
    paced: BTreeMap<Arc<str>, At>,
}

impl Queue {
    /// A queue whose next number is above `last`.
    pub fn after(last: u64) -> Self {
        Self { last, ..Self::default() }
    }

    /// Takes a write, unless the limits of its upstream or of all are reached.
    pub fn put(&mut self, write: QueuedWrite, own: QueueLimits, all: QueueLimits) -> Option<u64> {
        let fits = |limits: QueueLimits, mine: &dyn Fn(&QueuedWrite) -> bool| {
            let (mut messages, mut bytes) = (1_usize, write.bytes);
            for other in self.writes.values().filter(|other| mine(other)) {
                messages += 1;
                bytes += other.bytes;
            }
            messages <= limits.messages && bytes <= limits.bytes
        };
        if !fits(own, &|other| other.upstream == write.upstream) || !fits(all, &|_| true) {
            return None;
        }
        self.last += 1;
        self.writes.insert(self.last, write);
        Some(self.last)
    }

    /// Puts back what an earlier start left.
    pub fn restore(&mut self, id: u64, write: QueuedWrite) {
        self.last = self.last.max(id);
        self.writes.insert(id, write);
    }

    /// The highest number that was given.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// It was being sent when the state was written down.
    pub fn sending(&mut self, id: u64) {
        if let Some(write) = self.writes.get_mut(&id) {
            write.phase = QueuePhase::Sending;
        }
    }

    /// It waited for another attempt when the state was written down.
    pub fn later(&mut self, id: u64, attempts: u32, due: At) {
        if let Some(write) = self.writes.get_mut(&id) {
            (write.phase, write.attempts, write.due) = (QueuePhase::Waiting, attempts, due);
        }
    }

    /// Is something of this order key still to be sent?
    pub fn holds_back(&self, order: u64) -> bool {
        self.writes
            .values()
            .any(|write| write.order == Some(order) && !matches!(write.phase, QueuePhase::Dead(_)))
    }

    /// The write whose turn it is; from now on it is being sent. `pace`: the time between two writes of an upstream;
    /// `None`: it cannot be asked now.
    pub fn next(&mut self, now: At, pace: impl Fn(&str) -> Option<Duration>) -> Option<u64> {
        let mut held = Vec::new();
        let mut sending: BTreeMap<&str, usize> = BTreeMap::new();
        for write in self.writes.values().filter(|write| write.phase == QueuePhase::Sending) {
            *sending.entry(&write.upstream).or_default() += 1;
        }
        let mut found = None;
        for (id, write) in &self.writes {
            if matches!(write.phase, QueuePhase::Dead(_)) {
                continue;
            }
            let behind = write.order.is_some_and(|order| held.contains(&order));
            held.extend(write.order);
            let paced = self.paced.get(&write.upstream).is_none_or(|at| *at <= now);
            let busy = sending.get(&*write.upstream).is_some_and(|count| *count >= SENDING);
            if write.phase != QueuePhase::Waiting || behind || write.due > now || !paced || busy {
                continue;
            }
            if let Some(gap) = pace(&write.upstream) {
                found = Some((*id, gap));
                break;
            }
        }
        let (id, gap) = found?;
        let write = self.writes.get_mut(&id)?;
        write.phase = QueuePhase::Sending;
        self.paced.insert(Arc::clone(&write.upstream), now + gap);
        Some(id)
    }

    /// Those that have become older than they may while they waited. `ttl`: of their upstream.
    pub fn expired(&self, now: At, ttl: impl Fn(&str) -> Duration) -> Vec<u64> {
        let old = |write: &QueuedWrite| {
            write.phase == QueuePhase::Waiting && now.since(write.queued) >= ttl(&write.upstream)
        };
        self.writes.iter().filter(|(_, write)| old(write)).map(|(id, _)| *id).collect()
    }

    /// What has come of a write; `None`: it is not there.
    pub fn settle(&mut self, id: u64, next: NextReplay, now: At) -> Option<()> {
        let write = self.writes.get_mut(&id)?;
        match next {
            NextReplay::Delivered => drop(self.writes.remove(&id)),
            NextReplay::Later { wait, counted } => {
                write.attempts += u32::from(counted);
                (write.phase, write.due) = (QueuePhase::Waiting, now + wait);
            }
            NextReplay::Dead(reason) => write.phase = QueuePhase::Dead(reason),
        }
        Some(())
    }

    /// Its bytes are durable.
    pub fn written(&mut self, id: u64) {
        if let Some(write) = self.writes.get_mut(&id) {
            write.phase = QueuePhase::Waiting;
        }
    }

    /// It is not there any more.
    pub fn remove(&mut self, id: u64) -> Option<QueuedWrite> {
        self.writes.remove(&id)
    }

    /// A dead letter, or a write that waits, is sent as soon as its turn comes; `None`: there is no such. A dead letter goes as
    /// if it had just been queued, and nothing says any more that its upstream knows it again.
    pub fn retry(&mut self, id: u64, now: At) -> Option<QueuedWrite> {
        let write = self.writes.get_mut(&id)?;
        if matches!(write.phase, QueuePhase::Dead(_)) {
            (write.attempts, write.queued, write.known_again) = (0, now, false);
        } else if write.phase != QueuePhase::Waiting {
            return None;
        }
        (write.phase, write.due) = (QueuePhase::Waiting, now);
        Some(write.clone())
    }

    pub fn get(&self, id: u64) -> Option<&QueuedWrite> {
        self.writes.get(&id)
    }

    /// All of them, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &QueuedWrite)> {
        self.writes.iter().map(|(id, write)| (*id, write))
    }

    pub fn len(&self) -> usize {
        self.writes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// What is queued, by upstream.
    pub fn sums(&self) -> BTreeMap<Arc<str>, QueueSums> {
        let mut sums: BTreeMap<Arc<str>, QueueSums> = BTreeMap::new();
        for write in self.writes.values() {
            let sum = sums.entry(Arc::clone(&write.upstream)).or_default();
            sum.bytes += write.bytes;
            if matches!(write.phase, QueuePhase::Dead(_)) {
                sum.dead += 1;
            } else {
                sum.waiting += 1;
                sum.oldest = Some(sum.oldest.map_or(write.queued, |oldest| oldest.min(write.queued)));
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests;
