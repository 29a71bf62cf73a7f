//! Sums as figures: what was promised, what was kept, what of the budget is gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::SERVICE;
use super::request::SlaRequest;
use super::tally::SubjectSums;
use crate::reliability::counts::Counts;
use crate::reliability::ledger::Report;
use crate::reliability::significance;
use crate::reliability::slo::Objective;
use crate::report::calendar::CalendarDay;
use crate::report::text;

/// A trend is told when chance would show as much less often than this.
const CHANCE: f64 = 0.001;

/// What a range of time was.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Seconds served over seconds measured, percent; null: nothing was measured.
    #[serde(rename = "uptime", serialize_with = "text::as_share")]
    pub uptime_percentage: Option<f64>,
    /// The uptime when all unknown time was down.
    #[serde(rename = "lowest", serialize_with = "text::as_share")]
    pub lowest_percentage: Option<f64>,
    /// The uptime when all unknown time was up.
    #[serde(rename = "highest", serialize_with = "text::as_share")]
    pub highest_percentage: Option<f64>,
    /// The share of the range that was observed, 0 to 1.
    pub coverage: f64,
    /// Seconds in which it served.
    pub up_seconds: u64,
    /// Seconds in which it served, not well.
    pub degraded_seconds: u64,
    /// Seconds in which it did not.
    pub down_seconds: u64,
    /// Seconds of announced work; neither up nor down.
    pub maintenance_seconds: u64,
    /// Seconds that nobody saw.
    pub unknown_seconds: u64,
    /// Requests that were counted.
    pub requests: u64,
    /// Requests that failed of these.
    pub failed: u64,
    /// Good requests over all, percent; null: there were none.
    #[serde(rename = "success", serialize_with = "text::as_share")]
    pub success_percentage: Option<f64>,
    #[serde(skip)]
    pub(super) report: Report,
}

impl Figures {
    pub(super) fn of(report: Report) -> Self {
        let percent = |share: f64| share * 100.0;
        let bounds = report.bounds();
        Self {
            uptime_percentage: report.uptime().map(percent),
            lowest_percentage: bounds.map(|(low, _)| percent(low)),
            highest_percentage: bounds.map(|(_, high)| percent(high)),
            coverage: report.coverage(),
            up_seconds: report.up,
            degraded_seconds: report.degraded,
            down_seconds: report.down,
            maintenance_seconds: report.maintenance,
            unknown_seconds: report.unknown,
            requests: report.counts.total(),
            failed: report.counts.bad,
            success_percentage: report.counts.bad_ratio().map(|bad| percent(1.0 - bad)),
            report,
        }
    }

    pub(super) fn good_seconds(&self) -> u64 {
        self.up_seconds + self.degraded_seconds
    }

    pub(super) fn measured_seconds(&self) -> u64 {
        self.report.measured()
    }
}

/// What may go wrong, and how much of it did.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BudgetFigures {
    /// Seconds or requests that may be bad.
    pub allowed: f64,
    /// Seconds or requests that were bad.
    pub spent: u64,
    /// Of the budget, percent; above 100 it is overdrawn. Null: there is no budget to spend from.
    #[serde(rename = "spent_share", serialize_with = "text::as_share")]
    pub spent_percentage: Option<f64>,
}

impl BudgetFigures {
    pub(super) fn of(allowed: f64, spent: u64) -> Self {
        let spent_percentage = (allowed > 0.0).then(|| spent as f64 / allowed * 100.0);
        Self { allowed, spent, spent_percentage }
    }
}

/// One day of one subject.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DayFigures {
    /// Written as `2026-10-25`.
    pub date: String,
    #[serde(flatten)]
    pub figures: Figures,
}

/// The service, or something it depends on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SubjectFigures {
    /// "service" is the service as a whole; else an upstream.
    pub name: String,
    /// The month as a whole.
    pub month: Figures,
    /// Only the service hours; null: none were asked for.
    pub service_hours: Option<Figures>,
    /// The budget of time; seconds.
    pub time_budget: BudgetFigures,
    /// The budget of requests.
    pub request_budget: BudgetFigures,
    /// By day, as far as the report goes.
    pub days: Vec<DayFigures>,
}

/// The service as a whole first, then what it depends on by name. Something that was asked for by name is there, seen or not.
pub(super) fn subjects(
    asked: &SlaRequest,
    mut sums: BTreeMap<Arc<str>, SubjectSums>,
    days: &[CalendarDay],
) -> Vec<SubjectFigures> {
    let first = asked.service.as_deref().unwrap_or(SERVICE);
    let whole = sums.remove(first).unwrap_or_else(|| asked.tally().unseen());
    let rest = sums.into_iter().filter(|_| asked.service.is_none());
    let mut all = vec![subject(asked, first, &whole, days)];
    all.extend(rest.map(|(name, sums)| subject(asked, &name, &sums, days)));
    all
}

