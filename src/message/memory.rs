//! How many bytes of traffic are in buffers, in all and by client, and how many there may be.
//!
//! [Accounts](super::account) publish what they hold. What the kernel buffers is measured from outside
//! ([`MemoryBudget::measured`]); between two measurements a connection that has just stalled counts as if its
//! socket buffers were full.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use tokio::sync::Notify;

use crate::reliability::overload::Marks;
use crate::reliability::party::Party;

/// What is not known.
const UNKNOWN: usize = usize::MAX;

/// The bytes in buffers of all connections of the process, and their marks.
#[derive(Debug)]
pub struct MemoryBudget {
    limit: AtomicUsize,
    buffers: AtomicUsize,
    /// What the kernel may hold for connections that are stalled.
    reserved: AtomicUsize,
    /// The part of it that the last measurement cannot have seen.
    fresh: AtomicUsize,
    kernel: AtomicUsize,
    strained: AtomicBool,
    /// Of one connection each way.
    socket: AtomicUsize,
    is_tight: AtomicBool,
    tightens: Notify,
    is_full: AtomicBool,
    clients: Box<[AtomicUsize]>,
    /// What peers may send ahead of their readers, beyond what each stream begins with.
    widened: AtomicUsize,
    ended: [AtomicU64; CutReason::ALL.len()],
}

/// Of the limit, what [`MemoryBudget::widen`] gives in all.
const WIDENED: usize = 16;

/// Bytes that a peer may send ahead of its reader, until this is dropped.
#[derive(Debug, Default)]
pub struct Widened {
    budget: Option<Arc<MemoryBudget>>,
    bytes: usize,
}

impl Drop for Widened {
    fn drop(&mut self) {
        if let Some(budget) = &self.budget {
            budget.widened.fetch_sub(self.bytes, Relaxed);
        }
    }
}

/// Why a connection was ended by this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutReason {
    /// Memory was short, and it held much of it without moving.
    Memory,
    /// It was the slowest of those that held what others waited for.
    Slow,
    /// It sent too many HTTP/2 frames that bring nothing.
    Flood,
}

impl CutReason {
    /// In the order in which they are counted.
    pub const ALL: [Self; 3] = [Self::Memory, Self::Slow, Self::Flood];

    /// The label in metrics and in the access log.
    pub fn label(self) -> &'static str {
        match self {
            Self::Memory => "memory_short",
            Self::Slow => "client_too_slow",
            Self::Flood => "h2_flood",
        }
    }
}

impl Default for MemoryBudget {
    fn default() -> Self {
        let number = || AtomicUsize::new(0);
        let boundless = || AtomicUsize::new(UNKNOWN);
        Self {
            limit: boundless(),
            buffers: number(),
            reserved: number(),
            fresh: number(),
            kernel: boundless(),
            strained: AtomicBool::new(false),
            socket: boundless(),
            is_tight: AtomicBool::new(false),
            tightens: Notify::new(),
            is_full: AtomicBool::new(false),
            clients: (0..Party::BUCKETS).map(|_| number()).collect(),
            widened: number(),
            ended: Default::default(),
        }
    }
}

impl MemoryBudget {
    /// `limit` bytes in all.
    pub fn allow(&self, limit: usize) {
        self.limit.store(limit, Relaxed);
        self.judge();
    }

    /// `bytes` more that a peer may send ahead of its reader: those of all connections stay a part of the limit, for all of
    /// them may come and stay.
    pub fn widen(self: &Arc<Self>, bytes: usize) -> Option<Widened> {
        let before = self.widened.fetch_add(bytes, Relaxed);
        let widened = Widened { budget: Some(Arc::clone(self)), bytes };
        (before + bytes <= self.limit.load(Relaxed) / WIDENED && !self.is_tight()).then_some(widened)
    }

    fn marks(&self) -> Marks {
        Marks::of(self.limit.load(Relaxed))
    }

    /// Bytes above the mark from which on connections are ended.
    pub fn excess(&self) -> usize {
        self.held().saturating_sub(self.marks().ending)
    }

    /// The kernel holds so many bytes for this process' sockets (`None`: not observable); `strained`: its control group
    /// is near its end, whoever holds the bytes.
    pub fn measured(&self, kernel: Option<usize>, strained: bool) {
        self.kernel.store(kernel.unwrap_or(UNKNOWN), Relaxed);
        self.fresh.store(0, Relaxed);
        self.strained.store(strained, Relaxed);
        self.judge();
    }

    /// The kernel is to hold so many bytes of one connection each way; `None`: its own measure. Said
    /// once, at the start.
    pub fn bound_sockets(&self, bytes: Option<usize>) {
        self.socket.store(bytes.unwrap_or(UNKNOWN), Relaxed);
    }

