//! One process: an engine, a mirror, the duty, a queue of messages and a lane of writes, put together as `control/` puts them
//! together. All of it is gone when the process is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use strop::names::IncidentId;
use strop::reliability::alert::Sign;
use strop::reliability::delivery::NotificationId;
use strop::reliability::engine::{Command, Effect, Engine, EnginePolicy, Page, Role, SilenceCommand};
use strop::reliability::fleet::{
    Duty, FRESH, FleetSummary, Leadership, LeaseReply, Neighbour, Sighting, TERM, next_beat, seen_by_others,
};
use strop::reliability::incident::{Head, Incident, Refused};
use strop::reliability::readings::{Readings, UpstreamReading};
use strop::reliability::rule::AlertKey;
use strop::reliability::silence::Silence;
use strop::units::At;

use super::letters::Letters;
use super::store::{Beat, Pulse, Write};
use super::{SERVICES, START};

/// A silence made here may not be among those that are read for so long.
const ON_ITS_WAY: Duration = Duration::from_secs(5);

/// What came back from the store.
#[derive(Debug)]
pub struct View {
    pub asked: u64,
    pub said: LeaseReply,
    pub news: Option<(Pulse, Vec<Incident>, Vec<Silence>)>,
}

/// What of an incident was handed to the store: the number of the last line, and the mark of its head.
#[derive(Clone, Copy, Debug, Default)]
struct HandedOver {
    lines: u64,
    mark: Option<u64>,
}

impl HandedOver {
    fn all(one: &Incident) -> Self {
        Self { lines: one.timeline.last().map_or(0, |line| line.number), mark: Some(Head::mark(one)) }
    }
}

/// A call as it left the engine.
pub struct Called {
    pub page: Page,
    pub incident: Incident,
    pub duty: Duty,
    pub silenced: bool,
}

pub struct Member {
    pub boot: Arc<str>,
    /// Milliseconds by which its clock is ahead.
    offset: i64,
    pub engine: Engine,
    pub mirror: Engine,
    leadership: Leadership,
    neighbours: Vec<Neighbour>,
    count: Option<At>,
    summary: Option<(At, FleetSummary)>,
    fresh: Vec<(At, Silence)>,
    told: BTreeMap<IncidentId, HandedOver>,
    upstreams: Vec<UpstreamReading>,
    pub letters: Letters,
    /// Writes that nobody has stored yet, and the number of the first of them.
    pub lane: VecDeque<Vec<Write>>,
    pub batch: u64,
    pub known: u64,
    /// When the last beat that was heard was carried out there.
    pub heard: u64,
    /// How long the one with the duty may keep it.
    left: Duration,
    pub calls: Vec<Called>,
    /// Calls of incidents that were not at hand when they were settled.
    pub unheard: BTreeSet<NotificationId>,
    /// What it saw or heard of as bad at its last look.
    held: BTreeSet<AlertKey>,
}

impl Member {
    pub fn new(boot: &str, policy: EnginePolicy, offset: i64, t: u64, draw: u64) -> Self {
        let now = (START + Duration::from_millis(t)).moved(offset);
        let boot: Arc<str> = Arc::from(boot);
        let mut engine = Engine::new(policy, Arc::clone(&boot), draw, now);
        engine.watch();
        Self {
            offset,
            engine,
            mirror: Engine::mirror(draw ^ 0x5555, now),
            leadership: Leadership::member(draw, now),
            neighbours: Vec::new(),
            count: None,
            summary: None,
            fresh: Vec::new(),
            told: BTreeMap::new(),
            upstreams: SERVICES.iter().map(|name| UpstreamReading::unseen(Arc::from(*name))).collect(),
            letters: Letters::default(),
            lane: VecDeque::new(),
            batch: 0,
            known: 0,
            heard: 0,
            left: TERM,
            calls: Vec::new(),
            unheard: BTreeSet::new(),
            held: BTreeSet::new(),
            boot,
        }
    }

    pub fn at(&self, t: u64) -> At {
        (START + Duration::from_millis(t)).moved(self.offset)
    }

    /// The time of its queue: the wall's when it began, and what has passed.
    pub fn millis(&self, t: u64) -> u64 {
        self.at(t).0 as u64
    }

    pub fn duty(&self, t: u64) -> Duty {
        self.leadership.duty(self.at(t))
    }

    pub fn acts(&self) -> bool {
        self.engine.role() == Role::Acts
    }

    /// The engine whose incidents are shown.
    pub fn shown(&self) -> &Engine {
        if self.acts() { &self.engine } else { &self.mirror }
    }

