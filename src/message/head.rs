//! The head of a message: a view over its bytes.
//!
//! Field order and case are kept as they came; what is known about a head (method, authority, framing, which fields
//! concern only this hop) is found once, when it is read. [`super::h1::parse`] makes heads from HTTP/1.1 bytes,
//! [`super::h2`] from hyper's HTTP/2. Invariant: every [`Span`] of a head lies within its bytes.

use std::cell::RefCell;

/// A piece of a head's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub at: u32,
    /// Number of bytes.
    pub len: u32,
}

impl Span {
    /// The piece `at..end`.
    pub fn new(at: usize, end: usize) -> Self {
        debug_assert!(at <= end && u32::try_from(end).is_ok());
        Self { at: at as u32, len: (end - at) as u32 }
    }

    /// The piece of `bytes`.
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.at as usize..(self.at + self.len) as usize).unwrap_or_default()
    }
}

/// The request methods of RFC 9110 and RFC 5789; everything else is [`Method::Other`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
    Connect,
    Trace,
    Other,
}

impl Method {
    /// The method that `text` names; methods are case-sensitive.
    pub fn of(text: &[u8]) -> Self {
        match text {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"PATCH" => Self::Patch,
            b"DELETE" => Self::Delete,
            b"OPTIONS" => Self::Options,
            b"CONNECT" => Self::Connect,
            b"TRACE" => Self::Trace,
            _ => Self::Other,
        }
    }

    /// May a request be repeated by its meaning (RFC 9110 section 9.2.2)?
    pub fn is_idempotent(self) -> bool {
        match self {
            Self::Get | Self::Head | Self::Put | Self::Delete | Self::Options | Self::Trace => true,
            Self::Post | Self::Patch | Self::Connect | Self::Other => false,
        }
    }
}

/// The version a message came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Version {
    H10,
    H11,
    H2,
}

impl Version {
    /// As in the access log and in `network.protocol.version`.
    pub fn label(self) -> &'static str {
        match self {
            Self::H10 => "1.0",
            Self::H11 => "1.1",
            Self::H2 => "2",
        }
    }
}

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// After so many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection (responses only).
    UntilClose,
    /// With the stream (HTTP/2), length unknown.
    Stream,
}

macro_rules! known {
    ($($variant:ident = $text:literal),* $(,)?) => {
        /// Fields that the proxy itself reads or writes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs)]
        #[repr(u8)]
        pub enum Known { $($variant,)* Other }

        impl Known {
            /// Which one `name` is, in any case.
            pub fn of(name: &[u8]) -> Self {
                $(if name.len() == $text.len() && name.eq_ignore_ascii_case($text.as_bytes()) { return Self::$variant; })*
                Self::Other
            }

            /// The field's name in lower case; empty for [`Known::Other`].
            pub fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)* Self::Other => "" }
            }
        }
    };
}

known! {
    Host = "host",
    Connection = "connection",
    ContentLength = "content-length",
    TransferEncoding = "transfer-encoding",
    KeepAlive = "keep-alive",
    ProxyConnection = "proxy-connection",
    ProxyAuthorization = "proxy-authorization",
    ProxyAuthenticate = "proxy-authenticate",
    Te = "te",
    Trailer = "trailer",
    Upgrade = "upgrade",
    Http2Settings = "http2-settings",
    Expect = "expect",
    XForwardedFor = "x-forwarded-for",
    XForwardedProto = "x-forwarded-proto",
    XForwardedHost = "x-forwarded-host",
    Forwarded = "forwarded",
    Via = "via",
    RequestId = "x-request-id",
    Traceparent = "traceparent",
    RetryAfter = "retry-after",
    Date = "date",
}

/// A set of [`Known`] fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KnownSet(u64);

impl KnownSet {
    /// With `field` in it. [`Known::Other`] is never in a set.
    #[must_use]
    pub const fn with(self, field: Known) -> Self {
        match field {
            Known::Other => self,
            _ => Self(self.0 | 1 << field as u8),
        }
    }

    /// Is `field` in it?
    pub const fn has(self, field: Known) -> bool {
        !matches!(field, Known::Other) && self.0 & (1 << field as u8) != 0
    }
}

/// Fields that never leave the hop they came by (RFC 9110 section 7.6.1), whatever `Connection` names.
pub const HOP_BY_HOP: KnownSet = KnownSet(0)
    .with(Known::Connection)
    .with(Known::KeepAlive)
    .with(Known::ProxyConnection)
    .with(Known::ProxyAuthorization)
    .with(Known::ProxyAuthenticate)
    .with(Known::Te)
    .with(Known::Upgrade)
    .with(Known::Http2Settings);

