//! Only what is the matter is an incident: orders, silence, one route, reads and a start are not, or not that one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::support::proxy::{Proxy, ingress_to, proxy};
use crate::support::raw;
use crate::support::upstream::{Answer, Upstream, status};
use crate::support::{eventually, within};

/// All there were, those that are over too.
fn incidents(proxy: &Proxy) -> Vec<Value> {
    proxy.sre("incidents?all=true")["incidents"].as_array().expect("a list").clone()
}

fn of(proxy: &Proxy, service: &str) -> Option<Value> {
    incidents(proxy).into_iter().find(|one| one["service"] == *service)
}

fn measured(proxy: &Proxy) -> f64 {
    proxy.metric("sre_measured_seconds_total", "subject=\"service\"")
}

/// Until the engine has looked so many times more.
fn looks(proxy: &Proxy, more: f64) {
    let before = measured(proxy);
    within(Duration::from_secs(60), "it looks on", || {
        proxy.get("/");
        measured(proxy) >= before + more
    });
}

#[test]
fn an_operators_open_and_close_on_what_is_well_leave_it_closed_and_no_incident() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "breaker = { mode = \"on\" }\n");
    assert_eq!(proxy.get("/").status, 200);
    let order = |what: &str, body: &str| {
        let answer = proxy.post(&format!("circuit-breakers/backend/{what}"), body);
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    order("open", r#"{"reason": "Maintenance window"}"#);
    for _ in 0..60 {
        assert_eq!(proxy.get("/").field("x-strop-reason"), Some("breaker_held"));
    }
    let closed = proxy.post("circuit-breakers/backend/close", r#"{"reason": "Service restored"}"#);
    assert_eq!(closed.json()["note"], "closed, as it was before it was held", "{}", closed.text());
    assert_eq!(proxy.breaker("backend"), "closed", "as it was before");
    looks(&proxy, 4.0);
    order("open", r#"{"reason": "Maintenance window", "ttl": "2s"}"#);
    for _ in 0..60 {
        assert_eq!(proxy.get("/").field("x-strop-reason"), Some("breaker_held"));
    }
    eventually("the hold has expired", || proxy.sre("circuit-breakers/backend")["hold"].is_null());
    assert_eq!(proxy.breaker("backend"), "closed", "as it was before");
    looks(&proxy, 4.0);
    assert_eq!(incidents(&proxy), Vec::<Value>::new(), "an order is no evidence");
}

/// 500 at `/bad`, 200 elsewhere.
fn one_bad_route() -> Arc<Answer> {
    let (good, bad) = (status(200), status(500));
    Arc::new(move |seen, stream| if seen.path() == "/bad" { bad(seen, stream) } else { good(seen, stream) })
}

#[test]
fn a_route_that_always_fails_is_its_own_incident_by_its_name_and_not_the_backends() {
    for health in ["health = { path = \"/up\", interval = \"200ms\" }\n", ""] {
        let backend = Upstream::start(one_bad_route());
        let brief = r#"
            [[routes]]
            path = "/bad"
            name = "bookings"
            upstream = "backend"
            [incidents.down]
            confirm = "1s"
            [incidents.errors]
            confirm = "1s"
        "#;
        let proxy = ingress_to(backend.address, &format!("{health}{brief}"));
        assert_eq!(proxy.get("/").status, 200);
        let mut asked = 0;
        eventually("it is open", || {
            // Many in a row, and now and then one of the others.
            (0..10).for_each(|_| assert_eq!(proxy.get("/bad").status, 500));
            asked += 1;
            if asked % 5 == 0 {
                assert_eq!(proxy.get("/").status, 200);
            }
            of(&proxy, "bookings").is_some_and(|one| one["state"] == "open")
        });
        looks(&proxy, 3.0);
        let all = incidents(&proxy);
        let [one] = &all[..] else { panic!("one: {all:#?}") };
        assert!(one["title"].as_str().expect("a title").contains("bookings"), "{one:#}");
        assert_eq!((&one["rule"], &one["severity"]), (&Value::from("error_rate"), &Value::from("high")));
    }
}

/// Stripe by a local listener; tells its address.
fn stripe(vendor: SocketAddr, more: &str) -> (Proxy, SocketAddr) {
    let proxy = proxy(&format!(
        r#"
            [egress]
            listen = "127.0.0.1:0"
            [upstreams.stripe]
            hosts = ["api.stripe.com"]
            endpoints = ["{vendor}"]
            local = "127.0.0.1:0"
            allow_addresses = ["127.0.0.0/8"]
            {more}
        "#
    ));
    let local = proxy.at("local:stripe");
    (proxy, local)
}

fn post(address: SocketAddr, path: &str, fields: &str) -> u16 {
    let head = format!("POST {path} HTTP/1.1\r\nHost: api.stripe.com\r\nConnection: close\r\n");
    raw::ask_http1(address, &format!("{head}{fields}Content-Length: 0\r\n\r\n")).status
}

#[test]
fn a_vendor_that_fails_from_its_first_request_is_an_incident_in_the_first_seconds() {
    let vendor = Upstream::start(status(500));
    let (proxy, local) = stripe(vendor.address, "breaker = { open_for = \"5s\" }\n");
    let start = std::time::Instant::now();
    (0..3).for_each(|_| assert_eq!(raw::get(local, "/v1/charges").status, 500));
    eventually("it is known", || of(&proxy, "stripe").is_some());
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    eventually("it is open", || of(&proxy, "stripe").is_some_and(|one| one["state"] == "open"));
    let one = of(&proxy, "stripe").expect("known");
    assert_eq!(one["title"], "the breaker of stripe is open", "{one:#}");
    assert_eq!(one["severity"], "high", "what is only suspected opens nothing: {one:#}");
}

#[test]
fn what_starts_beside_strop_has_its_grace_for_connections_and_not_for_answers() {
    let refuses = {
        let gone = Upstream::start(status(200));
        gone.address
    };
    let starting = ingress_to(
        refuses,
        r#"
            [incidents]
            grace = "20s"
        "#,
    );
    let failing = Upstream::start(status(500));
    let failing = ingress_to(
        failing.address,
        r#"
            [incidents]
            grace = "20s"
        "#,
    );
    let ask = |proxy: &Proxy| proxy.get("/").status;
    eventually("what answers badly is known", || {
        ask(&starting);
        ask(&failing);
        of(&failing, "backend").is_some()
    });
    let down = of(&failing, "backend").expect("known");
    assert_eq!(down["rule"], "service_down", "{down:#}");
    assert_eq!(of(&starting, "backend"), None, "it may still be starting");
    within(Duration::from_secs(60), "the grace is over", || {
        ask(&starting);
        of(&starting, "backend").is_some()
    });
}

fn payment_rule_speaks(proxy: &Proxy) -> bool {
    let alerts = proxy.sre("alerts");
    alerts["alerts"].as_array().expect("a list").iter().any(|one| one["rule"] == "payment_failure")
}

#[test]
fn payment_rules_count_what_takes_payments_and_no_reads_and_no_test_keys() {
    let vendor = Upstream::start(status(500));
    let (proxy, local) = stripe(vendor.address, "breaker = { mode = \"off\" }\n");
    let basic = "Authorization: Basic c2tfdGVzdF80ZUMzOUhxTHlqV0Rhcmp0VDF6ZHA3ZGM6\r\n";
    for _ in 0..20 {
        raw::get(local, "/v1/charges");
        post(local, "/v1/customers", "");
        post(local, "/v1/payment_intents", "Authorization: Bearer sk_test_4eC39HqLyjWDarjtT1zdp7dc\r\n");
        post(local, "/v1/payment_intents", basic);
    }
    eventually("it is suspected", || of(&proxy, "stripe").is_some());
    let seen = proxy.sre("alerts");
    assert!(!payment_rule_speaks(&proxy), "{seen:#}");
    for _ in 0..4 {
        assert_eq!(
            post(local, "/v1/payment_intents/pi_1/confirm", "Authorization: Bearer sk_live_1\r\n"),
            500
        );
    }
    eventually("payments fail", || payment_rule_speaks(&proxy));
}

#[test]
fn many_checked_upstreams_gone_at_once_are_one_incident_without_any_traffic() {
    let all: Vec<Upstream> = (0..6).map(|_| Upstream::start(status(200))).collect();
    let one = |(n, upstream): (usize, &Upstream)| {
        format!(
            r#"
                [upstreams.u{n}]
                hosts = ["u{n}.example"]
                endpoints = ["{}"]
                allow_addresses = ["127.0.0.0/8"]
                health = {{ interval = "1s", suspect_interval = "500ms" }}
            "#,
            upstream.address
        )
    };
    let upstreams: String = all.iter().enumerate().map(one).collect();
    let proxy = proxy(&format!(
        r#"
            [egress]
            listen = "127.0.0.1:0"
            [incidents.down]
            confirm = "3s"
            {upstreams}
        "#
    ));
    eventually("all are seen to be well", || {
        (0..6).all(|n| proxy.metric("sre_good_seconds_total", &format!("subject=\"u{n}\"")) > 0.0)
    });
    drop(all);
    eventually("it is open", || of(&proxy, "network").is_some_and(|one| one["state"] == "open"));
    eventually("all of them are part of it", || {
        proxy.sre("alerts")["alerts"].as_array().expect("a list").len() >= 7
    });
    let live: Vec<Value> = incidents(&proxy).into_iter().filter(|one| one["state"] != "cleared").collect();
    assert_eq!(live.len(), 1, "{live:#?}");
}

#[test]
fn a_breaker_that_nobody_asks_is_out_of_sight_says_so_and_ends_by_a_request_that_goes_well() {
    let vendor = Upstream::start(status(500));
    let (proxy, local) =
        stripe(vendor.address, "breaker = { open_for = \"1s\", successes = 1, ramp = \"0s\" }\n");
    (0..3).for_each(|_| assert_eq!(raw::get(local, "/v1/charges").status, 500));
    eventually("it is open", || of(&proxy, "stripe").is_some_and(|one| one["state"] == "open"));
    within(Duration::from_secs(100), "it is out of sight", || {
        of(&proxy, "stripe").is_some_and(|one| !one["unseen_since"].is_null())
    });
    let one = of(&proxy, "stripe").expect("known");
    assert_eq!((&one["state"], &one["holds"]), (&Value::from("open"), &Value::from(false)));
    assert!(one["timeline"].to_string().contains("not seen since "), "{one:#}");
    vendor.answer(status(200));
    assert_eq!(raw::get(local, "/v1/charges").status, 200, "a probe");
    within(Duration::from_secs(150), "it is over", || {
        of(&proxy, "stripe").is_some_and(|one| one["ending"] == "recovered")
    });
}

#[test]
fn one_noisy_client_among_many_is_nobodys_incident() {
    let bad = Arc::new(AtomicU32::new(0));
    let answer: Arc<Answer> = {
        let (good, failed, bad) = (status(200), status(500), Arc::clone(&bad));
        Arc::new(move |seen, stream| {
            if seen.fields("x-forwarded-for").iter().any(|from| from.starts_with("192.0.2.66")) {
                bad.fetch_add(1, Ordering::Relaxed);
                failed(seen, stream)
            } else {
                good(seen, stream)
            }
        })
    };
    let backend = Upstream::start(answer);
    let proxy = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            trusted_hops = 1
            [upstreams.backend]
            endpoints = ["{}"]
            [incidents.errors]
            confirm = "1s"
        "#,
        backend.address
    ));
    let ask = |client: &str| {
        let head = "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n";
        raw::ask(proxy.ingress(), &format!("{head}X-Forwarded-For: {client}\r\n\r\n")).status
    };
    let before = measured(&proxy);
    within(Duration::from_secs(60), "it looks on", || {
        for n in 1..=12 {
            assert_eq!(ask(&format!("192.0.2.{n}")), 200);
        }
        assert_eq!(ask("192.0.2.66"), 500);
        measured(&proxy) >= before + 8.0
    });
    assert!(bad.load(Ordering::Relaxed) > 8, "it fails all the time");
    assert_eq!(incidents(&proxy), Vec::<Value>::new());
    eventually("what meets others as well is an incident", || {
        backend.answer(status(500));
        (1..=12).for_each(|n| assert_eq!(ask(&format!("192.0.2.{n}")), 500));
        !incidents(&proxy).is_empty()
    });
}
