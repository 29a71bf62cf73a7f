//! What waits to be told, with the channels it waits for. Decides nothing: it shows
//! [`delivery`] what there is, and keeps what that says.
//!
//! Moments are milliseconds of one clock that never jumps while the process runs. Whoever keeps the queue on disk asks
//! [`NotificationQueue::depart`], delivers each, writes what [`NotificationQueue::landed`] says, and writes [`NotificationQueue::fold`] back now and then.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::delivery::{DeliveryError, Receipt, came};
use super::message::{Message, MessageKind};
use crate::reliability::delivery::{self, Back, ChannelHealth, Matter, NotificationId, Progress, QueueEntry};

pub use crate::reliability::delivery::DeliveryState;

/// One message for one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// Of this entry; the receiver's key against doing things twice.
    pub id: NotificationId,
    /// Name of the channel, as in `[notify.<name>]`.
    pub channel: String,
    pub message: Message,
    /// How far it has come.
    #[serde(flatten)]
    pub progress: Progress,
    /// What the last attempt came to, for people.
    pub last: Option<String>,
    /// Recipients that do not have it yet; none are named: all or nobody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<String>,
    /// It is being sent.
    #[serde(skip)]
    flies: bool,
    /// How long it had waited when this process took it over, in milliseconds.
    #[serde(skip)]
    waited: u64,
}

impl Queued {
    /// A message that is due at once.
    pub fn new(id: impl Into<NotificationId>, channel: String, message: Message, now: u64) -> Self {
        let (id, progress) = (id.into(), Progress::new(now));
        Self { id, channel, message, progress, last: None, left: Vec::new(), flies: false, waited: 0 }
    }

    /// The same, due so much later.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self.progress.next_at = self.progress.next_at.saturating_add(millis);
        self
    }

    /// As this process goes on with what another one left. `wall`: the wall's time, in milliseconds since 1970; what another clock
    /// wrote lies not in the future of this one.
    pub fn taken_over(mut self, now: u64, wall: u64) -> Self {
        if self.message.at > wall {
            self.shift(-i64::try_from(self.message.at - wall).unwrap_or(i64::MAX));
        }
        let waited = wall.saturating_sub(self.message.at);
        Self { progress: self.progress.taken_over(now), waited, ..self }
    }

    /// What it tells of moments, by a wall clock that runs `millis` ahead of the one before (negative: behind).
    fn shift(&mut self, millis: i64) {
        let Message { started_at, at, ends_at, .. } = &mut self.message;
        for moment in [started_at, at].into_iter().chain(ends_at.as_mut()) {
            *moment = moment.saturating_add_signed(millis);
        }
    }

    /// The same message for the same channel.
    fn is(&self, other: &Self) -> bool {
        (&self.id, &self.channel) == (&other.id, &other.channel)
    }

    /// Is it the first time that somebody has it?
    fn is_new_to_somebody(&self) -> bool {
        self.progress.delivered == 0 || !self.left.is_empty()
    }
}

/// What became of a message that was sent.
#[derive(Clone, Debug)]
pub struct Landed {
    /// The message as it is to be written back.
    pub entry: Queued,
    /// Somebody has it who did not have it before.
    pub new: bool,
}

/// Messages that wait, or were delivered lately, with the health of their channels.
#[derive(Debug, Default)]
pub struct NotificationQueue {
    entries: Vec<Queued>,
    channels: BTreeMap<String, ChannelHealth>,
    pagers: BTreeSet<String>,
}

fn matter(kind: MessageKind) -> Matter {
    match kind {
        MessageKind::Trigger => Matter::Call,
        MessageKind::Acknowledge => Matter::Taken,
        MessageKind::Resolve => Matter::Over,
        MessageKind::Update | MessageKind::Test => Matter::Update,
    }
}

fn seen_one<'q>(queued: &'q Queued, pagers: &BTreeSet<String>) -> QueueEntry<'q> {
    QueueEntry {
        id: &queued.id,
        channel: &queued.channel,
        // A pager knows incidents by their key: the next one of the same matter is the same to it.
        line: if pagers.contains(&queued.channel) {
            &queued.message.dedup_key
        } else {
            &queued.message.incident_id
        },
        incident: &queued.message.incident_id,
        at: queued.message.at,
        matter: matter(queued.message.kind),
        severity: queued.message.severity,
        flies: queued.flies,
        progress: &queued.progress,
    }
}

fn seen<'q>(entries: &'q [Queued], pagers: &BTreeSet<String>) -> Vec<QueueEntry<'q>> {
    entries.iter().map(|queued| seen_one(queued, pagers)).collect()
}

