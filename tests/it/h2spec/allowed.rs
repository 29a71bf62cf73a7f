use super::Want::{GoesOn, Says};
use super::{GET, POST, Point, WAIT, echo, look, patient, with};
use crate::support::h2raw::flag::{ACK, ALL, END_HEADERS, END_STREAM, PADDED, PRIORITY};
use crate::support::h2raw::kind::{
    CONTINUATION, DATA, GOAWAY, HEADERS, PING, PRIORITY as PRIORITIES, SETTINGS, WINDOW_UPDATE,
};
use crate::support::h2raw::{H2Raw, block, code, frame};
use crate::support::upstream::Upstream;

const HEAD: super::Start = [(":method", "HEAD"), (":scheme", "http"), (":path", "/"), (":authority", "a")];
const OPTIONS: super::Start =
    [(":method", "OPTIONS"), (":scheme", "http"), (":path", "*"), (":authority", "a")];

/// A head in three frames.
fn in_three(peer: &mut H2Raw, first: u8) {
    let block = block(&with(&GET, &[("x-a", "1"), ("x-b", "2")]));
    let (one, rest) = block.split_at(5);
    let (two, three) = rest.split_at(20);
    peer.frame(HEADERS, first, 1, one);
    peer.frame(CONTINUATION, 0, 1, two);
    peer.frame(CONTINUATION, END_HEADERS, 1, three);
}

