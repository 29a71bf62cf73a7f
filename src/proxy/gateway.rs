//! The story of an exchange. Read this first.
//!
//! One gateway per worker. It calls the others and they return: [`super::route`] says for whom a request is, the
//! upstream's gate whether it may be called, [`super::forward`] makes one attempt, [`reliability::verdict`] says how it
//! went, [`reliability::retry`] whether once more. Who asked ([`super::serve`], [`super::serve_h2`]) sends the answer.
//!
//! [`reliability::verdict`]: crate::reliability::verdict
//! [`reliability::retry`]: crate::reliability::retry

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::call::{Call, Origin};
use super::error::ProxyError;
use super::exchange::Exchange;
use super::forward::{Answer, Asker, Attempt};
use super::route;
use crate::message::body::Body;
use crate::message::fields;
use crate::message::head::{Known, RequestHead};
use crate::message::scratch::Scratch;
use crate::reliability::retry::{self, Next, Sent};
use crate::reliability::verdict::{self, Outcome, RETRY_AFTER_CAP, Verdict};
use crate::runtime::clock;
use crate::runtime::timer::Deadline;
use crate::telemetry::Telemetry;
use crate::telemetry::access::Writer;
use crate::upstream::RouteEntry;
use crate::upstream::permit::{Begun, Permit};
use crate::upstream::pool::Pools;
use crate::upstream::registry::Registry;

/// What one worker needs to carry exchanges.
pub struct Gateway {
    /// Which worker this is.
    pub worker: usize,
    /// All upstreams and routes.
    pub registry: Arc<Registry>,
    /// All counters.
    pub telemetry: Arc<Telemetry>,
    /// This worker's connections.
    pub pools: Rc<Pools>,
    /// This worker's access lines.
    pub access: Rc<Writer>,
    chance: Cell<u64>,
}

impl Gateway {
    /// The gateway of one worker; `seed` differs between workers and starts.
    pub fn new(worker: usize, registry: Arc<Registry>, telemetry: Arc<Telemetry>, seed: u64) -> Rc<Self> {
        let pools = Rc::new(Pools::default());
        let access = telemetry.access_log().writer();
        Rc::new(Self { worker, registry, telemetry, pools, access, chance: Cell::new(seed | 1) })
    }

