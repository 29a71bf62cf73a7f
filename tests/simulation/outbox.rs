//! The outbox through crashes: one process, its disk and two vendors, in seconds of a virtual clock.
//!
//! The disk takes notes one after the other, some seconds late; a crash loses those it has not taken. A vendor counts what it
//! takes, whether or not the answer is heard.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use strop::reliability::outbox::{
    DeadReason, NextReplay, Queue, QueueLimits, QueuePhase, QueuedWrite, ReplayOutcome, ReplayPolicy, after,
};
use strop::units::At;

use super::dice::Dice;

const VENDORS: [&str; 2] = ["sendgrid", "twilio"];
const OWN: QueueLimits = QueueLimits { messages: 30, bytes: 3_000 };
const ALL: QueueLimits = QueueLimits { messages: 40, bytes: 4_000 };
const POLICY: ReplayPolicy = ReplayPolicy {
    ttl: Duration::from_secs(200),
    attempts: 6,
    backoff: Duration::from_secs(2),
    backoff_max: Duration::from_secs(60),
};
const GAP: Duration = Duration::from_secs(2);

/// What is written down, in order.
#[derive(Clone)]
enum Note {
    /// The file is new; numbers up to this one were given.
    Begins(u64),
    Accepted(u64, QueuedWrite),
    Sending(u64),
    Settled(u64, NextReplay, At),
    Over(u64),
    Again(u64, At),
}

/// What is done once a note is on disk.
enum Then {
    Nothing,
    Acknowledge(u64),
    Send(u64),
    Delivered(u64),
}

/// What the vendor did with it, and what the process hears of that at `due`.
struct Flight {
    id: u64,
    due: i64,
    outcome: ReplayOutcome,
}

struct Outbox {
    dice: Dice,
    t: i64,
    queue: Queue,
    disk: Vec<Note>,
    /// Not on disk yet, with the second at which they are.
    notes: VecDeque<(i64, Note, Then)>,
    flights: Vec<Flight>,
    /// Acknowledged, and neither delivered, dropped nor a dead letter that is kept.
    owed: BTreeSet<u64>,
    /// Writes as they came.
    known: BTreeMap<u64, QueuedWrite>,
    /// How often each was taken by its vendor, and how often somebody ordered it.
    effects: BTreeMap<u64, u32>,
    ordered: BTreeMap<u64, u32>,
    /// How often each was taken since it was ordered last, and how often it reached its vendor, or may have.
    since: BTreeMap<u64, u32>,
    tries: BTreeMap<u64, u32>,
    /// Until when its vendor asked to be left alone, as this process has heard it.
    asked: BTreeMap<u64, i64>,
    /// By order key, the last one that a vendor took.
    newest: BTreeMap<u64, u64>,
    /// By vendor, when the last one went, in this process.
    went: BTreeMap<Arc<str>, i64>,
    ill: BTreeMap<&'static str, i64>,
    /// From here on all is well.
    calm: Option<At>,
}