/// One field line.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The name as it came.
    pub name: Span,
    /// The value without surrounding blanks.
    pub value: Span,
    /// Which one it is.
    pub known: Known,
    /// Not to be forwarded: hop-by-hop by name, or nominated by `Connection`.
    pub hop: bool,
}

/// The bytes of a head and where its fields are. Blocks come from, and go back to, their thread's shelf.
#[derive(Debug, Default)]
pub struct Store {
    /// The head as it came, with its last empty line.
    pub bytes: Vec<u8>,
    /// In the order of the bytes.
    pub fields: Vec<Field>,
}

/// Heads kept per thread.
const SHELF: usize = 256;
/// A head that grew beyond this is not kept.
const KEEP: usize = 8 * 1024;

thread_local! {
    static SHELVES: RefCell<Vec<Store>> = const { RefCell::new(Vec::new()) };
}

impl Store {
    /// An empty one, from the shelf when there is one.
    pub fn take() -> Self {
        SHELVES.try_with(|shelf| shelf.borrow_mut().pop()).ok().flatten().unwrap_or_default()
    }

    /// The piece as text; empty when it is not UTF-8.
    pub fn text(&self, span: Span) -> &str {
        std::str::from_utf8(span.of(&self.bytes)).unwrap_or_default()
    }

    /// The first value of a known field.
    pub fn known(&self, known: Known) -> Option<&[u8]> {
        self.fields.iter().find(|field| field.known == known).map(|field| field.value.of(&self.bytes))
    }

    /// All values of a known field, in order.
    pub fn all(&self, known: Known) -> impl Iterator<Item = &[u8]> {
        self.fields.iter().filter(move |field| field.known == known).map(|field| field.value.of(&self.bytes))
    }

    /// The first value of the field `name`, in any case.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields
            .iter()
            .find(|field| field.name.of(&self.bytes).eq_ignore_ascii_case(name.as_bytes()))
            .map(|field| field.value.of(&self.bytes))
    }

    /// Does the list of `known` hold `token`, in any case?
    pub fn lists(&self, known: Known, token: &str) -> bool {
        self.all(known)
            .flat_map(|value| value.split(|b| *b == b','))
            .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    }

    /// Adds one field line and notes where it is.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(b": ");
        let value_at = self.bytes.len();
        self.bytes.extend_from_slice(value);
        let end = self.bytes.len();
        self.bytes.extend_from_slice(b"\r\n");
        let known = Known::of(name);
        self.fields.push(Field {
            name: Span::new(at, at + name.len()),
            value: Span::new(value_at, end),
            known,
            hop: HOP_BY_HOP.has(known),
        });
    }

    /// Marks the fields that `Connection` nominates as not to be forwarded (RFC 9110 section 7.6.1).
    pub fn mark_nominated(&mut self) {
        let Self { bytes, fields } = self;
        for at in 0..fields.len() {
            let Some(connection) = fields.get(at).filter(|field| field.known == Known::Connection).copied()
            else {
                continue;
            };
            for token in connection.value.of(bytes).split(|b| *b == b',') {
                let token = token.trim_ascii();
                if token.is_empty()
                    || token.eq_ignore_ascii_case(b"close")
                    || token.eq_ignore_ascii_case(b"keep-alive")
                {
                    continue;
                }
                for field in fields.iter_mut() {
                    field.hop |= field.name.of(bytes).eq_ignore_ascii_case(token);
                }
            }
        }
    }

    /// Copies the lines of all fields that `keep` agrees to, as verbatim runs.
    pub fn copy_lines(&self, out: &mut Vec<u8>, keep: impl Fn(&Field) -> bool) {
        let mut run: Option<usize> = None;
        for field in &self.fields {
            let at = field.name.at as usize;
            match (keep(field), run) {
                (true, None) => run = Some(at),
                (false, Some(from)) => {
                    out.extend_from_slice(self.bytes.get(from..at).unwrap_or_default());
                    run = None;
                }
                (true, Some(_)) | (false, None) => {}
            }
        }
        if let Some(from) = run {
            // Up to the empty line that ends the head.
            let end = self.bytes.len().saturating_sub(2);
            out.extend_from_slice(self.bytes.get(from..end).unwrap_or_default());
        }
    }
}

