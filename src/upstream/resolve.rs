//! From names to addresses, off the request path.
//!
//! Every name is looked up again by its TTL; when that fails the old addresses stay in use. The guard sees every
//! address before anybody connects to it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use hickory_resolver::TokioResolver;

use super::endpoint::EndpointState;
use super::{Upstream, guard};
use crate::config::{self, Host};
use crate::runtime::clock;
use crate::runtime::drain::Drain;
use crate::telemetry::event::Event;

/// Wait before a failed look-up is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// What `localhost` leads to, whatever the hosts file says (RFC 6761 section 6.3).
const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Looks names up.
pub struct Resolver(Option<TokioResolver>);

/// What a name leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// All of them, IPv4 first.
    pub addresses: Vec<IpAddr>,
    /// How long they may be believed.
    pub ttl: Duration,
}

impl Resolver {
    /// With the system's servers and hosts file. Without any, only addresses and `localhost` can be used.
    pub fn system() -> Self {
        Self(TokioResolver::builder_tokio().ok().and_then(|builder| builder.build().ok()))
    }

    /// Looks up IPv4 and IPv6 addresses. The error is for the log.
    pub async fn lookup(&self, name: &str) -> Result<Resolved, String> {
        if name.eq_ignore_ascii_case("localhost") {
            return Ok(Resolved { addresses: vec![LOCALHOST], ttl: Duration::from_secs(3_600) });
        }
        let resolver = self.0.as_ref().ok_or("no name server is configured on this machine")?;
        // The trailing dot says that the name is complete: no search domains.
        let full =
            if name.contains('.') && !name.ends_with('.') { format!("{name}.") } else { name.to_owned() };
        let answer = resolver.lookup_ip(full).await.map_err(|error| error.to_string())?;
        let ttl = answer.valid_until().saturating_duration_since(clock::instant());
        let mut addresses: Vec<IpAddr> = answer.iter().collect();
        addresses.sort_by_key(IpAddr::is_ipv6);
        Ok(Resolved { addresses, ttl })
    }
}

/// What of `addresses` may be reached by this upstream; each refusal goes to `refused`.
pub fn admitted(
    upstream: &config::Upstream,
    addresses: &[IpAddr],
    trusted: bool,
    mut refused: impl FnMut(IpAddr, &'static str),
) -> Vec<IpAddr> {
    let pass = |ip: &&IpAddr| {
        let range = if trusted { None } else { guard::forbidden(**ip, &upstream.allow_addresses) };
        if let Some(range) = range {
            refused(**ip, range);
        }
        range.is_none()
    };
    addresses.iter().filter(pass).copied().collect()
}

/// What is told once and not with every look-up.
#[derive(Debug, Default)]
struct Told {
    failing: BTreeSet<String>,
    refused: BTreeSet<IpAddr>,
}

impl Told {
    fn failed(&mut self, name: &str, error: &str) {
        if self.failing.insert(name.to_owned()) {
            Event::NamesFailed { host: name, error }.tell();
        }
    }

    fn found(&mut self, name: &str) {
        if self.failing.remove(name) {
            Event::NamesFound { host: name }.tell();
        }
    }

    fn refused(&mut self, upstream: &config::Upstream, ip: IpAddr, range: &'static str) {
        if self.refused.insert(ip) {
            let address = ip.to_string();
            Event::AddressForbidden { upstream: upstream.name.as_str(), address: &address, range }.tell();
        }
    }
}

/// Looks all names of an upstream up; the addresses and when to ask again. A name that cannot be looked up keeps the
/// addresses it had.
async fn all(
    resolver: &Resolver,
    upstream: &Upstream,
    trusted: bool,
    told: &mut Told,
) -> (Vec<(SocketAddr, String)>, Duration) {
    let config = &upstream.config;
    let (least, most) = config.dns_ttl;
    let mut found = Vec::new();
    let mut ttl = most;
    for endpoint in &config.endpoints {
        let (name, addresses) = match &endpoint.host {
            Host::Address(ip) => (ip.to_string(), vec![*ip]),
            Host::Name(name) => match resolver.lookup(name).await {
                Ok(resolved) => {
                    told.found(name);
                    ttl = ttl.min(resolved.ttl.clamp(least, most));
                    (name.clone(), resolved.addresses)
                }
                Err(error) => {
                    told.failed(name, &error);
                    ttl = ttl.min(AGAIN);
                    let before = upstream.endpoints.load();
                    let kept = before.iter().filter(|e| e.host == *name && e.addr.port() == endpoint.port);
                    found.extend(kept.map(|e| (e.addr, e.host.clone())));
                    continue;
                }
            },
        };
        let passed = admitted(config, &addresses, trusted, |ip, range| told.refused(config, ip, range));
        found.extend(passed.iter().map(|ip| (SocketAddr::new(*ip, endpoint.port), name.clone())));
    }
    (found, ttl)
}

/// Addresses that need no look-up are in place before the first request; all or nothing, for the look-up task publishes
/// them together.
pub fn at_once(upstream: &Upstream, trusted: bool, now: Instant) {
    let mut found = Vec::new();
    for endpoint in &upstream.config.endpoints {
        let (ip, host) = match &endpoint.host {
            Host::Address(ip) => (*ip, ip.to_string()),
            Host::Name(name) if name == "localhost" => (LOCALHOST, name.clone()),
            Host::Name(_) => return,
        };
        let passed = admitted(&upstream.config, &[ip], trusted, |_, _| {});
        found.extend(passed.iter().map(|ip| (SocketAddr::new(*ip, endpoint.port), host.clone())));
    }
    publish(&upstream.endpoints, &found, now);
}

/// Puts addresses in place; what was there before keeps its state.
pub fn publish(endpoints: &ArcSwap<Vec<Arc<EndpointState>>>, found: &[(SocketAddr, String)], now: Instant) {
    let old = endpoints.load_full();
    let same = |addr: &SocketAddr, host: &str| {
        old.iter().find(|e| e.addr == *addr && e.host == host).map(Arc::clone)
    };
    let new: Vec<_> = found
        .iter()
        .map(|(addr, host)| same(addr, host).unwrap_or_else(|| EndpointState::new(*addr, host.clone(), now)))
        .collect();
    let unchanged = new.len() == old.len() && new.iter().zip(old.iter()).all(|(a, b)| a.id == b.id);
    if !unchanged {
        endpoints.store(Arc::new(new));
    }
}

/// Keeps the addresses of one upstream fresh until it is asked to leave, or the upstream is replaced or gone.
pub async fn keep_fresh(
    resolver: Arc<Resolver>,
    upstream: std::sync::Weak<Upstream>,
    trusted: bool,
    drain: Drain,
) {
    let mut told = Told::default();
    loop {
        let Some(held) = upstream.upgrade() else { return };
        let (found, wait) = all(&resolver, &held, trusted, &mut told).await;
        if held.is_retired() {
            return;
        }
        publish(&held.endpoints, &found, clock::instant());
        let names = held.config.endpoints.iter().any(|endpoint| matches!(endpoint.host, Host::Name(_)));
        drop(held);
        if !names {
            return;
        }
        tokio::select! {
            () = drain.requested() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}
