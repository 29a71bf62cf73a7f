//! What a review is made of beside the incident.

use std::time::Duration;

use crate::reliability::counts::Counts;
use crate::reliability::ledger::Minute;
use crate::units::At;

/// Changes of the config this long before the first bad event are told.
pub const LOOK_BACK: Duration = Duration::from_secs(86_400);
/// The budget that an incident spends from is that of the 30 days up to its end.
pub const PERIOD: Duration = Duration::from_secs(30 * 86_400);
/// What the store holds around an incident.
#[derive(Clone, Debug, Default)]
pub struct Around {
    /// The ledger of [`window`](super::window), of the service and of all that the incident is about.
    pub minutes: Vec<Minute>,
    /// Requests of the 30 days up to the window's end; `None`: none were counted.
    pub period: Option<Counts>,
    /// Changes of the config from [`LOOK_BACK`] before it to its end, oldest first.
    pub changes: Vec<AuditedChange>,
}

/// A change of the config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditedChange {
    pub at: At,
    /// The person or part of Strop that made it.
    pub actor: String,
    /// The word of the audit log, such as "config.applied".
    pub action: String,
    /// The id or name of what was changed.
    pub target: String,
    /// As the audit log holds it.
    pub detail: String,
}