    /// A number that nobody needs to be unable to guess: balancing, sampling, span ids (xorshift64*, Marsaglia and
    /// Vigna).
    pub fn draw(&self) -> u64 {
        let mut x = self.chance.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.chance.set(x);
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A UUIDv7.
    pub fn new_request_id(&self, now: Instant) -> Scratch {
        let wall = clock::wall_at(now).duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let mut noise = [0; 10];
        noise[..8].copy_from_slice(&self.draw().to_be_bytes());
        noise[8..].copy_from_slice(&self.draw().to_be_bytes()[..2]);
        let millis = u64::try_from(wall.as_millis()).unwrap_or_default();
        Scratch::from(&fields::uuid_v7(millis, noise)[..])
    }

    fn new_trace_id(&self) -> [u8; 16] {
        let id = u128::from(self.draw()) << 64 | u128::from(self.draw());
        id.max(1).to_be_bytes()
    }

    /// From when on a request counts as slow.
    pub fn slow_after(&self) -> Duration {
        self.registry.snapshot().config.latency.slow
    }

    /// One exchange, from head to head.
    pub async fn handle(
        self: &Rc<Self>,
        head: &RequestHead,
        body: Body,
        origin: &Origin<'_>,
        exchange: &mut Exchange,
        timer: &mut Deadline,
        asker: Option<Asker<'_>>,
    ) -> Result<Answer, ProxyError> {
        let world = self.registry.snapshot(); // taken once: a reload cannot change the rules half-way
        let route = route::pick(&self.registry, &world, origin.entrance, head).await?;
        exchange.routed(Arc::clone(&route));
        let body = limited(body, head, &route)?;
        let span = self.draw().max(1).to_be_bytes();
        let mut call = Call::prepare(head, body, origin, exchange, span, || self.new_trace_id());
        if let (route::Entrance::Local(_), Some(endpoint)) =
            (origin.entrance, route.upstream.config.endpoints.first())
        {
            call.rewrite_host(endpoint);
        }
        drop(world);
        self.attempts(&mut call, &route, exchange, timer, asker).await
    }

    async fn attempts(
        self: &Rc<Self>,
        call: &mut Call<'_>,
        route: &Arc<RouteEntry>,
        exchange: &mut Exchange,
        timer: &mut Deadline,
        asker: Option<Asker<'_>>,
    ) -> Result<Answer, ProxyError> {
        let upstream = &route.upstream;
        let mut failed = None;
        let mut now = exchange.started;
        loop {
            let permit = match self.admit(route, now) {
                Ok(permit) => permit,
                // What really happened says more than that nothing more will.
                Err(refusal) => return Err(failed.unwrap_or(refusal)),
            };
            let Some(endpoint) = upstream.pick(self.draw(), now) else {
                permit.settle(Verdict::Bad(verdict::Why::Connect), now);
                return Err(ProxyError::NoAddress { upstream: upstream.config.name.clone() });
            };
            exchange.attempts += 1;
            let in_flight = endpoint.begin();
            let fresh = exchange.attempts > 1;
            let over_at = over_at(route, &permit, exchange.started, now);
            let attempt = Attempt { pools: &self.pools, route, endpoint: &endpoint, fresh, over_at, asker };
            let begun = permit.begin(&upstream.series);
            let answer = attempt.run(call, timer, now).await;
            drop(in_flight);
            let ended = clock::instant();
            let verdict = settle(begun, &answer, route, now, ended);
            upstream.observe(&endpoint, verdict, ended.saturating_duration_since(now), ended);
            exchange.endpoint = Some(endpoint);
            match answer {
                Ok(answer) => {
                    exchange.answered(answer.head.status, ended);
                    return Ok(answer);
                }
                Err(error) => {
                    let again =
                        error.why().is_some() && self.once_more(call, route, exchange, error.sent(), ended);
                    if !again {
                        return Err(error);
                    }
                    failed = Some(error);
                    now = ended;
                }
            }
        }
    }

    /// May the upstream be called?
    pub fn admit(&self, route: &RouteEntry, now: Instant) -> Result<Permit, ProxyError> {
        route.upstream.gate.admit(self.worker, now, self.draw()).map_err(|refusal| {
            route.upstream.series.refused(refusal.label());
            ProxyError::Refused {
                upstream: route.upstream.config.name.clone(),
                reason: refusal.label(),
                retry_after: refusal.retry_after(),
            }
        })
    }

    fn once_more(
        &self,
        call: &Call<'_>,
        route: &RouteEntry,
        exchange: &Exchange,
        sent: Sent,
        now: Instant,
    ) -> bool {
        let policy = &route.upstream.config.retry;
        let replayable = match sent {
            Sent::Nothing | Sent::Refused => call.body.is_whole_again(),
            Sent::Maybe => call.head.framing == crate::message::head::Framing::None,
        };
        let idempotent = call.head.method.is_idempotent();
        let next = retry::next(policy, exchange.attempts, sent, idempotent, replayable);
        next == Next::Again && route.upstream.series.may_retry(policy, now)
    }
}

/// Says how an attempt went, to the breaker and the metrics as well.
fn settle(
    begun: Begun<'_>,
    answer: &Result<Answer, ProxyError>,
    route: &RouteEntry,
    began: Instant,
    ended: Instant,
) -> Verdict {
    let outcome = match answer {
        Ok(answer) => Outcome::Answered {
            status: answer.head.status,
            retry_after: wish(answer),
            grpc: grpc(answer),
            took: ended.saturating_duration_since(began),
        },
        Err(error) => error.why().map_or(Outcome::ClientGone, Outcome::Failed),
    };
    let verdict = route.upstream.config.judge.judge(outcome);
    begun.settle(verdict, ended);
    verdict
}

/// When an attempt must be over in any case: the exchange's own end, the limit of one try, the deadline of a probe.
fn over_at(route: &RouteEntry, permit: &Permit, started: Instant, now: Instant) -> Option<Instant> {
    let total = route.timeouts.total.map(|total| started + total);
    let per_try = route.timeouts.per_try.map(|limit| now + limit);
    let probe = permit.probe_limit(now).map(|limit| now + limit);
    [total, per_try, probe].into_iter().flatten().min()
}

/// `Retry-After` of an answer.
fn wish(answer: &Answer) -> Option<Duration> {
    let value = answer.head.store.known(Known::RetryAfter)?;
    let text = std::str::from_utf8(value).ok()?;
    let wall = clock::now().wall.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
    verdict::parse_retry_after(text, wall).map(|wish| wish.min(RETRY_AFTER_CAP))
}

/// `grpc-status` of an answer that has no body to wait for.
fn grpc(answer: &Answer) -> Option<u16> {
    let value = answer.head.store.known(Known::GrpcStatus)?;
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

/// The body, no longer than the route allows. What announces itself as longer is refused at once.
fn limited(mut body: Body, head: &RequestHead, route: &RouteEntry) -> Result<Body, ProxyError> {
    if let Some(limit) = route.config.body_limit {
        if matches!(head.framing, crate::message::head::Framing::Length(bytes) if bytes > limit) {
            return Err(ProxyError::BodyTooLong);
        }
        body.limit(limit);
    }
    Ok(body)
}
