//! The durable outbox: writes that are acknowledged before their upstream has them.
//!
//! What may be sent next is decided by [`reliability::outbox`](crate::reliability::outbox); the bytes are in one file of this process,
//! sealed, which a thread of its own writes. Who asks while the upstream is well touches neither: the queue's lock is taken
//! only while something is queued. Invariants: a request is acknowledged only after its bytes are durable; one that is not
//! acknowledged is not sent later, but for what its asker no longer waited for; what is taken out of the queue was delivered, or
//! dropped by order.

mod disk;
mod record;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, UNIX_EPOCH};

use secrecy::ExposeSecret as _;
use tokio::sync::oneshot;

use crate::config::{OutboxConfig, OutboxPolicy};
use crate::reliability::outbox::{
    self, DeadReason, NextReplay, OutboxOutcome, Queue, QueueLimits, QueuePhase, QueuedWrite, ReplayOutcome,
    ReplayPolicy,
};
use crate::runtime::{chance, clock};
use crate::telemetry::Telemetry;
use crate::units::At;
use disk::{DiskOrder, locked};
use record::{Record, Seal};

pub use record::{StoredWrite, order_of};

/// How long the disk may take to make a request durable.
const PATIENCE: Duration = Duration::from_secs(2);

/// For writes whose upstream is gone, or has no outbox any more.
const REMOVED: ReplayPolicy = ReplayPolicy {
    ttl: Duration::from_secs(7 * 86_400),
    attempts: 1_000,
    backoff: Duration::from_secs(5),
    backoff_max: Duration::from_secs(600),
};

/// Why a write was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotQueued {
    /// As much is queued as may be.
    Full,
    /// The disk did not take it: it is full, broken, or slow.
    NotDurable,
}

/// A write that is to be queued.
#[derive(Debug)]
pub struct NewWrite {
    pub stored: StoredWrite,
    /// Its head and its body.
    pub request: Vec<u8>,
}

/// The outbox of this process.
pub struct Outbox {
    queue: Arc<Mutex<Queue>>,
    /// Writes in it; read without its lock.
    depth: AtomicUsize,
    disk: mpsc::Sender<DiskOrder>,
    limits: QueueLimits,
    telemetry: Arc<Telemetry>,
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox").field("depth", &self.depth).finish_non_exhaustive()
    }
}

/// Now, as it is stored.
fn now() -> At {
    let wall = clock::now().wall.duration_since(UNIX_EPOCH).unwrap_or_default();
    At(i64::try_from(wall.as_millis()).unwrap_or(i64::MAX))
}

/// A write whose bytes are on their way to the disk. Dropped before they are known to be there, it is not queued.
struct Unwritten<'a> {
    outbox: &'a Outbox,
    id: u64,
    durable: oneshot::Receiver<bool>,
    /// What became of it is known.
    over: bool,
}

impl Unwritten<'_> {
    /// It is as it is: from here on the disk can no longer say otherwise.
    fn is_durable(&mut self) -> bool {
        self.durable.close();
        self.durable.try_recv().unwrap_or(false)
    }

    fn ends(&mut self, durable: bool) {
        self.over = true;
        let id = self.id;
        self.outbox.changed(|queue| if durable { queue.written(id) } else { drop(queue.remove(id)) });
    }
}

impl Drop for Unwritten<'_> {
    fn drop(&mut self) {
        if !self.over {
            let durable = self.is_durable();
            self.ends(durable);
        }
    }
}

impl Outbox {
    /// Opens the outbox of a directory and starts its thread. The copy of a file that could not be read to its end is told
    /// beside it.
    pub fn open(
        config: &OutboxConfig,
        telemetry: Arc<Telemetry>,
    ) -> io::Result<(Arc<Self>, Option<PathBuf>)> {
        let key = key_of(config.key.expose_secret());
        let seal = key.and_then(|key| Seal::new(&key)).ok_or_else(|| io::Error::other("the key is none"))?;
        let queue: Arc<Mutex<Queue>> = Arc::default();
        let disk::Left { disk, damaged } = disk::open(&config.directory, seal, &queue, now())?;
        let (send, orders) = mpsc::channel();
        let of_disk = Arc::clone(&queue);
        let run = move || disk.run(&orders, &of_disk);
        std::thread::Builder::new().name("strop-outbox".to_owned()).spawn(run)?;
        let (depth, limits) = (AtomicUsize::new(0), config.limits);
        let outbox = Arc::new(Self { queue, depth, disk: send, limits, telemetry });
        outbox.changed(|_| ());
        let queued = Arc::downgrade(&outbox.queue);
        let sums = move || queued.upgrade().map(|queue| locked(&queue).sums()).unwrap_or_default();
        outbox.telemetry.outbox.ask(sums);
        Ok((outbox, damaged))
    }

