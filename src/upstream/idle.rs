//! What idle connections that were found closed say of their upstream: noticed here, decided in
//! [`idle`](crate::reliability::idle), the module of the core.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::reliability::idle::Closings;

/// What was seen so far, over all workers. The lock is taken when a connection was found closed, and never on the way
/// of a request that goes well.
#[derive(Debug, Default)]
pub struct IdleClosings(Mutex<Closings>);

impl IdleClosings {
    /// The peer has closed a connection to `endpoint` that had been idle for `idle`, at most: after how long it does so, when
    /// that says something about the upstream.
    pub(super) fn seen(&self, endpoint: u64, idle: Duration, now: Instant) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).seen(endpoint, idle, now)
    }

    /// The time after which it was seen closing idle connections sooner than `pool.idle_for`, if it was.
    pub(super) fn closed_after(&self) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).closed_after()
    }
}
