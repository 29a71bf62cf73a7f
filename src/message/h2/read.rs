//! What the peer has sent, frame by frame (RFC 9113 sections 5 and 6).
//!
//! An error is the code that ends the connection. What only ends a stream is answered with a reset.

use std::time::Instant;

use super::flow::SendWindow;
use super::frame::{ErrorCode, FIRST_WINDOW, FrameHead, FrameKind, HEAD, MOST, PREFACE, Settings, flag};
use super::state::{Reading, Role, State};
use crate::message::account;

/// Frames of an application that takes its time: what a frame of data or an answer earns.
const EARNED: u32 = 4;
/// A window that grows by less, in bytes, is an idle frame.
const SMALL: u32 = 1_024;

impl State {
    /// Reads all whole frames of the input.
    pub(super) fn take_input(&mut self, now: Instant) -> Result<(), ErrorCode> {
        self.storm.pass(now);
        while self.over.is_none() && self.step(now)? {}
        let partial =
            self.blocked.is_some() || matches!(self.reading, Reading::Head) && !self.input.is_empty();
        self.partial = partial.then(|| self.partial.unwrap_or(now));
        Ok(())
    }

    /// One step on; false: more bytes are needed.
    fn step(&mut self, now: Instant) -> Result<bool, ErrorCode> {
        match self.reading {
            Reading::Preface => {
                let there = self.input.filled();
                if !PREFACE.starts_with(there.get(..PREFACE.len()).unwrap_or(there)) {
                    return Err(ErrorCode::Protocol);
                }
                if there.len() < PREFACE.len() {
                    return Ok(false);
                }
                self.input.consume(PREFACE.len());
                self.reading = Reading::Head;
                Ok(true)
            }
            Reading::Head => {
                let Some(head) = FrameHead::read(self.input.filled()) else { return Ok(false) };
                self.frame(head, now)
            }
            Reading::Data { .. } => self.data_bytes(),
            Reading::Skip(left) => {
                let n = left.min(self.input.len());
                self.input.consume(n);
                self.reading = if n == left { Reading::Head } else { Reading::Skip(left - n) };
                Ok(n > 0 || left == 0)
            }
        }
    }

    fn frame(&mut self, head: FrameHead, now: Instant) -> Result<bool, ErrorCode> {
        self.frame = head.kind;
        if head.len > MOST {
            return Err(ErrorCode::FrameSize);
        }
        if !self.greeted && (head.kind != FrameKind::Settings || head.has(flag::ACK)) {
            return Err(ErrorCode::Protocol);
        }
        if self
            .blocked
            .as_ref()
            .is_some_and(|block| head.kind != FrameKind::Continuation || head.stream != block.stream)
        {
            return Err(ErrorCode::Protocol);
        }
        if head.kind == FrameKind::Data {
            return self.data(head);
        }
        if head.kind == FrameKind::Unknown {
            self.idle_frame()?;
            self.input.consume(HEAD);
            self.reading = Reading::Skip(head.len);
            return Ok(true);
        }
        if self.input.len() < HEAD + head.len {
            return Ok(false);
        }
        // Taken out, so that its bytes can be read while the rest changes.
        let mut input = std::mem::take(&mut self.input);
        let payload = input.filled().get(HEAD..HEAD + head.len).unwrap_or_default();
        let done = self.whole(head, payload, now);
        input.consume(HEAD + head.len);
        self.input = input;
        done.map(|()| true)
    }

    fn whole(&mut self, head: FrameHead, payload: &[u8], now: Instant) -> Result<(), ErrorCode> {
        match head.kind {
            FrameKind::Headers => self.headers(head, payload, now),
            FrameKind::Continuation => self.continuation(head, payload, now),
            FrameKind::Settings => self.settings(head, payload),
            FrameKind::WindowUpdate => self.window_update(head, payload),
            FrameKind::Reset => self.reset(head, payload),
            FrameKind::Ping => self.ping(head, payload),
            FrameKind::GoAway => self.go_away(head, payload),
            FrameKind::Priority => {
                let depends = payload.first_chunk().copied().map(u32::from_be_bytes);
                match (head.stream, payload.len(), depends) {
                    (0, _, _) => return Err(ErrorCode::Protocol),
                    (id, 5, Some(depends)) if depends << 1 != id << 1 => {}
                    (id, 5, _) => self.reset_stream(id, ErrorCode::Protocol)?,
                    (id, _, _) => self.reset_stream(id, ErrorCode::FrameSize)?,
                }
                self.idle_frame()
            }
            FrameKind::PriorityUpdate => self.priority_update(head, payload),
            // This side pushes nothing and takes no push.
            FrameKind::PushPromise => Err(ErrorCode::Protocol),
            FrameKind::Data | FrameKind::Unknown => Ok(()),
        }
    }

    /// A frame that brings nothing.
    pub(super) fn idle_frame(&mut self) -> Result<(), ErrorCode> {
        if self.storm.spend(1) { Ok(()) } else { Err(ErrorCode::EnhanceYourCalm) }
    }

    /// Something real was done.
    pub(super) fn earn(&mut self) {
        self.storm.earn(EARNED);
    }

