//! `process.canary`: a reload that makes things worse is taken back by itself, and no other.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::support::proxy::{Proxy, proxy};
use crate::support::upstream::{Upstream, status};
use crate::support::{eventually, pace, within};

/// A backend that thinks for a moment; one in `bad` of its answers is an error (0: none).
fn backend(bad: usize) -> Upstream {
    let count = AtomicUsize::new(0);
    Upstream::start(Arc::new(move |_, stream| {
        pace(Duration::from_millis(10));
        let nth = count.fetch_add(1, Ordering::SeqCst);
        let code = if bad > 0 && nth.is_multiple_of(bad) { 500 } else { 200 };
        let head = format!("HTTP/1.1 {code} Told\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(head.as_bytes()).is_ok()
    }))
}

fn config(backend: &Upstream, first_byte: &str) -> String {
    format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{}"]
            breaker = {{ mode = "off" }}
            timeouts = {{ first_byte = "{first_byte}" }}
            [incidents]
            grace = "0s"
            off = ["service_down", "error_rate", "latency"]
            [process]
            canary = "2m"
        "#,
        backend.address
    )
}

fn ask(proxy: &Proxy, times: usize) -> usize {
    (0..times).filter(|_| proxy.get("/").status == 200).count()
}

fn in_force(proxy: &Proxy) -> (Value, Value) {
    let config = proxy.sre("config");
    let first_byte = config["effective"]["upstreams"]["backend"]["timeouts"]["first_byte"].clone();
    (first_byte, config["last_reload"]["cause"].clone())
}

fn taken_back(proxy: &Proxy) -> Option<Value> {
    let all = proxy.sre("incidents");
    let mut all = all["incidents"].as_array().into_iter().flatten();
    all.find(|one| one["title"].as_str().is_some_and(|title| title.contains("taken back"))).cloned()
}

#[test]
fn a_reload_that_makes_requests_fail_is_taken_back_and_comes_again_by_order_alone() {
    let backend = backend(0);
    let proxy = proxy(&config(&backend, "5s"));
    assert_eq!(ask(&proxy, 100), 100);
    let worse = config(&backend, "1ms");
    assert_eq!(proxy.reload(&worse).status, 200);
    within(Duration::from_secs(30), "it is taken back", || {
        ask(&proxy, 5);
        in_force(&proxy) == ("5s".into(), "canary".into())
    });
    assert_eq!(ask(&proxy, 20), 20, "it is as it was");
    let why = proxy.sre("config")["last_reload"]["reason"].as_str().expect("words").to_owned();
    assert!(why.contains("of exchanges fail"), "{why}");
    eventually("it is an incident", || taken_back(&proxy).is_some());
    // The file stays, and what it says does not come by itself: not even when it is written again as it is.
    let file = proxy.path();
    assert!(std::fs::read_to_string(&file).expect("reads").contains("1ms"));
    let text = std::fs::read(&file).expect("reads");
    std::fs::write(&file, text).expect("writes");
    pace(Duration::from_secs(2));
    assert_eq!(in_force(&proxy).0, "5s");
    // Somebody insists: the incident is open, so nobody takes it back.
    let order = r#"{"actor": "ann", "reason": "it is meant"}"#;
    assert_eq!(proxy.post("config/reload", order).status, 200);
    assert_eq!(in_force(&proxy), ("1ms".into(), "api".into()));
    ask(&proxy, 60);
    pace(Duration::from_secs(3));
    assert_eq!(in_force(&proxy), ("1ms".into(), "api".into()));
}

/// The ordinary day: some errors before, as many since.
#[test]
fn a_reload_under_errors_that_were_there_before_stays() {
    let backend = backend(4);
    let proxy = proxy(&config(&backend, "5s"));
    ask(&proxy, 120);
    assert_eq!(proxy.reload(&config(&backend, "4s")).status, 200);
    for _ in 0..4 {
        ask(&proxy, 50);
        assert_eq!(in_force(&proxy), ("4s".into(), "api".into()));
    }
    assert_eq!(taken_back(&proxy), None);
}

#[test]
fn while_something_is_the_matter_a_reload_is_not_watched() {
    let backend = Upstream::start(status(200));
    let ill = |first_byte: &str| {
        let text = config(&backend, first_byte);
        text.replace("\"service_down\", ", "")
            .replace("grace = \"0s\"", "grace = \"0s\"\nclear_after = \"10m\"")
            + "[incidents.down]\nconfirm = \"1s\"\n"
    };
    let proxy = proxy(&ill("5s"));
    assert_eq!(ask(&proxy, 60), 60);
    backend.answer(status(500));
    within(Duration::from_secs(30), "it is an incident", || {
        ask(&proxy, 5);
        let all = proxy.sre("incidents");
        all["incidents"].as_array().expect("a list").iter().any(|one| one["state"] == "open")
    });
    assert_eq!(proxy.reload(&ill("4s")).status, 200);
    ask(&proxy, 100);
    pace(Duration::from_secs(3));
    assert_eq!(in_force(&proxy), ("4s".into(), "api".into()));
    let told = proxy.log.lock().expect("not poisoned").iter().any(|line| line.contains("is not watched"));
    assert!(told, "and that is said");
}