fn subject(asked: &SlaRequest, name: &str, sums: &SubjectSums, days: &[CalendarDay]) -> SubjectFigures {
    let whole = sums.days.iter().copied().fold(Report::default(), Report::plus);
    let span = asked.span();
    let promised = span.end.since(span.start).as_secs().saturating_sub(whole.maintenance);
    let allowed = |target: f64, of: u64| Objective { target }.allowed() * of as f64;
    let Counts { bad, .. } = whole.counts;
    let day = |(day, report): (&CalendarDay, &Report)| DayFigures {
        date: day.date.clone(),
        figures: Figures::of(*report),
    };
    SubjectFigures {
        name: name.to_owned(),
        month: Figures::of(whole),
        service_hours: asked.hours.as_ref().map(|_| Figures::of(sums.open)),
        time_budget: BudgetFigures::of(allowed(asked.objectives.uptime, promised), whole.down),
        request_budget: BudgetFigures::of(allowed(asked.objectives.requests, whole.counts.total()), bad),
        days: days
            .iter()
            .zip(&sums.days)
            .take_while(|(day, _)| day.span.start < asked.until)
            .map(day)
            .collect(),
    }
}

/// Which way the share of failures goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// A larger share fails in the second half of the month, beyond chance.
    Rising,
    /// A smaller share fails in the second half, beyond chance.
    Falling,
    /// No difference that chance does not explain.
    Steady,
}

/// The failures of a subject.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trend {
    pub subject: String,
    pub failed: u64,
    /// Requests that failed of all, in percent.
    #[serde(rename = "failed_share", serialize_with = "text::as_share")]
    pub failed_percentage: f64,
    /// The same in the first half of the days; null: no requests.
    #[serde(rename = "first_half", serialize_with = "text::as_share")]
    pub first_half_percentage: Option<f64>,
    /// The same in the second half.
    #[serde(rename = "second_half", serialize_with = "text::as_share")]
    pub second_half_percentage: Option<f64>,
    pub trend: Way,
    /// The day with the most failures.
    pub worst_day: String,
    /// Requests that failed on that day.
    pub worst_day_failed: u64,
}

/// Of subjects with failures; most failures first.
pub(super) fn trends(subjects: &[SubjectFigures]) -> Vec<Trend> {
    let mut all: Vec<Trend> = subjects.iter().filter_map(trend).collect();
    all.sort_by(|a, b| b.failed.cmp(&a.failed).then_with(|| a.subject.cmp(&b.subject)));
    all
}

fn trend(subject: &SubjectFigures) -> Option<Trend> {
    let counts = subject.month.report.counts;
    let sum = |days: &[DayFigures]| {
        days.iter().fold(Counts::default(), |sum, day| sum.plus(day.figures.report.counts))
    };
    let (first, second) = subject.days.split_at(subject.days.len() / 2);
    let (first, second) = (sum(first), sum(second));
    // The first of equals.
    let worst = subject.days.iter().rev().max_by_key(|day| day.figures.failed)?;
    let percent = |counts: Counts| counts.bad_ratio().map(|bad| bad * 100.0);
    Some(Trend {
        subject: subject.name.clone(),
        failed: counts.bad,
        failed_percentage: percent(counts).filter(|_| counts.bad > 0)?,
        first_half_percentage: percent(first),
        second_half_percentage: percent(second),
        trend: way(first, second),
        worst_day: worst.date.clone(),
        worst_day_failed: worst.figures.failed,
    })
}

/// Rising: were all requests alike, so many of the failures would not lie in the second half, and the other way round.
fn way(first: Counts, second: Counts) -> Way {
    let (requests, failed) = (first.total() + second.total(), first.bad + second.bad);
    if first.total() == 0 || second.total() == 0 {
        return Way::Steady;
    }
    let of_second = second.total() as f64 / requests as f64;
    if significance::binomial_tail(second.bad, failed, of_second) < CHANCE {
        Way::Rising
    } else if significance::binomial_tail(first.bad, failed, 1.0 - of_second) < CHANCE {
        Way::Falling
    } else {
        Way::Steady
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(total: u64, bad: u64) -> Counts {
        Counts { good: total - bad, bad }
    }

    /// By hand: with as many requests in both halves, n failures all in one half have the probability 2⁻ⁿ; 2⁻⁹ is above one
    /// in a thousand, 2⁻¹⁰ below.
    #[test]
    fn a_trend_is_what_chance_does_not_explain() {
        assert_eq!(way(counts(1_000, 0), counts(1_000, 9)), Way::Steady);
        assert_eq!(way(counts(1_000, 0), counts(1_000, 10)), Way::Rising);
        assert_eq!(way(counts(1_000, 10), counts(1_000, 0)), Way::Falling);
        // Twice the traffic, twice the failures.
        assert_eq!(way(counts(10_000, 100), counts(20_000, 200)), Way::Steady);
        assert_eq!(way(counts(0, 0), counts(1_000, 500)), Way::Steady, "there is nothing to compare with");
    }
}