    /// Changes the queue.
    fn changed<T>(&self, change: impl FnOnce(&mut Queue) -> T) -> T {
        let mut queue = locked(&self.queue);
        let changed = change(&mut queue);
        self.depth.store(queue.len(), Ordering::Release);
        changed
    }

    fn counted(&self, upstream: &str, outcome: OutboxOutcome) {
        self.telemetry.outbox.count(upstream, outcome);
    }

    /// Is nothing queued?
    pub fn is_empty(&self) -> bool {
        self.depth.load(Ordering::Acquire) == 0
    }

    /// Is something of this order key still to be sent?
    pub fn holds_back(&self, order: u64) -> bool {
        !self.is_empty() && locked(&self.queue).holds_back(order)
    }

    /// Takes a write; it is durable when this returns.
    pub async fn put(&self, write: NewWrite, policy: &OutboxPolicy) -> Result<(), NotQueued> {
        let NewWrite { mut stored, request } = write;
        stored.queued = now();
        let upstream = stored.upstream.clone();
        let put = self.make_durable(stored, request, policy.limits).await;
        self.counted(&upstream, if put.is_ok() { OutboxOutcome::Queued } else { OutboxOutcome::NotQueued });
        put
    }

    async fn make_durable(
        &self,
        write: StoredWrite,
        request: Vec<u8>,
        own: QueueLimits,
    ) -> Result<(), NotQueued> {
        let bytes = request.len() as u64;
        let queued = QueuedWrite { phase: QueuePhase::Writing, ..write.queued(bytes) };
        let id = self.changed(|queue| queue.put(queued, own, self.limits)).ok_or(NotQueued::Full)?;
        let (durable, told) = oneshot::channel();
        let mut unwritten = Unwritten { outbox: self, id, durable: told, over: false };
        let order = DiskOrder::Accept { id, write, request, durable };
        self.disk.send(order).map_err(|_| NotQueued::NotDurable)?;
        let durable = match tokio::time::timeout(PATIENCE, &mut unwritten.durable).await {
            Ok(told) => told.unwrap_or(false),
            Err(_) => unwritten.is_durable(),
        };
        unwritten.ends(durable);
        if durable { Ok(()) } else { Err(NotQueued::NotDurable) }
    }

    fn note(&self, record: Record) {
        // A thread that is gone has nothing to write any more.
        let _ = self.disk.send(DiskOrder::Note { record, durable: None });
    }

    /// The number of the write whose turn it is. `pace`: the time between two writes of an upstream; `None`: it cannot be asked.
    pub fn next(&self, pace: impl Fn(&str) -> Option<Duration>) -> Option<u64> {
        if self.is_empty() {
            return None;
        }
        locked(&self.queue).next(now(), pace)
    }

