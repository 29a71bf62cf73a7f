//! One member among others: what changes when another one has the duty to call people.
//!
//! While this member has it, its engine is the fleet's. Else the engine watches, and a mirror shows what is stored and takes orders.

mod sync;
mod view;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

pub use sync::FleetSync;
use sync::{MemberStatus, SyncResult, Update};
pub use view::{FleetView, MemberView};

use super::heads::HandedOver;
use super::{ActiveAlert, Control, Records, Snapshot};
use crate::names::IncidentId;
use crate::reliability::alert::Sign;
use crate::reliability::engine::{Command, Effect, Engine, Reply, Role};
use crate::reliability::fleet::{Duty, FRESH, FleetSummary, Leadership, Neighbour, Sighting, seen_by_others};
use crate::reliability::incident::{Incident, Refused};
use crate::reliability::readings::Readings;
use crate::reliability::rule::AlertKey;
use crate::reliability::silence::Silence;
use crate::runtime::clock::Moment;
use crate::store::rows::{MemberRow, Write};
use crate::telemetry::event::FleetEvent;
use crate::units::At;

/// A silence made here may not be among those that the synchronisation reads for so long.
const ON_ITS_WAY: Duration = Duration::from_secs(5);
/// A minute of the ledger waits no longer than this before it is written.
const LATENESS: Duration = Duration::from_secs(10);

/// This member's place in the fleet.
pub(super) struct FleetMember {
    leadership: Leadership,
    pub(super) mirror: Engine,
    /// While this member has the duty: those who see anything.
    neighbours: Vec<Neighbour>,
    /// While another one has it: what that one tells, and since when it holds.
    whole: Option<(At, FleetSummary)>,
    /// How many others and itself there are, as it was counted here.
    count: Option<(At, u64)>,
    /// To be shown: age when it was read.
    roster: (At, Vec<MemberRow>),
    /// Minutes of the ledger that wait for their moment.
    late: Vec<(At, Write)>,
    /// How long they wait: a fleet does not write all its minutes in the same second.
    lateness: Duration,
    /// Who said that it has the duty.
    holder: Option<Arc<str>>,
    views: Option<mpsc::Receiver<SyncResult>>,
    status: watch::Sender<MemberStatus>,
    duty: watch::Sender<Duty>,
    since: At,
    /// Silences made or ended here, and when.
    fresh: Vec<(At, Silence)>,
    held: BTreeSet<AlertKey>,
}

impl FleetMember {
    /// Of one sidecar, with a file or without a store.
    pub(super) fn single(now: At) -> Self {
        Self::new(Leadership::single(), Duty::Holds, None, sync::unpublished().0, now)
    }

    /// Of one among others, which share a store; and the task that goes there.
    pub(super) fn of(records: &Records, draw: u64, now: At) -> (Self, Option<FleetSync>) {
        let Some(store) = records.shared() else { return (Self::single(now), None) };
        let (send, views) = mpsc::channel(2);
        let (status, published) = sync::unpublished();
        let sync = FleetSync::new(store.clone(), records.clone(), published, send);
        (Self::new(Leadership::member(draw, now), Duty::Follows, Some(views), status, now), Some(sync))
    }

    fn new(
        leadership: Leadership,
        duty: Duty,
        views: Option<mpsc::Receiver<SyncResult>>,
        status: watch::Sender<MemberStatus>,
        now: At,
    ) -> Self {
        let (neighbours, fresh, held, whole, count, late) = Default::default();
        let roster = (now, Vec::new());
        let lateness = match &views {
            Some(_) => {
                LATENESS.mul_f64((uuid::Uuid::now_v7().as_u64_pair().1 >> 40) as f64 / (1_u32 << 24) as f64)
            }
            None => Duration::ZERO,
        };
        let mirror = Engine::mirror(uuid::Uuid::now_v7().as_u64_pair().1, now);
        let duty = watch::Sender::new(duty);
        Self {
            leadership,
            mirror,
            neighbours,
            whole,
            count,
            roster,
            late,
            lateness,
            holder: None,
            views,
            status,
            duty,
            since: now,
            fresh,
            held,
        }
    }

    /// The clock has made a step of so many milliseconds: all that is remembered was heard as long ago as before.
    pub(super) fn step(&mut self, millis: i64) {
        self.leadership.shift(millis);
        let told = self.whole.iter_mut().map(|(at, _)| at).chain(self.count.iter_mut().map(|(at, _)| at));
        let waiting = self.late.iter_mut().map(|(at, _)| at).chain(self.fresh.iter_mut().map(|(at, _)| at));
        let read = self.neighbours.iter_mut().map(|one| &mut one.read);
        for at in told.chain(waiting).chain(read).chain([&mut self.roster.0, &mut self.since]) {
            *at = at.moved(millis);
        }
    }

