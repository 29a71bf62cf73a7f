//! One stream of an HTTP/2 connection, as whoever sends and reads it holds it.
//!
//! Invariants: what is sent goes straight to where the connection writes from, and no further than its windows and the
//! room there allow; a stream whose last holder is gone is reset, unless both sides have ended it.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::conn::H2Conn;
use super::flow::SendWindow;
use super::frame::{ErrorCode, FrameHead, FrameKind, MOST, flag};
use super::place::StreamState;
use super::state::{Over, State};
use crate::message::account;
use crate::message::h1::Malformed;
use crate::message::head::{HeadStore, Method, RequestHead, ResponseHead};
use crate::message::scratch::Scratch;

/// What a stream's window grows to while its reader keeps up, in bytes.
const WIDEST: u32 = 1 << 20;
/// A peer that lets less than this be sent at a time asks for more frames than bytes: what it gets pays for nothing.
const DRIBBLE: usize = 256;

/// Why nothing more comes, or goes, on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The peer has not taken the request, and never will: it may be made elsewhere (RFC 9113 section 8.7).
    #[error("the stream was refused")]
    Refused,
    /// Nothing of it has left.
    #[error("the connection broke before anything was sent")]
    Unsent,
    /// It was reset.
    #[error("the stream was reset: {}", .0.label())]
    Reset(ErrorCode),
    /// The connection ended or broke.
    #[error("the connection broke")]
    Broken,
}

/// A stream.
pub struct H2Stream {
    conn: Rc<H2Conn>,
    key: usize,
    /// What the peer is told when it is given up.
    code: Cell<ErrorCode>,
    /// Its connection had carried others before, and none was left when it was opened.
    after_idle: bool,
}

impl std::fmt::Debug for H2Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("H2Stream").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Drop for H2Stream {
    fn drop(&mut self) {
        let mut state = self.conn.state.borrow_mut();
        // The answer is whole: the rest of the request is not wanted (RFC 9113 section 8.1). A request that is whole
        // says nothing of its answer; a server may take NO_ERROR for no end, and go on.
        let answered =
            state.streams.get(self.key).is_some_and(|stream| stream.finished && stream.asked.is_none());
        let code = if answered { ErrorCode::NoError } else { self.code.get() };
        state.close(self.key, code);
    }
}

/// A request that came, and its stream.
pub struct AcceptedStream {
    /// An error: it is refused for that.
    pub head: Result<RequestHead, Malformed>,
    pub stream: Rc<H2Stream>,
}

impl AcceptedStream {
    /// The next one that came on `conn`; `None`: there is none yet. One that the peer has given up already costs nothing.
    pub fn next(conn: &Rc<H2Conn>) -> Option<Self> {
        loop {
            let (key, head) = conn.state.borrow_mut().accepted.pop_front()?;
            let stream = H2Stream::new(conn, key);
            if !stream.is_given_up() {
                return Some(Self { head, stream: Rc::new(stream) });
            }
        }
    }
}

/// Does something follow on the stream?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// More is sent.
    More,
    /// It was all.
    End,
}

impl Then {
    /// [`Self::End`] where `over`.
    pub fn end_if(over: impl FnOnce() -> bool) -> Self {
        if over() { Self::End } else { Self::More }
    }
}

impl H2Stream {
    fn new(conn: &Rc<H2Conn>, key: usize) -> Self {
        Self { conn: Rc::clone(conn), key, code: Cell::new(ErrorCode::Cancel), after_idle: false }
    }

    /// Opens a stream of `conn` for a request whose method is `asked`; `None`: not now, see [`H2Conn::room`].
    pub fn open(conn: &Rc<H2Conn>, asked: Method) -> Option<Rc<Self>> {
        if conn.room() == 0 {
            return None;
        }
        let (key, after_idle) = {
            let mut state = conn.state.borrow_mut();
            let id = state.next;
            let after_idle = id > 1 && state.active() == 0;
            state.next += 2;
            let key = state.open(id);
            if let Some(stream) = state.streams.get_mut(key) {
                stream.asked = Some(asked);
                stream.account = account::with_current(Rc::clone);
            }
            (key, after_idle)
        };
        let mut stream = Self::new(conn, key);
        stream.after_idle = after_idle;
        Some(Rc::new(stream))
    }

