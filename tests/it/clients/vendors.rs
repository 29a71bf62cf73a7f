use std::process::Command;

use serde_json::{Value, json};

use crate::support::proxy::{Proxy, proxy};
use crate::support::raw;
use crate::support::tools::{python, run};
use crate::support::upstream::{Upstream, bytes, status};

const VENDORS: [(&str, &str); 4] = [
    ("stripe", "api.stripe.com"),
    ("sendgrid", "api.sendgrid.com"),
    ("twilio", "api.twilio.com"),
    ("google_calendar", "www.googleapis.com"),
];

/// A sidecar before all of them, and every breaker held open.
fn sidecar(origin: &Upstream) -> Proxy {
    let port = origin.address.port();
    let upstreams = VENDORS.map(|(name, host)| {
        format!(
            r#"
                [upstreams.{name}]
                preset = "{name}"
                hosts = ["{host}"]
                endpoints = ["127.0.0.1:{port}"]
                local = "127.0.0.1:0"
                allow_addresses = ["127.0.0.1"]
            "#
        )
    });
    let sidecar = proxy(&format!("[egress]\nlisten = \"127.0.0.1:0\"\n{}", upstreams.concat()));
    for (name, _) in VENDORS {
        let path = format!("circuit-breakers/{name}/open");
        assert_eq!(sidecar.post(&path, r#"{"reason": "a drill", "ttl": "5m"}"#).status, 200);
    }
    sidecar
}

/// What the library's user catches: class, status, words.
fn caught(script: &mut Command) -> Value {
    serde_json::from_slice(&run(script)).expect("three words")
}

fn refused(sidecar: &Proxy, name: &str) -> f64 {
    sidecar.metric("breaker_refused_total", &format!("upstream=\"{name}\""))
}

#[test]
fn each_vendor_s_own_library_raises_its_own_error_while_the_breaker_is_open() {
    let origin = Upstream::start(status(200));
    let sidecar = sidecar(&origin);
    let said = "The upstream is failing and is not being called now; try again later.";
    for (name, error, words) in [
        ("stripe", "stripe._error.APIError", said.to_owned()),
        ("sendgrid", "python_http_client.exceptions.ServiceUnavailableError", said.to_owned()),
        ("twilio", "twilio.base.exceptions.TwilioRestException", format!("Unable to create record: {said}")),
        ("google_calendar", "googleapiclient.errors.HttpError", said.to_owned()),
    ] {
        let base = format!("http://{}", sidecar.at(&format!("local:{name}")));
        let mut script = python("with_vendors.py");
        assert_eq!(caught(script.args([name, &base])), json!([error, 503, words]), "{name}");
        assert_eq!(refused(&sidecar, name), 1.0, "{name}: one request for one call");
    }
    assert_eq!(origin.hits(), 0, "nobody was called");
}

/// The ordinary day: an answer passes as it is, and a failure that happened once is not held against a client that repeats.
#[test]
fn only_what_the_breaker_refuses_is_not_to_be_repeated() {
    let origin = Upstream::start(status(500));
    let port = origin.address.port();
    let sidecar = proxy(&format!(
        r#"
            [egress]
            listen = "127.0.0.1:0"
            [upstreams.stripe]
            preset = "stripe"
            endpoints = ["127.0.0.1:{port}"]
            local = "127.0.0.1:0"
            allow_addresses = ["127.0.0.1"]
        "#
    ));
    let asked = || raw::get(sidecar.at("local:stripe"), "/v1/customers");
    let passed = asked();
    assert_eq!((passed.status, passed.field("stripe-should-retry")), (500, None));
    assert_eq!(passed.text(), "500 /v1/customers\n");
    origin.answer(bytes("", false));
    let failed = asked();
    assert_eq!((failed.status, failed.field("stripe-should-retry")), (502, None));
    assert!(failed.json()["error"]["message"].is_string(), "in the vendor's shape");
    let order = r#"{"reason": "a drill", "ttl": "5m"}"#;
    assert_eq!(sidecar.post("circuit-breakers/stripe/open", order).status, 200);
    let held = asked();
    assert_eq!((held.status, held.field("stripe-should-retry")), (503, Some("false")));
}

#[test]
fn each_vendor_s_own_library_raises_its_http_library_s_error_through_a_tunnel() {
    let origin = Upstream::start(status(200));
    let sidecar = sidecar(&origin);
    for (name, error) in [
        ("stripe", "stripe._error.APIConnectionError"),
        ("sendgrid", "urllib.error.URLError"),
        ("twilio", "requests.exceptions.ProxyError"),
        ("google_calendar", "socks.GeneralProxyError"),
    ] {
        let mut script = python("with_vendors.py");
        script.env("HTTPS_PROXY", format!("http://{}", sidecar.egress())).arg(name);
        assert_eq!(caught(&mut script)[0], error, "{name}");
        assert!(refused(&sidecar, name) >= 1.0, "{name}: it was the breaker");
    }
    assert_eq!(origin.hits(), 0, "nobody was called");
}