    /// The next result of the synchronisation; pending for ever for a single member.
    pub(super) async fn view(&mut self) -> SyncResult {
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

    /// What others see, as far as that can be known; `None`: nobody has told it lately.
    fn seen(&self, boot: &str, now: At) -> Option<Vec<Sighting>> {
        let fresh = |since: At| now.since(since) <= FRESH;
        match (&self.count, &self.whole) {
            (Some((since, _)), _) if fresh(*since) => Some(seen_by_others(&self.neighbours, boot, now)),
            (_, Some((since, whole))) if fresh(*since) => Some(whole.of_others(boot)),
            (Some(_) | None, _) => None,
        }
    }

    /// How many were seen lately.
    fn members(&self, now: At) -> u64 {
        let fresh = |since: At| now.since(since) <= FRESH;
        match (&self.count, &self.whole) {
            (Some((since, count)), _) if fresh(*since) => *count,
            (_, Some((since, whole))) if fresh(*since) => whole.members,
            (Some(_) | None, _) => 0,
        }
    }

    /// What this member tells everybody while it has the duty.
    fn told(&self, boot: &str, now: At) -> FleetSummary {
        match &self.count {
            Some((_, count)) => FleetSummary::of(boot, &self.neighbours, *count, now),
            None => FleetSummary::default(),
        }
    }

    /// Keeps a minute of the ledger for its moment; `None`: it is kept.
    pub(super) fn later(&mut self, write: Write, now: At) -> Option<Write> {
        if self.lateness.is_zero() {
            return Some(write);
        }
        let minute = write.minute();
        let same = |held: &Write| minute.is_some() && held.minute() == minute;
        // One write of a minute is enough, with all that is known by then.
        match self.late.iter_mut().find(|(_, held)| same(held)) {
            Some((_, held)) => *held = write,
            None => self.late.push((now + self.lateness, write)),
        }
        None
    }

    /// What has waited long enough by `now`; `None`: all of it.
    pub(super) fn due(&mut self, now: Option<At>) -> Vec<Write> {
        let due = self.late.extract_if(.., |(at, _)| now.is_none_or(|now| *at <= now));
        due.map(|(_, write)| write).collect()
    }
}

impl Control {
    /// Takes in a result of the synchronisation.
    pub(super) fn hear_view(&mut self, view: SyncResult, at: Moment) {
        let now = self.observer.at(at);
        self.fleet.leadership.hear(view.lease, self.observer.at(view.asked), now);
        let Some(update) = view.update else { return self.shift(now) };
        let Update { members, count, roster, holder, whole, incidents, silences, left } = update;
        if let Some((_, _, uptime)) = left {
            self.uptime.take_over(uptime);
        }
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

    pub(super) fn remember_silence(&mut self, silence: &Silence, now: At) {
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
    pub(super) fn shift(&mut self, now: At) {
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
    pub(super) fn look_around(&self, readings: &mut Readings, now: At) {
        let Some(seen) = self.fleet.seen(self.records.boot(), now) else { return };
        let holding = seen.iter().filter(|one| matches!(one.sign, Sign::Bad | Sign::Between));
        readings.elsewhere = holding.map(|one| one.key.dedup()).collect();
        readings.sightings = Some(seen);
    }

    /// Tells the others what is seen here, and shows what is theirs.
    pub(super) fn look_back(&mut self, readings: &Readings, now: At) {
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

    /// An order goes to whoever shows the incidents.
    pub(super) fn obey(&mut self, command: Command, now: At) -> (Result<Reply, Refused>, Vec<Effect>) {
        match self.engine.role() {
            Role::Acts => self.engine.command(command, now),
            Role::Watches | Role::Mirrors => self.fleet.mirror.command(command, now),
        }
    }

    /// One that is over comes back from the store, to where orders go.
    pub(super) fn fetch(&mut self, found: Incident, now: At) {
        let effects = match self.engine.role() {
            Role::Acts => self.engine.restore(vec![found], Vec::new(), now),
            Role::Watches | Role::Mirrors => self.fleet.mirror.adopt(vec![found], now),
        };
        self.carry_out(effects, Vec::new());
    }

    /// Is this incident at hand?
    pub(super) fn knows(&self, id: &IncidentId) -> bool {
        self.engine.incident(id).is_some() || self.fleet.mirror.incident(id).is_some()
    }

    /// The snapshot as the fleet is: of one that only watches, what the mirror shows.
    pub(super) fn fleet_snapshot(&self, mut snapshot: Snapshot, now: At) -> Snapshot {
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
