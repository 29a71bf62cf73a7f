//! HTTP/2 connections: whatever a peer sends, and however it is cut, this side stays within its bounds and says only
//! whole frames of streams that there are.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use strop::message::body::Body;
use strop::message::buf::Buf;
use strop::message::h1::parse::HeadLimits;
use strop::message::h2::frame::{FrameHead, HEAD, MOST, PREFACE};
use strop::message::h2::send::Sender;
use strop::message::h2::{AcceptedStream, H2Conn, H2Limits, H2Stream, Streamed, Then};
use strop::message::head::{Framing, Method};
use strop::message::io::Io;
use strop::message::stream::ByteStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const LIMITS: HeadLimits = HeadLimits { bytes: 8 * 1024, fields: 50 };
const STREAMS: u32 = 8;

/// The peer: all that it says, in pieces, and all that it was told.
struct Wire {
    says: Vec<u8>,
    at: usize,
    random: u32,
    told: Rc<RefCell<Vec<u8>>>,
}

impl Wire {
    fn piece(&mut self) -> usize {
        self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        1 + (self.random >> 16) as usize % 97
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let n = self.piece().min(buf.remaining()).min(self.says.len() - self.at);
        if n == 0 {
            return Poll::Pending;
        }
        buf.put_slice(&self.says[self.at..self.at + n]);
        self.at += n;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let n = (self.piece() * 64).min(bytes.len());
        self.told.borrow_mut().extend_from_slice(&bytes[..n]);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The input as frames: kind, flags, stream and length of each are a byte, so that most of what is made is nearly right.
fn frames(mut data: &[u8]) -> Vec<u8> {
    let mut said = vec![0, 0, 0, 4, 0, 0, 0, 0, 0];
    while let [kind, flags, stream, len, rest @ ..] = data {
        let (payload, after) = rest.split_at(rest.len().min(usize::from(*len)));
        said.extend_from_slice(&[0, 0, payload.len() as u8, kind % 20, *flags, 0, 0, 0, stream % 16]);
        said.extend_from_slice(payload);
        data = after;
    }
    said
}

fn wire(data: &[u8], begin: &[u8]) -> Option<(ByteStream, Rc<RefCell<Vec<u8>>>)> {
    let [seed, rest @ ..] = data else { return None };
    let body = if seed % 4 == 0 { rest.to_vec() } else { frames(rest) };
    let told = Rc::<RefCell<Vec<u8>>>::default();
    let wire =
        Wire { says: [begin, &body].concat(), at: 0, random: u32::from(*seed), told: Rc::clone(&told) };
    Some((ByteStream::new(Io::Boxed(Box::new(wire)), Buf::default(), None), told))
}

/// All that was told is whole frames within their bounds.
fn check(told: &[u8], begin: usize, said: usize) {
    let mut rest = &told[begin.min(told.len())..];
    while let Some(head) = FrameHead::read(rest) {
        assert!(head.len <= MOST, "{head:?}");
        let Some(after) = rest.get(HEAD + head.len..) else { break };
        rest = after;
    }
    assert!(told.len() <= 64 * 1024 * STREAMS as usize + 64 * said, "{} bytes for {said}", told.len());
}

fn pump(conn: &H2Conn, mut work: impl FnMut(&mut Context<'_>)) {
    let mut cx = Context::from_waker(Waker::noop());
    let now = Instant::now();
    for _ in 0..400 {
        let over = conn.poll(&mut cx, now).is_ready();
        work(&mut cx);
        if over || !conn.rest(&cx) {
            // One more: what was said last may still be read.
            if conn.poll(&mut cx, now).is_ready() || !conn.rest(&cx) {
                return;
            }
        }
    }
}

pub fn server(data: &[u8]) {
    let Some((stream, told)) = wire(data, PREFACE) else { return };
    let conn = H2Conn::server(stream, H2Limits { head: LIMITS, streams: STREAMS }, Instant::now());
    let mut served: Vec<(Body, Sender, Body)> = Vec::new();
    let mut number = 0;
    pump(&conn, |cx| {
        while let Some(AcceptedStream { head, stream }) = AcceptedStream::next(&conn) {
            number += 1;
            let framing = head.map_or(Framing::None, |head| head.framing);
            let asked = Body::h2(Streamed::new(Rc::clone(&stream), framing));
            let answer = Body::full(vec![b'x'; number % 3 * 1_000].into());
            stream.send_head(Then::end_if(|| answer.is_over()), |encoder, out| encoder.status(200, out));
            served.push((asked, Sender::new(stream), answer));
        }
        assert!(conn.active() <= STREAMS as usize);
        served.retain_mut(|(asked, sender, answer)| {
            let mut over = false;
            while let Poll::Ready(read) = asked.poll_data(cx) {
                match read {
                    Ok(0) | Err(_) => {
                        over = true;
                        break;
                    }
                    Ok(n) => asked.consume(n),
                }
            }
            let _ = asked.trailers();
            !(sender.poll(cx, answer).is_ready() && over)
        });
    });
    check(&told.borrow(), 0, data.len());
}

pub fn client(data: &[u8]) {
    let Some((stream, told)) = wire(data, &[]) else { return };
    let conn = H2Conn::client(stream, LIMITS, Instant::now());
    let mut asked: Vec<(Rc<H2Stream>, Option<Body>)> = Vec::new();
    for method in [Method::Get, Method::Head, Method::Post] {
        let Some(stream) = H2Stream::open(&conn, method) else { return };
        stream.send_head(Then::end_if(|| method != Method::Post), |encoder, out| {
            encoder.method(b"GET", out);
            encoder.path(b"/", out);
        });
        asked.push((stream, None));
    }
    pump(&conn, |cx| {
        asked.retain_mut(|(stream, body)| {
            while stream.interim().is_some() {}
            if body.is_none() {
                match stream.poll_answer(cx) {
                    Poll::Ready(Ok(Ok(head))) => {
                        *body = Some(Body::h2(Streamed::new(Rc::clone(stream), head.framing)));
                    }
                    Poll::Ready(Ok(Err(_)) | Err(_)) => return false,
                    Poll::Pending => return true,
                }
            }
            let Some(body) = body else { return true };
            while let Poll::Ready(read) = body.poll_data(cx) {
                match read {
                    Ok(0) | Err(_) => return false,
                    Ok(n) => body.consume(n),
                }
            }
            true
        });
    });
    check(&told.borrow(), PREFACE.len(), data.len());
}
