//! HTTP/2 by hand (RFC 9113): what is sent, and what is read of the other side's frames. It knows no code of Strop.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
/// Of HEADERS and DATA; of SETTINGS and PING it is an acknowledgement.
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
/// A number that no frame has.
pub const UNKNOWN: u8 = 0x42;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Setting 4: bytes that may be sent on a new stream.
const INITIAL_WINDOW: u16 = 4;
/// Windows of the other side before it has said anything.
const FIRST_WINDOW: i64 = 65_535;
/// How long one write may take.
const PATIENCE: Duration = Duration::from_secs(10);

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, l0, l1, l2] = (payload.len() as u32).to_be_bytes();
    let mut bytes = vec![l0, l1, l2, kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A field block without the table: the pseudo fields of one request.
pub fn head(post: bool, path: &str) -> Vec<u8> {
    let mut block = vec![if post { 0x83 } else { 0x82 }, 0x86, 0x04, path.len() as u8];
    block.extend_from_slice(path.as_bytes());
    block.extend_from_slice(b"\x01\x04shop");
    block
}

/// A request that is whole with its head.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &head(false, path))
}

/// A request whose body is yet to come.
pub fn post(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &head(true, path))
}

/// Why the other side has ended the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By GOAWAY with this code.
    GoAway(u32),
    /// Without a word.
    Silent,
}

/// One connection.
pub struct Wire {
    tcp: TcpStream,
    came: Vec<u8>,
    /// Each GOAWAY that came: the last stream and the code.
    pub farewells: Vec<(u32, u32)>,
    /// Heads, resets and the ends of bodies that came: kind, flags, stream.
    pub seen: Vec<(u8, u8, u32)>,
    greeted: bool,
    /// Does it answer PING?
    pub answers: bool,
    ended: bool,
    /// It takes nothing more; what it has said may still be there.
    stuck: bool,
    /// What may still be sent: on the connection (0) and on each stream.
    windows: BTreeMap<u32, i64>,
    initial: i64,
}

impl Wire {
    /// Says the preface, and that this side takes `window` bytes on each stream.
    pub fn open(tcp: TcpStream, window: u32) -> std::io::Result<Self> {
        tcp.set_write_timeout(Some(PATIENCE))?;
        let windows = BTreeMap::from([(0, FIRST_WINDOW)]);
        let (ended, stuck) = (false, false);
        let mut wire = Self {
            tcp,
            came: Vec::new(),
            farewells: Vec::new(),
            seen: Vec::new(),
            greeted: false,
            answers: true,
            ended,
            stuck,
            windows,
            initial: FIRST_WINDOW,
        };
        let setting = [&INITIAL_WINDOW.to_be_bytes()[..], &window.to_be_bytes()].concat();
        wire.put(&[PREFACE, &frame(SETTINGS, 0, 0, &setting)].concat());
        Ok(wire)
    }

    /// Takes no more than a little from the other side's kernel.
    pub fn reads_little(&self) -> std::io::Result<()> {
        socket2::SockRef::from(&self.tcp).set_recv_buffer_size(4 << 10)
    }

    /// Writes, as long as it takes anything.
    pub fn put(&mut self, bytes: &[u8]) {
        self.stuck = self.stuck || self.tcp.write_all(bytes).is_err();
    }

    /// Writes as far as it is taken at once.
    pub fn try_put(&mut self, bytes: &[u8]) {
        let _ = self.tcp.set_nonblocking(true);
        let written = self.tcp.write(bytes);
        let _ = self.tcp.set_nonblocking(false);
        self.stuck |= written.is_err_and(|error| error.kind() != ErrorKind::WouldBlock);
    }

    /// Does it take nothing more?
    pub fn is_stuck(&self) -> bool {
        self.stuck || self.ended
    }

    /// Has the other side ended it, as far as was read?
    pub fn end(&self) -> Option<End> {
        self.ended.then(|| self.farewells.last().map_or(End::Silent, |(_, code)| End::GoAway(*code)))
    }

    /// Reads what is there, and answers SETTINGS and PING.
    pub fn read(&mut self) {
        let _ = self.tcp.set_nonblocking(true);
        let mut some = [0; 64 * 1024];
        while !self.ended {
            match self.tcp.read(&mut some) {
                Ok(0) => self.ended = true,
                Ok(n) => self.came.extend_from_slice(&some[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.ended = true,
            }
            self.frames();
        }
        let _ = self.tcp.set_nonblocking(false);
    }

    /// Reads until the other side has ended the connection, or for `most`.
    pub fn read_to_end(&mut self, most: Duration) -> Option<End> {
        let until = Instant::now() + most;
        while Instant::now() < until && self.end().is_none() {
            self.read();
            std::thread::sleep(Duration::from_millis(2));
        }
        self.end()
    }

    /// Has the other side said what it takes?
    pub fn is_greeted(&self) -> bool {
        self.greeted
    }

    /// Has an answer on `stream` come in whole?
    pub fn is_answered(&self, stream: u32) -> bool {
        self.seen
            .iter()
            .any(|(kind, flags, id)| *id == stream && *kind != RST_STREAM && flags & END_STREAM != 0)
    }

    fn frames(&mut self) {
        let mut at = 0;
        let mut answers = Vec::new();
        while let Some(head) = self.came.get(at..at + 9) {
            let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let (kind, flags) = (head[3], head[4]);
            let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
            let Some(payload) = self.came.get(at + 9..at + 9 + len) else { break };
            let number = |at: usize| {
                payload
                    .get(at..at + 4)
                    .map_or(0, |four| u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
            };
            match kind {
                SETTINGS if flags & END_STREAM == 0 => {
                    self.greeted = true;
                    for entry in payload.chunks_exact(6).filter(|entry| entry[1] == 4) {
                        self.initial =
                            i64::from(u32::from_be_bytes([entry[2], entry[3], entry[4], entry[5]]));
                    }
                    answers.extend(frame(SETTINGS, END_STREAM, 0, &[]));
                }
                PING if flags & END_STREAM == 0 && self.answers => {
                    answers.extend(frame(PING, END_STREAM, 0, payload))
                }
                GOAWAY => self.farewells.push((number(0), number(4))),
                HEADERS | RST_STREAM => self.seen.push((kind, flags, stream)),
                DATA if flags & END_STREAM != 0 => self.seen.push((kind, flags, stream)),
                WINDOW_UPDATE => {
                    let initial = self.initial;
                    *self.windows.entry(stream).or_insert(initial) += i64::from(number(0));
                }
                _ => {}
            }
            at += 9 + len;
        }
        self.came.drain(..at);
        if !answers.is_empty() {
            self.put(&answers);
        }
    }

    /// Sends as much of a body as the windows of `stream` and of the connection let pass; whether there was any.
    pub fn send_body(&mut self, stream: u32) -> bool {
        let initial = self.initial;
        let own = *self.windows.entry(stream).or_insert(initial);
        let all = *self.windows.get(&0).unwrap_or(&0);
        let n = own.min(all).clamp(0, 16_384);
        if n > 0 {
            self.put(&frame(DATA, 0, stream, &vec![b'x'; n as usize]));
            for window in [0, stream] {
                *self.windows.entry(window).or_insert(0) -= n;
            }
        }
        n > 0
    }
}
