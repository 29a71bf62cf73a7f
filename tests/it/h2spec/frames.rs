use super::Want::{Closes, GoAway, Reset, Says};
use super::{GET, POST, Point, echo, look, patient};
use crate::support::h2raw::code::{CALM, COMPRESSION, FLOW_CONTROL, FRAME_SIZE, PROTOCOL};
use crate::support::h2raw::flag::{ACK, ALL, END_HEADERS, END_STREAM, PADDED, PRIORITY};
use crate::support::h2raw::kind::{
    CONTINUATION, DATA, GOAWAY, HEADERS, PING, PRIORITY as PRIORITIES, PUSH_PROMISE, RST_STREAM, SETTINGS,
    WINDOW_UPDATE,
};
use crate::support::h2raw::{H2Raw, Next, block, frame};
use crate::support::upstream::Upstream;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How a connection begins: these come first.
pub const BEGINNINGS: &[Point] = &[
    ("a preface in pieces", &[Says("")], |peer| {
        for byte in PREFACE {
            peer.send(&[*byte]);
        }
        peer.settings(&[]);
        peer.head(1, END_STREAM, &GET);
    }),
    ("a request before the settings of the server are acknowledged", &[Says("")], |peer| {
        peer.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(HEADERS, ALL, 1, &block(&GET))].concat());
    }),
    ("a preface that goes wrong at its end", &[Closes, GoAway(PROTOCOL)], |peer| {
        peer.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX");
    }),
    ("a preface that goes wrong in the middle", &[Closes, GoAway(PROTOCOL)], |peer| {
        peer.send(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");
    }),
    ("what is no preface at all", &[Closes, GoAway(PROTOCOL)], |peer| {
        peer.send(b"NOT A PREFACE AT ALL\r\n\r\n");
    }),
    ("a request without settings before it", &[GoAway(PROTOCOL)], |peer| {
        peer.send(&[PREFACE, &frame(HEADERS, ALL, 1, &block(&GET))].concat());
    }),
    ("a PING without settings before it", &[GoAway(PROTOCOL)], |peer| {
        peer.send(&[PREFACE, &frame(PING, 0, 0, &[0; 8])].concat());
    }),
    ("an acknowledgement without settings before it", &[GoAway(PROTOCOL)], |peer| {
        peer.send(&[PREFACE, &frame(SETTINGS, ACK, 0, &[])].concat());
    }),
    ("a frame of an unknown kind without settings before it", &[GoAway(PROTOCOL)], |peer| {
        peer.send(&[PREFACE, &frame(0xee, 0, 0, &[])].concat());
    }),
];

/// A stream with a request that is not whole.
fn open(peer: &mut H2Raw) {
    peer.head(1, 0, &POST);
}

