//! How many requests may be under way to the backend at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::proxy::{Proxy, proxy};
use crate::support::raw::Client;
use crate::support::upstream::{Answer, Upstream};
use crate::support::{eventually, pace};

fn text(backend: SocketAddr, mode: &str) -> String {
    format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            concurrency = {{ mode = "{mode}", min = 10, max = 10 }}
            [[routes]]
            name = "reports"
            prefix = "/low"
            class = "low"
            [[routes]]
            name = "pay"
            prefix = "/high"
            class = "high"
            [upstreams.backend]
            endpoints = ["{backend}"]
            breaker = {{ mode = "on", failures = 3, lump = "0s" }}
        "#
    )
}

fn limited(backend: SocketAddr, mode: &str) -> Proxy {
    let proxy = proxy(&text(backend, mode));
    if mode != "off" {
        eventually("the limit is in force", || proxy.metric("strop_concurrency_limit", "backend") == 10.0);
    }
    proxy
}

/// Answers when it is let go; what is upgraded, and the head of a stream, at once.
fn holding() -> (Arc<AtomicBool>, Arc<Answer>) {
    let go = Arc::new(AtomicBool::new(false));
    let held = Arc::clone(&go);
    let answer: Arc<Answer> = Arc::new(move |seen, stream| {
        use std::io::Write as _;
        if !seen.fields("upgrade").is_empty() {
            let told =
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
            return stream.write_all(told).is_ok();
        }
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
        let streams = seen.path().ends_with("stream");
        if streams && stream.write_all(head).is_err() {
            return false;
        }
        while !held.load(Ordering::SeqCst) {
            pace(Duration::from_millis(5));
        }
        (streams || stream.write_all(head).is_ok()) && stream.write_all(b"ok").is_ok()
    });
    (go, answer)
}

fn asks(proxy: &Proxy, path: &str) -> Client {
    let mut client = Client::to(proxy.ingress());
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    client
}

fn ask_until(proxy: &Proxy, backend: &Upstream, held: &mut Vec<Client>, path: &str, most: usize) {
    while held.len() < most {
        held.push(asks(proxy, path));
    }
    eventually("they are under way", || backend.hits() >= most);
}

#[test]
fn above_the_limit_a_low_class_is_refused_first_a_high_one_last_and_no_breaker_hears_of_it() {
    let (go, answer) = holding();
    let backend = Upstream::start(answer);
    let proxy = limited(backend.address, "on");
    let mut held = Vec::new();
    ask_until(&proxy, &backend, &mut held, "/low", 6);
    let refused = proxy.get("/low");
    assert_eq!(refused.status, 503);
    assert_eq!(
        (refused.field("x-strop-reason"), refused.field("retry-after")),
        (Some("overloaded"), Some("1"))
    );
    let told = refused.field("proxy-status").expect("it says who refused");
    assert!(told.contains("error=connection_limit_reached") && told.contains("overloaded"), "{told}");
    ask_until(&proxy, &backend, &mut held, "/normal", 8);
    assert_eq!(proxy.get("/normal").status, 503);
    ask_until(&proxy, &backend, &mut held, "/high", 10);
    assert_eq!(proxy.get("/high").status, 503);

    let websocket = "GET /low HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let mut upgraded = Client::to(proxy.ingress());
    upgraded.send(websocket.as_bytes());
    assert_eq!(upgraded.head().expect("an answer").0, 101, "what lasts is not counted");

    let view = proxy.sre("upstreams/backend");
    let concurrency = &view["concurrency"];
    assert_eq!((&concurrency["limit"], &concurrency["in_flight"]), (&10.into(), &10.into()), "{view}");
    assert_eq!(concurrency["refused"], serde_json::json!({"high": 1, "low": 1, "normal": 1}));
    assert_eq!(proxy.metric("strop_concurrency_refused_total", "class=\"low\""), 1.0);
    assert_eq!((proxy.breaker("backend").as_str(), backend.hits()), ("closed", 11));
    assert_eq!(view["attempts"]["status"], 0, "it is no failure of the backend");

    go.store(true, Ordering::SeqCst);
    for mut client in held {
        assert_eq!(client.response(false).expect("an answer").status, 200);
    }
    assert_eq!(proxy.get("/low").status, 200);
    assert_eq!(proxy.metric("strop_concurrency_in_flight", "backend"), 0.0);
}

#[test]
fn a_stream_gives_its_place_back_with_its_head() {
    let (go, answer) = holding();
    let backend = Upstream::start(answer);
    let proxy = limited(backend.address, "on");
    let streams: Vec<_> = (0..30)
        .map(|_| {
            let mut client = asks(&proxy, "/stream");
            assert_eq!(client.head().expect("a head").0, 200);
            client
        })
        .collect();
    go.store(true, Ordering::SeqCst);
    drop(streams);
}

#[test]
fn in_shadow_it_tells_what_it_would_refuse_and_off_it_does_nothing() {
    let (go, answer) = holding();
    let backend = Upstream::start(answer);
    let proxy = limited(backend.address, "shadow");
    let mut held = Vec::new();
    ask_until(&proxy, &backend, &mut held, "/low", 15);
    assert_eq!(proxy.metric("strop_concurrency_shadow_refused_total", "class=\"low\""), 9.0);
    assert_eq!(proxy.metric("strop_concurrency_refused_total", "class=\"low\""), 0.0);
    let reloaded = proxy.reload(&text(backend.address, "off"));
    assert_eq!(reloaded.status, 200, "{}", reloaded.text());
    eventually("nobody looks", || proxy.sre("upstreams/backend")["concurrency"].is_null());
    go.store(true, Ordering::SeqCst);
    for mut client in held {
        assert_eq!(client.response(false).expect("an answer").status, 200);
    }
}
