//! One HTTP/1.1 connection, in either role, owned by one task: heads, over a [`ByteStream`].
//!
//! Several parts of that task hold it (the body being read, the body being sent), so its insides are cells; they are
//! borrowed for the length of one poll. Invariant: while no message is being read, bytes read ahead are in the stream;
//! while a body is being read, its [`super::reader::BodyReader`] has them.

use std::any::Any;
use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

pub use super::HeadError;
use super::parse::{self, HeadLimits, Parsed};
use crate::message::account::{self, Abort};
use crate::message::buf::{self, Buf, SHORT, SIZE};
use crate::message::fields;
use crate::message::head::{Method, RequestHead, ResponseHead};
use crate::message::io::Io;
use crate::message::stream::ByteStream;

/// Empty lines that may stand before a request.
const MOST_EMPTY_LINES: u8 = 2;

/// A connection that speaks HTTP/1.1, one message after the other.
pub struct H1Conn {
    stream: ByteStream,
    /// Interim responses that are yet to be written, where there are any.
    queue: Cell<Option<Box<Buf>>>,
    /// Not to be used for another message.
    spoilt: Cell<bool>,
    /// The last body that came was long: the next read makes room for another.
    long: Cell<bool>,
    /// The body of the answer that comes next is not taken yet.
    short: Cell<bool>,
    /// Of the head that is being read: bytes that were there when it was parsed last, and when its end was looked for.
    partial: Cell<(u32, u32)>,
    /// Empty lines that were read over before the head that is being read.
    empty_lines: Cell<u8>,
    /// How long the peer keeps it when it is idle, as it said last.
    said: Cell<Option<Duration>>,
}

impl std::fmt::Debug for H1Conn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("H1Conn").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl Abort for H1Conn {
    /// Closes with a reset, so that the peer can tell that the message was not whole.
    fn abort(&self) {
        self.spoil();
        self.stream.abort();
    }
}

impl H1Conn {
    /// Over `io`, of which `ahead` was already read. `slot` is dropped with the connection.
    pub fn new(io: Io, ahead: Buf, slot: Option<Box<dyn Any>>) -> Rc<Self> {
        Rc::new(Self {
            stream: ByteStream::new(io, ahead, slot),
            queue: Cell::default(),
            spoilt: Cell::new(false),
            long: Cell::new(false),
            short: Cell::new(false),
            partial: Cell::new((0, 0)),
            empty_lines: Cell::new(0),
            said: Cell::new(None),
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

    /// The stream of bytes that it reads and writes.
    pub fn stream(&self) -> &ByteStream {
        &self.stream
    }

    /// Waits for the first byte of a message (or the end of the stream, which gives `false`).
    pub fn poll_first_byte(&self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        self.stream.poll_first_byte(cx, self.first_read())
    }

    /// Takes the stream and what was read ahead, for another protocol, and the slot: the connection counts for as long
    /// as that is spoken. `None` while a part of the task still holds the connection.
    pub fn into_io(self: Rc<Self>) -> Option<(Io, Option<Box<dyn Any>>)> {
        Some(Rc::into_inner(self)?.stream.into_io())
    }

    /// Bytes of the first read of a message: its head, and with luck all of it.
    fn first_read(&self) -> usize {
        match (self.short.get(), self.long.get()) {
            (true, _) => SHORT,
            (false, true) => buf::room(),
            (false, false) => SIZE,
        }
    }

    /// Whoever waits for the next answer takes next to nothing of its body: not much more than its head is read before
    /// the body is asked for.
    pub fn reads_short(&self) {
        self.short.set(true);
    }

    pub(super) fn saw_body(&self, bytes: u64) {
        self.long.set(bytes > (SIZE / 2) as u64);
    }

    /// How long the peer keeps an idle connection, as it said last.
    pub fn said(&self) -> Option<Duration> {
        self.said.get()
    }

    /// The peer says so of itself in the head of an answer; one that says nothing changes nothing.
    pub fn hear(&self, head: &ResponseHead) {
        self.said.set(fields::keep_alive_timeout(&head.store).or(self.said.get()));
    }

    /// Reads a request head. A few empty lines before it are read over (RFC 9112 section 2.2), however they come.
    pub fn poll_request(
        &self,
        cx: &mut Context<'_>,
        limits: HeadLimits,
    ) -> Poll<Result<RequestHead, HeadError>> {
        let mut ahead = self.stream.ahead();
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
        let mut ahead = self.stream.ahead();
        loop {
            if self.is_worth_parsing(ahead.filled(), limits) {
                match parse::response(ahead.filled(), limits, asked)? {
                    Parsed::Whole(mut head, len) => {
                        self.short.set(false);
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

    /// Is there a new reason to parse what is there of a head? The first bytes, its end, its bound, or twice as many
    /// bytes as last time: a head that comes byte by byte costs no more than a few times its length.
    fn is_worth_parsing(&self, there: &[u8], limits: HeadLimits) -> bool {
        let (parsed, searched) = self.partial.get();
        let (parsed, searched) = (parsed as usize, searched as usize);
        let fresh = there.get(searched.saturating_sub(2)..).unwrap_or_default();
        let worth = !there.is_empty()
            && (parsed == 0 || there.len() >= (2 * parsed).min(limits.bytes) || ends_a_head(fresh));
        let place = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        self.partial.set((place(if worth { there.len() } else { parsed }), place(there.len())));
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
        match self.stream.poll_fill(cx, ahead, room) {
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

    /// Puts an interim response before whatever is written next.
    pub fn queue(&self, bytes: &[u8]) {
        let mut queue = self.queue.take().unwrap_or_default();
        queue.put(bytes);
        self.queue.set(Some(queue));
    }

    /// Writes what was queued.
    pub fn poll_queue(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(mut queue) = self.queue.take() else { return Poll::Ready(Ok(())) };
        while !queue.is_empty() {
            match self.stream.poll_write(cx, queue.filled(), &[]) {
                Poll::Ready(written) => queue.consume(written?),
                Poll::Pending => {
                    self.queue.set(Some(queue));
                    return Poll::Pending;
                }
            }
        }
        self.stream.poll_flush(cx)
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
        conn.partial.set((64 * 1024 - 1, 64 * 1024 - 1));
        assert!(conn.is_worth_parsing(&full, limits), "its bound is found out");
    }

    #[test]
    fn what_a_peer_says_of_its_patience_holds_until_it_says_otherwise() {
        let (_, io) = tokio::io::duplex(64);
        let conn = H1Conn::new(Io::Boxed(Box::new(io)), Buf::default(), None);
        for (value, said) in
            [(None, None), (Some("timeout=5"), Some(5)), (None, Some(5)), (Some("timeout=2"), Some(2))]
        {
            let mut head = ResponseHead::own(200, crate::message::head::Framing::None);
            value.into_iter().for_each(|value: &str| head.store.push(b"keep-alive", value.as_bytes()));
            conn.hear(&head);
            assert_eq!(conn.said().map(|said| said.as_secs()), said);
        }
    }
}
