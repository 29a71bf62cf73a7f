//! What of the messages that wait is sent now, and what becomes of a message after an attempt.
//!
//! Messages of one channel and one matter form a line; a channel that failed is held, and with it all its lines. It refuses to
//! know what a message says and how it is sent.
//!
//! # Invariants
//! * Within a line a message is sent only when those before it are settled, so an end never overtakes its call.
//! * What a later message of its line makes stale is not sent: a later call, or that somebody has taken it, replaces a call;
//!   an end replaces all. Never a message that is being sent. Later by an order that all processes share: of two messages none
//!   is folded into the other here, and the other into it there.
//! * Nothing is sent while its channel is held; after a hold one message shows whether the channel is back, whenever its own
//!   turn would be.
//! * What its receiver wants to hear again is sent again until a later message of its line was delivered.

mod channel;
pub mod heartbeat;
mod id;
mod line;
mod schedule;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::rule::Severity;
pub use channel::{Back, ChannelHealth};
pub use id::NotificationId;
use line::lines;
pub use line::{slot, stale};
pub use schedule::{GIVE_UP, retry_in};

/// Attempts of one channel at the same time, at most.
const AT_ONCE: usize = 4;
/// Failed attempts after which a call goes another way beside this one.
const ATTEMPTS: u32 = 2;

/// What a message is, as far as its place among others goes. Those that are sent first come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Matter {
    /// Somebody is to act.
    Call,
    /// Somebody has taken it.
    Taken,
    /// The incident is over.
    Over,
    /// Something about it is new.
    Update,
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Not delivered yet, or not to everybody.
    Waiting,
    /// Delivered, and to be sent again: its receiver forgets.
    Repeating,
    /// Delivered to everybody, and settled.
    Sent,
    /// Cannot be delivered: the receiver says no for good.
    Failed,
    /// Could not be delivered for a day.
    Dead,
    /// A newer one says more.
    Folded,
}

impl DeliveryState {
    /// May it still be sent?
    pub fn is_active(self) -> bool {
        matches!(self, Self::Waiting | Self::Repeating)
    }
}

/// How far a message has come. Moments are milliseconds of a clock that never jumps while the process runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// When it was put here, or last delivered.
    pub since: u64,
    /// Failed attempts since then.
    pub attempts: u32,
    /// How often its receiver took it.
    pub delivered: u32,
    /// No attempt before this moment.
    pub next_at: u64,
    pub state: DeliveryState,
    /// It was said that this way is closed, so that another one is tried.
    #[serde(default)]
    pub given_up: bool,
}

impl Progress {
    /// A message that is due at once.
    pub fn new(now: u64) -> Self {
        Self {
            since: now,
            attempts: 0,
            delivered: 0,
            next_at: now,
            state: DeliveryState::Waiting,
            given_up: false,
        }
    }

    /// As this process goes on with what another one left: its clock may have been any. Nothing lies in the future, and
    /// a day begins anew.
    pub fn taken_over(self, now: u64) -> Self {
        Self { since: now, next_at: self.next_at.min(now), ..self }
    }

    /// After an attempt that ended at `now`; `chance` is any number.
    pub fn after(&self, came: &AttemptResult, now: u64, chance: u64) -> Self {
        let mut next = self.clone();
        match came {
            AttemptResult::Delivered { again_in, left: Remaining::Nobody } => {
                next.since = now;
                next.attempts = 0;
                next.delivered = self.delivered.saturating_add(1);
                next.state = if again_in.is_some() { DeliveryState::Repeating } else { DeliveryState::Sent };
                next.next_at = later(now, again_in.unwrap_or_default());
            }
            AttemptResult::Delivered { left: Remaining::Some, .. } => {
                next.delivered = self.delivered.saturating_add(1);
                next.tried(Duration::ZERO, None, now, chance);
            }
            AttemptResult::Refused => {
                next.attempts = self.attempts.saturating_add(1);
                // Whoever has it has it.
                next.state = if self.delivered > 0 { DeliveryState::Sent } else { DeliveryState::Failed };
            }
            AttemptResult::Failed { retry_after, retry_within, .. } => {
                next.tried(retry_after.unwrap_or_default(), *retry_within, now, chance);
            }
        }
        next
    }

    /// A failed attempt more: when the next one is.
    fn tried(&mut self, least: Duration, most: Option<Duration>, now: u64, chance: u64) {
        self.attempts = self.attempts.saturating_add(1);
        let wait = retry_in(self.attempts, chance).min(most.unwrap_or(Duration::MAX));
        let at = later(now, wait.max(least));
        if at <= later(self.since, GIVE_UP) {
            self.next_at = at;
        } else {
            self.state = DeliveryState::Dead;
        }
    }
}

/// What an attempt came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptResult {
    /// The receiver has it.
    Delivered {
        /// It wants to hear it again after this long.
        again_in: Option<Duration>,
        /// Recipients that are to be asked again.
        left: Remaining,
    },
    /// The receiver says no, for good.
    Refused,
    /// It did not arrive this time.
    Failed {
        /// What stood in the way.
        whose: Whose,
        /// The receiver wants no earlier attempt.
        retry_after: Option<Duration>,
        /// A later attempt comes too late; `None`: the schedule decides.
        retry_within: Option<Duration>,
    },
}

/// Is a message that was delivered still to reach somebody?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remaining {
    /// No recipient is to be asked again.
    Nobody,
    /// Some recipients are to be asked again.
    Some,
}

