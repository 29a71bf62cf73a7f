//! Figures of incidents that outlive a start: what is counted over the last day is read from the store.

use std::time::Duration;

use crate::names::IncidentId;
use crate::reliability::incident::Incident;
use crate::units::At;

/// How far back they reach.
pub(super) const DAY: Duration = Duration::from_secs(86_400);
/// Incidents of a day that are looked at; a day with more of them is counted as far as this.
pub(super) const MOST: u32 = 10_000;

/// What counts of one incident. A drill has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Figure {
    pub(super) id: IncidentId,
    /// When it was confirmed.
    pub(super) opened: Option<At>,
    pub(super) closed: Option<At>,
    /// From the first bad event to the end of the condition.
    pub(super) took: Option<Duration>,
}

impl Figure {
    /// `None`: it was never confirmed, or is a drill.
    pub(super) fn of(incident: &Incident) -> Option<Self> {
        let clocks = &incident.clocks;
        let counts = clocks.opened.is_some() && !incident.is_drill();
        counts.then(|| Self {
            id: incident.id.clone(),
            opened: clocks.opened,
            closed: clocks.closed,
            took: clocks.to_recover(),
        })
    }
}
