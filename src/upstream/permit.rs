//! Leave to make one attempt, and the attempt that was begun with it: settled once, or abandoned when it is dropped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::gate::Gate;
use crate::reliability::breaker::Ticket;
use crate::reliability::verdict::Verdict;
use crate::runtime::clock;
use crate::telemetry::upstreams::UpstreamSeries;

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

    /// The attempt begins: from here it is counted in `series`.
    pub fn begin(self, series: &UpstreamSeries) -> Begun<'_> {
        Begun { permit: Some(self), series }
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

/// An attempt that was begun.
#[must_use = "an attempt that is dropped counts as abandoned"]
pub struct Begun<'a> {
    permit: Option<Permit>,
    series: &'a UpstreamSeries,
}

impl Begun<'_> {
    /// The breaker and the metrics learn how it went.
    pub fn settle(mut self, verdict: Verdict, now: Instant) {
        if let Some(permit) = self.permit.take() {
            self.series.attempted(permit.worker, verdict);
            permit.settle(verdict, now);
        }
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.series.attempted(permit.worker, Verdict::Abandoned);
        }
    }
}
