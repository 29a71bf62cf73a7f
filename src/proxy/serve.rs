//! Serves one client connection: reads heads, asks the gateway, sends answers, in order, until one side is done.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::answer::{self, RequestTurn};
use super::client::{After, Client};
use super::error::ProxyError;
use super::forward::WaitingClient;
use super::gateway::Gateway;
use super::leave::leave;
use super::reply;
use super::serve_h2;
use super::tunnel;
use crate::message::account;
use crate::message::body::Body;
use crate::message::buf::Buf;
use crate::message::h1::conn::{H1Conn, HeadError};
use crate::message::h1::pump::Pump;
use crate::message::h1::write::{self, Edits, Towards};
use crate::message::h2::frame::PREFACE;
use crate::message::head::{Method, RequestHead, Version};
use crate::message::io::Io;
use crate::runtime::clock;
use crate::runtime::timer::Deadline;

/// A connection that is silent for longer gives back what only an exchange needs. Whoever asks more often finds it there: nothing is
/// allocated for such a request.
const RESTS_AFTER: Duration = Duration::from_millis(250);

/// A rest that may be as long as this ends within two seconds of its time, and needs no timer.
const LONG_REST: Duration = Duration::from_secs(10);

/// Serves a connection from its first byte to its end, whichever HTTP it begins with.
///
/// What a future is given it holds twice: what is large is behind a pointer before it begins.
pub fn connection(client: Rc<Client>, io: Io, slot: Box<dyn Any>) -> impl Future<Output = ()> {
    speaks_h1(client, H1Conn::new(io, Buf::default(), Some(slot)))
}

/// What holds of a connection that waits is in this future; what an exchange needs is in [`busy`] beside it.
async fn speaks_h1(client: Rc<Client>, conn: Rc<H1Conn>) {
    account::with_current(|account| account.watch(&conn));
    let mut timer = Deadline::default();
    match speaks_h2(&client, &conn, &mut timer).await {
        Some(false) => {}
        Some(true) => {
            if let Some((io, slot)) = conn.into_io() {
                let slot = slot.unwrap_or_else(|| Box::new(()));
                Box::pin(serve_h2::connection(client, io, slot)).await;
            }
            return;
        }
        None => return,
    }
    let (mut served, at) = (0, clock::instant() + client.limits().header_read);
    let mut came = first_byte(&client, &conn, &mut timer, at).await;
    let after = loop {
        if came != FirstByte::Came {
            break After::Close;
        }
        match Box::pin(busy(&client, &conn, &mut timer, &mut served)).await {
            After::Next(ended) => {
                client.rest();
                let at = ended + client.limits().keep_alive;
                came = match client.limits().keep_alive < LONG_REST {
                    true => first_byte(&client, &conn, &mut timer, at).await,
                    false => rest(&client, &conn, &mut timer, at).await,
                };
            }
            after @ (After::Close | After::Linger | After::Abort) => break after,
        }
    };
    leave(conn.stream(), &mut timer, after, client.limits()).await;
}

/// Does the connection begin with the HTTP/2 preface? `None`: it ended before it began.
fn speaks_h2(client: &Client, conn: &H1Conn, timer: &mut Deadline) -> impl Future<Output = Option<bool>> {
    let begun = clock::instant();
    poll_fn(move |cx| {
        loop {
            let verdict = conn.stream().peek(|bytes| match bytes {
                [] => None,
                _ if bytes.starts_with(PREFACE) => Some(true),
                _ if PREFACE.starts_with(bytes) => None,
                _ => Some(false),
            });
            if verdict.is_some() {
                return Poll::Ready(verdict);
            }
            match conn.stream().poll_more(cx, crate::message::buf::SIZE) {
                Poll::Ready(Ok(1..)) => {}
                // A fragment of a preface is for the parser to refuse.
                Poll::Ready(Ok(0)) if conn.stream().has_ahead() => return Poll::Ready(Some(false)),
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(None),
                Poll::Pending => {
                    let at = match conn.stream().has_ahead() {
                        true => begun + client.limits().header_read,
                        false => client.asks_by(begun),
                    };
                    return timer.poll_passed(cx, Some(at)).map(|()| None);
                }
            }
        }
    })
}

/// One exchange after the other, until the connection rests ([`After::Next`]) or is done with.
async fn busy(client: &Client, conn: &Rc<H1Conn>, timer: &mut Deadline, served: &mut u64) -> After {
    loop {
        let head = match read_head(client, conn, timer).await {
            Ok(head) => head,
            Err(after) => return after,
        };
        *served += 1;
        let last = client.limits().requests_per_connection.is_some_and(|most| *served >= most);
        timer.begin();
        let after = exchange(client, conn, timer, &head, last).await;
        account::waits(false, false);
        let After::Next(ended) = after else { return after };
        let at = ended + client.limits().keep_alive.min(RESTS_AFTER);
        match first_byte(client, conn, timer, at).await {
            FirstByte::Came => {}
            FirstByte::Late => return After::Next(ended),
            FirstByte::Never => return After::Close,
        }
    }
}

