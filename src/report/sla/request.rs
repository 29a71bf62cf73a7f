//! What is to be reported.

use std::ops::Range;

use serde::Serialize;

use super::tally::MonthTally;
use crate::reliability::slo::Objective;
use crate::report::calendar::{CalendarDay, Month};
use crate::report::hours::ServiceHours;
use crate::runtime::zone::Zone;
use crate::units::At;

/// What is promised, as shares: above 0, below 1. Two promises that are never derived from each other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Objectives {
    /// Of the time in which the service is to serve.
    pub uptime: f64,
    /// Of the replies that are to be good.
    pub requests: f64,
}

impl Default for Objectives {
    /// The guide's: 99.99 % of the time, 99.9 % of the requests.
    fn default() -> Self {
        Self { uptime: 0.9999, requests: Objective::default().target }
    }
}

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
