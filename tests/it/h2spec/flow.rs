use std::io::Read as _;
use std::time::Duration;

use super::Want::{GoAway, GoesOn, Reset, Says};
use super::{GET, POST, Point, WAIT, echo, look, patient};
use crate::support::h2raw::code::{FLOW_CONTROL, PROTOCOL};
use crate::support::h2raw::flag::{ACK, END_STREAM};
use crate::support::h2raw::kind::{DATA, GOAWAY, RST_STREAM, SETTINGS, WINDOW_UPDATE};
use crate::support::h2raw::{Frame, H2Raw, Next};
use crate::support::proxy::ingress_to;
use crate::support::upstream::{Upstream, bytes};

const MOST: u32 = (1 << 31) - 1;

/// The setting of a stream's first window.
const INITIAL_WINDOW_SIZE: u16 = 4;

pub const POINTS: &[Point] = &[
    ("the window of the connection grows by nothing", &[GoAway(PROTOCOL)], |peer| peer.window(0, 0)),
    ("the window of a stream grows by nothing", &[Reset(PROTOCOL), GoAway(PROTOCOL)], |peer| {
        peer.head(1, 0, &POST);
        peer.window(1, 0);
    }),
    ("the window of the connection grows beyond what it can be", &[GoAway(FLOW_CONTROL)], |peer| {
        peer.window(0, MOST);
    }),
    ("the window of the connection grows beyond what it can be, in steps", &[GoAway(FLOW_CONTROL)], |peer| {
        peer.window(0, 1 << 30);
        peer.window(0, 1 << 30);
    }),
    ("the window of the connection grows to the most it can be", &[GoesOn], |peer| {
        peer.window(0, MOST - 65_535);
    }),
    (
        "the window of a stream grows beyond what it can be",
        &[Reset(FLOW_CONTROL), GoAway(FLOW_CONTROL)],
        |peer| {
            peer.head(1, END_STREAM, &WAIT);
            peer.window(1, MOST);
        },
    ),
    (
        "the window of a stream grows beyond what it can be, in steps",
        &[Reset(FLOW_CONTROL), GoAway(FLOW_CONTROL)],
        |peer| {
            peer.head(1, END_STREAM, &WAIT);
            peer.window(1, 1 << 30);
            peer.window(1, 1 << 30);
        },
    ),
    ("settings make a window larger than it can be", &[GoAway(FLOW_CONTROL)], |peer| {
        peer.head(1, END_STREAM, &WAIT);
        peer.window(1, MOST - 65_535);
        peer.settings(&[(INITIAL_WINDOW_SIZE, 65_536)]);
    }),
    ("the last of two values of a setting holds", &[Says("hello")], |peer| {
        peer.settings(&[(INITIAL_WINDOW_SIZE, 0), (INITIAL_WINDOW_SIZE, 5)]);
        peer.head(1, 0, &POST);
        peer.data(1, END_STREAM, b"hello");
    }),
    ("a window that settings open when the answer waits", &[Says("hello")], |peer| {
        peer.settings(&[(INITIAL_WINDOW_SIZE, 0)]);
        peer.head(1, 0, &POST);
        peer.data(1, END_STREAM, b"hello");
        peer.settle();
        peer.settings(&[(INITIAL_WINDOW_SIZE, 5)]);
    }),
];

#[test]
fn windows_that_are_none_are_told_as_such() {
    let backend = Upstream::start(echo());
    let proxy = patient(&backend, "");
    look(&proxy, POINTS, H2Raw::to);
}

/// Data of a stream that has come within a moment of silence, in bytes; and whether that was all.
fn comes(peer: &mut H2Raw, stream: u32) -> (usize, bool) {
    let mut bytes = 0;
    peer.patience(Duration::from_millis(500));
    loop {
        match peer.next() {
            Next::Frame(frame) if frame.kind == DATA && frame.stream == stream => {
                bytes += frame.payload.len();
                if frame.has(END_STREAM) {
                    return (bytes, true);
                }
            }
            Next::Frame(Frame { kind: RST_STREAM | GOAWAY, .. }) | Next::End => panic!("it broke off"),
            Next::Frame(_) => {}
            Next::Nothing => return (bytes, false),
        }
    }
}

/// The same of the streams 1 and 3 together; and how many of them have ended.
fn both_come(peer: &mut H2Raw) -> (usize, usize) {
    let (mut bytes, mut ends) = (0, 0);
    while ends < 2 {
        match peer.next() {
            Next::Frame(frame) if frame.kind == DATA => {
                bytes += frame.payload.len();
                ends += usize::from(frame.has(END_STREAM));
            }
            Next::Frame(Frame { kind: RST_STREAM | GOAWAY, .. }) | Next::End => panic!("it broke off"),
            Next::Frame(_) => {}
            Next::Nothing => break,
        }
    }
    (bytes, ends)
}

