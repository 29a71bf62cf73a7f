//! HTTP/2 frame by frame, with nothing that a peer could not send: one end of a connection that may say anything.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::PATIENCE;

/// Kinds of frames (RFC 9113 section 6).
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub mod flag {
    pub const ACK: u8 = 1;
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;
    /// A head that is whole and followed by nothing.
    pub const ALL: u8 = END_HEADERS | END_STREAM;
    pub const PADDED: u8 = 8;
    pub const PRIORITY: u8 = 0x20;
}

/// Error codes (RFC 9113 section 7).
pub mod code {
    pub const NO_ERROR: u32 = 0;
    pub const PROTOCOL: u32 = 1;
    pub const FLOW_CONTROL: u32 = 3;
    pub const STREAM_CLOSED: u32 = 5;
    pub const FRAME_SIZE: u32 = 6;
    pub const REFUSED: u32 = 7;
    pub const CANCEL: u32 = 8;
    pub const COMPRESSION: u32 = 9;
    pub const CALM: u32 = 11;
}

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One frame as it came.
#[derive(Clone, Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The number of four bytes at `at`.
    pub fn number(&self, at: usize) -> u32 {
        self.payload.get(at..at + 4).map_or(0, |bytes| u32::from_be_bytes(bytes.try_into().expect("four")))
    }
}

/// The next frame, or why there is none.
#[derive(Clone, Debug)]
pub enum Next {
    Frame(Frame),
    /// The connection has ended.
    End,
    /// Nothing has come for long.
    Nothing,
}

/// A frame as it is sent, its length being that of the payload.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// A string as it is, without a code, however long.
fn string(text: &str) -> Vec<u8> {
    let mut rest = text.len();
    let mut out = vec![rest.min(127) as u8];
    if rest >= 127 {
        rest -= 127;
        while rest >= 128 {
            out.push(rest as u8 | 128);
            rest >>= 7;
        }
        out.push(rest as u8);
    }
    out.extend_from_slice(text.as_bytes());
    out
}

/// A field block of literals that no table takes, whatever the names and values are.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| [vec![0], string(name), string(value)].concat()).collect()
}

/// One end of a connection.
pub struct H2Raw {
    stream: TcpStream,
    ahead: Vec<u8>,
}

impl H2Raw {
    /// Connected, with nothing said.
    pub fn silent(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).expect("connects"))
    }

    /// A client that has said its preface and its settings, which are none, and has taken those of the server.
    pub fn to(address: SocketAddr) -> Self {
        let mut client = Self::silent(address);
        client.greet();
        client
    }

    /// What was accepted or connected.
    pub fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("sets");
        stream.set_nodelay(true).expect("sets");
        Self { stream, ahead: Vec::new() }
    }

    /// Another end of the same connection, to send while this one reads.
    pub fn another(&self) -> Self {
        Self { stream: self.stream.try_clone().expect("clones"), ahead: Vec::new() }
    }

    /// How long nothing may come before that is told.
    pub fn patience(&mut self, silence: Duration) {
        self.stream.set_read_timeout(Some(silence)).expect("sets");
    }

    fn greet(&mut self) {
        let settings = frame(kind::SETTINGS, 0, 0, &[]);
        self.send(&[PREFACE.to_vec(), settings, frame(kind::SETTINGS, flag::ACK, 0, &[])].concat());
    }

    /// Sends; whoever has had enough may have closed.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.send(&frame(kind, flags, stream, payload));
    }

    /// A whole head.
    pub fn head(&mut self, stream: u32, flags: u8, fields: &[(&str, &str)]) {
        self.frame(kind::HEADERS, flags | flag::END_HEADERS, stream, &block(fields));
    }

    pub fn data(&mut self, stream: u32, flags: u8, bytes: &[u8]) {
        self.frame(kind::DATA, flags, stream, bytes);
    }

    pub fn reset(&mut self, stream: u32, code: u32) {
        self.frame(kind::RST_STREAM, 0, stream, &code.to_be_bytes());
    }

    pub fn window(&mut self, stream: u32, more: u32) {
        self.frame(kind::WINDOW_UPDATE, 0, stream, &more.to_be_bytes());
    }

    pub fn settings(&mut self, entries: &[(u16, u32)]) {
        let entry = |(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()[..]].concat();
        let payload: Vec<u8> = entries.iter().flat_map(entry).collect();
        self.frame(kind::SETTINGS, 0, 0, &payload);
    }

    /// The next frame.
    pub fn next(&mut self) -> Next {
        loop {
            if let Some(head) = self.ahead.first_chunk::<9>() {
                let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                if self.ahead.len() >= 9 + len {
                    let (kind, flags) = (head[3], head[4]);
                    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                    let payload = self.ahead[9..9 + len].to_vec();
                    self.ahead.drain(..9 + len);
                    return Next::Frame(Frame { kind, flags, stream, payload });
                }
            }
            let mut room = [0; 16 * 1024];
            match self.stream.read(&mut room) {
                Ok(0) => return Next::End,
                Ok(n) => self.ahead.extend_from_slice(&room[..n]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Next::Nothing,
                Err(_) => return Next::End,
            }
        }
    }

    /// Reads over what comes up to a frame that is `wanted`; a failure when it does not come.
    pub fn until(&mut self, wanted: impl Fn(&Frame) -> bool) -> Frame {
        let mut before = Vec::new();
        loop {
            match self.next() {
                Next::Frame(frame) if wanted(&frame) => return frame,
                Next::Frame(frame) => before.push((frame.kind, frame.stream)),
                end @ (Next::End | Next::Nothing) => panic!("{end:?} after {before:?}"),
            }
        }
    }

    /// Waits until the peer has read all that was sent.
    pub fn settle(&mut self) {
        self.frame(kind::PING, 0, 0, b"settled?");
        self.until(|frame| frame.kind == kind::PING && frame.payload == b"settled?");
    }

    /// Waits for the end of an answer: its status and its body.
    pub fn answer(&mut self, stream: u32) -> (u16, Vec<u8>) {
        let (mut status, mut body) = (0, Vec::new());
        loop {
            let frame = self.until(|frame| frame.stream == stream);
            match frame.kind {
                kind::HEADERS if status < 200 => status = status_of(&frame.payload),
                kind::DATA => body.extend_from_slice(&frame.payload),
                kind::RST_STREAM => panic!("reset for {}", frame.number(0)),
                _ => {}
            }
            if matches!(frame.kind, kind::HEADERS | kind::DATA) && frame.has(flag::END_STREAM) {
                return (status, body);
            }
        }
    }
}