/// What came of the wait for the first byte of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FirstByte {
    Came,
    /// Not until then.
    Late,
    /// There will be none.
    Never,
}

/// Waits for the first byte of a request until `at`.
fn first_byte(
    client: &Client,
    conn: &H1Conn,
    timer: &mut Deadline,
    at: Instant,
) -> impl Future<Output = FirstByte> {
    poll_fn(move |cx| match poll_first_byte(cx, client, conn) {
        Poll::Pending => timer.poll_passed(cx, Some(at)).map(|()| FirstByte::Late),
        Poll::Ready(came) => Poll::Ready(came),
    })
}

/// The same, where it may take long: the worker has it look.
fn rest(
    client: &Client,
    conn: &H1Conn,
    timer: &mut Deadline,
    at: Instant,
) -> impl Future<Output = FirstByte> {
    timer.let_go();
    poll_fn(move |cx| {
        let came = match poll_first_byte(cx, client, conn) {
            Poll::Pending if timer.has_passed(at) => Poll::Ready(FirstByte::Late),
            Poll::Pending => Poll::Pending,
            Poll::Ready(came) => Poll::Ready(came),
        };
        let until = came.is_pending().then_some(at);
        account::with_current(|account| client.terms.worker.accounts.rests_until(account, until));
        came
    })
}

fn poll_first_byte(cx: &mut Context<'_>, client: &Client, conn: &H1Conn) -> Poll<FirstByte> {
    if let Poll::Ready(read) = conn.poll_first_byte(cx) {
        return Poll::Ready(if matches!(read, Ok(true)) { FirstByte::Came } else { FirstByte::Never });
    }
    match client.terms.drain.is_requested() {
        true => Poll::Ready(FirstByte::Never),
        false => Poll::Pending,
    }
}

async fn read_head(client: &Client, conn: &Rc<H1Conn>, timer: &mut Deadline) -> Result<RequestHead, After> {
    let limits = client.head_limits();
    let mut at = None;
    let read = poll_fn(|cx| {
        if let Poll::Ready(read) = conn.poll_request(cx, limits) {
            return Poll::Ready(Some(read));
        }
        // Read the clock only for a head that did not come in one piece.
        let at = *at.get_or_insert_with(|| clock::instant() + client.limits().header_read);
        timer.poll_passed(cx, Some(at)).map(|()| None)
    })
    .await;
    let error = match read {
        Some(Ok(head)) => return Ok(head),
        Some(Err(HeadError::Malformed(malformed))) => ProxyError::Malformed(malformed),
        Some(Err(HeadError::Io(_) | HeadError::Closed | HeadError::Truncated)) => return Err(After::Close),
        Some(Err(HeadError::NoMemory)) => ProxyError::NoMemory,
        None => ProxyError::SlowHead,
    };
    let id = client.terms.worker.new_request_id(clock::instant());
    client.terms.worker.unread(client.peer.ip(), &error, &id, Version::H11.label());
    let (head, mut body) = reply::of(&error, Method::Other, id.text(), None);
    conn.spoil();
    let add = format!("x-request-id: {}\r\n", id.text());
    let edits = Edits { add: add.as_bytes(), ..Edits::default() };
    let towards = Towards { version: Version::H11, framing: head.framing, keep: false };
    let mut pump = Pump::new(head.framing, |out| write::response(out, &head, &edits, towards));
    let at = clock::instant() + client.limits().header_read;
    poll_fn(|cx| match pump.poll(cx, conn, &mut body) {
        Poll::Ready(_) => Poll::Ready(()),
        Poll::Pending => timer.poll_passed(cx, Some(at)),
    })
    .await;
    Err(After::Linger)
}

/// One request and its answer. What a connection between two requests holds is the size of this future, so what is rare is
/// boxed in it and what is large is in it once.
async fn exchange(
    client: &Client,
    conn: &Rc<H1Conn>,
    timer: &mut Deadline,
    head: &RequestHead,
    last: bool,
) -> After {
    let mut exchange = client.exchange(head, clock::instant());
    let gateway = Gateway(&client.terms.worker);
    let mut answer = if head.method == Method::Connect {
        match Box::pin(tunnel::connect(client, tunnel::Near::H1(conn), timer, head, &mut exchange)).await {
            Ok(bytes) => {
                exchange.close(bytes);
                return After::Close;
            }
            Err(error) => gateway.refusal(head, &mut exchange, &error),
        }
    } else {
        let waiting = WaitingClient::H1 { conn, patience: client.limits().half_close };
        // Gone before the answer is sent: a connection whose body was not read to its end does not go on.
        let mut body = Body::h1(conn, head.framing);
        gateway.answer(head, &mut body, &client.origin(), &mut exchange, timer, Some(waiting)).await
    };
    if !answer.foreign && !answer.head.keeps_alive {
        conn.spoil();
    }
    answer::send(RequestTurn { client, conn, timer, head, last }, &mut exchange, &mut answer).await
}