    fn data(&mut self, head: FrameHead) -> Result<bool, ErrorCode> {
        if head.stream == 0 || self.is_idle(head.stream) {
            return Err(ErrorCode::Protocol);
        }
        if head.has(flag::PADDED) && head.len == 0 {
            return Err(ErrorCode::FrameSize);
        }
        let framed = HEAD + usize::from(head.has(flag::PADDED));
        if self.input.len() < framed {
            return Ok(false);
        }
        let padding = if head.has(flag::PADDED) {
            usize::from(self.input.filled().get(HEAD).copied().unwrap_or_default()) + 1
        } else {
            0
        };
        if padding > head.len {
            return Err(ErrorCode::Protocol);
        }
        self.window.came(head.len)?;
        self.give_back(head.len);
        self.spoken = self.heard;
        let left = head.len - padding;
        let ends = head.has(flag::END_STREAM);
        self.input.consume(framed);
        let padding = padding.saturating_sub(framed - HEAD);
        let taken = self.stream_data(head, left, padding)?;
        if left == 0 && !ends {
            self.idle_frame()?;
        } else if taken {
            self.earn();
        }
        self.reading = if taken {
            Reading::Data { stream: head.stream, left, padding, ends }
        } else {
            Reading::Skip(left + padding)
        };
        Ok(true)
    }

    /// Does the stream take `left` bytes of data and the padding? An answer of false: it is reset, or over.
    fn stream_data(&mut self, head: FrameHead, left: usize, padding: usize) -> Result<bool, ErrorCode> {
        let Some((_, stream)) = self.find(head.stream) else {
            self.late(head.stream)?;
            return Ok(false);
        };
        if stream.reset.is_some() {
            self.late(head.stream)?;
            return Ok(false);
        }
        let early = stream.asked.is_some() && !stream.headed;
        let code = if stream.ended {
            Some(ErrorCode::StreamClosed)
        } else if early || stream.announced.is_some_and(|most| most < left as u64) {
            Some(ErrorCode::Protocol)
        } else {
            stream.window.as_mut().and_then(|window| window.came(head.len).err())
        };
        if let Some(code) = code {
            self.reset_stream(head.stream, code)?;
            return Ok(false);
        }
        stream.announced = stream.announced.map(|most| most - left as u64);
        // What nobody reads is used up at once.
        let told = stream.window.as_mut().and_then(|window| window.used(head.len - left));
        debug_assert!(head.len - left >= padding);
        if let Some(more) = told {
            self.put_frame(FrameKind::WindowUpdate, 0, head.stream, &more.to_be_bytes());
        }
        Ok(true)
    }

    fn data_bytes(&mut self) -> Result<bool, ErrorCode> {
        let Reading::Data { stream: id, left, padding, ends } = self.reading else { return Ok(false) };
        let n = left.min(self.input.len());
        let mut input = std::mem::take(&mut self.input);
        let Some((_, stream)) = self.find(id) else {
            // Its handle has gone meanwhile.
            self.input = input;
            self.reading = Reading::Skip(left + padding);
            return Ok(true);
        };
        let bytes = input.filled().get(..n).unwrap_or_default();
        account::charging(stream.account.clone(), || stream.receive(bytes));
        let whole = n == left;
        if n > 0 {
            stream.wake_reader();
        }
        input.consume(n);
        self.input = input;
        if !whole {
            self.reading = Reading::Data { stream: id, left: left - n, padding, ends };
            return Ok(n > 0);
        }
        self.reading = Reading::Skip(padding);
        if ends {
            self.ends(id)?;
        }
        Ok(true)
    }

    /// The peer has said all on the stream `id`.
    pub(super) fn ends(&mut self, id: u32) -> Result<(), ErrorCode> {
        let Some((_, stream)) = self.find(id) else { return Ok(()) };
        if stream.announced.is_some_and(|left| left > 0) {
            return self.reset_stream(id, ErrorCode::Protocol);
        }
        stream.ended = true;
        stream.wake_reader();
        Ok(())
    }

    /// Something for a stream that is over.
    pub(super) fn late(&mut self, id: u32) -> Result<(), ErrorCode> {
        match self.ended.iter().rev().find(|ended| ended.id == id) {
            // The reset may not have been there when it was sent.
            Some(ended) if ended.by_reset => self.idle_frame(),
            Some(_) | None => self.reset_stream(id, ErrorCode::StreamClosed),
        }
    }

    /// Ends a stream for what the peer did on it; one that is idle cannot be reset (RFC 9113 section 6.4).
    pub(super) fn reset_stream(&mut self, id: u32, code: ErrorCode) -> Result<(), ErrorCode> {
        if self.is_idle(id) {
            return Err(code);
        }
        self.put_frame(FrameKind::Reset, 0, id, &code.number().to_be_bytes());
        self.remember(id, true);
        self.mark_reset(id, code);
        self.idle_frame()
    }

    /// Bytes of the connection's window go back.
    fn give_back(&mut self, bytes: usize) {
        if let Some(more) = self.window.used(bytes) {
            self.put_frame(FrameKind::WindowUpdate, 0, 0, &more.to_be_bytes());
        }
    }

