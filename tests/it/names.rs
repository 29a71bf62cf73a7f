//! Each test has a network namespace of its own (it needs root), with a name server at the usual port.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::dns::Dns;
use crate::support::eventually;
use crate::support::namespace::Namespace;
use crate::support::proxy::Proxy;
use crate::support::raw::get;
use crate::support::upstream::{Upstream, status};

const RESOLV_CONF: &str = "nameserver 127.0.0.1\noptions timeout:1\n";

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn dns() -> Dns {
    Dns::start(SocketAddr::from(([127, 0, 0, 1], 53)))
}

/// Servers at these addresses, all at one port.
fn at(addresses: &[&str]) -> (Vec<Upstream>, u16) {
    let mut port = 0;
    let start = |address: &&str| {
        let upstream = Upstream::on(SocketAddr::new(ip(address), port), status(200));
        port = upstream.address.port();
        upstream
    };
    let all = addresses.iter().map(start).collect();
    (all, port)
}

fn ingress_to(name: &str, port: u16) -> String {
    format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{name}:{port}"]
            dns = {{ min_ttl = "1s", max_ttl = "2s" }}
        "#
    )
}

/// Addresses in use, as the operator sees them.
fn in_use(proxy: &Proxy) -> Vec<String> {
    let all = proxy.sre("upstreams/backend");
    let all = all["endpoints"].as_array().cloned().unwrap_or_default();
    let mut all: Vec<String> =
        all.iter().filter_map(|endpoint| Some(endpoint["address"].as_str()?.to_owned())).collect();
    all.sort();
    all
}

fn resolved(proxy: &Proxy) {
    eventually("the name is resolved", || !in_use(proxy).is_empty());
}

/// So many requests, one after the other, of which none may fail or count against anybody.
fn all_are_served(proxy: &Proxy, requests: usize) {
    let failed = (0..requests).filter(|n| get(proxy.ingress(), &format!("/{n}")).status != 200).count();
    assert_eq!(failed, 0, "of {requests}: {:#?}", proxy.log.lock().expect("not poisoned"));
    let attempts = &proxy.sre("upstreams/backend")["attempts"];
    let bad = ["connect", "timeout", "reset", "protocol", "tls"];
    assert!(bad.iter().all(|why| attempts[why].as_u64() == Some(0)), "{attempts}");
    assert_eq!(proxy.breaker("backend"), "closed");
}

#[test]
fn addresses_of_a_family_without_a_route_are_neither_used_nor_counted() {
    let namespace = Namespace::enter("");
    let dns = dns();
    let v6: Vec<IpAddr> = (1..=4).map(|n| ip(&format!("2001:db8::{n}"))).collect();
    for v4 in [&["127.0.0.2"][..], &["127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6"]] {
        let (servers, port) = at(v4);
        let mut all = v6.clone();
        all.extend(v4.iter().map(|text| ip(text)));
        let name = format!("api{}.example", v4.len());
        dns.leads(&name, &all);
        let proxy = namespace.proxy(&ingress_to(&name, port), RESOLV_CONF, "");
        resolved(&proxy);
        assert_eq!(in_use(&proxy).len(), v4.len());
        all_are_served(&proxy, 200);
        let served: usize = servers.iter().map(|server| server.hits()).sum();
        assert_eq!(served, 200, "by the addresses that a route leads to");
    }
}

#[test]
fn a_family_whose_packets_vanish_costs_a_moment_and_no_request() {
    let namespace = Namespace::enter(
        "ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up; \
         ip -6 addr add 2001:db8:ffff::1/64 dev v0 nodad; ip -6 route add 2001:db8::/32 dev v0",
    );
    let dns = dns();
    let (servers, port) = at(&["127.0.0.2"]);
    dns.leads("api.example", &[ip("2001:db8::1"), ip("127.0.0.2")]);
    let proxy = namespace.proxy(&ingress_to("api.example", port), RESOLV_CONF, "");
    resolved(&proxy);
    assert_eq!(in_use(&proxy).len(), 2, "there is a route");
    all_are_served(&proxy, 5);
    assert_eq!(servers[0].hits(), 5);
}

#[test]
fn localhost_is_found_in_whichever_family_the_backend_listens() {
    let namespace = Namespace::enter("");
    for only in ["::1", "127.0.0.1"] {
        let (servers, port) = at(&[only]);
        // Neither a hosts file nor a name server is needed.
        let proxy = namespace.proxy(&ingress_to("localhost", port), RESOLV_CONF, "");
        assert_eq!(in_use(&proxy), [format!("127.0.0.1:{port}"), format!("[::1]:{port}")]);
        all_are_served(&proxy, 50);
        assert_eq!(servers[0].hits(), 50);
    }
}

#[test]
fn a_check_says_nothing_of_an_address_that_is_not_called() {
    let namespace = Namespace::enter("");
    let (servers, port) = at(&["127.0.0.1"]);
    let checks = "health = { interval = \"10ms\", suspect_interval = \"10ms\", path = \"/up\" }\n";
    // The other family has nobody who listens, or no route at all.
    for name in ["localhost", "two.example"] {
        let hosts = "127.0.0.1 two.example\n2001:db8::1 two.example\n";
        let proxy = namespace.proxy(&format!("{}{checks}", ingress_to(name, port)), RESOLV_CONF, hosts);
        all_are_served(&proxy, 10);
        let before = servers[0].hits();
        eventually("it is checked over and over", || servers[0].hits() > before + 20);
        let healthy =
            |address: &str| proxy.metric("upstream_endpoint_healthy", &format!("endpoint=\"{address}"));
        assert_eq!(healthy("127.0.0.1"), 1.0);
        let log = proxy.log.lock().expect("not poisoned");
        assert!(!log.iter().any(|line| line.contains("endpoint health")), "{name}: {log:#?}");
    }
}