    /// Does what this incident is about hold, as far as it knows?
    pub fn holds(&self, id: &IncidentId) -> bool {
        let seen = |one: &Incident| one.active().any(|signal| self.held.contains(&signal.key));
        if self.acts() { self.engine.holds(id) } else { self.mirror.incident(id).is_some_and(seen) }
    }

    /// One second of traffic: which of the services fail here.
    pub fn traffic(&mut self, bad: &BTreeSet<usize>, t: u64) {
        let now = self.at(t);
        for (n, one) in self.upstreams.iter_mut().enumerate() {
            if bad.contains(&n) {
                one.consecutive_failures += 3;
                one.failing_since.get_or_insert(now);
                one.last_failure = Some(now);
            } else {
                (one.consecutive_failures, one.failing_since, one.last_success) = (0, None, Some(now));
            }
        }
    }

    /// One look at everything.
    pub fn look(&mut self, t: u64) {
        let now = self.at(t);
        self.shift(t);
        let upstreams = self.upstreams.clone();
        let mut readings =
            Readings { backend: Some(Arc::from(SERVICES[0])), upstreams, ..Readings::default() };
        if let Some(seen) = self.seen(now) {
            let holding = seen.iter().filter(|one| matches!(one.sign, Sign::Bad | Sign::Between));
            readings.elsewhere = holding.map(|one| one.key.dedup()).collect();
            readings.sightings = Some(seen);
        }
        let effects = self.engine.tick(&readings, now);
        self.carry_out(effects, t);
        let others = readings.sightings.iter().flatten();
        let own = self.engine.sightings();
        let held = others.chain(&own).filter(|one| one.sign == Sign::Bad).map(|one| one.key.clone());
        self.held = held.collect();
        self.mirror.tend(self.held.iter().cloned(), now);
        for engine in [&self.engine, &self.mirror] {
            engine.check_invariants();
        }
        let mut matters = BTreeSet::new();
        for one in self.engine.incidents().filter(|one| self.acts() && one.state.is_live()) {
            assert!(matters.insert(Arc::clone(&one.dedup)), "two live ones of one matter: {one:#?}");
        }
    }

    fn seen(&self, now: At) -> Option<Vec<Sighting>> {
        let fresh = |since: At| now.since(since) <= FRESH;
        match (self.count, &self.summary) {
            (Some(since), _) if fresh(since) => Some(seen_by_others(&self.neighbours, &self.boot, now)),
            (_, Some((since, whole))) if fresh(*since) => Some(whole.of_others(&self.boot)),
            (Some(_) | None, _) => None,
        }
    }

    pub fn beat(&self, t: u64) -> Beat {
        let (now, members) = (self.at(t), self.neighbours.len() as u64);
        let summary = self.count.map(|_| FleetSummary::of(&self.boot, &self.neighbours, members, now));
        Beat {
            boot: Arc::clone(&self.boot),
            sees: self.engine.sightings(),
            summary: summary.unwrap_or_default(),
            known: self.known,
        }
    }

    /// Milliseconds until the next beat.
    pub fn rest(&self, holds: bool, draw: u64) -> u64 {
        let duty = if holds { Duty::Holds } else { Duty::Follows };
        next_beat(duty, self.left, draw).as_millis() as u64
    }

    pub fn hear(&mut self, view: View, t: u64) {
        let now = self.at(t);
        self.leadership.hear(view.said, self.at(view.asked), now);
        let Some((pulse, incidents, silences)) = view.news else {
            self.left = TERM;
            return self.shift(t);
        };
        (self.known, self.heard) = (pulse.known, pulse.executed);
        self.count = pulse.count.map(|_| now);
        self.hear_holder(&pulse, now);
        let neighbour = |(boot, age, sees): (Arc<str>, Duration, Vec<Sighting>)| Neighbour {
            member: Arc::clone(&boot),
            boot,
            age,
            read: now,
            sees,
        };
        self.neighbours = pulse.loud.into_iter().map(neighbour).collect();
        let silences = self.with_fresh(silences, now);
        self.engine.put_silences(silences.clone());
        self.mirror.put_silences(silences);
        if self.acts() {
            self.shift(t);
        }
        self.adopt(incidents, t);
        self.shift(t);
    }

    fn hear_holder(&mut self, pulse: &Pulse, now: At) {
        let Some(lease) = pulse.lease.as_ref().filter(|_| !pulse.ours) else {
            (self.left, self.summary) = (TERM, None);
            return;
        };
        self.left = Duration::from_millis(lease.until.saturating_sub(pulse.executed));
        if !self.left.is_zero() && lease.summary.by == lease.holder {
            self.summary = Some((now - TERM.saturating_sub(self.left), lease.summary.clone()));
        }
    }

