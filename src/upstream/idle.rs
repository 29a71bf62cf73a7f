//! What idle connections that were found closed say of their upstream: noticed here, decided in
//! [`idle`](crate::reliability::idle), the module of the core.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Upstream;
use crate::reliability::idle::Closings;
use crate::telemetry::event::UpstreamEvent;
use crate::units::Written as _;

/// What was seen so far, over all workers. The lock is taken when a connection was found closed, and never on the way
/// of a request that goes well.
#[derive(Debug, Default)]
pub struct IdleClosings(Mutex<Closings>);

impl Upstream {
    /// The peer has closed a connection to `endpoint` that had been idle for `idle`, at most: sooner than it would have
    /// been closed here. Tells it when that says something about the upstream.
    pub fn found_closed(&self, endpoint: u64, idle: Duration, now: Instant) {
        let mut closings = self.closings.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = closings.seen(endpoint, idle, now);
        drop(closings);
        if let Some(seen) = seen {
            let idle_for = self.config.pool.idle_for.h1.write();
            let after = Duration::from_millis(u64::try_from(seen.as_millis()).unwrap_or(u64::MAX)).write();
            UpstreamEvent::IdleClosed {
                upstream: self.config.name.as_str(),
                after: &after,
                idle_for: &idle_for,
            }
            .tell();
        }
    }

    /// The time after which it was seen closing idle connections sooner than `pool.idle_for`, if it was.
    pub fn idle_closed_after(&self) -> Option<Duration> {
        self.closings.0.lock().unwrap_or_else(PoisonError::into_inner).closed_after()
    }
}
