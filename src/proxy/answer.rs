//! Sends an answer to an HTTP/1.1 client, from its head to its last byte, and says what becomes of the connection.
//!
//! Whose fault is a silence? The pump tells which side it waits for: an upstream that stopped sending, or a
//! client that stopped reading.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::client::{After, Client};
use super::exchange::Exchange;
use super::forward::{Answer, Far};
use super::tunnel;
use crate::message::account;
use crate::message::account::Abort as _;
use crate::message::body::BodyError;
use crate::message::h1::conn::H1Conn;
use crate::message::h1::pump::{Pump, PumpError, Waits};
use crate::message::h1::write::{self, Edits, Towards};
use crate::message::head::{Framing, Known, RequestHead, ResponseHead, Version};
use crate::message::scratch::Scratch;
use crate::runtime::clock;
use crate::runtime::timer::Deadline;

/// One request of a connection and what is needed to answer it.
pub(super) struct RequestTurn<'a> {
    pub(super) client: &'a Client,
    pub(super) conn: &'a Rc<H1Conn>,
    pub(super) timer: &'a mut Deadline,
    pub(super) head: &'a RequestHead,
    /// The connection takes no other request after it.
    pub(super) last: bool,
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
pub(super) fn answer_fields(head: &ResponseHead, exchange: &Exchange) -> Scratch {
    let mut add = Scratch::default();
    if head.store.known(Known::Date).is_none() {
        add.extend_from_slice(b"date: ");
        clock::put_http_date(&mut add, exchange.answered_at());
        add.extend_from_slice(b"\r\n");
    }
    if head.store.known(Known::RequestId).is_none() {
        add.extend_from_slice(b"x-request-id: ");
        add.extend_from_slice(exchange.request_id());
        add.extend_from_slice(b"\r\n");
    }
    add.extend_from_slice(b"via: ");
    add.extend_from_slice(head.version.label().as_bytes());
    add.extend_from_slice(b" strop\r\n");
    add
}

/// Sends an answer and closes its exchange.
pub(super) async fn send(turn: RequestTurn<'_>, exchange: &mut Exchange, answer: &mut Answer) -> After {
    let RequestTurn { client, conn, timer, head, last } = turn;
    let framing = framing_for(head.version, answer.head.framing);
    // An answer that overtakes its request ends the connection: where the next request begins is not known yet.
    let keep = head.keeps_alive
        && !last
        && framing != Framing::UntilClose
        && conn.is_reusable()
        && !answer.remainder.is_some()
        && !client.terms.drain.is_requested();
    let mut pump = {
        let add = answer_fields(&answer.head, exchange);
        let foreign = answer.foreign;
        let edits = Edits { add: &add, foreign, ..Edits::default() };
        let towards = Towards { version: head.version, framing, keep };
        Pump::new(framing, |out| write::response(out, &answer.head, &edits, towards)).gathering()
    };
    let silence = Silence::of(exchange);
    let idle = silence.idle;
    let sent = pump_all(&mut pump, conn, answer, timer, silence).await;
    if answer.head.status == 101 && sent.is_ok() {
        let far = answer.far();
        return Box::pin(upgraded(conn, far, timer, exchange, idle)).await;
    }
    let after = sent.as_ref().map_or_else(|error| after_break(error, framing), |()| After::Linger);
    if after == After::Abort {
        conn.abort();
    } else if sent.is_err() {
        conn.spoil();
    }
    let ended = close(exchange, answer, sent);
    if keep && conn.is_reusable() { After::Next(ended) } else { after }
}

/// The end is missing, and the client must be able to tell. A length or chunks say so by themselves; then the close is
/// an orderly one, which leaves the client what it has not read yet: this part, and whole answers before it. For a body
/// that ends with its connection only a reset says so; and a client that is gone or does not read gets nothing more.
fn after_break(error: &PumpError, framing: Framing) -> After {
    match (error, framing) {
        (PumpError::Source(_), Framing::None | Framing::Length(_) | Framing::Chunked) => After::Linger,
        (PumpError::Source(_), Framing::UntilClose | Framing::Stream) | (PumpError::Sink(_), _) => {
            After::Abort
        }
    }
}

