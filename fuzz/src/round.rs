//! There and back: a head that was read, written and read again says the same.

use strop::message::h1::parse::{self, HeadLimits, Parsed};
use strop::message::h1::write::{self, Edits, Towards};
use strop::message::head::{Framing, Known, KnownSet, Method, RequestHead, Version};

use crate::naive::{self, Line};

const LIMITS: HeadLimits = HeadLimits { bytes: 64 * 1024, fields: 100 };
/// What is written has a few lines more.
const WIDER: HeadLimits = HeadLimits { bytes: 80 * 1024, fields: 120 };

const ADDED: &[u8] = b"x-forwarded-for: 10.0.0.1\r\nvia: 1.1 strop\r\n";
const DROPPED: KnownSet = KnownSet::of(&[Known::XForwardedFor, Known::RequestId]);
const DROPPED_NAMES: [&str; 2] = ["x-forwarded-for", "x-request-id"];

/// The fields that pass, as they came.
fn passing<'a>(lines: &[Line<'a>], also_not: impl Fn(&Line<'_>) -> bool) -> Vec<&'a [u8]> {
    let nominated = naive::nominated(lines);
    let stays = |line: &Line<'_>| {
        naive::is_hop(line, &nominated) || DROPPED_NAMES.iter().any(|name| line.is(name)) || also_not(line)
    };
    lines.iter().filter(|line| !stays(line)).map(|line| line.raw).collect()
}

fn frames(line: &Line<'_>) -> bool {
    line.is("content-length") || line.is("transfer-encoding")
}

/// How many lines of `name`, and the first one's value.
fn only<'a>(lines: &[Line<'a>], name: &str) -> Option<&'a [u8]> {
    let mut found = lines.iter().filter(|line| line.is(name)).map(|line| line.value);
    let first = found.next();
    assert!(found.next().is_none(), "{name} twice");
    first
}

pub fn request(data: &[u8]) {
    let [choice, bytes @ ..] = data else { return };
    let Ok(Parsed::Whole(head, len)) = parse::request(bytes, LIMITS) else { return };
    let host = (choice & 1 == 1).then_some("[2001:db8::1]:8443");
    let framing = match (choice & 2, head.framing) {
        (2, Framing::Length(_) | Framing::None) if head.method != Method::Connect => Framing::Chunked,
        (_, framing) => framing,
    };
    let edits = Edits { drop: DROPPED, add: ADDED, host, ..Edits::default() };
    let mut out = Vec::new();
    write::request(&mut out, &head, &edits, framing);
    if head.method == Method::Connect || (head.authority().is_empty() && host.is_none()) {
        return; // not written by this function, or for a backend of HTTP/1.0's days that has no name
    }
    let Ok(Parsed::Whole(again, all)) = parse::request(&out, WIDER) else {
        panic!("what was written cannot be read: {:?}", String::from_utf8_lossy(&out))
    };
    assert_eq!(all, out.len());
    let (_, came) = naive::head(&bytes[..len]);
    let (_, left) = naive::head(&out);
    same_request(&head, &again, host);
    assert_eq!(again.framing, framing);
    fields_of_request(&came, &left);
    hop_of_request(&head, &left);
}

fn same_request(head: &RequestHead, again: &RequestHead, host: Option<&str>) {
    assert_eq!(again.method_text(), head.method_text());
    assert_eq!(again.version, Version::H11);
    assert_eq!(again.authority(), host.unwrap_or(head.authority()));
    let asterisk = head.method == Method::Options && head.path.len == 0;
    assert_eq!(again.path_and_query(), if asterisk { "*".into() } else { head.origin_form() });
    assert_eq!(again.scheme.len, 0, "origin form");
    assert_eq!((again.wants_upgrade, again.takes_trailers), (head.wants_upgrade, head.takes_trailers));
    assert!(again.keeps_alive, "the hop to the upstream has its own life");
}

/// Every field that passes is there, byte for byte and in order; `Host` and framing once each.
fn fields_of_request(came: &[Line<'_>], left: &[Line<'_>]) {
    only(left, "host").expect("a host");
    assert!(only(left, "content-length").is_none() || only(left, "transfer-encoding").is_none());
    let also_not = |line: &Line<'_>| frames(line) || line.is("host");
    let expected = passing(came, also_not);
    let own = ["x-forwarded-for", "te", "connection", "upgrade"];
    let mut found: Vec<&[u8]> = left
        .iter()
        .filter(|line| !also_not(line) && !own.iter().any(|name| line.is(name)))
        .map(|line| line.raw)
        .collect();
    assert_eq!(found.pop(), Some(&b"via: 1.1 strop"[..]), "ours come last");
    assert_eq!(found, expected);
    assert_eq!(only(left, "x-forwarded-for"), Some(&b"10.0.0.1"[..]), "replaced");
}

