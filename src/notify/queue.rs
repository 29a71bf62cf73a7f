//! What of the queue is due, and what becomes of an entry after an attempt. Pure: whoever keeps the queue on disk asks
//! [`next`], delivers each, writes what [`after`] says, and writes [`folded`] back now and then.
//!
//! Entries of one channel and one incident form a line. Invariants: within a line an entry is sent only when those before
//! it are settled, so a resolve never overtakes its trigger; lines do not wait for each other; an update that a newer
//! update or the resolve makes stale is not sent; an entry that its receiver wants to hear again is, until a later one of
//! its line was delivered.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::delivery::{DeliveryError, Receipt};
use super::message::{Kind, Message};
use super::schedule::{GIVE_UP, LONGEST, retry_in};

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not delivered yet.
    Waiting,
    /// Delivered, and to be sent again: its receiver forgets.
    Repeating,
    /// Delivered.
    Sent,
    /// Cannot be delivered.
    Failed,
    /// Could not be delivered for a day.
    Dead,
    /// A newer one says more.
    Folded,
}

impl State {
    /// May it still be sent?
    pub fn is_active(self) -> bool {
        matches!(self, Self::Waiting | Self::Repeating)
    }
}

/// One message for one channel. Moments are milliseconds since 1970: they outlive the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// Of this entry; the receiver's key against doing things twice.
    pub id: String,
    /// The channel's name.
    pub channel: String,
    /// What is told.
    pub message: Message,
    /// When it was put here, or last delivered.
    pub since: u64,
    /// Failed attempts since then.
    pub attempts: u32,
    /// How often its receiver took it.
    pub delivered: u32,
    /// Not before.
    pub next_at: u64,
    /// Where it stands.
    pub state: State,
    /// What the last attempt came to, for people.
    pub last: Option<String>,
}

impl Queued {
    /// Due at once.
    pub fn new(id: String, channel: String, message: Message, now: u64) -> Self {
        Self {
            id,
            channel,
            message,
            since: now,
            attempts: 0,
            delivered: 0,
            next_at: now,
            state: State::Waiting,
            last: None,
        }
    }

    /// Its moments by a clock that runs `millis` ahead of the one before (negative: behind).
    pub fn shift(&mut self, millis: i64) {
        let Message { started_at, at, ends_at, .. } = &mut self.message;
        let all = [started_at, at, &mut self.since, &mut self.next_at].into_iter().chain(ends_at.as_mut());
        for moment in all {
            *moment = moment.saturating_add_signed(millis);
        }
    }

    /// As it was found on disk at `now`: what another clock wrote lies not in the future of this one, and it waits no longer than
    /// the longest wait.
    #[must_use]
    pub fn found(mut self, now: u64) -> Self {
        let newest = self.since.max(self.message.at);
        if newest > now {
            self.shift(-i64::try_from(newest - now).unwrap_or(i64::MAX));
        }
        self.next_at = self.next_at.min(later(now, LONGEST));
        self
    }

    fn line(&self) -> (&str, &str) {
        (&self.channel, &self.message.incident_id)
    }
}

type Lines<'a> = BTreeMap<(&'a str, &'a str), Vec<&'a Queued>>;

fn lines(entries: &[Queued]) -> Lines<'_> {
    let mut lines: Lines<'_> = BTreeMap::new();
    for entry in entries {
        lines.entry(entry.line()).or_default().push(entry);
    }
    lines
}

/// Do the `later` ones of its line make it pointless?
fn is_stale(entry: &Queued, later: &[&Queued]) -> bool {
    let newer = |other: &&Queued| matches!(other.message.kind, Kind::Update | Kind::Resolve);
    match entry.state {
        State::Waiting => entry.message.kind == Kind::Update && later.iter().any(newer),
        State::Repeating => later.iter().any(|other| other.delivered > 0),
        State::Sent | State::Failed | State::Dead | State::Folded => false,
    }
}

/// What is to be sent now, at most one of each line. `entries` are in the order in which they were queued.
pub fn next(entries: &[Queued], now: u64) -> Vec<&Queued> {
    let first = |line: Vec<&'_ Queued>| -> Option<usize> {
        let active = |at: &usize| line[*at].state.is_active() && !is_stale(line[*at], &line[*at + 1..]);
        let mut open = (0..line.len()).filter(active);
        let head = open.next()?;
        // What is only repeated waits for what is new.
        let newer = if line[head].state == State::Repeating { open.next() } else { None };
        Some(newer.unwrap_or(head))
    };
    let mut due: Vec<&Queued> = lines(entries)
        .into_values()
        .filter_map(|line| {
            let at = first(line.clone())?;
            line.get(at).copied()
        })
        .filter(|entry| entry.next_at <= now)
        .collect();
    due.sort_by_key(|entry| entry.next_at);
    due
}

