//! What is queued in the outbox, and what became of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::UNIX_EPOCH;

use super::event::OutboxEvent;
use super::family::Family;
use crate::reliability::outbox::{OutboxOutcome, QueueSums};
use crate::runtime::clock;

#[derive(Debug, Default)]
struct OutboxSums {
    outcomes: BTreeMap<(String, OutboxOutcome), u64>,
}

/// What is queued now, by upstream.
type QueuedNow = Box<dyn Fn() -> BTreeMap<Arc<str>, QueueSums> + Send + Sync>;

/// What is counted of the outbox.
#[derive(Default)]
pub struct OutboxMetrics {
    sums: Mutex<OutboxSums>,
    /// Asked when somebody reads; unset: there is no outbox.
    queued: OnceLock<QueuedNow>,
}

impl OutboxMetrics {
    fn sums(&self) -> MutexGuard<'_, OutboxSums> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is queued is what `queued` says whenever it is asked.
    pub fn ask(&self, queued: impl Fn() -> BTreeMap<Arc<str>, QueueSums> + Send + Sync + 'static) {
        let _ = self.queued.set(Box::new(queued));
    }

    /// Counts and logs what has happened to a write of an upstream.
    pub fn count(&self, upstream: &str, outcome: OutboxOutcome) {
        OutboxEvent { upstream, outcome }.tell();
        *self.sums().outcomes.entry((upstream.to_owned(), outcome)).or_default() += 1;
    }

    pub(super) fn families(&self) -> [Family; 4] {
        let now = clock::now().wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut writes =
            Family::gauge("strop_outbox_writes", "Writes in the outbox: to be sent, and dead letters.");
        let mut bytes = Family::gauge("strop_outbox_bytes", "Bytes of the writes in the outbox.");
        let mut oldest = Family::gauge(
            "strop_outbox_oldest_seconds",
            "Age of the oldest write that is to be sent; absent: there is none.",
        );
        let mut outcomes = Family::counter(
            "strop_outbox_outcomes_total",
            "What happened to writes of the outbox; reason: of dead letters.",
        );
        let all = self.queued.get().map(|queued| queued()).unwrap_or_default();
        let sums = self.sums();
        for (upstream, queued) in &all {
            writes.set(&[("upstream", upstream), ("state", "waiting")], queued.waiting as f64);
            writes.set(&[("upstream", upstream), ("state", "dead")], queued.dead as f64);
            bytes.set(&[("upstream", upstream)], queued.bytes as f64);
            if let Some(at) = queued.oldest {
                oldest.set(&[("upstream", upstream)], (now - at.0 as f64 / 1_000.0).max(0.0));
            }
        }
        for ((upstream, outcome), count) in &sums.outcomes {
            let reason = match outcome {
                OutboxOutcome::Dead(reason) => reason.label(),
                OutboxOutcome::Queued
                | OutboxOutcome::NotQueued
                | OutboxOutcome::Delivered
                | OutboxOutcome::Later
                | OutboxOutcome::Ordered
                | OutboxOutcome::Dropped => "",
            };
            let labels = [("upstream", upstream.as_str()), ("outcome", outcome.label()), ("reason", reason)];
            outcomes.count(&labels, *count);
        }
        [writes, bytes, oldest, outcomes]
    }
}
