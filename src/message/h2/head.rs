//! Field blocks into heads, and heads into field blocks (RFC 9113 section 8).
//!
//! Fields go from the decoder's bytes straight into a [`HeadStore`]: what is malformed by HTTP/2's own rules resets the
//! stream, what would be refused over HTTP/1.1 as well is refused in the same words.

use std::sync::LazyLock;

use super::frame::ErrorCode;
use super::hpack::{self, FieldSink};
use crate::message::h1::Malformed;
use crate::message::h1::parse::{self, HeadLimits};
use crate::message::head::{
    ByteSpan, Framing, HOP_BY_HOP, HeadStore, Known, KnownSet, Method, RequestHead, ResponseHead, Version,
};
use crate::message::scratch::Scratch;

/// What a WebSocket's request is for whoever knows no `:protocol` (RFC 8441 section 5.1).
const GET: &[u8] = b"GET";

/// What a field block begins with, by what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pseudo {
    Method,
    Scheme,
    Authority,
    Path,
    Protocol,
    Status,
}

impl Pseudo {
    fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b":method" => Self::Method,
            b":scheme" => Self::Scheme,
            b":authority" => Self::Authority,
            b":path" => Self::Path,
            b":protocol" => Self::Protocol,
            b":status" => Self::Status,
            _ => return None,
        })
    }
}

/// What a field block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockKind {
    /// The head of a request.
    Request,
    /// The head of an answer.
    Answer,
    /// What follows a body.
    Trailers,
}

/// Why a field block is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockError {
    /// The table is out of step: the connection is over.
    Connection(ErrorCode),
    /// The stream is.
    Stream,
    /// It is understood, and refused.
    Refused(Malformed),
}

/// Fields that mean a connection, which is not what HTTP/2 has (RFC 9113 section 8.2.2).
const OF_A_CONNECTION: KnownSet = KnownSet::of(&[
    Known::Connection,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::TransferEncoding,
    Known::Upgrade,
]);

/// Is it a token (RFC 9110 section 9.1)? What is not would be more than a method over HTTP/1.1.
fn is_method(method: &[u8]) -> bool {
    let fits = |b: &u8| NAMED[usize::from(*b)] || b.is_ascii_uppercase();
    !method.is_empty() && method.iter().all(fits)
}

/// Is it a scheme (RFC 3986 section 3.1)? One that is not HTTP's is no error by itself (RFC 9113 section 8.3.1): as with nginx
/// and Envoy it means nothing before a backend; where it is asked for by its scheme, that is looked at.
fn is_scheme(scheme: &[u8]) -> bool {
    let fits = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    scheme.first().is_some_and(u8::is_ascii_alphabetic) && scheme.iter().all(fits)
}

/// Bytes of a field's name: those of a token, none of them in upper case.
const NAMED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        table[byte] = b.is_ascii_lowercase()
            || b.is_ascii_digit()
            || matches!(b, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^')
            || matches!(b, b'_' | b'`' | b'|' | b'~');
        byte += 1;
    }
    table
};

fn is_value(value: &[u8]) -> bool {
    value.iter().all(|b| (*b >= b' ' && *b != 0x7f) || *b == b'\t')
}

/// A field block on its way into a store.
struct BlockReader {
    kind: BlockKind,
    limits: HeadLimits,
    store: HeadStore,
    pseudo: [Option<ByteSpan>; 6],
    /// HTTP/2 may split the cookie; HTTP/1.1 has one line (RFC 9113 section 8.2.3).
    crumbs: Option<Scratch>,
    bytes: usize,
    error: Option<BlockError>,
}

impl BlockReader {
    fn take(&mut self, field: hpack::Field<'_>) -> Result<(), BlockError> {
        let hpack::Field { name, value, .. } = field;
        if !is_value(value) {
            return Err(BlockError::Stream);
        }
        self.bytes += name.len() + value.len() + 4;
        if self.bytes > self.limits.bytes {
            return Err(BlockError::Refused(Malformed::TooLong));
        }
        if name.first() == Some(&b':') {
            return self.pseudo(name, value);
        }
        if name.is_empty() || !name.iter().all(|b| NAMED[usize::from(*b)]) {
            return Err(BlockError::Stream);
        }
        self.regular(field)
    }

