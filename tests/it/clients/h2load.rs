use super::tls_ingress_to;
use crate::support::proxy::{Proxy, ingress_to};
use crate::support::secure::issue;
use crate::support::tools::{run, tool};
use crate::support::upstream::{Upstream, status};

/// 2000 requests by 10 clients with 10 streams each: every one is answered, and counted once.
fn load(proxy: &Proxy, url: &str, backend: &Upstream) {
    let said = run(tool("h2load").args(["-n", "2000", "-c", "10", "-m", "10", url]));
    let said = String::from_utf8_lossy(&said);
    for line in [
        "requests: 2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed, 0 errored, 0 timeout",
        "status codes: 2000 2xx, 0 3xx, 0 4xx, 0 5xx",
    ] {
        assert!(said.contains(line), "{said}");
    }
    assert_eq!(backend.hits(), 2_000);
    assert_eq!(proxy.metric("http_requests_total", ""), 2_000.0);
    assert_eq!(proxy.metric("http_requests_total", "status=\"200\""), 2_000.0);
    assert_eq!(proxy.metric("http_request_outcomes_total", "outcome=\"ok\""), 2_000.0);
    assert_eq!(proxy.metric("http_request_duration_ms_count", ""), 2_000.0);
    assert_eq!(proxy.metric("http_server_active_requests", ""), 0.0);
}

#[test]
fn h2load_is_served_without_tls() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    load(&proxy, &format!("http://{}/load", proxy.ingress()), &backend);
}

#[test]
fn h2load_is_served_over_tls() {
    let backend = Upstream::start(status(200));
    let proxy = tls_ingress_to(backend.address, &issue(&["localhost"]));
    load(&proxy, &format!("https://localhost:{}/load", proxy.ingress().port()), &backend);
}

#[test]
fn h2load_is_served_by_a_backend_that_speaks_http2_too() {
    let backend = Upstream::start(status(200));
    // A second proxy makes an HTTP/1.1 backend one that speaks HTTP/2.
    let far = ingress_to(backend.address, "");
    let near = ingress_to(far.ingress(), "protocol = \"h2\"\n");
    load(&near, &format!("http://{}/load", near.ingress()), &backend);
    assert_eq!(far.metric("http_requests_total", "status=\"200\""), 2_000.0);
}
