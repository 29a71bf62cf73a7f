//! May a drill begin, and must it end? Whatever else goes wrong ends it.

use std::fmt;

use super::seen::{DrillCounts, DrillIncident, Trouble};
use super::{DrillMode, DrillOrder, DrillPolicy};
use crate::names::IncidentId;
use crate::reliability::breaker::BreakerState;
use crate::reliability::counts::Counts;
use crate::units::{Percent, Written as _};

/// Fewer bad answers than this say nothing.
const SAYS_NOTHING: u64 = 5;
/// Of fewer answers of the service a share says nothing.
const FEW: u64 = 20;

/// What a drill sees around it, at one look.
#[derive(Clone, Debug)]
pub struct DrillScene {
    /// Of the drill itself.
    pub counts: DrillCounts,
    /// The drill's own incidents.
    pub incidents: Vec<DrillIncident>,
    /// A live incident that is not the drill's; suspicions are none.
    pub other: Option<IncidentId>,
    /// Answers of all measured routes in the last minute.
    pub service: Counts,
    /// The upstream's breaker.
    pub breaker: BreakerState,
    /// Is the upstream still there, and is it asked for drills?
    pub standing: Standing,
}

/// What the config in force says of a drill that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Stands,
    /// There is no such upstream any more.
    Gone,
    /// Drills are off.
    Off,
}

impl DrillScene {
    /// Why the injection must end now.
    pub(super) fn trouble(&self, counts: &DrillCounts, policy: &DrillPolicy) -> Option<Trouble> {
        match self.standing {
            Standing::Stands => {}
            Standing::Gone => return Some(Trouble::Gone),
            Standing::Off => return Some(Trouble::Off),
        }
        if let Some(other) = &self.other {
            return Some(Trouble::Incident(other.clone()));
        }
        let (bad, of) = (counts.own_failures, counts.untouched);
        if bad >= SAYS_NOTHING && policy.errors.reached_by(bad, of) {
            return Some(Trouble::Errors { bad, of, limit: policy.errors });
        }
        let (bad, of) = (self.service.bad, self.service.total());
        let too_much = bad >= SAYS_NOTHING && of >= FEW && policy.degraded.reached_by(bad, of);
        too_much.then_some(Trouble::Degraded { bad, of, limit: policy.degraded })
    }
}

/// Why a drill does not begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DrillRefused {
    /// `[drill]` is off.
    Off,
    /// One goes on.
    Running { id: String },
    /// None goes on.
    NotRunning,
    /// No upstream has that name.
    NoUpstream { name: String, known: Vec<String> },
    /// A larger share than may be.
    TooMuch { most: Percent },
    /// Longer than may be.
    TooLong { longest: std::time::Duration },
    /// It takes payments, and nobody insists.
    Payments,
    /// Something is the matter.
    Incident(IncidentId),
    /// Its breaker does not let all through.
    Breaker(BreakerState),
    /// Other sidecars decide with this one.
    Fleet,
}

impl fmt::Display for DrillRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("drills are off"),
            Self::Running { id } => write!(f, "the drill {id} goes on"),
            Self::NotRunning => f.write_str("no drill goes on"),
            Self::NoUpstream { name, .. } => write!(f, "no upstream is named {name:?}"),
            Self::TooMuch { most } => {
                write!(f, "a drill hits at most {most} of the requests, and more than none")
            }
            Self::TooLong { longest } => {
                write!(f, "a drill lasts at most {}, and a second at least", longest.write())
            }
            Self::Payments => f.write_str("the upstream takes payments: an open breaker would refuse them"),
            Self::Incident(id) => {
                write!(f, "something is the matter ({id}): a drill begins when all is well")
            }
            Self::Breaker(state) => {
                write!(f, "the upstream's breaker is {}: a drill begins when all is well", state.label())
            }
            Self::Fleet => f.write_str("several sidecars share the incidents: a drill is one sidecar's"),
        }
    }
}

/// What is so before a drill.
#[derive(Clone, Debug)]
pub struct DrillBefore {
    /// A live incident, suspected ones included; an announced test of the ladder is none.
    pub incident: Option<IncidentId>,
    pub breaker: BreakerState,
    pub payments: PaymentsAtRisk,
    pub company: Company,
}

/// May an open breaker of the upstream refuse payments?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentsAtRisk {
    /// It takes none, or whoever orders the drill accepts it.
    No,
    Yes,
}

/// Does this sidecar decide alone what is an incident?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Company {
    Alone,
    Fleet,
}

impl DrillOrder {
    /// May it begin?
    pub fn check(&self, policy: &DrillPolicy, before: &DrillBefore) -> Result<(), DrillRefused> {
        if policy.mode == DrillMode::Off {
            return Err(DrillRefused::Off);
        }
        if before.company == Company::Fleet {
            return Err(DrillRefused::Fleet);
        }
        if self.share > policy.most || self.share == Percent::of(0) {
            return Err(DrillRefused::TooMuch { most: policy.most });
        }
        if self.lasts > policy.longest || self.lasts < std::time::Duration::from_secs(1) {
            return Err(DrillRefused::TooLong { longest: policy.longest });
        }
        if before.payments == PaymentsAtRisk::Yes {
            return Err(DrillRefused::Payments);
        }
        if let Some(id) = &before.incident {
            return Err(DrillRefused::Incident(id.clone()));
        }
        match before.breaker {
            BreakerState::Closed => Ok(()),
            state @ (BreakerState::Open | BreakerState::HalfOpen) => Err(DrillRefused::Breaker(state)),
        }
    }
}
