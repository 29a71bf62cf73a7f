//! One HTTP/1.1 connection, in either role, owned by one task.
//!
//! Several parts of that task hold it (the body being read, the body being sent), so its insides are cells; they are
//! borrowed for the length of one poll. Invariant: while no message is being read, bytes read ahead are in `ahead`;
//! while a body is being read, its [`super::reader::BodyReader`] has them.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::AsyncWrite;

pub use super::HeadError;
use super::parse::{self, HeadLimits, Parsed};
use super::reader::BodyReader;
use crate::message::account;
use crate::message::body::Body;
use crate::message::buf::{self, Buf, SIZE};
use crate::message::fields;
use crate::message::head::{Framing, Method, RequestHead, ResponseHead};
use crate::message::io::{Io, IoReadiness};

/// Empty lines that may stand before a request.
const MOST_EMPTY_LINES: u8 = 2;

/// One connection.
pub struct H1Conn {
    io: RefCell<Io>,
    ahead: RefCell<Buf>,
    /// Interim responses that are yet to be written.
    queue: RefCell<Buf>,
    /// Not to be used for another message.
    spoilt: Cell<bool>,
    /// The peer has ended its side.
    left: Cell<bool>,
    /// The last body that came was long: the next read makes room for another.
    long: Cell<bool>,
    /// Of the head that is being read: bytes that were there when it was parsed last, and when its end was looked for.
    partial: Cell<(usize, usize)>,
    /// Empty lines that were read over before the head that is being read.
    empty_lines: Cell<u8>,
    /// How long the peer keeps it when it is idle, as it said last.
    said: Cell<Option<Duration>>,
    /// Counts the connection where it is limited, until it is gone.
    slot: RefCell<Option<Box<dyn Any>>>,
}

impl H1Conn {
    /// Over `io`, of which `ahead` was already read. `slot` is dropped with the connection.
    pub fn new(io: Io, ahead: Buf, slot: Option<Box<dyn Any>>) -> Rc<Self> {
        Rc::new(Self {
            io: RefCell::new(io),
            ahead: RefCell::new(ahead),
            queue: RefCell::default(),
            spoilt: Cell::new(false),
            left: Cell::new(false),
            long: Cell::new(false),
            partial: Cell::new((0, 0)),
            empty_lines: Cell::new(0),
            said: Cell::new(None),
            slot: RefCell::new(slot),
        })
    }

    /// May another message follow on this connection?
    pub fn is_reusable(&self) -> bool {
        !self.spoilt.get()
    }

    /// No other message may follow.
    pub fn spoil(&self) {
        self.spoilt.set(true);
    }

    /// Bytes of the first read of a message: its head, and with luck all of it.
    fn first_read(&self) -> usize {
        if self.long.get() { buf::room() } else { SIZE }
    }

    pub(super) fn saw_body(&self, bytes: u64) {
        self.long.set(bytes > (SIZE / 2) as u64);
    }

    /// Bytes read ahead of the message at hand?
    pub fn has_ahead(&self) -> bool {
        !self.ahead.borrow().is_empty()
    }

    /// Is an idle connection still open and silent, as far as whoever is asked knows? What stands on it that nobody asked
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

    /// How long the peer keeps an idle connection, as it said last.
    pub fn said(&self) -> Option<Duration> {
        self.said.get()
    }

    /// The peer says so of itself in the head of an answer; one that says nothing changes nothing.
    pub fn hear(&self, head: &ResponseHead) {
        self.said.set(fields::keep_alive_timeout(&head.store).or(self.said.get()));
    }

