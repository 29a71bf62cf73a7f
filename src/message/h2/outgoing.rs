//! A body of ours on its way out by HTTP/2.
//!
//! Invariant: a body that was taken back for another attempt is never ended here as if it were whole.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use bytes::Bytes;

use super::map_of;
use crate::message::body::{Body, BodyError};
use crate::message::h1::pump::Waits;
use crate::message::h1::upload::Remainder;
use crate::message::head::Framing;

/// Bytes that hyper is given at once, a DATA frame (RFC 9113 section 4.2): all of it waits in memory for the window of
/// the other side, and counts as passed only in whole.
const FRAME: usize = 16 * 1024;

/// How a body that was sent by HTTP/2 ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All of it passed.
    Whole,
    /// It broke off where it came from.
    Broken,
    /// The other side left before its end.
    Left,
}

/// Bytes that were taken by the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Bytes of the body that was to be sent.
    pub body: u64,
    /// Of the body of the request that it answers, as far as that was still being sent by HTTP/1.1.
    pub request: u64,
}

/// Is told how it ended, and how much passed.
pub type OnEnd = Box<dyn FnOnce(Ended, Passed)>;

/// One of our bodies, for hyper to send. `on_end` is told once.
pub struct Outgoing {
    /// Empty, when its [`SendProgress`] has it.
    body: Body,
    /// What is left to send of the request that it answers.
    remainder: Remainder,
    over: bool,
    on_end: Option<OnEnd>,
    progress: Option<Rc<SendProgress>>,
}

/// How far a body that is sent by HTTP/2 has got, and the body itself: hyper may not have let go of it when another
/// attempt needs it, and when it is given up.
pub struct SendProgress {
    body: RefCell<Option<Body>>,
    /// Nobody sends it any more.
    dropped: Cell<bool>,
    /// The upstream has said something: it will not be sent again.
    confirmed: Cell<bool>,
    /// Bytes that have passed.
    pub passed: Cell<u64>,
    /// Bytes that have passed of the request that it answers.
    uploaded: Cell<u64>,
    /// Has its end passed?
    pub over: Cell<bool>,
    /// Which side kept it from going on.
    pub waits: Cell<Waits>,
    /// Why it broke off where it came from.
    pub broke: RefCell<Option<BodyError>>,
    /// Is told how it ended, unless [`Outgoing`] tells.
    on_end: RefCell<Option<OnEnd>>,
    /// Of the task that waits for more of it.
    waker: RefCell<Option<Waker>>,
    /// Bytes that had passed when it was looked at last, and since when it has been so many.
    seen: Cell<(u64, Option<Instant>)>,
}

impl std::fmt::Debug for SendProgress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Progress")
            .field("passed", &self.passed)
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}

impl Default for SendProgress {
    fn default() -> Self {
        Self {
            body: RefCell::new(None),
            dropped: Cell::new(false),
            confirmed: Cell::new(false),
            passed: Cell::new(0),
            uploaded: Cell::new(0),
            over: Cell::new(false),
            waits: Cell::new(Waits::Sink),
            broke: RefCell::new(None),
            on_end: RefCell::new(None),
            waker: RefCell::new(None),
            seen: Cell::new((0, None)),
        }
    }
}

impl SendProgress {
    /// The upstream has said something: what was kept of the body is let go.
    pub fn confirm(&self) {
        self.confirmed.set(true);
        if self.dropped.get() {
            drop(self.body.take());
        } else if let Some(body) = self.body.borrow_mut().as_mut() {
            body.let_go();
        }
    }

    /// Has all of it passed, or does nobody send it any more? What hyper still holds then keeps no upstream waiting, as
    /// little as what the kernel holds of an answer by HTTP/1.1.
    pub fn is_done(&self) -> bool {
        self.over.get() || self.dropped.get() || self.body.borrow().as_ref().is_none_or(Body::is_over)
    }

    /// Since when nothing of it has passed, as far as the looks at it show.
    pub fn still_since(&self, now: Instant) -> Instant {
        match self.seen.get() {
            (seen, Some(since)) if seen == self.passed.get() => since,
            _ => {
                self.seen.set((self.passed.get(), Some(now)));
                now
            }
        }
    }

