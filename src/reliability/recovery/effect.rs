//! What recovery wants done, and what is worth counting of it.

use std::sync::Arc;
use std::time::Duration;

use super::plan::Action;
use super::record::{Run, RunOutcome, StepResult};
use crate::names::{IncidentId, RunId};
use crate::reliability::engine::Command;
use crate::units::At;

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum RecoveryEffect {
    /// Store the run as it is now.
    Save(Box<Run>),
    /// Do it. What became of it comes back as [`super::RecoveryCommand::Acted`].
    Act(ActRequest),
    /// Let go what a step of this run has put in force, unless somebody else has put something else there since.
    Release(ReleaseRequest),
    /// An order to the incident engine.
    Order(Command),
    /// Count and log it.
    Tell(RunEvent),
}

/// One act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActRequest {
    pub run: RunId,
    pub generation: u64,
    pub plan: Arc<str>,
    pub action: Action,
    /// The service that it is done to.
    pub target: Arc<str>,
    pub incident: Option<IncidentId>,
    pub attempt: u32,
    /// How long it is needed, where it ends by itself.
    pub lasts: Duration,
}

/// What is to be let go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseRequest {
    pub run: RunId,
    pub plan: Arc<str>,
    /// The action that put it in force.
    pub action: Action,
    pub target: Arc<str>,
}

impl ReleaseRequest {
    pub(super) fn of(run: &Run, action: Action) -> Self {
        let (plan, target) = (Arc::clone(&run.plan), Arc::clone(&run.target));
        Self { run: run.id.clone(), plan, action, target }
    }
}

impl Run {
    /// What its steps hold by an action that `whose` picks is not theirs any more; the effects that let it go.
    pub(super) fn let_go(&mut self, whose: fn(Action) -> bool, now: At) -> Vec<RecoveryEffect> {
        let mut actions: Vec<Action> = Vec::new();
        for step in self.steps.iter_mut().filter(|step| step.holds() && whose(step.action)) {
            step.released = Some(now);
            self.version += 1;
            actions.push(step.action);
        }
        actions.sort();
        actions.dedup();
        actions.into_iter().map(|action| RecoveryEffect::Release(ReleaseRequest::of(self, action))).collect()
    }
}

/// What is worth counting of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunEvent {
    pub run: RunId,
    pub plan: Arc<str>,
    pub target: Arc<str>,
    pub kind: RunEventKind,
}

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEventKind {
    Began,
    /// A step has its result, after so long.
    Step {
        action: Action,
        result: StepResult,
        took: Duration,
    },
    /// The run is over, after so long; `by`: the action after which the condition was over.
    Ended {
        outcome: RunOutcome,
        by: Option<Action>,
        took: Duration,
    },
}

impl RunEvent {
    pub(super) fn of(run: &Run, kind: RunEventKind) -> Self {
        let (plan, target) = (Arc::clone(&run.plan), Arc::clone(&run.target));
        Self { run: run.id.clone(), plan, target, kind }
    }

    pub(super) fn step(run: &Run, action: Action, result: StepResult, took: Duration) -> Self {
        Self::of(run, RunEventKind::Step { action, result, took })
    }

    pub(super) fn end(run: &Run, outcome: RunOutcome, took: Duration) -> Self {
        let last = run.steps.iter().rfind(|step| step.result.acted()).map(|step| step.action);
        let by = last.filter(|_| outcome == RunOutcome::Recovered);
        Self::of(run, RunEventKind::Ended { outcome, by, took })
    }
}
