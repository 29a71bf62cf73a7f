//! From a head to bytes: verbatim runs between the few fields that change.

use crate::message::head::{
    Framing, HeadStore, Known, KnownSet, Method, RequestHead, ResponseHead, Version, is_ours, is_twin,
};

/// What changes in a head on its way through.
#[derive(Clone, Copy, Debug, Default)]
pub struct Edits<'a> {
    /// Fields left out beside the hop-by-hop ones.
    pub drop: KnownSet,
    /// Field lines to add, each ended by CRLF.
    pub add: &'a [u8],
    /// Written in the place of `Host`; `None`: it stays.
    pub host: Option<&'a str>,
    /// Leaves out what [`is_twin`] finds.
    pub no_twins: bool,
    /// Leaves out what [`is_ours`] finds.
    pub foreign: bool,
}

/// The fields that say how a body is framed.
const FRAMING: KnownSet = KnownSet::of(&[Known::ContentLength, Known::TransferEncoding]);

fn number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

/// The field that announces `framing`.
fn framing_field(out: &mut Vec<u8>, framing: Framing) {
    match framing {
        Framing::Length(bytes) => {
            out.extend_from_slice(b"content-length: ");
            number(out, bytes);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Framing::None | Framing::UntilClose | Framing::Stream => {}
    }
}

/// Do the fields of `store` already say how the body is framed?
fn says(store: &HeadStore, came: Framing, leaves: Framing) -> bool {
    came == leaves
        && match leaves {
            Framing::Length(_) => store.known(Known::ContentLength).is_some(),
            Framing::Chunked => store.known(Known::TransferEncoding).is_some(),
            Framing::None | Framing::UntilClose | Framing::Stream => false,
        }
}

/// Writes the head of a request in origin form, with its body framed as `framing`.
pub fn request(out: &mut Vec<u8>, head: &RequestHead, edits: &Edits<'_>, framing: Framing) {
    let store = &head.store;
    out.extend_from_slice(head.method_text.of(&store.bytes));
    out.push(b' ');
    match (head.path.of(&store.bytes), head.method) {
        (b"", Method::Options) => out.push(b'*'),
        (b"", _) => out.push(b'/'),
        (query @ [b'?', ..], _) => {
            out.push(b'/');
            out.extend_from_slice(query);
        }
        (path, _) => out.extend_from_slice(path),
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let host_stands = edits.host.is_none() && !head.is_absolute() && store.known(Known::Host).is_some();
    let forged = |name: &[u8]| edits.no_twins && is_twin(name) || edits.foreign && is_ours(name);
    if !host_stands {
        out.extend_from_slice(b"Host: ");
        let own = head.authority.of(&store.bytes);
        out.extend_from_slice(edits.host.map_or(own, str::as_bytes));
        out.extend_from_slice(b"\r\n");
    }
    let framed = says(store, head.framing, framing);
    store.copy_lines(out, |field| {
        if field.known == Known::Host {
            host_stands
        } else if FRAMING.has(field.known) {
            framed
        } else {
            !field.hop && !edits.drop.has(field.known) && !forged(field.name.of(&store.bytes))
        }
    });
    if !framed {
        framing_field(out, framing);
    }
    if head.takes_trailers {
        out.extend_from_slice(b"te: trailers\r\nconnection: te\r\n");
    }
    if head.wants_upgrade {
        out.extend_from_slice(b"connection: upgrade\r\nupgrade: ");
        out.extend_from_slice(store.known(Known::Upgrade).unwrap_or_default());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(edits.add);
    out.extend_from_slice(b"\r\n");
}

/// How a response leaves towards one client.
#[derive(Clone, Copy, Debug)]
pub struct Towards {
    /// What the client speaks.
    pub version: Version,
    /// How the body is framed.
    pub framing: Framing,
    /// Is the connection kept after it?
    pub keep: bool,
}

/// Writes the head of a response.
pub fn response(out: &mut Vec<u8>, head: &ResponseHead, edits: &Edits<'_>, towards: Towards) {
    let store = &head.store;
    status_line(out, head);
    let framed = says(store, head.framing, towards.framing);
    // Without a body the length may still be told: what GET would have, what 304 stands for (RFC 9110 section 8.6).
    let told = towards.framing == Framing::None && head.status >= 200 && head.status != 204;
    store.copy_lines(out, |field| {
        if FRAMING.has(field.known) {
            framed || (told && field.known == Known::ContentLength)
        } else {
            let forged = edits.foreign && is_ours(field.name.of(&store.bytes));
            !field.hop && !edits.drop.has(field.known) && !forged
        }
    });
    if !framed {
        framing_field(out, towards.framing);
    }
    if head.status == 101 {
        out.extend_from_slice(b"connection: upgrade\r\nupgrade: ");
        out.extend_from_slice(store.known(Known::Upgrade).unwrap_or_default());
        out.extend_from_slice(b"\r\n");
    } else if !towards.keep {
        out.extend_from_slice(b"connection: close\r\n");
    } else if towards.version == Version::H10 {
        out.extend_from_slice(b"connection: keep-alive\r\n");
    }
    out.extend_from_slice(edits.add);
    out.extend_from_slice(b"\r\n");
}

/// Writes an interim response (1xx) as it came, without its hop-by-hop fields.
pub fn interim(out: &mut Vec<u8>, head: &ResponseHead) {
    status_line(out, head);
    head.store.copy_lines(out, |field| {
        !field.hop && !matches!(field.known, Known::ContentLength | Known::TransferEncoding)
    });
    out.extend_from_slice(b"\r\n");
}

fn status_line(out: &mut Vec<u8>, head: &ResponseHead) {
    out.extend_from_slice(b"HTTP/1.1 ");
    number(out, u64::from(head.status));
    out.push(b' ');
    let reason = head.reason.of(&head.store.bytes);
    let reason = if reason.is_empty() { phrase(head.status).as_bytes() } else { reason };
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

fn phrase(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::super::parse::{self, HeadLimits, Parsed};
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { bytes: 16_384, fields: 100 };

    fn read(text: &str) -> RequestHead {
        match parse::request(text.as_bytes(), LIMITS).expect("well-formed") {
            Parsed::Whole(head, len) if len == text.len() => head,
            Parsed::Whole(..) | Parsed::Partial => panic!("not whole"),
        }
    }

    #[test]
    fn order_and_case_reach_the_other_side_as_they_came() {
        let head = read(
            "POST /a?b HTTP/1.1\r\nX-One: 1\r\nHost: h\r\nConnection: keep-alive, X-Gone\r\nX-Gone: x\r\n\
             CONTENT-length: 3\r\nx-EMPTY:\r\nX-Two:  2 \r\n\r\n",
        );
        let mut out = Vec::new();
        request(&mut out, &head, &Edits { add: b"via: 1.1 strop\r\n", ..Edits::default() }, head.framing);
        assert_eq!(
            String::from_utf8_lossy(&out),
            "POST /a?b HTTP/1.1\r\nX-One: 1\r\nHost: h\r\nCONTENT-length: 3\r\nx-EMPTY:\r\nX-Two:  2 \r\n\
             via: 1.1 strop\r\n\r\n",
        );
    }

    #[test]
    fn an_absolute_target_rules_over_the_host_field() {
        let head = read("GET http://real.example/x HTTP/1.1\r\nHost: other.example\r\n\r\n");
        assert_eq!(head.authority(), "real.example");
        let mut out = Vec::new();
        request(&mut out, &head, &Edits::default(), head.framing);
        assert_eq!(String::from_utf8_lossy(&out), "GET /x HTTP/1.1\r\nHost: real.example\r\n\r\n");
    }

    #[test]
    fn a_head_response_keeps_its_length() {
        let text = b"HTTP/1.1 200 Fine\r\nContent-Length: 12\r\n\r\n";
        let Ok(Parsed::Whole(head, _)) = parse::response(text, LIMITS, Method::Head) else { panic!("whole") };
        assert_eq!(head.framing, Framing::None);
        let mut out = Vec::new();
        let towards = Towards { version: Version::H11, framing: Framing::None, keep: true };
        response(&mut out, &head, &Edits::default(), towards);
        assert_eq!(out, text);
    }
}
