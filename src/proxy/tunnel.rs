//! Bytes both ways: CONNECT and upgrades.
//!
//! A tunnel is opaque, but not unmeasured: connect time, the TLS handshake as its record headers show it, the first
//! byte that comes back, bytes, duration, resets. The breaker counts connect errors, handshakes that stall and resets
//! before the first byte.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::attempts::{AttemptLoop, OpenAttempt};
use super::client::Client;
use super::error::ProxyError;
use super::exchange::Exchange;
use super::route;
use crate::message::account;
use crate::message::body::Body;
use crate::message::buf::{Buf, SIZE};
use crate::message::h1::conn::H1Conn;
use crate::message::h1::pump::Pump;
use crate::message::h2::pipe::H2Pipe;
use crate::message::h2::{H2Stream, Then};
use crate::message::head::{Framing, RequestHead};
use crate::message::io::Io;
use crate::message::stream::ByteStream;
use crate::reliability::breaker::{Fitness, PermitRequest};
use crate::reliability::retry::Repeatable;
use crate::reliability::verdict::{BadReason, Verdict};
use crate::runtime::clock;
use crate::runtime::timer::Deadline;
use crate::telemetry::series::TunnelEnd;

/// What passed through a tunnel.
#[derive(Clone, Copy, Debug, Default)]
pub struct Joined {
    /// Bytes towards the upstream.
    pub up: u64,
    /// Bytes towards the client.
    pub down: u64,
    /// When the first byte came back.
    pub first_down: Option<Instant>,
    /// When the client's first bytes after the server's first flight left: for TLS, the end of the handshake's wait.
    pub second_up: Option<Instant>,
    /// The upstream broke it with a reset.
    pub reset: bool,
    /// The upstream ended it before its first byte.
    pub mute: bool,
    /// Nothing passed for too long.
    pub idle: bool,
    /// Did the client begin with a TLS handshake record?
    pub tls: bool,
}

