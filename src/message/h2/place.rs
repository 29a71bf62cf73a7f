//! What a connection knows of one of its streams.

use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;

use super::flow::{ReceiveWindow, SendWindow};
use super::frame::ErrorCode;
use crate::message::account::Account;
use crate::message::buf::{Buf, SIZE};
use crate::message::h1::Malformed;
use crate::message::head::{HeadStore, Method, ResponseHead};
use crate::message::memory::Widened;

/// One stream.
#[derive(Default)]
pub(super) struct StreamState {
    /// 0: the place is free.
    pub id: u32,
    /// What came of its body.
    pub received: VecDeque<Buf>,
    /// The head of the answer; an error: it cannot be passed on.
    pub head: Option<Result<ResponseHead, Malformed>>,
    /// Answers before the final one.
    pub interim: VecDeque<ResponseHead>,
    pub trailers: Option<HeadStore>,
    /// A final head has come: the next one is the trailers.
    pub headed: bool,
    /// Nothing more comes.
    pub ended: bool,
    /// Bytes of the body that are yet to come by its `content-length`.
    pub announced: Option<u64>,
    pub window: Option<ReceiveWindow>,
    /// What its window has grown by.
    pub grown: u32,
    /// The same, of what all connections may.
    pub widened: Vec<Widened>,
    pub reader: Option<Waker>,
    /// The method of the request that it carries.
    pub asked: Option<Method>,
    pub send_window: Option<SendWindow>,
    /// Nothing more is sent.
    pub finished: bool,
    /// In the queue for room.
    pub queued: bool,
    /// It is its turn to send.
    pub turn: bool,
    pub sender: Option<Waker>,
    /// Waits for it to be given up.
    pub watcher: Option<Waker>,
    /// 0 (first) to 7; RFC 9218 section 4.1.
    pub urgency: u8,
    /// The peer has reset it.
    pub reset: Option<ErrorCode>,
    /// Where in all that was ever to be written its head begins.
    pub head_at: u64,
    /// Whom its bytes are charged to.
    pub account: Option<Rc<Account>>,
}

impl StreamState {
    /// Makes the place free.
    pub(super) fn clear(&mut self) {
        self.received.clear();
        let received = std::mem::take(&mut self.received);
        *self = Self { received, ..Self::default() };
    }

    /// Keeps bytes of its body, in standard buffers.
    pub(super) fn receive(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let fits = self.received.back_mut().is_some_and(|last| !last.space(SIZE).is_empty());
            if !fits {
                self.received.push_back(Buf::default());
            }
            let Some(last) = self.received.back_mut() else { return };
            let space = last.space(SIZE);
            let (now, later) = bytes.split_at(space.len().min(bytes.len()));
            space.get_mut(..now.len()).unwrap_or_default().copy_from_slice(now);
            last.commit(now.len());
            bytes = later;
        }
    }

    /// Wakes whoever waits for something to come.
    pub(super) fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    /// Wakes whoever waits to send.
    pub(super) fn wake_sender(&mut self) {
        if let Some(waker) = self.sender.take() {
            waker.wake();
        }
    }

    /// Wakes whoever waits for anything: it is gone.
    pub(super) fn wake_all(&mut self) {
        self.wake_reader();
        self.wake_sender();
        if let Some(waker) = self.watcher.take() {
            waker.wake();
        }
    }
}
