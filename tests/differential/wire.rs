//! A stream in memory: bytes to be read in pieces, and nowhere for what is written.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

struct State {
    bytes: Vec<u8>,
    at: usize,
    piece: usize,
    /// Until something is written nothing can be read: a client that finds an answer before it asked is confused.
    asked: bool,
    waiting: Option<Waker>,
}

/// A clone is the same stream.
#[derive(Clone)]
pub(crate) struct Wire(Rc<RefCell<State>>);

impl Wire {
    /// What a client sends: `bytes`, at most `piece` of them with one read, then the end.
    pub(crate) fn from_client(bytes: &[u8], piece: usize) -> Self {
        Self::of(bytes, piece, true)
    }

    /// What a server sends once it was asked.
    pub(crate) fn from_server(bytes: &[u8], piece: usize) -> Self {
        Self::of(bytes, piece, false)
    }

    fn of(bytes: &[u8], piece: usize, asked: bool) -> Self {
        let bytes = bytes.to_vec();
        Self(Rc::new(RefCell::new(State { bytes, at: 0, piece, asked, waiting: None })))
    }

    /// Bytes that nobody has read.
    pub(crate) fn rest(&self) -> Vec<u8> {
        let state = self.0.borrow();
        state.bytes[state.at..].to_vec()
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.borrow_mut();
        if !state.asked {
            state.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let end = state.bytes.len().min(state.at + state.piece.min(room.remaining()));
        room.put_slice(&state.bytes[state.at..end]);
        state.at = end;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.0.borrow_mut();
        state.asked = true;
        if let Some(waiting) = state.waiting.take() {
            waiting.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