impl Outbox {
    fn new(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed ^ 0x000b_0c0d),
            t: 1_800_000_000,
            queue: Queue::default(),
            disk: Vec::new(),
            notes: VecDeque::new(),
            flights: Vec::new(),
            owed: BTreeSet::new(),
            known: BTreeMap::new(),
            effects: BTreeMap::new(),
            ordered: BTreeMap::new(),
            since: BTreeMap::new(),
            tries: BTreeMap::new(),
            asked: BTreeMap::new(),
            newest: BTreeMap::new(),
            went: BTreeMap::new(),
            ill: BTreeMap::new(),
            calm: None,
        }
    }

    fn now(&self) -> At {
        At(self.t * 1_000)
    }

    fn note(&mut self, note: Note, then: Then) {
        let last = self.notes.back().map_or(self.t, |(due, _, _)| *due);
        let late = if self.dice.chance(0.2) { self.dice.below(4) as i64 } else { 0 };
        self.notes.push_back((last.max(self.t + late), note, then));
    }

    fn step(&mut self) {
        self.t += 1;
        if self.dice.chance(0.3) {
            self.comes();
        }
        if self.dice.chance(0.01) {
            let vendor = self.dice.one_of(&VENDORS);
            let until = self.t + self.dice.below(200) as i64;
            self.ill.insert(vendor, until);
        }
        if self.dice.chance(0.02) {
            self.people();
        }
        self.second();
        if self.dice.chance(0.01) {
            self.crash();
        }
    }

    fn second(&mut self) {
        self.written();
        self.heard();
        let old = self.queue.expired(self.now(), |_| POLICY.ttl);
        for id in old {
            let queued = self.queue.get(id).map(|one| one.queued);
            assert!(
                self.calm.is_none_or(|calm| queued < Some(calm)),
                "{id} waits for nothing, and is not sent"
            );
            self.settled(id, NextReplay::Dead(DeadReason::Expired));
        }
        for id in self.queue.exhausted(|_| POLICY.attempts) {
            self.settled(id, NextReplay::Dead(DeadReason::Exhausted));
        }
        self.sends();
        self.check();
    }

    fn comes(&mut self) {
        let upstream: Arc<str> = Arc::from(self.dice.one_of(&VENDORS));
        let order = self.dice.chance(0.7).then(|| 1 + self.dice.below(3) + 10 * upstream.len() as u64);
        let write = QueuedWrite {
            route: Arc::from("mail"),
            order,
            known_again: self.dice.chance(0.5),
            queued: self.now(),
            bytes: 1 + self.dice.below(200),
            attempts: 0,
            due: self.now(),
            phase: QueuePhase::Writing,
            upstream,
        };
        let Some(id) = self.queue.put(write.clone(), OWN, ALL) else { return };
        assert!(!self.known.contains_key(&id), "{id} was given before");
        self.known.insert(id, write.clone());
        self.note(Note::Accepted(id, write), Then::Acknowledge(id));
    }

    /// The disk goes on.
    fn written(&mut self) {
        while self.notes.front().is_some_and(|(due, _, _)| *due <= self.t) {
            let Some((_, note, then)) = self.notes.pop_front() else { return };
            self.disk.push(note);
            match then {
                Then::Nothing => {}
                Then::Acknowledge(id) => {
                    self.queue.written(id);
                    self.owed.insert(id);
                }
                Then::Send(id) => self.arrives(id),
                Then::Delivered(id) => {
                    self.queue.settle(id, NextReplay::Delivered, self.now());
                }
            }
        }
    }

    fn sends(&mut self) {
        let (dice, ill, t) = (self.dice.draw(), self.ill.clone(), self.t);
        // The breaker of one that is ill is open most of the time.
        let open = |name: &str| ill.get(name).is_some_and(|until| *until > t) && dice % 4 != 0;
        while let Some(id) = self.queue.next(self.now(), |name| (!open(name)).then_some(GAP)) {
            let write = self.queue.get(id).expect("it is there").clone();
            let last = self.went.insert(Arc::clone(&write.upstream), self.t);
            assert!(last.is_none_or(|last| self.t - last >= GAP.as_secs() as i64), "{id} goes too early");
            assert!(self.now().since(write.queued) < POLICY.ttl, "{id} is too old to be sent");
            assert!(write.due <= self.now(), "{id} was to wait until {:?}", write.due);
            assert!(
                self.asked.get(&id).is_none_or(|until| *until <= self.t),
                "its vendor asked for more time"
            );
            let mine = |other: &QueuedWrite| other.order.is_some() && other.order == write.order;
            let older = self.queue.iter().find(|(other, one)| *other < id && mine(one) && !one.is_dead());
            assert!(older.is_none(), "{id} overtakes {older:?}");
            self.note(Note::Sending(id), Then::Send(id));
        }
        let flying = |name: &str| {
            self.queue
                .iter()
                .filter(|(_, one)| one.phase == QueuePhase::Sending && *one.upstream == *name)
                .count()
        };
        assert!(VENDORS.iter().all(|name| flying(name) <= 4), "too many at once");
    }

    /// It is on disk that it may arrive: it goes.
    fn arrives(&mut self, id: u64) {
        let ill = self.ill.get(&*self.known[&id].upstream).is_some_and(|until| *until > self.t);
        let (outcome, taken) = match self.dice.below(if ill { 6 } else { 40 }) {
            0 => (ReplayOutcome::Unsent, false),
            1 => (ReplayOutcome::Answered { status: 503, retry_after: self.asks(), undone: false }, false),
            2 => (
                ReplayOutcome::Answered { status: 500, retry_after: None, undone: false },
                self.dice.chance(0.5),
            ),
            3 => (ReplayOutcome::Unsure, self.dice.chance(0.5)),
            4 => (ReplayOutcome::Answered { status: 400, retry_after: None, undone: false }, false),
            _ => (ReplayOutcome::Answered { status: 202, retry_after: None, undone: false }, true),
        };
        if taken {
            self.takes(id);
        }
        let tries = self.tries.entry(id).or_default();
        *tries += 1;
        assert!(*tries <= POLICY.attempts, "{id} is sent {tries} times");
        let due = self.t + self.dice.below(5) as i64;
        self.flights.push(Flight { id, due, outcome });
    }

    fn asks(&mut self) -> Option<Duration> {
        self.dice.chance(0.5).then(|| Duration::from_secs(10 + self.dice.below(60)))
    }

    /// The vendor has it, once more perhaps.
    fn takes(&mut self, id: u64) {
        let write = self.known[&id].clone();
        let before = self.effects.entry(id).or_default();
        *before += 1;
        let orders = self.ordered.get(&id).copied().unwrap_or_default();
        assert!(write.known_again || *before <= 1 + orders, "{id} is done twice, and nobody knows it again");
        let since = self.since.entry(id).or_default();
        *since += 1;
        assert!(orders == 0 || *since <= 1, "{id} is done twice after one order");
        let Some(order) = write.order.filter(|_| orders == 0) else { return };
        let newest = self.newest.entry(order).or_insert(id);
        assert!(*newest <= id, "{id} comes after {newest} of the same key");
        *newest = id;
    }

    fn heard(&mut self) {
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.flights).into_iter().partition(|flight| flight.due <= self.t);
        self.flights = later;
        for Flight { id, outcome, .. } in due {
            let write = self.queue.get(id).expect("what is being sent stays").clone();
            if outcome == ReplayOutcome::Unsent {
                self.tries.entry(id).and_modify(|tries| *tries -= 1);
            }
            if let ReplayOutcome::Answered { retry_after: Some(time), .. } = outcome {
                self.asked.insert(id, self.t + time.as_secs() as i64);
            }
            match after(outcome, &write, &POLICY, self.now(), self.dice.draw()) {
                NextReplay::Delivered => {
                    self.owed.remove(&id);
                    self.note(Note::Over(id), Then::Delivered(id));
                }
                next => self.settled(id, next),
            }
        }
    }

    fn settled(&mut self, id: u64, next: NextReplay) {
        self.queue.settle(id, next, self.now());
        let tries = self.tries.get(&id).copied().unwrap_or_default();
        let spent = next != NextReplay::Dead(DeadReason::Exhausted) || tries >= POLICY.attempts;
        assert!(spent, "{id} has reached its vendor {tries} times, and is given up");
        self.note(Note::Settled(id, next, self.now()), Then::Nothing);
    }

    fn people(&mut self) {
        let ids: Vec<u64> = self.queue.iter().filter(|(_, one)| one.is_dead()).map(|(id, _)| id).collect();
        if ids.is_empty() {
            return;
        }
        let id = self.dice.one_of(&ids);
        if self.dice.chance(0.5) {
            self.queue.retry(id, self.now()).expect("it is a dead letter");
            let old = self.queue.expired(self.now(), |_| POLICY.ttl);
            assert!(!old.contains(&id), "{id} was ordered, and is given up at once");
            *self.ordered.entry(id).or_default() += 1;
            self.since.remove(&id);
            self.tries.remove(&id);
            self.asked.remove(&id);
            self.note(Note::Again(id, self.now()), Then::Nothing);
        } else {
            self.queue.remove(id);
            self.owed.remove(&id);
            self.note(Note::Over(id), Then::Nothing);
        }
    }

    /// What is not on disk is gone, and so is what was in flight.
    fn crash(&mut self) {
        for (_, note, _) in std::mem::take(&mut self.notes) {
            // What somebody ordered and what was delivered may have to be ordered, and comes, again.
            if let Note::Over(id) = note {
                self.owed.insert(id);
            }
        }
        self.flights.clear();
        self.went.clear();
        let mut queue = Queue::default();
        for note in self.disk.clone() {
            match note {
                Note::Begins(last) => queue = Queue::after(last),
                Note::Accepted(id, write) => {
                    queue.restore(id, QueuedWrite { phase: QueuePhase::Waiting, ..write });
                }
                Note::Sending(id) => queue.sending(id),
                Note::Settled(id, NextReplay::Later { wait, counted }, at) => {
                    let attempts = queue.get(id).map_or(0, |one| one.attempts) + u32::from(counted);
                    queue.later(id, attempts, at + wait);
                }
                Note::Settled(id, next, at) => queue.settle(id, next, at).unwrap_or_default(),
                Note::Over(id) => drop(queue.remove(id)),
                Note::Again(id, at) => drop(queue.retry(id, at)),
            }
        }
        queue.interrupted(self.now());
        self.asked.clear();
        for (id, write) in queue.iter() {
            let tries = self.tries.entry(id).or_default();
            *tries = write.attempts.max(*tries);
        }
        // Numbers that were given and not stored are given again: whoever had them was told nothing.
        self.known.retain(|id, _| *id <= queue.last());
        self.tries.retain(|id, _| *id <= queue.last());
        self.queue = queue;
        self.restarts();
    }

    /// What came of the restart is written down at once, as the file is written anew.
    fn restarts(&mut self) {
        self.disk = vec![Note::Begins(self.queue.last())];
        for (id, write) in self.queue.iter() {
            self.disk.push(Note::Accepted(id, write.clone()));
            if let QueuePhase::Dead(reason) = write.phase {
                self.disk.push(Note::Settled(id, NextReplay::Dead(reason), self.now()));
            }
        }
        self.owed.retain(|id| self.queue.get(*id).is_some() || !self.effects.contains_key(id));
    }

    fn check(&self) {
        for id in &self.owed {
            assert!(self.queue.get(*id).is_some(), "{id} was acknowledged, and is gone");
        }
        for vendor in VENDORS {
            let mine = || self.queue.iter().filter(|(_, one)| *one.upstream == *vendor);
            let bytes: u64 = mine().map(|(_, one)| one.bytes).sum();
            assert!(mine().count() <= OWN.messages && bytes <= OWN.bytes, "more than it may hold");
        }
        assert!(self.queue.len() <= ALL.messages, "more than all may hold");
    }
}

/// 25 minutes, and then as long as it takes until all is over.
pub fn run(seed: u64) {
    let mut outbox = Outbox::new(seed);
    for _ in 0..1_500 {
        outbox.step();
    }
    outbox.ill.clear();
    outbox.calm = Some(outbox.now());
    for second in 0..500 {
        outbox.t += 1;
        if second % 30 == 0 && second < 200 {
            outbox.comes();
        }
        outbox.second();
    }
    let left: Vec<_> = outbox.queue.iter().filter(|(_, one)| !one.is_dead()).collect();
    assert!(left.is_empty(), "all is well, and they wait: {left:#?}");
}
