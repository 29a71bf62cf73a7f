//! Bytes both ways between two streams: a tunnel, an upgraded connection, a protocol that is passed on as it is.
//!
//! The relay is opaque and measures all the same: how much passed each way, when the first byte came back, whether the far
//! side broke it. Refuses to know deadlines and what the figures mean: whoever polls it decides about those.
//!
//! # Invariants
//! * Bytes keep their order, and what one side has ended is told to the other once all before it has gone.
//! * Nothing is read from a side while what was read before waits for the other one.

use std::io;
use std::task::{Context, Poll};
use std::time::Instant;

use super::buf::SIZE;
use super::stream::ByteStream;

/// What passed so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Relayed {
    /// Bytes from the near side to the far one.
    pub up: u64,
    /// Bytes back.
    pub down: u64,
    /// When the first byte came back.
    pub first_down: Option<Instant>,
    /// When the near side's first bytes after the far side's first flight left: for TLS, the end of the handshake's wait.
    pub second_up: Option<Instant>,
    /// The far side broke it with a reset.
    pub reset: bool,
    /// The far side ended it before its first byte.
    pub mute: bool,
    /// Did the near side begin with a TLS handshake record?
    pub tls: bool,
}

/// Two streams that are joined.
#[derive(Debug)]
pub struct Relay {
    relayed: Relayed,
    up: RelayDirection,
    down: RelayDirection,
    active_at: Instant,
}

impl Relay {
    /// Nothing has passed yet.
    pub fn new(now: Instant) -> Self {
        let (up, down) = (RelayDirection::default(), RelayDirection::default());
        Self { relayed: Relayed::default(), up, down, active_at: now }
    }

    /// What passed so far.
    pub fn relayed(&self) -> &Relayed {
        &self.relayed
    }

    /// When something passed last.
    pub fn active_at(&self) -> Instant {
        self.active_at
    }