/// Payloads that are too long or too short for what they are.
pub const SIZES: &[Point] = &[
    ("data as long as a frame may be", &[Says(MOST)], |peer| {
        open(peer);
        peer.data(1, END_STREAM, MOST.as_bytes());
    }),
    ("data longer than a frame may be", &[GoAway(FRAME_SIZE), Reset(FRAME_SIZE)], |peer| {
        open(peer);
        peer.data(1, END_STREAM, &[b'x'; 16_385]);
    }),
    ("a head longer than a frame may be", &[GoAway(FRAME_SIZE)], |peer| {
        peer.frame(HEADERS, ALL, 1, &[&block(&GET)[..], &[0; 16_384]].concat());
    }),
    ("a head longer than a frame may be, of which nothing comes", &[GoAway(FRAME_SIZE)], |peer| {
        peer.send(&[0xff, 0xff, 0xff, HEADERS, ALL, 0, 0, 0, 1]);
    }),
    ("settings longer than a frame may be", &[GoAway(FRAME_SIZE)], |peer| {
        peer.frame(SETTINGS, 0, 0, &[0; 6 * 2_731]);
    }),
    ("a frame of an unknown kind longer than a frame may be", &[GoAway(FRAME_SIZE)], |peer| {
        peer.frame(0xee, 0, 0, &[0; 16_385]);
    }),
    ("data without the length of its padding", &[GoAway(FRAME_SIZE), GoAway(PROTOCOL)], |peer| {
        open(peer);
        peer.frame(DATA, PADDED, 1, b"");
    }),
    ("data with padding as long as the payload", &[GoAway(PROTOCOL)], |peer| {
        open(peer);
        peer.frame(DATA, PADDED | END_STREAM, 1, b"\x06hello");
    }),
    ("data with padding that leaves no room for its own length", &[GoAway(PROTOCOL)], |peer| {
        open(peer);
        peer.frame(DATA, PADDED | END_STREAM, 1, b"\x01");
    }),
    ("a head without the length of its padding", &[GoAway(FRAME_SIZE), GoAway(PROTOCOL)], |peer| {
        peer.frame(HEADERS, ALL | PADDED, 1, b"");
    }),
    ("a head with padding longer than the payload", &[GoAway(PROTOCOL)], |peer| {
        let block = block(&GET);
        peer.frame(HEADERS, ALL | PADDED, 1, &[&[block.len() as u8 + 1], &block[..]].concat());
    }),
    ("a head with half a priority", &[GoAway(FRAME_SIZE), GoAway(PROTOCOL)], |peer| {
        peer.frame(HEADERS, ALL | PRIORITY, 1, &[0; 4]);
    }),
    ("a head whose padding leaves half a priority", &[GoAway(FRAME_SIZE), GoAway(PROTOCOL)], |peer| {
        peer.frame(HEADERS, ALL | PADDED | PRIORITY, 1, &[3, 0, 0, 0, 0, 0, 0, 0]);
    }),
    ("a PRIORITY of four bytes", &[Reset(FRAME_SIZE), GoAway(FRAME_SIZE)], |peer| {
        open(peer);
        peer.frame(PRIORITIES, 0, 1, &[0; 4]);
    }),
    ("a PRIORITY of six bytes", &[Reset(FRAME_SIZE), GoAway(FRAME_SIZE)], |peer| {
        open(peer);
        peer.frame(PRIORITIES, 0, 1, &[0; 6]);
    }),
    // Nobody may reset a stream that is idle.
    ("a PRIORITY of four bytes of a stream that is not open yet", &[GoAway(FRAME_SIZE)], |peer| {
        peer.frame(PRIORITIES, 0, 1, &[0; 4]);
    }),
    ("a reset of three bytes", &[GoAway(FRAME_SIZE)], |peer| {
        open(peer);
        peer.frame(RST_STREAM, 0, 1, &[0; 3]);
    }),
    ("a reset of five bytes", &[GoAway(FRAME_SIZE)], |peer| {
        open(peer);
        peer.frame(RST_STREAM, 0, 1, &[0; 5]);
    }),
    ("settings of five bytes", &[GoAway(FRAME_SIZE)], |peer| peer.frame(SETTINGS, 0, 0, &[0; 5])),
    ("an acknowledgement that says something", &[GoAway(FRAME_SIZE)], |peer| {
        peer.frame(SETTINGS, ACK, 0, &[0, 3, 0, 0, 0, 1]);
    }),
    ("a PING of seven bytes", &[GoAway(FRAME_SIZE)], |peer| peer.frame(PING, 0, 0, &[0; 7])),
    ("a PING of nine bytes", &[GoAway(FRAME_SIZE)], |peer| peer.frame(PING, 0, 0, &[0; 9])),
    ("a PING of no bytes", &[GoAway(FRAME_SIZE)], |peer| peer.frame(PING, 0, 0, &[])),
    ("a GOAWAY of seven bytes", &[GoAway(FRAME_SIZE)], |peer| peer.frame(GOAWAY, 0, 0, &[0; 7])),
    ("a window's growth of three bytes", &[GoAway(FRAME_SIZE)], |peer| {
        peer.frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1]);
    }),
    ("a window's growth of five bytes, of a stream", &[GoAway(FRAME_SIZE)], |peer| {
        open(peer);
        peer.frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1, 0]);
    }),
];

/// 16,384 bytes.
const MOST: &str = match std::str::from_utf8(&[b'x'; 16_384]) {
    Ok(text) => text,
    Err(_) => "",
};

/// Streams that a frame cannot be of, and values that it cannot have.
pub const VALUES: &[Point] = &[
    ("data of the connection", &[GoAway(PROTOCOL)], |peer| peer.data(0, END_STREAM, b"x")),
    ("a head of the connection", &[GoAway(PROTOCOL)], |peer| peer.head(0, END_STREAM, &GET)),
    ("a PRIORITY of the connection", &[GoAway(PROTOCOL)], |peer| peer.frame(PRIORITIES, 0, 0, &[0; 5])),
    ("a reset of the connection", &[GoAway(PROTOCOL)], |peer| peer.reset(0, 8)),
    ("a CONTINUATION of the connection", &[GoAway(PROTOCOL)], |peer| {
        peer.frame(HEADERS, END_STREAM, 1, &block(&GET));
        peer.frame(CONTINUATION, END_HEADERS, 0, b"");
    }),
    ("settings of a stream", &[GoAway(PROTOCOL)], |peer| {
        open(peer);
        peer.frame(SETTINGS, 0, 1, &[0, 3, 0, 0, 0, 1]);
    }),
    ("a PING of a stream", &[GoAway(PROTOCOL)], |peer| {
        open(peer);
        peer.frame(PING, 0, 1, &[0; 8]);
    }),
    ("a GOAWAY of a stream", &[GoAway(PROTOCOL)], |peer| {
        open(peer);
        peer.frame(GOAWAY, 0, 1, &[0; 8]);
    }),
    ("a promise of a client, on a stream", &[GoAway(PROTOCOL)], |peer| {
        open(peer);
        peer.frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2], &block(&GET)[..]].concat());
    }),
    ("a promise of a client, on none", &[GoAway(PROTOCOL)], |peer| {
        peer.frame(PUSH_PROMISE, END_HEADERS, 0, &[&[0, 0, 0, 2], &block(&GET)[..]].concat());
    }),
    ("ENABLE_PUSH of 2", &[GoAway(PROTOCOL)], |peer| peer.settings(&[(2, 2)])),
    ("INITIAL_WINDOW_SIZE of 2^31", &[GoAway(FLOW_CONTROL)], |peer| peer.settings(&[(4, 1 << 31)])),
    ("MAX_FRAME_SIZE of 16,383", &[GoAway(PROTOCOL)], |peer| peer.settings(&[(5, 16_383)])),
    ("MAX_FRAME_SIZE of 2^24", &[GoAway(PROTOCOL)], |peer| peer.settings(&[(5, 1 << 24)])),
    ("a value that is none behind one that is good", &[GoAway(PROTOCOL)], |peer| {
        peer.settings(&[(3, 100), (5, 1)]);
    }),
];