/// When there is something to send; `None`: nothing is waiting.
pub fn wakes_at(entries: &[Queued]) -> Option<u64> {
    next(entries, u64::MAX).iter().map(|entry| entry.next_at).min()
}

/// Where the line of an entry goes on at its receiver: what the last delivery of the line said.
pub fn thread(entries: &[Queued], entry: &Queued) -> Option<String> {
    let same = entries.iter().rev().filter(|other| other.line() == entry.line());
    let mut known = same.filter(|other| other.delivered > 0).filter_map(|other| other.message.thread.clone());
    entry.message.thread.clone().or_else(|| known.next())
}

/// Entries that need not be sent any more, as they are to be written back.
pub fn folded(entries: &[Queued]) -> Vec<Queued> {
    let stale = |line: Vec<&'_ Queued>| {
        let stale = (0..line.len()).filter(|at| is_stale(line[*at], &line[*at + 1..]));
        stale.map(|at| Queued { state: State::Folded, ..line[at].clone() }).collect::<Vec<_>>()
    };
    lines(entries).into_values().flat_map(stale).collect()
}

fn later(now: u64, wait: Duration) -> u64 {
    now.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
}

/// The entry after an attempt that ended at `now`; `chance` is any number.
pub fn after(entry: &Queued, came: &Result<Receipt, DeliveryError>, now: u64, chance: u64) -> Queued {
    let mut next = entry.clone();
    match came {
        Ok(receipt) => {
            next.since = now;
            next.attempts = 0;
            next.delivered = entry.delivered.saturating_add(1);
            next.last = Some(receipt.to_string());
            next.message.thread = receipt.thread.clone().or(next.message.thread);
            next.state = if receipt.again_in.is_some() { State::Repeating } else { State::Sent };
            next.next_at = later(now, receipt.again_in.unwrap_or_default());
        }
        Err(error) => {
            next.attempts = entry.attempts.saturating_add(1);
            next.last = Some(error.cause.clone());
            match wait_after(error, next.attempts, chance) {
                None if error.permanent => next.state = State::Failed,
                Some(wait) if later(now, wait) <= later(entry.since, GIVE_UP) => {
                    next.next_at = later(now, wait)
                }
                None | Some(_) => next.state = State::Dead,
            }
        }
    }
    next
}

