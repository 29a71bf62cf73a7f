//! The post-incident review of one incident, as facts. A function of the incident and of what the store holds around it.
//!
//! The human part is left blank until somebody fills it in (`POST …/incidents/{id}/review`); what cannot be observed is named
//! as such. Times that only the reader's clock could give are not in it, but for an incident that is not over: its impact
//! reaches to the moment of the asking.

mod around;
mod document;
mod impact;
mod markdown;
mod rows;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::time::Duration;

use super::sla::Objectives;
use crate::reliability::incident::{Incident, State};
use crate::runtime::zone::Zone;
use crate::units::At;
pub use around::{Around, AuditedChange, LOOK_BACK, PERIOD};
pub use document::PostIncident;
pub use impact::{Impact, Touched};
pub use rows::{ActionRow, Called, ChangeRow, Factors, Item, Lead, TimelineRow, Took};

/// Facts that no part of Strop observes yet.
const NOT_OBSERVED: [&str; 3] = [
    "how many distinct clients were affected",
    "money and bookings at risk",
    "deployments of the service itself; only changes of Strop's config are seen",
];

/// How the review is to be made.
#[derive(Clone, Debug)]
pub struct ReviewRequest {
    /// In which zone times are told.
    pub zone: Zone,
    /// Up to where the impact of an incident that is not over is told.
    pub until: At,
    /// The objectives that its budgets are counted by.
    pub objectives: Objectives,
}

/// From the first bad event to the end of the condition; of one that is not over, to `until`. At least a second.
pub fn window(incident: &Incident, until: At) -> Range<At> {
    let clocks = &incident.clocks;
    let end = match clocks.closed {
        Some(closed) => clocks.recovered.unwrap_or(closed),
        None => until,
    };
    clocks.began..end.max(clocks.began + Duration::from_secs(1))
}

impl PostIncident {
    /// Of an incident and what is around it.
    pub fn of(one: &Incident, around: Around, asked: &ReviewRequest) -> Self {
        let zone = &asked.zone;
        let when = |at: At| zone.rfc3339(at);
        let review = one.review.clone().unwrap_or_default();
        let item = |item: &crate::reliability::incident::ActionItem| Item {
            what: item.what.clone(),
            owner: item.owner.clone(),
            due: zone.date(item.due),
        };
        let span = window(one, asked.until);
        Self {
            schema: "strop.review/1",
            id: one.id.as_str().to_owned(),
            title: one.title.clone(),
            severity: one.severity.label(),
            state: one.state.label(),
            rule: one.key.rule.label(),
            service: one.key.service.to_string(),
            time_zone: zone.name().to_owned(),
            began: when(one.clocks.began),
            ended: one.clocks.closed.map(|_| when(span.end)),
            acknowledged_by: one.acknowledged_by.clone(),
            assignee: one.assignee.clone(),
            flaps: one.flaps,
            earlier: one.earlier.as_ref().map(|id| id.as_str().to_owned()),
            reviewed: one.state == State::Reviewed,
            missing: review.missing(),
            clocks: rows::clocks(one),
            respond_by: one.respond_by.map(when),
            response_breached: one.breached,
            impact: Impact::of(one, &span, &around, asked.objectives),
            signals: rows::leads(one, zone),
            calls: rows::calls(one),
            actions: rows::actions(one, zone),
            config_changes: rows::changes(&around.changes, one, zone),
            timeline: one.timeline.iter().map(|entry| rows::line(entry, one, zone)).collect(),
            action_items: review.actions.iter().map(item).collect(),
            factors: Factors { technical: review.technical, process: review.process, human: review.human },
            not_observed: NOT_OBSERVED.to_vec(),
        }
    }

    /// The document as JSON, for machines.
    pub fn json(&self) -> String {
        // Text keys and finite numbers only, so this cannot fail.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// For people, and for an issue tracker.
    pub fn markdown(&self) -> String {
        markdown::write(self)
    }
}
