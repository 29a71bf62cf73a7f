//! Which group of endpoints each upstream with a backup group is called at.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::family::Family;
use crate::names::UpstreamName;
use crate::reliability::failover::{Group, Switch, SwitchReason};

#[derive(Debug, Default)]
struct Seen {
    group: Group,
    /// Switches by reason, in the order of [`SwitchReason::ALL`].
    switches: [u64; SwitchReason::ALL.len()],
}

/// The numbers of all upstreams that have a backup group.
#[derive(Debug, Default)]
pub struct FailoverMetrics(Mutex<BTreeMap<UpstreamName, Seen>>);

impl FailoverMetrics {
    /// These upstreams have a backup group, and this group of each is called; others are no longer shown.
    pub fn show(&self, groups: &BTreeMap<UpstreamName, Group>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|name, _| groups.contains_key(name));
        for (name, group) in groups {
            all.entry(name.clone()).or_default().group = *group;
        }
    }

    /// Another group is called.
    pub fn switched(&self, name: &UpstreamName, switch: Switch) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = all.entry(name.clone()).or_default();
        let counts = seen.switches.iter_mut().zip(SwitchReason::ALL);
        counts.filter(|(_, why)| *why == switch.why).for_each(|(count, _)| *count += 1);
    }

    pub(super) fn families(&self) -> Vec<Family> {
        let mut on_backup = Family::gauge(
            "strop_upstream_on_backup",
            "1: the backup endpoints of the upstream are called, 0: its first ones. Only upstreams with backup endpoints.",
        );
        let mut switches = Family::counter(
            "strop_upstream_failovers_total",
            "Times that another group of endpoints was put in force, by reason.",
        );
        for (name, seen) in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            let name = ("upstream", name.as_str());
            on_backup.set(&[name], f64::from(seen.group.number()));
            for (why, count) in SwitchReason::ALL.iter().zip(seen.switches) {
                switches.count(&[name, ("reason", why.label())], count);
            }
        }
        vec![on_backup, switches]
    }
}
