//! What holds of recovery at any moment, whatever falls ill.

use std::collections::BTreeSet;
use std::time::Duration;

use strop::names::RunId;
use strop::reliability::recovery::{Action, MOST_LIVE, Run, RunOutcome, RunPhase, Step};

use super::Ward;

impl Ward {
    /// A plan that begins by itself has rested since it has acted on the target, and has not had its turns at the incident.
    pub(super) fn may_begin(&self, id: &RunId) {
        let run = self.recovery.runs().find(|run| run.id == *id).expect("it begins");
        if run.ordered.is_some() {
            return;
        }
        let plan = self.policy.plan(&run.plan).expect("it is in force");
        let before = || self.known.values().filter(|one| one.plan == run.plan && one.id != run.id);
        for one in before().filter(|one| one.target == run.target && one.acted()) {
            let (_, at) = one.ended().expect("one run about one target");
            assert!(self.now() >= at + plan.cooldown, "{:?} has not cooled since {one:?}", plan.cooldown);
        }
        let turns: Vec<&Run> = before().filter(|one| one.incident == run.incident).collect();
        assert!(turns.len() < plan.max_attempts as usize, "more runs than may: {turns:#?}");
        let tried = |one: &&Run| one.ended().is_some_and(|(outcome, _)| outcome.needs_people());
        assert!(!turns.iter().any(tried), "it has tried everything before: {turns:#?}");
    }

    /// A run is over: people are called once where it could not help, and it helped where all was calm for long enough.
    pub(super) fn ends_as_it_should(&self, id: &RunId, outcome: RunOutcome, called: usize) {
        let Some(run) = self.recovery.runs().find(|run| run.id == *id) else { return };
        assert_eq!(
            called,
            usize::from(outcome.needs_people() && run.incident.is_some()),
            "{outcome:?}: {run:?}"
        );
        let incident = run.incident.as_ref().and_then(|id| self.engine.incident(id));
        if outcome == RunOutcome::Recovered && incident.is_some_and(|one| one.state.is_live()) {
            let plan = self.policy.plan(&run.plan).expect("it is in force");
            let calm = self.calm.get(&*run.target).copied().unwrap_or_default();
            assert!(calm >= plan.verify_for.as_secs(), "calm for {calm} s: {run:?}");
        }
    }

    pub(super) fn check(&mut self) {
        for run in self.recovery.runs().filter(|run| run.is_live()) {
            let plan = self.policy.plan(&run.plan).map_or(0, |plan| plan.max_attempts);
            let most = self.passes.entry(run.id.clone()).or_default();
            *most = plan.max(*most);
            assert!(run.attempt <= *most, "pass {} of {most}: {run:?}", run.attempt);
        }
        let live: Vec<&Run> = self.recovery.runs().filter(|run| run.is_live()).collect();
        assert!(live.len() <= MOST_LIVE, "{} runs go on", live.len());
        let targets: BTreeSet<_> = live.iter().map(|run| &run.target).collect();
        assert_eq!(targets.len(), live.len(), "one run about one target");
        for (run, action) in &self.held {
            let stays = |one: &Run| *action != Action::CircuitBreaker && one.leaves_its_level();
            let over = self.recovery.runs().find(|one| one.id == *run && !one.is_live() && !stays(one));
            assert!(over.is_none(), "{action:?} stays in force after its run: {over:?}");
        }
        for run in self.recovery.runs() {
            run.check_invariants();
            let late = match run.phase {
                RunPhase::Asking { until, .. } | RunPhase::Resting { until } => self.now() > until,
                RunPhase::Acting { since, .. } => self.now().since(since) > Duration::from_secs(120),
                RunPhase::Next { .. } | RunPhase::Verifying { .. } | RunPhase::Over { .. } => false,
            };
            assert!(!late, "it waits longer than it says: {run:?}");
            let Some(plan) = self.policy.plan(&run.plan).filter(|_| run.is_live()) else { continue };
            let step = |step: &Step| 120 + 2 * step.verify.as_secs() + plan.verify_for.as_secs();
            let pass: u64 = plan.steps.iter().map(step).sum::<u64>() + plan.retry_delay.as_secs();
            let asks = plan.steps.len() as u64 * plan.approve_within.as_secs();
            // A plan that was changed on the way may have been a longer one.
            let longest = 3 * (pass + asks) + 3 * 4 * (120 + 2 * 35 + 20 + 130) + 3 * 60;
            let age = self.now().since(run.began).as_secs();
            assert!(age <= longest, "{age} s, and it goes on: {run:?}");
        }
    }
}
