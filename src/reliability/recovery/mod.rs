//! Recovery: plans that act on an incident step by step, see whether each step has helped, and call people when none has.
//!
//! A sibling of the incident engine, driven by the same second: it reads incidents and gives orders, and never changes one
//! by itself. What is to be done goes out as an effect with a generation; what became of it comes back with the same one.
//! It refuses to know how anything is done.
//!
//! ```text
//!   Next ──▶ Acting ──▶ Verifying ──▶ Next … ──▶ Resting ──▶ Next (the next pass) … ──▶ Over
//!     └──▶ Asking ──▲        └── the condition is over for long enough ──────────────────▲
//! ```
//!
//! # Invariants
//! * One run at a time about one target, and [`MOST_LIVE`] in all.
//! * The intent of an act is stored before it is done; no step of a pass is done twice, whatever ends in between.
//! * What a run puts in force (a hold of a breaker, a degradation level) is let go when the run ends, but for a level
//!   that outlives it ([`Run::leaves_its_level`]).
//! * A plan runs at most `max_attempts` passes a run, and as many runs an incident; then people are called.

mod command;
mod effect;
mod plan;
mod record;
mod run;
mod seen;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::engine::Engine;
use crate::names::{IncidentId, RunId};
use crate::units::At;
pub use command::{RecoveryCommand, RecoveryRefused};
pub use effect::{ActRequest, RecoveryEffect, ReleaseRequest, RunEvent, RunEventKind};
pub use plan::{Action, Plan, PlanTrigger, Reach, RecoveryMode, RecoveryPolicy, Step, StepMode};
pub use record::{Run, RunOrder, RunOutcome, RunPhase, StepRecord, StepResult};
use run::Look;
use seen::Sight;

/// Runs that go on at the same time: what recovers many things at once is a storm of its own.
pub const MOST_LIVE: usize = 4;
/// A run that nobody has looked after for longer is not taken up: what asked for it is long over, or asks again.
const RESUME_WITHIN: Duration = Duration::from_secs(300);
/// Runs at hand that are over; the store has more of them.
pub const KEPT: usize = 100;

/// All runs, and what they may do.
#[derive(Debug)]
pub struct Recovery {
    policy: Arc<RecoveryPolicy>,
    runs: BTreeMap<RunId, Run>,
    /// Makes the names of its runs differ from those of other members and starts.
    seed: u64,
    began: u64,
    begins: Begins,
    now: At,
}

impl Recovery {
    /// None runs yet.
    pub fn new(policy: Arc<RecoveryPolicy>, seed: u64) -> Self {
        Self { policy, runs: BTreeMap::new(), seed, began: 0, begins: Begins::Yes, now: At::default() }
    }

    /// Another policy; what its plans no longer name ends at the next look.
    pub fn reconfigure(&mut self, policy: Arc<RecoveryPolicy>) {
        self.policy = policy;
    }

    pub fn policy(&self) -> &Arc<RecoveryPolicy> {
        &self.policy
    }

    /// All runs at hand, oldest first.
    pub fn runs(&self) -> impl DoubleEndedIterator<Item = &Run> {
        self.runs.values()
    }

    /// Takes over the runs of an earlier start. What was being done then is not done again: what came of it is watched. Of
    /// several about one target, whose ends a store that was away has never heard of, the last one goes on; none does that
    /// nobody has looked after for five minutes.
    pub fn restore(&mut self, mut runs: Vec<Run>, now: At) -> Vec<RecoveryEffect> {
        self.now = self.now.max(now);
        let mut out = Vec::new();
        runs.sort_by(|one, other| other.id.cmp(&one.id));
        for mut run in runs {
            let before = run.version;
            let step = run.interrupted(now);
            let full = self.live().count() >= MOST_LIVE;
            let late = now.since(run.newest()) > RESUME_WITHIN;
            if late || full || self.live().any(|held| held.target == run.target) {
                let why = if late {
                    "nobody ran it for too long"
                } else {
                    "a later run goes on about the same service"
                };
                run.withdraw(why, now);
                out.extend(run.let_go(Action::holds, now));
                let took = now.since(run.began);
                out.push(RecoveryEffect::Tell(RunEvent::end(&run, RunOutcome::Withdrawn, took)));
            } else if let Some(step) = step {
                run.phase = RunPhase::Verifying { step, since: now };
            }
            run.well_since = None;
            run.check_invariants();
            if run.version != before {
                out.push(RecoveryEffect::Save(Box::new(run.clone())));
            }
            self.runs.insert(run.id.clone(), run);
        }
        out
    }

