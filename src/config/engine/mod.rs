//! What the engine decides by: `[incidents]`, `[slo]` and `[escalation]`.
//!
//! All of it is in force at the next look after a reload; incidents, alerts and ladders go on as they are.

pub mod escalation;
pub(super) mod hours;
pub mod incidents;
pub(in crate::config) mod reach;
pub mod resources;
pub mod slo;

use std::sync::Arc;

use self::escalation::{EscalationFile, People};
use self::incidents::{IncidentContext, IncidentsFile};
use self::resources::MachineConfig;
use self::slo::{Slo, SloFile};
use super::latency::Latency;
use super::problem::Collector;
use super::routes::Route;
use crate::reliability::engine::EnginePolicy;

pub use hours::week;

/// Everything that the incident engine is configured with.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// What makes an incident, who is called.
    pub policy: Arc<EnginePolicy>,
    /// The clock and the calendar of those who are called in working hours.
    pub people: People,
    /// The service level objectives: uptime and success.
    pub slo: Slo,
    /// What of the machine is measured, beside the control group.
    pub machine: MachineConfig,
}

/// The tables it is made of, and what there is of what they name.
pub(super) struct EngineTables<'a> {
    pub(super) slo: &'a SloFile,
    pub(super) incidents: &'a IncidentsFile,
    pub(super) escalation: &'a EscalationFile,
    pub(super) upstreams: &'a [&'a str],
    pub(super) channels: &'a [&'a str],
    /// Those of the channels that wake somebody whatever is told there.
    pub(super) pagers: &'a [&'a str],
}

/// Checks all of it. `None` when problems were noted.
pub(super) fn check(
    written: &EngineTables<'_>,
    latency: Latency,
    routes: &[Arc<Route>],
    problems: &mut Collector<'_>,
) -> Option<EngineConfig> {
    let slo = written.slo.check(problems.part("slo"));
    let budget = latency.budget;
    let own = |route: &&Arc<Route>| route.latency.is_none_or(|measured| measured.budget != budget);
    let class =
        |route: &Arc<Route>| (route.name.as_str().to_owned(), route.latency.map(|measured| measured.budget));
    let classes = routes.iter().filter(own).map(class).collect();
    let escalation = written.escalation.check(problems.part("escalation"), written.channels, written.pagers);
    let people = written.escalation.hours.people(problems.part("escalation.hours"));
    let beside = IncidentContext { slo, budget, classes, escalation, upstreams: written.upstreams };
    let (policy, machine) = written.incidents.check(problems.part("incidents"), beside);
    Some(EngineConfig { policy: Arc::new(policy), people: people?, slo, machine })
}

#[cfg(test)]
mod tests;
