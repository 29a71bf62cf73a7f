use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::names::IncidentId;
use crate::reliability::breaker::BreakerState;
use crate::reliability::brief::{
    BreakerScene, ClientFault, EndpointIs, EndpointScene, ResourceScene, RouteScene, Scene, UpstreamScene,
};
use crate::reliability::incident::Beginning;
use crate::reliability::recovery::{PlanTrigger, RecoveryMode, Step, StepMode};
use crate::reliability::rule::Severity;
use crate::units::At;

fn check(what: CheckKind, of: Option<&str>) -> Runbook {
    let kind = RunbookStepKind::Check(RunbookCheck { what, of: of.map(Arc::from) });
    let step = RunbookStep { part: String::new(), text: "look".to_owned(), kind };
    Runbook {
        name: Arc::from("one"),
        title: "One".to_owned(),
        scope: RunbookScope::default(),
        steps: vec![step],
    }
}

fn sees(what: CheckKind, service: &str, scene: &Scene) -> (CheckSign, String) {
    let service = Arc::from(service);
    let found = check(what, None).look(Some(&service), scene).remove(0);
    (found.sign, found.says)
}

fn scene() -> Scene {
    let breaker =
        BreakerScene { state: BreakerState::Open, since: None, shadow: false, held: false, probes_in: None };
    let address = |address: &str, state| EndpointScene { address: address.to_owned(), state };
    let stripe = UpstreamScene {
        name: "stripe".to_owned(),
        breaker: Some(breaker),
        endpoints: vec![
            address("192.0.2.1:443", EndpointIs::Well),
            address("192.0.2.2:443", EndpointIs::Unhealthy),
        ],
        ..UpstreamScene::default()
    };
    let mail = UpstreamScene {
        name: "mail".to_owned(),
        endpoints: vec![address("192.0.2.3:443", EndpointIs::Unchecked)],
        ..UpstreamScene::default()
    };
    let route = RouteScene {
        name: "checkout".to_owned(),
        upstream: "stripe".to_owned(),
        total: 1_000,
        faults: vec![(ClientFault::Status, 2)],
        statuses: vec![(503, 2)],
        percentiles: Some([10, 20, 6_000].map(Duration::from_millis)),
        in_flight: 3,
        ..RouteScene::default()
    };
    let disk = ResourceScene { service: "disk:/data".to_owned(), used: Some(0.97), at: At(1) };
    let cpu = ResourceScene { service: "cpu".to_owned(), used: None, at: At(1) };
    Scene { upstreams: vec![stripe, mail], routes: vec![route], machine: vec![disk, cpu], ..Scene::default() }
}

#[test]
fn a_check_says_what_is_seen_of_its_service_or_of_the_route_to_it() {
    let scene = scene();
    let of = |percent: &str| crate::units::Written::read(percent).expect("a share");
    let rate = |at_most| CheckKind::ErrorRate { at_most: of(at_most) };
    assert_eq!(sees(rate("0.1%"), "checkout", &scene).0, CheckSign::Bad);
    let (sign, says) = sees(rate("0.2%"), "stripe", &scene);
    assert_eq!(sign, CheckSign::Good, "exactly what is allowed is good");
    assert_eq!(says, "2 of 1000 exchanges of the last minute failed (0.20 %), at most 0.2% is good");
    let latency = |percentile| CheckKind::Latency { percentile, at_most: Duration::from_secs(5) };
    assert_eq!(sees(latency(CheckPercentile::P99), "checkout", &scene).0, CheckSign::Bad);
    assert_eq!(sees(latency(CheckPercentile::P95), "checkout", &scene).0, CheckSign::Good);
    let (sign, says) = sees(CheckKind::Breaker, "checkout", &scene);
    assert_eq!((sign, says.as_str()), (CheckSign::Bad, "the breaker of stripe is open"));
    let (sign, says) = sees(CheckKind::Health, "stripe", &scene);
    assert_eq!((sign, says.as_str()), (CheckSign::Bad, "1 of 2 addresses of stripe are well"));
    let (sign, says) = sees(CheckKind::Failures, "stripe", &scene);
    assert_eq!(sign, CheckSign::Bad);
    assert_eq!(says, "of 1000 exchanges of the last minute 2 answered 5xx; 503 ×2");
    assert_eq!(sees(CheckKind::InFlight { at_most: 2 }, "stripe", &scene).0, CheckSign::Bad);
    let disk = CheckKind::Resource { what: Resource::Disk, at_most: of("95%") };
    assert_eq!(sees(disk, "", &scene).0, CheckSign::Bad);
    assert_eq!(sees(CheckKind::Reachability, "stripe", &scene).0, CheckSign::Asked);
}

