//! Where a breaker is, and what an operator's hold does to that.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use super::ramp::Ramp;
use super::view::{BreakerState, Hold, TransitionCause};

/// An attempt of a half-open breaker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    pub(super) number: u64,
    /// From then on it has failed, whatever comes of it.
    pub(super) late_at: Instant,
}

/// What a hold interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeldPhase {
    Closed,
    Tripped,
}

#[derive(Debug)]
pub(super) enum BreakerPhase {
    Closed {
        ramp: Option<Ramp>,
    },
    Open {
        until: Instant,
    },
    HalfOpen {
        probes: Vec<Probe>,
        good: u32,
        /// Probes there may be, or already were when a reload allowed fewer.
        most: u32,
    },
    Held {
        hold: Hold,
        before: HeldPhase,
        /// What a breaker that was not held would have tripped by; a good exchange takes it back.
        tripped: Option<TransitionCause>,
        /// Exchanges that went well meanwhile.
        served: bool,
    },
}

impl BreakerPhase {
    pub(super) fn half_open(probes: NonZeroU32) -> Self {
        Self::HalfOpen { probes: Vec::new(), good: 0, most: probes.get() }
    }

    pub(super) fn closed(ramp: Duration, now: Instant) -> Self {
        Self::Closed { ramp: (!ramp.is_zero()).then(|| Ramp::new(now + ramp, now)) }
    }

    pub(super) fn state(&self) -> BreakerState {
        match self {
            Self::Closed { .. } => BreakerState::Closed,
            Self::Open { .. } => BreakerState::Open,
            Self::HalfOpen { .. } => BreakerState::HalfOpen,
            Self::Held { hold, .. } => hold.state,
        }
    }

    /// What a hold that begins now would interrupt; a hold in a hold interrupts what the first one did.
    pub(super) fn before(&self) -> HeldPhase {
        match self {
            Self::Closed { .. } => HeldPhase::Closed,
            Self::Open { .. } | Self::HalfOpen { .. } => HeldPhase::Tripped,
            Self::Held { before, .. } => *before,
        }
    }

    /// Has evidence tripped it, and nothing closed it since?
    pub(super) fn is_tripped(&self) -> bool {
        self.before() == HeldPhase::Tripped
    }

    pub(super) fn is_held(&self) -> bool {
        matches!(self, Self::Held { .. })
    }
}
