//! Serves one HTTP/2 connection: hyper speaks, the same gateway answers.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::answer::answer_fields;
use super::client::Client;
use super::error::ProxyError;
use super::forward::{self, Answer};
use super::gateway::Gateway;
use super::reply;
use crate::config::{ClientLimits, Timeouts};
use crate::message::account::Charged;
use crate::message::body::Body;
use crate::message::h1::write::Edits;
use crate::message::h2::{self, Ended, OnEnd, Outgoing, SendProgress, Streamed};
use crate::message::head::{Framing, Method, RequestHead, Version};
use crate::message::io::Io;
use crate::runtime::clock;
use crate::runtime::timer::Deadline;
use crate::runtime::{pauses, tasks};
use crate::telemetry::Telemetry;

/// Charges what hyper's tasks of a connection hold to the connection.
#[derive(Clone)]
struct ChargedExec<P>(tasks::LocalExec<P>);

impl<F, P> hyper::rt::Executor<F> for ChargedExec<P>
where
    F: Future<Output = ()> + 'static,
    P: Fn() + Clone + 'static,
{
    fn execute(&self, task: F) {
        match Charged::beside(task) {
            Ok(charged) => self.0.execute(charged),
            Err(task) => self.0.execute(task),
        }
    }
}

/// Serves a connection that speaks HTTP/2.
pub async fn connection(client: Client, io: Io) {
    let client = Rc::new(client);
    let streams = Streams::new();
    let serving = (Rc::clone(&client), Rc::clone(&streams));
    let service = hyper::service::service_fn(move |request| {
        let (client, streams) = (Rc::clone(&serving.0), Rc::clone(&serving.1));
        async move { Ok::<_, std::convert::Infallible>(serve(&client, &streams, request).await) }
    });
    let limits = &client.limits;
    let telemetry = Arc::clone(&client.worker.telemetry);
    let mut serving = pin!(builder(limits, telemetry).serve_connection(TokioIo::new(io), service));
    let mut leaving = pin!(client.drain.requested());
    let mut timer = Deadline::default();
    let (mut asked, mut look_at) = (None, clock::instant() + LOOK);
    poll_fn(|cx| {
        if asked.is_none() && leaving.as_mut().poll(cx).is_ready() {
            asked = Some(clock::instant());
            serving.as_mut().graceful_shutdown();
        }
        loop {
            // How a connection ends is told by its streams.
            if serving.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            std::task::ready!(timer.poll_passed(cx, Some(look_at)));
            let now = clock::instant();
            look_at = now + LOOK;
            // A pause prolongs what it is in, and no look after it.
            timer.begin();
            match streams.look(now, &client.limits, asked) {
                StreamsLook::Goes => {}
                StreamsLook::Leaves => {
                    asked = Some(now);
                    serving.as_mut().graceful_shutdown();
                }
                StreamsLook::Ends => return Poll::Ready(()),
            }
        }
    })
    .await;
}

fn builder(
    limits: &ClientLimits,
    telemetry: Arc<Telemetry>,
) -> hyper::server::conn::http2::Builder<ChargedExec<impl Fn() + Clone + use<>>> {
    let mut builder =
        hyper::server::conn::http2::Builder::new(ChargedExec(tasks::LocalExec(move || telemetry.panicked())));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.h2_streams)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(Some(20))
        .max_send_buf_size(h2::SEND)
        .initial_stream_window_size(UPLOAD)
        .initial_connection_window_size(UPLOAD * 4)
        .keep_alive_interval(Some(limits.keep_alive));
    builder
}

/// Between two looks at the streams of a connection: how exact their deadlines are kept.
const LOOK: Duration = Duration::from_secs(1);
/// Answers that have passed may still lie in hyper's buffers, 48 KiB of them: so long they take at 240 B/s.
const TAIL: Duration = Duration::from_secs(200);
/// Bytes of a request body that a client may send on one stream ahead of its upstream; four times as
/// many on a connection.
const UPLOAD: u32 = 256 * 1024;

/// The streams of one connection.
struct Streams {
    /// Requests that have no whole answer yet.
    open: Cell<usize>,
    /// When the last one ended; when the connection began, while there was none.
    since: Cell<Instant>,
    /// Whether any stream was opened so far.
    any: Cell<bool>,
    answers: RefCell<Vec<Answering>>,
}

/// An answer on its way.
struct Answering {
    progress: Rc<SendProgress>,
    started: Instant,
    timeouts: Timeouts,
}

/// What a look at them showed.
#[derive(PartialEq, Eq)]
enum StreamsLook {
    Goes,
    /// There has been none for too long: the client is asked to leave.
    Leaves,
    /// It was asked, and has nothing more to read.
    Ends,
}

/// Counts one open stream until it is dropped.
struct OpenStream(Rc<Streams>);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.since.set(clock::instant());
    }
}

impl Streams {
    fn new() -> Rc<Self> {
        let since = Cell::new(clock::instant());
        Rc::new(Self { open: Cell::new(0), since, any: Cell::new(false), answers: RefCell::default() })
    }

