//! Runbooks: what is looked at, done and asked when something is the matter, as data.
//!
//! A runbook is for incidents of some rules, services or plans. Its `check` steps are looked at when such an incident opens;
//! `auto` steps name an action that a recovery plan does; `ask` and `note` steps are for people. Nothing here runs a command.
//!
//! # Invariants
//! * What is not observed is said to be not observable, never to be good.
//! * A look changes nothing.

mod look;

use std::sync::Arc;
use std::time::Duration;

use super::incident::{Incident, State};
use super::readings::Resource;
use super::recovery::{Action, Plan, RecoveryPolicy};
use super::rule::{AlertKey, Rule};
use crate::units::Percent;
pub use look::CheckResult;

/// Runbooks whose checks are made when one incident opens.
pub const MOST_RUNBOOKS: usize = 3;

/// One runbook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runbook {
    pub name: Arc<str>,
    pub title: String,
    pub scope: RunbookScope,
    /// In the order in which they are read.
    pub steps: Vec<RunbookStep>,
}

/// Which incidents a runbook is for. All empty: it runs by order alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunbookScope {
    /// Found by one of these rules; empty: by any, where services are named.
    pub rules: Vec<Rule>,
    /// About one of these; empty: about any, where rules are named.
    pub services: Vec<Arc<str>>,
    /// Or such that one of these plans is for them.
    pub plans: Vec<Arc<str>>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunbookStep {
    /// The part of the runbook that it stands in; empty: in none.
    pub part: String,
    /// What is looked at or done, as people read it.
    pub text: String,
    pub kind: RunbookStepKind,
}

/// What kind of step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunbookStepKind {
    /// Strop looks by itself.
    Check(RunbookCheck),
    /// A recovery plan does it.
    Auto {
        action: Action,
        /// The plan; `None`: the first one that has the action.
        plan: Option<Arc<str>>,
    },
    /// A person does it.
    Ask,
    /// A person reads it.
    Note,
}

impl RunbookStepKind {
    /// As in YAML and the API.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Check(_) => "check",
            Self::Auto { .. } => "auto",
            Self::Ask => "ask",
            Self::Note => "note",
        }
    }
}

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunbookCheck {
    pub what: CheckKind,
    /// The upstream or route; `None`: the service of the incident.
    pub of: Option<Arc<str>>,
}

/// What can be looked at, with what is still good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// The breaker is closed.
    Breaker,
    /// Each address takes a connection, and speaks TLS where that is spoken: the only check that asks somebody.
    Reachability,
    /// The active checks pass.
    Health,
    /// Failed exchanges of the last minute.
    ErrorRate { at_most: Percent },
    /// A percentile of the last minute.
    Latency { percentile: CheckPercentile, at_most: Duration },
    /// No exchange of the last minute failed; else how.
    Failures,
    /// Exchanges that are under way.
    InFlight { at_most: u64 },
    /// A means of the machine.
    Resource { what: Resource, at_most: Percent },
}

impl CheckKind {
    /// Every label, in the order in which they are told.
    pub const LABELS: [&'static str; 11] = [
        "breaker",
        "reachability",
        "health",
        "error_rate",
        "latency",
        "failures",
        "in_flight",
        "cpu",
        "memory",
        "disk",
        "network",
    ];

    /// As in YAML and the API.
    pub fn label(self) -> &'static str {
        match self {
            Self::Breaker => "breaker",
            Self::Reachability => "reachability",
            Self::Health => "health",
            Self::ErrorRate { .. } => "error_rate",
            Self::Latency { .. } => "latency",
            Self::Failures => "failures",
            Self::InFlight { .. } => "in_flight",
            Self::Resource { what, .. } => what.label(),
        }
    }
}

/// A percentile that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckPercentile {
    P50,
    P95,
    P99,
}

impl CheckPercentile {
    pub const ALL: [Self; 3] = [Self::P50, Self::P95, Self::P99];

    /// As in YAML and the API.
    pub fn label(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P95 => "p95",
            Self::P99 => "p99",
        }
    }
}

/// What a look has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckSign {
    Good,
    Bad,
    /// Strop does not see it.
    NotObservable,
    /// It was asked, and has not answered yet.
    Asked,
}

impl CheckSign {
    pub const ALL: [Self; 4] = [Self::Good, Self::Bad, Self::NotObservable, Self::Asked];

    /// As in the API and labels.
    pub fn label(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::NotObservable => "not_observable",
            Self::Asked => "asked",
        }
    }

    /// As people read it.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::NotObservable => "not observable",
            Self::Asked => "no answer yet",
        }
    }
}

impl Runbook {
    /// Is it for this incident?
    pub fn fits(&self, incident: &Incident, policy: &RecoveryPolicy) -> bool {
        let keys = incident.signals.iter().map(|signal| &signal.key).chain([&incident.key]);
        let planned = |key: &AlertKey| {
            let plans = self.scope.plans.iter().filter_map(|name| policy.plan(name));
            plans.into_iter().any(|plan| plan.trigger.fits(key, State::Open))
        };
        keys.into_iter().any(|key| self.scope.covers(key) || planned(key))
    }

    /// Its checks, each with the number of its step, from 1.
    pub fn checks(&self) -> impl Iterator<Item = (usize, &RunbookStep, &RunbookCheck)> {
        (1..).zip(&self.steps).filter_map(|(number, step)| match &step.kind {
            RunbookStepKind::Check(check) => Some((number, step, check)),
            RunbookStepKind::Auto { .. } | RunbookStepKind::Ask | RunbookStepKind::Note => None,
        })
    }
}

impl RunbookScope {
    fn covers(&self, key: &AlertKey) -> bool {
        let says = !self.rules.is_empty() || !self.services.is_empty();
        says && (self.rules.is_empty() || self.rules.contains(&key.rule))
            && (self.services.is_empty() || self.services.contains(&key.service))
    }
}

/// The plan that an `auto` step leads to: the one that it names, else the first that has the action; `None`: there is none.
pub fn plan_of<'a>(policy: &'a RecoveryPolicy, action: Action, named: Option<&str>) -> Option<&'a Plan> {
    let has = |plan: &&Plan| plan.steps.iter().any(|step| step.action == action);
    match named {
        Some(name) => policy.plan(name).filter(has),
        None => policy.plans.iter().find(has),
    }
}

#[cfg(test)]
mod tests;
