//! The queue of one member: the pure pieces of `reliability/delivery`, put together as the notifier puts them together, and
//! what that module promises, asserted at every departure.

use std::collections::{BTreeMap, BTreeSet};

use strop::names::IncidentId;
use strop::reliability::delivery::{
    self, AttemptResult, Back, ChannelHealth, DeliveryState, Matter, NotificationId, Progress, QueueEntry,
    Whose,
};
use strop::reliability::rule::Severity;

use super::channels::PAGERS;

/// A message for one channel, as it is queued and stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Letter {
    pub id: NotificationId,
    pub channel: String,
    pub incident: IncidentId,
    pub dedup: String,
    pub matter: Matter,
    pub severity: Severity,
    /// The number of the call that it is.
    pub call: Option<u32>,
    /// When it was told, in milliseconds.
    pub at: u64,
    pub progress: Progress,
    pub flies: bool,
}

impl Letter {
    /// Messages that follow each other at their receiver.
    pub fn line(&self) -> &str {
        if PAGERS.contains(&self.channel.as_str()) { &self.dedup } else { self.incident.as_str() }
    }

    fn seen(&self) -> QueueEntry<'_> {
        QueueEntry {
            id: &self.id,
            channel: &self.channel,
            line: self.line(),
            incident: self.incident.as_str(),
            at: self.at,
            matter: self.matter,
            severity: self.severity,
            flies: self.flies,
            progress: &self.progress,
        }
    }

    /// The same message on the same way.
    fn is(&self, other: &Self) -> bool {
        (&self.id, &self.channel) == (&other.id, &other.channel)
    }

    fn shares_line(&self, other: &Self) -> bool {
        self.channel == other.channel && self.line() == other.line()
    }
}

#[derive(Debug, Default)]
pub struct Letters {
    entries: Vec<Letter>,
    channels: BTreeMap<String, ChannelHealth>,
    /// Those whose last attempt failed by their own fault.
    failed: BTreeSet<String>,
}

/// What one round brings: rows to write, calls that need another way, messages to send.
#[derive(Default)]
pub struct Round {
    pub rows: Vec<Letter>,
    pub closed: Vec<Letter>,
    pub due: Vec<Letter>,
}

fn seen(entries: &[Letter]) -> Vec<QueueEntry<'_>> {
    entries.iter().map(Letter::seen).collect()
}

impl Letters {
    /// At the end, unless it is queued already.
    pub fn push(&mut self, letter: Letter) {
        let said =
            |held: &Letter| held.progress.state.is_active() || held.progress.state == DeliveryState::Sent;
        self.entries.retain(|held| !held.is(&letter) || said(held));
        if !self.entries.iter().any(|held| held.is(&letter)) {
            self.entries.push(letter);
        }
    }

    /// What others have left goes where it was told.
    pub fn put_before(&mut self, mut left: Vec<Letter>, now: u64) {
        left.retain(|one| !self.entries.iter().any(|known| known.is(one)));
        left.sort_by(|a, b| a.seen().place().cmp(&b.seen().place()));
        for one in left {
            let ours = Letter { progress: one.progress.taken_over(now), ..one };
            let at = delivery::slot(&seen(&self.entries), &ours.seen());
            let mut behind = self.entries[at..].iter().filter(|other| other.channel == ours.channel);
            let late = behind.find(|other| {
                let calls = matches!(other.matter, Matter::Call | Matter::Taken);
                calls && ours.incident == other.incident && other.progress.state == DeliveryState::Waiting
            });
            assert!(ours.matter != Matter::Over || late.is_none(), "{late:?} comes after {ours:?}");
            self.entries.insert(at, ours);
        }
    }

    pub fn clear(&mut self) {
        self.entries.clear();
    }

