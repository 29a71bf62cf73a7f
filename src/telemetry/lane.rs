//! A bounded queue that one worker alone fills and one reader alone empties. What finds it full is counted and lost; nobody waits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// The worker's end. Written by that worker alone, except `taken`.
#[repr(align(128))]
pub(super) struct Lane<T> {
    items: SyncSender<T>,
    room: usize,
    sent: AtomicU64,
    lost: AtomicU64,
    taken: AtomicU64,
}

impl<T> Lane<T> {
    /// With room for so many, and the reader's end.
    pub(super) fn new(room: usize) -> (Self, Receiver<T>) {
        let (items, reader) = sync_channel(room);
        let (sent, lost, taken) = Default::default();
        (Self { items, room, sent, lost, taken }, reader)
    }

    /// Is there room for one more? What finds none is lost.
    pub(super) fn has_room(&self) -> bool {
        let waiting = self.sent.load(Ordering::Relaxed).saturating_sub(self.taken.load(Ordering::Acquire));
        let has = waiting < self.room as u64;
        if !has {
            self.lose();
        }
        has
    }

    /// One is lost.
    pub(super) fn lose(&self) {
        self.lost.store(self.lost.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    pub(super) fn put(&self, item: T) {
        match self.items.try_send(item) {
            Ok(()) => self.sent.store(self.sent.load(Ordering::Relaxed) + 1, Ordering::Release),
            // Its reader has just left.
            Err(_) => self.lose(),
        }
    }

    /// Those that found no room since the start.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Takes what has come from the reader's end of this lane, at most so many.
    pub(super) fn take(&self, reader: &Receiver<T>, most: usize) -> Vec<T> {
        let all: Vec<T> = reader.try_iter().take(most.min(self.room)).collect();
        self.taken.fetch_add(all.len() as u64, Ordering::Release);
        all
    }
}
