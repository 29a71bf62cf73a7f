//! Nobody who says nothing keeps an operator, a probe or a scraper out.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::proxy::{Proxy, proxy, with_token};
use crate::support::raw::{Client, ask_http1};
use crate::support::upstream::{Upstream, status};

fn answers(proxy: &Proxy, what: &str) {
    let asked = Instant::now();
    for path in ["/livez", "/readyz"] {
        assert_eq!(proxy.admin_get(path).status, 200, "{path} with {what}");
    }
    let bearer = "Authorization: Bearer 0123456789abcdef\r\n";
    assert_eq!(proxy.ask("GET", "config", bearer, "").status, 200, "an operator with {what}");
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?} with {what}", asked.elapsed());
}

#[test]
fn silent_connections_give_their_places_to_whoever_asks() {
    let (backend, dir) = (Upstream::start(status(200)), tempfile::tempdir().expect("a directory"));
    let proxy = with_token(backend.address, dir.path(), "", 0);
    let silent: Vec<TcpStream> = (0..400).filter_map(|_| TcpStream::connect(proxy.admin()).ok()).collect();
    assert!(silent.len() > 300, "{}", silent.len());
    answers(&proxy, "silent connections");
}

#[test]
fn bodies_that_never_come_take_no_slot_and_a_token_is_asked_for_before_them() {
    let (backend, dir) = (Upstream::start(status(200)), tempfile::tempdir().expect("a directory"));
    let proxy = with_token(backend.address, dir.path(), "", 0);
    let order = |token: &str| {
        format!(
            "POST /api/v2/sre/config/reload HTTP/1.1\r\nHost: localhost\r\n{token}Content-Length: 1000\r\n\r\n{{"
        )
    };
    let strange = ask_http1(proxy.admin(), &order(""));
    assert_eq!(strange.status, 401, "its body is not waited for");
    let stalled: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut stream = TcpStream::connect(proxy.admin()).expect("connects");
            let order = order("Authorization: Bearer 0123456789abcdef\r\n");
            stream.write_all(order.as_bytes()).expect("sends");
            stream
        })
        .collect();
    answers(&proxy, "stalled bodies");
    let mut one = Client::to(proxy.admin());
    one.stream = stalled.into_iter().next_back().expect("some");
    one.stream.set_read_timeout(Some(Duration::from_secs(30))).expect("sets");
    assert_eq!(one.response(false).map(|answer| answer.status), Some(408), "a body has a deadline");
}

#[test]
fn an_order_says_what_it_has_to_say_within_512_kib() {
    let (backend, dir) = (Upstream::start(status(200)), tempfile::tempdir().expect("a directory"));
    let proxy = with_token(backend.address, dir.path(), "", 0);
    let bearer = "Authorization: Bearer 0123456789abcdef\r\n";
    let body = format!("{{\"title\": \"{}\"}}", "x".repeat(600_000));
    let answer = proxy.ask("POST", "incidents/test", bearer, &body);
    assert_eq!(answer.status, 413, "{}", answer.text());
}

#[test]
fn a_flood_of_the_claimed_traffic_port_keeps_nobody_from_the_admin_port() {
    let (backend, dir) = (Upstream::start(status(200)), tempfile::tempdir().expect("a directory"));
    let proxy = with_token(backend.address, dir.path(), "claim_sre_api = true", 0);
    let stalled: Vec<TcpStream> = (0..500)
        .filter_map(|_| {
            let mut stream = TcpStream::connect(proxy.ingress()).ok()?;
            let text =
                "POST /api/v2/sre/config/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{";
            stream.write_all(text.as_bytes()).ok()?;
            Some(stream)
        })
        .collect();
    assert!(stalled.len() > 400, "{}", stalled.len());
    answers(&proxy, "a flood through the traffic port");
}

#[test]
fn probes_have_a_port_of_their_own_where_that_is_asked_for() {
    let backend = Upstream::start(status(200));
    let proxy = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{}"]
            [admin]
            probes = "127.0.0.1:0"
            listen = "127.0.0.1:0"
        "#,
        backend.address
    ));
    let at = proxy.at("probes");
    let ask = |path: &str| {
        ask_http1(at, &format!("GET {path} HTTP/1.1\r\nHost: 10.1.2.3\r\nConnection: close\r\n\r\n")).status
    };
    assert_eq!(["/livez", "/readyz", "/healthz", "/metrics"].map(ask), [200; 4]);
    assert_eq!(["/api/v2/sre/config", "/"].map(ask), [404; 2]);
}