/// Closes the exchange and gives the upstream's connection back when both messages are over; when that was.
pub(super) fn close(exchange: &mut Exchange, answer: &mut Answer, sent: Result<(), PumpError>) -> Instant {
    let passed = answer.body.passed();
    let over = answer.body.is_over() || answer.head.framing == Framing::None;
    let unfinished = answer.remainder.is_some();
    let whole = sent.is_ok();
    if let Err(error) = sent {
        exchange.broke(matches!(&error, PumpError::Source(source) if !matches!(source, BodyError::Request)));
    }
    exchange.bytes_in.set(answer.remainder.passed());
    let now = exchange.close(passed);
    if let (true, true, false, Some(lease)) = (whole, over, unfinished, answer.lease.take()) {
        lease.give_back(now);
    }
    now
}

/// When a message on its way has been silent for too long, or its time is over.
pub(super) struct Silence {
    idle: Option<Duration>,
    total_at: Option<Instant>,
    idle_at: Option<Instant>,
    moved: u64,
}

impl Silence {
    /// By the limits of the exchange's route.
    pub(super) fn of(exchange: &Exchange) -> Self {
        let timeouts = exchange.route.as_ref().map(|route| route.timeouts).unwrap_or_default();
        let total_at = timeouts.total.map(|total| exchange.started + total);
        Self { idle: timeouts.idle, total_at, idle_at: None, moved: 0 }
    }

    /// It counts from now on.
    pub(super) fn is_broken(&mut self) {
        self.idle_at = None;
    }

    /// `moved`: bytes that have passed, both ways; `waits`: which side is waited for. Ready with the reason when there is
    /// nothing more to wait for.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        timer: &mut Deadline,
        moved: u64,
        waits: Waits,
    ) -> Poll<PumpError> {
        let to_client = waits == Waits::Sink;
        account::waits(to_client, to_client);
        if self.idle_at.is_none() || moved != self.moved {
            self.moved = moved;
            self.idle_at = self.idle.map(|idle| clock::instant() + idle);
        }
        let at = [self.idle_at, self.total_at].into_iter().flatten().min();
        timer.poll_passed(cx, at).map(|()| match waits {
            Waits::Source => PumpError::Source(BodyError::Idle),
            Waits::Sink => PumpError::Sink(std::io::ErrorKind::TimedOut.into()),
        })
    }
}

/// Sends head and body; a silence of `idle` within the body, or the end of the exchange's time, breaks it off.
async fn pump_all(
    pump: &mut Pump,
    conn: &Rc<H1Conn>,
    answer: &mut Answer,
    timer: &mut Deadline,
    mut silence: Silence,
) -> Result<(), PumpError> {
    poll_fn(|cx| {
        if !pump.has_ended()
            && let Err(error) = answer.remainder.poll(cx)
        {
            return Poll::Ready(Err(pump.break_off(cx, conn, &mut answer.body, error)));
        }
        if let Poll::Ready(sent) = pump.poll(cx, conn, &mut answer.body) {
            return Poll::Ready(sent);
        }
        let moved = answer.body.passed() + answer.remainder.passed();
        silence.poll(cx, timer, moved, pump.waits_for()).map(|error| {
            conn.spoil();
            Err(error)
        })
    })
    .await
}

async fn upgraded(
    conn: &Rc<H1Conn>,
    far: Option<Far>,
    timer: &mut Deadline,
    exchange: &mut Exchange,
    idle: Option<Duration>,
) -> After {
    let Some(far) = far else { return After::Close };
    if let Some(tunnel) = exchange.tunnel.take() {
        far.stream().counts_for(Box::new(tunnel));
    }
    conn.spoil();
    let joined = tunnel::join(tunnel::Near::H1(conn), far.stream(), timer, idle).await;
    exchange.bytes_in.set(joined.relayed.up);
    exchange.close(joined.relayed.down);
    After::Close
}
