//! The attempts of one exchange: where, and how they count. Whether once more: the file `again`.
//!
//! One permit an exchange (and one of its operation): the breaker learns how the exchange went, and each endpoint how
//! its attempts did. Invariants: no endpoint is tried twice while another is left; an exchange whose breaker opens
//! meanwhile makes no further attempt; a probe is never cut short, though it may come too late to count.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::call::PreparedCall;
use super::error::ProxyError;
use super::exchange::Exchange;
use super::forward::{Answer, Attempt, AttemptMet, WaitingClient};
use super::held::HeldAnswer;
use super::look;
use super::worker::Worker;
use crate::reliability::breaker::{ExchangeEvidence, PermitRequest};
use crate::reliability::drill::Hittable;
use crate::reliability::failover::Group;
use crate::reliability::party::{Blame, Party};
use crate::reliability::payment::PaymentOutcome;
use crate::reliability::retry::{self, NextAttempt};
use crate::reliability::verdict::{BadReason, Last, Outcome, Verdict};
use crate::runtime::timer::Deadline;
use crate::runtime::{clock, pauses};
use crate::telemetry::breakers::BreakerSeries;
use crate::telemetry::event::UpstreamEvent;
use crate::upstream::RouteEntry;
use crate::upstream::endpoint::EndpointState;
use crate::upstream::gate::Gate;
use crate::upstream::operations::Operation;
use crate::upstream::permit::{Begun, Permit, Permits};

/// The attempts of one exchange.
pub(super) struct AttemptLoop<'a> {
    pub(super) worker: &'a Rc<Worker>,
    pub(super) route: &'a Arc<RouteEntry>,
    pub(super) operation: Option<&'a Operation>,
    pub(super) waiting: Option<WaitingClient<'a>>,
    pub(super) party: Party,
    /// It takes a payment, and with no test key.
    pub(super) pays: bool,
    /// What a drill may do to it.
    pub(super) hittable: Hittable,
}

/// One attempt that has ended.
pub(super) struct EndedAttempt {
    pub(super) endpoint: Arc<EndpointState>,
    pub(super) verdict: Verdict,
    began: Instant,
    pub(super) at: Instant,
    pub(super) reused: bool,
    pub(super) unconnected: bool,
    blame: Blame,
}

/// An attempt that was begun, with the leave of its exchange. Dropped, it counts as abandoned.
#[must_use = "an attempt that is dropped counts as abandoned"]
pub(super) struct OpenAttempt<'a> {
    pub(super) permits: Permits<'a>,
    pub(super) begun: Begun<'a>,
    pub(super) so_far: retry::Attempts,
    /// It takes no HTTP/1.1 connection that was used before: one may just have broken.
    pub(super) fresh: bool,
    pub(super) endpoint: Arc<EndpointState>,
    pub(super) began: Instant,
}

/// Where an attempt goes.
pub(super) struct Target<'a> {
    pub(super) endpoint: &'a Arc<EndpointState>,
    pub(super) began: Instant,
    /// As in [`OpenAttempt`].
    pub(super) fresh: bool,
}

impl OpenAttempt<'_> {
    pub(super) fn target(&self) -> Target<'_> {
        Target { endpoint: &self.endpoint, began: self.began, fresh: self.fresh }
    }
}

impl<'a> AttemptLoop<'a> {
    pub(super) fn new(
        worker: &'a Rc<Worker>,
        route: &'a Arc<RouteEntry>,
        operation: Option<&'a Operation>,
        waiting: Option<WaitingClient<'a>>,
        exchange: &Exchange,
    ) -> Self {
        let part = operation.map_or(route.fingerprint, |operation| operation.fingerprint);
        let party = Party { client: Party::client(exchange.client), route: part };
        Self { worker, route, operation, waiting, party, pays: false, hittable: Hittable::Never }
    }