impl NotificationQueue {
    /// Channels on which whatever is told wakes somebody.
    pub fn set_pagers(&mut self, pagers: BTreeSet<String>) {
        self.pagers = pagers;
    }

    /// All entries, in the order in which they were queued.
    pub fn entries(&self) -> &[Queued] {
        &self.entries
    }

    /// How a channel has been of late; `None`: nobody has tried it.
    pub fn channel(&self, name: &str) -> Option<&ChannelHealth> {
        self.channels.get(name)
    }

    /// How long an entry has waited at `now`.
    pub fn waited(entry: &Queued, now: u64) -> Duration {
        Duration::from_millis(entry.waited.saturating_add(now.saturating_sub(entry.progress.since)))
    }

    /// The wall clock runs `millis` ahead of what it was (negative: behind): moments that are told follow it. The
    /// queue's own clock does not.
    pub fn shift(&mut self, millis: i64) {
        self.entries.iter_mut().for_each(|entry| entry.shift(millis));
    }

    /// Where an entry goes on at its receiver: what the last delivery about its incident said.
    pub fn thread(&self, entry: &Queued) -> Option<String> {
        let same = |other: &&Queued| {
            other.channel == entry.channel && other.message.incident_id == entry.message.incident_id
        };
        let delivered = self.entries.iter().rev().filter(same).filter(|other| other.progress.delivered > 0);
        let mut known = delivered.filter_map(|other| other.message.thread.clone());
        entry.message.thread.clone().or_else(|| known.next())
    }

    /// At the end of the queue, unless it is there already: of a fleet another member may have queued the same before, and what
    /// was under way twice would land once, and hold up its line for ever.
    pub fn push(&mut self, entry: Queued) {
        let said =
            |held: &Queued| held.progress.state.is_active() || held.progress.state == DeliveryState::Sent;
        self.entries.retain(|held| !held.is(&entry) || said(held));
        if !self.entries.iter().any(|held| held.is(&entry)) {
            self.entries.push(entry);
        }
    }

    /// Another text for a message that nobody was sent yet, due at once: as it is to be written back. `None`: it is on its way
    /// or settled, and stays as it is.
    pub fn amend(
        &mut self,
        id: &NotificationId,
        channel: &str,
        message: Message,
        now: u64,
    ) -> Option<Queued> {
        let unsent =
            |one: &Progress| one.state == DeliveryState::Waiting && one.attempts + one.delivered == 0;
        let held = self.entries.iter_mut().find(|held| held.id == *id && held.channel == channel);
        let held = held.filter(|held| !held.flies && unsent(&held.progress))?;
        // Its place among others is that of the moment when it was first told.
        held.message = Message { at: held.message.at, ..message };
        held.progress.next_at = held.progress.next_at.min(now);
        Some(held.clone())
    }

    /// What was left by others goes where it was told, whatever is due first: an end before its call would be folded into it.
    /// Before all that is there where nothing of its line is.
    pub fn put_before(&mut self, mut left: Vec<Queued>) {
        left.sort_by(|a, b| seen_one(a, &self.pagers).place().cmp(&seen_one(b, &self.pagers).place()));
        let line = |one: &QueueEntry<'_>| (one.channel.to_owned(), one.line.to_owned());
        let lines: BTreeSet<_> = seen(&self.entries, &self.pagers).iter().map(line).collect();
        let (among, before): (Vec<Queued>, Vec<Queued>) =
            left.into_iter().partition(|one| lines.contains(&line(&seen_one(one, &self.pagers))));
        self.entries.splice(0..0, before);
        for one in among {
            let at = delivery::slot(&seen(&self.entries, &self.pagers), &seen_one(&one, &self.pagers));
            self.entries.insert(at, one);
        }
    }

    /// Lets go of what is settled where there are more than `most`, then of the oldest: how many of those.
    pub fn make_room(&mut self, most: usize) -> usize {
        if self.entries.len() <= most {
            return 0;
        }
        self.entries.retain(|entry| entry.progress.state.is_active());
        let surplus = self.entries.len().saturating_sub(most);
        self.entries.drain(..surplus);
        surplus
    }

    /// Lets go of everything. What is known of channels stays.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Entries that need not be sent any more, as they are to be written back.
    pub fn fold(&mut self) -> Vec<Queued> {
        let stale = delivery::stale(&seen(&self.entries, &self.pagers));
        self.change(stale, |entry| entry.progress.state = DeliveryState::Folded)
    }

    /// What is to be sent now. From now on it is under way, until it has [`landed`](Self::landed).
    pub fn depart(&mut self, now: u64) -> Vec<Queued> {
        let due = delivery::due(&seen(&self.entries, &self.pagers), &self.channels, now);
        self.change(due, |entry| entry.flies = true)
    }

