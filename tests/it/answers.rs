//! What is answered is true: figures after a restart, ages, the status, and questions that cannot be answered.

use std::time::{Duration, Instant};

use crate::support::proxy::{Proxy, ingress_to, proxy, proxy_in};
use crate::support::upstream::{Upstream, status};
use crate::support::{eventually, pace};

/// An incident that counts in the figures, opened and resolved.
fn resolved(proxy: &Proxy) -> String {
    let made = proxy.post("test/incident", r#"{"title": "web is slow", "service": "web"}"#);
    let id = made.json()["incident"]["id"].as_str().expect("an id").to_owned();
    let ended = proxy.post(&format!("incidents/{id}/resolve"), "");
    assert_eq!((ended.status, ended.json()["stored"].as_bool()), (200, Some(true)), "{}", ended.text());
    id
}

fn gauge(proxy: &Proxy, name: &str) -> Option<f64> {
    let text = proxy.admin_get("/metrics").text();
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn the_figures_of_a_day_and_the_replies_of_three_survive_a_restart_with_how_much_is_known() {
    let backend = Upstream::start(status(200));
    let toml = format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{}"]
        "#,
        backend.address
    );
    let mut first = proxy_in(tempfile::tempdir().expect("a directory"), &toml);
    resolved(&first);
    (0..20).for_each(|_| drop(first.get("/")));
    let good = |proxy: &Proxy, window: usize| proxy.sre("slo")["windows"][window]["good"].as_u64();
    eventually("all is counted", || {
        gauge(&first, "sre_incidents_24h") == Some(1.0) && good(&first, 4) == Some(20)
    });
    let mttr = gauge(&first, "sre_mttr_current_minutes");
    assert!(mttr.is_some());
    assert_eq!(first.stop(), Some(0));
    let second = proxy_in(first.leave_behind(), &toml);
    eventually("an incident of before counts", || gauge(&second, "sre_incidents_24h") == Some(1.0));
    assert_eq!(gauge(&second, "sre_mttr_current_minutes"), mttr);
    eventually("replies of before count", || good(&second, 4) == Some(20) && good(&second, 2) == Some(20));
    drop(second.get("/"));
    eventually("those of this start are added, once", || good(&second, 4) == Some(21));
    resolved(&second);
    eventually("and so are incidents", || gauge(&second, "sre_incidents_24h") == Some(2.0));
    let slo = second.sre("slo");
    let coverage = slo["windows"][4]["coverage"].as_f64().expect("a share");
    assert!(coverage > 0.0 && coverage < 0.01, "a minute of three days: {slo:#}");
    assert_eq!((&slo["window"], slo["coverage"].as_f64()), (&"3d".into(), Some(coverage)));
    let known = gauge(&second, "sre_incidents_24h_coverage_ratio").expect("told");
    assert!(known > 0.0 && known < 0.01, "{known}");
}

#[test]
fn every_answer_says_how_it_is_and_why_then_when_by_whom_and_of_what_it_was_observed() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let id = resolved(&proxy);
    proxy.get("/");
    let one = format!("incidents/{id}");
    let paths = [
        ("health/comprehensive", None),
        ("circuit-breakers", None),
        ("circuit-breakers/backend", None),
        ("performance", Some("1h")),
        ("upstreams", None),
        ("upstreams/backend", None),
        ("metrics", None),
        ("config", None),
        ("audit", None),
        ("incidents", None),
        (one.as_str(), None),
        ("silences", None),
        ("alerts", None),
        ("uptime", Some("30d")),
        ("slo", Some("3d")),
    ];
    eventually("it is seen to be well", || proxy.sre("health/comprehensive")["status"] == "healthy");
    for (path, window) in paths {
        let text = proxy.admin_get(&format!("/api/v2/sre/{path}")).text();
        let places: Vec<Option<usize>> =
            ["status", "reason", "observed_at", "age_seconds", "source", "instance", "window", "coverage"]
                .iter()
                .map(|key| text.find(&format!("\"{key}\":")))
                .collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{path}: {places:?}");
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert!(text.starts_with("{\"status\":\"healthy\",\"reason\":\""), "{path}: {text}");
        assert_eq!(json["window"].as_str(), window, "{path}");
        assert_eq!(json["coverage"].is_number(), window.is_some(), "{path}");
        assert!(
            ["observed", "probed", "inferred", "reported"]
                .contains(&json["source"].as_str().expect("a word"))
        );
        let age = json["age_seconds"].as_f64().expect("measured");
        assert!((0.0..5.0).contains(&age), "{path}: {age}");
        assert!(!json["instance"].as_str().expect("a name").is_empty());
    }
}

