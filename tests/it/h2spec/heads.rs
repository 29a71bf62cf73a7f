use super::Want::{GoAway, Reset, Says, Status};
use super::{GET, POST, Point, Want, echo, look, patient, with};
use crate::support::h2raw::H2Raw;
use crate::support::h2raw::code::PROTOCOL;
use crate::support::h2raw::flag::END_STREAM;
use crate::support::upstream::Upstream;

/// What may be made of a request that is malformed (RFC 9113 section 8.1.1).
const MALFORMED: &[Want] = &[Reset(PROTOCOL), GoAway(PROTOCOL), Status(400)];

/// A request with one more field.
fn field(peer: &mut H2Raw, name: &'static str, value: &'static str) {
    peer.head(1, END_STREAM, &with(&GET, &[(name, value)]));
}

/// A request without one of the fields that it begins with.
fn without(peer: &mut H2Raw, name: &str) {
    let fields: Vec<_> = GET.into_iter().filter(|(field, _)| *field != name).collect();
    peer.head(1, END_STREAM, &fields);
}

/// A request that says one of the fields that it begins with differently.
fn but(peer: &mut H2Raw, name: &str, value: &'static str) {
    let fields: Vec<_> =
        GET.into_iter().map(|(field, own)| (field, if field == name { value } else { own })).collect();
    peer.head(1, END_STREAM, &fields);
}

