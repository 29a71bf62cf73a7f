//! A body: bytes with an end.
//!
//! Pulled, never pushed, so back-pressure is the absence of a pull. Whoever forwards a body calls [`Body::poll_data`],
//! uses [`Body::data`], tells it with [`Body::consume`], until nothing comes; then [`Body::trailers`] may be there.
//!
//! A short one can be kept while it is used up ([`Body::keep`]), so that it can be had once more from its start
//! ([`Body::rewound`]). Invariants: a body that is used up again gives the very bytes it gave before and then the rest;
//! one whose start is gone gives nothing and says so ([`Body::is_whole_again`]).

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::h1::conn::H1Conn;
use super::h1::reader::BodyReader;
use super::h2::Streamed;
use super::head::{Framing, HeadStore, Method, ResponseHead};
use super::kept::{KeptBody, KeptRoom, LONGEST};

mod error;
mod spliced;

pub use error::BodyError;

enum BodyKind {
    Empty,
    /// It stands for one whose start is gone.
    Gone,
    Full(Bytes),
    H1(BodyReader),
    H2(Streamed),
}

impl BodyKind {
    fn framing(&self) -> Framing {
        match self {
            Self::Empty | Self::Gone => Framing::None,
            Self::Full(bytes) => Framing::Length(bytes.len() as u64),
            Self::H1(reader) => reader.framing(),
            Self::H2(streamed) => streamed.framing(),
        }
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, BodyError>> {
        match self {
            Self::Empty | Self::Gone => Poll::Ready(Ok(0)),
            Self::Full(bytes) => Poll::Ready(Ok(bytes.len())),
            Self::H1(reader) => reader.poll_data(cx),
            Self::H2(streamed) => streamed.poll_data(cx),
        }
    }

    fn data(&self) -> &[u8] {
        match self {
            Self::Empty | Self::Gone => &[],
            Self::Full(bytes) => bytes,
            Self::H1(reader) => reader.data(),
            Self::H2(streamed) => streamed.data(),
        }
    }

    fn consume(&mut self, n: usize) {
        match self {
            Self::Empty | Self::Gone => {}
            Self::Full(bytes) => {
                let n = n.min(bytes.len());
                bytes::Buf::advance(bytes, n);
            }
            Self::H1(reader) => reader.consume(n),
            Self::H2(streamed) => streamed.consume(n),
        }
    }
}

/// What was used up of a body, from its start.
struct Copy {
    kept: KeptBody,
    /// Bytes of it that are used up (again); see [`super::kept::LONGEST`].
    at: u32,
    /// Nobody will ask for its start any more.
    closed: bool,
    /// How long it is in all, where that was known before its first byte.
    length: Option<u32>,
}

impl Copy {
    /// What comes before anything more of the source.
    fn rest(&self) -> &[u8] {
        self.kept.bytes().get(self.at as usize..).unwrap_or_default()
    }

    fn put(&mut self, more: &[u8]) -> bool {
        !self.closed && self.kept.put(more, self.length.unwrap_or(0) as usize)
    }
}

/// A copy of what passes, for whoever wants the whole of it.
struct Tee {
    bytes: Vec<u8>,
    most: usize,
    whole: Box<dyn FnOnce(Vec<u8>)>,
}

/// The body of a request or of a response.
pub struct Body {
    kind: BodyKind,
    /// Bytes that may still come before [`BodyError::TooLong`].
    allowed: u64,
    /// Bytes of data that were given out and sent.
    passed: u64,
    /// While it may have to be sent again.
    copy: Option<Copy>,
    /// While somebody else wants it as well.
    tee: Option<Box<Tee>>,
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body").field("framing", &self.framing()).field("passed", &self.passed).finish()
    }
}

impl Body {
    /// A body without any bytes.
    pub fn empty() -> Self {
        Self::of(BodyKind::Empty)
    }

    /// It stands for a body whose start is gone.
    pub(super) fn gone() -> Self {
        Self::of(BodyKind::Gone)
    }

    /// Bytes that are all there.
    pub fn full(bytes: Bytes) -> Self {
        Self::of(if bytes.is_empty() { BodyKind::Empty } else { BodyKind::Full(bytes) })
    }

