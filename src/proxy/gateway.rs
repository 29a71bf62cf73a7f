//! The story of an exchange. Read this first.
//!
//! It calls the others and they return: [`super::route`] says for whom a request is, the upstream's gate (and its
//! operation's) whether it may be called, `attempts` tries, [`super::forward`] makes one attempt,
//! [`verdict`](crate::reliability::verdict) says how it went, [`retry`](crate::reliability::retry) whether once more.
//! Who asked ([`super::serve`], [`super::serve_h2`]) sends the answer.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::attempts::AttemptLoop;
use super::call::{Origin, PreparedCall};
use super::error::{Exhausted, ProxyError};
use super::exchange::{Drilled, Exchange};
use super::facts::ErrorFacts;
use super::forward::{Answer, WaitingClient};
use super::reply;
use super::route;
use super::worker::Worker;
use crate::degrade::canned::{self, Cause};
use crate::degrade::stale::Target;
use crate::message::account;
use crate::message::body::Body;
use crate::message::fields;
use crate::message::head::{Method, RequestHead};
use crate::reliability::degradation::{Asked, Directives, Reply, Treatment};
use crate::reliability::drill::Hittable;
use crate::reliability::party::Party;
use crate::runtime::clock;
use crate::runtime::timer::Deadline;
use crate::telemetry::labels::StandIn;
use crate::upstream::load::TooMany;
use crate::upstream::operations::Operations;
use crate::upstream::registry::World;
use crate::upstream::{RouteEntry, Upstream};

/// Carries the exchanges of one worker.
#[derive(Clone, Copy)]
pub struct Gateway<'a>(pub &'a Rc<Worker>);

