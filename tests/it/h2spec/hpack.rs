use super::Want::{GoAway, Says};
use super::{GET, Point, echo, look, patient};
use crate::support::h2raw::code::COMPRESSION;
use crate::support::h2raw::flag::{ALL, END_STREAM};
use crate::support::h2raw::kind::HEADERS;
use crate::support::h2raw::{H2Raw, block};
use crate::support::upstream::Upstream;

/// A request whose block goes on with these bytes.
fn goes_on_with(peer: &mut H2Raw, bytes: &[u8]) {
    peer.frame(HEADERS, ALL, 1, &[&block(&GET)[..], bytes].concat());
}

/// A request whose block begins with these bytes.
fn begins_with(peer: &mut H2Raw, bytes: &[u8]) {
    peer.frame(HEADERS, ALL, 1, &[bytes, &block(&GET)[..]].concat());
}

const NONE: &[super::Want] = &[GoAway(COMPRESSION)];

/// Field blocks that cannot be read.
pub const POINTS: &[Point] = &[
    ("the index 0", NONE, |peer| goes_on_with(peer, b"\x80")),
    ("an index beyond the table that all know", NONE, |peer| goes_on_with(peer, b"\xbe")),
    ("an index far beyond both tables", NONE, |peer| goes_on_with(peer, b"\xff\x80\x10")),
    ("a name by an index beyond the table", NONE, |peer| goes_on_with(peer, b"\x7e\x01x")),
    ("a name by an index beyond the table, not to be added", NONE, |peer| {
        goes_on_with(peer, b"\x0f\x2f\x01x");
    }),
    ("a size of the table behind a field", NONE, |peer| goes_on_with(peer, b"\x20")),
    ("a size of the table beyond what was allowed", NONE, |peer| begins_with(peer, b"\x3f\xe2\x1f")),
    ("a size of the table far beyond what was allowed", NONE, |peer| {
        begins_with(peer, b"\x3f\xe1\xff\xff\xff\x0f");
    }),
    ("an entry that a smaller table has lost", NONE, |peer| {
        peer.frame(HEADERS, ALL, 1, &[&block(&GET)[..], b"\x40\x01a\x01b\xbe"].concat());
        peer.answer(1);
        peer.frame(HEADERS, ALL, 3, &[&b"\x20\x3f\xe1\x1f"[..], &block(&GET)[..], b"\xbe"].concat());
    }),
    ("a code padded by more than seven bits", NONE, |peer| goes_on_with(peer, b"\0\x01a\x82\x1f\xff")),
    ("a code padded by zeros", NONE, |peer| goes_on_with(peer, b"\0\x01a\x81\x18")),
    ("a code that holds the end of a string", NONE, |peer| {
        goes_on_with(peer, b"\0\x01a\x84\xff\xff\xff\xff");
    }),
    ("the end of a string behind a letter", NONE, |peer| {
        goes_on_with(peer, b"\0\x01a\x85\x1f\xff\xff\xff\xff");
    }),
    ("a block that ends within a name", NONE, |peer| goes_on_with(peer, b"\0\x05ab")),
    ("a block that ends before a value", NONE, |peer| goes_on_with(peer, b"\0\x02ab")),
    ("a block that ends within a value", NONE, |peer| goes_on_with(peer, b"\0\x02ab\x05x")),
    ("a block that ends within a number", NONE, |peer| goes_on_with(peer, b"\0\x7f\x80")),
    ("a number without an end", NONE, |peer| {
        goes_on_with(peer, &[&b"\0\x7f"[..], &[0xff; 20]].concat());
    }),
    ("a block that is none for a stream that is malformed", NONE, |peer| {
        peer.frame(HEADERS, ALL, 1, &[&block(&[("X-A", "1")])[..], b"\x80"].concat());
    }),
    ("a block that is none in trailers", NONE, |peer| {
        peer.head(1, 0, &super::POST);
        peer.frame(HEADERS, ALL, 1, b"\x80");
    }),
    ("a block that is none for a stream whose request is whole", NONE, |peer| {
        peer.head(1, END_STREAM, &super::WAIT);
        peer.frame(HEADERS, ALL, 1, b"\x80");
    }),
    ("a request that says all by indices", &[Says("")], |peer| {
        peer.frame(HEADERS, ALL, 1, b"\x82\x86\x84\x41\x01a");
    }),
    ("a table that is made empty and large again", &[Says("")], |peer| {
        begins_with(peer, b"\x20\x3f\xe1\x1f")
    }),
];

