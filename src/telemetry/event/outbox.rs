//! What becomes of writes in the outbox.

use std::path::Path;

use tracing::{error, info, warn};

use crate::reliability::outbox::OutboxOutcome;

/// Something has happened to a write of an upstream.
#[derive(Debug)]
pub struct OutboxEvent<'a> {
    pub upstream: &'a str,
    pub outcome: OutboxOutcome,
}

impl OutboxEvent<'_> {
    pub fn tell(&self) {
        let Self { upstream, outcome } = *self;
        match outcome {
            OutboxOutcome::Queued => info!(upstream, "a write is queued"),
            OutboxOutcome::NotQueued => warn!(upstream, "a write could not be queued, its client is refused"),
            OutboxOutcome::Delivered => info!(upstream, "a queued write is delivered"),
            OutboxOutcome::Later => {}
            OutboxOutcome::Dead(reason) => {
                error!(upstream, reason = reason.label(), "a queued write is a dead letter");
            }
            OutboxOutcome::Ordered => info!(upstream, "a queued write is sent again by order"),
            OutboxOutcome::Dropped => info!(upstream, "a queued write is dropped by order"),
        }
    }

    /// The file could not be read to its end.
    pub fn damaged(copy: &Path) {
        error!(copy = %copy.display(), "the outbox ends with bytes that are no record: they are in a copy of the file");
    }
}