    /// Calls that are to go another way beside this one, as they are to be written back: each once.
    pub fn close(&mut self, now: u64) -> Vec<Queued> {
        let closed = delivery::closed(&seen(&self.entries, &self.pagers), &self.channels, now);
        self.change(closed, |entry| entry.progress.given_up = true)
    }

    fn change(&mut self, places: Vec<usize>, change: impl Fn(&mut Queued)) -> Vec<Queued> {
        let mut changed = Vec::new();
        for at in places {
            if let Some(entry) = self.entries.get_mut(at) {
                change(entry);
                changed.push(entry.clone());
            }
        }
        changed
    }

    /// An attempt ended at `now`; `chance` is any number.
    pub fn landed(
        &mut self,
        sent: Queued,
        result: &Result<Receipt, DeliveryError>,
        now: u64,
        chance: u64,
    ) -> Landed {
        let came = came(result);
        let new = result.is_ok() && sent.is_new_to_somebody();
        // What it tells of moments may have followed the clock meanwhile.
        let held = self.entries.iter().find(|held| held.is(&sent));
        let message = held.map_or_else(|| sent.message.clone(), |held| held.message.clone());
        let thread = sent.message.thread.clone().or(message.thread.clone());
        let message = Message { thread, ..message };
        let progress = sent.progress.after(&came, now, chance);
        let mut entry = Queued { flies: false, progress, message, ..sent };
        match result {
            Ok(receipt) => {
                if receipt.thread.is_some() {
                    entry.message.thread.clone_from(&receipt.thread);
                }
                entry.last = Some(receipt.to_string());
                entry.left.clone_from(&receipt.left);
            }
            Err(error) => entry.last = Some(error.cause.clone()),
        }
        if let Some(held) = self.entries.iter_mut().find(|held| held.is(&entry)) {
            entry.progress.given_up |= held.progress.given_up;
            *held = entry.clone();
        }
        let channel = self.channels.entry(entry.channel.clone()).or_default();
        if channel.heard(&came, now, chance) == Back::Yes {
            // It was its turn when the channel was away; now it is its turn.
            let waits = |one: &&mut Queued| {
                one.channel == entry.channel && one.progress.state == DeliveryState::Waiting
            };
            let waits = self.entries.iter_mut().filter(waits).filter(|one| one.left.is_empty());
            waits.for_each(|one| one.progress.next_at = one.progress.next_at.min(now));
        }
        Landed { entry, new }
    }

    /// When there is something to send; `None`: nothing waits for the time alone.
    pub fn wakes_at(&self, now: u64) -> Option<u64> {
        delivery::wakes_at(&seen(&self.entries, &self.pagers), &self.channels, now)
    }
}

#[cfg(test)]
mod tests {
    use super::super::delivery::DeliveryFailure;
    use super::super::message::tests::incident;
    use super::*;

    const MIDDLE: u64 = u64::MAX / 2;

    fn entry(id: &str, channel: &str, incident_id: &str, kind: MessageKind) -> Queued {
        let message = Message { incident_id: incident_id.to_owned(), ..incident(kind) };
        Queued::new(id.to_owned(), channel.to_owned(), message, 0)
    }

    fn receipt(left: &[&str]) -> Result<Receipt, DeliveryError> {
        let text = String::new;
        let left = left.iter().map(|name| (*name).to_owned()).collect();
        let (at, took, again_in) = (0, Duration::ZERO, None);
        Ok(Receipt { channel: text(), to: text(), said: text(), at, took, again_in, left, thread: None })
    }

    fn ids(entries: &[Queued]) -> Vec<String> {
        entries.iter().map(|entry| entry.id.to_string()).collect()
    }

    #[test]
    fn what_another_member_had_queued_as_well_is_sent_once_and_holds_up_nothing() {
        let mut queue = NotificationQueue::default();
        queue.put_before(vec![entry("monitoring", "chat", "1", MessageKind::Update)]);
        queue.push(entry("monitoring", "chat", "1", MessageKind::Update));
        let sent = queue.depart(0);
        assert_eq!(ids(&sent), ["monitoring"]);
        queue.push(entry("monitoring", "chat", "1", MessageKind::Update));
        queue.push(entry("over", "chat", "1", MessageKind::Resolve));
        queue.landed(sent[0].clone(), &receipt(&[]), 0, MIDDLE);
        queue.push(entry("monitoring", "chat", "1", MessageKind::Update));
        assert_eq!(ids(&queue.depart(0)), ["over"]);
    }