/// A head that is not whole.
fn half(peer: &mut H2Raw) {
    peer.frame(HEADERS, END_STREAM, 1, &block(&GET));
}

/// Between the frames of a head stands nothing, and a CONTINUATION stands nowhere else.
pub const IN_BLOCKS: &[Point] = &[
    ("a PRIORITY within a head", &[GoAway(PROTOCOL)], |peer| {
        half(peer);
        peer.frame(PRIORITIES, 0, 1, &[0; 5]);
    }),
    ("another head within a head", &[GoAway(PROTOCOL)], |peer| {
        half(peer);
        peer.frame(HEADERS, ALL, 3, &block(&GET));
    }),
    ("the same head once more within a head", &[GoAway(PROTOCOL)], |peer| {
        half(peer);
        peer.frame(HEADERS, ALL, 1, &block(&GET));
    }),
    ("data within a head", &[GoAway(PROTOCOL)], |peer| {
        half(peer);
        peer.data(1, END_STREAM, b"x");
    }),
    ("a PING within a head", &[GoAway(PROTOCOL)], |peer| {
        half(peer);
        peer.frame(PING, 0, 0, &[0; 8]);
    }),
    ("settings within a head", &[GoAway(PROTOCOL)], |peer| {
        half(peer);
        peer.settings(&[]);
    }),
    ("a frame of an unknown kind within a head", &[GoAway(PROTOCOL)], |peer| {
        half(peer);
        peer.frame(0xee, 0, 1, b"x");
    }),
    ("a frame of another kind after a CONTINUATION", &[GoAway(PROTOCOL)], |peer| {
        half(peer);
        peer.frame(CONTINUATION, 0, 1, b"");
        peer.frame(PRIORITIES, 0, 1, &[0; 5]);
    }),
    ("a CONTINUATION of another stream", &[GoAway(PROTOCOL)], |peer| {
        half(peer);
        peer.frame(CONTINUATION, END_HEADERS, 3, b"");
    }),
    ("a CONTINUATION after a head that is whole", &[GoAway(PROTOCOL)], |peer| {
        open(peer);
        peer.frame(CONTINUATION, END_HEADERS, 1, b"");
    }),
    ("a CONTINUATION after one that ended the head", &[GoAway(PROTOCOL)], |peer| {
        peer.frame(HEADERS, 0, 1, &block(&POST));
        peer.frame(CONTINUATION, END_HEADERS, 1, b"");
        peer.frame(CONTINUATION, END_HEADERS, 1, b"");
    }),
    ("a CONTINUATION after data", &[GoAway(PROTOCOL)], |peer| {
        open(peer);
        peer.data(1, 0, b"x");
        peer.frame(CONTINUATION, END_HEADERS, 1, b"");
    }),
    ("a field block that is none", &[GoAway(COMPRESSION)], |peer| {
        peer.frame(HEADERS, ALL, 1, b"\x40");
    }),
    ("CONTINUATIONs without an end, all empty", &[GoAway(CALM)], |peer| {
        half(peer);
        peer.send(&frame(CONTINUATION, 0, 1, b"").repeat(200));
    }),
    ("CONTINUATIONs without an end, all long", &[GoAway(CALM)], |peer| {
        half(peer);
        peer.send(&frame(CONTINUATION, 0, 1, &[0; 16_384]).repeat(8));
    }),
];

#[test]
fn a_connection_begins_with_a_preface_and_settings() {
    let backend = Upstream::start(echo());
    let proxy = patient(&backend, "");
    look(&proxy, BEGINNINGS, H2Raw::silent);
    let mut peer = H2Raw::to(proxy.ingress());
    match peer.next() {
        Next::Frame(first) => assert_eq!((first.kind, first.flags & ACK, first.stream), (SETTINGS, 0, 0)),
        next @ (Next::End | Next::Nothing) => panic!("{next:?} instead of the server's settings"),
    }
}

#[test]
fn frames_of_a_wrong_size_or_value_or_at_a_wrong_place_are_told_as_such() {
    let backend = Upstream::start(echo());
    let proxy = patient(&backend, "");
    look(&proxy, &[SIZES, VALUES, IN_BLOCKS].concat(), H2Raw::to);
}
