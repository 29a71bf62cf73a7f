//! One incident: what is the matter, since when, who knows, what was done.
//!
//! ```text
//!   Suspected ──▶ Open ──▶ Acknowledged ──▶ Mitigating ──▶ Monitoring ──▶ Resolved ──▶ Reviewed
//!       │           └─────────────┴──────────────┴── the condition is over ──▲
//!       └──▶ Cleared (never confirmed, or part of another one)
//! ```
//!
//! A value that the engine changes and the store keeps as JSON; unknown fields of a newer version are passed over. It
//! refuses to know what a condition is: the engine says when it holds and when it is over.
//!
//! # Invariants
//! * Severity is raised by evidence and lowered only by a person; what it is while only suspected is a guess, and an open one
//!   begins with what is confirmed.
//! * The timeline only grows; its entries are numbered from 1.
//! * Nothing follows `Cleared` and `Reviewed`; after `Resolved` comes only the review.

mod bounds;
mod drill;
mod head;
mod lifecycle;
mod merge;
mod review;
mod timeline;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::escalation::Escalation;
use super::rule::{AlertKey, Severity};
use crate::names::IncidentId;
use crate::units::At;
pub use bounds::{BYTES, HumanText, LINES};
pub use drill::{DRILL, DrillCalls, DrillMark};
pub use head::Head;
pub use lifecycle::{Force, Refused, Transition};
pub use review::{ActionItem, Review};
pub use timeline::{Actor, Entry, EntryKind};

/// The state of an incident in its lifecycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Perhaps something is the matter. Nobody is called.
    Suspected,
    /// Something is; the ladder runs.
    Open,
    /// Somebody has taken it; the ladder rests.
    Acknowledged,
    /// Something is being done about it.
    Mitigating,
    /// The condition is gone, not yet for long enough.
    Monitoring,
    /// Over: its condition has ended, or a person has said so.
    Resolved,
    /// Over, and learnt from.
    Reviewed,
    /// It was nothing, or it was part of another one.
    Cleared,
}

impl State {
    /// In the order of the lifecycle.
    pub const ALL: [Self; 8] = [
        Self::Suspected,
        Self::Open,
        Self::Acknowledged,
        Self::Mitigating,
        Self::Monitoring,
        Self::Resolved,
        Self::Reviewed,
        Self::Cleared,
    ];

    /// As in the API, logs and labels.
    pub fn label(self) -> &'static str {
        match self {
            Self::Suspected => "suspected",
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Mitigating => "mitigating",
            Self::Monitoring => "monitoring",
            Self::Resolved => "resolved",
            Self::Reviewed => "reviewed",
            Self::Cleared => "cleared",
        }
    }

    /// Anything but resolved, reviewed or cleared.
    pub fn is_live(self) -> bool {
        match self {
            Self::Suspected | Self::Open | Self::Acknowledged | Self::Mitigating | Self::Monitoring => true,
            Self::Resolved | Self::Reviewed | Self::Cleared => false,
        }
    }
}

/// How an incident ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The condition was over for long enough.
    Recovered,
    /// It was never confirmed.
    NeverConfirmed,
    /// It turned out to be part of another one.
    PartOf(IncidentId),
    /// A person said so, and nothing spoke against it.
    ByHand,
    /// A person said so although the condition held.
    Forced,
    /// What it was about is no longer observed.
    Unobserved,
    /// An ending of a newer version.
    #[serde(other)]
    Unknown,
}

/// When it got where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Clocks {
    /// The first bad event.
    pub began: At,
    /// When it was first suspected.
    pub suspected: At,
    /// It was confirmed (or opened by a person).
    pub opened: Option<At>,
    /// When somebody first took it; `None`: nobody has.
    pub acknowledged: Option<At>,
    /// Something was done about it.
    pub mitigating: Option<At>,
    /// The condition was last seen to end. Cleared by a relapse.
    pub recovered: Option<At>,
    /// When it was resolved or cleared; `None`: it is live.
    pub closed: Option<At>,
    /// Its review was complete.
    pub reviewed: Option<At>,
}

impl Clocks {
    /// First bad event to suspected.
    pub fn to_suspect(&self) -> Duration {
        self.suspected.since(self.began)
    }