pub const POINTS: &[Point] = &[
    ("GET", &[Says("")], |peer| peer.head(1, END_STREAM, &GET)),
    ("HEAD", &[Says("")], |peer| peer.head(1, END_STREAM, &HEAD)),
    ("OPTIONS of all", &[Says("")], |peer| peer.head(1, END_STREAM, &OPTIONS)),
    ("a scheme in upper case", &[Says("")], |peer| {
        let [method, _, path, authority] = GET;
        peer.head(1, END_STREAM, &[method, (":scheme", "HTTPS"), path, authority]);
    }),
    // It is not restricted to the two of HTTP (RFC 9113 section 8.3.1).
    ("a scheme that is not of HTTP", &[Says("")], |peer| {
        let [method, _, path, authority] = GET;
        peer.head(1, END_STREAM, &[method, (":scheme", "coap+tcp"), path, authority]);
    }),
    ("POST with a body", &[Says("hello")], |peer| {
        peer.head(1, 0, &with(&POST, &[("content-length", "5")]));
        peer.data(1, END_STREAM, b"hello");
    }),
    ("POST with trailers", &[Says("hello")], |peer| {
        peer.head(1, 0, &POST);
        peer.data(1, 0, b"hello");
        peer.head(1, END_STREAM, &[("x-trailer", "1")]);
    }),
    ("POST with trailers and no body", &[Says("")], |peer| {
        peer.head(1, 0, &POST);
        peer.head(1, END_STREAM, &[("x-trailer", "1")]);
    }),
    ("a body in several frames of data", &[Says("hello")], |peer| {
        peer.head(1, 0, &POST);
        ["h", "", "ell", "o"].iter().for_each(|part| peer.data(1, 0, part.as_bytes()));
        peer.data(1, END_STREAM, b"");
    }),
    ("data with padding", &[Says("hello")], |peer| {
        peer.head(1, 0, &POST);
        peer.frame(DATA, PADDED, 1, b"\x03he\0\0\0");
        peer.frame(DATA, PADDED, 1, b"\0ll");
        peer.frame(DATA, PADDED | END_STREAM, 1, &[&b"\xffo"[..], &[0; 255]].concat());
    }),
    ("data that is nothing but padding", &[Says("hello")], |peer| {
        peer.head(1, 0, &POST);
        peer.frame(DATA, PADDED, 1, b"\x02\0\0");
        peer.data(1, END_STREAM, b"hello");
    }),
    ("a head with padding", &[Says("")], |peer| {
        let payload = [&[4], &block(&GET)[..], &[0; 4]].concat();
        peer.frame(HEADERS, ALL | PADDED, 1, &payload);
    }),
    ("a head with a priority", &[Says("")], |peer| {
        let payload = [&[0, 0, 0, 0, 15], &block(&GET)[..]].concat();
        peer.frame(HEADERS, ALL | PRIORITY, 1, &payload);
    }),
    ("a head with padding and a priority", &[Says("")], |peer| {
        let payload = [&[2, 0x80, 0, 0, 0, 255], &block(&GET)[..], &[0; 2]].concat();
        peer.frame(HEADERS, ALL | PADDED | PRIORITY, 1, &payload);
    }),
    ("a head in a frame and one CONTINUATION", &[Says("")], |peer| {
        let block = block(&GET);
        peer.frame(HEADERS, END_STREAM, 1, &block[..9]);
        peer.frame(CONTINUATION, END_HEADERS, 1, &block[9..]);
    }),
    ("a head in a frame and two CONTINUATIONs", &[Says("")], |peer| in_three(peer, END_STREAM)),
    ("a head of which the first frame is empty", &[Says("")], |peer| {
        peer.frame(HEADERS, END_STREAM, 1, b"");
        peer.frame(CONTINUATION, END_HEADERS, 1, &block(&GET));
    }),
    ("a head in three frames and a body", &[Says("x")], |peer| {
        in_three(peer, 0);
        peer.data(1, END_STREAM, b"x");
    }),
    ("trailers in two frames", &[Says("hello")], |peer| {
        peer.head(1, 0, &POST);
        peer.data(1, 0, b"hello");
        let block = block(&[("x-trailer", "1")]);
        peer.frame(HEADERS, END_STREAM, 1, &block[..3]);
        peer.frame(CONTINUATION, END_HEADERS, 1, &block[3..]);
    }),
    ("a head byte by byte", &[Says("")], |peer| {
        for byte in frame(HEADERS, ALL, 1, &block(&GET)) {
            peer.send(&[byte]);
        }
    }),
    ("streams with gaps between their numbers", &[Says("")], |peer| {
        peer.head(5, END_STREAM, &GET);
        peer.answer(5);
        peer.head(77, END_STREAM, &GET);
    }),
    ("a PRIORITY with the least weight", &[GoesOn], |peer| {
        peer.frame(PRIORITIES, 0, 1, &[0, 0, 0, 0, 0]);
    }),
    ("a PRIORITY with the greatest weight", &[GoesOn], |peer| {
        peer.frame(PRIORITIES, 0, 1, &[0, 0, 0, 0, 255]);
    }),
    ("a PRIORITY that depends on another stream", &[GoesOn], |peer| {
        peer.frame(PRIORITIES, 0, 3, &[0, 0, 0, 1, 15]);
    }),
    ("a PRIORITY that excludes", &[GoesOn], |peer| {
        peer.frame(PRIORITIES, 0, 3, &[0x80, 0, 0, 1, 15]);
    }),
    ("a PRIORITY of a stream that is not open yet, then a lower one", &[Says("")], |peer| {
        peer.frame(PRIORITIES, 0, 7, &[0, 0, 0, 0, 15]);
        peer.head(1, END_STREAM, &GET);
    }),
    ("a PRIORITY of a stream that waits for its answer", &[Says("")], |peer| {
        peer.head(1, END_STREAM, &WAIT);
        peer.frame(PRIORITIES, 0, 1, &[0, 0, 0, 0, 15]);
    }),
    ("a PRIORITY of a stream that is over", &[GoesOn], |peer| {
        peer.head(1, END_STREAM, &GET);
        peer.answer(1);
        peer.frame(PRIORITIES, 0, 1, &[0, 0, 0, 0, 15]);
    }),
    ("a window that grows on a stream that waits for its answer", &[Says("")], |peer| {
        peer.head(1, END_STREAM, &WAIT);
        peer.window(1, 1_000);
    }),
    ("a window that grows on a stream that is over", &[GoesOn], |peer| {
        peer.head(1, END_STREAM, &GET);
        peer.answer(1);
        peer.window(1, 1_000);
    }),
    ("the window of the connection grows", &[GoesOn], |peer| peer.window(0, 1_000)),
    ("a reset of a stream that waits for its answer", &[GoesOn], |peer| {
        peer.head(1, END_STREAM, &WAIT);
        peer.reset(1, code::CANCEL);
    }),
    ("a reset of a stream whose request is not whole", &[GoesOn], |peer| {
        peer.head(1, 0, &POST);
        peer.reset(1, code::CANCEL);
    }),
    ("a reset of a stream that is over", &[GoesOn], |peer| {
        peer.head(1, END_STREAM, &GET);
        peer.answer(1);
        peer.reset(1, code::NO_ERROR);
    }),
    ("a reset with a code that does not exist", &[GoesOn], |peer| {
        peer.head(1, END_STREAM, &WAIT);
        peer.reset(1, 0xff);
    }),
    ("settings that are empty", &[GoesOn], |peer| peer.settings(&[])),
    ("settings that nobody knows", &[GoesOn], |peer| peer.settings(&[(0xff, 7), (0x3a3a, u32::MAX)])),
    ("settings with their greatest values", &[Says("")], |peer| {
        let most = (1 << 31) - 1;
        peer.settings(&[(1, u32::MAX), (2, 1), (3, u32::MAX), (4, most), (5, (1 << 24) - 1), (6, u32::MAX)]);
        peer.head(1, END_STREAM, &GET);
    }),
    ("settings with their least values", &[Says("")], |peer| {
        peer.settings(&[(1, 0), (2, 0), (3, 0), (4, 0), (5, 1 << 14)]);
        peer.head(1, END_STREAM, &GET);
    }),
    ("settings that are acknowledged", &[GoesOn], |peer| {
        peer.until(|frame| frame.kind == SETTINGS && frame.has(ACK));
        peer.settings(&[(3, 100)]);
        let told = peer.until(|frame| frame.kind == SETTINGS && frame.has(ACK));
        assert!(told.payload.is_empty() && told.stream == 0, "{told:?}");
    }),
    ("a PING, which is answered with its own bytes", &[GoesOn], |peer| {
        peer.frame(PING, 0, 0, b"what now");
        let told = peer.until(|frame| frame.kind == PING && frame.has(ACK));
        assert_eq!((&told.payload[..], told.stream), (&b"what now"[..], 0));
    }),
    ("an answer to a PING that was none", &[GoesOn], |peer| peer.frame(PING, ACK, 0, b"none was")),
    ("a GOAWAY, after which requests go on", &[Says("")], |peer| {
        peer.frame(GOAWAY, 0, 0, &[0; 8]);
        peer.head(1, END_STREAM, &GET);
    }),
    ("a GOAWAY with a code that does not exist, and a text", &[GoesOn], |peer| {
        peer.frame(GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\xffwhatever");
    }),
    ("a frame of a kind that nobody knows, of the connection", &[GoesOn], |peer| {
        peer.frame(0x16, 0xff, 0, b"whatever");
    }),
    ("a frame of a kind that nobody knows, of a stream", &[Says("x")], |peer| {
        peer.head(1, 0, &POST);
        peer.frame(0xee, 0, 1, &[0; 16_384]);
        peer.data(1, END_STREAM, b"x");
    }),
    ("flags that mean nothing, on a PING", &[GoesOn], |peer| {
        peer.frame(PING, 0xfe, 0, b"flagged!");
        peer.until(|frame| frame.kind == PING && frame.payload == b"flagged!");
    }),
    ("flags that mean nothing, on a head and on data", &[Says("x")], |peer| {
        peer.frame(HEADERS, END_HEADERS | 0xd2, 1, &block(&POST));
        peer.frame(DATA, END_STREAM | 0xf6, 1, b"x");
    }),
    ("the reserved bit of a stream's number", &[Says("")], |peer| {
        peer.frame(HEADERS, ALL, 0x8000_0001, &block(&GET));
    }),
    ("the reserved bit of a window's growth", &[GoesOn], |peer| {
        peer.frame(WINDOW_UPDATE, 0, 0, &0x8000_0001_u32.to_be_bytes());
    }),
];

#[test]
fn whatever_a_client_may_send_is_understood() {
    let backend = Upstream::start(echo());
    let proxy = patient(&backend, "");
    look(&proxy, POINTS, H2Raw::to);
}
