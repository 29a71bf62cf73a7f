use super::*;
use crate::reliability::breaker::BreakerState;
use crate::reliability::readings::{
    BreakerReading, Over, PaymentReading, ResourceReading, RouteReading, SlowCounts, UpstreamReading,
};

fn at(second: i64) -> At {
    At(second * 1_000)
}

fn counts(total: u64, bad: u64) -> Counts {
    Counts { good: total - bad, bad }
}

fn upstream(name: &str) -> UpstreamReading {
    UpstreamReading { last_success: Some(at(100)), ..UpstreamReading::unseen(Arc::from(name)) }
}

fn failing(name: &str, failures: u32, since: i64, last: i64) -> UpstreamReading {
    UpstreamReading {
        consecutive_failures: failures,
        failing_since: Some(at(since)),
        last_failure: Some(at(last)),
        ..upstream(name)
    }
}

fn breaker(state: BreakerState, since: i64) -> Option<BreakerReading> {
    Some(BreakerReading { state, since: at(since), open_for: Duration::from_secs(30), held: false })
}

fn look(detector: &mut Detector, readings: &Readings, now: At) -> Vec<Finding> {
    detector.look(&DetectPolicy::default(), readings, now)
}

fn sign(found: &[Finding], rule: Rule, service: &str) -> Sign {
    let of = |finding: &&Finding| finding.key.rule == rule && *finding.key.service == *service;
    found.iter().find(of).expect("found").look.sign
}

fn of(upstreams: Vec<UpstreamReading>) -> Readings {
    Readings { upstreams, ..Readings::default() }
}

#[test]
fn three_failures_in_a_row_are_suspicious_and_thirty_seconds_without_success_are_ripe() {
    let mut detector = Detector::new(at(0));
    let two = look(&mut detector, &of(vec![failing("billing", 2, 101, 102)]), at(102));
    assert_eq!(sign(&two, Rule::ServiceDown, "billing"), Sign::Between);
    for (now, ripe) in [(103, false), (130, false), (131, true)] {
        let found = look(&mut detector, &of(vec![failing("billing", 3, 101, now)]), at(now));
        let down = found.iter().find(|finding| finding.key.rule == Rule::ServiceDown).expect("found");
        assert_eq!(
            (down.look.sign, down.look.ripe, down.look.first_bad),
            (Sign::Bad, ripe, Some(at(101))),
            "{now}"
        );
    }
}

#[test]
fn failed_probes_are_enough_when_there_is_no_traffic() {
    let mut detector = Detector::new(at(0));
    let probed = |failed| UpstreamReading {
        failed_probes: Some(failed),
        failing_since: Some(at(100)),
        last_failure: Some(at(103)),
        ..upstream("billing")
    };
    for (failed, expected) in [(0, Sign::Good), (2, Sign::Between), (3, Sign::Bad)] {
        let found = look(&mut detector, &of(vec![probed(failed)]), at(103));
        assert_eq!(sign(&found, Rule::ServiceDown, "billing"), expected, "{failed}");
    }
}

#[test]
fn an_old_streak_that_nobody_tries_any_more_says_nothing() {
    let mut detector = Detector::new(at(0));
    let found = look(&mut detector, &of(vec![failing("billing", 5, 101, 110)]), at(200));
    assert_eq!(sign(&found, Rule::ServiceDown, "billing"), Sign::Blind);
}

#[test]
fn an_upstream_that_has_never_answered_has_its_grace_at_the_start() {
    let never = UpstreamReading { last_success: None, ..failing("billing", 9, 1, 29) };
    let mut detector = Detector::new(at(0));
    let found = look(&mut detector, &of(vec![never.clone()]), at(29));
    assert_eq!(sign(&found, Rule::ServiceDown, "billing"), Sign::Blind);
    let found = look(&mut detector, &of(vec![never]), at(30));
    assert_eq!(sign(&found, Rule::ServiceDown, "billing"), Sign::Bad);
}

