use crate::support::proxy::{ingress_to, proxy};
use crate::support::raw::{ask, ask_http1};
use crate::support::upstream::{Upstream, status};

#[test]
fn the_guides_lines_are_answered_under_both_prefixes() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    for path in [
        "health/comprehensive",
        "circuit-breakers",
        "circuit-breakers/backend",
        "performance",
        "upstreams",
        "metrics",
        "config",
        "audit",
        "openapi.json",
    ] {
        let answer = proxy.admin_get(&format!("/api/v2/sre/{path}"));
        assert_eq!(answer.status, 200, "{path}");
        if path != "openapi.json" {
            let json = answer.json();
            assert!(json["observed_at"].is_string() && json["age_seconds"].is_number(), "{path}: {json}");
            assert_eq!(proxy.admin_get(&format!("/sre/{path}")).status, 200, "{path}");
        }
    }
    for path in ["/metrics", "/healthz", "/readyz", "/livez", "/"] {
        assert_eq!(proxy.admin_get(path).status, 200, "{path}");
    }
    assert_eq!(proxy.sre("openapi.json")["openapi"], "3.1.0");
    assert_eq!(proxy.admin_get("/api/v2/sre/nothing").status, 404);
}

#[test]
fn a_dependency_nobody_called_is_unknown_and_not_well() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let status = || proxy.sre("health/comprehensive")["dependencies"][0]["status"].clone();
    assert_eq!(status(), "unknown");
    proxy.get("/");
    assert_eq!(status(), "healthy");
}

#[test]
fn changes_need_a_post_and_strangers_are_refused() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let ask = |request: &str| ask_http1(proxy.admin(), request).status;
    let open = "/api/v2/sre/circuit-breakers/backend/open";
    assert_eq!(ask(&format!("GET {open} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")), 405);
    assert_eq!(ask("GET /metrics HTTP/1.1\r\nHost: rebound.example\r\nConnection: close\r\n\r\n"), 403);
    let forged = format!(
        "POST {open} HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    assert_eq!(ask(&forged), 403);
    assert_eq!(proxy.breaker("backend"), "closed");
}

#[test]
fn with_a_token_only_its_holder_is_heard() {
    let backend = Upstream::start(status(200));
    let dir = tempfile::tempdir().expect("a directory");
    let token = dir.path().join("token");
    std::fs::write(&token, "0123456789abcdef0123\n").expect("writes");
    let proxy = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{}"]
            [admin]
            listen = "127.0.0.1:0"
            token_file = "{}"
        "#,
        backend.address,
        token.display()
    ));
    let ask = |fields: &str| {
        ask_http1(
            proxy.admin(),
            &format!("GET /metrics HTTP/1.1\r\nHost: pod.example\r\nConnection: close\r\n{fields}\r\n"),
        )
        .status
    };
    assert_eq!(ask(""), 401);
    assert_eq!(ask("Authorization: Bearer 0123456789abcdef0124\r\n"), 401);
    assert_eq!(ask("Authorization: Bearer 0123456789abcdef0123\r\n"), 200);
    assert_eq!(proxy.admin_get("/readyz").status, 200, "probes need none");
}

#[test]
fn the_traffic_port_may_claim_the_api() {
    let backend = Upstream::start(status(200));
    let proxy = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            claim_sre_api = true
            [upstreams.backend]
            endpoints = ["{}"]
        "#,
        backend.address
    ));
    let ask = |request: String| ask(proxy.ingress(), &request);
    let health =
        ask("GET /api/v2/sre/health/comprehensive HTTP/1.1\r\nHost: localhost:8000\r\n\r\n".to_owned());
    assert_eq!(health.json()["sidecar"]["alive"], true);
    let body = r#"{"reason": "Maintenance window"}"#;
    let opened = ask(format!(
        "POST /api/v2/sre/circuit-breakers/backend/open HTTP/1.1\r\nHost: localhost:8000\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert_eq!(opened.status, 200, "{}", opened.text());
    assert_eq!(proxy.breaker("backend"), "open");
    assert_eq!(backend.hits(), 0);
}

#[test]
fn a_stop_drains_what_is_in_flight() {
    let backend = Upstream::start(std::sync::Arc::new(|_, stream| {
        use std::io::Write;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
        std::thread::sleep(std::time::Duration::from_millis(400)); // the upstream's own slowness
        stream.write_all(b"67890").is_ok()
    }));
    let mut proxy = ingress_to(backend.address, "");
    let mut idle = crate::support::raw::Client::to(proxy.ingress());
    let mut client = crate::support::raw::Client::to(proxy.ingress());
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head().expect("in flight");
    assert_eq!(proxy.stop(), Some(0));
    assert_eq!(client.exactly(10).expect("whole"), b"1234567890");
    assert!(idle.rest().is_empty());
}

#[test]
fn a_stop_ends_what_waits_before_what_is_in_flight_has_ended() {
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let backend = Upstream::start(std::sync::Arc::new(move |seen, stream| {
        use std::io::Write;
        if !seen.head.starts_with("GET /slow") {
            return stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").is_ok();
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
        let _ = gate.lock().expect("one asks").recv();
        stream.write_all(b"67890").is_ok()
    }));
    // All of these may take longer than anybody here waits.
    let (head, drain) = ("[ingress.limits]\nheader_read = \"5m\"", "[process]\ndrain_for = \"5m\"");
    let mut proxy = ingress_to(backend.address, &format!("{head}\n{drain}"));
    let client = || crate::support::raw::Client::to(proxy.ingress());
    let (mut new, mut asked, mut begun, mut slow) = (client(), client(), client(), client());
    assert_eq!(asked.get(), 200);
    begun.send(b"GET / HT");
    slow.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    slow.head().expect("in flight");
    proxy.signal("TERM");
    assert!(new.rest().is_empty(), "it has asked for nothing");
    assert!(asked.rest().is_empty(), "nor for more");
    begun.send(b"TP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(begun.response(false).expect("a slow head is waited for").status, 200);
    go.send(()).expect("the upstream waits");
    assert_eq!(slow.exactly(10).expect("whole"), b"1234567890");
    crate::support::eventually("it ends", || proxy.ended() == Some(0));
}
