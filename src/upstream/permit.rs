//! Leave to make one attempt: settled once, or abandoned when it is dropped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::gate::Gate;
use crate::reliability::breaker::Ticket;
use crate::reliability::verdict::Verdict;
use crate::runtime::clock;

/// Leave to make one attempt.
#[must_use = "a permit that is dropped counts as abandoned"]
pub struct Permit {
    gate: Arc<Gate>,
    ticket: Option<Ticket>,
    worker: usize,
}

impl Permit {
    pub(super) fn new(gate: Arc<Gate>, ticket: Ticket, worker: usize) -> Self {
        Self { gate, ticket: Some(ticket), worker }
    }

    /// How long the attempt may take, when it is a probe.
    pub fn probe_limit(&self, now: Instant) -> Option<Duration> {
        self.ticket.as_ref().filter(|ticket| ticket.is_probe()).and_then(|_| self.gate.probe_limit(now))
    }

    /// The breaker learns how the attempt went.
    pub fn settle(mut self, verdict: Verdict, now: Instant) {
        if let Some(ticket) = self.ticket.take() {
            self.gate.settle(self.worker, ticket, verdict, now);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.gate.settle(self.worker, ticket, Verdict::Abandoned, clock::instant());
        }
    }
}
