//! Connections of the pod that pass the egress by.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::family::Family;

/// Connections to one upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passing {
    /// Open at the last look.
    pub open: u64,
    /// Seen since the start.
    pub total: u64,
}

/// By upstream; nothing where they cannot be observed.
#[derive(Debug, Default)]
pub struct BypassMetrics(Mutex<BTreeMap<String, Passing>>);

impl BypassMetrics {
    /// What the last look has found; an upstream that is not in it is not shown any more.
    pub fn set(&self, now: BTreeMap<String, Passing>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    pub(super) fn families(&self) -> Vec<Family> {
        let mut open = Family::gauge(
            "egress_bypass_open_connections",
            "Connections of this network namespace that pass the egress by, at the last look; (unknown): to a public address that is no upstream's.",
        );
        let mut total = Family::counter(
            "egress_bypass_connections_total",
            "Connections that passed the egress by, as seen every 5 s; absent: not observable.",
        );
        for (upstream, passing) in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            open.set(&[("upstream", upstream)], passing.open as f64);
            total.count(&[("upstream", upstream)], passing.total);
        }
        vec![open, total]
    }
}
