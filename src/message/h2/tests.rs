use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;

use super::frame::ErrorCode;
use super::send::Sender;
use super::upload::H2Upload;
use super::{AcceptedStream, H2Conn, H2Limits, H2Stream, StreamError, Streamed, Then};
use crate::message::body::{Body, BodyError};
use crate::message::buf::Buf;
use crate::message::h1::parse::HeadLimits;
use crate::message::h1::pump::PumpError;
use crate::message::head::{Framing, Method};
use crate::message::io::Io;
use crate::message::kept::KeptRoom;
use crate::message::stream::ByteStream;

const HEAD: HeadLimits = HeadLimits { bytes: 32 * 1024, fields: 100 };

/// Both ends of a connection over a pipe that takes `piece` bytes at once.
struct Pair {
    client: Rc<H2Conn>,
    server: Rc<H2Conn>,
}

impl Pair {
    fn new(piece: usize, streams: u32) -> Self {
        let (near, far) = tokio::io::duplex(piece);
        let stream = |io| ByteStream::new(Io::Boxed(Box::new(io)), Buf::default(), None);
        let now = Instant::now();
        let client = H2Conn::client(stream(near), HEAD, now);
        let server = H2Conn::server(stream(far), H2Limits { head: HEAD, streams }, now);
        Self { client, server }
    }