/// A backend whose answers have 100,000 bytes, and a client that has asked for one.
fn asked(settings: &[(u16, u32)]) -> (Upstream, crate::support::proxy::Proxy, H2Raw) {
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(100_000));
    let backend = Upstream::start(bytes(answer, true));
    let proxy = ingress_to(backend.address, "");
    let mut peer = H2Raw::to(proxy.ingress());
    peer.settings(settings);
    peer.head(1, END_STREAM, &GET);
    (backend, proxy, peer)
}

#[test]
fn no_byte_leaves_beyond_the_window_of_a_stream() {
    let (_backend, _proxy, mut peer) = asked(&[(INITIAL_WINDOW_SIZE, 1)]);
    assert_eq!(comes(&mut peer, 1), (1, false));
    peer.window(1, 1);
    assert_eq!(comes(&mut peer, 1), (1, false));
    peer.settings(&[(INITIAL_WINDOW_SIZE, 10)]);
    assert_eq!(comes(&mut peer, 1), (9, false));
    // It is 20 below nothing, then 1 above.
    peer.window(1, 20);
    assert_eq!(comes(&mut peer, 1), (20, false));
    peer.settings(&[(INITIAL_WINDOW_SIZE, 0)]);
    peer.window(1, 9);
    assert_eq!(comes(&mut peer, 1), (0, false));
    peer.window(1, 2);
    assert_eq!(comes(&mut peer, 1), (1, false));
    peer.window(0, 200_000);
    peer.window(1, 200_000);
    assert_eq!(comes(&mut peer, 1), (100_000 - 32, true));
}

#[test]
fn no_byte_leaves_beyond_the_window_of_the_connection() {
    let (_backend, _proxy, mut peer) = asked(&[(INITIAL_WINDOW_SIZE, 1 << 20)]);
    assert_eq!(comes(&mut peer, 1), (65_535, false));
    peer.head(3, END_STREAM, &GET);
    assert_eq!(comes(&mut peer, 3), (0, false));
    // What one has not at hand when there is room, the other takes.
    peer.window(0, 34_000);
    assert_eq!(both_come(&mut peer), (34_000, 0));
    peer.window(0, 200_000);
    assert_eq!(both_come(&mut peer), (200_000 - 65_535 - 34_000, 2));
}

/// The backend never reads: what a client sends beyond its window is not kept.
#[test]
fn a_client_that_sends_beyond_its_window_is_told_so() {
    let backend = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let proxy = ingress_to(backend.local_addr().expect("bound"), "");
    let mut peer = H2Raw::to(proxy.ingress());
    peer.head(1, 0, &POST);
    let mut sends = peer.another();
    let sending = std::thread::spawn(move || {
        for _ in 0..2_000 {
            sends.data(1, 0, &[b'x'; 16_384]);
        }
    });
    let told = peer.until(|frame| matches!(frame.kind, RST_STREAM | GOAWAY));
    assert_eq!(told.number(if told.kind == GOAWAY { 4 } else { 0 }), FLOW_CONTROL, "{told:?}");
    drop(peer);
    sending.join().expect("it ends");
}

/// A server's settings reach a client in the middle of its upload and leave it nothing to send with: it waits for what was
/// read of it before, too.
#[test]
fn what_a_client_sent_before_it_knew_its_window_is_given_back() {
    const BEFORE: usize = 20_000;
    let backend = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let proxy = ingress_to(backend.local_addr().expect("bound"), "");
    let mut peer = H2Raw::silent(proxy.ingress());
    peer.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    peer.settings(&[]);
    peer.head(1, 0, &POST);
    [&[b'#'; 16_384][..], &[b'#'; BEFORE - 16_384]].iter().for_each(|data| peer.data(1, 0, data));
    let (mut far, _) = backend.accept().expect("reached");
    let (mut seen, mut block) = (0, [0; 4_096]);
    while seen < BEFORE {
        let n = far.read(&mut block).expect("reads");
        assert!(n > 0, "it ended");
        seen += block[..n].iter().filter(|byte| **byte == b'#').count();
    }
    peer.settle();
    peer.frame(SETTINGS, ACK, 0, &[]);
    let given = peer.until(|frame| frame.kind == WINDOW_UPDATE && frame.stream == 1);
    assert_eq!(given.number(0), BEFORE as u32);
}
