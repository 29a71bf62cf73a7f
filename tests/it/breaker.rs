use crate::support::eventually;
use crate::support::proxy::ingress_to;
use crate::support::upstream::{Upstream, status};

const QUICK: &str = "breaker = { mode = \"on\", failures = 3, lump = \"0s\", open_for = \"300ms\", successes = 2, ramp = \"0s\" }\n";

#[test]
fn a_failing_backend_is_left_alone_then_tried_again() {
    let backend = Upstream::start(status(500));
    let proxy = ingress_to(backend.address, QUICK);
    for _ in 0..3 {
        assert_eq!(proxy.get("/").status, 500, "the backend's own answer passes");
    }
    let refused = proxy.get("/");
    assert_eq!((refused.status, refused.field("x-strop-reason")), (503, Some("breaker_open")));
    assert!(refused.field("retry-after").is_some());
    assert_eq!(backend.hits(), 3, "an open breaker sends nothing");
    assert_eq!(proxy.metric("circuit_breaker_state", "service=\"backend\""), 1.0);
    backend.answer(status(200));
    eventually("the probes close it", || {
        proxy.get("/").status == 200 && proxy.breaker("backend") == "closed"
    });
    assert_eq!(proxy.metric("circuit_breaker_recovery_time_count", "service=\"backend\""), 1.0);
}

#[test]
fn a_dead_backend_gives_clean_502s_and_503s_and_comes_back_without_a_restart() {
    let backend = Upstream::start(status(200));
    let address = backend.address;
    let proxy = ingress_to(address, QUICK);
    assert_eq!(proxy.get("/").status, 200);
    backend.kill();
    eventually("it is gone", || std::net::TcpStream::connect(address).is_err());
    let mut reasons = Vec::new();
    eventually("the breaker opens", || {
        let answer = proxy.get("/");
        assert!(matches!(answer.status, 502 | 503), "{answer:?}");
        assert_eq!(answer.field("content-type"), Some("application/problem+json"));
        reasons.push(answer.field("x-strop-reason").unwrap_or_default().to_owned());
        reasons.last().is_some_and(|reason| reason == "breaker_open")
    });
    assert!(reasons.iter().any(|reason| reason == "connect_failed"), "{reasons:?}");
    let _again = Upstream::on(address, status(200));
    eventually("it is served again", || proxy.get("/").status == 200 && proxy.breaker("backend") == "closed");
}