#[test]
fn an_age_is_measured_from_when_it_was_observed() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    eventually("it has looked", || proxy.sre("uptime")["subjects"][0]["name"] == "service");
    for path in ["uptime", "performance", "incidents"] {
        let mut ages = Vec::new();
        let mut moments = std::collections::BTreeSet::new();
        let began = Instant::now();
        eventually("three looks have been made", || {
            let json = proxy.sre(path);
            ages.push(json["age_seconds"].as_f64().expect("measured"));
            moments.insert(json["observed_at"].as_str().expect("a moment").to_owned());
            pace(Duration::from_millis(40));
            moments.len() > 3 || began.elapsed() > Duration::from_secs(15)
        });
        assert!(moments.len() > 3, "{path}: {moments:?}");
        let (least, most) =
            ages.iter().fold((f64::MAX, 0.0_f64), |(low, high), age| (low.min(*age), high.max(*age)));
        assert!(least < 0.5 && most > 0.5 && most < 5.0, "{path}: it grows between looks: {ages:?}");
    }
}

#[test]
fn a_status_is_the_worst_that_is_known_and_says_what() {
    let backend = Upstream::start(status(200));
    let proxy = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            claim_sre_api = true
            [egress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{}"]
            health = {{ interval = "100ms" }}
            [upstreams.stripe]
            hosts = ["api.stripe.com"]
            endpoints = ["127.0.0.1:1"]
            allow_addresses = ["127.0.0.1"]
        "#,
        backend.address
    ));
    let health = || proxy.sre("health/comprehensive");
    eventually("checks pass", || health()["status"] == "healthy");
    let names: Vec<String> = health()["dependencies"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["name"].as_str().expect("a name").to_owned())
        .collect();
    assert_eq!(names, ["backend", "stripe"], "the sidecar's own admin port is no dependency");
    assert_eq!(proxy.admin_get("/api/v2/sre/circuit-breakers/strop-admin").status, 404);
    // The first failure of what is dead is no recovery.
    let asked = crate::support::raw::ask(
        proxy.egress(),
        "GET http://api.stripe.com/v1/charges HTTP/1.1\r\nHost: api.stripe.com\r\nConnection: close\r\n\r\n",
    );
    assert!(asked.status >= 500, "{}", asked.status);
    eventually("it is degraded", || health()["status"] == "degraded");
    let told = health();
    assert!(told["reason"].as_str().expect("why").contains("stripe"), "{told:#}");
    assert_ne!(told["dependencies"][1]["status"], "recovering");
    let drill = proxy.post("test/incident", r#"{"severity": "critical"}"#);
    assert_eq!(drill.json()["status"], "healthy", "a drill says nothing of the service");
    let made =
        proxy.post("test/incident", r#"{"severity": "critical", "service": "web", "title": "web is down"}"#);
    assert_eq!(made.json()["status"], "unhealthy");
    eventually("a critical incident is no health", || health()["status"] == "unhealthy");
    assert!(health()["reason"].as_str().expect("why").contains("web is down"));
    let id = made.json()["incident"]["id"].as_str().expect("an id").to_owned();
    assert_eq!(proxy.post(&format!("incidents/{id}/resolve"), "").status, 200);
    eventually("it is over", || health()["status"] == "degraded");
}

#[test]
fn a_refused_config_is_no_health_until_it_is_mended() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    proxy.get("/");
    let health = || proxy.sre("health/comprehensive");
    eventually("it is well", || health()["status"] == "healthy");
    let good = std::fs::read_to_string(proxy.path()).expect("reads");
    let refused = proxy.reload(&format!(
        r#"
            {good}
            [upstreams.backend.breaker]
            open_for = "never"
        "#
    ));
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert_eq!(refused.json()["code"], "config_refused");
    assert_eq!(health()["status"], "degraded");
    assert!(health()["reason"].as_str().expect("why").contains("upstreams.backend.breaker.open_for"));
    assert_eq!(proxy.reload(&good).status, 200);
    eventually("it is well again", || health()["status"] == "healthy");
}