/// What stood in the way of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The channel: whatever is sent there now would fail.
    Channel,
    /// This message, or who it is for: others may get through.
    Message,
}

/// A message in the queue.
#[derive(Clone, Copy, Debug)]
pub struct QueueEntry<'a> {
    /// Of the message, the same in all processes; of one incident and matter what is told later has the greater number in it.
    pub id: &'a NotificationId,
    /// Its channel.
    pub channel: &'a str,
    /// Its line within the channel.
    pub line: &'a str,
    /// About which incident; empty: about none. Names of incidents are in the order in which they began.
    pub incident: &'a str,
    /// When it was told, in milliseconds; two members may have told the same message at two moments.
    pub at: u64,
    /// What it is.
    pub matter: Matter,
    /// How bad that is.
    pub severity: Severity,
    /// It is being sent.
    pub flies: bool,
    /// How far it has come.
    pub progress: &'a Progress,
}

/// The first of each line that may be sent, by channel.
fn heads<'e>(entries: &[QueueEntry<'e>]) -> BTreeMap<&'e str, Vec<usize>> {
    let stale: BTreeSet<usize> = stale(entries).into_iter().collect();
    let mut heads: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for ((channel, _), line) in lines(entries) {
        let of = |at: &usize| entries.get(*at);
        if line.iter().filter_map(of).any(|entry| entry.flies) {
            continue;
        }
        let mut open =
            line.iter().filter(|at| of(at).is_some_and(QueueEntry::is_active) && !stale.contains(*at));
        let Some(first) = open.next() else { continue };
        // What is only repeated waits for what is new.
        let repeats = of(first).is_some_and(|entry| entry.progress.state == DeliveryState::Repeating);
        let newer = if repeats { open.next() } else { None };
        heads.entry(channel).or_default().push(*newer.unwrap_or(first));
    }
    heads
}

/// The places of what is to be sent now, the most urgent first: at most one of each line, one alone of a channel that was
/// away, and no more at once than a receiver bears.
pub fn due(entries: &[QueueEntry<'_>], channels: &BTreeMap<String, ChannelHealth>, now: u64) -> Vec<usize> {
    let mut all = Vec::new();
    for (name, mut places) in heads(entries) {
        let known = channels.get(name);
        if known.is_some_and(|channel| channel.held_until(now).is_some()) {
            continue;
        }
        let flying = entries.iter().filter(|entry| entry.channel == name && entry.flies).count();
        let probed = known.is_some_and(ChannelHealth::is_probed);
        let room = if probed { 1 } else { AT_ONCE };
        places.sort_by_key(|at| urgency(entries, *at));
        let probe = places.iter().copied().find(|at| probed && waits_for_its_channel(entries, *at));
        places.retain(|at| entries.get(*at).is_some_and(|entry| entry.progress.next_at <= now));
        if places.is_empty() {
            places.extend(probe);
        }
        places.truncate(room.saturating_sub(flying));
        all.extend(places);
    }
    all.sort_by_key(|at| urgency(entries, *at));
    all
}

/// It was tried, and nobody has it yet: it may show whether its channel is back before its own turn, which may be an hour away.
fn waits_for_its_channel(entries: &[QueueEntry<'_>], at: usize) -> bool {
    let progress = entries.get(at).map(|entry| entry.progress);
    progress.is_some_and(|one| one.state == DeliveryState::Waiting && one.attempts > 0 && one.delivered == 0)
}

/// Calls before all else, the worst first; then those that were tried least.
fn urgency(
    entries: &[QueueEntry<'_>],
    at: usize,
) -> (Option<(Matter, std::cmp::Reverse<Severity>, u32)>, usize) {
    let key =
        |entry: &QueueEntry<'_>| (entry.matter, std::cmp::Reverse(entry.severity), entry.progress.attempts);
    (entries.get(at).map(key), at)
}

/// When there is something to send; `None`: nothing waits for the time alone.
pub fn wakes_at(
    entries: &[QueueEntry<'_>],
    channels: &BTreeMap<String, ChannelHealth>,
    now: u64,
) -> Option<u64> {
    let at = |name: &str, places: Vec<usize>| {
        let known = channels.get(name);
        let probed = known.is_some_and(ChannelHealth::is_probed);
        let turn = |at: &usize| {
            let own = entries.get(*at).map(|entry| entry.progress.next_at);
            own.map(|own| if probed && waits_for_its_channel(entries, *at) { own.min(now) } else { own })
        };
        let first = places.iter().filter_map(turn).min()?;
        let held = known.and_then(|channel| channel.held_until(now));
        Some(first.max(held.unwrap_or(0)))
    };
    heads(entries).into_iter().filter_map(|(name, places)| at(name, places)).min()
}

/// The places of calls for which another way is to be tried beside this one: it failed twice, or its channel is away.
pub fn closed(
    entries: &[QueueEntry<'_>],
    channels: &BTreeMap<String, ChannelHealth>,
    now: u64,
) -> Vec<usize> {
    let is_closed = |entry: &QueueEntry<'_>| {
        let fresh = entry.matter == Matter::Call && !entry.progress.given_up && entry.progress.delivered == 0;
        let away = channels.get(entry.channel).is_some_and(|channel| channel.is_away(now));
        let waits = entry.progress.state == DeliveryState::Waiting && !entry.flies;
        fresh && waits && (away || entry.progress.attempts >= ATTEMPTS)
    };
    (0..entries.len()).filter(|at| entries.get(*at).is_some_and(is_closed)).collect()
}

fn later(now: u64, wait: Duration) -> u64 {
    now.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