impl Joined {
    /// What is told about a tunnel that took `connect` to connect and was connected at `connected`.
    fn end(&self, connect: Duration, connected: Instant) -> TunnelEnd {
        let since = |at: Instant| at.saturating_duration_since(connected);
        TunnelEnd {
            connect,
            handshake: self.second_up.filter(|_| self.tls).map(since),
            first_byte: self.first_down.map(since),
            up: self.up,
            down: self.down,
            reset: self.reset,
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
    let worker = &client.worker;
    if *client.entrance != route::Entrance::Egress {
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
    let joined = near.join(far.stream(), timer, route.timeouts.idle, &mut judge).await;
    exchange.bytes_in.set(joined.up);
    exchange.first_byte = joined.first_down.map(|at| at.saturating_duration_since(exchange.started));
    if joined.mute || (joined.reset && joined.first_down.is_none()) {
        exchange.broke(true);
    }
    route.upstream.series.tunnel(&joined.end(connected.saturating_duration_since(began), connected));
    Ok(joined.down)
}

/// Connects, elsewhere when that fails: nothing of what the client will say has left.
async fn dial<'a>(
    attempts: &AttemptLoop<'a>,
    exchange: &mut Exchange,
) -> Result<(Rc<H1Conn>, OpenAttempt<'a>), ProxyError> {
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
        let verdict = attempts.unconnected(&error, open.began, at);
        let mut ended = attempts.ended(Arc::clone(&open.endpoint), verdict, false, open.began, at);
        ended.unconnected = matches!(error, ProxyError::Connect { .. });
        let all = Repeatable { safe: false, idempotent: false, whole: true };
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
        match (joined.first_down, joined.up) {
            (Some(_), _) => Verdict::Good,
            (None, _) if joined.reset => Verdict::Bad(BadReason::Reset),
            (None, 1..) if joined.mute => Verdict::Bad(BadReason::Reset),
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
    let mut joined = Joined::default();
    let mut up = TunnelDirection::default();
    let mut down = TunnelDirection::default();
    let mut active_at = clock::instant();
    poll_fn(|cx| {
        let before = joined.up + joined.down;
        if joined.up == 0 {
            // A TLS handshake record (RFC 8446 section 5.1): type 22, version 3.x.
            joined.tls |= near.peek(|bytes| bytes.starts_with(&[22, 3]));
        }
        let sent = up.poll(cx, near, far);
        joined.up += up.take_passed();
        let received = down.poll(cx, far, near);
        joined.down += down.take_passed();
        let now_moved = joined.up + joined.down != before;
        if now_moved {
            active_at = clock::instant();
            note_first(&mut joined, before, active_at, &up);
            if joined.first_down.is_some() {
                judge.settle(&joined);
            }
        }
        joined.reset |=
            matches!(&received, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset);
        joined.mute |= joined.first_down.is_none() && matches!(&received, Poll::Ready(_));
        let broken = |way: &Poll<io::Result<()>>| matches!(way, Poll::Ready(Err(_)));
        if broken(&sent) || broken(&received) || (sent.is_ready() && received.is_ready()) {
            return Poll::Ready(());
        }
        let first_at = judge
            .first_limit
            .filter(|_| joined.up > 0 && joined.first_down.is_none())
            .map(|limit| judge.connected.max(active_at) + limit);
        account::waits(false, near.has_ahead() || far.has_ahead());
        let at = [idle.map(|idle| active_at + idle), first_at].into_iter().flatten().min();
        timer.poll_passed(cx, at).map(|()| joined.idle = true)
    })
    .await;
    judge.settle(&joined);
    joined
}

fn note_first(joined: &mut Joined, before: u64, now: Instant, up: &TunnelDirection) {
    if joined.first_down.is_none() && joined.down > 0 {
        joined.first_down = Some(now);
    } else if joined.first_down.is_some()
        && joined.second_up.is_none()
        && up.moved
        && joined.up + joined.down > before
    {
        joined.second_up = Some(now);
    }
}

/// One direction of a tunnel.
#[derive(Default)]
struct TunnelDirection {
    ended: bool,
    shut: bool,
    passed: u64,
    moved: bool,
}

impl TunnelDirection {
    fn take_passed(&mut self) -> u64 {
        self.moved = self.passed > 0;
        std::mem::take(&mut self.passed)
    }

    /// Moves what there is; ready when `from` has ended and `to` has been told.
    fn poll(&mut self, cx: &mut Context<'_>, from: &ByteStream, to: &ByteStream) -> Poll<io::Result<()>> {
        loop {
            if from.has_ahead() {
                match from.poll_pass(cx, to) {
                    Poll::Ready(passed) => self.passed += passed? as u64,
                    Poll::Pending => return Poll::Pending,
                }
                continue;
            }
            if self.shut {
                return Poll::Ready(Ok(()));
            }
            if self.ended {
                return match to.poll_shutdown(cx) {
                    Poll::Ready(Ok(())) => {
                        self.shut = true;
                        Poll::Ready(Ok(()))
                    }
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    Poll::Pending => Poll::Pending,
                };
            }
            // What a TLS session still holds goes on whenever there is room for it, not only when more comes.
            let _ = to.poll_flush(cx)?;
            match from.poll_more(cx, SIZE) {
                Poll::Ready(read) => self.ended = read? == 0,
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::pin::Pin;

    use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

    use super::*;

    /// Takes everything, as a TLS session does, and has no room to send it on at the first try.
    #[derive(Default)]
    struct Holding {
        held: Vec<u8>,
        tries: u32,
        sent: Rc<RefCell<Vec<u8>>>,
    }

    impl AsyncRead for Holding {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Holding {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.held.extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.tries += 1;
            if self.tries == 1 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let held = std::mem::take(&mut self.held);
            self.sent.borrow_mut().extend(held);
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn what_a_session_holds_goes_on_although_nothing_more_comes() {
        let (mut client, near) = tokio::io::duplex(64);
        let far = Holding::default();
        let sent = Rc::clone(&far.sent);
        let near = ByteStream::new(Io::Boxed(Box::new(near)), Buf::default(), None);
        let far = ByteStream::new(Io::Boxed(Box::new(far)), Buf::default(), None);
        client.write_all(b"hello").await.expect("writes");
        let mut way = TunnelDirection::default();
        let moved = poll_fn(|cx| {
            assert!(way.poll(cx, &near, &far).is_pending(), "the client stays");
            if sent.borrow().is_empty() { Poll::Pending } else { Poll::Ready(()) }
        });
        tokio::time::timeout(Duration::from_secs(5), moved).await.expect("it is sent");
        assert_eq!(*sent.borrow(), b"hello");
    }
}
