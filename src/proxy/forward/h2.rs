//! An attempt by HTTP/2: request out and answer's head in, both within the same poll.
//!
//! A WebSocket leaves as an extended CONNECT (RFC 8441), and what takes it is told as HTTP/1.1 tells it: whoever sends the
//! answer need not know by which version it came.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::interim::Interims;
use super::watch::{AttemptWatch, Got};
use super::{Answer, Attempt, AttemptMet, broke_off, trailers_only};
use crate::message::body::Body;
use crate::message::h1::pump::PumpError;
use crate::message::h2::upload::H2Upload;
use crate::message::h2::{H2Stream, StreamError, Streamed, Then, write};
use crate::message::head::{Framing, Known, RequestHead, ResponseHead};
use crate::message::upload::Remainder;
use crate::message::websocket;
use crate::proxy::call::PreparedCall;
use crate::proxy::error::ProxyError;
use crate::reliability::retry::Sent;
use crate::runtime::clock;
use crate::runtime::timer::Deadline;

/// A request on its way out, and what was seen meanwhile.
struct Sending {
    upload: H2Upload,
    over: bool,
    interims: Interims,
    /// The client waits until the upstream asks for its body.
    uninvited: bool,
    /// The upstream has given up this very stream, and not its connection.
    reset: bool,
}

impl Attempt<'_> {
    pub(super) async fn over_h2(
        &self,
        call: &mut PreparedCall<'_>,
        stream: Rc<H2Stream>,
        timer: &mut Deadline,
        met: &mut AttemptMet,
    ) -> Result<Answer, ProxyError> {
        met.reused = stream.is_after_idle();
        let upgrades = call.head.wants_upgrade;
        let body = self.send_h2_head(call, &stream);
        let upload = H2Upload::new(Rc::clone(&stream), body);
        // Of a WebSocket nothing is sent before there is one.
        let mut sending =
            Sending { upload, over: upgrades, interims: Interims::default(), uninvited: false, reset: false };
        if let (true, Some(waiting)) = (call.head.expects_continue, self.waiting) {
            sending.uninvited = waiting.invite();
        }
        let mut watch = AttemptWatch::new(self, clock::instant());
        let answered = poll_fn(|cx| {
            if let Some(waiting) = self.waiting {
                waiting.poll_told(cx);
            }
            if let Poll::Ready(done) = self.poll_h2(cx, &stream, &mut sending, call) {
                return Poll::Ready(done);
            }
            watch.poll(cx, timer, sending.got()).map(Err)
        })
        .await;
        match answered {
            Ok(head) if upgrades => Ok(upgraded(head, call.head, stream)),
            Ok(head) => {
                if !self.route.upstream.config.repeats_after(head.status, trailers_only(&head)) {
                    sending.upload.let_go();
                }
                let body = Body::h2(Streamed::new(stream, head.framing));
                let remainder;
                (remainder, *call.body) = Remainder::of_h2(sending.upload);
                Ok(Answer { head, body, remainder, lease: None, websocket: None, foreign: true })
            }
            Err(error) => {
                // Whoever resets a stream is there: its connection was not at its end.
                met.reused &= !sending.reset;
                *call.body = sending.upload.into_body();
                Err(error)
            }
        }
    }

    /// Sends the head of the request; its body, which follows.
    fn send_h2_head(&self, call: &mut PreparedCall<'_>, stream: &H2Stream) -> Body {
        let body = std::mem::replace(call.body, Body::empty());
        let edits = call.edits();
        let scheme: &[u8] = if self.route.upstream.tls.is_some() { b"https" } else { b"http" };
        if call.head.wants_upgrade {
            stream.send_head(Then::More, |encoder, out| {
                write::websocket(encoder, out, call.head, &edits, scheme)
            });
        } else {
            stream.send_head(Then::end_if(|| body.is_over()), |encoder, out| {
                write::request(encoder, out, call.head, &edits, scheme)
            });
        }
        body
    }

    fn poll_h2(
        &self,
        cx: &mut Context<'_>,
        stream: &H2Stream,
        sending: &mut Sending,
        call: &PreparedCall<'_>,
    ) -> Poll<Result<ResponseHead, ProxyError>> {
        if !sending.over {
            match sending.upload.poll(cx) {
                Poll::Pending => {}
                // That the upstream does not take the rest is no failure yet: its answer may be on the way.
                Poll::Ready(Ok(()) | Err(PumpError::Sink(_))) => sending.over = true,
                Poll::Ready(Err(PumpError::Source(error))) => return Poll::Ready(Err(broke_off(error))),
            }
        }
        while let Some(head) = stream.interim() {
            sending.upload.let_go();
            if !sending.interims.hear(&head, clock::instant()) {
                return Poll::Ready(Err(self.too_many_interims()));
            }
            sending.uninvited &= head.status != 100;
            self.pass_interim(cx, &head, call);
        }
        match stream.poll_answer(cx) {
            Poll::Ready(Ok(Ok(head))) => Poll::Ready(Ok(head)),
            Poll::Ready(Ok(Err(malformed))) => Poll::Ready(Err(self.not_understood(malformed))),
            Poll::Ready(Err(error)) => {
                sending.reset = matches!(error, StreamError::Reset(_));
                Poll::Ready(Err(self.no_answer(error)))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Why there is none.
    fn no_answer(&self, error: StreamError) -> ProxyError {
        let sent = match error {
            StreamError::Unsent => Sent::Nothing,
            StreamError::Refused => Sent::Refused,
            StreamError::Reset(_) | StreamError::Broken => Sent::Maybe,
        };
        ProxyError::Broken {
            upstream: self.name(),
            sent,
            begun: false,
            local: None,
            cause: error.to_string(),
        }
    }
}

/// The answer to a WebSocket's request `asked`: 101 with the proof that its client waits for where the upstream takes it,
/// else what the upstream said.
fn upgraded(mut head: ResponseHead, asked: &RequestHead, stream: Rc<H2Stream>) -> Answer {
    let remainder = Remainder::default();
    if !(200..300).contains(&head.status) {
        // Nothing more is asked.
        stream.send(&[], Then::End);
        let body = Body::h2(Streamed::new(stream, head.framing));
        return Answer { head, body, remainder, lease: None, websocket: None, foreign: true };
    }
    (head.status, head.framing) = (101, Framing::None);
    for field in &mut head.store.fields {
        field.hop |= field.known == Known::SecWebSocketAccept;
    }
    let key = asked.store.known(Known::SecWebSocketKey).unwrap_or_default();
    head.store.add(b"upgrade", b"websocket");
    head.store.add(b"sec-websocket-accept", &websocket::accept(key));
    Answer { head, body: Body::empty(), remainder, lease: None, websocket: Some(stream), foreign: true }
}

impl Sending {
    fn got(&self) -> Got {
        let passed = self.upload.passed() + 1;
        let uninvited = self.uninvited && !self.over && self.upload.passed() == 0;
        Got {
            passed,
            over: self.over,
            waits: self.upload.waits_for(),
            uninvited,
            interim: self.interims.count,
        }
    }
}
