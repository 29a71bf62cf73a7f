use std::net::SocketAddr;

use crate::support::eventually;
use crate::support::proxy::{Proxy, ingress_to, proxy};
use crate::support::raw;
use crate::support::upstream::{Seen, Upstream, status};

/// Level 1 does without recommendations; level 2 without SMS and calendar, answers bookings itself and refuses what is low.
fn toml(backend: SocketAddr, more: &str) -> String {
    format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [[routes]]
            prefix = "/bookings"
            fallback = {{ status = 200, body = '[]' }}
            [[routes]]
            prefix = "/reports"
            class = "low"
            [degradation.level1]
            features = ["recommendations"]
            [degradation.level2]
            features = ["sms", "calendar"]
            fallback = ["bookings"]
            shed = ["low"]
            {more}
            [upstreams.backend]
            endpoints = ["{backend}"]
            [upstreams.twilio]
            hosts = ["api.twilio.example"]
            endpoints = ["{backend}"]
            allow_addresses = ["127.0.0.1"]
        "#
    )
}

const LEVEL_2: &str = "level=2; features=\"recommendations,sms,calendar\"";

fn last(backend: &Upstream) -> Seen {
    backend.seen().pop().expect("a request")
}

/// What the application is told by a request of a client that says something of its own.
fn told(proxy: &Proxy, backend: &Upstream) -> Vec<String> {
    let request = "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nX-SRE-Degraded: level=3\r\nX_SRE_Degraded: level=3\r\n\r\n";
    assert_eq!(raw::ask(proxy.ingress(), request).status, 200);
    let seen = last(backend);
    let fields = ["x-sre-degraded", "x_sre_degraded"]
        .map(|name| seen.fields(name).iter().map(|value| (*value).to_owned()).collect::<Vec<_>>());
    fields.concat()
}

