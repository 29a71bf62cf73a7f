//! The attempts of one exchange: where, how they count, whether once more.
//!
//! One permit an exchange (and one of its operation): the breaker learns how the exchange went, and each endpoint how its attempts did. Invariants:
//! no endpoint is tried twice while another is left; an exchange whose breaker opens meanwhile makes no further attempt;
//! a probe is never cut short, though it may come too late to count.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::call::PreparedCall;
use super::error::ProxyError;
use super::exchange::Exchange;
use super::forward::{Answer, Asker, Attempt, AttemptMet};
use super::worker::Worker;
use crate::message::head::{Framing, Known, Method};
use crate::reliability::breaker::{ExchangeEvidence, Fitness, PermitRequest};
use crate::reliability::party::{Blame, Party};
use crate::reliability::retry::{self, NextAttempt, Repeatable};
use crate::reliability::verdict::{self, BadReason, Last, Outcome, RETRY_AFTER_CAP, Verdict};
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
    pub(super) asker: Option<Asker<'a>>,
    pub(super) party: Party,
    /// It takes a payment, and with no test key.
    pub(super) pays: bool,
}

/// One attempt that has ended.
pub(super) struct EndedAttempt {
    pub(super) endpoint: Arc<EndpointState>,
    pub(super) verdict: Verdict,
    began: Instant,
    at: Instant,
    reused: bool,
    pub(super) unconnected: bool,
    blame: Blame,
}

impl<'a> AttemptLoop<'a> {
    pub(super) fn new(
        worker: &'a Rc<Worker>,
        route: &'a Arc<RouteEntry>,
        operation: Option<&'a Operation>,
        asker: Option<Asker<'a>>,
        exchange: &Exchange,
    ) -> Self {
        let part = operation.map_or(route.fingerprint, |operation| operation.fingerprint);
        let party = Party { client: Party::client(exchange.client), route: part };
        Self { worker, route, operation, asker, party, pays: false }
    }

    /// Makes them, until there is an answer or nothing more to try.
    pub(super) async fn run(
        &self,
        call: &mut PreparedCall<'_>,
        exchange: &mut Exchange,
        timer: &mut Deadline,
    ) -> Result<Answer, ProxyError> {
        let mut now = exchange.started;
        let permits = self.admit(now, || ask(call, self.route))?;
        let mut so_far = retry::Attempts::default();
        loop {
            let Some(endpoint) = self.pick(exchange, now) else {
                return Err(self.nowhere(permits, now));
            };
            so_far.made += 1;
            exchange.attempts = so_far.made;
            let begun = self.begin();
            let mut met = AttemptMet::default();
            let answer = self.once(&endpoint, call, exchange, timer, now, &mut met).await;
            let endpoint = met.endpoint.take().unwrap_or(endpoint);
            let at = clock::instant();
            let verdict = self.verdict(&answer, &met, now, at);
            let mut ended = self.ended(endpoint, verdict, met.reused, now, at);
            ended.unconnected = matches!(answer, Err(ProxyError::Connect { .. }));
            let error = match answer {
                Ok(answer) => {
                    exchange.endpoint = Some(Arc::clone(&ended.endpoint));
                    exchange.answered(answer.head.status, ended.at);
                    self.paid(ended.verdict, Some(answer.head.status));
                    self.settle(begun, permits, ended, &exchange.tried);
                    return Ok(answer);
                }
                Err(error) => error,
            };
            exchange.tried(&ended.endpoint);
            let again = self.again(&mut so_far, &error, repeatable(call), exchange, &ended, &permits).await;
            let Some(at) = again else {
                exchange.endpoint = Some(Arc::clone(&ended.endpoint));
                self.paid(ended.verdict, None);
                self.settle(begun, permits, ended, &exchange.tried);
                return Err(error);
            };
            begun.settle(ended.verdict, ended.verdict.against(Last::No));
            now = at;
        }
    }

