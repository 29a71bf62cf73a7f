//! What an incident cost, as far as it was seen.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use serde::Serialize;

use super::around::{Around, PERIOD};
use crate::reliability::counts::Counts;
use crate::reliability::incident::Incident;
use crate::reliability::ledger::{Minute, Report};
use crate::reliability::rule::Rule;
use crate::reliability::slo::Objective;
use crate::report::sla::{Objectives, SERVICE};
use crate::report::text;
use crate::units::At;

/// What an incident cost the users of the service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Impact {
    /// From the first bad event to the end of the condition, seconds.
    pub seconds: f64,
    /// The service as a whole first, then what the incident is about, as far as the ledger tells of it.
    pub touched: Vec<Touched>,
    /// Route classes whose signals are part of the incident; null: none is, so none is known.
    pub routes: Option<Vec<String>>,
    /// What it spent of 30 days' budget of requests, percent; null: no requests were counted.
    #[serde(rename = "request_budget_spent", serialize_with = "text::as_share")]
    pub request_budget_percentage: Option<f64>,
    /// What it spent of 30 days' budget of time, percent; null: nobody saw the service at that time.
    #[serde(rename = "time_budget_spent", serialize_with = "text::as_share")]
    pub time_budget_percentage: Option<f64>,
}

/// Something that the incident touched.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Touched {
    /// "service" is the service as a whole; else an upstream.
    pub subject: String,
    /// Requests of the minutes that the incident lies in, the first and the last as a whole.
    pub requests: u64,
    /// Those that failed, for whatever reason.
    pub failed: u64,
    /// Of all, percent; null: there were none.
    #[serde(rename = "failed_share", serialize_with = "text::as_share")]
    pub failed_percentage: Option<f64>,
    /// Seconds of the incident in which it did not serve.
    pub down_seconds: u64,
    /// Seconds in which it served, not well.
    pub degraded_seconds: u64,
    /// Seconds of announced work.
    pub maintenance_seconds: u64,
    /// Seconds that nobody saw.
    pub unknown_seconds: u64,
    /// All of its seconds.
    pub seconds: u64,
}

impl Impact {
    pub(super) fn of(one: &Incident, span: &Range<At>, around: &Around, objectives: Objectives) -> Self {
        let names: BTreeSet<&str> = around.minutes.iter().map(|minute| &*minute.subject).collect();
        // The service first; `false` comes before `true`.
        let mut names: Vec<&str> = names.into_iter().collect();
        names.sort_by_key(|name| *name != SERVICE);
        let touched: Vec<Touched> =
            names.iter().map(|name| Touched::of(name, &around.minutes, span)).collect();
        let service = touched.iter().find(|touched| touched.subject == SERVICE);
        let of_routes =
            one.signals.iter().filter(|one| matches!(one.key.rule, Rule::ErrorRate | Rule::Latency));
        let routes: BTreeSet<String> = of_routes.map(|signal| signal.key.service.to_string()).collect();
        let spent = |bad: u64, whole: f64, target: f64| {
            let allowed = Objective { target }.allowed() * whole;
            (allowed > 0.0).then(|| bad as f64 / allowed * 100.0)
        };
        let period = around.period.map_or(0, Counts::total) as f64;
        let seen = |touched: &&Touched| touched.unknown_seconds < touched.seconds;
        Self {
            seconds: span.end.since(span.start).as_secs_f64(),
            routes: (!routes.is_empty()).then(|| routes.into_iter().collect()),
            request_budget_percentage: service.and_then(|it| spent(it.failed, period, objectives.requests)),
            time_budget_percentage: service
                .filter(seen)
                .and_then(|it| spent(it.down_seconds, PERIOD.as_secs_f64(), objectives.uptime)),
            touched,
        }
    }
}

impl Touched {
    fn of(subject: &str, minutes: &[Minute], span: &Range<At>) -> Self {
        let of_it = || minutes.iter().filter(|minute| &*minute.subject == subject);
        // A second that is touched is part of it, and so is a minute.
        let end = At((span.end.0 + 999).div_euclid(1_000) * 1_000);
        let last = At((span.end.0 + 59_999).div_euclid(60_000) * 60_000);
        let exact = Report::of(of_it(), span.start, end);
        let Counts { good, bad } = Report::of(of_it(), At(span.start.minute() * 60_000), last).counts;
        Self {
            subject: subject.to_owned(),
            requests: good + bad,
            failed: bad,
            failed_percentage: Counts { good, bad }.bad_ratio().map(|bad| bad * 100.0),
            down_seconds: exact.down,
            degraded_seconds: exact.degraded,
            maintenance_seconds: exact.maintenance,
            unknown_seconds: exact.unknown,
            seconds: end.since(At(span.start.second() * 1_000)).max(Duration::from_secs(1)).as_secs(),
        }
    }
}