#[test]
fn a_rolling_change_of_addresses_costs_no_request() {
    let namespace = Namespace::enter("");
    let dns = dns();
    let (mut servers, port) = at(&["127.0.0.2", "127.0.0.3"]);
    dns.leads("api.example", &[ip("127.0.0.2"), ip("127.0.0.3")]);
    let proxy = namespace.proxy(&ingress_to("api.example", port), RESOLV_CONF, "");
    resolved(&proxy);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asks = || {
            let (mut failed, mut asked) = (Vec::new(), 0);
            while !over.load(Ordering::SeqCst) {
                let answered = get(proxy.ingress(), "/").status;
                asked += 1;
                if answered != 200 {
                    failed.push(answered);
                }
            }
            (failed, asked)
        };
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(asks)).collect();
        // One comes, the oldest leaves the name, and is gone once nobody is sent there.
        for next in 4..=6 {
            servers.push(Upstream::on(SocketAddr::new(ip(&format!("127.0.0.{next}")), port), status(200)));
            let old = servers.remove(0);
            let now: Vec<IpAddr> = servers.iter().map(|server| server.address.ip()).collect();
            dns.leads("api.example", &now);
            let mut wanted: Vec<String> = servers.iter().map(|server| server.address.to_string()).collect();
            wanted.sort();
            eventually("the new addresses are in use", || in_use(&proxy) == wanted);
            let newest = servers.last().expect("there");
            eventually("the new one is called", || newest.hits() > 0);
            let hits = old.hits();
            eventually("the old one is not called", || {
                let before = newest.hits();
                eventually("requests go on", || newest.hits() > before + 20);
                old.hits() <= hits + 4
            });
            drop(old);
        }
        over.store(true, Ordering::SeqCst);
        for client in clients {
            let (failed, asked) = client.join().expect("ends");
            assert!(asked > 0 && failed.is_empty(), "{} of {asked}: {failed:?}", failed.len());
        }
    });
    all_are_served(&proxy, 20);
}

#[test]
fn search_domains_lead_to_the_names_that_the_operator_wrote_and_to_no_vendors() {
    let namespace = Namespace::enter("");
    let dns = dns();
    let (servers, port) = at(&["127.0.0.2"]);
    dns.leads("db.shop.svc.cluster.local", &[ip("127.0.0.2")]);
    let conf = format!("{RESOLV_CONF}search other.cluster.local shop.svc.cluster.local\noptions ndots:5\n");
    let toml = ingress_to("db", port)
        + &format!(
            r#"
                [upstreams.vendor]
                hosts = ["api.vendor.example"]
                endpoints = ["api.vendor.example:{port}"]
            "#
        )
        + &format!(
            r#"
                [upstreams.whole]
                endpoints = ["db.shop.:{port}"]
            "#
        );
    let proxy = namespace.proxy(&toml, &conf, "");
    resolved(&proxy);
    all_are_served(&proxy, 20);
    assert_eq!(servers[0].hits(), 20);
    let asked = |name: &str| dns.asked().iter().any(|asked| asked == name);
    eventually("all names were asked for", || asked("api.vendor.example") && asked("db.shop"));
    assert!(asked("db.other.cluster.local"), "the first domain first");
    assert!(!dns.asked().iter().any(|name| name.starts_with("api.vendor.example.")));
    assert!(!dns.asked().iter().any(|name| name.starts_with("db.shop.other")), "{:?}", dns.asked());
}

#[test]
fn a_name_that_is_gone_is_told_apart_from_one_that_nobody_can_answer_for() {
    let namespace = Namespace::enter("");
    let dns = dns();
    let (_servers, port) = at(&["127.0.0.2"]);
    dns.leads("api.example", &[ip("127.0.0.2")]);
    let proxy = namespace.proxy(&ingress_to("api.example", port), RESOLV_CONF, "");
    resolved(&proxy);
    let told = |what: &str| {
        let log = proxy.log.lock().expect("not poisoned");
        log.iter().filter(|line| line.contains(what)).count()
    };
    dns.fails("api.example", 2);
    eventually("it is told", || told("no server can answer for the name") == 1);
    let asked = dns.asked().len();
    eventually("it was asked for again, beyond max_ttl", || dns.asked().len() > asked + 12);
    all_are_served(&proxy, 20);
    assert_eq!(told("no server can answer for the name"), 1, "once");
    dns.leads("api.example", &[ip("127.0.0.2")]);
    eventually("it is found again", || told("name is found again") == 1);
    dns.fails("api.example", 3);
    eventually("it is told that it does not exist", || {
        told("the name is said not to exist, its last addresses stay") == 1
    });
    all_are_served(&proxy, 5);
    eventually("its addresses go", || in_use(&proxy).is_empty());
    assert_eq!(told("the name is said not to exist, it has no addresses"), 1);
    dns.leads("api.example", &[ip("127.0.0.2")]);
    eventually("it is found once more", || told("name is found again") == 2);
    resolved(&proxy);
    all_are_served(&proxy, 5);
}

#[test]
fn the_hosts_file_comes_before_the_name_server() {
    let namespace = Namespace::enter("");
    let dns = dns();
    let (servers, port) = at(&["127.0.0.2"]);
    dns.leads("db", &[ip("127.0.0.9")]);
    let proxy = namespace.proxy(&ingress_to("db", port), RESOLV_CONF, "127.0.0.2 db\n");
    resolved(&proxy);
    all_are_served(&proxy, 5);
    assert_eq!((servers[0].hits(), dns.asked().len()), (5, 0));
}
