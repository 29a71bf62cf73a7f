use std::sync::Arc;

use super::*;
use crate::reliability::engine::{Command, EnginePolicy};
use crate::reliability::escalation::Arrived;
use crate::reliability::fleet::{Neighbour, seen_by_others};
use crate::reliability::incident::{Force, Signal};
use crate::reliability::readings::UpstreamReading;

fn at(second: i64) -> At {
    At(1_800_000_000_000 + second * 1_000)
}

/// One member: its evidence, its engine, its mirror.
struct Member {
    boot: Arc<str>,
    engine: Engine,
    mirror: Engine,
    readings: Readings,
}

impl Member {
    fn new(n: u64) -> Self {
        let boot: Arc<str> = Arc::from(format!("m{n}"));
        let upstreams = vec![UpstreamReading::unseen(Arc::from("api"))];
        let readings = Readings { backend: Some(Arc::from("api")), upstreams, ..Readings::default() };
        let mut engine = Engine::new(EnginePolicy::default(), Arc::clone(&boot), n, at(0));
        engine.watch();
        let mirror = Engine::mirror(n + 100, at(0));
        let mut member = Self { boot, engine, mirror, readings };
        member.good(0);
        member
    }

    fn good(&mut self, second: i64) {
        let one = &mut self.readings.upstreams[0];
        (one.consecutive_failures, one.failing_since, one.last_success) = (0, None, Some(at(second)));
    }

    fn bad(&mut self, second: i64) {
        let one = &mut self.readings.upstreams[0];
        one.consecutive_failures += 3;
        one.failing_since.get_or_insert(at(second));
        one.last_failure = Some(at(second));
    }
}

/// Members that share what they store: the join of all writes, as the store keeps it.
struct Fleet {
    members: Vec<Member>,
    stored: BTreeMap<IncidentId, Incident>,
    acting: usize,
    pages: Vec<String>,
    ends: Vec<String>,
    second: i64,
}

impl Fleet {
    fn new() -> Self {
        let members = (1..=3).map(Member::new).collect();
        let (stored, pages, ends) = Default::default();
        let mut fleet = Self { members, stored, acting: 0, pages, ends, second: 0 };
        fleet.hand_over(0);
        fleet.pass(40, |_, _| true);
        fleet
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Save(one) => {
                    let joined = self.stored.get(&one.id).map_or((*one).clone(), |held| held.merge(&one));
                    self.stored.insert(one.id.clone(), joined);
                }
                Effect::Page(page) => self.pages.push(page.dedup),
                Effect::ResolveNotice(notice) => self.ends.push(notice.dedup),
                Effect::SaveSilence(_) | Effect::Ledger(_) | Effect::Tell(_) | Effect::Update(_) => {}
            }
        }
    }

    fn hand_over(&mut self, to: usize) {
        let now = at(self.second);
        let fleet: Vec<Incident> = self.stored.values().cloned().collect();
        self.acting = to;
        let effects = self.members[to].engine.act(fleet, now);
        self.carry_out(effects);
    }

    /// Seconds in which `well` says who sees a healthy upstream.
    fn pass(&mut self, seconds: i64, well: impl Fn(usize, i64) -> bool) {
        for _ in 0..seconds {
            self.second += 1;
            let (second, now) = (self.second, at(self.second));
            let seen: Vec<Neighbour> = self
                .members
                .iter()
                .map(|one| Neighbour {
                    member: Arc::clone(&one.boot),
                    boot: Arc::clone(&one.boot),
                    age: std::time::Duration::ZERO,
                    read: now,
                    sees: one.engine.sightings(),
                })
                .collect();
            let stored: Vec<Incident> = self.stored.values().cloned().collect();
            for n in 0..self.members.len() {
                let acts = n == self.acting;
                let member = &mut self.members[n];
                if well(n, second) {
                    member.good(second)
                } else {
                    member.bad(second)
                }
                member.readings.sightings = Some(seen_by_others(&seen, &member.boot, now));
                let adopting = if acts { &mut member.engine } else { &mut member.mirror };
                let mut effects = adopting.adopt(stored.clone(), now);
                effects.extend(member.engine.tick(&member.readings, now));
                self.carry_out(effects);
            }
        }
    }

    fn only(&self) -> &Incident {
        assert_eq!(self.stored.len(), 1, "{:#?}", self.stored);
        self.stored.values().next().expect("one")
    }
}

