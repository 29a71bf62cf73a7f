//! The duty to call people moves: what the control task does then, and what it shows while another member has it.

use std::sync::Arc;

use super::ON_ITS_WAY;
use super::sync::{MemberStatus, SyncResult, Update};
use crate::control::Control;
use crate::control::heads::HandedOver;
use crate::control::snapshot::{ActiveAlert, Snapshot};
use crate::names::IncidentId;
use crate::reliability::alert::Sign;
use crate::reliability::engine::{Engine, Role};
use crate::reliability::fleet::Neighbour;
use crate::reliability::incident::Incident;
use crate::reliability::readings::Readings;
use crate::reliability::silence::Silence;
use crate::runtime::clock::Moment;
use crate::telemetry::event::FleetEvent;
use crate::units::At;

impl Control {
    /// Takes in a result of the synchronisation.
    pub(in crate::control) fn hear_view(&mut self, view: SyncResult, at: Moment) {
        let now = self.observer.at(at);
        self.fleet.leadership.hear(view.lease, self.observer.at(view.asked), now);
        let Some(update) = view.update else { return self.shift(now) };
        let Update { members, count, roster, holder, whole, incidents, silences, left, past_runs } = update;
        let runs = left.map(|left| {
            self.uptime.take_over(left.uptime);
            left.runs
        });
        self.restore_runs(runs.unwrap_or_default(), past_runs, now);
        self.fleet.holder = holder;
        if let Some(roster) = roster {
            self.fleet.roster = (now, roster);
        }
        self.fleet.count = count.map(|count| (now, count));
        match whole {
            Some((whole, age)) => self.fleet.whole = Some((now - age, whole)),
            // What it has told itself, others have not.
            None if self.fleet.count.is_some() => self.fleet.whole = None,
            None => {}
        }
        self.fleet.neighbours = members
            .into_iter()
            .map(|one| Neighbour {
                member: one.name.into(),
                boot: one.boot.into(),
                age: one.age,
                read: now,
                sees: one.status.sees,
            })
            .collect();
        let silences = self.with_fresh(silences, now);
        self.engine.put_silences(silences.clone());
        self.fleet.mirror.put_silences(silences);
        // Whoever takes the duty over begins with what is stored; whoever loses it leaves what it knows to the mirror.
        if self.engine.role() == Role::Acts {
            self.shift(now);
        }
        self.adopt(incidents, now);
        self.shift(now);
    }

    fn with_fresh(&mut self, mut silences: Vec<Silence>, now: At) -> Vec<Silence> {
        self.fleet.fresh.retain(|(since, _)| now.since(*since) < ON_ITS_WAY);
        for (_, silence) in &self.fleet.fresh {
            silences.retain(|one| one.number != silence.number);
            if silence.until > now {
                silences.push(silence.clone());
            }
        }
        silences
    }

    pub(in crate::control) fn remember_silence(&mut self, silence: &Silence, now: At) {
        if !self.fleet.is_single() {
            self.fleet.fresh.push((now, silence.clone()));
        }
    }

    fn adopt(&mut self, incidents: Vec<Incident>, now: At) {
        let acts = self.engine.role() == Role::Acts;
        let engine = if acts { &mut self.engine } else { &mut self.fleet.mirror };
        for theirs in &incidents {
            // Their lines are rows already; ours have been handed over.
            let both = engine.incident(&theirs.id).map(|ours| ours.merge(theirs));
            let lines = both.as_ref().unwrap_or(theirs).timeline.last().map_or(0, |entry| entry.number);
            self.told.insert(theirs.id.clone(), HandedOver { lines, ..HandedOver::all(theirs) });
        }
        let effects = engine.adopt(incidents, now);
        self.carry_out(effects, Vec::new());
    }

    /// The duty moves when it must.
    pub(in crate::control) fn shift(&mut self, now: At) {
        let duty = self.fleet.leadership.duty(now);
        match (self.engine.role(), duty.acts()) {
            (Role::Watches, true) => {
                let stored: Vec<Incident> = self.fleet.mirror.incidents().cloned().collect();
                let effects = self.engine.act(stored, now);
                self.carry_out(effects, Vec::new());
                let effects = self.fleet.mirror.pass_on(&mut self.engine, now);
                self.carry_out(effects, Vec::new());
            }
            (Role::Acts, false) => {
                let known: Vec<Incident> = self.engine.incidents().cloned().collect();
                self.engine.watch();
                self.fleet.mirror.adopt(known, now);
                let effects = self.engine.pass_on(&mut self.fleet.mirror, now);
                self.carry_out(effects, Vec::new());
            }
            (Role::Watches | Role::Acts | Role::Mirrors, _) => {}
        }
        let before = self.fleet.duty.send_replace(duty);
        if before != duty {
            self.fleet.since = now;
            let holder = self.fleet.holder.as_deref();
            FleetEvent::DutyMoved { from: before.label(), to: duty.label(), holder }.tell();
        }
    }

