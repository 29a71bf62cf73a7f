//! One attempt: one request over one connection, up to the head of its answer, within its deadlines.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::client::conn::http2::SendRequest;

use super::call::Call;
use super::error::ProxyError;
use crate::config::Timeouts;
use crate::message::body::{Body, BodyError};
use crate::message::h1::conn::{Conn, HeadError};
use crate::message::h1::parse::HeadLimits;
use crate::message::h1::pump::{Pump, PumpError};
use crate::message::h1::upload::Upload;
use crate::message::h1::write;
use crate::message::h2::{self, Outgoing, Streamed};
use crate::message::head::{Method, ResponseHead, Version};
use crate::names::UpstreamName;
use crate::reliability::retry::Sent;
use crate::runtime::timer::Deadline;
use crate::upstream::RouteEntry;
use crate::upstream::endpoint::EndpointState;
use crate::upstream::pool::{ConnectError, Lease, Link, Pools};

/// Interim responses that one exchange may have.
const MOST_INTERIM: u32 = 16;
/// What an upstream's response head may be.
const ANSWER: HeadLimits = HeadLimits { bytes: 128 * 1024, fields: 256 };

/// The head of an answer and the body that follows it.
pub struct Answer {
    /// Final (or 101).
    pub head: ResponseHead,
    /// What follows.
    pub body: Body,
    /// Gives the upstream's connection back, once both messages are over.
    pub lease: Option<Lease>,
}

/// What every attempt of an exchange needs.
pub struct Attempt<'a> {
    /// Whose connections.
    pub pools: &'a Rc<Pools>,
    /// To whom.
    pub route: &'a RouteEntry,
    /// Where.
    pub endpoint: &'a Arc<EndpointState>,
    /// No connection that was used before.
    pub fresh: bool,
    /// When the exchange as a whole must be over.
    pub total_at: Option<Instant>,
    /// The HTTP/1.1 client that interim responses go to.
    pub interim: Option<&'a Rc<Conn>>,
}

