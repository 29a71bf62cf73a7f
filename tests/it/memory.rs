//! What is buffered has a bound, and one client does not take it from the others.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use crate::support::eventually;
use crate::support::proxy::{Proxy, proxy};
use crate::support::raw::Client;
use crate::support::upstream::{Upstream, bytes, status};

/// A share of the machine's memory that is small enough to be filled.
fn shop(backend: SocketAddr, more: &str) -> Proxy {
    proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{backend}"]
            [process]
            workers = 2
            buffers = "0.05%"
            socket_buffer = "64KiB"
            {more}
        "#
    ))
}

fn limit(proxy: &Proxy) -> f64 {
    proxy.metric("buffer_limit_bytes", "")
}

fn held(proxy: &Proxy) -> f64 {
    proxy.metric("buffered_bytes", "where=\"process\"")
}

/// Heads that never end: what they hold stays below the bound, and nobody else is refused.
#[test]
fn unfinished_heads_of_one_client_stop_before_the_memory_does() {
    let backend = Upstream::start(status(200));
    let proxy = shop(
        backend.address,
        r#"
            [ingress.limits]
            connections = 10000
        "#,
    );
    let mut other = Client::from(2, proxy.ingress());
    assert_eq!(other.get(), 200);
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {}", "x".repeat(60_000));
    // Twice as many as would fit.
    let many = (limit(&proxy) / 64_000.0 * 2.0) as usize;
    let mut greedy: Vec<Client> = Vec::new();
    for nth in 0..many {
        let mut client = Client::from(3, proxy.ingress());
        // One that was refused is closed before all of it is sent.
        let _ = client.stream.write_all(head.as_bytes());
        greedy.push(client);
        if nth % 20 == 0 {
            assert_eq!(other.get(), 200, "another client, after {nth} of them");
            assert_eq!(Client::from(4, proxy.ingress()).get(), 200, "a newcomer, after {nth} of them");
        }
    }
    assert!(held(&proxy) < limit(&proxy), "{} of {}", held(&proxy), limit(&proxy));
    let answered = greedy.iter_mut().rev().find_map(|client| {
        client.stream.set_read_timeout(Some(Duration::from_millis(20))).expect("sets");
        let there = client.stream.peek(&mut [0]).is_ok_and(|bytes| bytes > 0);
        there.then(|| client.response(false)).flatten()
    });
    let refused = answered.expect("one of them was told");
    assert_eq!((refused.status, refused.field("x-strop-reason")), (503, Some("memory_short")));
    assert!(refused.field("retry-after").is_some());
    drop(greedy);
    eventually("all of it is free again", || held(&proxy) < limit(&proxy) / 20.0);
    assert_eq!(other.get(), 200);
}

/// Clients that do not read: what stands still longest is ended, and only theirs.
#[test]
fn readers_that_do_not_read_are_ended_when_memory_is_short() {
    let large = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", 4 << 20, "x".repeat(4 << 20));
    let backend = Upstream::start(bytes(large, true));
    let proxy = shop(
        backend.address,
        r#"
            [ingress.limits]
            connections = 10000
            min_rate = 0
        "#,
    );
    // A slow one that moves is not the matter, however long its answer is.
    let mut slow = Client::from(2, proxy.ingress());
    slow.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let many = (limit(&proxy) / 64_000.0 * 2.0) as usize;
    // It moves for as long as all of this takes.
    let (mut read, mut some) = (0, vec![0; (3 << 20) / many]);
    let mut stalled = Vec::new();
    for _ in 0..many {
        let mut client = Client::from(3, proxy.ingress());
        let _ = client.stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        stalled.push(client);
        read += std::io::Read::read(&mut slow.stream, &mut some).expect("it comes");
    }
    eventually("its share is all that one client gets", || {
        // It goes on asking: the first ones may all have come before it was known that they stand still.
        let mut client = Client::from(3, proxy.ingress());
        let _ = client.stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        stalled.push(client);
        read += std::io::Read::read(&mut slow.stream, &mut some).expect("it comes");
        proxy.metric("http_requests_total", "status=\"503\"") > 0.0
    });
    for _ in 0..20 {
        let mut client = Client::from(4, proxy.ingress());
        client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(client.head().map(|(status, _)| status), Some(200), "another client");
    }
    while read < 4 << 20 {
        let more = std::io::Read::read(&mut slow.stream, &mut some).expect("it comes");
        assert!(more > 0, "the one that moves was ended after {read} bytes");
        read += more;
    }
    drop(stalled);
    eventually("all of it is free again", || held(&proxy) < limit(&proxy) / 20.0);
}

/// Silent connections: as many as fit, and the last quarter of them is for others.
#[test]
fn silent_connections_of_one_client_leave_a_quarter_to_the_others() {
    let backend = Upstream::start(status(200));
    let proxy = shop(
        backend.address,
        r#"
            [ingress.limits]
            connections = 100
        "#,
    );
    assert_eq!(Client::from(2, proxy.ingress()).get(), 200, "somebody else is there");
    let silent: Vec<Client> = (0..150).map(|_| Client::from(3, proxy.ingress())).collect();
    eventually("some are refused", || proxy.metric("listener_refused_total", "") >= 50.0);
    for _ in 0..10 {
        assert_eq!(Client::from(2, proxy.ingress()).get(), 200);
        assert_eq!(Client::from(4, proxy.ingress()).get(), 200, "a newcomer");
    }
    drop(silent);
}

/// On an ordinary day: many large answers and bodies at once, well within what there is.
#[test]
fn nobody_is_refused_while_there_is_memory() {
    let large = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", 1 << 20, "x".repeat(1 << 20));
    let backend = Upstream::start(bytes(large, true));
    let proxy = shop(backend.address, "");
    let threads: Vec<_> = (2..8_u8)
        .map(|last| {
            let to = proxy.ingress();
            std::thread::spawn(move || {
                (0..10)
                    .filter(|_| {
                        let mut client = Client::from(last, to);
                        let body = "x".repeat(100_000);
                        client.send(
                            format!(
                                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
                                body.len()
                            )
                            .as_bytes(),
                        );
                        client.response(false).is_none_or(|response| response.status != 200)
                    })
                    .count()
            })
        })
        .collect();
    assert_eq!(threads.into_iter().map(|thread| thread.join().expect("ends")).sum::<usize>(), 0);
    assert_eq!(proxy.metric("connections_ended_total", "reason=\"memory_short\""), 0.0);
}

/// A connection that rests holds next to nothing of what its exchange needed.
#[test]
fn connections_that_rest_are_small() {
    const RESTING: usize = 4_000;
    let backend = Upstream::start(status(200));
    let proxy = shop(backend.address, "[ingress.limits]\nconnections = 10000");
    let before = anonymous(&proxy);
    let mut clients: Vec<Client> = Vec::new();
    for nth in 0..RESTING {
        // An address has as many ports as the machine gives out.
        let mut client = Client::from(2 + (nth % 4) as u8, proxy.ingress());
        assert_eq!(client.get(), 200);
        clients.push(client);
    }
    eventually("each holds less than 2.5 KiB", || anonymous(&proxy) < before + RESTING * 2_560);
    assert!(clients.iter_mut().step_by(500).all(|client| client.get() == 200), "and is served as before");
}

/// Bytes of its memory that no file has.
fn anonymous(proxy: &Proxy) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("Linux tells it");
    let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib * 1_024
}