    /// Drives both ends until `work` is done.
    async fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        poll_fn(|cx| {
            loop {
                let now = Instant::now();
                let _ = self.client.poll(cx, now);
                let _ = self.server.poll(cx, now);
                if let Poll::Ready(done) = work.as_mut().poll(cx) {
                    return Poll::Ready(done);
                }
                let stirred = [&self.client, &self.server].map(|conn| conn.rest(cx));
                if stirred == [false, false] {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    fn ask(&self, method: Method, ends: Then) -> Rc<H2Stream> {
        let stream = H2Stream::open(&self.client, method).unwrap();
        let name: &[u8] = if method == Method::Post { b"POST" } else { b"GET" };
        stream.send_head(ends, |encoder, out| {
            for (name, value) in
                [(b":method", name), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/x")]
                    as [(&[u8], &[u8]); 4]
            {
                encoder.field(name, value, out);
            }
        });
        stream
    }

    async fn accept(&self) -> AcceptedStream {
        let mut accepted = None;
        poll_fn(|cx| {
            accepted = AcceptedStream::next(&self.server);
            stirs(cx, || accepted.is_some())
        })
        .await;
        accepted.unwrap()
    }
}

fn answer(stream: &H2Stream, ends: Then) {
    stream.send_head(ends, |encoder, out| encoder.status(200, out));
}

async fn rest(body: &mut Body) -> Result<Vec<u8>, BodyError> {
    let mut whole = Vec::new();
    loop {
        let n = poll_fn(|cx| body.poll_data(cx)).await?;
        if n == 0 {
            return Ok(whole);
        }
        whole.extend_from_slice(body.data());
        body.consume(n);
    }
}

#[tokio::test]
async fn a_request_and_its_answer_pass_whole_in_pieces_of_any_size() {
    for piece in [1, 7, 64, 1 << 20] {
        let pair = Pair::new(piece, 100);
        let up: Vec<u8> = (0..150_000_u32).map(|n| (n % 251) as u8).collect();
        let stream = pair.ask(Method::Post, Then::More);
        let mut upload = H2Upload::new(Rc::clone(&stream), Body::full(Bytes::from(up.clone())));
        let told = up.clone();
        let serves = async {
            let AcceptedStream { head, stream } = pair.accept().await;
            let head = head.unwrap();
            assert_eq!(
                (head.method, head.path_bytes(), head.framing),
                (Method::Post, &b"/x"[..], Framing::Stream)
            );
            let mut body = Body::h2(Streamed::new(Rc::clone(&stream), head.framing));
            assert!(rest(&mut body).await.unwrap() == told);
            answer(&stream, Then::More);
            let mut sender = Sender::new(stream);
            let mut back = Body::full(Bytes::from(told));
            poll_fn(|cx| sender.poll(cx, &mut back)).await.unwrap();
        };
        let asks = async {
            poll_fn(|cx| upload.poll(cx)).await.unwrap();
            let head = poll_fn(|cx| stream.poll_answer(cx)).await.unwrap().unwrap();
            assert_eq!(head.status, 200);
            let mut body = Body::h2(Streamed::new(Rc::clone(&stream), head.framing));
            assert!(rest(&mut body).await.unwrap() == up);
        };
        pair.run(async { tokio::join!(serves, asks) }).await;
        drop((upload, stream));
        assert_eq!((pair.client.active(), pair.server.active()), (0, 0));
    }
}

#[tokio::test]
async fn a_body_that_is_taken_back_is_never_ended_as_if_it_were_whole() {
    let pair = Pair::new(1 << 20, 100);
    let room = KeptRoom::new(4 << 20);
    let stream = pair.ask(Method::Post, Then::More);
    let mut body = Body::full(Bytes::from_static(b"hello"));
    body.keep(&room, 1 << 20);
    let mut upload = H2Upload::new(Rc::clone(&stream), body);
    // Its head leaves, and then another attempt takes the body.
    let accepted = pair.run(pair.accept()).await;
    assert!(poll_once(|cx| upload.poll(cx)).await.is_some());
    let again = upload.into_body();
    assert!(again.is_whole_again());
    drop(stream);
    let mut there = Body::h2(Streamed::new(accepted.stream, Framing::Length(10)));
    let read = pair.run(rest(&mut there)).await;
    assert!(matches!(read, Ok(_) | Err(BodyError::Reset)));
}

/// Ready when `done` says so; asked again at once.
fn stirs(cx: &mut std::task::Context<'_>, done: impl Fn() -> bool) -> Poll<()> {
    if done() {
        return Poll::Ready(());
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

async fn poll_once<T>(mut poll: impl FnMut(&mut std::task::Context<'_>) -> Poll<T>) -> Option<T> {
    poll_fn(|cx| {
        Poll::Ready(match poll(cx) {
            Poll::Ready(done) => Some(done),
            Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn a_body_that_breaks_off_resets_its_stream() {
    let pair = Pair::new(1 << 20, 100);
    let stream = pair.ask(Method::Get, Then::End);
    let accepted = pair.run(pair.accept()).await;
    answer(&accepted.stream, Then::More);
    let (far, near) = tokio::io::duplex(64);
    let conn = crate::message::h1::conn::H1Conn::new(Io::Boxed(Box::new(near)), Buf::default(), None);
    let mut short = Body::h1(&conn, Framing::Length(10));
    drop(far);
    let mut sender = Sender::new(accepted.stream);
    let sent = pair.run(poll_fn(|cx| sender.poll(cx, &mut short))).await;
    assert!(matches!(sent, Err(PumpError::Source(_))));
    drop(sender);
    pair.run(poll_fn(|cx| stream.poll_answer(cx))).await.unwrap().unwrap();
    let mut body = Body::h2(Streamed::new(Rc::clone(&stream), Framing::Stream));
    assert!(matches!(pair.run(rest(&mut body)).await, Err(BodyError::Reset)));
    assert_eq!(pair.run(poll_fn(|cx| stream.poll_gone(cx))).await, StreamError::Reset(ErrorCode::Internal));
}

#[tokio::test]
async fn who_leaves_an_answer_cancels_it_and_who_has_answered_needs_no_more() {
    let pair = Pair::new(1 << 20, 100);
    for begun in [false, true] {
        let asked = pair.ask(Method::Get, Then::End);
        let accepted = pair.run(pair.accept()).await;
        if begun {
            answer(&accepted.stream, Then::More);
            pair.run(poll_fn(|cx| asked.poll_answer(cx))).await.unwrap().unwrap();
        }
        drop(asked);
        let told = pair.run(poll_fn(|cx| accepted.stream.poll_gone(cx))).await;
        assert_eq!(told, StreamError::Reset(ErrorCode::Cancel), "begun: {begun}");
    }

    let asked = pair.ask(Method::Post, Then::More);
    let accepted = pair.run(pair.accept()).await;
    answer(&accepted.stream, Then::End);
    drop(accepted);
    pair.run(poll_fn(|cx| asked.poll_answer(cx))).await.unwrap().unwrap();
    let told = pair.run(poll_fn(|cx| asked.poll_gone(cx))).await;
    assert_eq!(told, StreamError::Reset(ErrorCode::NoError));
}

#[tokio::test]
async fn an_answer_that_is_not_read_holds_up_no_other() {
    let pair = Pair::new(1 << 20, 100);
    let streams: Vec<_> = (0..20).map(|_| pair.ask(Method::Get, Then::End)).collect();
    let mut senders = Vec::new();
    for _ in 0..20 {
        let accepted = pair.run(pair.accept()).await;
        answer(&accepted.stream, Then::More);
        let body = Body::full(Bytes::from(vec![7; 300_000]));
        senders.push((Sender::new(accepted.stream), body));
    }
    // All but the last are never read.
    let last = streams.last().unwrap();
    let sends = poll_fn(|cx| {
        senders.iter_mut().for_each(|(sender, body)| drop(sender.poll(cx, body)));
        Poll::<()>::Pending
    });
    let reads = async {
        let head = poll_fn(|cx| last.poll_answer(cx)).await.unwrap().unwrap();
        let mut body = Body::h2(Streamed::new(Rc::clone(last), head.framing));
        assert_eq!(rest(&mut body).await.unwrap().len(), 300_000);
    };
    pair.run(async {
        tokio::select! { () = sends => {}, () = reads => {} }
    })
    .await;
}

#[tokio::test]
async fn a_client_knows_what_was_never_taken() {
    let pair = Pair::new(1 << 20, 2);
    let taken = pair.ask(Method::Get, Then::End);
    let accepted = pair.run(pair.accept()).await;
    pair.server.leave_now();
    let late = pair.ask(Method::Get, Then::End);
    let told = pair.run(poll_fn(|cx| late.poll_answer(cx))).await;
    assert!(matches!(told, Err(StreamError::Refused)), "{told:?}");
    assert_eq!(pair.client.room(), 0);
    answer(&accepted.stream, Then::End);
    assert!(pair.run(poll_fn(|cx| taken.poll_answer(cx))).await.unwrap().is_ok(), "what was taken goes on");
}

#[tokio::test]
async fn streams_are_opened_as_far_as_the_server_takes_them() {
    let pair = Pair::new(1 << 20, 2);
    let first = pair.ask(Method::Get, Then::End);
    let accepted = pair.run(pair.accept()).await;
    pair.run(poll_fn(|cx| stirs(cx, || pair.client.room() == 1))).await;
    let _second = pair.ask(Method::Get, Then::End);
    assert!(H2Stream::open(&pair.client, Method::Get).is_none());
    answer(&accepted.stream, Then::End);
    drop(accepted);
    pair.run(poll_fn(|cx| first.poll_answer(cx))).await.unwrap().unwrap();
    drop(first);
    assert!(H2Stream::open(&pair.client, Method::Get).is_some());
}
