//! Field blocks as they come: new streams, answers, trailers, priorities.

use std::time::Instant;

use super::frame::{ErrorCode, FrameHead, FrameKind, flag};
use super::head::{self, BlockError};
use super::state::{Block, Role, State};
use crate::message::h1::Malformed;
use crate::message::head::{Framing, Method};

/// Interim answers that wait for whoever asked; more than these are a fault.
const MOST_INTERIM: usize = 128;
/// What a field block may be longer than the head it stands for, in bytes: what is beyond cannot be kept in step.
const BLOCK_ROOM: usize = 16 * 1024;
/// Of a head that is too long so much is read to its end all the same, in bytes: it is refused by itself, whatever is taken.
const READ_OVER: usize = 64 * 1024;
/// Bytes that the field block of a head that is too long stands for beyond its own, for which it costs an idle frame.
const BEYOND: usize = 4 * 1024;
/// Frames that a field block may come in.
const MOST_FRAMES: u32 = 64;

impl State {
    pub(super) fn headers(&mut self, head: FrameHead, payload: &[u8], now: Instant) -> Result<(), ErrorCode> {
        if head.stream == 0 {
            return Err(ErrorCode::Protocol);
        }
        let mut fragment = payload;
        if head.has(flag::PADDED) {
            let (padding, rest) = fragment.split_first().ok_or(ErrorCode::FrameSize)?;
            let len = rest.len().checked_sub(usize::from(*padding)).ok_or(ErrorCode::Protocol)?;
            fragment = rest.get(..len).unwrap_or_default();
        }
        if head.has(flag::PRIORITY) {
            let (depends, rest) = fragment.split_first_chunk::<5>().ok_or(ErrorCode::FrameSize)?;
            let [d0, d1, d2, d3, _] = *depends;
            if u32::from_be_bytes([d0, d1, d2, d3]) << 1 == head.stream << 1 {
                return Err(ErrorCode::Protocol);
            }
            fragment = rest;
        }
        let ends = head.has(flag::END_STREAM);
        if head.has(flag::END_HEADERS) {
            return self.block(head.stream, fragment, ends, now);
        }
        self.block.clear();
        self.block.extend_from_slice(fragment);
        self.blocked = Some(Block { stream: head.stream, ends, frames: 1 });
        Ok(())
    }

    pub(super) fn continuation(
        &mut self,
        head: FrameHead,
        payload: &[u8],
        now: Instant,
    ) -> Result<(), ErrorCode> {
        let Some(mut blocked) = self.blocked.take() else { return Err(ErrorCode::Protocol) };
        blocked.frames += 1;
        self.block.extend_from_slice(payload);
        if self.block.len() > self.limits.bytes.max(READ_OVER) + BLOCK_ROOM || blocked.frames > MOST_FRAMES {
            return Err(ErrorCode::EnhanceYourCalm);
        }
        if !head.has(flag::END_HEADERS) {
            self.blocked = Some(blocked);
            return Ok(());
        }
        let block = std::mem::take(&mut self.block);
        let done = self.block(blocked.stream, &block, blocked.ends, now);
        if block.capacity() <= BLOCK_ROOM {
            self.block = block;
        }
        done
    }

    /// A whole field block.
    fn block(&mut self, id: u32, block: &[u8], ends: bool, now: Instant) -> Result<(), ErrorCode> {
        self.spoken = now;
        if let Some((_, stream)) = self.find(id) {
            if stream.reset.is_some() {
                self.read_over(block)?;
                return self.late(id);
            }
            return match self.role {
                Role::Server => self.trailers(id, block, ends),
                Role::Client => self.answer(id, block, ends),
            };
        }
        if self.role == Role::Client || id.is_multiple_of(2) {
            self.read_over(block)?;
            return if self.is_idle(id) { Err(ErrorCode::Protocol) } else { self.late(id) };
        }
        if id <= self.last {
            return match self.ended.iter().find(|ended| ended.id == id) {
                Some(ended) if ended.by_reset => {
                    self.read_over(block)?;
                    self.idle_frame()
                }
                Some(_) => Err(ErrorCode::StreamClosed),
                None => Err(ErrorCode::Protocol),
            };
        }
        self.request(id, block, ends)
    }

    fn request(&mut self, id: u32, block: &[u8], ends: bool) -> Result<(), ErrorCode> {
        self.last = id;
        if self.leaving.is_some_and(|last| id > last) {
            self.read_over(block)?;
            return self.idle_frame();
        }
        let read = head::request(&mut self.decoder, block, self.limits, ends);
        // One that is over counts no more, but cannot be forgotten before its handle is gone.
        let most = self.own.streams as usize;
        if self.active() - self.gone >= most || self.active() >= most * 2 {
            if let Err(BlockError::Connection(code)) = read {
                return Err(code);
            }
            return self.reset_stream(id, ErrorCode::RefusedStream);
        }
        let asked = match read {
            Ok(head) => Ok(head),
            Err(BlockError::Connection(code)) => return Err(code),
            Err(BlockError::Stream) => {
                self.malformed += 1;
                return self.reset_stream(id, ErrorCode::Protocol);
            }
            Err(BlockError::Refused(malformed)) => {
                self.beyond(malformed, block)?;
                Err(malformed)
            }
        };
        let key = self.open(id);
        if let Some(stream) = self.streams.get_mut(key) {
            stream.headed = true;
            stream.ended = ends;
            if let Ok(head) = &asked {
                if let Framing::Length(bytes) = head.framing {
                    stream.announced = Some(bytes);
                }
                stream.urgency = head.store.field("priority").map_or(3, urgency);
            }
        }
        self.accepted.push_back((key, asked));
        Ok(())
    }

