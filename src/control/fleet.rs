//! One member among others: what changes when another one has the duty to call people.
//!
//! While this member has it, its desk is the fleet's. Else the desk watches, and a mirror shows what is stored and takes orders.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::courier::{self, Courier, FleetView, MemberView, News, View, Word};
use super::heads::HandedOver;
use super::{Board, Control, Looked, Records};
use crate::names::IncidentId;
use crate::reliability::alert::Sign;
use crate::reliability::desk::{Command, Desk, Effect, Reply, Role};
use crate::reliability::fleet::{Duty, FRESH, Neighbour, Watch, seen_by_others};
use crate::reliability::incident::{Incident, Refused};
use crate::reliability::readings::Readings;
use crate::reliability::rule::Key;
use crate::reliability::silence::Silence;
use crate::runtime::clock::Moment;
use crate::telemetry::event::FleetEvent;
use crate::units::At;

/// A silence made here may not be among those that the courier reads for so long.
const ON_ITS_WAY: Duration = Duration::from_secs(5);

/// This member's place in the fleet.
pub(super) struct Fleet {
    watch: Watch,
    pub(super) mirror: Desk,
    neighbours: Vec<Neighbour>,
    /// Who said that it has the duty.
    holder: Option<Arc<str>>,
    views: Option<mpsc::Receiver<View>>,
    word: watch::Sender<Word>,
    duty: watch::Sender<Duty>,
    since: At,
    /// Silences made or ended here, and when.
    fresh: Vec<(At, Silence)>,
    held: BTreeSet<Key>,
}

impl Fleet {
    /// Of one sidecar, with a file or without a store.
    pub(super) fn single(now: At) -> Self {
        Self::new(Watch::single(), Duty::Holds, None, courier::silent().0, now)
    }

    /// Of one among others, which share a store; and the task that goes there.
    pub(super) fn of(records: &Records, draw: u64, now: At) -> (Self, Option<Courier>) {
        let Some(store) = records.shared() else { return (Self::single(now), None) };
        let (send, views) = mpsc::channel(2);
        let (word, spoken) = courier::silent();
        let courier = Courier::new(store.clone(), records.clone(), spoken, send);
        (Self::new(Watch::member(draw, now), Duty::Follows, Some(views), word, now), Some(courier))
    }

    fn new(
        watch: Watch,
        duty: Duty,
        views: Option<mpsc::Receiver<View>>,
        word: watch::Sender<Word>,
        now: At,
    ) -> Self {
        let (neighbours, fresh, held) = Default::default();
        let mirror = Desk::mirror(uuid::Uuid::now_v7().as_u64_pair().1, now);
        let duty = watch::Sender::new(duty);
        Self { watch, mirror, neighbours, holder: None, views, word, duty, since: now, fresh, held }
    }

    /// What the courier brings; never, for a single one.
    pub(super) async fn view(&mut self) -> View {
        if let Some(views) = &mut self.views
            && let Some(view) = views.recv().await
        {
            return view;
        }
        std::future::pending().await
    }

    pub(super) fn is_single(&self) -> bool {
        self.views.is_none()
    }

    pub(super) fn duty(&self) -> watch::Receiver<Duty> {
        self.duty.subscribe()
    }

    fn known(&self, now: At) -> bool {
        self.neighbours.iter().any(|one| one.age_at(now) <= FRESH)
    }

    fn view_of(&self, records: &Records, now: At) -> Option<Arc<FleetView>> {
        if self.is_single() {
            return None;
        }
        let shown = |one: &Neighbour| MemberView {
            name: Arc::clone(&one.member),
            boot: Arc::clone(&one.boot),
            age: one.age_at(now),
            sees: one.sees.len(),
        };
        let members = self.neighbours.iter().map(shown).collect();
        let (duty, since) = (*self.duty.borrow(), self.since);
        let holder = match duty {
            Duty::Holds => Some(Arc::from(records.member())),
            // What was true before the store went away may not be any more.
            Duty::Alone => None,
            Duty::Follows => self.holder.clone(),
        };
        Some(Arc::new(FleetView { duty, since, holder, members }))
    }
}

