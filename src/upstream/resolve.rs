//! From names to addresses, off the request path.
//!
//! Every name is looked up again by its TTL, and what it leads to is put in place as a whole: an address that
//! stays keeps its state. A name that no server can answer for keeps its last addresses for good; one that is
//! said not to exist keeps them for `dns.max_ttl` since it was last found. The guard sees every address before
//! anybody connects to it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::Upstream;
use super::endpoint::EndpointState;
use super::guard::{self, Listeners};
use crate::config::{self, Host};
use crate::net::names::{self, AddressFamily, Resolved, Resolver, Search, Unresolved};
use crate::runtime::clock;
use crate::runtime::drain::Drain;
use crate::telemetry::event::{Event, NamesEvent, UpstreamEvent};

/// Wait before a failed look-up is tried again.
const AGAIN: Duration = Duration::from_secs(2);

/// An address of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedEndpoint {
    /// Has passed the guard.
    pub addr: SocketAddr,
    /// As the operator wrote it, without a dot at its end.
    pub host: String,
    /// Of the family that is called only when the other one does not answer.
    pub fallback: bool,
}

/// The addresses of one name, the best first: the family of the first one is the one that is called.
pub fn found(addresses: &[IpAddr], host: &str, port: u16) -> Vec<ResolvedEndpoint> {
    let first = addresses.first().map(|ip| AddressFamily::of(*ip));
    let one = |ip: &IpAddr| ResolvedEndpoint {
        addr: SocketAddr::new(*ip, port),
        host: host.to_owned(),
        fallback: Some(AddressFamily::of(*ip)) != first,
    };
    addresses.iter().map(one).collect()
}

/// What of `addresses` may be reached by this upstream; each refusal goes to `refused`.
pub fn admitted(
    upstream: &config::UpstreamConfig,
    addresses: &[IpAddr],
    trusted: bool,
    mut refused: impl FnMut(IpAddr, &'static str),
) -> Vec<IpAddr> {
    let pass = |ip: &&IpAddr| {
        let forbidden = || guard::forbidden(**ip, &upstream.allow_addresses);
        let own = || guard::own(**ip, &upstream.allow_addresses);
        let range = if trusted { None } else { forbidden().or_else(own) };
        if let Some(range) = range {
            refused(**ip, range);
        }
        range.is_none()
    };
    addresses.iter().filter(pass).copied().collect()
}

/// What is the matter with a name; told once and not with every look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// No server can say.
    Untold,
    /// It is said not to exist; its addresses are kept.
    Absent,
    /// As before, and no longer kept.
    Gone,
}

/// What is known of one name.
#[derive(Clone, Copy, Debug)]
struct NameState {
    /// When it was last found; `None`: never.
    seen: Option<Instant>,
    trouble: Option<Trouble>,
}

/// What the look-ups of one upstream remember.
#[derive(Debug, Default)]
struct LookupMemory {
    names: BTreeMap<String, NameState>,
    refused: BTreeSet<IpAddr>,
    back: BTreeSet<SocketAddr>,
    listeners: Arc<Listeners>,
}

impl LookupMemory {
    /// Of a name that has `kept` addresses from before.
    fn of(&mut self, host: &str, kept: usize, now: Instant) -> &mut NameState {
        // Addresses that another config of this upstream has left behind count as seen when they were taken over.
        let seen = (kept > 0).then_some(now);
        self.names.entry(host.to_owned()).or_insert(NameState { seen, trouble: None })
    }

    fn found(&mut self, host: &str, now: Instant) {
        let known = self.of(host, 0, now);
        known.seen = Some(now);
        if known.trouble.take().is_some() {
            NamesEvent::Found { host }.tell();
        }
    }

    /// Until when the `kept` addresses of a name that was not found are used; `None`: they are to go.
    fn lost(&mut self, host: &str, why: &Unresolved, kept: usize, most: Duration) -> Option<NameRetention> {
        let now = clock::now();
        let known = self.of(host, kept, now.instant);
        let until = known.seen.map_or(now.instant, |seen| seen + most);
        let (trouble, came) = match why {
            Unresolved::Untold(_) => (Trouble::Untold, Some(NameRetention::ForGood)),
            Unresolved::Absent(_) if kept > 0 && now.instant < until => {
                (Trouble::Absent, Some(NameRetention::Until(until)))
            }
            Unresolved::Absent(_) => (Trouble::Gone, None),
        };
        if known.trouble.replace(trouble) != Some(trouble) {
            let error = &why.to_string();
            match trouble {
                Trouble::Untold => NamesEvent::Untold { host, error, kept }.tell(),
                Trouble::Absent => {
                    let until = clock::rfc3339(now.wall + until.saturating_duration_since(now.instant));
                    NamesEvent::Absent { host, error, kept, until: &until }.tell();
                }
                Trouble::Gone => NamesEvent::Gone { host, error }.tell(),
            }
        }
        came
    }

