//! Writes that cannot be sent now and whose route has an outbox: queued, and acknowledged once they are durable.
//!
//! Invariants: what is queued has provably not reached an upstream, or carries a key of its client's by which the upstream knows
//! it again; while a write of an order key is queued, no later one of that key is sent past it.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use super::call::Origin;
use super::error::ProxyError;
use super::exchange::Exchange;
use super::forward::{Answer, WaitingClient, broke_off};
use super::gateway::Gateway;
use super::keys;
use crate::config::OutboxPolicy;
use crate::degrade::canned::{self, Cause};
use crate::degrade::outbox::{NewWrite, Outbox, StoredWrite, order_of};
use crate::message::body::Body;
use crate::message::h1::write::{self, Edits};
use crate::message::head::{Framing, Known, KnownSet, RequestHead, Version};
use crate::runtime::{clock, timer};
use crate::telemetry::labels::StandIn;
use crate::upstream::RouteEntry;

/// How long the body of a write that is to be queued may take to come.
const BODY: Duration = Duration::from_secs(10);

/// Is there a key of the client's by which the upstream knows the request again?
fn is_vouched(route: &RouteEntry, head: &RequestHead) -> bool {
    let keys = route.upstream.config.keys.as_ref();
    keys.is_some_and(|keys| keys::vouched(head, keys, clock::instant()).is_some())
}

/// The key of the order that the request belongs to.
fn order(route: &RouteEntry, policy: &OutboxPolicy, head: &RequestHead) -> Option<u64> {
    let value = head.forwarded(policy.order_by.as_deref()?.as_bytes()).next()?;
    Some(order_of(route.upstream.config.name.as_str(), value))
}

/// The head as it is stored: as it came, with the length of its body and `add`.
fn stored(head: &RequestHead, add: &[u8], body: &[u8]) -> (Vec<u8>, usize) {
    let mut out = Vec::with_capacity(head.store.bytes.len() + body.len() + 256);
    let edits = Edits { drop: KnownSet::of(&[Known::Expect]), add, ..Edits::default() };
    write::request(&mut out, head, &edits, Framing::Length(body.len() as u64));
    let scheme = head.scheme.of(&head.store.bytes);
    if !scheme.is_empty() {
        // The forward proxy finds its upstream by the whole target.
        let target = [scheme, b"://", head.authority_bytes()].concat();
        let at = head.method_bytes().len() + 1;
        out.splice(at..at, target);
    }
    let length = out.len();
    out.extend_from_slice(body);
    (out, length)
}

