//! Is it well? One decision for every answer that has a status.
//!
//! The whole is as bad as the worst that is known of it, and says what that is. What was not observed is unknown, never
//! healthy; what is coming back is recovering, and a first failure is not.
//!
//! # Invariants
//! * Healthy: no live incident that is not a drill, no refused config, a store that takes writes, a control loop that looks.
//! * The backend being down makes the whole unhealthy; another dependency being down makes it degraded.

use std::time::Duration;

use super::breaker::BreakerState;
use super::incident::{Incident, State};
use super::rule::Severity;

/// Looks of the control loop may be this far apart (they are made once a second) before what it says is out of date.
pub const STALE: Duration = Duration::from_secs(10);

/// How something is. The order is from the best to the worst, with what is not known after what is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// All that is observed is well.
    Healthy,
    /// It was not well, and evidence says that it is coming back.
    Recovering,
    /// It serves, not as it should.
    Degraded,
    /// It does not serve.
    Unhealthy,
    /// Nothing is known: it was not observed.
    Unknown,
}

impl Status {
    /// In the order of the type.
    pub const ALL: [Self; 5] =
        [Self::Healthy, Self::Recovering, Self::Degraded, Self::Unhealthy, Self::Unknown];

    /// As in the API.
    pub fn label(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Recovering => "recovering",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
            Self::Unknown => "unknown",
        }
    }
}

/// A status, and what it was decided by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    pub status: Status,
    /// What it was decided by, in one sentence.
    pub reason: String,
}

impl Health {
    fn new(status: Status, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }
}

/// What is known of a dependency.
#[derive(Clone, Debug)]
pub struct Dependency {
    /// The state of its breaker; in shadow: the state that it would be in.
    pub breaker: BreakerState,
    /// The breaker refuses nothing: it is in shadow.
    pub shadow: bool,
    /// Why the breaker is where it is, for people.
    pub why: Option<String>,
    /// An operator holds the breaker, for this reason.
    pub held: Option<String>,
    /// Traffic grows back after the breaker has closed.
    pub ramping: bool,
    /// Bad exchanges in a row, the newest included.
    pub bad_in_a_row: u32,
    /// Addresses that its names have now.
    pub endpoints: usize,
    /// Those of them that pass their checks; `None`: they are not checked, or have not been yet.
    pub passing: Option<usize>,
    /// Attempts were made since the start.
    pub seen: bool,
}

impl Dependency {
    /// The status, by the worst that is known.
    pub fn health(&self) -> Health {
        let why = self.why.as_deref().unwrap_or("it was found open");
        let by_hand = |what: &str, reason: &str| format!("held {what} by an operator: {reason}");
        match (self.breaker, &self.held) {
            (BreakerState::Open, Some(reason)) => {
                return Health::new(Status::Degraded, by_hand("open", reason));
            }
            (BreakerState::Open, None) if !self.shadow || self.passing.is_none_or(|some| some == 0) => {
                return Health::new(Status::Unhealthy, format!("its breaker is open: {why}"));
            }
            (BreakerState::Open | BreakerState::HalfOpen | BreakerState::Closed, _) => {}
        }
        if self.endpoints == 0 {
            return Health::new(
                Status::Unhealthy,
                "it has no address that may be called: its names have none, or all are refused (allow_addresses)",
            );
        }
        if self.passing == Some(0) {
            return Health::new(Status::Unhealthy, "no endpoint passes its checks");
        }
        if let Some(partly) = self.partly() {
            return Health::new(Status::Degraded, partly);
        }
        if self.breaker == BreakerState::HalfOpen {
            return Health::new(Status::Recovering, "its breaker lets probes through");
        }
        if self.ramping {
            return Health::new(Status::Recovering, "its breaker has closed, and traffic grows back");
        }
        match self.seen || self.passing.is_some() {
            true => Health::new(Status::Healthy, "the last exchange or check was good"),
            false => Health::new(Status::Unknown, "nobody has called it yet, and no check has been made"),
        }
    }

