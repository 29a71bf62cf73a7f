use super::forward_proxy_to;
use crate::support::eventually;
use crate::support::proxy::{Proxy, ingress_to, proxy};
use crate::support::secure::issue;
use crate::support::tools::{Server, python, run};

fn server() -> Server {
    Server::start(&mut python("grpc_server.py"))
}

/// Two calls were cancelled. One ran into its deadline, which client and server notice at the same time: either the
/// client has left, or the backend has reset the stream, or it has answered with a status.
fn assert_only_what_went_wrong_is_counted(proxy: &Proxy) {
    eventually("every exchange has ended", || proxy.metric("http_server_active_requests", "") == 0.0);
    let failures = proxy.metric("circuit_breaker_failures", "");
    let gone = proxy.metric("http_request_outcomes_total", "outcome=\"client_gone\"");
    assert!(
        gone >= 2.0 && gone + failures <= 3.0,
        "a status of gRPC is no failure of HTTP: {gone}, {failures}"
    );
}

#[test]
fn a_grpc_client_is_served_without_the_proxy() {
    let server = server();
    run(python("with_grpc.py").arg(server.address.to_string()));
}

#[test]
fn a_grpc_client_is_served_at_the_ingress() {
    let server = server();
    let proxy = ingress_to(server.address, "protocol = \"h2\"\n");
    run(python("with_grpc.py").arg(proxy.ingress().to_string()));
    assert_only_what_went_wrong_is_counted(&proxy);
}

#[test]
fn a_grpc_client_is_served_over_tls() {
    let server = server();
    let issued = issue(&["localhost"]);
    let proxy = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            tls = {{ cert_file = "{}", key_file = "{}" }}
            [upstreams.backend]
            endpoints = ["{}"]
            protocol = "h2"
        "#,
        issued.cert.display(),
        issued.key.display(),
        server.address,
    ));
    let target = format!("localhost:{}", proxy.ingress().port());
    run(python("with_grpc.py").arg(target).arg(&issued.ca));
    assert_only_what_went_wrong_is_counted(&proxy);
}

#[test]
fn a_grpc_client_gets_out_by_its_proxy_variable() {
    let server = server();
    let proxy = forward_proxy_to(server.address);
    let target = format!("localhost:{}", server.address.port());
    run(python("with_grpc.py").env("grpc_proxy", format!("http://{}", proxy.egress())).arg(target));
    eventually("the tunnel is counted", || {
        proxy.metric("tunnel_connect_seconds_count", "upstream=\"origin\"") == 1.0
    });
}
