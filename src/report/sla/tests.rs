use std::sync::LazyLock;
use std::time::Duration;

use super::*;
use crate::names::IncidentId;
use crate::reliability::counts::Counts;
use crate::reliability::incident::{Beginning, Ending, Signal, State};
use crate::reliability::ledger::{Minute, MinuteShare, Slice, Slices};
use crate::reliability::rule::{AlertKey, Rule, Severity};
use crate::report::calendar::Month;
use crate::report::hours::ServiceHours;
use crate::runtime::zone::Zone;
use crate::units::At;

const FOREVER: At = At(i64::MAX);

fn asked(month: &str, until: At) -> SlaRequest {
    SlaRequest {
        month: Month::read(month).expect("a month"),
        zone: Zone::read("Europe/Berlin").expect("a zone"),
        hours: Some(ServiceHours::read("mon-fri 08:00-20:00").expect("hours")),
        service: None,
        until,
        objectives: Objectives::default(),
    }
}

/// A moment of October 2026 as `day hour:minute` in UTC.
fn utc(text: &str) -> At {
    let stamp: jiff::Timestamp = format!("2026-10-{text}:00Z").replace(' ', "T").parse().expect("a moment");
    At(stamp.as_millisecond())
}

fn after(at: At, seconds: u64) -> At {
    at + Duration::from_secs(seconds)
}

fn minute(subject: &str, number: i64, slice: Slice, good: u64, bad: u64) -> Minute {
    let share = MinuteShare { slices: Slices([slice; 60]), counts: Counts { good, bad } };
    Minute { subject: Arc::from(subject), minute: number, by: [(Arc::from("boot"), share)].into() }
}

/// October in Berlin, by the minute: 100 requests each. Five minutes down on the 10th, an hour of maintenance on the 12th, six
/// hours unseen on the 20th, the first of the two hours from 2 to 3 on the 25th degraded, with one failure a minute.
fn october(asked: &SlaRequest) -> BTreeMap<Arc<str>, SubjectSums> {
    let mut tally = asked.tally();
    let span = asked.span();
    let within = |number: i64, from: &str, to: &str| (utc(from).minute()..utc(to).minute()).contains(&number);
    for number in span.start.minute()..span.end.minute() {
        if within(number, "19 22:00", "20 04:00") {
            continue;
        }
        let (slice, bad) = if within(number, "10 12:00", "10 12:05") {
            (Slice::Down, 100)
        } else if within(number, "12 01:00", "12 02:00") {
            (Slice::Maintenance, 0)
        } else if within(number, "25 00:00", "25 01:00") {
            (Slice::Degraded, 1)
        } else {
            (Slice::Up, 0)
        };
        tally.add(minute(SERVICE, number, slice, 100 - bad, bad));
    }
    let first = utc("05 10:00").minute();
    for number in first..first + 10 {
        tally.add(minute("stripe", number, Slice::Up, 10, 0));
    }
    tally.finish()
}

struct Story {
    rule: Rule,
    service: &'static str,
    severity: Severity,
    /// Seconds after the first bad event: suspected, confirmed, over.
    clocks: [u64; 3],
    taken: Option<u64>,
}

fn incident(began: At, story: &Story) -> Incident {
    let [suspected, confirmed, over] = story.clocks;
    let key = AlertKey::of(story.rule, story.service, "");
    let beginning = Beginning {
        id: IncidentId::of(began.0, 1),
        key: key.clone(),
        title: format!("{} <is> \"down\" & out", story.service),
        severity: story.severity,
        began,
        earlier: None,
    };
    let mut one = Incident::suspected(beginning, after(began, suspected));
    let signal = Signal { key, first_bad: began, confirmed: None, over: None, worst: None };
    one.signals = if story.rule == Rule::Manual { Vec::new() } else { vec![signal] };
    one.clocks.opened = Some(after(began, confirmed));
    one.clocks.acknowledged = story.taken.map(|seconds| after(began, seconds));
    one.clocks.recovered = Some(after(began, over));
    one.clocks.closed = Some(after(began, over + 120));
    (one.state, one.ending) = (State::Resolved, Some(Ending::Recovered));
    one.breached = story.taken.is_none();
    one
}

