//! What waits to be written, in its order, and what is asked of the writer.
//!
//! Invariants: a group is taken whole or refused whole; nothing that was taken is ever let go; a newer content may move up
//! into an older row's place, never the other way round.

use std::collections::hash_map::{Entry as Slot, HashMap};
use std::collections::{HashSet, VecDeque};

use tokio::sync::oneshot;

use super::error::StoreError;
use super::rows::{
    IncidentVersion, Lease, Millis, NotificationRow, Presence, StoredIncident, SyncReply, SyncRequest, Write,
};
use super::tables::RowKey;

/// Writes of one transaction.
const BATCH: usize = 512;

/// The writes of one call and who waits for them.
#[derive(Debug)]
pub(super) struct WriteGroup {
    pub(super) writes: Vec<Write>,
    pub(super) done: oneshot::Sender<Result<(), StoreError>>,
}

impl WriteGroup {
    /// Tells the caller, who may have left.
    pub(super) fn answer(self, how: Result<(), StoreError>) {
        let _ = self.done.send(how);
    }
}

/// What one transaction writes.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) groups: Vec<WriteGroup>,
}

impl Batch {
    /// Does it touch the audit chain, or what others write too? What it has else are rows of this start alone.
    pub(super) fn is_shared(&self) -> bool {
        !self.groups.iter().flat_map(|group| &group.writes).all(Write::is_own)
    }

    /// Durable writes in it.
    pub(super) fn writes(&self) -> usize {
        self.groups.iter().map(|group| group.writes.len()).sum()
    }
}

/// What is done now instead of by the clock.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tend {
    /// One pass over everything that has a retention.
    Clean,
    /// One piece of the ledger's closed days.
    Pack,
}

/// A question that is answered at once or not at all.
#[derive(Debug)]
pub(super) enum Query {
    Tend(Tend, oneshot::Sender<Result<u64, StoreError>>),
    Sync(Box<SyncRequest>, oneshot::Sender<Result<SyncReply, StoreError>>),
    Depart(Presence, Option<Lease>, oneshot::Sender<Result<(), StoreError>>),
    /// Reads by the connection that is open anyway: no second one is opened for them.
    Versions(Millis, u32, oneshot::Sender<Result<Vec<IncidentVersion>, StoreError>>),
    Undelivered(u32, oneshot::Sender<Result<Vec<NotificationRow>, StoreError>>),
    Incident(String, oneshot::Sender<Result<Option<StoredIncident>, StoreError>>),
}

impl Query {
    /// Tells the asker, who may have left, that it cannot be done.
    pub(super) fn fail(self, why: StoreError) {
        match self {
            Self::Tend(_, done) => drop(done.send(Err(why))),
            Self::Sync(_, done) => drop(done.send(Err(why))),
            Self::Depart(.., done) => drop(done.send(Err(why))),
            Self::Versions(.., done) => drop(done.send(Err(why))),
            Self::Undelivered(_, done) => drop(done.send(Err(why))),
            Self::Incident(_, done) => drop(done.send(Err(why))),
        }
    }
}

/// The writes and the questions.
#[derive(Debug)]
pub(super) struct WriteQueue {
    groups: VecDeque<WriteGroup>,
    asks: VecDeque<Query>,
    /// Writes in `groups`, and those the writer has in hand.
    waiting: usize,
    limit: usize,
    pub(super) closing: bool,
    /// The writer has left: nothing will ever be written.
    pub(super) closed: bool,
    pub(super) folded: u64,
    pub(super) refused: u64,
}

impl WriteQueue {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            groups: VecDeque::new(),
            asks: VecDeque::new(),
            waiting: 0,
            limit,
            closing: false,
            closed: false,
            folded: 0,
            refused: 0,
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Takes a group, or gives it back with the reason.
    pub(super) fn push(&mut self, group: WriteGroup) -> Result<(), (WriteGroup, StoreError)> {
        if self.closing || self.closed {
            return Err((group, StoreError::Closed));
        }
        let size = group.writes.len();
        if self.waiting + size <= self.limit {
            self.waiting += size;
            self.groups.push_back(group);
            return Ok(());
        }
        let rows = self.fold();
        let replaced = group.writes.iter().filter_map(Write::key).filter(|key| rows.contains(key)).count();
        if self.waiting + size - replaced > self.limit {
            self.refused += size as u64;
            return Err((group, StoreError::BacklogFull(self.waiting)));
        }
        self.waiting += size;
        self.groups.push_back(group);
        self.fold();
        Ok(())
    }

    /// Leaves one write of each row: the newest content in the oldest place. Waiters of the older ones get more than they
    /// asked for; waiters of the newer ones wait no longer than before.
    fn fold(&mut self) -> HashSet<RowKey> {
        let mut places: HashMap<RowKey, (usize, usize)> = HashMap::new();
        for at in 0..self.groups.len() {
            let mut kept = Vec::with_capacity(self.groups[at].writes.len());
            for write in std::mem::take(&mut self.groups[at].writes) {
                match write.key().map(|key| places.entry(key)) {
                    None => kept.push(write),
                    Some(Slot::Vacant(free)) => {
                        free.insert((at, kept.len()));
                        kept.push(write);
                    }
                    Some(Slot::Occupied(taken)) => {
                        let &(group, place) = taken.get();
                        let older = if group == at {
                            &mut kept[place]
                        } else {
                            &mut self.groups[group].writes[place]
                        };
                        if write.supersedes(older) {
                            *older = write;
                        }
                        self.folded += 1;
                        self.waiting -= 1;
                    }
                }
            }
            self.groups[at].writes = kept;
        }
        places.into_keys().collect()
    }

