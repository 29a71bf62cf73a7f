//! From bytes to a head (RFC 9112 sections 2–6), refusing whatever two readers could read differently.
//!
//! Pure functions over bytes. `httparse` finds the lines; what it is lenient about (bare LF, leading blank lines)
//! is refused here, because the next reader may not be.

use std::mem::MaybeUninit;

use super::Malformed;
use crate::message::head::{
    ByteSpan, Field, Framing, HOP_BY_HOP, HeadStore, Known, Method, RequestHead, ResponseHead, Version,
    begins_with,
};

/// How large a head may be.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Bytes in all, with the last empty line.
    pub bytes: usize,
    /// Field lines, at most [`MOST_FIELDS`].
    pub fields: usize,
}

/// No head may have more fields than this, whatever the config says.
pub const MOST_FIELDS: usize = 256;

/// A head, or the news that more bytes are needed.
pub enum Parsed<T> {
    /// The head and the number of bytes it took.
    Whole(T, usize),
    /// Not all of it is there.
    Partial,
}

fn refused(error: httparse::Error) -> Malformed {
    match error {
        httparse::Error::TooManyHeaders => Malformed::TooManyFields,
        httparse::Error::Version => Malformed::Version,
        httparse::Error::HeaderName
        | httparse::Error::HeaderValue
        | httparse::Error::NewLine
        | httparse::Error::Status
        | httparse::Error::Token => Malformed::Syntax,
    }
}

/// The place of `part` in `whole`, of which it is a slice.
fn place(whole: &[u8], part: &[u8]) -> ByteSpan {
    let at = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    debug_assert!(at + part.len() <= whole.len());
    ByteSpan::new(at, at + part.len())
}

/// Notes the fields and proves that each line, the first included, ends with CRLF right before the next name. A trailer
/// section begins with a name.
fn take_fields(whole: &[u8], len: usize, headers: &[httparse::Header<'_>]) -> Result<HeadStore, Malformed> {
    let mut store = HeadStore::take();
    let head = whole.get(..len).ok_or(Malformed::Syntax)?;
    if !head.ends_with(b"\r\n\r\n") {
        return Err(Malformed::Syntax);
    }
    for header in headers {
        let name = place(whole, header.name.as_bytes());
        let at = name.at as usize;
        if at > 0 && head.get(at.wrapping_sub(2)..at) != Some(b"\r\n") {
            return Err(Malformed::Syntax);
        }
        // An empty value has no place in the bytes of its own.
        let value = if header.value.is_empty() {
            ByteSpan { at: name.at + name.len + 1, len: 0 }
        } else {
            place(whole, header.value)
        };
        let known = Known::of(header.name.as_bytes());
        store.fields.push(Field { name, value, known, hop: HOP_BY_HOP.has(known), sensitive: false });
    }
    store.bytes.extend_from_slice(head);
    Ok(store)
}

/// Reads a request head from the front of `bytes`.
pub fn request(bytes: &[u8], limits: HeadLimits) -> Result<Parsed<RequestHead>, Malformed> {
    let mut headers = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    let len = match httparse::ParserConfig::default()
        .parse_request_with_uninit_headers(&mut request, bytes, &mut headers)
        .map_err(refused)?
    {
        httparse::Status::Complete(len) if len <= limits.bytes => len,
        httparse::Status::Complete(_) => return Err(Malformed::TooLong),
        httparse::Status::Partial => return partial(bytes, limits),
    };
    if request.headers.len() > limits.fields {
        return Err(Malformed::TooManyFields);
    }
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(Malformed::Syntax);
    };
    let method_text = place(bytes, method.as_bytes());
    let target = place(bytes, target.as_bytes());
    if method_text.at != 0 || !one_space_apart(bytes, method_text, target) {
        return Err(Malformed::Syntax);
    }
    let version = if minor == 1 { Version::H11 } else { Version::H10 };
    let store = take_fields(bytes, len, request.headers)?;
    let head = request_head(store, method_text, target, version)?;
    Ok(Parsed::Whole(head, len))
}

/// What the start line must look like between its parts: `METHOD SP target SP HTTP/1.x CRLF`.
fn one_space_apart(bytes: &[u8], method: ByteSpan, target: ByteSpan) -> bool {
    let after = (target.at + target.len) as usize;
    method.at + method.len + 1 == target.at
        && bytes.get(after..after + 8).is_some_and(|rest| rest.starts_with(b" HTTP/1."))
        && bytes.get(after + 9..after + 11) == Some(b"\r\n")
}

