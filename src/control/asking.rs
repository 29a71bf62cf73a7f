//! What runbooks ask: who is asked now, which calls wait for it, and the asking itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::looks::AT_ONCE;
use crate::names::{IncidentId, UpstreamName};
use crate::reliability::engine::Effect;
use crate::reliability::runbook::{CheckResult, CheckSign};
use crate::upstream::health;
use crate::upstream::registry::Registry;

/// The incidents whose checks are asked now.
pub(super) struct Runbooks {
    pub(super) registry: Arc<Registry>,
    places: Arc<Semaphore>,
    asked: BTreeMap<IncidentId, Asking>,
}

struct Asking {
    until: Instant,
    /// Calls that wait for what is found.
    calls: Vec<Effect>,
}

impl Runbooks {
    pub(super) fn new(registry: Arc<Registry>) -> Self {
        Self { registry, places: Arc::new(Semaphore::new(AT_ONCE)), asked: BTreeMap::new() }
    }

    /// A place among those that ask; `None`: all are taken.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// The same for an order, which leaves half of them to incidents that open.
    pub(super) fn place_for_order(&self) -> Option<OwnedSemaphorePermit> {
        (self.places.available_permits() > AT_ONCE / 2).then(|| self.place()).flatten()
    }

    /// The checks of this incident are asked from now on, until that moment at the latest.
    pub(super) fn begin(&mut self, id: IncidentId, until: Instant) {
        self.asked.insert(id, Asking { until, calls: Vec::new() });
    }

    /// They are asked no more: the calls that have waited for them.
    pub(super) fn end(&mut self, id: &IncidentId) -> Vec<Effect> {
        self.asked.remove(id).map(|asking| asking.calls).unwrap_or_default()
    }

    /// Keeps what calls somebody about an incident whose checks are asked now: it is written again with what they find.
    pub(super) fn keep(&mut self, told: &[Effect]) {
        for effect in told {
            let Effect::Page(page) = effect else { continue };
            if let Some(asking) = self.asked.get_mut(&page.incident) {
                asking.calls.push(effect.clone());
            }
        }
    }

    /// How long a call about this incident waits for its checks.
    pub(super) fn wait(&self, id: &IncidentId, now: Instant) -> Duration {
        self.asked.get(id).map_or(Duration::ZERO, |asking| asking.until.saturating_duration_since(now))
    }
}

/// Nobody is asked, since as many are as may be.
pub(super) fn no_place(one: &mut CheckResult) {
    if one.is_asked() {
        one.sign = CheckSign::NotObservable;
        one.says = format!("not asked: {AT_ONCE} others are asked at this moment");
    }
}

/// Asks what is to be asked; each has its answer within that time, or has none.
pub(super) async fn answered(found: &mut [CheckResult], registry: &Registry, within: Duration) {
    let asked = found.iter_mut().filter(|one| one.is_asked());
    let asked = asked.map(async |one| {
        let name = one.of.as_deref().and_then(|name| upstream_of(name, registry));
        let upstream = name.and_then(|name| registry.snapshot().in_force(&name).map(Arc::clone));
        (one.sign, one.says) = match upstream {
            None => (CheckSign::NotObservable, "no such upstream is configured any more".to_owned()),
            Some(upstream) => {
                let reached = health::reach(&upstream, within).await;
                let good = !reached.is_empty() && reached.iter().all(|(_, reached)| reached.is_ok());
                let told: Vec<String> = reached.into_iter().map(said).collect();
                let told = if told.is_empty() { "it has no address".to_owned() } else { told.join(", ") };
                (if good { CheckSign::Good } else { CheckSign::Bad }, told)
            }
        };
    });
    futures_util::future::join_all(asked).await;
}

/// The upstream of that name, or the one that the route of that name leads to.
fn upstream_of(name: &str, registry: &Registry) -> Option<UpstreamName> {
    let world = registry.snapshot();
    let named = UpstreamName::new(name).ok().filter(|name| world.upstreams.contains_key(name));
    let led = || world.counted_routes().find(|route| route.name().as_str() == name);
    named.or_else(|| led().map(|route| route.upstream.config.name.clone()))
}

fn said((address, reached): (SocketAddr, Result<Duration, String>)) -> String {
    match reached {
        Ok(took) => format!("{address} connects in {} ms", took.as_millis()),
        Err(why) => format!("{address}: {why}"),
    }
}
