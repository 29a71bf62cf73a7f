//! What only one of the two readers accepts, and why that is right.
//!
//! A row asks three things: who accepts, how the other one refused, and whether the message has in it what the row is
//! about. What fits no row fails the test, and so does a row that nothing fits.

use strop::message::h1::Malformed;

use crate::reading::End;
use Malformed::{Chunk, Coding, Host, Length, LengthAndCoding, Syntax, Target, Trailer, UnknownCoding};

/// Who accepts; how the other one ended.
#[derive(Debug)]
pub(crate) enum Side<'a> {
    Hyper(&'a End),
    Strop(&'a End),
    /// Both accept, and hyper alone expects another message on the connection.
    HyperReadsOn,
}

/// Who accepts, and for which of the other's reasons.
#[derive(Debug)]
pub(crate) enum Accepts {
    Hyper(&'static [Malformed]),
    Strop(&'static str),
    HyperReadsOn,
}

#[derive(Debug)]
pub(crate) struct Row {
    accepts: Accepts,
    /// Does Strop refuse whatever this is true of?
    always: bool,
    when: fn(&Case<'_>) -> bool,
    /// Read by people: in the failure that names an idle row, and here.
    #[allow(dead_code)]
    because: &'static str,
}

impl Row {
    pub(crate) fn fits(&self, side: &Side<'_>, case: &Case<'_>) -> bool {
        let reason = match (&self.accepts, side) {
            (Accepts::Hyper(reasons), Side::Hyper(End::Refused(why))) => reasons.contains(why),
            (Accepts::Strop(reason), Side::Strop(End::Broken(error))) => error.contains(reason),
            (Accepts::HyperReadsOn, Side::HyperReadsOn) => true,
            _ => false,
        };
        reason && (self.when)(case)
    }

    /// Is this a message that Strop ought to have refused?
    pub(crate) fn forbids(&self, case: &Case<'_>) -> bool {
        self.always && (self.when)(case)
    }
}

/// Hyper accepts what Strop refuses, always.
const fn never(reasons: &'static [Malformed], when: fn(&Case<'_>) -> bool, because: &'static str) -> Row {
    Row { accepts: Accepts::Hyper(reasons), always: true, when, because }
}

/// Hyper accepts what Strop refuses where it matters: not where there is no body, not in the bytes after the message.
const fn seldom(reasons: &'static [Malformed], when: fn(&Case<'_>) -> bool, because: &'static str) -> Row {
    Row { accepts: Accepts::Hyper(reasons), always: false, when, because }
}

pub(crate) const ROWS: &[Row] = &[
    never(
        &[Syntax],
        |case| bare_lf(case.head),
        "a line that ends with LF alone: a recipient MAY take it (RFC 9112 section 2.2); the next one may not",
    ),
    never(
        &[Syntax],
        |case| case.is_request() && case.bytes.starts_with(b"\r\n\r\n\r\n"),
        "more than two empty lines before a request: at least one SHOULD be read over (RFC 9112 section 2.2)",
    ),
    never(
        &[Syntax],
        |case| !case.is_request() && (case.bytes.starts_with(b"\r\n") || has(case.head, b"\r\n\r\n\r\n")),
        "empty lines before an answer: they are read over before requests only (RFC 9112 section 2.2)",
    ),
    never(
        &[Host],
        |case| case.is_request() && !case.has_host(),
        "Host is missing, repeated or no host: MUST be answered with 400 (RFC 9112 section 3.2)",
    ),
    never(
        &[Target],
        |case| case.target().contains(&b'#'),
        "a fragment is no part of any form of target (RFC 9112 section 3.2, RFC 9110 section 7.1)",
    ),
    never(
        &[Target],
        |case| !case.target().is_ascii(),
        "a URI has no byte above 0x7f (RFC 3986 section 2): the next reader may decode it in another way",
    ),
    never(
        &[Target],
        |case| case.target() == b"*" && case.method() != b"OPTIONS",
        "the asterisk form is for OPTIONS only (RFC 9112 section 3.2.4)",
    ),
    never(
        &[Target],
        |case| case.method() == b"CONNECT" && !has_port(&case.target()),
        "CONNECT takes host and port and nothing else (RFC 9112 section 3.2.3)",
    ),
    never(
        &[Target],
        |case| case.has_authority_form() && case.method() != b"CONNECT",
        "the authority form is for CONNECT only (RFC 9112 section 3.2.3)",
    ),
    never(
        &[Target],
        |case| case.scheme().is_some_and(|scheme| scheme != "http" && scheme != "https"),
        "an absolute form of another scheme asks for what is not HTTP (RFC 9110 section 4.2)",
    ),
    never(
        &[Target],
        |case| case.target_authority().is_some_and(|authority| !is_authority(&authority)),
        "user information (RFC 9110 section 4.2.4), or a host or a port that is none (RFC 3986 section 3.2)",
    ),
    never(
        &[LengthAndCoding, Length],
        |case| !case.all("content-length").is_empty() && !case.all("transfer-encoding").is_empty(),
        "Content-Length beside Transfer-Encoding: may be refused, ought to be an error (RFC 9112 section 6.3)",
    ),
    seldom(
        &[LengthAndCoding],
        |case| !case.is_request() && case.bodiless() && !case.all("transfer-encoding").is_empty(),
        "codings that HTTP/1.0 has not, or several, in an answer without a body: faulty framing (RFC 9112 section 6.1)",
    ),
    never(
        &[LengthAndCoding],
        |case| !case.is_request() && case.all("transfer-encoding").len() > 1,
        "an answer with a coding beside chunked, which no TE asked for (RFC 9112 section 7.4)",
    ),
    never(
        &[Length],
        |case| case.all("content-length").len() > 1 || has(&case.all("content-length").concat(), b","),
        "Content-Length told twice: MAY be refused, even when it is the same (RFC 9112 section 6.3)",
    ),
    never(
        &[Length],
        |case| {
            case.all("content-length")
                .iter()
                .any(|length| length.len() > 18 && length.iter().all(u8::is_ascii_digit))
        },
        "a Content-Length of more digits than any body has: overflow is to be expected (RFC 9110 section 8.6)",
    ),
    seldom(
        &[Length],
        |case| case.method() == b"CONNECT",
        "a CONNECT with content: what follows is the tunnel's (RFC 9110 section 9.3.6)",
    ),
    seldom(
        &[Length],
        |case| !case.is_request() && case.bodiless(),
        "a Content-Length that is no number, in an answer without a body: invalid all the same (RFC 9110 section 8.6)",
    ),
    seldom(
        &[Coding, UnknownCoding],
        |case| case.all("transfer-encoding") != [b"chunked"],
        "a coding that is not exactly chunked: 501 or 400; hyper leaves it to its user (RFC 9112 sections 6.1 and 7)",
    ),
    seldom(
        &[Chunk],
        |case| odd_size_line(case.body, |digits, rest| digits > 0 && matches!(rest, [b' ' | b'\t', ..])),
        "blanks after a chunk's size: no sender may write them (RFC 9112 section 7.1.1)",
    ),
    seldom(
        &[Chunk],
        |case| odd_size_line(case.body, |_, rest| rest.iter().any(|b| b.is_ascii_control() && *b != b'\t')),
        "control characters in a chunk extension: in no grammar (RFC 9112 section 7.1.1)",
    ),
    seldom(
        &[Chunk],
        |case| odd_size_line(case.body, |digits, _| digits > 16),
        "a chunk size of more than 16 digits: overflow is to be expected (RFC 9112 section 7.1)",
    ),
    seldom(
        &[Trailer],
        |case| bare_lf(case.body),
        "a trailer line that ends with LF alone: a recipient MAY take it (RFC 9112 section 2.2); the next one may not",
    ),
    Row {
        accepts: Accepts::Strop("Parse(Uri)"),
        always: false,
        when: |case| case.target().iter().any(|b| b"\"<>\\^`{|}".contains(b)),
        because: "clients send them, RFC 3986 section 2 has them not; passed on as they came, they mean one thing",
    },
    Row {
        accepts: Accepts::HyperReadsOn,
        always: false,
        when: |case| case.all("connection").iter().any(|options| !options.is_ascii()),
        because: "hyper sees no close beside a byte above 0x7f; options are a list (RFC 9110 section 7.6.1)",
    },
];

/// A message that only one accepts, with all that follows it.
pub(crate) struct Case<'a> {
    asked: &'a str,
    bytes: &'a [u8],
    /// With the empty lines before it and the one after it.
    head: &'a [u8],
    body: &'a [u8],
}

impl<'a> Case<'a> {
    /// `asked` is the method of the request that an answer is for, and empty for a request.
    pub(crate) fn new(asked: &'a str, bytes: &'a [u8]) -> Self {
        let mut from = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        // Interim answers are no messages of their own.
        let end = loop {
            let rest = &bytes[from..];
            let ends = |at: &usize| rest[*at..].starts_with(b"\n\r\n") || rest[*at..].starts_with(b"\n\n");
            let end = (0..rest.len())
                .find(ends)
                .map_or(bytes.len(), |at| from + at + 3 - usize::from(rest[at + 1] == b'\n'));
            let status = rest.get(9..12).unwrap_or_default();
            if asked.is_empty() || !status.starts_with(b"1") || status == b"101" || end == bytes.len() {
                break end;
            }
            from = end;
        };
        let (head, body) = (&bytes[..end], &bytes[end..]);
        Self { asked, bytes, head, body }
    }

    fn is_request(&self) -> bool {
        self.asked.is_empty()
    }

    /// The lines of the last head, without their ends.
    fn lines(&self) -> Vec<&'a [u8]> {
        let mut lines: Vec<&[u8]> =
            self.head.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
        while lines.last().is_some_and(|line| line.is_empty()) {
            lines.pop();
        }
        let from = lines.iter().rposition(|line| line.is_empty()).map_or(0, |at| at + 1);
        lines.split_off(from)
    }

    fn start(&self) -> Vec<&'a [u8]> {
        self.lines().first().map(|line| line.split(|b| *b == b' ').collect()).unwrap_or_default()
    }

    fn method(&self) -> &'a [u8] {
        if self.is_request() { self.start()[0] } else { b"" }
    }

    fn target(&self) -> Vec<u8> {
        self.start().get(1).filter(|_| self.is_request()).map(|target| target.to_vec()).unwrap_or_default()
    }

    fn all(&self, name: &str) -> Vec<Vec<u8>> {
        let lines = self.lines();
        let fields = lines
            .iter()
            .skip(1)
            .filter_map(|line| line.iter().position(|b| *b == b':').map(|at| line.split_at(at)));
        fields
            .filter(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value[1..].trim_ascii().to_ascii_lowercase())
            .collect()
    }

    /// Has the answer no body by its status or by what was asked?
    fn bodiless(&self) -> bool {
        let status = self.start().get(1).map(|status| status.to_vec()).unwrap_or_default();
        let connected = self.asked == "CONNECT" && status.starts_with(b"2");
        self.asked == "HEAD" || connected || matches!(&status[..], b"204" | b"304" | b"101")
    }

    fn has_authority_form(&self) -> bool {
        let target = self.target();
        self.is_request() && target != b"*" && !target.starts_with(b"/") && !has(&target, b"://")
    }

    /// One `Host` that is one; none is enough for HTTP/1.0.
    fn has_host(&self) -> bool {
        match &self.all("host")[..] {
            [] => self.start().last().is_some_and(|version| *version == b"HTTP/1.0"),
            // Empty where the target has no authority (RFC 9112 section 3.2).
            [host] => host.is_empty() || is_authority(host),
            _ => false,
        }
    }

    fn scheme(&self) -> Option<String> {
        let target = String::from_utf8_lossy(&self.target()).to_ascii_lowercase();
        target
            .split_once("://")
            .filter(|(scheme, _)| !scheme.contains('/'))
            .map(|(scheme, _)| scheme.to_owned())
    }

    /// What follows the scheme of an absolute form.
    fn after_scheme(&self) -> Option<Vec<u8>> {
        let (scheme, target) = (self.scheme()?, self.target());
        Some(target[scheme.len() + 3..].to_vec())
    }

    fn target_authority(&self) -> Option<Vec<u8>> {
        self.after_scheme()?.split(|b| matches!(b, b'/' | b'?' | b'#')).next().map(<[u8]>::to_vec)
    }
}

fn has(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|part| part == wanted)
}

fn bare_lf(text: &[u8]) -> bool {
    text.iter().enumerate().any(|(at, b)| *b == b'\n' && (at == 0 || text[at - 1] != b'\r'))
}

fn is_authority(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (&*text, "80"),
    };
    let port_fits = port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok() && port.len() < 6;
    let host_fits = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b)),
    };
    port_fits && host_fits
}

fn has_port(text: &[u8]) -> bool {
    is_authority(text)
        && text.rsplit(|b| *b == b':').next().is_some_and(|port| port.iter().all(u8::is_ascii_digit))
        && text.contains(&b':')
}

/// Is there a chunk whose line fits `odd`, which gets the number of its digits and what follows them?
fn odd_size_line(body: &[u8], odd: fn(usize, &[u8]) -> bool) -> bool {
    let mut rest = body;
    while let Some(end) = rest.iter().position(|b| *b == b'\n') {
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        if odd(digits, &line[digits..]) {
            return true;
        }
        let size =
            std::str::from_utf8(&line[..digits]).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
        let Some(size) = size.filter(|size| *size > 0) else { return false };
        rest = rest.get(end + 1 + size + 2..).unwrap_or_default();
    }
    false
}