/// Names, values and what a request begins with.
pub const POINTS: &[Point] = &[
    ("a name in upper case", MALFORMED, |peer| field(peer, "X-A", "1")),
    ("a name with one letter in upper case", MALFORMED, |peer| field(peer, "x-aB", "1")),
    ("a name with a space", MALFORMED, |peer| field(peer, "x a", "1")),
    ("a name with a line end", MALFORMED, |peer| field(peer, "x-a\r\nx-b", "1")),
    ("a name with a colon within", MALFORMED, |peer| field(peer, "x:a", "1")),
    ("a name with a byte that is no text", MALFORMED, |peer| field(peer, "x-\u{e4}", "1")),
    ("a name that is empty", MALFORMED, |peer| field(peer, "", "1")),
    ("a value with a line end", MALFORMED, |peer| field(peer, "x-a", "1\r\nx-b: 2")),
    ("a value with a line feed", MALFORMED, |peer| field(peer, "x-a", "1\n2")),
    ("a value with a carriage return", MALFORMED, |peer| field(peer, "x-a", "1\r2")),
    ("a value with a zero", MALFORMED, |peer| field(peer, "x-a", "1\0")),
    ("a value that begins with a space", MALFORMED, |peer| field(peer, "x-a", " 1")),
    ("a value that ends with a tab", MALFORMED, |peer| field(peer, "x-a", "1\t")),
    ("a field of the connection: Connection", MALFORMED, |peer| field(peer, "connection", "keep-alive")),
    ("a field of the connection: Keep-Alive", MALFORMED, |peer| field(peer, "keep-alive", "timeout=5")),
    ("a field of the connection: Proxy-Connection", MALFORMED, |peer| {
        field(peer, "proxy-connection", "keep-alive");
    }),
    ("a field of the connection: Transfer-Encoding", MALFORMED, |peer| {
        field(peer, "transfer-encoding", "chunked");
    }),
    ("a field of the connection: Upgrade", MALFORMED, |peer| field(peer, "upgrade", "websocket")),
    ("TE of trailers and more", MALFORMED, |peer| field(peer, "te", "trailers, deflate;q=0.5")),
    ("TE of something else", MALFORMED, |peer| field(peer, "te", "gzip")),
    ("TE of trailers", &[Says("")], |peer| field(peer, "te", "trailers")),
    ("a field that begins with a colon and is unknown", MALFORMED, |peer| field(peer, ":test", "ok")),
    ("an unknown field with a colon before all others", MALFORMED, |peer| {
        peer.head(1, END_STREAM, &[&[(":test", "ok")][..], &GET].concat());
    }),
    ("a status in a request", MALFORMED, |peer| {
        peer.head(1, END_STREAM, &[&[(":status", "200")][..], &GET].concat());
    }),
    ("a field with a colon in trailers", MALFORMED, |peer| {
        peer.head(1, 0, &POST);
        peer.head(1, END_STREAM, &[(":method", "GET")]);
    }),
    ("a field with a colon behind one without", MALFORMED, |peer| {
        let [method, scheme, path, authority] = GET;
        peer.head(1, END_STREAM, &[method, scheme, ("x-a", "1"), path, authority]);
    }),
    ("a field with a colon behind a cookie", MALFORMED, |peer| {
        let [method, scheme, path, authority] = GET;
        peer.head(1, END_STREAM, &[method, scheme, ("cookie", "a=1"), path, authority]);
    }),
    ("no method", MALFORMED, |peer| without(peer, ":method")),
    ("no scheme", MALFORMED, |peer| without(peer, ":scheme")),
    ("no path", MALFORMED, |peer| without(peer, ":path")),
    ("no authority and no Host", MALFORMED, |peer| without(peer, ":authority")),
    ("no authority but a Host", &[Says("")], |peer| {
        let [method, scheme, path, _] = GET;
        peer.head(1, END_STREAM, &[method, scheme, path, ("host", "a")]);
    }),
    ("two methods", MALFORMED, |peer| {
        peer.head(1, END_STREAM, &[&[(":method", "GET")][..], &GET].concat());
    }),
    ("two schemes", MALFORMED, |peer| {
        peer.head(1, END_STREAM, &[&[(":scheme", "http")][..], &GET].concat());
    }),
    ("two paths", MALFORMED, |peer| peer.head(1, END_STREAM, &[&[(":path", "/")][..], &GET].concat())),
    ("two authorities", MALFORMED, |peer| {
        peer.head(1, END_STREAM, &[&[(":authority", "a")][..], &GET].concat());
    }),
    ("an authority and a Host that differ", MALFORMED, |peer| field(peer, "host", "b")),
    ("a path that is empty", MALFORMED, |peer| but(peer, ":path", "")),
    ("a path without a slash", MALFORMED, |peer| but(peer, ":path", "x")),
    ("a path that is a whole address", MALFORMED, |peer| but(peer, ":path", "http://a/")),
    ("a path with a space", MALFORMED, |peer| but(peer, ":path", "/ HTTP/1.1")),
    ("a path with a fragment", MALFORMED, |peer| but(peer, ":path", "/a#b")),
    ("a method that is empty", MALFORMED, |peer| but(peer, ":method", "")),
    ("a method with a space", MALFORMED, |peer| but(peer, ":method", "GET /hidden")),
    ("a scheme that is empty", MALFORMED, |peer| but(peer, ":scheme", "")),
    ("a scheme with a space", MALFORMED, |peer| but(peer, ":scheme", "http ")),
    ("a scheme with what follows one", MALFORMED, |peer| but(peer, ":scheme", "http://")),
    ("a scheme that begins with a digit", MALFORMED, |peer| but(peer, ":scheme", "1http")),
    ("a scheme with a byte that is no letter", MALFORMED, |peer| but(peer, ":scheme", "h\u{e4}ttp")),
    ("a scheme of a WebSocket that is empty", MALFORMED, |peer| {
        let [_, _, path, authority] = GET;
        let start = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", ""), path, authority];
        peer.head(1, 0, &start);
    }),
    ("an authority with a user", MALFORMED, |peer| but(peer, ":authority", "u@a")),
    ("an authority with a space", MALFORMED, |peer| but(peer, ":authority", "a b")),
    ("CONNECT with a path", MALFORMED, |peer| but(peer, ":method", "CONNECT")),
    ("a protocol without CONNECT", MALFORMED, |peer| {
        peer.head(1, END_STREAM, &[&[(":protocol", "websocket")][..], &GET].concat());
    }),
    ("a head in the middle of a body", &[Reset(PROTOCOL), GoAway(PROTOCOL)], |peer| {
        peer.head(1, 0, &POST);
        peer.head(1, 0, &POST);
    }),
    ("trailers that do not end the stream", &[Reset(PROTOCOL), GoAway(PROTOCOL)], |peer| {
        peer.head(1, 0, &POST);
        peer.data(1, 0, b"x");
        peer.head(1, 0, &[("x-trailer", "1")]);
    }),
    ("a name in upper case in trailers", MALFORMED, |peer| {
        peer.head(1, 0, &POST);
        peer.head(1, END_STREAM, &[("X-Trailer", "1")]);
    }),
];

