//! From names to addresses, off the request path.
//!
//! Every name is looked up again by its TTL; when that fails the old addresses stay in use. The guard sees every
//! address before anybody connects to it.

use std::net::{IpAddr, SocketAddr};
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
            return Ok(Resolved {
                addresses: vec![IpAddr::from([127, 0, 0, 1])],
                ttl: Duration::from_secs(3_600),
            });
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

/// The addresses of one endpoint that the guard lets pass; the first refusal is told.
pub fn admitted(upstream: &config::Upstream, addresses: &[IpAddr], trusted: bool) -> Vec<IpAddr> {
    let pass = |ip: &&IpAddr| {
        let range = if trusted { None } else { guard::forbidden(**ip, &upstream.allow_addresses) };
        if let Some(range) = range {
            Event::AddressForbidden { upstream: upstream.name.as_str(), address: &ip.to_string(), range }
                .tell();
        }
        range.is_none()
    };
    addresses.iter().filter(pass).copied().collect()
}

/// Looks all names of an upstream up; the addresses and when to ask again. `None` where a look-up failed.
pub async fn all(
    resolver: &Resolver,
    upstream: &config::Upstream,
    trusted: bool,
) -> (Option<Vec<(SocketAddr, String)>>, Duration) {
    let (least, most) = upstream.dns_ttl;
    let mut found = Vec::new();
    let mut ttl = most;
    for endpoint in &upstream.endpoints {
        match &endpoint.host {
            Host::Address(ip) => {
                let passed = admitted(upstream, &[*ip], trusted);
                found.extend(passed.iter().map(|ip| (SocketAddr::new(*ip, endpoint.port), ip.to_string())));
            }
            Host::Name(name) => match resolver.lookup(name).await {
                Ok(resolved) => {
                    ttl = ttl.min(resolved.ttl.clamp(least, most));
                    let passed = admitted(upstream, &resolved.addresses, trusted);
                    found.extend(passed.iter().map(|ip| (SocketAddr::new(*ip, endpoint.port), name.clone())));
                }
                Err(error) => {
                    Event::NamesFailed { host: name, error: &error }.tell();
                    return (None, AGAIN);
                }
            },
        }
    }
    (Some(found), ttl)
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

/// Keeps the addresses of one upstream fresh until it is asked to leave or the upstream is gone.
pub async fn keep_fresh(
    resolver: Arc<Resolver>,
    upstream: std::sync::Weak<Upstream>,
    trusted: bool,
    drain: Drain,
) {
    loop {
        let Some(held) = upstream.upgrade() else { return };
        let (found, wait) = all(&resolver, &held.config, trusted).await;
        if let Some(found) = found {
            publish(&held.endpoints, &found, clock::instant());
        }
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
