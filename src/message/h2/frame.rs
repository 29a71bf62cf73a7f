//! The frames of HTTP/2 (RFC 9113 sections 4 and 6): their heads, their settings, the codes they name.
//!
//! Pure functions over bytes.

/// What a client sends first (RFC 9113 section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of a frame's head.
pub const HEAD: usize = 9;
/// Bytes of the longest payload that either side takes without having said otherwise; this side never says otherwise.
pub const MOST: usize = 16_384;
/// The largest window (RFC 9113 section 6.9.1).
pub const MOST_WINDOW: u32 = (1 << 31) - 1;
/// The window that a connection, and a stream without settings, begins with.
pub const FIRST_WINDOW: u32 = 65_535;

/// Flags of a frame; which of them mean something depends on its kind.
pub mod flag {
    /// HEADERS, DATA: nothing more follows on the stream.
    pub const END_STREAM: u8 = 0x1;
    /// SETTINGS, PING: an acknowledgement.
    pub const ACK: u8 = 0x1;
    /// HEADERS, CONTINUATION: the field block is whole.
    pub const END_HEADERS: u8 = 0x4;
    /// HEADERS, DATA: padding follows.
    pub const PADDED: u8 = 0x8;
    /// HEADERS: a priority precedes the field block.
    pub const PRIORITY: u8 = 0x20;
}

/// The kind of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum FrameKind {
    Data,
    Headers,
    Priority,
    Reset,
    Settings,
    PushPromise,
    Ping,
    GoAway,
    WindowUpdate,
    Continuation,
    /// RFC 9218 section 7.1.
    PriorityUpdate,
    /// To be read over (RFC 9113 section 5.5).
    Unknown,
}

impl FrameKind {
    const ALL: [(u8, Self); 11] = [
        (0, Self::Data),
        (1, Self::Headers),
        (2, Self::Priority),
        (3, Self::Reset),
        (4, Self::Settings),
        (5, Self::PushPromise),
        (6, Self::Ping),
        (7, Self::GoAway),
        (8, Self::WindowUpdate),
        (9, Self::Continuation),
        (16, Self::PriorityUpdate),
    ];

    fn of(byte: u8) -> Self {
        Self::ALL.iter().find(|(code, _)| *code == byte).map_or(Self::Unknown, |(_, kind)| *kind)
    }

    /// Its name in RFC 9113 section 6.
    pub fn label(self) -> &'static str {
        match self {
            Self::Data => "DATA",
            Self::Headers => "HEADERS",
            Self::Priority => "PRIORITY",
            Self::Reset => "RST_STREAM",
            Self::Settings => "SETTINGS",
            Self::PushPromise => "PUSH_PROMISE",
            Self::Ping => "PING",
            Self::GoAway => "GOAWAY",
            Self::WindowUpdate => "WINDOW_UPDATE",
            Self::Continuation => "CONTINUATION",
            Self::PriorityUpdate => "PRIORITY_UPDATE",
            Self::Unknown => "unknown",
        }
    }

    fn byte(self) -> u8 {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or(u8::MAX, |(code, _)| *code)
    }
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// Bytes of the payload.
    pub len: usize,
    pub kind: FrameKind,
    pub flags: u8,
    /// The stream it is of; 0: the connection.
    pub stream: u32,
}