    /// It is not sent any further: its time is over. The stream is reset as soon as hyper asks for more of it; what it
    /// holds is free at once.
    pub fn give_up(&self) {
        let Some(body) = self.body.take() else { return };
        let how = if self.waits.get() == Waits::Source { Ended::Broken } else { Ended::Left };
        if let Some(told) = self.on_end.take() {
            told(how, Passed { body: body.passed(), request: self.uploaded.get() });
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// The body from its start, for another attempt. Whoever still sends it is told that it broke off.
    pub fn take_back(&self) -> Body {
        self.body.take().unwrap_or_else(Body::empty).rewound()
    }
}

impl Outgoing {
    /// For hyper to send; `on_end` is told how that ended.
    pub fn new(body: Body, on_end: Option<OnEnd>) -> Self {
        Self { body, remainder: Remainder::default(), over: false, on_end, progress: None }
    }

    /// Moves on what is left of the request as well.
    #[must_use]
    pub fn answering(mut self, remainder: Remainder) -> Self {
        self.remainder = remainder;
        self
    }

    /// Shows how far it has got while it is sent.
    #[must_use]
    pub fn watched(mut self, progress: Rc<SendProgress>) -> Self {
        progress.over.set(self.over || self.body.framing() == Framing::None);
        progress.body.replace(Some(std::mem::replace(&mut self.body, Body::empty())));
        progress.on_end.replace(self.on_end.take());
        self.progress = Some(progress);
        self
    }

    /// What `look` says of the body; `None`: it was taken back.
    fn of_body<T>(&self, look: impl FnOnce(&Body) -> T) -> Option<T> {
        match &self.progress {
            Some(progress) => progress.body.borrow().as_ref().map(look),
            None => Some(look(&self.body)),
        }
    }

    fn with_body<T>(&mut self, act: impl FnOnce(&mut Body) -> T) -> Option<T> {
        match &self.progress {
            Some(progress) => progress.body.borrow_mut().as_mut().map(act),
            None => Some(act(&mut self.body)),
        }
    }

    fn note(&self, waits: Waits) {
        if let Some(progress) = &self.progress {
            progress.passed.set(self.of_body(Body::passed).unwrap_or(progress.passed.get()));
            progress.uploaded.set(self.remainder.passed());
            progress.over.set(self.over);
            progress.waits.set(waits);
        }
    }

    /// Is there no body to send?
    pub fn is_empty(&self) -> bool {
        self.of_body(Body::is_over).unwrap_or(true)
    }

    /// There is no body to send: what waits for its end is told now.
    pub fn finish_empty(&mut self) {
        self.end(Ended::Whole);
    }

    fn end(&mut self, how: Ended) {
        self.over = true;
        self.note(Waits::Sink);
        self.tell(how);
    }

    fn broke_off(
        &mut self,
        how: Ended,
        error: BodyError,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BrokeOff>>> {
        self.end(how);
        if let Some(progress) = &self.progress {
            progress.broke.replace(Some(error));
        }
        Poll::Ready(Some(Err(BrokeOff)))
    }

    fn tell(&mut self, how: Ended) {
        let body = self.of_body(Body::passed).unwrap_or_default();
        let passed = Passed { body, request: self.remainder.passed() };
        if let Some(told) = self.on_end.take() {
            told(how, passed);
        }
        if let Some(progress) = &self.progress
            && let Some(told) = progress.on_end.take()
        {
            told(how, passed);
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.tell(Ended::Left);
        if let Some(progress) = &self.progress {
            progress.dropped.set(true);
            if progress.confirmed.get() {
                drop(progress.body.take());
            }
        }
    }
}

/// The error hyper is given; what happened is told by `on_end`.
#[derive(Debug, thiserror::Error)]
#[error("the body broke off")]
pub struct BrokeOff;

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = BrokeOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BrokeOff>>> {
        if self.over {
            return Poll::Ready(None);
        }
        if let Err(error) = self.remainder.poll(cx) {
            // The request that it answers broke off: that was the other side.
            return self.broke_off(Ended::Left, error);
        }
        let Some(polled) = self.with_body(|body| body.poll_data(cx)) else {
            self.over = true;
            return Poll::Ready(Some(Err(BrokeOff)));
        };
        self.note(if polled.is_pending() { Waits::Source } else { Waits::Sink });
        if let (Some(progress), true) = (&self.progress, polled.is_pending()) {
            progress.waker.replace(Some(cx.waker().clone()));
        }
        match ready!(polled) {
            Ok(0) => {
                let trailers =
                    self.with_body(Body::trailers).flatten().map(|store| map_of(&store, |_, _| true));
                self.end(Ended::Whole);
                Poll::Ready(trailers.map(|trailers| Ok(http_body::Frame::trailers(trailers))))
            }
            Ok(_) => {
                let sent = self.with_body(|body| {
                    let there = body.data();
                    let data = Bytes::copy_from_slice(there.get(..FRAME).unwrap_or(there));
                    body.consume(data.len());
                    data
                });
                let data = sent.unwrap_or_default();
                self.note(Waits::Sink);
                Poll::Ready(Some(Ok(http_body::Frame::data(data))))
            }
            Err(error) => self.broke_off(Ended::Broken, error),
        }
    }

    fn is_end_stream(&self) -> bool {
        // While someone waits for the end it must be polled for.
        let waited_for =
            self.on_end.is_some() || self.progress.as_ref().is_some_and(|one| one.on_end.borrow().is_some());
        self.over || (!waited_for && self.of_body(Body::framing) == Some(Framing::None))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self.of_body(|body| (body.framing(), body.passed())) {
            Some((Framing::None, _)) => http_body::SizeHint::with_exact(0),
            Some((Framing::Length(bytes), passed)) => {
                http_body::SizeHint::with_exact(bytes.saturating_sub(passed))
            }
            Some((Framing::Chunked | Framing::UntilClose | Framing::Stream, _)) | None => {
                http_body::SizeHint::default()
            }
        }
    }
}
