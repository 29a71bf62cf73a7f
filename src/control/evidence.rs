//! What was measured when an incident was confirmed, and a minute later: names and values for its timeline.
//!
//! Reads counters and windows and decides nothing. A bundle is bounded in its lines and in their length, and at most a few
//! are made a second, so that many incidents at once hold up nothing; one that has to wait says when it was taken. What a
//! restart finds is not made up for: a bundle that was due meanwhile is missing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::routes::bad_and_all;
use crate::names::IncidentId;
use crate::reliability::engine::Command;
use crate::reliability::failover::Group;
use crate::reliability::incident::Incident;
use crate::runtime::clock::{self, Moment};
use crate::telemetry::Telemetry;
use crate::telemetry::latency::{LatencyWindow, Summary};
use crate::telemetry::series::Series;
use crate::telemetry::upstreams::{UpstreamSeries, VERDICTS};
use crate::units::At;
use crate::upstream::registry::Registry;

/// The second bundle comes this long after the first.
const AFTER: Duration = Duration::from_secs(60);
/// Bundles of one second.
const AT_ONCE: usize = 4;
/// Bundles that may wait.
const WAITING: usize = 512;
/// Routes of one bundle.
const ROUTES: usize = 5;
/// Upstreams of one bundle.
const UPSTREAMS: usize = 3;
/// The window in which bad answers are counted.
const BAD_WITHIN: Duration = Duration::from_secs(60);

type EvidenceLines = Vec<(String, String)>;

#[derive(Debug)]
struct Due {
    at: At,
    id: IncidentId,
    subject: Arc<str>,
    what: &'static str,
}

/// Collects the evidence of incidents when it is due.
pub(super) struct EvidenceCollector {
    registry: Arc<Registry>,
    telemetry: Arc<Telemetry>,
    due: Schedule,
}

/// What is to be collected when, the earliest first, and what was too much.
#[derive(Debug, Default)]
struct Schedule {
    waiting: VecDeque<Due>,
    too_many: Vec<Due>,
}

impl Schedule {
    fn confirmed(&mut self, incident: &Incident, now: At) {
        for (at, what) in [(now, "measured when it was confirmed"), (now + AFTER, "measured a minute later")]
        {
            let (id, subject) = (incident.id.clone(), Arc::clone(&incident.key.service));
            let due = Due { at, id, subject, what };
            if self.waiting.len() < WAITING {
                let place = self.waiting.partition_point(|due| due.at <= at);
                self.waiting.insert(place, due);
            } else {
                self.too_many.push(due);
            }
        }
    }

    fn shift(&mut self, millis: i64) {
        self.waiting.iter_mut().for_each(|due| due.at = due.at.moved(millis));
    }

    fn take(&mut self, now: At) -> Vec<Due> {
        let ripe = self.waiting.partition_point(|due| due.at <= now).min(AT_ONCE);
        self.waiting.drain(..ripe).collect()
    }
}

impl EvidenceCollector {
    pub(super) fn new(registry: Arc<Registry>, telemetry: Arc<Telemetry>) -> Self {
        Self { registry, telemetry, due: Schedule::default() }
    }

    /// The clock has made a step of so many milliseconds.
    pub(super) fn step(&mut self, millis: i64) {
        self.due.shift(millis);
    }

    /// This incident was confirmed just now.
    pub(super) fn confirmed(&mut self, incident: &Incident, now: At) {
        self.due.confirmed(incident, now);
    }

    /// What is due, collected; what was too much says so on its timeline.
    pub(super) fn take(&mut self, moment: Moment, now: At) -> Vec<Command> {
        let told = |due: Due, evidence| Command::Evidence { id: due.id, what: due.what.to_owned(), evidence };
        let why = || vec![("not collected".to_owned(), format!("{WAITING} others wait already"))];
        let too_many: Vec<_> = self.due.too_many.drain(..).map(|due| told(due, why())).collect();
        let collected = self.due.take(now).into_iter().map(|due| {
            let evidence = self.bundle(&due.subject, moment);
            told(due, evidence)
        });
        collected.chain(too_many).collect()
    }

    fn bundle(&self, subject: &str, moment: Moment) -> EvidenceLines {
        let all = self.telemetry.all_series();
        let world = self.registry.snapshot();
        let generation = self.telemetry.process.config_generation.load(Ordering::Relaxed);
        let mut lines = vec![
            ("taken_at".to_owned(), clock::rfc3339(moment.wall)),
            ("config_generation".to_owned(), generation.to_string()),
            ("config_hash".to_owned(), world.config.hash.clone()),
        ];
        let now = moment.instant;
        let affected =
            all.iter().filter(|one| one.key.1.as_str() == subject || one.key.0.as_str() == subject);
        let mut affected: Vec<_> = affected.filter(|one| is_used(one, now)).collect();
        affected.sort_by_key(|one| std::cmp::Reverse(counted(one, now)));
        affected.truncate(ROUTES);
        // A route's trouble may be that of whom it leads to.
        let behind = |name: &str| name == subject || affected.iter().any(|one| one.key.1.as_str() == name);
        let upstreams = self.telemetry.all_upstreams();
        let upstreams = upstreams.iter().filter(|one| behind(one.name.as_str())).take(UPSTREAMS);
        upstreams.for_each(|upstream| about_upstream(upstream, &mut lines));
        about_bad_answers(&all, now, &mut lines);
        affected.iter().for_each(|series| about_route(series, now, &mut lines));
        lines
    }
}