    /// Moves what there is; ready once both sides have ended, or one broke. `clock` is read when something passed.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        near: &ByteStream,
        far: &ByteStream,
        clock: fn() -> Instant,
    ) -> Poll<()> {
        let relayed = &mut self.relayed;
        let before = relayed.up + relayed.down;
        let sent = self.up.poll(cx, near, far);
        relayed.up += self.up.take_passed();
        relayed.tls = self.up.began_with_tls == Some(true);
        let received = self.down.poll(cx, far, near);
        relayed.down += self.down.take_passed();
        if relayed.up + relayed.down != before {
            self.active_at = clock();
            relayed.note_first(self.active_at, &self.up);
        }
        relayed.reset |=
            matches!(&received, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset);
        relayed.mute |= relayed.first_down.is_none() && received.is_ready();
        let broken = |way: &Poll<io::Result<()>>| matches!(way, Poll::Ready(Err(_)));
        if broken(&sent) || broken(&received) || (sent.is_ready() && received.is_ready()) {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl Relayed {
    /// Something passed at `now`.
    fn note_first(&mut self, now: Instant, up: &RelayDirection) {
        if self.first_down.is_none() && self.down > 0 {
            self.first_down = Some(now);
        } else if self.first_down.is_some() && self.second_up.is_none() && up.moved {
            self.second_up = Some(now);
        }
    }
}

/// One of the two ways.
#[derive(Debug, Default)]
struct RelayDirection {
    ended: bool,
    shut: bool,
    passed: u64,
    moved: bool,
    /// As its first bytes looked, before they went on; `None`: there were none yet.
    began_with_tls: Option<bool>,
}

impl RelayDirection {
    fn take_passed(&mut self) -> u64 {
        self.moved = self.passed > 0;
        std::mem::take(&mut self.passed)
    }

    /// Moves what there is; ready when `from` has ended and `to` has been told.
    fn poll(&mut self, cx: &mut Context<'_>, from: &ByteStream, to: &ByteStream) -> Poll<io::Result<()>> {
        loop {
            if from.has_ahead() {
                // A TLS handshake record (RFC 8446 section 5.1): type 22, version 3.x.
                self.began_with_tls.get_or_insert_with(|| from.peek(|bytes| bytes.starts_with(&[22, 3])));
                match from.poll_pass(cx, to) {
                    Poll::Ready(passed) => self.passed += passed? as u64,
                    Poll::Pending => return Poll::Pending,
                }
                continue;
            }
            if self.shut {
                return Poll::Ready(Ok(()));
            }
            if self.ended {
                return match to.poll_shutdown(cx) {
                    Poll::Ready(Ok(())) => {
                        self.shut = true;
                        Poll::Ready(Ok(()))
                    }
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    Poll::Pending => Poll::Pending,
                };
            }
            // What a TLS session still holds goes on whenever there is room for it, not only when more comes.
            let _ = to.poll_flush(cx)?;
            match from.poll_more(cx, SIZE) {
                Poll::Ready(read) => self.ended = read? == 0,
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::rc::Rc;
    use std::time::Duration;

    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

    use super::*;
    use crate::message::buf::Buf;
    use crate::message::io::Io;

    /// Takes everything, as a TLS session does, and has no room to send it on at the first try.
    #[derive(Default)]
    struct Holding {
        held: Vec<u8>,
        tries: u32,
        sent: Rc<RefCell<Vec<u8>>>,
    }

    impl AsyncRead for Holding {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Holding {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.held.extend_from_slice(bytes);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.tries += 1;
            if self.tries == 1 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let held = std::mem::take(&mut self.held);
            self.sent.borrow_mut().extend(held);
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn what_a_session_holds_goes_on_although_nothing_more_comes() {
        let (mut client, near) = tokio::io::duplex(64);
        let far = Holding::default();
        let sent = Rc::clone(&far.sent);
        let near = ByteStream::new(Io::Boxed(Box::new(near)), Buf::default(), None);
        let far = ByteStream::new(Io::Boxed(Box::new(far)), Buf::default(), None);
        client.write_all(b"hello").await.expect("writes");
        let mut way = RelayDirection::default();
        let moved = poll_fn(|cx| {
            assert!(way.poll(cx, &near, &far).is_pending(), "the client stays");
            if sent.borrow().is_empty() { Poll::Pending } else { Poll::Ready(()) }
        });
        tokio::time::timeout(Duration::from_secs(5), moved).await.expect("it is sent");
        assert_eq!(*sent.borrow(), b"hello");
    }

    #[tokio::test]
    async fn each_side_hears_the_others_end_after_all_its_bytes_and_it_is_measured() {
        let ((mut client, near), (mut server, far)) = (tokio::io::duplex(64), tokio::io::duplex(64));
        let near = ByteStream::new(Io::Boxed(Box::new(near)), Buf::default(), None);
        let far = ByteStream::new(Io::Boxed(Box::new(far)), Buf::default(), None);
        let mut relay = Relay::new(Instant::now());
        let ends = async {
            client.write_all(&[22, 3, 1, 0]).await.expect("writes");
            let mut hello = [0; 4];
            server.read_exact(&mut hello).await.expect("reads");
            server.write_all(b"flight").await.expect("writes");
            let mut flight = [0; 6];
            client.read_exact(&mut flight).await.expect("reads");
            client.write_all(b"last").await.expect("writes");
            client.shutdown().await.expect("ends");
            let mut rest = Vec::new();
            server.read_to_end(&mut rest).await.expect("reads");
            drop(server);
            let mut nothing = Vec::new();
            client.read_to_end(&mut nothing).await.expect("reads");
            (rest, nothing)
        };
        let joined = poll_fn(|cx| relay.poll(cx, &near, &far, Instant::now));
        let ((), (rest, nothing)) = tokio::join!(joined, ends);
        assert_eq!((&*rest, nothing.len()), (&b"last"[..], 0));
        let relayed = relay.relayed();
        assert_eq!((relayed.up, relayed.down, relayed.tls), (8, 6, true));
        assert!(relayed.first_down <= relayed.second_up && relayed.first_down.is_some());
        assert!(!relayed.mute && !relayed.reset);
    }

    #[tokio::test]
    async fn a_far_side_that_ends_before_it_says_anything_is_mute() {
        let ((client, near), (server, far)) = (tokio::io::duplex(64), tokio::io::duplex(64));
        let near = ByteStream::new(Io::Boxed(Box::new(near)), Buf::default(), None);
        let far = ByteStream::new(Io::Boxed(Box::new(far)), Buf::default(), None);
        let mut relay = Relay::new(Instant::now());
        drop((client, server));
        poll_fn(|cx| relay.poll(cx, &near, &far, Instant::now)).await;
        assert!(relay.relayed().mute);
        assert_eq!((relay.relayed().up, relay.relayed().down), (0, 0));
    }
}
