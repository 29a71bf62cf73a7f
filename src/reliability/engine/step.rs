//! The clock is another one: by a step of this machine's, or because somebody else's wrote what is found.
//!
//! What was stored by another clock never lies in the future of this one, or its ladders would wait for hours that nobody waits
//! for; and spans stay what they were, or a clock that is set ahead would confirm, call and give up everything at once. Lines of
//! a timeline and minutes of the ledger stay as they were told.

use super::{Effect, Engine};
use crate::names::IncidentId;
use crate::reliability::incident::{Actor, EntryKind, Incident};
use crate::reliability::silence::Silence;
use crate::reliability::steps::{ClockStep, STEP, StepCause};
use crate::units::At;

impl Engine {
    /// The clock has made a step, and it is `now` by the new one. What was seen so far was seen as long ago as before; the
    /// ledger has a gap; live incidents get a line.
    pub fn step(&mut self, step: ClockStep, now: At) -> Vec<Effect> {
        self.clock.now = now;
        if let Some(evidence) = self.mode.evidence_mut() {
            evidence.resumed = now;
            for tracked in evidence.alerts.values_mut() {
                tracked.alert.shift(step.by);
                tracked.seen = tracked.seen.moved(step.by);
            }
            evidence.detector.shift(step.by);
            for ledger in evidence.ledgers.values_mut() {
                self.changed.before.extend(ledger.step(now).into_iter().map(Effect::Ledger));
            }
        }
        for id in &self.live() {
            self.with(id, |incident| {
                // What was slept through was a span that passed.
                if step.cause == StepCause::Set {
                    incident.shift(step.by);
                }
                incident.tell(now, Actor::Engine, EntryKind::Evidence, step.describe(), Vec::new());
                None
            });
        }
        for silence in &mut self.silences {
            if silence.follow(now) {
                self.changed.before.push(Effect::SaveSilence(silence.clone()));
            }
        }
        self.effects()
    }

    /// The same for an engine that only shows what others have written.
    pub fn turn_to(&mut self, now: At) {
        self.clock.now = now;
    }

    /// What is found was written by a clock that was ahead of this one by a step or more: its spans stay, its newest moment is
    /// now. Gives the incident, and the line for it that makes this another version. Less than a step is how clocks of several
    /// machines differ on any day: moments that move with every change of duty would be other ones in each member's copy.
    pub(super) fn not_of_the_future(mut incident: Incident, now: At) -> (Incident, Option<String>) {
        let step = ClockStep { by: now.0.saturating_sub(incident.newest().0), cause: StepCause::Set };
        if step.by >= 0 || step.length() < STEP || !incident.state.is_live() {
            return (incident, None);
        }
        incident.shift(step.by);
        let told = format!(
            "stored by a clock that is {} ahead of this one: its lines are by that clock",
            step.span()
        );
        (incident, Some(told))
    }

    pub(super) fn note_step(&mut self, id: &IncidentId, told: Option<String>, now: At) {
        let Some(told) = told else { return };
        self.with(id, |incident| {
            incident.tell(now, Actor::Engine, EntryKind::Evidence, told, Vec::new());
            None
        });
    }

    /// The same for silences: one that has begun by the other clock has begun.
    pub(super) fn silences_of_now(mut silences: Vec<Silence>, now: At) -> Vec<Silence> {
        for silence in &mut silences {
            silence.follow(now);
        }
        silences
    }
}
