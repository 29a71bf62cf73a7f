//! What a run has done so far, as it is stored and shown.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::plan::{Action, StepMode};
use crate::names::{IncidentId, RunId};
use crate::units::At;

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepResult {
    /// It is being done, or waits for an approval.
    Pending,
    Done,
    /// It was so already.
    Unneeded,
    Failed,
    /// There is nothing here that could do it.
    NotPossible,
    /// Something spoke against it.
    Skipped,
    /// It was only said what would be done.
    DryRun,
    /// Whether it was done is not known: the process ended meanwhile, or nothing was heard. It is not done again.
    Unknown,
}

impl StepResult {
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Done,
        Self::Unneeded,
        Self::Failed,
        Self::NotPossible,
        Self::Skipped,
        Self::DryRun,
        Self::Unknown,
    ];

    /// As in the API, logs and labels.
    pub fn label(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Done => "done",
            Self::Unneeded => "unneeded",
            Self::Failed => "failed",
            Self::NotPossible => "not_possible",
            Self::Skipped => "skipped",
            Self::DryRun => "dry_run",
            Self::Unknown => "unknown",
        }
    }

    /// May it have changed something?
    pub fn acted(self) -> bool {
        match self {
            Self::Done | Self::Failed | Self::Unknown => true,
            Self::Pending | Self::Unneeded | Self::NotPossible | Self::Skipped | Self::DryRun => false,
        }
    }
}

/// One step of one pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The pass, from 1.
    pub attempt: u32,
    /// Its place in the plan, from 0.
    pub step: usize,
    pub action: Action,
    pub mode: StepMode,
    pub began: At,
    /// When its result was known; `None`: it is not yet.
    pub ended: Option<At>,
    pub result: StepResult,
    /// What whoever did it says, or why it was not done.
    pub detail: String,
    /// Was the condition over within the step's time? `None`: not yet known, or not looked at.
    pub verified: Option<bool>,
    /// Who approved it; `None`: nobody was asked.
    pub approved_by: Option<String>,
    /// When what it put in force was let go; `None`: it is in force, or there is nothing to let go.
    #[serde(default)]
    pub released: Option<At>,
}

impl StepRecord {
    /// May something be in force that has to be let go?
    pub(super) fn holds(&self) -> bool {
        self.action.holds() && self.released.is_none() && self.result.acted()
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// After a step the condition was over for long enough.
    Recovered,
    /// It was over before anything was done.
    Unneeded,
    /// All passes are over and the condition holds: people were called.
    Exhausted,
    /// No step could be done: people were called.
    NothingDone,
    /// It was only said what would be done.
    DryRun,
    /// A person ended it, or the incident.
    Cancelled,
    /// Its plan, or leave to recover anything, is gone.
    Withdrawn,
}

impl RunOutcome {
    pub const ALL: [Self; 7] = [
        Self::Recovered,
        Self::Unneeded,
        Self::Exhausted,
        Self::NothingDone,
        Self::DryRun,
        Self::Cancelled,
        Self::Withdrawn,
    ];

    /// As in the API, logs and labels.
    pub fn label(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::Unneeded => "unneeded",
            Self::Exhausted => "exhausted",
            Self::NothingDone => "nothing_done",
            Self::DryRun => "dry_run",
            Self::Cancelled => "cancelled",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Must somebody act now?
    pub fn needs_people(self) -> bool {
        match self {
            Self::Exhausted | Self::NothingDone => true,
            Self::Recovered | Self::Unneeded | Self::DryRun | Self::Cancelled | Self::Withdrawn => false,
        }
    }
}

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunPhase {
    /// The step is next.
    Next {
        step: usize,
    },
    /// It is stored that the step is to be done; it is being done.
    Acting {
        step: usize,
        since: At,
    },
    /// What came of it is watched.
    Verifying {
        step: usize,
        since: At,
    },
    /// A person is asked for leave.
    Asking {
        step: usize,
        until: At,
    },
    /// Between two passes.
    Resting {
        until: At,
    },
    Over {
        outcome: RunOutcome,
        at: At,
    },
}

impl RunPhase {
    /// As in the API.
    pub fn label(self) -> &'static str {
        match self {
            Self::Next { .. } => "next",
            Self::Acting { .. } => "acting",
            Self::Verifying { .. } => "verifying",
            Self::Asking { .. } => "asking",
            Self::Resting { .. } => "resting",
            Self::Over { .. } => "over",
        }
    }
}

/// A person's order that began a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunOrder {
    pub actor: String,
    pub reason: String,
}

/// One plan at work on one target. Stored as JSON; unknown fields of a newer version are passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub id: RunId,
    pub plan: Arc<str>,
    /// The service that is to recover.
    pub target: Arc<str>,
    /// `None`: by order, of a target without an incident.
    pub incident: Option<IncidentId>,
    /// `None`: the incident began it.
    pub ordered: Option<RunOrder>,
    /// Whatever its steps say, nothing is done.
    pub dry_run: bool,
    pub began: At,
    /// The pass, from 1.
    pub attempt: u32,
    pub phase: RunPhase,
    /// Of the act that is being done; a result of another one is not of this run's phase.
    pub generation: u64,
    pub steps: Vec<StepRecord>,
    /// Since when the condition is over; `None`: it is not, or nobody knows.
    pub well_since: Option<At>,
    /// Counts its changes.
    pub version: u64,
}

