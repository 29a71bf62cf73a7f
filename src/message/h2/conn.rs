//! One HTTP/2 connection (RFC 9113), in either role: frames, over a [`ByteStream`].
//!
//! One task reads and writes ([`H2Conn::poll`]); the streams on it are [`H2Stream`](super::H2Stream)s, held by whoever sends and reads
//! them. What they send is put at once where it is written from, so frames of several streams leave in one write.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::frame::{ErrorCode, FIRST_WINDOW, FrameKind, MOST_WINDOW, PREFACE, Settings};
use super::state::{CONNECTION, Over, Role, State, UPLOAD, WINDOW};
use crate::message::account::Abort;
use crate::message::buf::{self, LARGE, SIZE};
use crate::message::h1::parse::HeadLimits;
use crate::message::stream::ByteStream;

/// With so many bytes to be written, nothing is read: what is owed to a peer that does not read stays bounded.
const OWED: usize = LARGE - 32 * 1024;
/// Bytes that are read in one poll; then others have their turn.
const TURN: usize = 128 * 1024;
/// What a PING of this side says: it asks whether the peer is there.
const PING: [u8; 8] = *b"strop-hb";
/// It asks whether the peer has heard that this side leaves.
const LEAVING: [u8; 8] = *b"strop-go";

/// A connection that speaks HTTP/2.
pub struct H2Conn {
    stream: ByteStream,
    pub(super) state: RefCell<State>,
}

impl std::fmt::Debug for H2Conn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("H2Conn").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl Abort for H2Conn {
    fn abort(&self) {
        self.stream.abort();
    }
}

/// What this side takes.
#[derive(Clone, Copy, Debug)]
pub struct H2Limits {
    /// Of a head.
    pub head: HeadLimits,
    /// Streams that the peer may have open at once.
    pub streams: u32,
}

impl H2Conn {
    /// Takes requests on `stream`, of which the preface is not read yet.
    pub fn server(stream: ByteStream, limits: H2Limits, now: Instant) -> Rc<Self> {
        let own = Settings {
            streams: limits.streams,
            window: UPLOAD,
            head: limits.head.bytes as u32,
            connect_protocol: true,
            no_priorities: true,
            ..Settings::default()
        };
        Self::new(stream, State::new(Role::Server, own, limits.head, now))
    }

    /// Makes requests on `stream`.
    pub fn client(stream: ByteStream, head: HeadLimits, now: Instant) -> Rc<Self> {
        let own = Settings { push: false, window: WINDOW, head: head.bytes as u32, ..Settings::default() };
        let mut state = State::new(Role::Client, own, head, now);
        state.output.put(PREFACE);
        Self::new(stream, state)
    }

    fn new(stream: ByteStream, mut state: State) -> Rc<Self> {
        let mut settings = Vec::with_capacity(48);
        state.own.put(&mut settings);
        state.put_frame(FrameKind::Settings, 0, 0, &settings);
        let more = CONNECTION - FIRST_WINDOW;
        state.put_frame(FrameKind::WindowUpdate, 0, 0, &more.to_be_bytes());
        state.window.widen(more);
        Rc::new(Self { stream, state: RefCell::new(state) })
    }

