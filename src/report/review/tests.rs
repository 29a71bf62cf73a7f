use std::sync::Arc;

use super::*;
use crate::names::IncidentId;
use crate::reliability::counts::Counts;
use crate::reliability::incident::{ActionItem, Actor, Beginning, Ending, EntryKind, Review, Signal};
use crate::reliability::ledger::{Minute, MinuteShare, Slices};
use crate::reliability::rule::{AlertKey, Rule, Severity};

/// 2026-10-25T00:58:30Z: 02:58:30 in Berlin, ninety seconds before the clocks are set back.
const BEGAN: At = At(1_792_889_910_000);

fn at(seconds: u64) -> At {
    BEGAN + Duration::from_secs(seconds)
}

fn asked() -> ReviewRequest {
    ReviewRequest {
        zone: Zone::read("Europe/Berlin").expect("a zone"),
        until: at(86_400),
        objectives: Objectives::default(),
    }
}

/// Stripe dies; suspected after 3 s, confirmed after 30 s, taken after 90 s, over after 150 s.
fn incident() -> Incident {
    let key = AlertKey::of(Rule::ServiceDown, "stripe", "");
    let beginning = Beginning {
        id: IncidentId::of(BEGAN.0, 7),
        key: key.clone(),
        title: "stripe | is `down` <script>".to_owned(),
        severity: Severity::Critical,
        began: BEGAN,
        earlier: None,
    };
    let mut one = Incident::suspected(beginning, at(3));
    let signal = |key: AlertKey, first: u64, over| Signal {
        key,
        first_bad: at(first),
        confirmed: None,
        over: Some(at(over)),
        worst: None,
    };
    one.signals = vec![
        signal(AlertKey::of(Rule::ErrorRate, "api", ""), 12, 140),
        signal(key, 0, 150),
        signal(AlertKey::of(Rule::Breaker, "stripe", ""), 3, 150),
    ];
    one.tell(
        at(3),
        Actor::Engine,
        EntryKind::Signal,
        "suspected: no success".to_owned(),
        vec![("failures".into(), "3".into())],
    );
    one.open(Actor::Engine, "no success for 30 s".to_owned(), at(30)).expect("opens");
    one.acknowledge("ann", at(90)).expect("is taken");
    one.tell(
        at(95),
        Actor::Named("ann".into()),
        EntryKind::Note,
        "a | note\n# of *two* lines".to_owned(),
        Vec::new(),
    );
    one.mitigate(Actor::Named("ann".into()), "failed over", at(100)).expect("something is done");
    let verified = vec![("verified".to_owned(), "yes".to_owned())];
    one.tell(at(130), Actor::Named("ann".into()), EntryKind::Action, "restarted".to_owned(), verified);
    one.monitor(at(150), at(150)).expect("is over");
    one.close(Ending::Recovered, Actor::Engine, "well for two minutes".to_owned(), at(270))
        .expect("resolves");
    one
}

fn minute(subject: &str, number: i64, letters: &str, good: u64, bad: u64) -> Minute {
    let slices: Slices = serde_json::from_value(letters.into()).expect("sixty letters");
    let share = MinuteShare { slices, counts: Counts { good, bad } };
    Minute { subject: Arc::from(subject), minute: number, by: [(Arc::from("boot"), share)].into() }
}

/// The incident lies in four minutes, from second 30 of the first to second 0 of the fourth: 30 + 60 + 60 s.
fn around() -> Around {
    let first = BEGAN.minute();
    let up = "u".repeat(60);
    Around {
        minutes: vec![
            minute("service", first, &("u".repeat(30) + &"d".repeat(30)), 50, 10),
            minute("service", first + 1, &"g".repeat(60), 40, 20),
            minute("service", first + 2, &("g".repeat(20) + &"u".repeat(40)), 60, 0),
            minute("service", first + 3, &up, 1_000, 500),
            minute("stripe", first + 1, &"d".repeat(60), 0, 20),
        ],
        period: Some(Counts { good: 599_970, bad: 30 }),
        changes: vec![AuditedChange {
            at: BEGAN - Duration::from_secs(600),
            actor: "bob".to_owned(),
            action: "config.applied".to_owned(),
            target: "strop.toml".to_owned(),
            detail: "{\"applied\":[\"upstreams.stripe.timeouts\"]}".to_owned(),
        }],
    }
}