    /// Takes over what runs of earlier starts and of other members have come to, so that a plan keeps its cooldown and its
    /// number of runs whoever runs it. One that goes on as far as the store knows was another member's, which runs no plans
    /// any more.
    pub fn remember(&mut self, runs: Vec<Run>, now: At) -> Vec<RecoveryEffect> {
        self.now = self.now.max(now);
        let mut out = Vec::new();
        for mut run in runs {
            if self.runs.contains_key(&run.id) {
                continue;
            }
            if run.is_live() {
                run.withdraw("the member that ran it runs no plans any more", run.newest().min(now));
                // It was in force in that one's process.
                drop(run.let_go(Action::holds, now));
                out.push(RecoveryEffect::Save(Box::new(run.clone())));
            }
            self.runs.insert(run.id.clone(), run);
        }
        self.prune();
        out
    }

    /// One look, each second. `begins`: whether this member runs plans; where it does so no longer, its runs end.
    pub fn look(&mut self, engine: &Engine, begins: Begins, now: At) -> Vec<RecoveryEffect> {
        self.now = self.now.max(now);
        self.begins = begins;
        let mut out = Vec::new();
        let live: Vec<RunId> = self.live().map(|run| run.id.clone()).collect();
        for id in live {
            self.with(&id, engine, &mut out, |look| look.go_on());
        }
        if begins == Begins::Yes && self.policy.mode != RecoveryMode::Off {
            self.begin_due(engine, &mut out);
        }
        self.prune();
        out
    }

    fn live(&self) -> impl Iterator<Item = &Run> {
        self.runs.values().filter(|run| run.is_live())
    }

    /// What incidents ask for.
    fn begin_due(&mut self, engine: &Engine, out: &mut Vec<RecoveryEffect>) {
        for incident in engine.incidents().filter(|one| one.state.is_live() && engine.goes_on(&one.id)) {
            if engine.is_silenced(incident) || incident.is_drill() {
                continue; // announced work: nobody helps it
            }
            let due = incident.active().find_map(|signal| {
                let fits = |plan: &&Plan| plan.trigger.fits(&signal.key, incident.state);
                let plan =
                    self.policy.plans.iter().filter(fits).find(|plan| self.may_run(plan, &incident.id))?;
                Some((plan.name.clone(), Arc::clone(&signal.key.service)))
            });
            let Some((plan, target)) = due else { continue };
            if self.free(&plan, &target).is_ok() {
                let dry_run = self.policy.mode == RecoveryMode::DryRun;
                let beginning =
                    Beginning { plan, target, incident: Some(incident.id.clone()), ordered: None, dry_run };
                self.begin(beginning, engine, out);
            }
        }
    }

    /// Has the plan not had its turns at this incident? One that has tried everything has; one that was withdrawn, with the
    /// duty or with its plan, has not.
    fn may_run(&self, plan: &Plan, incident: &IncidentId) -> bool {
        let of_it = || {
            self.runs.values().filter(|run| run.plan == plan.name && run.incident.as_ref() == Some(incident))
        };
        let again = |run: &Run| {
            run.ended()
                .is_some_and(|(outcome, _)| matches!(outcome, RunOutcome::Recovered | RunOutcome::Withdrawn))
        };
        of_it().count() < plan.max_attempts as usize && of_it().all(again)
    }