#[test]
fn what_all_see_is_one_incident_and_one_call_and_ends_once_all_are_well() {
    let mut fleet = Fleet::new();
    fleet.pass(60, |_, _| false);
    let called = fleet.pages.len();
    assert!(called > 0 && fleet.only().state == State::Open);
    for mirror in [&fleet.members[1].mirror, &fleet.members[2].mirror] {
        assert_eq!(mirror.incident(&fleet.only().id), Some(fleet.only()));
    }
    fleet.pass(300, |n, _| n == 0);
    assert_eq!(fleet.only().state, State::Open, "the first to recover ends nothing");
    fleet.pass(300, |n, _| n < 2);
    assert_eq!(fleet.only().state, State::Open);
    fleet.pass(300, |_, _| true);
    assert_eq!(fleet.only().state, State::Resolved);
    let dedup = fleet.only().dedup.to_string();
    assert!(fleet.ends == [dedup.clone()] && fleet.pages.iter().all(|one| *one == dedup), "{:?}", fleet.ends);
}

#[test]
fn what_only_a_member_off_duty_sees_is_called_out_all_the_same() {
    let mut fleet = Fleet::new();
    fleet.pass(60, |n, _| n != 2);
    assert_eq!(fleet.only().state, State::Open);
    assert!(!fleet.pages.is_empty());
    fleet.pass(300, |_, _| true);
    assert_eq!(fleet.only().state, State::Resolved);
}

#[test]
fn who_takes_the_duty_over_goes_on_with_the_same_incident_and_calls_nobody_twice() {
    let mut fleet = Fleet::new();
    fleet.pass(60, |_, _| false);
    let called = fleet.pages.len();
    fleet.members.remove(0);
    fleet.hand_over(1);
    fleet.pass(60, |_, _| false);
    assert_eq!((fleet.only().state, fleet.pages.len()), (State::Open, called));
    fleet.pass(300, |_, _| true);
    assert_eq!((fleet.only().state, fleet.ends.len()), (State::Resolved, 1));
}

#[test]
fn what_the_fleet_has_closed_and_is_still_seen_here_is_found_anew_and_called_out() {
    let mut fleet = Fleet::new();
    fleet.pass(60, |_, _| false);
    let (id, called, now) = (fleet.only().id.clone(), fleet.pages.len(), at(fleet.second));
    // It loses the duty and goes on seeing the matter; the fleet closes the incident meanwhile.
    fleet.members[0].engine.watch();
    let held = fleet.stored.get_mut(&id).expect("there");
    held.close(Ending::ByHand, Actor::Named("ann".to_owned()), "done".to_owned(), now).expect("closes");
    fleet.hand_over(0);
    let engine = &fleet.members[0].engine;
    assert!(engine.alerts().all(|(_, _, home)| *home != id), "an alert of what is over calls nobody");
    fleet.pass(60, |_, _| false);
    let live: Vec<_> = fleet.stored.values().filter(|one| one.state.is_live()).collect();
    assert_eq!(live.iter().map(|one| one.state).collect::<Vec<_>>(), [State::Open]);
    assert!(fleet.pages.len() > called, "it is called out");
}

#[test]
fn who_must_act_with_nothing_from_others_acts_on_what_it_has_found() {
    let mut fleet = Fleet::new();
    fleet.members[0].engine.watch();
    fleet.acting = 9;
    fleet.pass(60, |_, _| false);
    assert!(fleet.stored.is_empty() && fleet.pages.is_empty());
    fleet.hand_over(1);
    fleet.pass(2, |_, _| false);
    assert_eq!(fleet.only().state, State::Open);
    assert!(!fleet.pages.is_empty());
}