    /// Was it opened on a connection that had carried others before, and carried none then? The peer may have been about
    /// to end it for that.
    pub fn is_after_idle(&self) -> bool {
        self.after_idle
    }

    /// The connection that it is of.
    pub fn conn(&self) -> &Rc<H2Conn> {
        &self.conn
    }

    pub(super) fn with<T>(&self, act: impl FnOnce(&mut State, usize) -> T) -> T {
        act(&mut self.conn.state.borrow_mut(), self.key)
    }

    /// What the peer is told when it is given up before its end.
    pub fn gives_up_for(&self, code: ErrorCode) {
        self.code.set(code);
    }

    /// Sends a head that `write` makes.
    pub fn send_head(&self, then: Then, write: impl FnOnce(&mut super::hpack::Encoder, &mut Vec<u8>)) {
        self.with(|state, key| {
            let at = state.written + state.output.len() as u64;
            let Some(stream) = state.streams.get_mut(key) else { return };
            // What is written is sent: the peer's table follows it.
            if stream.finished || stream.reset.is_some() || state.over.is_some() {
                return;
            }
            let ends = then == Then::End;
            (stream.head_at, stream.finished) = (at, ends);
            let id = stream.id;
            let mut block = Scratch::default();
            state.encoder.begin_block(&mut block);
            write(&mut state.encoder, &mut block);
            state.put_block(id, &block, ends);
            state.earn();
            state.wake();
        });
    }

    /// Bytes of data that may be sent now, at least one. Pending: the peer, or others on its connection, have to move
    /// first.
    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Result<usize, StreamError>> {
        self.with(|state, key| {
            if let Some(error) = state.why_gone(key) {
                return Poll::Ready(Err(error));
            }
            let shared = state.send_window.room();
            let full = state.output.len() >= state.most_output() || shared == 0;
            let most = shared.min(MOST.min(state.peer.frame as usize));
            let others = state.queues.iter().any(|queue| !queue.is_empty());
            let Some(stream) = state.streams.get_mut(key) else {
                return Poll::Ready(Err(StreamError::Broken));
            };
            let own = stream.send_window.map_or(0, SendWindow::room);
            if own > 0 && !full && (stream.turn || !others) {
                if stream.turn && others {
                    state.wake();
                }
                return Poll::Ready(Ok(own.min(most)));
            }
            stream.sender = Some(cx.waker().clone());
            stream.turn = false;
            if own > 0 && !std::mem::replace(&mut stream.queued, true) {
                let urgency = usize::from(stream.urgency);
                if let Some(queue) = state.queues.get_mut(urgency) {
                    queue.push_back(key);
                }
                if !full {
                    state.wake();
                }
            }
            Poll::Pending
        })
    }

    /// Sends data, no more than [`Self::poll_room`] has just allowed.
    pub fn send(&self, data: &[u8], then: Then) {
        self.with(|state, key| {
            let over = state.over.is_some();
            let Some(stream) = state.streams.get_mut(key) else { return };
            if stream.finished || stream.reset.is_some() || over {
                return;
            }
            stream.finished = then == Then::End;
            stream.turn = false;
            let dribbles =
                data.len() < DRIBBLE && stream.send_window.is_some_and(|own| own.room() == data.len());
            if let Some(window) = &mut stream.send_window {
                window.used(data.len());
            }
            let flags = if then == Then::End { flag::END_STREAM } else { 0 };
            let head = FrameHead { len: data.len(), kind: FrameKind::Data, flags, stream: stream.id };
            state.send_window.used(data.len());
            state.output.put(&head.bytes());
            state.output.put(data);
            if !dribbles || then == Then::End {
                state.earn();
            }
            state.wake();
        });
    }

    /// Sends what follows the body; nothing follows that.
    pub fn send_trailers(&self, trailers: &HeadStore) {
        self.send_head(Then::End, |encoder, out| super::write::trailers(encoder, out, trailers));
    }

