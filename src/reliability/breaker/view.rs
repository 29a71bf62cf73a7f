//! What a breaker shows: its state, why it moved, why it refused.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::policy::Mode;
use super::trip::Trip;
use crate::names::RouteName;
use crate::reliability::verdict::{self, RETRY_AFTER_CAP};
use crate::reliability::window::Tally;

/// The state as everybody sees it, by [`Self::label`] in API and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BreakerState {
    Closed,
    /// Nothing is sent until the wait is over.
    Open,
    /// A few exchanges are let through as probes.
    HalfOpen,
}

impl BreakerState {
    /// As in the API, logs and labels.
    pub fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }

    /// The value of `circuit_breaker_state`.
    pub fn number(self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::Open => 1,
            Self::HalfOpen => 2,
        }
    }
}

/// Why the state changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransitionCause {
    /// The evidence against the upstream.
    Tripped(Trip),
    /// The open time has passed.
    WaitOver,
    /// A probe was bad, rate-limited or overdue.
    ProbeFailed,
    /// Enough good probes in a row.
    ProbesPassed,
    /// An operator opened, closed or released it.
    Operator,
    /// An operator's hold has expired.
    HoldExpired,
    /// Enough active checks passed.
    ChecksPassed,
    /// A reload changed the mode: counting begins anew.
    ModeChanged,
}

impl TransitionCause {
    pub fn label(self) -> &'static str {
        match self {
            Self::Tripped(trip) => trip.label(),
            Self::WaitOver => "wait_over",
            Self::ProbeFailed => "probe_failed",
            Self::ProbesPassed => "probes_passed",
            Self::Operator => "operator",
            Self::HoldExpired => "hold_expired",
            Self::ChecksPassed => "checks_passed",
            Self::ModeChanged => "mode_changed",
        }
    }

    /// A clause for people, such as "a probe failed".
    pub fn describe(self) -> String {
        match self {
            Self::Tripped(trip) => trip.describe(),
            Self::WaitOver => "the open time has passed".to_owned(),
            Self::ProbeFailed => "a probe failed".to_owned(),
            Self::ProbesPassed => "enough probes passed".to_owned(),
            Self::Operator => "an operator's order".to_owned(),
            Self::HoldExpired => "the operator's hold has expired".to_owned(),
            Self::ChecksPassed => "enough active checks passed".to_owned(),
            Self::ModeChanged => "the breaker's mode was changed".to_owned(),
        }
    }
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerTransition {
    /// The state before the change.
    pub from: BreakerState,
    /// The state after the change.
    pub to: BreakerState,
    /// The move of a breaker in shadow: what would have happened; nothing was refused before it or is after it.
    pub shadow: bool,
    pub why: TransitionCause,
    /// Rises with every transition; orders those that cross on their way.
    pub generation: u64,
    /// When it closed: how long it had not been closed.
    pub recovered: Option<Duration>,
}

/// An attempt that counted against an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedAttempt {
    /// When it was known.
    pub at: Instant,
    /// Where; `None`: no address was known.
    pub endpoint: Option<SocketAddr>,
    /// What was wrong; `None`: it was rate-limited.
    pub why: Option<verdict::BadReason>,
    /// Had its connection carried an exchange before?
    pub reused: bool,
    /// The route of its exchange.
    pub route: Option<RouteName>,
}

/// Why an attempt may not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The breaker is open.
    Open {
        /// Until probes may start.
        probe_in: Duration,
    },
    /// All probes are in flight.
    Probing,
    /// Just closed: this one was not among the admitted share.
    Ramping,
    /// Held open by an operator.
    Held {
        /// Until the hold expires.
        expires_in: Duration,
    },
}

impl Refusal {
    /// The metric labels, each at the [`place`](Self::place) of its refusal.
    pub const LABELS: [&'static str; 4] = ["open", "probing", "ramping", "held"];

    /// Where it is counted.
    pub fn place(self) -> usize {
        match self {
            Self::Open { .. } => 0,
            Self::Probing => 1,
            Self::Ramping => 2,
            Self::Held { .. } => 3,
        }
    }

    pub fn label(self) -> &'static str {
        Self::LABELS[self.place()]
    }

    /// When it makes sense to ask again.
    pub fn retry_after(self) -> Duration {
        match self {
            Self::Open { probe_in } => probe_in.max(Duration::from_secs(1)),
            Self::Held { expires_in } => expires_in.clamp(Duration::from_secs(1), RETRY_AFTER_CAP),
            Self::Probing | Self::Ramping => Duration::from_secs(1),
        }
    }
}

/// An operator's override: the breaker stays in a state, whatever the evidence says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Held open (true: nothing is sent) or closed.
    pub state: BreakerState,
    /// Why, in the words of whoever ordered it.
    pub reason: String,
    pub actor: String,
    /// When it ends by itself.
    pub until: Instant,
}

/// A look at a breaker.
#[derive(Clone, Debug)]
pub struct BreakerView {
    /// The state that requests meet.
    pub state: BreakerState,
    /// Whether it refuses, only counts, or is off.
    pub mode: Mode,
    /// The state it would be in if it were on; `None`: it is not in shadow.
    pub shadow_state: Option<BreakerState>,
    /// Growing back after closing.
    pub ramping: bool,
    /// When it got there.
    pub since: Instant,
    /// Why; `None`: it has never moved.
    pub why: Option<TransitionCause>,
    /// Rises with every transition.
    pub generation: u64,
    /// Bad exchanges in a row.
    pub consecutive: u32,
    /// All bad exchanges in a row while it is closed, whether they count or not.
    pub bad_in_a_row: u32,
    /// The last attempts that counted against it, oldest first; while it is not closed, those that tripped it.
    pub evidence: Vec<FailedAttempt>,
    /// Verdicts within the window of the rates.
    pub tally: Tally,
    /// Openings since it was last closed for good.
    pub trips: u32,
    /// When probes may start.
    pub open_until: Option<Instant>,
    /// Probes that are in flight now.
    pub probes_in_flight: u32,
    /// Good probes in a row.
    pub good_probes: u32,
    /// Active checks that passed in a row while it was not closed.
    pub good_checks: u32,
    /// The operator's override; `None`: there is none.
    pub hold: Option<Hold>,
}

impl BreakerView {
    /// Closed (in shadow: would be), and not because an operator says so.
    pub fn is_closed_by_evidence(&self) -> bool {
        self.shadow_state.unwrap_or(self.state) == BreakerState::Closed && self.hold.is_none()
    }
}