    /// What of `found` does not lead back to this process; what does is told once.
    fn without_circles(
        &mut self,
        upstream: &config::UpstreamConfig,
        mut found: Vec<ResolvedEndpoint>,
    ) -> Vec<ResolvedEndpoint> {
        found.retain(|one| {
            let back = self.listeners.lead_back(upstream, one.addr);
            if back && self.back.insert(one.addr) {
                let address = one.addr.to_string();
                UpstreamEvent::LeadsBack { upstream: upstream.name.as_str(), address: &address }.tell();
            }
            !back
        });
        found
    }

    fn refused(&mut self, upstream: &config::UpstreamConfig, ip: IpAddr, range: &'static str) {
        if self.refused.insert(ip) {
            let address = ip.to_string();
            Event::AddressForbidden { upstream: upstream.name.as_str(), address: &address, range }.tell();
        }
    }
}

/// How long addresses of a name that was not found stay in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NameRetention {
    ForGood,
    Until(Instant),
}

/// What looking up each endpoint of an upstream came to, in their order; `None`: it is an address.
type LookupResults = Vec<Option<Result<Resolved, Unresolved>>>;

/// Looks all names of an upstream up.
async fn look_up(resolver: &Resolver, config: &config::UpstreamConfig) -> LookupResults {
    let mut came = LookupResults::with_capacity(config.endpoints.len());
    for endpoint in &config.endpoints {
        came.push(match &endpoint.host {
            Host::Address(_) => None,
            Host::Name(name) => {
                let search = if config.is_complete(name) { Search::Never } else { Search::Domains };
                Some(resolver.lookup(&name.text, search).await)
            }
        });
    }
    came
}

/// All addresses of an upstream after its look-ups, and when to ask again.
fn all(
    upstream: &Upstream,
    trusted: bool,
    memory: &mut LookupMemory,
    came: LookupResults,
) -> (Vec<ResolvedEndpoint>, Duration) {
    let config = &upstream.config;
    let (mut all, mut wait) = (Vec::new(), config.dns_ttl.1);
    for (endpoint, came) in config.endpoints.iter().zip(came) {
        let port = endpoint.port;
        match (&endpoint.host, came) {
            (Host::Name(name), Some(came)) => {
                let before = before(upstream, &name.text, port);
                let mut admit = |ips: &[IpAddr]| {
                    admitted(config, ips, trusted, |ip, range| memory.refused(config, ip, range))
                };
                let came = came.map(|resolved| {
                    let addresses = admit(&resolved.addresses);
                    Resolved { addresses, ..resolved }
                });
                let (more, again) = named(config.dns_ttl, (&name.text, port), came, before, memory);
                wait = wait.min(again);
                all.extend(more);
            }
            (Host::Address(ip), _) => {
                let passed = admitted(config, &[*ip], trusted, |ip, range| memory.refused(config, ip, range));
                all.extend(found(&passed, &ip.to_string(), port));
            }
            (Host::Name(_), None) => {}
        }
    }
    let all = memory.without_circles(config, all);
    (all, wait)
}

/// What a name led to until now.
fn before(upstream: &Upstream, host: &str, port: u16) -> Vec<ResolvedEndpoint> {
    let known = upstream.endpoints.load();
    let of_it = known.iter().filter(|endpoint| endpoint.host == host && endpoint.addr.port() == port);
    let as_found = |endpoint: &Arc<EndpointState>| ResolvedEndpoint {
        addr: endpoint.addr,
        host: host.to_owned(),
        fallback: endpoint.is_fallback(),
    };
    of_it.map(as_found).collect()
}

