//! A fresh start for an upstream's connections, by order: those that are there take no new exchange, and names are looked up
//! again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::Notify;

/// What a fresh start counts and wakes; kept by name across a reload.
#[derive(Debug, Default)]
pub struct Renewal {
    resets: AtomicU32,
    wake: Arc<Notify>,
}

impl Renewal {
    /// How often there was one.
    pub(super) fn resets(&self) -> u32 {
        self.resets.load(Ordering::Acquire)
    }

    /// What whoever looks names up waits for beside its time.
    pub(super) fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    pub(super) fn renew(&self) {
        self.resets.fetch_add(1, Ordering::AcqRel);
        self.wake.notify_one();
    }
}
