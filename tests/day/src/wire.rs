//! HTTP/1 as it comes in, for both sides. Reads what the proxy may send and nothing more lenient.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Why there is nothing more to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Closed, between two messages.
    Closed,
    /// Closed within a message.
    Truncated,
    /// Reset.
    Reset,
    /// Whoever reads has had enough.
    Stopped,
    /// What came is not HTTP.
    Nonsense,
}

/// A head as it came.
#[derive(Debug)]
pub struct Head(String);

impl Head {
    /// Its first line.
    pub fn line(&self) -> &str {
        self.0.lines().next().unwrap_or_default()
    }

    /// Of an answer.
    pub fn status(&self) -> u16 {
        self.line().split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// The first field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.0.lines().skip(1).find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Does it say that the connection ends?
    pub fn closes(&self) -> bool {
        self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// How its body is framed, for a message that has one; `None`: it does not say.
    pub fn frame(&self) -> Option<Frame> {
        if self.field("transfer-encoding") == Some("chunked") {
            return Some(Frame::Chunked);
        }
        self.field("content-length").and_then(|length| length.parse().ok()).map(Frame::Length)
    }
}

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// After so many bytes.
    Length(u64),
    /// With its last chunk.
    Chunked,
    /// With its connection.
    UntilClose,
}

/// What was read of a connection and not used yet.
#[derive(Debug, Default)]
pub struct Ahead {
    buf: Vec<u8>,
    at: usize,
    /// Read little, and wait in between.
    pub pace: Option<Duration>,
}

/// Bytes of one read, and of one slow read.
const READ: usize = 32 * 1024;
const SLOW_READ: usize = 8 * 1024;

impl Ahead {
    /// What is there.
    pub fn left(&self) -> &[u8] {
        self.buf.get(self.at..).unwrap_or_default()
    }

    fn used(&mut self, n: usize) {
        self.at += n;
        if self.at == self.buf.len() {
            self.buf.clear();
            self.at = 0;
        }
    }

    /// Takes all that is there.
    pub fn take(&mut self) -> Vec<u8> {
        let all = self.left().to_vec();
        self.used(all.len());
        all
    }

    /// Reads more; 0: the end.
    pub async fn more(&mut self, from: &mut (impl AsyncRead + Unpin)) -> Result<usize, Ended> {
        if let Some(pace) = self.pace {
            tokio::time::sleep(pace).await;
        }
        if self.at > READ {
            self.buf.drain(..self.at);
            self.at = 0;
        }
        let room = if self.pace.is_some() { SLOW_READ } else { READ };
        self.buf.reserve(room);
        let mut limited = from.take(room as u64);
        limited.read_buf(&mut self.buf).await.map_err(|_| Ended::Reset)
    }

    async fn needed(&mut self, from: &mut (impl AsyncRead + Unpin)) -> Result<(), Ended> {
        match self.more(from).await? {
            0 => Err(Ended::Truncated),
            _ => Ok(()),
        }
    }

    /// The next head.
    pub async fn head(&mut self, from: &mut (impl AsyncRead + Unpin)) -> Result<Head, Ended> {
        loop {
            if let Some(end) = find(self.left(), b"\r\n\r\n") {
                let bytes = self.left().get(..end + 2).unwrap_or_default().to_vec();
                self.used(end + 4);
                return String::from_utf8(bytes).map(Head).map_err(|_| Ended::Nonsense);
            }
            if self.left().len() > 256 * 1024 {
                return Err(Ended::Nonsense);
            }
            let had = !self.left().is_empty();
            if self.more(from).await? == 0 {
                return Err(if had { Ended::Truncated } else { Ended::Closed });
            }
        }
    }

    /// The next line, without its end.
    pub async fn text_line(&mut self, from: &mut (impl AsyncRead + Unpin)) -> Result<String, Ended> {
        loop {
            if let Some(end) = find(self.left(), b"\r\n") {
                let line = String::from_utf8_lossy(self.left().get(..end).unwrap_or_default()).into_owned();
                self.used(end + 2);
                return Ok(line);
            }
            self.needed(from).await?;
        }
    }

