//! What is under way between members, the store and the channels, each with its moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use strop::reliability::delivery::AttemptResult;
use strop::reliability::fleet::LeaseReply;

use super::Fleet;
use super::letters::Letter;
use super::member::View;
use super::store::{Beat, Pulse, Write};
use crate::dice::Dice;

/// How long one question may take.
const ANSWER: u64 = 2_000;
/// A batch of which nothing was heard is brought again after so long.
const AGAIN: u64 = 2_500;
/// Groups of one batch.
const BATCH: usize = 4;

enum Event {
    /// At the store.
    Beat(Beat),
    Read(Pulse),
    Write(u64, Vec<Write>),
    Left,
    /// At the member.
    View(Box<View>),
    Written(u64),
    Found(Vec<Letter>),
    Came(Box<Letter>, AttemptResult),
}

struct Packet {
    n: usize,
    boot: Arc<str>,
    /// Of the beat that it belongs to.
    asked: u64,
    event: Event,
}

/// What one process waits for.
#[derive(Default)]
pub struct Line {
    /// When its beat was sent.
    asked: Option<u64>,
    /// The batch under way, and when it is brought again.
    batch: Option<(u64, Vec<Write>, u64)>,
}

impl Line {
    pub fn idle(&self) -> bool {
        self.asked.is_none()
    }

    pub fn written(&self) -> bool {
        self.batch.is_none()
    }

    pub fn in_hand(&mut self) -> Option<(u64, Vec<Write>)> {
        self.batch.take().map(|(number, writes, _)| (number, writes))
    }
}

#[derive(Default)]
pub struct Net {
    under_way: BTreeMap<(u64, u64), Packet>,
    number: u64,
    away_until: u64,
    slow_until: u64,
    /// Share of what is lost on its way.
    lost: f64,
}

impl Net {
    pub fn weather(&mut self, dice: &mut Dice, t: u64) {
        if dice.chance(0.002) {
            self.away_until = t + dice.below(40_000);
        }
        if dice.chance(0.004) {
            self.slow_until = t + dice.below(30_000);
        }
        if dice.chance(0.01) {
            self.lost = dice.one_of(&[0.0, 0.0, 0.0, 0.1, 0.4]);
        }
    }

    pub fn heal(&mut self) {
        (self.away_until, self.slow_until, self.lost) = (0, 0, 0.0);
    }

    fn takes(&self, dice: &mut Dice, t: u64) -> u64 {
        if t < self.slow_until { 50 + dice.below(1_800) } else { 1 + dice.below(60) }
    }

    fn put(&mut self, at: u64, packet: Packet) {
        self.number += 1;
        self.under_way.insert((at, self.number), packet);
    }
}

impl Fleet {
    /// On its way between a member and the store, unless it is lost.
    fn carry(&mut self, n: usize, boot: Arc<str>, asked: u64, event: Event) {
        let lost = self.dice.chance(self.net.lost);
        if !lost {
            let at = self.t + self.net.takes(&mut self.dice, self.t);
            self.net.put(at, Packet { n, boot, asked, event });
        }
    }

    fn boot(&self, n: usize) -> Option<Arc<str>> {
        self.slots[n].member.as_ref().map(|one| Arc::clone(&one.boot))
    }

    pub fn beat(&mut self, n: usize) {
        let (t, slot) = (self.t, &mut self.slots[n]);
        let Some(member) = slot.member.as_ref() else { return };
        let (beat, boot) = (member.beat(t), Arc::clone(&member.boot));
        slot.net.asked = Some(t);
        self.carry(n, boot, t, Event::Beat(beat));
    }

    pub fn ask_what_is_left(&mut self, n: usize) {
        if let Some(boot) = self.boot(n) {
            self.carry(n, boot, self.t, Event::Left);
        }
    }

    /// To its channel: that an answer is lost is the channel's mood.
    pub fn send(&mut self, n: usize, letter: Letter, draw: u64) {
        let Some(boot) = self.boot(n) else { return };
        let mut dice = Dice::new(draw);
        let (came, took) = self.channels.attempt(&letter, &mut dice);
        let at = self.t + took;
        self.net.put(at, Packet { n, boot, asked: 0, event: Event::Came(Box::new(letter), came) });
    }

