//! Three members, a database and three ways to tell people, all of which fail: what is promised of them together.
//!
//! Requests, answers and attempts take time and are lost; processes die with what they had not stored, or stand still; members
//! are cut off from the database, alone or all; their clocks differ. Everything is drawn from the seed.

mod channels;
mod claims;
mod deeds;
mod drill;
mod letters;
mod member;
mod net;
mod post;
mod store;

use std::collections::BTreeSet;
use std::time::Duration;

use strop::reliability::engine::{Command, EnginePolicy, SilenceCommand};
use strop::reliability::incident::Force;
use strop::reliability::rule::Severity;
use strop::reliability::silence::{Comparison, Label, Matcher, Purpose, Silence};
use strop::units::At;

use crate::dice::Dice;
use channels::Channels;
use claims::Claims;
use member::Member;
use net::Net;
use store::Store;

const START: At = At(1_800_000_000_000);
const SERVICES: [&str; 3] = ["api", "stripe", "database"];
const MEMBERS: usize = 3;
/// Milliseconds of one step.
const STEP: u64 = 250;
/// All is well again for at most so long, until everything is settled.
const CALM: u64 = 1_200_000;

/// A place for a process, and what is under way from there.
struct Slot {
    member: Option<Member>,
    starts: u64,
    /// It is not there before this moment …
    down_until: u64,
    /// … stands still until then …
    still_until: u64,
    /// … and the store is out of its reach until then.
    cut_until: u64,
    /// Milliseconds by which its machine's clock is ahead.
    offset: i64,
    looks: u64,
    beats: u64,
    finds: u64,
    net: net::Line,
}

pub struct Fleet {
    dice: Dice,
    t: u64,
    slots: Vec<Slot>,
    store: Store,
    channels: Channels,
    net: Net,
    claims: Claims,
    /// By member, the services that fail there.
    bad: [BTreeSet<usize>; MEMBERS],
    notes: u64,
}

/// Ladders in seconds, two steps each; a pager, a chat, and one that forgets.
fn policy() -> EnginePolicy {
    let mut policy = crate::world::policy();
    // The store keeps what the members do not.
    policy.keep = EnginePolicy::default().keep;
    for ladder in &mut policy.escalation.ladders {
        ladder.hours = None;
    }
    let names = channels::NAMES.map(str::to_owned);
    for (contact, first) in policy.escalation.contacts.iter_mut().zip([0, 1, 2, 0, 1, 1]) {
        contact.channels = vec![names[first].clone(), names[(first + 1) % 3].clone()];
    }
    policy.escalation.fallback = names.to_vec();
    policy.escalation.pagers = channels::PAGERS.map(str::to_owned).to_vec();
    policy
}

