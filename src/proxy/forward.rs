//! One attempt: one request over one connection, up to the head of its answer, within its deadlines.
//!
//! Whose fault is silence? While the request is still on its way to the upstream, what counts is who keeps it waiting: a
//! client that sends its body slowly is told so (408) and no upstream is blamed. Only when the request is out in whole
//! does the upstream's time to its first byte begin.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::client::conn::http2::SendRequest;

use super::call::Call;
use super::error::ProxyError;
use crate::message::body::{Body, BodyError};
use crate::message::h1::conn::{Conn, HeadError};
use crate::message::h1::parse::HeadLimits;
use crate::message::h1::pump::{Pump, PumpError, Waits};
use crate::message::h1::upload::Upload;
use crate::message::h1::write;
use crate::message::h2::{self, Outgoing, Progress, Streamed};
use crate::message::head::{Method, ResponseHead, Version};
use crate::names::UpstreamName;
use crate::reliability::retry::Sent;
use crate::runtime::clock;
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
    /// The request's body on its way by HTTP/2.
    sent: Option<Rc<Progress>>,
}

impl Answer {
    /// An answer of our own.
    pub fn own(head: ResponseHead, body: Body) -> Self {
        Self { head, body, lease: None, sent: None }
    }

    /// Bytes of the request's body that have left so far.
    pub fn uploaded(&self) -> u64 {
        self.sent.as_ref().map_or_else(|| self.body.uploaded(), |sent| sent.passed.get())
    }
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
    /// When the exchange as a whole, this try or its probe must be over.
    pub over_at: Option<Instant>,
    /// Who asked, when by HTTP/1.1.
    pub asker: Option<Asker<'a>>,
}

/// An HTTP/1.1 client that waits for its answer.
#[derive(Clone, Copy)]
pub struct Asker<'a> {
    /// Interim responses go there.
    pub conn: &'a Rc<Conn>,
    /// How long an answer is waited for once it has ended its side: most that do have given up.
    pub patience: Duration,
}

