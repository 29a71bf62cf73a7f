//! An upstream that turns requests away is asked less.

use std::net::SocketAddr;

use crate::support::eventually;
use crate::support::proxy::{Proxy, proxy};
use crate::support::raw::{self, Response};
use crate::support::upstream::{Upstream, status};

fn throttled(upstream: SocketAddr, mode: &str) -> Proxy {
    let proxy = proxy(&format!(
        r#"
            [egress]
            listen = "127.0.0.1:0"
            [upstreams.vendor]
            endpoints = ["{upstream}"]
            local = "127.0.0.1:0"
            allow_addresses = ["127.0.0.0/8"]
            breaker = {{ mode = "off" }}
            retry = {{ attempts = 1 }}
            throttle = {{ mode = "{mode}" }}
        "#
    ));
    if mode != "off" {
        eventually("it looks", || proxy.sre("upstreams/vendor")["throttle"]["chance"] == 0.0);
    }
    proxy
}

fn ask(proxy: &Proxy) -> Response {
    raw::get(proxy.at("local:vendor"), "/")
}

#[test]
fn what_is_turned_away_is_asked_less_and_the_client_reads_why() {
    let vendor = Upstream::start(status(503));
    let proxy = throttled(vendor.address, "on");
    for _ in 0..40 {
        assert_eq!(ask(&proxy).status, 503);
    }
    eventually("it is throttled", || proxy.metric("strop_throttle_chance", "vendor") > 0.9);
    // A slow machine may have refused some of the first already.
    let counted = || proxy.metric("strop_throttle_refused_total", "vendor");
    let first = counted();
    let (before, answers) = (vendor.hits(), (0..60).map(|_| ask(&proxy)).collect::<Vec<_>>());
    let refused: Vec<_> =
        answers.iter().filter(|answer| answer.field("x-strop-reason") == Some("throttled")).collect();
    // At most 95 %: fewer than 30 of 60 have a chance of one in 10^24.
    assert!(refused.len() >= 30, "{}", refused.len());
    assert_eq!(vendor.hits() - before, 60 - refused.len(), "the others were sent");
    assert_eq!((refused[0].status, refused[0].field("retry-after")), (503, Some("1")));
    assert!(refused[0].field("proxy-status").is_some_and(|told| told.contains("throttled")));
    assert_eq!(counted() - first, refused.len() as f64);
}

#[test]
fn a_bug_that_answers_500_is_no_overload() {
    let vendor = Upstream::start(status(500));
    let proxy = throttled(vendor.address, "on");
    for _ in 0..40 {
        assert_eq!(ask(&proxy).status, 500);
    }
    vendor.answer(status(429));
    for _ in 0..40 {
        assert_eq!(ask(&proxy).status, 429, "half of them were taken");
    }
    assert_eq!((vendor.hits(), proxy.metric("strop_throttle_refused_total", "vendor")), (80, 0.0));
}

#[test]
fn in_shadow_all_are_sent_and_what_would_be_refused_is_counted() {
    let vendor = Upstream::start(status(429));
    let proxy = throttled(vendor.address, "shadow");
    for _ in 0..40 {
        assert_eq!(ask(&proxy).status, 429);
    }
    eventually("it would be throttled", || proxy.metric("strop_throttle_chance", "vendor") > 0.9);
    for _ in 0..40 {
        assert_eq!(ask(&proxy).status, 429);
    }
    assert_eq!(vendor.hits(), 80);
    assert!(proxy.metric("strop_throttle_shadow_refused_total", "vendor") >= 10.0);
    assert_eq!(proxy.metric("strop_throttle_refused_total", "vendor"), 0.0);
}