    /// The body of an answer of our own, which ends the fields of its head. Whoever asked by HEAD reads its length alone.
    pub fn of_own(head: &mut ResponseHead, bytes: Bytes, asked: Method) -> Self {
        head.store.push(b"content-length", bytes.len().to_string().as_bytes());
        head.store.bytes.extend_from_slice(b"\r\n");
        if asked == Method::Head {
            head.framing = Framing::None;
            return Self::empty();
        }
        Self::full(bytes)
    }

    /// The body that follows a head just read from `conn`, framed as the head said.
    pub fn h1(conn: &Rc<H1Conn>, framing: Framing) -> Self {
        match framing {
            Framing::None | Framing::Stream | Framing::Length(0) => Self::empty(),
            Framing::Length(_) | Framing::Chunked | Framing::UntilClose => {
                Self::of(BodyKind::H1(BodyReader::new(Rc::clone(conn), framing)))
            }
        }
    }

    /// Read from an HTTP/2 stream.
    pub fn h2(streamed: Streamed) -> Self {
        Self::of(BodyKind::H2(streamed))
    }

    fn of(kind: BodyKind) -> Self {
        Self { kind, allowed: u64::MAX, passed: 0, copy: None, tee: None }
    }

    /// No more than `bytes` may come.
    pub fn limit(&mut self, bytes: u64) {
        self.allowed = bytes;
    }

    /// Gives a copy to `whole` once all of it has passed; never, when it has more than `most` bytes or breaks off.
    pub fn tee(&mut self, most: usize, whole: Box<dyn FnOnce(Vec<u8>)>) {
        self.tee = Some(Box::new(Tee { bytes: Vec::new(), most, whole }));
        self.teed();
    }

    /// Is it over? Then who wanted it has it.
    fn teed(&mut self) {
        if self.is_over()
            && let Some(tee) = self.tee.take()
        {
            (tee.whole)(tee.bytes);
        }
    }

    /// From now on what is used up is kept, up to `limit` bytes of `room`, until [`Self::let_go`]. Not of a body that
    /// has begun already, nor of one that is known to be longer.
    pub fn keep(&mut self, room: &Rc<KeptRoom>, limit: usize) {
        let length = match self.framing() {
            Framing::None => return,
            Framing::Length(bytes) if bytes > limit.min(LONGEST) as u64 => return,
            Framing::Length(bytes) => Some(bytes as u32),
            Framing::Chunked | Framing::UntilClose | Framing::Stream => None,
        };
        if self.passed == 0 && self.copy.is_none() && limit > 0 {
            self.copy = Some(Copy { kept: KeptBody::new(room, limit), at: 0, closed: false, length });
        }
    }

    /// It will not be asked for from its start again: gives the room back, as soon as what is in it is used up.
    pub fn let_go(&mut self) {
        match &mut self.copy {
            Some(copy) if !copy.rest().is_empty() => copy.closed = true,
            Some(_) | None => self.copy = None,
        }
    }

    /// The body from its start, for another attempt. Where its start is gone: one that has nothing, and says so.
    #[must_use]
    pub fn rewound(mut self) -> Self {
        if self.passed == 0 {
            return self;
        }
        match &mut self.copy {
            Some(copy) if !copy.closed => {
                copy.at = 0;
                self.allowed = self.allowed.saturating_add(self.passed);
                self.passed = 0;
                self
            }
            Some(_) | None => Self::gone(),
        }
    }

    /// Would it be sent from its start? Asked after an attempt that failed: false, when bytes of it are gone.
    pub fn is_whole_again(&self) -> bool {
        !matches!(self.kind, BodyKind::Gone) && self.passed == 0
    }

    /// Is all of it here, so that nobody need be waited for to send it? False for a chunked one whose
    /// end was not reached.
    pub fn is_whole(&self) -> bool {
        match &self.kind {
            BodyKind::Empty => true,
            BodyKind::Gone => false,
            BodyKind::Full(_) => true,
            BodyKind::H1(reader) => reader.is_whole(),
            BodyKind::H2(streamed) => streamed.is_whole(),
        }
    }

