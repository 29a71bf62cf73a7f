//! A stream of bytes below the codecs: what it runs over, what was read ahead of it, whom it counts for.
//!
//! HTTP/1.1 is [`super::h1::conn::H1Conn`] over it; a tunnel, and whatever speaks another protocol, uses it as it is.
//! Several parts of one task hold it, so its insides are cells; they are borrowed for the length of one poll.

use std::any::Any;
use std::cell::{Cell, RefCell, RefMut};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::AsyncWrite;

use super::account::Abort;
use super::buf::{Buf, SIZE};
use super::io::{Io, IoReadiness, Rewound};
use super::splice::Pipe;

/// Bytes both ways, with those that were read ahead.
pub struct ByteStream {
    io: RefCell<Io>,
    ahead: RefCell<Buf>,
    /// The peer has ended its side.
    left: Cell<bool>,
    /// Counts the connection where it is limited, until it is gone.
    slot: Cell<Option<Box<dyn Any>>>,
}

impl std::fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ByteStream").field("io", &self.io).finish_non_exhaustive()
    }
}

impl ByteStream {
    /// Over `io`, of which `ahead` was already read. `slot` is dropped with the stream.
    pub fn new(io: Io, ahead: Buf, slot: Option<Box<dyn Any>>) -> Self {
        Self {
            io: RefCell::new(io),
            ahead: RefCell::new(ahead),
            left: Cell::new(false),
            slot: Cell::new(slot),
        }
    }

    /// The bytes read ahead, while a head is looked for in them. Borrowed: give it back before anything else is asked.
    pub(super) fn ahead(&self) -> RefMut<'_, Buf> {
        self.ahead.borrow_mut()
    }

    /// Bytes read ahead of whoever reads?
    pub fn has_ahead(&self) -> bool {
        !self.ahead.borrow().is_empty()
    }

    /// Is an idle stream still open and silent, as far as whoever is asked knows? What stands on it that nobody asked
    /// for (a 408, an alert) is not read as a message: such a connection is done with.
    pub fn is_quiet(&self, ask: IoReadiness) -> bool {
        let mut ahead = self.ahead.borrow_mut();
        let mut io = self.io.borrow_mut();
        let stirs = io.stirs(ask);
        if !ahead.is_empty() || (stirs == Some(true) && matches!(*io, Io::Tcp(_))) {
            return false;
        }
        if matches!(*io, Io::Tcp(_)) {
            return true;
        }
        // TLS speaks of itself, too: tickets and new keys are no reason to give a connection up.
        let read = io.poll_fill(&mut Context::from_waker(Waker::noop()), &mut ahead, SIZE);
        let quiet = read.is_pending() && !(stirs == Some(true) && io.stirs(ask) == Some(true));
        ahead.rest();
        quiet
    }

    /// Waits for the first byte (or the end of the stream, which gives `false`), with a read of `room` bytes.
    pub fn poll_first_byte(&self, cx: &mut Context<'_>, room: usize) -> Poll<io::Result<bool>> {
        let mut ahead = self.ahead.borrow_mut();
        if !ahead.is_empty() {
            return Poll::Ready(Ok(true));
        }
        match self.io.borrow_mut().poll_fill(cx, &mut ahead, room) {
            Poll::Ready(read) => Poll::Ready(read.map(|n| n > 0)),
            Poll::Pending => {
                ahead.rest();
                Poll::Pending
            }
        }
    }

    /// Has the peer ended its side, though nothing more was asked of it? An error: it is gone. Bytes of a next message
    /// that are there already hide the end until they are read.
    pub fn poll_left(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.left.get() {
            return Poll::Ready(Ok(()));
        }
        let mut ahead = self.ahead.borrow_mut();
        if !ahead.is_empty() {
            return Poll::Pending;
        }
        let read = self.io.borrow_mut().poll_fill(cx, &mut ahead, SIZE);
        if ahead.is_empty() {
            ahead.rest();
        }
        match ready!(read)? {
            0 => {
                self.left.set(true);
                Poll::Ready(Ok(()))
            }
            _ => Poll::Pending,
        }
    }

    /// Looks at the bytes read ahead.
    pub fn peek<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        look(self.ahead.borrow().filled())
    }

    /// Reads more bytes ahead, up to `limit` in all; 0 at the end of the stream.
    pub fn poll_more(&self, cx: &mut Context<'_>, limit: usize) -> Poll<io::Result<usize>> {
        let mut ahead = self.ahead.borrow_mut();
        let read = self.io.borrow_mut().poll_fill(cx, &mut ahead, limit);
        ahead.rest();
        read
    }

    /// Reads into a buffer that somebody else holds, up to `limit` bytes in all.
    pub fn poll_fill(&self, cx: &mut Context<'_>, buf: &mut Buf, limit: usize) -> Poll<io::Result<usize>> {
        self.io.borrow_mut().poll_fill(cx, buf, limit)
    }

    /// Takes what was read ahead.
    pub fn take_ahead(&self) -> Buf {
        self.ahead.take()
    }

    /// Puts back what is to be read next.
    pub fn put_ahead(&self, mut buf: Buf) {
        buf.rest();
        self.ahead.replace(buf);
    }

    /// It counts for something else from now on.
    pub fn counts_for(&self, slot: Box<dyn Any>) {
        self.slot.set(Some(slot));
    }

    /// The stream below, with what was read ahead before it, and the slot.
    pub fn into_io(self) -> (Io, Option<Box<dyn Any>>) {
        let rewound = Rewound { ahead: self.ahead.into_inner(), io: self.io.into_inner() };
        (Io::Rewound(Box::new(rewound)), self.slot.into_inner())
    }

    /// Writes; vectored, so that a head and the start of its body are one system call.
    pub fn poll_write(&self, cx: &mut Context<'_>, first: &[u8], then: &[u8]) -> Poll<io::Result<usize>> {
        let mut io = self.io.borrow_mut();
        let io = Pin::new(&mut *io);
        let written = match (first.is_empty(), then.is_empty()) {
            (_, true) => ready!(io.poll_write(cx, first))?,
            (true, false) => ready!(io.poll_write(cx, then))?,
            (false, false) => {
                ready!(io.poll_write_vectored(cx, &[io::IoSlice::new(first), io::IoSlice::new(then)]))?
            }
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        Poll::Ready(Ok(written))
    }

    /// Plain TCP: its bytes may go past this process.
    pub(super) fn is_plain(&self) -> bool {
        matches!(*self.io.borrow(), Io::Tcp(_))
    }

    /// Moves at most `most` bytes of a plain stream, of which nothing was read ahead, into an empty `pipe`; 0 at its end.
    pub(super) fn poll_into(
        &self,
        cx: &mut Context<'_>,
        pipe: &mut Pipe,
        most: u64,
    ) -> Poll<io::Result<usize>> {
        self.io.borrow_mut().poll_into(cx, pipe, most)
    }

    /// Moves what is in `pipe` to a plain stream; the number of bytes.
    pub(super) fn poll_out_of(&self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<io::Result<usize>> {
        self.io.borrow_mut().poll_out_of(cx, pipe)
    }

    /// Sends on what a TLS session still holds.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io.borrow_mut()).poll_flush(cx)
    }

    /// Ends our side of the stream.
    pub fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io.borrow_mut()).poll_shutdown(cx)
    }

    /// Reads and forgets; the number of bytes.
    pub fn poll_discard(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut ahead = self.ahead.borrow_mut();
        let there = ahead.len();
        ahead.consume(there);
        let read = self.io.borrow_mut().poll_fill(cx, &mut ahead, SIZE);
        let there = ahead.len();
        ahead.consume(there);
        ahead.rest();
        read
    }

    /// Writes what was read ahead to another connection; the number of bytes it took.
    pub fn poll_pass(&self, cx: &mut Context<'_>, to: &Self) -> Poll<io::Result<usize>> {
        let mut ahead = self.ahead.borrow_mut();
        let mut passed = 0;
        while !ahead.is_empty() {
            let n = match to.poll_write(cx, ahead.filled(), &[]) {
                Poll::Ready(written) => written?,
                Poll::Pending => return if passed > 0 { Poll::Ready(Ok(passed)) } else { Poll::Pending },
            };
            ahead.consume(n);
            passed += n;
        }
        ahead.rest();
        Poll::Ready(Ok(passed))
    }
}

