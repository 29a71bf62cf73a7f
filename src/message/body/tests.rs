use std::future::poll_fn;

use tokio::io::{AsyncWriteExt as _, DuplexStream};

use super::*;
use crate::message::buf::Buf;
use crate::message::h1::conn::H1Conn;
use crate::message::io::Io;

const LIMIT: usize = 64 << 10;

/// A body in `framing`, and where its bytes come from.
fn body(framing: Framing) -> (DuplexStream, Body) {
    let (far, io) = tokio::io::duplex(256 << 10);
    let conn = H1Conn::new(Io::Boxed(Box::new(io)), Buf::default(), None);
    (far, Body::h1(&conn, framing))
}

/// Uses up `n` bytes.
async fn take(body: &mut Body, n: usize) -> Vec<u8> {
    let mut taken = Vec::new();
    while taken.len() < n {
        let there = poll_fn(|cx| body.poll_data(cx)).await.expect("it goes on");
        assert!(there > 0, "it ended after {} bytes", taken.len());
        let some = there.min(n - taken.len());
        taken.extend_from_slice(&body.data()[..some]);
        body.consume(some);
    }
    taken
}

async fn rest(body: &mut Body) -> Vec<u8> {
    let mut taken = Vec::new();
    loop {
        let there = poll_fn(|cx| body.poll_data(cx)).await.expect("it goes on");
        if there == 0 {
            return taken;
        }
        taken.extend_from_slice(body.data());
        body.consume(there);
    }
}

