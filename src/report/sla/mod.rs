//! The service level report of a calendar month, as figures. A function of its inputs: it reads no clock, no store and no zone
//! of the machine, so the same inputs give the same bytes.
//!
//! # What the figures mean
//! * *Uptime*: seconds served, well or not, over seconds measured. Unknown seconds are neither; they widen the bounds (all of
//!   them down, all of them up) and lower the coverage. Announced maintenance is left out and shown on its own.
//! * *Requests*: replies that did not fail over all replies. Never derived from the uptime, nor the other way round.
//! * *Budget of time*: what the target leaves of the whole month without its maintenance; spent by seconds down.
//! * *Budget of requests*: what the objective leaves of the requests that there were; spent by those that failed.
//! * *Incidents* are those that began in the month and were confirmed. What was opened by hand about the service "test" is a
//!   drill and counted apart.

pub mod advice;
mod chart;
mod clocks;
mod csv;
mod document;
mod figures;
mod html;
mod incidents;
mod request;
mod style;
mod tables;
mod tally;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::reliability::incident::Incident;
pub use clocks::{IncidentClocks, Spread};
pub use document::{NotObserved, Sla};
pub use figures::{BudgetFigures, Figures, SubjectFigures, Trend, Way};
pub use incidents::{CauseGroup, IncidentFigures, MonthIncidents};
pub use request::{Objectives, SlaRequest};
pub use tally::{MonthTally, SubjectSums};

pub use crate::reliability::ledger::SERVICE;

impl Sla {
    /// Of the ledger's sums and of the incidents that touch the month, in any order.
    pub fn of(
        asked: &SlaRequest,
        sums: BTreeMap<Arc<str>, SubjectSums>,
        stored: &[Incident],
        unreadable_rows: usize,
    ) -> Self {
        let (span, days, zone) = (asked.span(), asked.days(), &asked.zone);
        let subjects = figures::subjects(asked, sums, &days);
        let wanted = |one: &&Incident| asked.service.as_deref().is_none_or(|name| name == &*one.key.service);
        let mut stored: Vec<&Incident> = stored.iter().filter(wanted).collect();
        stored.sort_by_key(|one| (one.clocks.began, &one.id));
        let confirmed = incidents::confirmed(&stored, &span);
        let clocks = IncidentClocks::of(&confirmed);
        let found = MonthIncidents::of(&stored, &span, zone);
        let error_trends = figures::trends(&subjects);
        let seen = advice::AdviceInput {
            objectives: asked.objectives,
            subjects: &subjects,
            confirmed: &confirmed,
            clocks,
            trends: &error_trends,
            end: span.end.min(asked.until),
            zone,
        };
        let recommendations = seen.advice();
        Self {
            schema: "strop.sla/1",
            month: asked.month.code(),
            title: asked.month.title(),
            time_zone: zone.name().to_owned(),
            from: zone.rfc3339(span.start),
            to: zone.rfc3339(span.end),
            seconds: span.end.since(span.start).as_secs(),
            until: (asked.until < span.end).then(|| zone.rfc3339(asked.until)),
            service_hours: asked.hours.as_ref().map(|hours| hours.text().to_owned()),
            objectives: asked.objectives,
            subjects,
            incidents: found,
            clocks,
            error_trends,
            business_impact: NotObserved,
            recommendations,
            unreadable_rows,
            days,
        }
    }

    /// For machines: all figures.
    pub fn json(&self) -> String {
        // Text keys and finite numbers only, so this cannot fail.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// For spreadsheets: one row for each subject and day, and one for its month.
    pub fn csv(&self) -> String {
        csv::write(self)
    }

    /// For people: one page without scripts and without anything from elsewhere.
    pub fn html(&self) -> String {
        html::write(self)
    }
}
