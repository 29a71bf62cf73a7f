use std::sync::Arc;

use crate::support::eventually;
use crate::support::proxy::{Proxy, ingress_to};
use crate::support::upstream::{Answer, Upstream, status};

fn breaker(operations: &str) -> String {
    format!(
        "breaker = {{ mode = \"on\", failures = 3, lump = \"0s\", open_for = \"300ms\", successes = 2, ramp = \"0s\", \
         operations = {{ {operations} }} }}\n"
    )
}

/// Bookings fail, all else is well.
fn bookings_fail() -> Arc<Answer> {
    Arc::new(|seen, stream| {
        status(if seen.path().starts_with("/bookings/") { 500 } else { 200 })(seen, stream)
    })
}

fn state(proxy: &Proxy, name: &str) -> f64 {
    proxy.metric("circuit_breaker_state", &format!("service=\"{name}\""))
}

#[test]
fn an_operation_that_fails_alone_opens_alone() {
    let backend = Upstream::start(bookings_fail());
    let proxy = ingress_to(backend.address, &breaker("bookings = \"/bookings/{id}\", notes = \"/notes\""));
    for id in 0..3 {
        assert_eq!(proxy.get("/").status, 200);
        assert_eq!(proxy.get(&format!("/bookings/{id}?x=1")).status, 500, "the backend's own answer passes");
    }
    let sent = backend.hits();
    let refused = proxy.get("/bookings/9");
    assert_eq!((refused.status, refused.field("x-strop-reason")), (503, Some("breaker_open")));
    assert_eq!(backend.hits(), sent, "an open breaker sends nothing");
    assert!((0..20).all(|_| proxy.get("/").status == 200 && proxy.get("/notes").status == 200));
    assert_eq!((state(&proxy, "backend.bookings"), state(&proxy, "backend")), (1.0, 0.0));
    assert_eq!(proxy.metric("circuit_breaker_failures", "service=\"backend.bookings\""), 3.0);
    assert_eq!(proxy.metric("breaker_refused_total", "upstream=\"backend.bookings\",reason=\"open\""), 1.0);
    let all = proxy.sre("circuit-breakers");
    let named = all["circuit_breakers"].as_array().expect("a list").iter().map(|one| one["name"].as_str());
    let named: Vec<_> = named.flatten().filter(|name| name.starts_with("backend")).collect();
    assert_eq!(named, ["backend", "backend.bookings", "backend.notes"]);
    let evidence = proxy.sre("circuit-breakers/backend.bookings")["evidence"].clone();
    assert_eq!(evidence.as_array().map(Vec::len), Some(3), "{evidence}");
    backend.answer(status(200));
    eventually("its probes close it", || {
        proxy.get("/bookings/1").status == 200 && proxy.breaker("backend.bookings") == "closed"
    });
    assert_eq!(proxy.metric("breaker_transitions_total", "upstream=\"backend\",to=\"open\""), 0.0);
}

#[test]
fn that_nobody_can_connect_opens_the_upstream_and_no_operation() {
    let backend = Upstream::start(status(200));
    let address = backend.address;
    let proxy = ingress_to(address, &breaker("bookings = \"/bookings/{id}\""));
    backend.kill();
    eventually("it is gone", || std::net::TcpStream::connect(address).is_err());
    eventually("the upstream's breaker opens", || {
        proxy.get("/bookings/1").field("x-strop-reason") == Some("breaker_open")
    });
    assert_eq!(proxy.sre("circuit-breakers/backend.bookings")["consecutive_failures"], 0);
    assert_eq!(proxy.breaker("backend.bookings"), "closed");
}

#[test]
fn orders_and_reloads_reach_an_operation() {
    let backend = Upstream::start(status(200));
    let toml = |more: &str| {
        format!(
            "[ingress]\nlisten = \"127.0.0.1:0\"\n[upstreams.backend]\nendpoints = [\"{}\"]\n{}{more}",
            backend.address,
            breaker("bookings = \"/bookings/{id}\"")
        )
    };
    let proxy = crate::support::proxy::proxy(&toml(""));
    let opened = proxy.post("circuit-breakers/backend.bookings/open", r#"{"reason": "double bookings"}"#);
    assert_eq!(opened.status, 200, "{}", opened.text());
    assert_eq!(opened.json()["circuit_breaker"]["name"], "backend.bookings");
    assert_eq!(proxy.get("/bookings/1").field("x-strop-reason"), Some("breaker_held"));
    assert_eq!(proxy.get("/bookings").status, 200);
    assert_eq!(proxy.reload(&toml("retry = { attempts = 3 }\n")).status, 200);
    assert_eq!(proxy.get("/bookings/1").field("x-strop-reason"), Some("breaker_held"), "the hold stays");
    let unknown = proxy.admin_get("/api/v2/sre/circuit-breakers/backend.booking");
    assert_eq!(unknown.status, 404);
    assert!(unknown.text().contains("did you mean \\\"backend.bookings\\\"?"), "{}", unknown.text());
    assert_eq!(proxy.post("circuit-breakers/backend.bookings/release", "{}").status, 200);
    assert_eq!(proxy.get("/bookings/1").status, 200);
    let without = toml("").replace("bookings = \"/bookings/{id}\"", "");
    assert_eq!(proxy.reload(&without).status, 200);
    assert!(!proxy.admin_get("/metrics").text().contains("backend.bookings"), "what is gone is not exported");
}
