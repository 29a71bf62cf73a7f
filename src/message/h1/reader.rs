//! Reads one body from a connection.
//!
//! Takes the connection's bytes read ahead for as long as the body lasts and gives back what follows the body.
//! Invariant: dropped before its end, the connection is spoilt, for the next head cannot be found any more.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::chunked::Chunked;
use super::conn::H1Conn;
use super::{Malformed, parse};
use crate::message::body::BodyError;
use crate::message::buf::{self, Buf, SIZE};
use crate::message::fields;
use crate::message::head::{Framing, HeadStore};
use crate::message::splice::{Pipe, WORTH};

enum BodyLeft {
    Bytes(u64),
    Chunks(Chunked),
    /// Nothing: the last chunk was followed by these.
    Trailers(Option<HeadStore>),
    UntilClose,
}

/// The reader of one body.
pub struct BodyReader {
    conn: Rc<H1Conn>,
    buf: Buf,
    left: BodyLeft,
    /// Bytes of data at the front of `buf`.
    ready: usize,
    over: bool,
    framing: Framing,
    /// Bytes of data that were used up.
    passed: u64,
}

impl BodyReader {
    /// Reads the body that follows on `conn`; `framing` is one that has a body.
    pub(crate) fn new(conn: Rc<H1Conn>, framing: Framing) -> Self {
        let left = match framing {
            Framing::Length(bytes) => BodyLeft::Bytes(bytes),
            Framing::Chunked => BodyLeft::Chunks(Chunked::default()),
            Framing::UntilClose => BodyLeft::UntilClose,
            Framing::None | Framing::Stream => BodyLeft::Bytes(0),
        };
        let buf = conn.stream().take_ahead();
        Self { conn, buf, left, ready: 0, over: false, framing, passed: 0 }
    }

    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// Is the rest of it read already?
    pub(crate) fn is_whole(&self) -> bool {
        self.over || matches!(self.left, BodyLeft::Bytes(left) if left <= self.buf.len() as u64)
    }

    /// Are the next `n` bytes the last? Of a body with trailers it is not known.
    pub(crate) fn ends_after(&self, n: usize) -> bool {
        matches!(self.left, BodyLeft::Bytes(left) if left == n as u64)
    }

    /// How much of it is left, where that is enough to go past this process: of a known length, and nothing of it at hand.
    pub(crate) fn splices(&self) -> Option<u64> {
        match self.left {
            BodyLeft::Bytes(left)
                if left >= WORTH && self.buf.is_empty() && self.conn.stream().is_plain() =>
            {
                Some(left)
            }
            BodyLeft::Bytes(_) | BodyLeft::Chunks(_) | BodyLeft::Trailers(_) | BodyLeft::UntilClose => None,
        }
    }

    /// Moves some of what is left into `pipe`, which is empty.
    pub(crate) fn poll_into(&mut self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<Result<(), BodyError>> {
        let BodyLeft::Bytes(left) = &mut self.left else { return Poll::Ready(Ok(())) };
        self.buf.rest();
        let moved = ready!(self.conn.stream().poll_into(cx, pipe, *left)).map_err(BodyError::Broken)?;
        if moved == 0 {
            return Poll::Ready(self.ended_by_peer());
        }
        *left = left.saturating_sub(moved as u64);
        let over = *left == 0;
        self.passed += moved as u64;
        if over {
            self.finish();
        }
        Poll::Ready(Ok(()))
    }

    pub(crate) fn data(&self) -> &[u8] {
        self.buf.filled().get(..self.ready).unwrap_or_default()
    }

    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, BodyError>> {
        while self.ready == 0 && !self.over {
            if self.decode()? {
                break;
            }
            let limit = match &self.left {
                BodyLeft::Bytes(left) if *left <= SIZE as u64 => SIZE,
                BodyLeft::Bytes(_) | BodyLeft::Chunks(_) | BodyLeft::Trailers(_) | BodyLeft::UntilClose => {
                    buf::room()
                }
            };
            let read = match self.conn.stream().poll_fill(cx, &mut self.buf, limit) {
                Poll::Ready(read) => read.map_err(BodyError::Broken)?,
                Poll::Pending => {
                    self.buf.rest();
                    return Poll::Pending;
                }
            };
            if read == 0 {
                self.ended_by_peer()?;
            }
        }
        Poll::Ready(Ok(self.ready))
    }

    /// Looks for data in what was read; true when there is some or the body is over.
    fn decode(&mut self) -> Result<bool, Malformed> {
        let there = self.buf.len();
        match &mut self.left {
            BodyLeft::Bytes(left) => self.ready = there.min(usize::try_from(*left).unwrap_or(usize::MAX)),
            BodyLeft::UntilClose => self.ready = there,
            BodyLeft::Trailers(_) => {}
            BodyLeft::Chunks(chunks) => {
                let run = chunks.run(self.buf.filled_mut())?;
                self.buf.consume(run.skip);
                self.buf.close(run.data, run.used - run.skip - run.data);
                self.ready = run.data;
                // With data before it, the end is seen once that is used up.
                if run.over && run.data == 0 {
                    self.left = BodyLeft::Trailers(parse::trailers(chunks.trailer())?);
                    self.finish();
                }
            }
        }
        Ok(self.ready > 0 || self.over)
    }

    fn ended_by_peer(&mut self) -> Result<(), BodyError> {
        self.conn.spoil();
        match self.left {
            BodyLeft::UntilClose => {
                self.finish();
                Ok(())
            }
            BodyLeft::Bytes(_) | BodyLeft::Chunks(_) | BodyLeft::Trailers(_) => {
                Err(BodyError::Broken(io::ErrorKind::UnexpectedEof.into()))
            }
        }
    }

    pub(crate) fn consume(&mut self, n: usize) {
        let n = n.min(self.ready);
        self.buf.consume(n);
        self.ready -= n;
        self.passed += n as u64;
        match &mut self.left {
            BodyLeft::Bytes(left) => {
                *left -= n as u64;
                if *left == 0 {
                    self.finish();
                }
            }
            BodyLeft::Chunks(_) | BodyLeft::Trailers(_) | BodyLeft::UntilClose => {}
        }
    }

    /// Gives back what follows the body.
    fn finish(&mut self) {
        self.over = true;
        self.conn.saw_body(self.passed);
        self.conn.stream().put_ahead(std::mem::take(&mut self.buf));
    }

    pub(crate) fn trailers(&mut self) -> Option<HeadStore> {
        match &mut self.left {
            BodyLeft::Trailers(trailers) => trailers.take().map(fields::only_trailers),
            BodyLeft::Chunks(_) | BodyLeft::Bytes(_) | BodyLeft::UntilClose => None,
        }
    }
}

impl Drop for BodyReader {
    fn drop(&mut self) {
        if !self.over {
            self.conn.spoil();
        }
    }
}
