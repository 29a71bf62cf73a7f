//! The queue: which write may be sent next, and what there is room for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::replay::NextReplay;
use super::write::{DeadReason, QueuePhase, QueuedWrite};
use crate::units::At;

/// Writes of one upstream that are being sent at the same time, at most.
const SENDING: usize = 4;

/// What may be queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Writes in number.
    pub messages: usize,
    /// Bytes of them.
    pub bytes: u64,
}

/// What is queued, of one upstream or of all.
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

impl QueueSums {
    /// One more.
    pub fn add(&mut self, write: &QueuedWrite) {
        self.bytes += write.bytes;
        if write.is_dead() {
            self.dead += 1;
        } else {
            self.waiting += 1;
            self.oldest = Some(self.oldest.map_or(write.queued, |oldest| oldest.min(write.queued)));
        }
    }
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

    /// The process ended meanwhile: what was being sent is sent again where its upstream knows it again, and else is a dead letter.
    pub fn interrupted(&mut self, now: At) {
        for write in self.writes.values_mut().filter(|write| write.phase == QueuePhase::Sending) {
            if write.known_again {
                (write.phase, write.attempts, write.due) = (QueuePhase::Waiting, write.attempts + 1, now);
            } else {
                write.phase = QueuePhase::Dead(DeadReason::Unsure);
            }
        }
    }

    /// Is something of this order key still to be sent?
    pub fn holds_back(&self, order: u64) -> bool {
        self.writes.values().any(|write| write.order == Some(order) && !write.is_dead())
    }

    /// The write whose turn it is; from now on it is being sent. `pace`: the time between two writes of an upstream;
    /// `None`: it cannot be asked now.
    pub fn next(&mut self, now: At, pace: impl Fn(&str) -> Option<Duration>) -> Option<u64> {
        let mut held = BTreeSet::new();
        let mut sending: BTreeMap<&str, usize> = BTreeMap::new();
        for write in self.writes.values().filter(|write| write.phase == QueuePhase::Sending) {
            *sending.entry(&write.upstream).or_default() += 1;
        }
        let mut found = None;
        for (id, write) in &self.writes {
            if write.is_dead() {
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

    /// Those that wait and have been sent as often as they may: each time the process ended meanwhile. `attempts`: of their upstream.
    pub fn exhausted(&self, attempts: impl Fn(&str) -> u32) -> Vec<u64> {
        let spent = |write: &QueuedWrite| {
            write.phase == QueuePhase::Waiting && write.attempts >= attempts(&write.upstream)
        };
        self.writes.iter().filter(|(_, write)| spent(write)).map(|(id, _)| *id).collect()
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
        if write.is_dead() {
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
            sums.entry(Arc::clone(&write.upstream)).or_default().add(write);
        }
        sums
    }
}
