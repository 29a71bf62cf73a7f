//! Telling is never in the way of a request, nor of leaving.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::proxy::proxy;
use crate::support::raw::{Client, ask_http1, get};
use crate::support::upstream::{Upstream, status};
use crate::support::within;

/// Its standard error is a pipe of 64 KiB that nobody reads any more.
#[test]
fn a_log_that_nobody_reads_stops_neither_requests_nor_leaving() {
    let backend = Upstream::start(status(200));
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("strop.toml");
    let toml = format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [admin]
            listen = "127.0.0.1:0"
            [access_log]
            to = "off"
            [upstreams.backend]
            endpoints = ["{}"]
        "#,
        backend.address
    );
    std::fs::write(&file, toml).expect("writes");
    let mut child = Command::new(env!("CARGO_BIN_EXE_strop"))
        .args(["run", "--config"])
        .arg(&file)
        .env("STATE_DIRECTORY", dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut at: BTreeMap<String, SocketAddr> = BTreeMap::new();
    while at.len() < 2 {
        let mut line = String::new();
        assert!(stderr.read_line(&mut line).expect("reads") > 0, "it ended: {at:?}");
        let told: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        if let (Some(listener), Some(address)) = (told["listener"].as_str(), told["address"].as_str()) {
            at.insert(listener.to_owned(), address.parse().expect("an address"));
        }
    }
    let reason = "r".repeat(150);
    for nth in 0..400 {
        let order = ["open", "close"][nth % 2];
        let body = format!("{{\"actor\": \"ann\", \"reason\": \"{reason}\"}}");
        let text = format!(
            "POST /api/v2/sre/circuit-breakers/backend/{order} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(ask_http1(at["admin"], &text).status, 200, "order {nth}");
    }
    let asked = Instant::now();
    for _ in 0..50 {
        assert_eq!(get(at["ingress"], "/").status, 200);
    }
    assert!(asked.elapsed() < Duration::from_secs(20));
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(killed.expect("kill runs").success());
    let mut code = None;
    within(Duration::from_secs(20), "it leaves", || {
        code = child.try_wait().expect("waits");
        code.is_some()
    });
    assert_eq!(code.and_then(|code| code.code()), Some(0));
}

#[test]
fn a_warning_that_comes_two_hundred_times_is_written_twenty_times_and_counted() {
    let proxy = proxy(
        r#"
            [egress]
            listen = "127.0.0.1:0"
            unlisted = "report"
        "#,
    );
    let mut client = Client::to(proxy.egress());
    for nth in 0..200 {
        // Nobody has such a name, and nobody is asked for it.
        let host = format!("127.0.{}.{}", nth / 100, nth % 100 + 1);
        client.send(format!("GET http://{host}:1/ HTTP/1.1\r\nHost: {host}:1\r\n\r\n").as_bytes());
        assert!(client.response(false).expect("an answer").status >= 400);
    }
    let told =
        || proxy.log.lock().expect("not poisoned").iter().filter(|line| line.contains("not listed")).count();
    within(Duration::from_secs(10), "it is counted", || proxy.metric("log_lines_folded_total", "") >= 100.0);
    assert!((20..=80).contains(&told()), "{} lines", told());
}

#[test]
fn a_second_signal_ends_at_once_and_says_what_it_cut() {
    let backend = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let mut proxy = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{}"]
            [process]
            drain_for = "10m"
        "#,
        backend.local_addr().expect("bound")
    ));
    let mut client = Client::to(proxy.ingress());
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let _taken = backend.accept().expect("the request is on its way");
    proxy.signal("TERM");
    proxy.signal("TERM");
    within(Duration::from_secs(10), "it is leaving", || {
        proxy.log.lock().expect("not poisoned").iter().any(|line| line.contains("draining"))
    });
    // The same wish again, within a second, is no other one.
    let cut = |proxy: &crate::support::proxy::Proxy| {
        proxy.log.lock().expect("not poisoned").iter().any(|line| line.contains("asked to stop again"))
    };
    assert!(!cut(&proxy));
    within(Duration::from_secs(10), "it is cut short", || {
        proxy.signal("TERM");
        cut(&proxy)
    });
    assert_eq!(proxy.stop(), Some(3), "left late");
    let log = proxy.log.lock().expect("not poisoned").join("\n");
    assert!(log.contains("asked to stop again") && log.contains("\"connections\":1"), "{log}");
}