#[test]
fn an_open_breaker_is_medium_and_that_of_stripe_is_high() {
    let mut detector = Detector::new(at(0));
    let open = |name: &str| UpstreamReading { breaker: breaker(BreakerState::Open, 110), ..upstream(name) };
    let found = look(&mut detector, &of(vec![open("stripe"), open("twilio")]), at(120));
    let severities: Vec<_> = found
        .iter()
        .filter(|finding| finding.key.rule == Rule::Breaker)
        .map(|finding| (&*finding.key.service, finding.severity, finding.policy.clear_after.as_secs()))
        .collect();
    assert_eq!(severities, [("stripe", Severity::High, 60), ("twilio", Severity::Medium, 60)]);
}

#[test]
fn an_operators_hold_is_no_incident() {
    let held = Some(BreakerReading { held: true, ..breaker(BreakerState::Open, 110).expect("some") });
    let found = look(
        &mut Detector::new(at(0)),
        &of(vec![UpstreamReading { breaker: held, ..upstream("a") }]),
        at(120),
    );
    assert_eq!(sign(&found, Rule::Breaker, "a"), Sign::Between);
}

#[test]
fn three_breakers_within_five_seconds_are_the_network() {
    let open =
        |name: &str, since| UpstreamReading { breaker: breaker(BreakerState::Open, since), ..upstream(name) };
    let mut detector = Detector::new(at(0));
    let two = look(&mut detector, &of(vec![open("a", 100), open("b", 102), upstream("c")]), at(103));
    assert_ne!(sign(&two, Rule::NetworkDown, NETWORK), Sign::Bad);
    let three = look(&mut detector, &of(vec![open("a", 100), open("b", 102), open("c", 105)]), at(105));
    assert_eq!(sign(&three, Rule::NetworkDown, NETWORK), Sign::Bad);
    let blamed: Vec<_> = three.iter().filter_map(|finding| finding.cause.as_deref()).collect();
    assert!(blamed.iter().all(|cause| *cause == NETWORK), "{blamed:?}");
    let closed =
        |name: &str| UpstreamReading { breaker: breaker(BreakerState::Closed, 130), ..upstream(name) };
    let over = look(&mut detector, &of(vec![closed("a"), closed("b"), closed("c")]), at(130));
    assert_eq!(sign(&over, Rule::NetworkDown, NETWORK), Sign::Good);
    let mut slow = Detector::new(at(0));
    let spread = look(&mut slow, &of(vec![open("a", 100), open("b", 104), open("c", 108)]), at(108));
    assert_ne!(sign(&spread, Rule::NetworkDown, NETWORK), Sign::Bad);
}

#[test]
fn a_lone_breaker_waits_for_company_only_where_there_may_be_some() {
    let open =
        |name: &str, since| UpstreamReading { breaker: breaker(BreakerState::Open, since), ..upstream(name) };
    let well = |name: &str| UpstreamReading {
        breaker: breaker(BreakerState::Closed, 0),
        last_success: Some(at(99)),
        ..upstream(name)
    };
    let sick = |name: &str| UpstreamReading {
        breaker: breaker(BreakerState::Closed, 0),
        ..failing(name, 2, 99, 100)
    };
    let waits = |others: Vec<UpstreamReading>| {
        let all = std::iter::once(open("a", 100)).chain(others).collect();
        let found = look(&mut Detector::new(at(0)), &of(all), at(100));
        let own = |finding: &&Finding| finding.key.rule == Rule::Breaker && &*finding.key.service == "a";
        found.iter().find(own).expect("found").policy.confirm.as_secs()
    };
    assert_eq!(waits(vec![]), 0, "one makes no network");
    assert_eq!(waits(vec![well("b")]), 0, "two neither");
    assert_eq!(waits(vec![well("b"), well("c")]), 2, "perhaps they follow");
    assert_eq!(waits(vec![well("b"), sick("c")]), 5, "one is about to");
    assert_eq!(waits(vec![open("b", 99), well("c")]), 5, "one is there");
    assert_eq!(waits(vec![open("b", 9), well("c")]), 2, "that one is another matter");
}

fn route(windows: Windows) -> Readings {
    let route = RouteReading { class: Arc::from("web"), counts: windows, ..RouteReading::default() };
    Readings { routes: vec![route], ..Readings::default() }
}