    fn is_given_up(&self) -> bool {
        self.with(|state, key| state.why_gone(key).is_some())
    }

    /// Does the peer take anything now, on this stream and on its connection?
    pub fn is_open(&self) -> bool {
        self.with(|state, key| {
            let own = state.streams.get(key).and_then(|stream| stream.send_window);
            state.send_window.room() > 0 && own.is_some_and(|own| own.room() > 0)
        })
    }

    /// Does the peer take `bytes` of data on this stream, whatever is on its way on others?
    pub fn takes(&self, bytes: u64) -> bool {
        self.with(|state, key| {
            let own = state.streams.get(key).and_then(|stream| stream.send_window);
            own.map_or(0, SendWindow::room) as u64 >= bytes
        })
    }

    /// Has this side sent all?
    pub fn is_finished(&self) -> bool {
        self.with(|state, key| state.streams.get(key).is_none_or(|stream| stream.finished))
    }

    /// Has the peer given it up, or is its connection over?
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<StreamError> {
        self.with(|state, key| match state.why_gone(key) {
            Some(error) => Poll::Ready(error),
            None => {
                if let Some(stream) = state.streams.get_mut(key) {
                    stream.watcher = Some(cx.waker().clone());
                }
                Poll::Pending
            }
        })
    }

    /// The next interim answer; `None`: there is none now.
    pub fn interim(&self) -> Option<ResponseHead> {
        self.with(|state, key| state.streams.get_mut(key)?.interim.pop_front())
    }

    /// The head of the answer; the inner error: it came and cannot be passed on.
    pub fn poll_answer(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Result<ResponseHead, Malformed>, StreamError>> {
        self.with(|state, key| {
            if let Some(head) = state.streams.get_mut(key).and_then(|stream| stream.head.take()) {
                return Poll::Ready(Ok(head));
            }
            if let Some(error) = state.why_gone(key) {
                return Poll::Ready(Err(error));
            }
            if let Some(stream) = state.streams.get_mut(key) {
                stream.reader = Some(cx.waker().clone());
            }
            Poll::Pending
        })
    }

    /// `bytes` of what came were used up by the reader, who has `left` in hand.
    pub(super) fn used(&self, bytes: usize, left: usize) {
        self.with(|state, key| {
            let left_to_grow = state.role.growth() - state.grown;
            let Some(stream) = state.streams.get_mut(key) else { return };
            let (id, keeps_up) = (stream.id, left == 0 && stream.received.is_empty());
            if stream.ended || stream.reset.is_some() {
                return;
            }
            let Some(window) = &mut stream.window else { return };
            let mut more = window.used(bytes).unwrap_or(0);
            let step = window.size().min(WIDEST - window.size().min(WIDEST)).min(left_to_grow);
            if keeps_up
                && step > 0
                && window.is_used_up()
                && let Some(widened) = account::widen(step as usize)
            {
                more += window.widen(step);
                stream.widened.push(widened);
                stream.grown += step;
                state.grown += step;
            }
            if more > 0 {
                state.put_frame(FrameKind::WindowUpdate, 0, id, &more.to_be_bytes());
                state.wake();
            }
        });
    }
}

impl State {
    /// Why a stream cannot go on; `None`: it can.
    pub(super) fn why_gone(&self, key: usize) -> Option<StreamError> {
        let stream: &StreamState = self.streams.get(key)?;
        if let Some(code) = stream.reset {
            let refused = code == ErrorCode::RefusedStream;
            return Some(if refused { StreamError::Refused } else { StreamError::Reset(code) });
        }
        let own = stream.asked.is_some();
        if own && self.left.is_some_and(|last| stream.id > last) {
            return Some(StreamError::Refused);
        }
        match self.over {
            None => None,
            // What has come in whole is still there to be read.
            Some(_) if stream.ended && stream.headed && stream.asked.is_some() => None,
            Some(_) if own && self.written <= stream.head_at => Some(StreamError::Unsent),
            Some(Over::Fault(_) | Over::Broken | Over::Done) => Some(StreamError::Broken),
        }
    }
}