#[test]
fn a_question_that_cannot_be_answered_is_told_what_to_ask() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    for (path, told) in [
        ("incidents?state=bogus", "suspected, open, acknowledged"),
        ("incidents?state=opn", "did you mean \"open\""),
        ("incidents?severity=none", "low, medium, high, critical"),
        ("incidents?limit=-1", "write 1 to 500"),
        ("incidents?limit=0", "write 1 to 500"),
        ("incidents?limit=501", "write 1 to 500"),
        ("incidents?all=1&cursor=", "is no cursor"),
        ("incidents?cursor=", "is no cursor"),
        ("incidents?all=1&cursor=17", "is no cursor"),
        ("incidents?all=perhaps", "write 1 or 0"),
        ("incidents?sevrity=high", "did you mean \"severity\""),
        ("audit?limit=x", "write 1 to 500"),
        ("audit?cursor=", "is no cursor"),
        ("silences?al=1", "did you mean \"all\""),
        ("health/comprehensive?verbose=1", "known here: format"),
        ("latency.hlog?window=1h", "there are none here"),
        ("uptime?window=24", "write 24h, 7d, 30d"),
        ("reports/sla?month=2026-10&format=pdf", "json"),
    ] {
        let answer = proxy.admin_get(&format!("/api/v2/sre/{path}"));
        let error = answer.json();
        assert_eq!((answer.status, &error["code"]), (400, &"bad_query".into()), "{path}: {}", answer.text());
        let detail = error["detail"].as_str().expect("a text");
        assert!(detail.contains(told), "{path}: {detail}");
    }
    for path in ["/healthz?x=1", "/readyz?x=1", "/livez?x=1", "/metrics?name=up"] {
        assert_eq!(proxy.admin_get(path).status, 200, "{path}: a probe cannot choose its query");
    }
    assert_eq!(proxy.post("circuit-breakers/backend/open?tll=10m", "{}").status, 400);
    assert_eq!(proxy.breaker("backend"), "closed");
}

#[test]
fn a_silence_of_what_is_not_there_is_refused_unless_somebody_insists() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(
        backend.address,
        r#"
            [upstreams.stripe]
            endpoints = ["127.0.0.1:1"]
        "#,
    );
    let order = |more: &str| {
        proxy.post("silences", &format!(r#"{{"service": "strype", "for": "2h", "reason": "x"{more}}}"#))
    };
    let refused = order("");
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (400, &"unknown_service".into()),
        "{}",
        refused.text()
    );
    assert!(refused.text().contains("did you mean \\\"stripe\\\""), "{}", refused.text());
    let listed = proxy.post(
        "silences",
        r#"{"matchers": [{"label": "service", "is": "!=", "value": "bakend"}], "for": "2h", "reason": "x"}"#,
    );
    assert!(listed.text().contains("did you mean \\\"backend\\\""), "{}", listed.text());
    assert_eq!(order(r#", "force": true"#).status, 200);
    for known in ["stripe", "backend", "service", "network", "store", "cpu", "test"] {
        let order = format!(r#"{{"service": "{known}", "for": "2h", "reason": "x"}}"#);
        assert_eq!(proxy.post("silences", &order).status, 200, "{known}");
    }
}

#[test]
fn there_is_one_error_body_on_both_ports() {
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
    let ask = |at: std::net::SocketAddr, what: &str| {
        crate::support::raw::ask_http1(
            at,
            &format!("{what} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
        )
    };
    let refused = r#"
        [upstreams.backend.breaker]
        failures = 0
    "#;
    let asked = [
        (ask(proxy.admin(), "GET /nothing"), 404),
        (ask(proxy.admin(), "GET /api/v2/sre/circuit-breakers/none"), 404),
        (ask(proxy.admin(), "GET /api/v2/sre/circuit-breakers/%ff"), 400),
        (ask(proxy.admin(), "GET /api/v2/sre/circuit-breakers/backend/open"), 405),
        (ask(proxy.admin(), "GET /api/v2/sre/incidents?limit=x"), 400),
        (ask(proxy.ingress(), "GET /api/v2/sre/incidents?limit=x"), 400),
        (ask(proxy.ingress(), "GET"), 400),
        (proxy.post("test/incident", "{"), 400),
        (proxy.post("config/reload", &format!("{{\"actor\": \"{}\"}}", "x".repeat(201))), 413),
        (proxy.reload(refused), 422),
    ];
    for (answer, status) in &asked {
        assert_eq!(answer.status, *status, "{}", answer.text());
        assert_eq!(answer.field("content-type"), Some("application/problem+json"), "{}", answer.head);
        let error = answer.json();
        assert_eq!(
            (&error["type"], &error["status"]),
            (&"about:blank".into(), &(*status).into()),
            "{error:#}"
        );
        for key in ["title", "detail", "code"] {
            assert!(error[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {error:#}");
        }
    }
}