impl Abort for ByteStream {
    fn abort(&self) {
        self.io.borrow().abort();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn pair() -> (std::net::TcpStream, ByteStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let near = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (far, _) = listener.accept().unwrap();
        (far, ByteStream::new(Io::Tcp(near), Buf::default(), None))
    }

    /// Lets the reactor hear what has happened.
    async fn told(stream: &ByteStream) {
        poll_fn(|cx| match &*stream.io.borrow() {
            Io::Tcp(tcp) => tcp.poll_read_ready(cx),
            Io::Boxed(_) | Io::Layered(_) | Io::Rewound(..) => unreachable!("it is TCP"),
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn an_end_that_came_this_very_moment_is_known_to_the_kernel_alone() {
        let (far, stream) = pair().await;
        assert!(stream.is_quiet(IoReadiness::Reactor) && stream.is_quiet(IoReadiness::Kernel));
        drop(far);
        assert!(stream.is_quiet(IoReadiness::Reactor), "it cannot know yet, or the test proves nothing");
        assert!(!stream.is_quiet(IoReadiness::Kernel));
        told(&stream).await;
        assert!(!stream.is_quiet(IoReadiness::Reactor));
    }

    #[tokio::test]
    async fn what_nobody_asked_for_is_seen_and_stays_unread() {
        use std::io::Write as _;
        let (mut far, stream) = pair().await;
        far.write_all(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n").unwrap();
        assert!(!stream.is_quiet(IoReadiness::Kernel));
        told(&stream).await;
        assert!(!stream.is_quiet(IoReadiness::Reactor));
        assert!(!stream.has_ahead());
    }

    #[tokio::test]
    async fn a_reset_is_seen() {
        let (far, stream) = pair().await;
        socket2::SockRef::from(&far).set_linger(Some(Duration::ZERO)).unwrap();
        drop(far);
        assert!(!stream.is_quiet(IoReadiness::Kernel));
    }

    #[tokio::test]
    async fn a_stream_without_a_socket_is_looked_at_by_reading() {
        let (mut far, io) = tokio::io::duplex(64);
        let stream = ByteStream::new(Io::Boxed(Box::new(io)), Buf::default(), None);
        assert!(stream.is_quiet(IoReadiness::Kernel));
        far.write_all(b"x").await.unwrap();
        assert!(!stream.is_quiet(IoReadiness::Kernel));
        assert!(
            !stream.is_quiet(IoReadiness::Kernel),
            "what was read does not come again, and is still not quiet"
        );
    }
}
