use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use serde_json::Value;

use crate::support::eventually;
use crate::support::proxy::{Proxy, ingress_to, proxy};
use crate::support::raw::ask;
use crate::support::upstream::{Upstream, status};

pub fn open(proxy: &Proxy, upstream: &str) -> f64 {
    proxy.metric("egress_bypass_open_connections", &format!("upstream=\"{upstream}\""))
}

fn bypass(proxy: &Proxy) -> Value {
    proxy.sre("health/comprehensive")["bypass"].clone()
}

/// Waits for a look that began after this moment.
pub fn looked_at(proxy: &Proxy) {
    let start = Instant::now();
    eventually("the connections are looked at again", || {
        let age = bypass(proxy)["age_seconds"].as_f64();
        age.is_some_and(|age| age < start.elapsed().as_secs_f64())
    });
}

fn watching(vendor: SocketAddr) -> String {
    format!(
        r#"
            [egress]
            listen = "127.0.0.1:0"
            bypass_ports = [{}]
            [upstreams.vendor]
            hosts = ["vendor.example"]
            endpoints = ["{vendor}"]
            allow_addresses = ["127.0.0.0/8"]
        "#,
        vendor.port()
    )
}

#[test]
fn a_direct_connection_to_a_vendor_is_seen_and_those_of_the_egress_are_not() {
    let vendor = Upstream::start(status(200));
    let proxy = proxy(&watching(vendor.address));
    let through =
        || ask(proxy.egress(), "GET http://vendor.example/ HTTP/1.1\r\nHost: vendor.example\r\n\r\n");
    assert_eq!(through().status, 200);
    looked_at(&proxy);
    let seen = bypass(&proxy);
    assert_eq!(
        (seen["connections"].as_u64(), seen["note"].as_str()),
        (Some(0), None),
        "an ordinary day: {seen}"
    );
    assert_eq!(proxy.metric("egress_bypass_connections_total", ""), 0.0);
    assert!(
        proxy.admin_get("/metrics").text().contains("egress_bypass_connections_total{upstream=\"vendor\"} 0")
    );

    let direct = TcpStream::connect(vendor.address).expect("connects");
    eventually("it is seen", || open(&proxy, "vendor") == 1.0);
    let seen = bypass(&proxy);
    let example = &seen["examples"][0];
    assert_eq!((seen["connections"].as_u64(), seen["connections_total"].as_u64()), (Some(1), Some(1)));
    assert_eq!(example["address"], vendor.address.to_string());
    assert_eq!((example["upstream"].as_str(), example["connections"].as_u64()), (Some("vendor"), Some(1)));
    let told = |proxy: &Proxy| {
        let log = proxy.log.lock().expect("not poisoned");
        log.iter().filter(|line| line.contains("passes the egress by")).count()
    };
    assert_eq!(through().status, 200);
    looked_at(&proxy);
    assert_eq!((open(&proxy, "vendor"), told(&proxy)), (1.0, 1), "the same one, told once");

    drop(direct);
    eventually("it is gone", || open(&proxy, "vendor") == 0.0);
    assert_eq!(proxy.metric("egress_bypass_connections_total", "vendor"), 1.0);
}

#[test]
fn where_nobody_is_to_go_out_through_it_it_is_not_observable() {
    let vendor = Upstream::start(status(200));
    let none = |proxy: &Proxy, why: &str| {
        eventually(why, || bypass(proxy)["note"].as_str().is_some_and(|note| note.contains(why)));
        let seen = bypass(proxy);
        assert!(seen["connections"].is_null() && seen["examples"].is_null(), "{seen}");
        assert!(!proxy.admin_get("/metrics").text().contains("egress_bypass_open_connections"));
    };
    none(&ingress_to(vendor.address, ""), "there is no [egress]");
    let proxy = proxy(&watching(vendor.address));
    looked_at(&proxy);
    let off = watching(vendor.address).replace(&format!("[{}]", vendor.address.port()), "[]");
    assert_eq!(proxy.reload(&off).status, 200);
    none(&proxy, "egress.bypass_ports is empty");
    assert_eq!(proxy.reload(&watching(vendor.address)).status, 200);
    looked_at(&proxy);
    assert_eq!(bypass(&proxy)["connections"], 0, "in force with the save");
}