/// By hand: 30 of 180 requests failed in the three minutes that it touches; 30 s down of 259.2 s that 30 days allow; 30 of the
/// 600 that 600 000 requests allow.
#[test]
fn the_impact_is_what_it_is_by_hand() {
    let review = PostIncident::of(&incident(), around(), &asked());
    let impact = &review.impact;
    assert_eq!(impact.seconds, 150.0);
    let [service, stripe] = &impact.touched[..] else { panic!("two: {:?}", impact.touched) };
    assert_eq!((service.requests, service.failed, service.seconds), (180, 30, 150));
    assert_eq!((service.down_seconds, service.degraded_seconds, service.unknown_seconds), (30, 80, 0));
    assert_eq!((stripe.failed, stripe.down_seconds, stripe.unknown_seconds), (20, 60, 90));
    let near =
        |told: Option<f64>, wanted: f64| assert!((told.expect("told") - wanted).abs() < 1e-6, "{told:?}");
    near(service.failed_percentage, 16.666_666_7);
    near(impact.request_budget_percentage, 5.0);
    near(impact.time_budget_percentage, 11.574_074_1);
    assert_eq!(impact.routes, Some(vec!["api".to_owned()]));
}

#[test]
fn clocks_and_signals_say_how_long_before_somebody_knew() {
    let review = PostIncident::of(&incident(), around(), &asked());
    let took: Vec<_> = review.clocks.iter().map(|took| took.seconds.expect("happened")).collect();
    assert_eq!(took, [3.0, 30.0, 60.0, 70.0, 150.0]);
    let leads: Vec<_> =
        review.signals.iter().map(|lead| (lead.rule, lead.lead_seconds.expect("told"))).collect();
    assert_eq!(leads, [("service_down", 30.0), ("breaker", 27.0), ("error_rate", 18.0)]);
    let done: Vec<_> =
        review.actions.iter().map(|done| (done.what.contains("failed over"), done.verified)).collect();
    assert_eq!(done, [(true, None), (false, Some(true))]);
    assert_eq!(review.ended.as_deref(), Some("2026-10-25T02:01:00+01:00"), "the clocks were set back");
}

#[test]
fn a_review_looks_as_it_did_before_and_after_people_filled_it_in() {
    let mut one = incident();
    let blank = PostIncident::of(&one, around(), &asked());
    assert_eq!((blank.reviewed, &*blank.missing), (false, &["technical", "process", "human", "actions"][..]));
    insta::assert_snapshot!("review_blank", blank.markdown());
    let filled = Review {
        technical: "No fallback.\n\n# not a heading\n    not code".to_owned(),
        process: "Nobody tested it.".to_owned(),
        human: "We *assumed*.".to_owned(),
        actions: vec![ActionItem {
            what: "add a fallback | now".to_owned(),
            owner: "ann".to_owned(),
            due: at(30 * 86_400),
        }],
    };
    one.review("ann", filled, at(9_000)).expect("complete");
    let review = PostIncident::of(&one, around(), &asked());
    assert!(review.reviewed && review.missing.is_empty());
    insta::assert_snapshot!("review_filled", review.markdown());
    insta::assert_snapshot!("review_json", review.json());
    assert_eq!(review.json(), PostIncident::of(&one, around(), &asked()).json());
}

#[test]
fn what_nobody_saw_is_not_zero() {
    let mut one = incident();
    one.signals.clear();
    let review = PostIncident::of(&one, Around::default(), &asked());
    let impact = &review.impact;
    assert_eq!(
        (impact.request_budget_percentage, impact.time_budget_percentage, &impact.routes),
        (None, None, &None)
    );
    let text = review.markdown();
    assert!(text.contains("not observed, the ledger has nothing of that time"), "{text}");
    assert!(text.contains("not observed of requests, not observed of time"), "{text}");
}

#[test]
fn one_that_is_not_over_reaches_to_the_asking() {
    let mut one = incident();
    (one.clocks.closed, one.ending, one.state) = (None, None, State::Mitigating);
    let review = PostIncident::of(&one, around(), &ReviewRequest { until: at(60), ..asked() });
    assert_eq!((review.impact.seconds, &review.ended), (60.0, &None));
    assert_eq!(window(&one, BEGAN - Duration::from_secs(9)), BEGAN..at(1));
}
