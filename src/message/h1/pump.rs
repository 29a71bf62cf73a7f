//! Sends one message: its head, then its body in the framing that the head announced.
//!
//! Head and first body bytes leave in one vectored write. Invariant: a body that breaks off is never ended as if it
//! were whole; its connection is spoilt and whoever reads it sees that the end is missing.

use std::io;
use std::io::Write as _;
use std::task::{Context, Poll, ready};

use super::conn::H1Conn;
use crate::message::body::{Body, BodyError};
use crate::message::fields;
use crate::message::head::{Framing, HeadStore};
use crate::message::scratch::Scratch;
use crate::message::splice::{Pipe, WORTH};

/// Why a message could not be sent whole, by the side that failed.
#[derive(Debug, thiserror::Error)]
pub enum PumpError {
    /// The body that was to be sent broke off.
    #[error("the body to be sent broke off")]
    Source(#[source] BodyError),
    /// The connection it was to be sent on broke.
    #[error("the connection to send on broke")]
    Sink(#[source] io::Error),
}

/// What a message on its way out is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// The body that is to be sent.
    Source,
    /// Room on the connection it is sent on.
    Sink,
}

/// Sends one message: its head, its body in its framing, its trailers.
pub struct Pump {
    /// Head, chunk framing and trailers on their way out.
    out: Scratch,
    out_at: usize,
    framing: Framing,
    /// [`Framing::Length`]: bytes yet to be sent. [`Framing::Chunked`]: of the current chunk.
    left: u64,
    /// Everything is in `out`.
    ended: bool,
    /// Something has reached the connection.
    started: bool,
    /// Since the last poll that did not finish.
    waits: Waits,
    /// Short pieces are gathered until there is nothing more at hand. Not for a message that may have to be sent again:
    /// what was gathered is gone from its body.
    gathers: bool,
    /// What has left the body and not yet reached the connection, while that is so.
    pipe: Option<Pipe>,
}

/// Up to here a copy is cheaper than a vectored write.
const SHORT: usize = 4 * 1024;
/// So much is gathered at most.
const GATHERED: usize = 16 * 1024;
/// Bytes of a body that one poll moves before others of the worker have their turn: about a third of a millisecond.
const TURN: u64 = 1024 * 1024;

impl Pump {
    /// Sends the head that `write` makes, then a body in `framing`.
    pub fn new(framing: Framing, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut out = Scratch::default();
        write(&mut out);
        let left = match framing {
            Framing::Length(bytes) => bytes,
            Framing::None | Framing::Chunked | Framing::UntilClose | Framing::Stream => 0,
        };
        Self {
            out,
            out_at: 0,
            framing,
            left,
            ended: framing == Framing::None,
            started: false,
            waits: Waits::Sink,
            gathers: false,
            pipe: None,
        }
    }

    /// Sends short pieces together; the message will not be sent again.
    #[must_use]
    pub fn gathering(self) -> Self {
        Self { gathers: true, ..self }
    }

    /// Has anything left for the peer?
    pub fn has_started(&self) -> bool {
        self.started
    }

    /// Which side kept the last poll from finishing.
    pub fn waits_for(&self) -> Waits {
        self.waits
    }

