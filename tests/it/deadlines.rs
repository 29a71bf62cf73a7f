use std::io::Write;
use std::sync::Arc;

use crate::support::eventually;
use crate::support::proxy::{ingress_to, proxy};
use crate::support::raw::Client;
use crate::support::upstream::{Upstream, status};

const STRICT: &str = "breaker = { failures = 1 }\n";

#[test]
fn a_client_that_sends_its_body_slowly_is_told_so_and_no_upstream_is_blamed() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, &format!("{STRICT}timeouts = {{ idle = \"300ms\" }}\n"));
    let mut client = Client::to(proxy.ingress());
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nonly this");
    let answer = client.response(false).expect("answered");
    assert_eq!((answer.status, answer.field("x-strop-reason")), (408, Some("body_timeout")));
    assert!(client.rest().is_empty(), "the connection is closed");
    assert_eq!(proxy.breaker("backend"), "closed");
    assert_eq!(proxy.metric("upstream_requests_total", "verdict=\"timeout\""), 0.0);
}

#[test]
fn a_long_upload_is_not_late_for_its_first_byte() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(
        backend.address,
        &format!("{STRICT}timeouts = {{ first_byte = \"400ms\", idle = \"5s\" }}\n"),
    );
    let mut client = Client::to(proxy.ingress());
    client.send(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    let (pace, never) = std::sync::mpsc::channel::<()>();
    for letter in [b"h", b"e", b"l", b"l", b"o"] {
        let _ = never.recv_timeout(std::time::Duration::from_millis(150));
        client.send(letter);
    }
    drop(pace);
    assert_eq!(client.response(false).expect("answered").text(), "200 /up\n");
    assert_eq!(backend.seen()[0].body, b"hello");
}

#[test]
fn a_client_that_does_not_read_is_cut_off_and_no_upstream_is_blamed() {
    let backend = Upstream::start(Arc::new(|_, stream| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 64 << 20);
        let block = vec![7; 1 << 20];
        // The proxy stops taking it once its client is given up.
        stream.write_all(head.as_bytes()).is_ok() && (0..64).all(|_| stream.write_all(&block).is_ok())
    }));
    let proxy = ingress_to(backend.address, &format!("{STRICT}timeouts = {{ idle = \"400ms\" }}\n"));
    let mut client = Client::to(proxy.ingress());
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("it is given up", || {
        proxy.metric("http_request_outcomes_total", "outcome=\"client_gone\"") == 1.0
    });
    assert_eq!(proxy.breaker("backend"), "closed");
    assert_eq!(proxy.metric("http_request_outcomes_total", "outcome=\"upstream_failed\""), 0.0);
}

#[test]
fn an_answer_that_stalls_is_the_upstreams_failure() {
    let backend = Upstream::start(Arc::new(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345").is_ok()
    }));
    let proxy = ingress_to(backend.address, "timeouts = { idle = \"300ms\" }\n");
    let mut client = Client::to(proxy.ingress());
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.response(false).is_none(), "the end is missing");
    eventually("it is counted", || {
        proxy.metric("http_request_outcomes_total", "outcome=\"upstream_failed\"") == 1.0
    });
}

#[test]
fn the_whole_exchange_has_its_limit_and_a_route_may_have_its_own() {
    let backend = Upstream::start(Arc::new(|seen, stream| {
        if seen.path().starts_with("/slow") {
            return true;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_ok()
    }));
    let proxy = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [[routes]]
            prefix = "/slow/quick"
            timeouts = {{ first_byte = "150ms" }}
            [[routes]]
            prefix = "/slow/whole"
            timeouts = {{ total = "150ms" }}
            [[routes]]
            prefix = "/slow/try"
            timeouts = {{ per_try = "150ms" }}
            [upstreams.backend]
            endpoints = ["{}"]
            breaker = {{ enabled = false }}
        "#,
        backend.address
    ));
    for path in ["/slow/quick", "/slow/whole", "/slow/try"] {
        let answer = proxy.get(path);
        assert_eq!(
            (answer.status, answer.field("x-strop-reason")),
            (504, Some("upstream_timeout")),
            "{path}"
        );
    }
    assert_eq!(proxy.get("/").status, 200);
}

#[test]
fn bytes_of_bodies_are_counted_both_ways() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let mut client = Client::to(proxy.ingress());
    client.send(b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n").send(&[b'x'; 1_000]);
    let answer = client.response(false).expect("answered");
    eventually("the exchange is closed", || {
        proxy.metric("http_body_bytes_total", "direction=\"received\"") == 1_000.0
    });
    assert_eq!(proxy.metric("http_body_bytes_total", "direction=\"sent\""), answer.body.len() as f64);
}

#[test]
fn a_client_that_leaves_before_its_answer_ends_the_upstreams_work() {
    let backend = Upstream::start(Arc::new(|_, _| true)); // never answers
    let proxy = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            limits = {{ half_close = "200ms" }}
            [upstreams.backend]
            endpoints = ["{}"]
            {STRICT}
        "#,
        backend.address
    ));
    for reset in [false, true] {
        let mut client = Client::to(proxy.ingress());
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        eventually("it is in flight", || {
            proxy.metric("http_server_active_requests", "upstream=\"backend\"") == 1.0
        });
        if reset {
            socket2::SockRef::from(&client.stream).set_linger(Some(std::time::Duration::ZERO)).expect("sets");
        }
        drop(client);
        eventually("it is over", || {
            proxy.metric("http_server_active_requests", "upstream=\"backend\"") == 0.0
                && proxy.metric("upstream_connections", "upstream=\"backend\"") == 0.0
        });
    }
    assert_eq!(proxy.metric("http_request_outcomes_total", "outcome=\"client_gone\""), 2.0);
    assert_eq!(proxy.breaker("backend"), "closed");
}
