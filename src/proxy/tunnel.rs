//! Bytes both ways: CONNECT and upgrades.
//!
//! A tunnel is opaque, but not unmeasured ([`relay`](crate::message::relay)): connect time, the TLS handshake as its record headers show it, the first
//! byte that comes back, bytes, duration, resets. The breaker counts connect errors, handshakes that stall and resets
//! before the first byte.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::attempts::{AttemptLoop, OpenAttempt};
use super::client::Client;
use super::error::ProxyError;
use super::exchange::Exchange;
use super::forward::AttemptMet;
use super::route;
use crate::message::account;
use crate::message::body::Body;
use crate::message::buf::Buf;
use crate::message::h1::conn::H1Conn;
use crate::message::h1::pump::Pump;
use crate::message::h2::pipe::H2Pipe;
use crate::message::h2::{H2Stream, Then};
use crate::message::head::{Framing, RequestHead};
use crate::message::io::Io;
use crate::message::relay::{Relay, Relayed};
use crate::message::stream::ByteStream;
use crate::reliability::breaker::{Fitness, PermitRequest};
use crate::reliability::retry::{Repeatable, Twice};
use crate::reliability::verdict::{BadReason, Verdict};
use crate::runtime::clock;
use crate::runtime::timer::Deadline;
use crate::telemetry::series::TunnelEnd;

/// What passed through a tunnel.
#[derive(Clone, Copy, Debug)]
pub struct Joined {
    pub relayed: Relayed,
    /// Nothing passed for too long.
    pub idle: bool,
}

impl Joined {
    /// What is told about a tunnel that took `connect` to connect and was connected at `connected`.
    fn end(&self, connect: Duration, connected: Instant) -> TunnelEnd {
        let relayed = self.relayed;
        let since = |at: Instant| at.saturating_duration_since(connected);
        TunnelEnd {
            connect,
            handshake: relayed.second_up.filter(|_| relayed.tls).map(since),
            first_byte: relayed.first_down.map(since),
            up: relayed.up,
            down: relayed.down,
            reset: relayed.reset,
        }
    }
}

/// The client's side of a tunnel that was asked for.
#[derive(Clone, Copy)]
pub enum Near<'a> {
    /// Its whole connection.
    H1(&'a Rc<H1Conn>),
    /// One stream of it.
    H2(&'a Rc<H2Stream>),
}

impl Near<'_> {
    /// Nothing else passes on the connection from now on.
    fn spoil(self) {
        if let Self::H1(conn) = self {
            conn.spoil();
        }
    }

    /// Says that the tunnel is there.
    async fn established(self) -> Result<(), ()> {
        let conn = match self {
            Self::H1(conn) => conn,
            Self::H2(stream) => {
                stream.send_head(Then::More, |encoder, out| encoder.status(200, out));
                return Ok(());
            }
        };
        let line = b"HTTP/1.1 200 Connection established\r\n\r\n";
        let mut pump = Pump::new(Framing::None, |out| out.extend_from_slice(line));
        let mut none = Body::empty();
        poll_fn(|cx| pump.poll(cx, conn, &mut none)).await.map_err(|_| ())
    }

    /// Joins it with `far`.
    async fn join(
        self,
        far: &ByteStream,
        timer: &mut Deadline,
        idle: Option<Duration>,
        judge: &mut Judge<'_>,
    ) -> Joined {
        match self {
            Self::H1(conn) => join_judged(conn.stream(), far, timer, idle, judge).await,
            Self::H2(stream) => {
                let io = Io::Boxed(Box::new(H2Pipe::new(Rc::clone(stream))));
                let near = ByteStream::new(io, Buf::default(), None);
                join_judged(&near, far, timer, idle, judge).await
            }
        }
    }
}

/// Serves a CONNECT request of the egress listener to its end; the bytes that came back.
pub async fn connect(
    client: &Client,
    near: Near<'_>,
    timer: &mut Deadline,
    head: &RequestHead,
    exchange: &mut Exchange,
) -> Result<u64, ProxyError> {
    let worker = &client.terms.worker;
    if *client.terms.entrance != route::Entrance::Egress {
        near.spoil();
        return Err(ProxyError::WrongMethod { method: head.method_text().to_owned() });
    }
    let world = worker.registry.snapshot();
    let asked = route::ForwardTarget {
        host: head.host(),
        port: head.port().unwrap_or(443),
        form: route::ForwardForm::Tunnel,
    };
    let route = route::by_host(&worker.registry, &world, &asked).await?;
    drop(world);
    exchange.routed(Arc::clone(&route));
    let attempts = AttemptLoop::new(worker, &route, None, None, exchange);
    let (far, opened) = dial(&attempts, exchange).await?;
    let _in_flight = opened.endpoint.begin();
    let (began, connected) = (opened.began, clock::instant());
    near.established().await.map_err(|()| ProxyError::ClientGone)?;
    exchange.headed(200, connected);
    near.spoil();
    let first_limit = route.timeouts.first_byte;
    let mut judge = Judge { opened: Some((&attempts, opened)), first_limit, connected };
    let joined = near.join(&far, timer, route.timeouts.idle, &mut judge).await;
    let relayed = joined.relayed;
    exchange.bytes_in.set(relayed.up);
    exchange.first_byte = relayed.first_down.map(|at| at.saturating_duration_since(exchange.started));
    if relayed.mute || (relayed.reset && relayed.first_down.is_none()) {
        exchange.broke(true);
    }
    route.upstream.series.tunnel(&joined.end(connected.saturating_duration_since(began), connected));
    Ok(relayed.down)
}