/// Four openings of one breaker, three of them from 2 to 3 in the morning in Berlin; a drill; a suspicion; one of September.
fn incidents() -> Vec<Incident> {
    let breaker = |over, taken| Story {
        rule: Rule::Breaker,
        service: "stripe",
        severity: Severity::High,
        clocks: [3, 5, over],
        taken,
    };
    let mut all = vec![
        incident(utc("03 00:10"), &breaker(300, Some(65))),
        incident(utc("08 00:40"), &breaker(420, Some(125))),
        incident(utc("15 00:59"), &breaker(360, None)),
        incident(utc("21 15:00"), &breaker(5_400, Some(605))),
    ];
    let drill = Story {
        rule: Rule::Manual,
        service: "test",
        severity: Severity::Low,
        clocks: [0, 0, 9],
        taken: None,
    };
    all.push(incident(utc("22 10:00"), &drill));
    let mut suspicion = incident(utc("23 10:00"), &breaker(9, None));
    (suspicion.state, suspicion.ending, suspicion.clocks.opened) =
        (State::Cleared, Some(Ending::NeverConfirmed), None);
    all.push(suspicion);
    let september = utc("01 00:00") - Duration::from_secs(3 * 3_600);
    all.push(incident(september, &breaker(4 * 3_600, Some(60))));
    all
}

/// The whole of it, summed up once for all tests.
static WHOLE: LazyLock<BTreeMap<Arc<str>, SubjectSums>> =
    LazyLock::new(|| october(&asked("2026-10", FOREVER)));

fn report() -> Sla {
    Sla::of(&asked("2026-10", FOREVER), WHOLE.clone(), &incidents(), 0)
}

/// October in Berlin has 745 h, 2 682 000 s. Without 21 600 s unseen and 3 600 s of maintenance 2 656 800 s are measured, of
/// which 300 s are down.
#[test]
fn a_month_of_745_hours_has_the_figures_that_it_has_by_hand() {
    let sla = report();
    assert_eq!((&*sla.from, &*sla.to), ("2026-10-01T00:00:00+02:00", "2026-11-01T00:00:00+01:00"));
    assert_eq!((sla.seconds, &sla.until), (2_682_000, &None));
    let [service, stripe] = &sla.subjects[..] else { panic!("two: {:?}", sla.subjects) };
    let month = &service.month;
    assert_eq!((month.up_seconds, month.degraded_seconds, month.down_seconds), (2_652_900, 3_600, 300));
    assert_eq!((month.maintenance_seconds, month.unknown_seconds), (3_600, 21_600));
    let near = |told: Option<f64>, wanted: f64| {
        assert!((told.expect("told") - wanted).abs() < 1e-5, "{told:?} {wanted}")
    };
    near(month.uptime_percentage, 99.988_708);
    near(month.lowest_percentage, 99.182_348);
    near(month.highest_percentage, 99.988_799);
    near(Some(month.coverage), 0.991_946_3);
    assert_eq!((month.requests, month.failed), (4_434_000, 560));
    near(month.success_percentage, 99.987_370);
    near(service.time_budget.spent_percentage, 112.007_168);
    near(service.request_budget.spent_percentage, 12.629_679);
    let open = service.service_hours.as_ref().expect("asked for");
    assert_eq!(
        (open.up_seconds, open.unknown_seconds, open.down_seconds),
        (950_400, 0, 0),
        "22 days of 12 h"
    );
    let change = &service.days[24];
    assert_eq!(
        (&*change.date, change.figures.degraded_seconds, change.figures.failed),
        ("2026-10-25", 3_600, 60)
    );
    assert_eq!(change.figures.up_seconds + change.figures.degraded_seconds, 90_000, "25 hours");
    assert_eq!((stripe.month.up_seconds, stripe.month.unknown_seconds), (600, 2_681_400));
}

/// Four count. Recovered after 300, 360, 420, 5 400 s; taken 60, 120 and 600 s after they were confirmed.
#[test]
fn incidents_are_counted_once_and_drills_suspicions_and_last_months_apart() {
    let sla = report();
    let found = &sla.incidents;
    assert_eq!((found.confirmed, found.cleared, found.drills, found.carried_over), (4, 1, 1, 1));
    assert_eq!((found.response_breached, found.unresolved, found.not_reviewed), (1, 0, 4));
    let seconds = |spread: Spread| (spread.n, spread.median_seconds, spread.p90_seconds, spread.mean_seconds);
    assert_eq!(seconds(sla.clocks.detect), (4, Some(3.0), Some(3.0), Some(3.0)));
    assert_eq!(seconds(sla.clocks.confirm), (4, Some(5.0), Some(5.0), Some(5.0)));
    assert_eq!(seconds(sla.clocks.acknowledge), (3, Some(120.0), Some(600.0), Some(260.0)));
    assert_eq!(seconds(sla.clocks.recover), (4, Some(390.0), Some(5_400.0), Some(1_620.0)));
    let [cause] = &found.by_cause[..] else { panic!("one: {:?}", found.by_cause) };
    assert_eq!(
        (cause.rule, &*cause.service, cause.incidents, cause.seconds),
        ("breaker", "stripe", 4, 6_480.0)
    );
}

