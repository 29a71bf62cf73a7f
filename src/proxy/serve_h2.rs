//! Serves one HTTP/2 connection: its streams side by side in one task, each answered by the same gateway as HTTP/1.1.
//!
//! A stream is served by a lane, which takes the next one when it is done: what is large is made once for many requests.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, Stream as _};

use super::client::{After, Client};
use super::error::ProxyError;
use super::leave::leave;
use super::stream::{self, Sending};
use crate::config::ClientLimits;
use crate::message::account;
use crate::message::buf::Buf;
use crate::message::h1::Malformed;
use crate::message::h2::frame::ErrorCode;
use crate::message::h2::{AcceptedStream, H2Conn, H2Limits, Over};
use crate::message::head::Version;
use crate::message::io::Io;
use crate::message::memory::CutReason;
use crate::message::stream::ByteStream;
use crate::runtime::clock;
use crate::runtime::tasks::Guarded;
use crate::runtime::timer::Deadline;
use crate::telemetry::event::ProcessEvent;

/// Lanes that are kept for the next requests of a connection.
const KEPT: usize = 4;
/// Turns of one poll, each with what fits into the buffers of a connection; then others have theirs.
const TURNS: u32 = 8;
/// A connection with open streams that has been silent for so long is asked whether it is there.
const SILENT: Duration = Duration::from_secs(20);
/// How long the answer may take: what was sent before lies before the question.
const PATIENCE: Duration = Duration::from_secs(40);
/// A client that was asked to leave may still send requests for so long; one whose connection is over may take so long
/// to read why.
const FAREWELL: Duration = Duration::from_secs(2);

/// A connection without a stream keeps no lane longer than this.
const RESTED: Duration = Duration::from_secs(1);

/// Serves a connection that speaks HTTP/2.
pub async fn connection(client: Rc<Client>, io: Io, slot: Box<dyn std::any::Any>) {
    let limits = H2Limits { head: client.head_limits(), streams: client.limits().h2_streams };
    let conn = H2Conn::server(ByteStream::new(io, Buf::default(), Some(slot)), limits, clock::instant());
    account::with_current(|account| account.watch(&conn));
    let mut timer = Deadline::default();
    let mut service = Service::new(&client, &conn);
    poll_fn(|cx| service.poll(cx, &mut timer)).await;
    drop(service);
    if let Some(frames) = conn.flooded_by() {
        ProcessEvent::Flooded { client: client.peer.ip(), frames: frames.label() }.tell();
        account::with_current(|account| account.ended(CutReason::Flood));
    }
    let after = match conn.over() {
        Some(Over::Broken) | None => After::Close,
        Some(Over::Fault(_) | Over::Done) => After::Linger,
    };
    leave(conn.stream(), &mut timer, after, client.limits()).await;
}

/// Streams that came and lanes that wait for them.
#[derive(Default)]
struct Hall {
    came: RefCell<VecDeque<AcceptedStream>>,
    idle: RefCell<Vec<Waker>>,
    waiting: Cell<usize>,
    /// Answers whose clients are waited for.
    slow: RefCell<Vec<Sending>>,
}

impl Hall {
    /// The next stream; `None`: enough others wait for one.
    fn poll_next(&self, cx: &mut Context<'_>, waits: &mut bool) -> Poll<Option<AcceptedStream>> {
        // A timer of what it served last may have woken it: what is woken for a stream is a lane that waits, and once.
        self.idle.borrow_mut().retain(|idle| !idle.will_wake(cx.waker()));
        let next = self.came.borrow_mut().pop_front();
        if std::mem::take(waits) {
            self.waiting.set(self.waiting.get() - 1);
        }
        if next.is_some() {
            return Poll::Ready(next);
        }
        if self.waiting.get() >= KEPT {
            return Poll::Ready(None);
        }
        self.waiting.set(self.waiting.get() + 1);
        *waits = true;
        self.idle.borrow_mut().push(cx.waker().clone());
        Poll::Pending
    }
}

async fn lane(client: Rc<Client>, hall: Rc<Hall>) {
    let mut timer = Deadline::default();
    let mut waits = false;
    while let Some(accepted) = poll_fn(|cx| hall.poll_next(cx, &mut waits)).await {
        timer.begin();
        let slow = stream::serve(&client, accepted, &mut timer).await;
        hall.slow.borrow_mut().extend(slow);
    }
}

/// What serves one connection.
struct Service<'a> {
    client: &'a Rc<Client>,
    conn: &'a Rc<H2Conn>,
    hall: Rc<Hall>,
    lanes: FuturesUnordered<Guarded>,
    served: u64,
    /// When the last stream ended; when the connection began, while there was none.
    idle_since: Option<Instant>,
    began: Instant,
    /// When the client was asked to leave.
    asked: Option<Instant>,
    /// When it was asked whether it is there.
    pinged: Option<Instant>,
    /// Bytes that were written, and when it was seen that they were so many.
    written: (u64, Instant),
    /// When the connection was over.
    over: Option<Instant>,
}

