//! What one HTTP/2 connection knows: its streams, its windows, what is to be written.
//!
//! Invariants: a stream's place is its own until its handle is gone; what a peer may make this side hold is bounded by
//! the windows it was given, the heads it may send and the frames that are owed to it.

use std::collections::{HashMap, VecDeque};
use std::task::Waker;
use std::time::Instant;

use foldhash::fast::FixedState;

use super::flow::{ReceiveWindow, SendWindow};
use super::frame::{ErrorCode, FIRST_WINDOW, FrameHead, FrameKind, MOST, Settings};
use super::hpack;
use super::place::StreamState;
use super::storm::Storm;
use crate::message::account::is_tight;
use crate::message::buf::{Buf, SIZE};
use crate::message::h1::Malformed;
use crate::message::h1::parse::HeadLimits;
use crate::message::head::RequestHead;

/// Bytes that a server may send on a stream ahead of its reader, to begin with.
pub(super) const WINDOW: u32 = 32 * 1024;
/// The same of a client, one whole frame: many of them stall at once where a backend does not read.
pub(super) const UPLOAD: u32 = 16 * 1024;
/// Bytes on their way on a connection at once. They are given back as they come, for the streams bound what is kept: one
/// that is not read holds up no other.
pub(super) const CONNECTION: u32 = 4 << 20;

/// With so many bytes to be written, streams wait for room.
const FULL: usize = 64 * 1024;

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It takes requests.
    Server,
    /// It makes them.
    Client,
}

impl Role {
    /// By how much all the windows of a connection may have grown at once, in bytes: a client's is its own, a server's is
    /// shared by many.
    pub(super) fn growth(self) -> u32 {
        match self {
            Self::Server => 512 << 10,
            Self::Client => 4 << 20,
        }
    }
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// It was ended by this side, for what the peer did.
    Fault(ErrorCode),
    /// It ended or broke below.
    Broken,
    /// Both sides have nothing more to say.
    Done,
}

/// A request that came; an error: what came is a request, but none to be passed on.
pub(super) type Asked = (usize, Result<RequestHead, Malformed>);

/// A field block that has not come in whole.
pub(super) struct Block {
    pub stream: u32,
    pub ends: bool,
    /// Frames that it has come in.
    pub frames: u32,
}

/// What the next bytes are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reading {
    /// The preface of a client.
    Preface,
    /// The head of a frame.
    Head,
    /// DATA: so many bytes of it, then so many of padding.
    Data { stream: u32, left: usize, padding: usize, ends: bool },
    /// Bytes that mean nothing.
    Skip(usize),
}

/// A stream that has ended not long ago.
#[derive(Clone, Copy)]
pub(super) struct Ended {
    pub id: u32,
    /// By a reset of this side: the peer may not have known when it sent more.
    pub by_reset: bool,
}

/// How many of them are kept in mind.
const REMEMBERED: usize = 256;