    /// Bytes that the kernel is to hold of one connection each way; `None`: its own measure.
    pub fn socket(&self) -> Option<usize> {
        Some(self.socket.load(Relaxed)).filter(|bytes| *bytes != UNKNOWN)
    }

    fn judge(&self) {
        let (held, marks) = (self.held(), self.marks());
        self.is_full.store(held >= marks.limit, Relaxed);
        let tight = self.strained.load(Relaxed) || held >= marks.tight;
        if tight != self.is_tight.load(Relaxed) && !self.is_tight.swap(tight, Relaxed) && tight {
            self.tightens.notify_waiters();
        }
    }

    /// Until bytes become short.
    pub async fn becomes_tight(&self) {
        self.tightens.notified().await;
    }

    pub(super) fn change(&self, client: u32, buffers: (usize, usize), reserved: (usize, usize)) {
        move_by(&self.buffers, buffers);
        move_by(&self.reserved, reserved);
        if reserved.1 > reserved.0 {
            move_by(&self.fresh, reserved);
        }
        move_by(self.bucket(client), (buffers.0 + reserved.0, buffers.1 + reserved.1));
        self.judge();
    }

    /// One more connection is ended.
    pub(super) fn ends(&self, cut: CutReason) {
        let count = CutReason::ALL.iter().position(|one| *one == cut).and_then(|at| self.ended.get(at));
        if let Some(count) = count {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Bytes that connections of the client with this fingerprint hold.
    pub fn of_client(&self, client: u32) -> usize {
        self.bucket(client).load(Relaxed)
    }

    fn bucket(&self, client: u32) -> &AtomicUsize {
        &self.clients[Party::bucket(client)]
    }

    /// All that counts, in bytes.
    pub fn held(&self) -> usize {
        let sockets = match self.kernel.load(Relaxed) {
            UNKNOWN => self.reserved.load(Relaxed),
            kernel => kernel.saturating_add(self.fresh.load(Relaxed)),
        };
        self.buffers.load(Relaxed).saturating_add(sockets)
    }

    /// Bytes in buffers of this process.
    pub fn buffers(&self) -> usize {
        self.buffers.load(Relaxed)
    }

    /// Bytes that the kernel holds for its sockets, as measured last; `None`: not observable.
    pub fn kernel(&self) -> Option<usize> {
        Some(self.kernel.load(Relaxed)).filter(|kernel| *kernel != UNKNOWN)
    }

    /// All that may be held; `None`: no bound is known.
    pub fn limit(&self) -> Option<usize> {
        Some(self.limit.load(Relaxed)).filter(|limit| *limit != UNKNOWN)
    }

    /// Are they short? Then buffers stay small.
    pub fn is_tight(&self) -> bool {
        self.is_tight.load(Relaxed)
    }

    /// Does `client` hold more than its share of a budget that is short?
    pub fn is_beyond_its_share(&self, client: u32) -> bool {
        self.is_tight() && self.of_client(client) >= self.marks().share
    }

    /// Is there nothing left for `client`? Where all is in use, a client that holds next to nothing still gets what an
    /// ordinary exchange needs: others have taken it, and are being ended for that. Unless the control group is near
    /// its end, or a quarter more than all is in use, of which only what was measured counts: a burst of stalls is no
    /// reason to refuse it.
    pub fn is_used_up_for(&self, client: u32) -> bool {
        let Marks { limit, share, .. } = self.marks();
        let measured = || self.buffers().saturating_add(self.kernel().unwrap_or(0));
        self.is_full.load(Relaxed)
            && (self.of_client(client) >= share / 16
                || self.strained.load(Relaxed)
                || measured() >= limit.saturating_add(share))
    }

    /// Connections that were ended, by reason.
    pub fn ended(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CutReason::ALL.iter().zip(&self.ended).map(|(cut, count)| (cut.label(), count.load(Relaxed)))
    }
}

fn move_by(number: &AtomicUsize, (from, to): (usize, usize)) {
    if to > from {
        number.fetch_add(to - from, Relaxed);
    } else if from > to {
        // Only what was added is taken off; `fresh` may have been emptied meanwhile, and only grows here.
        number.fetch_sub(from - to, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_stalls_is_refused_and_a_client_that_holds_nothing_is_not() {
        let budget = MemoryBudget::default();
        budget.allow(1_000);
        budget.bound_sockets(Some(100));
        for _ in 0..20 {
            budget.change(7, (0, 0), (0, 100));
        }
        assert!(budget.held() >= 1_250 && budget.is_used_up_for(7) && !budget.is_used_up_for(8));
        budget.measured(Some(1_300), false);
        assert!(budget.is_used_up_for(8), "it is so, not only feared");
        budget.measured(Some(1_100), false);
        assert!(!budget.is_used_up_for(8));
        budget.measured(Some(1_100), true);
        assert!(budget.is_used_up_for(8), "the control group is near its end");
    }
}
