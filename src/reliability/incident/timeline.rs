//! What happened, one line each.

use serde::{Deserialize, Serialize};

use crate::units::At;

/// The person or part of Strop that did something.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// The engine itself; stored as `desk`, its name in earlier versions.
    #[serde(rename = "desk")]
    Engine,
    /// A person or a system with a name.
    Named(String),
}

impl Actor {
    /// The name as people read it: "strop" for the engine.
    pub fn label(&self) -> &str {
        match self {
            Self::Engine => "strop",
            Self::Named(name) => name,
        }
    }
}

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// The incident's state has changed.
    State,
    /// An alert joined, was confirmed, relapsed, calmed down or was over.
    Signal,
    /// The incident's severity has changed.
    Severity,
    /// Somebody was called, through one channel.
    Page,
    /// What became of a call or a message.
    Delivery,
    /// Calls are held back, or no longer.
    Silence,
    /// A person wrote something down.
    Note,
    /// Somebody was put in charge.
    Assigned,
    /// The response clock ran out.
    Breach,
    /// Something was done about it, and what came of it.
    Action,
    /// What was known at that moment.
    Evidence,
    /// What the checks of a runbook have found.
    Runbook,
    /// Something of a newer version.
    #[serde(other)]
    Unknown,
}

/// One line of the timeline.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// Counted from 1 within the incident.
    pub number: u64,
    pub at: At,
    pub actor: Actor,
    /// What kind of thing.
    pub kind: EntryKind,
    /// The line as people read it.
    pub text: String,
    /// Names and values, as they were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<(String, String)>,
}