    /// What others see, beside what is seen here.
    pub(in crate::control) fn look_around(&self, readings: &mut Readings, now: At) {
        let Some(seen) = self.fleet.seen(self.records.boot(), now) else { return };
        let holding = seen.iter().filter(|one| matches!(one.sign, Sign::Bad | Sign::Between));
        readings.elsewhere = holding.map(|one| one.key.dedup()).collect();
        readings.sightings = Some(seen);
    }

    /// Tells the others what is seen here, and shows what is theirs.
    pub(in crate::control) fn look_back(&mut self, readings: &Readings, now: At) {
        let sees = self.engine.sightings();
        let others = readings.sightings.iter().flatten();
        let held = others.chain(&sees).filter(|one| one.sign == Sign::Bad).map(|one| one.key.clone());
        self.fleet.held = held.collect();
        self.fleet.mirror.tend(self.fleet.held.iter().cloned(), now);
        let duty = *self.fleet.duty.borrow();
        let status = MemberStatus::of(duty, sees, self.fleet.told(self.records.boot(), now));
        // Whoever goes to the store goes at once when there is something to tell.
        self.fleet.status.send_if_modified(|held| {
            let changed = *held != status;
            *held = status;
            changed
        });
        let members = (!self.fleet.is_single()).then(|| self.fleet.members(now));
        self.telemetry.fleet.set(duty.acts().into(), members);
    }

    /// The engine that orders go to: the one that shows the incidents.
    pub(in crate::control) fn shown_engine(&mut self) -> &mut Engine {
        match self.engine.role() {
            Role::Acts => &mut self.engine,
            Role::Watches | Role::Mirrors => &mut self.fleet.mirror,
        }
    }

    /// One that is over comes back from the store, to where orders go.
    pub(in crate::control) fn fetch(&mut self, found: Incident, now: At) {
        let effects = match self.engine.role() {
            Role::Acts => self.engine.restore(vec![found], Vec::new(), now),
            Role::Watches | Role::Mirrors => self.fleet.mirror.adopt(vec![found], now),
        };
        self.carry_out(effects, Vec::new());
    }

    /// Is this incident at hand?
    pub(in crate::control) fn knows(&self, id: &IncidentId) -> bool {
        self.engine.incident(id).is_some() || self.fleet.mirror.incident(id).is_some()
    }

    /// The snapshot as the fleet is: of one that only watches, what the mirror shows.
    pub(in crate::control) fn fleet_snapshot(&self, mut snapshot: Snapshot, now: At) -> Snapshot {
        snapshot.fleet = self.fleet.view_of(&self.records, now);
        if self.engine.role() == Role::Acts {
            return snapshot;
        }
        let mirror = &self.fleet.mirror;
        snapshot.incidents = mirror.incidents().rev().map(|one| Arc::new(one.clone())).collect();
        let holds = |one: &Incident| one.active().any(|signal| self.fleet.held.contains(&signal.key));
        let live = || snapshot.incidents.iter().filter(|one| one.state.is_live());
        snapshot.holding = live().filter(|one| holds(one)).map(|one| one.id.clone()).collect();
        snapshot.silenced = snapshot
            .incidents
            .iter()
            .filter(|one| mirror.is_silenced(one))
            .map(|one| one.id.clone())
            .collect();
        snapshot.silences = mirror.silences().to_vec();
        let home = |alert: &ActiveAlert| {
            let found = live().find(|one| one.active().any(|signal| signal.key == alert.key));
            found.map(|one| one.id.clone())
        };
        // One that the fleet's engine has not taken up yet belongs to no incident.
        let alerts = snapshot.alerts.iter().filter_map(|alert| {
            let incident = home(alert)?;
            Some(ActiveAlert { incident, ..alert.clone() })
        });
        snapshot.alerts = alerts.collect();
        snapshot
    }
}