    #[test]
    fn a_call_that_waits_goes_out_when_it_is_amended_and_by_its_time_where_it_is_not() {
        let waiting = |id: &str| entry(id, "chat", id, MessageKind::Trigger).after(Duration::from_secs(2));
        let mut queue = NotificationQueue::default();
        queue.push(waiting("1"));
        queue.push(waiting("2"));
        assert_eq!((ids(&queue.depart(1_999)).len(), queue.wakes_at(0)), (0, Some(2_000)));
        let text = Message { title: "with checks".to_owned(), at: 7, ..incident(MessageKind::Trigger) };
        let amended = queue.amend(&"1".to_owned().into(), "chat", text.clone(), 500).expect("it waits");
        let first = incident(MessageKind::Trigger).at;
        assert_eq!((&*amended.message.title, amended.message.at), ("with checks", first), "its place stays");
        assert_eq!(ids(&queue.depart(500)), ["1"]);
        assert_eq!(queue.amend(&"1".to_owned().into(), "chat", text.clone(), 600), None, "it is on its way");
        assert_eq!(ids(&queue.depart(2_000)), ["2"], "nobody has amended it");
        assert_eq!(queue.amend(&"2".to_owned().into(), "other", text, 600), None);
    }

    #[test]
    fn what_others_have_left_is_sent_in_the_order_in_which_it_was_told_whatever_is_due_first() {
        let left = |id: &str, incident: &str, kind, at: u64, next_at: u64| {
            let mut one = entry(id, "pager", incident, kind);
            (one.message.at, one.progress.next_at) = (at, next_at);
            one
        };
        use MessageKind::{Resolve, Trigger};
        for pagers in [BTreeSet::new(), BTreeSet::from(["pager".to_owned()])] {
            let mut queue = NotificationQueue::default();
            queue.set_pagers(pagers);
            // The call failed, and waits for longer than its end; the clock of whoever told the end was behind.
            queue.put_before(vec![left("over", "1", Resolve, 90, 0), left("call", "1", Trigger, 100, 5_000)]);
            assert_eq!(ids(&queue.fold()), ["call"]);
            assert_eq!(ids(&queue.depart(0)), ["over"]);
            // The same where the call is at hand: this member has called, another one has told the end.
            let mut queue = NotificationQueue::default();
            queue.push(left("call", "1", Trigger, 100, 0));
            queue.push(left("another", "3", Trigger, 100, 0));
            queue.put_before(vec![left("over", "1", Resolve, 90, 0)]);
            assert_eq!(ids(&queue.fold()), ["call"], "{:?}", ids(queue.entries()));
        }
        let mut queue = NotificationQueue::default();
        queue.set_pagers(BTreeSet::from(["pager".to_owned()]));
        queue.put_before(vec![left("again", "2", Trigger, 300, 0), left("over", "1", Resolve, 200, 7)]);
        assert_eq!(ids(&queue.fold()), ["over"], "it has come back");
        assert_eq!(ids(&queue.depart(0)), ["again"]);
    }

    /// One incident ends while the channel is away, and the same is the matter again.
    #[test]
    fn an_end_that_waited_never_closes_the_next_incident_of_the_same_matter_at_a_pager() {
        let mut queue = NotificationQueue::default();
        queue.set_pagers(BTreeSet::from(["pager".to_owned()]));
        for channel in ["pager", "chat"] {
            queue.push(entry(&format!("{channel}-end"), channel, "1", MessageKind::Resolve));
            queue.push(entry(&format!("{channel}-call"), channel, "2", MessageKind::Trigger));
        }
        assert_eq!(ids(&queue.fold()), ["pager-end"]);
        let mut due = queue.depart(0);
        due.sort_by(|a, b| a.id.cmp(&b.id));
        assert_eq!(ids(&due), ["chat-call", "chat-end", "pager-call"], "in a chat they are two");
        assert!(queue.depart(0).is_empty(), "all of it is under way");
    }

    #[test]
    fn what_the_version_before_stored_reads_and_goes_on() {
        let new = entry("t", "pager", "1", MessageKind::Trigger);
        let mut old = serde_json::to_value(&new).expect("JSON");
        let fields = old.as_object_mut().expect("an object");
        fields.remove("given_up");
        let known =
            ["attempts", "channel", "delivered", "id", "last", "message", "next_at", "since", "state"];
        let mut names: Vec<&String> = fields.keys().collect();
        names.sort();
        assert_eq!(names, known, "a version of before reads what this one writes");
        let read: Queued = serde_json::from_value(old).expect("reads");
        assert_eq!(read, new);
        let future =
            Queued { progress: Progress { next_at: 99_000, since: 99_000, ..read.progress }, ..read };
        let mut queue = NotificationQueue::default();
        let wall = future.message.at + 60_000;
        queue.put_before(vec![future.clone().taken_over(1_000, wall)]);
        assert_eq!(NotificationQueue::waited(&queue.entries()[0], 3_000), Duration::from_secs(62));
        let ahead = future.taken_over(1_000, 5_000);
        assert_eq!((ahead.message.at, NotificationQueue::waited(&ahead, 1_000)), (5_000, Duration::ZERO));
        assert_eq!(ids(&queue.depart(1_000)), ["t"], "whatever clock another process had");
    }

