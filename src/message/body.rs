//! A body: bytes with an end.
//!
//! Pulled, never pushed, so back-pressure is the absence of a pull. Whoever forwards a body calls [`Body::poll_data`],
//! uses [`Body::data`], tells it with [`Body::consume`], until nothing comes; then [`Body::trailers`] may be there.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::h1::Malformed;
use super::h1::pump::PumpError;
use super::h1::reader::Reader;
use super::h1::upload::Upload;
use super::h2::Streamed;
use super::head::{Framing, Store};

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Its framing is wrong.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Its connection ended or broke.
    #[error("the connection ended within the body")]
    Broken(#[source] std::io::Error),
    /// Its HTTP/2 stream was reset.
    #[error("the stream was reset")]
    Reset,
    /// It is longer than its route allows.
    #[error("the body is longer than the limit")]
    TooLong,
    /// Nothing came for too long.
    #[error("nothing came for too long")]
    Idle,
    /// The request that it answers broke off while it was still being sent.
    #[error("the request broke off")]
    Request,
}

enum Kind {
    Empty,
    Full(Bytes),
    H1(Reader),
    H2(Box<Streamed>),
}

/// The body of a request or of a response.
pub struct Body {
    kind: Kind,
    /// Bytes that may still come before [`BodyError::TooLong`].
    allowed: u64,
    /// Bytes that passed.
    passed: u64,
    /// The request that this body answers, while it is still being sent.
    upload: Option<Box<Upload>>,
    /// Bytes of that request's body that have left, once it is no longer being sent.
    uploaded: u64,
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body").field("framing", &self.framing()).field("passed", &self.passed).finish()
    }
}

impl Body {
    /// None.
    pub fn empty() -> Self {
        Self::of(Kind::Empty)
    }

    /// Bytes that are all there.
    pub fn full(bytes: Bytes) -> Self {
        Self::of(if bytes.is_empty() { Kind::Empty } else { Kind::Full(bytes) })
    }

    /// Read from an HTTP/1.1 connection.
    pub fn h1(reader: Reader) -> Self {
        Self::of(Kind::H1(reader))
    }

    /// Read from an HTTP/2 stream.
    pub fn h2(streamed: Streamed) -> Self {
        Self::of(Kind::H2(Box::new(streamed)))
    }

    fn of(kind: Kind) -> Self {
        Self { kind, allowed: u64::MAX, passed: 0, upload: None, uploaded: 0 }
    }

    /// No more than `bytes` may come.
    pub fn limit(&mut self, bytes: u64) {
        self.allowed = bytes;
    }

    /// The request that this body answers. One that is not sent in whole yet is moved on whenever this body is polled:
    /// the answer began before its request had ended.
    pub fn answers(&mut self, upload: Upload) {
        if upload.is_done() {
            self.uploaded = upload.passed();
        } else {
            self.upload = Some(Box::new(upload));
        }
    }

    /// Bytes that have left of the body of the request that this body answers.
    pub fn uploaded(&self) -> u64 {
        self.upload.as_ref().map_or(self.uploaded, |upload| upload.passed())
    }

    /// Is the request that this body answers still being sent?
    pub fn carries(&self) -> bool {
        self.upload.is_some()
    }

    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), BodyError> {
        let Some(upload) = &mut self.upload else { return Ok(()) };
        match upload.poll(cx) {
            Poll::Pending => Ok(()),
            Poll::Ready(Err(PumpError::Source(_))) => Err(BodyError::Request),
            // A sink that breaks: the upstream does not want the rest; its answer is still worth having.
            Poll::Ready(Ok(()) | Err(PumpError::Sink(_))) => {
                self.uploaded = upload.passed();
                self.upload = None;
                Ok(())
            }
        }
    }

    /// How it is framed, as far as that is known before it is read.
    pub fn framing(&self) -> Framing {
        match &self.kind {
            Kind::Empty => Framing::None,
            Kind::Full(bytes) => Framing::Length(bytes.len() as u64),
            Kind::H1(reader) => reader.framing(),
            Kind::H2(streamed) => streamed.framing(),
        }
    }

    /// Is it known to be over without another poll?
    pub fn is_over(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Full(bytes) => bytes.is_empty(),
            Kind::H1(reader) => reader.is_over(),
            Kind::H2(streamed) => streamed.is_over(),
        }
    }

    /// Bytes that were used up so far.
    pub fn passed(&self) -> u64 {
        self.passed
    }

    /// Waits until [`Self::data`] has bytes; the number of them, or 0 at the end.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, BodyError>> {
        self.poll_upload(cx)?;
        let there = match &mut self.kind {
            Kind::Empty => 0,
            Kind::Full(bytes) => bytes.len(),
            Kind::H1(reader) => std::task::ready!(reader.poll_data(cx))?,
            Kind::H2(streamed) => std::task::ready!(streamed.poll_data(cx))?,
        };
        if there as u64 > self.allowed {
            return Poll::Ready(Err(BodyError::TooLong));
        }
        Poll::Ready(Ok(there))
    }

    /// The bytes that are there.
    pub fn data(&self) -> &[u8] {
        match &self.kind {
            Kind::Empty => &[],
            Kind::Full(bytes) => bytes,
            Kind::H1(reader) => reader.data(),
            Kind::H2(streamed) => streamed.data(),
        }
    }

    /// The first `n` bytes of [`Self::data`] are used up.
    pub fn consume(&mut self, n: usize) {
        self.passed += n as u64;
        self.allowed = self.allowed.saturating_sub(n as u64);
        match &mut self.kind {
            Kind::Empty => {}
            Kind::Full(bytes) => {
                let n = n.min(bytes.len());
                bytes::Buf::advance(bytes, n);
            }
            Kind::H1(reader) => reader.consume(n),
            Kind::H2(streamed) => streamed.consume(n),
        }
    }

    /// The trailer fields, after the end, when there are any. Fields that frame or route are left out.
    pub fn trailers(&mut self) -> Option<Store> {
        match &mut self.kind {
            Kind::Empty | Kind::Full(_) => None,
            Kind::H1(reader) => reader.trailers(),
            Kind::H2(streamed) => streamed.trailers(),
        }
    }
}
