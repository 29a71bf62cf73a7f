use super::*;
use crate::reliability::breaker::BreakerState;
use crate::reliability::readings::{
    BreakerReading, FailureScope, Over, PaymentReading, Reach, ResourceReading, RouteReading, SlowCounts,
    UpstreamReading,
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
fn what_starts_beside_strop_has_its_grace_until_somebody_can_connect_and_a_vendor_has_none() {
    let never = UpstreamReading { last_success: None, beside: true, ..failing("billing", 9, 1, 29) };
    let seen = |one: &UpstreamReading, now| {
        let one = UpstreamReading { breaker: breaker(BreakerState::Open, 2), ..one.clone() };
        let found = look(&mut Detector::new(at(0)), &of(vec![one]), at(now));
        (sign(&found, Rule::ServiceDown, "billing"), sign(&found, Rule::Breaker, "billing"))
    };
    assert_eq!(seen(&never, 29), (Sign::Blind, Sign::Blind));
    assert_eq!(seen(&never, 30), (Sign::Bad, Sign::Bad));
    let answers = UpstreamReading { failing: FailureScope::Answers, ..never.clone() };
    assert_eq!(seen(&answers, 3), (Sign::Bad, Sign::Bad), "whoever answers has started");
    let vendor = UpstreamReading { beside: false, ..never };
    assert_eq!(seen(&vendor, 3), (Sign::Bad, Sign::Bad));
}

#[test]
fn where_checks_pass_one_route_or_client_that_fails_is_not_the_whole() {
    let row = |failures, reach, failed_probes: Option<u32>| {
        let (checked, answers) = (failed_probes.map(|_| at(102)), FailureScope::Answers);
        let failing = failing("api", failures, 101, 103);
        let one = UpstreamReading { reach, failed_probes, checked, failing: answers, ..failing };
        sign(&look(&mut Detector::new(at(0)), &of(vec![one]), at(103)), Rule::ServiceDown, "api")
    };
    assert_eq!(row(500, Reach::One, Some(0)), Sign::Good);
    assert_eq!(row(500, Reach::Unknown, Some(0)), Sign::Between, "one client has asked for one thing");
    assert_eq!(row(19, Reach::Several, Some(0)), Sign::Between);
    assert_eq!(row(20, Reach::Several, Some(0)), Sign::Bad);
    assert_eq!(row(3, Reach::Several, Some(1)), Sign::Bad, "a check agrees");
    assert_eq!(row(0, Reach::Unknown, Some(3)), Sign::Bad);
    assert_eq!(row(500, Reach::One, None), Sign::Good, "others are served");
    assert_eq!(row(3, Reach::Unknown, None), Sign::Bad, "nobody is, as far as anybody can tell");
}

#[test]
fn until_a_check_says_more_what_meets_everybody_is_down_and_what_meets_one_waits_for_it() {
    let seen = |failing, reach, checked| {
        let (failed_probes, failures) = (Some(0), self::failing("api", 3, 101, 101));
        let one = UpstreamReading { reach, failed_probes, checked: Some(at(checked)), failing, ..failures };
        let all = Windows { s5: counts(5, 5), m1: counts(5, 5), m5: counts(5, 5), ..Windows::default() };
        let mut readings = route(all);
        readings.upstreams = vec![one];
        readings.routes[0].blamed = vec![(Arc::from("api"), 5)];
        let found = look(&mut Detector::new(at(0)), &readings, at(101));
        (sign(&found, Rule::ServiceDown, "api"), sign(&found, Rule::ErrorRate, "web"))
    };
    assert_eq!(seen(FailureScope::Connections, Reach::Unknown, 95), (Sign::Bad, Sign::Bad));
    assert_eq!(seen(FailureScope::Answers, Reach::Several, 95), (Sign::Bad, Sign::Bad));
    assert_eq!(seen(FailureScope::Answers, Reach::Unknown, 95), (Sign::Between, Sign::Between));
    assert_eq!(
        seen(FailureScope::Answers, Reach::Unknown, 102),
        (Sign::Between, Sign::Bad),
        "the check has passed"
    );
    assert_eq!(seen(FailureScope::Answers, Reach::One, 95), (Sign::Good, Sign::Bad));
}

#[test]
fn three_failures_and_then_silence_are_suspected_and_never_ripe() {
    let mut detector = Detector::new(at(0));
    for now in 103..400 {
        let found = look(&mut detector, &of(vec![failing("billing", 3, 101, 103)]), at(now));
        let down = found.iter().find(|finding| finding.key.rule == Rule::ServiceDown).expect("found");
        assert!(!down.look.ripe, "{now}");
        assert_eq!(down.look.sign == Sign::Bad, now < 163, "{now}");
    }
}

#[test]
fn a_half_open_breaker_that_nobody_asks_is_blind_and_not_bad() {
    let seen = |state, since, success, failure, now| {
        let one = UpstreamReading {
            breaker: breaker(state, since),
            last_success: success,
            last_failure: failure,
            ..upstream("twilio")
        };
        sign(&look(&mut Detector::new(at(0)), &of(vec![one]), at(now)), Rule::Breaker, "twilio")
    };
    let (well, bad) = (Some(at(90)), Some(at(100)));
    assert_eq!(seen(BreakerState::Open, 100, well, bad, 300), Sign::Bad, "it refuses");
    assert_eq!(seen(BreakerState::HalfOpen, 130, well, bad, 131), Sign::Bad, "it failed half a minute ago");
    assert_eq!(seen(BreakerState::HalfOpen, 130, well, bad, 160), Sign::Blind);
    assert_eq!(seen(BreakerState::HalfOpen, 130, Some(at(170)), bad, 171), Sign::Between, "a probe passed");
    assert_eq!(seen(BreakerState::Closed, 172, Some(at(172)), bad, 173), Sign::Good);
    assert_eq!(seen(BreakerState::Closed, 172, well, bad, 173), Sign::Blind, "closed by an order");
    assert_eq!(seen(BreakerState::Closed, 0, None, None, 173), Sign::Blind, "nobody has asked it yet");
}

fn checked(name: &str, missed: u32, passed: i64, since: i64) -> UpstreamReading {
    UpstreamReading {
        failed_probes: Some(missed),
        last_success: Some(at(passed)),
        failing_since: Some(at(since)),
        last_failure: Some(at(since + i64::from(missed) - 1)),
        ..upstream(name)
    }
}

#[test]
fn checked_upstreams_that_are_gone_at_once_are_the_network_and_one_missed_check_is_nothing() {
    let network = |all: Vec<UpstreamReading>, now| {
        let found = look(&mut Detector::new(at(0)), &of(all), at(now));
        let network = found.iter().find(|finding| finding.key.rule == Rule::NetworkDown).expect("found");
        (network.look.sign, network.look.ripe, network.policy.confirm.as_secs())
    };
    // Each is checked every ten seconds, at a moment of its own; all went at 100.
    let names: Vec<String> = (0..12).map(|n| format!("u{n}")).collect();
    let spread = |now: i64| {
        let one = |(n, name): (i64, &String)| {
            let (passed, since) = (91 + n % 10, 101 + n % 10);
            if now < since { upstream(name) } else { checked(name, (now - since + 1) as u32, passed, since) }
        };
        (0..).zip(&names).map(one).collect::<Vec<_>>()
    };
    assert_ne!(network(spread(102), 102).0, Sign::Bad, "one missed check each");
    assert_eq!(network(spread(103), 103), (Sign::Bad, false, 30));
    assert_eq!(network(spread(112), 112), (Sign::Bad, true, 30));
    let blip = |name| checked(name, 1, 99, 101);
    assert_ne!(network(vec![blip("a"), blip("b"), blip("c"), blip("d")], 101).0, Sign::Bad);
    let apart = vec![checked("a", 90, 10, 11), checked("b", 50, 50, 51), checked("c", 3, 98, 99)];
    assert_ne!(network(apart, 101).0, Sign::Bad, "each went at a time of its own");
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
    assert_eq!(sign(&found, Rule::Breaker, "a"), Sign::Blind);
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
fn slow_replies_are_their_upstreams_when_at_least_half_of_them_are_and_else_the_routes() {
    let cause = |of_stripe: u64, of_api: u64| {
        let over = |slow| Over { total: 500, warn: slow, alert: slow };
        let all = Over { total: 1_000, warn: of_stripe + of_api, alert: of_stripe + of_api };
        let mut readings = route(Windows::default());
        let route = &mut readings.routes[0];
        // Only the p99 is over: what is within the median's budget blames nobody.
        route.p99 = SlowCounts { m1: all, m5: all };
        let fine = Over { total: 500, warn: 0, alert: 0 };
        let by = |name: &str, slow| (Arc::from(name), [fine, fine, over(slow)]);
        route.slow_by = vec![by("api", of_api), by("stripe", of_stripe)];
        let found = look(&mut Detector::new(at(0)), &readings, at(100));
        let p99 = found.into_iter().find(|finding| &*finding.key.scope == "p99").expect("found");
        p99.cause.map(|cause| cause.to_string())
    };
    assert_eq!(cause(60, 3).as_deref(), Some("stripe"));
    assert_eq!(cause(3, 60).as_deref(), Some("api"));
    assert_eq!(cause(1, 0), None, "nothing is slow beyond chance");
    let mut readings = route(Windows::default());
    let all = Over { total: 1_000, warn: 60, alert: 60 };
    readings.routes[0].p99 = SlowCounts { m1: all, m5: all };
    let thirds = ["a", "b", "c"].map(|name| (Arc::from(name), [Over { total: 300, warn: 20, alert: 20 }; 3]));
    readings.routes[0].slow_by = thirds.to_vec();
    let found = look(&mut Detector::new(at(0)), &readings, at(100));
    let p99 = found.into_iter().find(|finding| &*finding.key.scope == "p99").expect("found");
    assert_eq!(p99.cause, Some(Arc::clone(&readings.routes[0].class)), "no upstream has half of them");
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
fn what_was_bad_and_is_well_by_now_is_not_confirmed_and_nor_is_silence() {
    let ripe = |readings: &Readings, rule| {
        let found = look(&mut Detector::new(at(0)), readings, at(100));
        let of = |finding: &&Finding| finding.key.rule == rule && finding.key.scope.is_empty();
        found
            .iter()
            .find(of)
            .map(|finding| finding.look)
            .map(|look| (look.sign, look.ripe, look.well_now))
            .expect("found")
    };
    let windows = |s10, s20| Windows {
        s10,
        s20,
        m1: counts(30, 12),
        m5: counts(30, 12),
        h1: counts(30, 12),
        ..Windows::default()
    };
    let well = windows(counts(10, 0), counts(15, 0));
    let silent = windows(counts(0, 0), counts(0, 0));
    let failing = windows(counts(10, 6), counts(15, 8));
    for (now, ripe_now, well_now) in [(well, false, true), (silent, false, false), (failing, true, false)] {
        let payment = PaymentReading { vendor: Arc::from("stripe"), processor: now, decisions: now };
        let readings = Readings { payments: vec![payment], ..route(now) };
        assert_eq!(ripe(&readings, Rule::PaymentFailure), (Sign::Bad, ripe_now, well_now), "{now:?}");
        assert_eq!(ripe(&readings, Rule::ErrorRate), (Sign::Bad, ripe_now, well_now), "{now:?}");
    }
    let declined = |m5| {
        let decisions = Windows { m5, h1: counts(100, 60), d3: counts(5_000, 550), ..Windows::default() };
        let payment = PaymentReading { vendor: Arc::from("stripe"), processor: well, decisions };
        ripe(&Readings { payments: vec![payment], ..Readings::default() }, Rule::DeclineRate)
    };
    assert_eq!(declined(counts(20, 1)), (Sign::Bad, false, false));
    assert_eq!(declined(counts(20, 12)), (Sign::Bad, true, false));
}

#[test]
fn a_minute_without_traffic_says_nothing_of_errors_and_of_slowness() {
    let before = Windows { m5: counts(10, 9), h1: counts(10, 9), ..Windows::default() };
    let mut readings = route(before);
    readings.routes[0].p99 = SlowCounts { m1: Over::default(), m5: Over { total: 10, warn: 9, alert: 9 } };
    let found = look(&mut Detector::new(at(0)), &readings, at(100));
    let of = |rule: Rule| found.iter().filter(move |finding| finding.key.rule == rule);
    assert!(of(Rule::ErrorRate).all(|finding| finding.look.sign == Sign::Blind));
    assert!(of(Rule::Latency).all(|finding| finding.look.sign == Sign::Blind));
}

#[test]
fn what_one_client_gets_while_others_are_served_is_not_the_routes() {
    let failing = Windows {
        s10: counts(500, 40),
        m1: counts(3_000, 240),
        m5: counts(15_000, 1_200),
        ..Windows::default()
    };
    let mut readings = route(failing);
    assert_eq!(sign(&look(&mut Detector::new(at(0)), &readings, at(100)), Rule::ErrorRate, "web"), Sign::Bad);
    readings.routes[0].of_one = failing;
    assert_eq!(
        sign(&look(&mut Detector::new(at(0)), &readings, at(100)), Rule::ErrorRate, "web"),
        Sign::Good
    );
}

#[test]
fn a_rule_that_is_off_finds_nothing() {
    let policy = DetectPolicy { off: vec![Rule::ErrorRate], ..DetectPolicy::default() };
    let found = Detector::new(at(0)).look(&policy, &route(Windows::default()), at(1));
    assert!(found.iter().all(|finding| finding.key.rule != Rule::ErrorRate));
}

#[test]
fn of_an_upstream_that_gets_nothing_by_order_its_checks_say_how_it_is() {
    let mut detector = Detector::new(at(0));
    let held = Some(BreakerReading { held: true, ..breaker(BreakerState::Open, 110).expect("some") });
    let checked = |second, breaker| UpstreamReading {
        failed_probes: Some(0),
        checked: Some(at(second)),
        breaker,
        ..failing("billing", 5, 101, 110)
    };
    let mut is = |one| sign(&look(&mut detector, &of(vec![one]), at(130)), Rule::ServiceDown, "billing");
    assert_eq!(is(checked(120, held)), Sign::Good);
    assert_ne!(is(checked(90, held)), Sign::Good, "no check has passed since");
    assert_ne!(is(checked(120, breaker(BreakerState::Closed, 110))), Sign::Good, "exchanges say more");
}