/// A connection.
pub(super) struct State {
    pub role: Role,
    pub own: Settings,
    /// The peer knows what this side has said of itself.
    pub known: bool,
    pub peer: Settings,
    pub limits: HeadLimits,
    pub input: Buf,
    /// The last read filled its buffer.
    pub busy: bool,
    pub reading: Reading,
    /// The kind of the last frame that has come.
    pub frame: FrameKind,
    /// Bytes of the field block that is being read.
    pub block: Vec<u8>,
    pub blocked: Option<Block>,
    /// The first frame of the peer, SETTINGS, has come.
    pub greeted: bool,
    pub decoder: hpack::Decoder,
    pub encoder: hpack::Encoder,
    pub output: Buf,
    /// Bytes that were written since the beginning.
    pub written: u64,
    pub send_window: SendWindow,
    pub window: ReceiveWindow,
    /// By how much the windows of all streams have grown.
    pub grown: u32,
    pub streams: Vec<StreamState>,
    pub by_id: HashMap<u32, usize, FixedState>,
    /// Of the streams that are there, those that were reset and whose handles are about to go.
    pub gone: usize,
    free: Vec<usize>,
    /// Streams that wait for room, by urgency.
    pub queues: [VecDeque<usize>; 8],
    pub accepted: VecDeque<Asked>,
    pub ended: VecDeque<Ended>,
    /// The last stream that the peer has opened.
    pub last: u32,
    /// The next one that this side opens.
    pub next: u32,
    /// This side takes no stream beyond this one.
    pub leaving: Option<u32>,
    /// The peer takes none beyond this one.
    pub left: Option<u32>,
    /// Why the peer leaves.
    pub told: ErrorCode,
    /// Requests that were none and have not been counted yet.
    pub malformed: u32,
    pub over: Option<Over>,
    /// What the peer sent too much of.
    pub flood: Option<FrameKind>,
    /// A PING of this side is on its way.
    pub pinged: bool,
    pub storm: Storm,
    /// Of the task that reads and writes.
    pub driver: Option<Waker>,
    /// It waits, and is to be woken.
    pub resting: bool,
    /// It does not wait, and has something to do.
    pub stirred: bool,
    /// When something came last.
    pub heard: Instant,
    /// When a head or data did.
    pub spoken: Instant,
    /// Since when the input ends within a head.
    pub partial: Option<Instant>,
    /// Of those that wait to open a stream.
    pub waiting: Vec<Waker>,
    /// It ends with its last stream.
    pub retired: bool,
}

impl State {
    pub(super) fn new(role: Role, own: Settings, limits: HeadLimits, now: Instant) -> Self {
        Self {
            role,
            own,
            known: role == Role::Client,
            peer: Settings::default(),
            limits,
            input: Buf::default(),
            busy: false,
            reading: if role == Role::Server { Reading::Preface } else { Reading::Head },
            frame: FrameKind::Settings,
            block: Vec::new(),
            blocked: None,
            greeted: false,
            decoder: hpack::Decoder::new(own.header_table),
            encoder: hpack::Encoder::default(),
            output: Buf::default(),
            written: 0,
            send_window: SendWindow::new(FIRST_WINDOW),
            window: ReceiveWindow::new(FIRST_WINDOW),
            grown: 0,
            streams: Vec::new(),
            by_id: HashMap::default(),
            gone: 0,
            free: Vec::new(),
            queues: Default::default(),
            accepted: VecDeque::new(),
            ended: VecDeque::new(),
            last: 0,
            next: if role == Role::Server { 2 } else { 1 },
            leaving: None,
            left: None,
            told: ErrorCode::NoError,
            malformed: 0,
            over: None,
            flood: None,
            pinged: false,
            storm: Storm::new(now),
            driver: None,
            resting: false,
            stirred: false,
            heard: now,
            spoken: now,
            partial: None,
            waiting: Vec::new(),
            retired: false,
        }
    }

    /// Opens a place for the stream `id`.
    pub(super) fn open(&mut self, id: u32) -> usize {
        let key = self.free.pop().unwrap_or_else(|| {
            self.streams.push(StreamState::default());
            self.streams.len() - 1
        });
        // What the peer does not know of does not bind it.
        let window = if self.known { self.own.window } else { self.own.window.max(FIRST_WINDOW) };
        let send = self.peer.window;
        if let Some(stream) = self.streams.get_mut(key) {
            stream.id = id;
            stream.urgency = 3;
            stream.window = Some(ReceiveWindow::new(window));
            stream.send_window = Some(SendWindow::new(send));
        }
        self.by_id.insert(id, key);
        key
    }