    /// Gives up what has waited for longer than it may, and what was sent as often as it may. `policy`: of its upstream; `None`:
    /// that has none.
    pub fn expire<'a>(&self, policy: impl Fn(&str) -> Option<&'a ReplayPolicy>) {
        if self.is_empty() {
            return;
        }
        let of = |name: &str| *policy(name).unwrap_or(&REMOVED);
        let old = locked(&self.queue).expired(now(), |name| of(name).ttl);
        old.into_iter().for_each(|id| self.settled(id, NextReplay::Dead(DeadReason::Expired)));
        let spent = locked(&self.queue).exhausted(|name| of(name).attempts);
        spent.into_iter().for_each(|id| self.settled(id, NextReplay::Dead(DeadReason::Exhausted)));
    }

    /// The bytes of a write that is about to be sent, once it is durable that it may arrive from here on; `None`: the disk does
    /// not take that, or does not have them. Then it waits again.
    pub async fn take(&self, id: u64) -> Option<(StoredWrite, Vec<u8>)> {
        let (found, read) = oneshot::channel();
        let (durable, noted) = oneshot::channel();
        let record = Record::Sending { id };
        let asked = self.disk.send(DiskOrder::Read { id, found }).is_ok()
            && self.disk.send(DiskOrder::Note { record, durable: Some(durable) }).is_ok();
        let taken = asked && noted.await.unwrap_or(false);
        let request = read.await.ok().filter(|_| taken);
        if request.is_none() {
            self.settle(id, ReplayOutcome::Unsent, None);
        }
        request
    }

    /// It is delivered. Until that is durable the later ones of its order wait: after a crash it would be sent again, behind them.
    pub async fn delivered(&self, id: u64) {
        let (durable, noted) = oneshot::channel();
        let record = Record::Over { id };
        if self.disk.send(DiskOrder::Note { record, durable: Some(durable) }).is_ok() {
            // A disk that does not take it has it owed.
            let _ = noted.await;
        }
        self.settled(id, NextReplay::Delivered);
    }

    /// An attempt to send a write has ended. `policy`: of its upstream; `None`: that has none.
    pub fn settle(&self, id: u64, outcome: ReplayOutcome, policy: Option<&ReplayPolicy>) {
        let Some(write) = locked(&self.queue).get(id).cloned() else { return };
        let next = outbox::after(outcome, &write, policy.unwrap_or(&REMOVED), now(), chance::draw());
        self.settled(id, next);
    }

    /// No upstream takes it any more.
    pub fn lost(&self, id: u64) {
        self.settled(id, NextReplay::Dead(DeadReason::NoRoute));
    }

    fn settled(&self, id: u64, next: NextReplay) {
        let now = now();
        let write = self.changed(|queue| {
            let write = queue.get(id).cloned();
            queue.settle(id, next, now);
            queue.get(id).cloned().or(write)
        });
        let Some(write) = write else { return };
        let (record, outcome) = match next {
            // It was noted before; a second time where the disk did not take that.
            NextReplay::Delivered => (Record::Over { id }, OutboxOutcome::Delivered),
            NextReplay::Dead(reason) => (Record::Dead { id, reason }, OutboxOutcome::Dead(reason)),
            NextReplay::Later { .. } => {
                let QueuedWrite { attempts, due, .. } = write;
                (Record::Later { id, attempts, due }, OutboxOutcome::Later)
            }
        };
        self.note(record);
        self.counted(&write.upstream, outcome);
    }

    /// All that is queued, the oldest first.
    pub fn writes(&self) -> Vec<(u64, QueuedWrite)> {
        locked(&self.queue).iter().map(|(id, write)| (id, write.clone())).collect()
    }

    /// Sends a write, a dead letter too, as soon as its turn comes; `None`: there is no such, or it is being sent.
    pub fn retry(&self, id: u64) -> Option<QueuedWrite> {
        let at = now();
        let write = self.changed(|queue| queue.retry(id, at))?;
        self.note(Record::Again { id, at });
        self.counted(&write.upstream, OutboxOutcome::Ordered);
        Some(write)
    }

    /// Drops a write that is not being sent; `None`: there is no such.
    pub fn remove(&self, id: u64) -> Option<QueuedWrite> {
        let write = self.changed(|queue| {
            let idle =
                |write: &&QueuedWrite| matches!(write.phase, QueuePhase::Waiting | QueuePhase::Dead(_));
            queue.get(id).filter(idle)?;
            queue.remove(id)
        })?;
        self.note(Record::Over { id });
        self.counted(&write.upstream, OutboxOutcome::Dropped);
        Some(write)
    }
}

/// 32 bytes, of 64 hexadecimal digits.
fn key_of(text: &str) -> Option<Vec<u8>> {
    let digit = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (text.len() == 64).then(|| (0..64).step_by(2).map(digit).collect())?
}
