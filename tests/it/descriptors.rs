//! Descriptors run out: the admin port and the store have theirs, and it is told once.

use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::proxy::{Proxy, proxy_by};
use crate::support::upstream::{Upstream, status};
use crate::support::{pace, within};

/// With so many descriptors, soft and hard.
fn limited(descriptors: u32, toml: &str) -> Proxy {
    let dir = tempfile::tempdir().expect("a directory");
    let script = format!("ulimit -n {descriptors} && exec \"$0\" run --config \"$1\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_strop")]).arg(dir.path().join("strop.toml"));
    command.env("STATE_DIRECTORY", dir.path());
    proxy_by(&mut command, dir, toml)
}

fn lines(proxy: &Proxy, what: &str) -> usize {
    proxy.log.lock().expect("not poisoned").iter().filter(|line| line.contains(what)).count()
}

#[test]
fn when_descriptors_run_out_the_admin_port_and_the_store_go_on_and_it_is_told_once() {
    let backend = Upstream::start(status(200));
    let proxy = limited(
        160,
        &format!(
            r#"
                [ingress]
                listen = "127.0.0.1:0"
                limits = {{ connections = 10000 }}
                [process]
                workers = 2
                [upstreams.backend]
                endpoints = ["{}"]
            "#,
            backend.address
        ),
    );
    assert_eq!(lines(&proxy, "\"kept\":40"), 1, "it says how many are kept");
    assert_eq!(proxy.get("/").status, 200);
    let flood: Vec<TcpStream> = (0..400).filter_map(|_| TcpStream::connect(proxy.ingress()).ok()).collect();
    assert!(flood.len() > 200, "the kernel keeps them: {}", flood.len());
    within(Duration::from_secs(10), "it is told", || lines(&proxy, "accept failed") > 0);
    let until = Instant::now() + Duration::from_secs(4);
    let mut orders = 0;
    while Instant::now() < until {
        assert_eq!(proxy.admin_get("/livez").status, 200);
        let made = proxy.post("test/incident", "{}");
        assert_eq!((made.status, made.json()["stored"].as_bool()), (200, Some(true)), "{}", made.text());
        orders += 1;
        pace(Duration::from_millis(100));
    }
    assert!(orders > 5, "{orders}");
    assert_eq!((lines(&proxy, "accept failed"), lines(&proxy, "accepted again")), (1, 0));
    drop(flood);
    within(Duration::from_secs(20), "connections are taken again", || {
        let mut one = crate::support::raw::Client::to(proxy.ingress());
        one.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        one.response(false).is_some_and(|answer| answer.status == 200)
    });
    within(Duration::from_secs(10), "that is told too", || lines(&proxy, "accepted again") == 1);
    let log = proxy.log.lock().expect("not poisoned");
    let told = log.iter().find(|line| line.contains("accepted again")).expect("told");
    let told: serde_json::Value = serde_json::from_str(told).expect("JSON");
    assert!(told["failures"].as_u64() > Some(3) && told["seconds"].as_f64() > Some(2.0), "{told}");
}