#[test]
fn two_that_were_found_apart_become_one_and_nobody_is_told_of_the_others_end() {
    let mut fleet = Fleet::new();
    fleet.pass(60, |_, _| false);
    let older = fleet.only().id.clone();
    // Another one acted meanwhile, for itself.
    let effects = fleet.members[1].engine.act(Vec::new(), at(fleet.second));
    fleet.carry_out(effects);
    fleet.members[1].engine.watch();
    let ann = "ann".to_owned();
    let other = fleet.stored.keys().find(|id| **id != older).cloned().expect("two");
    let taken = fleet.stored.get_mut(&other).expect("there");
    taken.acknowledge(&ann, at(fleet.second)).expect("takes");
    fleet.pass(3, |_, _| false);
    let live: Vec<_> = fleet.stored.values().filter(|one| one.state.is_live()).collect();
    assert_eq!(live.len(), 1, "{live:#?}");
    assert_eq!(live[0].acknowledged_by.as_deref(), Some("ann"), "what people did counts");
    let gone = fleet.stored.values().find(|one| !one.state.is_live()).expect("closed");
    assert_eq!(gone.ending, Some(Ending::PartOf(live[0].id.clone())));
    assert!(fleet.ends.is_empty());
    fleet.pass(300, |_, _| true);
    assert_eq!(
        fleet.ends.len(),
        2,
        "whoever was called about either hears of its end, once the one that stays is over"
    );
    assert!(fleet.stored.values().all(|one| !one.escalation.owes_an_end()));
}

#[test]
fn who_takes_the_duty_over_gives_what_it_sees_to_the_one_of_two_that_stays() {
    let mut fleet = Fleet::new();
    fleet.pass(60, |_, _| false);
    let now = at(fleet.second);
    let effects = fleet.members[1].engine.act(Vec::new(), now);
    fleet.carry_out(effects);
    fleet.members[1].engine.watch();
    let older = fleet.stored.keys().next().expect("two").clone();
    // The older one lasts by what only another member sees; what is seen here is part of the younger one alone.
    let one = fleet.stored.get_mut(&older).expect("there");
    let seen = one.signals[0].clone();
    one.signals[0].over = Some(now);
    one.signals.push(Signal { key: AlertKey::of(Rule::ErrorRate, "api", ""), ..seen.clone() });
    fleet.hand_over(2);
    let engine = &fleet.members[2].engine;
    let homes: Vec<_> =
        engine.alerts().map(|(key, alert, home)| (key.rule, alert.is_firing(), home)).collect();
    assert_eq!(homes.len(), 2, "{homes:?}");
    assert!(homes.contains(&(seen.key.rule, true, &older)), "{homes:?}");
    assert!(homes.iter().all(|(_, _, home)| **home == older), "what is over has no alerts: {homes:?}");
}

#[test]
fn who_was_called_while_another_member_ended_it_hears_of_the_end_once() {
    let mut fleet = Fleet::new();
    fleet.pass(3, |_, _| false);
    // A person ends it at a member that does not hear of the calls.
    let (id, mut ended) = (fleet.only().id.clone(), fleet.only().clone());
    assert!(ended.escalation.calls().is_empty());
    let (ann, now) = (Actor::Named("ann".to_owned()), at(fleet.second));
    ended.close(Ending::ByHand, ann, "enough".to_owned(), now).expect("closes");
    fleet.pass(57, |_, _| false);
    assert!(!fleet.pages.is_empty() && fleet.ends.is_empty());
    let both = ended.merge(fleet.only());
    assert_eq!((both.state.is_live(), both.escalation.calls().is_empty()), (false, false));
    fleet.stored.insert(id, both);
    fleet.hand_over(1);
    assert_eq!(fleet.ends.len(), 1, "its page would stay open for ever");
    fleet.hand_over(2);
    assert_eq!(fleet.ends.len(), 1);
}