#[test]
fn one_error_in_a_quiet_minute_is_nothing_and_many_are() {
    let mut detector = Detector::new(at(0));
    let quiet = Windows { s10: counts(1, 1), m1: counts(5, 1), m5: counts(20, 1), ..Windows::default() };
    assert_ne!(sign(&look(&mut detector, &route(quiet), at(9)), Rule::ErrorRate, "web"), Sign::Bad);
    let many =
        Windows { s10: counts(500, 5), m1: counts(3_000, 5), m5: counts(3_000, 5), ..Windows::default() };
    let found = look(&mut detector, &route(many), at(10));
    let error = found.iter().find(|finding| finding.key.rule == Rule::ErrorRate).expect("found");
    assert_eq!((error.look.sign, error.severity), (Sign::Bad, Severity::Medium));
    assert!(!error.look.ripe, "five of three thousand call nobody");
}

#[test]
fn without_traffic_an_error_rate_is_blind() {
    let found = look(&mut Detector::new(at(0)), &route(Windows::default()), at(9));
    assert_eq!(sign(&found, Rule::ErrorRate, "web"), Sign::Blind);
}

#[test]
fn a_fast_burn_is_high_and_names_who_is_to_blame() {
    let windows = Windows {
        s10: counts(500, 100),
        m1: counts(3_000, 600),
        m5: counts(15_000, 3_000),
        h1: counts(180_000, 3_000),
        ..Windows::default()
    };
    let mut readings = route(windows);
    readings.routes[0].blamed = vec![(Arc::from("twilio"), 10), (Arc::from("stripe"), 590)];
    let found = look(&mut Detector::new(at(0)), &readings, at(500));
    let error = found.iter().find(|finding| finding.key.rule == Rule::ErrorRate).expect("found");
    assert_eq!(
        (error.severity, error.look.ripe, error.cause.as_deref()),
        (Severity::High, true, Some("stripe"))
    );
    let says = error.says.as_ref().expect("says");
    assert_eq!(says.title, "20.00% of web replies fail");
    assert!(says.evidence.contains(&("top_contributor".to_owned(), "stripe: 590".to_owned())));
}

#[test]
fn a_slow_burn_is_a_ticket_but_not_in_the_shadow_of_a_spike() {
    let slow = Windows {
        s10: counts(100, 0),
        m1: counts(600, 1),
        m5: counts(3_000, 5),
        h6: counts(216_000, 400),
        d3: counts(2_592_000, 4_000),
        ..Windows::default()
    };
    let of = |found: Vec<Finding>| {
        found.into_iter().find(|finding| &*finding.key.scope == "slow_burn").expect("found")
    };
    let mut detector = Detector::new(at(0));
    assert_eq!(of(look(&mut detector, &route(slow), at(21_599))).look.sign, Sign::Blind);
    let ticket = of(look(&mut detector, &route(slow), at(21_600)));
    assert_eq!((ticket.look.sign, ticket.severity), (Sign::Bad, Severity::Low));
    let spike = Windows { s10: counts(100, 90), m1: counts(600, 300), m5: counts(3_000, 500), ..slow };
    look(&mut detector, &route(spike), at(21_601));
    assert_eq!(of(look(&mut detector, &route(slow), at(21_700))).look.sign, Sign::Blind);
}

#[test]
fn a_p99_over_five_seconds_is_high_and_over_eight_critical_and_few_requests_prove_nothing() {
    let slow = |total, warn, alert| {
        let over = Over { total, warn, alert };
        let mut readings = route(Windows::default());
        readings.routes[0].p99 = SlowCounts { m1: over, m5: over };
        let found = look(&mut Detector::new(at(0)), &readings, at(100));
        let p99 = found.into_iter().find(|finding| &*finding.key.scope == "p99").expect("found");
        (p99.look.sign, p99.severity)
    };
    assert_eq!(slow(1_000, 21, 0).0, Sign::Between);
    assert_eq!(slow(1_000, 22, 0), (Sign::Bad, Severity::High));
    assert_eq!(slow(1_000, 60, 60), (Sign::Bad, Severity::Critical));
    assert_ne!(slow(20, 2, 0).0, Sign::Bad);
    assert_eq!(slow(0, 0, 0).0, Sign::Blind);
    assert_eq!(slow(1_000, 0, 0).0, Sign::Good);
}

