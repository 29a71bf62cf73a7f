//! Backends that hang up on idle connections, in time or not.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::h2;
use crate::support::proxy::{Proxy, ingress_to};
use crate::support::raw::{ask, find, get};
use crate::support::secure::{TlsFront, issue};
use crate::support::upstream::{Upstream, status};
use crate::support::{eventually, within};

const POST: &str = "POST / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi";

/// A server with a keep-alive time of its own.
struct Impatient {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    /// Connections on which it hung up.
    hung_up: Arc<AtomicUsize>,
    /// Connections that the other side has closed.
    left: Arc<AtomicUsize>,
}

/// Keeps idle connections for `patience`, writes `last` on them and closes; its answers have the field lines `fields`.
fn impatient(patience: Duration, fields: &'static str, last: &'static [u8]) -> Impatient {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let server = Impatient {
        address: listener.local_addr().expect("bound"),
        connections: Arc::default(),
        hung_up: Arc::default(),
        left: Arc::default(),
    };
    let (connections, hung_up, left) =
        (Arc::clone(&server.connections), Arc::clone(&server.hung_up), Arc::clone(&server.left));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            connections.fetch_add(1, Ordering::SeqCst);
            let (hung_up, left) = (Arc::clone(&hung_up), Arc::clone(&left));
            std::thread::spawn(move || {
                let ended = if serve(stream, patience, fields, last) { hung_up } else { left };
                ended.fetch_add(1, Ordering::SeqCst);
            });
        }
    });
    server
}

/// Serves one connection to its end; true: the server has ended it.
fn serve(mut stream: TcpStream, patience: Duration, fields: &str, last: &[u8]) -> bool {
    stream.set_read_timeout(Some(patience)).expect("sets");
    let mut seen = Vec::new();
    let mut room = [0; 4_096];
    loop {
        match stream.read(&mut room) {
            Ok(0) => return false,
            Ok(n) => seen.extend_from_slice(&room[..n]),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock) => {
                let _ = stream.write_all(last);
                drop(stream);
                return true;
            }
            Err(_) => return false,
        }
        let body = if seen.starts_with(b"POST") { 2 } else { 0 };
        if find(&seen, b"\r\n\r\n").is_some_and(|end| seen.len() >= end + 4 + body) {
            seen.clear();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{fields}\r\nok");
            if stream.write_all(answer.as_bytes()).is_err() {
                return false;
            }
        }
    }
}

impl Impatient {
    fn count(&self, of: &AtomicUsize) -> usize {
        of.load(Ordering::SeqCst)
    }
}