fn chunked(bytes: &[u8], end: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in bytes.chunks(1_000) {
        out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(end.as_bytes());
    out
}

fn bytes(n: usize) -> Vec<u8> {
    (0..n).map(|at| (at % 251) as u8).collect()
}

#[tokio::test]
async fn a_kept_body_is_had_again_from_its_start_wherever_it_was_left() {
    let room = KeptRoom::new(4 << 20);
    let whole = bytes(20_000);
    for framing in [Framing::Length(20_000), Framing::Chunked] {
        for left_at in [0, 1, 999, 16_384, 20_000] {
            let (mut far, mut body) = body(framing);
            let sent = if framing == Framing::Chunked { chunked(&whole, "0\r\n\r\n") } else { whole.clone() };
            far.write_all(&sent).await.unwrap();
            body.limit(20_000);
            body.keep(&room, LIMIT);
            for _ in 0..3 {
                assert!(take(&mut body, left_at).await == whole[..left_at]);
                body = body.rewound();
                assert!(body.is_whole_again());
                assert_eq!(body.framing(), framing);
            }
            assert!(rest(&mut body).await == whole, "left at {left_at}");
            assert!(body.is_over());
            body = body.rewound();
            assert!(rest(&mut body).await == whole);
        }
    }
    room.allow(0);
    assert_eq!(room.held(), 0, "all of it came back");
}

#[tokio::test]
async fn a_body_that_was_not_kept_is_gone_once_it_has_begun() {
    let room = KeptRoom::new(4 << 20);
    let (mut far, mut body) = body(Framing::Length(5));
    far.write_all(b"hello").await.unwrap();
    body = body.rewound();
    assert!(body.is_whole_again(), "nothing was used up yet");
    assert_eq!(take(&mut body, 1).await, b"h");
    body.keep(&room, LIMIT); // too late
    assert!(!body.is_whole_again());
    let mut body = body.rewound();
    assert!(!body.is_whole_again() && !body.is_whole());
    assert_eq!(rest(&mut body).await, b"");
}

#[tokio::test]
async fn a_body_that_grows_beyond_its_limit_passes_whole_and_is_not_kept() {
    let room = KeptRoom::new(4 << 20);
    let whole = bytes(30_000);
    for framing in [Framing::Length(30_000), Framing::Chunked] {
        let (mut far, mut body) = body(framing);
        let sent = if framing == Framing::Chunked { chunked(&whole, "0\r\n\r\n") } else { whole.clone() };
        far.write_all(&sent).await.unwrap();
        body.keep(&room, 20_000);
        assert!(take(&mut body, 25_000).await == whole[..25_000]);
        room.allow(0);
        assert_eq!(room.held(), 0, "its room is free as soon as it is too long");
        room.allow(4 << 20);
        assert!(rest(&mut body).await == whole[25_000..]);
        assert!(!body.rewound().is_whole_again());
    }
}

#[tokio::test]
async fn where_the_room_is_taken_a_body_passes_whole_and_is_not_kept() {
    let room = KeptRoom::new(1 << 10);
    let (mut far, mut first) = body(Framing::Length(5));
    let (mut other, mut second) = body(Framing::Length(5));
    far.write_all(b"hello").await.unwrap();
    other.write_all(b"world").await.unwrap();
    first.keep(&room, LIMIT);
    second.keep(&room, LIMIT);
    assert_eq!(rest(&mut first).await, b"hello");
    assert_eq!(rest(&mut second).await, b"world");
    assert!(!second.rewound().is_whole_again());
    assert!(first.rewound().is_whole_again());
}

#[tokio::test]
async fn what_is_let_go_gives_its_room_back_and_passes_whole() {
    let room = KeptRoom::new(4 << 20);
    let (mut far, mut body) = body(Framing::Length(10));
    far.write_all(b"0123456789").await.unwrap();
    body.keep(&room, LIMIT);
    assert_eq!(take(&mut body, 4).await, b"0123");
    body = body.rewound();
    assert_eq!(take(&mut body, 2).await, b"01");
    body.let_go();
    assert_eq!(rest(&mut body).await, b"23456789");
    room.allow(0);
    assert_eq!(room.held(), 0);
    assert!(!body.rewound().is_whole_again());
}

#[tokio::test]
async fn a_body_whose_trailers_were_taken_is_not_kept() {
    let room = KeptRoom::new(4 << 20);
    let (mut far, mut body) = body(Framing::Chunked);
    far.write_all(&chunked(b"hello", "0\r\nx-sum: 5\r\n\r\n")).await.unwrap();
    body.keep(&room, LIMIT);
    assert_eq!(rest(&mut body).await, b"hello");
    body = body.rewound();
    assert!(body.is_whole_again(), "they were not taken yet");
    assert_eq!(rest(&mut body).await, b"hello");
    let trailers = body.trailers().expect("they are there");
    assert_eq!(trailers.field("x-sum"), Some(&b"5"[..]));
    assert!(!body.rewound().is_whole_again());
}

#[tokio::test]
async fn a_route_limit_holds_for_each_time_it_is_sent() {
    let room = KeptRoom::new(4 << 20);
    let (mut far, mut body) = body(Framing::Chunked);
    let both = chunked(&bytes(2_000), "");
    let (first, second) = both.split_at(both.len() / 2);
    far.write_all(first).await.unwrap();
    body.limit(1_500);
    body.keep(&room, LIMIT);
    for more in [second, b""] {
        take(&mut body, 1_000).await;
        far.write_all(more).await.unwrap();
        let beyond = poll_fn(|cx| body.poll_data(cx)).await;
        assert!(matches!(beyond, Err(BodyError::TooLong)));
        body = body.rewound();
        assert!(body.is_whole_again());
    }
    let (mut far, mut body) = self::body(Framing::Chunked);
    far.write_all(&chunked(&bytes(2_000), "")).await.unwrap();
    body.limit(1_500);
    body.keep(&room, LIMIT);
    assert!(matches!(poll_fn(|cx| body.poll_gather(cx)).await, Err(BodyError::TooLong)));
}

#[tokio::test]
async fn a_short_body_is_gathered_before_it_is_sent() {
    let room = KeptRoom::new(4 << 20);
    let whole = bytes(40_000);
    for framing in [Framing::Length(40_000), Framing::Chunked] {
        let (mut far, mut body) = body(framing);
        let sent = if framing == Framing::Chunked { chunked(&whole, "0\r\n\r\n") } else { whole.clone() };
        body.keep(&room, LIMIT);
        far.write_all(&sent[..100]).await.unwrap();
        let early = poll_fn(|cx| Poll::Ready(body.poll_gather(cx).is_pending())).await;
        assert!(early && !body.is_whole());
        far.write_all(&sent[100..]).await.unwrap();
        assert!(poll_fn(|cx| body.poll_gather(cx)).await.unwrap());
        assert!(body.is_whole() && body.is_whole_again() && !body.is_over());
        assert_eq!(body.framing(), framing);
        assert!(rest(&mut body).await == whole);
        assert!(rest(&mut body.rewound()).await == whole);
    }
}

#[tokio::test]
async fn what_is_too_long_to_be_gathered_can_still_be_sent() {
    let whole = bytes(40_000);
    // Too long for its own limit, and for the room that there is.
    for (room, limit) in [(4 << 20, 30_000), (16 << 10, LIMIT)] {
        let room = KeptRoom::new(room);
        let (mut far, mut body) = body(Framing::Chunked);
        far.write_all(&chunked(&whole, "0\r\n\r\n")).await.unwrap();
        body.keep(&room, limit);
        assert!(!poll_fn(|cx| body.poll_gather(cx)).await.unwrap());
        assert!(rest(&mut body).await == whole);
    }
    // Nobody wanted it kept: nothing is read.
    let (_far, mut body) = body(Framing::Length(5));
    assert!(!poll_fn(|cx| body.poll_gather(cx)).await.unwrap());
}

#[test]
fn a_body_is_copied_without_a_loop() {
    // It is moved from layer to layer with each answer; up to 256 bytes the C library moves at once.
    assert!(size_of::<Body>() <= 256, "{}", size_of::<Body>());
}
