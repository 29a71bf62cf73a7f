//! How one answer counts.
//!
//! Decides between good, slow, bad, rate-limited and abandoned. Refuses to know what carried the answer.

use std::time::Duration;

/// How one attempt counts for its upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Answered, in time.
    Good,
    /// Answered, but slower than the slow-call limit. Good for everything but the slow-call rate.
    Slow,
    /// Did not answer, or answered badly.
    Bad(Why),
    /// 429, or 503 with `Retry-After`: counts in the rate, never as a consecutive failure; fails a probe.
    RateLimited {
        /// The upstream's own wish, capped at 300 s.
        retry_after: Option<Duration>,
    },
    /// The client left, or our own rejection: counts nowhere and gives a probe's slot back.
    Abandoned,
}

/// Why an attempt was bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// No connection.
    Connect,
    /// No TLS session.
    Tls,
    /// Nothing came in time.
    Timeout,
    /// The connection ended before the head of the answer.
    Reset,
    /// A status that the policy calls bad.
    Status,
    /// Not HTTP, or not what was asked.
    Protocol,
}

impl Why {
    /// All of them, for metrics.
    pub const ALL: [Self; 6] =
        [Self::Connect, Self::Tls, Self::Timeout, Self::Reset, Self::Status, Self::Protocol];

    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Status => "status",
            Self::Protocol => "protocol",
        }
    }
}

/// Longest `Retry-After` that is believed (Envoy's and linkerd's cap as well).
pub const RETRY_AFTER_CAP: Duration = Duration::from_secs(300);

/// What came of an attempt, as far as judging needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A final response head.
    Answered {
        /// 200–999.
        status: u16,
        /// `Retry-After`, when there was one.
        retry_after: Option<Duration>,
        /// From the admission to the head.
        took: Duration,
    },
    /// No head.
    Failed(Why),
    /// The client left first.
    ClientGone,
}

/// Which answers are bad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgePolicy {
    /// Inclusive ranges of bad statuses. Default 500–599 without 501 and 505, which say that the request was
    /// wrong, not that the server is ill (HAProxy's reading as well).
    pub bad_statuses: Vec<(u16, u16)>,
    /// Answers slower than this are [`Verdict::Slow`]; `None`: never.
    pub slow_after: Option<Duration>,
}

impl Default for JudgePolicy {
    fn default() -> Self {
        Self { bad_statuses: vec![(500, 500), (502, 504), (506, 599)], slow_after: None }
    }
}

impl JudgePolicy {
    /// The verdict on one outcome.
    pub fn judge(&self, outcome: Outcome) -> Verdict {
        match outcome {
            Outcome::Failed(why) => Verdict::Bad(why),
            Outcome::ClientGone => Verdict::Abandoned,
            Outcome::Answered { status, retry_after, took } => {
                let limited = status == 429 || (status == 503 && retry_after.is_some());
                let bad = self.bad_statuses.iter().any(|&(low, high)| (low..=high).contains(&status));
                if limited {
                    Verdict::RateLimited { retry_after: retry_after.map(|wish| wish.min(RETRY_AFTER_CAP)) }
                } else if bad {
                    Verdict::Bad(Why::Status)
                } else if self.slow_after.is_some_and(|limit| took > limit) {
                    Verdict::Slow
                } else {
                    Verdict::Good
                }
            }
        }
    }
}