    /// Makes them, until there is an answer or nothing more to try.
    pub(super) async fn run(
        &self,
        call: &mut PreparedCall<'_>,
        exchange: &mut Exchange,
        timer: &mut Deadline,
    ) -> Result<Answer, ProxyError> {
        let mut open =
            self.open(exchange, exchange.started, || call.permit_request(self.route.series.usual()))?;
        let mut held = HeldAnswer::none();
        loop {
            let mut met = AttemptMet::default();
            let mut answer = match self.hedge_after(&open, call) {
                None => self.once(open.target(), call, exchange, timer, &mut met).await,
                // Boxed: it is large, and only where it is asked for.
                Some(after) => {
                    Box::pin(self.hedged((&mut open, &mut met), call, exchange, timer, after)).await
                }
            };
            exchange.reached |= !matches!(&answer, Err(error) if error.sent() != retry::Sent::Maybe);
            let at = clock::instant();
            let counts_as = self.counts_as(&mut answer).await;
            let endpoint = met.endpoint.take().unwrap_or_else(|| Arc::clone(&open.endpoint));
            let verdict = self.verdict(&answer, counts_as, &met, (open.began, at));
            let status = answer.is_ok().then_some(counts_as);
            self.route.upstream.throttle.ended(self.worker.number, verdict, status);
            let mut ended = self.ended(endpoint, verdict, met.reused, open.began, at);
            ended.unconnected = matches!(answer, Err(ProxyError::Connect { .. }));
            open = match answer {
                Ok(answer) => match self.after_answer(&mut open, &ended, &answer, call, exchange) {
                    NextAttempt::Stop => {
                        held.discard();
                        self.ends(open, ended, answer.head.status, exchange);
                        return Ok(answer);
                    }
                    // Boxed: it is large, and rare.
                    next @ (NextAttempt::Now(_) | NextAttempt::Paid(..) | NextAttempt::Wait(_)) => {
                        match Box::pin(self.set_aside(open, ended, answer, next, exchange, &mut held)).await {
                            Ok(open) => open,
                            Err(answer) => return Ok(*answer),
                        }
                    }
                },
                Err(error) => match self.again(open, ended, error, call.repeatable(), exchange).await {
                    Ok(open) => open,
                    Err(error) => return held.or(error, exchange),
                },
            };
        }
    }

    /// The exchange ends with the answer of this attempt: all is settled.
    pub(super) fn ends(
        &self,
        open: OpenAttempt<'_>,
        ended: EndedAttempt,
        status: u16,
        exchange: &mut Exchange,
    ) {
        exchange.endpoint = Some(Arc::clone(&ended.endpoint));
        exchange.answered(status, ended.at);
        self.paid(ended.verdict, Some(status));
        self.settle(open, ended, &exchange.tried);
    }

