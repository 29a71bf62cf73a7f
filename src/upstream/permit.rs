//! Leave to make the attempts of one exchange, and an attempt that was begun with it: settled once, or abandoned
//! when it is dropped.

use std::sync::Arc;
use std::time::Instant;

use super::gate::Gate;
use super::operations::Operation;
use crate::reliability::breaker::{ExchangeEvidence, PermitRequest, Refusal, Ticket};
use crate::reliability::party::{Lately, Party};
use crate::reliability::verdict::{Against, Verdict};
use crate::runtime::clock;
use crate::telemetry::breakers::BreakerSeries;
use crate::telemetry::upstreams::UpstreamSeries;

/// Leave to make the attempts of one exchange.
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

    /// Is the exchange a probe of a half-open breaker?
    pub fn is_probe(&self) -> bool {
        self.ticket.as_ref().is_some_and(Ticket::is_probe)
    }

    /// Would a breaker that is on have refused it?
    pub fn is_against_shadow(&self) -> bool {
        self.ticket.as_ref().is_some_and(Ticket::is_uncounted)
    }

    /// May the exchange make another attempt? Not when the breaker has opened since.
    pub fn goes_on(&self, now: Instant) -> bool {
        self.ticket.as_ref().is_some_and(|ticket| self.gate.goes_on(ticket.generation(), now))
    }

    /// The breaker learns how the exchange went.
    pub fn settle(mut self, evidence: &ExchangeEvidence<'_>, now: Instant) {
        if let Some(ticket) = self.ticket.take() {
            self.gate.settle(self.worker, ticket, evidence, now);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let now = clock::instant();
            self.gate.settle(self.worker, ticket, &ExchangeEvidence::of(Verdict::ABANDONED, now), now);
        }
    }
}

impl Gate {
    /// May one more exchange start? `ask` is only called when the breaker is not steady.
    pub fn admit(
        self: &Arc<Self>,
        worker: usize,
        now: Instant,
        draw: u64,
        ask: impl FnOnce() -> PermitRequest,
    ) -> Result<Permit, Refusal> {
        Ok(Permit::new(Arc::clone(self), self.ticket(now, draw, ask)?, worker))
    }
}

/// Leave from an upstream's breaker, and from the one of the exchange's operation where it has one.
#[must_use = "permits that are dropped count as abandoned"]
pub struct Permits<'a> {
    /// Leave from the upstream's own breaker.
    pub upstream: Permit,
    /// Leave from the operation's breaker; `None`: the request is none of an operation.
    pub operation: Option<(Permit, &'a Operation)>,
    /// Where failed exchanges are counted, when the breaker is a backup group's.
    pub backup: Option<&'a BreakerSeries>,
}

impl Permits<'_> {
    /// May the exchange make another attempt? Not when one of the breakers has opened since.
    pub fn goes_on(&self, now: Instant) -> bool {
        let operation = self.operation.as_ref().is_none_or(|(permit, _)| permit.goes_on(now));
        operation && self.upstream.goes_on(now)
    }

    /// Is the exchange a probe of one of the breakers?
    pub fn is_probe(&self) -> bool {
        self.upstream.is_probe() || self.operation.as_ref().is_some_and(|(permit, _)| permit.is_probe())
    }

    /// Both breakers learn how the exchange went; `route`: the fingerprint of its route.
    pub fn settle(self, evidence: &ExchangeEvidence<'_>, route: u32, now: Instant) {
        if let Some((permit, operation)) = self.operation {
            let party = Party { route, ..evidence.blame.party };
            let lately = match evidence.verdict {
                Verdict::Good | Verdict::Inconclusive(_) => Lately::default(),
                Verdict::Slow | Verdict::Bad(_) | Verdict::RateLimited { .. } => {
                    operation.gate.lately(party, now)
                }
            };
            let evidence = evidence.of_operation(party, lately);
            if matches!(evidence.verdict, Verdict::Bad(_)) {
                operation.series.failed();
            }
            permit.settle(&evidence, now);
        }
        if let (Some(series), Verdict::Bad(_)) = (self.backup, evidence.verdict) {
            series.failed();
        }
        self.upstream.settle(evidence, now);
    }
}

/// An attempt that was begun.
#[must_use = "an attempt that is dropped counts as abandoned"]
pub struct Begun<'a> {
    series: Option<&'a UpstreamSeries>,
    worker: usize,
}

impl<'a> Begun<'a> {
    /// The attempt begins: from here it is counted in `series`.
    pub fn new(series: &'a UpstreamSeries, worker: usize) -> Self {
        Self { series: Some(series), worker }
    }

    /// The metrics learn how it went, and against whom that speaks.
    pub fn settle(mut self, verdict: Verdict, against: Against) {
        if let Some(series) = self.series.take() {
            series.attempted(self.worker, verdict, against);
        }
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if let Some(series) = self.series.take() {
            series.attempted(self.worker, Verdict::ABANDONED, Against::Nobody);
        }
    }
}
