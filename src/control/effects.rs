//! What the engine wants done is done: stored, told, counted.

use super::Control;
use super::heads::HandedOver;
use crate::reliability::engine::Effect;
use crate::reliability::incident::{State, Transition};
use crate::runtime::clock;
use crate::store::WriteReceipt;
use crate::store::rows::Write;
use crate::telemetry::event::IncidentEvent;

impl Control {
    /// What is to be stored goes out as one write, so that a timeline never speaks of a call that nobody queued.
    pub(super) fn carry_out(&mut self, effects: Vec<Effect>, mut writes: Vec<Write>) -> Option<WriteReceipt> {
        let mut told = Vec::new();
        for effect in self.with_checks(effects) {
            match effect {
                Effect::Save(incident) => {
                    let before = self.told.insert(incident.id.clone(), HandedOver::all(&incident));
                    writes.extend(self.records.incident(&incident, &before.unwrap_or_default()));
                }
                Effect::SaveSilence(silence) => {
                    self.remember_silence(&silence, self.observer.at(clock::now()));
                    writes.push(self.records.silence(&silence));
                }
                Effect::Ledger(minute) => {
                    let write = self.records.ledger(&minute);
                    writes.extend(self.fleet.later(write, self.observer.at(clock::now())));
                    self.uptime.add(minute);
                }
                Effect::Tell(transition) => self.tell(&transition),
                Effect::Page(_) | Effect::Update(_) | Effect::ResolveNotice(_) => told.push(effect),
            }
        }
        self.runbooks.keep(&told);
        writes.extend(self.notifier.take(self.notifications(told)));
        let store = self.store.as_ref().filter(|_| !writes.is_empty())?;
        Some(store.write(writes))
    }

    fn tell(&mut self, transition: &Transition) {
        let incident = self.engine.incident(&transition.id);
        IncidentEvent {
            id: transition.id.as_str(),
            rule: transition.rule.label(),
            severity: transition.severity.label(),
            from: transition.from.map(State::label),
            to: transition.to.label(),
            title: incident.map_or("", |incident| &incident.title),
        }
        .tell();
        let Some(incident) = incident else { return };
        self.telemetry.sre.moved(transition, incident);
        // What a person opens has nothing that was measured.
        if transition.confirms() && !incident.signals.is_empty() {
            self.evidence.confirmed(incident, transition.at);
        }
    }
}