/// Gives a head's memory back to its thread's shelf.
fn give(store: &mut Store) {
    if store.bytes.capacity() == 0 || store.bytes.capacity() > KEEP {
        return;
    }
    let mut store = std::mem::take(store);
    store.bytes.clear();
    store.fields.clear();
    let _ = SHELVES.try_with(|shelf| {
        let mut shelf = shelf.borrow_mut();
        if shelf.len() < SHELF {
            shelf.push(store);
        }
    });
}

/// The head of a request.
#[derive(Debug)]
pub struct RequestHead {
    /// Bytes and fields.
    pub store: Store,
    /// What is asked.
    pub method: Method,
    /// The method as it came.
    pub method_text: Span,
    /// `http` or `https` of an absolute-form target or of HTTP/2; empty for the other forms.
    pub scheme: Span,
    /// Host and port: of the target when it has one, else of `Host`. Empty only in HTTP/1.0.
    pub authority: Span,
    /// Path and query; `*` for the asterisk form; empty for CONNECT and for an absolute form without a path.
    pub path: Span,
    /// The version it came in.
    pub version: Version,
    /// Where its body ends.
    pub framing: Framing,
    /// `Expect: 100-continue`.
    pub expects_continue: bool,
    /// `Connection: upgrade` with an `Upgrade` that is not h2c.
    pub wants_upgrade: bool,
    /// The client is ready for another exchange on this connection.
    pub keeps_alive: bool,
    /// `TE: trailers`.
    pub takes_trailers: bool,
}

impl RequestHead {
    /// The method as it came.
    pub fn method_text(&self) -> &str {
        self.store.text(self.method_text)
    }

    /// Host and port as they came.
    pub fn authority(&self) -> &str {
        self.store.text(self.authority)
    }

    /// The authority without its port.
    pub fn host(&self) -> &str {
        split_authority(self.authority()).0
    }

    /// The authority's port.
    pub fn port(&self) -> Option<u16> {
        split_authority(self.authority()).1
    }

    /// Path and query as they came; `/` when there is none.
    pub fn path_and_query(&self) -> &str {
        match self.store.text(self.path) {
            "" => "/",
            path => path,
        }
    }

    /// The path without its query.
    pub fn path(&self) -> &str {
        let path = self.path_and_query();
        path.split_once('?').map_or(path, |(path, _)| path)
    }

    /// Did the target name its scheme (the form that asks a forward proxy)?
    pub fn is_absolute(&self) -> bool {
        self.scheme.len > 0
    }
}

impl Drop for RequestHead {
    fn drop(&mut self) {
        give(&mut self.store);
    }
}

/// `host[:port]` in its two parts; the brackets of an IPv6 address are left off.
pub fn split_authority(authority: &str) -> (&str, Option<u16>) {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, tail) = rest.split_once(']').unwrap_or((rest, ""));
        return (host, tail.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()),
        None => (authority, None),
    }
}

/// The head of a final response.
#[derive(Debug)]
pub struct ResponseHead {
    /// Bytes and fields.
    pub store: Store,
    /// 200–999 (101 for an upgrade).
    pub status: u16,
    /// The reason phrase as it came; empty in HTTP/2.
    pub reason: Span,
    /// The version it came in.
    pub version: Version,
    /// Where its body ends.
    pub framing: Framing,
    /// The server is ready for another exchange on this connection.
    pub keeps_alive: bool,
}

impl ResponseHead {
    /// A head of our own; fields are added with [`Store::push`].
    pub fn own(status: u16, framing: Framing) -> Self {
        let mut store = Store::take();
        store.bytes.clear();
        store.fields.clear();
        Self { store, status, reason: Span::default(), version: Version::H11, framing, keeps_alive: true }
    }
}

impl Drop for ResponseHead {
    fn drop(&mut self) {
        give(&mut self.store);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_has_a_host_and_perhaps_a_port() {
        assert_eq!(split_authority("a.example:8443"), ("a.example", Some(8443)));
        assert_eq!(split_authority("a.example"), ("a.example", None));
        assert_eq!(split_authority("[::1]:80"), ("::1", Some(80)));
        assert_eq!(split_authority("[::1]"), ("::1", None));
    }

    #[test]
    fn what_connection_names_stays_on_this_hop() {
        let mut store = Store::default();
        store.push(b"Connection", b"close, X-Secret");
        store.push(b"X-Secret", b"1");
        store.push(b"X-Open", b"2");
        store.bytes.extend_from_slice(b"\r\n");
        store.mark_nominated();
        let mut out = Vec::new();
        store.copy_lines(&mut out, |field| !field.hop);
        assert_eq!(out, b"X-Open: 2\r\n");
    }
}
