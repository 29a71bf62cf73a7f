//! What the engine is told, and what it wants done.

use serde::{Deserialize, Serialize};

use crate::names::IncidentId;
use crate::reliability::escalation::{Arrived, CallCause};
use crate::reliability::incident::{Force, Incident, Review, State, Transition};
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
    /// Call somebody. What became of it comes back as [`Command::Delivered`].
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
    /// Its number within the incident, for [`Command::Delivered`].
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

/// An order from a person, the shell or a recovery plan.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Open one by hand: a test, or what no rule sees.
    Open {
        actor: String,
        /// The title, one line for people.
        title: String,
        severity: Severity,
        /// About what; may be empty.
        service: String,
    },
    /// Take it: the ladder stops.
    Ack { id: IncidentId, actor: String },
    /// Write a line onto the timeline.
    Note {
        id: IncidentId,
        actor: String,
        /// The line as people will read it.
        text: String,
    },
    /// Put somebody in charge.
    Assign {
        id: IncidentId,
        /// The person who puts somebody in charge.
        actor: String,
        /// The person who is put in charge.
        to: String,
    },
    /// Say how bad it is, up or down.
    Rate {
        id: IncidentId,
        actor: String,
        severity: Severity,
        /// Why it is that bad.
        reason: String,
    },
    /// Something is being done about it; what came of it is another one.
    Act {
        id: IncidentId,
        /// Who; `None`: the machine.
        actor: Option<String>,
        /// What is being done, in a sentence.
        what: String,
        /// Facts by name, as they were.
        evidence: Vec<(String, String)>,
    },
    /// Note what was done about a service on its live incident. No state changes: what came of it is for
    /// the evidence to say.
    Acted {
        /// The service whose live incident gets the line.
        service: String,
        actor: String,
        /// What was done, in a sentence.
        what: String,
    },
    /// Add what was found out later (60 s after, an HDR snapshot's name). Also to closed ones.
    Evidence {
        id: IncidentId,
        /// What was found out, in a sentence.
        what: String,
        /// Facts by name, as they were measured.
        evidence: Vec<(String, String)>,
    },
    /// End an incident by a person's word.
    Resolve {
        id: IncidentId,
        actor: String,
        /// Why it is over.
        reason: String,
        /// Even while the condition holds?
        force: Force,
    },
    /// Fill in the review.
    Review { id: IncidentId, actor: String, review: Review },
    /// Hold calls back for a while.
    Silence(Silence),
    /// End a silence or maintenance before its time.
    EndSilence {
        /// The number that the engine gave the silence.
        number: u64,
        actor: String,
    },
    /// What became of a call.
    Delivered {
        /// The incident that the call is about.
        id: IncidentId,
        /// The number of the call within the incident.
        number: u32,
        /// Whether the channel has taken it.
        arrived: Arrived,
        /// What the channel said.
        detail: String,
    },
}

impl Command {
    /// The incident that it is about; `None`: it names none.
    pub fn incident(&self) -> Option<&IncidentId> {
        match self {
            Self::Ack { id, .. }
            | Self::Note { id, .. }
            | Self::Assign { id, .. }
            | Self::Rate { id, .. }
            | Self::Act { id, .. }
            | Self::Evidence { id, .. }
            | Self::Resolve { id, .. }
            | Self::Review { id, .. }
            | Self::Delivered { id, .. } => Some(id),
            Self::Open { .. } | Self::Acted { .. } | Self::Silence(_) | Self::EndSilence { .. } => None,
        }
    }
}

/// What an order brought.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The incident as it is now.
    Incident(Box<Incident>),
    /// The silence as it is now.
    Silence(Silence),
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