    /// Reads all of it into what is kept, before anything is sent; true when it is here then. False: it is too long to
    /// be kept, or was not to be kept; it can still be sent as it comes. A client that waits for `100 Continue` must
    /// have been told to go on.
    pub fn poll_gather(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, BodyError>> {
        loop {
            let whole = self.is_whole();
            let Some(copy) = self.copy.as_mut().filter(|_| !whole) else { return Poll::Ready(Ok(whole)) };
            let there = ready!(self.kind.poll_data(cx))?;
            if (copy.kept.bytes().len() + there) as u64 > self.allowed {
                return Poll::Ready(Err(BodyError::TooLong));
            }
            let kept = there == 0 || copy.put(self.kind.data());
            if !kept {
                return Poll::Ready(Ok(false));
            }
            self.kind.consume(there);
        }
    }

    /// How it is framed, as far as that is known before it is read.
    pub fn framing(&self) -> Framing {
        match (&self.copy, &self.kind) {
            (None, kind) => kind.framing(),
            (Some(Copy { length: Some(bytes), .. }), _) => Framing::Length(u64::from(*bytes)),
            (Some(_), BodyKind::H1(reader)) => reader.framing(),
            (Some(_), BodyKind::Empty | BodyKind::Gone | BodyKind::Full(_) | BodyKind::H2(_)) => {
                Framing::Stream
            }
        }
    }

    /// Is it known to be over without another poll?
    pub fn is_over(&self) -> bool {
        let source = match &self.kind {
            BodyKind::Empty | BodyKind::Gone => true,
            BodyKind::Full(bytes) => bytes.is_empty(),
            BodyKind::H1(reader) => reader.is_over(),
            BodyKind::H2(streamed) => streamed.is_over(),
        };
        source && self.copy.as_ref().is_none_or(|copy| copy.rest().is_empty())
    }

    /// The HTTP/2 connection that it comes by, if it does.
    pub fn comes_by_h2(&self) -> bool {
        matches!(self.kind, BodyKind::H2(_))
    }

    /// Are the first `n` bytes of [`Self::data`] known to be the last, with nothing behind them?
    pub fn ends_after(&self, n: usize) -> bool {
        if self.copy.as_ref().is_some_and(|copy| !copy.rest().is_empty()) {
            return false;
        }
        match &self.kind {
            BodyKind::Empty | BodyKind::Gone => true,
            BodyKind::Full(bytes) => bytes.len() == n,
            BodyKind::H1(reader) => reader.ends_after(n),
            BodyKind::H2(streamed) => streamed.ends_after(n),
        }
    }

    /// Bytes that were used up so far.
    pub fn passed(&self) -> u64 {
        self.passed
    }

    /// Waits until [`Self::data`] has bytes; the number of them, or 0 at the end.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, BodyError>> {
        let there = match self.copy.as_ref().map_or(0, |copy| copy.rest().len()) {
            0 => ready!(self.kind.poll_data(cx))?,
            again => again,
        };
        if there == 0 && self.tee.is_some() {
            self.teed();
        }
        if there as u64 > self.allowed {
            return Poll::Ready(Err(BodyError::TooLong));
        }
        Poll::Ready(Ok(there))
    }

    /// The bytes that are there.
    pub fn data(&self) -> &[u8] {
        match self.copy.as_ref().map_or(&[][..], Copy::rest) {
            [] => self.kind.data(),
            again => again,
        }
    }

    /// The first `n` bytes of [`Self::data`] are used up.
    pub fn consume(&mut self, n: usize) {
        if let Some(mut tee) = self.tee.take() {
            let more = self.data().get(..n).unwrap_or_default();
            if tee.bytes.len() + more.len() <= tee.most {
                tee.bytes.extend_from_slice(more);
                self.tee = Some(tee);
            }
            self.used(n);
            return self.teed();
        }
        self.used(n);
    }

    fn used(&mut self, n: usize) {
        self.passed += n as u64;
        self.allowed = self.allowed.saturating_sub(n as u64);
        if let Some(copy) = &mut self.copy {
            let again = copy.rest().len();
            if again > 0 {
                copy.at += n.min(again) as u32;
                return;
            }
            let fresh = self.kind.data();
            if copy.put(fresh.get(..n).unwrap_or(fresh)) {
                copy.at = copy.kept.bytes().len() as u32;
            } else {
                self.copy = None;
            }
        }
        self.kind.consume(n);
    }

    /// The trailer fields, after the end, when there are any. Fields that frame or route are left out. A body that had
    /// some is not kept any longer.
    pub fn trailers(&mut self) -> Option<HeadStore> {
        let trailers = match &mut self.kind {
            BodyKind::Empty | BodyKind::Gone | BodyKind::Full(_) => None,
            BodyKind::H1(reader) => reader.trailers(),
            BodyKind::H2(streamed) => streamed.trailers(),
        };
        if trailers.is_some() {
            self.copy = None;
        }
        trailers
    }
}

#[cfg(test)]
mod tests;
