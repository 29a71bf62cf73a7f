//! Orders about recovery: from people, and from whoever has acted.

use std::fmt;
use std::sync::Arc;

use super::plan::{Action, RecoveryMode};
use super::record::{Run, RunOrder, RunOutcome, StepRecord, StepResult};
use super::{Beginning, Begins, MOST_LIVE, Recovery, RecoveryEffect};
use crate::names::{IncidentId, RunId};
use crate::reliability::engine::Engine;
use crate::units::At;

/// An order about recovery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecoveryCommand {
    /// Run a plan now.
    Trigger {
        plan: String,
        /// The incident that it is about; `None`: none is named.
        incident: Option<IncidentId>,
        /// The service that is to recover; `None`: that of the incident, else the first one of the plan.
        target: Option<Arc<str>>,
        /// Only say what would be done.
        dry_run: bool,
        order: RunOrder,
    },
    /// Leave for the step that asks for it.
    Approve { run: RunId, actor: String },
    /// End a run; a step that is being done is not undone.
    Cancel { run: RunId, actor: String, reason: String },
    /// What became of an act.
    Acted {
        run: RunId,
        /// Of its [`ActRequest`](super::ActRequest).
        generation: u64,
        result: StepResult,
        /// In words for people.
        detail: String,
    },
}

/// Why an order is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecoveryRefused {
    NoSuchPlan {
        known: Vec<Arc<str>>,
    },
    NoSuchIncident,
    NoSuchRun,
    /// `recovery.mode` is off.
    Off,
    /// Another member of the fleet runs plans.
    NotOnDuty,
    /// Neither the order, nor the incident, nor the plan names a service.
    NoTarget,
    /// A run about the same target goes on.
    Running {
        run: RunId,
    },
    /// As many go on as may.
    TooMany {
        most: usize,
    },
    /// The plan has acted on the target a short while ago.
    Cooling {
        until: At,
    },
    /// The run is over, or does not ask for anything.
    NotAsked,
    /// The field is empty.
    Empty(&'static str),
}

impl fmt::Display for RecoveryRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchPlan { known } if known.is_empty() => {
                write!(f, "no plan is configured; write [plans.<name>] in the TOML")
            }
            Self::NoSuchPlan { known } => write!(f, "no such plan; write one of {}", known.join(", ")),
            Self::NoSuchIncident => write!(f, "no such incident"),
            Self::NoSuchRun => write!(f, "no such run"),
            Self::Off => write!(f, "recovery is off: recovery.mode says so"),
            Self::NotOnDuty => write!(f, "another member of the fleet has the duty: order it there"),
            Self::NoTarget => write!(f, "which service? write it as context.service"),
            Self::Running { run } => write!(f, "run {run} goes on about the same service"),
            Self::TooMany { most } => write!(f, "{most} runs go on, and no more may"),
            Self::Cooling { .. } => write!(f, "the plan has acted on this service a short while ago"),
            Self::NotAsked => write!(f, "the run waits for no approval"),
            Self::Empty(field) => write!(f, "{field} is empty"),
        }
    }
}

impl std::error::Error for RecoveryRefused {}

type Decided = Result<Box<Run>, RecoveryRefused>;

impl Recovery {
    /// One order, at once, and the run as it is then. There are no effects when it is refused.
    pub fn command(
        &mut self,
        command: RecoveryCommand,
        engine: &Engine,
        now: At,
    ) -> (Decided, Vec<RecoveryEffect>) {
        self.now = self.now.max(now);
        let mut out = Vec::new();
        let done = match command {
            RecoveryCommand::Trigger { plan, incident, target, dry_run, order } => {
                let dry_run = dry_run || self.policy.mode == RecoveryMode::DryRun;
                let target = self.target(&plan, incident.as_ref(), target, engine);
                target.and_then(|target| {
                    let ordered = Some(named(order)?);
                    self.free_for_order(&target)?;
                    let plan = Arc::from(plan);
                    Ok(self.begin(Beginning { plan, target, incident, ordered, dry_run }, engine, &mut out))
                })
            }
            RecoveryCommand::Approve { run, actor } => self.approve(run, actor, engine, &mut out),
            RecoveryCommand::Cancel { run, actor, reason } => {
                let said = self.with(&run, engine, &mut out, |look| look.cancel(&actor, &reason));
                answered(said, run)
            }
            RecoveryCommand::Acted { run, generation, result, detail } => {
                let late = self.too_late(&run, generation, result);
                if late.is_empty() {
                    let heard = |look: &mut super::run::Look<'_>| look.heard(generation, result, detail);
                    let heard = self.with(&run, engine, &mut out, heard);
                    answered(heard, run)
                } else {
                    out.extend(late);
                    Ok(run)
                }
            }
        };
        let shown = done.and_then(|id| self.runs.get(&id).cloned().ok_or(RecoveryRefused::NoSuchRun));
        (shown.map(Box::new), out)
    }