    /// A head that is too long was read to its end all the same. What is spelled out in it has cost its sender as much,
    /// as with cookies that have swollen; what names a table's fields again and again has not, and many such are a flood.
    fn beyond(&mut self, malformed: Malformed, block: &[u8]) -> Result<(), ErrorCode> {
        let beyond = matches!(malformed, Malformed::TooLong | Malformed::TooManyFields);
        let more = if beyond { self.decoder.stood_for().saturating_sub(block.len()) } else { 0 };
        let costs = u32::try_from(more / BEYOND).unwrap_or(u32::MAX);
        if self.storm.spend(costs) { Ok(()) } else { Err(ErrorCode::EnhanceYourCalm) }
    }

    fn answer(&mut self, id: u32, block: &[u8], ends: bool) -> Result<(), ErrorCode> {
        let limits = self.limits;
        let Some((key, stream)) = self.find(id) else { return Ok(()) };
        if stream.headed {
            return self.trailers(id, block, ends);
        }
        let asked = stream.asked.unwrap_or(Method::Get);
        let read = head::answer(&mut self.decoder, block, limits, asked, ends);
        let answer = match read {
            Ok(head) if ends && matches!(head.framing, Framing::Length(1..)) => Err(Malformed::Length),
            Ok(head) if head.status < 200 && (ends || head.status == 101) => {
                return self.reset_stream(id, ErrorCode::Protocol);
            }
            Ok(head) if head.status < 200 => {
                let Some(stream) = self.streams.get_mut(key) else { return Ok(()) };
                stream.interim.push_back(head);
                stream.wake_reader();
                if stream.interim.len() > MOST_INTERIM {
                    return self.reset_stream(id, ErrorCode::EnhanceYourCalm);
                }
                return self.idle_frame();
            }
            Ok(head) => Ok(head),
            Err(BlockError::Connection(code)) => return Err(code),
            Err(BlockError::Stream) => Err(Malformed::Syntax),
            Err(BlockError::Refused(malformed)) => Err(malformed),
        };
        self.earn();
        let Some(stream) = self.streams.get_mut(key) else { return Ok(()) };
        stream.headed = true;
        stream.ended = ends;
        if let Ok(head) = &answer
            && let Framing::Length(bytes) = head.framing
        {
            stream.announced = Some(bytes);
        }
        stream.head = Some(answer);
        stream.wake_reader();
        if ends { self.ends(id) } else { Ok(()) }
    }

    fn trailers(&mut self, id: u32, block: &[u8], ends: bool) -> Result<(), ErrorCode> {
        let limits = self.limits;
        let read = head::trailers(&mut self.decoder, block, limits);
        if let Err(BlockError::Connection(code)) = read {
            return Err(code);
        }
        let Some((_, stream)) = self.find(id) else { return Ok(()) };
        if stream.ended {
            return self.reset_stream(id, ErrorCode::StreamClosed);
        }
        match read {
            Ok(trailers) if ends => {
                stream.trailers = Some(trailers).filter(|trailers| !trailers.fields.is_empty());
                self.ends(id)
            }
            // A second head that does not end the stream is none.
            Ok(_) | Err(_) => self.reset_stream(id, ErrorCode::Protocol),
        }
    }

    /// Keeps the table in step for a block that nobody wants.
    fn read_over(&mut self, block: &[u8]) -> Result<(), ErrorCode> {
        match head::trailers(&mut self.decoder, block, self.limits) {
            Err(BlockError::Connection(code)) => Err(code),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// RFC 9218 section 7.1.
    pub(super) fn priority_update(&mut self, head: FrameHead, payload: &[u8]) -> Result<(), ErrorCode> {
        if head.stream != 0 || self.role == Role::Client {
            return Err(ErrorCode::Protocol);
        }
        let (id, value) = payload.split_first_chunk().ok_or(ErrorCode::FrameSize)?;
        let id = u32::from_be_bytes(*id) & super::frame::MOST_WINDOW;
        if id == 0 {
            return Err(ErrorCode::Protocol);
        }
        let urgency = urgency(value);
        if let Some((_, stream)) = self.find(id)
            && !stream.queued
        {
            stream.urgency = urgency;
        }
        self.idle_frame()
    }

    /// The head of a stream of this side, and perhaps its end.
    pub(super) fn put_block(&mut self, id: u32, block: &[u8], ends: bool) {
        let most = self.peer.frame as usize;
        let mut rest = block;
        let mut kind = FrameKind::Headers;
        loop {
            let (now, later) = rest.split_at(rest.len().min(most));
            let mut flags = if later.is_empty() { flag::END_HEADERS } else { 0 };
            if kind == FrameKind::Headers && ends {
                flags |= flag::END_STREAM;
            }
            self.put_frame(kind, flags, id, now);
            if later.is_empty() {
                return;
            }
            (rest, kind) = (later, FrameKind::Continuation);
        }
    }
}

/// The urgency that a `Priority` names; 3 where it names none (RFC 9218 section 4.1).
fn urgency(value: &[u8]) -> u8 {
    value
        .split(|b| *b == b',')
        .find_map(|item| match item.trim_ascii() {
            [b'u', b'=', digit @ b'0'..=b'7'] => Some(digit - b'0'),
            _ => None,
        })
        .unwrap_or(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_priority_names_its_urgency() {
        for (value, expected) in
            [("u=0", 0), ("i, u=7", 7), ("u=8", 3), ("", 3), ("u=-1,i", 3), ("u=5;x, i", 3)]
        {
            assert_eq!(urgency(value.as_bytes()), expected, "{value}");
        }
    }
}