impl Run {
    /// How and when it ended; `None`: it has not.
    pub fn ended(&self) -> Option<(RunOutcome, At)> {
        match self.phase {
            RunPhase::Over { outcome, at } => Some((outcome, at)),
            RunPhase::Next { .. }
            | RunPhase::Acting { .. }
            | RunPhase::Verifying { .. }
            | RunPhase::Asking { .. }
            | RunPhase::Resting { .. } => None,
        }
    }

    pub fn is_live(&self) -> bool {
        self.ended().is_none()
    }

    /// Is the result of the act of that number still waited for?
    pub(super) fn waits_for(&self, generation: u64) -> bool {
        matches!(self.phase, RunPhase::Acting { .. }) && self.generation == generation
    }

    /// The process ended while it went on. The step that was being done then; it is not done again.
    pub(super) fn interrupted(&mut self, now: At) -> Option<usize> {
        let RunPhase::Acting { step, .. } = self.phase else { return None };
        if let Some(record) = self.steps.last_mut() {
            (record.result, record.ended) = (StepResult::Unknown, Some(now));
            "the process ended while it was done; it is not done again".clone_into(&mut record.detail);
        }
        self.generation += 1;
        self.version += 1;
        Some(step)
    }

    /// The newest moment that it remembers, or until when it waits.
    pub(super) fn newest(&self) -> At {
        let waits = match self.phase {
            RunPhase::Asking { until, .. } | RunPhase::Resting { until } => Some(until),
            RunPhase::Next { .. }
            | RunPhase::Acting { .. }
            | RunPhase::Verifying { .. }
            | RunPhase::Over { .. } => None,
        };
        let of_steps = self.steps.iter().flat_map(|step| [Some(step.began), step.ended]).flatten();
        of_steps.chain(waits).max().map_or(self.began, |newest| newest.max(self.began))
    }

    /// It is not taken up.
    pub(super) fn withdraw(&mut self, why: &str, now: At) {
        if let Some(record) = self.steps.last_mut().filter(|record| record.result == StepResult::Pending) {
            (record.result, record.ended) = (StepResult::Skipped, Some(now));
            why.clone_into(&mut record.detail);
        }
        self.phase = RunPhase::Over { outcome: RunOutcome::Withdrawn, at: now };
        self.version += 1;
    }

    /// Its moments by a clock that runs `millis` ahead of the one before.
    pub(super) fn shift(&mut self, millis: i64) {
        let of_phase = match &mut self.phase {
            RunPhase::Next { .. } => None,
            RunPhase::Acting { since: at, .. }
            | RunPhase::Verifying { since: at, .. }
            | RunPhase::Asking { until: at, .. }
            | RunPhase::Resting { until: at }
            | RunPhase::Over { at, .. } => Some(at),
        };
        let of_steps = self
            .steps
            .iter_mut()
            .flat_map(|step| [Some(&mut step.began), step.ended.as_mut(), step.released.as_mut()]);
        let own = [Some(&mut self.began), self.well_since.as_mut(), of_phase];
        for at in of_steps.chain(own).flatten() {
            *at = at.moved(millis);
        }
    }

    /// May any step of it have changed something?
    pub fn acted(&self) -> bool {
        self.steps.iter().any(|step| step.result.acted())
    }

    /// It is over, and a degradation level that it has raised stays for its time: it helps until those who are called are
    /// there, and a person who has ordered it wants it.
    pub fn leaves_its_level(&self) -> bool {
        self.ended().is_some_and(|(outcome, _)| match outcome {
            RunOutcome::Exhausted | RunOutcome::NothingDone => true,
            RunOutcome::Recovered | RunOutcome::Unneeded | RunOutcome::DryRun => self.ordered.is_some(),
            RunOutcome::Cancelled | RunOutcome::Withdrawn => false,
        })
    }

    /// Asserts, in debug builds, what holds of every run.
    pub fn check_invariants(&self) {
        let pending = self.steps.iter().filter(|step| step.result == StepResult::Pending).count();
        let waits = matches!(self.phase, RunPhase::Acting { .. } | RunPhase::Asking { .. });
        debug_assert_eq!(pending, usize::from(waits), "one step at a time: {self:?}");
        let mut places: Vec<(u32, usize)> = self.steps.iter().map(|one| (one.attempt, one.step)).collect();
        let steps = places.len();
        places.dedup();
        debug_assert_eq!(places.len(), steps, "no step of a pass is done twice: {self:?}");
        debug_assert!(places.is_sorted(), "steps are in their order: {self:?}");
        let stays = |step: &StepRecord| step.action != Action::CircuitBreaker && self.leaves_its_level();
        let holds = self.steps.iter().any(|step| step.holds() && !stays(step));
        debug_assert!(self.is_live() || !holds, "what it held is let go when it ends: {self:?}");
    }
}
