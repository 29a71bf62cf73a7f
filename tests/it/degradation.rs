use std::net::SocketAddr;
use std::sync::Arc;

use crate::support::eventually;
use crate::support::h2::H2Client;
use crate::support::proxy::{Proxy, proxy};
use crate::support::raw::{self, Client, Response};
use crate::support::upstream::{Answer, Upstream, bytes, nobody, status};

/// Three failures open the breaker for good.
const QUICK: &str = "breaker = { mode = \"on\", failures = 3, lump = \"0s\", open_for = \"1h\" }";

/// An ingress with one route below `/a` that has this fallback.
fn with_fallback(backend: SocketAddr, fallback: &str, more: &str) -> Proxy {
    proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [[routes]]
            name = "a"
            prefix = "/a"
            body_limit = "1KiB"
            {fallback}
            [upstreams.backend]
            endpoints = ["{backend}"]
            {more}
        "#
    ))
}

/// Asks until the breaker refuses.
fn open(proxy: &Proxy) {
    eventually("the breaker opens", || {
        proxy.get("/b");
        proxy.breaker("backend") == "open"
    });
}

/// The head without what differs from answer to answer.
fn constant(answer: &Response) -> Vec<String> {
    let lines = answer.head.lines().filter(|line| {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        !["date", "x-request-id"].contains(&name.as_str())
    });
    lines.map(str::to_owned).collect()
}