    fn with_fresh(&mut self, mut silences: Vec<Silence>, now: At) -> Vec<Silence> {
        self.fresh.retain(|(since, _)| now.since(*since) < ON_ITS_WAY);
        for (_, silence) in &self.fresh {
            silences.retain(|one| one.number != silence.number);
            if silence.until > now {
                silences.push(silence.clone());
            }
        }
        silences
    }

    fn adopt(&mut self, incidents: Vec<Incident>, t: u64) {
        let (now, acts) = (self.at(t), self.acts());
        let engine = if acts { &mut self.engine } else { &mut self.mirror };
        for theirs in &incidents {
            let both = engine.incident(&theirs.id).map(|ours| ours.merge(theirs));
            let lines = both.as_ref().unwrap_or(theirs).timeline.last().map_or(0, |line| line.number);
            self.told.insert(theirs.id.clone(), HandedOver { lines, ..HandedOver::all(theirs) });
        }
        let effects = engine.adopt(incidents, now);
        self.carry_out(effects, t);
    }

    /// The duty moves when it must.
    pub(super) fn shift(&mut self, t: u64) {
        let now = self.at(t);
        match (self.engine.role(), self.leadership.duty(now).acts()) {
            (Role::Watches, true) => {
                let stored: Vec<Incident> = self.mirror.incidents().cloned().collect();
                let effects = self.engine.act(stored, now);
                self.carry_out(effects, t);
                let effects = self.mirror.pass_on(&mut self.engine, now);
                self.carry_out(effects, t);
            }
            (Role::Acts, false) => {
                let known: Vec<Incident> = self.engine.incidents().cloned().collect();
                self.engine.watch();
                self.mirror.adopt(known, now);
                let effects = self.engine.pass_on(&mut self.mirror, now);
                self.carry_out(effects, t);
                self.letters.clear();
            }
            (Role::Watches | Role::Acts | Role::Mirrors, _) => {}
        }
    }

    /// An order of a person, or what became of a call.
    pub fn order(&mut self, command: Command, t: u64) -> Result<Box<Incident>, Refused> {
        self.order_with(command, Vec::new(), t)
    }

    /// `rows` are stored with what it changes.
    pub(super) fn order_with(
        &mut self,
        command: Command,
        rows: Vec<Write>,
        t: u64,
    ) -> Result<Box<Incident>, Refused> {
        self.decide(Engine::command, command, rows, t)
    }

    /// An order of a person about a silence.
    pub fn silence(&mut self, command: SilenceCommand, t: u64) -> Result<Silence, Refused> {
        self.decide(Engine::silence, command, Vec::new(), t)
    }

    fn decide<C, R>(
        &mut self,
        decision: impl FnOnce(&mut Engine, C, At) -> (Result<R, Refused>, Vec<Effect>),
        command: C,
        rows: Vec<Write>,
        t: u64,
    ) -> Result<R, Refused> {
        let now = self.at(t);
        self.shift(t);
        let engine = if self.acts() { &mut self.engine } else { &mut self.mirror };
        let (done, effects) = decision(engine, command, now);
        assert!(done.is_ok() || effects.is_empty(), "refused, and yet: {effects:?}");
        self.carry_out_with(effects, rows, t);
        done
    }

    fn carry_out(&mut self, effects: Vec<Effect>, t: u64) {
        self.carry_out_with(effects, Vec::new(), t);
    }

    fn carry_out_with(&mut self, effects: Vec<Effect>, mut group: Vec<Write>, t: u64) {
        let now = self.at(t);
        let decides =
            |effect: &Effect| !matches!(effect, Effect::Save(_) | Effect::SaveSilence(_) | Effect::Ledger(_));
        let decided = effects.iter().find(|effect| decides(effect));
        assert!(self.acts() || decided.is_none(), "{} has no duty, and decides: {decided:?}", self.boot);
        for effect in effects {
            match effect {
                Effect::Save(one) => {
                    let before = self.told.insert(one.id.clone(), HandedOver::all(&one)).unwrap_or_default();
                    let head = Head::from(&*one).following(before.mark);
                    let new = one.timeline.iter().filter(|line| line.number > before.lines);
                    group.push(Write::Incident(Box::new(head), new.cloned().collect()));
                }
                Effect::SaveSilence(silence) => {
                    self.fresh.push((now, silence.clone()));
                    group.push(Write::Silence(silence));
                }
                Effect::Page(page) => self.call(page, &mut group, t),
                Effect::Update(notice) | Effect::ResolveNotice(notice) => {
                    self.notify(&notice, &mut group, t);
                }
                Effect::Ledger(_) | Effect::Tell(_) => {}
            }
        }
        if !group.is_empty() {
            self.lane.push_back(group);
        }
    }
}
