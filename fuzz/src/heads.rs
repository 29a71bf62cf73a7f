//! Heads: what is accepted reads the same to the plainest reader, and does not depend on how the reads fell.

use strop::message::fields;
use strop::message::h1::Malformed;
use strop::message::h1::parse::{self, HeadLimits, Parsed};
use strop::message::head::{
    ByteSpan, Field, Framing, HeadStore, Known, Method, RequestHead, ResponseHead, Version,
};

use crate::naive::{self, Line};

/// The first byte chooses the limits, so that small ones are met too.
fn limits(choice: u8) -> HeadLimits {
    let (bytes, fields) = match choice % 4 {
        0 => (64 * 1024, 100),
        1 => (128, 100),
        2 => (64 * 1024, 3),
        _ => (16 * 1024, 256),
    };
    HeadLimits { bytes, fields }
}

/// What an answer may be the answer to.
fn asked(choice: u8) -> Method {
    [Method::Get, Method::Head, Method::Post, Method::Connect][usize::from(choice >> 2) % 4]
}

pub fn request(data: &[u8]) {
    let [choice, bytes @ ..] = data else { return };
    let limits = limits(*choice);
    let parsed = parse::request(bytes, limits);
    same_in_pieces(bytes, &parsed, |part| parse::request(part, limits).map(|parsed| used(&parsed)));
    if let Ok(Parsed::Whole(head, len)) = parsed {
        let lines = common(bytes, len, limits, &head.store);
        start_of_request(&head, naive::head(&bytes[..len]).0);
        framing_of_request(&head, &lines);
        hosts(&head, &lines);
    }
}

pub fn response(data: &[u8]) {
    let [choice, bytes @ ..] = data else { return };
    let (limits, asked) = (limits(*choice), asked(*choice));
    let parsed = parse::response(bytes, limits, asked);
    same_in_pieces(bytes, &parsed, |part| parse::response(part, limits, asked).map(|parsed| used(&parsed)));
    if let Ok(Parsed::Whole(head, len)) = parsed {
        let lines = common(bytes, len, limits, &head.store);
        start_of_response(&head, naive::head(&bytes[..len]).0);
        framing_of_response(&head, &lines, asked);
    }
}

pub fn trailers(bytes: &[u8]) {
    let found = parse::trailers(bytes);
    assert_eq!(found.is_ok(), naive::is_section(bytes), "{found:?}");
    let Ok(Some(store)) = found else { return };
    let lines = naive::section(bytes);
    assert!(!lines.is_empty());
    assert_eq!(pairs(&store), lines.iter().map(|line| (line.name, line.value)).collect::<Vec<_>>());
    let kept = fields::only_trailers(store);
    for (name, _) in pairs(&kept) {
        for banned in
            ["content-length", "transfer-encoding", "host", "connection", "authorization", "set-cookie"]
        {
            assert!(!name.eq_ignore_ascii_case(banned.as_bytes()), "{banned} in a trailer");
        }
    }
}

fn used<T>(parsed: &Parsed<T>) -> Option<usize> {
    match parsed {
        Parsed::Whole(_, len) => Some(*len),
        Parsed::Partial => None,
    }
}

/// A head is the same however it comes: no beginning of a good one is bad, no continuation of a bad one is good, and
/// what follows it does not matter.
fn same_in_pieces<T>(
    bytes: &[u8],
    parsed: &Result<Parsed<T>, Malformed>,
    parse: impl Fn(&[u8]) -> Result<Option<usize>, Malformed>,
) {
    let whole = parsed.as_ref().map(used).map_err(|error| *error);
    let end = whole.ok().flatten().unwrap_or(bytes.len());
    let stride = (end / 16).max(1);
    for cut in (0..end).rev().step_by(stride) {
        match (parse(&bytes[..cut]), whole) {
            (Ok(None), _) | (Err(_), Err(_)) => {}
            (part, whole) => panic!("{cut} bytes are {part:?}, all of them {whole:?}"),
        }
    }
    if let Ok(Some(len)) = whole {
        assert_eq!(parse(&bytes[..len]), Ok(Some(len)), "what follows a head does not matter");
    }
}

fn pairs(store: &HeadStore) -> Vec<(&[u8], &[u8])> {
    store.fields.iter().map(|field| (field.name.of(&store.bytes), field.value.of(&store.bytes))).collect()
}

fn within(span: ByteSpan, store: &HeadStore) {
    assert!(span.at as usize + span.len as usize <= store.bytes.len(), "{span:?}");
}

/// What holds of both kinds of heads.
fn common<'a>(bytes: &'a [u8], len: usize, limits: HeadLimits, store: &HeadStore) -> Vec<Line<'a>> {
    assert!(len <= bytes.len() && len <= limits.bytes);
    assert_eq!(store.bytes, &bytes[..len]);
    let (_, lines) = naive::head(&bytes[..len]);
    assert!(lines.len() <= limits.fields);
    assert_eq!(pairs(store), lines.iter().map(|line| (line.name, line.value)).collect::<Vec<_>>());
    let nominated = naive::nominated(&lines);
    for (field, line) in store.fields.iter().zip(&lines) {
        let Field { name, value, known, hop, sensitive: _ } = *field;
        within(name, store);
        within(value, store);
        assert_eq!(hop, naive::is_hop(line, &nominated), "{:?}", String::from_utf8_lossy(line.raw));
        assert!(known == Known::Other || known.text().as_bytes().eq_ignore_ascii_case(line.name));
    }
    lines
}

