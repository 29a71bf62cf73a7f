//! The whole of detection, incidents and escalation as one machine: readings and orders in, effects out.
//!
//! One task owns it, so it needs no lock. Each second the rules look at the readings; each finding moves its alert; an alert
//! that moves finds its incident, or founds one. What has the same cause is one incident: a dead service, its open breaker,
//! the errors and the slowness that follow, and many dead services at once.
//!
//! # Invariants
//! * One live incident per identity (dedup key); one incident per live alert.
//! * A live incident has a live alert, unless a person opened it.
//! * An incident ends when all its alerts are over, or a person says so; nobody is called about it after that, after
//!   somebody has taken it, nor while it is silenced.

mod calls;
mod command;
mod drilling;
mod effect;
mod fleet;
mod grouping;
mod invariants;
mod lines;
mod mode;
mod room;
mod silencing;
mod sizes;
mod step;
mod tick;
mod tracked;
mod uptime;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::alert::{Alert, AlertPolicy};
use super::detect::DetectPolicy;
use super::escalation::{Clock, EscalationPolicy};
use super::incident::{Actor, Ending, EntryKind, Incident, Refused, State, Transition};
use super::ledger::{Ledger, Minute};
use super::rule::{AlertKey, Rule, Severity};
use super::silence::{Purpose, Silence};
use crate::names::IncidentId;
use crate::units::At;
pub use command::Command;
pub use effect::{Effect, Notice, NoticeKind, Page};
pub use mode::Role;
use mode::{EngineMode, Evidence};
pub use room::{MOST_LIVE, MOST_SILENCES, MOST_WRITTEN};
pub use silencing::SilenceCommand;
use sizes::Sizes;
use tracked::Tracked;

/// How the engine works.
#[derive(Clone, Debug, PartialEq)]
pub struct EnginePolicy {
    /// What makes an incident.
    pub detect: DetectPolicy,
    /// Who is called, in which order, through which channels.
    pub escalation: EscalationPolicy,
    /// Suspicions of this severity and worse are told to the stakeholders; others only once they are confirmed.
    pub suspicions_from: Severity,
    /// One that was resolved this recently is linked from the next of the same identity: 1 h.
    pub reopen_within: Duration,
    /// Closed ones are kept at hand for this long; then only the store has them: 24 h.
    pub keep: Duration,
    /// An alert whose subject is gone from the readings (not: unobservable) is over after this long: 5 min.
    pub gone_after: Duration,
}

impl Default for EnginePolicy {
    fn default() -> Self {
        Self {
            detect: DetectPolicy::default(),
            escalation: EscalationPolicy::default(),
            suspicions_from: Severity::High,
            reopen_within: Duration::from_secs(3_600),
            keep: Duration::from_secs(86_400),
            gone_after: Duration::from_secs(300),
        }
    }
}

/// Closed incidents at hand, at most.
const KEPT: usize = 1_000;

/// The machine that turns readings and orders into incidents and effects.
#[derive(Debug)]
pub struct Engine {
    policy: EnginePolicy,
    mode: EngineMode,
    seed: u64,
    incidents: BTreeMap<IncidentId, Incident>,
    silences: Vec<Silence>,
    last_silence: u64,
    clock: Clock,
    /// Incidents that were silenced at the last look.
    hushed: BTreeSet<IncidentId>,
    changed: ChangeSet,
    sizes: Sizes,
    /// What became of calls of incidents that are not known here yet.
    early: Vec<effect::Early>,
    /// The drill of the last look.
    drill: drilling::DrillWatch,
}

/// What a step has changed so far.
#[derive(Debug, Default)]
struct ChangeSet {
    incidents: BTreeSet<IncidentId>,
    moves: Vec<Transition>,
    before: Vec<Effect>,
    after: Vec<Effect>,
}

impl Engine {
    /// An empty one. `source` names this process in the ledger and is new with every start; `seed` makes the names of its
    /// incidents differ from other members'.
    pub fn new(policy: EnginePolicy, source: Arc<str>, seed: u64, now: At) -> Self {
        Self::of(policy, EngineMode::Acting(Evidence::new(source, now)), seed, now)
    }

    fn of(policy: EnginePolicy, mode: EngineMode, seed: u64, now: At) -> Self {
        Self {
            policy,
            mode,
            seed,
            incidents: BTreeMap::new(),
            silences: Vec::new(),
            last_silence: 0,
            clock: Clock { now, local: None, holiday: false },
            hushed: BTreeSet::new(),
            changed: ChangeSet::default(),
            sizes: Sizes::default(),
            early: Vec::new(),
            drill: drilling::DrillWatch::default(),
        }
    }