    /// Something was done that its run waits for no more: what it has put in force is let go, but where a step of the run
    /// holds the same to this moment and lets go of it in its own time.
    fn too_late(&self, run: &RunId, generation: u64, result: StepResult) -> Vec<RecoveryEffect> {
        let Some(run) = self.runs.get(run).filter(|run| result.acted() && !run.waits_for(generation)) else {
            return Vec::new();
        };
        let of = |action| run.steps.iter().filter(move |step| step.action == action);
        let let_go = Action::ALL.into_iter().filter(|action| {
            let unheard = of(*action).any(|step| step.result == StepResult::Unknown);
            action.holds() && unheard && !of(*action).any(StepRecord::holds)
        });
        let_go.map(|action| RecoveryEffect::Release(super::ReleaseRequest::of(run, action))).collect()
    }

    fn target(
        &self,
        plan: &str,
        incident: Option<&IncidentId>,
        target: Option<Arc<str>>,
        engine: &Engine,
    ) -> Result<Arc<str>, RecoveryRefused> {
        if self.policy.mode == RecoveryMode::Off {
            return Err(RecoveryRefused::Off);
        }
        if self.begins == Begins::No {
            return Err(RecoveryRefused::NotOnDuty);
        }
        let Some(plan) = self.policy.plan(plan) else {
            let known = self.policy.plans.iter().map(|plan| Arc::clone(&plan.name)).collect();
            return Err(RecoveryRefused::NoSuchPlan { known });
        };
        let incident = match incident {
            Some(id) => Some(engine.incident(id).ok_or(RecoveryRefused::NoSuchIncident)?),
            None => None,
        };
        let of_incident = incident.map(|one| Arc::clone(&one.key.service)).filter(|name| !name.is_empty());
        let named = target.filter(|name| !name.is_empty()).or(of_incident);
        named.or_else(|| plan.trigger.services.first().cloned()).ok_or(RecoveryRefused::NoTarget)
    }

    /// A person need not wait for a plan to cool.
    fn free_for_order(&self, target: &Arc<str>) -> Result<(), RecoveryRefused> {
        match self.live().find(|run| run.target == *target) {
            Some(run) => Err(RecoveryRefused::Running { run: run.id.clone() }),
            None if self.live().count() >= MOST_LIVE => Err(RecoveryRefused::TooMany { most: MOST_LIVE }),
            None => Ok(()),
        }
    }

    fn approve(
        &mut self,
        run: RunId,
        actor: String,
        engine: &Engine,
        out: &mut Vec<RecoveryEffect>,
    ) -> Result<RunId, RecoveryRefused> {
        if actor.trim().is_empty() {
            return Err(RecoveryRefused::Empty("actor"));
        }
        let said = self.with(&run, engine, out, |look| look.approve(actor));
        answered(said, run)
    }
}

/// Whether a run had to do with it.
fn answered(heard: Option<bool>, run: RunId) -> Result<RunId, RecoveryRefused> {
    match heard {
        Some(true) => Ok(run),
        Some(false) => Err(RecoveryRefused::NotAsked),
        None => Err(RecoveryRefused::NoSuchRun),
    }
}

fn named(order: RunOrder) -> Result<RunOrder, RecoveryRefused> {
    if order.actor.trim().is_empty() { Err(RecoveryRefused::Empty("actor")) } else { Ok(order) }
}

impl super::run::Look<'_> {
    /// A person ends the run; false: it is over already.
    fn cancel(&mut self, actor: &str, reason: &str) -> bool {
        self.stop(RunOutcome::Cancelled, format!("{actor} ended it: {reason}"))
    }

    /// Its plan is not in force any more.
    pub(super) fn withdraw(&mut self) {
        self.stop(RunOutcome::Withdrawn, "its plan is not in force here any more".to_owned());
    }

    fn stop(&mut self, outcome: RunOutcome, why: String) -> bool {
        if !self.run.is_live() {
            return false;
        }
        match self.run.phase {
            super::RunPhase::Acting { .. } => self.settle(StepResult::Unknown, why),
            super::RunPhase::Asking { .. } => self.settle(StepResult::Skipped, why),
            super::RunPhase::Next { .. }
            | super::RunPhase::Verifying { .. }
            | super::RunPhase::Resting { .. }
            | super::RunPhase::Over { .. } => {}
        }
        self.end(outcome);
        true
    }
}
