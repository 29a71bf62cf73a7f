//! What is long goes from socket to socket without entering the process, and is exact under every fault.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::support::proxy::{Proxy, ingress_to};
use crate::support::raw::Client;
use crate::support::upstream::{Answer, Upstream, bytes};
use crate::support::{eventually, pace};

const LONG: usize = 8 << 20;
const ASK: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn pattern(n: usize, seed: usize) -> Vec<u8> {
    (0..n).map(|at| (at * 31 + at / 251 + seed) as u8).collect()
}

/// Announces `announced` bytes, sends `sent` of them, then keeps the connection or ends it.
fn part(announced: usize, sent: usize, keep: bool) -> Arc<Answer> {
    let mut message = format!("HTTP/1.1 200 OK\r\nContent-Length: {announced}\r\n\r\n").into_bytes();
    message.extend(pattern(sent, 0));
    bytes(message, keep)
}

/// Bytes that the process has read by read(2) and its like: what is spliced is not among them.
fn read_by(proxy: &Proxy) -> u64 {
    let io = std::fs::read_to_string(format!("/proc/{}/io", proxy.pid())).expect("Linux tells");
    let line = io.lines().find_map(|line| line.strip_prefix("rchar: ")).expect("it is there");
    line.parse().expect("a number")
}

fn passed(proxy: &Proxy, direction: &str) -> f64 {
    proxy.metric("http_body_bytes_total", &format!("direction=\"{direction}\""))
}

#[test]
fn a_long_body_passes_by_the_process_both_ways_and_is_counted_to_the_byte() {
    let backend = Upstream::start(part(LONG, LONG, true));
    let proxy = ingress_to(backend.address, "");
    let mut client = Client::to(proxy.ingress());
    for round in 1..=3 {
        let before = read_by(&proxy);
        client.send(ASK);
        // Slow in the beginning: the pipe fills up.
        let head = client.head().expect("a head").1;
        pace(Duration::from_millis(50));
        assert!(head.contains(&LONG.to_string()), "{head}");
        assert!(client.exactly(LONG).expect("whole") == pattern(LONG, 0), "round {round}");
        let read = read_by(&proxy) - before;
        assert!(read < LONG as u64 / 2, "{read} bytes of {LONG} came by");
    }
    assert_eq!(backend.connections(), 1, "the connection is used again");
    backend.answer(bytes("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true));
    let (body, before) = (pattern(LONG, 7), read_by(&proxy));
    client
        .send(format!("PUT /up HTTP/1.1\r\nHost: a\r\nContent-Length: {LONG}\r\n\r\n").as_bytes())
        .send(&body);
    assert_eq!(client.response(false).expect("answered").text(), "ok");
    assert!(backend.seen().last().is_some_and(|seen| seen.body == body), "the very bytes");
    let read = read_by(&proxy) - before;
    assert!(read < LONG as u64 / 2, "{read} bytes of {LONG} came by");
    eventually("all is counted", || passed(&proxy, "sent") == (3 * LONG + 2) as f64);
    assert_eq!(passed(&proxy, "received"), LONG as f64);
}

#[test]
fn what_came_before_a_break_reaches_the_client_and_nothing_else() {
    for (sent, what) in [(LONG / 2, "an orderly end"), (LONG / 2 + 12_345, "an odd place")] {
        let backend = Upstream::start(part(LONG, sent, false));
        let proxy = ingress_to(backend.address, "");
        let mut client = Client::to(proxy.ingress());
        client.send(ASK).head().expect("a head");
        assert!(client.rest() == pattern(sent, 0), "{what}");
        eventually("what passed is counted", || passed(&proxy, "sent") == sent as f64);
    }
}

#[test]
fn a_client_that_leaves_midway_leaves_no_byte_to_the_next_one() {
    let answer: Arc<Answer> = Arc::new(|seen, stream| {
        let seed: usize = seen.path().trim_start_matches('/').parse().unwrap_or_default();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG}\r\n\r\n");
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&pattern(LONG, seed))).is_ok()
    });
    let backend = Upstream::start(answer);
    let proxy = ingress_to(backend.address, "");
    for seed in 0..20 {
        let ask = format!("GET /{seed} HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut leaver = Client::to(proxy.ingress());
        leaver.send(ask.as_bytes()).head().expect("a head");
        leaver.exactly(100_000 + seed * 10_007).expect("a part");
        if seed % 2 == 0 {
            socket2::SockRef::from(&leaver.stream).set_linger(Some(Duration::ZERO)).expect("sets");
        }
        drop(leaver);
        if seed % 5 == 4 {
            let mut whole = Client::to(proxy.ingress());
            let got = whole.send(ask.as_bytes()).response(false).expect("whole").body;
            assert!(got == pattern(LONG, seed), "another body's bytes");
        }
    }
    eventually("nobody is waited for", || proxy.metric("http_server_active_requests", "") == 0.0);
    assert_eq!(proxy.breaker("backend"), "closed", "clients that leave say nothing of the backend");
}

#[test]
fn an_upstream_that_leaves_midway_through_a_request_is_told_as_such() {
    let backend = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let proxy = ingress_to(backend.local_addr().expect("bound"), "retry = { attempts = 1 }");
    let leaves = std::thread::spawn(move || {
        let (mut stream, _) = backend.accept().expect("connects");
        let mut some = vec![0; 600_000];
        stream.read_exact(&mut some).expect("a part");
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("sets");
        drop(stream);
        drop(backend);
        some
    });
    let mut client = Client::to(proxy.ingress());
    let body = pattern(LONG, 3);
    client
        .send(format!("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: {LONG}\r\n\r\n").as_bytes())
        .send(&body);
    let got = leaves.join().expect("no panic");
    let at = got.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    assert!(got[at..] == body[..got.len() - at], "the very bytes, as far as they came");
    assert_eq!(client.response(false).expect("answered").status, 502);
}

#[test]
fn silence_midway_ends_it_on_either_side() {
    let (told, wait) = channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let answer: Arc<Answer> = Arc::new(move |_, stream| {
        let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG}\r\n\r\n").as_bytes());
        let _ = stream.write_all(&pattern(LONG / 2, 0));
        let _ = wait.lock().expect("not poisoned").recv();
        false
    });
    let backend = Upstream::start(answer);
    let proxy = ingress_to(backend.address, "timeouts = { idle = \"1s\" }");
    let mut client = Client::to(proxy.ingress());
    client.send(ASK).head().expect("a head");
    assert!(client.rest() == pattern(LONG / 2, 0), "all that came, and then the end");
    told.send(()).expect("waits");

    backend.answer(part(4 * LONG, 4 * LONG, true));
    let mut deaf = Client::to(proxy.ingress());
    deaf.send(ASK).head().expect("a head");
    eventually("a client that does not read is given up", || {
        proxy.metric("http_server_active_requests", "") == 0.0
    });
    assert!(deaf.rest().len() < 4 * LONG, "its end is missing");
}