impl<'a> Service<'a> {
    fn new(client: &'a Rc<Client>, conn: &'a Rc<H2Conn>) -> Self {
        let began = clock::instant();
        Self {
            client,
            conn,
            hall: Rc::default(),
            lanes: FuturesUnordered::new(),
            served: 0,
            idle_since: None,
            began,
            asked: None,
            pinged: None,
            written: (0, began),
            over: None,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, timer: &mut Deadline) -> Poll<()> {
        for _ in 0..TURNS {
            let now = clock::instant();
            if self.asked.is_none() && self.client.terms.drain.is_requested() {
                self.ask_to_leave(now);
            }
            // How a connection ends is told by its streams.
            if self.conn.poll(cx, now).is_ready() {
                return Poll::Ready(());
            }
            self.accept(now);
            self.serve(cx);
            if self.conn.rest(cx) {
                continue;
            }
            let (at, act) = self.deadline(now);
            std::task::ready!(timer.poll_passed(cx, Some(at)));
            timer.begin();
            self.act(act, clock::instant());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn ask_to_leave(&mut self, now: Instant) {
        self.asked = Some(now);
        self.conn.leave();
    }

    fn accept(&mut self, now: Instant) {
        for _ in 0..self.conn.take_malformed() {
            let (worker, peer) = (&self.client.terms.worker, self.client.peer.ip());
            let id = worker.new_request_id(now);
            let error = ProxyError::Malformed(Malformed::Syntax);
            worker.unread(peer, &error, id.as_slice(), Version::H2.label());
        }
        while let Some(accepted) = AcceptedStream::next(self.conn) {
            self.served += 1;
            self.hall.came.borrow_mut().push_back(accepted);
            let idle = self.hall.idle.borrow_mut().pop();
            match idle {
                Some(waker) => waker.wake(),
                None => {
                    let lane = lane(Rc::clone(self.client), Rc::clone(&self.hall));
                    self.lanes.push(Guarded::new(lane));
                }
            }
        }
        let most = self.client.limits().requests_per_connection;
        if self.asked.is_none() && most.is_some_and(|most| self.served >= most) {
            self.ask_to_leave(now);
        }
    }

    fn serve(&mut self, cx: &mut Context<'_>) {
        loop {
            while let Poll::Ready(Some(panicked)) = Pin::new(&mut self.lanes).poll_next(cx) {
                if panicked {
                    self.client.terms.worker.telemetry.panicked();
                }
            }
            let slow = self.hall.slow.take();
            if slow.is_empty() {
                break;
            }
            self.lanes.extend(slow.into_iter().map(|sending| Guarded::new(sending.finish())));
        }
        if self.conn.active() > 0 {
            self.idle_since = None;
        } else if self.served > 0 {
            self.idle_since.get_or_insert_with(clock::instant);
        }
    }

    /// When something is to be done next, and what.
    fn deadline(&mut self, now: Instant) -> (Instant, Act) {
        if self.conn.over().is_some() {
            return (*self.over.get_or_insert(now) + FAREWELL, Act::Gone);
        }
        if self.conn.written() != self.written.0 {
            self.written = (self.conn.written(), now);
        }
        let ClientLimits { keep_alive, header_read, .. } = *self.client.limits();
        let partial = self.conn.partial().map(|since| (since + header_read, Act::Stall));
        let unheard = (!self.conn.is_heard()).then_some((self.began + header_read, Act::Unheard));
        let leaving = match self.asked {
            Some(_) if self.conn.active() == 0 && self.conn.has_left() => Some((now, Act::End)),
            Some(at) if !self.conn.has_left() => Some((at + FAREWELL, Act::Leave)),
            Some(_) | None => None,
        };
        let quiet = match (self.conn.active(), self.idle_since) {
            (0, Some(since)) if !self.lanes.is_empty() => (since + RESTED.min(keep_alive), Act::Rest),
            (0, Some(since)) => (since + keep_alive, Act::Idle),
            (0, None) => (self.began + header_read, Act::Idle),
            (_, _) => match self.pinged {
                Some(at) if self.conn.is_pinged() => (at + PATIENCE, Act::Gone),
                Some(_) | None => (self.conn.heard().max(self.written.1) + SILENT, Act::Ping),
            },
        };
        [partial, unheard, leaving]
            .into_iter()
            .flatten()
            .fold(quiet, |first, next| if next.0 < first.0 { next } else { first })
    }

    fn act(&mut self, act: Act, now: Instant) {
        match act {
            // One that never asked anything has nothing to read, either.
            Act::Idle if self.served == 0 || self.asked.is_some() => self.conn.finish(),
            Act::Idle => {
                self.ask_to_leave(now);
                self.conn.leave_now();
            }
            Act::Rest => {
                self.lanes.clear();
                self.hall = Rc::default();
                self.client.rest();
            }
            Act::Ping => {
                self.pinged = Some(now);
                self.conn.ping();
            }
            Act::Gone => self.conn.break_off(),
            Act::Leave => self.conn.leave_now(),
            Act::End => self.conn.finish(),
            Act::Stall => self.conn.fault(ErrorCode::Protocol),
            Act::Unheard => self.conn.fault(ErrorCode::SettingsTimeout),
        }
    }
}

/// What is done when time has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// It has been idle for too long: it is asked to leave.
    Idle,
    /// It needs no lanes for now.
    Rest,
    /// It is asked whether it is there.
    Ping,
    /// It has not answered.
    Gone,
    /// It was asked to leave, and has not said that it heard.
    Leave,
    /// It was asked to leave, and has nothing more to read.
    End,
    /// A head did not come in whole.
    Stall,
    /// It has not said that it knows how much it may send.
    Unheard,
}