    fn open(self: &Rc<Self>) -> OpenStream {
        self.open.set(self.open.get() + 1);
        self.any.set(true);
        OpenStream(Rc::clone(self))
    }

    /// `asked`: when the client was asked to leave.
    fn look(&self, now: Instant, limits: &ClientLimits, asked: Option<Instant>) -> StreamsLook {
        self.answers.borrow_mut().retain(|answer| !answer.progress.is_done());
        // What is given up tells its exchange, which comes back here to no list that is borrowed.
        let late = |answer: &Answering| {
            let passed = |since: Instant, limit: Option<Duration>| {
                limit.is_some_and(|limit| pauses::ran(since, now) >= limit)
            };
            let Answering { progress, started, timeouts } = answer;
            // Looked at in any case: the next look compares with this one.
            passed(progress.still_since(now), timeouts.idle) || passed(*started, timeouts.total)
        };
        let given_up: Vec<_> = self
            .answers
            .borrow()
            .iter()
            .filter(|answer| late(answer))
            .map(|one| Rc::clone(&one.progress))
            .collect();
        given_up.iter().for_each(|progress| progress.give_up());
        let patience = if self.any.get() { limits.keep_alive } else { limits.header_read };
        let idle = self.open.get() == 0 && pauses::ran(self.since.get(), now) >= patience;
        match asked {
            _ if !idle => StreamsLook::Goes,
            None => StreamsLook::Leaves,
            // One that never asked anything has nothing to read, either.
            Some(at) if !self.any.get() || pauses::ran(at, now) >= TAIL => StreamsLook::Ends,
            Some(_) => StreamsLook::Goes,
        }
    }
}

async fn serve(
    client: &Client,
    streams: &Rc<Streams>,
    request: http::Request<Incoming>,
) -> http::Response<Outgoing> {
    let (parts, incoming) = request.into_parts();
    let head = match h2::request_head(&parts, &incoming, client.limits.header_count) {
        Ok(head) => head,
        Err(malformed) => {
            let (id, error) =
                (client.worker.new_request_id(clock::instant()), ProxyError::Malformed(malformed));
            client.worker.unread(client.peer.ip(), &error, &id, Version::H2.label());
            let (head, body) = reply::of(&error, Method::Other, id.text());
            return response(&Answer::own(head, Body::empty()), &Edits::default(), Outgoing::new(body, None));
        }
    };
    exchange(client, streams, &head, Body::h2(Streamed::new(incoming))).await
}

async fn exchange(
    client: &Client,
    streams: &Rc<Streams>,
    head: &RequestHead,
    mut body: Body,
) -> http::Response<Outgoing> {
    let open = streams.open();
    let mut exchange = client.exchange(head, clock::instant());
    let mut timer = Deadline::default();
    let gateway = Gateway(&client.worker);
    let mut answer = if head.method == Method::Connect {
        let error = ProxyError::WrongMethod { method: "CONNECT over HTTP/2".to_owned() };
        gateway.refusal(head, &mut exchange, &error)
    } else {
        gateway.answer(head, &mut body, &client.origin(), &mut exchange, &mut timer, None).await
    };
    drop(body);
    let add = answer_fields(&answer.head, &exchange);
    let foreign = answer.is_foreign();
    let body = std::mem::replace(&mut answer.body, Body::empty());
    let lease = answer.lease.take();
    let remainder = std::mem::take(&mut answer.remainder);
    let unfinished = remainder.is_some();
    let sent = answer.sent.take();
    let timeouts = exchange.route.as_ref().map(|route| route.timeouts).unwrap_or_default();
    let started = exchange.started;
    let on_end: OnEnd = Box::new(move |ended, passed| {
        match ended {
            Ended::Whole => {
                if let (false, Some(lease)) = (unfinished, lease) {
                    lease.give_back(clock::instant());
                }
            }
            Ended::Broken => exchange.broke(true),
            Ended::Left => exchange.broke(false),
        }
        exchange.bytes_in.set(forward::uploaded(sent.as_deref(), passed.request));
        exchange.close(passed.body);
        drop(open);
    });
    let progress = Rc::<SendProgress>::default();
    // An answer is sent once: whoever drops it drops its body.
    progress.confirm();
    let edits = Edits { add: &add, foreign, ..Edits::default() };
    let outgoing = Outgoing::new(body, Some(on_end)).answering(remainder);
    let answered = response(&answer, &edits, outgoing).map(|body| body.watched(Rc::clone(&progress)));
    streams.answers.borrow_mut().push(Answering { progress, started, timeouts });
    answered
}

fn response(answer: &Answer, edits: &Edits<'_>, mut outgoing: Outgoing) -> http::Response<Outgoing> {
    let head = h2::response(&answer.head, edits).unwrap_or_else(|_| {
        let mut empty = http::Response::new(());
        *empty.status_mut() = http::StatusCode::BAD_GATEWAY;
        empty
    });
    // The head ends the stream of an answer without a body: what gRPC calls Trailers-Only is told by that alone.
    if answer.head.framing == Framing::None || outgoing.is_empty() {
        outgoing.finish_empty();
    }
    head.map(|()| outgoing)
}