impl Fleet {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0xf1ee_7000);
        let skewed = dice.chance(0.3);
        let slots = (0..MEMBERS).map(|_| {
            let most = if skewed { 20_000 } else { 500 };
            let offset = dice.below(2 * most) as i64 - most as i64;
            let looks = dice.below(4) * STEP;
            Slot {
                member: None,
                starts: 0,
                down_until: 0,
                still_until: 0,
                cut_until: 0,
                offset,
                looks,
                beats: 0,
                finds: 0,
                net: net::Line::default(),
            }
        });
        Self {
            slots: slots.collect(),
            t: 0,
            store: Store::default(),
            channels: Channels::new(),
            net: Net::default(),
            claims: Claims::default(),
            bad: Default::default(),
            notes: 0,
            dice,
        }
    }

    /// Weather for a while, then none; then all must have come together, and go on as it should.
    fn run(&mut self, then: Then) {
        let weather = 60_000 + self.dice.below(240_000);
        while self.t < weather {
            self.weather();
            self.step();
        }
        self.heal();
        self.settle();
        if then == Then::Drill {
            self.drill();
            self.settle();
        }
    }

    /// Fair weather until nothing is under way any more.
    fn settle(&mut self) {
        let calm = self.t;
        while !(self.t > calm + 30_000 && self.is_settled()) {
            assert!(
                self.t < calm + CALM,
                "twenty minutes of fair weather, and not settled: {}",
                self.unsettled()
            );
            self.step();
        }
        self.judge();
    }

    fn step(&mut self) {
        self.t += STEP;
        self.arrivals();
        for n in 0..MEMBERS {
            self.chores(n);
        }
        let members = self.slots.iter().map(|slot| (slot.member.as_ref(), slot.still_until, slot.starts));
        self.claims.at_most_one_leads(members, &self.store, self.t);
    }

    fn is_here(&self, n: usize) -> bool {
        self.slots[n].member.is_some() && self.slots[n].still_until <= self.t
    }

    fn chores(&mut self, n: usize) {
        let t = self.t;
        if self.slots[n].member.is_none() && self.slots[n].down_until <= t {
            self.start(n);
        }
        if !self.is_here(n) {
            return;
        }
        self.deadlines(n);
        let draw = self.dice.draw();
        let (slot, bad) = (&mut self.slots[n], &self.bad[n]);
        let Some(member) = slot.member.as_mut() else { return };
        if slot.looks <= t {
            slot.looks = t + 1_000;
            member.traffic(bad, t);
            member.look(t);
        }
        let beats = slot.beats <= t && slot.net.idle();
        let finds = slot.finds <= t && member.acts();
        let due = member.round(t);
        if beats {
            self.beat(n);
        }
        if finds {
            self.slots[n].finds = t + 5_000;
            self.ask_what_is_left(n);
        }
        for letter in due {
            self.send(n, letter, draw);
        }
        self.flush(n);
        self.heed(n);
    }

    /// What the member has just decided is looked at.
    fn heed(&mut self, n: usize) {
        let Some(member) = self.slots[n].member.as_mut() else { return };
        for called in std::mem::take(&mut member.calls) {
            self.claims.called(&called, member, &self.store, self.t);
        }
    }

    fn start(&mut self, n: usize) {
        let draw = self.dice.draw();
        let slot = &mut self.slots[n];
        self.claims.boots += 1;
        let boot = format!("m{n}#{}", self.claims.boots);
        slot.member = Some(Member::new(&boot, policy(), slot.offset, self.t, draw));
        slot.net = net::Line::default();
        (slot.starts, slot.beats, slot.finds, slot.looks) = (self.t, self.t, self.t, self.t);
    }

    /// The process ends: all that it has not stored is gone. One that is asked to leave first writes what it has.
    fn stop(&mut self, n: usize) {
        let leaves = self.dice.chance(0.3) && self.slots[n].cut_until <= self.t && self.is_here(n);
        let Some(mut member) = self.slots[n].member.take() else { return };
        self.claims.unheard.append(&mut member.unheard);
        if leaves && let Some(batch) = self.slots[n].net.in_hand() {
            self.store.write(n, &member.boot, batch.0, batch.1, self.t);
        }
        if leaves {
            for group in std::mem::take(&mut member.lane) {
                member.batch += 1;
                self.store.write(n, &member.boot, member.batch, group, self.t);
            }
            self.store.depart(&member.boot);
        }
        self.slots[n].down_until = self.t + self.dice.below(30_000);
        self.slots[n].offset += self.dice.below(200) as i64 - 100;
    }

    fn weather(&mut self) {
        self.channels.weather(&mut self.dice);
        self.net.weather(&mut self.dice, self.t);
        if self.dice.chance(0.004) {
            let service = self.dice.below(SERVICES.len() as u64) as usize;
            let all = self.dice.chance(0.5);
            let only = self.dice.below(MEMBERS as u64) as usize;
            for n in (0..MEMBERS).filter(|n| all || *n == only) {
                self.bad[n].insert(service);
            }
        }
        if self.dice.chance(0.004) {
            let n = self.dice.below(MEMBERS as u64) as usize;
            let all = self.dice.chance(0.6);
            (0..MEMBERS).filter(|other| all || *other == n).for_each(|n| self.bad[n].clear());
        }
        let n = self.dice.below(MEMBERS as u64) as usize;
        if self.dice.chance(0.004) {
            self.stop(n);
        }
        if self.dice.chance(0.003) {
            self.slots[n].still_until = self.t + self.dice.below(15_000);
        }
        if self.dice.chance(0.003) {
            self.slots[n].cut_until = self.t + self.dice.below(40_000);
        }
        if self.dice.chance(0.02) {
            self.person(n);
        }
    }

    fn heal(&mut self) {
        self.channels.heal();
        self.net.heal();
        self.bad = Default::default();
        for slot in &mut self.slots {
            (slot.still_until, slot.cut_until) = (0, 0);
        }
    }

    /// Somebody gives an order to the member that answers.
    fn person(&mut self, n: usize) {
        if !self.is_here(n) {
            return;
        }
        let t = self.t;
        let Some(member) = self.slots[n].member.as_mut() else { return };
        let all: Vec<_> = member.shown().incidents().map(|one| one.id.clone()).collect();
        let actor = ["ada", "cy", "eve"][n].to_owned();
        let pick = self.dice.below(all.len().max(1) as u64) as usize;
        let command = match (all.get(pick).cloned(), self.dice.below(10)) {
            (Some(id), 0..=2) => Command::Ack { id, actor },
            (Some(id), 3..=5) => {
                self.notes += 1;
                Command::Note { id, actor, text: format!("note {}", self.notes) }
            }
            (Some(id), 6) => {
                let severity = self.dice.one_of(&Severity::ALL);
                Command::Rate { id, actor, severity, reason: "I know it".to_owned() }
            }
            (Some(id), 7) => {
                let force = self.dice.one_of(&[Force::Asked, Force::Forced]);
                Command::Resolve { id, actor, reason: "enough".to_owned(), force }
            }
            (Some(id), 8) => Command::Assign { id, actor, to: ["bo", "di", "fay"][n].to_owned() },
            (_, 9) => {
                let service = self.dice.one_of(&SERVICES).to_owned();
                let from = member.at(t);
                let matchers = vec![Matcher { label: Label::Service, is: Comparison::Is, value: service }];
                let until = from + Duration::from_secs(20 + self.dice.below(60));
                let (purpose, reason) = (Purpose::Silence, "planned".to_owned());
                let silence = Silence { number: 0, purpose, matchers, from, until, actor, reason };
                member.shift(t);
                // It may be refused: there may be enough of them.
                let _ = member.silence(SilenceCommand::Begin(silence), t);
                return self.heed(n);
            }
            (_, 8) => {
                let (title, severity) = ("a drill".to_owned(), self.dice.one_of(&Severity::ALL));
                Command::Open { actor, title, severity, service: "test".to_owned() }
            }
            (Some(_) | None, _) => return,
        };
        // Whoever has the duty by now answers.
        member.shift(t);
        let asked = match &command {
            Command::Resolve { id, force: Force::Asked, .. } if member.holds(id) => Some(id.clone()),
            _ => None,
        };
        // It may be refused: what is over is over.
        let done = member.order(command, t);
        assert!(asked.is_none() || done.is_err(), "{asked:?} is resolved while it holds, unforced");
        self.heed(n);
    }

    fn members(&self) -> impl Iterator<Item = &Member> {
        self.slots.iter().filter_map(|slot| slot.member.as_ref())
    }

    /// Nothing is under way any more, and nothing waits.
    fn is_settled(&self) -> bool {
        let all = self.members().count() == MEMBERS;
        let quiet = self.members().all(|one| one.lane.is_empty() && one.engine.alerts().next().is_none());
        let calls = self
            .store
            .letters()
            .all(|one| one.progress.state != strop::reliability::delivery::DeliveryState::Waiting);
        all && quiet
            && calls
            && self.claims.agree(self.members(), &self.store)
            && self.slots.iter().all(|slot| slot.net.written())
    }

    fn unsettled(&self) -> String {
        let lanes: Vec<_> =
            self.members().map(|one| (one.boot.clone(), one.lane.len(), one.duty(self.t))).collect();
        let alerts: Vec<_> = self
            .members()
            .flat_map(|one| one.engine.alerts().map(|(key, _, id)| (key.clone(), id.clone())))
            .collect();
        let letters: Vec<_> = self.store.letters().filter(|one| one.progress.state.is_active()).collect();
        let apart = self.claims.apart(self.members(), &self.store);
        format!("{lanes:?} {alerts:?} {letters:#?} {apart}")
    }

    fn judge(&mut self) {
        let leads = self.members().filter(|one| one.duty(self.t).acts()).count();
        assert_eq!(leads, 1, "one leads once all hear each other");
        self.claims.all_were_told(&self.store, &self.channels);
        self.claims.ends_are_told(&self.store, &self.channels);
        deeds::count(&self.store, self.slots.iter().map(|slot| slot.offset));
    }
}

/// What comes after the weather.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Rest,
    /// One member sees what no other one sees.
    Drill,
}

/// One seed.
pub fn run(seed: u64) {
    Fleet::new(seed).run(if seed.is_multiple_of(3) { Then::Drill } else { Then::Rest });
}
