//! Which group of endpoints each upstream is called at: what was decided, and what is ordered.
//!
//! The decisions are held here by name, so that they outlive a reload; the groups in force stand in the world's snapshot, and
//! nobody else puts them there. An order ends by itself, seen once a second; nothing of it outlives the process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::names::UpstreamName;
use crate::reliability::failover::{Failover, FailoverOrder, Group, Switch};
use crate::telemetry::Telemetry;
use crate::telemetry::event::FailedOver;
use crate::upstream::health;
use crate::upstream::registry::{Registry, World};

type Held = BTreeMap<UpstreamName, Failover>;

/// The groups in force of this process.
pub struct Failovers {
    registry: Arc<Registry>,
    telemetry: Arc<Telemetry>,
    held: Mutex<Held>,
}

impl std::fmt::Debug for Failovers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Failovers").finish_non_exhaustive()
    }
}

impl Failovers {
    /// The first groups, for the requests that read this registry's world.
    pub fn new(registry: Arc<Registry>, telemetry: Arc<Telemetry>) -> Self {
        Self { registry, telemetry, held: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One look at both groups of each upstream that has two; called once a second.
    pub fn look(&self, now: Instant) {
        self.renew(self.held(), now);
    }

    /// The backup group of an upstream is to be called; in force when this returns, where the backup group serves. What is
    /// decided then; `None`: it has no backup group.
    pub fn order(&self, name: &UpstreamName, order: FailoverOrder, now: Instant) -> Option<Failover> {
        let mut held = self.held();
        if !has_backup(&self.registry.snapshot(), name) {
            return None;
        }
        held.entry(name.clone()).or_default().set_order(order);
        self.renew(held, now);
        self.view(name)
    }

    /// Ends the order about an upstream, if there is one; the order that has ended.
    pub fn end(&self, name: &UpstreamName, now: Instant) -> Option<FailoverOrder> {
        let mut held = self.held();
        let ended = held.get_mut(name)?.end_order(|_| true);
        self.renew(held, now);
        ended
    }

    /// What is decided of an upstream; `None`: it has no backup group, or was not looked at yet.
    pub fn view(&self, name: &UpstreamName) -> Option<Failover> {
        self.held().get(name).cloned()
    }

    /// The same of all upstreams that have a backup group.
    pub fn all(&self) -> Vec<(UpstreamName, Failover)> {
        self.held().iter().map(|(name, failover)| (name.clone(), failover.clone())).collect()
    }

    /// Decides anew, and puts what is another thing in force. The lock is held until that is done, so that of two decisions
    /// the later one stays; what is told is told without it.
    fn renew(&self, mut held: MutexGuard<'_, Held>, now: Instant) {
        let world = self.registry.snapshot();
        held.retain(|name, _| has_backup(&world, name));
        let mut switched: Vec<(UpstreamName, Switch)> = Vec::new();
        for (name, first) in &world.upstreams {
            let (Some(backup), Some(config)) = (&first.backup, &first.config.backup) else { continue };
            let failover = held.entry(name.clone()).or_default();
            let (first, backup) = (health::sight(first, now), health::sight(backup, now));
            if let Some(switch) = failover.look(&config.policy, first, backup, now) {
                switched.push((name.clone(), switch));
            }
        }
        let groups: BTreeMap<_, _> = held.iter().map(|(name, one)| (name.clone(), one.group())).collect();
        let on_backup = groups.iter().filter(|(_, group)| **group == Group::Backup);
        let on_backup: BTreeSet<_> = on_backup.map(|(name, _)| name.clone()).collect();
        if on_backup != world.on_backup {
            self.registry.fail_over(&on_backup);
        }
        self.telemetry.failover.show(&groups);
        drop((held, world));
        for (name, switch) in switched {
            self.telemetry.failover.switched(&name, switch);
            FailedOver { upstream: name.as_str(), to: switch.to, why: switch.why.describe() }.tell();
        }
    }
}

fn has_backup(world: &World, name: &UpstreamName) -> bool {
    world.upstreams.get(name).is_some_and(|first| first.backup.is_some())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config;
    use crate::message::head::Method;
    use crate::runtime::clock;
    use crate::telemetry::access::AccessLog;

    fn config(more: &str) -> Arc<config::Config> {
        let text = format!(
            "[ingress]\n[upstreams.backend]\nendpoints = [\"127.0.0.1:8001\"]\nhealth = {{ path = \"/healthz\" }}\n{more}\n"
        );
        Arc::new(config::load(&text, "a test", &[]).expect("it can run"))
    }

    const BACKUP: &str = "backup = [\"127.0.0.1:8002\"]\nfailover = { back_after = \"60s\" }";

    fn failovers(more: &str) -> Failovers {
        let telemetry = Telemetry::new(1, AccessLog::off(), clock::now());
        let (registry, _) = Registry::new(config(more), Arc::clone(&telemetry), 1);
        Failovers::new(registry, telemetry)
    }

    fn backend() -> UpstreamName {
        UpstreamName::new("backend").expect("a name")
    }

    /// The ports that requests meet, by route and by name.
    fn ports(failovers: &Failovers) -> [u16; 2] {
        let world = failovers.registry.snapshot();
        let port = |upstream: &crate::upstream::Upstream| {
            upstream.endpoints.load().first().map_or(0, |endpoint| endpoint.addr.port())
        };
        let route = world.by_request("a.example", Method::Get, b"/").expect("a route");
        [port(&route.upstream), port(&world.local(&backend()).expect("it is there").upstream)]
    }

    fn set_healthy(failovers: &Failovers, healthy: bool) {
        let world = failovers.registry.snapshot();
        let first = &world.upstreams[&backend()];
        for endpoint in first.endpoints.load().iter() {
            endpoint.set_healthy(healthy);
        }
    }

    #[tokio::test]
    async fn requests_meet_the_backup_while_no_first_endpoint_passes_and_a_reload_changes_nothing_of_it() {
        let (failovers, start) = (failovers(BACKUP), clock::instant());
        let at = |seconds| start + Duration::from_secs(seconds);
        failovers.look(start);
        assert_eq!(ports(&failovers), [8001, 8001]);
        set_healthy(&failovers, false);
        failovers.look(at(1));
        assert_eq!(ports(&failovers), [8002, 8002]);
        let more = format!("{BACKUP}\nbreaker = {{ failures = 9 }}");
        let fresh = failovers.registry.reconcile(config(&more), at(1));
        assert_eq!(fresh.len(), 2, "both groups are looked after anew");
        assert_eq!(ports(&failovers), [8002, 8002], "at once, not only after the next look");
        set_healthy(&failovers, true);
        (2..62).for_each(|second| failovers.look(at(second)));
        assert_eq!(ports(&failovers), [8002, 8002], "59 s are not enough");
        failovers.look(at(62));
        assert_eq!(ports(&failovers), [8001, 8001]);
    }

    #[tokio::test]
    async fn an_order_is_in_force_at_once_and_without_a_backup_there_is_none() {
        let (failovers, start) = (failovers(BACKUP), clock::instant());
        let order = || FailoverOrder {
            reason: "a test".to_owned(),
            actor: "ann".to_owned(),
            until: start + Duration::from_secs(9),
        };
        let ordered = failovers.order(&backend(), order(), start).expect("it has a backup");
        assert_eq!((ordered.group(), ports(&failovers)), (Group::Backup, [8002, 8002]));
        assert_eq!(failovers.end(&backend(), start), Some(order()));
        assert_eq!(ports(&failovers), [8002, 8002], "the way back is slow, as always");
        let without = super::tests::failovers("");
        assert!(without.order(&backend(), order(), start).is_none());
        without.look(start);
        assert!(without.all().is_empty());
    }

    #[tokio::test]
    async fn a_backup_that_is_taken_out_of_the_config_is_left_with_the_reload() {
        let (failovers, start) = (failovers(BACKUP), clock::instant());
        set_healthy(&failovers, false);
        failovers.look(start);
        assert_eq!(ports(&failovers), [8002, 8002]);
        failovers.registry.reconcile(config(""), start);
        assert_eq!(ports(&failovers), [8001, 8001]);
        failovers.look(start);
        assert!(failovers.registry.snapshot().on_backup.is_empty() && failovers.all().is_empty());
    }
}