impl Gateway<'_> {
    /// The policy by which a request of this exchange may be queued, where it may.
    fn outbox<'a>(self, route: &'a RouteEntry, head: &RequestHead) -> Option<(&'a Outbox, &'a OutboxPolicy)>
    where
        Self: 'a,
    {
        let policy = route.upstream.config.outbox.as_ref()?;
        let outbox = self.0.outbox.as_deref()?;
        let takes = policy.takes(head.method, head.path_bytes()) && !head.wants_upgrade;
        (takes && head.authority.len > 0).then_some((outbox, policy))
    }

    /// A write waits for the earlier ones of its order that are queued.
    pub(super) fn in_turn(
        self,
        route: &RouteEntry,
        head: &RequestHead,
        exchange: &Exchange,
    ) -> Result<(), ProxyError> {
        let Some((outbox, policy)) = self.outbox(route, head) else { return Ok(()) };
        if exchange.replays || outbox.is_empty() {
            return Ok(());
        }
        match order(route, policy, head) {
            Some(order) if outbox.holds_back(order) => {
                Err(ProxyError::Behind { upstream: route.upstream.config.name.clone() })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// May a request that failed by `error` be queued?
    pub(super) fn may_queue(
        self,
        head: &RequestHead,
        body: &Body,
        exchange: &Exchange,
        error: &ProxyError,
    ) -> bool {
        let Some(route) = exchange.route.as_deref() else { return false };
        if exchange.replays || self.outbox(route, head).is_none() || !body.is_whole_again() {
            return false;
        }
        let unasked = matches!(
            error,
            ProxyError::Refused { .. }
                | ProxyError::NoAddress { .. }
                | ProxyError::Connect { .. }
                | ProxyError::Behind { .. }
        );
        let unanswered = matches!(error, ProxyError::Deadline { .. } | ProxyError::Broken { .. });
        unasked && !exchange.reached || (unasked || unanswered) && is_vouched(route, head)
    }

    /// Queues a write that failed by `error`: its acknowledgement, or why it is refused.
    pub(super) async fn queue(
        self,
        head: &RequestHead,
        body: &mut Body,
        origin: &Origin<'_>,
        exchange: &mut Exchange,
        waiting: Option<WaitingClient<'_>>,
        error: ProxyError,
    ) -> Result<Answer, ProxyError> {
        let Some(route) = exchange.route.clone() else { return Err(error) };
        let Some((outbox, policy)) = self.outbox(&route, head) else { return Err(error) };
        let Some(bytes) = gathered(head, body, waiting, policy.max_body).await? else { return Err(error) };
        let (mut add, mut known_again) =
            (Vec::new(), head.method.is_idempotent() || is_vouched(&route, head));
        if let Some(keys) = route.upstream.config.keys.as_ref().filter(|_| route.injects_keys) {
            known_again |= keys::give(head, keys, clock::instant(), &mut add).is_some();
        }
        let (request, length) = stored(head, &add, &bytes);
        let stored = StoredWrite {
            upstream: route.upstream.config.name.to_string(),
            route: route.config.name.to_string(),
            order: order(&route, policy, head),
            known_again,
            queued: Default::default(),
            entrance: origin.entrance.label(),
            peer: origin.peer,
            secure: origin.secure,
            trusted_hops: origin.trusted_hops,
            head: length,
        };
        if let Err(why) = outbox.put(NewWrite { stored, request }, policy).await {
            return Err(ProxyError::NotQueued { upstream: route.upstream.config.name.clone(), why });
        }
        exchange.refused(&error, clock::instant());
        let facts = error.facts();
        let cause =
            Cause::NoAnswer { reason: facts.label, token: facts.token, retry_after: facts.retry_after };
        let (own, body) = canned::queued(&policy.reply, cause, head.method);
        exchange.stood_in(own.status, cause.reason(), StandIn::Queued);
        Ok(Answer::own(own, body))
    }
}

/// The body of a write that is to be queued; `None`: it is longer than may be, or does not come. An error: its client has broken
/// it off.
async fn gathered(
    head: &RequestHead,
    body: &mut Body,
    waiting: Option<WaitingClient<'_>>,
    most: u64,
) -> Result<Option<Vec<u8>>, ProxyError> {
    if matches!(head.framing, Framing::Length(bytes) if bytes > most) {
        return Ok(None);
    }
    if head.expects_continue && !body.is_whole() {
        // Over HTTP/2 it would go on waiting for the word of an upstream.
        let waits = head.version == Version::H2 || waiting.is_none_or(WaitingClient::invite);
        if waits {
            return Ok(None);
        }
    }
    let mut bytes = Vec::new();
    let read = poll_fn(|cx| {
        if let Some(waiting) = waiting {
            waiting.poll_told(cx);
        }
        loop {
            match body.poll_data(cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(true)),
                Poll::Ready(Ok(there)) => {
                    bytes.extend_from_slice(body.data().get(..there).unwrap_or_default());
                    body.consume(there);
                    if bytes.len() as u64 > most {
                        return Poll::Ready(Ok(false));
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(broke_off(error))),
                Poll::Pending => return Poll::Pending,
            }
        }
    });
    let whole = timer::within(BODY, read).await.unwrap_or(Err(ProxyError::SlowBody))?;
    Ok(whole.then_some(bytes))
}