    /// May the upstream be called, and its `operation`? `ask` is only called when a breaker is not plainly closed.
    pub(super) fn admit(
        &self,
        now: Instant,
        ask: impl Fn() -> PermitRequest,
    ) -> Result<Permits<'a>, ProxyError> {
        let upstream = &self.route.upstream;
        let permit = self.leave(&upstream.gate, &upstream.series.breaker, now, &ask)?;
        let operation = match self.operation {
            // What is usual for the route says nothing of one operation.
            Some(operation) => {
                let ask = || PermitRequest { usual: None, ..ask() };
                Some((self.leave(&operation.gate, &operation.series, now, ask)?, operation))
            }
            None => None,
        };
        Ok(Permits { upstream: permit, operation })
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

    pub(super) fn pick(&self, exchange: &Exchange, now: Instant) -> Option<Arc<EndpointState>> {
        self.route.upstream.pick(&exchange.tried, self.worker.draw(), now)
    }

    pub(super) fn begin(&self) -> Begun<'a> {
        Begun::new(&self.route.upstream.series, self.worker.number)
    }

    async fn once(
        &self,
        endpoint: &Arc<EndpointState>,
        call: &mut PreparedCall<'_>,
        exchange: &Exchange,
        timer: &mut Deadline,
        now: Instant,
        met: &mut AttemptMet,
    ) -> Result<Answer, ProxyError> {
        let _in_flight = endpoint.begin();
        let attempt = Attempt {
            pools: &self.worker.pools,
            route: self.route,
            endpoint,
            fresh: exchange.attempts > 1,
            over_at: over_at(self.route, exchange.started, now),
            asker: self.asker,
        };
        attempt.run(call, timer, now, met).await
    }

    fn verdict(
        &self,
        answer: &Result<Answer, ProxyError>,
        met: &AttemptMet,
        began: Instant,
        at: Instant,
    ) -> Verdict {
        let outcome = match answer {
            Ok(answer) => Outcome::Answered {
                status: answer.head.status,
                retry_after: wish(answer),
                grpc: grpc(answer),
                took: pauses::ran(began, at),
            },
            Err(error) => self.failure(error, met.reused, began, at),
        };
        self.route.upstream.config.judge.judge(outcome)
    }

    fn failure(&self, error: &ProxyError, reused: bool, began: Instant, at: Instant) -> Outcome {
        let stalled = self.worker.pulse.stood_still(began, at) || !pauses::between(began, at).is_zero();
        error.failure(reused, stalled).map_or(Outcome::ClientGone, Outcome::Failed)
    }

    /// The verdict on an attempt that got no connection.
    pub(super) fn unconnected(&self, error: &ProxyError, began: Instant, at: Instant) -> Verdict {
        self.route.upstream.config.judge.judge(self.failure(error, false, began, at))
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
        begun: Begun<'_>,
        permits: Permits<'_>,
        mut ended: EndedAttempt,
        tried: &[Arc<EndpointState>],
    ) {
        // What failed elsewhere too speaks against the upstream, whichever endpoints are still in rotation.
        if tried.iter().any(|other| other.id != ended.endpoint.id) {
            ended.blame.alternatives = 0;
        }
        begun.settle(ended.verdict, ended.verdict.against(Last::Yes));
        let evidence = ExchangeEvidence {
            verdict: ended.verdict,
            began: ended.began,
            blame: ended.blame,
            endpoint: Some(ended.endpoint.addr),
            reused: ended.reused,
            route: Some(&self.route.config.name),
            unconnected: ended.unconnected,
        };
        permits.settle(&evidence, self.route.fingerprint, ended.at);
    }

    fn paid(&self, verdict: Verdict, status: Option<u16>) {
        if self.pays {
            self.route.upstream.series.paid(verdict, status);
        }
    }

    /// There is no address to try.
    pub(super) fn nowhere(&self, permits: Permits<'_>, now: Instant) -> ProxyError {
        let upstream = &self.route.upstream;
        self.paid(Verdict::Bad(BadReason::Connect), None);
        let lately = upstream.gate.lately(self.party, now);
        let evidence = ExchangeEvidence {
            blame: Blame { party: self.party, lately, ..Blame::default() },
            route: Some(&self.route.config.name),
            ..ExchangeEvidence::of(Verdict::Bad(BadReason::Connect), now)
        };
        permits.settle(&evidence, self.route.fingerprint, now);
        ProxyError::NoAddress { upstream: upstream.config.name.clone() }
    }

    /// When the next attempt begins; `None`: there is none. Waits until then.
    pub(super) async fn again(
        &self,
        so_far: &mut retry::Attempts,
        error: &ProxyError,
        request: Repeatable,
        exchange: &Exchange,
        ended: &EndedAttempt,
        permits: &Permits<'_>,
    ) -> Option<Instant> {
        // `None`: the client's doing.
        error.failure(ended.reused, false)?;
        let upstream = &self.route.upstream;
        let policy = &upstream.config.retry;
        let paused = pauses::between(exchange.started, ended.at);
        let over =
            self.route.timeouts.total.is_some_and(|total| exchange.started + total + paused <= ended.at);
        if over || !permits.goes_on(ended.at) {
            return None;
        }
        let failed = error.failed(ended.reused, upstream.has_another(&exchange.tried));
        let wait = match so_far.next(policy, failed, request, ended.at, self.worker.draw()) {
            NextAttempt::Stop => return None,
            NextAttempt::Paid(wait) => upstream.series.may_retry(policy, ended.at).then_some(wait)?,
            NextAttempt::Wait(wait) => {
                upstream.series.repeated();
                wait
            }
            NextAttempt::Now => {
                upstream.series.repeated();
                Duration::ZERO
            }
        };
        if wait.is_zero() {
            return Some(ended.at);
        }
        // Boxed: it is large, and rare.
        Box::pin(tokio::time::sleep(wait)).await;
        let now = clock::instant();
        permits.goes_on(now).then_some(now)
    }
}

