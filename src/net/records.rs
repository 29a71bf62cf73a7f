//! How much of an answer goes into one TLS record.
//!
//! A record is readable only when all of it is there. A full one (16 KiB) spans a dozen segments, so where the path is
//! cold the browser waits a round trip more for the first byte; records of one segment cost a header each, so for bulk
//! they waste time. Hence: the first flight of a connection, or after a pause that lets the congestion window shrink
//! (RFC 5681 section 4.1), goes out one record a segment, what follows in full records. All of the flight still leaves
//! in one system call.
//!
//! Nothing is sealed while something sealed waits for the socket: a client that does not read would have rustls keep
//! 64 KiB that no budget counts.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::runtime::clock;

/// Plain bytes in a record that fits one segment: 1500 bytes of Ethernet less IPv6 (40), TCP with timestamps (32) and
/// the record's own (22).
const SEGMENT: usize = 1_400;
/// Segments of the first flight (RFC 6928).
const FLIGHT: usize = 10;
/// A pause after which the path counts as cold: the longest first retransmission timeout (RFC 6298).
const PAUSE: Duration = Duration::from_secs(1);

/// A TLS stream that takes bytes for one record at a time.
pub trait Seals {
    /// Seals `plain` as one record, to be sent with the next write or flush; returns what it took.
    fn seal(&mut self, plain: &[u8]) -> io::Result<usize>;

    /// Does something sealed wait for the socket?
    fn is_behind(&self) -> bool;
}

/// A stream that begins with small records.
#[derive(Debug)]
pub struct SmallRecords<S> {
    stream: S,
    /// When a long write last went out.
    warm: Option<Instant>,
}

impl<S> SmallRecords<S> {
    /// Around a stream on which no answer was sent yet.
    pub fn new(stream: S) -> Self {
        Self { stream, warm: None }
    }

    pub fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: Seals> SmallRecords<S> {
    /// Seals the first flight where the path is cold; returns what it took.
    fn first_flight(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let all: usize = parts.iter().map(|part| part.len()).sum();
        if all <= SEGMENT {
            return Ok(0);
        }
        let now = clock::instant();
        let before = self.warm.replace(now);
        if before.is_some_and(|before| now.saturating_duration_since(before) < PAUSE) {
            return Ok(0);
        }
        let mut taken = 0;
        for _ in 0..FLIGHT {
            let mut record = [0; SEGMENT];
            let len = copy(parts, taken, &mut record);
            let sealed = self.stream.seal(record.get(..len).unwrap_or_default())?;
            taken += sealed;
            if sealed < SEGMENT {
                break;
            }
        }
        Ok(taken)
    }
}

/// Copies what comes after the first `skip` bytes of `parts`; returns how much it was.
fn copy(parts: &[IoSlice<'_>], mut skip: usize, room: &mut [u8]) -> usize {
    let mut len = 0;
    for part in parts {
        let rest = part.get(skip..).unwrap_or_default();
        skip = skip.saturating_sub(part.len());
        let fits = rest.len().min(room.len() - len);
        if let (Some(to), Some(from)) = (room.get_mut(len..len + fits), rest.get(..fits)) {
            to.copy_from_slice(from);
        }
        len += fits;
    }
    len
}

impl<S: AsyncRead + Unpin> AsyncRead for SmallRecords<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, room)
    }
}

impl<S: AsyncWrite + Seals + Unpin> AsyncWrite for SmallRecords<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.stream.is_behind() {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        }
        let first = self.first_flight(parts)?;
        let stream = Pin::new(&mut self.stream);
        if first == 0 {
            return stream.poll_write_vectored(cx, parts);
        }
        let mut skip = first;
        let rest = parts.iter().find_map(|part| {
            let rest = part.get(skip..).filter(|rest| !rest.is_empty());
            skip = skip.saturating_sub(part.len());
            rest
        });
        let more = match rest {
            Some(rest) => stream.poll_write(cx, rest),
            None => stream.poll_flush(cx).map_ok(|()| 0),
        };
        // What was sealed is taken, whatever becomes of the rest.
        match more {
            Poll::Ready(more) => Poll::Ready(more.map(|more| first + more)),
            Poll::Pending => Poll::Ready(Ok(first)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::poll_fn;

    use super::*;

    /// Notes the sizes of the records.
    #[derive(Default)]
    struct Noting {
        records: RefCell<Vec<usize>>,
        bytes: Vec<u8>,
        behind: bool,
    }

    impl Seals for Noting {
        fn seal(&mut self, plain: &[u8]) -> io::Result<usize> {
            self.records.borrow_mut().push(plain.len());
            self.bytes.extend_from_slice(plain);
            Ok(plain.len())
        }

        fn is_behind(&self) -> bool {
            self.behind
        }
    }

    impl AsyncWrite for Noting {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.records.borrow_mut().push(bytes.len());
            self.bytes.extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            if self.behind { Poll::Pending } else { Poll::Ready(Ok(())) }
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    async fn send(stream: &mut SmallRecords<Noting>, head: &[u8], body: &[u8]) -> Vec<usize> {
        stream.stream.records.borrow_mut().clear();
        let all = [head, body].concat();
        let mut sent = 0;
        while sent < all.len() {
            let cut = head.len().max(sent);
            let parts = [IoSlice::new(&all[sent..cut]), IoSlice::new(&all[cut..])];
            sent +=
                poll_fn(|cx| Pin::new(&mut *stream).poll_write_vectored(cx, &parts)).await.expect("writes");
        }
        assert!(stream.stream.bytes.ends_with(&all));
        stream.stream.records.borrow().clone()
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_first_flight_on_a_cold_path_is_cut_small() {
        let body: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
        let mut stream = SmallRecords::new(Noting::default());
        assert!(!send(&mut stream, b"head", &body[..100]).await.contains(&SEGMENT), "fits one segment");
        let cold = send(&mut stream, b"head", &body).await;
        assert_eq!(cold[..10], [SEGMENT; 10]);
        assert_eq!(cold[10..].iter().sum::<usize>(), 100_004 - 10 * SEGMENT);
        assert!(send(&mut stream, b"head", &body).await.iter().all(|record| *record != SEGMENT), "warm");
        tokio::time::advance(PAUSE).await;
        assert_eq!(send(&mut stream, b"head", &body[..3_000]).await, [SEGMENT, SEGMENT, 204], "cold again");
    }
    #[tokio::test]
    async fn nothing_is_sealed_while_something_sealed_waits() {
        let mut stream = SmallRecords::new(Noting { behind: true, ..Noting::default() });
        let mut write = |bytes: &'static [u8]| {
            Pin::new(&mut stream).poll_write(&mut Context::from_waker(std::task::Waker::noop()), bytes)
        };
        assert!(write(b"answer").is_pending());
        assert!(stream.stream.bytes.is_empty(), "a client that does not read has us keep no more");
        stream.stream.behind = false;
        assert_eq!(send(&mut stream, b"", b"answer").await, [6]);
    }
}
