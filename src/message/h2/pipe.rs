//! A stream of an HTTP/2 connection as bytes both ways: what CONNECT makes of it (RFC 9113 section 8.5, RFC 8441).

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::incoming::Streamed;
use super::stream::{H2Stream, StreamError, Then};
use crate::message::body::BodyError;
use crate::message::head::Framing;

/// The bytes of a stream whose heads have passed.
pub struct H2Pipe {
    stream: Rc<H2Stream>,
    came: Streamed,
}

impl H2Pipe {
    /// Reads and writes DATA of `stream`.
    pub fn new(stream: Rc<H2Stream>) -> Self {
        Self { came: Streamed::new(Rc::clone(&stream), Framing::Stream), stream }
    }
}

fn broken(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}

impl AsyncRead for H2Pipe {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let came = &mut self.get_mut().came;
        let there = ready!(came.poll_data(cx)).map_err(|error: BodyError| broken(error))?;
        let n = there.min(buf.remaining());
        buf.put_slice(came.data().get(..n).unwrap_or_default());
        came.consume(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for H2Pipe {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.stream.is_finished() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = ready!(self.stream.poll_room(cx)).map_err(|error: StreamError| broken(error))?;
        let n = room.min(bytes.len());
        self.stream.send(bytes.get(..n).unwrap_or_default(), Then::More);
        Poll::Ready(Ok(n))
    }

    /// What was written is with the connection, which sends it by itself.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.send(&[], Then::End);
        Poll::Ready(Ok(()))
    }
}
