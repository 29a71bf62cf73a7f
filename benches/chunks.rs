//! What chunks cost: a body of 256 KiB read from one connection and sent on by another, whole and in chunks of several sizes.
//!
//! `cargo bench --bench chunks`. Both connections are memory, so this is the work above the kernel; writes and bytes that would
//! go to the kernel are printed beside it.

#![allow(clippy::disallowed_methods, clippy::print_stderr, reason = "a bench tells figures")]

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use strop::message::body::Body;
use strop::message::buf::Buf;
use strop::message::h1::conn::H1Conn;
use strop::message::h1::pump::Pump;
use strop::message::head::Framing;
use strop::message::io::Io;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const BYTES: usize = 256 << 10;

/// Gives its bytes as they are asked for, and counts what it is given.
struct Memory {
    bytes: Rc<Vec<u8>>,
    at: usize,
    writes: Rc<Cell<(u64, u64)>>,
}

impl AsyncRead for Memory {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let n = room.remaining().min(self.bytes.len() - self.at);
        room.put_slice(&self.bytes[self.at..self.at + n]);
        self.at += n;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Memory {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let (writes, all) = self.writes.get();
        self.writes.set((writes + 1, all + bytes.len() as u64));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Nanoseconds that this thread has had of a processor: on a machine that others use too, the clock on the wall says more.
fn cpu() -> f64 {
    // The kernel adds it up when the thread is looked at.
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ran| ran.parse().ok()).unwrap_or(f64::NAN)
}

/// Tells what one way of sending the body costs.
fn tell(name: &str, bytes: &Rc<Vec<u8>>, framing: Framing) {
    const TIMES: u32 = 1_000;
    let (writes, sent) = pass(bytes, framing);
    let before = cpu();
    for _ in 0..TIMES {
        std::hint::black_box(pass(bytes, framing));
    }
    let each = (cpu() - before) / f64::from(TIMES) / BYTES as f64;
    eprintln!("{name}: {writes} writes, {sent} bytes, {each:.3} ns of a processor for each byte of the body");
}

/// Passes a body on; the writes and the bytes of them.
fn pass(bytes: &Rc<Vec<u8>>, framing: Framing) -> (u64, u64) {
    let writes = Rc::new(Cell::new((0, 0)));
    let conn = |bytes: &Rc<Vec<u8>>| {
        let memory = Memory { bytes: Rc::clone(bytes), at: 0, writes: Rc::clone(&writes) };
        H1Conn::new(Io::Boxed(Box::new(memory)), Buf::default(), None)
    };
    let (from, to) = (conn(bytes), conn(&Rc::default()));
    let mut body = Body::h1(&from, framing);
    let mut pump = Pump::new(framing, |out| out.extend_from_slice(b"HTTP/1.1 200 OK\r\n\r\n")).gathering();
    let mut sent = Box::pin(poll_fn(|cx| pump.poll(cx, &to, &mut body)));
    let polled = sent.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(Ok(()))), "all of it is there");
    drop(sent);
    assert_eq!(body.passed(), BYTES as u64);
    writes.get()
}

fn chunks(c: &mut Criterion) {
    let mut group = c.benchmark_group("a body of 256 KiB");
    group.throughput(Throughput::Bytes(BYTES as u64));
    let data = vec![b'x'; BYTES];
    let whole = Rc::new(data.clone());
    let framing = Framing::Length(BYTES as u64);
    tell("whole", &whole, framing);
    group.bench_function("whole", |b| b.iter(|| pass(&whole, framing)));
    for size in [1, 2, 16, 128, 1_024, 8_192, 65_536] {
        let mut coded = Vec::new();
        for piece in data.chunks(size) {
            coded.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            coded.extend_from_slice(piece);
            coded.extend_from_slice(b"\r\n");
        }
        coded.extend_from_slice(b"0\r\n\r\n");
        let coded = Rc::new(coded);
        tell(&format!("chunks of {size}"), &coded, Framing::Chunked);
        group.bench_function(format!("chunks of {size}"), |b| b.iter(|| pass(&coded, Framing::Chunked)));
    }
    group.finish();
}

criterion_group!(benches, chunks);
criterion_main!(benches);