    /// What does not work while the rest does.
    fn partly(&self) -> Option<String> {
        if self.breaker == BreakerState::Open {
            return Some("it passes its checks, and exchanges with it fail".to_owned());
        }
        let failing = self.passing.map_or(0, |passing| self.endpoints.saturating_sub(passing));
        if failing > 0 {
            return Some(format!("{failing} of {} endpoints fail their checks", self.endpoints));
        }
        match self.bad_in_a_row {
            0 => None,
            1 => Some("the last exchange was bad".to_owned()),
            many => Some(format!("the last {many} exchanges were bad")),
        }
    }
}

/// What an incident says of the health of what it is about; `None`: nothing, for it is over or a drill.
pub fn of_incident(incident: &Incident) -> Option<Health> {
    if incident.is_drill() {
        return None;
    }
    let status = match (incident.state, incident.severity) {
        (State::Resolved | State::Reviewed | State::Cleared, _) => return None,
        (State::Monitoring, _) => Status::Recovering,
        // What is not seen any more is not known to hold.
        (State::Open | State::Acknowledged | State::Mitigating, Severity::Critical)
            if incident.unseen_since.is_none() =>
        {
            Status::Unhealthy
        }
        (State::Suspected | State::Open | State::Acknowledged | State::Mitigating, _) => Status::Degraded,
    };
    let told = format!(
        "{} {}: {} ({})",
        incident.severity.label(),
        incident.state.label(),
        incident.title,
        incident.id
    );
    Some(Health::new(status, told))
}

/// What is known of the whole.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Since the last look of the control loop; `None`: none was made yet.
    pub looked: Option<Duration>,
    /// What live incidents say.
    pub incidents: Vec<Health>,
    /// Dependencies by name; the backend is marked.
    pub dependencies: Vec<(String, bool, Health)>,
    /// The last config was refused: its first problem.
    pub config_refused: Option<String>,
    /// The store does not take writes: its state.
    pub store: Option<String>,
    /// Why the process is not ready for traffic.
    pub not_ready: Vec<String>,
}

impl Facts {
    /// How the whole is: the worst of what is known, and the first of these that says so.
    pub fn health(&self) -> Health {
        match self.looked {
            Some(since) if since <= STALE => {}
            Some(since) => {
                let told = format!(
                    "the control loop has not looked for {} s: what is shown is old",
                    since.as_secs()
                );
                return Health::new(Status::Unknown, told);
            }
            None => return Health::new(Status::Unknown, "the first look has not been made yet"),
        }
        let mut worst: Option<Health> = None;
        let all = self.incidents.iter().cloned().chain(self.of_dependencies()).chain(self.of_itself());
        for one in all {
            if worst.as_ref().is_none_or(|held| one.status > held.status) {
                worst = Some(one);
            }
        }
        worst.unwrap_or_else(|| self.well())
    }

    /// What dependencies say of the whole, beyond that all is well.
    fn of_dependencies(&self) -> impl Iterator<Item = Health> {
        let alone = !self.dependencies.iter().any(|(_, backend, _)| *backend);
        let known = || self.dependencies.iter().filter(|(.., health)| health.status != Status::Unknown);
        let all_down = alone && known().all(|(.., health)| health.status == Status::Unhealthy);
        let told = move |(name, backend, health): &(String, bool, Health)| {
            let status = match health.status {
                Status::Unhealthy if *backend || all_down => Status::Unhealthy,
                Status::Unhealthy | Status::Degraded => Status::Degraded,
                Status::Recovering => Status::Recovering,
                Status::Healthy | Status::Unknown => return None,
            };
            Some(Health::new(status, format!("{name}: {}", health.reason)))
        };
        self.dependencies.iter().filter_map(told)
    }

    fn of_itself(&self) -> impl Iterator<Item = Health> {
        let config = self.config_refused.as_ref().map(|problem| format!("the config was refused: {problem}"));
        let store =
            self.store.as_ref().map(|state| format!("the store is {state}: what is told waits in memory"));
        let ready = (!self.not_ready.is_empty()).then(|| format!("not ready: {}", self.not_ready.join(", ")));
        [config, store, ready].into_iter().flatten().map(|told| Health::new(Status::Degraded, told))
    }

