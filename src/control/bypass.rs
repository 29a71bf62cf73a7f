//! Who passes the egress by: connections of the pod to vendors that this process knows nothing of.
//!
//! Looked at every five seconds beside the control task; the request path knows nothing of it. What counts is a connection to an
//! address of an upstream of the way out, or to a public one: what stays within the cluster is meant to be direct.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::config::presets::SRE_API;
use crate::insight::bypass::{ConnectionSampler, Connections, Direct};
use crate::names::UpstreamName;
use crate::telemetry::bypass::Passing;
use crate::telemetry::event::UpstreamEvent;
use crate::units::At;
use crate::upstream::guard;
use crate::upstream::registry::{Registry, World};

/// Time between two looks at the kernel's tables.
const EVERY: Duration = Duration::from_secs(5);
/// Addresses that are shown.
const EXAMPLES: usize = 10;
/// The label of addresses that no upstream's name leads to now.
const UNKNOWN: &str = "(unknown)";

/// What is known of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bypass {
    /// Nothing is known, for this reason.
    NotObservable(String),
    /// What the last look has found.
    Observed(Arc<BypassReading>),
}

impl Bypass {
    /// By upstream, for the metrics.
    pub(super) fn passing(&self) -> BTreeMap<String, Passing> {
        match self {
            Self::NotObservable(_) => BTreeMap::new(),
            Self::Observed(observed) => observed.passing.clone(),
        }
    }
}

impl Default for Bypass {
    fn default() -> Self {
        Self::NotObservable("nobody has looked yet".to_owned())
    }
}

/// What one look at the kernel's tables has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BypassReading {
    pub at: At,
    /// The ports that were looked for.
    pub ports: Vec<u16>,
    /// By upstream, and those of none that is known.
    pub passing: BTreeMap<String, Passing>,
    /// Some of them: address, upstream where it is known, connections.
    pub examples: Vec<(SocketAddr, Option<String>, u64)>,
    /// There are more connections on this machine than are read.
    pub cut: bool,
}

/// A look that has ended: when it began, the ports, what was seen.
type BypassLook = (At, Vec<u16>, io::Result<Connections>);

/// Remembers what was seen.
#[derive(Debug, Default)]
pub(super) struct BypassWatch {
    asked: Option<At>,
    shared: Arc<Mutex<Option<BypassLook>>>,
    before: BTreeSet<Direct>,
    totals: BTreeMap<String, u64>,
    last: Bypass,
}

fn locked<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl BypassWatch {
    /// The last look, however old; the next one is begun when it is due.
    pub(super) fn look(&mut self, registry: &Registry, now: At) -> Bypass {
        let world = registry.snapshot();
        let Some(egress) = &world.config.egress else {
            return self.none("there is no [egress]: nobody is meant to go out through here");
        };
        if egress.bypass_ports.is_empty() {
            return self.none("egress.bypass_ports is empty");
        }
        let came = locked(&self.shared).take();
        if let Some((at, ports, came)) = came {
            self.last = match came {
                Ok(seen) => Bypass::Observed(Arc::new(self.count(&WaysOut::of(&world), ports, seen, at))),
                Err(error) => Bypass::NotObservable(format!("/proc/net/tcp cannot be read: {error}")),
            };
        }
        // A moment ahead of this one is of a clock that was set back.
        if self.asked.is_none_or(|asked| asked > now || now.since(asked) >= EVERY) {
            self.asked = Some(now);
            let (shared, ports) = (Arc::clone(&self.shared), egress.bypass_ports.clone());
            crate::runtime::tasks::detach("control", "looking for bypasses", async move {
                let looked = move || (ConnectionSampler::default().look(&ports), ports);
                if let Some((seen, ports)) = crate::runtime::tasks::blocking(looked).await {
                    *locked(&shared) = Some((now, ports, seen));
                }
            });
        }
        self.last.clone()
    }

    fn none(&mut self, why: &str) -> Bypass {
        self.last = Bypass::NotObservable(why.to_owned());
        self.before.clear();
        self.last.clone()
    }

    /// Counts what passes by: connections that are open, and those that were not at the look before.
    fn count(&mut self, ways: &WaysOut, ports: Vec<u16>, seen: Connections, at: At) -> BypassReading {
        let mut observed = BypassReading { at, ports, cut: seen.cut, ..BypassReading::default() };
        let names = ways.names.iter().map(String::as_str).chain([UNKNOWN]);
        let mut open: BTreeMap<String, u64> = names.map(|name| (name.to_owned(), 0)).collect();
        let mut addresses: BTreeMap<SocketAddr, (&str, u64)> = BTreeMap::new();
        for one in &seen.direct {
            let Some(label) = ways.label(one.remote) else { continue };
            *open.entry(label.to_owned()).or_default() += 1;
            let total = self.totals.entry(label.to_owned()).or_default();
            if *total == 0 {
                UpstreamEvent::PassedBy { upstream: label, address: &one.remote.to_string() }.tell();
            }
            *total += u64::from(!self.before.contains(one));
            addresses.entry(one.remote).or_insert((label, 0)).1 += 1;
        }
        let passing = |(name, open): (String, u64)| {
            let total = self.totals.get(&name).copied().unwrap_or(0);
            (name, Passing { open, total })
        };
        observed.passing = open.into_iter().map(passing).collect();
        let known = |label: &str| (label != UNKNOWN).then(|| label.to_owned());
        observed.examples =
            addresses.into_iter().map(|(to, (label, many))| (to, known(label), many)).collect();
        observed.examples.sort_by_key(|(_, name, many)| (name.is_none(), std::cmp::Reverse(*many)));
        observed.examples.truncate(EXAMPLES);
        self.before = seen.direct;
        observed
    }
}