#[test]
fn field_blocks_that_cannot_be_read_end_the_connection() {
    let backend = Upstream::start(echo());
    let proxy = patient(&backend, "");
    look(&proxy, POINTS, H2Raw::to);
}

/// Each block stands for `x-a: b` or for a known name with another value.
#[test]
fn fields_arrive_in_whatever_form_they_are_written() {
    let backend = Upstream::start(echo());
    let proxy = patient(&backend, "");
    let mut peer = H2Raw::to(proxy.ingress());
    // The field that was added last has the index 62.
    let forms: [(&str, &[u8], &str, &str); 15] = [
        ("to be added", b"\x40\x03x-a\x01b", "x-a", "b"),
        ("by the index of what was added", b"\xbe", "x-a", "b"),
        ("to be added, its name by an index", b"\x7e\x01c", "x-a", "c"),
        ("the one added before that", b"\xbf", "x-a", "b"),
        ("to be added, its name known to all", b"\x50\x01d", "accept-encoding", "d"),
        ("by an index that all know", b"\x90", "accept-encoding", "gzip, deflate"),
        ("not to be added", b"\0\x03x-e\x01f", "x-e", "f"),
        ("not to be added, its name known to all", b"\x0f\x04\x01g", "accept", "g"),
        ("never to be added", b"\x10\x03x-h\x01i", "x-h", "i"),
        ("never to be added, its name by an index", b"\x1f\x2f\x01j", "accept-encoding", "j"),
        ("coded", b"\0\x03x-k\x82\x18\xc7", "x-k", "aaa"),
        ("coded, with a code that needs no padding", b"\0\x03x-k\x85\x18\xc6\x31\x8c\x63", "x-k", "aaaaaaaa"),
        ("coded and to be added", b"\x40\x03x-l\x81\x1f", "x-l", "a"),
        ("coded and added before", b"\xbe", "x-l", "a"),
        ("empty", b"\0\x03x-m\0", "x-m", ""),
    ];
    for (stream, (form, bytes, name, value)) in (1..).step_by(2).zip(forms) {
        peer.frame(HEADERS, ALL, stream, &[&block(&GET)[..], bytes].concat());
        assert_eq!(peer.answer(stream).0, 200, "{form}");
        assert_eq!(backend.seen().pop().expect("one").fields(name), [value], "{form}");
    }
}

#[test]
fn the_table_stays_in_step_through_requests_that_are_refused() {
    let backend = Upstream::start(echo());
    let proxy = patient(&backend, "");
    let mut peer = H2Raw::to(proxy.ingress());
    // What the server says is in no table, so that each answer can be read alone.
    peer.settings(&[(1, 0)]);
    let long = "x".repeat(70 << 10);
    // Malformed, too long and too many: each adds a field that the next request refers to.
    let bad = block(&[("connection", "close")]);
    let many = block(&[("x-many", "1"); 120]);
    for (stream, (status, more)) in
        (1..).step_by(4).zip([(0, bad), (431, block(&[("x-long", &long)])), (431, many)])
    {
        let added = format!("\x40\x03x-a\x03{stream:03}");
        let block_of = [&block(&GET)[..], &more, added.as_bytes()].concat();
        let mut parts = block_of.chunks(16_384).peekable();
        peer.frame(HEADERS, END_STREAM, stream, parts.next().expect("one"));
        for part in parts {
            peer.frame(9, 0, stream, part);
        }
        peer.frame(9, 4, stream, b"");
        match status {
            0 => drop(peer.until(|frame| frame.kind == 3 && frame.stream == stream)),
            status => assert_eq!(peer.answer(stream).0, status),
        }
        peer.frame(HEADERS, ALL, stream + 2, &[&block(&GET)[..], b"\xbe"].concat());
        assert_eq!(peer.answer(stream + 2).0, 200);
        assert_eq!(backend.seen().pop().expect("one").fields("x-a"), [format!("{stream:03}")]);
    }
}