#[test]
fn while_the_breaker_is_open_a_route_answers_with_its_fallback_and_says_so() {
    let backend = Upstream::start(status(500));
    let proxy = with_fallback(backend.address, r#"fallback = { body = '{"bookings":[]}' }"#, QUICK);
    open(&proxy);
    let hits = backend.hits();
    let answer = proxy.get("/a/1");
    assert_eq!((answer.status, answer.text().as_str()), (503, r#"{"bookings":[]}"#));
    for (name, value) in [
        ("content-type", "application/json"),
        ("x-strop-reason", "breaker_open"),
        ("x-strop-degraded", "fallback"),
        ("proxy-status", "strop; error=destination_unavailable; details=\"fallback: breaker_open\""),
        ("cache-control", "no-store"),
        ("content-length", "15"),
    ] {
        assert_eq!(answer.field(name), Some(value), "{name}: {}", answer.head);
    }
    assert!(answer.field("retry-after").is_some() && answer.field("x-request-id").is_some());
    assert_eq!(backend.hits(), hits, "an open breaker sends nothing");
    let other = proxy.get("/b");
    assert_eq!(other.field("content-type"), Some("application/problem+json"), "a route without one refuses");
    assert_eq!(other.field("x-strop-degraded"), None);
    eventually("it is counted as what it is", || {
        let labels = "route=\"a\",upstream=\"backend\",instead=\"fallback\",reason=\"breaker_open\",outcome=\"refused\"";
        proxy.metric("strop_degraded_answers_total", labels) == 1.0
    });
}

#[test]
fn every_kind_of_client_reads_it_whole() {
    let backend = Upstream::start(status(500));
    let proxy = with_fallback(backend.address, r#"fallback = { body = '{"bookings":[]}' }"#, QUICK);
    open(&proxy);
    // The connection goes on after each of them.
    let mut client = Client::to(proxy.ingress());
    client.send(b"HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.response(true).expect("a head");
    assert_eq!((head.status, head.field("content-length")), (503, Some("15")));
    client.send(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    let posted = client.response(false).expect("an answer");
    assert_eq!((posted.status, posted.body.len()), (503, 15), "503 is as true of a write");
    let mut old = Client::to(proxy.ingress());
    let answer = old.send(b"GET /a HTTP/1.0\r\n\r\n").response(false).expect("an answer");
    assert_eq!((answer.status, answer.body.len()), (503, 15));
    assert!(old.rest().is_empty(), "HTTP/1.0 ends with its answer");
    let mut h2 = H2Client::to(proxy.ingress());
    let answer = h2.get("http://a.example/a").expect("an answer");
    assert_eq!((answer.status, answer.text().as_str()), (503, r#"{"bookings":[]}"#));
    assert_eq!(answer.field("x-strop-degraded"), Some("fallback"));
}

#[test]
fn a_success_stands_in_for_reading_alone() {
    let proxy = with_fallback(nobody(), r#"fallback = { status = 200, body = '[]' }"#, "");
    let read = proxy.get("/a");
    assert_eq!((read.status, read.text().as_str()), (200, "[]"));
    assert_eq!(
        (read.field("x-strop-reason"), read.field("x-strop-degraded"), read.field("retry-after")),
        (Some("connect_failed"), Some("fallback"), None)
    );
    let write = "POST /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let write = raw::ask(proxy.ingress(), write);
    assert_eq!(
        (write.status, write.field("x-strop-degraded")),
        (502, None),
        "nothing was done: {}",
        write.head
    );
    let upgrade = "GET /a HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    assert_eq!(raw::ask_http1(proxy.ingress(), upgrade).status, 502, "200 would be no handshake");
    eventually("it fails as before", || {
        let outcome = |outcome: &str| {
            let labels = format!("route=\"a\",upstream=\"backend\",outcome=\"{outcome}\"");
            proxy.metric("strop_http_request_outcomes_total", &labels)
        };
        (outcome("upstream_failed"), outcome("ok")) == (3.0, 0.0)
    });
}

#[test]
fn an_upstream_that_does_not_answer_in_time_has_not_answered() {
    let silent: Arc<Answer> = Arc::new(|_, _| true);
    let backend = Upstream::start(silent);
    let fallback = "timeouts = { first_byte = \"100ms\" }\nfallback = { status = 200, body = '[]' }";
    let proxy = with_fallback(backend.address, fallback, "");
    let answer = proxy.get("/a");
    assert_eq!((answer.status, answer.field("x-strop-reason")), (200, Some("upstream_timeout")));
}

#[test]
fn an_answer_of_the_upstream_stays_unless_it_is_asked_for() {
    let backend = Upstream::start(status(500));
    let plain = with_fallback(backend.address, "fallback = { body = '{}' }", "");
    let answer = plain.get("/a");
    assert_eq!((answer.status, answer.text().as_str()), (500, "500 /a\n"));
    assert_eq!((answer.field("x-strop-degraded"), answer.field("proxy-status")), (None, None));

    let proxy = with_fallback(backend.address, "fallback = { body = '{}', on_5xx = true }", "");
    let before = backend.connections();
    let mut client = Client::to(proxy.ingress());
    for _ in 0..3 {
        client.send(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = client.response(false).expect("an answer");
        assert_eq!((answer.status, answer.text().as_str()), (503, "{}"));
        assert_eq!(
            (answer.field("x-strop-reason"), answer.field("proxy-status")),
            (Some("upstream_5xx"), Some("strop; received-status=500; details=\"fallback: upstream_5xx\""))
        );
    }
    assert_eq!(backend.connections() - before, 1, "what is not sent on costs no connection");
    for other in [404, 501] {
        backend.answer(status(other));
        assert_eq!(proxy.get("/a").status, other);
    }
    eventually("it is the upstream's error all the same", || {
        let labels = "instead=\"fallback\",reason=\"upstream_5xx\",outcome=\"server_error\"";
        proxy.metric("strop_degraded_answers_total", labels) == 3.0
    });
}

#[test]
fn a_refusal_that_is_the_clients_own_is_told_to_it() {
    let backend = Upstream::start(status(500));
    let proxy =
        with_fallback(backend.address, "fallback = { status = 200, body = '{}', on_5xx = true }", QUICK);
    open(&proxy);
    let long = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4096\r\n\r\n";
    let refused = raw::ask_http1(proxy.ingress(), long);
    assert_eq!((refused.status, refused.field("x-strop-reason")), (413, Some("body_too_long")));
    let nonsense = raw::ask_http1(proxy.ingress(), "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n");
    assert_eq!((nonsense.status, nonsense.field("x-strop-degraded")), (400, None));
}

#[test]
fn with_a_fallback_and_a_well_upstream_nothing_is_different() {
    let told = "HTTP/1.1 200 Fine\r\nX-Own: 1\r\nContent-Length: 5\r\n\r\nhello";
    let backend = Upstream::start(bytes(told, true));
    let without = with_fallback(backend.address, "", "");
    let with = with_fallback(backend.address, "fallback = { body = '{}', on_5xx = true }", "");
    let [one, other] = [&without, &with].map(|proxy| proxy.get("/a?x=1"));
    assert_eq!(constant(&one), constant(&other));
    assert_eq!(one.body, other.body);
    let heads: Vec<Vec<String>> = backend
        .seen()
        .iter()
        .map(|seen| constant(&Response { head: seen.head.clone(), ..Response::default() }))
        .collect();
    assert_eq!(heads[0], heads[1], "nor is what the upstream reads");
    assert!(!heads[1].iter().any(|line| line.to_ascii_lowercase().contains("degraded")));
    let text = with.admin_get("/metrics").text();
    assert!(!text.contains("strop_degraded_answers_total"), "what has not happened is not counted");
}

/// By a plan of which it is written that it acts: what it forgets is what would stand in.
#[test]
fn a_plan_forgets_the_answers_of_its_target_and_of_no_other() {
    let (backend, other) = (Upstream::start(status(200)), Upstream::start(status(200)));
    let proxy = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [degradation]
            stale = {{}}
            [[routes]]
            prefix = "/other"
            upstream = "other"
            [upstreams.backend]
            endpoints = ["{}"]
            [upstreams.other]
            endpoints = ["{}"]
            [plans.wrong_answers]
            services = ["backend"]
            steps = [{{ action = "cache_clear", mode = "act" }}]
        "#,
        backend.address, other.address
    ));
    let clears = |nth: usize| {
        let step = proxy.first_step("wrong_answers");
        assert_eq!(proxy.sre("recovery")["runs"].as_array().expect("a list").len(), nth);
        step
    };
    for path in ["/a", "/b", "/other"] {
        assert_eq!(proxy.get(path).status, 200);
    }
    backend.answer(status(500));
    other.answer(status(500));
    for path in ["/a", "/b", "/other"] {
        eventually("its answer stands in", || proxy.get(path).field("x-strop-degraded") == Some("stale"));
    }
    let done = clears(1);
    let told = done["detail"].as_str().unwrap_or_default();
    assert!(
        done["result"] == "done" && told.starts_with("2 kept answers of backend are forgotten, "),
        "{done}"
    );
    assert_eq!((proxy.get("/a").status, proxy.get("/b").status), (500, 500));
    assert_eq!(proxy.get("/other").field("x-strop-degraded"), Some("stale"), "another upstream's");
    let nothing = clears(2);
    assert_eq!(
        (nothing["result"].as_str(), nothing["detail"].as_str()),
        (Some("unneeded"), Some("no kept answer is of backend"))
    );
}
