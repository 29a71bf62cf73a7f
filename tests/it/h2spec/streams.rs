use super::Want::{GoAway, GoesOn, Reset};
use super::{GET, POST, Point, WAIT, echo, look, patient, with};
use crate::support::h2raw::H2Raw;
use crate::support::h2raw::code::{CANCEL, PROTOCOL, REFUSED, STREAM_CLOSED};
use crate::support::h2raw::flag::{ALL, END_HEADERS, END_STREAM, PRIORITY};
use crate::support::h2raw::kind::{CONTINUATION, HEADERS, PRIORITY as PRIORITIES, PUSH_PROMISE, RST_STREAM};
use crate::support::h2raw::{block, kind};
use crate::support::upstream::Upstream;

/// What may be made of a frame on a stream that takes none any more.
const OVER: &[super::Want] = &[Reset(STREAM_CLOSED), GoAway(STREAM_CLOSED)];
/// The same where it has no place on any stream, either.
const NO_PLACE: &[super::Want] = &[GoAway(PROTOCOL), GoAway(STREAM_CLOSED)];

/// Streams that are idle, and such whose request is whole; their numbers and their order.
pub const POINTS: &[Point] = &[
    ("data of a stream that was never opened", &[GoAway(PROTOCOL)], |peer| peer.data(1, END_STREAM, b"x")),
    ("a reset of a stream that was never opened", &[GoAway(PROTOCOL)], |peer| peer.reset(1, CANCEL)),
    ("a window of a stream that was never opened", &[GoAway(PROTOCOL)], |peer| peer.window(1, 100)),
    ("a CONTINUATION of a stream that was never opened", &[GoAway(PROTOCOL)], |peer| {
        peer.frame(CONTINUATION, END_HEADERS, 1, &block(&GET));
    }),
    ("a promise on a stream that was never opened", &[GoAway(PROTOCOL)], |peer| {
        peer.frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]);
    }),
    ("data of a stream of the server that was never opened", &[GoAway(PROTOCOL)], |peer| {
        peer.data(2, END_STREAM, b"x");
    }),
    ("a window of a stream of the server that was never opened", &[GoAway(PROTOCOL)], |peer| {
        peer.window(2, 100);
    }),
    ("a head of a stream with an even number", &[GoAway(PROTOCOL)], |peer| peer.head(2, END_STREAM, &GET)),
    ("a head of a stream with a number below the last", &[GoAway(PROTOCOL)], |peer| {
        peer.head(5, END_STREAM, &GET);
        peer.answer(5);
        peer.head(3, END_STREAM, &GET);
    }),
    ("a head of a stream with a number below one that is open", &[GoAway(PROTOCOL)], |peer| {
        peer.head(5, 0, &POST);
        peer.head(3, END_STREAM, &GET);
    }),
    ("data after the end of a request", OVER, |peer| {
        peer.head(1, END_STREAM, &WAIT);
        peer.data(1, END_STREAM, b"x");
    }),
    ("a head after the end of a request", OVER, |peer| {
        peer.head(1, END_STREAM, &WAIT);
        peer.head(1, END_STREAM, &GET);
    }),
    ("trailers after the end of a request", OVER, |peer| {
        peer.head(1, END_STREAM, &WAIT);
        peer.head(1, END_STREAM, &[("x-trailer", "1")]);
    }),
    ("a CONTINUATION after the end of a request", NO_PLACE, |peer| {
        peer.head(1, END_STREAM, &WAIT);
        peer.frame(CONTINUATION, END_HEADERS, 1, &block(&GET));
    }),
    ("data after the end of a request with a body", OVER, |peer| {
        peer.head(1, 0, &with(&POST, &[("x-b", "1")]));
        peer.data(1, END_STREAM, b"x");
        peer.data(1, END_STREAM, b"x");
    }),
    ("data after trailers", OVER, |peer| {
        peer.head(1, 0, &[(":method", "POST"), (":scheme", "http"), (":path", "/wait"), (":authority", "a")]);
        peer.head(1, END_STREAM, &[("x-trailer", "1")]);
        peer.data(1, END_STREAM, b"x");
    }),
    ("a head that depends on itself", &[Reset(PROTOCOL), GoAway(PROTOCOL)], |peer| {
        let payload = [&[0, 0, 0, 1, 255], &block(&GET)[..]].concat();
        peer.frame(HEADERS, ALL | PRIORITY, 1, &payload);
    }),
    ("a PRIORITY that depends on itself", &[Reset(PROTOCOL), GoAway(PROTOCOL)], |peer| {
        peer.head(1, 0, &POST);
        peer.frame(PRIORITIES, 0, 1, &[0x80, 0, 0, 1, 255]);
    }),
    // Nobody may reset a stream that is idle.
    ("a PRIORITY that depends on itself, of a stream that is not open yet", &[GoAway(PROTOCOL)], |peer| {
        peer.frame(PRIORITIES, 0, 1, &[0, 0, 0, 1, 255]);
    }),
];

/// A stream that the client has reset, a moment ago or long ago.
fn reset(peer: &mut H2Raw) {
    peer.head(1, 0, &POST);
    peer.reset(1, CANCEL);
}

