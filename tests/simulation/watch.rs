//! What must be true after every step.

use std::collections::{BTreeMap, BTreeSet};

use strop::names::IncidentId;
use strop::reliability::engine::{Effect, Engine, Page};
use strop::reliability::escalation::CallCause;
use strop::reliability::incident::{Actor, Ending, Entry, EntryKind, Incident, State};
use strop::reliability::rule::{Rule, Severity};
use strop::units::At;

/// Everything that was saved and sent so far.
#[derive(Default)]
pub struct Watch {
    saved: BTreeMap<IncidentId, Incident>,
    /// The last call of each incident: severity, round, step.
    called: BTreeMap<IncidentId, (Severity, u32, u32)>,
    opened: BTreeSet<IncidentId>,
}

impl Watch {
    /// What a store would hold.
    pub fn saved(&self) -> Vec<Incident> {
        self.saved.values().cloned().collect()
    }

    pub fn see(&mut self, engine: &Engine, effects: &[Effect], by_force: Option<&IncidentId>, now: At) {
        engine.check_invariants();
        for effect in effects {
            match effect {
                Effect::Save(incident) => self.keep(incident, by_force),
                Effect::Page(page) => self.page(engine, page, now),
                Effect::Tell(_)
                | Effect::SaveSilence(_)
                | Effect::Ledger(_)
                | Effect::Update(_)
                | Effect::ResolveNotice(_) => {}
            }
        }
        self.live(engine);
    }

    fn keep(&mut self, incident: &Incident, by_force: Option<&IncidentId>) {
        if let Some(before) = self.saved.get(&incident.id) {
            assert!(incident.version > before.version, "an older one is saved over a newer one");
            assert!(incident.timeline.starts_with(&before.timeline), "the timeline only grows");
            assert!(before.state.is_live() || !incident.state.is_live(), "what is over stays over");
            let forced = incident.ending == Some(Ending::Forced);
            if forced && before.ending.is_none() {
                assert_eq!(by_force, Some(&incident.id), "forced by nobody");
            }
            let new = &incident.timeline[before.timeline.len()..];
            let by_a_person =
                |line: &Entry| line.kind == EntryKind::Severity && matches!(line.actor, Actor::Named(_));
            let lowered = incident.severity < before.severity && before.clocks.opened.is_some();
            assert!(!lowered || new.iter().any(by_a_person), "evidence has lowered it: {new:?}");
        }
        self.saved.insert(incident.id.clone(), incident.clone());
    }

    fn page(&mut self, engine: &Engine, page: &Page, now: At) {
        let incident = engine.incident(&page.incident).expect("a call is about an incident at hand");
        assert!(
            matches!(incident.state, State::Open | State::Mitigating),
            "called about {:?}",
            incident.state
        );
        assert!(incident.clocks.acknowledged.is_none(), "called after it was taken");
        assert!(!engine.is_silenced(incident), "called while silenced");
        assert!(!engine.silences().iter().any(|one| one.covers(&incident.key, incident.severity, now)));
        assert!(self.saved.contains_key(&page.incident), "called before it was saved");
        if page.cause == CallCause::Step {
            let ladder = engine.policy().escalation.ladder(page.severity);
            let step = ladder.steps.get(page.step as usize).expect("a step of the ladder");
            let opened = incident.clocks.opened.expect("only open ones are called out");
            assert!(now.since(opened) >= step.after, "called before its time: {page:?}");
        }
        if page.cause != CallCause::Undelivered {
            let this = (page.severity, page.round, page.step);
            let last = self.called.insert(page.incident.clone(), this);
            let in_order = last
                .is_none_or(|last| last.0 != this.0 || (last.1, last.2) <= (this.1, this.2) || this.1 == 0);
            assert!(in_order, "the ladder runs backwards: {last:?} then {this:?}");
        }
        self.opened.insert(page.incident.clone());
    }

    fn live(&self, engine: &Engine) {
        for saved in self.saved.values().filter(|one| one.state.is_live()) {
            assert!(engine.incident(&saved.id).is_some(), "forgotten before its end: {}", saved.id);
        }
        let mut identities = BTreeSet::new();
        for incident in engine.incidents().filter(|one| one.state.is_live()) {
            assert!(identities.insert(&incident.dedup), "two live incidents of one identity");
            let caused = engine.alerts().any(|(_, _, id)| *id == incident.id);
            assert!(caused || incident.key.rule == Rule::Manual, "a live incident without a cause");
            let held = self.saved.get(&incident.id);
            assert_eq!(held.map(|held| held.version), Some(incident.version), "a change was not saved");
        }
        for (key, alert, id) in engine.alerts() {
            let home = engine.incident(id).expect("an alert has a home");
            assert!(home.state.is_live() && alert.is_live(), "{key:?}");
            assert!(
                !alert.is_firing() || home.state != State::Suspected,
                "confirmed, but nobody was told: {key:?}"
            );
        }
    }
}
