//! The guide's own lines, as they stand in it, against both ports.
//!
//! A line is changed in two places alone: `localhost:8000`, which is where the guide's application listens, becomes the address
//! of the port in question, and `docker-compose logs backend` becomes the log of the process. Lines of parts that are not built
//! yet (the dashboard, recovery plans) are not here.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use crate::support::eventually;
use crate::support::proxy::{Proxy, proxy_in};
use crate::support::tools::tool;
use crate::support::upstream::{Upstream, status};

/// "Verify SRE System", "Debug Commands".
const READ: [&str; 6] = [
    "curl http://localhost:8000/api/v2/sre/health/comprehensive",
    "curl http://localhost:8000/api/v2/sre/incidents",
    "curl http://localhost:8000/api/v2/sre/health/comprehensive | jq .",
    "curl http://localhost:8000/api/v2/sre/incidents | jq .",
    "curl http://localhost:8000/api/v2/sre/circuit-breakers | jq .",
    "curl http://localhost:8000/api/v2/sre/performance | jq .",
];

/// "Health Check Endpoints".
const PATHS: [&str; 5] =
    ["/sre/health/comprehensive", "/sre/uptime", "/sre/incidents", "/sre/circuit-breakers", "/sre/metrics"];

/// "Manual Circuit Breaker Control".
const OPEN: &str = r#"curl -X POST http://localhost:8000/api/v2/sre/circuit-breakers/stripe/open \
  -d '{"reason": "Maintenance window"}'"#;
const CLOSE: &str = r#"curl -X POST http://localhost:8000/api/v2/sre/circuit-breakers/stripe/close \
  -d '{"reason": "Service restored"}'"#;

/// "Manual Incident Management".
const CREATE: &str = r#"curl -X POST http://localhost:8000/api/v2/sre/test/incident \
  -d '{"title": "Test incident", "severity": "low"}'"#;
const RESOLVE: &str = "curl -X POST http://localhost:8000/api/v2/sre/incidents/{incident_id}/resolve";

/// "Log Analysis".
const SRE_LOGS: &str = r#"docker-compose logs backend | grep "SRE\|Circuit\|Recovery""#;
const SLOW_LOGS: &str = r#"docker-compose logs backend | grep "slow_request\|high_latency""#;

struct Pod {
    proxy: Proxy,
    backend: Upstream,
    stripe: Upstream,
    access: std::path::PathBuf,
}

fn pod(more: &str) -> Pod {
    let (backend, stripe) = (Upstream::start(status(200)), Upstream::start(status(200)));
    let dir = tempfile::tempdir().expect("a directory");
    let access = dir.path().join("access.log");
    let toml = format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            claim_sre_api = true
            [upstreams.backend]
            endpoints = ["{}"]
            [upstreams.stripe]
            endpoints = ["{}"]
            allow_addresses = ["127.0.0.0/8"]
            local = "127.0.0.1:0"
            [access_log]
            to = "file:{}"
            {more}
        "#,
        backend.address,
        stripe.address,
        access.display()
    );
    Pod { proxy: proxy_in(dir, &toml), backend, stripe, access }
}

/// A line of the guide, given to a shell.
fn sh(line: &str) -> (bool, String) {
    let ran = tool("sh").args(["-c", line]).output().expect("a shell");
    (ran.status.success(), String::from_utf8_lossy(&ran.stdout).into_owned())
}

impl Pod {
    /// A line of the guide at each of both ports.
    fn both(&self, line: &str) -> [serde_json::Value; 2] {
        [self.proxy.ingress(), self.proxy.admin()].map(|address| {
            let (ran, said) = sh(&line.replace("localhost:8000", &address.to_string()));
            assert!(ran, "{line} at {address}: {said}");
            serde_json::from_str(&said).unwrap_or_else(|error| panic!("{line} at {address}: {error}: {said}"))
        })
    }

    /// What `docker-compose logs` would show: both streams of the process.
    fn logs(&self, line: &str) -> String {
        let log = self.access.with_file_name("stderr.log");
        std::fs::write(&log, self.proxy.log.lock().expect("not poisoned").join("\n") + "\n").expect("writes");
        let both = format!("cat {} {}", log.display(), self.access.display());
        sh(&line.replace("docker-compose logs backend", &both)).1
    }
}