    /// Takes over what the store holds. Live incidents go on as they were: their alerts are live until the evidence says
    /// that they are over. What is known here in a newer version stays; a second live one of the same matter is closed.
    pub fn restore(&mut self, incidents: Vec<Incident>, silences: Vec<Silence>, now: At) -> Vec<Effect> {
        for incident in incidents {
            if self.incidents.get(&incident.id).is_some_and(|held| held.version >= incident.version) {
                continue;
            }
            let id = incident.id.clone();
            let (incident, told) = Self::not_of_the_future(incident, now);
            let live = incident.state.is_live();
            let twin = self.incidents.values().find(|held| {
                live && held.state.is_live() && held.dedup == incident.dedup && held.id != incident.id
            });
            let twin = twin.map(|twin| twin.id.clone());
            self.mode.let_go_all_of(&id);
            self.incidents.insert(id.clone(), incident);
            self.note_step(&id, told, now);
            if live {
                self.revive(&id, twin, now);
            }
        }
        for silence in Self::silences_of_now(silences, now) {
            self.last_silence = self.last_silence.max(silence.number);
            self.silences.retain(|held| held.number != silence.number);
            self.silences.push(silence);
        }
        self.hear_early(now);
        self.effects()
    }

    fn revive(&mut self, id: &IncidentId, twin: Option<IncidentId>, now: At) {
        let Some(incident) = self.incidents.get_mut(id) else { return };
        let mut other = twin;
        for signal in incident.signals.iter_mut().filter(|signal| signal.over.is_none()) {
            if let Some(tracked) = self.mode.alerts().get(&signal.key) {
                if tracked.incident == *id {
                    continue;
                }
                other.get_or_insert_with(|| tracked.incident.clone());
            }
            if other.is_some() {
                signal.over = Some(now);
                continue;
            }
            let alert = match signal.confirmed {
                Some(since) => Alert::firing(signal.first_bad, since, incident.flaps),
                None => Alert::pending(signal.first_bad, signal.first_bad),
            };
            let claimed = signal.worst.unwrap_or(incident.severity);
            let tracked = Tracked {
                calm: incident.state == State::Monitoring,
                ..Tracked::new(alert, AlertPolicy::default(), id.clone(), claimed, now)
            };
            self.mode.track(signal.key.clone(), tracked);
        }
        let orphan = !self.mode.alerts().values().any(|tracked| tracked.incident == *id);
        let ends = |one: &Incident| one.key.rule != Rule::Manual && one.state.is_live();
        if orphan && self.incidents.get(id).is_some_and(ends) {
            let ending = other.map_or(Ending::Unobserved, Ending::PartOf);
            let why = "found without a cause of its own after a restart".to_owned();
            self.transit(id, |incident| incident.close(ending, Actor::Engine, why, now).map(Some));
        }
    }

    /// Another policy. State stays.
    pub fn reconfigure(&mut self, policy: EnginePolicy) {
        self.policy = policy;
    }

    pub fn policy(&self) -> &EnginePolicy {
        &self.policy
    }

    /// All incidents at hand, oldest first.
    pub fn incidents(&self) -> impl DoubleEndedIterator<Item = &Incident> {
        self.incidents.values()
    }

    /// The incident of that name.
    pub fn incident(&self, id: &IncidentId) -> Option<&Incident> {
        self.incidents.get(id)
    }

    /// The live alerts and their incidents.
    pub fn alerts(&self) -> impl Iterator<Item = (&AlertKey, &Alert, &IncidentId)> {
        self.mode.alerts().iter().map(|(key, tracked)| (key, &tracked.alert, &tracked.incident))
    }

    /// Silences and maintenance windows that last or are to come.
    pub fn silences(&self) -> &[Silence] {
        &self.silences
    }

    /// Is nobody called about this incident now?
    pub fn is_silenced(&self, incident: &Incident) -> bool {
        incident.is_quiet_drill()
            || self.silences.iter().any(|one| one.covers(&incident.key, incident.severity, self.clock.now))
    }

    /// Does a live alert of this incident still see the matter?
    pub fn holds(&self, id: &IncidentId) -> bool {
        self.any_alert(id, Alert::holds)
    }

    /// The same, of the last seconds: false as soon as exchanges are seen to be well, though minutes before still prove it.
    pub fn goes_on(&self, id: &IncidentId) -> bool {
        self.any_alert(id, Alert::goes_on)
    }

    fn any_alert(&self, id: &IncidentId, is: fn(&Alert) -> bool) -> bool {
        // What nobody sees is not known to hold.
        let seen = self.incidents.get(id).is_some_and(|incident| incident.unseen_since.is_none());
        seen && self
            .mode
            .alerts()
            .values()
            .any(|tracked| tracked.incident == *id && is(&tracked.alert) && !tracked.calm)
    }