    #[test]
    fn what_is_told_later_goes_on_where_the_first_one_is() {
        let mut queue = NotificationQueue::default();
        for (id, channel, incident, kind) in [
            ("t", "chat", "1", MessageKind::Trigger),
            ("x", "chat", "2", MessageKind::Trigger),
            ("y", "mail", "1", MessageKind::Trigger),
        ] {
            queue.push(entry(id, channel, incident, kind));
        }
        let threads = |queue: &NotificationQueue| {
            queue.entries().iter().map(|one| queue.thread(one)).collect::<Vec<_>>()
        };
        assert_eq!(threads(&queue), [None, None, None], "nothing was delivered");
        let sent = queue.depart(0).into_iter().find(|one| one.id.to_string() == "t").expect("due");
        let receipt = receipt(&[]).map(|receipt| Receipt { thread: Some("C0/1.2".to_owned()), ..receipt });
        let landed = queue.landed(sent, &receipt, 0, MIDDLE);
        queue.push(entry("a", "chat", "1", MessageKind::Acknowledge));
        let known = Some("C0/1.2".to_owned());
        assert_eq!(threads(&queue), [known.clone(), None, None, known]);
        let text = serde_json::to_string(&landed.entry).expect("JSON");
        assert_eq!(
            serde_json::from_str::<Queued>(&text).expect("reads"),
            landed.entry,
            "a restart knows it too"
        );
    }

    #[test]
    fn a_step_of_the_wall_clock_moves_what_is_told_and_not_how_long_it_waits() {
        let mut queue = NotificationQueue::default();
        queue.push(entry("t", "chat", "1", MessageKind::Resolve));
        let sent = queue.depart(0).remove(0);
        let told = sent.message.clone();
        queue.shift(-7_200_000);
        let landed =
            queue.landed(sent, &Err(DeliveryError::passing(DeliveryFailure::Connect, "away")), 0, MIDDLE);
        assert_eq!(landed.entry.message.at, told.at - 7_200_000);
        assert_eq!(landed.entry.message.ends_at, told.ends_at.map(|at| at - 7_200_000));
        assert_eq!(queue.wakes_at(0), Some(5_000), "neither held back for two hours nor given up");
    }

    #[test]
    fn a_mail_that_some_have_goes_to_the_others_alone() {
        let mut queue = NotificationQueue::default();
        queue.push(entry("m", "mail", "1", MessageKind::Trigger));
        let sent = queue.depart(0).remove(0);
        assert_eq!(sent.left, [] as [&str; 0]);
        let landed = queue.landed(sent, &receipt(&["later@example.com"]), 0, MIDDLE);
        assert!(landed.new && landed.entry.progress.state == DeliveryState::Waiting);
        let again = queue.depart(5_000).remove(0);
        assert_eq!(again.left, ["later@example.com"]);
        let landed = queue.landed(again, &receipt(&[]), 5_000, MIDDLE);
        assert!(landed.new, "somebody has it who did not have it");
        assert_eq!((landed.entry.progress.state, landed.entry.left), (DeliveryState::Sent, Vec::new()));
    }

    #[test]
    fn when_a_channel_is_back_what_waited_for_it_waits_no_longer() {
        let mut queue = NotificationQueue::default();
        queue.push(entry("a", "hook", "1", MessageKind::Trigger));
        queue.push(entry("b", "hook", "2", MessageKind::Trigger));
        let away = || Err(DeliveryError::passing(DeliveryFailure::Connect, "nobody answers"));
        let mut now = 0;
        for _ in 0..8 {
            for sent in queue.depart(now) {
                queue.landed(sent, &away(), now, MIDDLE);
            }
            now = queue.wakes_at(now).expect("again");
        }
        let sent = queue.depart(now);
        assert_eq!(sent.len(), 1, "one shows whether it is back");
        for sent in sent {
            queue.landed(sent, &receipt(&[]), now, MIDDLE);
        }
        assert_eq!(queue.depart(now).len(), 1, "at once, not when it would have been its turn");
    }
}