#[test]
fn the_guides_curls_read_what_there_is_at_both_ports() {
    let pod = pod("");
    assert_eq!(pod.proxy.get("/").status, 200);
    for line in READ {
        for answer in pod.both(line) {
            assert!(answer["observed_at"].is_string(), "{line}: {answer}");
        }
    }
    for path in PATHS {
        for answer in pod.both(&format!("curl http://localhost:8000/api/v2{path}")) {
            assert!(answer["observed_at"].is_string(), "{path}: {answer}");
        }
        // Without the prefix it is the admin port's: on the traffic port it may be the application's.
        assert_eq!(pod.proxy.admin_get(path).status, 200, "{path}");
    }
    let before = pod.backend.hits();
    assert_eq!(pod.proxy.get("/sre/uptime").status, 200);
    assert_eq!(pod.backend.hits(), before + 1, "the application answers its own path");
}

#[test]
fn the_guides_curls_open_and_close_a_breaker_at_both_ports() {
    let pod = pod("");
    for port in ["ingress", "admin"] {
        let at = |line: &str| {
            let (ran, said) = sh(&line.replace("localhost:8000", &pod.proxy.at(port).to_string()));
            assert!(ran, "{line} at {port}: {said}");
        };
        at(OPEN);
        assert_eq!(pod.proxy.breaker("stripe"), "open", "{port}");
        at(CLOSE);
        assert_ne!(pod.proxy.breaker("stripe"), "open", "{port}");
    }
    assert_eq!(pod.stripe.hits(), 0, "nobody asked it for anything");
}

#[test]
fn the_guides_curls_create_and_resolve_an_incident_at_both_ports() {
    let pod = pod("");
    for port in ["ingress", "admin"] {
        let address = pod.proxy.at(port).to_string();
        let (ran, said) = sh(&CREATE.replace("localhost:8000", &address));
        assert!(ran, "{port}: {said}");
        let made: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        let id = made["incident"]["id"].as_str().unwrap_or_else(|| panic!("{port}: {made}")).to_owned();
        let (ran, said) = sh(&RESOLVE.replace("localhost:8000", &address).replace("{incident_id}", &id));
        assert!(ran, "{port}: {said}");
        assert_eq!(pod.proxy.sre(&format!("incidents/{id}"))["state"], "resolved", "{port}: {said}");
    }
}

#[test]
fn the_guides_greps_find_breakers_incidents_and_recovery() {
    let pod = pod(r#"
        [incidents]
        grace = "0s"
    "#);
    assert_eq!(pod.logs(SRE_LOGS).lines().filter(|line| line.contains("incident moved")).count(), 0);
    pod.stripe.answer(status(500));
    let local = pod.proxy.at("local:stripe");
    let call = || drop(Command::new("curl").args(["-s", &format!("http://{local}/v1/charges")]).output());
    let found = |text: &str, component: &str| {
        let wanted = format!("\"component\":\"{component}\"");
        pod.logs(SRE_LOGS).lines().any(|line| line.contains(text) && line.contains(&wanted))
    };
    eventually("the breaker is found as Circuit", || {
        call();
        found("breaker moved", "Circuit")
    });
    eventually("the incident is found as SRE", || found("incident moved", "SRE"));
    let made = sh(&CREATE.replace("localhost:8000", &pod.proxy.admin().to_string())).1;
    let made: serde_json::Value = serde_json::from_str(&made).expect("JSON");
    let id = made["incident"]["id"].as_str().expect("an id");
    sh(&RESOLVE.replace("localhost:8000", &pod.proxy.admin().to_string()).replace("{incident_id}", id));
    eventually("what is over is found as Recovery", || found("\"to\":\"resolved\"", "Recovery"));
    assert!(pod.logs(SRE_LOGS).lines().any(|line| line.contains("strop.db")), "where it is kept");
}

#[test]
fn the_guides_greps_find_slow_requests_and_slow_routes() {
    let pod = pod(r#"
        [latency]
        slow = "50ms"
        [[routes]]
        name = "search"
        prefix = "/search"
        latency = { p50 = { warn = "10ms", alert = "20ms" } }
    "#);
    for _ in 0..5 {
        assert_eq!(pod.proxy.get("/").status, 200);
    }
    // On a busy machine one of them may have been slow indeed.
    for line in pod.logs(SLOW_LOGS).lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert!(line["total_ms"].as_f64() >= Some(50.0), "what is fast is not found: {line}");
    }
    pod.backend.answer(Arc::new(|_, stream| {
        std::thread::sleep(Duration::from_millis(80)); // the upstream's own slowness
        std::io::Write::write_all(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_ok()
    }));
    for _ in 0..20 {
        assert_eq!(pod.proxy.get("/search").status, 200);
    }
    let found = |words: [&str; 2]| {
        pod.logs(SLOW_LOGS).lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
    };
    eventually("each slow request has its line", || found(["slow_request", "/search"]) == 20);
    eventually("the incident of the route is found", || {
        pod.proxy.get("/search");
        found(["high_latency", ""]) > 0
    });
}