fn wait_after(error: &DeliveryError, attempts: u32, chance: u64) -> Option<Duration> {
    if error.permanent {
        return None;
    }
    let wait = match (retry_in(attempts, chance), error.retry_within) {
        (Some(wait), Some(most)) => wait.min(most),
        (Some(wait), None) | (None, Some(wait)) => wait,
        (None, None) => return None,
    };
    Some(wait.max(error.retry_after.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::delivery::Why;
    use super::super::message::tests::incident;
    use super::*;

    const MIDDLE: u64 = u64::MAX / 2;

    fn entry(id: &str, channel: &str, incident_id: &str, kind: Kind) -> Queued {
        let message = Message { incident_id: incident_id.to_owned(), ..incident(kind) };
        Queued::new(id.to_owned(), channel.to_owned(), message, 0)
    }

    fn ids<'a>(due: &[&'a Queued]) -> Vec<&'a str> {
        due.iter().map(|entry| entry.id.as_str()).collect()
    }

    fn told(again_in: Option<Duration>) -> Result<Receipt, DeliveryError> {
        let text = String::new;
        Ok(Receipt {
            channel: text(),
            to: text(),
            said: text(),
            at: 0,
            took: Duration::ZERO,
            again_in,
            thread: None,
        })
    }

    fn passing() -> Result<Receipt, DeliveryError> {
        Err(DeliveryError::passing(Why::Connect, "nobody answers"))
    }

    #[test]
    fn a_resolve_never_overtakes_its_trigger() {
        let mut all = vec![
            entry("t", "pager", "1", Kind::Trigger),
            entry("r", "pager", "1", Kind::Resolve),
            entry("x", "pager", "2", Kind::Resolve),
        ];
        assert_eq!(ids(&next(&all, 0)), ["t", "x"], "lines do not wait for each other");
        all[0] = after(&all[0], &passing(), 0, MIDDLE);
        assert_eq!(all[0].next_at, 5_000);
        assert_eq!(ids(&next(&all, 4_999)), ["x"]);
        assert_eq!(ids(&next(&all, 5_000)), ["x", "t"]);
        all[0] = after(&all[0], &told(None), 5_000, MIDDLE);
        assert_eq!(ids(&next(&all, 5_000)), ["r", "x"]);
    }

    #[test]
    fn what_is_told_later_goes_on_where_the_first_one_is() {
        let mut all = vec![
            entry("t", "chat", "1", Kind::Trigger),
            entry("a", "chat", "1", Kind::Acknowledge),
            entry("x", "chat", "2", Kind::Trigger),
            entry("y", "mail", "1", Kind::Trigger),
        ];
        assert_eq!(thread(&all, &all[1]), None, "nothing was delivered");
        let receipt = told(None).map(|receipt| Receipt { thread: Some("C0/1.2".to_owned()), ..receipt });
        all[0] = after(&all[0], &receipt, 0, MIDDLE);
        let of = |at: usize| thread(&all, &all[at]);
        assert_eq!([of(1), of(2), of(3)], [Some("C0/1.2".to_owned()), None, None]);
        let text = serde_json::to_string(&all[0]).expect("JSON");
        assert_eq!(serde_json::from_str::<Queued>(&text).expect("reads"), all[0], "a restart knows it too");
    }

    #[test]
    fn what_cannot_be_delivered_does_not_hold_up_the_rest() {
        let mut all = vec![entry("t", "pager", "1", Kind::Trigger), entry("r", "pager", "1", Kind::Resolve)];
        all[0] = after(&all[0], &Err(DeliveryError::permanent(Why::Refused, "no")), 0, MIDDLE);
        assert_eq!((all[0].state, all[0].last.as_deref()), (State::Failed, Some("no")));
        assert_eq!(ids(&next(&all, 0)), ["r"]);
    }

    #[test]
    fn an_update_that_a_newer_one_makes_stale_is_folded() {
        let all = vec![
            entry("t", "slack", "1", Kind::Trigger),
            entry("u1", "slack", "1", Kind::Update),
            entry("a", "slack", "1", Kind::Acknowledge),
            entry("u2", "slack", "1", Kind::Update),
            entry("v", "slack", "2", Kind::Update),
        ];
        let gone = folded(&all);
        assert_eq!(
            gone.iter().map(|e| (e.id.as_str(), e.state)).collect::<Vec<_>>(),
            [("u1", State::Folded)]
        );
        let mut seen = Vec::new();
        let mut all = all;
        while let Some(due) = next(&all, 0).first().map(|due| due.id.clone()) {
            let at = all.iter().position(|entry| entry.id == due).expect("known");
            all[at] = after(&all[at], &told(None), 0, MIDDLE);
            seen.push(due);
        }
        seen.retain(|id| id != "v");
        assert_eq!(seen, ["t", "a", "u2"]);
    }

    #[test]
    fn a_receiver_that_forgets_is_told_again_until_a_later_message_was_delivered() {
        let minute = Duration::from_secs(60);
        let mut all = vec![entry("t", "am", "1", Kind::Trigger)];
        all[0] = after(&all[0], &told(Some(minute)), 0, MIDDLE);
        assert!(next(&all, 59_999).is_empty());
        assert_eq!(ids(&next(&all, 60_000)), ["t"]);
        all.push(entry("r", "am", "1", Kind::Resolve));
        assert_eq!(ids(&next(&all, 60_000)), ["r"], "what is repeated waits for what is new");
        assert!(folded(&all).is_empty(), "not before the later one was delivered");
        all[1] = after(&all[1], &told(Some(minute)), 60_000, MIDDLE);
        assert_eq!(folded(&all).iter().map(|e| e.id.as_str()).collect::<Vec<_>>(), ["t"]);
        assert_eq!(ids(&next(&all, 120_000)), ["r"]);
        all[1] = after(&all[1], &told(None), 120_000, MIDDLE);
        assert_eq!(wakes_at(&all), None);
    }

    #[test]
    fn a_receiver_that_asks_for_time_gets_it_and_one_that_forgets_is_not_left_waiting() {
        let busy = |after, within| {
            Err(DeliveryError {
                retry_after: after,
                retry_within: within,
                ..DeliveryError::passing(Why::Busy, "later")
            })
        };
        let fresh = entry("t", "pager", "1", Kind::Trigger);
        let minute = Duration::from_secs(60);
        assert_eq!(after(&fresh, &busy(Some(minute), None), 0, MIDDLE).next_at, 60_000);
        let tried = Queued { attempts: 10, ..fresh };
        assert_eq!(after(&tried, &busy(None, Some(minute)), 0, MIDDLE).next_at, 60_000);
    }

    #[test]
    fn after_a_day_of_attempts_it_is_dead() {
        let mut one = entry("t", "pager", "1", Kind::Trigger);
        let mut now = 0;
        while one.state == State::Waiting {
            now = one.next_at;
            one = after(&one, &passing(), now, MIDDLE);
        }
        assert_eq!(one.state, State::Dead);
        assert!((23 * 3_600_000..=24 * 3_600_000).contains(&now), "{now}");
        assert!(one.attempts >= 29, "{}", one.attempts);
    }

    #[test]
    fn a_clock_that_is_set_neither_holds_a_message_back_nor_gives_it_up() {
        const HOUR: i64 = 3_600_000;
        for by in [-HOUR, HOUR, 30 * HOUR, -30 * HOUR] {
            let start = 100_000_000_000;
            let mut one = Queued { since: start, next_at: start, ..entry("t", "pager", "1", Kind::Trigger) };
            one.message = Message { at: start, started_at: start - 5_000, ..one.message };
            one = after(&one, &passing(), start, MIDDLE);
            let waits = one.next_at - start;
            one.shift(by);
            let now = start.saturating_add_signed(by);
            assert_eq!(one.next_at - now, waits, "as long as it would have, set by {by} ms");
            assert_eq!(one.message.started_at, now - 5_000, "told by the clock in force");
            let next = after(&one, &passing(), one.next_at, MIDDLE);
            assert_eq!(next.state, State::Waiting, "one more failure ends nothing, set by {by} ms");
        }
    }

    #[test]
    fn what_another_clock_has_written_waits_for_nobody() {
        let (now, hour) = (100_000_000_000, 3_600_000);
        let mut ahead = Queued { since: now + hour, ..entry("t", "pager", "1", Kind::Trigger) };
        ahead.message = Message { at: now + hour, started_at: now + hour - 5_000, ..ahead.message };
        ahead.next_at = now + hour + 5_000;
        let found = ahead.found(now);
        assert_eq!((found.since, found.next_at, found.message.started_at), (now, now + 5_000, now - 5_000));
        assert_eq!(after(&found, &passing(), found.next_at, MIDDLE).state, State::Waiting);
        // What waits by this clock goes on as it was.
        let message = Message { at: now - 60_000, started_at: now - 61_000, ..found.message };
        let fresh = entry("t", "pager", "1", Kind::Trigger);
        let ours = Queued { since: now - 60_000, next_at: now + 30_000, message, ..fresh };
        assert_eq!(ours.clone().found(now), ours);
        let odd = Queued { next_at: now + 48 * hour, ..ours };
        assert!(odd.found(now).next_at <= now + hour * 6 / 5, "no wait is longer than the longest");
    }

    proptest! {
        /// Under any weather: within a line nothing is delivered out of order, and nothing is left waiting.
        #[test]
        fn lines_keep_their_order_under_any_weather(
            kinds in proptest::collection::vec((0_usize..2, 0_usize..4), 1..12),
            weather in proptest::collection::vec(0_u8..4, 1..64),
        ) {
            let all_kinds = [Kind::Trigger, Kind::Acknowledge, Kind::Update, Kind::Resolve];
            let mut all: Vec<Queued> = kinds.iter().enumerate()
                .map(|(n, (line, kind))| entry(&n.to_string(), "c", &line.to_string(), all_kinds[*kind]))
                .collect();
            let mut sky = weather.iter().cycle();
            let mut sent: Vec<(String, usize)> = Vec::new();
            let mut rounds = 0;
            while let Some(now) = wakes_at(&all).filter(|_| rounds < 500) {
                rounds += 1;
                let due: Vec<String> = next(&all, now).iter().map(|entry| entry.id.clone()).collect();
                prop_assert!(!due.is_empty());
                for id in due {
                    let at: usize = id.parse().expect("a number");
                    let came = match sky.next().expect("endless") {
                        0 => told(None),
                        1 => told(Some(Duration::from_secs(60))),
                        2 => passing(),
                        _ => Err(DeliveryError::permanent(Why::Refused, "no")),
                    };
                    all[at] = after(&all[at], &came, now, MIDDLE);
                    if came.is_ok() {
                        sent.push((all[at].message.incident_id.clone(), at));
                    }
                }
            }
            for line in ["0", "1"] {
                let order: Vec<usize> = sent.iter().filter(|(of, _)| of == line).map(|(_, at)| *at).collect();
                prop_assert!(order.is_sorted(), "{order:?}");
                let stale: Vec<String> = folded(&all).into_iter().map(|entry| entry.id).collect();
                let left = all.iter().any(|entry| entry.state == State::Waiting && !stale.contains(&entry.id));
                prop_assert!(!left || rounds == 500);
            }
        }
    }
}
