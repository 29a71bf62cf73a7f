//! One attempt: one request over one connection, up to the head of its answer, within its deadlines.
//!
//! `h1` and `h2` speak; `watch` says when waiting is over, and whose fault that is.

mod drilled;
mod h1;
mod h2;
mod interim;
mod waiting;
mod watch;

pub use waiting::WaitingClient;

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::call::PreparedCall;
use super::error::ProxyError;
use crate::message::body::{Body, BodyError};
use crate::message::buf::Buf;
use crate::message::h1::Malformed;
use crate::message::h1::conn::H1Conn;
use crate::message::h1::parse::HeadLimits;
use crate::message::h2::H2Stream;
use crate::message::h2::pipe::H2Pipe;
use crate::message::head::{Framing, Known, ResponseHead, Version, begins_with};
use crate::message::io::Io;
use crate::message::stream::ByteStream;
use crate::message::upload::Remainder;
use crate::names::UpstreamName;
use crate::reliability::verdict::{self, RETRY_AFTER_CAP};
use crate::runtime::clock;
use crate::runtime::timer::Deadline;
use crate::upstream::RouteEntry;
use crate::upstream::endpoint::EndpointState;
use crate::upstream::pool::{PooledConnection, Pools, RequestLink};

/// What an upstream's response head may be.
pub(crate) const ANSWER: HeadLimits = crate::upstream::pool::ANSWER;

/// Bytes of a body that nobody reads which are read over, so that its connection serves again.
const GIVEN_UP: u64 = 64 * 1024;

/// The head of an answer and the body that follows it.
pub struct Answer {
    /// The final head, or 101 for an upgrade, whichever version it came by.
    pub head: ResponseHead,
    /// The body that follows the head.
    pub body: Body,
    /// What is left to send of the request.
    pub remainder: Remainder,
    /// Gives the upstream's connection back, once both messages are over.
    pub lease: Option<PooledConnection>,
    /// The upstream's stream, where a WebSocket is spoken on it from here on.
    pub websocket: Option<Rc<H2Stream>>,
    /// An upstream gave it.
    pub foreign: bool,
}

impl Answer {
    /// An answer of our own.
    pub fn own(head: ResponseHead, body: Body) -> Self {
        Self { head, body, remainder: Remainder::default(), lease: None, websocket: None, foreign: false }
    }

    /// The upstream's side of what follows a 101; `None`: it is no answer of that kind.
    pub fn far(&mut self) -> Option<Far> {
        if let Some(stream) = self.websocket.take() {
            let io = Io::Boxed(Box::new(H2Pipe::new(stream)));
            return Some(Far::H2(ByteStream::new(io, Buf::default(), None)));
        }
        self.lease.take().map(|lease| Far::H1(lease.into_conn()))
    }

    /// It is not sent on. Where all of it is here already its connection serves again; else that ends with it: nobody
    /// waits for what nobody reads.
    pub fn give_up(mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(Ok(there @ 1..)) = self.body.poll_data(&mut cx) {
            self.body.consume(there);
            if self.body.passed() > GIVEN_UP {
                return;
            }
        }
        let over = self.head.framing == Framing::None || self.body.is_over();
        if let (true, false, Some(lease)) = (over, self.remainder.is_some(), self.lease.take()) {
            lease.give_back(clock::instant());
        }
    }

    /// Its `Retry-After`, as a wait from now.
    pub fn retry_after(&self) -> Option<Duration> {
        let value = self.head.store.known(Known::RetryAfter)?;
        let text = std::str::from_utf8(value).ok()?;
        let wall = clock::unix_seconds(clock::now().wall);
        verdict::parse_retry_after(text, wall, RETRY_AFTER_CAP)
    }

    /// Does its content type say that its sender speaks when it has something to say?
    pub fn speaks_at_will(&self) -> bool {
        let kinds = [&b"application/grpc"[..], b"text/event-stream"];
        let kind = self.head.store.field("content-type");
        kind.is_some_and(|value| kinds.iter().any(|kind| begins_with(value, kind)))
    }

    /// Its `grpc-status`, where the head is all there is of it.
    pub fn trailers_only(&self) -> Option<u16> {
        trailers_only(&self.head)
    }

    /// The `grpc-status` of its head: a body has its own behind it.
    pub fn grpc_status(&self) -> Option<u16> {
        grpc_status(&self.head)
    }
}

fn grpc_status(head: &ResponseHead) -> Option<u16> {
    let value = head.store.known(Known::GrpcStatus)?;
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

fn trailers_only(head: &ResponseHead) -> Option<u16> {
    grpc_status(head).filter(|_| matches!(head.framing, Framing::None | Framing::Length(0)))
}

/// The upstream's side of a connection that has changed its protocol.
pub enum Far {
    /// Its whole connection.
    H1(Rc<H1Conn>),
    /// One stream of it.
    H2(ByteStream),
}

impl Far {
    /// Its bytes both ways.
    pub fn stream(&self) -> &ByteStream {
        match self {
            Self::H1(conn) => conn.stream(),
            Self::H2(stream) => stream,
        }
    }
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
    /// The client, where it waits for its answer.
    pub waiting: Option<WaitingClient<'a>>,
}

/// What an attempt met on its way.
#[derive(Default)]
pub struct AttemptMet {
    /// It went to another endpoint than was asked for, whose address of the other family answered sooner.
    pub endpoint: Option<Arc<EndpointState>>,
    /// It went over a connection that had carried an exchange before, and carried no other.
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
            .checkout(upstream, self.endpoint, (self.fresh, call.carried()), limit, now)
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
            RequestLink::H2(stream) => here.over_h2(call, stream, timer, met).await,
        }
    }

    /// Interim responses go on to clients that can read them; 100 only to those that asked for it.
    fn pass_interim(&self, cx: &mut Context<'_>, head: &ResponseHead, call: &PreparedCall<'_>) {
        let Some(waiting) = self.waiting else { return };
        if call.head.version != Version::H10 && (head.status != 100 || call.head.expects_continue) {
            waiting.pass_interim(cx, head);
        }
    }

    /// What came instead of a head.
    fn not_understood(&self, malformed: Malformed) -> ProxyError {
        let (upstream, cause) = (self.name(), malformed.to_string());
        if matches!(malformed, Malformed::TooLong | Malformed::TooManyFields) {
            return ProxyError::HeadTooLong { upstream, cause };
        }
        ProxyError::Nonsense { upstream, cause }
    }
}

/// The request broke off on the client's side.
pub(super) fn broke_off(error: BodyError) -> ProxyError {
    match error {
        BodyError::Malformed(malformed) => ProxyError::Malformed(malformed),
        BodyError::TooLong => ProxyError::BodyTooLong,
        BodyError::Broken(_) | BodyError::Reset | BodyError::Idle | BodyError::Request => {
            ProxyError::ClientGone
        }
    }
}
