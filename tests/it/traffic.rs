use std::time::Duration;

use serde_json::Value;

use crate::support::proxy::{Proxy, proxy};
use crate::support::upstream::{Upstream, status};
use crate::support::within;

/// A step is ten seconds.
const PATIENCE: Duration = Duration::from_secs(60);

fn with_two(good: &Upstream, bad: &Upstream) -> Proxy {
    proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            upstream = "backend"
            [[routes]]
            name = "broken"
            prefix = "/broken"
            upstream = "other"
            latency = {{ until = "off" }}
            [upstreams.backend]
            endpoints = ["{}"]
            [upstreams.other]
            endpoints = ["{}"]
            breaker = {{ mode = "off" }}
        "#,
        good.address, bad.address
    ))
}

fn sum(traffic: &Value, of: impl Fn(&Value) -> Option<u64>) -> u64 {
    traffic["steps"].as_array().expect("steps").iter().filter_map(of).sum()
}

fn count(traffic: &Value) -> u64 {
    sum(traffic, |step| step["count"].as_u64())
}

#[test]
fn the_last_hour_is_told_step_by_step_and_what_was_not_observed_is_null() {
    let (good, bad) = (Upstream::start(status(200)), Upstream::start(status(500)));
    let proxy = with_two(&good, &bad);
    let young = proxy.sre("traffic");
    assert_eq!((count(&young), &young["known_since"]), (0, &young["observed_at"]), "{young:#}");
    (0..12).for_each(|_| drop(proxy.get("/")));
    (0..5).for_each(|_| drop(proxy.get("/broken/x")));
    within(PATIENCE, "a step is closed", || count(&proxy.sre("traffic")) == 17);
    let all = proxy.sre("traffic?window=5m&step=30s");
    let steps = all["steps"].as_array().expect("steps");
    assert_eq!((steps.len(), count(&all), &all["step_seconds"]), (10, 17, &30.into()));
    assert_eq!((&all["direction"], &all["window"]), (&"ingress".into(), &"5m".into()));
    assert_eq!(sum(&all, |step| step["outcomes"]["server_error"].as_u64()), 5);
    let heat = |step: &Value| step["heat"].as_array().map(|row| row.iter().filter_map(Value::as_u64).sum());
    assert_eq!(sum(&all, heat), 17, "each exchange lies in a row");
    assert!(steps[0]["seconds"].is_null() && steps[0]["count"].is_null() && steps[0]["p50_ms"].is_null());
    let seen: Vec<&Value> = steps.iter().filter(|step| step["count"].as_u64() > Some(0)).collect();
    assert!(seen.iter().all(|step| step["p50_ms"].as_f64() <= step["p99_ms"].as_f64()), "{seen:?}");
    assert!(seen.iter().all(|step| step["max_ms"].is_number()), "{seen:?}");
    let coverage = all["coverage"].as_f64().expect("a share");
    assert!(coverage > 0.0 && coverage < 1.0, "{coverage}");
    assert_eq!(all["budgets"], Value::Null, "one of the routes is held to none");
}

#[test]
fn a_part_of_the_traffic_is_asked_for_by_its_names() {
    let (good, bad) = (Upstream::start(status(200)), Upstream::start(status(500)));
    let proxy = with_two(&good, &bad);
    (0..3).for_each(|_| drop(proxy.get("/")));
    (0..4).for_each(|_| drop(proxy.get("/broken/x")));
    within(PATIENCE, "a step is closed", || count(&proxy.sre("traffic")) == 7);
    let of = |query: &str| count(&proxy.sre(&format!("traffic?{query}")));
    assert_eq!((of("route=broken"), of("upstream=other"), of("upstream=backend")), (4, 4, 3));
    assert_eq!((of("route=broken&upstream=backend"), of("direction=egress")), (0, 0));
    let backend = proxy.sre("traffic?upstream=backend");
    assert!(backend["budgets"]["p95"]["warn_ms"].is_number(), "{backend:#}");
    for (query, status, told) in [
        ("route=brokn", 404, "did you mean \\\"broken\\\""),
        ("upstream=Nobody", 404, "Nobody"),
        ("window=2h", 400, "write 5m, 15m, 1h"),
        ("step=20s", 400, "write 10s, 30s, 1m, 5m"),
        ("direction=sideways", 400, "ingress"),
    ] {
        let answer = proxy.admin_get(&format!("/api/v2/sre/traffic?{query}"));
        assert!(answer.status == status && answer.text().contains(told), "{query}: {}", answer.text());
    }
}
