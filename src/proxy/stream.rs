//! One request of an HTTP/2 connection and its answer.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use super::answer::{self, Silence, answer_fields};
use super::client::Client;
use super::error::ProxyError;
use super::exchange::Exchange;
use super::forward::{Answer, WaitingClient};
use super::gateway::Gateway;
use super::reply;
use crate::message::account;
use crate::message::body::Body;
use crate::message::h1::Malformed;
use crate::message::h1::pump::{PumpError, Waits};
use crate::message::h1::write::Edits;
use crate::message::h2::frame::ErrorCode;
use crate::message::h2::send::Sender;
use crate::message::h2::{AcceptedStream, H2Stream, Streamed, Then, write};
use crate::message::head::{Framing, Method, RequestHead, ResponseHead, Version};
use crate::runtime::clock;
use crate::runtime::timer::Deadline;

/// Serves a stream from its head to its end.
pub(super) async fn serve(client: &Client, accepted: AcceptedStream, timer: &mut Deadline) {
    let AcceptedStream { head, stream } = accepted;
    let head = match head {
        Ok(head) => head,
        Err(malformed) => return refuse(client, &stream, malformed, timer).await,
    };
    let mut exchange = client.exchange(&head, clock::instant());
    let Some(mut answer) = ask(client, &stream, &head, &mut exchange, timer).await else { return };
    {
        let add = answer_fields(&answer.head, &exchange);
        let edits = Edits { add: &add, foreign: answer.foreign, ..Edits::default() };
        // The head ends the stream of an answer without a body: what gRPC calls Trailers-Only is told by that alone.
        let ends = Then::end_if(|| answer.head.framing == Framing::None || answer.body.ends_after(0));
        stream.send_head(ends, |encoder, out| write::answer(encoder, out, &answer.head, &edits));
    }
    let sent = send(&stream, &exchange, &mut answer, timer).await;
    account::waits(false, false);
    answer::close(&mut exchange, &mut answer, sent);
}

/// What the gateway answers; `None`: the client has given the stream up.
async fn ask(
    client: &Client,
    stream: &Rc<H2Stream>,
    head: &RequestHead,
    exchange: &mut Exchange,
    timer: &mut Deadline,
) -> Option<Answer> {
    let gateway = Gateway(&client.worker);
    if head.method == Method::Connect {
        let error = ProxyError::WrongMethod { method: "CONNECT over HTTP/2".to_owned() };
        return Some(gateway.refusal(head, exchange, &error));
    }
    let mut body = if matches!(head.framing, Framing::None | Framing::Length(0)) {
        Body::empty()
    } else {
        Body::h2(Streamed::new(Rc::clone(stream), head.framing))
    };
    let (origin, waiting) = (client.origin(), WaitingClient::H2(stream));
    let mut answer = pin!(gateway.answer(head, &mut body, &origin, exchange, timer, Some(waiting)));
    poll_fn(|cx| match answer.as_mut().poll(cx) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        Poll::Pending => stream.poll_gone(cx).map(|_| None),
    })
    .await
}

/// Sends the body; a silence of `idle` within it, or the end of the exchange's time, breaks it off.
async fn send(
    stream: &Rc<H2Stream>,
    exchange: &Exchange,
    answer: &mut Answer,
    timer: &mut Deadline,
) -> Result<(), PumpError> {
    let mut sender = Sender::new(Rc::clone(stream));
    let mut silence = Silence::of(exchange);
    // Both connections are asked whether they are there, so that nobody speaks on the stream is no stall.
    let speaks_at_will = answer.body.comes_by_h2() && may_be_silent(&answer.head);
    poll_fn(|cx| {
        if !sender.has_ended()
            && let Err(error) = answer.remainder.poll(cx)
        {
            stream.gives_up_for(ErrorCode::Internal);
            return Poll::Ready(Err(PumpError::Source(error)));
        }
        if let Poll::Ready(sent) = sender.poll(cx, &mut answer.body) {
            return Poll::Ready(sent);
        }
        if let Poll::Ready(gone) = stream.poll_gone(cx) {
            return Poll::Ready(Err(gone.into()));
        }
        let waits = sender.waits_for();
        let moved = answer.body.passed() + answer.remainder.passed();
        if speaks_at_will && waits == Waits::Source {
            silence.is_broken();
        }
        silence.poll(cx, timer, moved, waits).map(|error| {
            if waits == Waits::Source {
                stream.gives_up_for(ErrorCode::Internal);
            }
            Err(error)
        })
    })
    .await
}

/// Does the content type say that a sender speaks when it has something to say?
fn may_be_silent(head: &ResponseHead) -> bool {
    let starts = |value: &[u8], with: &[u8]| {
        value.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with))
    };
    head.store
        .field("content-type")
        .is_some_and(|value| starts(value, b"application/grpc") || starts(value, b"text/event-stream"))
}

/// A head that is refused for what it is.
async fn refuse(client: &Client, stream: &Rc<H2Stream>, malformed: Malformed, timer: &mut Deadline) {
    let (id, error) = (client.worker.new_request_id(clock::instant()), ProxyError::Malformed(malformed));
    client.worker.unread(client.peer.ip(), &error, &id, Version::H2.label());
    let (head, mut body) = reply::of(&error, Method::Other, id.text());
    let add = format!("x-request-id: {}\r\n", id.text());
    let edits = Edits { add: add.as_bytes(), ..Edits::default() };
    stream.send_head(Then::end_if(|| body.ends_after(0)), |encoder, out| {
        write::answer(encoder, out, &head, &edits)
    });
    let mut sender = Sender::new(Rc::clone(stream));
    let at = clock::instant() + client.limits.header_read;
    poll_fn(|cx| {
        if sender.poll(cx, &mut body).is_ready() || stream.poll_gone(cx).is_ready() {
            return Poll::Ready(());
        }
        timer.poll_passed(cx, Some(at))
    })
    .await;
}
