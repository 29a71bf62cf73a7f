//! Sends queued writes, by the way that requests go: the same gate, connections and judge.
//!
//! One worker does it for all. Invariant: from the moment at which a write may leave until its outcome is known it is being sent,
//! on disk too; a replay that is dropped counts as one that may have arrived.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::accept::Open;
use super::call::Origin;
use super::error::ProxyError;
use super::exchange::Exchange;
use super::gateway::Gateway;
use super::route::Entrance;
use super::worker::Worker;
use crate::config::OutboxPolicy;
use crate::degrade::outbox::{Outbox, StoredWrite};
use crate::message::body::Body;
use crate::message::fields;
use crate::message::h1::parse::{self, HeadLimits, MOST_FIELDS, Parsed};
use crate::message::head::RequestHead;
use crate::names::UpstreamName;
use crate::reliability::breaker::BreakerState;
use crate::reliability::outbox::ReplayOutcome;
use crate::runtime::clock;
use crate::runtime::drain::Drain;
use crate::upstream::Upstream;
use crate::upstream::registry::World;

/// How often the queue is looked at while something is in it, and while nothing is.
const BUSY: Duration = Duration::from_millis(20);
const IDLE: Duration = Duration::from_millis(250);
/// Time between two writes of an upstream that is not there, or has no outbox any more.
const GAP: Duration = Duration::from_millis(100);

/// Sends what is queued until the process leaves.
pub async fn replay(worker: Rc<Worker>, outbox: Arc<Outbox>, open: Open, drain: Drain) {
    while !drain.is_requested() {
        begin(&worker, &outbox, &open);
        let wait = if outbox.is_empty() { IDLE } else { BUSY };
        tokio::select! {
            () = drain.requested() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Begins to send all whose turn it is.
fn begin(worker: &Rc<Worker>, outbox: &Arc<Outbox>, open: &Open) {
    if outbox.is_empty() {
        return;
    }
    let (world, now) = (worker.registry.snapshot(), clock::instant());
    outbox.expire(|name| upstream(&world, name).and_then(policy).map(|policy| &policy.replay));
    while let Some(id) = outbox.next(|name| pace(&world, name, now)) {
        let underway = Underway::new(outbox, id, open);
        let sending = send(Rc::clone(worker), underway);
        crate::runtime::tasks::spawn_on_worker("worker", "sending a queued write", sending);
    }
}

fn upstream<'a>(world: &'a World, name: &str) -> Option<&'a Arc<Upstream>> {
    world.serving().find(|upstream| upstream.config.name.as_str() == name)
}

fn policy(upstream: &Arc<Upstream>) -> Option<&OutboxPolicy> {
    upstream.config.outbox.as_ref()
}

/// The time between two writes of an upstream; `None`: its breaker is open.
fn pace(world: &World, name: &str, now: Instant) -> Option<Duration> {
    let Some(upstream) = upstream(world, name) else { return Some(GAP) };
    let view = upstream.gate.view(now);
    let open = view.state == BreakerState::Open && view.open_until.is_none_or(|until| until > now);
    (!open).then(|| policy(upstream).map_or(GAP, |policy| policy.gap))
}

/// A write that is being sent. The process waits for it when it leaves.
struct Underway {
    outbox: Arc<Outbox>,
    id: u64,
    open: Open,
    /// It may have left; what that came to is not known yet.
    sent: bool,
}

impl Underway {
    fn new(outbox: &Arc<Outbox>, id: u64, open: &Open) -> Self {
        open.set(open.get() + 1);
        Self { outbox: Arc::clone(outbox), id, open: Rc::clone(open), sent: false }
    }

    async fn delivered(mut self) {
        self.sent = false;
        self.outbox.delivered(self.id).await;
    }

    fn settle(mut self, outcome: ReplayOutcome, policy: Option<&OutboxPolicy>) {
        self.sent = false;
        self.outbox.settle(self.id, outcome, policy.map(|policy| &policy.replay));
    }

    fn lost(mut self) {
        self.sent = false;
        self.outbox.lost(self.id);
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.open.set(self.open.get() - 1);
        if self.sent {
            self.outbox.settle(self.id, ReplayOutcome::Unsure, None);
        }
    }
}

fn read(head: &[u8]) -> Option<RequestHead> {
    let limits = HeadLimits { bytes: head.len(), fields: MOST_FIELDS };
    match parse::request(head, limits) {
        Ok(Parsed::Whole(head, _)) => Some(head),
        Ok(Parsed::Partial) | Err(_) => None,
    }
}

fn entrance(label: &str) -> Option<Entrance> {
    match label.split_once(':') {
        Some((_, name)) => Some(Entrance::Local(UpstreamName::new(name).ok()?)),
        None if label == "ingress" => Some(Entrance::Ingress),
        None => Some(Entrance::Egress),
    }
}

async fn send(worker: Rc<Worker>, mut underway: Underway) {
    let Some((stored, mut request)) = underway.outbox.take(underway.id).await else { return };
    underway.sent = true;
    let body = request.split_off(stored.head.min(request.len()));
    let (Some(head), Some(entrance)) = (read(&request), entrance(&stored.entrance)) else {
        return underway.lost();
    };
    let (exchange, outcome) = attempt(&worker, &stored, &head, body, &entrance).await;
    let world = worker.registry.snapshot();
    let policy = upstream(&world, &stored.upstream).and_then(policy);
    match outcome {
        Some(ReplayOutcome::Answered { status: 200..=299, .. }) => underway.delivered().await,
        Some(outcome) => underway.settle(outcome, policy),
        None => underway.lost(),
    }
    drop(exchange);
}

/// One exchange with it; `None`: no upstream takes it.
async fn attempt(
    worker: &Rc<Worker>,
    stored: &StoredWrite,
    head: &RequestHead,
    body: Vec<u8>,
    entrance: &Entrance,
) -> (Exchange, Option<ReplayOutcome>) {
    let StoredWrite { peer, secure, trusted_hops, .. } = *stored;
    let client = fields::client_ip(&head.store, peer, trusted_hops);
    let mut exchange = Exchange::open(worker, head, client, clock::instant());
    (exchange.secure, exchange.forwarded, exchange.replays) = (secure, trusted_hops > 0, true);
    let forwarded = RefCell::new(None);
    let origin = Origin { entrance, peer, secure, trusted_hops, begin_traces: false, forwarded: &forwarded };
    let mut body = Body::full(body.into());
    let sent = Gateway(worker).replay(head, &mut body, &origin, &mut exchange).await;
    let outcome = match sent {
        Ok(answer) => {
            let (status, retry_after) = (answer.head.status, answer.retry_after());
            answer.give_up();
            exchange.close(0);
            let keys = exchange.route.as_ref().and_then(|route| route.upstream.config.keys.as_ref());
            let undone = keys.is_some_and(|keys| keys.is_undone(status));
            Some(ReplayOutcome::Answered { status, retry_after, undone })
        }
        Err(error) if is_lost(&error) => None,
        Err(_) if exchange.reached => Some(ReplayOutcome::Unsure),
        Err(_) => Some(ReplayOutcome::Unsent),
    };
    (exchange, outcome)
}

/// Would it fail the same way for ever?
fn is_lost(error: &ProxyError) -> bool {
    matches!(
        error,
        ProxyError::Malformed(_)
            | ProxyError::BodyTooLong
            | ProxyError::NoRoute { .. }
            | ProxyError::Unlisted { .. }
            | ProxyError::PortNotListed { .. }
            | ProxyError::PlainRefused { .. }
            | ProxyError::NoTls { .. }
            | ProxyError::Forbidden { .. }
    )
}