#[test]
fn an_order_raises_the_level_for_as_long_as_it_says() {
    let backend = Upstream::start(status(200));
    let proxy = proxy(&toml(backend.address, ""));
    assert_eq!(told(&proxy, &backend), Vec::<String>::new());
    let order = r#"{"level": 2, "reason": "calendar is slow", "actor": "ann", "ttl": "15m"}"#;
    let ordered = proxy.post("degradation", order);
    assert_eq!(ordered.status, 200, "{}", ordered.text());
    assert_eq!(ordered.json()["note"], "degradation level 2 for 15m");
    assert_eq!(told(&proxy, &backend), [LEVEL_2]);
    let hits = backend.hits();
    let answered = proxy.get("/bookings");
    assert_eq!((answered.status, answered.text().as_str()), (200, "[]"));
    assert_eq!(
        (answered.field("x-strop-reason"), answered.field("x-strop-degraded")),
        (Some("degraded"), Some("fallback"))
    );
    let shed = proxy.get("/reports");
    assert_eq!(
        (shed.status, shed.field("x-strop-reason"), shed.field("retry-after")),
        (503, Some("shed"), Some("30"))
    );
    assert_eq!(shed.field("content-type"), Some("application/problem+json"));
    assert_eq!(backend.hits(), hits, "neither is sent on");
    let write = "POST /bookings HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(raw::ask(proxy.ingress(), write).field("x-strop-degraded"), None);
    assert_eq!(
        last(&backend).fields("x-sre-degraded"),
        [LEVEL_2],
        "what the fallback does not answer goes on"
    );

    let view = proxy.sre("degradation");
    for (key, value) in [("raised_by", "order"), ("why", "calendar is slow"), ("actor", "ann")] {
        assert_eq!(view[key], value, "{view:#}");
    }
    assert_eq!((&view["level"], &view["features"][1]), (&2.into(), &"sms".into()));
    assert!(view["until"].is_string() && view["since"].is_string());
    assert_eq!(view["levels"][1]["shed"][0], "low");
    assert_eq!(proxy.metric("strop_degradation_level", ""), 2.0);
    let row = proxy.sre("audit")["mutations"][0].clone();
    assert_eq!(
        (&row["action"], &row["target"], &row["reason"], &row["id"]),
        (
            &"degradation.raise".into(),
            &"level 2".into(),
            &"calendar is slow".into(),
            &ordered.json()["audit_id"]
        )
    );

    assert_eq!(proxy.post("degradation", r#"{"level": 1, "ttl": "200ms"}"#).status, 200);
    eventually("it ends by itself", || proxy.sre("degradation")["level"] == 0);
    assert_eq!(told(&proxy, &backend), Vec::<String>::new());
    assert_eq!(
        (proxy.get("/bookings").text().as_str(), proxy.get("/reports").status),
        ("200 /bookings\n", 200)
    );
    assert_eq!(proxy.metric("strop_degradation_level", ""), 0.0);
}

#[test]
fn an_order_ends_by_order_and_outlives_a_reload() {
    let backend = Upstream::start(status(200));
    let proxy = proxy(&toml(backend.address, ""));
    let nothing = proxy.post("degradation", r#"{"level": 0}"#);
    assert_eq!((nothing.status, &nothing.json()["note"]), (200, &"nothing to do: there was no order".into()));
    proxy.post("degradation", r#"{"level": 2, "ttl": "1h"}"#);
    let other = toml(backend.address, "").replace("[\"sms\", \"calendar\"]", "[\"sms\"]");
    assert_eq!(proxy.reload(&other).status, 200);
    eventually("it means what is written now", || {
        told(&proxy, &backend) == ["level=2; features=\"recommendations,sms\""]
    });
    let ended = proxy.post("degradation", r#"{"level": 0, "reason": "over"}"#);
    assert_eq!(ended.json()["degradation"]["level"], 0);
    assert_eq!(told(&proxy, &backend), Vec::<String>::new());
    assert_eq!(proxy.get("/reports").status, 200);
}

#[test]
fn an_order_without_an_end_or_of_no_level_says_what_to_write() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    for (order, told) in [
        (r#"{"level": 1}"#, "ttl is missing: a level ends by itself"),
        (r#"{"ttl": "5m"}"#, "level is missing"),
        (r#"{"level": 4, "ttl": "5m"}"#, "level 4 is not within 0 to 3"),
        (r#"{"level": 1, "ttl": "8d"}"#, "is not within 1s and 7d"),
        (r#"{"level": 1, "ttl": "5m", "features": []}"#, "unknown field `features`"),
    ] {
        let refused = proxy.post("degradation", order);
        assert_eq!(refused.status, 400, "{order}");
        assert!(refused.text().contains(told), "{order}: {}", refused.text());
    }
    assert_eq!(proxy.sre("degradation")["level"], 0);
}

#[test]
fn a_breaker_that_is_not_closed_raises_the_level_where_that_is_written() {
    let backend = Upstream::start(status(200));
    let when = "[[degradation.when]]\nbreaker = \"twilio\"\nfeatures = [\"sms\"]\n";
    let proxy = proxy(&toml(backend.address, when));
    proxy.post("circuit-breakers/twilio/open", r#"{"reason": "no use"}"#);
    eventually("the application is told", || {
        told(&proxy, &backend) == ["level=1; features=\"recommendations,sms\""]
    });
    let view = proxy.sre("degradation");
    assert_eq!((&view["raised_by"], &view["breakers"][0]), (&"breaker".into(), &"twilio".into()));
    assert_eq!((&view["why"], &view["until"]), (&"not closed: twilio".into(), &serde_json::Value::Null));
    assert_eq!(proxy.get("/reports").status, 200, "level 1 refuses nothing");
    proxy.post("circuit-breakers/twilio/release", "");
    eventually("it is over", || told(&proxy, &backend).is_empty());
    assert_eq!(proxy.sre("degradation")["level"], 0);
}

#[test]
fn an_order_is_a_line_of_an_incident_that_is_not_over() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let opened = proxy.post("test/incident", r#"{"service": "web", "title": "slow"}"#).json();
    let id = opened["incident"]["id"].as_str().expect("an id").to_owned();
    proxy.post("degradation", r#"{"level": 1, "reason": "less load", "ttl": "10m", "actor": "ann"}"#);
    eventually("the line is there", || {
        let one = proxy.sre(&format!("incidents/{id}"));
        let lines = one["timeline"].as_array().expect("a list").clone();
        lines
            .iter()
            .any(|line| line["text"] == "degradation level 1 for 10m: less load" && line["actor"] == "ann")
    });
}

#[test]
fn without_a_level_the_backend_reads_what_it_read_before() {
    let backend = Upstream::start(status(200));
    let with = proxy(&toml(backend.address, ""));
    let without = ingress_to(backend.address, "");
    let head = |proxy: &Proxy| {
        assert_eq!(proxy.get("/x").text(), "200 /x\n");
        let head = last(&backend).head;
        let own = |line: &&str| !line.to_ascii_lowercase().starts_with("x-request-id");
        head.lines()
            .filter(own)
            .map(|line| line.replace(&proxy.ingress().to_string(), ""))
            .collect::<Vec<_>>()
    };
    assert_eq!(head(&with), head(&without));
    assert_eq!(told(&without, &backend), Vec::<String>::new(), "what a client says of it is never believed");
    let trailed = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\
                   X-Other: 1\r\nX-SRE-Degraded: level=3\r\n\r\n";
    assert_eq!(raw::ask_http1(without.ingress(), trailed).status, 200);
    let head = last(&backend).head.to_ascii_lowercase();
    assert!(head.contains("x-other") && !head.contains("degraded"), "nor in a trailer: {head}");
}
