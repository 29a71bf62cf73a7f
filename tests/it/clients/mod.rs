//! Each client runs twice: straight to the origin, then through the proxy. What it was told, and what the origin saw
//! of it, must be the same but for what a proxy must add and remove.

/// Chromium: a page and its WebSocket.
mod chromium;
/// curl, by every way in.
mod curl;
/// Go's net/http.
mod go;
/// A gRPC client and server.
mod grpc;
/// h2load: many streams at once.
mod h2load;
/// Pages for clients of HTTP/2.
mod http2;
/// Java's own HttpClient.
mod java;
/// nghttp, of those who wrote the most used library of HTTP/2.
mod nghttp;
/// node's own fetch, and its client of HTTP/2.
mod node;
/// What answers.
mod origin;
/// requests, httpx, aiohttp, with nothing but the usual variables set.
mod python;
/// The vendor's own SDK against a stand-in of the vendor.
mod stripe;
/// The SDKs of the vendors while the breaker is open.
mod vendors;
/// A WebSocket client and server.
mod websocket;

use std::hash::Hasher as _;
use std::net::SocketAddr;

use crate::support::proxy::{Proxy, proxy};
use crate::support::secure::Issued;
use crate::support::upstream::{Seen, Upstream};

/// A forward proxy that knows `origin` as localhost.
fn forward_proxy_to(origin: SocketAddr) -> Proxy {
    proxy(&format!(
        r#"
            [egress]
            listen = "127.0.0.1:0"

            [upstreams.origin]
            hosts = ["localhost"]
            endpoints = ["{origin}"]
            allow_addresses = ["127.0.0.0/8"]
        "#
    ))
}

/// An ingress with this certificate in front of `backend`.
fn tls_ingress_to(backend: SocketAddr, issued: &Issued) -> Proxy {
    proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            tls = {{ cert_file = "{}", key_file = "{}" }}
            [upstreams.backend]
            endpoints = ["{backend}"]
        "#,
        issued.cert.display(),
        issued.key.display(),
    ))
}

/// Fields that belong to a hop, and those that a proxy adds.
const NOT_THE_MESSAGE: [&str; 9] = [
    "connection:",
    "keep-alive:",
    "via:",
    "forwarded:",
    "traceparent:",
    "x-request-id:",
    "x-forwarded-for:",
    "x-forwarded-host:",
    "x-forwarded-proto:",
];

/// `text` without the lines that are not of the message; `authority` is where it was sent.
fn message(text: &str, authority: SocketAddr) -> String {
    let kept = text.lines().filter(|line| {
        let line = line.to_ascii_lowercase();
        !NOT_THE_MESSAGE.iter().any(|field| line.starts_with(field))
    });
    let kept: String = kept.flat_map(|line| [line, "\n"]).collect();
    kept.replace(&authority.to_string(), "AUTHORITY")
        .replace(&format!("localhost:{}", authority.port()), "AUTHORITY")
}

/// A body in a few words: its length and a hash.
fn gist(body: &[u8]) -> String {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(body);
    format!("{} bytes, {:x}", body.len(), hasher.finish())
}

/// What the origin saw after its first `from` requests: heads without the hop, bodies by their gist.
fn requests(origin: &Upstream, authority: SocketAddr, from: usize) -> Vec<String> {
    let show = |seen: &Seen| message(&seen.head, authority) + &gist(&seen.body);
    origin.seen().iter().skip(from).map(show).collect()
}
