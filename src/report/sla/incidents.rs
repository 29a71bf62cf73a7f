//! What was the matter in a month: which incidents count, what caused them, how long they took.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use serde::Serialize;

use crate::reliability::incident::{Incident, State};
use crate::reliability::rule::{Rule, Severity};
use crate::runtime::zone::Zone;
use crate::units::At;

/// Incidents that are listed one by one.
const LISTED: usize = 50;

/// The incidents of a month.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MonthIncidents {
    /// Began in the month and were confirmed; what follows is of these.
    pub confirmed: usize,
    /// By severity, the worst first; each is there.
    pub by_severity: Vec<(&'static str, usize)>,
    /// Not over when the report was made.
    pub unresolved: usize,
    /// Nobody had taken them when their response clock ran out.
    pub response_breached: usize,
    /// Over, and their review is not complete.
    pub not_reviewed: usize,
    /// The causes, that of most incidents first.
    pub by_cause: Vec<CauseGroup>,
    /// The longest, at most 50; in the order in which they began.
    pub longest: Vec<IncidentFigures>,
    /// Suspicions of the month that were never confirmed.
    pub cleared: usize,
    /// Opened by hand about the service "test": left out of all other figures.
    pub drills: usize,
    /// Confirmed ones that began before the month and were not over when it began: left out of the other figures.
    pub carried_over: usize,
}

/// Incidents with one cause.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CauseGroup {
    /// The rule that found them.
    pub rule: &'static str,
    /// What they were about.
    pub service: String,
    /// How many incidents have this cause.
    pub incidents: usize,
    /// Relapses that are folded into them.
    pub flaps: u64,
    /// From their first bad events to the ends of their conditions, together; of those that are over.
    pub seconds: f64,
}

/// One incident in the list of the longest.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IncidentFigures {
    pub id: String,
    /// One line for people.
    pub title: String,
    /// critical, high, medium or low.
    pub severity: &'static str,
    /// What it was about.
    pub service: String,
    /// Where it was when the report was made.
    pub state: &'static str,
    /// Its first bad event.
    pub began: String,
    /// First bad event to the end of the condition; null: it is not over.
    pub seconds: Option<f64>,
}

fn was_confirmed(one: &Incident) -> bool {
    one.clocks.opened.is_some() && one.state != State::Cleared
}

/// Those that count, in the order of `stored`.
pub(super) fn confirmed<'a>(stored: &[&'a Incident], span: &Range<At>) -> Vec<&'a Incident> {
    let counts = |one: &&Incident| span.contains(&one.clocks.began) && was_confirmed(one) && !one.is_drill();
    stored.iter().copied().filter(counts).collect()
}

impl MonthIncidents {
    /// `stored`: in the order in which they began.
    pub(super) fn of(stored: &[&Incident], span: &Range<At>, zone: &Zone) -> Self {
        let confirmed = confirmed(stored, span);
        let began_in = |one: &&&Incident| span.contains(&one.clocks.began);
        let count = |wanted: &dyn Fn(&Incident) -> bool| confirmed.iter().filter(|one| wanted(one)).count();
        let carried = |one: &&&Incident| {
            one.clocks.began < span.start && one.clocks.closed.is_none_or(|closed| closed >= span.start)
        };
        Self {
            confirmed: confirmed.len(),
            by_severity: Severity::ALL
                .into_iter()
                .rev()
                .map(|severity| (severity.label(), count(&|one| one.severity == severity)))
                .collect(),
            unresolved: count(&|one| one.state.is_live()),
            response_breached: count(&|one| one.breached),
            not_reviewed: count(&|one| one.state == State::Resolved),
            by_cause: causes(&confirmed),
            longest: longest(&confirmed, zone),
            cleared: stored.iter().filter(began_in).filter(|one| one.state == State::Cleared).count(),
            drills: stored.iter().filter(began_in).filter(|one| one.is_drill()).count(),
            carried_over: stored
                .iter()
                .filter(carried)
                .filter(|one| was_confirmed(one) && !one.is_drill())
                .count(),
        }
    }
}

fn causes(confirmed: &[&Incident]) -> Vec<CauseGroup> {
    let mut by: BTreeMap<(Rule, &str), (usize, u64, Duration)> = BTreeMap::new();
    for one in confirmed {
        let (incidents, flaps, took) = by.entry((one.key.rule, &one.key.service)).or_default();
        *incidents += 1;
        *flaps += u64::from(one.flaps);
        *took += one.clocks.to_recover().unwrap_or_default();
    }
    let cause =
        |((rule, service), (incidents, flaps, took)): ((Rule, &str), (usize, u64, Duration))| CauseGroup {
            rule: rule.label(),
            service: service.to_owned(),
            incidents,
            flaps,
            seconds: took.as_secs_f64(),
        };
    let mut all: Vec<CauseGroup> = by.into_iter().map(cause).collect();
    // Stable: among equals the order of rules and names stays.
    all.sort_by_key(|cause| Reverse(cause.incidents));
    all
}

fn longest(confirmed: &[&Incident], zone: &Zone) -> Vec<IncidentFigures> {
    let mut all: Vec<&Incident> = confirmed.to_vec();
    // What is not over is the longest of all.
    all.sort_by_key(|one| Reverse(one.clocks.to_recover().unwrap_or(Duration::MAX)));
    all.truncate(LISTED);
    all.sort_by_key(|one| (one.clocks.began, &one.id));
    let row = |one: &&Incident| IncidentFigures {
        id: one.id.as_str().to_owned(),
        title: one.title.clone(),
        severity: one.severity.label(),
        service: one.key.service.to_string(),
        state: one.state.label(),
        began: zone.rfc3339(one.clocks.began),
        seconds: one.clocks.to_recover().map(|took| took.as_secs_f64()),
    };
    all.iter().map(row).collect()
}