    /// A body, piece by piece, for as long as `each` wants more; its trailer lines.
    pub async fn body(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        frame: Frame,
        mut each: impl FnMut(&[u8]) -> bool,
    ) -> Result<String, Ended> {
        match frame {
            Frame::Length(bytes) => self.exactly(from, bytes, &mut each).await.map(|()| String::new()),
            Frame::UntilClose => loop {
                let there = self.left().len();
                if there > 0 && !each(self.left()) {
                    return Err(Ended::Stopped);
                }
                self.used(there);
                if self.more(from).await? == 0 {
                    return Ok(String::new());
                }
            },
            Frame::Chunked => self.chunks(from, &mut each).await,
        }
    }

    async fn exactly(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        mut bytes: u64,
        each: &mut impl FnMut(&[u8]) -> bool,
    ) -> Result<(), Ended> {
        while bytes > 0 {
            let there = self.left().len().min(usize::try_from(bytes).unwrap_or(usize::MAX));
            if there > 0 {
                let goes_on = each(self.left().get(..there).unwrap_or_default());
                self.used(there);
                bytes -= there as u64;
                if !goes_on {
                    return Err(Ended::Stopped);
                }
            } else {
                self.needed(from).await?;
            }
        }
        Ok(())
    }

    async fn chunks(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        each: &mut impl FnMut(&[u8]) -> bool,
    ) -> Result<String, Ended> {
        loop {
            let line = self.text_line(from).await?;
            let size = u64::from_str_radix(&line, 16).map_err(|_| Ended::Nonsense)?;
            if size == 0 {
                break;
            }
            self.exactly(from, size, each).await?;
            if !self.text_line(from).await?.is_empty() {
                return Err(Ended::Nonsense);
            }
        }
        let mut trailers = String::new();
        loop {
            let line = self.text_line(from).await?;
            if line.is_empty() {
                return Ok(trailers);
            }
            trailers.push_str(&line);
            trailers.push('\n');
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// Adds `body` to `out` in chunks of several sizes.
pub fn put_chunks(out: &mut Vec<u8>, body: &[u8]) {
    let mut rest = body;
    let mut size = 1_000;
    while !rest.is_empty() {
        let (chunk, more) = rest.split_at(size.min(rest.len()));
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
        rest = more;
        size = size * 3 % 40_000 + 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T>(reading: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(reading)
    }

    #[test]
    fn messages_are_read_one_after_the_other() {
        let mut text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        let body: Vec<u8> = (0..5_000_u32).map(|n| n as u8).collect();
        put_chunks(&mut text, &body);
        text.extend_from_slice(b"0\r\nX-Sum: 1\r\n\r\nHTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        let mut from = text.as_slice();
        let mut ahead = Ahead::default();
        read(async {
            let head = ahead.head(&mut from).await.unwrap();
            assert_eq!((head.status(), head.frame(), head.closes()), (200, Some(Frame::Chunked), false));
            let mut got = Vec::new();
            let trailers = ahead
                .body(&mut from, Frame::Chunked, |piece| {
                    got.extend_from_slice(piece);
                    true
                })
                .await;
            assert_eq!((got, trailers), (body, Ok("X-Sum: 1\n".to_owned())));
            let head = ahead.head(&mut from).await.unwrap();
            assert_eq!((head.status(), head.closes()), (204, true));
            assert_eq!(ahead.head(&mut from).await.unwrap_err(), Ended::Closed);
        });
    }

    #[test]
    fn a_missing_end_is_told() {
        let mut ahead = Ahead::default();
        let mut from = &b"abc"[..];
        let ended = read(ahead.body(&mut from, Frame::Length(4), |_| true));
        assert_eq!(ended, Err(Ended::Truncated));
    }
}