#[test]
fn what_is_not_seen_is_not_observable_and_never_good() {
    let scene = scene();
    let whole = Percent::WHOLE;
    let kinds = [
        CheckKind::Breaker,
        CheckKind::Reachability,
        CheckKind::Health,
        CheckKind::ErrorRate { at_most: whole },
        CheckKind::Latency { percentile: CheckPercentile::P50, at_most: Duration::from_secs(60) },
        CheckKind::Failures,
        CheckKind::InFlight { at_most: u64::MAX },
        CheckKind::Resource { what: Resource::Cpu, at_most: whole },
        CheckKind::Resource { what: Resource::Network, at_most: whole },
    ];
    for kind in kinds {
        assert_eq!(sees(kind, "database", &scene).0, CheckSign::NotObservable, "{kind:?}");
    }
    assert_eq!(sees(CheckKind::Breaker, "mail", &scene).0, CheckSign::NotObservable, "it has none");
    assert_eq!(sees(CheckKind::Health, "mail", &scene).0, CheckSign::NotObservable, "nobody checks it");
    assert_eq!(check(CheckKind::Breaker, None).look(None, &scene)[0].sign, CheckSign::NotObservable);
}

#[test]
fn a_check_that_names_its_subject_looks_there_whatever_the_incident_is_about() {
    let found =
        check(CheckKind::Breaker, Some("stripe")).look(Some(&Arc::from("backend")), &scene()).remove(0);
    assert_eq!((found.of.as_deref(), found.sign), (Some("stripe"), CheckSign::Bad));
}

fn incident(rule: Rule, service: &str) -> Incident {
    let beginning = Beginning {
        id: IncidentId::of(1, 1),
        key: AlertKey::of(rule, service, ""),
        title: String::new(),
        severity: Severity::High,
        began: At(1),
        earlier: None,
    };
    Incident::suspected(beginning, At(1))
}

#[test]
fn a_runbook_is_for_what_its_rules_services_or_plans_say_and_else_for_nothing() {
    let plan = Plan {
        name: Arc::from("database_failure"),
        trigger: PlanTrigger {
            rules: vec![Rule::ServiceDown],
            services: vec![Arc::from("database")],
            ..PlanTrigger::default()
        },
        steps: vec![Step {
            action: Action::ConnectionReset,
            mode: StepMode::Act,
            verify: Duration::from_secs(1),
        }],
        max_attempts: 1,
        retry_delay: Duration::ZERO,
        verify_for: Duration::ZERO,
        cooldown: Duration::ZERO,
        approve_within: Duration::ZERO,
    };
    let policy = RecoveryPolicy { mode: RecoveryMode::On, plans: vec![plan] };
    let fits = |scope: RunbookScope, rule, service| {
        let runbook = Runbook { scope, ..check(CheckKind::Breaker, None) };
        runbook.fits(&incident(rule, service), &policy)
    };
    let none = RunbookScope::default;
    assert!(!fits(none(), Rule::ServiceDown, "database"), "by order alone");
    let rules = || RunbookScope { rules: vec![Rule::ErrorRate], ..none() };
    assert!(fits(rules(), Rule::ErrorRate, "checkout") && !fits(rules(), Rule::Latency, "checkout"));
    let both = || RunbookScope { services: vec![Arc::from("a")], ..rules() };
    assert!(fits(both(), Rule::ErrorRate, "a") && !fits(both(), Rule::ErrorRate, "b"));
    let plans = || RunbookScope { plans: vec![Arc::from("database_failure")], ..none() };
    assert!(fits(plans(), Rule::ServiceDown, "database") && !fits(plans(), Rule::ServiceDown, "redis"));
    let to = |action, named| plan_of(&policy, action, named).map(|plan| plan.name.to_string());
    assert_eq!(to(Action::ConnectionReset, None).as_deref(), Some("database_failure"));
    assert_eq!(to(Action::ConnectionReset, Some("other")), None);
    assert_eq!(to(Action::Rollback, None), None, "no plan has it");
}
