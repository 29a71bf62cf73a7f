use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::eventually;
use crate::support::h2raw::code::{CANCEL, FLOW_CONTROL, NO_ERROR, PROTOCOL};
use crate::support::h2raw::flag::{ACK, END_HEADERS, END_STREAM, PADDED};
use crate::support::h2raw::kind::{
    CONTINUATION, DATA, GOAWAY, HEADERS, PING, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE,
};
use crate::support::h2raw::{Behaves, H2Raw, H2RawUpstream, block, frame};
use crate::support::proxy::{Proxy, ingress_to};
use crate::support::raw::Client;

/// What a client is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// 502.
    Failed,
    /// A head of 200, and a body that visibly is not whole.
    BrokenOff,
    /// A whole answer with this body.
    Whole(&'static str),
}

use Fate::{BrokenOff, Failed, Whole};

type Point = (&'static str, Fate, Behaves);

const OK: (&str, &str) = (":status", "200");

fn fine(peer: &mut H2Raw, stream: u32) {
    peer.head(stream, 0, &[OK]);
    peer.data(stream, END_STREAM, b"fine");
}

/// A head and half a body.
fn half(peer: &mut H2Raw, stream: u32) {
    peer.head(stream, 0, &[OK, ("content-length", "4")]);
    peer.data(stream, 0, b"fi");
}

/// A head in as many frames as it takes.
fn long(peer: &mut H2Raw, stream: u32, fields: &[(&str, &str)]) {
    let block = block(fields);
    let mut parts = block.chunks(16_384);
    peer.frame(HEADERS, END_STREAM, stream, parts.next().expect("one"));
    parts.for_each(|part| peer.frame(CONTINUATION, 0, stream, part));
    peer.frame(CONTINUATION, END_HEADERS, stream, b"");
}

/// A head with this status alone.
fn says(peer: &mut H2Raw, stream: u32, status: &str) {
    peer.head(stream, END_STREAM, &[(":status", status)]);
}

/// What a server may send.
const ALLOWED: &[Point] = &[
    ("an answer", Whole("fine"), fine),
    ("a head and nothing more", Whole(""), |peer, stream| says(peer, stream, "200")),
    ("data with padding, and an empty end", Whole("fine"), |peer, stream| {
        peer.head(stream, 0, &[OK]);
        peer.frame(DATA, PADDED, stream, b"\x02fine\0\0");
        peer.data(stream, END_STREAM, b"");
    }),
    ("trailers", Whole("fine"), |peer, stream| {
        peer.head(stream, 0, &[OK]);
        peer.data(stream, 0, b"fine");
        peer.head(stream, END_STREAM, &[("x-trailer", "1")]);
    }),
    ("hints before the answer", Whole("fine"), |peer, stream| {
        peer.head(stream, 0, &[(":status", "103"), ("link", "</a>")]);
        fine(peer, stream);
    }),
    ("a PRIORITY, a PING, an unknown frame and settings before the answer", Whole("fine"), |peer, stream| {
        peer.frame(PRIORITY, 0, stream, &[0; 5]);
        peer.frame(PING, 0, 0, &[0; 8]);
        peer.frame(0xee, 0xff, stream, b"whatever");
        peer.settings(&[(2, 0), (3, 50), (0xff, 1)]);
        fine(peer, stream);
    }),
    ("a GOAWAY beyond the stream within its answer", Whole("fine"), |peer, stream| {
        half(peer, stream);
        peer.frame(GOAWAY, 0, 0, &[stream.to_be_bytes(), [0; 4]].concat());
        peer.data(stream, END_STREAM, b"ne");
    }),
    ("two GOAWAYs, and the answer", Whole("fine"), |peer, stream| {
        peer.frame(GOAWAY, 0, 0, &[[0x7f, 0xff, 0xff, 0xff], [0; 4]].concat());
        peer.frame(GOAWAY, 0, 0, &[stream.to_be_bytes(), [0; 4]].concat());
        fine(peer, stream);
    }),
    ("a reset for nothing after the answer", Whole("fine"), |peer, stream| {
        fine(peer, stream);
        peer.reset(stream, NO_ERROR);
    }),
    ("an answer in one write with its end", Whole("fine"), |peer, stream| {
        let head = frame(HEADERS, END_HEADERS, stream, &block(&[OK]));
        peer.send(&[head, frame(DATA, END_STREAM, stream, b"fine")].concat());
    }),
];

/// Heads that are none.
const HEADS: &[Point] = &[
    ("no status", Failed, |peer, stream| peer.head(stream, END_STREAM, &[("x-a", "1")])),
    ("an empty head", Failed, |peer, stream| peer.head(stream, END_STREAM, &[])),
    ("two statuses", Failed, |peer, stream| peer.head(stream, END_STREAM, &[OK, OK])),
    ("a status behind a field", Failed, |peer, stream| peer.head(stream, END_STREAM, &[("x-a", "1"), OK])),
    ("a status of letters", Failed, |peer, stream| says(peer, stream, "abc")),
    ("a status of two digits", Failed, |peer, stream| says(peer, stream, "20")),
    ("a status of four digits", Failed, |peer, stream| says(peer, stream, "2000")),
    ("a status with a text", Failed, |peer, stream| says(peer, stream, "200 OK")),
    ("a status below 100", Failed, |peer, stream| says(peer, stream, "099")),
    ("an empty status", Failed, |peer, stream| says(peer, stream, "")),
    ("101", Failed, |peer, stream| peer.head(stream, 0, &[(":status", "101")])),
    ("hints that end the stream", Failed, |peer, stream| says(peer, stream, "103")),
    ("a path in an answer", Failed, |peer, stream| peer.head(stream, END_STREAM, &[OK, (":path", "/")])),
    ("a name in upper case", Failed, |peer, stream| peer.head(stream, END_STREAM, &[OK, ("X-A", "1")])),
    ("a value with a line end", Failed, |peer, stream| {
        peer.head(stream, END_STREAM, &[OK, ("x-a", "1\r\nx-b: 2")]);
    }),
    ("a value with a zero", Failed, |peer, stream| peer.head(stream, END_STREAM, &[OK, ("x-a", "\0")])),
    ("a field of the connection", Failed, |peer, stream| {
        peer.head(stream, END_STREAM, &[OK, ("connection", "close")]);
    }),
    ("a transfer coding", Failed, |peer, stream| {
        peer.head(stream, END_STREAM, &[OK, ("transfer-encoding", "chunked")]);
    }),
    ("two lengths that differ", Failed, |peer, stream| {
        peer.head(stream, 0, &[OK, ("content-length", "4"), ("content-length", "5")]);
        peer.data(stream, END_STREAM, b"fine");
    }),
    ("a length, and no data", Failed, |peer, stream| {
        peer.head(stream, END_STREAM, &[OK, ("content-length", "4")]);
    }),
    ("a head of 136 KiB", Failed, |peer, stream| long(peer, stream, &[OK, ("x-a", &"x".repeat(136 << 10))])),
    ("a head of 1 MiB", Failed, |peer, stream| long(peer, stream, &[OK, ("x-a", &"x".repeat(1 << 20))])),
    ("a head of 300 fields", Failed, |peer, stream| {
        long(peer, stream, &[&[OK][..], &[("x-a", "1"); 300]].concat());
    }),
    ("a block that is none", Failed, |peer, stream| {
        peer.frame(HEADERS, END_HEADERS | END_STREAM, stream, b"\x88\x80");
    }),
];

/// Bodies that are not what their heads have said.
const BODIES: &[Point] = &[
    ("less data than was said", BrokenOff, |peer, stream| {
        half(peer, stream);
        peer.data(stream, END_STREAM, b"n");
    }),
    ("more data than was said", BrokenOff, |peer, stream| {
        half(peer, stream);
        peer.data(stream, END_STREAM, b"ner");
    }),
    ("trailers that do not end the stream", BrokenOff, |peer, stream| {
        half(peer, stream);
        peer.head(stream, 0, &[("x-trailer", "1")]);
    }),
    ("trailers with a status", BrokenOff, |peer, stream| {
        peer.head(stream, 0, &[OK]);
        peer.data(stream, 0, b"fine");
        peer.head(stream, END_STREAM, &[OK]);
    }),
    ("a second head", BrokenOff, |peer, stream| {
        half(peer, stream);
        peer.head(stream, 0, &[OK]);
    }),
    ("a reset within the body", BrokenOff, |peer, stream| {
        half(peer, stream);
        peer.reset(stream, CANCEL);
    }),
    ("a reset for nothing within a body of unknown length", BrokenOff, |peer, stream| {
        peer.head(stream, 0, &[OK]);
        peer.data(stream, 0, b"fine");
        peer.reset(stream, NO_ERROR);
    }),
    ("a promise within the body", BrokenOff, |peer, stream| {
        half(peer, stream);
        peer.frame(PUSH_PROMISE, END_HEADERS, stream, &[&[0, 0, 0, 2], &block(&super::GET)[..]].concat());
    }),
    ("a GOAWAY that leaves the stream out, within its body", BrokenOff, |peer, stream| {
        half(peer, stream);
        peer.frame(GOAWAY, 0, 0, &[0; 8]);
    }),
    ("a frame that is too long, within the body", BrokenOff, |peer, stream| {
        half(peer, stream);
        peer.data(stream, END_STREAM, &[0; 16_385]);
    }),
];

/// A whole answer, but for what came before it.
const FRAMES: &[Point] = &[
    ("data before the head", Failed, |peer, stream| {
        peer.data(stream, 0, b"x");
        fine(peer, stream);
    }),
    ("a promise", Failed, |peer, stream| {
        peer.frame(PUSH_PROMISE, END_HEADERS, stream, &[&[0, 0, 0, 2], &block(&super::GET)[..]].concat());
        fine(peer, stream);
    }),
    ("leave to push", Failed, |peer, stream| {
        peer.settings(&[(2, 1)]);
        fine(peer, stream);
    }),
    ("a window that is none", Failed, |peer, stream| {
        peer.settings(&[(4, 1 << 31)]);
        fine(peer, stream);
    }),
    ("a frame size that is none", Failed, |peer, stream| {
        peer.settings(&[(5, 100)]);
        fine(peer, stream);
    }),
    ("the window of the connection grows beyond what it can be", Failed, |peer, stream| {
        peer.window(0, (1 << 31) - 1);
        fine(peer, stream);
    }),
    ("the window of the stream grows beyond what it can be", Failed, |peer, stream| {
        peer.window(stream, (1 << 31) - 1);
        fine(peer, stream);
    }),
    ("the window of the stream grows by nothing", Failed, |peer, stream| {
        peer.window(stream, 0);
        fine(peer, stream);
    }),
    ("a head of a stream that was never opened", Failed, |peer, stream| {
        peer.head(stream + 98, END_STREAM, &[OK]);
        fine(peer, stream);
    }),
    ("a head of a stream that was never promised", Failed, |peer, stream| {
        peer.head(2, END_STREAM, &[OK]);
        fine(peer, stream);
    }),
    ("data of a stream that was never opened", Failed, |peer, stream| {
        peer.data(stream + 98, END_STREAM, b"x");
        fine(peer, stream);
    }),
    ("a reset of a stream that was never opened", Failed, |peer, stream| {
        peer.reset(stream + 98, CANCEL);
        fine(peer, stream);
    }),
    ("a window of a stream that was never opened", Failed, |peer, stream| {
        peer.window(stream + 98, 1);
        fine(peer, stream);
    }),
    ("a CONTINUATION of nothing", Failed, |peer, stream| {
        peer.frame(CONTINUATION, END_HEADERS, stream, &block(&[OK]));
        fine(peer, stream);
    }),
    ("a PING within the head", Failed, |peer, stream| {
        peer.frame(HEADERS, END_STREAM, stream, &block(&[OK]));
        peer.frame(PING, 0, 0, &[0; 8]);
        peer.frame(CONTINUATION, END_HEADERS, stream, b"");
    }),
    ("a PING of seven bytes", Failed, |peer, stream| {
        peer.frame(PING, 0, 0, &[0; 7]);
        fine(peer, stream);
    }),
    ("a window's growth of three bytes", Failed, |peer, stream| {
        peer.frame(WINDOW_UPDATE, 0, 0, &[0; 3]);
        fine(peer, stream);
    }),
    ("an acknowledgement that says something", Failed, |peer, stream| {
        peer.frame(SETTINGS, ACK, 0, &[0; 6]);
        fine(peer, stream);
    }),
    ("a GOAWAY that goes back on one before it", Failed, |peer, stream| {
        peer.frame(GOAWAY, 0, 0, &[stream.to_be_bytes(), [0; 4]].concat());
        peer.frame(GOAWAY, 0, 0, &[(stream + 2).to_be_bytes(), [0; 4]].concat());
        fine(peer, stream);
    }),
    ("a GOAWAY that leaves the stream out", Failed, |peer, _| peer.frame(GOAWAY, 0, 0, &[0; 8])),
    ("a reset instead of a head", Failed, |peer, stream| peer.reset(stream, PROTOCOL)),
    ("an answer of HTTP/1.1", Failed, |peer, _| peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")),
];

/// What a client is given whose upstream behaves so.
fn fate(proxy: &Proxy) -> Result<Fate, String> {
    let mut client = Client::to(proxy.ingress());
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let text = String::from_utf8_lossy(&client.rest()).into_owned();
    // Interim answers have no body.
    let last = text.split("\r\n\r\nHTTP/1.1 ").last().unwrap_or_default().trim_start_matches("HTTP/1.1 ");
    let (head, body) = last.split_once("\r\n\r\n").ok_or_else(|| text.clone())?;
    if head.starts_with("502 ") {
        return Ok(Failed);
    }
    if !head.starts_with("200 ") {
        return Err(text);
    }
    let length: Option<usize> = head
        .to_ascii_lowercase()
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let whole = match length {
        Some(bytes) => (body.len() == bytes).then(|| body.to_owned()),
        None => body.split_once("\r\n0\r\n").map_or((body == "0\r\n\r\n").then(String::new), |(chunk, _)| {
            chunk.split_once("\r\n").map(|(_, data)| data.to_owned())
        }),
    };
    Ok(match whole.as_deref() {
        None => BrokenOff,
        Some("fine") => Whole("fine"),
        Some("") => Whole(""),
        Some(_) => return Err(text),
    })
}

/// A connection that an upstream has spoilt is not used again, and one of which only a stream is may be.
#[test]
fn an_upstream_that_breaks_the_rules_costs_its_own_answer_and_no_other() {
    let upstream = H2RawUpstream::start(fine);
    let proxy = ingress_to(upstream.address, "protocol = \"h2\"\nbreaker = { enabled = false }\n");
    let mut wrong = Vec::new();
    for (name, wanted, behaves) in [ALLOWED, HEADS, BODIES, FRAMES].concat() {
        upstream.behave(behaves);
        match fate(&proxy) {
            Ok(fate) if fate == wanted => {}
            other => wrong.push(format!("{name}: {other:?} instead of {wanted:?}")),
        }
        upstream.behave(fine);
        match fate(&proxy) {
            Ok(Whole("fine")) => {}
            other => wrong.push(format!("after {name}: {other:?}")),
        }
    }
    assert!(wrong.is_empty(), "{} points:\n{}", wrong.len(), wrong.join("\n"));
}

/// The client does not read, so nothing of the window is given back: what is sent beyond it is not kept.
#[test]
fn an_upstream_that_sends_beyond_its_window_is_told_so() {
    static TOLD: AtomicU32 = AtomicU32::new(0);
    let upstream = H2RawUpstream::start(|peer, stream| {
        peer.head(stream, 0, &[OK]);
        let mut sends = peer.another();
        let sending = std::thread::spawn(move || {
            for _ in 0..2_000 {
                sends.data(stream, 0, &[b'x'; 16_384]);
            }
        });
        let told = peer.until(|frame| matches!(frame.kind, RST_STREAM | GOAWAY));
        TOLD.store(told.number(if told.kind == GOAWAY { 4 } else { 0 }), Ordering::SeqCst);
        // One frame at a time: the answer to the next request does not come between two halves.
        sending.join().expect("it ends");
    });
    let proxy = ingress_to(upstream.address, "protocol = \"h2\"\nbreaker = { enabled = false }\n");
    let mut client = Client::to(proxy.ingress());
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().map(|(status, _)| status), Some(200));
    eventually("it is told so", || TOLD.load(Ordering::SeqCst) == FLOW_CONTROL);
    let got = client.rest();
    assert!(got.len() < 32 << 20 && !got.ends_with(b"0\r\n\r\n"), "{} bytes, and an end", got.len());
    upstream.behave(fine);
    assert_eq!(fate(&proxy), Ok(Whole("fine")));
}