impl Attempt<'_> {
    fn name(&self) -> UpstreamName {
        self.route.upstream.config.name.clone()
    }

    /// Makes the attempt. On failure before anything left, `call` has its body again.
    pub async fn run(
        &self,
        call: &mut Call<'_>,
        timer: &mut Deadline,
        now: Instant,
    ) -> Result<Answer, ProxyError> {
        let upstream = &self.route.upstream;
        let connect = self.route.timeouts.connect.unwrap_or(Duration::from_secs(3));
        let limit = self.over_at.map_or(connect, |at| connect.min(at.saturating_duration_since(now)));
        let link = self.pools.checkout(upstream, self.endpoint, self.fresh, limit).await.map_err(
            |error| match error {
                ConnectError::Full => ProxyError::Full { upstream: self.name() },
                ConnectError::Failed(why, cause) => ProxyError::Connect { upstream: self.name(), why, cause },
            },
        )?;
        match link {
            Link::H1 { conn, reused: true } => self.over_h1(call, conn, timer, now).await,
            Link::H1 { conn, reused: false } => self.over_h1(call, conn, timer, clock::instant()).await,
            Link::H2(sender) => self.over_h2(call, sender, timer).await,
        }
    }

    async fn over_h1(
        &self,
        call: &mut Call<'_>,
        conn: Rc<Conn>,
        timer: &mut Deadline,
        now: Instant,
    ) -> Result<Answer, ProxyError> {
        let framing = call.framing();
        let pump = Pump::new(framing, |out| write::request(out, call.head, &call.edits(), framing));
        let body = std::mem::replace(&mut call.body, Body::empty());
        let mut sending = Sending::new(Upload::new(pump, Rc::clone(&conn), body), now);
        let asked = call.head.method;
        let mut asker_left = None;
        let answered = poll_fn(|cx| {
            if let Poll::Ready(done) = self.poll_answer(cx, &mut sending, &conn, call) {
                return Poll::Ready(done);
            }
            let gone_at = match self.poll_asker(cx, sending.over, &mut asker_left) {
                Ok(at) => at,
                Err(gone) => return Poll::Ready(Err(gone)),
            };
            let at = sending.quiet_until(self);
            timer.poll_passed(cx, earlier(at, gone_at)).map(|()| {
                conn.spoil();
                if gone_at.is_some_and(|gone| gone <= clock::instant()) {
                    return Err(ProxyError::ClientGone);
                }
                let on_client = !sending.quiet.over && sending.upload.waits_for() == Waits::Source;
                Err(self.too_late(on_client, sending.began, at))
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

    /// Is whoever asked still there? When it has ended its side: until when its answer is waited for. `out`: its request
    /// is out in whole, so that nobody else reads from it.
    fn poll_asker(
        &self,
        cx: &mut Context<'_>,
        out: bool,
        left: &mut Option<Instant>,
    ) -> Result<Option<Instant>, ProxyError> {
        if let (Some(asker), true, None) = (self.asker, out, &left) {
            match asker.conn.poll_left(cx) {
                Poll::Ready(Ok(())) => *left = Some(clock::instant() + asker.patience),
                Poll::Ready(Err(_)) => return Err(ProxyError::ClientGone),
                Poll::Pending => {}
            }
        }
        Ok(*left)
    }

    /// Who let the time pass?
    fn too_late(&self, on_client: bool, began: Instant, at: Option<Instant>) -> ProxyError {
        if on_client {
            return ProxyError::SlowBody;
        }
        let limit = at.map(|at| at.saturating_duration_since(began)).unwrap_or_default();
        ProxyError::Deadline { upstream: self.name(), limit }
    }

    fn answer_h1(&self, head: ResponseHead, conn: Rc<Conn>, sending: Sending, asked: Method) -> Answer {
        let connected = head.status == 101 || (asked == Method::Connect && head.status < 300);
        if !head.keeps_alive && !connected {
            conn.spoil();
        }
        let mut body = if connected { Body::empty() } else { conn.body(head.framing) };
        body.answers(sending.upload);
        let lease = Lease::new(self.pools, &self.route.upstream, self.endpoint, conn);
        Answer { head, body, lease: Some(lease), sent: None }
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
        let Some(Asker { conn: client, .. }) = self.asker else { return };
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
            BodyError::Broken(_) | BodyError::Reset | BodyError::Idle | BodyError::Request => {
                ProxyError::ClientGone
            }
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
    ) -> Result<Answer, ProxyError> {
        let began = clock::instant();
        let progress = Rc::<Progress>::default();
        let request = self.h2_request(call, &progress)?;
        let mut response = pin!(async {
            match sender.ready().await {
                Ok(()) => sender.try_send_request(request).await.map_err(|mut refused| {
                    let unsent = refused.take_message().map(|request| request.into_body().into_body());
                    (unsent, refused.into_error())
                }),
                Err(error) => Err((Some(request.into_body().into_body()), error)),
            }
        });
        let mut quiet = Quiet::new(began);
        let mut asker_left = None;
        let answered = poll_fn(|cx| {
            if let Some(asker) = self.asker {
                // A client that is gone is noticed below.
                let _ = asker.conn.poll_queue(cx);
            }
            if let Poll::Ready(done) = response.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            let gone_at = match self.poll_asker(cx, progress.over.get(), &mut asker_left) {
                Ok(at) => at,
                Err(gone) => return Poll::Ready(Err(gone)),
            };
            let at = quiet.until(progress.passed.get(), progress.over.get(), self);
            timer.poll_passed(cx, earlier(at, gone_at)).map(|()| {
                if gone_at.is_some_and(|gone| gone <= clock::instant()) {
                    return Err(ProxyError::ClientGone);
                }
                let on_client = !progress.over.get() && progress.waits.get() == Waits::Source;
                Err(self.too_late(on_client, began, at))
            })
        })
        .await;
        match answered {
            Err(error) => Err(error),
            Ok(Err((unsent, error))) => {
                let sent = if unsent.is_some() { Sent::Nothing } else { Sent::Maybe };
                call.body = unsent.unwrap_or_else(Body::empty);
                Err(ProxyError::Broken { upstream: self.name(), sent, cause: error.to_string() })
            }
            Ok(Ok(response)) => self.answer_h2(response, call.head.method, progress),
        }
    }

    fn h2_request(
        &self,
        call: &mut Call<'_>,
        progress: &Rc<Progress>,
    ) -> Result<http::Request<Outgoing>, ProxyError> {
        let secure = self.route.upstream.tls.is_some();
        let head = h2::request(call.head, &call.edits(), secure)
            .map_err(|_| ProxyError::Malformed(crate::message::h1::Malformed::Target))?;
        // A client that waits for 100 is told to go on: towards the upstream there is flow control for that.
        if let (true, Some(asker)) = (call.head.expects_continue, self.asker) {
            asker.conn.queue(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        let body = std::mem::replace(&mut call.body, Body::empty());
        Ok(head.map(|()| Outgoing::new(body, None).watched(Rc::clone(progress))))
    }

    fn answer_h2(
        &self,
        response: http::Response<hyper::body::Incoming>,
        asked: Method,
        progress: Rc<Progress>,
    ) -> Result<Answer, ProxyError> {
        let (parts, incoming) = response.into_parts();
        let head = h2::response_head(&parts, &incoming, asked).map_err(|malformed| ProxyError::Nonsense {
            upstream: self.name(),
            cause: malformed.to_string(),
        })?;
        Ok(Answer { head, body: Body::h2(Streamed::new(incoming)), lease: None, sent: Some(progress) })
    }
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    [a, b].into_iter().flatten().min()
}

/// How long a request on its way, or out, has been quiet.
struct Quiet {
    since: Instant,
    passed: u64,
    over: bool,
}

impl Quiet {
    fn new(now: Instant) -> Self {
        Self { since: now, passed: 0, over: false }
    }

    /// When the attempt has been quiet for too long: `idle` while the request is on its way, `first_byte` once it is
    /// out. `passed` bytes have left by now.
    fn until(&mut self, passed: u64, over: bool, attempt: &Attempt<'_>) -> Option<Instant> {
        let at_once = over && self.passed == 0 && !self.over;
        if (passed, over) != (self.passed, self.over) {
            // What was out with the first poll needs no second reading of the clock.
            self.since = if at_once { self.since } else { clock::instant() };
            (self.passed, self.over) = (passed, over);
        }
        let timeouts = &attempt.route.timeouts;
        let limit = if over { timeouts.first_byte } else { timeouts.idle };
        [limit.map(|limit| self.since + limit), attempt.over_at].into_iter().flatten().min()
    }
}

/// The request on its way out, and what was seen meanwhile.
struct Sending {
    upload: Upload,
    began: Instant,
    quiet: Quiet,
    over: bool,
    interim: u32,
}

impl Sending {
    fn new(upload: Upload, now: Instant) -> Self {
        Self { upload, began: now, quiet: Quiet::new(now), over: false, interim: 0 }
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

    fn quiet_until(&mut self, attempt: &Attempt<'_>) -> Option<Instant> {
        let passed = self.upload.passed() + u64::from(self.upload.has_started());
        self.quiet.until(passed, self.over, attempt)
    }
}