/// Bad answers and all answers of the last minute.
fn counted(series: &Series, now: Instant) -> (u64, u64) {
    bad_and_all(&series.outcomes_within(BAD_WITHIN, now))
}

/// Something has gone through it of late, or is on its way.
fn is_used(series: &Series, now: Instant) -> bool {
    series.in_flight() > 0 || series.outcomes_within(BAD_WITHIN, now).iter().any(|count| *count > 0)
}

fn named(series: &Series) -> String {
    format!("{} → {}", series.key.0, series.key.1)
}

fn about_upstream(upstream: &UpstreamSeries, lines: &mut EvidenceLines) {
    let name = &upstream.name;
    let counts = VERDICTS.iter().zip(upstream.verdicts()).filter(|(_, count)| *count > 0);
    let attempts: Vec<String> = counts.map(|(verdict, count)| format!("{verdict} {count}")).collect();
    lines.push((format!("{name}: attempts since the start"), attempts.join(", ")));
    let (passed, failed) = upstream.checks(Group::First);
    if passed + failed > 0 {
        lines.push((format!("{name}: checks since the start"), format!("passed {passed}, failed {failed}")));
    }
    for (breaker, _) in upstream.breakers() {
        for (wall, moved) in &breaker.numbers().history {
            let (from, to, why) = (moved.from.label(), moved.to.label(), moved.why.describe());
            let at = clock::rfc3339(*wall);
            lines.push((format!("{}: breaker at {at}", breaker.label), format!("{from} → {to}: {why}")));
        }
    }
}

fn about_bad_answers(all: &[Arc<Series>], now: Instant, lines: &mut EvidenceLines) {
    let mut bad: Vec<_> = all.iter().map(|one| (counted(one, now), one)).collect();
    bad.retain(|((bad, _), _)| *bad > 0);
    bad.sort_by_key(|((bad, _), _)| std::cmp::Reverse(*bad));
    let most = bad.iter().take(ROUTES);
    let told: Vec<String> =
        most.map(|((bad, all), series)| format!("{} {bad} of {all}", named(series))).collect();
    let told = if told.is_empty() { "none".to_owned() } else { told.join(", ") };
    lines.push(("bad answers of the last minute".to_owned(), told));
}

fn about_route(series: &Series, now: Instant, lines: &mut EvidenceLines) {
    let name = named(series);
    lines.push((format!("{name}: in flight"), series.in_flight().to_string()));
    for span in [LatencyWindow::TenSeconds, LatencyWindow::Minute] {
        lines.push((format!("{name}: last {}", span.label()), percentiles(&series.window(span, now).0)));
    }
}

fn percentiles(summary: &Summary) -> String {
    let Summary { count, p50_ms, p95_ms, p99_ms, max_ms, .. } = summary;
    let ms = |value: &Option<f64>| value.map_or("-".to_owned(), |ms| format!("{ms:.3} ms"));
    let only_max = if summary.p99_is_only_max { " (too few for a p99)" } else { "" };
    match count {
        0 => "n 0".to_owned(),
        n => format!(
            "n {n}, p50 {}, p95 {}, p99 {}{only_max}, max {}",
            ms(p50_ms),
            ms(p95_ms),
            ms(p99_ms),
            ms(max_ms)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reliability::incident::Beginning;
    use crate::reliability::rule::{AlertKey, Rule, Severity};

    fn incident(draw: u64) -> Incident {
        let beginning = Beginning {
            id: IncidentId::of(1, draw),
            key: AlertKey::of(Rule::Breaker, "stripe", ""),
            title: String::new(),
            severity: Severity::High,
            began: At(1),
            earlier: None,
        };
        Incident::suspected(beginning, At(1))
    }

    #[test]
    fn evidence_is_taken_at_once_and_again_a_minute_later() {
        let mut due = Schedule::default();
        due.confirmed(&incident(1), At(1_000));
        let taken = |due: &mut Schedule, at| due.take(At(at)).iter().map(|one| one.what).collect::<Vec<_>>();
        assert_eq!(taken(&mut due, 1_000), ["measured when it was confirmed"]);
        assert!(taken(&mut due, 60_999).is_empty());
        assert_eq!(taken(&mut due, 61_000), ["measured a minute later"]);
        assert!(taken(&mut due, 1_000_000).is_empty());
    }

    #[test]
    fn many_at_once_take_their_turns_and_have_an_end() {
        let mut due = Schedule::default();
        (0..1_000).for_each(|draw| due.confirmed(&incident(draw), At(1_000)));
        assert_eq!(
            (due.waiting.len(), due.too_many.len()),
            (WAITING, 2_000 - WAITING),
            "none is lost in silence"
        );
        assert_eq!(due.take(At(1_000)).len(), AT_ONCE);
        assert!(due.waiting.iter().is_sorted_by_key(|due| due.at));
    }
}
