//! One attempt: one request over one connection, up to the head of its answer, within its deadlines.
//!
//! `h1` and `h2` speak; `watch` says when waiting is over, and whose fault that is.

mod h1;
mod h2;
mod watch;

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::call::PreparedCall;
use super::error::ProxyError;
use crate::message::body::{Body, BodyError};
use crate::message::h1::conn::H1Conn;
use crate::message::h1::upload::Remainder;
use crate::message::h2::SendProgress;
use crate::message::head::{Known, ResponseHead};
use crate::names::UpstreamName;
use crate::reliability::verdict::{self, RETRY_AFTER_CAP};
use crate::runtime::clock;
use crate::runtime::timer::Deadline;
use crate::upstream::RouteEntry;
use crate::upstream::endpoint::EndpointState;
use crate::upstream::pool::{PooledConnection, Pools, RequestLink};

/// The head of an answer and the body that follows it.
pub struct Answer {
    /// The final head, or 101 for an upgrade.
    pub head: ResponseHead,
    /// The body that follows the head.
    pub body: Body,
    /// What is left to send of the request.
    pub remainder: Remainder,
    /// Gives the upstream's connection back, once both messages are over.
    pub lease: Option<PooledConnection>,
    /// The request's body on its way by HTTP/2.
    pub sent: Option<Rc<SendProgress>>,
}

impl Answer {
    /// An answer of our own.
    pub fn own(head: ResponseHead, body: Body) -> Self {
        Self { head, body, remainder: Remainder::default(), lease: None, sent: None }
    }

    /// Did an upstream give it?
    pub fn is_foreign(&self) -> bool {
        self.lease.is_some() || self.sent.is_some()
    }

    /// Its `Retry-After`, as a wait from now.
    pub fn retry_after(&self) -> Option<Duration> {
        let value = self.head.store.known(Known::RetryAfter)?;
        let text = std::str::from_utf8(value).ok()?;
        let wall = clock::unix_seconds(clock::now().wall);
        verdict::parse_retry_after(text, wall, RETRY_AFTER_CAP)
    }

    /// Its `grpc-status`, where it has no body to wait for.
    pub fn grpc_status(&self) -> Option<u16> {
        let value = self.head.store.known(Known::GrpcStatus)?;
        std::str::from_utf8(value).ok()?.trim().parse().ok()
    }

    /// Bytes of the request's body that have left so far.
    pub fn uploaded(&self) -> u64 {
        uploaded(self.sent.as_deref(), self.remainder.passed())
    }
}

/// Bytes of a request's body that have left: as `sent` has it by HTTP/2, else as many as by HTTP/1.1.
pub fn uploaded(sent: Option<&SendProgress>, by_h1: u64) -> u64 {
    sent.map_or(by_h1, |sent| sent.passed.get())
}

/// What every attempt of an exchange needs.
pub struct Attempt<'a> {
    /// The connections that it may use.
    pub pools: &'a Rc<Pools>,
    /// The route of the exchange, with its upstream and limits.
    pub route: &'a RouteEntry,
    /// The endpoint that is tried.
    pub endpoint: &'a Arc<EndpointState>,
    /// No connection that was used before.
    pub fresh: bool,
    /// When the exchange as a whole, this try or its probe must be over.
    pub over_at: Option<Instant>,
    /// The client, where it waits on an HTTP/1.1 connection.
    pub waiting: Option<WaitingClient<'a>>,
}

/// An HTTP/1.1 client that waits for its answer.
#[derive(Clone, Copy)]
pub struct WaitingClient<'a> {
    /// Interim responses go there.
    pub conn: &'a Rc<H1Conn>,
    /// How long an answer is waited for once it has ended its side: most that do have given up.
    pub patience: Duration,
}

/// What an attempt met on its way.
#[derive(Default)]
pub struct AttemptMet {
    /// It went to another endpoint than was asked for, whose address of the other family answered sooner.
    pub endpoint: Option<Arc<EndpointState>>,
    /// It went over a connection that had carried an exchange before.
    pub reused: bool,
}

impl Attempt<'_> {
    fn name(&self) -> UpstreamName {
        self.route.upstream.config.name.clone()
    }

    /// Makes the attempt. On failure `call` has its body again, from the start when nothing of it has left or what has
    /// left was kept ([`Body::is_whole_again`]).
    pub async fn run(
        &self,
        call: &mut PreparedCall<'_>,
        timer: &mut Deadline,
        now: Instant,
        met: &mut AttemptMet,
    ) -> Result<Answer, ProxyError> {
        let upstream = &self.route.upstream;
        let connect = self.route.timeouts.connect.unwrap_or(Duration::from_secs(3));
        let limit = self.over_at.map_or(connect, |at| connect.min(at.saturating_duration_since(now)));
        let (link, endpoint) = self
            .pools
            .checkout(upstream, self.endpoint, self.fresh, limit, now)
            .await
            .map_err(|error| ProxyError::connecting(self.name(), error))?;
        call.body.keep(&self.pools.kept, upstream.config.keep_body);
        let here = Attempt { endpoint: &endpoint, ..*self };
        if endpoint.id != self.endpoint.id {
            met.endpoint = Some(Arc::clone(&endpoint));
        }
        match link {
            RequestLink::H1 { conn, idle, key } => {
                met.reused = idle.is_some();
                let began = if idle.is_some() { now } else { clock::instant() };
                here.over_h1(call, (conn, idle, key), timer, began).await
            }
            RequestLink::H2 { sender, number } => Box::pin(here.over_h2(call, sender, number, timer)).await,
        }
    }
}

/// The request broke off on the client's side.
fn broke_off(error: BodyError) -> ProxyError {
    match error {
        BodyError::Malformed(malformed) => ProxyError::Malformed(malformed),
        BodyError::TooLong => ProxyError::BodyTooLong,
        BodyError::Broken(_) | BodyError::Reset | BodyError::Idle | BodyError::Request => {
            ProxyError::ClientGone
        }
    }
}