    fn pseudo(&mut self, name: &[u8], value: &[u8]) -> Result<(), BlockError> {
        let fits = |pseudo: &Pseudo| match self.kind {
            BlockKind::Request => *pseudo != Pseudo::Status,
            BlockKind::Answer => *pseudo == Pseudo::Status,
            BlockKind::Trailers => false,
        };
        let pseudo = Pseudo::of(name).filter(fits).ok_or(BlockError::Stream)?;
        if pseudo == Pseudo::Method && !is_method(value) {
            return Err(BlockError::Refused(Malformed::Syntax));
        }
        if pseudo == Pseudo::Scheme && !is_scheme(value) {
            return Err(BlockError::Stream);
        }
        let begun = !self.store.fields.is_empty() || self.crumbs.is_some();
        let place = self.pseudo.get_mut(pseudo as usize).ok_or(BlockError::Stream)?;
        if begun || place.is_some() {
            return Err(BlockError::Stream);
        }
        let at = self.store.bytes.len();
        self.store.bytes.extend_from_slice(value);
        *place = Some(ByteSpan::new(at, self.store.bytes.len()));
        Ok(())
    }

    fn regular(&mut self, field: hpack::Field<'_>) -> Result<(), BlockError> {
        let hpack::Field { name, value, sensitive, .. } = field;
        // What a server adds is looked over; what asks is not.
        let value = match self.kind {
            BlockKind::Request if value.trim_ascii().len() != value.len() => return Err(BlockError::Stream),
            BlockKind::Request | BlockKind::Answer | BlockKind::Trailers => value.trim_ascii(),
        };
        if name == b"cookie" {
            if self.crumbs.is_none() && self.store.fields.len() >= self.limits.fields {
                return Err(BlockError::Refused(Malformed::TooManyFields));
            }
            let crumbs = self.crumbs.get_or_insert_with(Scratch::default);
            if !crumbs.is_empty() {
                crumbs.extend_from_slice(b"; ");
            }
            crumbs.extend_from_slice(value);
            return Ok(());
        }
        if self.store.fields.len() + usize::from(self.crumbs.is_some()) >= self.limits.fields {
            return Err(BlockError::Refused(Malformed::TooManyFields));
        }
        let known = known(field);
        self.store.push_as(name, value, known);
        if let (true, Some(last)) = (sensitive, self.store.fields.last_mut()) {
            last.sensitive = true;
        }
        if OF_A_CONNECTION.has(known) || (known == Known::Te && value != b"trailers") {
            return Err(BlockError::Stream);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(HeadStore, [Option<ByteSpan>; 6]), BlockError> {
        match self.error {
            Some(error) => Err(error),
            None => {
                if let Some(crumbs) = self.crumbs.take() {
                    self.store.push(b"cookie", &crumbs);
                }
                self.store.bytes.extend_from_slice(b"\r\n");
                self.store.count();
                Ok((self.store, self.pseudo))
            }
        }
    }
}

impl FieldSink for BlockReader {
    fn field(&mut self, field: hpack::Field<'_>) {
        if self.error.is_none() {
            self.error = self.take(field).err();
        }
    }
}

/// Which field a name of the static table is.
static BY_INDEX: LazyLock<[Known; 62]> =
    LazyLock::new(|| std::array::from_fn(|index| Known::of(hpack::static_name(index as u8))));

/// Which field it is, by the table where it says so.
fn known(field: hpack::Field<'_>) -> Known {
    match field.known {
        0 => Known::of(field.name),
        index => BY_INDEX.get(usize::from(index)).copied().unwrap_or(Known::Other),
    }
}

type Read = (HeadStore, [Option<ByteSpan>; 6]);

fn read(
    decoder: &mut hpack::Decoder,
    block: &[u8],
    kind: BlockKind,
    limits: HeadLimits,
) -> Result<Read, BlockError> {
    let mut store = HeadStore::take();
    // The method of a WebSocket is none that comes; it stands before everything.
    store.bytes.extend_from_slice(GET);
    let mut reader =
        BlockReader { kind, limits, store, pseudo: [None; 6], crumbs: None, bytes: 0, error: None };
    // As section 6.5.2 counts them; what is beyond is still read, and told as too long.
    let most = limits.bytes + 32 * limits.fields;
    match decoder.decode(block, &mut reader, most) {
        Ok(()) => reader.finish(),
        Err(hpack::HpackError::TooLarge) => {
            Err(reader.error.unwrap_or(BlockError::Refused(Malformed::TooLong)))
        }
        Err(hpack::HpackError::Bomb) => Err(BlockError::Connection(ErrorCode::EnhanceYourCalm)),
        Err(_) => Err(BlockError::Connection(ErrorCode::Compression)),
    }
}

/// The head of a request. `ends`: it has no body.
pub(super) fn request(
    decoder: &mut hpack::Decoder,
    block: &[u8],
    limits: HeadLimits,
    ends: bool,
) -> Result<RequestHead, BlockError> {
    let (mut store, pseudo) = read(decoder, block, BlockKind::Request, limits)?;
    let of = |which: Pseudo| pseudo.get(which as usize).copied().flatten();
    let mut method = of(Pseudo::Method).ok_or(BlockError::Stream)?;
    let connect = method.of(&store.bytes) == b"CONNECT";
    let protocol = of(Pseudo::Protocol);
    if let Some(protocol) = protocol {
        if !connect || ends || protocol.of(&store.bytes) != b"websocket" {
            return Err(BlockError::Stream);
        }
        method = ByteSpan::new(0, GET.len());
        store.add(b"upgrade", b"websocket");
    }
    let authority = of(Pseudo::Authority).unwrap_or_default();
    let (scheme, target) = match (of(Pseudo::Scheme), of(Pseudo::Path)) {
        (None, None) if connect => (ByteSpan::default(), authority),
        (Some(scheme), Some(path)) if path.len > 0 && (!connect || protocol.is_some()) => (scheme, path),
        _ => return Err(BlockError::Stream),
    };
    if !is_target(target.of(&store.bytes), method.of(&store.bytes)) {
        return Err(BlockError::Refused(Malformed::Target));
    }
    let mut head = parse::request_head(store, method, target, Version::H2).map_err(BlockError::Refused)?;
    let differs = head.authority.len > 0
        && authority.len > 0
        && !head.authority().eq_ignore_ascii_case(head.store.text(authority));
    let odd = authority.len > 0 && !parse::is_authority(authority.of(&head.store.bytes));
    if differs || odd || (authority.len == 0 && head.authority.len == 0) {
        return Err(BlockError::Refused(Malformed::Host));
    }
    if authority.len > 0 {
        head.authority = authority;
    }
    head.scheme = scheme;
    if protocol.is_some() {
        (head.wants_upgrade, head.framing) = (true, Framing::None);
        return Ok(head);
    }
    head.framing = framing(&head, ends)?;
    Ok(head)
}

/// How the body of a request is framed; `ends`: it has none.
fn framing(head: &RequestHead, ends: bool) -> Result<Framing, BlockError> {
    Ok(match (ends, head.framing) {
        (true, Framing::Length(1..)) => return Err(BlockError::Stream),
        (true, Framing::Length(0)) => Framing::Length(0),
        // Servers that insist on a length get one (RFC 9110 section 8.6).
        (true, _) if matches!(head.method, Method::Post | Method::Put | Method::Patch) => Framing::Length(0),
        (true, _) => Framing::None,
        (false, Framing::None) => Framing::Stream,
        (false, framing) => framing,
    })
}

/// The path of a request has no scheme before it; what it is otherwise is as strict as over HTTP/1.1.
fn is_target(target: &[u8], method: &[u8]) -> bool {
    method == b"CONNECT" || target.first() == Some(&b'/') || (target == b"*" && method == b"OPTIONS")
}

/// The head of an answer to a request with the method `asked`. `ends`: it has no body.
pub(super) fn answer(
    decoder: &mut hpack::Decoder,
    block: &[u8],
    limits: HeadLimits,
    asked: Method,
    ends: bool,
) -> Result<ResponseHead, BlockError> {
    let (store, pseudo) = read(decoder, block, BlockKind::Answer, limits)?;
    let status = pseudo.get(Pseudo::Status as usize).copied().flatten().ok_or(BlockError::Stream)?;
    let status = match status.of(&store.bytes) {
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
            u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0')
        }
        _ => return Err(BlockError::Stream),
    };
    let mut head = parse::response_head(store, status, ByteSpan::default(), Version::H2, asked)
        .map_err(BlockError::Refused)?;
    // What follows is no body, whatever its head says (RFC 9110 section 9.3.6).
    if asked == Method::Connect && (200..300).contains(&status) {
        head.framing = Framing::Stream;
    }
    if ends && head.framing == Framing::Stream {
        head.framing = Framing::Length(0);
    }
    Ok(head)
}

/// What follows a body.
pub(super) fn trailers(
    decoder: &mut hpack::Decoder,
    block: &[u8],
    limits: HeadLimits,
) -> Result<HeadStore, BlockError> {
    read(decoder, block, BlockKind::Trailers, limits).map(|(store, _)| store)
}

/// Is `known` to be kept from the other side of an HTTP/2 connection?
pub(super) fn stays(known: Known) -> bool {
    HOP_BY_HOP.has(known) || known == Known::TransferEncoding
}
