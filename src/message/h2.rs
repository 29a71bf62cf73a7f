//! HTTP/2 beneath the same head and body: hyper's types in, ours out, and back.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::Body as _;
use hyper::body::Incoming;

use super::body::BodyError;
use super::fields;
use super::h1::Malformed;
use super::h1::parse;
use super::h1::write::Edits;
use super::head::{
    ByteSpan, Framing, HeadStore, Known, Method, RequestHead, ResponseHead, Version, is_ours, is_twin,
};

/// Bytes of an answer that an upstream may send on one stream ahead of its reader; sixteen times as
/// many on a connection.
pub const WINDOW: u32 = 1 << 20;
/// Bytes that one stream may have ready to be sent.
pub const SEND: usize = 32 * 1024;
/// What an upstream's head may be, in bytes as RFC 9113 section 6.5.2 counts them.
pub const HEAD: u32 = 128 * 1024;

mod outgoing;

pub use outgoing::{BrokeOff, Ended, OnEnd, Outgoing, SendProgress};

/// A body that comes by an HTTP/2 stream.
pub struct Streamed {
    incoming: Incoming,
    current: Bytes,
    trailers: Option<HeaderMap>,
    over: bool,
}

impl Streamed {
    /// A body that reads `incoming`, hyper's.
    pub fn new(incoming: Incoming) -> Self {
        let over = incoming.is_end_stream();
        Self { incoming, current: Bytes::new(), trailers: None, over }
    }

    pub(super) fn framing(&self) -> Framing {
        if self.over {
            return Framing::None;
        }
        self.incoming.size_hint().exact().map_or(Framing::Stream, Framing::Length)
    }

    pub(super) fn is_over(&self) -> bool {
        self.over && self.current.is_empty()
    }

    /// Is the rest of it read already?
    pub(super) fn is_whole(&self) -> bool {
        self.over || self.incoming.is_end_stream()
    }

    pub(super) fn data(&self) -> &[u8] {
        &self.current
    }

    pub(super) fn consume(&mut self, n: usize) {
        let n = n.min(self.current.len());
        bytes::Buf::advance(&mut self.current, n);
    }

    pub(super) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, BodyError>> {
        while self.current.is_empty() && !self.over {
            match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.current = data,
                    Err(frame) => {
                        self.trailers = frame.into_trailers().ok();
                        self.over = true;
                    }
                },
                Some(Err(_)) => return Poll::Ready(Err(BodyError::Reset)),
                None => self.over = true,
            }
        }
        Poll::Ready(Ok(self.current.len()))
    }

    pub(super) fn trailers(&mut self) -> Option<HeadStore> {
        let trailers = self.trailers.take()?;
        let mut store = HeadStore::take();
        trailers.iter().for_each(|(name, value)| store.push(name.as_str().as_bytes(), value.as_bytes()));
        Some(fields::only_trailers(store))
    }
}

/// Did the peer say that it has not taken the request (RFC 9113 section 8.7)? That GOAWAY names no error is told to
/// streams beyond the last one that it takes.
pub fn was_refused(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.filter(|cause| cause.is_remote()).is_some_and(|cause| match cause.reason() {
        Some(h2::Reason::NO_ERROR) => cause.is_go_away(),
        reason => cause.is_reset() && reason == Some(h2::Reason::REFUSED_STREAM),
    })
}

fn map_of(store: &HeadStore, keep: impl Fn(Known, &[u8]) -> bool) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(store.fields.len());
    for field in store.fields.iter().filter(|field| !field.hop) {
        let name = field.name.of(&store.bytes);
        if keep(field.known, name) {
            put(&mut map, name, field.value.of(&store.bytes));
        }
    }
    map
}

/// Adds a field; one that HTTP/2 cannot carry is left out (the parser has already refused what is not a field).
fn put(map: &mut HeaderMap, name: &[u8], value: &[u8]) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
        map.append(name, value);
    }
}

fn put_lines(map: &mut HeaderMap, lines: &[u8]) {
    for line in lines.split(|b| *b == b'\n') {
        if let Some(at) = line.iter().position(|b| *b == b':') {
            let (name, value) = line.split_at(at);
            put(map, name, value.get(1..).unwrap_or_default().trim_ascii());
        }
    }
}