    /// Reads what has come and writes what is to be written; ready when the connection is over and all that can be
    /// written is. One task calls it, whenever it is woken, and then [`Self::rest`].
    pub fn poll(&self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        state.resting = false;
        let mut left = TURN;
        while left > 0 {
            if self.write(cx, state).is_err() {
                state.end(Over::Broken);
                return Poll::Ready(());
            }
            if state.retired && state.by_id.is_empty() {
                state.finish();
            }
            if state.over.is_some() && (state.output.is_empty() || state.over == Some(Over::Broken)) {
                return Poll::Ready(());
            }
            let reads = state.over.is_none() && state.output.len() < OWED;
            match if reads { self.read(cx, state, now) } else { Poll::Pending } {
                Poll::Ready(read) => left = left.saturating_sub(read),
                Poll::Pending => {
                    state.grant();
                    return Poll::Pending;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The task that polls it is about to wait; true: not yet, there is something to be written.
    pub fn rest(&self, cx: &Context<'_>) -> bool {
        let mut state = self.state.borrow_mut();
        if std::mem::take(&mut state.stirred) {
            return true;
        }
        if !state.driver.as_ref().is_some_and(|driver| driver.will_wake(cx.waker())) {
            state.driver = Some(cx.waker().clone());
        }
        state.resting = true;
        false
    }

    fn read(&self, cx: &mut Context<'_>, state: &mut State, now: Instant) -> Poll<usize> {
        let room = if state.busy { buf::room() } else { SIZE };
        // The longest frame with its head is longer than a standard buffer.
        let room = if state.input.len() >= SIZE { LARGE } else { room };
        let read = self.stream.poll_fill(cx, &mut state.input, room);
        match read {
            Poll::Ready(Ok(n @ 1..)) => {
                state.busy = n >= SIZE;
                state.heard = now;
                if let Err(code) = state.take_input(now) {
                    state.end(Over::Fault(code));
                }
                state.input.rest();
                Poll::Ready(n)
            }
            Poll::Ready(Ok(_) | Err(_)) => {
                state.end(Over::Broken);
                Poll::Ready(0)
            }
            Poll::Pending => {
                state.input.rest();
                Poll::Pending
            }
        }
    }

    /// Writes until nothing is left or nothing more is taken.
    fn write(&self, cx: &mut Context<'_>, state: &mut State) -> std::io::Result<()> {
        let mut wrote = false;
        while !state.output.is_empty() {
            match self.stream.poll_write(cx, state.output.filled(), &[]) {
                Poll::Ready(written) => {
                    let n = written?;
                    state.output.consume(n);
                    state.written += n as u64;
                    wrote = true;
                }
                Poll::Pending => break,
            }
        }
        state.output.rest();
        if (wrote || state.output.is_empty())
            && let Poll::Ready(Err(error)) = self.stream.poll_flush(cx)
        {
            return Err(error);
        }
        Ok(())
    }

    /// Streams that may still be opened at once.
    pub fn room(&self) -> usize {
        let state = self.state.borrow();
        if state.over.is_some() || state.left.is_some() || state.next >= MOST_WINDOW {
            return 0;
        }
        // What a server that has not said anything yet surely takes (RFC 9113 section 6.5.2).
        let most = if state.greeted { state.peer.streams as usize } else { 100 };
        most.saturating_sub(state.active())
    }

    /// Streams that are open.
    pub fn active(&self) -> usize {
        self.state.borrow().active()
    }

    /// Does it take no more streams?
    pub fn is_leaving(&self) -> bool {
        let state = self.state.borrow();
        state.over.is_some() || state.left.is_some() || state.leaving.is_some()
    }

    /// Why it is over; `None`: it is not.
    pub fn over(&self) -> Option<Over> {
        self.state.borrow().over
    }

    /// What the peer sent too much of, where it is over for that.
    pub fn flooded_by(&self) -> Option<FrameKind> {
        self.state.borrow().flood
    }

    /// Bytes that were written since the beginning.
    pub fn written(&self) -> u64 {
        self.state.borrow().written
    }

    /// When anything came last.
    pub fn heard(&self) -> Instant {
        self.state.borrow().heard
    }

    /// When a head or data came last.
    pub fn spoken(&self) -> Instant {
        self.state.borrow().spoken
    }

    /// Was the peer asked whether it is there, and has not answered?
    pub fn is_pinged(&self) -> bool {
        self.state.borrow().pinged
    }

    /// Since when a head is not there in whole; `None`: there is none.
    pub fn partial(&self) -> Option<Instant> {
        self.state.borrow().partial
    }

    /// Requests since the last call that were none.
    pub fn take_malformed(&self) -> u32 {
        std::mem::take(&mut self.state.borrow_mut().malformed)
    }

    /// Asks the peer whether it is there; false: it was asked already and has not answered.
    pub fn ping(&self) -> bool {
        let mut state = self.state.borrow_mut();
        if std::mem::replace(&mut state.pinged, true) {
            return false;
        }
        state.put_frame(FrameKind::Ping, 0, 0, &PING);
        state.wake();
        true
    }

    /// Tells the peer that no more streams are taken, in two steps, so that none of those on their way is lost (RFC 9113
    /// section 6.8): the second follows when the peer has heard the first.
    pub fn leave(&self) {
        let mut state = self.state.borrow_mut();
        if state.leaving.is_none() && state.over.is_none() {
            state.leaving = Some(MOST_WINDOW);
            state.put_go_away(MOST_WINDOW);
            state.put_frame(FrameKind::Ping, 0, 0, &LEAVING);
            state.wake();
        }
    }

    /// Takes no more streams, whether the peer has heard that this side leaves or not.
    pub fn leave_now(&self) {
        let mut state = self.state.borrow_mut();
        if state.over.is_none() {
            state.say_last();
            state.wake();
        }
    }

    /// Does the peer know which of its streams is the last that is taken?
    pub fn has_left(&self) -> bool {
        self.state.borrow().leaving.is_some_and(|last| last < MOST_WINDOW)
    }

    /// Ends it: all is said. What is to be written still is.
    pub fn finish(&self) {
        self.state.borrow_mut().finish();
    }

    /// Ends it without another word.
    pub fn break_off(&self) {
        let mut state = self.state.borrow_mut();
        state.end(Over::Broken);
        // Why it was over before, nobody reads any more.
        state.over = Some(Over::Broken);
    }

    /// Ends it as soon as no stream is open any more.
    pub fn retire(&self) {
        let mut state = self.state.borrow_mut();
        state.retired = true;
        state.wake();
    }

    /// Reads what has come, whoever drives it: an idle connection that the peer has closed meanwhile is known as such.
    pub fn refresh(&self, now: Instant) {
        // What would have been woken looks for itself, so that it is woken again.
        let _ = self.poll(&mut Context::from_waker(Waker::noop()), now);
        if let Some(driver) = &self.state.borrow().driver {
            driver.wake_by_ref();
        }
    }

    /// Does the peer know what this side takes?
    pub fn is_heard(&self) -> bool {
        self.state.borrow().known
    }

    /// Has the peer said what it takes?
    pub fn is_greeted(&self) -> bool {
        self.state.borrow().greeted
    }

    /// Does the peer take a WebSocket on a stream, as far as it has said (RFC 8441 section 3)?
    pub fn takes_websockets(&self) -> bool {
        self.state.borrow().peer.connect_protocol
    }

    /// Streams that the peer takes at once.
    pub fn most(&self) -> usize {
        self.state.borrow().peer.streams as usize
    }

    /// Waits until the peer has said what it takes, or says nothing any more.
    pub fn poll_greeted(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.borrow_mut();
        if state.greeted || state.over.is_some() {
            return Poll::Ready(());
        }
        state.waiting.push(cx.waker().clone());
        Poll::Pending
    }

    /// Waits until a stream can be opened, or none will be any more.
    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.room() > 0 || self.is_leaving() {
            return Poll::Ready(());
        }
        self.state.borrow_mut().waiting.push(cx.waker().clone());
        Poll::Pending
    }

    /// Ends it for what the peer does.
    pub fn fault(&self, code: ErrorCode) {
        self.state.borrow_mut().end(Over::Fault(code));
    }

    /// The stream of bytes below, to be shut down.
    pub fn stream(&self) -> &ByteStream {
        &self.stream
    }
}

impl State {
    fn put_go_away(&mut self, last: u32) {
        let payload = [last.to_be_bytes(), ErrorCode::NoError.number().to_be_bytes()].concat();
        self.put_frame(FrameKind::GoAway, 0, 0, &payload);
    }

    /// The peer learns which of its streams is the last that is taken.
    fn say_last(&mut self) {
        if self.leaving.is_none_or(|last| last == MOST_WINDOW) {
            self.leaving = Some(self.last);
            self.put_go_away(self.last);
        }
    }

    fn finish(&mut self) {
        if self.over.is_none() {
            self.say_last();
            self.end(Over::Done);
        }
    }

    /// The answer to a PING; false: there was none.
    pub(super) fn ponged(&mut self, payload: &[u8]) -> bool {
        if payload == LEAVING && self.leaving == Some(MOST_WINDOW) {
            self.say_last();
            return true;
        }
        payload == PING && std::mem::take(&mut self.pinged)
    }
}