#[test]
fn what_became_of_a_call_is_told_once_its_incident_is_known_whoever_has_the_duty_by_then() {
    let mut fleet = Fleet::new();
    fleet.pass(60, |_, _| false);
    let (one, now) = (fleet.only().clone(), at(fleet.second));
    let arrived = || Command::Delivered {
        id: one.id.clone(),
        number: 1,
        arrived: Arrived::Yes,
        detail: "mail".to_owned(),
    };
    let told = |engine: &Engine| {
        let one = engine.incident(&one.id).expect("known");
        one.timeline.iter().filter(|line| line.text == "call 1 arrived: mail").count()
    };
    // It has the duty, has delivered what the one before left, and has read nothing yet.
    let engine = &mut fleet.members[1].engine;
    engine.act(Vec::new(), now);
    assert!(engine.command(arrived(), now).0.is_err());
    engine.adopt(vec![one.clone()], now);
    assert_eq!(told(engine), 1);
    engine.adopt(vec![one.clone()], now);
    assert_eq!(told(engine), 1);
    let member = &mut fleet.members[2];
    member.engine.act(Vec::new(), now);
    assert!(member.engine.command(arrived(), now).0.is_err());
    member.engine.watch();
    member.engine.pass_on(&mut member.mirror, now);
    member.mirror.adopt(vec![one.clone()], now);
    assert_eq!(told(&member.mirror), 1, "the duty was lost meanwhile");
}

#[test]
fn an_order_given_to_any_member_takes_effect_in_the_fleet() {
    let mut fleet = Fleet::new();
    fleet.pass(60, |_, _| false);
    let id = fleet.only().id.clone();
    let now = at(fleet.second);
    let held: Vec<AlertKey> = fleet.only().signals.iter().map(|signal| signal.key.clone()).collect();
    let mirror = &mut fleet.members[2].mirror;
    mirror.tend(held, now);
    let (done, effects) = mirror.command(Command::Ack { id: id.clone(), actor: "ann".to_owned() }, now);
    assert!(done.is_ok());
    fleet.carry_out(effects);
    fleet.pass(1, |_, _| false);
    assert_eq!(fleet.members[0].engine.incident(&id).map(|one| one.state), Some(State::Acknowledged));
    let resolve = |force| Command::Resolve {
        id: id.clone(),
        actor: "ann".to_owned(),
        reason: "enough".to_owned(),
        force,
    };
    let mirror = &mut fleet.members[2].mirror;
    assert!(mirror.command(resolve(Force::Asked), now).0.is_err(), "it still holds");
    let (done, effects) = mirror.command(resolve(Force::Forced), now);
    assert!(done.is_ok());
    fleet.carry_out(effects);
    fleet.pass(1, |_, _| true);
    assert_eq!((fleet.stored[&id].state, fleet.ends.len()), (State::Resolved, 1));
}

/// What is told of incidents while what others have stored is taken over comes behind all lines that are stored: whoever stores
/// has handed over as many lines as both copies have.
#[test]
fn what_is_told_of_one_that_others_have_changed_comes_behind_the_lines_that_they_have_stored() {
    let mut fleet = Fleet::new();
    fleet.pass(60, |_, _| false);
    let ours = fleet.only().clone();
    let effects = fleet.members[1].engine.act(Vec::new(), at(fleet.second));
    fleet.carry_out(effects);
    let twin = fleet.stored.values().find(|one| one.id != ours.id).expect("two").clone();
    // Noted at a member whose clock is ahead.
    let mut noted = ours.clone();
    noted.tell(at(fleet.second + 9), Actor::Engine, EntryKind::Note, "seen".to_owned(), Vec::new());
    for brought in [vec![twin.clone(), noted.clone()], vec![noted, twin]] {
        let mut engine = Engine::new(EnginePolicy::default(), Arc::from("m4"), 4, at(fleet.second));
        engine.act(vec![ours.clone()], at(fleet.second));
        let stored: BTreeMap<&IncidentId, Incident> = brought
            .iter()
            .map(|theirs| {
                (&theirs.id, engine.incident(&theirs.id).map_or(theirs.clone(), |one| one.merge(theirs)))
            })
            .collect();
        let effects = engine.adopt(brought.clone(), at(fleet.second + 1));
        let saved = effects.iter().filter_map(|effect| match effect {
            Effect::Save(one) => Some(one),
            Effect::SaveSilence(_)
            | Effect::Ledger(_)
            | Effect::Tell(_)
            | Effect::Page(_)
            | Effect::Update(_)
            | Effect::ResolveNotice(_) => None,
        });
        let mut ends = 0;
        for one in saved {
            let lines = &stored[&one.id].timeline;
            assert!(one.timeline.starts_with(lines), "{lines:#?} {one:#?}");
            ends += usize::from(one.part_of().is_some());
        }
        assert_eq!(ends, 1, "one of the two is the same as the other");
    }
}