    /// First bad event to confirmed.
    pub fn to_confirm(&self) -> Option<Duration> {
        self.opened.map(|opened| opened.since(self.began))
    }

    /// Opened to acknowledged (MTTA).
    pub fn to_acknowledge(&self) -> Option<Duration> {
        Some(self.acknowledged?.since(self.opened?))
    }

    /// First bad event to the end of the condition (MTTR); of closed ones only. Without a condition, to the closing.
    pub fn to_recover(&self) -> Option<Duration> {
        self.closed.map(|closed| self.recovered.unwrap_or(closed).since(self.began))
    }
}

/// An alert that is part of an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    /// The condition: rule, service and scope.
    pub key: AlertKey,
    /// When it went bad.
    pub first_bad: At,
    /// When it was confirmed.
    #[serde(default)]
    pub confirmed: Option<At>,
    /// When it was over; `None`: it is not.
    #[serde(default)]
    pub over: Option<At>,
    /// The worst that it has claimed since it was confirmed.
    #[serde(default)]
    pub worst: Option<Severity>,
}

/// One incident, from its first suspicion to its review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    pub id: IncidentId,
    /// What it is about: rule, service, scope of the alert that founded it.
    pub key: AlertKey,
    /// [`AlertKey::dedup`], for other systems.
    pub dedup: Arc<str>,
    /// One line for people.
    pub title: String,
    /// How bad it is: raised by evidence, lowered only by a person.
    pub severity: Severity,
    pub state: State,
    /// When it got where.
    pub clocks: Clocks,
    /// When it is late to respond; set when it opens and when its severity changes.
    #[serde(default)]
    pub respond_by: Option<At>,
    /// Nobody had taken it by then. Stays.
    #[serde(default)]
    pub breached: bool,
    /// Who took it first.
    #[serde(default)]
    pub acknowledged_by: Option<String>,
    /// Who works on it.
    #[serde(default)]
    pub assignee: Option<String>,
    /// When anything was last seen of what it is about, while nothing is: no request, no check, no probe. Whether it
    /// still holds is not known then.
    #[serde(default)]
    pub unseen_since: Option<At>,
    /// Relapses that are folded into it.
    #[serde(default)]
    pub flaps: u32,
    /// The alerts that are part of it, in the order in which they joined. A person's incident has none.
    #[serde(default)]
    pub signals: Vec<Signal>,
    /// The one of the same identity that was over shortly before.
    #[serde(default)]
    pub earlier: Option<IncidentId>,
    /// How it ended; `None`: it is live.
    #[serde(default)]
    pub ending: Option<Ending>,
    /// What people wrote down afterwards; `None`: nothing yet.
    #[serde(default)]
    pub review: Option<Review>,
    /// How far the ladder has come.
    #[serde(default)]
    pub escalation: Escalation,
    /// Everything that happened, oldest first.
    #[serde(default)]
    pub timeline: Vec<Entry>,
    /// Lines of signals that are only counted, see [`Incident::tell`].
    #[serde(default)]
    pub untold: u64,
    /// A drill brought it about: it counts in no figure. `None`: it is a real one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<DrillMark>,
    /// Rises with every change; the newer of two copies has the higher one.
    #[serde(default)]
    pub version: u64,
}

/// So many lines of signals are told; the next ones are counted.
const SIGNALS_TOLD: usize = 1_000;

/// What an incident begins with.
#[derive(Clone, Debug)]
pub struct Beginning {
    pub id: IncidentId,
    /// What it is about.
    pub key: AlertKey,
    /// One line for people.
    pub title: String,
    pub severity: Severity,
    /// The first bad event.
    pub began: At,
    /// The one of the same identity that was over shortly before.
    pub earlier: Option<IncidentId>,
}

impl Incident {
    /// Has a person taken it, or ended it?
    pub fn had_people(&self) -> bool {
        self.clocks.acknowledged.is_some() || matches!(self.ending, Some(Ending::ByHand | Ending::Forced))
    }

    /// A suspected one. Whoever makes it adds the signal and the first entry.
    pub fn suspected(beginning: Beginning, now: At) -> Self {
        let Beginning { id, key, title, severity, began, earlier } = beginning;
        let dedup = key.dedup();
        Self {
            id,
            key,
            dedup,
            title,
            severity,
            state: State::Suspected,
            clocks: Clocks { began: began.min(now), suspected: now, ..Clocks::default() },
            respond_by: None,
            breached: false,
            acknowledged_by: None,
            assignee: None,
            unseen_since: None,
            flaps: 0,
            signals: Vec::new(),
            earlier,
            ending: None,
            review: None,
            escalation: Escalation::default(),
            timeline: Vec::new(),
            untold: 0,
            drill: None,
            version: 0,
        }
    }