/// What a name leads to after a look-up that `came` to this, and when to ask again.
fn named(
    (least, most): (Duration, Duration),
    (host, port): (&str, u16),
    came: Result<Resolved, Unresolved>,
    before: Vec<ResolvedEndpoint>,
    memory: &mut LookupMemory,
) -> (Vec<ResolvedEndpoint>, Duration) {
    match came {
        Ok(resolved) => {
            memory.found(host, clock::instant());
            let mut all = found(&resolved.addresses, host, port);
            // Nobody could say of one family: what it had stays, first or second as it was.
            let of_it = |kept: &ResolvedEndpoint| Some(AddressFamily::of(kept.addr.ip())) == resolved.untold;
            let kept: Vec<ResolvedEndpoint> = before.into_iter().filter(of_it).collect();
            if kept.iter().any(|kept| !kept.fallback) {
                all.iter_mut().for_each(|found| found.fallback = true);
            }
            all.extend(kept);
            (all, resolved.ttl.clamp(least, most))
        }
        Err(why) => match memory.lost(host, &why, before.len(), most) {
            Some(NameRetention::ForGood) => (before, AGAIN),
            Some(NameRetention::Until(at)) => {
                (before, AGAIN.min(at.saturating_duration_since(clock::instant())))
            }
            None => (Vec::new(), AGAIN),
        },
    }
}

/// Addresses that need no look-up are in place before the first request; all or nothing, for the look-up
/// task publishes them together.
pub fn at_once(upstream: &Upstream, trusted: bool, listeners: &Listeners, now: Instant) {
    let mut all = Vec::new();
    for endpoint in &upstream.config.endpoints {
        let (addresses, host) = match &endpoint.host {
            Host::Address(ip) => (vec![*ip], ip.to_string()),
            Host::Name(name) => match names::localhost(&name.text) {
                Some(addresses) => (addresses, name.text.clone()),
                None => return,
            },
        };
        let passed = admitted(&upstream.config, &addresses, trusted, |_, _| {});
        all.extend(found(&passed, &host, endpoint.port));
    }
    all.retain(|one| !listeners.lead_back(&upstream.config, one.addr));
    publish(&upstream.endpoints, &all, now);
}

/// Puts addresses in place; what was there before keeps its state.
pub fn publish(endpoints: &ArcSwap<Vec<Arc<EndpointState>>>, found: &[ResolvedEndpoint], now: Instant) {
    let old = endpoints.load_full();
    let same = |one: &ResolvedEndpoint| {
        old.iter().find(|e| e.addr == one.addr && e.host == one.host).map(Arc::clone)
    };
    let mut new: Vec<(Arc<EndpointState>, bool)> = Vec::with_capacity(found.len());
    for one in found {
        let made = || EndpointState::new(one.addr, one.host.clone(), now);
        let state = same(one).unwrap_or_else(made);
        if !new.iter().any(|(there, _)| there.addr == one.addr && there.host == one.host) {
            new.push((state, one.fallback));
        }
    }
    let turned: Vec<bool> = new.iter().map(|(state, fallback)| is_fallback(&new, state, *fallback)).collect();
    for ((state, _), fallback) in new.iter().zip(turned) {
        state.set_fallback(fallback);
    }
    let unchanged = new.len() == old.len() && new.iter().zip(old.iter()).all(|((a, _), b)| a.id == b.id);
    if !unchanged {
        endpoints.store(Arc::new(new.into_iter().map(|(state, _)| state).collect()));
    }
}

/// The order of addresses says `fallback`; it is turned round where no address of the preferred family was ever
/// reached, and one of the other was (RFC 8305 section 4: what was used before comes first).
fn is_fallback(all: &[(Arc<EndpointState>, bool)], state: &EndpointState, fallback: bool) -> bool {
    let beside = || all.iter().filter(|(other, _)| other.is_beside(state));
    let reached = |wanted: bool| beside().any(|(other, is)| *is == wanted && other.is_reached());
    if reached(true) && !reached(false) { !fallback } else { fallback }
}

/// Keeps the addresses of one upstream fresh until it is asked to leave, or the upstream is replaced or gone.
pub async fn keep_fresh(
    resolver: Arc<Resolver>,
    upstream: std::sync::Weak<Upstream>,
    trusted: bool,
    listeners: Arc<Listeners>,
    drain: Drain,
) {
    let mut memory = LookupMemory { listeners, ..LookupMemory::default() };
    loop {
        let Some(held) = upstream.upgrade() else { return };
        let came = look_up(&resolver, &held.config).await;
        let (found, wait) = all(&held, trusted, &mut memory, came);
        if held.is_retired() {
            return;
        }
        publish(&held.endpoints, &found, clock::instant());
        let names = held.config.endpoints.iter().any(|endpoint| matches!(endpoint.host, Host::Name(_)));
        let wake = held.renewal.wake();
        drop(held);
        if !names {
            return;
        }
        tokio::select! {
            () = drain.requested() => return,
            () = wake.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

#[cfg(test)]
mod tests;
