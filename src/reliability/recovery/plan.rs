//! What is done about which incident: a ladder of steps, each verified, and the bounds of it all.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::reliability::incident::State;
use crate::reliability::rule::{AlertKey, Rule};

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Hold the target's breaker open for a while.
    CircuitBreaker,
    /// Drop the pooled connections to the target and look its names up again.
    ConnectionReset,
    /// Empty a cache.
    CacheClear,
    /// Do less, so that what matters goes on.
    GracefulDegradation,
    /// Use another instance of the target.
    Failover,
    /// Start the application again.
    RestartService,
    ScaleUp,
    ScaleDown,
    /// Go back to the version before.
    Rollback,
}

/// What an action costs when it is done in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It stays within this process and ends by itself.
    Own,
    /// It changes the application or what runs it: never done unless its intent is stored, never because another
    /// service fails, and only tried out until it is enabled.
    Application,
}

impl Action {
    /// In the order of their declaration.
    pub const ALL: [Self; 9] = [
        Self::CircuitBreaker,
        Self::ConnectionReset,
        Self::CacheClear,
        Self::GracefulDegradation,
        Self::Failover,
        Self::RestartService,
        Self::ScaleUp,
        Self::ScaleDown,
        Self::Rollback,
    ];

    /// As in TOML, the API and labels.
    pub const fn label(self) -> &'static str {
        match self {
            Self::CircuitBreaker => "circuit_breaker",
            Self::ConnectionReset => "connection_reset",
            Self::CacheClear => "cache_clear",
            Self::GracefulDegradation => "graceful_degradation",
            Self::Failover => "failover",
            Self::RestartService => "restart_service",
            Self::ScaleUp => "scale_up",
            Self::ScaleDown => "scale_down",
            Self::Rollback => "rollback",
        }
    }

    /// Does it put something in force that its run has to let go?
    pub fn holds(self) -> bool {
        match self {
            Self::CircuitBreaker | Self::GracefulDegradation => true,
            Self::ConnectionReset
            | Self::CacheClear
            | Self::Failover
            | Self::RestartService
            | Self::ScaleUp
            | Self::ScaleDown
            | Self::Rollback => false,
        }
    }

    /// Can Kubernetes do it?
    pub fn is_of_cluster(self) -> bool {
        matches!(self, Self::RestartService | Self::ScaleUp | Self::ScaleDown | Self::Rollback)
    }

    /// What it costs when it is done in vain.
    pub fn reach(self) -> Reach {
        match self {
            Self::CircuitBreaker | Self::ConnectionReset | Self::GracefulDegradation => Reach::Own,
            Self::CacheClear
            | Self::Failover
            | Self::RestartService
            | Self::ScaleUp
            | Self::ScaleDown
            | Self::Rollback => Reach::Application,
        }
    }
}

/// Whether a step is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepMode {
    Act,
    /// Once a person has approved.
    Ask,
    /// Said, not done.
    DryRun,
}

impl StepMode {
    /// In the order of daring, least last.
    pub const ALL: [Self; 3] = [Self::Act, Self::Ask, Self::DryRun];

    /// As in TOML and the API.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Act => "act",
            Self::Ask => "ask",
            Self::DryRun => "dry_run",
        }
    }
}

/// One step of a ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub action: Action,
    pub mode: StepMode,
    /// How long after it the condition may take to be over, before the next step.
    pub verify: Duration,
}

/// Which incidents a plan is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanTrigger {
    /// Found by one of these rules. Empty: the plan runs by order alone.
    pub rules: Vec<Rule>,
    /// About one of these; empty: about any.
    pub services: Vec<Arc<str>>,
    /// About one of these parts of it (`cpu` of a resource); empty: any.
    pub scopes: Vec<Arc<str>>,
    /// As soon as the incident is suspected; false: when it is confirmed.
    pub early: bool,
}

impl PlanTrigger {
    /// Does an incident of this key in this state ask for the plan?
    pub fn fits(&self, key: &AlertKey, state: State) -> bool {
        let ripe = match state {
            State::Suspected => self.early,
            State::Open | State::Mitigating => true,
            // Somebody is at work, or it is getting better.
            State::Acknowledged | State::Monitoring | State::Resolved | State::Reviewed | State::Cleared => {
                false
            }
        };
        ripe && self.rules.contains(&key.rule)
            && (self.services.is_empty() || self.services.contains(&key.service))
            && (self.scopes.is_empty() || self.scopes.contains(&key.scope))
    }
}

/// One plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub name: Arc<str>,
    pub trigger: PlanTrigger,
    pub steps: Vec<Step>,
    /// Passes over the steps, at most.
    pub max_attempts: u32,
    /// Between two passes.
    pub retry_delay: Duration,
    /// How long the condition must be over before the plan has worked.
    pub verify_for: Duration,
    /// From the end of a run to the next one of the same plan about the same target.
    pub cooldown: Duration,
    /// How long an approval is waited for.
    pub approve_within: Duration,
}

/// What recovery may do at all: the kill switch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecoveryMode {
    /// Nothing is begun; what runs ends.
    Off,
    /// Plans run, and nothing is done.
    DryRun,
    #[default]
    On,
}

impl RecoveryMode {
    pub const ALL: [Self; 3] = [Self::Off, Self::DryRun, Self::On];

    /// As in TOML and the API.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::DryRun => "dry_run",
            Self::On => "on",
        }
    }
}

/// All plans, and what they may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryPolicy {
    pub mode: RecoveryMode,
    /// In the order in which they are asked.
    pub plans: Vec<Plan>,
}

impl RecoveryPolicy {
    /// The plan of that name.
    pub fn plan(&self, name: &str) -> Option<&Plan> {
        self.plans.iter().find(|plan| &*plan.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_and_what_is_shown_is_one_word() {
        for action in Action::ALL {
            assert_eq!(serde_json::to_value(action).expect("a word"), action.label());
        }
        for mode in StepMode::ALL {
            assert_eq!(serde_json::to_value(mode).expect("a word"), mode.label());
        }
    }

    #[test]
    fn a_suspicion_starts_only_a_plan_that_asks_for_it_and_what_is_getting_better_none() {
        let key = AlertKey::of(Rule::ServiceDown, "database", "");
        let mut trigger = PlanTrigger { rules: vec![Rule::ServiceDown], ..PlanTrigger::default() };
        assert!(trigger.fits(&key, State::Open) && !trigger.fits(&key, State::Suspected));
        assert!(
            !trigger.fits(&key, State::Acknowledged)
                && !trigger.fits(&key, State::Monitoring)
                && !trigger.fits(&key, State::Resolved)
        );
        trigger.early = true;
        assert!(trigger.fits(&key, State::Suspected));
        trigger.services = vec![Arc::from("redis")];
        assert!(!trigger.fits(&key, State::Open));
    }
}