/// The status at the front of a field block; 0: there is none.
pub fn status_of(block: &[u8]) -> u16 {
    // Sizes of the table may precede it.
    let mut rest = block;
    while let [first, later @ ..] = rest
        && first & 0xe0 == 0x20
    {
        let more =
            if first & 0x1f == 0x1f { later.iter().take_while(|b| **b & 128 != 0).count() + 1 } else { 0 };
        rest = &later[more..];
    }
    match rest {
        [index @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(index - 0x88)],
        [0x08 | 0x18 | 0x48, 3, a, b, c, ..] => {
            [a, b, c].iter().fold(0, |status, digit| status * 10 + u16::from(**digit - b'0'))
        }
        [0x08 | 0x18 | 0x48, len @ (0x82 | 0x83), text @ ..] => digits(&text[..usize::from(len & 0x7f)]),
        _ => 0,
    }
}

/// A number whose digits are coded (RFC 7541 appendix B): 0 to 2 in five bits, the others in six.
fn digits(text: &[u8]) -> u16 {
    let bits: String = text.iter().map(|byte| format!("{byte:08b}")).collect();
    let (mut at, mut number) = (0, 0);
    for _ in 0..3 {
        let of = |len: usize| bits.get(at..at + len).and_then(|code| u16::from_str_radix(code, 2).ok());
        let (digit, len) = match (of(5), of(6)) {
            (Some(short @ 0..=2), _) => (short, 5),
            (_, Some(long @ 0x19..=0x1f)) => (long - 0x16, 6),
            _ => return 0,
        };
        (at, number) = (at + len, number * 10 + digit);
    }
    number
}

/// What an upstream does with the request on a stream.
pub type Behaves = fn(&mut H2Raw, u32);

/// An upstream that speaks HTTP/2 in the clear and does with each request what it was told last.
pub struct H2RawUpstream {
    pub address: SocketAddr,
    told: Arc<Mutex<Behaves>>,
}

impl H2RawUpstream {
    pub fn start(behaves: Behaves) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = listener.local_addr().expect("bound");
        let told = Arc::new(Mutex::new(behaves));
        let upstream = Self { address, told: Arc::clone(&told) };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let told = Arc::clone(&told);
                std::thread::spawn(move || serve(stream, &told));
            }
        });
        upstream
    }

    pub fn behave(&self, behaves: Behaves) {
        *self.told.lock().expect("not poisoned") = behaves;
    }
}

fn serve(mut stream: TcpStream, told: &Mutex<Behaves>) {
    let mut preface = [0; PREFACE.len()];
    if stream.read_exact(&mut preface).is_err() || preface != *PREFACE {
        return;
    }
    let mut conn = H2Raw::over(stream);
    conn.settings(&[]);
    loop {
        match conn.next() {
            Next::Frame(frame) if frame.kind == kind::SETTINGS && !frame.has(flag::ACK) => {
                conn.frame(kind::SETTINGS, flag::ACK, 0, &[]);
            }
            Next::Frame(frame) if frame.kind == kind::HEADERS => {
                let behaves = *told.lock().expect("not poisoned");
                behaves(&mut conn, frame.stream);
            }
            Next::Frame(_) | Next::Nothing => {}
            Next::End => return,
        }
    }
}
