//! One request of an HTTP/2 connection and its answer.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::answer::{self, Silence, answer_fields};
use super::client::Client;
use super::error::ProxyError;
use super::exchange::Exchange;
use super::forward::{Answer, WaitingClient};
use super::gateway::Gateway;
use super::reply;
use super::tunnel::{self, Near};
use crate::message::account;
use crate::message::body::Body;
use crate::message::h1::Malformed;
use crate::message::h1::pump::{PumpError, Waits};
use crate::message::h1::write::Edits;
use crate::message::h2::frame::ErrorCode;
use crate::message::h2::send::Sender;
use crate::message::h2::{AcceptedStream, H2Stream, Streamed, Then, write};
use crate::message::head::{Framing, HeadStore, Known, KnownSet, Method, RequestHead, ResponseHead, Version};
use crate::message::websocket;
use crate::runtime::clock;
use crate::runtime::timer::Deadline;

/// With more streams than these open, no answer of our own waits for a window: a refusal costs its client nothing, and
/// would cost us two kilobytes.
const WAITING: usize = 16;

/// Serves a stream from its head to its end, or to where all that is left is to wait for its client.
pub(super) async fn serve(
    client: &Client,
    accepted: AcceptedStream,
    timer: &mut Deadline,
) -> Option<Sending> {
    let AcceptedStream { head, stream } = accepted;
    let mut head = match head {
        Ok(head) => head,
        Err(malformed) => {
            refuse(client, &stream, malformed, timer).await;
            return None;
        }
    };
    if head.wants_upgrade {
        let worker = &client.terms.worker;
        head.store.add(b"sec-websocket-key", &websocket::key([worker.draw(), worker.draw()]));
    }
    let mut exchange = client.exchange(&head, clock::instant());
    let asked = if head.method == Method::Connect {
        tunnel(client, &stream, &head, &mut exchange, timer).await
    } else {
        ask(client, &stream, &head, &mut exchange, timer).await
    };
    let mut answer = asked?;
    if answer.head.status == 101 {
        speak(&stream, exchange, answer, timer).await;
        return None;
    }
    if !answer.foreign && would_wait(&stream, &answer.head) {
        answer.body = reply::head_alone(&mut answer.head);
    }
    {
        let add = answer_fields(&answer.head, &exchange);
        let edits = Edits { add: &add, foreign: answer.foreign, ..Edits::default() };
        // The head ends the stream of an answer without a body: what gRPC calls Trailers-Only is told by that alone.
        let ends = Then::end_if(|| answer.head.framing == Framing::None || answer.body.ends_after(0));
        stream.send_head(ends, |encoder, out| write::answer(encoder, out, &answer.head, &edits));
    }
    let mut sending = Sending::new(stream, exchange, answer);
    let sent = poll_fn(|cx| match sending.poll(cx, timer) {
        Poll::Ready(sent) => Poll::Ready(Some(sent)),
        Poll::Pending if sending.waits_for_the_client() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await;
    let Some(sent) = sent else { return Some(sending) };
    sending.close(sent);
    None
}

/// Would the body of an answer of our own wait for the window of its stream, as others already do? Not what stands in for
/// a success: without its body it would be another answer.
fn would_wait(stream: &H2Stream, head: &ResponseHead) -> bool {
    let waits = || matches!(head.framing, Framing::Length(bytes) if !stream.takes(bytes));
    head.status >= 400 && waits() && stream.conn().active() > WAITING
}

/// Carries a tunnel to its end; the refusal, where there is none.
async fn tunnel(
    client: &Client,
    stream: &Rc<H2Stream>,
    head: &RequestHead,
    exchange: &mut Exchange,
    timer: &mut Deadline,
) -> Option<Answer> {
    // That the client gives it up is seen by whoever reads.
    match Box::pin(tunnel::connect(client, Near::H2(stream), timer, head, exchange)).await {
        Ok(bytes) => {
            exchange.close(bytes);
            None
        }
        Err(error) => Some(Gateway(&client.terms.worker).refusal(head, exchange, &error)),
    }
}

/// What the gateway answers; `None`: the client has given the stream up.
async fn ask(
    client: &Client,
    stream: &Rc<H2Stream>,
    head: &RequestHead,
    exchange: &mut Exchange,
    timer: &mut Deadline,
) -> Option<Answer> {
    let gateway = Gateway(&client.terms.worker);
    let mut body = if matches!(head.framing, Framing::None | Framing::Length(0)) {
        Body::empty()
    } else {
        Body::h2(Streamed::new(Rc::clone(stream), head.framing))
    };
    let (origin, waiting) = (client.origin(), WaitingClient::H2(stream));
    let mut answer = pin!(gateway.answer(head, &mut body, &origin, exchange, timer, Some(waiting)));
    poll_fn(|cx| {
        // First: a deadline that passes at both ends is not put down to the upstream that keeps it.
        if stream.poll_gone(cx).is_ready() {
            return Poll::Ready(None);
        }
        answer.as_mut().poll(cx).map(Some)
    })
    .await
}

/// An answer on its way to its client.
pub(super) struct Sending {
    sender: Sender,
    silence: Silence,
    exchange: Exchange,
    answer: Answer,
    /// Both connections are asked whether they are there, so that nobody speaks on the stream is no stall.
    speaks_at_will: bool,
}

impl Sending {
    /// Of an answer whose head has been sent on `stream`.
    fn new(stream: Rc<H2Stream>, exchange: Exchange, mut answer: Answer) -> Self {
        let speaks_at_will = answer.body.comes_by_h2() && answer.speaks_at_will();
        answer.head.store = HeadStore::default();
        Self {
            sender: Sender::new(stream),
            silence: Silence::of(&exchange),
            exchange,
            answer,
            speaks_at_will,
        }
    }

    /// Is there nothing to be done before its client takes more?
    fn waits_for_the_client(&self) -> bool {
        self.sender.waits_for() == Waits::Sink
            && !self.answer.remainder.is_some()
            && !self.sender.stream().is_open()
    }

    /// Sends the body; a silence of `idle` within it, or the end of the exchange's time, breaks it off.
    fn poll(&mut self, cx: &mut Context<'_>, timer: &mut Deadline) -> Poll<Result<(), PumpError>> {
        let (sender, answer) = (&mut self.sender, &mut self.answer);
        if !sender.has_ended()
            && let Err(error) = answer.remainder.poll(cx)
        {
            sender.stream().gives_up_for(ErrorCode::Internal);
            return Poll::Ready(Err(PumpError::Source(error)));
        }
        if let Poll::Ready(sent) = sender.poll(cx, &mut answer.body) {
            return Poll::Ready(sent);
        }
        if let Poll::Ready(gone) = sender.stream().poll_gone(cx) {
            return Poll::Ready(Err(gone.into()));
        }
        let waits = sender.waits_for();
        let moved = answer.body.passed() + answer.remainder.passed();
        if self.speaks_at_will && waits == Waits::Source {
            self.silence.is_broken();
        }
        self.silence.poll(cx, timer, moved, waits).map(|error| {
            if waits == Waits::Source {
                sender.stream().gives_up_for(ErrorCode::Internal);
            }
            Err(error)
        })
    }

    fn close(&mut self, sent: Result<(), PumpError>) {
        account::waits(false, false);
        answer::close(&mut self.exchange, &mut self.answer, sent);
    }

    /// Sends the rest, beside what its lane serves next: what waits for a client is small.
    pub(super) fn finish(self) -> impl Future<Output = ()> {
        let (mut sending, mut timer) = (self, Deadline::default());
        sending.exchange.lasts();
        poll_fn(move |cx| sending.poll(cx, &mut timer).map(|sent| sending.close(sent)))
    }
}

/// The backend speaks WebSocket from here on: its bytes are those of the stream (RFC 8441 section 5).
async fn speak(stream: &Rc<H2Stream>, mut exchange: Exchange, mut answer: Answer, timer: &mut Deadline) {
    // A stream that CONNECT made has no length (RFC 9110 section 9.3.6), which some servers tell with their 101.
    const DROPPED: KnownSet =
        KnownSet::of(&[Known::Upgrade, Known::SecWebSocketAccept, Known::ContentLength]);
    let Some(far) = answer.far() else { return };
    if let Some(tunnel) = exchange.tunnel.take() {
        far.stream().counts_for(Box::new(tunnel));
    }
    answer.head.status = 200;
    let add = answer_fields(&answer.head, &exchange);
    let edits = Edits { add: &add, foreign: true, drop: DROPPED, ..Edits::default() };
    stream.send_head(Then::More, |encoder, out| write::answer(encoder, out, &answer.head, &edits));
    let idle = exchange.route.as_ref().and_then(|route| route.timeouts.idle);
    let joined = tunnel::join(Near::H2(stream), far.stream(), timer, idle).await;
    exchange.bytes_in.set(joined.relayed.up);
    exchange.close(joined.relayed.down);
}

/// A head that is refused for what it is.
async fn refuse(client: &Client, stream: &Rc<H2Stream>, malformed: Malformed, timer: &mut Deadline) {
    let (id, error) =
        (client.terms.worker.new_request_id(clock::instant()), ProxyError::Malformed(malformed));
    client.terms.worker.unread(client.peer.ip(), &error, &id, Version::H2.label());
    let (head, mut body) = reply::of(&error, Method::Other, id.text(), None);
    let add = format!("x-request-id: {}\r\n", id.text());
    let edits = Edits { add: add.as_bytes(), ..Edits::default() };
    stream.send_head(Then::end_if(|| body.ends_after(0)), |encoder, out| {
        write::answer(encoder, out, &head, &edits)
    });
    let mut sender = Sender::new(Rc::clone(stream));
    let at = clock::instant() + client.limits().header_read;
    poll_fn(|cx| {
        if sender.poll(cx, &mut body).is_ready() || stream.poll_gone(cx).is_ready() {
            return Poll::Ready(());
        }
        timer.poll_passed(cx, Some(at))
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Thousands of them may wait for clients that do not read.
    #[test]
    fn an_answer_that_waits_for_its_client_is_small() {
        assert!(size_of::<Sending>() <= 900, "{}", size_of::<Sending>());
    }
}