    fn well(&self) -> Health {
        let unseen: Vec<&str> = self
            .dependencies
            .iter()
            .filter(|(.., health)| health.status == Status::Unknown)
            .map(|(name, ..)| &**name)
            .collect();
        if unseen.len() == self.dependencies.len() {
            return Health::new(Status::Unknown, "no dependency has been called or checked yet");
        }
        match unseen.is_empty() {
            true => Health::new(Status::Healthy, "all dependencies answer, and no incident is open"),
            false => {
                let told = format!("all that is observed is well; not called yet: {}", unseen.join(", "));
                Health::new(Status::Healthy, told)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dependency() -> Dependency {
        Dependency {
            breaker: BreakerState::Closed,
            shadow: false,
            why: None,
            held: None,
            ramping: false,
            bad_in_a_row: 0,
            endpoints: 2,
            passing: None,
            seen: true,
        }
    }

    #[test]
    fn a_dependency_is_what_its_breaker_its_checks_and_its_last_exchanges_say() {
        use BreakerState::{Closed, HalfOpen, Open};
        let held = Some("maintenance".to_owned());
        let of = dependency;
        let table = [
            (of(), Status::Healthy),
            (Dependency { seen: false, ..of() }, Status::Unknown),
            (Dependency { seen: false, passing: Some(2), ..of() }, Status::Healthy),
            (Dependency { passing: Some(1), ..of() }, Status::Degraded),
            (Dependency { passing: Some(0), ..of() }, Status::Unhealthy),
            (Dependency { endpoints: 0, ..of() }, Status::Unhealthy),
            // The first failure of a dead backend is no recovery.
            (Dependency { bad_in_a_row: 1, ..of() }, Status::Degraded),
            (Dependency { bad_in_a_row: 9, passing: Some(2), ..of() }, Status::Degraded),
            (Dependency { breaker: Open, ..of() }, Status::Unhealthy),
            (Dependency { breaker: Open, shadow: true, ..of() }, Status::Unhealthy),
            (Dependency { breaker: Open, shadow: true, passing: Some(2), ..of() }, Status::Degraded),
            (Dependency { breaker: Open, passing: Some(2), ..of() }, Status::Unhealthy),
            // An operator's order is no evidence that it is down.
            (Dependency { breaker: Open, held: held.clone(), ..of() }, Status::Degraded),
            (Dependency { breaker: Closed, held, ..of() }, Status::Healthy),
            (Dependency { breaker: HalfOpen, ..of() }, Status::Recovering),
            (Dependency { breaker: HalfOpen, passing: Some(0), ..of() }, Status::Unhealthy),
            (Dependency { ramping: true, ..of() }, Status::Recovering),
            (Dependency { ramping: true, bad_in_a_row: 1, ..of() }, Status::Degraded),
        ];
        for (facts, status) in table {
            assert_eq!(facts.health().status, status, "{facts:?}");
        }
    }

    fn facts(dependencies: &[(&str, Status)]) -> Facts {
        let one = |(name, status): &(&str, Status)| {
            ((*name).to_owned(), *name == "backend", Health::new(*status, "because"))
        };
        Facts {
            looked: Some(Duration::from_secs(1)),
            dependencies: dependencies.iter().map(one).collect(),
            ..Facts::default()
        }
    }

    #[test]
    fn the_whole_is_as_bad_as_the_worst_that_is_known() {
        use Status::{Degraded, Healthy, Recovering, Unhealthy, Unknown};
        let table: [(&[(&str, Status)], Status); 11] = [
            (&[], Unknown),
            (&[("backend", Unknown)], Unknown),
            (&[("backend", Healthy), ("stripe", Unknown)], Healthy),
            (&[("backend", Healthy), ("stripe", Recovering)], Recovering),
            (&[("backend", Degraded), ("stripe", Recovering)], Degraded),
            (&[("backend", Unhealthy), ("stripe", Healthy)], Unhealthy),
            (&[("backend", Healthy), ("stripe", Unhealthy)], Degraded),
            (&[("backend", Unknown), ("stripe", Unhealthy)], Degraded),
            (&[("redis", Unhealthy), ("stripe", Unhealthy)], Unhealthy),
            (&[("redis", Unknown), ("stripe", Unhealthy)], Unhealthy),
            (&[("redis", Healthy), ("stripe", Unhealthy)], Degraded),
        ];
        for (dependencies, status) in table {
            let health = facts(dependencies).health();
            assert_eq!(health.status, status, "{dependencies:?}: {}", health.reason);
        }
    }

    #[test]
    fn nothing_is_healthy_while_something_is_the_matter() {
        let well = || facts(&[("backend", Status::Healthy)]);
        assert_eq!(well().health().status, Status::Healthy);
        let critical = Health::new(Status::Unhealthy, "critical open: backend is down");
        let table = [
            (Facts { incidents: vec![critical.clone()], ..well() }, Status::Unhealthy, "backend is down"),
            (
                Facts { incidents: vec![Health::new(Status::Recovering, "x"), critical], ..well() },
                Status::Unhealthy,
                "backend is down",
            ),
            (
                Facts { config_refused: Some("breaker.failures is 0".to_owned()), ..well() },
                Status::Degraded,
                "breaker.failures is 0",
            ),
            (Facts { store: Some("away".to_owned()), ..well() }, Status::Degraded, "away"),
            (Facts { not_ready: vec!["draining".to_owned()], ..well() }, Status::Degraded, "draining"),
            (Facts { looked: Some(Duration::from_secs(12)), ..well() }, Status::Unknown, "12 s"),
            (Facts { looked: None, ..well() }, Status::Unknown, "first look"),
        ];
        for (facts, status, told) in table {
            let health = facts.health();
            assert_eq!(health.status, status, "{facts:?}");
            assert!(health.reason.contains(told), "{}", health.reason);
        }
    }

    #[test]
    fn an_incident_speaks_while_it_lasts_and_a_drill_never() {
        use super::super::incident::Beginning;
        use super::super::rule::{AlertKey, Rule};
        use crate::names::IncidentId;
        use crate::units::At;
        use std::sync::Arc;
        let incident = |state, severity, rule, service: &str| {
            let key = AlertKey { rule, service: Arc::from(service), scope: Arc::from("") };
            let beginning = Beginning {
                id: IncidentId::of(1, 1),
                key,
                severity,
                title: "backend is down".to_owned(),
                began: At(0),
                earlier: None,
            };
            Incident { state, ..Incident::suspected(beginning, At(1)) }
        };
        let table = [
            (State::Open, Severity::Critical, Some(Status::Unhealthy)),
            (State::Acknowledged, Severity::Critical, Some(Status::Unhealthy)),
            (State::Suspected, Severity::Critical, Some(Status::Degraded)),
            (State::Open, Severity::High, Some(Status::Degraded)),
            (State::Open, Severity::Low, Some(Status::Degraded)),
            (State::Monitoring, Severity::Critical, Some(Status::Recovering)),
            (State::Resolved, Severity::Critical, None),
            (State::Cleared, Severity::High, None),
        ];
        for (state, severity, status) in table {
            let told = of_incident(&incident(state, severity, Rule::ServiceDown, "backend"));
            assert_eq!(told.as_ref().map(|health| health.status), status, "{state:?} {severity:?}");
            assert!(told.is_none_or(|health| health.reason.contains("backend is down")));
            let unseen = Incident {
                unseen_since: Some(At(1)),
                ..incident(state, severity, Rule::ServiceDown, "backend")
            };
            let worst = of_incident(&unseen).map(|health| health.status);
            assert_eq!(worst, status.map(|status| status.min(Status::Degraded)), "{state:?} {severity:?}");
            assert_eq!(
                of_incident(&incident(state, severity, Rule::Manual, super::super::incident::DRILL)),
                None
            );
        }
    }
}