fn partial<T>(bytes: &[u8], limits: HeadLimits) -> Result<Parsed<T>, Malformed> {
    if bytes.len() < limits.bytes {
        return Ok(Parsed::Partial);
    }
    // Without a line end the target is what is too long.
    if bytes.contains(&b'\n') { Err(Malformed::TooLong) } else { Err(Malformed::TargetTooLong) }
}

/// Finds out what a request's fields say about it. Shared by both codecs.
pub fn request_head(
    mut store: HeadStore,
    method_text: ByteSpan,
    target: ByteSpan,
    version: Version,
) -> Result<RequestHead, Malformed> {
    store.mark_nominated();
    let method = Method::of(method_text.of(&store.bytes));
    let framing = request_framing(&store, version)?;
    if method == Method::Connect
        && version != Version::H2
        && !matches!(framing, Framing::None | Framing::Length(0))
    {
        return Err(Malformed::Length); // what follows a CONNECT belongs to the tunnel (RFC 9110 section 9.3.6)
    }
    let host = one_host(&store, version)?;
    let form = target_form(&store, method, target)?;
    let authority = if form.authority.len > 0 { form.authority } else { host };
    let upgrade = version == Version::H11 && store.lists(Known::Connection, "upgrade");
    // Whoever follows must not be asked for h2c behind another name: what passes then is seen by nobody.
    let h2c = store
        .all(Known::Upgrade)
        .flat_map(|value| value.split(|b| *b == b','))
        .any(|protocol| begins_with(protocol.trim_ascii(), b"h2c"));
    let keeps_alive = keeps_alive(&store, version);
    Ok(RequestHead {
        method,
        method_text,
        scheme: form.scheme,
        authority,
        path: form.path,
        version,
        framing,
        expects_continue: version != Version::H10
            && store.known(Known::Expect).is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue")),
        wants_upgrade: upgrade && !h2c && store.known(Known::Upgrade).is_some(),
        keeps_alive,
        takes_trailers: store.lists(Known::Te, "trailers"),
        store,
    })
}

/// RFC 9112 section 9.3: whoever says `close` means it, whatever else is said.
fn keeps_alive(store: &HeadStore, version: Version) -> bool {
    let lists = |option| store.lists(Known::Connection, option);
    match version {
        Version::H10 => lists("keep-alive") && !lists("close"),
        Version::H11 => !lists("close"),
        Version::H2 => true,
    }
}

/// RFC 9112 section 6.3, without its lenient branches.
fn request_framing(store: &HeadStore, version: Version) -> Result<Framing, Malformed> {
    let length = one_length(store)?;
    let mut codings = store.all(Known::TransferEncoding);
    let Some(coding) = codings.next() else {
        return Ok(length.map_or(Framing::None, Framing::Length));
    };
    if length.is_some() {
        return Err(Malformed::LengthAndCoding);
    }
    if codings.next().is_some() || version != Version::H11 {
        return Err(Malformed::Coding);
    }
    chunked_only(coding).map(|()| Framing::Chunked)
}

fn chunked_only(coding: &[u8]) -> Result<(), Malformed> {
    if coding.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let is_token =
        |text: &[u8]| !text.is_empty() && text.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-');
    let known = [&b"chunked"[..], b"identity"];
    let lists_chunked = coding
        .split(|b| *b == b',')
        .any(|item| known.iter().any(|k| item.trim_ascii().eq_ignore_ascii_case(k)));
    if is_token(coding) && !lists_chunked { Err(Malformed::UnknownCoding) } else { Err(Malformed::Coding) }
}

/// The `Content-Length`: one field with one decimal number, or none.
fn one_length(store: &HeadStore) -> Result<Option<u64>, Malformed> {
    let mut lengths = store.all(Known::ContentLength);
    let Some(length) = lengths.next() else { return Ok(None) };
    let plain = !length.is_empty() && length.len() <= 18 && length.iter().all(u8::is_ascii_digit);
    if !plain || lengths.next().is_some() {
        return Err(Malformed::Length);
    }
    Ok(Some(length.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))))
}

