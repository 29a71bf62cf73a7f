//! One run: which step is next, what came of the one before, and when it is over.

use std::time::Duration;

use super::effect::{ActRequest, RecoveryEffect, RunEvent};
use super::plan::{Action, Plan, Reach, RecoveryMode, Step, StepMode};
use super::record::{Run, RunOutcome, RunPhase, StepRecord, StepResult};
use super::seen::{Condition, Sight};
use crate::reliability::engine::Command;
use crate::reliability::incident::State;
use crate::units::At;

/// How long an act may take before nothing is expected to be heard of it any more.
const ACT_WITHIN: Duration = Duration::from_secs(120);

/// One run, its plan and what is seen of its target, at one look.
pub(super) struct Look<'a> {
    pub(super) run: &'a mut Run,
    pub(super) plan: &'a Plan,
    /// All that plans may do now.
    pub(super) mode: RecoveryMode,
    pub(super) sight: &'a Sight,
    pub(super) now: At,
    pub(super) out: &'a mut Vec<RecoveryEffect>,
}

/// What is decided of a step before it is done.
enum Ruling {
    Act,
    Ask,
    DryRun,
    Skip(String),
}

impl Look<'_> {
    /// Goes on as far as this moment allows.
    pub(super) fn go_on(&mut self) {
        if !self.run.is_live() {
            return;
        }
        self.watch();
        let (now, acting) = (self.now, matches!(self.run.phase, RunPhase::Acting { .. }));
        if acting {
            return self.give_up_waiting();
        }
        if self.ends_by_condition() {
            return;
        }
        match self.run.phase {
            RunPhase::Next { step } => self.proceed(step),
            RunPhase::Verifying { step, since } => {
                let window = self.plan.steps.get(step).map_or(Duration::ZERO, |step| step.verify);
                if now.since(since) < window || self.run.well_since.is_some() {
                    return;
                }
                // What is held open gets no exchange that could show anything: it has rested, now it is watched.
                if self.let_go(is_breaker) {
                    self.run.phase = RunPhase::Verifying { step, since: now };
                } else {
                    let seen = self.sight.condition != Condition::Unknown;
                    self.last(|record| record.verified = seen.then_some(false));
                    self.proceed(step + 1);
                }
            }
            RunPhase::Asking { step, until } if now >= until => {
                let why = "nobody approved it in time".to_owned();
                self.settle(StepResult::Skipped, why);
                self.proceed(step + 1);
            }
            RunPhase::Resting { until } if now >= until => {
                self.run.attempt += 1;
                self.proceed(0);
            }
            RunPhase::Acting { .. }
            | RunPhase::Asking { .. }
            | RunPhase::Resting { .. }
            | RunPhase::Over { .. } => {}
        }
    }

    /// What is seen of the condition.
    fn watch(&mut self) {
        let well = self.sight.condition == Condition::Well;
        let before = self.run.well_since;
        self.run.well_since = well.then(|| before.unwrap_or(self.now));
        self.run.version += u64::from(before != self.run.well_since);
        // What was held open for its sake is well now: others see that, and traffic is to show it.
        let held = self.run.steps.iter().rfind(|step| is_breaker(step.action) && step.holds());
        if held.is_some_and(|step| self.sight.eased || self.run.well_since > Some(step.began)) {
            self.let_go(is_breaker);
        }
    }

    /// Lets go what the run holds by these actions; false: it holds nothing by them.
    fn let_go(&mut self, whose: fn(Action) -> bool) -> bool {
        let effects = self.run.let_go(whose, self.now);
        let any = !effects.is_empty();
        self.out.extend(effects);
        any
    }

    fn give_up_waiting(&mut self) {
        let RunPhase::Acting { step, since } = self.run.phase else { return };
        if self.now.since(since) >= ACT_WITHIN {
            self.settle(
                StepResult::Unknown,
                format!("nothing was heard of it for {} s", ACT_WITHIN.as_secs()),
            );
            self.run.phase = RunPhase::Verifying { step, since: self.now };
        }
    }

    /// Is it over because of what is seen?
    fn ends_by_condition(&mut self) -> bool {
        let outcome = match self.sight.condition {
            Condition::Closed => Some(RunOutcome::Cancelled),
            Condition::Gone => Some(self.worked()),
            // A person's order is carried out, however well its target is.
            Condition::Well if self.run.ordered.is_some() && !self.run.acted() => None,
            Condition::Well => {
                let since = self.run.well_since.unwrap_or(self.now);
                (self.now.since(since) >= self.plan.verify_for).then(|| self.worked())
            }
            Condition::Ill | Condition::Unknown => None,
        };
        let Some(outcome) = outcome else { return false };
        if self.run.steps.last().is_some_and(|record| record.result == StepResult::Pending) {
            self.settle(StepResult::Skipped, "the incident is over".to_owned());
        }
        if outcome == RunOutcome::Recovered {
            self.last(|record| record.verified = Some(true));
        }
        self.end(outcome);
        true
    }

    fn worked(&self) -> RunOutcome {
        if self.run.acted() { RunOutcome::Recovered } else { RunOutcome::Unneeded }
    }

    /// The steps from `from` on, up to the first that takes time.
    fn proceed(&mut self, from: usize) {
        let plan = self.plan;
        for (place, step) in plan.steps.iter().enumerate().skip(from) {
            let record = StepRecord {
                attempt: self.run.attempt,
                step: place,
                action: step.action,
                mode: step.mode,
                began: self.now,
                ended: None,
                result: StepResult::Pending,
                detail: String::new(),
                verified: None,
                approved_by: None,
                released: None,
            };
            self.run.steps.push(record);
            self.run.version += 1;
            match self.ruling(step) {
                Ruling::Act => return self.act(place, step.action),
                Ruling::Ask => {
                    let until = self.now + plan.approve_within;
                    self.run.phase = RunPhase::Asking { step: place, until };
                    let what = format!(
                        "waits {} s for an approval of {}",
                        plan.approve_within.as_secs(),
                        words(step.action)
                    );
                    return self.note(what);
                }
                Ruling::DryRun => {
                    self.settle(StepResult::DryRun, format!("would do {}", words(step.action)));
                }
                Ruling::Skip(why) => self.settle(StepResult::Skipped, why),
            }
        }
        self.pass_is_over();
    }

    fn ruling(&self, step: &Step) -> Ruling {
        if let (Reach::Application, Some(other)) = (step.action.reach(), &self.sight.elsewhere) {
            return Ruling::Skip(format!("{other} fails, and explains it"));
        }
        match step.mode {
            StepMode::DryRun => Ruling::DryRun,
            _ if self.is_dry() => Ruling::DryRun,
            StepMode::Ask => Ruling::Ask,
            StepMode::Act => Ruling::Act,
        }
    }

    fn is_dry(&self) -> bool {
        self.run.dry_run || self.mode == RecoveryMode::DryRun
    }

    /// The intent is stored before the effect: `Save` stands before `Act`.
    fn act(&mut self, step: usize, action: Action) {
        self.run.generation += 1;
        self.run.phase = RunPhase::Acting { step, since: self.now };
        self.run.version += 1;
        self.note(format!("begins {}", words(action)));
        self.out.push(RecoveryEffect::Save(Box::new(self.run.clone())));
        self.out.push(RecoveryEffect::Act(ActRequest {
            run: self.run.id.clone(),
            generation: self.run.generation,
            plan: self.run.plan.clone(),
            action,
            target: self.run.target.clone(),
            incident: self.run.incident.clone(),
            attempt: self.run.attempt,
            lasts: self.plan.steps.get(step).map_or(Duration::ZERO, |step| step.verify)
                + self.plan.verify_for,
        }));
    }

    fn pass_is_over(&mut self) {
        let of_pass = || self.run.steps.iter().filter(|record| record.attempt == self.run.attempt);
        if !of_pass().any(|record| record.result.acted()) {
            let said = of_pass().any(|record| record.result == StepResult::DryRun);
            return self.end(if said { RunOutcome::DryRun } else { RunOutcome::NothingDone });
        }
        if self.run.attempt >= self.plan.max_attempts {
            return self.end(RunOutcome::Exhausted);
        }
        self.run.phase = RunPhase::Resting { until: self.now + self.plan.retry_delay };
        self.run.version += 1;
    }

    /// A person has said yes.
    pub(super) fn approve(&mut self, actor: String) -> bool {
        let RunPhase::Asking { step, .. } = self.run.phase else { return false };
        let asked = self.run.steps.last().map(|record| record.action);
        let planned = self.plan.steps.get(step).copied().filter(|planned| Some(planned.action) == asked);
        self.last(|record| record.approved_by = Some(actor));
        // What was approved is what was asked for, and nothing that stands in its place since.
        let Some(planned) = planned else {
            self.leave(
                step,
                StepResult::Skipped,
                "the plan has another step there since it was asked for".into(),
            );
            return true;
        };
        // What has come up since it was asked for counts as well.
        match self.ruling(&planned) {
            Ruling::Act | Ruling::Ask => self.act(step, planned.action),
            Ruling::DryRun => {
                self.leave(step, StepResult::DryRun, format!("would do {}", words(planned.action)))
            }
            Ruling::Skip(why) => self.leave(step, StepResult::Skipped, why),
        }
        true
    }

    fn leave(&mut self, step: usize, result: StepResult, why: String) {
        self.settle(result, why);
        self.run.phase = RunPhase::Next { step: step + 1 };
    }

    /// What became of the act; false: it is not of this phase.
    pub(super) fn heard(&mut self, generation: u64, result: StepResult, detail: String) -> bool {
        let RunPhase::Acting { step, .. } = self.run.phase else { return false };
        if !self.run.waits_for(generation) {
            return false;
        }
        self.settle(result, detail);
        self.run.phase = match result {
            StepResult::Done | StepResult::Unknown => RunPhase::Verifying { step, since: self.now },
            StepResult::Pending
            | StepResult::Unneeded
            | StepResult::Failed
            | StepResult::NotPossible
            | StepResult::Skipped
            | StepResult::DryRun => RunPhase::Next { step: step + 1 },
        };
        true
    }

    /// The step at hand has its result.
    pub(super) fn settle(&mut self, result: StepResult, detail: String) {
        let Some(record) = self.run.steps.last_mut() else { return };
        (record.result, record.ended, record.detail) = (result, Some(self.now), detail);
        let (action, took) = (record.action, self.now.since(record.began));
        let detail = record.detail.clone();
        self.run.version += 1;
        let sentence = match result {
            StepResult::Done => format!("did {}: {detail}", words(action)),
            StepResult::Unneeded => format!("needs no {}: {detail}", words(action)),
            StepResult::DryRun => format!("{detail} (dry run)"),
            StepResult::Failed => format!("could not do {}: {detail}", words(action)),
            StepResult::NotPossible => format!("cannot do {}: {detail}", words(action)),
            StepResult::Skipped => format!("leaves out {}: {detail}", words(action)),
            StepResult::Unknown | StepResult::Pending => {
                format!("does not know whether {} was done: {detail}", words(action))
            }
        };
        self.note(sentence);
        self.out.push(RecoveryEffect::Tell(RunEvent::step(self.run, action, result, took)));
    }

    fn last(&mut self, change: impl FnOnce(&mut StepRecord)) {
        if let Some(record) = self.run.steps.last_mut() {
            change(record);
            self.run.version += 1;
        }
    }

    /// The end of the run; where people must act now they are called.
    pub(super) fn end(&mut self, outcome: RunOutcome) {
        self.run.phase = RunPhase::Over { outcome, at: self.now };
        self.run.version += 1;
        self.let_go(if self.run.leaves_its_level() { is_breaker } else { Action::holds });
        let what = match outcome {
            RunOutcome::Recovered => "has worked: the condition is over",
            RunOutcome::Unneeded => "ends: the condition was over before anything was done",
            RunOutcome::Exhausted => "has tried everything, and the condition holds: people must act",
            RunOutcome::NothingDone => "could do nothing: people must act",
            RunOutcome::DryRun => "ends: it was a dry run",
            RunOutcome::Cancelled => "was ended",
            RunOutcome::Withdrawn => "ends: its plan is not in force any more",
        };
        match &self.run.incident {
            Some(id) if outcome.needs_people() => {
                let command = Command::Escalate { id: id.clone(), what: self.line(what) };
                self.out.push(RecoveryEffect::Order(command));
            }
            Some(_) | None => self.note(what.to_owned()),
        }
        let took = self.now.since(self.run.began);
        self.out.push(RecoveryEffect::Tell(RunEvent::end(self.run, outcome, took)));
    }

    /// A line on the timeline of its incident.
    fn note(&mut self, what: String) {
        let Some(id) = self.run.incident.clone() else { return };
        let what = self.line(&what);
        let command = match self.sight.state {
            Some(State::Open | State::Acknowledged | State::Mitigating | State::Monitoring) => {
                Command::Act { id, actor: None, what, evidence: Vec::new() }
            }
            Some(State::Suspected | State::Resolved | State::Reviewed | State::Cleared) => {
                Command::Evidence { id, what, evidence: Vec::new() }
            }
            // It is not at hand any more: the run itself has the line.
            None => return,
        };
        self.out.push(RecoveryEffect::Order(command));
    }

    fn line(&self, what: &str) -> String {
        let Run { plan, attempt, .. } = &*self.run;
        match self.plan.max_attempts {
            0 => format!("recovery plan {plan} {what}"),
            most => format!("recovery plan {plan} (attempt {attempt} of {most}) {what}"),
        }
    }
}

fn is_breaker(action: Action) -> bool {
    action == Action::CircuitBreaker
}

/// An action as people say it.
fn words(action: Action) -> &'static str {
    match action {
        Action::CircuitBreaker => "a hold of the circuit breaker",
        Action::ConnectionReset => "a reset of the connections",
        Action::CacheClear => "clearing the cache",
        Action::GracefulDegradation => "graceful degradation",
        Action::Failover => "a failover",
        Action::RestartService => "a restart of the service",
        Action::ScaleUp => "scaling up",
        Action::ScaleDown => "scaling down",
        Action::Rollback => "a rollback",
    }
}
