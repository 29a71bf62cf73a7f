//! Somebody outside notices when nobody watches any more.

use crate::support::proxy::proxy;
use crate::support::upstream::{Upstream, status};
use crate::support::{PATIENCE, eventually, within};

const KEY: &str = "0123456789abcdef";

#[test]
fn a_heartbeat_comes_while_people_can_be_told_and_ceases_when_nobody_can() {
    let (waits, hook, backend) =
        (Upstream::start(status(200)), Upstream::start(status(200)), Upstream::start(status(200)));
    let dir = tempfile::tempdir().expect("a directory");
    let (key, url) = (dir.path().join("key"), dir.path().join("url"));
    std::fs::write(&key, KEY).expect("writes");
    std::fs::write(&url, format!("http://{}/ping/the-secret", waits.address)).expect("writes");
    let common = format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{}"]
            [notify.hook]
            kind = "webhook"
            url = "http://{}/"
            secret_file = {key:?}
        "#,
        backend.address, hook.address
    );
    let proxy = proxy(&common);
    assert!(proxy.sre("health/comprehensive")["heartbeat"].is_null(), "nobody asked for one");
    let toml = format!("{common}[heartbeat]\nurl_file = {url:?}\nevery = \"1s\"\n");
    let answer = proxy.reload(&toml).json();
    assert!(answer["needs_restart"].as_array().expect("a list").is_empty(), "{answer}");
    eventually("it comes again and again", || waits.hits() >= 3);
    let seen = waits.seen().remove(0);
    assert!(seen.head.starts_with("GET /ping/the-secret HTTP/1.1\r\n"), "{}", seen.head);
    let shown = proxy.sre("health/comprehensive")["heartbeat"].clone();
    assert_eq!((&shown["every_seconds"], &shown["last_outcome"]), (&1.into(), &"called".into()), "{shown}");
    assert!(proxy.metric("strop_heartbeat_last_success_timestamp_seconds", "") > 1_700_000_000.0);
    hook.answer(status(503));
    proxy.post("test/incident", r#"{"title": "Checkout fails", "severity": "critical"}"#);
    let withheld = || proxy.metric("strop_heartbeats_total", "outcome=\"nobody_reached\"");
    eventually("the only channel fails, so it is withheld", || withheld() >= 2.0);
    let (before, turns) = (waits.hits(), withheld());
    eventually("turns pass", || withheld() >= turns + 2.0);
    assert_eq!(waits.hits(), before, "no call while nobody can be told");
    hook.answer(status(200));
    within(PATIENCE * 3, "it comes again when somebody can be told", || waits.hits() > before);
    let log = || proxy.log.lock().expect("not poisoned").join("\n");
    eventually("it is told, once each way", || {
        log().contains("no heartbeat") && log().contains("the heartbeat is heard")
    });
    let log = log();
    assert!(!log.contains("the-secret"), "{log}");
}

#[test]
fn a_heartbeat_that_nobody_hears_is_told_and_costs_nothing_else() {
    let (waits, backend) = (Upstream::start(status(404)), Upstream::start(status(200)));
    let proxy = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{}"]
            [heartbeat]
            url = "http://{}/gone"
            every = "1s"
        "#,
        backend.address, waits.address
    ));
    eventually("it is refused", || proxy.metric("strop_heartbeats_total", "outcome=\"refused\"") >= 2.0);
    let shown = proxy.sre("health/comprehensive")["heartbeat"].clone();
    assert!(shown["last_heard_at"].is_null(), "never heard: {shown}");
    assert_eq!(proxy.get("/").status, 200);
    let told =
        proxy.log.lock().expect("not poisoned").iter().filter(|line| line.contains("no heartbeat")).count();
    assert_eq!(told, 1, "once, not each time");
}