    /// When time alone will next bring something, apart from the look at the readings each second.
    pub fn next_deadline(&self) -> Option<At> {
        let live = self.incidents.values().filter(|incident| incident.state.is_live());
        let ladders = live
            .clone()
            .filter(|incident| incident.state != State::Monitoring && !self.is_silenced(incident))
            .filter(|incident| incident.is_called(&self.policy.escalation))
            .filter_map(|incident| incident.escalation.next_deadline(&self.policy.escalation, self.clock));
        let clocks = live
            .filter(|incident| !incident.breached && incident.clocks.acknowledged.is_none())
            .filter_map(|incident| incident.respond_by);
        let ends = self.silences.iter().map(|silence| silence.until);
        ladders.chain(clocks).chain(ends).filter(|at| *at > self.clock.now).min()
    }

    /// What is to be stored before the end: the open minutes of the ledger.
    pub fn flush(&self) -> Vec<Minute> {
        self.mode
            .evidence()
            .into_iter()
            .flat_map(|one| one.ledgers.values().flat_map(Ledger::flush))
            .collect()
    }

    /// The one incident to tell of a change: changes it, marks it, and remembers the transition.
    fn with(&mut self, id: &IncidentId, change: impl FnOnce(&mut Incident) -> Option<Transition>) {
        if let Some(incident) = self.incidents.get_mut(id) {
            let version = incident.version;
            self.changed.moves.extend(change(incident));
            if incident.version != version {
                self.changed.incidents.insert(id.clone());
            }
        }
    }

    /// A transition that this state must allow. One that is rejected all the same is a mistake of this engine: a test ends at
    /// it, and in production it is a line of the timeline.
    fn transit(
        &mut self,
        id: &IncidentId,
        change: impl FnOnce(&mut Incident) -> Result<Option<Transition>, Refused>,
    ) {
        let now = self.clock.now;
        self.with(id, |incident| {
            let state = incident.state;
            change(incident).unwrap_or_else(|refused| {
                debug_assert!(false, "a transition from {state:?} was rejected: {refused} {incident:?}");
                incident.tell(
                    now,
                    Actor::Engine,
                    EntryKind::State,
                    format!("rejected: {refused}"),
                    Vec::new(),
                );
                None
            })
        });
    }

    /// Effects in their order: what is to be stored, what is to be counted, what is to be sent. Of an engine that watches only
    /// the ledger goes out, of a mirror what people have changed.
    fn effects(&mut self) -> Vec<Effect> {
        let moves = std::mem::take(&mut self.changed.moves);
        if self.mode.acts() {
            for transition in &moves {
                self.announce(transition);
            }
            self.keep_informed(&moves);
            self.tell_ends();
        }
        let ChangeSet { incidents, before, after, .. } = std::mem::take(&mut self.changed);
        self.check_invariants();
        let changed = incidents.iter().filter_map(|id| self.incidents.get(id));
        let saves = changed.map(|incident| Effect::Save(Box::new(incident.clone())));
        match self.mode {
            EngineMode::Acting(_) => {
                saves.chain(before).chain(moves.into_iter().map(Effect::Tell)).chain(after).collect()
            }
            EngineMode::Watching(_) => before,
            EngineMode::Mirror { .. } => saves.chain(before).collect(),
        }
    }

    fn next_id(&mut self, now: At) -> IncidentId {
        IncidentId::of(now.0, self.draw())
    }

    /// Milliseconds and ten bits of noise: members of a fleet and later starts of this one give other numbers, and
    /// JSON holds them exactly.
    fn next_silence(&mut self, now: At) -> u64 {
        let number = (u64::try_from(now.0).unwrap_or(0) << 10) | (self.draw() & 0x3ff);
        self.last_silence = number.max(self.last_silence + 1);
        self.last_silence
    }

    /// splitmix64: a counter made into noise.
    fn draw(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut draw = self.seed;
        draw = (draw ^ (draw >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        draw = (draw ^ (draw >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        draw ^ (draw >> 31)
    }

    fn prune(&mut self, now: At) {
        self.silences.retain(|silence| silence.until > now);
        let old = |incident: &Incident, keep: Duration| {
            incident.clocks.closed.is_some_and(|closed| now.since(closed) > keep)
        };
        let keep = self.policy.keep;
        self.incidents.retain(|_, incident| !old(incident, keep));
        let closed = self.incidents.values().filter(|incident| !incident.state.is_live()).count();
        let mut surplus = closed.saturating_sub(KEPT);
        self.incidents.retain(|_, incident| {
            let drop = surplus > 0 && !incident.state.is_live();
            surplus -= usize::from(drop);
            !drop
        });
    }

    fn in_maintenance(&self, service: &Arc<str>, now: At) -> bool {
        self.silences
            .iter()
            .any(|silence| silence.purpose == Purpose::Maintenance && silence.maintains(service, now))
    }
}

#[cfg(test)]
mod tests;
