//! What of the queue is sent now, and when there is more to send.

use std::collections::{BTreeMap, BTreeSet};

use super::line::{lines, stale};
use super::{ChannelHealth, DeliveryState, Matter, QueueEntry};
use crate::reliability::rule::Severity;

/// Attempts of one channel at the same time, at most.
const AT_ONCE: usize = 4;
/// Failed attempts after which a call goes another way beside this one.
const ATTEMPTS: u32 = 2;

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
