//! What to do about it: rules over the figures of a month, each with the figures that made it speak.

use serde::Serialize;

use super::clocks::IncidentClocks;
use super::figures::{BudgetFigures, SubjectFigures, Trend, Way};
use super::request::Objectives;
use crate::reliability::incident::{Incident, State};
use crate::reliability::rule::{Rule, Severity};
use crate::report::text;
use crate::runtime::zone::Zone;
use crate::units::At;

/// A breaker that opened at least so often, and half of it in one hour of the day, speaks of something regular.
const REGULAR: usize = 4;
/// A breaker that opened at least so often has something to tell, whenever it was.
const OFTEN: usize = 10;
/// Less of the time observed is too little to promise anything by.
const COVERAGE: f64 = 0.99;
/// So much of a budget gone is a warning.
const NEARLY: f64 = 80.0;
/// Response clocks that ran out for one in so many incidents are no exception any more.
const BREACHES: usize = 10;
/// Failures below this number are no trend to act on.
const FAILURES: u64 = 20;

/// How pressing it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AdviceUrgency {
    /// A promise is broken.
    Act,
    /// One may be soon, or the figures cannot say.
    Look,
}

/// One recommendation, with the facts it follows from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recommendation {
    /// How pressing it is.
    pub urgency: AdviceUrgency,
    /// The rule that speaks.
    pub rule: &'static str,
    /// The facts, with their figures.
    pub finding: String,
    /// What to do, in a sentence.
    pub advice: String,
}

fn advice(urgency: AdviceUrgency, rule: &'static str, finding: String, advice: &str) -> Recommendation {
    Recommendation { urgency, rule, finding, advice: advice.to_owned() }
}

/// What the rules look at.
pub(super) struct AdviceInput<'a> {
    pub(super) objectives: Objectives,
    pub(super) subjects: &'a [SubjectFigures],
    /// Confirmed incidents of the month.
    pub(super) confirmed: &'a [&'a Incident],
    pub(super) clocks: IncidentClocks,
    pub(super) trends: &'a [Trend],
    /// Up to where the report goes.
    pub(super) end: At,
    pub(super) zone: &'a Zone,
}

impl AdviceInput<'_> {
    /// All that the rules say, the most pressing first.
    pub(super) fn advice(&self) -> Vec<Recommendation> {
        let mut all = Vec::new();
        if let Some(whole) = self.subjects.first() {
            all.extend(budget(&whole.name, "time", &whole.time_budget, |spent| {
                text::seconds(spent) + " down"
            }));
            let failed = |spent| text::many(spent, "failed request", "failed requests");
            all.extend(budget(&whole.name, "requests", &whole.request_budget, failed));
            all.extend(self.coverage(whole));
        }
        all.extend(self.breaches());
        all.extend(self.undelivered());
        all.extend(self.breakers());
        all.extend(self.trends.iter().filter_map(rising));
        all.extend(self.overdue());
        all.extend(self.not_reviewed());
        all.sort_by_key(|advice| advice.urgency);
        all
    }

    fn coverage(&self, whole: &SubjectFigures) -> Option<Recommendation> {
        let (month, target) = (&whole.month, self.objectives.uptime * 100.0);
        let open = month.lowest_percentage.zip(month.highest_percentage);
        let undecided = open.is_some_and(|(low, high)| low < target && high >= target);
        if month.coverage >= COVERAGE || !undecided {
            return None;
        }
        let unknown = text::seconds(month.unknown_seconds);
        let finding =
            format!("{unknown} were not observed, so nobody can say whether the uptime target was met");
        let what = "Keep a sidecar running at all times (a second replica, a rolling restart) and let an active check \
                    run while there is no traffic.";
        Some(advice(AdviceUrgency::Look, "coverage", finding, what))
    }

    fn breaches(&self) -> Option<Recommendation> {
        let (all, late) = (self.confirmed.len(), self.confirmed.iter().filter(|one| one.breached).count());
        if late == 0 || late * BREACHES < all {
            return None;
        }
        let typical = match self.clocks.acknowledge.median_seconds {
            Some(seconds) => {
                format!("; where somebody did, the median was {}", text::seconds(seconds as u64))
            }
            None => String::new(),
        };
        let finding =
            format!("of {all} incidents, {late} had nobody on them when the response clock ran out{typical}");
        let what =
            "Look at who is called first and through which channel, and whether the severities are right.";
        Some(advice(AdviceUrgency::Act, "response_clock", finding, what))
    }

    fn undelivered(&self) -> Option<Recommendation> {
        let calls = || self.confirmed.iter().flat_map(|one| one.escalation.calls());
        let lost: Vec<_> = calls().filter(|call| call.delivered == Some(false)).collect();
        let mut channels: Vec<&str> = lost.iter().map(|call| &*call.channel).collect();
        channels.sort_unstable();
        channels.dedup();
        let finding = format!(
            "{} of {} calls did not arrive (through {})",
            lost.len(),
            calls().count(),
            channels.join(", ")
        );
        let what = "Try each of them with “strop notify test CHANNEL”, and give every ladder a second way.";
        (!lost.is_empty()).then(|| advice(AdviceUrgency::Act, "undelivered_calls", finding, what))
    }

    /// By upstream: when its breaker opened, and whether that has a time of day.
    fn breakers(&self) -> Vec<Recommendation> {
        let signals = || self.confirmed.iter().flat_map(|one| &one.signals);
        let opened = || signals().filter(|signal| signal.key.rule == Rule::Breaker);
        let mut names: Vec<&str> = opened().map(|signal| &*signal.key.service).collect();
        names.sort_unstable();
        names.dedup();
        names
            .into_iter()
            .filter_map(|name| {
                let of_it = opened().filter(|signal| &*signal.key.service == name);
                let hours: Vec<usize> = of_it.map(|signal| self.zone.hour(signal.first_bad)).collect();
                breaker(name, &hours, self.zone.name())
            })
            .collect()
    }

    fn overdue(&self) -> Option<Recommendation> {
        let items =
            self.confirmed.iter().filter_map(|one| one.review.as_ref()).flat_map(|review| &review.actions);
        let due: Vec<_> = items.filter(|item| item.due < self.end).collect();
        let mut owners: Vec<&str> = due.iter().map(|item| item.owner.trim()).collect();
        owners.sort_unstable();
        owners.dedup();
        let number = text::many(due.len() as u64, "action item was", "action items were");
        let finding = format!("{number} due before the end of this report (owners: {})", owners.join(", "));
        let what = "Strop does not see whether they are done: ask their owners.";
        (!due.is_empty()).then(|| advice(AdviceUrgency::Look, "action_items", finding, what))
    }

    fn not_reviewed(&self) -> Option<Recommendation> {
        let grave = self
            .confirmed
            .iter()
            .filter(|one| one.severity >= Severity::High && one.state == State::Resolved);
        let number = grave.count() as u64;
        let finding = format!(
            "{} of high or critical severity {} no complete review",
            text::many(number, "incident", "incidents"),
            if number == 1 { "has" } else { "have" }
        );
        let what = "Hold the reviews: “strop report review ID” prepares each of them.";
        (number > 0).then(|| advice(AdviceUrgency::Look, "reviews", finding, what))
    }
}