    /// The next batch of its lane, or the one of which nothing was heard once more.
    pub fn flush(&mut self, n: usize) {
        let (t, slot) = (self.t, &mut self.slots[n]);
        let Some(member) = slot.member.as_mut() else { return };
        let batch = match &mut slot.net.batch {
            Some((_, _, again)) if *again > t => return,
            Some((number, writes, again)) => {
                *again = t + AGAIN;
                (*number, writes.clone())
            }
            None if member.lane.is_empty() => return,
            None => {
                let most = member.lane.len().min(BATCH);
                let writes: Vec<Write> = member.lane.drain(..most).flatten().collect();
                member.batch += 1;
                slot.net.batch = Some((member.batch, writes.clone(), t + AGAIN));
                (member.batch, writes)
            }
        };
        let boot = Arc::clone(&member.boot);
        self.carry(n, boot, t, Event::Write(batch.0, batch.1));
    }

    /// A beat without an answer.
    pub fn deadlines(&mut self, n: usize) {
        let t = self.t;
        if let Some(asked) = self.slots[n].net.asked.filter(|asked| asked + ANSWER <= t) {
            self.hear(n, View { asked, said: LeaseReply::Unreachable, news: None });
        }
    }

    fn hear(&mut self, n: usize, view: View) {
        let (t, draw) = (self.t, self.dice.draw());
        let slot = &mut self.slots[n];
        let Some(member) = slot.member.as_mut() else { return };
        slot.net.asked = None;
        let holds = view.said == LeaseReply::Granted;
        member.hear(view, t);
        slot.beats = t + member.rest(holds, draw);
        self.heed(n);
    }

    /// All that arrives by now.
    pub fn arrivals(&mut self) {
        while let Some(first) = self.net.under_way.first_entry().filter(|first| first.key().0 <= self.t) {
            let Packet { n, boot, asked, event } = first.remove();
            match event {
                Event::Beat(_) | Event::Read(_) | Event::Write(..) | Event::Left => {
                    let reached = self.t >= self.net.away_until && self.t >= self.slots[n].cut_until;
                    if reached {
                        self.at_the_store(n, boot, asked, event);
                    }
                }
                Event::View(_) | Event::Written(_) | Event::Found(_) | Event::Came(..) => {
                    if self.boot(n).as_ref() != Some(&boot) {
                        continue; // the process that asked is gone
                    }
                    if self.slots[n].still_until > self.t {
                        let at = self.slots[n].still_until;
                        self.net.put(at, Packet { n, boot, asked, event });
                    } else {
                        self.at_the_member(n, asked, event);
                    }
                }
            }
        }
    }

    fn at_the_store(&mut self, n: usize, boot: Arc<str>, asked: u64, event: Event) {
        let t = self.t;
        let answer = match event {
            Event::Beat(beat) => {
                let pulse = self.store.beat(beat, t);
                // The reads follow over the same connection.
                let at = t + self.net.takes(&mut self.dice, t) / 4;
                return self.net.put(at, Packet { n, boot, asked, event: Event::Read(pulse) });
            }
            Event::Read(pulse) => {
                let said = if pulse.ours { LeaseReply::Granted } else { LeaseReply::HeldElsewhere };
                let incidents = pulse.changed.iter().filter_map(|id| self.store.read(id)).collect();
                let news = Some((pulse, incidents, self.store.silences()));
                Event::View(Box::new(View { asked, said, news }))
            }
            Event::Write(number, writes) => {
                self.store.write(n, &boot, number, writes, t);
                Event::Written(number)
            }
            Event::Left => Event::Found(self.store.undelivered()),
            Event::View(_) | Event::Written(_) | Event::Found(_) | Event::Came(..) => return,
        };
        self.carry(n, boot, asked, answer);
    }

    fn at_the_member(&mut self, n: usize, asked: u64, event: Event) {
        let (t, slot) = (self.t, &mut self.slots[n]);
        let Some(member) = slot.member.as_mut() else { return };
        match event {
            // The answer to a beat that was given up is no answer any more.
            Event::View(view) if slot.net.asked == Some(asked) => {
                let late = asked + ANSWER <= t;
                let nothing = View { asked, said: LeaseReply::Unreachable, news: None };
                self.hear(n, if late { nothing } else { *view });
            }
            Event::Written(number) => {
                slot.net.batch.take_if(|batch| batch.0 == number);
            }
            Event::Found(left) => member.find(left, t),
            Event::Came(letter, came) => {
                member.landed(*letter, &came, t, &mut self.dice);
                self.heed(n);
            }
            Event::View(_) | Event::Beat(_) | Event::Read(_) | Event::Write(..) | Event::Left => {}
        }
    }
}
