//! An alert as the engine keeps it.

use std::sync::Arc;

use crate::names::IncidentId;
use crate::reliability::alert::{Alert, AlertPolicy, Sign};
use crate::reliability::detect::Says;
use crate::reliability::rule::Severity;
use crate::units::At;

/// An alert and what the engine knows beside it.
#[derive(Clone, Debug)]
pub(super) struct Tracked {
    pub(super) alert: Alert,
    pub(super) policy: AlertPolicy,
    pub(super) incident: IncidentId,
    /// Who is to blame, as far as known.
    pub(super) cause: Option<Arc<str>>,
    /// The worst it has claimed so far.
    pub(super) claimed: Severity,
    /// Good since its last bad look.
    pub(super) calm: bool,
    /// The last look at it.
    pub(super) seen: At,
    /// What this member's own evidence said then.
    pub(super) own: Sign,
    /// What was last said to people about it.
    pub(super) says: Option<Says>,
    /// Its evidence is another member's.
    pub(super) elsewhere: bool,
}

impl Tracked {
    pub(super) fn new(
        alert: Alert,
        policy: AlertPolicy,
        incident: IncidentId,
        claimed: Severity,
        now: At,
    ) -> Self {
        let (cause, calm, own, says, elsewhere) = (None, false, Sign::Blind, None, false);
        Self { alert, policy, incident, cause, claimed, calm, seen: now, own, says, elsewhere }
    }
}
