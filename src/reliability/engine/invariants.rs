//! What always holds of the engine, checked in tests and in the simulation after every step.

use std::collections::BTreeSet;

use super::Engine;
use super::mode::EngineMode;
use crate::reliability::rule::Rule;

impl Engine {
    /// Asserts, in debug builds, what holds of every engine.
    pub fn check_invariants(&self) {
        if !cfg!(debug_assertions) {
            return;
        }
        let mirrors = matches!(self.mode, EngineMode::Mirror { .. });
        let mut identities = BTreeSet::new();
        for incident in self.incidents.values() {
            incident.check_invariants();
            if !incident.state.is_live() {
                continue;
            }
            // A mirror shows what is stored, two of a kind too, until the acting member has made them one.
            debug_assert!(
                identities.insert(&incident.dedup) || mirrors,
                "two live incidents of one identity: {incident:?}"
            );
            let caused = self.mode.alerts().values().any(|tracked| tracked.incident == incident.id);
            let needless = mirrors || incident.key.rule == Rule::Manual;
            debug_assert!(caused || needless, "no cause: {incident:?}");
        }
        for (key, tracked) in self.mode.alerts() {
            tracked.alert.check_invariants();
            let home = self.incidents.get(&tracked.incident);
            debug_assert!(tracked.alert.is_live(), "a quiet alert is kept: {key:?}");
            debug_assert!(
                home.is_some_and(
                    |home| home.state.is_live() && home.active().any(|signal| signal.key == *key)
                ),
                "a live alert without a live incident: {key:?} {home:?}"
            );
        }
    }
}
