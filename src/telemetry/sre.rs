//! The guide's numbers of reliability: uptime, errors, incidents, times to detect and to recover.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::family::Family;
use crate::reliability::incident::{Incident, State, Transition};

/// What is known now; `None`: not observed, so not shown.
#[derive(Clone, Debug, Default)]
pub struct SreSnapshot {
    /// Good seconds over measured ones of the last 30 days, 0 to 1.
    pub uptime: Option<f64>,
    /// The share of the last 30 days that was observed, 0 to 1.
    pub coverage: Option<f64>,
    /// Bad replies over good and bad ones of the last hour, 0 to 1.
    pub error_rate: Option<f64>,
    /// Mean time from the first bad event to the recovery, over the incidents closed in the last day.
    pub mttr: Option<Duration>,
    /// Incidents that were confirmed in the last 24 hours, those of earlier starts included as far as the store has them.
    pub incidents_24h: u64,
    /// The share of the last 24 hours in which this sidecar was running, 0 to 1.
    pub incidents_coverage: Option<f64>,
    /// Good and measured seconds since the start, by subject of the ledger. They never fall.
    pub seconds: BTreeMap<Arc<str>, (u64, u64)>,
    /// Live incidents by state and severity.
    pub live: BTreeMap<(&'static str, &'static str), u64>,
    /// Shares of resources in use, 0 to 1, by resource and which one.
    pub resources: Vec<(&'static str, String, f64)>,
}

/// Upper bounds, seconds: detection takes seconds, recovery minutes to hours.
const BOUNDS: [f64; 16] =
    [0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 120.0, 300.0, 900.0, 1_800.0, 3_600.0, 14_400.0];

/// Spans from seconds to hours, counted by length.
#[derive(Clone, Debug, Default)]
pub struct Spans {
    buckets: [u64; 17],
    sum: Duration,
}

impl Spans {
    pub(super) fn record(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        if let Some(count) = self.buckets.get_mut(BOUNDS.partition_point(|bound| *bound < seconds)) {
            *count += 1;
        }
        self.sum += took;
    }

    pub(super) fn show(&self, family: &mut Family, labels: &[(&str, &str)]) {
        family.buckets(labels, &BOUNDS, &self.buckets, self.sum.as_secs_f64());
    }
}

#[derive(Debug, Default)]
struct SreSums {
    suspected: Spans,
    confirmed: Spans,
    acknowledged: Spans,
    recovered: Spans,
    moves: BTreeMap<(&'static str, &'static str, &'static str), u64>,
    now: SreSnapshot,
}

/// Uptime, incidents and the times to detect and to recover, behind one lock.
#[derive(Debug, Default)]
pub struct Sre(Mutex<SreSums>);

impl Sre {
    fn sums(&self) -> std::sync::MutexGuard<'_, SreSums> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known now.
    pub fn set(&self, now: SreSnapshot) {
        self.sums().now = now;
    }

    /// An incident changed its state; `incident` is as it is now.
    pub fn moved(&self, transition: &Transition, incident: &Incident) {
        let mut sums = self.sums();
        let what = (transition.rule.label(), transition.severity.label(), transition.to.label());
        *sums.moves.entry(what).or_default() += 1;
        if incident.is_drill() {
            return;
        }
        let clocks = &incident.clocks;
        if transition.from.is_none() && !incident.signals.is_empty() {
            sums.suspected.record(clocks.to_suspect());
        }
        if transition.confirms() && !incident.signals.is_empty() {
            clocks.to_confirm().into_iter().for_each(|took| sums.confirmed.record(took));
        }
        match transition.to {
            State::Acknowledged => {
                clocks.to_acknowledge().into_iter().for_each(|took| sums.acknowledged.record(took));
            }
            State::Resolved => {
                clocks.to_recover().into_iter().for_each(|took| sums.recovered.record(took));
            }
            State::Suspected
            | State::Open
            | State::Mitigating
            | State::Monitoring
            | State::Reviewed
            | State::Cleared => {}
        }
    }

    pub(super) fn families(&self) -> Vec<Family> {
        let sums = self.sums();
        let now = &sums.now;
        let gauge = |name, help, value: Option<f64>| {
            let mut family = Family::gauge(name, help);
            value.into_iter().for_each(|value| family.set(&[], value));
            family
        };
        let percent = |share: f64| share * 100.0;
        let gauges = [
            gauge(
                "sre_uptime_percentage",
                "Good seconds of the measured ones of the last 30 days.",
                now.uptime.map(percent),
            ),
            gauge(
                "sre_uptime_coverage_ratio",
                "The share of the last 30 days that was observed.",
                now.coverage,
            ),
            gauge("sre_error_rate", "Bad replies of good and bad ones, last hour, 0 to 1.", now.error_rate),
            gauge(
                "sre_mttr_current_minutes",
                "Mean time to recover over the incidents closed in the last 24 hours.",
                now.mttr.map(|mean| mean.as_secs_f64() / 60.0),
            ),
            gauge(
                "sre_incidents_24h",
                "Incidents that were confirmed in the last 24 hours.",
                Some(now.incidents_24h as f64),
            ),
            gauge(
                "sre_incidents_24h_coverage_ratio",
                "The share of the last 24 hours that sre_incidents_24h and sre_mttr_current_minutes know of.",
                now.incidents_coverage,
            ),
        ];
        gauges.into_iter().chain(sums.families()).collect()
    }
}

impl SreSums {
    fn families(&self) -> [Family; 8] {
        let mut detection = Family::histogram(
            "sre_detection_seconds",
            "From the first bad event of an incident to its being suspected, and confirmed.",
        );
        self.suspected.show(&mut detection, &[("stage", "suspected")]);
        self.confirmed.show(&mut detection, &[("stage", "confirmed")]);
        let mut acknowledged =
            Family::histogram("sre_acknowledge_seconds", "From an incident's opening to its being taken.");
        self.acknowledged.show(&mut acknowledged, &[]);
        let mut recovered = Family::histogram(
            "sre_recovery_seconds",
            "From the first bad event of an incident to the end of its condition, when it is resolved.",
        );
        self.recovered.show(&mut recovered, &[]);
        let mut moves = Family::counter("sre_incident_transitions_total", "Incidents' changes of state.");
        for ((rule, severity, to), count) in &self.moves {
            moves.count(&[("rule", rule), ("severity", severity), ("to", to)], *count);
        }
        let mut live = Family::gauge("sre_incidents", "Incidents that are not over.");
        for ((state, severity), count) in &self.now.live {
            live.set(&[("state", state), ("severity", severity)], *count as f64);
        }
        let mut good = Family::counter(
            "sre_good_seconds_total",
            "Seconds since the start in which it served, well or not, by subject of the uptime ledger.",
        );
        let mut measured = Family::counter(
            "sre_measured_seconds_total",
            "Seconds since the start in which it served or should have; without unknown time and maintenance.",
        );
        for (subject, (served, all)) in &self.now.seconds {
            good.count(&[("subject", subject)], *served);
            measured.count(&[("subject", subject)], *all);
        }
        let mut resources = Family::gauge(
            "sre_resource_utilization_ratio",
            "The share of a resource in use, 0 to 1; absent: not observable.",
        );
        for (resource, which, used) in &self.now.resources {
            resources.set(&[("resource", resource), ("which", which)], *used);
        }
        [live, moves, detection, acknowledged, recovered, good, measured, resources]
    }
}
