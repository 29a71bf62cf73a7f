use std::net::SocketAddr;
use std::process::Command;

use super::origin::{LARGE, Origin};
use super::{forward_proxy_to, message, requests, tls_ingress_to};
use crate::bypass;
use crate::support::eventually;
use crate::support::proxy::{Proxy, ingress_to, proxy};
use crate::support::secure::{TlsFront, issue};
use crate::support::tools::{Server, python, run};

/// One run of a script: what it printed of its answers, what the origin saw, connections that the origin got.
fn told(
    origin: &Origin,
    mut script: Command,
    base: &str,
    authority: SocketAddr,
) -> (String, Vec<String>, usize) {
    let (hits, connections) = (origin.upstream.hits(), origin.upstream.connections());
    let said = String::from_utf8_lossy(&run(script.arg(base))).into_owned();
    assert!(!said.to_ascii_lowercase().contains("connection: close"), "{said}");
    (
        message(&said, authority),
        requests(&origin.upstream, authority, hits),
        origin.upstream.connections() - connections,
    )
}

fn assert_same(direct: (String, Vec<String>, usize), through: (String, Vec<String>, usize)) {
    assert_eq!(direct.0, through.0, "what the client was told");
    assert_eq!(direct.1, through.1, "what the origin saw");
    assert!(through.2 <= direct.2, "{} connections instead of {}", through.2, direct.2);
}

/// The script, pointed at a proxy by nothing but the variables that everybody sets.
fn by_proxy(script: &str, proxy: &Proxy) -> Command {
    let by = format!("http://{}", proxy.egress());
    let mut command = python(script);
    command.env("HTTP_PROXY", &by).env("HTTPS_PROXY", &by).env("http_proxy", &by).env("https_proxy", &by);
    command
}

fn by_absolute_form(script: &str) {
    let origin = Origin::start();
    let address = origin.upstream.address;
    let proxy = forward_proxy_to(address);
    let base = format!("http://localhost:{}", address.port());
    let direct = told(&origin, python(script), &base, address);
    let through = told(&origin, by_proxy(script, &proxy), &base, address);
    assert_same(direct, through);
    let carried = proxy.metric("http_requests_total", "upstream=\"origin\"");
    assert_eq!(carried, origin.upstream.hits() as f64 / 2.0, "all of them by the proxy");
}

fn by_tunnel(script: &str) {
    let origin = Origin::start();
    let issued = issue(&["localhost"]);
    let front = TlsFront::start(&issued, origin.upstream.address);
    let proxy = forward_proxy_to(front.address);
    let base = format!("https://localhost:{}", front.address.port());
    let trusting = |mut command: Command| {
        command.env("SSL_CERT_FILE", &issued.ca).env("REQUESTS_CA_BUNDLE", &issued.ca);
        command
    };
    let direct = told(&origin, trusting(python(script)), &base, front.address);
    let through = told(&origin, trusting(by_proxy(script, &proxy)), &base, front.address);
    assert_same(direct, through);
    let carried = proxy.metric("tunnel_bytes_total", "direction=\"down\"");
    assert!(carried > LARGE as f64, "all of it by the tunnel: {carried}");
}

fn by_ingress(script: &str) {
    let origin = Origin::start();
    let proxy = ingress_to(origin.upstream.address, "");
    let at = |address: SocketAddr| format!("http://localhost:{}", address.port());
    let direct = told(&origin, python(script), &at(origin.upstream.address), origin.upstream.address);
    let through = told(&origin, python(script), &at(proxy.ingress()), proxy.ingress());
    assert_same(direct, through);
}

#[test]
fn requests_is_served_at_the_ingress() {
    by_ingress("with_requests.py");
}

#[test]
fn requests_reaches_a_plain_origin_by_its_proxy_variables() {
    by_absolute_form("with_requests.py");
}

#[test]
fn requests_reaches_a_tls_origin_by_its_proxy_variables() {
    by_tunnel("with_requests.py");
}

#[test]
fn httpx_is_served_at_the_ingress() {
    by_ingress("with_httpx.py");
}

#[test]
fn httpx_reaches_a_plain_origin_by_its_proxy_variables() {
    by_absolute_form("with_httpx.py");
}

#[test]
fn httpx_reaches_a_tls_origin_by_its_proxy_variables() {
    by_tunnel("with_httpx.py");
}

#[test]
fn httpx_is_served_by_http2_with_prior_knowledge() {
    let origin = Origin::start();
    let proxy = ingress_to(origin.upstream.address, "");
    run(python("with_httpx.py").arg(format!("http://{}", proxy.ingress())).arg("HTTP/2"));
    assert!(origin.upstream.connections() <= 3, "{} connections", origin.upstream.connections());
}

#[test]
fn httpx_speaks_http2_through_a_tunnel() {
    let origin = Origin::start();
    let issued = issue(&["localhost"]);
    // A second proxy is the origin that speaks HTTP/2 by ALPN.
    let far = tls_ingress_to(origin.upstream.address, &issued);
    let proxy = forward_proxy_to(far.ingress());
    let base = format!("https://localhost:{}", far.ingress().port());
    run(by_proxy("with_httpx.py", &proxy).env("SSL_CERT_FILE", &issued.ca).arg(base).arg("HTTP/2"));
    eventually("the tunnel has ended, the only one", || {
        proxy.metric("tunnel_connect_seconds_count", "upstream=\"origin\"") == 1.0
    });
}

#[test]
fn aiohttp_is_served_at_the_ingress() {
    by_ingress("with_aiohttp.py");
}

#[test]
fn aiohttp_reaches_a_plain_origin_by_its_proxy_variables() {
    by_absolute_form("with_aiohttp.py");
}

#[test]
fn aiohttp_reaches_a_tls_origin_by_its_proxy_variables() {
    by_tunnel("with_aiohttp.py");
}

/// What the README says of clients that ignore the variables: they pass by in silence, and how they do not.
#[test]
fn clients_that_ignore_the_variables_pass_by_and_are_seen() {
    let origin = Origin::start();
    let issued = issue(&["localhost"]);
    let front = TlsFront::start(&issued, origin.upstream.address);
    let port = front.address.port();
    let proxy = proxy(&format!(
        r#"
            [egress]
            listen = "127.0.0.1:0"
            bypass_ports = [{port}]
            [upstreams.origin]
            hosts = ["localhost"]
            endpoints = ["{}"]
            allow_addresses = ["127.0.0.0/8"]
        "#,
        front.address
    ));
    let base = format!("https://localhost:{port}");
    let call = |client: &str| {
        let mut script = by_proxy("passing_by.py", &proxy);
        Server::start(script.env("SSL_CERT_FILE", &issued.ca).args([client, &base]))
    };
    let through = || proxy.metric("listener_connections", "listener=\"egress\"");
    let silent = ["twilio", "twilio with proxy_url", "httplib2"].map(call);
    assert_eq!(through(), 0.0, "none of them asks the proxy");
    eventually("all of them are seen", || bypass::open(&proxy, "origin") == silent.len() as f64);
    let mended = ["twilio with a session", "httplib2 with PySocks"].map(call);
    assert_eq!(through(), mended.len() as f64, "both do as the README says");
    bypass::looked_at(&proxy);
    assert_eq!(
        bypass::open(&proxy, "origin"),
        silent.len() as f64,
        "what goes through is not seen passing by"
    );
}
