use std::net::SocketAddr;
use std::process::Command;

use super::message;
use crate::support::eventually;
use crate::support::proxy::{Proxy, proxy};
use crate::support::secure::Issued;
use crate::support::tools::{Server, node, run};

/// The same pages by every way to them: straight, and through a proxy from a backend of each version.
pub struct Pages {
    scheme: &'static str,
    direct: Server,
    through: [Way; 2],
}

/// A proxy in front of pages.
struct Way {
    proxy: Proxy,
    protocol: &'static str,
    _backend: Server,
}

/// An ingress that takes one client connection: whatever is asked at once is asked on that one.
pub const ONE_CONNECTION: &str = "limits = { connections = 1 }";

/// Pages at a port that speaks this version.
fn origin(version: &[&str]) -> Server {
    Server::start(node("http2_origin.mjs").args(version))
}

impl Way {
    fn new(version: &str, protocol: &'static str, ingress: &str, more: &str) -> Self {
        let backend = origin(&[version]);
        let proxy = proxy(&format!(
            r#"
                [ingress]
                listen = "127.0.0.1:0"
                {ingress}
                [upstreams.backend]
                endpoints = ["{}"]
                protocol = "{protocol}"
                {more}
            "#,
            backend.address
        ));
        Self { proxy, protocol, _backend: backend }
    }
}

impl Pages {
    /// Clients know beforehand that HTTP/2 is spoken. `ingress`: more keys of it; `more`: more sections.
    pub fn in_clear(ingress: &str, more: &str) -> Self {
        Self::new("http", origin(&["h2c"]), ingress, more)
    }

    /// HTTP/2 is agreed on in the handshake.
    pub fn over_tls(issued: &Issued, ingress: &str, more: &str) -> Self {
        let (cert, key) = (issued.cert.display().to_string(), issued.key.display().to_string());
        let tls = format!("tls = {{ cert_file = \"{cert}\", key_file = \"{key}\" }}\n{ingress}");
        Self::new("https", origin(&["h2", &cert, &key]), &tls, more)
    }

    fn new(scheme: &'static str, direct: Server, ingress: &str, more: &str) -> Self {
        let way = |version, protocol| Way::new(version, protocol, ingress, more);
        Self { scheme, direct, through: [way("http1", "http1"), way("h2c", "h2")] }
    }

    fn base(&self, address: SocketAddr) -> String {
        format!("{}://localhost:{}", self.scheme, address.port())
    }

    /// Where the pages are without a proxy.
    pub fn direct(&self) -> String {
        self.base(self.direct.address)
    }

    /// What a client at `BASE` tells of answers and requests is the same by every way; what it tells.
    pub fn compare(&self, client: impl Fn(&str) -> Vec<u8>) -> String {
        let told = |address| message(&String::from_utf8_lossy(&client(&self.base(address))), address);
        let direct = told(self.direct.address);
        for way in &self.through {
            assert_eq!(direct, told(way.proxy.ingress()), "straight, and from {}", way.protocol);
        }
        direct
    }

    /// Every proxy.
    pub fn proxies(&self) -> impl Iterator<Item = &Proxy> {
        self.through.iter().map(|way| &way.proxy)
    }

    /// The same of a client that gives two of its requests up: nothing else has ended badly.
    pub fn compare_with_leaving(&self, client: impl Fn(&str) -> Command) {
        self.compare(|base| run(&mut client(base)));
        for proxy in self.proxies() {
            eventually("every exchange has ended", || proxy.metric("http_server_active_requests", "") == 0.0);
            let outcome =
                |label: &str| proxy.metric("http_request_outcomes_total", &format!("outcome=\"{label}\""));
            assert_eq!(outcome("client_gone"), 2.0);
            assert_eq!(
                outcome("ok") + outcome("client_error") + 2.0,
                proxy.metric("http_requests_total", "")
            );
            assert_eq!(proxy.metric("circuit_breaker_failures", ""), 0.0, "nobody's fault");
        }
    }
}
