//! The engine of one member among others.
//!
//! One member acts: its engine is the fleet's, fed with what all of them see. The others watch: their engines follow the evidence
//! and keep what they find to themselves, ready to go on when they must. What they show is a mirror of the fleet's incidents,
//! an engine without evidence that takes people's orders.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::mode::{EngineMode, Role};
use super::{Effect, Engine, EnginePolicy, Tracked};
use crate::names::IncidentId;
use crate::reliability::alert::{Alert, AlertLook, AlertPolicy, Sign};
use crate::reliability::detect::{Finding, Says};
use crate::reliability::fleet::{Confirmed, Sighting};
use crate::reliability::incident::{Actor, Ending, EntryKind, Incident, State, Transition};
use crate::reliability::readings::Readings;
use crate::reliability::rule::{AlertKey, Rule};
use crate::reliability::silence::Silence;
use crate::units::At;

impl Engine {
    /// An empty one that mirrors the fleet's incidents.
    pub fn mirror(seed: u64, now: At) -> Self {
        Self::of(EnginePolicy::default(), EngineMode::Mirror { held: BTreeSet::new() }, seed, now)
    }

    /// What it is for.
    pub fn role(&self) -> Role {
        self.mode.role()
    }

    /// From now on another member acts.
    pub fn watch(&mut self) {
        self.mode.turn(EngineMode::Watching);
    }

    /// What this member's own evidence says about its live alerts.
    pub fn sightings(&self) -> Vec<Sighting> {
        let own = self.mode.alerts().iter().filter(|(_, tracked)| tracked.own != Sign::Blind);
        own.map(|(key, tracked)| {
            let Says { title, evidence } = tracked.says.clone().unwrap_or_default();
            Sighting {
                key: key.clone(),
                sign: tracked.own,
                first_bad: tracked.alert.first_bad.unwrap_or(tracked.seen),
                confirmed: if tracked.alert.is_firing() { Confirmed::Yes } else { Confirmed::NotYet },
                severity: tracked.claimed,
                cause: tracked.cause.clone(),
                title,
                evidence,
            }
        })
        .collect()
    }

    /// What others see counts like what is seen here: bad anywhere is bad. Gives what was seen here alone.
    pub(super) fn overlay(
        &mut self,
        findings: &mut Vec<Finding>,
        readings: &Readings,
    ) -> BTreeMap<AlertKey, Sign> {
        let own = findings.iter().map(|finding| (finding.key.clone(), finding.look.sign)).collect();
        let Some(sightings) = readings.sightings.as_ref().filter(|_| self.mode.acts()) else {
            return own;
        };
        let places: BTreeMap<AlertKey, usize> =
            findings.iter().enumerate().map(|(at, finding)| (finding.key.clone(), at)).collect();
        for sighting in sightings {
            let clear_after = self.policy.detect.clear_after;
            match places.get(&sighting.key).and_then(|at| findings.get_mut(*at)) {
                Some(finding) => worsen(finding, sighting),
                None => findings.push(finding_of(sighting, clear_after)),
            }
        }
        for tracked in self.mode.alerts_mut().filter(|(key, _)| places.contains_key(key)) {
            tracked.1.elsewhere = false;
        }
        // What nobody sees any more, and was never to be seen here, is good.
        let sighted = |key: &AlertKey| sightings.iter().any(|sighting| sighting.key == *key);
        for (key, tracked) in self.mode.alerts_mut().filter(|(key, _)| !places.contains_key(key)) {
            if sighted(key) {
                tracked.elsewhere = true;
            } else if tracked.elsewhere {
                findings.push(Finding {
                    key: key.clone(),
                    look: AlertLook { sign: Sign::Good, ripe: false, first_bad: None, well_now: false },
                    severity: tracked.claimed,
                    policy: tracked.policy,
                    cause: None,
                    says: None,
                });
            }
        }
        own
    }

    /// Remembers what was seen here, for [`Self::sightings`].
    pub(super) fn note_own(&mut self, own: &BTreeMap<AlertKey, Sign>) {
        for (key, tracked) in self.mode.alerts_mut() {
            tracked.own = own.get(key).copied().unwrap_or(Sign::Blind);
        }
    }