impl Gateway<'_> {
    /// The answer to a request: the upstream's, or a refusal. What is left of `body` is the caller's to drop.
    pub async fn answer(
        self,
        head: &RequestHead,
        body: &mut Body,
        origin: &Origin<'_>,
        exchange: &mut Exchange,
        timer: &mut Deadline,
        waiting: Option<WaitingClient<'_>>,
    ) -> Answer {
        match self.handle(head, body, origin, exchange, timer, waiting).await {
            Ok(answer) => self.given(head, exchange, answer),
            // Boxed: it is large, and rare.
            Err(error) if self.may_queue(head, body, exchange, &error) => {
                match Box::pin(self.queue(head, body, origin, exchange, waiting, error)).await {
                    Ok(answer) => answer,
                    Err(error) => self.refusal(head, exchange, &error),
                }
            }
            Err(error) => self.refusal(head, exchange, &error),
        }
    }

    /// Sends a queued write: the upstream's answer, and nothing in its place.
    pub(super) async fn replay(
        self,
        head: &RequestHead,
        body: &mut Body,
        origin: &Origin<'_>,
        exchange: &mut Exchange,
    ) -> Result<Answer, ProxyError> {
        let sent = self.handle(head, body, origin, exchange, &mut Deadline::default(), None).await;
        if let Err(error) = &sent {
            exchange.refused(error, clock::instant());
        }
        sent
    }

    /// The upstream's answer, or what its route gives in the place of a 5xx.
    fn given(self, head: &RequestHead, exchange: &mut Exchange, mut answer: Answer) -> Answer {
        let status = answer.head.status;
        if let Some(instead) = self.instead(head, exchange, Reply::Status(status), Cause::Answered(status)) {
            answer.give_up();
            return instead;
        }
        if let Some(route) = exchange.route.as_ref()
            && let Some(policy) = &route.config.stale
        {
            let (target, upstream) = (target(head, exchange), &route.config.upstream);
            self.0.stale.watch(target, upstream, &answer.head, &mut answer.body, policy);
        }
        answer
    }

    /// What the exchange's route has to give instead: the answer that was kept, else its fallback.
    fn instead(
        self,
        head: &RequestHead,
        exchange: &mut Exchange,
        reply: Reply,
        cause: Cause,
    ) -> Option<Answer> {
        if exchange.route.as_ref().is_some_and(|route| route.config.stale.is_some())
            && reply.is_failure()
            && let Some((own, body)) = self.0.stale.answer(target(head, exchange), cause)
        {
            exchange.stood_in(own.status, cause.reason(), StandIn::Stale);
            return Some(Answer::own(own, body));
        }
        self.fallback(head, exchange, reply, cause)
    }

    /// The fallback of the exchange's route, where it has one for this.
    fn fallback(
        self,
        head: &RequestHead,
        exchange: &mut Exchange,
        reply: Reply,
        cause: Cause,
    ) -> Option<Answer> {
        let fallback = exchange.route.as_ref().and_then(|route| route.config.fallback.as_ref())?;
        if !fallback.policy.stands_in(asked(head), reply) {
            return None;
        }
        let (own, body) = canned::answer(fallback, cause, head.method);
        exchange.stood_in(own.status, cause.reason(), StandIn::Fallback);
        Some(Answer::own(own, body))
    }

    /// What the client reads instead of the upstream's answer. The only way in which an error becomes an answer.
    pub fn refusal(self, head: &RequestHead, exchange: &mut Exchange, error: &ProxyError) -> Answer {
        exchange.refused(error, clock::instant());
        if let ProxyError::Malformed(malformed) = error {
            self.0.telemetry.malformed(malformed.label());
        }
        let facts = error.facts();
        let ErrorFacts { label: reason, token, retry_after, .. } = facts;
        let cause = Cause::NoAnswer { reason, token, retry_after };
        let instead = facts.unanswered.then(|| self.instead(head, exchange, Reply::Missing, cause));
        if let Some(instead) = instead.flatten() {
            return instead;
        }
        let refusal = exchange.route.as_ref().and_then(|route| route.upstream.config.refusal.as_ref());
        let (own, body) = reply::of(error, head.method, exchange.request_id().text(), refusal);
        Answer::own(own, body)
    }

    async fn handle(
        self,
        head: &RequestHead,
        body: &mut Body,
        origin: &Origin<'_>,
        exchange: &mut Exchange,
        timer: &mut Deadline,
        waiting: Option<WaitingClient<'_>>,
    ) -> Result<Answer, ProxyError> {
        let world = self.0.registry.snapshot(); // taken once: a reload cannot change the rules half-way
        let route = route::pick(&self.0.registry, &world, origin.entrance, head).await?;
        set_out(exchange, head, self.0.number, &route, &world);
        limit(body, head, &route)?;
        let directives = world.directives.as_deref().filter(|_| *origin.entrance == route::Entrance::Ingress);
        if let Some(directives) = directives {
            heed(directives, &route, head)?;
        }
        often(&route, head, exchange)?;
        self.enter(&route, head, exchange)?;
        self.in_turn(&route, head, exchange)?;
        self.room(&route, head, exchange)?;
        let span = self.0.draw().max(1).to_be_bytes();
        let mut call = PreparedCall::prepare(head, body, origin, exchange, span, || self.0.new_trace_id());
        if route.upstream.config.via {
            call.put_via();
        }
        if let Some(keys) = &route.upstream.config.keys {
            call.find_key(keys, exchange.started);
            if route.injects_keys {
                call.give_key(keys, exchange.started);
            }
        }
        if let Some(directives) = directives {
            call.put_degraded(&directives.field);
        }
        // Whom HTTP/1.0 does not name, and who was asked by another name, is called by its own.
        let unnamed = head.authority.len == 0 || matches!(origin.entrance, route::Entrance::Local(_));
        if let (true, Some(endpoint)) = (unnamed, route.upstream.config.endpoints.first()) {
            call.rewrite_host(endpoint);
        }
        drop(world);
        let operations = &route.upstream.operations;
        let operation = operations.find(head.path_bytes());
        let (pays, hittable) = kind(head, operations, exchange);
        let attempts =
            AttemptLoop { pays, hittable, ..AttemptLoop::new(self.0, &route, operation, waiting, exchange) };
        attempts.run(&mut call, exchange, timer).await
    }

    /// Does the upstream keep up with one more? What becomes a tunnel has no answer to wait for, and a replay is paced.
    fn enter(
        self,
        route: &RouteEntry,
        head: &RequestHead,
        exchange: &mut Exchange,
    ) -> Result<(), ProxyError> {
        let Some(load) = route.load.as_ref().filter(|_| !head.wants_upgrade && !exchange.replays) else {
            return Ok(());
        };
        exchange.in_flight = load.enter(self.0.number, route.config.class).map_err(|TooMany { limit }| {
            ProxyError::Overloaded { upstream: route.upstream.config.name.clone(), limit }
        })?;
        Ok(())
    }

    /// Is there room for one more exchange of this client, and for what it may become?
    fn room(self, route: &RouteEntry, head: &RequestHead, exchange: &mut Exchange) -> Result<(), ProxyError> {
        let upstream = &route.upstream;
        let client = Party::client(exchange.client);
        account::with_current(|account| account.begins(client, Arc::as_ptr(&upstream.connections) as usize));
        self.buffers(upstream, client, exchange.started)?;
        let full = |room| ProxyError::Full { upstream: upstream.config.name.clone(), room };
        if head.wants_upgrade {
            exchange.tunnel = Some(upstream.tunnel().ok_or_else(|| full(Exhausted::Tunnels))?);
            return Ok(());
        }
        if let Some(shares) = &upstream.shares {
            let places = upstream.config.pool.connections;
            let held = shares.take(self.0.number, client, places, exchange.started);
            exchange.held = Some(held.ok_or_else(|| full(Exhausted::Share))?);
        }
        Ok(())
    }

    /// Is there memory for one more exchange of `client`? Where nobody shares the upstream, or nobody else is there, it
    /// may have what there is.
    fn buffers(self, upstream: &Upstream, client: u32, now: Instant) -> Result<(), ProxyError> {
        let memory = &self.0.telemetry.memory;
        if !memory.is_tight() {
            return Ok(());
        }
        let shares = upstream.shares.as_ref();
        let greedy =
            memory.is_beyond_its_share(client) && shares.is_some_and(|all| !all.is_alone(client, now));
        if greedy || memory.is_used_up_for(client) { Err(ProxyError::NoMemory) } else { Ok(()) }
    }
}

