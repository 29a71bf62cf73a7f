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

/// A call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Of which incident.
    pub incident: IncidentId,
    /// Its number within the incident, for [`Command::Delivered`].
    pub number: u32,
    /// Everybody whom it is addressed to; at least one.
    pub contacts: Vec<String>,
    /// Through what.
    pub channel: String,
    /// Why.
    pub cause: CallCause,
    /// Which step of the ladder, from 0.
    pub step: u32,
    /// Which round, from 0.
    pub round: u32,
    /// For other systems.
    pub dedup: String,
    /// How bad.
    pub severity: Severity,
    /// One line for people.
    pub title: String,
    /// When it was due.
    pub at: At,
}

/// A message that needs no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Of which incident.
    pub incident: IncidentId,
    /// Contact and channel, each pair once.
    pub to: Vec<(String, String)>,
    /// For other systems.
    pub dedup: String,
    /// How bad.
    pub severity: Severity,
    /// Where it is.
    pub state: State,
    /// What is new about it.
    pub news: NoticeKind,
    /// One line for people.
    pub title: String,
    /// When.
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
    /// It is over.
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
        /// The person or part of Strop that did it.
        actor: String,
        /// One line.
        title: String,
        /// How bad.
        severity: Severity,
        /// About what; may be empty.
        service: String,
    },
    /// Take it: the ladder stops.
    Ack {
        /// Which.
        id: IncidentId,
        /// The person or part of Strop that did it.
        actor: String,
    },
    /// Write something down.
    Note {
        /// Which.
        id: IncidentId,
        /// The person or part of Strop that did it.
        actor: String,
        /// What.
        text: String,
    },
    /// Put somebody in charge.
    Assign {
        /// Which.
        id: IncidentId,
        /// Who says so.
        actor: String,
        /// Who it is.
        to: String,
    },
    /// Say how bad it is, up or down.
    Rate {
        /// Which.
        id: IncidentId,
        /// The person or part of Strop that did it.
        actor: String,
        /// How bad.
        severity: Severity,
        /// Why, in the words of whoever did it.
        reason: String,
    },
    /// Something is being done about it; what came of it is another one.
    Act {
        /// Which.
        id: IncidentId,
        /// Who; `None`: the machine.
        actor: Option<String>,
        /// What.
        what: String,
        /// Names and values.
        evidence: Vec<(String, String)>,
    },
    /// Note what was done about a service on its live incident. No state changes: what came of it is for the evidence to say.
    Acted {
        /// About which service.
        service: String,
        /// The person or part of Strop that did it.
        actor: String,
        /// What.
        what: String,
    },
    /// Add what was found out later (60 s after, an HDR snapshot's name). Also to closed ones.
    Evidence {
        /// Which.
        id: IncidentId,
        /// What it is.
        what: String,
        /// Names and values.
        evidence: Vec<(String, String)>,
    },
    /// End it.
    Resolve {
        /// Which.
        id: IncidentId,
        /// The person or part of Strop that did it.
        actor: String,
        /// Why, in the words of whoever did it.
        reason: String,
        /// Even while the condition holds?
        force: Force,
    },
    /// Fill in the review.
    Review {
        /// Which.
        id: IncidentId,
        /// The person or part of Strop that did it.
        actor: String,
        /// What was learnt.
        review: Review,
    },
    /// Hold calls back for a while.
    Silence(Silence),
    /// No longer.
    EndSilence {
        /// Which.
        number: u64,
        /// The person or part of Strop that did it.
        actor: String,
    },
    /// What became of a call.
    Delivered {
        /// Which incident's.
        id: IncidentId,
        /// Which call.
        number: u32,
        /// Did it arrive?
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
