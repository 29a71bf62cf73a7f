//! The head of a message: a view over its bytes.
//!
//! Field order and case are kept as they came; what is known about a head (method, authority, framing, which fields
//! concern only this hop) is found once, when it is read. [`super::h1::parse`] makes heads from HTTP/1.1 bytes,
//! [`super::h2`] from field blocks. Invariant: every [`ByteSpan`] of a head lies within its bytes.

use std::borrow::Cow;

pub use super::known::{HOP_BY_HOP, Known, KnownSet, begins_with, is_ours, is_twin};
pub use super::store::{ByteSpan, Field, HeadStore};

/// The request methods of RFC 9110 and RFC 5789; everything else is [`Method::Other`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// The message has no body.
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

/// The head of a request.
#[derive(Debug)]
pub struct RequestHead {
    /// The bytes of the head and its fields.
    pub store: HeadStore,
    pub method: Method,
    /// The method as it came.
    pub method_text: ByteSpan,
    /// `http` or `https` of an absolute-form target or of HTTP/2; empty for the other forms.
    pub scheme: ByteSpan,
    /// Host and port: of the target when it has one, else of `Host`. Empty only in HTTP/1.0.
    pub authority: ByteSpan,
    /// Path and query; `*` for the asterisk form; empty for CONNECT and for an absolute form without a path.
    pub path: ByteSpan,
    /// The version it came in.
    pub version: Version,
    /// Where its body ends.
    pub framing: Framing,
    /// `Expect: 100-continue`: the client waits before it sends its body.
    pub expects_continue: bool,
    /// `Connection: upgrade` with an `Upgrade` that is not h2c.
    pub wants_upgrade: bool,
    /// The client is ready for another exchange on this connection.
    pub keeps_alive: bool,
    /// `TE: trailers`: trailers of the answer reach the client.
    pub takes_trailers: bool,
}

impl RequestHead {
    /// The values of the field `name`, in any case, that go on: not those of this hop.
    pub fn forwarded<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let store = &self.store;
        store.named(name).filter(|field| !field.hop).map(|field| field.value.of(&store.bytes))
    }

    /// The method as it came.
    pub fn method_text(&self) -> &str {
        self.store.text(self.method_text)
    }

    /// The method as it came, as bytes.
    pub fn method_bytes(&self) -> &[u8] {
        self.method_text.of(&self.store.bytes)
    }

    /// Host and port as they came, as bytes: the request path has no need of text.
    pub fn authority_bytes(&self) -> &[u8] {
        self.authority.of(&self.store.bytes)
    }

    /// Path and query as they came, as bytes; `/` when there is none.
    pub fn path_and_query_bytes(&self) -> &[u8] {
        match self.path.of(&self.store.bytes) {
            b"" => b"/",
            path => path,
        }
    }

    /// The path without its query, as bytes.
    pub fn path_bytes(&self) -> &[u8] {
        let path = self.path_and_query_bytes();
        let end = path.iter().position(|b| *b == b'?').unwrap_or(path.len());
        // `http://host?query` has no path of its own.
        if end == 0 { b"/" } else { path.get(..end).unwrap_or_default() }
    }

    /// Host and port as they came.
    pub fn authority(&self) -> &str {
        self.store.text(self.authority)
    }

    /// The authority without its port.
    pub fn host(&self) -> &str {
        split_authority(self.authority()).0
    }

    /// The port that the authority names; `None`: none, and the scheme's is meant.
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

    /// Path and query in origin form: `http://host?query` has no path of its own, and asks for the root.
    pub fn origin_form(&self) -> Cow<'_, str> {
        match self.path_and_query() {
            query if query.starts_with('?') => Cow::Owned(format!("/{query}")),
            path => Cow::Borrowed(path),
        }
    }

    /// Did the target name its scheme (the form that asks a forward proxy)?
    pub fn is_absolute(&self) -> bool {
        self.scheme.len > 0
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
    /// The bytes of the head and its fields.
    pub store: HeadStore,
    /// 200–999 (101 for an upgrade).
    pub status: u16,
    /// The reason phrase as it came; empty in HTTP/2.
    pub reason: ByteSpan,
    /// The version it came in.
    pub version: Version,
    /// Where its body ends.
    pub framing: Framing,
    /// The server is ready for another exchange on this connection.
    pub keeps_alive: bool,
}

impl ResponseHead {
    /// A head of our own; fields are added with [`HeadStore::push`].
    pub fn own(status: u16, framing: Framing) -> Self {
        let store = HeadStore::take();
        Self { store, status, reason: ByteSpan::default(), version: Version::H11, framing, keeps_alive: true }
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
        let mut store = HeadStore::default();
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
