//! A queued write as it is known without its bytes, and the words for what becomes of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::units::At;

/// Why a write is a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadReason {
    /// The upstream refused it for good.
    Refused,
    /// It may have arrived, and the upstream would not know it again.
    Unsure,
    /// It became older than it may.
    Expired,
    /// It was sent as often as it may be.
    Exhausted,
    /// No upstream takes it any more.
    NoRoute,
}

impl DeadReason {
    /// All of them, for metrics and the contract.
    pub const ALL: [Self; 5] = [Self::Refused, Self::Unsure, Self::Expired, Self::Exhausted, Self::NoRoute];

    pub fn label(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unsure => "unsure",
            Self::Expired => "expired",
            Self::Exhausted => "exhausted",
            Self::NoRoute => "no_route",
        }
    }
}

/// Where a queued write is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueuePhase {
    /// Its bytes are not known to be durable yet: it is not sent, and what has its order key waits for it.
    Writing,
    /// It is sent when its turn comes.
    Waiting,
    /// It is being sent.
    Sending,
    /// It is given up.
    Dead(DeadReason),
}

impl QueuePhase {
    pub fn label(self) -> &'static str {
        match self {
            Self::Writing => "writing",
            Self::Waiting => "waiting",
            Self::Sending => "sending",
            Self::Dead(_) => "dead",
        }
    }
}

/// A queued write, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedWrite {
    pub upstream: Arc<str>,
    pub route: Arc<str>,
    /// Hash of its upstream and order key; `None`: it has none.
    pub order: Option<u64>,
    /// The upstream knows it again, by its key or by its method.
    pub known_again: bool,
    pub queued: At,
    /// Bytes of it on disk.
    pub bytes: u64,
    /// Attempts that reached the upstream, or may have.
    pub attempts: u32,
    /// Not offered before.
    pub due: At,
    pub phase: QueuePhase,
}

impl QueuedWrite {
    /// Is it a dead letter: sent only by order?
    pub fn is_dead(&self) -> bool {
        matches!(self.phase, QueuePhase::Dead(_))
    }
}

/// What happened to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OutboxOutcome {
    /// It is durable, and its client was told so.
    Queued,
    /// It was to be queued, and its client was refused.
    NotQueued,
    /// Its upstream has it.
    Delivered,
    /// It was offered and waits for another time.
    Later,
    /// It is a dead letter.
    Dead(DeadReason),
    /// Somebody ordered that it is sent.
    Ordered,
    /// Somebody ordered that it is not.
    Dropped,
}

impl OutboxOutcome {
    pub fn label(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::NotQueued => "not_queued",
            Self::Delivered => "delivered",
            Self::Later => "later",
            Self::Dead(_) => "dead",
            Self::Ordered => "retried",
            Self::Dropped => "dropped",
        }
    }
}
