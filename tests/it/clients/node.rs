use std::net::SocketAddr;
use std::process::Command;

use super::http2::{ONE_CONNECTION, Pages};
use super::origin::Origin;
use super::{message, requests};
use crate::support::eventually;
use crate::support::proxy::{Proxy, ingress_to, proxy};
use crate::support::secure::issue;
use crate::support::tools::{node, run};

/// What fetch was told, and what the origin saw; what came at once came in no order.
fn told(origin: &Origin, address: SocketAddr) -> (String, Vec<String>) {
    let from = origin.upstream.hits();
    let base = format!("http://localhost:{}", address.port());
    let said = String::from_utf8_lossy(&run(node("with_fetch.mjs").arg(base))).into_owned();
    let mut asked = requests(&origin.upstream, address, from);
    let many = asked.len() - 50;
    asked[many..].sort();
    (message(&said, address), asked)
}

/// Both runs are the same, and who left in the middle is missed on the other side.
fn assert_same(origin: &Origin, proxy: &Proxy, address: SocketAddr, host: Option<SocketAddr>) {
    let direct = told(origin, origin.upstream.address);
    let through = told(origin, address);
    assert_eq!(direct.0, through.0, "what fetch was told");
    let seen = through.1.iter().map(|asked| match host {
        Some(host) => asked.replace(&format!("Host: {host}"), "host: AUTHORITY"),
        None => asked.clone(),
    });
    assert_eq!(direct.1, seen.collect::<Vec<_>>(), "what the origin saw");
    eventually("the origin notices that both left", || origin.left() == 2);
    eventually("that is counted as such", || {
        proxy.metric("http_request_outcomes_total", "outcome=\"client_gone\"") == 1.0
    });
    assert_eq!(proxy.metric("circuit_breaker_failures", ""), 0.0, "nobody's fault");
}

#[test]
fn fetch_is_served_at_the_ingress() {
    let origin = Origin::start();
    let proxy = ingress_to(origin.upstream.address, "");
    assert_same(&origin, &proxy, proxy.ingress(), None);
}

#[test]
fn fetch_reaches_its_vendor_by_the_local_listener() {
    let origin = Origin::start();
    let proxy = proxy(&format!(
        r#"
            [upstreams.vendor]
            endpoints = ["{}"]
            local = "127.0.0.1:0"
            allow_addresses = ["127.0.0.1"]
        "#,
        origin.upstream.address
    ));
    assert_same(&origin, &proxy, proxy.at("local:vendor"), Some(origin.upstream.address));
}

/// Its client of HTTP/2 at BASE.
fn http2(base: &str) -> Command {
    let mut client = node("with_http2.mjs");
    client.arg(base);
    client
}

#[test]
fn node_is_served_by_http2_with_prior_knowledge() {
    Pages::in_clear(ONE_CONNECTION, "").compare_with_leaving(http2);
}

#[test]
fn node_is_served_by_http2_over_tls() {
    let issued = issue(&["localhost"]);
    Pages::over_tls(&issued, ONE_CONNECTION, "").compare_with_leaving(|base| {
        let mut client = http2(base);
        client.arg(&issued.ca);
        client
    });
}