    /// Waits for the first byte of a message (or the end of the stream, which gives `false`).
    pub fn poll_first_byte(&self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut ahead = self.ahead.borrow_mut();
        if !ahead.is_empty() {
            return Poll::Ready(Ok(true));
        }
        match self.io.borrow_mut().poll_fill(cx, &mut ahead, self.first_read()) {
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

    /// Reads into a buffer that a body reader holds.
    pub(super) fn poll_fill(
        &self,
        cx: &mut Context<'_>,
        buf: &mut Buf,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        self.io.borrow_mut().poll_fill(cx, buf, limit)
    }

    pub(super) fn take_ahead(&self) -> Buf {
        self.ahead.take()
    }

    pub(super) fn put_ahead(&self, mut buf: Buf) {
        buf.rest();
        self.ahead.replace(buf);
    }

    /// It counts for something else from now on.
    pub fn counts_for(&self, slot: Box<dyn Any>) {
        self.slot.replace(Some(slot));
    }

    /// Takes the stream and what was read ahead, for another protocol, and the slot: the connection counts for as long
    /// as that is spoken. `None` while a part of the task still holds the connection.
    pub fn into_io(self: Rc<Self>) -> Option<(Io, Option<Box<dyn Any>>)> {
        let conn = Rc::into_inner(self)?;
        Some((Io::Rewound(conn.ahead.into_inner(), Box::new(conn.io.into_inner())), conn.slot.into_inner()))
    }

    /// Reads a request head. A few empty lines before it are read over (RFC 9112 section 2.2), however they come.
    pub fn poll_request(
        &self,
        cx: &mut Context<'_>,
        limits: HeadLimits,
    ) -> Poll<Result<RequestHead, HeadError>> {
        let mut ahead = self.ahead.borrow_mut();
        loop {
            while self.empty_lines.get() < MOST_EMPTY_LINES && ahead.filled().starts_with(b"\r\n") {
                ahead.consume(2);
                self.empty_lines.set(self.empty_lines.get() + 1);
            }
            // A lone CR may be half of an empty line.
            if ahead.filled() != b"\r" && self.is_worth_parsing(ahead.filled(), limits) {
                match parse::request(ahead.filled(), limits)? {
                    Parsed::Whole(mut head, len) => {
                        head.store.count();
                        ahead.consume(len);
                        self.partial.set((0, 0));
                        self.empty_lines.set(0);
                        return Poll::Ready(Ok(head));
                    }
                    Parsed::Partial => {}
                }
            }
            if ahead.len() >= SIZE && !account::may_grow() {
                return Poll::Ready(Err(HeadError::NoMemory));
            }
            ready!(self.poll_head_bytes(cx, &mut ahead, limits))?;
        }
    }

    /// Reads a response head, interim or final.
    pub fn poll_response(
        &self,
        cx: &mut Context<'_>,
        limits: HeadLimits,
        asked: Method,
    ) -> Poll<Result<ResponseHead, HeadError>> {
        let mut ahead = self.ahead.borrow_mut();
        loop {
            if self.is_worth_parsing(ahead.filled(), limits) {
                match parse::response(ahead.filled(), limits, asked)? {
                    Parsed::Whole(mut head, len) => {
                        head.store.count();
                        ahead.consume(len);
                        self.partial.set((0, 0));
                        return Poll::Ready(Ok(head));
                    }
                    Parsed::Partial => {}
                }
            }
            ready!(self.poll_head_bytes(cx, &mut ahead, limits))?;
        }
    }

    /// Is there a new reason to parse what is there of a head? The first bytes, its end, its bound, or twice as many bytes as last
    /// time: a head that comes byte by byte costs no more than a few times its length.
    fn is_worth_parsing(&self, there: &[u8], limits: HeadLimits) -> bool {
        let (parsed, searched) = self.partial.get();
        let fresh = there.get(searched.saturating_sub(2)..).unwrap_or_default();
        let worth = !there.is_empty()
            && (parsed == 0 || there.len() >= (2 * parsed).min(limits.bytes) || ends_a_head(fresh));
        self.partial.set((if worth { there.len() } else { parsed }, there.len()));
        worth
    }

    fn poll_head_bytes(
        &self,
        cx: &mut Context<'_>,
        ahead: &mut Buf,
        limits: HeadLimits,
    ) -> Poll<Result<(), HeadError>> {
        let had = ahead.len();
        let room = if had == 0 { self.first_read() } else { limits.bytes.max(self.first_read()) };
        match self.io.borrow_mut().poll_fill(cx, ahead, room) {
            Poll::Ready(Ok(0)) if had == 0 => Poll::Ready(Err(HeadError::Closed)),
            Poll::Ready(Ok(0)) => Poll::Ready(Err(HeadError::Truncated)),
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(HeadError::Io(error))),
            Poll::Pending => {
                ahead.rest();
                Poll::Pending
            }
        }
    }

    /// The body that follows a head just read, framed as the head said.
    pub fn body(self: &Rc<Self>, framing: Framing) -> Body {
        match framing {
            Framing::None | Framing::Stream => Body::empty(),
            Framing::Length(0) => Body::empty(),
            Framing::Length(_) | Framing::Chunked | Framing::UntilClose => {
                Body::h1(BodyReader::new(Rc::clone(self), framing))
            }
        }
    }

    /// Writes; vectored, so that a head and the start of its body are one system call.
    pub fn poll_write(&self, cx: &mut Context<'_>, first: &[u8], then: &[u8]) -> Poll<io::Result<usize>> {
        let mut io = self.io.borrow_mut();
        let io = std::pin::Pin::new(&mut *io);
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

    /// Sends on what a TLS session still holds.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::pin::Pin::new(&mut *self.io.borrow_mut()).poll_flush(cx)
    }

    /// Ends our side of the stream.
    pub fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::pin::Pin::new(&mut *self.io.borrow_mut()).poll_shutdown(cx)
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

    /// Closes with a reset, so that the peer can tell that the message was not whole.
    pub fn abort(&self) {
        self.spoil();
        self.io.borrow().abort();
    }

    /// Puts an interim response before whatever is written next.
    pub fn queue(&self, bytes: &[u8]) {
        self.queue.borrow_mut().put(bytes);
    }

    /// Writes what was queued.
    pub fn poll_queue(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut queue = self.queue.borrow_mut();
        if queue.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while !queue.is_empty() {
            let n = ready!(self.poll_write(cx, queue.filled(), &[]))?;
            queue.consume(n);
        }
        queue.rest();
        self.poll_flush(cx)
    }
}

/// Is there an empty line after another line's end?
fn ends_a_head(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, b"\n\n").is_some() || memchr::memmem::find(bytes, b"\n\r\n").is_some()
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn empty_lines_before_a_request_are_read_over_however_they_come() {
        let limits = HeadLimits { bytes: 8 * 1024, fields: 100 };
        for (lines, good) in [("", true), ("\r\n", true), ("\r\n\r\n", true), ("\r\n\r\n\r\n", false)] {
            let request = format!("{lines}GET / HTTP/1.0\r\n\r\n");
            for piece in 1..=request.len() {
                let (mut client, io) = tokio::io::duplex(piece);
                let conn = H1Conn::new(Io::Boxed(Box::new(io)), Buf::default(), None);
                let sent = async {
                    client.write_all(request.as_bytes()).await.unwrap();
                    std::future::pending::<()>().await;
                };
                let read = tokio::select! {
                    biased;
                    read = poll_fn(|cx| conn.poll_request(cx, limits)) => read,
                    () = sent => unreachable!(),
                };
                assert_eq!(read.is_ok(), good, "{lines:?} in pieces of {piece}");
            }
        }
    }