fn named(proxy: &Proxy) -> Vec<serde_json::Value> {
    let log = proxy.log.lock().expect("not poisoned");
    let lines = log.iter().filter(|line| line.contains("closes idle connections sooner"));
    lines.map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Five times: a connection is left idle until the server hangs up, and the next request, which nobody may repeat, must
/// not be lost to it.
fn posts_are_not_lost(server: &Impatient, proxy: &Proxy) {
    for round in 1..=5 {
        assert_eq!(ask(proxy.ingress(), POST).status, 200, "round {round}");
        eventually("it hangs up", || server.count(&server.hung_up) == round);
    }
    assert_eq!(ask(proxy.ingress(), POST).status, 200);
    assert_eq!(server.count(&server.connections), 6);
}

/// Serves one request on each connection and leaves at the next one, without a word.
fn serves_once() -> Upstream {
    let served = Mutex::new(HashSet::new());
    Upstream::start(Arc::new(move |seen, stream| {
        let first = stream.peer_addr().is_ok_and(|peer| served.lock().expect("not poisoned").insert(peer));
        first && status(200)(seen, stream)
    }))
}

#[test]
fn what_is_safe_is_sent_once_more_when_a_reused_connection_breaks_and_a_write_is_not() {
    let server = serves_once();
    is_sent_once_more_where_it_is_safe(|| server.address, "");
}

/// One that carries nothing else, and ends without GOAWAY.
#[test]
fn what_is_safe_is_sent_once_more_when_a_reused_http2_connection_breaks_and_a_write_is_not() {
    is_sent_once_more_where_it_is_safe(h2::upstream_that_serves_once, "protocol = \"h2\"\n");
}

fn is_sent_once_more_where_it_is_safe(server: impl Fn() -> SocketAddr, more: &str) {
    let once = |fields: &str, second: u16| {
        // One worker: the second request finds the connection of the first.
        let proxy = ingress_to(
            server(),
            &format!(
                r#"
                    {more}
                    [process]
                    workers = 1
                "#
            ),
        );
        let request = format!("{fields}\r\nHost: a\r\nConnection: close\r\n\r\n");
        let all = [200, second, 200].map(|wanted| (ask(proxy.ingress(), &request).status, wanted));
        assert!(all.iter().all(|(status, wanted)| status == wanted), "{request}{all:?}");
        assert_eq!(
            proxy.metric("retries_total", "upstream=\"backend\""),
            if second == 200 { 2.0 } else { 0.0 }
        );
        assert_eq!(proxy.breaker("backend"), "closed");
    };
    once("GET / HTTP/1.1", 200);
    once("OPTIONS / HTTP/1.1\r\nContent-Length: 0", 200);
    once("DELETE / HTTP/1.1", 502);
}

#[test]
fn an_end_that_is_there_is_seen_before_a_request_is_lost_to_it() {
    let server = impatient(Duration::from_millis(200), "", b"");
    let proxy = ingress_to(server.address, "pool = { idle_for = \"30s\" }\n");
    posts_are_not_lost(&server, &proxy);
}

#[test]
fn a_408_that_stands_on_an_idle_connection_is_nobodys_answer() {
    let late = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let server = impatient(Duration::from_millis(200), "", late);
    let proxy = ingress_to(server.address, "pool = { idle_for = \"30s\" }\n");
    posts_are_not_lost(&server, &proxy);
}

#[test]
fn an_end_of_tls_is_seen_as_well_and_a_good_connection_stays() {
    let issued = issue(&["a.example"]);
    let server = impatient(Duration::from_millis(400), "", b"");
    let front = TlsFront::start(&issued, server.address);
    let tls = format!(
        "tls = {{ server_name = \"a.example\", ca_file = \"{}\" }}\npool = {{ idle_for = \"30s\" }}\n",
        issued.ca.display()
    );
    let proxy = ingress_to(front.address, &tls);
    for _ in 0..3 {
        assert_eq!(ask(proxy.ingress(), POST).status, 200);
    }
    assert!(server.count(&server.connections) <= workers(), "tickets are no end of a connection");
    eventually("it hangs up", || server.count(&server.hung_up) == server.count(&server.connections));
    // What the front does with that is its own affair for a moment; the metric says when it has arrived.
    eventually("the end is seen", || proxy.metric("upstream_connections", "backend") == 0.0);
    assert_eq!(ask(proxy.ingress(), POST).status, 200);
}

fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

#[test]
fn an_upstream_that_hangs_up_sooner_is_named_with_the_time_seen() {
    let server = impatient(Duration::from_secs(1), "", b"");
    let proxy = ingress_to(server.address, "pool = { idle_for = \"20s\" }\n");
    let mut rounds = 0;
    while named(&proxy).is_empty() {
        rounds += 1;
        assert!(rounds <= 6, "it was never named");
        assert_eq!(proxy.get("/").status, 200);
        eventually("it hangs up", || server.count(&server.hung_up) == server.count(&server.connections));
        eventually("that is noticed", || proxy.metric("upstream_connections", "backend") == 0.0);
    }
    assert!(rounds > 1, "one alone may be a restart");
    let told = named(&proxy);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(told[0]["upstream"], "backend");
    assert_eq!(told[0]["idle_for"], "20s");
    assert_eq!(told[0]["level"], "WARN");
    let after = told[0]["after"].as_str().expect("a time");
    assert!(after.starts_with('1') || after.starts_with('2'), "{after}");
}

/// The first connection of the proxy is closed by it, and within a moment.
fn is_given_up(fields: &'static str, pool: &str) {
    let server = impatient(Duration::from_secs(60), fields, b"");
    let proxy = ingress_to(server.address, pool);
    assert_eq!(proxy.get("/").status, 200);
    within(Duration::from_millis(3_500), "it is given up", || server.count(&server.left) == 1);
    assert!(named(&proxy).is_empty(), "the server has closed nothing");
}

#[test]
fn what_a_server_says_of_its_patience_stands_where_nothing_is_written() {
    is_given_up("Keep-Alive: timeout=1\r\n", "");
}

#[test]
fn what_a_server_says_of_its_patience_shortens_what_is_written() {
    is_given_up("Keep-Alive: timeout=1, max=100\r\n", "pool = { idle_for = \"30s\" }\n");
}

#[test]
fn what_is_written_is_not_lengthened() {
    is_given_up("Keep-Alive: timeout=60\r\n", "pool = { idle_for = \"1s\" }\n");
}

#[test]
fn a_server_that_will_not_wait_at_all_gets_a_new_connection_each_time() {
    let server = impatient(Duration::from_secs(60), "Keep-Alive: timeout=0\r\n", b"");
    let proxy = ingress_to(server.address, "");
    for _ in 0..3 {
        assert_eq!(get(proxy.ingress(), "/").status, 200);
    }
    assert_eq!(server.count(&server.connections), 3);
}
