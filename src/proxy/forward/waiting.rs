//! The client that waits for its answer, whatever it speaks.

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::message::buf::SHORT;
use crate::message::h1;
use crate::message::h1::conn::H1Conn;
use crate::message::h2::{H2Stream, Then, write};
use crate::message::head::ResponseHead;

/// A client that waits for its answer.
#[derive(Clone, Copy)]
pub enum WaitingClient<'a> {
    /// On an HTTP/1.1 connection.
    H1 {
        conn: &'a Rc<H1Conn>,
        /// How long an answer is waited for once it has ended its side: most that do have given up.
        patience: Duration,
    },
    /// On a stream. Whether it is gone is seen by whoever serves the stream.
    H2(&'a H2Stream),
}

impl WaitingClient<'_> {
    /// Sends it an interim response.
    pub(super) fn pass_interim(self, cx: &mut Context<'_>, head: &ResponseHead) {
        match self {
            Self::H1 { conn, .. } => {
                let mut bytes = Vec::with_capacity(256);
                h1::write::interim(&mut bytes, head);
                conn.queue(&bytes);
                // A client that is gone is noticed when the final answer is written.
                let _ = conn.poll_queue(cx);
            }
            Self::H2(stream) => {
                stream.send_head(Then::More, |encoder, out| write::interim(encoder, out, head))
            }
        }
    }

    /// Tells an HTTP/1.1 client that waits for 100 to go on: towards the upstream there is flow control for that. True
    /// when it still waits, for the upstream's own word.
    pub(in crate::proxy) fn invite(self) -> bool {
        match self {
            Self::H1 { conn, .. } => {
                conn.queue(b"HTTP/1.1 100 Continue\r\n\r\n");
                false
            }
            Self::H2(_) => true,
        }
    }

    /// Does it take next to nothing of a body now?
    pub(super) fn takes_little(self) -> bool {
        match self {
            Self::H1 { .. } => false,
            Self::H2(stream) => !stream.takes(SHORT as u64),
        }
    }

    /// Sends on what was told to it.
    pub(in crate::proxy) fn poll_told(self, cx: &mut Context<'_>) {
        if let Self::H1 { conn, .. } = self {
            // That the client is gone is noticed by the watch.
            let _ = conn.poll_queue(cx);
        }
    }

    /// Has it ended its side? Then how long its answer is still waited for; an error: it is gone.
    pub(super) fn poll_left(self, cx: &mut Context<'_>) -> Poll<Result<Duration, ()>> {
        match self {
            Self::H1 { conn, patience } => {
                conn.stream().poll_left(cx).map(|left| left.map(|()| patience).map_err(drop))
            }
            Self::H2(_) => Poll::Pending,
        }
    }
}
