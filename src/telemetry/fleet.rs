//! The place among other sidecars: who calls people, how many there are.

use std::sync::{Mutex, PoisonError};

use super::family::Family;

/// Whether this member calls people (1 or 0), and how many members were seen.
#[derive(Debug, Default)]
pub struct FleetMetrics(Mutex<(u64, Option<u64>)>);

impl FleetMetrics {
    /// `duty` is 1 for a member that calls people; `members`: those seen lately, itself among them, `None` for a single one.
    pub fn set(&self, duty: u64, members: Option<u64>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (duty, members);
    }

    pub(super) fn families(&self) -> Vec<Family> {
        let (duty, members) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut on_duty = Family::gauge(
            "strop_fleet_duty",
            "1: this sidecar calls people; 0: another one of its fleet does.",
        );
        on_duty.set(&[], duty as f64);
        let mut seen =
            Family::gauge("strop_fleet_members", "Sidecars of the fleet that were seen within ten seconds.");
        members.into_iter().for_each(|members| seen.set(&[], members as f64));
        vec![on_duty, seen]
    }
}