fn start_of_request(head: &RequestHead, start: &[u8]) {
    let words: Vec<&[u8]> = start.split(|b| *b == b' ').collect();
    let [method, target, version] = words[..] else { panic!("three words, one blank between: {words:?}") };
    assert!(!method.is_empty() && method.iter().all(|b| naive::is_tchar(*b)));
    assert_eq!(head.method_text.of(&head.store.bytes), method);
    assert_eq!(head.method, Method::of(method));
    assert_eq!(version, if head.version == Version::H11 { &b"HTTP/1.1"[..] } else { b"HTTP/1.0" });
    assert!(!target.is_empty() && target.iter().all(|b| b.is_ascii_graphic() && *b != b'#'));
    for span in [head.method_text, head.scheme, head.authority, head.path] {
        within(span, &head.store);
    }
    let text = |span: ByteSpan| span.of(&head.store.bytes);
    let form = if head.method == Method::Connect { "authority" } else { "" };
    match (target[0], form) {
        (_, "authority") => assert_eq!((text(head.authority), text(head.path)), (target, &b""[..])),
        (b'/' | b'*', _) => assert_eq!((text(head.path), head.scheme.len), (target, 0)),
        _ => {
            let put = [text(head.scheme), b"://", text(head.authority), text(head.path)].concat();
            assert_eq!(put, target, "the parts of an absolute target are all of it");
        }
    }
}

fn hosts(head: &RequestHead, lines: &[Line<'_>]) {
    let hosts: Vec<_> = lines.iter().filter(|line| line.is("host")).collect();
    assert!(hosts.len() == 1 || (head.version == Version::H10 && hosts.is_empty()), "{hosts:?}");
    let authority = head.authority();
    let said = hosts.iter().any(|line| !line.value.is_empty());
    assert!(!authority.is_empty() || !said && head.scheme.len == 0);
    assert!(authority.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:[]".contains(&b)), "{authority}");
    assert_eq!(authority.is_empty(), head.host().is_empty());
    if head.scheme.len == 0 && head.method != Method::Connect {
        assert_eq!(authority.as_bytes(), hosts.first().map_or(&b""[..], |line| line.value));
    }
}

/// The lengths and the codings that a head tells.
fn told<'a>(lines: &[Line<'a>]) -> (Vec<&'a [u8]>, Vec<&'a [u8]>) {
    let all = |name| lines.iter().filter(|line| line.is(name)).map(|line| line.value).collect();
    (all("content-length"), all("transfer-encoding"))
}

fn framing_of_request(head: &RequestHead, lines: &[Line<'_>]) {
    let (lengths, codings) = told(lines);
    match head.framing {
        Framing::None => assert!(lengths.is_empty() && codings.is_empty()),
        Framing::Length(bytes) => {
            assert!(codings.is_empty() && lengths.len() == 1);
            assert_eq!(number(lengths[0]), Some(bytes));
        }
        Framing::Chunked => {
            assert!(lengths.is_empty() && codings.len() == 1 && head.version == Version::H11);
            assert!(codings[0].eq_ignore_ascii_case(b"chunked"));
        }
        framing @ (Framing::UntilClose | Framing::Stream) => panic!("{framing:?} of a request"),
    }
    let connect = head.method == Method::Connect;
    assert!(!connect || matches!(head.framing, Framing::None | Framing::Length(0)));
    let closes = closes(lines, head.version);
    assert_eq!(head.keeps_alive, !closes);
}

/// RFC 9112 section 9.3: `close` first, then the version, then `keep-alive`.
fn closes(lines: &[Line<'_>], version: Version) -> bool {
    let lists = |token: &[u8]| {
        let values = lines
            .iter()
            .filter(|line| line.is("connection"))
            .flat_map(|line| line.value.split(|b| *b == b','));
        values.into_iter().any(|item| naive::blank_trimmed(item).eq_ignore_ascii_case(token))
    };
    lists(b"close") || (version == Version::H10 && !lists(b"keep-alive"))
}

/// Digits and nothing else.
fn number(text: &[u8]) -> Option<u64> {
    let plain = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| plain)?.parse().ok()
}

fn start_of_response(head: &ResponseHead, start: &[u8]) {
    let version = if head.version == Version::H11 { &b"HTTP/1.1 "[..] } else { b"HTTP/1.0 " };
    let rest = start.strip_prefix(version).expect("the version and a blank");
    let status = head.status.to_string();
    let reason = rest.strip_prefix(status.as_bytes()).expect("the status");
    assert!((100..=999).contains(&head.status));
    assert!(matches!(reason, [] | [b' ', ..]), "{reason:?}");
    within(head.reason, &head.store);
    let kept = head.reason.of(&head.store.bytes);
    assert!(kept.is_empty() || reason.strip_prefix(b" ") == Some(kept), "the reason is kept or left out");
}

fn framing_of_response(head: &ResponseHead, lines: &[Line<'_>], asked: Method) {
    let (lengths, codings) = told(lines);
    assert!(lengths.is_empty() || codings.is_empty(), "two ways to say where the body ends");
    assert!(lengths.len() < 2 && codings.len() < 2);
    let bodiless = asked == Method::Head || head.status < 200 || matches!(head.status, 204 | 304);
    let expected = match (bodiless, lengths.first(), codings.first()) {
        (true, _, _) => Framing::None,
        (false, Some(length), _) => Framing::Length(number(length).expect("a number")),
        (false, None, Some(_)) => Framing::Chunked,
        (false, None, None) => Framing::UntilClose,
    };
    assert_eq!(head.framing, expected);
    let keeps = expected != Framing::UntilClose && !closes(lines, head.version);
    assert_eq!(head.keeps_alive, keeps);
}