#[test]
fn a_budget_is_met_warned_or_broken() {
    let over = |warn, alert| Over { total: 1_000, warn, alert };
    assert_eq!(budget_state(over(10, 0), 0.01, 1e-3), Some(BudgetState::Met));
    assert_eq!(budget_state(over(30, 5), 0.01, 1e-3), Some(BudgetState::Warned));
    assert_eq!(budget_state(over(900, 30), 0.01, 1e-3), Some(BudgetState::Broken));
    assert_eq!(budget_state(Over::default(), 0.01, 1e-3), None);
}

fn cpu(used: Option<f64>, sampled: i64) -> Readings {
    let reading = ResourceReading {
        what: Resource::Cpu,
        which: Arc::from(""),
        used,
        sampled: at(sampled),
        source: "cgroup".to_owned(),
    };
    Readings { resources: vec![reading], ..Readings::default() }
}

#[test]
fn a_resource_is_exhausted_after_three_samples_not_three_looks() {
    let mut detector = Detector::new(at(0));
    let mut last = Sign::Good;
    for second in 0..11 {
        let found = look(&mut detector, &cpu(Some(0.97), second / 5 * 5), at(second));
        last = sign(&found, Rule::Resource, "cpu");
        assert_eq!(last == Sign::Bad, second >= 10, "{second}");
    }
    assert_eq!(last, Sign::Bad);
    let between = look(&mut detector, &cpu(Some(0.92), 15), at(15));
    assert_eq!(sign(&between, Rule::Resource, "cpu"), Sign::Between);
    let good = look(&mut detector, &cpu(Some(0.70), 20), at(20));
    let mut of_it = good.iter().filter(|finding| finding.key.rule == Rule::Resource);
    assert!(of_it.all(|finding| finding.look.sign == Sign::Good));
}

#[test]
fn what_cannot_be_measured_is_blind_not_zero() {
    let mut detector = Detector::new(at(0));
    assert_eq!(sign(&look(&mut detector, &cpu(None, 5), at(5)), Rule::Resource, "cpu"), Sign::Blind);
    assert_eq!(sign(&look(&mut detector, &cpu(Some(0.1), 5), at(90)), Rule::Resource, "cpu"), Sign::Blind);
}

fn payments(processor: Windows, decisions: Windows) -> Vec<Finding> {
    let payment = PaymentReading { vendor: Arc::from("stripe"), processor, decisions };
    let readings = Readings { payments: vec![payment], ..Readings::default() };
    look(&mut Detector::new(at(0)), &readings, at(100))
}

#[test]
fn a_failing_processor_is_critical_and_declined_cards_are_business() {
    let failing = Windows { s10: counts(10, 6), m1: counts(40, 6), m5: counts(200, 6), ..Windows::default() };
    let fine = Windows { m1: counts(40, 0), m5: counts(200, 0), ..Windows::default() };
    let usual = Windows { h1: counts(100, 12), d3: counts(5_000, 500), ..Windows::default() };
    let found = payments(failing, usual);
    assert_eq!(sign(&found, Rule::PaymentFailure, "stripe"), Sign::Bad);
    assert_eq!(found[0].severity, Severity::Critical);
    assert_ne!(sign(&found, Rule::DeclineRate, "stripe"), Sign::Bad);
    let unusual = Windows { h1: counts(100, 60), d3: counts(5_000, 550), ..Windows::default() };
    let found = payments(fine, unusual);
    assert_eq!(sign(&found, Rule::PaymentFailure, "stripe"), Sign::Good);
    assert_eq!(sign(&found, Rule::DeclineRate, "stripe"), Sign::Bad);
    let unknown = payments(fine, Windows { h1: counts(100, 60), d3: counts(150, 60), ..Windows::default() });
    assert_eq!(sign(&unknown, Rule::DeclineRate, "stripe"), Sign::Blind);
}

#[test]
fn a_rule_that_is_off_finds_nothing() {
    let policy = DetectPolicy { off: vec![Rule::ErrorRate], ..DetectPolicy::default() };
    let found = Detector::new(at(0)).look(&policy, &route(Windows::default()), at(1));
    assert!(found.iter().all(|finding| finding.key.rule != Rule::ErrorRate));
}
