//! Serves one client connection: reads heads, asks the gateway, sends answers, in order, until one side is done.

use std::future::{Future as _, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::call::Origin;
use super::error::ProxyError;
use super::exchange::Exchange;
use super::forward::Answer;
use super::gateway::Gateway;
use super::reply;
use super::route::Entrance;
use super::serve_h2;
use super::tunnel;
use crate::config::Limits;
use crate::message::body::Body;
use crate::message::buf::Buf;
use crate::message::fields;
use crate::message::h1::conn::{Conn, HeadError};
use crate::message::h1::parse::HeadLimits;
use crate::message::h1::pump::{Pump, PumpError};
use crate::message::h1::write::{self, Edits, Towards};
use crate::message::head::{Framing, Known, Method, RequestHead, ResponseHead, Version};
use crate::message::io::Io;
use crate::runtime::clock;
use crate::runtime::drain::Drain;
use crate::runtime::timer::Deadline;

/// How a connection came in; the same for all of its exchanges.
pub struct Client {
    /// The worker's gateway.
    pub gateway: Rc<Gateway>,
    /// The way in.
    pub entrance: Arc<Entrance>,
    /// The other end.
    pub peer: SocketAddr,
    /// By TLS?
    pub secure: bool,
    /// What it may ask.
    pub limits: Arc<Limits>,
    /// Proxies in front that are believed.
    pub trusted_hops: u8,
    /// Is the process leaving?
    pub drain: Drain,
}

impl Client {
    /// Where a request comes from.
    pub fn origin(&self) -> Origin<'_> {
        Origin {
            entrance: &self.entrance,
            peer: self.peer.ip(),
            secure: self.secure,
            trusted_hops: self.trusted_hops,
        }
    }

    /// Opens the exchange of a head.
    pub fn exchange(&self, head: &RequestHead, now: Instant) -> Exchange {
        let client = fields::client_ip(&head.store, self.peer.ip(), self.trusted_hops);
        Exchange::open(&self.gateway, head, client, now)
    }

    fn head_limits(&self) -> HeadLimits {
        HeadLimits { bytes: self.limits.header_bytes, fields: self.limits.header_count }
    }
}

/// The preface of an HTTP/2 connection (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What comes after an exchange.
#[derive(PartialEq, Eq)]
enum After {
    Next,
    Close,
    Linger,
    /// As it stands: the close itself is to say that something is missing.
    Abort,
}

/// Serves a connection from its first byte to its end. `h2`: agreed on by ALPN.
pub async fn connection(client: Client, io: Io, h2: bool, slot: Box<dyn std::any::Any>) {
    if h2 {
        return serve_h2::connection(client, io).await;
    }
    let conn = Conn::new(io, Buf::default(), Some(slot));
    let mut timer = Deadline::default();
    match speaks_h2(&client, &conn, &mut timer).await {
        Some(false) => {}
        Some(true) => {
            if let Some(io) = conn.into_io() {
                serve_h2::connection(client, io).await;
            }
            return;
        }
        None => return,
    }
    let after = exchanges(&client, &conn, &mut timer).await;
    leave(&conn, &mut timer, after).await;
}

/// Does the connection begin with the HTTP/2 preface? `None`: it ended before it began.
async fn speaks_h2(client: &Client, conn: &Rc<Conn>, timer: &mut Deadline) -> Option<bool> {
    let at = clock::instant() + client.limits.header_read;
    poll_fn(|cx| {
        loop {
            let verdict = conn.peek(|bytes| match bytes {
                [] => None,
                _ if bytes.starts_with(PREFACE) => Some(true),
                _ if PREFACE.starts_with(bytes) => None,
                _ => Some(false),
            });
            if verdict.is_some() {
                return Poll::Ready(verdict);
            }
            match conn.poll_more(cx, crate::message::buf::SIZE) {
                Poll::Ready(Ok(1..)) => {}
                // A fragment of a preface is for the parser to refuse.
                Poll::Ready(Ok(0)) if conn.has_ahead() => return Poll::Ready(Some(false)),
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(None),
                Poll::Pending => return timer.poll_passed(cx, Some(at)).map(|()| None),
            }
        }
    })
    .await
}

async fn exchanges(client: &Client, conn: &Rc<Conn>, timer: &mut Deadline) -> After {
    let mut leaving = pin!(client.drain.requested());
    // Registered once: from here on the flag tells, and the wake-up comes by itself.
    poll_fn(|cx| Poll::Ready(leaving.as_mut().poll(cx).is_ready())).await;
    let mut served = 0_u64;
    loop {
        if !wait_for_request(client, conn, timer, served == 0).await {
            return After::Close;
        }
        let head = match read_head(client, conn, timer).await {
            Ok(head) => head,
            Err(after) => return after,
        };
        served += 1;
        let last = client.limits.requests_per_connection.is_some_and(|most| served >= most);
        match exchange(client, conn, timer, &head, last).await {
            After::Next => {}
            after @ (After::Close | After::Linger | After::Abort) => return after,
        }
    }
}