#[test]
fn what_is_wrong_is_named_the_most_pressing_first() {
    let sla = report();
    let rules: Vec<_> = sla.recommendations.iter().map(|one| one.rule).collect();
    assert_eq!(rules, ["error_budget", "response_clock", "regular_breaker", "reviews"]);
    assert!(
        sla.recommendations[2].finding.contains("4 times, 3 of them from 02:00 to 03:00 (Europe/Berlin)")
    );
}

#[test]
fn the_same_inputs_give_the_same_bytes_in_whatever_order_incidents_come() {
    let asked = asked("2026-10", FOREVER);
    let mut other = incidents();
    other.reverse();
    let (one, two) = (report(), Sla::of(&asked, WHOLE.clone(), &other, 0));
    assert_eq!((one.html(), one.json(), one.csv()), (two.html(), two.json(), two.csv()));
}

#[test]
fn the_report_looks_as_it_did() {
    let sla = report();
    let html = sla.html().replace(style::STYLE, "…");
    well_formed(&html);
    assert!(!html.contains("<is>") && !html.contains("<script"), "titles are escaped");
    insta::assert_snapshot!("sla_html", html);
    insta::assert_snapshot!("sla_csv", sla.csv());
    let mut json: serde_json::Value = serde_json::from_str(&sla.json()).expect("JSON");
    for subject in json["subjects"].as_array_mut().expect("a list") {
        // The 25th: every day looks like it.
        subject["days"] = subject["days"][24].clone();
    }
    insta::assert_snapshot!("sla_json", serde_json::to_string_pretty(&json).expect("JSON"));
}

/// March in Berlin has 743 h. Nothing was seen: no figure is made up.
#[test]
fn a_month_that_nobody_saw_has_no_figures() {
    let asked = asked("2026-03", FOREVER);
    let sla = Sla::of(&asked, BTreeMap::new(), &[], 0);
    let [service] = &sla.subjects[..] else { panic!("the service: {:?}", sla.subjects) };
    assert_eq!((sla.seconds, service.month.unknown_seconds), (743 * 3_600, 743 * 3_600));
    assert_eq!((service.month.uptime_percentage, service.month.success_percentage), (None, None));
    assert_eq!((service.month.lowest_percentage, service.month.highest_percentage), (Some(0.0), Some(100.0)));
    assert_eq!((sla.clocks.recover, service.request_budget.spent_percentage), (Spread::default(), None));
    let html = sla.html();
    well_formed(&html);
    assert!(html.contains("The uptime target of 99.99 % was <strong>not observed</strong>"), "{html}");
    assert!(html.contains("No request was counted."));
    assert_eq!(sla.recommendations.iter().map(|one| one.rule).collect::<Vec<_>>(), ["coverage"]);
}

#[test]
fn a_month_that_is_not_over_is_told_as_far_as_it_goes() {
    let until = utc("02 10:00");
    let asked = asked("2026-10", until);
    assert_eq!(asked.has_begun(), Ok(()));
    let sla = Sla::of(&asked, october(&asked), &[], 0);
    let service = &sla.subjects[0];
    assert_eq!(
        (service.days.len(), service.month.up_seconds, service.month.unknown_seconds),
        (2, 36 * 3_600, 0)
    );
    assert_eq!(sla.until.as_deref(), Some("2026-10-02T12:00:00+02:00"));
    let early = SlaRequest { until: asked.span().start, ..asked };
    assert_eq!(early.has_begun(), Err("October 2026 has not begun in Europe/Berlin".to_owned()));
}

#[test]
fn one_service_is_told_of_alone() {
    let asked = SlaRequest { service: Some("stripe".to_owned()), ..asked("2026-10", FOREVER) };
    let mut other = incidents();
    other.push(incident(
        utc("09 10:00"),
        &Story {
            rule: Rule::ErrorRate,
            service: "api",
            severity: Severity::Medium,
            clocks: [5, 60, 600],
            taken: None,
        },
    ));
    let sla = Sla::of(&asked, WHOLE.clone(), &other, 0);
    assert_eq!(sla.subjects.iter().map(|one| &*one.name).collect::<Vec<_>>(), ["stripe"]);
    assert_eq!(sla.incidents.confirmed, 4);
}

/// Every tag is closed in its order, and every `&` begins an entity.
fn well_formed(html: &str) {
    let mut open: Vec<&str> = Vec::new();
    let body = html.strip_prefix("<!DOCTYPE html>").expect("HTML 5");
    for part in body.split('<').skip(1) {
        let (tag, text) = part.split_once('>').expect("a tag ends");
        assert!(
            text.split('&').skip(1).all(|rest| rest.split_once(';').is_some_and(|(name, _)| name.len() < 8)),
            "{text}"
        );
        let name = tag.split([' ', '/']).find(|name| !name.is_empty()).expect("a name");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "closes what is open");
        } else if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}