    /// Begins the first attempt of an exchange, whatever it speaks; an error: it may not be made, or there is
    /// nowhere to make it.
    /// `ask` is only called when a breaker is not plainly closed.
    pub(super) fn open(
        &self,
        exchange: &mut Exchange,
        now: Instant,
        ask: impl Fn() -> PermitRequest,
    ) -> Result<OpenAttempt<'a>, ProxyError> {
        let permits = self.admit(now, ask)?;
        let upstream = &self.route.upstream;
        // What the breaker wants to know is always asked.
        if !permits.is_probe() && upstream.throttle.refuses(self.worker.number, || self.worker.draw()) {
            return Err(ProxyError::Throttled { upstream: upstream.config.name.clone() });
        }
        self.begin(exchange, permits, retry::Attempts::default(), now)
    }

    pub(super) fn begin(
        &self,
        exchange: &mut Exchange,
        permits: Permits<'a>,
        mut so_far: retry::Attempts,
        began: Instant,
    ) -> Result<OpenAttempt<'a>, ProxyError> {
        let Some(endpoint) = self.route.upstream.pick(&exchange.tried, self.worker.draw(), began) else {
            return Err(self.nowhere(permits, began));
        };
        so_far.made += 1;
        exchange.attempts = so_far.made;
        let begun = Begun::new(&self.route.upstream.series, self.worker.number);
        let fresh = so_far.made > 1;
        Ok(OpenAttempt { permits, begun, so_far, fresh, endpoint, began })
    }

    /// May the upstream be called, and its `operation`?
    fn admit(&self, now: Instant, ask: impl Fn() -> PermitRequest) -> Result<Permits<'a>, ProxyError> {
        let upstream = &self.route.upstream;
        let permit = self.leave(&upstream.gate, &upstream.breaker, now, &ask)?;
        let operation = match self.operation {
            // What is usual for the route says nothing of one operation.
            Some(operation) => {
                let ask = || PermitRequest { usual: None, ..ask() };
                Some((self.leave(&operation.gate, &operation.series, now, ask)?, operation))
            }
            None => None,
        };
        let backup = (upstream.group == Group::Backup).then_some(&*upstream.breaker);
        Ok(Permits { upstream: permit, operation, backup })
    }

    fn leave(
        &self,
        gate: &Arc<Gate>,
        series: &BreakerSeries,
        now: Instant,
        ask: impl Fn() -> PermitRequest,
    ) -> Result<Permit, ProxyError> {
        match gate.admit(self.worker.number, now, self.worker.draw(), ask) {
            Ok(permit) => {
                if permit.is_against_shadow() {
                    series.would_refuse(self.worker.number);
                }
                Ok(permit)
            }
            Err(refusal) => {
                series.refused(refusal);
                Err(ProxyError::Refused { breaker: Arc::clone(&series.label), refusal })
            }
        }
    }

    pub(super) async fn once(
        &self,
        target: Target<'_>,
        call: &mut PreparedCall<'_>,
        exchange: &Exchange,
        timer: &mut Deadline,
        met: &mut AttemptMet,
    ) -> Result<Answer, ProxyError> {
        let _in_flight = target.endpoint.begin();
        let attempt = Attempt {
            pools: &self.worker.pools,
            route: self.route,
            endpoint: target.endpoint,
            fresh: target.fresh,
            over_at: over_at(self.route, exchange.started, target.began),
            waiting: self.waiting,
        };
        // Boxed: only a drill makes it.
        if let Some(fault) = exchange.fault(self.hittable, target.began)
            && let Some(instead) = Box::pin(attempt.suffer(fault, call, timer, target.began)).await
        {
            return instead;
        }
        attempt.run(call, timer, target.began, met).await
    }

    /// The status by which an answer counts.
    async fn counts_as(&self, answer: &mut Result<Answer, ProxyError>) -> u16 {
        let judge = &self.route.upstream.config.judge;
        match answer {
            // Boxed: it is rare.
            Ok(answer) if judge.looks_into(answer.head.status) => Box::pin(look::status(judge, answer)).await,
            Ok(answer) => answer.head.status,
            Err(_) => 0,
        }
    }

    fn verdict(
        &self,
        answer: &Result<Answer, ProxyError>,
        status: u16,
        met: &AttemptMet,
        (began, at): (Instant, Instant),
    ) -> Verdict {
        let outcome = match answer {
            Ok(answer) => Outcome::Answered {
                status,
                retry_after: answer.retry_after(),
                grpc: answer.grpc_status(),
                took: pauses::ran(began, at),
            },
            Err(error) => return self.failed(error, met, (began, at)),
        };
        self.route.upstream.config.judge.judge(outcome)
    }

    fn failure(&self, error: &ProxyError, reused: bool, began: Instant, at: Instant) -> Outcome {
        let stalled = self.worker.pulse.stood_still(began, at) || !pauses::between(began, at).is_zero();
        error.failure(reused, stalled).map_or(Outcome::ClientGone, Outcome::Failed)
    }

    /// The verdict on an attempt that has failed.
    pub(super) fn failed(
        &self,
        error: &ProxyError,
        met: &AttemptMet,
        (began, at): (Instant, Instant),
    ) -> Verdict {
        self.route.upstream.config.judge.judge(self.failure(error, met.reused, began, at))
    }

    /// An attempt has ended: its endpoint learns of it.
    pub(super) fn ended(
        &self,
        endpoint: Arc<EndpointState>,
        verdict: Verdict,
        reused: bool,
        began: Instant,
        at: Instant,
    ) -> EndedAttempt {
        let upstream = &self.route.upstream;
        let blame = self.blame(&endpoint, verdict, at);
        let took = at.saturating_duration_since(began);
        let ejection = upstream.observe(&endpoint, verdict, &blame, took, at, self.worker.draw());
        if let Some(ejection) = ejection {
            upstream.series.ejected(ejection.why);
            UpstreamEvent::EndpointEjected {
                upstream: upstream.config.name.as_str(),
                endpoint: &endpoint.addr.to_string(),
                why: ejection.why.label(),
                seconds: ejection.until.saturating_duration_since(at).as_secs_f64(),
                times: ejection.times,
            }
            .tell();
        }
        EndedAttempt { endpoint, began, at, reused, unconnected: false, verdict, blame }
    }

    /// To whom an attempt is put down. What only matters of a bad one is only looked up for a bad one.
    fn blame(&self, endpoint: &EndpointState, verdict: Verdict, now: Instant) -> Blame {
        let upstream = &self.route.upstream;
        if verdict == Verdict::Good || matches!(verdict, Verdict::Inconclusive(_)) {
            return Blame { party: self.party, ..Blame::default() };
        }
        Blame {
            party: self.party,
            endpoint: endpoint.id as u32,
            lately: upstream.gate.lately(self.party, now),
            alternatives: upstream.alternatives(endpoint, now),
        }
    }

    /// The exchange ends with this attempt: metrics and breaker learn of it.
    pub(super) fn settle(
        &self,
        open: OpenAttempt<'_>,
        mut ended: EndedAttempt,
        tried: &[Arc<EndpointState>],
    ) {
        // What failed elsewhere too speaks against the upstream, whichever endpoints are still in rotation.
        if tried.iter().any(|other| other.id != ended.endpoint.id) {
            ended.blame.alternatives = 0;
        }
        open.begun.settle(ended.verdict, ended.verdict.against(Last::Yes));
        let evidence = ExchangeEvidence {
            verdict: ended.verdict,
            began: ended.began,
            blame: ended.blame,
            endpoint: Some(ended.endpoint.addr),
            reused: ended.reused,
            route: Some(self.route.name()),
            unconnected: ended.unconnected,
        };
        open.permits.settle(&evidence, self.route.fingerprint, ended.at);
    }

    pub(super) fn paid(&self, verdict: Verdict, status: Option<u16>) {
        if let (true, Some(outcome)) = (self.pays, PaymentOutcome::of(verdict, status)) {
            self.route.upstream.series.paid(outcome);
        }
    }

    /// There is no address to try.
    fn nowhere(&self, permits: Permits<'_>, now: Instant) -> ProxyError {
        let upstream = &self.route.upstream;
        self.paid(Verdict::Bad(BadReason::Connect), None);
        let lately = upstream.gate.lately(self.party, now);
        let evidence = ExchangeEvidence {
            blame: Blame { party: self.party, lately, ..Blame::default() },
            route: Some(self.route.name()),
            ..ExchangeEvidence::of(Verdict::Bad(BadReason::Connect), now)
        };
        permits.settle(&evidence, self.route.fingerprint, now);
        ProxyError::NoAddress { upstream: upstream.config.name.clone() }
    }
}

/// When an attempt must be over in any case: the exchange's own end, the limit of one try.
fn over_at(route: &RouteEntry, started: Instant, now: Instant) -> Option<Instant> {
    let total = route.timeouts.total.map(|total| started + total);
    let per_try = route.timeouts.per_try.map(|limit| now + limit);
    [total, per_try].into_iter().flatten().min()
}