/// `Host`: exactly one; empty where the target has no authority (RFC 9112 section 3.2). None is allowed in HTTP/1.0 and in
/// HTTP/2, which has `:authority`.
fn one_host(store: &HeadStore, version: Version) -> Result<ByteSpan, Malformed> {
    let mut hosts = store.fields.iter().filter(|field| field.known == Known::Host);
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if host.value.len == 0 && version != Version::H2 => Ok(ByteSpan::default()),
        (Some(host), None) if is_authority(host.value.of(&store.bytes)) => Ok(host.value),
        (None, None) if version != Version::H11 => Ok(ByteSpan::default()),
        _ => Err(Malformed::Host),
    }
}

/// Bytes of a host that is a name or an IPv4 address.
const NAMED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
        byte += 1;
    }
    table
};

/// `host[:port]` by RFC 3986 section 3.2 without user information and without percent-encoding, which no client needs.
pub(in crate::message) fn is_authority(text: &[u8]) -> bool {
    let rest = match text {
        [b'[', inner @ ..] => {
            let Some(end) = inner.iter().position(|b| *b == b']') else { return false };
            let v6 = inner.get(..end).and_then(|v6| std::str::from_utf8(v6).ok());
            if v6.and_then(|v6| v6.parse::<std::net::Ipv6Addr>().ok()).is_none() {
                return false;
            }
            inner.get(end + 1..).unwrap_or_default()
        }
        _ => {
            let end = text.iter().position(|b| !NAMED[usize::from(*b)]).unwrap_or(text.len());
            if end == 0 {
                return false;
            }
            text.get(end..).unwrap_or_default()
        }
    };
    match rest {
        [] => true,
        [b':', port @ ..] => is_port(port),
        _ => false,
    }
}

fn is_port(text: &[u8]) -> bool {
    let number =
        text.iter().fold(0_u32, |sum, b| sum.wrapping_mul(10).wrapping_add(u32::from(b.wrapping_sub(b'0'))));
    (1..=5).contains(&text.len()) && text.iter().all(u8::is_ascii_digit) && number <= u32::from(u16::MAX)
}

struct TargetParts {
    scheme: ByteSpan,
    authority: ByteSpan,
    path: ByteSpan,
}

/// Which of the four forms of RFC 9112 section 3.2 the target has.
fn target_form(store: &HeadStore, method: Method, target: ByteSpan) -> Result<TargetParts, Malformed> {
    let text = target.of(&store.bytes);
    let clean = text.iter().all(|b| b.is_ascii_graphic() && *b != b'#');
    let none = ByteSpan::default();
    match text {
        _ if !clean => Err(Malformed::Target),
        _ if method == Method::Connect => {
            let has_port =
                text.rsplit(|b| *b == b':').next().is_some_and(|port| port.iter().all(u8::is_ascii_digit));
            let fits = is_authority(text) && has_port && text.contains(&b':');
            if fits {
                Ok(TargetParts { scheme: none, authority: target, path: none })
            } else {
                Err(Malformed::Target)
            }
        }
        [b'/', ..] => Ok(TargetParts { scheme: none, authority: none, path: target }),
        b"*" if method == Method::Options => Ok(TargetParts { scheme: none, authority: none, path: target }),
        _ => absolute_form(text, target),
    }
}

fn absolute_form(text: &[u8], target: ByteSpan) -> Result<TargetParts, Malformed> {
    let scheme_len = [&b"http://"[..], b"https://"]
        .iter()
        .find(|scheme| begins_with(text, scheme))
        .map(|scheme| scheme.len())
        .ok_or(Malformed::Target)?;
    let rest = text.get(scheme_len..).unwrap_or_default();
    let authority_len = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
    let at = target.at as usize;
    let path_at = at + scheme_len + authority_len;
    let path = ByteSpan::new(path_at, at + text.len());
    if !is_authority(rest.get(..authority_len).unwrap_or_default()) {
        return Err(Malformed::Target);
    }
    Ok(TargetParts {
        scheme: ByteSpan::new(at, at + scheme_len - 3),
        authority: ByteSpan::new(at + scheme_len, path_at),
        path,
    })
}

