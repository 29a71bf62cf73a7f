//! What an outcome means for a queued write: delivered, once more, or given up.

use std::time::Duration;

use super::write::{DeadReason, QueuedWrite};
use crate::reliability::backoff;
use crate::units::At;

/// A write that could not be sent because its upstream cannot be asked waits so long before it is offered again.
const RECHECK: Duration = Duration::from_secs(1);
/// The longest `Retry-After` that is heeded: a longer one would outlast most lifetimes of queued writes.
const LONGEST_ASKED: Duration = Duration::from_secs(3_600);

/// When a queued write is sent once more, and when it is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayPolicy {
    /// A write that is older is given up.
    pub ttl: Duration,
    /// Attempts that reach the upstream, at most.
    pub attempts: u32,
    /// The wait after the first attempt; each further one is longer.
    pub backoff: Duration,
    /// The longest wait between two attempts.
    pub backoff_max: Duration,
}

/// What became of one attempt to send a queued write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayOutcome {
    /// Provably nothing of it left the process.
    Unsent,
    /// The upstream answered.
    Answered {
        status: u16,
        /// How long the upstream asks to be left alone.
        retry_after: Option<Duration>,
        /// The upstream says by the status that it has done nothing and forgets that it was asked.
        undone: bool,
    },
    /// It may have arrived: the connection broke, or time was up.
    Unsure,
}

/// What comes after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextReplay {
    /// It is delivered.
    Delivered,
    /// It is offered again after a while; `counted`: as another attempt.
    Later { wait: Duration, counted: bool },
    /// It is given up.
    Dead(DeadReason),
}

/// What comes after `outcome` of a write. `draw`: any number.
pub fn after(
    outcome: ReplayOutcome,
    write: &QueuedWrite,
    policy: &ReplayPolicy,
    now: At,
    draw: u64,
) -> NextReplay {
    let asked = match outcome {
        ReplayOutcome::Unsent if now.since(write.queued) >= policy.ttl => {
            return NextReplay::Dead(DeadReason::Expired);
        }
        ReplayOutcome::Unsent => return NextReplay::Later { wait: RECHECK, counted: false },
        ReplayOutcome::Answered { status: 200..=299, .. } => return NextReplay::Delivered,
        // Both say that the request was not taken (RFC 6585 section 4, RFC 9110 section 15.6.4).
        ReplayOutcome::Answered { status: 429 | 503, retry_after, .. }
        | ReplayOutcome::Answered { undone: true, retry_after, .. } => retry_after,
        ReplayOutcome::Answered { status: 408 | 425 | 500.., retry_after, .. } if write.known_again => {
            retry_after
        }
        ReplayOutcome::Unsure if write.known_again => None,
        ReplayOutcome::Answered { status: 408 | 500.., .. } | ReplayOutcome::Unsure => {
            return NextReplay::Dead(DeadReason::Unsure);
        }
        ReplayOutcome::Answered { .. } => return NextReplay::Dead(DeadReason::Refused),
    };
    let made = write.attempts + 1;
    let wait = backoff::nth(policy.backoff, policy.backoff_max, made.saturating_sub(1), draw);
    let wait = wait.max(asked.unwrap_or_default().min(LONGEST_ASKED));
    if made >= policy.attempts {
        NextReplay::Dead(DeadReason::Exhausted)
    } else if now.since(write.queued) + wait >= policy.ttl {
        NextReplay::Dead(DeadReason::Expired)
    } else {
        NextReplay::Later { wait, counted: true }
    }
}