impl Attempt<'_> {
    fn name(&self) -> UpstreamName {
        self.route.upstream.config.name.clone()
    }

    fn deadline(&self, now: Instant) -> (Option<Instant>, Duration) {
        let Timeouts { first_byte, per_try, .. } = self.route.timeouts;
        let limits = [first_byte, per_try, self.total_at.map(|at| at.saturating_duration_since(now))];
        let least = limits.into_iter().flatten().min();
        (least.map(|limit| now + limit), least.unwrap_or_default())
    }

    /// Makes the attempt. On failure before anything left, `call` has its body again.
    pub async fn run(
        &self,
        call: &mut Call<'_>,
        timer: &mut Deadline,
        now: Instant,
    ) -> Result<Answer, ProxyError> {
        let upstream = &self.route.upstream;
        let link =
            self.pools.checkout(upstream, self.endpoint, self.fresh).await.map_err(|error| match error {
                ConnectError::Full => ProxyError::Full { upstream: self.name() },
                ConnectError::Failed(why, cause) => ProxyError::Connect { upstream: self.name(), why, cause },
            })?;
        match link {
            Link::H1 { conn, .. } => self.over_h1(call, conn, timer, now).await,
            Link::H2(sender) => self.over_h2(call, sender, timer, now).await,
        }
    }

    async fn over_h1(
        &self,
        call: &mut Call<'_>,
        conn: Rc<Conn>,
        timer: &mut Deadline,
        now: Instant,
    ) -> Result<Answer, ProxyError> {
        let (deadline, limit) = self.deadline(now);
        let framing = call.framing();
        let pump = Pump::new(framing, |out| write::request(out, call.head, &call.edits(), framing));
        let body = std::mem::replace(&mut call.body, Body::empty());
        let mut sending = Sending::new(Upload::new(pump, Rc::clone(&conn), body));
        let asked = call.head.method;
        let answered = poll_fn(|cx| {
            if let Poll::Ready(done) = self.poll_answer(cx, &mut sending, &conn, call) {
                return Poll::Ready(done);
            }
            timer.poll_passed(cx, deadline).map(|()| {
                conn.spoil();
                Err(ProxyError::Deadline { upstream: self.name(), limit })
            })
        })
        .await;
        match answered {
            Ok(head) => Ok(self.answer_h1(head, conn, sending, asked)),
            Err(error) => {
                if error.sent() == Sent::Nothing {
                    call.body = sending.upload.into_body();
                }
                Err(error)
            }
        }
    }

    fn answer_h1(&self, head: ResponseHead, conn: Rc<Conn>, sending: Sending, asked: Method) -> Answer {
        let connected = head.status == 101 || (asked == Method::Connect && head.status < 300);
        if !head.keeps_alive && !connected {
            conn.spoil();
        }
        let mut body = if connected { Body::empty() } else { conn.body(head.framing) };
        if !sending.upload.is_done() {
            body.carry(sending.upload);
        }
        let lease = Lease::new(self.pools, &self.route.upstream, self.endpoint, conn);
        Answer { head, body, lease: Some(lease) }
    }

    fn poll_answer(
        &self,
        cx: &mut Context<'_>,
        sending: &mut Sending,
        conn: &Rc<Conn>,
        call: &Call<'_>,
    ) -> Poll<Result<ResponseHead, ProxyError>> {
        if let Err(error) = sending.poll(cx) {
            return Poll::Ready(Err(self.broke_while_sending(error)));
        }
        loop {
            match conn.poll_response(cx, ANSWER, call.head.method) {
                Poll::Ready(Ok(head)) if head.status < 200 && head.status != 101 => {
                    sending.interim += 1;
                    if sending.interim > MOST_INTERIM {
                        let cause = "too many interim responses".to_owned();
                        return Poll::Ready(Err(ProxyError::Nonsense { upstream: self.name(), cause }));
                    }
                    self.pass_interim(cx, &head, call);
                }
                Poll::Ready(Ok(head)) if head.status == 101 && !call.head.wants_upgrade => {
                    let cause = "101 without an upgrade asked for".to_owned();
                    return Poll::Ready(Err(ProxyError::Nonsense { upstream: self.name(), cause }));
                }
                Poll::Ready(Ok(head)) => return Poll::Ready(Ok(head)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.no_head(error, sending))),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Interim responses go on to clients that can read them; 100 only to those that asked for it.
    fn pass_interim(&self, cx: &mut Context<'_>, head: &ResponseHead, call: &Call<'_>) {
        let Some(client) = self.interim else { return };
        let reads = call.head.version == Version::H11 && (head.status != 100 || call.head.expects_continue);
        if reads {
            let mut bytes = Vec::with_capacity(256);
            write::interim(&mut bytes, head);
            client.queue(&bytes);
            // A client that is gone is noticed when the final answer is written.
            let _ = client.poll_queue(cx);
        }
    }

    fn broke_while_sending(&self, error: BodyError) -> ProxyError {
        match error {
            BodyError::Malformed(malformed) => ProxyError::Malformed(malformed),
            BodyError::TooLong => ProxyError::BodyTooLong,
            BodyError::Broken(_) | BodyError::Reset | BodyError::Idle => ProxyError::ClientGone,
        }
    }

    fn no_head(&self, error: HeadError, sending: &Sending) -> ProxyError {
        let sent = if sending.upload.has_started() { Sent::Maybe } else { Sent::Nothing };
        let upstream = self.name();
        match error {
            HeadError::Malformed(malformed) => {
                ProxyError::Nonsense { upstream, cause: malformed.to_string() }
            }
            HeadError::Io(cause) => ProxyError::Broken { upstream, sent, cause: cause.to_string() },
            HeadError::Closed => {
                ProxyError::Broken { upstream, sent, cause: "closed before the answer".to_owned() }
            }
            HeadError::Truncated => {
                ProxyError::Broken { upstream, sent: Sent::Maybe, cause: "closed within the head".to_owned() }
            }
        }
    }

    async fn over_h2(
        &self,
        call: &mut Call<'_>,
        mut sender: SendRequest<Outgoing>,
        timer: &mut Deadline,
        now: Instant,
    ) -> Result<Answer, ProxyError> {
        let (deadline, limit) = self.deadline(now);
        let secure = self.route.upstream.tls.is_some();
        let head = h2::request(call.head, &call.edits(), secure)
            .map_err(|_| ProxyError::Malformed(crate::message::h1::Malformed::Target))?;
        let body = std::mem::replace(&mut call.body, Body::empty());
        let request = head.map(|()| Outgoing::new(body, None));
        let mut response = pin!(async {
            match sender.ready().await {
                Ok(()) => sender.try_send_request(request).await.map_err(|mut refused| {
                    let unsent = refused.take_message().map(|request| request.into_body().into_body());
                    (unsent, refused.into_error())
                }),
                Err(error) => Err((Some(request.into_body().into_body()), error)),
            }
        });
        let answered = poll_fn(|cx| {
            if let Poll::Ready(done) = response.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            timer.poll_passed(cx, deadline).map(Err)
        })
        .await;
        match answered {
            Err(()) => Err(ProxyError::Deadline { upstream: self.name(), limit }),
            Ok(Err((unsent, error))) => {
                let sent = if unsent.is_some() { Sent::Nothing } else { Sent::Maybe };
                call.body = unsent.unwrap_or_else(Body::empty);
                Err(ProxyError::Broken { upstream: self.name(), sent, cause: error.to_string() })
            }
            Ok(Ok(response)) => {
                let (parts, incoming) = response.into_parts();
                let head = h2::response_head(&parts, &incoming, call.head.method).map_err(|malformed| {
                    ProxyError::Nonsense { upstream: self.name(), cause: malformed.to_string() }
                })?;
                Ok(Answer { head, body: Body::h2(Streamed::new(incoming)), lease: None })
            }
        }
    }
}

/// The request on its way out, and what was seen meanwhile.
struct Sending {
    upload: Upload,
    over: bool,
    interim: u32,
}

impl Sending {
    fn new(upload: Upload) -> Self {
        Self { upload, over: false, interim: 0 }
    }

    /// Sends on. That the upstream stops reading is no failure yet: its answer may be on the way (RFC 9112 section 9.5).
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
}
