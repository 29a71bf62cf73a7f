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
mod due;
pub mod heartbeat;
mod id;
mod line;
mod schedule;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::rule::Severity;
pub use channel::{Back, ChannelHealth};
pub use due::{closed, due, wakes_at};
pub use id::NotificationId;
pub use line::{slot, stale};
pub use schedule::{GIVE_UP, retry_in};

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

fn later(now: u64, wait: Duration) -> u64 {
    now.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