fn store_of(map: &HeaderMap, store: &mut HeadStore) {
    let mut cookie: Vec<u8> = Vec::new();
    for (name, value) in map {
        // HTTP/2 may split the cookie; HTTP/1.1 has one line (RFC 9113 section 8.2.3).
        if name == http::header::COOKIE {
            if !cookie.is_empty() {
                cookie.extend_from_slice(b"; ");
            }
            cookie.extend_from_slice(value.as_bytes());
        } else {
            store.push(name.as_str().as_bytes(), value.as_bytes());
        }
    }
    if !cookie.is_empty() {
        store.push(b"cookie", &cookie);
    }
    store.bytes.extend_from_slice(b"\r\n");
}

/// The head of a request that came by HTTP/2, with no more than `most` fields.
pub fn request_head(
    parts: &http::request::Parts,
    body: &Incoming,
    most: usize,
) -> Result<RequestHead, Malformed> {
    if parts.headers.len() > most {
        return Err(Malformed::TooManyFields);
    }
    let mut store = HeadStore::take();
    let mut note = |bytes: &[u8]| {
        let at = store.bytes.len();
        store.bytes.extend_from_slice(bytes);
        ByteSpan::new(at, store.bytes.len())
    };
    let method = note(parts.method.as_str().as_bytes());
    let scheme = note(parts.uri.scheme_str().unwrap_or_default().as_bytes());
    let authority = note(parts.uri.authority().map_or("", |authority| authority.as_str()).as_bytes());
    let path = note(parts.uri.path_and_query().map_or("", |path| path.as_str()).as_bytes());
    store.bytes.extend_from_slice(b"\r\n");
    store_of(&parts.headers, &mut store);
    let target =
        if Method::of(parts.method.as_str().as_bytes()) == Method::Connect { authority } else { path };
    let mut head = parse::request_head(store, method, target, Version::H2)?;
    let differs = head.authority.len > 0
        && authority.len > 0
        && !head.authority().eq_ignore_ascii_case(head.store.text(authority));
    let odd = authority.len > 0 && !parse::is_authority(authority.of(&head.store.bytes));
    if differs || odd || (authority.len == 0 && head.authority.len == 0) {
        return Err(Malformed::Host);
    }
    if authority.len > 0 {
        head.authority = authority;
    }
    head.scheme = scheme;
    if head.framing == Framing::None && !body.is_end_stream() {
        head.framing = Framing::Stream;
    }
    Ok(head)
}

/// The request to send by HTTP/2, without its body.
pub fn request(
    head: &RequestHead,
    edits: &Edits<'_>,
    secure: bool,
) -> Result<http::Request<()>, http::Error> {
    let authority = edits.host.unwrap_or_else(|| head.authority());
    let uri = http::Uri::builder()
        .scheme(if secure { "https" } else { "http" })
        .authority(authority)
        .path_and_query(head.origin_form().as_ref())
        .build()?;
    let mut request = http::Request::builder()
        .method(head.method_text())
        .uri(uri)
        .version(http::Version::HTTP_2)
        .body(())?;
    // An HTTP/1.1 client that waits for 100 has been told to go on.
    let invited = head.version != Version::H2;
    let keep = |known, name: &[u8]| {
        let ours =
            matches!(known, Known::Host | Known::TransferEncoding) || (invited && known == Known::Expect);
        let forged = edits.no_twins && is_twin(name) || edits.foreign && is_ours(name);
        !(ours || edits.drop.has(known) || forged)
    };
    let fields = request.headers_mut();
    *fields = map_of(&head.store, keep);
    put_lines(fields, edits.add);
    if head.takes_trailers {
        put(fields, b"te", b"trailers");
    }
    Ok(request)
}

/// The head of a response that came by HTTP/2.
pub fn response_head(
    parts: &http::response::Parts,
    body: &Incoming,
    asked: Method,
) -> Result<ResponseHead, Malformed> {
    let mut store = HeadStore::take();
    store_of(&parts.headers, &mut store);
    let mut head =
        parse::response_head(store, parts.status.as_u16(), ByteSpan::default(), Version::H2, asked)?;
    if body.is_end_stream() && matches!(head.framing, Framing::Stream) {
        head.framing = Framing::Length(0);
    }
    Ok(head)
}

/// The response to send by HTTP/2, without its body.
pub fn response(head: &ResponseHead, edits: &Edits<'_>) -> Result<http::Response<()>, http::Error> {
    let mut response =
        http::Response::builder().status(head.status).version(http::Version::HTTP_2).body(())?;
    let keep = |known, name: &[u8]| {
        let dropped = matches!(known, Known::TransferEncoding) || edits.drop.has(known);
        !(dropped || edits.foreign && is_ours(name))
    };
    *response.headers_mut() = map_of(&head.store, keep);
    put_lines(response.headers_mut(), edits.add);
    Ok(response)
}
