use super::*;
use crate::reliability::rule::Rule;

fn at(second: i64) -> At {
    At(second * 1_000)
}

fn incident(severity: Severity) -> Incident {
    let beginning = Beginning {
        id: IncidentId::of(0, 1),
        key: Key::of(Rule::ServiceDown, "billing", ""),
        title: "billing is down".to_owned(),
        severity,
        began: at(0),
        earlier: None,
    };
    Incident::suspected(beginning, at(3))
}

fn open(severity: Severity) -> Incident {
    let mut incident = incident(severity);
    incident.open(Actor::Engine, "confirmed".to_owned(), at(30)).expect("opens");
    incident
}

#[test]
fn it_walks_from_suspicion_to_review_and_its_clocks_tell_how_long_it_took() {
    let mut one = open(Severity::Critical);
    one.acknowledge("ada", at(90)).expect("takes").expect("moves");
    one.mitigate(Actor::Engine, "restarting", at(95)).expect("acts").expect("moves");
    one.monitor(at(100), at(101)).expect("monitors");
    one.close(Ending::Recovered, Actor::Engine, "good for 2 min".to_owned(), at(220)).expect("closes");
    assert_eq!(one.state, State::Resolved);
    assert_eq!(one.clocks.to_suspect(), Duration::from_secs(3));
    assert_eq!(one.clocks.to_confirm(), Some(Duration::from_secs(30)));
    assert_eq!(one.clocks.to_acknowledge(), Some(Duration::from_secs(60)));
    assert_eq!(one.clocks.to_recover(), Some(Duration::from_secs(100)));
    let mut review = Review { technical: "a full disk".to_owned(), ..Review::default() };
    let refused = one.review("ada", review.clone(), at(500)).expect_err("incomplete");
    assert_eq!(refused, Refused::Incomplete(vec!["process", "human", "actions"]));
    review.process = "no alert on disks".to_owned();
    review.human = "nobody looked".to_owned();
    review.actions.push(ActionItem { what: "alert".to_owned(), owner: "bo".to_owned(), due: at(9_999) });
    one.review("ada", review, at(600)).expect("reviews");
    assert_eq!(one.state, State::Reviewed);
}

#[test]
fn evidence_raises_the_severity_and_only_a_person_lowers_it() {
    let mut one = open(Severity::Medium);
    assert!(!one.raise(Severity::Low, "less", at(31)));
    assert!(one.raise(Severity::High, "more", at(32)));
    assert_eq!((one.severity, one.respond_by), (Severity::High, Some(at(332))));
    one.rate(Severity::Low, "ada", "only the test tenant", at(40)).expect("lowers");
    assert_eq!(one.severity, Severity::Low);
}

#[test]
fn a_relapse_goes_back_to_where_people_had_taken_it() {
    let mut one = open(Severity::High);
    one.monitor(at(40), at(40)).expect("monitors");
    one.acknowledge("ada", at(41)).expect("takes");
    assert_eq!(one.state, State::Monitoring);
    one.relapse("bad again".to_owned(), at(42)).expect("relapses");
    assert_eq!((one.state, one.flaps, one.clocks.recovered), (State::Acknowledged, 1, None));
}

#[test]
fn an_unconfirmed_one_is_cleared_and_stays_so() {
    let mut one = incident(Severity::Critical);
    one.close(Ending::NeverConfirmed, Actor::Engine, "good again".to_owned(), at(20)).expect("clears");
    assert_eq!(one.state, State::Cleared);
    assert_eq!(one.acknowledge("ada", at(21)), Err(Refused::Not { state: State::Cleared }));
    assert!(one.open(Actor::Engine, String::new(), at(22)).is_err());
}

#[test]
fn the_response_clock_breaks_once_and_not_for_what_is_taken() {
    let mut late = open(Severity::High);
    assert!(!late.check_clock(at(330)));
    assert!(late.check_clock(at(331)));
    assert!(!late.check_clock(at(332)) && late.breached);
    let mut taken = open(Severity::High);
    taken.acknowledge("ada", at(60)).expect("takes");
    assert!(!taken.check_clock(at(9_999)));
    let mut critical = open(Severity::Critical);
    assert!(!critical.check_clock(at(89)) && critical.check_clock(at(91)));
}

#[test]
fn what_a_newer_version_wrote_is_read() {
    let one = open(Severity::High);
    let mut json = serde_json::to_value(&one).expect("writes");
    json["weather"] = serde_json::json!({ "wind": 3 });
    json["timeline"][0]["kind"] = serde_json::json!("haiku");
    json["key"]["rule"] = serde_json::json!("moon_phase");
    let read: Incident = serde_json::from_value(json).expect("reads");
    assert_eq!(read.key.rule, Rule::Unknown);
    assert_eq!(read.timeline[0].kind, EntryKind::Unknown);
    let back: Incident = serde_json::from_str(&serde_json::to_string(&one).expect("writes")).expect("reads");
    assert_eq!(back, one);
}