/// A stream whose request and answer are whole.
fn done(peer: &mut H2Raw) {
    peer.head(1, END_STREAM, &GET);
    assert_eq!(peer.answer(1).0, 200);
}

/// A stream that the server has reset.
fn refused(peer: &mut H2Raw) {
    peer.head(1, 0, &with(&POST, &[("connection", "close")]));
    peer.until(|frame| frame.kind == RST_STREAM);
}

/// Streams that are over.
pub const CLOSED: &[Point] = &[
    ("data at once after a reset", OVER, |peer| {
        reset(peer);
        peer.data(1, 0, b"x");
    }),
    ("the last data at once after a reset", OVER, |peer| {
        reset(peer);
        peer.data(1, END_STREAM, b"x");
    }),
    ("a head at once after a reset", OVER, |peer| {
        reset(peer);
        peer.head(1, END_STREAM, &GET);
    }),
    ("trailers at once after a reset", OVER, |peer| {
        reset(peer);
        peer.head(1, END_STREAM, &[("x-trailer", "1")]);
    }),
    ("a CONTINUATION at once after a reset", NO_PLACE, |peer| {
        reset(peer);
        peer.frame(CONTINUATION, END_HEADERS, 1, b"");
    }),
    ("data long after a reset", OVER, |peer| {
        reset(peer);
        peer.settle();
        peer.data(1, END_STREAM, b"x");
    }),
    ("a head long after a reset", OVER, |peer| {
        reset(peer);
        peer.settle();
        peer.head(1, END_STREAM, &GET);
    }),
    ("a PRIORITY after a reset", &[GoesOn], |peer| {
        reset(peer);
        peer.frame(PRIORITIES, 0, 1, &[0; 5]);
    }),
    ("a window after a reset", &[GoesOn, Reset(STREAM_CLOSED), GoAway(STREAM_CLOSED)], |peer| {
        reset(peer);
        peer.window(1, 100);
    }),
    ("data after request and answer", OVER, |peer| {
        done(peer);
        peer.data(1, END_STREAM, b"x");
    }),
    (
        "a head after request and answer",
        &[Reset(STREAM_CLOSED), GoAway(STREAM_CLOSED), GoAway(PROTOCOL)],
        |peer| {
            done(peer);
            peer.head(1, END_STREAM, &GET);
        },
    ),
    ("a CONTINUATION after request and answer", NO_PLACE, |peer| {
        done(peer);
        peer.frame(CONTINUATION, END_HEADERS, 1, &block(&GET));
    }),
    (
        "data of a stream that was passed by",
        &[Reset(STREAM_CLOSED), GoAway(STREAM_CLOSED), GoAway(PROTOCOL)],
        |peer| {
            peer.head(5, END_STREAM, &GET);
            peer.answer(5);
            peer.data(3, END_STREAM, b"x");
        },
    ),
    // What was on its way when the server gave the stream up is read over.
    ("data after a reset of the server", &[GoesOn], |peer| {
        refused(peer);
        peer.data(1, 0, b"x");
        peer.data(1, END_STREAM, b"x");
    }),
    ("trailers after a reset of the server", &[GoesOn], |peer| {
        refused(peer);
        peer.head(1, END_STREAM, &[("x-trailer", "1")]);
    }),
    ("a window after a reset of the server", &[GoesOn], |peer| {
        refused(peer);
        peer.window(1, 100);
    }),
    ("a reset after a reset of the server", &[GoesOn], |peer| {
        refused(peer);
        peer.reset(1, CANCEL);
    }),
    ("data after a reset of the server for trailers that do not end", &[GoesOn], |peer| {
        peer.head(1, 0, &POST);
        peer.head(1, 0, &[("x-trailer", "1")]);
        peer.until(|frame| frame.kind == RST_STREAM);
        peer.settle();
        peer.data(1, END_STREAM, b"x");
    }),
];

#[test]
fn frames_come_where_the_state_of_their_stream_allows_them() {
    let backend = Upstream::start(echo());
    let proxy = patient(&backend, "");
    look(&proxy, &[POINTS, CLOSED].concat(), H2Raw::to);
}

#[test]
fn streams_beyond_the_limit_that_was_told_are_refused_and_the_others_go_on() {
    let backend = Upstream::start(echo());
    let proxy = patient(&backend, ", h2_streams = 3");
    let mut peer = H2Raw::to(proxy.ingress());
    let told = peer.until(|frame| frame.kind == kind::SETTINGS);
    let most = told.payload.chunks(6).find(|entry| entry[..2] == [0, 3]).expect("it tells its limit");
    assert_eq!(most[2..], [0, 0, 0, 3]);
    for stream in [1, 3, 5] {
        peer.head(stream, 0, &POST);
    }
    peer.head(7, END_STREAM, &GET);
    let reset = peer.until(|frame| frame.kind == RST_STREAM);
    assert_eq!((reset.stream, reset.number(0)), (7, REFUSED));
    for stream in [1, 3, 5] {
        peer.data(stream, END_STREAM, b"x");
        assert_eq!(peer.answer(stream), (200, b"x".to_vec()));
    }
    peer.head(9, END_STREAM, &GET);
    assert_eq!(peer.answer(9).0, 200);
}