/// What the degradation level says of a request. What the fallback of its route does not answer goes on as ever.
fn heed(directives: &Directives, route: &RouteEntry, head: &RequestHead) -> Result<(), ProxyError> {
    let (name, level) = (&route.config.name, directives.level.number());
    match directives.treat(name, route.config.class) {
        Treatment::AsEver => Ok(()),
        Treatment::Shed => Err(ProxyError::Shed { route: name.clone(), level }),
        Treatment::Fallback => {
            let fallback = route.config.fallback.as_ref().map(|fallback| fallback.policy);
            let given = fallback.is_some_and(|policy| policy.stands_in(asked(head), Reply::Missing));
            if given { Err(ProxyError::Degraded { route: name.clone(), level }) } else { Ok(()) }
        }
    }
}

/// Does the client ask more often than its route lets it? A replay is no client's.
fn often(route: &RouteEntry, head: &RequestHead, exchange: &Exchange) -> Result<(), ProxyError> {
    let Some(rates) = route.rates.as_ref().filter(|_| !exchange.replays) else { return Ok(()) };
    let key = rates.header().and_then(|name| head.forwarded(name.as_bytes()).next());
    let asked = match key {
        Some(key) => rates.asks(&key, exchange.started),
        None => rates.asks(&Party::client(exchange.client), exchange.started),
    };
    asked.map_err(|limit| ProxyError::TooOften { route: route.config.name.clone(), limit })
}

fn target<'a>(head: &'a RequestHead, exchange: &Exchange) -> Target<'a> {
    Target { head, secure: exchange.secure, forwarded: exchange.forwarded }
}

/// What a request asks for, as far as a stand-in depends on it.
pub(super) fn asked(head: &RequestHead) -> Asked {
    match head.method {
        Method::Connect => Asked::Upgrade,
        _ if head.wants_upgrade => Asked::Upgrade,
        Method::Get | Method::Head => Asked::Reading,
        Method::Post
        | Method::Put
        | Method::Patch
        | Method::Delete
        | Method::Options
        | Method::Trace
        | Method::Other => Asked::Writing,
    }
}

/// The route of an exchange is known, and the drill on its upstream.
fn set_out(
    exchange: &mut Exchange,
    head: &RequestHead,
    worker: usize,
    route: &Arc<RouteEntry>,
    world: &World,
) {
    if let Some(unnamed) = route.unnamed.as_ref().filter(|_| !exchange.replays) {
        unnamed.saw(worker, head.method, head.path_bytes());
    }
    exchange.routed(Arc::clone(route));
    let drill = world.drill.as_ref().filter(|one| one.upstream == route.upstream.config.name);
    exchange.drilled = drill.map(|drill| Drilled { injection: Arc::clone(drill), hits: Cell::new(0) });
}

/// Does a request take a payment with no test key, and what may a drill do to it? With any key it hits no payment.
fn kind(head: &RequestHead, operations: &Operations, exchange: &Exchange) -> (bool, Hittable) {
    let charges = head.method == Method::Post && operations.takes_payment(head.path_bytes());
    let hittable = match head.method {
        _ if charges || exchange.replays || head.wants_upgrade => Hittable::Never,
        Method::Get | Method::Head | Method::Options => Hittable::Read,
        Method::Post | Method::Put | Method::Patch | Method::Delete | Method::Trace | Method::Other => {
            Hittable::Write
        }
        Method::Connect => Hittable::Never,
    };
    (charges && !fields::has_test_key(&head.store), hittable)
}

/// The body, no longer than the route allows. What announces itself as longer is refused at once.
fn limit(body: &mut Body, head: &RequestHead, route: &RouteEntry) -> Result<(), ProxyError> {
    if let Some(limit) = route.config.body_limit {
        if matches!(head.framing, crate::message::head::Framing::Length(bytes) if bytes > limit) {
            return Err(ProxyError::BodyTooLong);
        }
        body.limit(limit);
    }
    Ok(())
}