    /// May a run of the plan about the target begin now?
    fn free(&self, plan: &str, target: &Arc<str>) -> Result<(), RecoveryRefused> {
        if let Some(run) = self.live().find(|run| run.target == *target) {
            return Err(RecoveryRefused::Running { run: run.id.clone() });
        }
        if self.live().count() >= MOST_LIVE {
            return Err(RecoveryRefused::TooMany { most: MOST_LIVE });
        }
        let cooldown = self.policy.plan(plan).map_or(Duration::ZERO, |plan| plan.cooldown);
        let of_it = self.runs.values().filter(|run| &*run.plan == plan && run.target == *target);
        let last = of_it.filter_map(|run| run.ended().filter(|_| run.acted())).map(|(_, at)| at).max();
        match last.map(|at| at + cooldown) {
            Some(until) if until > self.now => Err(RecoveryRefused::Cooling { until }),
            Some(_) | None => Ok(()),
        }
    }

    fn begin(&mut self, beginning: Beginning, engine: &Engine, out: &mut Vec<RecoveryEffect>) -> RunId {
        self.began += 1;
        let id =
            RunId::of(self.now.0, self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(self.began));
        let Beginning { plan, target, incident, ordered, dry_run } = beginning;
        let run = Run {
            id: id.clone(),
            plan,
            target,
            incident,
            ordered,
            dry_run,
            began: self.now,
            attempt: 1,
            phase: RunPhase::Next { step: 0 },
            generation: 0,
            steps: Vec::new(),
            well_since: None,
            version: 1,
        };
        out.push(RecoveryEffect::Tell(RunEvent::of(&run, RunEventKind::Began)));
        self.runs.insert(id.clone(), run);
        self.with(&id, engine, out, |look| look.go_on());
        id
    }

    /// One run at one look; it is stored when that has changed it.
    fn with<T>(
        &mut self,
        id: &RunId,
        engine: &Engine,
        out: &mut Vec<RecoveryEffect>,
        change: impl FnOnce(&mut Look<'_>) -> T,
    ) -> Option<T> {
        let run = self.runs.get_mut(id)?;
        let before = (run.version, run.phase);
        let sight = Sight::of(engine, &run.target, run.incident.as_ref());
        let gone = gone(&run.plan);
        let off = self.policy.mode == RecoveryMode::Off || self.begins == Begins::No;
        let plan = self.policy.plan(&run.plan).filter(|_| !off);
        let (now, mode) = (self.now, self.policy.mode);
        let mut look = Look { plan: plan.unwrap_or(&gone), mode, sight: &sight, now, run, out };
        let changed = if plan.is_some() {
            Some(change(&mut look))
        } else {
            look.withdraw();
            None
        };
        run.check_invariants();
        let stored = out.iter().any(|one| matches!(one, RecoveryEffect::Save(saved) if **saved == *run));
        if (run.version, run.phase) != before && !stored {
            out.push(RecoveryEffect::Save(Box::new(run.clone())));
        }
        changed
    }

    fn prune(&mut self) {
        let over = self.runs.values().filter(|run| !run.is_live()).count();
        let mut surplus = over.saturating_sub(KEPT);
        self.runs.retain(|_, run| {
            let drop = surplus > 0 && !run.is_live();
            surplus -= usize::from(drop);
            !drop
        });
    }

    /// The clock was set: moments move with it.
    pub fn step(&mut self, millis: i64) {
        self.now = self.now.moved(millis);
        self.runs.values_mut().for_each(|run| run.shift(millis));
    }
}

/// Of a run whose plan is not in force any more.
fn gone(name: &Arc<str>) -> Plan {
    Plan {
        name: Arc::clone(name),
        trigger: PlanTrigger::default(),
        steps: Vec::new(),
        max_attempts: 0,
        retry_delay: Duration::ZERO,
        verify_for: Duration::ZERO,
        cooldown: Duration::ZERO,
        approve_within: Duration::ZERO,
    }
}

/// Does this member run plans?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// It calls people, and acts.
    Yes,
    /// Another member of the fleet does.
    No,
}

/// What a run begins with.
struct Beginning {
    plan: Arc<str>,
    target: Arc<str>,
    incident: Option<IncidentId>,
    ordered: Option<RunOrder>,
    dry_run: bool,
}

#[cfg(test)]
mod tests;
