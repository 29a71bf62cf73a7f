//! What the desk decides by: `[incidents]`, `[slo]`, `[latency]` and `[escalation]`, checked.
//!
//! All of it is in force at the next look after a reload; incidents, alerts and ladders go on as they are.

mod escalation;
mod hours;
mod incidents;
mod latency;
mod show;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use super::file::ConfigFile;
use super::problem::Collector;
use super::{Config, Route};
use crate::reliability::desk::DeskPolicy;
use crate::runtime::zone::{Day, Zone};
use crate::units::Promise;

pub use escalation::Staffed;
pub use hours::week;
pub use latency::{Latency, Measured, Until, UntilWord};
pub(super) use latency::{global as latency, of_route};
pub(super) use show::{latency as show_latency, measured as show_measured, show};

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slo {
    /// Seconds in which it is up, of those in which it was measured: 99.99 %.
    pub uptime: Promise,
    /// Good replies of good and bad ones: 99.9 %.
    pub success: Promise,
}

/// The clock and the calendar of those who are called in working hours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct People {
    /// Where they work.
    pub zone: Zone,
    /// When they do not.
    pub holidays: Vec<Day>,
}

impl People {
    /// Is it a day there on which nobody works?
    pub fn rest(&self, wall: SystemTime) -> bool {
        self.holidays.iter().any(|day| self.zone.is_on(wall, *day))
    }
}

/// What of the machine is looked at, beside this sidecar's control group and the volumes it writes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Directories; the volume that each lies on is measured.
    pub volumes: Vec<PathBuf>,
    /// What the network carries each way, bytes a second; `None`: nobody said.
    pub network: Option<u64>,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Watch {
    /// What makes an incident, who is called.
    pub policy: Arc<DeskPolicy>,
    /// The clock and the calendar of those who are called in working hours.
    pub people: People,
    /// What is promised.
    pub slo: Slo,
    /// What is sampled.
    pub machine: Machine,
}

/// Checks all of it. `None` when problems were noted.
pub(super) fn check(
    file: &ConfigFile,
    latency: Latency,
    routes: &[Arc<Route>],
    problems: &mut Collector<'_>,
) -> Option<Watch> {
    let slo = Slo { uptime: file.slo.uptime.0, success: file.slo.success.0 };
    for (key, promise) in [("uptime", slo.uptime), ("success", slo.success)] {
        if promise.ratio() <= 0.0 {
            problems.add(&format!("slo.{key}"), "promises nothing; write \"99.9%\"");
        }
    }
    let classes = latency::classes(routes, latency.budget);
    let latency = incidents::latency(&file.incidents.latency, latency.budget, classes, problems);
    let detect = incidents::detect(file, slo, latency, problems);
    let escalation = escalation::check(file, problems);
    let people = escalation::calendar(&file.escalation.hours, problems);
    let machine = incidents::machine(&file.incidents.resources, problems);
    let policy = incidents::desk(&file.incidents, detect, escalation, problems);
    Some(Watch { policy: Arc::new(policy), people: people?, slo, machine })
}

/// What runs and yet is probably not meant: channels that would fall silent together with what they are to tell about, ladders
/// that reach nobody, names that nobody can look up.
pub fn warnings(config: &Config) -> Vec<String> {
    let mut found = super::channels::warnings(config);
    found.extend(escalation::warnings(config));
    found.extend(super::upstreams::warnings(config));
    found
}

/// Refuses a duration that is not within two bounds.
fn lasts(
    at: &str,
    value: crate::units::Text<std::time::Duration>,
    least: u64,
    most: u64,
    problems: &mut Collector<'_>,
) -> std::time::Duration {
    use crate::units::Written as _;
    let (least, most) = (std::time::Duration::from_secs(least), std::time::Duration::from_secs(most));
    if value.0 < least || value.0 > most {
        problems.add(at, format!("{} is not within {} to {}", value.0.write(), least.write(), most.write()));
    }
    value.0
}

#[cfg(test)]
mod tests;
