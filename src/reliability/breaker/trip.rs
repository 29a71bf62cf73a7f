//! By which evidence a breaker trips, and what is told of it.

use crate::reliability::window::Tally;

/// The evidence that tripped a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trip {
    /// So many consecutive exchanges were bad.
    Failures(u32),
    /// The share of bad verdicts.
    FailureRate(Tally),
    /// The share of slow verdicts.
    SlowRate(Tally),
}

impl Trip {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Failures(_) => "failures",
            Self::FailureRate(_) => "failure_rate",
            Self::SlowRate(_) => "slow_rate",
        }
    }

    /// A clause for people.
    pub(super) fn describe(self) -> String {
        match self {
            Self::Failures(n) => format!("{n} consecutive exchanges were bad"),
            Self::FailureRate(t) => format!("{} of {} exchanges in the window were bad", t.bad, t.total),
            Self::SlowRate(t) => format!("{} of {} exchanges in the window were slow", t.slow, t.total),
        }
    }

    /// Did all of it fail to connect, so that a check that connects has seen as much? `None`: the row of failures knows.
    pub(super) fn is_connecting(self) -> Option<bool> {
        match self {
            Self::Failures(_) => None,
            Self::FailureRate(tally) => Some(tally.unconnected == tally.bad),
            Self::SlowRate(_) => Some(false),
        }
    }

    pub(super) fn is_slow(self) -> bool {
        matches!(self, Self::SlowRate(_))
    }
}
