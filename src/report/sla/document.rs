//! The report as it is written, field by field.

use serde::Serialize;

use super::advice::Recommendation;
use super::clocks::IncidentClocks;
use super::figures::{SubjectFigures, Trend};
use super::incidents::MonthIncidents;
use super::request::Objectives;
use crate::report::calendar::CalendarDay;

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
    pub(super) days: Vec<CalendarDay>,
}