    /// Takes a question; one that comes too late is dropped, and so answered.
    pub(super) fn ask(&mut self, ask: Query) {
        if !(self.closing || self.closed) {
            self.asks.push_back(ask);
        }
    }

    /// The next question; what only tends the store waits until everything is written.
    pub(super) fn next_ask(&mut self) -> Option<Query> {
        let busy = !self.groups.is_empty();
        let at = self.asks.iter().position(|ask| !(busy && matches!(ask, Query::Tend(..))))?;
        self.asks.remove(at)
    }

    /// Any question, to be told that it cannot be answered.
    pub(super) fn take_ask(&mut self) -> Option<Query> {
        self.asks.pop_front()
    }

    /// What the next transaction writes. The writes stay counted until [`Self::settled`].
    pub(super) fn next_batch(&mut self) -> Option<Batch> {
        let mut batch = Batch::default();
        while let Some(group) = self.groups.front() {
            if !batch.groups.is_empty() && batch.writes() + group.writes.len() > BATCH {
                break;
            }
            batch.groups.extend(self.groups.pop_front());
        }
        (!batch.groups.is_empty()).then_some(batch)
    }

    /// So many writes are on disk, or refused for good.
    pub(super) fn settled(&mut self, writes: usize) {
        self.waiting = self.waiting.saturating_sub(writes);
    }

    /// Ends: nothing more is taken. What waited is given back; to drop it is to answer it.
    pub(super) fn close(&mut self) -> (VecDeque<WriteGroup>, VecDeque<Query>) {
        self.closed = true;
        (std::mem::take(&mut self.groups), std::mem::take(&mut self.asks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::{AuditEntry, IncidentRow};

    fn incident(id: &str, revision: i64) -> Write {
        Write::PutIncident(IncidentRow {
            id: id.to_owned(),
            dedup_key: String::new(),
            state: "open".to_owned(),
            severity: "high".to_owned(),
            rule: String::new(),
            service: String::new(),
            started_at: 0,
            resolved_at: None,
            updated_at: 0,
            revision,
            member: String::new(),
            body: "{}".to_owned(),
        })
    }

    fn note() -> Write {
        let text = String::new;
        Write::Audit(AuditEntry { at: 0, actor: text(), action: text(), target: text(), body: text() })
    }

    type Told = oneshot::Receiver<Result<(), StoreError>>;

    fn push(queue: &mut WriteQueue, writes: Vec<Write>) -> Told {
        let (done, told) = oneshot::channel();
        if let Err((group, why)) = queue.push(WriteGroup { writes, done }) {
            group.answer(Err(why));
        }
        told
    }

    fn revisions(batch: &Batch) -> Vec<(String, i64)> {
        let mut revisions = Vec::new();
        for write in batch.groups.iter().flat_map(|group| &group.writes) {
            if let Write::PutIncident(row) = write {
                revisions.push((row.id.clone(), row.revision));
            }
        }
        revisions
    }

    #[test]
    fn a_full_backlog_folds_what_was_superseded_and_loses_nothing_newer() {
        let mut queue = WriteQueue::new(4);
        let mut told: Vec<Told> =
            (1..=4).map(|revision| push(&mut queue, vec![incident("a", revision)])).collect();
        told.push(push(&mut queue, vec![incident("b", 1), note()]));
        assert_eq!((queue.waiting(), queue.folded, queue.refused), (3, 3, 0));
        let batch = queue.next_batch().expect("waiting");
        assert_eq!(revisions(&batch), [("a".to_owned(), 4), ("b".to_owned(), 1)]);
        assert_eq!(batch.groups.len(), 5, "each waiter is still told");
    }

    #[test]
    fn what_cannot_be_folded_is_refused_whole_and_told() {
        let mut queue = WriteQueue::new(3);
        let kept = push(&mut queue, vec![note(), note(), incident("a", 1)]);
        let mut refused = push(&mut queue, vec![incident("a", 2), note()]);
        assert_eq!(refused.try_recv(), Ok(Err(StoreError::BacklogFull(3))));
        assert_eq!((queue.waiting(), queue.refused), (3, 2));
        let batch = queue.next_batch().expect("waiting");
        assert_eq!(revisions(&batch), [("a".to_owned(), 1)], "no half of it came in");
        drop(kept);
    }

    #[test]
    fn an_update_of_a_waiting_row_always_fits() {
        let mut queue = WriteQueue::new(2);
        drop((push(&mut queue, vec![incident("a", 1)]), push(&mut queue, vec![note()])));
        for revision in 2..100 {
            drop(push(&mut queue, vec![incident("a", revision)]));
        }
        assert_eq!((queue.waiting(), queue.refused), (2, 0));
        assert_eq!(revisions(&queue.next_batch().expect("waiting")), [("a".to_owned(), 99)]);
    }

    #[test]
    fn what_tends_the_store_waits_for_what_is_to_be_written_and_a_reader_for_nothing() {
        let mut queue = WriteQueue::new(100);
        queue.ask(Query::Tend(Tend::Pack, oneshot::channel().0));
        queue.ask(Query::Versions(0, 1, oneshot::channel().0));
        drop(push(&mut queue, vec![note()]));
        assert!(matches!(queue.next_ask(), Some(Query::Versions(..))));
        assert!(queue.next_ask().is_none(), "first the write");
        drop(queue.next_batch().expect("waiting"));
        assert!(matches!(queue.next_ask(), Some(Query::Tend(..))));
    }
}