/// Waits for the first byte of a request; false when there will be none.
async fn wait_for_request(client: &Client, conn: &Conn, timer: &mut Deadline, first: bool) -> bool {
    if conn.has_ahead() {
        return true;
    }
    let patience = if first { client.limits.header_read } else { client.limits.keep_alive };
    let at = clock::instant() + patience;
    poll_fn(|cx| {
        if let Poll::Ready(read) = conn.poll_first_byte(cx) {
            return Poll::Ready(matches!(read, Ok(true)));
        }
        if client.drain.is_requested() {
            return Poll::Ready(false);
        }
        timer.poll_passed(cx, Some(at)).map(|()| false)
    })
    .await
}

async fn read_head(client: &Client, conn: &Rc<Conn>, timer: &mut Deadline) -> Result<RequestHead, After> {
    let limits = client.head_limits();
    let mut at = None;
    let read = poll_fn(|cx| {
        if let Poll::Ready(read) = conn.poll_request(cx, limits) {
            return Poll::Ready(Some(read));
        }
        // Read the clock only for a head that did not come in one piece.
        let at = *at.get_or_insert_with(|| clock::instant() + client.limits.header_read);
        timer.poll_passed(cx, Some(at)).map(|()| None)
    })
    .await;
    let error = match read {
        Some(Ok(head)) => return Ok(head),
        Some(Err(HeadError::Malformed(malformed))) => ProxyError::Malformed(malformed),
        Some(Err(HeadError::Io(_) | HeadError::Closed | HeadError::Truncated)) => return Err(After::Close),
        None => ProxyError::SlowHead,
    };
    client.gateway.telemetry.malformed(error.label());
    let id = client.gateway.new_request_id();
    let (head, mut body) = reply::of(&error, Method::Other, &id);
    conn.spoil();
    let add = format!("x-request-id: {id}\r\n");
    let edits = Edits { add: add.as_bytes(), ..Edits::default() };
    let towards = Towards { version: Version::H11, framing: head.framing, keep: false };
    let mut pump = Pump::new(head.framing, |out| write::response(out, &head, &edits, towards));
    let at = clock::instant() + client.limits.header_read;
    poll_fn(|cx| match pump.poll(cx, conn, &mut body) {
        Poll::Ready(_) => Poll::Ready(()),
        Poll::Pending => timer.poll_passed(cx, Some(at)),
    })
    .await;
    Err(After::Linger)
}

async fn exchange(
    client: &Client,
    conn: &Rc<Conn>,
    timer: &mut Deadline,
    head: &RequestHead,
    last: bool,
) -> After {
    let mut exchange = client.exchange(head, clock::instant());
    let body = conn.body(head.framing);
    if head.method == Method::Connect {
        return match tunnel::connect(client, conn, timer, head, &mut exchange).await {
            Ok(bytes) => {
                exchange.close(bytes);
                After::Close
            }
            Err(error) => refuse(client, conn, timer, head, exchange, &error, last).await,
        };
    }
    let gateway = &client.gateway;
    match gateway.handle(head, body, &client.origin(), &mut exchange, timer, Some(conn)).await {
        Ok(answer) => send(client, conn, timer, head, exchange, answer, last).await,
        Err(error) => refuse(client, conn, timer, head, exchange, &error, last).await,
    }
}

/// Sends an answer of our own.
async fn refuse(
    client: &Client,
    conn: &Rc<Conn>,
    timer: &mut Deadline,
    head: &RequestHead,
    mut exchange: Exchange,
    error: &ProxyError,
    last: bool,
) -> After {
    exchange.refused(error, clock::instant());
    if let ProxyError::Malformed(malformed) = error {
        client.gateway.telemetry.malformed(malformed.label());
    }
    let (own, body) = reply::of(error, head.method, &exchange.request_id);
    if !own.keeps_alive {
        conn.spoil();
    }
    let answer = Answer { head: own, body, lease: None };
    send(client, conn, timer, head, exchange, answer, last).await
}

/// How the body is framed towards this client.
fn framing_for(version: Version, framing: Framing) -> Framing {
    match (framing, version) {
        (Framing::None | Framing::Length(_), _) => framing,
        (Framing::Chunked | Framing::Stream | Framing::UntilClose, Version::H10) => Framing::UntilClose,
        (Framing::Chunked | Framing::Stream | Framing::UntilClose, Version::H11 | Version::H2) => {
            Framing::Chunked
        }
    }
}

/// Field lines that every answer gets.
pub fn answer_fields(head: &ResponseHead, exchange: &Exchange) -> Vec<u8> {
    let mut add = Vec::with_capacity(96);
    if head.store.known(Known::RequestId).is_none() {
        add.extend_from_slice(b"x-request-id: ");
        add.extend_from_slice(exchange.request_id.as_bytes());
        add.extend_from_slice(b"\r\n");
    }
    add.extend_from_slice(b"via: ");
    add.extend_from_slice(head.version.label().as_bytes());
    add.extend_from_slice(b" strop\r\n");
    add
}