impl Control {
    /// What the courier has brought.
    pub(super) fn hear_view(&mut self, view: View, at: Moment) {
        let now = self.observer.at(at);
        self.fleet.watch.hear(view.said, self.observer.at(view.asked), now);
        let Some(news) = view.news else { return self.shift(now) };
        let News { members, incidents, silences, left } = news;
        if let Some((_, _, minutes)) = left {
            self.uptime.add_all(minutes);
        }
        let holder = members.iter().find(|one| one.word.duty == Duty::Holds.label() && one.age <= FRESH);
        self.fleet.holder = holder.map(|one| Arc::from(one.name.as_str()));
        self.fleet.neighbours = members
            .into_iter()
            .map(|one| Neighbour {
                member: one.name.into(),
                boot: one.boot.into(),
                age: one.age,
                read: now,
                sees: one.word.sees,
            })
            .collect();
        let silences = self.with_fresh(silences, now);
        self.desk.put_silences(silences.clone());
        self.fleet.mirror.put_silences(silences);
        // Whoever takes the duty over begins with what is stored; whoever loses it leaves what it knows to the mirror.
        if self.desk.role() == Role::Acts {
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

    pub(super) fn remember_silence(&mut self, silence: &Silence, now: At) {
        if !self.fleet.is_single() {
            self.fleet.fresh.push((now, silence.clone()));
        }
    }

    fn adopt(&mut self, incidents: Vec<Incident>, now: At) {
        let acts = self.desk.role() == Role::Acts;
        let desk = if acts { &mut self.desk } else { &mut self.fleet.mirror };
        for theirs in &incidents {
            // Their lines are rows already; ours have been handed over.
            let both = desk.incident(&theirs.id).map(|ours| ours.merge(theirs));
            let lines = both.as_ref().unwrap_or(theirs).timeline.last().map_or(0, |entry| entry.number);
            self.told.insert(theirs.id.clone(), HandedOver { lines, ..HandedOver::all(theirs) });
        }
        let effects = desk.adopt(incidents, now);
        self.carry_out(effects, Vec::new());
    }

    /// The duty moves when it must.
    pub(super) fn shift(&mut self, now: At) {
        let duty = self.fleet.watch.duty(now);
        match (self.desk.role(), duty.acts()) {
            (Role::Watches, true) => {
                let stored: Vec<Incident> = self.fleet.mirror.incidents().cloned().collect();
                let effects = self.desk.act(stored, now);
                self.carry_out(effects, Vec::new());
            }
            (Role::Acts, false) => {
                let known: Vec<Incident> = self.desk.incidents().cloned().collect();
                self.desk.watch();
                self.fleet.mirror.adopt(known, now);
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
    pub(super) fn look_around(&self, readings: &mut Readings, now: At) {
        if self.fleet.is_single() || !self.fleet.known(now) {
            return;
        }
        let seen = seen_by_others(&self.fleet.neighbours, self.records.boot(), now);
        let holding = seen.iter().filter(|one| matches!(one.sign, Sign::Bad | Sign::Between));
        readings.elsewhere = holding.map(|one| one.key.dedup()).collect();
        readings.sightings = Some(seen);
    }

    /// Tells the others what is seen here, and shows what is theirs.
    pub(super) fn look_back(&mut self, readings: &Readings, now: At) {
        let sees = self.desk.sightings();
        let others = readings.sightings.iter().flatten();
        let held = others.chain(&sees).filter(|one| one.sign == Sign::Bad).map(|one| one.key.clone());
        self.fleet.held = held.collect();
        self.fleet.mirror.tend(self.fleet.held.iter().cloned(), now);
        let duty = *self.fleet.duty.borrow();
        self.fleet.word.send_replace(Word::of(duty, sees));
        let members = self.fleet.neighbours.iter().filter(|one| one.age_at(now) <= FRESH).count();
        let members = (!self.fleet.is_single()).then_some(members as u64);
        self.telemetry.fleet.set(duty.acts().into(), members);
    }

    /// An order goes to whoever shows the incidents.
    pub(super) fn obey(&mut self, command: Command, now: At) -> (Result<Reply, Refused>, Vec<Effect>) {
        match self.desk.role() {
            Role::Acts => self.desk.command(command, now),
            Role::Watches | Role::Mirrors => self.fleet.mirror.command(command, now),
        }
    }

    /// One that is over comes back from the store, to where orders go.
    pub(super) fn fetch(&mut self, found: Incident, now: At) {
        let effects = match self.desk.role() {
            Role::Acts => self.desk.restore(vec![found], Vec::new(), now),
            Role::Watches | Role::Mirrors => self.fleet.mirror.adopt(vec![found], now),
        };
        self.carry_out(effects, Vec::new());
    }

    /// Is this incident at hand?
    pub(super) fn knows(&self, id: &IncidentId) -> bool {
        self.desk.incident(id).is_some() || self.fleet.mirror.incident(id).is_some()
    }

    /// The board as the fleet is: of one that only watches, what the mirror shows.
    pub(super) fn fleet_board(&self, mut board: Board, now: At) -> Board {
        board.fleet = self.fleet.view_of(&self.records, now);
        if self.desk.role() == Role::Acts {
            return board;
        }
        let mirror = &self.fleet.mirror;
        board.incidents = mirror.incidents().rev().map(|one| Arc::new(one.clone())).collect();
        let holds = |one: &Incident| one.active().any(|signal| self.fleet.held.contains(&signal.key));
        let live = || board.incidents.iter().filter(|one| one.state.is_live());
        board.holding = live().filter(|one| holds(one)).map(|one| one.id.clone()).collect();
        board.silenced =
            board.incidents.iter().filter(|one| mirror.is_silenced(one)).map(|one| one.id.clone()).collect();
        board.silences = mirror.silences().to_vec();
        let home = |looked: &Looked| {
            let found = live().find(|one| one.active().any(|signal| signal.key == looked.key));
            found.map(|one| one.id.clone())
        };
        // One that the fleet's desk has not taken up yet belongs to no incident.
        let alerts = board.alerts.iter().filter_map(|looked| {
            let incident = home(looked)?;
            Some(Looked { incident, ..looked.clone() })
        });
        board.alerts = alerts.collect();
        board
    }
}