    /// From now on this member acts, for the fleet's incidents as it knows them. What it has found by itself joins them, or
    /// becomes an incident now.
    pub fn act(&mut self, fleet: Vec<Incident>, now: At) -> Vec<Effect> {
        self.mode.turn(EngineMode::Acting);
        let Some(evidence) = self.mode.evidence_mut() else { return Vec::new() };
        let mut loose = std::mem::take(&mut evidence.alerts);
        self.clock.now = now.max(self.clock.now);
        self.changed = super::ChangeSet::default();
        let shadows = std::mem::take(&mut self.incidents);
        let live = fleet.iter().filter(|one| one.state.is_live()).map(|one| one.id.clone());
        let live: Vec<IncidentId> = live.collect();
        let known: Vec<_> = fleet.into_iter().map(|one| Self::not_of_the_future(one, now)).collect();
        self.incidents = known.iter().map(|(one, _)| (one.id.clone(), one.clone())).collect();
        known.into_iter().for_each(|(one, told)| self.note_step(&one.id, told, now));
        // Before anything is attached: what goes takes no alert with it.
        for id in &live {
            if let Some(twin) = self.incidents.get(id).and_then(|one| self.twin_of(one)) {
                self.unite(id, &twin, now);
            }
        }
        for id in self.live() {
            self.attach(&id, &mut loose, now);
            self.revive(&id, None, now);
        }
        for (key, tracked) in loose {
            self.settle_down(key, tracked, &shadows, now);
        }
        self.hear_early(now);
        self.effects()
    }

    /// Local alerts that are signals of a fleet's incident become its alerts.
    fn attach(&mut self, id: &IncidentId, loose: &mut BTreeMap<AlertKey, Tracked>, now: At) {
        let Some(incident) = self.incidents.get_mut(id) else { return };
        let mut opens = false;
        for signal in incident.signals.iter_mut().filter(|signal| signal.over.is_none()) {
            let Some(mut tracked) = loose.remove(&signal.key) else { continue };
            match (signal.confirmed, tracked.alert.is_firing()) {
                (Some(since), false) => {
                    tracked.alert = Alert::firing(signal.first_bad, since, incident.flaps);
                    tracked.calm = false;
                }
                (None, true) => {
                    (signal.confirmed, signal.worst) = (Some(now), Some(tracked.claimed));
                    opens = true;
                }
                (Some(_), true) | (None, false) => {}
            }
            tracked.incident = id.clone();
            self.mode.track(signal.key.clone(), tracked);
        }
        if opens && incident.state == State::Suspected {
            let title = incident.title.clone();
            self.transit(id, |incident| incident.open(Actor::Engine, title, now).map(Some));
        }
    }

    /// A local alert that no incident of the fleet has: part of one after all, or of what was found here.
    fn settle_down(
        &mut self,
        key: AlertKey,
        mut tracked: Tracked,
        shadows: &BTreeMap<IncidentId, Incident>,
        now: At,
    ) {
        let Some(shadow) = shadows.get(&tracked.incident) else { return };
        let Some(signal) = shadow.signals.iter().find(|signal| signal.key == key).cloned() else { return };
        let same = |one: &&Incident| one.state.is_live() && one.dedup == shadow.dedup;
        let twin = self.incidents.values().find(same).map(|one| one.id.clone());
        let home = twin.or_else(|| self.home(&key, tracked.cause.as_ref(), Some(&shadow.id)));
        let id = home.unwrap_or_else(|| shadow.id.clone());
        // The fleet has closed what is still seen here: the next look finds it anew, as an incident of its own.
        if self.incidents.get(&id).is_some_and(|one| !one.state.is_live()) {
            return;
        }
        if !self.incidents.contains_key(&id) {
            self.changed.incidents.insert(id.clone());
            self.changed.moves.push(shadow.begun(now));
            self.incidents.insert(id.clone(), Incident { signals: Vec::new(), ..shadow.clone() });
        }
        tracked.incident = id.clone();
        let firing = tracked.alert.is_firing();
        self.mode.track(key.clone(), tracked);
        self.join(&id, signal);
        if id == shadow.id {
            return;
        }
        let text = format!("{} of {} is part of this", key.rule.label(), key.service);
        self.transit(&id, |incident| {
            incident.tell(now, Actor::Engine, EntryKind::Signal, text.clone(), Vec::new());
            let opens = firing && incident.state == State::Suspected;
            opens.then(|| incident.open(Actor::Engine, text, now)).transpose()
        });
    }