async fn send(
    client: &Client,
    conn: &Rc<Conn>,
    timer: &mut Deadline,
    head: &RequestHead,
    mut exchange: Exchange,
    mut answer: Answer,
    last: bool,
) -> After {
    let framing = framing_for(head.version, answer.head.framing);
    // An answer that overtakes its request ends the connection: where the next request begins is not known yet.
    let keep = head.keeps_alive
        && !last
        && framing != Framing::UntilClose
        && conn.is_reusable()
        && !answer.body.carries()
        && !client.drain.is_requested();
    let add = answer_fields(&answer.head, &exchange);
    let edits = Edits { add: &add, ..Edits::default() };
    let towards = Towards { version: head.version, framing, keep };
    let mut pump = Pump::new(framing, |out| write::response(out, &answer.head, &edits, towards));
    let idle = exchange.route.as_ref().and_then(|route| route.timeouts.idle);
    let total_at =
        exchange.route.as_ref().and_then(|route| route.timeouts.total).map(|t| exchange.started + t);
    let sent = pump_all(&mut pump, conn, &mut answer.body, timer, idle, total_at).await;
    drop(pump);
    if answer.head.status == 101 && sent.is_ok() {
        let upstream = answer.lease.take().map(crate::upstream::pool::Lease::into_conn);
        return upgraded(conn, upstream, timer, exchange, idle).await;
    }
    let out = answer.body.passed();
    let over = answer.body.is_over() || answer.head.framing == Framing::None;
    let unfinished = answer.body.carries();
    match sent {
        Ok(()) => {}
        Err(PumpError::Source(_)) => {
            exchange.broke(true);
            // The end is missing, and the client must be able to tell: for a body that ends with its connection
            // only a reset says so.
            conn.abort();
        }
        Err(PumpError::Sink(_)) => exchange.broke(false),
    }
    let whole = sent.is_ok();
    drop(answer.body);
    if let (true, true, false, Some(lease)) = (whole, over, unfinished, answer.lease.take()) {
        lease.give_back();
    }
    exchange.close(out);
    match (whole && keep && conn.is_reusable(), whole) {
        (true, _) => After::Next,
        (false, true) => After::Linger,
        (false, false) => After::Abort,
    }
}

/// Sends head and body; a silence of `idle` within the body, or the end of the exchange's time, breaks it off.
async fn pump_all(
    pump: &mut Pump,
    conn: &Rc<Conn>,
    body: &mut Body,
    timer: &mut Deadline,
    idle: Option<Duration>,
    total_at: Option<Instant>,
) -> Result<(), PumpError> {
    let mut idle_at = None;
    let mut passed = 0;
    poll_fn(|cx| {
        if let Poll::Ready(sent) = pump.poll(cx, conn, body) {
            return Poll::Ready(sent);
        }
        if idle_at.is_none() || body.passed() != passed {
            passed = body.passed();
            idle_at = idle.map(|idle| clock::instant() + idle);
        }
        let at = [idle_at, total_at].into_iter().flatten().min();
        timer.poll_passed(cx, at).map(|()| {
            conn.spoil();
            Err(PumpError::Source(crate::message::body::BodyError::Idle))
        })
    })
    .await
}

async fn upgraded(
    conn: &Rc<Conn>,
    upstream: Option<Rc<Conn>>,
    timer: &mut Deadline,
    exchange: Exchange,
    idle: Option<Duration>,
) -> After {
    let Some(upstream) = upstream else { return After::Close };
    conn.spoil();
    let joined = tunnel::join(conn, &upstream, timer, idle).await;
    exchange.bytes_in.set(joined.up);
    exchange.close(joined.down);
    After::Close
}

/// Ends the connection. Lingering: what the client is still sending is read over for a moment, so that closing does
/// not reset the connection under an answer that the client has not read yet (RFC 9112 section 9.6).
async fn leave(conn: &Rc<Conn>, timer: &mut Deadline, after: After) {
    if after == After::Abort {
        return;
    }
    let at = clock::instant() + Duration::from_secs(1);
    let mut read = 0_usize;
    let mut shut = false;
    poll_fn(|cx| {
        if !shut {
            match conn.poll_shutdown(cx) {
                Poll::Ready(Ok(())) => shut = true,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return timer.poll_passed(cx, Some(at)),
            }
        }
        if after != After::Linger {
            return Poll::Ready(());
        }
        loop {
            match conn.poll_discard(cx) {
                Poll::Ready(Ok(n @ 1..)) if read < 1 << 20 => read += n,
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return timer.poll_passed(cx, Some(at)),
            }
        }
    })
    .await;
}
