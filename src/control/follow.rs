//! The control task follows the wall clock.

use super::Control;
use crate::reliability::steps::StepCause;
use crate::runtime::clock::Moment;
use crate::telemetry::event::ProcessEvent;

impl Control {
    /// Follows the wall clock: where it has made a step, everything that remembers a moment makes it too.
    pub(super) fn follow(&mut self, moment: Moment) {
        let Some(step) = self.follower.look(&self.time, moment) else { return };
        let (seconds, slept) = (step.by as f64 / 1_000.0, step.cause == StepCause::Slept);
        ProcessEvent::ClockStepped { seconds, slept }.tell();
        let now = self.time.at(moment);
        self.fleet.step(step.by);
        self.evidence.step(step.by);
        if step.cause == StepCause::Set {
            self.notifier.step(step.by);
            self.drills.step(step.by);
        }
        let effects = self.engine.step(step, now);
        self.carry_out(effects, Vec::new());
        self.recovery.step(step.by);
        self.fleet.mirror.turn_to(now);
    }
}