    /// Takes over what other members have stored. An acting engine goes on with it; a mirror shows it. What is known here is joined
    /// with what they brought before anything is told of any of it: lines of two copies are put in order by time, so a line that
    /// was told before would get a number among the stored ones, and whoever stores what comes behind those would miss it.
    pub fn adopt(&mut self, incidents: Vec<Incident>, now: At) -> Vec<Effect> {
        self.clock.now = now.max(self.clock.now);
        let mut brought: BTreeMap<IncidentId, Incident> = BTreeMap::new();
        for theirs in incidents {
            let both = brought.get(&theirs.id).map(|one| one.merge(&theirs));
            brought.insert(theirs.id.clone(), both.unwrap_or(theirs));
        }
        let mut new = Vec::new();
        for (id, theirs) in brought {
            let Some(ours) = self.incidents.get(&id) else {
                new.push(theirs);
                continue;
            };
            let (merged, from) = (ours.merge(&theirs), ours.state);
            if merged != *ours {
                self.replace(merged, from, now);
            }
        }
        new.into_iter().for_each(|theirs| self.take_in(theirs, now));
        self.hear_early(now);
        self.effects()
    }

    /// A newer version of what is known.
    fn replace(&mut self, merged: Incident, from: State, now: At) {
        let id = merged.id.clone();
        let (live, to) = (merged.state.is_live(), merged.state);
        if from != to {
            let begun = merged.begun(now);
            self.changed.moves.push(Transition { from: Some(from), ..begun });
        }
        self.incidents.insert(id.clone(), merged);
        if !self.mode.acts() {
            return;
        }
        if !live {
            self.mode.let_go_all_of(&id);
            return;
        }
        let own: Vec<AlertKey> = self
            .mode
            .alerts()
            .iter()
            .filter(|(_, one)| one.incident == id)
            .map(|(key, _)| key.clone())
            .collect();
        if let Some(incident) = self.incidents.get_mut(&id) {
            for signal in incident.signals.iter_mut().filter(|signal| own.contains(&signal.key)) {
                signal.over = None;
            }
        }
        self.revive(&id, None, now);
    }

    /// What was not known here.
    fn take_in(&mut self, theirs: Incident, now: At) {
        let id = theirs.id.clone();
        let (live, by_hand) = (theirs.state.is_live(), theirs.key.rule == Rule::Manual);
        let twin = self.twin_of(&theirs);
        if by_hand && live {
            self.changed.moves.push(theirs.begun(now));
        }
        self.incidents.insert(id.clone(), theirs);
        match twin {
            Some(twin) if self.mode.acts() => {
                let stays = self.unite(&id, &twin, now);
                self.revive(&stays, None, now);
            }
            None if live && self.mode.acts() => self.revive(&id, None, now),
            Some(_) | None => {}
        }
    }

    fn twin_of(&self, one: &Incident) -> Option<IncidentId> {
        let live = |held: &&Incident| held.state.is_live() && held.dedup == one.dedup && held.id != one.id;
        self.incidents.values().find(live).filter(|_| one.state.is_live()).map(|held| held.id.clone())
    }

    /// Two live ones of one matter, found while members could not hear each other: the older one stays, with the signals of
    /// both. Nobody is told of the other's end, for receivers know both as one. Gives the one that stays.
    fn unite(&mut self, one: &IncidentId, other: &IncidentId, now: At) -> IncidentId {
        let (stays, goes) = if one < other { (one, other) } else { (other, one) };
        let Some(gone) = self.incidents.get(goes).cloned() else { return stays.clone() };
        for tracked in self.mode.alerts_mut().map(|(_, one)| one).filter(|one| one.incident == *goes) {
            tracked.incident = stays.clone();
        }
        for signal in gone.active() {
            let known =
                self.incidents.get(stays).is_some_and(|one| one.active().any(|own| own.key == signal.key));
            if !known {
                self.join(stays, signal.clone());
            }
        }
        let said = format!("the same as {goes}, which another member opened");
        let opened = gone.clocks.opened.is_some();
        let taken = gone.acknowledged_by.clone().zip(gone.clocks.acknowledged);
        self.transit(stays, |incident| {
            incident.tell(now, Actor::Engine, EntryKind::Signal, said.clone(), Vec::new());
            let opens = opened && incident.state == State::Suspected;
            opens.then(|| incident.open(Actor::Engine, said, now)).transpose()
        });
        self.transit(stays, |incident| {
            let untaken = incident.clocks.acknowledged.is_none() && incident.state.is_live();
            taken.filter(|_| untaken).map_or(Ok(None), |(who, at)| incident.acknowledge(&who, at))
        });
        self.with(goes, |incident| {
            let why = format!("the same as {stays}");
            // No transition: nobody is told.
            let _ = incident.close(Ending::PartOf(stays.clone()), Actor::Engine, why, now);
            None
        });
        stays.clone()
    }

