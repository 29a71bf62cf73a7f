use std::process::Command;

use super::tls_ingress_to;
use crate::support::proxy::{Proxy, proxy};
use crate::support::raw;
use crate::support::secure::{Issued, TlsFront, issue};
use crate::support::tools::{Server, python, run};

/// The vendor's stand-in behind TLS, and a sidecar that knows both ways to it.
struct Shop {
    vendor: Server,
    issued: Issued,
    _front: TlsFront,
    sidecar: Proxy,
}

impl Shop {
    fn open() -> Self {
        let issued = issue(&["api.stripe.com"]);
        let vendor = Server::start(&mut python("localstripe_server.py"));
        let front = TlsFront::start(&issued, vendor.address);
        let sidecar = sidecar(&issued, front.address.port());
        Self { vendor, issued, _front: front, sidecar }
    }

    /// The SDK, given nothing but the base URL of the local listener.
    fn by_base_url(&self, errand: &str) -> Command {
        let mut script = python("with_stripe.py");
        script.arg(errand).arg(format!("http://{}", self.sidecar.at("local:stripe")));
        script
    }

    /// The SDK with its own setting for a proxy.
    fn by_its_proxy_setting(&self, errand: &str) -> Command {
        let mut script = python("with_stripe.py");
        script.env("STRIPE_CA", &self.issued.ca).arg(errand);
        script.env("STRIPE_PROXY", format!("http://{}", self.sidecar.egress()));
        script
    }

    /// The SDK, its code untouched: only the environment names a proxy.
    fn by_environment(&self, errand: &str) -> Command {
        let mut script = self.by_its_proxy_setting(errand);
        script.env_remove("STRIPE_PROXY").env("HTTPS_PROXY", format!("http://{}", self.sidecar.egress()));
        script
    }

    /// Method, path, Host and idempotency key of everything that the vendor was asked.
    fn seen(&self) -> Vec<[Option<String>; 4]> {
        serde_json::from_value(raw::get(self.vendor.address, "/_seen").json()).expect("a list")
    }

    fn verdicts(&self, verdict: &str) -> f64 {
        self.sidecar.metric("upstream_requests_total", &format!("verdict=\"{verdict}\""))
    }
}

fn sidecar(issued: &Issued, port: u16) -> Proxy {
    proxy(&format!(
        r#"
            [egress]
            listen = "127.0.0.1:0"

            [upstreams.stripe]
            hosts = ["api.stripe.com"]
            endpoints = ["127.0.0.1:{port}"]
            tls = {{ server_name = "api.stripe.com", ca_file = "{}" }}
            local = "127.0.0.1:0"
            allow_addresses = ["127.0.0.1"]
        "#,
        issued.ca.display()
    ))
}

/// Every POST of the SDK has a key, and each key but the one that was sent twice is there once.
fn assert_keys(seen: &[[Option<String>; 4]]) {
    let mut keys: Vec<&str> = seen
        .iter()
        .filter(|[method, ..]| method.as_deref() == Some("POST"))
        .map(|[.., key]| key.as_deref().expect("a key"))
        .collect();
    keys.sort_unstable();
    assert_eq!(keys.iter().filter(|key| **key == "order-17").count(), 2, "{keys:?}");
    let asked = keys.len();
    keys.dedup();
    assert_eq!(keys.len(), asked - 1, "nothing was sent a second time");
}

#[test]
fn the_stripe_sdk_works_by_base_url() {
    let shop = Shop::open();
    run(&mut shop.by_base_url("works"));
    let seen = shop.seen();
    assert_keys(&seen);
    assert_eq!(shop.verdicts("good"), seen.len() as f64, "declined cards are answers as good as any");
    assert_eq!(shop.sidecar.breaker("stripe"), "closed");
    assert_eq!(shop.sidecar.metric("http_requests_total", "status=\"402\""), 5.0);
}

#[test]
fn the_stripe_sdk_works_through_a_tunnel() {
    let shop = Shop::open();
    run(&mut shop.by_its_proxy_setting("works"));
    let seen = shop.seen();
    assert_keys(&seen);
    let host = |request: &[Option<String>; 4]| request[2].clone().unwrap_or_default();
    assert!(seen.iter().all(|request| host(request) == "api.stripe.com"), "{seen:?}");
    crate::support::eventually("the tunnel is counted", || {
        shop.sidecar.metric("tunnel_connect_seconds_count", "upstream=\"stripe\"") == 1.0
    });
    assert_eq!(shop.sidecar.breaker("stripe"), "closed");
}

#[test]
fn the_stripe_sdk_works_by_the_environment_alone() {
    let shop = Shop::open();
    run(&mut shop.by_environment("works"));
    assert_keys(&shop.seen());
    assert!(shop.sidecar.metric("tunnel_bytes_total", "direction=\"up\"") > 1_000.0);
}

#[test]
fn the_stripe_sdk_works_over_http2_between_two_sidecars() {
    let issued = issue(&["api.stripe.com"]);
    let vendor = Server::start(&mut python("localstripe_server.py"));
    let far = tls_ingress_to(vendor.address, &issued);
    let near = sidecar(&issued, far.ingress().port());
    let base = format!("http://{}", near.at("local:stripe"));
    run(python("with_stripe.py").arg("works").arg(base));
    let answered = far.metric("http_requests_total", "upstream=\"backend\"");
    assert_eq!(near.metric("http_requests_total", "upstream=\"stripe\""), answered);
}

#[test]
fn the_stripe_sdk_raises_its_own_errors_while_the_breaker_is_open() {
    let shop = Shop::open();
    let order = r#"{"reason": "a drill", "ttl": "5m"}"#;
    assert_eq!(shop.sidecar.post("circuit-breakers/stripe/open", order).status, 200);
    let said = |mut script: Command, retries: &str| {
        String::from_utf8_lossy(&run(script.env("RETRIES", retries))).trim().to_owned()
    };
    assert_eq!(said(shop.by_base_url("refused"), "0"), "APIError 503 breaker_held");
    let refused = || shop.sidecar.metric("breaker_refused_total", "upstream=\"stripe\"");
    assert_eq!(refused(), 1.0);
    // By CONNECT the SDK never gets to speak to anybody.
    assert_eq!(said(shop.by_its_proxy_setting("refused"), "0"), "APIConnectionError None None");
    assert_eq!(refused(), 2.0);
    // With the SDK's own repeating the outcome is the same.
    assert_eq!(said(shop.by_base_url("refused"), "2"), "APIError 503 breaker_held");
    assert_eq!(shop.seen().len(), 0, "the vendor was left alone");
    let breaker = shop.sidecar.sre("circuit-breakers/stripe");
    assert_eq!((breaker["state"].as_str(), breaker["failures_total"].as_u64()), (Some("open"), Some(0)));
    assert_eq!(breaker["hold"]["reason"], "a drill");

    assert_eq!(shop.sidecar.post("circuit-breakers/stripe/release", "").status, 200);
    crate::support::eventually("the breaker is closed again", || {
        let _ = raw::get(shop.sidecar.at("local:stripe"), "/v1/customers");
        shop.sidecar.breaker("stripe") == "closed"
    });
    run(&mut shop.by_base_url("works"));
}
