//! What is seen of a drill, and why its injection ended.

use std::fmt;
use std::time::Duration;

use crate::names::IncidentId;
use crate::reliability::incident::State;
use crate::units::{At, Percent};

/// What exchanges came to, since the drill began; all are exchanges with the upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrillCounts {
    /// Attempts that were hit.
    pub hit: u64,
    /// Exchanges, however they ended.
    pub exchanges: u64,
    /// Exchanges that were not hit.
    pub untouched: u64,
    /// Those that were hit and ended badly.
    pub failed: u64,
    /// Those that the breaker refused meanwhile.
    pub refused: u64,
    /// Those that ended badly by no doing of the drill.
    pub own_failures: u64,
    /// From the beginning of the drill to the first hit.
    pub first_hit: Option<Duration>,
}

/// An incident that is the drill's, as it is at one look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrillIncident {
    pub id: IncidentId,
    pub state: State,
    /// When it was first suspected.
    pub suspected: At,
    /// When it was confirmed.
    pub opened: Option<At>,
    /// When its condition was last seen to end.
    pub recovered: Option<At>,
    /// Who was called, in the words of its timeline.
    pub called: Vec<String>,
}

/// Why the injection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DrillEnd {
    /// It was to last no longer.
    Window,
    /// Somebody ended it.
    Stopped { actor: String },
    /// The guard ended it.
    Aborted(Trouble),
}

impl DrillEnd {
    /// As in the API and in labels.
    pub const LABELS: [&'static str; 3] = ["window", "stopped", "aborted"];

    /// As in the API and in labels.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Window => "window",
            Self::Stopped { .. } => "stopped",
            Self::Aborted(_) => "aborted",
        }
    }

    /// One sentence.
    pub fn describe(&self) -> String {
        match self {
            Self::Window => "its time was over".to_owned(),
            Self::Stopped { actor } => format!("{actor} ended it"),
            Self::Aborted(trouble) => format!("the guard ended it: {trouble}"),
        }
    }
}

/// Why the guard ends a drill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Something else is the matter.
    Incident(IncidentId),
    /// The upstream fails by itself.
    Errors { bad: u64, of: u64, limit: Percent },
    /// Too much of the service fails.
    Degraded { bad: u64, of: u64, limit: Percent },
    /// The upstream is no longer in the config.
    Gone,
    /// `[drill]` was turned off.
    Off,
}

impl Trouble {
    /// As in the API and in labels.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Incident(_) => "other_incident",
            Self::Errors { .. } => "real_errors",
            Self::Degraded { .. } => "degraded",
            Self::Gone => "upstream_gone",
            Self::Off => "turned_off",
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incident(id) => write!(f, "something else is the matter ({id})"),
            Self::Errors { bad, of, limit } => {
                write!(f, "{bad} of {of} exchanges that it did not touch failed, and {limit} may")
            }
            Self::Degraded { bad, of, limit } => {
                write!(f, "{bad} of the {of} answers of the last minute were bad, and {limit} may be")
            }
            Self::Gone => f.write_str("its upstream is no longer in the config"),
            Self::Off => f.write_str("drills were turned off"),
        }
    }
}