    /// The handle of a stream is gone: so is the stream, with a reset unless it was over.
    pub(super) fn close(&mut self, key: usize, code: ErrorCode) {
        let Some(stream) = self.streams.get_mut(key).filter(|stream| stream.id != 0) else { return };
        let (id, grown) = (stream.id, stream.grown);
        let reset = stream.reset.is_some();
        let whole = stream.ended && stream.finished;
        let (queued, urgency) = (stream.queued, stream.urgency);
        stream.clear();
        self.grown -= grown;
        self.gone -= usize::from(reset);
        self.by_id.remove(&id);
        self.free.push(key);
        if queued && let Some(queue) = self.queues.get_mut(usize::from(urgency)) {
            queue.retain(|waits| *waits != key);
        }
        if self.over.is_some() {
            return;
        }
        if !whole && !reset {
            self.put_frame(FrameKind::Reset, 0, id, &code.number().to_be_bytes());
        }
        // Who has reset it is in mind already.
        if !reset {
            self.remember(id, !whole);
        }
        self.waiting.drain(..).for_each(Waker::wake);
        self.wake();
    }

    /// The stream `id` is over.
    pub(super) fn remember(&mut self, id: u32, by_reset: bool) {
        if self.ended.len() == REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back(Ended { id, by_reset });
    }

    /// The place of a stream that is there.
    pub(super) fn find(&mut self, id: u32) -> Option<(usize, &mut StreamState)> {
        let key = *self.by_id.get(&id)?;
        self.streams.get_mut(key).map(|stream| (key, stream))
    }

    /// Streams that are there.
    pub(super) fn active(&self) -> usize {
        self.by_id.len()
    }

    /// The stream `id` is reset, by either side; false: it is not there, or was reset before.
    pub(super) fn mark_reset(&mut self, id: u32, code: ErrorCode) -> bool {
        let Some((key, stream)) = self.find(id).filter(|(_, stream)| stream.reset.is_none()) else {
            return false;
        };
        stream.reset = Some(code);
        stream.wake_all();
        self.gone += 1;
        // A request that nobody has looked at yet was none.
        if let Some(at) = self.accepted.iter().position(|(waits, _)| *waits == key) {
            self.accepted.remove(at);
            self.close(key, code);
        }
        true
    }

    /// Was the stream `id` never opened?
    pub(super) fn is_idle(&self, id: u32) -> bool {
        let own = (id % 2 == 1) == (self.role == Role::Client);
        if own { id >= self.next } else { id > self.last }
    }

    /// A frame with its payload is to be written.
    pub(super) fn put_frame(&mut self, kind: FrameKind, flags: u8, stream: u32, payload: &[u8]) {
        self.output.put(&FrameHead { len: payload.len(), kind, flags, stream }.bytes());
        self.output.put(payload);
    }

    /// The task that reads and writes has something to do.
    pub(super) fn wake(&mut self) {
        match &self.driver {
            Some(driver) if std::mem::replace(&mut self.resting, false) => driver.wake_by_ref(),
            Some(_) | None => self.stirred = true,
        }
    }

    /// The connection is over: everyone who waits learns it.
    pub(super) fn end(&mut self, over: Over) {
        if self.over.is_some() {
            return;
        }
        if let Over::Fault(code) = over {
            let payload = [self.last.to_be_bytes(), code.number().to_be_bytes()].concat();
            self.put_frame(FrameKind::GoAway, 0, 0, &payload);
        }
        self.over = Some(over);
        self.flood = (over == Over::Fault(ErrorCode::EnhanceYourCalm)).then_some(self.frame);
        for stream in &mut self.streams {
            stream.wake_all();
        }
        self.waiting.drain(..).for_each(Waker::wake);
        self.wake();
    }

    /// Bytes that may be on their way out at once.
    pub(super) fn most_output(&self) -> usize {
        if is_tight() { SIZE } else { FULL }
    }

    /// Wakes those whose turn it is to send, as far as there is room.
    pub(super) fn grant(&mut self) {
        let mut room = self.most_output().saturating_sub(self.output.len()).min(self.send_window.room());
        while room > 0 {
            let Some(key) = self.queues.iter_mut().find_map(VecDeque::pop_front) else {
                return;
            };
            room = room.saturating_sub(MOST);
            if let Some(stream) = self.streams.get_mut(key) {
                stream.queued = false;
                stream.turn = true;
                stream.wake_sender();
            }
        }
    }
}
