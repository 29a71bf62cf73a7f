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
mod figures;
mod html;
mod incidents;
mod style;
mod tables;
mod tally;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;

use super::calendar::{CalendarDay, Month};
use super::hours::ServiceHours;
use crate::reliability::incident::Incident;
use crate::runtime::zone::Zone;
use crate::units::At;
use advice::Recommendation;
pub use clocks::{IncidentClocks, Spread};
pub use figures::{BudgetFigures, Figures, Objectives, SubjectFigures, Trend, Way};
pub use incidents::{CauseGroup, IncidentFigures, MonthIncidents};
pub use tally::{MonthTally, SubjectSums};

pub use crate::reliability::ledger::SERVICE;

/// Which month is reported, and how.
#[derive(Clone, Debug)]
pub struct SlaRequest {
    pub month: Month,
    /// In which zone's calendar.
    pub zone: Zone,
    /// When the service is promised, beside the whole month.
    pub hours: Option<ServiceHours>,
    /// Only of this subject and its incidents.
    pub service: Option<String>,
    /// What is not before this moment is not told of.
    pub until: At,
    /// The objectives that uptime and budgets are held to.
    pub objectives: Objectives,
}

impl SlaRequest {
    /// The days of the month.
    pub fn days(&self) -> Vec<CalendarDay> {
        self.zone.days(self.month)
    }

    /// From the month's first second to before the next month's.
    pub fn span(&self) -> Range<At> {
        self.zone.span(self.month)
    }

    /// Is there anything to tell of?
    pub fn has_begun(&self) -> Result<(), String> {
        if self.until > self.span().start {
            return Ok(());
        }
        Err(format!("{} has not begun in {}", self.month.title(), self.zone.name()))
    }

    /// A tally of that month.
    pub fn tally(&self) -> MonthTally {
        let open = self.hours.as_ref().map_or_else(Vec::new, |hours| self.zone.open(hours, self.month));
        MonthTally::new(self.days().into_iter().map(|day| day.span).collect(), open, self.until)
    }
}

/// What nothing observes: null in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct NotObserved;

/// The report of one month.
#[derive(Clone, Debug, Serialize)]
pub struct Sla {
    /// The form of this document.
    pub schema: &'static str,
    /// Written as `2026-10`.
    pub month: String,
    /// Written as `October 2026`.
    pub title: String,
    /// The IANA name of the zone in which times are told.
    pub time_zone: String,
    /// The month's first second.
    pub from: String,
    /// The next month's first second.
    pub to: String,
    /// Seconds of the month.
    pub seconds: u64,
    /// How far it goes, where the month was not over; null: all of it is told.
    pub until: Option<String>,
    /// As they were asked for.
    pub service_hours: Option<String>,
    /// The objectives that uptime and budgets are held to.
    pub objectives: Objectives,
    /// The service as a whole first, then by name.
    pub subjects: Vec<SubjectFigures>,
    /// What was the matter.
    pub incidents: MonthIncidents,
    /// How long it took.
    pub clocks: IncidentClocks,
    /// Where failures became more, or fewer; most failures first.
    pub error_trends: Vec<Trend>,
    /// No part of Strop measures it yet.
    pub business_impact: NotObserved,
    /// What to do about it, the most pressing first.
    pub recommendations: Vec<Recommendation>,
    /// Rows of the store that could not be read.
    pub unreadable_rows: usize,
    #[serde(skip)]
    days: Vec<CalendarDay>,
}

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