/// Connects, elsewhere when that fails: nothing of what the client will say has left.
async fn dial<'a>(
    attempts: &AttemptLoop<'a>,
    exchange: &mut Exchange,
) -> Result<(ByteStream, OpenAttempt<'a>), ProxyError> {
    let (worker, route) = (attempts.worker, attempts.route);
    let upstream = &route.upstream;
    let ask = || PermitRequest { fitness: Fitness::Whole, usual: route.series.usual() };
    let limit = route.timeouts.connect.unwrap_or(Duration::from_secs(3));
    let mut open = attempts.open(exchange, clock::instant(), ask)?;
    loop {
        let error = match worker.pools.dial(upstream, &open.endpoint, limit).await {
            Ok((far, endpoint)) => {
                exchange.endpoint = Some(Arc::clone(&endpoint));
                open.endpoint = endpoint;
                return Ok((far, open));
            }
            Err(error) => ProxyError::connecting(upstream.config.name.clone(), error),
        };
        let at = clock::instant();
        let verdict = attempts.failed(&error, &AttemptMet::default(), (open.began, at));
        let mut ended = attempts.ended(Arc::clone(&open.endpoint), verdict, false, open.began, at);
        ended.unconnected = matches!(error, ProxyError::Connect { .. });
        let all = Repeatable { twice: Twice::Harm, whole: true };
        open = attempts.again(open, ended, error, all, exchange).await?;
    }
}

/// Settles the attempt of a tunnel as soon as it is clear how it began.
struct Judge<'a> {
    opened: Option<(&'a AttemptLoop<'a>, OpenAttempt<'a>)>,
    first_limit: Option<Duration>,
    connected: Instant,
}

impl Judge<'_> {
    fn verdict(&self, joined: &Joined) -> Verdict {
        let relayed = joined.relayed;
        match (relayed.first_down, relayed.up) {
            (Some(_), _) => Verdict::Good,
            (None, _) if relayed.reset => Verdict::Bad(BadReason::Reset),
            (None, 1..) if relayed.mute => Verdict::Bad(BadReason::Reset),
            (None, 1..) if joined.idle => Verdict::Bad(BadReason::Timeout),
            (None, _) => Verdict::ABANDONED,
        }
    }

    fn settle(&mut self, joined: &Joined) {
        if let Some((attempts, open)) = self.opened.take() {
            let verdict = self.verdict(joined);
            let ended =
                attempts.ended(Arc::clone(&open.endpoint), verdict, false, open.began, clock::instant());
            attempts.settle(open, ended, &[]);
        }
    }
}

/// Joins two sides until both have ended, one broke, or nothing passed for `idle`.
pub async fn join(near: Near<'_>, far: &ByteStream, timer: &mut Deadline, idle: Option<Duration>) -> Joined {
    let mut judge = Judge { opened: None, first_limit: None, connected: clock::instant() };
    near.join(far, timer, idle, &mut judge).await
}

async fn join_judged(
    near: &ByteStream,
    far: &ByteStream,
    timer: &mut Deadline,
    idle: Option<Duration>,
    judge: &mut Judge<'_>,
) -> Joined {
    let mut relay = Relay::new(clock::instant());
    let is_idle = poll_fn(|cx| {
        let over = relay.poll(cx, near, far, clock::instant);
        let (relayed, active_at) = (*relay.relayed(), relay.active_at());
        if relayed.first_down.is_some() {
            judge.settle(&Joined { relayed, idle: false });
        }
        if over.is_ready() {
            return Poll::Ready(false);
        }
        let first_at = judge
            .first_limit
            .filter(|_| relayed.up > 0 && relayed.first_down.is_none())
            .map(|limit| judge.connected.max(active_at) + limit);
        account::waits(false, near.has_ahead() || far.has_ahead());
        let at = [idle.map(|idle| active_at + idle), first_at].into_iter().flatten().min();
        timer.poll_passed(cx, at).map(|()| true)
    })
    .await;
    let joined = Joined { relayed: *relay.relayed(), idle: is_idle };
    judge.settle(&joined);
    joined
}
