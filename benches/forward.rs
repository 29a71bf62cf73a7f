//! End to end over loopback: one client, one connection, the real binary between it and a backend.
//!
//! `cargo bench --bench forward`. Compare "direct" with "through Strop": the difference is what one more hop costs one
//! client that waits for each answer. For throughput and CPU per request see `benches/peers`.

#![allow(clippy::disallowed_methods, reason = "a bench is its own clock")]
#![allow(dead_code, reason = "shares the helpers of the black-box tests")]
#![allow(unreachable_pub, reason = "shares the helpers of the black-box tests")]

#[path = "../tests/it/support/mod.rs"]
mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Answers every request whose head ends in its buffer; reads bodies of a known length over.
fn backend(body: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("bound");
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {body}\r\n\r\n").into_bytes();
    answer.resize(answer.len() + body, b'x');
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || converse(stream, &answer));
        }
    });
    address
}

fn converse(mut stream: TcpStream, answer: &[u8]) {
    let _ = stream.set_nodelay(true);
    let mut seen = Vec::new();
    let mut block = [0; 64 * 1024];
    loop {
        if let Some(end) = support::raw::find(&seen, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&seen[..end]).to_ascii_lowercase();
            let length = head
                .split("content-length: ")
                .nth(1)
                .and_then(|rest| rest.lines().next())
                .map_or(0, |n| n.parse().expect("a length"));
            let whole = end + 4 + length;
            while seen.len() < whole {
                match stream.read(&mut block) {
                    Ok(n @ 1..) => seen.extend_from_slice(&block[..n]),
                    Ok(0) | Err(_) => return,
                }
            }
            seen.drain(..whole);
            if stream.write_all(answer).is_err() {
                return;
            }
            continue;
        }
        match stream.read(&mut block) {
            Ok(n @ 1..) => seen.extend_from_slice(&block[..n]),
            Ok(0) | Err(_) => return,
        }
    }
}

fn forward(c: &mut Criterion) {
    let cases: [(&str, usize, usize); 3] =
        [("GET, 12 B back", 0, 12), ("GET, 64 KiB back", 0, 64 << 10), ("POST 16 KiB", 16 << 10, 12)];
    for (name, up, down) in cases {
        let origin = backend(down);
        let proxy = support::proxy::ingress_to(origin, "[access_log]\nto = \"off\"\n");
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Bytes((up + down) as u64));
        for (way, address) in [("direct", origin), ("through Strop", proxy.ingress())] {
            let mut client = support::raw::Client::to(address);
            client.stream.set_nodelay(true).expect("sets");
            let method = if up > 0 { "POST" } else { "GET" };
            let mut request =
                format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: {up}\r\n\r\n").into_bytes();
            request.resize(request.len() + up, b'x');
            group.bench_function(way, |b| {
                b.iter(|| {
                    client.stream.write_all(&request).expect("sent");
                    client.response(false).expect("answered").body.len()
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, forward);
criterion_main!(benches);
