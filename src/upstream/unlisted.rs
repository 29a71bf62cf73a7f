//! Hosts that no upstream lists, where the policy lets them pass: each with its own addresses, all in bounded memory.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use dashmap::DashMap;
use pingora_limits::rate::Rate;

use super::idle::IdleClosings;
use super::retries::Retries;
use super::{RouteEntry, Upstream, resolve};
use crate::config;

/// What became of a host that no upstream lists.
pub enum HostLookup {
    /// It may be called.
    Entry(Arc<RouteEntry>),
    /// All its addresses lie in a forbidden range.
    Forbidden(&'static str),
    /// The name has no address.
    NoAddress,
}

/// Hosts kept at most; beyond them each request looks its host up and its connection is not kept.
const MOST: usize = 1_024;
/// A host is reported again after this long.
const REPORT_AGAIN: Duration = Duration::from_secs(3_600);

struct UnlistedEntry {
    entry: Arc<RouteEntry>,
    /// When its name is to be looked up again.
    until: Instant,
}

/// The hosts that no upstream lists, as far as they were called lately.
pub(super) struct UnlistedHosts {
    kept: DashMap<(String, u16), UnlistedEntry>,
    /// How often a host was reported, in fixed memory.
    reported: Rate,
    /// How they are called.
    pub(super) template: Arc<config::UpstreamConfig>,
    /// Idle connections that any of them has closed: they have one name, so one of them speaks for all.
    pub(super) closings: Arc<IdleClosings>,
    pub(super) retries: Arc<Retries>,
    /// Tunnels to any of them.
    pub(super) tunnels: Arc<AtomicUsize>,
}

impl Default for UnlistedHosts {
    fn default() -> Self {
        Self {
            kept: DashMap::new(),
            reported: Rate::new(REPORT_AGAIN),
            template: Arc::new(config::presets::unlisted()),
            closings: Arc::default(),
            retries: Arc::default(),
            tunnels: Arc::default(),
        }
    }
}

impl UnlistedHosts {
    /// Was it not reported within the hour?
    pub(super) fn is_new(&self, host: &str) -> bool {
        self.reported.observe(&host, 1) == 1
    }

    /// The entry of a host whose addresses are still fresh.
    pub(super) fn get(&self, host: &str, port: u16, now: Instant) -> Option<Arc<RouteEntry>> {
        let kept = self.kept.get(&(host.to_ascii_lowercase(), port))?;
        (kept.until > now).then(|| Arc::clone(&kept.entry))
    }

    /// Keeps the addresses that were `found`, in the entry the host had, else in the one that `made` makes.
    pub(super) fn keep(
        &self,
        host: &str,
        port: u16,
        found: &[resolve::ResolvedEndpoint],
        now: Instant,
        until: Instant,
        made: impl FnOnce() -> Arc<RouteEntry>,
    ) -> Arc<RouteEntry> {
        let key = (host.to_ascii_lowercase(), port);
        let before = self.kept.get(&key).map(|kept| Arc::clone(&kept.entry));
        let entry = before.unwrap_or_else(made);
        resolve::publish(&entry.upstream.endpoints, found, now);
        if self.kept.len() >= MOST {
            self.kept.retain(|_, kept| kept.until > now);
        }
        if self.kept.len() < MOST {
            self.kept.insert(key, UnlistedEntry { entry: Arc::clone(&entry), until });
        }
        entry
    }

    /// Whose endpoint it is, when it is one of them.
    pub(super) fn upstream_of(&self, endpoint: u64) -> Option<Arc<Upstream>> {
        let found = self.kept.iter().find(|kept| kept.entry.upstream.has_endpoint(endpoint))?;
        Some(Arc::clone(&found.entry.upstream))
    }

    /// Forgets all of them.
    pub(super) fn clear(&self) {
        self.kept.clear();
    }
}
