//! What the engine is told, and what it wants done.

use serde::{Deserialize, Serialize};

use crate::names::IncidentId;
use crate::reliability::escalation::{Arrived, CallCause};
use crate::reliability::incident::{Incident, State, Transition};
use crate::reliability::ledger::Minute;
use crate::reliability::rule::Severity;
use crate::reliability::silence::Silence;
use crate::units::At;

/// What the shell must do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Store the incident, whole. Comes before the calls that it speaks of.
    Save(Box<Incident>),
    /// Store the silence; one whose end is now has been ended.
    SaveSilence(Silence),
    /// Store the minute by merging it into what is there.
    Ledger(Minute),
    /// Count and log it.
    Tell(Transition),
    /// Call somebody. What became of it comes back as [`super::Command::Delivered`].
    Page(Page),
    /// Tell stakeholders that the state changed, and those who were called that it was taken or is better or worse.
    Update(Notice),
    /// Tell everybody who was called, and the stakeholders, that it is over.
    ResolveNotice(Notice),
}

/// Somebody is to be called: the effect that asks the notifier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    pub incident: IncidentId,
    /// Its number within the incident, for [`super::Command::Delivered`].
    pub number: u32,
    /// Everybody whom it is addressed to; at least one.
    pub contacts: Vec<String>,
    /// The name of the channel that the call goes through.
    pub channel: String,
    /// What made this call be made.
    pub cause: CallCause,
    /// Which step of the ladder, from 0.
    pub step: u32,
    /// Which round, from 0.
    pub round: u32,
    /// The incident's [`AlertKey::dedup`](crate::reliability::rule::AlertKey::dedup), for other systems.
    pub dedup: String,
    pub severity: Severity,
    /// One line for people.
    pub title: String,
    /// When it was due.
    pub at: At,
}

/// A message that needs no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    pub incident: IncidentId,
    /// Contact and channel, each pair once.
    pub to: Vec<(String, String)>,
    /// The incident's [`AlertKey::dedup`](crate::reliability::rule::AlertKey::dedup), for other systems.
    pub dedup: String,
    pub severity: Severity,
    pub state: State,
    /// What is new about it.
    pub news: NoticeKind,
    /// One line for people.
    pub title: String,
    pub at: At,
}

/// What is new about an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// Its state is another one.
    State,
    /// Somebody has taken it.
    Taken,
    /// It is better or worse than those who were called were told.
    Severity,
    /// The incident is over.
    Over,
}

impl NoticeKind {
    /// As part of the names of messages.
    pub fn label(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Taken => "taken",
            Self::Severity => "severity",
            Self::Over => "over",
        }
    }
}

/// What became of a call, where its incident is not known yet: a member that is new on duty delivers what others have left
/// before it has read of what.
#[derive(Debug)]
pub(super) struct Early {
    pub(super) id: IncidentId,
    pub(super) number: u32,
    pub(super) arrived: Arrived,
    pub(super) detail: String,
}
