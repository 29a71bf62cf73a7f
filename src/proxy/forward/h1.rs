//! An attempt by HTTP/1.1: request out and answer's head in, both within the same poll.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::interim::Interims;
use super::watch::{AttemptWatch, Got};
use super::{ANSWER, Answer, Attempt, WaitingClient, broke_off, trailers_only};
use crate::message::body::{Body, BodyError};
use crate::message::h1::conn::{H1Conn, HeadError};
use crate::message::h1::pump::{Pump, PumpError};
use crate::message::h1::upload::Upload;
use crate::message::h1::write;
use crate::message::head::{Method, ResponseHead};
use crate::message::upload::Remainder;
use crate::proxy::call::PreparedCall;
use crate::proxy::error::ProxyError;
use crate::reliability::retry::Sent;
use crate::runtime::clock;
use crate::runtime::timer::Deadline;
use crate::upstream::local;
use crate::upstream::pool::{PoolKey, PooledConnection};

impl Attempt<'_> {
    pub(super) async fn over_h1(
        &self,
        call: &mut PreparedCall<'_>,
        (conn, idle, key): (Rc<H1Conn>, Option<Duration>, PoolKey),
        timer: &mut Deadline,
        now: Instant,
    ) -> Result<Answer, ProxyError> {
        if self.waiting.is_some_and(WaitingClient::takes_little) {
            conn.reads_short();
        }
        let framing = call.framing();
        let pump = Pump::new(framing, |out| write::request(out, call.head, &call.edits(), framing));
        let body = std::mem::replace(call.body, Body::empty());
        let mut sending = Sending::new(Upload::new(pump, Rc::clone(&conn), body), call.head.expects_continue);
        let mut watch = AttemptWatch::new(self, now);
        let answered = poll_fn(|cx| {
            if let Poll::Ready(done) = self.poll_answer(cx, &mut sending, &conn, call) {
                return Poll::Ready(done);
            }
            watch.poll(cx, timer, sending.got()).map(|why| {
                conn.spoil();
                Err(why)
            })
        })
        .await;
        match answered {
            Ok(head) => Ok(self.answer_h1(head, (conn, key), sending, call)),
            Err(error) => {
                if let (Some(idle), ProxyError::Broken { .. }, false) = (idle, &error, sending.heard) {
                    self.route.upstream.found_closed(self.endpoint.id, idle, clock::instant());
                }
                *call.body = sending.upload.into_body();
                Err(error)
            }
        }
    }

    fn answer_h1(
        &self,
        head: ResponseHead,
        (conn, key): (Rc<H1Conn>, PoolKey),
        mut sending: Sending,
        call: &mut PreparedCall<'_>,
    ) -> Answer {
        if !self.route.upstream.config.repeats_after(head.status, trailers_only(&head)) {
            sending.upload.let_go();
        }
        conn.hear(&head);
        let connected = head.status == 101 || (call.head.method == Method::Connect && head.status < 300);
        if !head.keeps_alive && !connected {
            conn.spoil();
        }
        let body = if connected { Body::empty() } else { Body::h1(&conn, head.framing) };
        let remainder;
        (remainder, *call.body) = Remainder::of_h1(sending.upload);
        let lease = PooledConnection::new(self.pools, &self.route.upstream, key, conn);
        Answer { head, body, remainder, lease: Some(lease), websocket: None, foreign: true }
    }

    fn poll_answer(
        &self,
        cx: &mut Context<'_>,
        sending: &mut Sending,
        conn: &Rc<H1Conn>,
        call: &PreparedCall<'_>,
    ) -> Poll<Result<ResponseHead, ProxyError>> {
        if let Err(error) = sending.poll(cx) {
            return Poll::Ready(Err(broke_off(error)));
        }
        loop {
            match conn.poll_response(cx, ANSWER, call.head.method) {
                Poll::Ready(Ok(head)) if head.status < 200 && head.status != 101 => {
                    sending.upload.let_go();
                    if !sending.hear_interim(&head) {
                        return Poll::Ready(Err(self.too_many_interims()));
                    }
                    self.pass_interim(cx, &head, call);
                }
                // Bytes of the request that are still to come would pass for the new protocol's.
                Poll::Ready(Ok(head))
                    if head.status == 101 && !(call.head.wants_upgrade && sending.upload.is_done()) =>
                {
                    let cause = "101 that was not asked for, or before the request was over".to_owned();
                    return Poll::Ready(Err(ProxyError::Nonsense { upstream: self.name(), cause }));
                }
                Poll::Ready(Ok(head)) => return Poll::Ready(Ok(head)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.no_head(error, sending))),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn no_head(&self, error: HeadError, sending: &Sending) -> ProxyError {
        let sent = if sending.upload.has_started() { Sent::Maybe } else { Sent::Nothing };
        let broken = |sent, begun, local, cause: String| ProxyError::Broken {
            upstream: self.name(),
            sent,
            begun,
            local,
            cause,
        };
        match error {
            HeadError::Malformed(malformed) => self.not_understood(malformed),
            HeadError::Io(cause) => broken(sent, sending.heard, local::cause(&cause), cause.to_string()),
            HeadError::Closed => broken(sent, sending.heard, None, "closed before the answer".to_owned()),
            // Only heads of requests are refused for that.
            HeadError::NoMemory => ProxyError::NoMemory,
            HeadError::Truncated => broken(Sent::Maybe, true, None, "closed within the head".to_owned()),
        }
    }
}

/// The request on its way out, and what was seen meanwhile.
struct Sending {
    upload: Upload,
    over: bool,
    interims: Interims,
    /// The client waits until the upstream asks for its body.
    uninvited: bool,
    /// The upstream has said something.
    heard: bool,
}

impl Sending {
    fn new(upload: Upload, uninvited: bool) -> Self {
        Self { upload, over: false, interims: Interims::default(), uninvited, heard: false }
    }

    /// One more interim response; false: they are too many.
    fn hear_interim(&mut self, head: &ResponseHead) -> bool {
        self.heard = true;
        self.uninvited &= head.status != 100;
        self.interims.hear(head, clock::instant())
    }

    /// Sends on. That the upstream stops reading is no failure yet: its answer may be on the way
    /// (RFC 9112 section 9.5).
    fn poll(&mut self, cx: &mut Context<'_>) -> Result<(), BodyError> {
        if self.over {
            return Ok(());
        }
        match self.upload.poll(cx) {
            Poll::Pending => Ok(()),
            Poll::Ready(Ok(()) | Err(PumpError::Sink(_))) => {
                self.over = true;
                Ok(())
            }
            Poll::Ready(Err(PumpError::Source(error))) => Err(error),
        }
    }

    fn got(&self) -> Got {
        let passed = self.upload.passed() + u64::from(self.upload.has_started());
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