    pub fn round(&mut self, now: u64) -> Round {
        let mut round = Round::default();
        for at in delivery::stale(&seen(&self.entries)) {
            assert!(!self.entries[at].flies, "folded while it is sent");
            self.entries[at].progress.state = DeliveryState::Folded;
            round.rows.push(self.entries[at].clone());
        }
        for at in delivery::closed(&seen(&self.entries), &self.channels, now) {
            self.entries[at].progress.given_up = true;
            round.closed.push(self.entries[at].clone());
        }
        let stuck = |one: &&Letter| {
            let call = one.matter == Matter::Call && one.progress.delivered == 0 && !one.flies;
            let waits = one.progress.state == DeliveryState::Waiting && !one.progress.given_up;
            call && waits && one.progress.attempts >= 2
        };
        let stuck = self.entries.iter().find(stuck);
        assert!(stuck.is_none(), "failed twice, and no other way is tried: {stuck:?}");
        for at in delivery::due(&seen(&self.entries), &self.channels, now) {
            self.may_leave(at, now);
            self.entries[at].flies = true;
            round.due.push(self.entries[at].clone());
        }
        let next = delivery::wakes_at(&seen(&self.entries), &self.channels, now);
        let idle = self.entries.iter().all(|one| !one.progress.state.is_active() || one.flies);
        let blocked = self.entries.iter().any(|one| one.flies);
        assert!(next.is_some() || idle || blocked, "a message waits for nothing: {:#?}", self.entries);
        round
    }

    /// The invariants of `reliability/delivery`, as far as one departure can break them.
    fn may_leave(&self, at: usize, now: u64) {
        let one = &self.entries[at];
        let failed = self.failed.contains(&one.channel);
        // Before its turn it only shows whether its channel is back.
        let turn = one.progress.next_at <= now || (failed && one.progress.attempts > 0);
        assert!(one.progress.state.is_active() && !one.flies && turn, "{one:?}");
        let channel = self.channels.get(&one.channel);
        assert!(channel.is_none_or(|channel| channel.held_until(now).is_none()), "sent while held: {one:?}");
        let flying = self.entries.iter().filter(|other| other.flies && other.channel == one.channel).count();
        assert!(flying < 4, "{flying} at once to {}", one.channel);
        assert!(!failed || flying == 0, "one alone shows whether {} is back", one.channel);
        let mut before = self.entries[..at].iter().filter(|other| other.shares_line(one));
        let unsettled = before.find(|other| other.flies || other.progress.state == DeliveryState::Waiting);
        assert!(unsettled.is_none(), "{one:?} overtakes {unsettled:?}");
        let mut after = self.entries[at + 1..].iter().filter(|other| other.shares_line(one));
        let says_all = |other: &&Letter| match (one.progress.state, one.matter, other.matter) {
            (DeliveryState::Repeating, ..) => other.progress.delivered > 0,
            (_, Matter::Update, _) => true,
            (_, Matter::Call | Matter::Taken, Matter::Call | Matter::Taken | Matter::Over) => true,
            (_, Matter::Over, Matter::Call | Matter::Over) => true,
            (_, Matter::Call | Matter::Taken, Matter::Update)
            | (_, Matter::Over, Matter::Taken | Matter::Update) => false,
        };
        // By an order that all members share: else each of two would be folded into the other one somewhere.
        let rank = |it: &Letter| {
            let id = it.id.to_string();
            (it.incident.clone(), it.matter, id.len(), id)
        };
        let told_before = |other: &Letter| match (one.progress.state, one.matter) {
            (DeliveryState::Repeating, _) => true,
            (_, Matter::Update) => one.seen().place() <= other.seen().place(),
            (_, Matter::Call | Matter::Taken | Matter::Over) => rank(one) < rank(other),
        };
        let newer = after.find(|other| says_all(other) && told_before(other));
        assert!(newer.is_none(), "{one:?} is stale: {newer:?}");
    }

    /// An attempt has ended: the letter as it is to be written.
    pub fn landed(&mut self, sent: Letter, came: &AttemptResult, now: u64, chance: u64) -> Letter {
        let progress = sent.progress.after(came, now, chance);
        let mut letter = Letter { progress, flies: false, ..sent };
        if let Some(held) = self.entries.iter_mut().find(|held| held.is(&letter)) {
            letter.progress.given_up |= held.progress.given_up;
            *held = letter.clone();
        }
        match came {
            AttemptResult::Failed { whose: Whose::Channel, .. } => {
                self.failed.insert(letter.channel.clone());
            }
            AttemptResult::Failed { .. } | AttemptResult::Delivered { .. } | AttemptResult::Refused => {
                self.failed.remove(&letter.channel);
            }
        }
        let channel = self.channels.entry(letter.channel.clone()).or_default();
        if channel.heard(came, now, chance) == Back::Yes {
            let waits = |one: &&mut Letter| {
                one.channel == letter.channel && one.progress.state == DeliveryState::Waiting
            };
            let waits = self.entries.iter_mut().filter(waits);
            waits.for_each(|one| one.progress.next_at = one.progress.next_at.min(now));
        }
        letter
    }
}