    /// The fleet's silences, all of them. Maintenance marks the ledger of an engine that watches, too.
    pub fn put_silences(&mut self, silences: Vec<Silence>) {
        self.silences = Self::silences_of_now(silences, self.clock.now);
    }

    /// A second has passed for an engine that is given no readings; `held` are the alerts that hold in the fleet.
    pub fn tend(&mut self, held: impl IntoIterator<Item = AlertKey>, now: At) {
        self.clock.now = now.max(self.clock.now);
        if let EngineMode::Mirror { held: known } = &mut self.mode {
            *known = held.into_iter().collect();
        }
        self.prune(now);
    }

    /// What of this incident holds, as far as other members see it.
    pub(super) fn held_of(&self, id: &IncidentId) -> Vec<String> {
        let EngineMode::Mirror { held } = &self.mode else { return Vec::new() };
        let own = self.incidents.get(id).into_iter();
        own.flat_map(Incident::active)
            .filter(|signal| held.contains(&signal.key))
            .map(|signal| format!("{} of {}", signal.key.rule.label(), signal.key.service))
            .collect()
    }

    /// A mirror has no alerts that would end with the incident: its signals end here.
    pub(super) fn end_signals(&mut self, id: &IncidentId, now: At) {
        let EngineMode::Mirror { .. } = self.mode else { return };
        if let Some(incident) = self.incidents.get_mut(id) {
            for signal in incident.signals.iter_mut().filter(|signal| signal.over.is_none()) {
                signal.over = Some(now);
            }
        }
    }
}

/// A finding of this member, given what another one sees of the same.
fn worsen(finding: &mut Finding, sighting: &Sighting) {
    let confirmed = sighting.confirmed == Confirmed::Yes;
    match (finding.look.sign, sighting.sign) {
        (Sign::Bad, Sign::Bad) => finding.severity = finding.severity.max(sighting.severity),
        (_, Sign::Bad) => {
            let elsewhere = finding_of(sighting, finding.policy.clear_after);
            finding.look = elsewhere.look;
            (finding.severity, finding.cause, finding.says) =
                (sighting.severity, elsewhere.cause, elsewhere.says);
        }
        (Sign::Good | Sign::Blind, Sign::Between) => finding.look.sign = Sign::Between,
        (Sign::Blind, Sign::Good) => finding.look.sign = Sign::Good,
        (_, Sign::Good | Sign::Between | Sign::Blind) => {}
    }
    if confirmed && finding.look.sign == Sign::Bad && sighting.sign == Sign::Bad {
        finding.look.ripe = true;
        finding.policy.confirm = Duration::ZERO;
    }
}

/// What another one sees as a finding of this member.
fn finding_of(sighting: &Sighting, clear_after: Duration) -> Finding {
    let confirmed = sighting.confirmed == Confirmed::Yes;
    let bad = sighting.sign == Sign::Bad;
    Finding {
        key: sighting.key.clone(),
        look: AlertLook {
            sign: sighting.sign,
            ripe: confirmed,
            first_bad: bad.then_some(sighting.first_bad),
            well_now: false,
        },
        severity: sighting.severity,
        policy: AlertPolicy { clear_after, ..AlertPolicy::default() },
        cause: sighting.cause.clone(),
        says: bad.then(|| Says { title: sighting.title.clone(), evidence: sighting.evidence.clone() }),
    }
}

#[cfg(test)]
mod tests;