/// Of the hop only what is announced anew: `TE: trailers`, `Upgrade`.
fn hop_of_request(head: &RequestHead, left: &[Line<'_>]) {
    assert_eq!(only(left, "te"), head.takes_trailers.then_some(&b"trailers"[..]));
    assert_eq!(only(left, "upgrade").is_some(), head.wants_upgrade);
    let mut nominated = naive::nominated(left);
    nominated.sort();
    let mut expected: Vec<Vec<u8>> = Vec::new();
    expected.extend(head.takes_trailers.then(|| b"te".to_vec()));
    expected.extend(head.wants_upgrade.then(|| b"upgrade".to_vec()));
    assert_eq!(nominated, expected);
    for name in ["keep-alive", "proxy-connection", "proxy-authorization", "http2-settings"] {
        assert!(only(left, name).is_none(), "{name}");
    }
}

pub fn response(data: &[u8]) {
    let [choice, bytes @ ..] = data else { return };
    let asked = if choice & 1 == 1 { Method::Head } else { Method::Get };
    let Ok(Parsed::Whole(head, len)) = parse::response(bytes, LIMITS, asked) else { return };
    let (_, came) = naive::head(&bytes[..len]);
    let mut out = Vec::new();
    if head.status < 200 && head.status != 101 {
        write::interim(&mut out, &head);
        let Ok(Parsed::Whole(again, all)) = parse::response(&out, WIDER, asked) else { panic!("unreadable") };
        assert_eq!((all, again.status, again.framing), (out.len(), head.status, Framing::None));
        let nominated = naive::nominated(&came);
        let expected = came.iter().filter(|line| !naive::is_hop(line, &nominated) && !frames(line));
        let (_, left) = naive::head(&out);
        assert!(left.iter().map(|line| line.raw).eq(expected.map(|line| line.raw)));
        return;
    }
    let towards = towards(*choice, head.framing);
    write::response(&mut out, &head, &Edits { drop: DROPPED, add: ADDED, ..Edits::default() }, towards);
    let Ok(Parsed::Whole(again, all)) = parse::response(&out, WIDER, asked) else {
        panic!("what was written cannot be read: {:?}", String::from_utf8_lossy(&out))
    };
    assert_eq!((all, again.status), (out.len(), head.status));
    assert_eq!(again.framing, towards.framing);
    let (_, left) = naive::head(&out);
    fields_of_response(&came, &left, head.status, towards);
}

/// As `answer::framing_for` chooses it.
fn towards(choice: u8, framing: Framing) -> Towards {
    let version = if choice & 2 == 2 { Version::H10 } else { Version::H11 };
    let framing = match (framing, version) {
        (Framing::None | Framing::Length(_), _) => framing,
        (_, Version::H10) => Framing::UntilClose,
        _ => Framing::Chunked,
    };
    Towards { version, framing, keep: choice & 4 == 4 && framing != Framing::UntilClose }
}

fn fields_of_response(came: &[Line<'_>], left: &[Line<'_>], status: u16, towards: Towards) {
    let expected = passing(came, frames);
    let own = ["x-forwarded-for", "connection", "upgrade"];
    let mut found: Vec<&[u8]> = left
        .iter()
        .filter(|line| !frames(line) && !own.iter().any(|name| line.is(name)))
        .map(|line| line.raw)
        .collect();
    assert_eq!(found.pop(), Some(&b"via: 1.1 strop"[..]), "ours come last");
    assert_eq!(found, expected);
    let length = only(left, "content-length");
    assert!(length.is_none() || only(left, "transfer-encoding").is_none());
    if towards.framing == Framing::None {
        let told = only(came, "content-length").filter(|_| status >= 200 && status != 204);
        assert_eq!(length, told, "the length of a body that is not sent");
        assert!(only(left, "transfer-encoding").is_none());
    }
    let connection = only(left, "connection");
    match (status, towards.keep, towards.version) {
        (101, _, _) => assert_eq!(connection, Some(&b"upgrade"[..])),
        (_, false, _) => assert_eq!(connection, Some(&b"close"[..])),
        (_, true, Version::H10) => assert_eq!(connection, Some(&b"keep-alive"[..])),
        (_, true, _) => assert_eq!(connection, None),
    }
}