/// Reads a response head from the front of `bytes`. `asked` is the method of the request it answers.
pub fn response(bytes: &[u8], limits: HeadLimits, asked: Method) -> Result<Parsed<ResponseHead>, Malformed> {
    let mut headers = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let len = match httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut response, bytes, &mut headers)
        .map_err(refused)?
    {
        httparse::Status::Complete(len) if len <= limits.bytes => len,
        httparse::Status::Complete(_) => return Err(Malformed::TooLong),
        httparse::Status::Partial => return partial(bytes, limits),
    };
    if response.headers.len() > limits.fields {
        return Err(Malformed::TooManyFields);
    }
    let (Some(status), Some(reason), Some(minor)) = (response.code, response.reason, response.version) else {
        return Err(Malformed::Syntax);
    };
    if !bytes.starts_with(b"HTTP/1.") || status < 100 {
        return Err(Malformed::Syntax);
    }
    let reason = if reason.is_empty() { ByteSpan::default() } else { place(bytes, reason.as_bytes()) };
    let version = if minor == 1 { Version::H11 } else { Version::H10 };
    let store = take_fields(bytes, len, response.headers)?;
    Ok(Parsed::Whole(response_head(store, status, reason, version, asked)?, len))
}

/// Finds out what a response's fields say about it. Shared by both codecs.
pub fn response_head(
    mut store: HeadStore,
    status: u16,
    reason: ByteSpan,
    version: Version,
    asked: Method,
) -> Result<ResponseHead, Malformed> {
    store.mark_nominated();
    let length = one_length(&store)?;
    let codings = store.all(Known::TransferEncoding).count();
    if codings > 0 && (length.is_some() || codings > 1 || version == Version::H10) {
        return Err(Malformed::LengthAndCoding);
    }
    let coding = store.known(Known::TransferEncoding);
    let bodiless = asked == Method::Head || status < 200 || matches!(status, 204 | 304);
    let framing = match (bodiless, coding, length) {
        (true, _, _) => Framing::None,
        (false, Some(coding), _) => chunked_only(coding).map(|()| Framing::Chunked)?,
        (false, None, Some(bytes)) => Framing::Length(bytes),
        (false, None, None) if version == Version::H2 => Framing::Stream,
        (false, None, None) => Framing::UntilClose,
    };
    let keeps_alive = framing != Framing::UntilClose && keeps_alive(&store, version);
    Ok(ResponseHead { store, status, reason, version, framing, keeps_alive })
}

/// Reads a trailer section (field lines and the empty line); `None` when it is empty.
pub fn trailers(bytes: &[u8]) -> Result<Option<HeadStore>, Malformed> {
    if bytes == b"\r\n" {
        return Ok(None);
    }
    let mut headers = [httparse::EMPTY_HEADER; 64];
    match httparse::parse_headers(bytes, &mut headers) {
        Ok(httparse::Status::Complete((len, fields))) if len == bytes.len() => {
            take_fields(bytes, len, fields).map(Some).map_err(|_| Malformed::Trailer)
        }
        Ok(_) | Err(_) => Err(Malformed::Trailer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { bytes: 8 * 1024, fields: 100 };

    #[test]
    fn close_is_meant_in_http_1_0_as_well() {
        for (connection, keeps) in [
            ("keep-alive", true),
            ("close", false),
            ("close, keep-alive", false),
            ("Keep-Alive , Close", false),
            ("keep-alive\r\nConnection: close", false),
        ] {
            let request_text = format!("GET / HTTP/1.0\r\nConnection: {connection}\r\n\r\n");
            let Ok(Parsed::Whole(head, _)) = request(request_text.as_bytes(), LIMITS) else {
                panic!("reads")
            };
            assert_eq!(head.keeps_alive, keeps, "{connection}");
            let answer = format!("HTTP/1.0 204 \r\nConnection: {connection}\r\n\r\n");
            let Ok(Parsed::Whole(head, _)) = response(answer.as_bytes(), LIMITS, Method::Get) else {
                panic!("reads")
            };
            assert_eq!(head.keeps_alive, keeps, "{connection}");
        }
    }

    #[test]
    fn a_trailer_section_ends_each_line_with_crlf_and_is_all_there_is() {
        let store = trailers(b"X-Sum: 1\r\nX-More:\r\n\r\n").unwrap().unwrap();
        assert_eq!(store.fields.len(), 2);
        assert_eq!(store.field("x-sum"), Some(&b"1"[..]));
        assert!(trailers(b"\r\n").unwrap().is_none());
        for bad in [
            &b"X: 1\n\r\n"[..],
            b"X: 1\r\n\n",
            b"\n",
            b"",
            b"X: 1\r\n",
            b"X: 1\nY: 2\r\n\r\n",
            b"X: 1\r\n\r\nmore",
            b"no colon\r\n\r\n",
        ] {
            assert!(trailers(bad).is_err(), "{:?}", String::from_utf8_lossy(bad));
        }
    }
}