#[test]
fn an_operator_opens_and_closes_as_the_guide_says() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, QUICK);
    let opened = proxy.post("circuit-breakers/backend/open", r#"{"reason": "Maintenance window"}"#);
    assert_eq!(opened.status, 200, "{}", opened.text());
    let view = proxy.sre("circuit-breakers/backend");
    assert_eq!(
        (view["state"].as_str(), view["hold"]["reason"].as_str()),
        (Some("open"), Some("Maintenance window"))
    );
    assert_eq!(proxy.get("/").field("x-strop-reason"), Some("breaker_held"));
    assert_eq!(proxy.post("circuit-breakers/backend/close", r#"{"reason": "Service restored"}"#).status, 200);
    assert_eq!(proxy.breaker("backend"), "closed", "an order is no evidence: it was closed before");
    assert_eq!((proxy.get("/").status, proxy.get("/").status), (200, 200));
    let audit = proxy.sre("audit");
    let said = |at: usize| audit["mutations"][at]["reason"].as_str().unwrap_or_default().to_owned();
    assert_eq!((said(0), said(1)), ("Service restored".to_owned(), "Maintenance window".to_owned()));
}

#[test]
fn a_hold_ends_by_itself_or_by_release() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, QUICK);
    proxy.post("circuit-breakers/backend/open", r#"{"ttl": "200ms"}"#);
    eventually("the hold expires", || proxy.get("/").status == 200);
    proxy.post("circuit-breakers/backend/close", r#"{"force": true, "ttl": "1h"}"#);
    backend.answer(status(500));
    for _ in 0..6 {
        assert_eq!(proxy.get("/").status, 500, "held closed: nothing is refused");
    }
    proxy.post("circuit-breakers/backend/release", "");
    for _ in 0..3 {
        proxy.get("/");
    }
    assert_eq!(proxy.breaker("backend"), "open");
}

#[test]
fn a_wrong_name_or_body_says_what_to_write() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let unknown = proxy.post("circuit-breakers/bakend/open", "{}");
    assert_eq!(unknown.status, 404);
    assert!(unknown.text().contains("did you mean \\\"backend\\\""), "{}", unknown.text());
    let bad = proxy.post("circuit-breakers/backend/open", "{reason}");
    assert_eq!(bad.status, 400);
    assert!(bad.text().contains("send JSON"), "{}", bad.text());
    assert_eq!(proxy.post("circuit-breakers/backend/open", r#"{"ttl": "5"}"#).status, 400);
    assert_eq!(proxy.breaker("backend"), "closed");
}

#[test]
fn refusals_of_our_own_are_no_answer_times() {
    let backend = Upstream::start(status(500));
    let proxy = ingress_to(backend.address, "breaker = { mode = \"on\", failures = 2, open_for = \"1m\" }\n");
    for _ in 0..30 {
        proxy.get("/");
    }
    let window = || {
        let all = proxy.sre("performance")["series"].as_array().expect("a list").clone();
        let ingress = all.into_iter().find(|series| series["direction"] == "ingress");
        ingress.expect("it is there")["windows"][1].clone()
    };
    eventually("all are counted", || window()["total"]["count"] == 30);
    assert_eq!(window()["first_byte"]["count"], 2, "what the backend has answered");
}

#[test]
fn an_upstream_that_answers_as_slowly_as_ever_closes_its_breaker_after_an_outage() {
    let slow = || -> std::sync::Arc<crate::support::upstream::Answer> {
        let ok = status(200);
        std::sync::Arc::new(move |seen, stream| {
            std::thread::sleep(std::time::Duration::from_millis(250)); // the upstream's own slowness
            ok(seen, stream)
        })
    };
    let backend = Upstream::start(slow());
    let proxy = ingress_to(
        backend.address,
        "breaker = { mode = \"on\", failures = 25, open_for = \"500ms\", open_for_max = \"500ms\", ramp = \"0s\" }\n",
    );
    assert_eq!(proxy.get("/").status, 200);
    backend.answer(status(500));
    eventually("it opens", || {
        proxy.get("/");
        proxy.breaker("backend") == "open"
    });
    backend.answer(slow());
    eventually("it closes", || proxy.get("/").status == 200 && proxy.breaker("backend") == "closed");
}

#[test]
fn rate_limits_are_no_consecutive_failures() {
    let backend = Upstream::start(status(429));
    let proxy = ingress_to(backend.address, QUICK);
    for _ in 0..10 {
        assert_eq!(proxy.get("/").status, 429);
    }
    assert_eq!(proxy.breaker("backend"), "closed");
}

#[test]
fn a_backends_breaker_is_in_shadow_it_tells_and_refuses_nothing() {
    let backend = Upstream::start(status(500));
    let proxy = ingress_to(backend.address, "breaker = { failures = 3, open_for = \"1m\" }\n");
    for _ in 0..20 {
        assert_eq!(proxy.get("/").status, 500, "the backend's own answer passes");
    }
    let view = proxy.sre("circuit-breakers/backend");
    assert_eq!(
        (&view["state"], &view["mode"], &view["shadow_state"]),
        (&"closed".into(), &"shadow".into(), &"open".into())
    );
    assert_eq!(view["shadow_refused_total"], 17);
    assert_eq!(view["evidence"].as_array().map(Vec::len), Some(3));
    assert_eq!(view["evidence"][0]["why"], "status");
    assert_eq!(proxy.metric("circuit_breaker_state", "service=\"backend\""), 0.0);
    assert_eq!(proxy.metric("circuit_breaker_shadow_state", "service=\"backend\""), 1.0);
    proxy.post("circuit-breakers/backend/open", r#"{"reason": "by hand"}"#);
    assert_eq!(
        proxy.get("/").field("x-strop-reason"),
        Some("breaker_held"),
        "an operator's order refuses in every mode"
    );
}

#[test]
fn one_bad_route_closes_none_of_the_others() {
    let backend = Upstream::start(std::sync::Arc::new(|seen, stream| {
        status(if seen.path().starts_with("/bad") { 500 } else { 200 })(seen, stream)
    }));
    let routes = r#"
        [[routes]]
        name = "bad"
        prefix = "/bad"
        upstream = "backend"
        [[routes]]
        name = "rest"
        prefix = "/"
        upstream = "backend"
    "#;
    let proxy = ingress_to(backend.address, &format!("{QUICK}{routes}"));
    for n in 0..60 {
        assert_eq!(proxy.get("/good").status, 200);
        // Three bad ones in a row, over and over.
        let bad = (0..3).filter(|_| proxy.get("/bad").status == 500).count();
        assert_eq!(bad, 3, "round {n}: nothing was refused");
    }
    assert_eq!(proxy.breaker("backend"), "closed");
}

#[test]
fn what_is_ordered_of_a_breaker_is_a_line_of_its_upstreams_incident() {
    let backend = Upstream::start(status(500));
    let proxy = ingress_to(backend.address, QUICK);
    let mut id = String::new();
    eventually("its failures are an incident", || {
        proxy.get("/");
        let all = proxy.sre("incidents")["incidents"].as_array().cloned().unwrap_or_default();
        let found = all.iter().find(|one| one["service"] == "backend").and_then(|one| one["id"].as_str());
        found.inspect(|found| (*found).clone_into(&mut id)).is_some()
    });
    let order = r#"{"actor": "ann", "reason": "no use", "ttl": "10m"}"#;
    let held = proxy.post("circuit-breakers/backend/open", order).json();
    assert_eq!(held["note"], "held open for 10m", "{held:#}");
    let lines = || {
        let one = proxy.sre(&format!("incidents/{id}"));
        let lines = one["timeline"].as_array().cloned().unwrap_or_default();
        let ours = lines.into_iter().filter(|line| line["actor"] == "ann");
        ours.filter_map(|line| line["text"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    eventually("the order is a line of it", || !lines().is_empty());
    assert_eq!(lines(), ["the breaker of backend is held open for 10m: no use"]);
    // What changes nothing is no line.
    proxy.post("circuit-breakers/backend/release", r#"{"actor": "ann", "reason": "again"}"#);
    proxy.post("circuit-breakers/backend/release", r#"{"actor": "ann", "reason": "once more"}"#);
    eventually("the release is a line, too", || lines().len() > 1);
    assert_eq!(lines()[1..], ["the hold of the breaker of backend is over: again"]);
}
