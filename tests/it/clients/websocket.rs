use super::{forward_proxy_to, tls_ingress_to};
use crate::support::eventually;
use crate::support::proxy::ingress_to;
use crate::support::secure::{TlsFront, issue};
use crate::support::tools::{Server, python, run};

fn server() -> Server {
    Server::start(&mut python("websocket_server.py"))
}

#[test]
fn a_websocket_client_is_served_without_the_proxy() {
    let server = server();
    run(python("with_websockets.py").arg(format!("ws://{}/chat", server.address)));
}

#[test]
fn a_websocket_client_is_served_at_the_ingress() {
    let server = server();
    let proxy = ingress_to(server.address, "");
    run(python("with_websockets.py").arg(format!("ws://{}/chat", proxy.ingress())));
    eventually("each connection is one exchange", || {
        proxy.metric("http_requests_total", "status=\"101\"") == 5.0
    });
}

#[test]
fn a_websocket_client_is_served_over_tls() {
    let server = server();
    let issued = issue(&["localhost"]);
    let proxy = tls_ingress_to(server.address, &issued);
    let uri = format!("wss://localhost:{}/chat", proxy.ingress().port());
    run(python("with_websockets.py").env("SSL_CERT_FILE", &issued.ca).arg(uri));
}

#[test]
fn a_websocket_client_gets_out_by_a_tunnel() {
    let server = server();
    let proxy = forward_proxy_to(server.address);
    let uri = format!("ws://localhost:{}/chat", server.address.port());
    run(python("with_websockets.py").arg(uri).arg(format!("http://{}", proxy.egress())));
    eventually("each connection is one tunnel", || {
        proxy.metric("tunnel_connect_seconds_count", "upstream=\"origin\"") == 5.0
    });
}

#[test]
fn a_websocket_client_gets_out_by_a_tunnel_with_tls_inside() {
    let server = server();
    let issued = issue(&["localhost"]);
    let front = TlsFront::start(&issued, server.address);
    let proxy = forward_proxy_to(front.address);
    let uri = format!("wss://localhost:{}/chat", front.address.port());
    let mut client = python("with_websockets.py");
    run(client.env("SSL_CERT_FILE", &issued.ca).arg(uri).arg(format!("http://{}", proxy.egress())));
}