    fn settings(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), ErrorCode> {
        if head.stream != 0 {
            return Err(ErrorCode::Protocol);
        }
        if head.has(flag::ACK) {
            if !payload.is_empty() {
                return Err(ErrorCode::FrameSize);
            }
            return self.acknowledged();
        }
        if !payload.len().is_multiple_of(Settings::ENTRY) {
            return Err(ErrorCode::FrameSize);
        }
        if self.greeted {
            self.idle_frame()?;
        }
        self.greeted = true;
        let before = self.peer.window;
        for entry in payload.chunks_exact(Settings::ENTRY) {
            // A server that takes promises is none (RFC 9113 section 6.5.2).
            if self.role == Role::Client && entry == [0, 2, 0, 0, 0, 1] {
                return Err(ErrorCode::Protocol);
            }
            self.peer.take(entry.try_into().map_err(|_| ErrorCode::FrameSize)?)?;
        }
        self.encoder.set_peer_limit(self.peer.header_table);
        let change = i64::from(self.peer.window) - i64::from(before);
        self.shift_windows(change)?;
        self.put_frame(FrameKind::Settings, flag::ACK, 0, &[]);
        self.waiting.drain(..).for_each(std::task::Waker::wake);
        Ok(())
    }

    fn shift_windows(&mut self, change: i64) -> Result<(), ErrorCode> {
        if change == 0 {
            return Ok(());
        }
        for stream in self.streams.iter_mut().filter(|stream| stream.id != 0) {
            stream.send_window.as_mut().map_or(Ok(()), |window| window.add(change))?;
            stream.wake_sender();
        }
        Ok(())
    }

    /// What this side has said of itself holds from now on.
    fn acknowledged(&mut self) -> Result<(), ErrorCode> {
        if std::mem::replace(&mut self.known, true) {
            return self.idle_frame();
        }
        let less = FIRST_WINDOW.saturating_sub(self.own.window);
        let mut owed = Vec::new();
        for stream in self.streams.iter_mut().filter(|stream| stream.id != 0) {
            let more = stream.window.as_mut().and_then(|window| window.shrink(less));
            if let (Some(more), false, None) = (more, stream.ended, stream.reset) {
                owed.push((stream.id, more));
            }
        }
        for (id, more) in owed {
            self.put_frame(FrameKind::WindowUpdate, 0, id, &more.to_be_bytes());
        }
        Ok(())
    }

    fn window_update(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), ErrorCode> {
        let bytes: [u8; 4] = payload.try_into().map_err(|_| ErrorCode::FrameSize)?;
        let more = u32::from_be_bytes(bytes) & super::frame::MOST_WINDOW;
        let grow = |window: &mut SendWindow| {
            if more == 0 { Err(ErrorCode::Protocol) } else { window.add(i64::from(more)) }
        };
        // A little at a time costs more than it brings.
        if more < SMALL {
            self.idle_frame()?;
        }
        if head.stream == 0 {
            grow(&mut self.send_window)?;
            self.wake();
            return Ok(());
        }
        if self.is_idle(head.stream) {
            return Err(ErrorCode::Protocol);
        }
        let Some((_, stream)) = self.find(head.stream) else { return self.idle_frame() };
        let grown = stream.send_window.as_mut().map_or(Ok(()), grow);
        stream.wake_sender();
        grown.or_else(|code| self.reset_stream(head.stream, code))
    }

    fn reset(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), ErrorCode> {
        let bytes: [u8; 4] = payload.try_into().map_err(|_| ErrorCode::FrameSize)?;
        if head.stream == 0 || self.is_idle(head.stream) {
            return Err(ErrorCode::Protocol);
        }
        if self.mark_reset(head.stream, ErrorCode::of(u32::from_be_bytes(bytes))) {
            self.remember(head.stream, false);
        }
        self.idle_frame()
    }

    fn ping(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), ErrorCode> {
        if head.stream != 0 {
            return Err(ErrorCode::Protocol);
        }
        if payload.len() != 8 {
            return Err(ErrorCode::FrameSize);
        }
        if head.has(flag::ACK) {
            return if self.ponged(payload) { Ok(()) } else { self.idle_frame() };
        }
        self.idle_frame()?;
        self.put_frame(FrameKind::Ping, flag::ACK, 0, payload);
        Ok(())
    }

    fn go_away(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), ErrorCode> {
        if head.stream != 0 {
            return Err(ErrorCode::Protocol);
        }
        let [l0, l1, l2, l3, c0, c1, c2, c3, ..] = *payload else { return Err(ErrorCode::FrameSize) };
        let last = u32::from_be_bytes([l0, l1, l2, l3]) & super::frame::MOST_WINDOW;
        if self.left.is_some_and(|before| last > before) {
            return Err(ErrorCode::Protocol);
        }
        self.left = Some(last);
        self.told = ErrorCode::of(u32::from_be_bytes([c0, c1, c2, c3]));
        for stream in self.streams.iter_mut().filter(|stream| stream.id > last) {
            stream.wake_all();
        }
        self.waiting.drain(..).for_each(std::task::Waker::wake);
        self.idle_frame()
    }
}