/// What a breaker that is not plainly closed wants to know of a request.
fn ask(call: &PreparedCall<'_>, route: &RouteEntry) -> PermitRequest {
    let fitness = if is_safe(call) {
        Fitness::Safe
    } else if call.body.is_whole() {
        Fitness::Whole
    } else {
        Fitness::Streamed
    };
    PermitRequest { fitness, usual: route.series.usual() }
}

/// GET, HEAD or OPTIONS without a body.
fn is_safe(call: &PreparedCall<'_>) -> bool {
    matches!(call.head.method, Method::Get | Method::Head | Method::Options)
        && matches!(call.head.framing, Framing::None | Framing::Length(0))
}

/// What may be repeated of a request.
fn repeatable(call: &PreparedCall<'_>) -> Repeatable {
    Repeatable {
        safe: is_safe(call),
        idempotent: call.head.method.is_idempotent(),
        whole: call.body.is_whole_again(),
    }
}

/// When an attempt must be over in any case: the exchange's own end, the limit of one try.
fn over_at(route: &RouteEntry, started: Instant, now: Instant) -> Option<Instant> {
    let total = route.timeouts.total.map(|total| started + total);
    let per_try = route.timeouts.per_try.map(|limit| now + limit);
    [total, per_try].into_iter().flatten().min()
}

/// `Retry-After` of an answer.
fn wish(answer: &Answer) -> Option<Duration> {
    let value = answer.head.store.known(Known::RetryAfter)?;
    let text = std::str::from_utf8(value).ok()?;
    let wall = clock::unix_seconds(clock::now().wall);
    verdict::parse_retry_after(text, wall, RETRY_AFTER_CAP)
}

/// `grpc-status` of an answer that has no body to wait for.
fn grpc(answer: &Answer) -> Option<u16> {
    let value = answer.head.store.known(Known::GrpcStatus)?;
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}
