//! A body that comes by an HTTP/2 stream.

use std::rc::Rc;
use std::task::{Context, Poll};

use super::stream::{H2Stream, StreamError};
use crate::message::body::BodyError;
use crate::message::buf::Buf;
use crate::message::head::{Framing, HeadStore};

/// A body that comes by an HTTP/2 stream.
pub struct Streamed {
    stream: Rc<H2Stream>,
    current: Buf,
    framing: Framing,
    over: bool,
}

impl Streamed {
    /// The body that follows a head with `framing`.
    pub fn new(stream: Rc<H2Stream>, framing: Framing) -> Self {
        let over = matches!(framing, Framing::None);
        Self { stream, current: Buf::default(), framing, over }
    }

    /// The stream that it comes by.
    pub fn stream(&self) -> &Rc<H2Stream> {
        &self.stream
    }

    pub(in crate::message) fn framing(&self) -> Framing {
        self.framing
    }

    pub(in crate::message) fn is_over(&self) -> bool {
        self.current.is_empty() && (self.over || self.is_read_up())
    }

    fn is_read_up(&self) -> bool {
        self.stream.with(|state, key| {
            state.streams.get(key).is_some_and(|stream| stream.ended && stream.received.is_empty())
        })
    }

    /// Is the rest of it read already?
    pub(in crate::message) fn is_whole(&self) -> bool {
        self.over || self.stream.with(|state, key| state.streams.get(key).is_some_and(|stream| stream.ended))
    }

    /// Are the next `n` bytes the last?
    pub(in crate::message) fn ends_after(&self, n: usize) -> bool {
        n == self.current.len()
            && self.stream.with(|state, key| {
                state.streams.get(key).is_some_and(|stream| {
                    stream.ended && stream.received.is_empty() && stream.trailers.is_none()
                })
            })
    }

    pub(in crate::message) fn data(&self) -> &[u8] {
        self.current.filled()
    }

    pub(in crate::message) fn consume(&mut self, n: usize) {
        let n = n.min(self.current.len());
        self.current.consume(n);
        let left = self.current.len();
        self.current.fit();
        self.current.rest();
        self.stream.used(n, left);
    }

    pub(in crate::message) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, BodyError>> {
        if !self.current.is_empty() || self.over {
            return Poll::Ready(Ok(self.current.len()));
        }
        let next = self.stream.with(|state, key| {
            let gone = state.why_gone(key);
            let Some(stream) = state.streams.get_mut(key) else { return Poll::Ready(Ok(None)) };
            if let Some(buf) = stream.received.pop_front() {
                return Poll::Ready(Ok(Some(buf)));
            }
            if stream.ended {
                return Poll::Ready(Ok(None));
            }
            if let Some(error) = gone {
                return Poll::Ready(Err(match error {
                    StreamError::Reset(_) | StreamError::Refused => BodyError::Reset,
                    StreamError::Broken | StreamError::Unsent => {
                        BodyError::Broken(std::io::ErrorKind::ConnectionReset.into())
                    }
                }));
            }
            stream.reader = Some(cx.waker().clone());
            Poll::Pending
        });
        match std::task::ready!(next)? {
            Some(buf) => self.current = buf,
            None => self.over = true,
        }
        Poll::Ready(Ok(self.current.len()))
    }

    pub(in crate::message) fn trailers(&mut self) -> Option<HeadStore> {
        self.stream.with(|state, key| state.streams.get_mut(key)?.trailers.take())
    }
}