impl FrameHead {
    /// The head at the front of `bytes`; `None`: not all of it is there.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let head: &[u8; HEAD] = bytes.first_chunk()?;
        let [l0, l1, l2, kind, flags, stream @ ..] = *head;
        Some(Self {
            len: u32::from_be_bytes([0, l0, l1, l2]) as usize,
            kind: FrameKind::of(kind),
            flags,
            stream: u32::from_be_bytes(stream) & MOST_WINDOW,
        })
    }

    /// As it is sent.
    pub fn bytes(self) -> [u8; HEAD] {
        let [_, l0, l1, l2] = (self.len as u32).to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        [l0, l1, l2, self.kind.byte(), self.flags, s0, s1, s2, s3]
    }

    /// Is `flag` set?
    pub fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Why a stream or a connection ends (RFC 9113 section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
#[repr(u8)]
pub enum ErrorCode {
    NoError,
    Protocol,
    Internal,
    FlowControl,
    SettingsTimeout,
    StreamClosed,
    FrameSize,
    RefusedStream,
    Cancel,
    Compression,
    Connect,
    EnhanceYourCalm,
    InadequateSecurity,
    Http11Required,
    /// A code that this side does not know: as good as [`Self::Internal`].
    Unknown,
}

impl ErrorCode {
    const ALL: [Self; 14] = [
        Self::NoError,
        Self::Protocol,
        Self::Internal,
        Self::FlowControl,
        Self::SettingsTimeout,
        Self::StreamClosed,
        Self::FrameSize,
        Self::RefusedStream,
        Self::Cancel,
        Self::Compression,
        Self::Connect,
        Self::EnhanceYourCalm,
        Self::InadequateSecurity,
        Self::Http11Required,
    ];

    /// The one with this number.
    pub fn of(number: u32) -> Self {
        Self::ALL.get(number as usize).copied().unwrap_or(Self::Unknown)
    }

    /// Its number.
    pub fn number(self) -> u32 {
        let known = if self == Self::Unknown { Self::Internal } else { self };
        known as u32
    }

    /// Its name in RFC 9113 section 7.
    pub fn label(self) -> &'static str {
        match self {
            Self::NoError => "NO_ERROR",
            Self::Protocol => "PROTOCOL_ERROR",
            Self::Internal => "INTERNAL_ERROR",
            Self::FlowControl => "FLOW_CONTROL_ERROR",
            Self::SettingsTimeout => "SETTINGS_TIMEOUT",
            Self::StreamClosed => "STREAM_CLOSED",
            Self::FrameSize => "FRAME_SIZE_ERROR",
            Self::RefusedStream => "REFUSED_STREAM",
            Self::Cancel => "CANCEL",
            Self::Compression => "COMPRESSION_ERROR",
            Self::Connect => "CONNECT_ERROR",
            Self::EnhanceYourCalm => "ENHANCE_YOUR_CALM",
            Self::InadequateSecurity => "INADEQUATE_SECURITY",
            Self::Http11Required => "HTTP_1_1_REQUIRED",
            Self::Unknown => "an unknown code",
        }
    }
}

/// What a side has said of itself (RFC 9113 section 6.5.2, RFC 8441 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of the HPACK table that it keeps as a reader.
    pub header_table: u32,
    /// Does it take PUSH_PROMISE?
    pub push: bool,
    /// Streams that the other side may have open.
    pub streams: u32,
    /// Bytes that the other side may send on a new stream.
    pub window: u32,
    /// Bytes of the longest payload that it takes.
    pub frame: u32,
    /// Bytes of the longest head that it takes, as section 6.5.2 counts them.
    pub head: u32,
    /// Does it take CONNECT with `:protocol`?
    pub connect_protocol: bool,
    /// Does it leave aside the priorities of RFC 9113 (RFC 9218 section 2.1)?
    pub no_priorities: bool,
}

impl Default for Settings {
    /// What holds as long as nothing was said.
    fn default() -> Self {
        Self {
            header_table: 4_096,
            push: true,
            streams: u32::MAX,
            window: FIRST_WINDOW,
            frame: MOST as u32,
            head: u32::MAX,
            connect_protocol: false,
            no_priorities: false,
        }
    }
}

impl Settings {
    /// Bytes of one entry.
    pub const ENTRY: usize = 6;