    /// Its moments by a clock that runs `millis` ahead of the one that they were told by
    /// (negative: behind). Lines stay.
    pub fn shift(&mut self, millis: i64) {
        let Clocks { began, suspected, opened, acknowledged, mitigating, recovered, closed, reviewed } =
            &mut self.clocks;
        let set = [opened, acknowledged, mitigating, recovered, closed, reviewed].into_iter().flatten();
        let signals = self.signals.iter_mut().flat_map(|signal| {
            let Signal { first_bad, confirmed, over, .. } = signal;
            std::iter::once(first_bad).chain(confirmed.as_mut()).chain(over.as_mut())
        });
        let due = [&mut self.respond_by, &mut self.unseen_since].into_iter().flatten();
        for at in [began, suspected].into_iter().chain(set).chain(due).chain(signals) {
            *at = at.moved(millis);
        }
        self.escalation.shift(millis);
    }

    /// The incident that it turned out to be a part of.
    pub fn part_of(&self) -> Option<&IncidentId> {
        match &self.ending {
            Some(Ending::PartOf(other)) => Some(other),
            Some(
                Ending::Recovered
                | Ending::NeverConfirmed
                | Ending::ByHand
                | Ending::Forced
                | Ending::Unobserved
                | Ending::Unknown,
            )
            | None => None,
        }
    }

    /// The newest moment at which something has happened to it.
    pub fn newest(&self) -> At {
        let Clocks { began, suspected, opened, acknowledged, mitigating, recovered, closed, reviewed } =
            self.clocks;
        let set = [opened, acknowledged, mitigating, recovered, closed, reviewed].into_iter().flatten();
        let signals = self.signals.iter().flat_map(|one| [Some(one.first_bad), one.confirmed, one.over]);
        let ladder = self.escalation.newest();
        let all = [began, suspected].into_iter().chain(set).chain(signals.flatten()).chain(ladder);
        all.max().unwrap_or_default()
    }

    /// Appends to the timeline. What flaps for days is not told for ever: after the thousandth line of its signals the
    /// next ones are counted, and the end of the incident tells how many there were.
    pub fn tell(
        &mut self,
        at: At,
        actor: Actor,
        kind: EntryKind,
        text: String,
        evidence: Vec<(String, String)>,
    ) {
        self.version += 1;
        if kind == EntryKind::Signal
            && self.timeline.iter().filter(|entry| entry.kind == EntryKind::Signal).count() >= SIGNALS_TOLD
        {
            self.untold += 1;
            return;
        }
        let number = self.timeline.last().map_or(1, |last| last.number + 1);
        self.timeline.push(Entry { number, at, actor, kind, text, evidence });
    }

    /// The signal of that key.
    pub fn signal_mut(&mut self, key: &AlertKey) -> Option<&mut Signal> {
        self.signals.iter_mut().find(|signal| signal.key == *key)
    }

    /// The signals that are not over.
    pub fn active(&self) -> impl Iterator<Item = &Signal> {
        self.signals.iter().filter(|signal| signal.over.is_none())
    }

    /// Asserts, in debug builds, what holds of every incident.
    pub fn check_invariants(&self) {
        debug_assert!(self.timeline.iter().enumerate().all(|(at, entry)| entry.number == at as u64 + 1));
        debug_assert_eq!(self.state.is_live(), self.clocks.closed.is_none(), "{}", self.id);
        debug_assert_eq!(self.state.is_live(), self.ending.is_none(), "{}", self.id);
        debug_assert!(self.clocks.began <= self.clocks.suspected);
        debug_assert!(
            self.state == State::Suspected || self.state == State::Cleared || self.clocks.opened.is_some()
        );
        debug_assert!(self.state != State::Acknowledged || self.clocks.acknowledged.is_some());
        debug_assert!(self.state != State::Mitigating || self.clocks.mitigating.is_some());
    }
}

#[cfg(test)]
mod tests;