    /// Parsing it anew with every byte would look at a thousand million of them.
    #[tokio::test]
    async fn a_long_head_that_comes_byte_by_byte_is_parsed_a_few_times() {
        let limits = HeadLimits { bytes: 64 * 1024, fields: 100 };
        let conn = H1Conn::new(Io::Boxed(Box::new(tokio::io::empty())), Buf::default(), None);
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(40_000));
        let parsed =
            (1..=head.len()).filter(|there| conn.is_worth_parsing(&head.as_bytes()[..*there], limits));
        let parsed: Vec<usize> = parsed.collect();
        assert_eq!(parsed.last(), Some(&head.len()), "as soon as its end is there");
        assert!(parsed.len() < 20, "{parsed:?}");
        let full = vec![b'x'; limits.bytes];
        conn.partial.set((limits.bytes - 1, limits.bytes - 1));
        assert!(conn.is_worth_parsing(&full, limits), "its bound is found out");
    }

    async fn pair() -> (std::net::TcpStream, Rc<H1Conn>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let near = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (far, _) = listener.accept().unwrap();
        (far, H1Conn::new(Io::Tcp(near), Buf::default(), None))
    }

    /// Lets the reactor hear what has happened.
    async fn told(conn: &H1Conn) {
        poll_fn(|cx| match &*conn.io.borrow() {
            Io::Tcp(tcp) => tcp.poll_read_ready(cx),
            Io::Boxed(_) | Io::Layered(_) | Io::Rewound(..) => unreachable!("it is TCP"),
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn an_end_that_came_this_very_moment_is_known_to_the_kernel_alone() {
        let (far, conn) = pair().await;
        assert!(conn.is_quiet(IoReadiness::Reactor) && conn.is_quiet(IoReadiness::Kernel));
        drop(far);
        assert!(conn.is_quiet(IoReadiness::Reactor), "it cannot know yet, or the test proves nothing");
        assert!(!conn.is_quiet(IoReadiness::Kernel));
        told(&conn).await;
        assert!(!conn.is_quiet(IoReadiness::Reactor));
    }

    #[tokio::test]
    async fn what_nobody_asked_for_is_seen_and_stays_unread() {
        use std::io::Write as _;
        let (mut far, conn) = pair().await;
        far.write_all(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n").unwrap();
        assert!(!conn.is_quiet(IoReadiness::Kernel));
        told(&conn).await;
        assert!(!conn.is_quiet(IoReadiness::Reactor));
        assert!(!conn.has_ahead());
    }

    #[tokio::test]
    async fn a_reset_is_seen() {
        let (far, conn) = pair().await;
        socket2::SockRef::from(&far).set_linger(Some(Duration::ZERO)).unwrap();
        drop(far);
        assert!(!conn.is_quiet(IoReadiness::Kernel));
    }

    #[tokio::test]
    async fn a_stream_without_a_socket_is_looked_at_by_reading() {
        let (mut far, io) = tokio::io::duplex(64);
        let conn = H1Conn::new(Io::Boxed(Box::new(io)), Buf::default(), None);
        assert!(conn.is_quiet(IoReadiness::Kernel));
        far.write_all(b"x").await.unwrap();
        assert!(!conn.is_quiet(IoReadiness::Kernel));
        assert!(
            !conn.is_quiet(IoReadiness::Kernel),
            "what was read does not come again, and is still not quiet"
        );
    }

    #[test]
    fn what_a_peer_says_of_its_patience_holds_until_it_says_otherwise() {
        let (_, io) = tokio::io::duplex(64);
        let conn = H1Conn::new(Io::Boxed(Box::new(io)), Buf::default(), None);
        for (value, said) in
            [(None, None), (Some("timeout=5"), Some(5)), (None, Some(5)), (Some("timeout=2"), Some(2))]
        {
            let mut head = ResponseHead::own(200, Framing::None);
            value.into_iter().for_each(|value: &str| head.store.push(b"keep-alive", value.as_bytes()));
            conn.hear(&head);
            assert_eq!(conn.said().map(|said| said.as_secs()), said);
        }
    }
}