    /// Takes over one entry; the code to end the connection with where its value is none. Unknown ones are read over.
    pub fn take(&mut self, entry: [u8; Self::ENTRY]) -> Result<(), ErrorCode> {
        let [i0, i1, v0, v1, v2, v3] = entry;
        let value = u32::from_be_bytes([v0, v1, v2, v3]);
        let flag = || if value <= 1 { Ok(value == 1) } else { Err(ErrorCode::Protocol) };
        match u16::from_be_bytes([i0, i1]) {
            1 => self.header_table = value,
            2 => self.push = flag()?,
            3 => self.streams = value,
            4 if value > MOST_WINDOW => return Err(ErrorCode::FlowControl),
            4 => self.window = value,
            5 if !(MOST as u32..1 << 24).contains(&value) => return Err(ErrorCode::Protocol),
            5 => self.frame = value,
            6 => self.head = value,
            // Once said it holds (RFC 8441 section 3).
            8 if !flag()? && self.connect_protocol => return Err(ErrorCode::Protocol),
            8 => self.connect_protocol = value == 1,
            9 => self.no_priorities = flag()?,
            _ => {}
        }
        Ok(())
    }

    /// The payload that says what differs from the default.
    pub fn put(&self, out: &mut Vec<u8>) {
        let base = Self::default();
        let entries = [
            (1_u16, self.header_table, base.header_table),
            (2, u32::from(self.push), u32::from(base.push)),
            (3, self.streams, base.streams),
            (4, self.window, base.window),
            (5, self.frame, base.frame),
            (6, self.head, base.head),
            (8, u32::from(self.connect_protocol), u32::from(base.connect_protocol)),
            (9, u32::from(self.no_priorities), u32::from(base.no_priorities)),
        ];
        for (id, value, base) in entries {
            if value != base {
                out.extend_from_slice(&id.to_be_bytes());
                out.extend_from_slice(&value.to_be_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_reads_as_it_was_written() {
        for kind in FrameKind::ALL.map(|(_, kind)| kind) {
            let head = FrameHead { len: 0x01_02_03, kind, flags: 0x25, stream: MOST_WINDOW };
            assert_eq!(FrameHead::read(&head.bytes()), Some(head));
        }
        assert_eq!(FrameHead::read(&[0; HEAD - 1]), None);
        let reserved = FrameHead::read(&[0, 0, 0, 0x99, 0, 0xff, 0xff, 0xff, 0xff]).unwrap();
        assert_eq!((reserved.kind, reserved.stream), (FrameKind::Unknown, MOST_WINDOW));
    }

    #[test]
    fn settings_are_said_and_understood() {
        let said = Settings {
            push: false,
            streams: 128,
            window: 32_768,
            connect_protocol: true,
            ..Settings::default()
        };
        let mut bytes = Vec::new();
        said.put(&mut bytes);
        let mut heard = Settings::default();
        for entry in bytes.chunks_exact(Settings::ENTRY) {
            heard.take(entry.try_into().unwrap()).unwrap();
        }
        assert_eq!(heard, said);
    }

    #[test]
    fn values_that_are_none_are_refused_with_their_code() {
        let take = |id: u16, value: u32| {
            let mut entry = [0; Settings::ENTRY];
            entry[..2].copy_from_slice(&id.to_be_bytes());
            entry[2..].copy_from_slice(&value.to_be_bytes());
            Settings { connect_protocol: true, ..Settings::default() }.take(entry)
        };
        assert_eq!(take(2, 2), Err(ErrorCode::Protocol));
        assert_eq!(take(4, 1 << 31), Err(ErrorCode::FlowControl));
        assert_eq!(take(5, 16_383), Err(ErrorCode::Protocol));
        assert_eq!(take(5, 1 << 24), Err(ErrorCode::Protocol));
        assert_eq!(take(8, 0), Err(ErrorCode::Protocol), "once said, it holds");
        assert_eq!(take(0x99, 7), Ok(()));
    }

    #[test]
    fn codes_have_their_numbers() {
        for number in 0..14 {
            assert_eq!(ErrorCode::of(number).number(), number);
        }
        assert_eq!(ErrorCode::of(99), ErrorCode::Unknown);
    }
}