fn budget(
    name: &str,
    which: &str,
    budget: &BudgetFigures,
    spent: impl Fn(u64) -> String,
) -> Option<Recommendation> {
    let share = budget.spent_percentage.filter(|share| *share >= NEARLY)?;
    let finding =
        format!("{share:.0} % of the budget of {which} of {name} is spent ({})", spent(budget.spent));
    let (urgency, what) = if share > 100.0 {
        (
            AdviceUrgency::Act,
            "The promise is broken: put reliability before features until the causes below are dealt with.",
        )
    } else {
        (AdviceUrgency::Look, "Little is left: put off risky changes, and deal with the causes below first.")
    };
    Some(advice(urgency, "error_budget", finding, what))
}

fn breaker(name: &str, hours: &[usize], zone: &str) -> Option<Recommendation> {
    let in_hour = |hour: usize| hours.iter().filter(|at| **at == hour).count();
    // The earliest of equals.
    let hour = (0..24).rev().max_by_key(|hour| in_hour(*hour))?;
    let (all, then) = (hours.len(), in_hour(hour));
    if all >= REGULAR && then * 2 >= all {
        let finding = format!(
            "the breaker of {name} opened {all} times, {then} of them from {hour:02}:00 to {:02}:00 ({zone})",
            hour + 1
        );
        let what = "Something regular: a maintenance window of the vendor, a batch job, a backup? Ask, announce it, or move \
                    the load.";
        return Some(advice(AdviceUrgency::Look, "regular_breaker", finding, what));
    }
    let finding = format!("the breaker of {name} opened {all} times");
    let what = "Talk to the vendor, or look at timeouts, capacity and a second provider.";
    (all >= OFTEN).then(|| advice(AdviceUrgency::Look, "frequent_breaker", finding, what))
}

fn rising(trend: &Trend) -> Option<Recommendation> {
    let (first, second) = (trend.first_half_percentage?, trend.second_half_percentage?);
    if trend.trend != Way::Rising || trend.failed < FAILURES {
        return None;
    }
    let finding = format!(
        "failures of {} went from {first:.3} % in the first half of the month to {second:.3} % in the second, beyond chance",
        trend.subject
    );
    let what = "Look at what changed in the middle of the month, and at its worst day in the tables.";
    Some(advice(AdviceUrgency::Look, "rising_errors", finding, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breaker_that_opens_at_a_time_of_day_asks_for_the_reason() {
        let mut hours = vec![2; 7];
        hours.extend([5, 6, 9, 12, 15, 19, 23]);
        let found = breaker("stripe", &hours, "UTC").expect("speaks");
        assert_eq!(found.rule, "regular_breaker");
        assert_eq!(
            found.finding,
            "the breaker of stripe opened 14 times, 7 of them from 02:00 to 03:00 (UTC)"
        );
        hours.push(1);
        assert_eq!(breaker("stripe", &hours, "UTC").expect("speaks").rule, "frequent_breaker", "7 of 15");
        assert_eq!(breaker("stripe", &[2, 2, 2], "UTC"), None);
        assert_eq!(breaker("stripe", &[1, 2, 3, 4, 5, 6, 7, 8, 9], "UTC"), None);
        assert_eq!(breaker("stripe", &[], "UTC"), None);
    }

    #[test]
    fn a_budget_speaks_when_it_is_nearly_gone_and_louder_when_it_is_overdrawn() {
        let of = |spent| budget("service", "time", &BudgetFigures::of(100.0, spent), text::seconds);
        assert_eq!(of(79), None);
        assert_eq!(of(80).expect("speaks").urgency, AdviceUrgency::Look);
        let broken = of(120).expect("speaks");
        assert_eq!(
            (broken.urgency, &*broken.finding),
            (AdviceUrgency::Act, "120 % of the budget of time of service is spent (2 min 00 s)")
        );
    }
}