/// A request that says how long its body is.
fn announced(peer: &mut H2Raw, flags: u8, length: &'static str) {
    peer.head(1, flags, &with(&POST, &[("content-length", length)]));
}

/// Bodies that are not as long as they were said to be.
pub const LENGTHS: &[Point] = &[
    ("less data than was said", MALFORMED, |peer| {
        announced(peer, 0, "5");
        peer.data(1, END_STREAM, b"hell");
    }),
    ("more data than was said", MALFORMED, |peer| {
        announced(peer, 0, "1");
        peer.data(1, END_STREAM, b"hello");
    }),
    ("more data than was said, in several frames", MALFORMED, |peer| {
        announced(peer, 0, "5");
        peer.data(1, 0, b"hel");
        peer.data(1, END_STREAM, b"lo!");
    }),
    ("less data than was said, in several frames", MALFORMED, |peer| {
        announced(peer, 0, "5");
        peer.data(1, 0, b"he");
        peer.data(1, 0, b"ll");
        peer.data(1, END_STREAM, b"");
    }),
    ("less data than was said, before trailers", MALFORMED, |peer| {
        announced(peer, 0, "5");
        peer.data(1, 0, b"hell");
        peer.head(1, END_STREAM, &[("x-trailer", "1")]);
    }),
    ("data that was said not to come", MALFORMED, |peer| {
        announced(peer, 0, "0");
        peer.data(1, END_STREAM, b"x");
    }),
    ("no data where some was said to come", MALFORMED, |peer| announced(peer, END_STREAM, "5")),
    ("a length of none and none", &[Says("")], |peer| announced(peer, END_STREAM, "0")),
    ("a length that is no number", MALFORMED, |peer| announced(peer, 0, "5x")),
    ("a length with a sign", MALFORMED, |peer| announced(peer, 0, "+5")),
    ("a length beyond 64 bits", MALFORMED, |peer| announced(peer, 0, "18446744073709551621")),
    ("two lengths that differ", MALFORMED, |peer| {
        peer.head(1, 0, &with(&POST, &[("content-length", "5"), ("content-length", "6")]));
    }),
    ("a length without its padding", &[Says("hello")], |peer| {
        announced(peer, 0, "5");
        peer.frame(0, END_STREAM | 8, 1, b"\x03hello\0\0\0");
    }),
];

#[test]
fn requests_that_are_malformed_are_refused_and_reach_nobody() {
    let backend = Upstream::start(echo());
    let proxy = patient(&backend, "");
    look(&proxy, POINTS, H2Raw::to);
    // What `look` asks after each point is a plain GET of the root, as are the points that are served.
    for seen in backend.seen() {
        let line = seen.head.lines().next().unwrap_or_default();
        let fine = ["GET / HTTP/1.1", "POST / HTTP/1.1"].contains(&line);
        assert!(fine && !seen.head.contains("x-b:"), "{seen:?}");
    }
}

#[test]
fn bodies_that_are_not_as_long_as_they_were_said_to_be_are_never_whole() {
    let backend = Upstream::start(echo());
    let proxy = patient(&backend, "");
    look(&proxy, LENGTHS, H2Raw::to);
    let bodies: Vec<Vec<u8>> = backend.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies.concat(), b"hello", "only what is padded is as long as it was said to be");
}