    /// Sends on; ready when the message is on its way in whole.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        conn: &H1Conn,
        body: &mut Body,
    ) -> Poll<Result<(), PumpError>> {
        self.waits = Waits::Sink;
        ready!(conn.poll_queue(cx)).map_err(PumpError::Sink)?;
        let turn = body.passed() + TURN;
        while !self.ended {
            if body.passed() >= turn {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.pipe.is_some() || self.may_splice(conn, body) {
                ready!(self.splice(cx, conn, body, turn))?;
                continue;
            }
            match body.poll_data(cx) {
                Poll::Ready(Ok(0)) => self.end(body)?,
                Poll::Ready(Ok(there)) => ready!(self.send(cx, conn, body, there))?,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.break_off(cx, conn, body, error))),
                Poll::Pending => {
                    ready!(self.poll_out(cx, conn))?;
                    self.waits = Waits::Source;
                    return Poll::Pending;
                }
            }
        }
        self.poll_out(cx, conn)
    }

    /// The message has no end. What came before the break still belongs to the peer.
    pub fn break_off(
        &mut self,
        cx: &mut Context<'_>,
        conn: &H1Conn,
        body: &mut Body,
        error: BodyError,
    ) -> PumpError {
        conn.spoil();
        let _ = self.poll_pipe(cx, conn, body);
        let _ = self.poll_out(cx, conn);
        PumpError::Source(error)
    }

    /// Is there nothing more to be had of the body?
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Everything before is on its way, and what is left is long, of a known length, and between plain sockets.
    fn may_splice(&mut self, conn: &H1Conn, body: &Body) -> bool {
        let may = self.left >= WORTH
            && matches!(self.framing, Framing::Length(_))
            && self.out.len() == self.out_at
            && conn.stream().is_plain()
            && body.splices();
        if may {
            self.pipe = Pipe::take();
        }
        self.pipe.is_some()
    }

    /// Sends on by the pipe; ready when the message has ended, what is left of it is short, or `turn` bytes of it have passed.
    fn splice(
        &mut self,
        cx: &mut Context<'_>,
        conn: &H1Conn,
        body: &mut Body,
        turn: u64,
    ) -> Poll<Result<(), PumpError>> {
        loop {
            ready!(self.poll_pipe(cx, conn, body))?;
            let goes_on = !self.ended && body.passed() < turn && body.splices();
            let Some(pipe) = self.pipe.as_mut().filter(|_| goes_on) else {
                self.pipe = None;
                return Poll::Ready(Ok(()));
            };
            match body.poll_into(cx, pipe) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.break_off(cx, conn, body, error))),
                Poll::Pending => {
                    // Empty: somebody else may need it meanwhile.
                    self.pipe = None;
                    self.waits = Waits::Source;
                    return Poll::Pending;
                }
            }
        }
    }

    /// Empties the pipe into the connection.
    fn poll_pipe(
        &mut self,
        cx: &mut Context<'_>,
        conn: &H1Conn,
        body: &mut Body,
    ) -> Poll<Result<(), PumpError>> {
        self.waits = Waits::Sink;
        while let Some(pipe) = self.pipe.as_mut().filter(|pipe| pipe.held() > 0) {
            let sent = ready!(conn.stream().poll_out_of(cx, pipe)).map_err(PumpError::Sink)?;
            body.spliced(sent);
            self.left = self.left.saturating_sub(sent as u64);
            self.ended = self.left == 0;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_out(&mut self, cx: &mut Context<'_>, conn: &H1Conn) -> Poll<Result<(), PumpError>> {
        while self.out_at < self.out.len() {
            let rest = self.out.get(self.out_at..).unwrap_or_default();
            self.out_at += ready!(conn.stream().poll_write(cx, rest, &[])).map_err(PumpError::Sink)?;
            self.started = true;
        }
        self.out.clear();
        self.out_at = 0;
        conn.stream().poll_flush(cx).map_err(PumpError::Sink)
    }

    fn send(
        &mut self,
        cx: &mut Context<'_>,
        conn: &H1Conn,
        body: &mut Body,
        there: usize,
    ) -> Poll<Result<(), PumpError>> {
        if self.framing == Framing::Chunked && self.left == 0 {
            self.left = there as u64;
            // Writing to a Vec cannot fail.
            let _ = write!(self.out, "{there:x}\r\n");
        }
        let most = match self.framing {
            Framing::Length(_) | Framing::Chunked => usize::try_from(self.left).unwrap_or(usize::MAX),
            Framing::None | Framing::UntilClose | Framing::Stream => usize::MAX,
        };
        let data = body.data().get(..there.min(most)).unwrap_or_default();
        if data.is_empty() {
            return Poll::Ready(Err(PumpError::Source(BodyError::TooLong)));
        }
        if self.gathers && data.len() <= SHORT && self.out.len() + data.len() <= GATHERED {
            self.out.extend_from_slice(data);
            let taken = data.len();
            self.sent(body, taken);
            return Poll::Ready(Ok(()));
        }
        let framed = self.out.len() - self.out_at;
        let polled = if framed > 0 && data.len() <= SHORT {
            let end = self.out.len();
            self.out.extend_from_slice(data);
            let polled = conn.stream().poll_write(cx, self.out.get(self.out_at..).unwrap_or_default(), &[]);
            self.out.truncate(end);
            polled
        } else {
            conn.stream().poll_write(cx, self.out.get(self.out_at..).unwrap_or_default(), data)
        };
        let written = ready!(polled).map_err(PumpError::Sink)?;
        self.started = true;
        self.out_at += written.min(framed);
        if self.out_at == self.out.len() {
            self.out.clear();
            self.out_at = 0;
        }
        self.sent(body, written.saturating_sub(framed));
        Poll::Ready(Ok(()))
    }

    fn sent(&mut self, body: &mut Body, data: usize) {
        body.consume(data);
        match self.framing {
            Framing::Length(_) => {
                self.left -= data as u64;
                self.ended = self.left == 0;
            }
            Framing::Chunked if data > 0 => {
                self.left -= data as u64;
                if self.left == 0 {
                    self.out.extend_from_slice(b"\r\n");
                }
            }
            Framing::Chunked | Framing::None | Framing::UntilClose | Framing::Stream => {}
        }
    }

    /// The body is over: finish the framing.
    fn end(&mut self, body: &mut Body) -> Result<(), PumpError> {
        self.ended = true;
        match self.framing {
            Framing::Length(_) if self.left > 0 => {
                Err(PumpError::Source(BodyError::Broken(io::ErrorKind::UnexpectedEof.into())))
            }
            Framing::Chunked => {
                self.out.extend_from_slice(b"0\r\n");
                if let Some(trailers) = body.trailers().map(fields::only_trailers) {
                    self.put_trailers(&trailers);
                }
                self.out.extend_from_slice(b"\r\n");
                Ok(())
            }
            Framing::Length(_) | Framing::None | Framing::UntilClose | Framing::Stream => Ok(()),
        }
    }

    fn put_trailers(&mut self, trailers: &HeadStore) {
        for field in &trailers.fields {
            self.out.extend_from_slice(field.name.of(&trailers.bytes));
            self.out.extend_from_slice(b": ");
            self.out.extend_from_slice(field.value.of(&trailers.bytes));
            self.out.extend_from_slice(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Read as _;

    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::message::buf::Buf;
    use crate::message::io::Io;

    const WHOLE: usize = 24 << 20;

    /// A connection of ours, and the peer's end of it.
    async fn pair() -> (std::rc::Rc<H1Conn>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let near = listener.accept().await.unwrap().0;
        (H1Conn::new(Io::Tcp(near), Buf::default(), None), far)
    }

    /// Sends a long body from peer to peer; the most that one poll moved.
    async fn most_of_one_poll(framing: Framing) -> u64 {
        let ((source, mut from), (sink, to)) = (pair().await, pair().await);
        let reader = std::thread::spawn(move || {
            let mut to = to.into_std().unwrap();
            to.set_nonblocking(false).unwrap();
            let mut read = Vec::new();
            to.read_to_end(&mut read).unwrap();
            read.iter().map(|byte| u64::from(*byte)).sum::<u64>()
        });
        let body: Vec<u8> = (0..WHOLE).map(|at| (at % 251) as u8).collect();
        let sum: u64 = body.iter().map(|byte| u64::from(*byte)).sum();
        let writes = async {
            from.write_all(&body).await.unwrap();
            from.shutdown().await.unwrap();
        };
        let mut body = Body::h1(&source, framing);
        let (mut pump, mut most) = (Pump::new(framing, |_| ()), 0);
        let pumps = poll_fn(|cx| {
            let before = body.passed();
            let polled = pump.poll(cx, &sink, &mut body);
            most = most.max(body.passed() - before);
            polled
        });
        let ((), pumped) = tokio::join!(writes, pumps);
        pumped.unwrap();
        drop(sink);
        assert_eq!(reader.join().unwrap(), sum, "every byte");
        most
    }

    #[tokio::test]
    async fn a_long_body_lets_others_have_their_turn() {
        for framing in [Framing::Length(WHOLE as u64), Framing::UntilClose] {
            let most = most_of_one_poll(framing).await;
            assert!(most < TURN + (256 << 10), "{framing:?}: {most} bytes in one poll");
        }
    }
}