/// The upstreams on the way out.
#[derive(Debug, Default)]
struct WaysOut {
    names: BTreeSet<String>,
    /// Where their names lead now.
    addresses: BTreeMap<IpAddr, String>,
}

impl WaysOut {
    fn of(world: &World) -> Self {
        let config = &world.config;
        let behind = |name: &UpstreamName| {
            config.ingress.as_ref().is_some_and(|ingress| ingress.upstream == *name)
                || config.routes.iter().any(|route| route.upstream == *name)
        };
        let mut ways = Self::default();
        for (name, upstream) in world.upstreams.iter().filter(|(name, _)| !behind(name)) {
            let name = name.as_str().to_owned();
            if name == SRE_API {
                continue;
            }
            for group in upstream.groups() {
                let addresses = group.endpoints.load();
                let addresses = addresses.iter().map(|endpoint| endpoint.addr.ip().to_canonical());
                ways.addresses.extend(addresses.map(|ip| (ip, name.clone())));
            }
            ways.names.insert(name);
        }
        ways
    }

    /// The label of a connection to `to` that passes by; `None`: it is meant to be direct.
    fn label(&self, to: SocketAddr) -> Option<&str> {
        let public = || guard::forbidden(to.ip(), &[]).is_none().then_some(UNKNOWN);
        self.addresses.get(&to.ip()).map(String::as_str).or_else(public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ways() -> WaysOut {
        let stripe = "stripe".to_owned();
        WaysOut { names: [stripe.clone()].into(), addresses: [([10, 0, 0, 7].into(), stripe)].into() }
    }

    fn seen(all: &[(&str, u64)]) -> Connections {
        let one = |(remote, inode): &(&str, u64)| Direct {
            remote: remote.parse().expect("an address"),
            local: SocketAddr::from(([10, 0, 0, 1], 50_000)),
            inode: *inode,
        };
        Connections { direct: all.iter().map(one).collect(), cut: false }
    }

    fn numbers(observed: &BypassReading) -> Vec<(&str, u64, u64)> {
        observed.passing.iter().map(|(name, one)| (name.as_str(), one.open, one.total)).collect()
    }

    #[test]
    fn what_leads_to_an_upstream_or_to_the_public_internet_passes_by() {
        let mut watch = BypassWatch::default();
        let all = [
            ("10.0.0.7:443", 1),
            ("8.8.8.8:443", 2),
            ("8.8.8.8:443", 3),
            ("10.96.0.1:443", 4),
            ("127.0.0.1:443", 5),
        ];
        let observed = watch.count(&ways(), vec![443], seen(&all), At(0));
        assert_eq!(numbers(&observed), [("(unknown)", 2, 2), ("stripe", 1, 1)]);
        let to = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let wanted = [(to("10.0.0.7:443"), Some("stripe".to_owned()), 1), (to("8.8.8.8:443"), None, 2)];
        assert_eq!(observed.examples, wanted, "known ones first");
    }

    #[test]
    fn a_connection_is_counted_once_for_as_long_as_it_is_open() {
        let mut watch = BypassWatch::default();
        let mut look = |all: &[(&str, u64)]| {
            let observed = watch.count(&ways(), vec![443], seen(all), At(0));
            numbers(&observed).into_iter().map(|(_, open, total)| (open, total)).collect::<Vec<_>>()
        };
        assert_eq!(look(&[]), [(0, 0), (0, 0)], "0 is said where it is known");
        assert_eq!(look(&[("10.0.0.7:443", 1)]), [(0, 0), (1, 1)]);
        assert_eq!(look(&[("10.0.0.7:443", 1), ("10.0.0.7:443", 2)]), [(0, 0), (2, 2)]);
        assert_eq!(look(&[]), [(0, 0), (0, 2)]);
        assert_eq!(look(&[("10.0.0.7:443", 3)]), [(0, 0), (1, 3)]);
    }

    #[test]
    fn a_few_addresses_are_shown_of_many() {
        let all: Vec<(String, u64)> = (1..=200).map(|nth| (format!("8.8.8.{nth}:443"), nth)).collect();
        let all: Vec<(&str, u64)> = all.iter().map(|(text, nth)| (text.as_str(), *nth)).collect();
        let observed = BypassWatch::default().count(&ways(), vec![443], seen(&all), At(0));
        assert_eq!((observed.examples.len(), observed.passing[UNKNOWN].open), (EXAMPLES, 200));
    }
}
