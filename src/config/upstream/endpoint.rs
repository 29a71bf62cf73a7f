//! Where an upstream listens: `host:port`, `[v6]:port` or `name:port`.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::message::head::split_authority;
use crate::units::Written;

/// One address of an upstream as written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// A name that is looked up, or an address.
    pub host: Host,
    pub port: u16,
}

/// A name that is looked up, or an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// Looked up, and again by TTL.
    Name(HostName),
    /// Used as it is.
    Address(IpAddr),
}

/// A name as it is looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostName {
    /// Lower case, without a dot at its end: what TLS verifies and a `Host` field says.
    pub text: String,
    /// It is complete: no search domain of resolv.conf is appended. That is what a dot at its end says.
    pub complete: bool,
}

impl Host {
    /// Is it this very machine?
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Address(ip) => ip.is_loopback(),
            Self::Name(name) => name.text == "localhost",
        }
    }
}

impl Written for Endpoint {
    const LIKE: &'static str = r#"an endpoint, such as "host:port", "10.0.0.7:8001" or "[::1]:8001""#;
    const PATTERN: &'static str = r"^.+:[0-9]+$";

    fn read(text: &str) -> Option<Self> {
        let (host, port) = split_authority(text);
        let port = port.filter(|port| *port > 0)?;
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Some(Self { host: Host::Address(ip), port });
        }
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        let (complete, text) = (host.ends_with('.'), host.trim_end_matches('.').to_ascii_lowercase());
        let fits = !text.is_empty() && host.chars().all(named);
        fits.then_some(Self { host: Host::Name(HostName { text, complete }), port })
    }

    fn write(&self) -> String {
        match &self.host {
            Host::Name(HostName { text, complete: true }) => format!("{text}.:{}", self.port),
            Host::Name(HostName { text, complete: false }) => format!("{text}:{}", self.port),
            Host::Address(ip) => SocketAddr::new(*ip, self.port).to_string(),
        }
    }
}

impl Written for IpNet {
    const LIKE: &'static str = r#"a network, such as "10.0.0.0/8", or one address"#;
    const PATTERN: &'static str = r"^[0-9a-fA-F.:]+(/[0-9]+)?$";

    fn read(text: &str) -> Option<Self> {
        text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(Self::from))
    }

    fn write(&self) -> String {
        self.to_string()
    }
}
