//! Runs of recovery plans: how long they took, how they ended, what their steps came to.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::event::RecoveryEvent;
use super::family::Family;
use super::sre::Spans;
use crate::reliability::recovery::{RunEvent, RunEventKind};

#[derive(Debug, Default)]
struct RecoverySums {
    /// By plan, the action after which the condition was over (`none`: there was none) and outcome.
    took: BTreeMap<(String, &'static str, &'static str), Spans>,
    /// By plan, action and result.
    steps: BTreeMap<(String, &'static str, &'static str), u64>,
    going_on: u64,
}

/// What is counted of recovery. Its labels are configured names and closed sets.
#[derive(Debug, Default)]
pub struct RecoveryMetrics(Mutex<RecoverySums>);

impl RecoveryMetrics {
    fn sums(&self) -> MutexGuard<'_, RecoverySums> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts and logs what has happened.
    pub fn tell(&self, event: &RunEvent) {
        RecoveryEvent(event).tell();
        let mut sums = self.sums();
        match event.kind {
            RunEventKind::Began => {}
            RunEventKind::Step { action, result, .. } => {
                *sums.steps.entry((event.plan.to_string(), action.label(), result.label())).or_default() += 1;
            }
            RunEventKind::Ended { outcome, by, took } => {
                let by = by.map_or("none", |action| action.label());
                sums.took.entry((event.plan.to_string(), by, outcome.label())).or_default().record(took);
            }
        }
    }

    /// Runs that go on now.
    pub fn set_going_on(&self, runs: usize) {
        self.sums().going_on = runs as u64;
    }

    pub(super) fn families(&self) -> [Family; 3] {
        let sums = self.sums();
        let mut took = Family::histogram(
            "recovery_time_seconds",
            "Time from the start of a recovery run to its end, by the action that ended the matter.",
        );
        for ((plan, action, outcome), spans) in &sums.took {
            spans.show(&mut took, &[("plan", plan), ("action", action), ("outcome", outcome)]);
        }
        let mut steps =
            Family::counter("recovery_steps_total", "Steps of recovery plans, by what they came to.");
        for ((plan, action, result), count) in &sums.steps {
            steps.count(&[("plan", plan), ("action", action), ("result", result)], *count);
        }
        let mut going_on = Family::gauge("recovery_runs_going_on", "Recovery runs that go on now.");
        going_on.set(&[], sums.going_on as f64);
        [took, steps, going_on]
    }
}
