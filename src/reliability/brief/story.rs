//! Outages as they are told, for the tests of what carries messages. What is seen moves with the time: one minute of 43 requests of
//! checkout and 12 of refunds slides over the outage.

use std::time::Duration;

use super::{
    Audience, BreakerScene, Brief, ClientFault, Door, EndpointIs, EndpointScene, FailureScene, Occasion,
    ResourceScene, RouteScene, Scene, UpstreamScene, VendorScene,
};
use crate::names::IncidentId;
use crate::reliability::breaker::BreakerState;
use crate::reliability::escalation::{Arrived, CallCause, Clock, EscalationPolicy};
use crate::reliability::incident::{Actor, Beginning, Ending, EntryKind, Incident, Signal};
use crate::reliability::rule::{AlertKey, Rule, Severity};
use crate::units::At;

/// When the stories begin: 2026-11-27 02:14:07 UTC.
pub(crate) const BEGAN: At = At(1_795_745_647_000);

/// A moment of a story: what is told, and the incident as it is then.
pub(crate) struct StoryMoment {
    pub(crate) name: &'static str,
    pub(crate) incident: Incident,
    pub(crate) at: At,
    pub(crate) brief: Brief,
    /// Whether the message calls somebody.
    pub(crate) calls: bool,
}

fn after(seconds: u64) -> At {
    BEGAN + Duration::from_secs(seconds)
}

fn pairs<const N: usize>(all: [(&str, &str); N]) -> Vec<(String, String)> {
    all.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn begun(rule: Rule, service: &str, scope: &str, title: &str, severity: Severity) -> Incident {
    let (id, key) = (IncidentId::of(BEGAN.0, 7), AlertKey::of(rule, service, scope));
    let title = title.to_owned();
    let beginning = Beginning { id, key: key.clone(), title, severity, began: BEGAN, earlier: None };
    let mut one = Incident::suspected(beginning, after(1));
    one.signals.push(Signal { key, first_bad: BEGAN, confirmed: None, over: None, worst: None });
    one
}

/// It is confirmed by `evidence`, and those on duty are called at `called`.
fn confirmed(one: &mut Incident, at: At, evidence: Vec<(String, String)>, called: At) {
    let title = one.title.clone();
    one.tell(at, Actor::Engine, EntryKind::Signal, format!("confirmed: {title}"), evidence);
    one.open(Actor::Engine, title, at).expect("opens");
    call(one, called);
}

fn call(one: &mut Incident, at: At) {
    let policy = EscalationPolicy {
        fallback: ["chat".to_owned(), "pager".to_owned()].into(),
        ..EscalationPolicy::default()
    };
    let clock = Clock { now: at, local: None, holiday: false };
    for call in one.escalation.due(&policy, None, clock) {
        one.escalation.record(call.number, Arrived::Yes);
    }
}

/// What fails of a route within a minute.
type Faults = Vec<(ClientFault, u64)>;

fn route(name: &str, total: u64, faults: Faults, percentiles: [u64; 3]) -> RouteScene {
    let status = |(fault, count): &(ClientFault, u64)| {
        let status = match fault {
            ClientFault::Status => 500,
            ClientFault::Broken => 502,
            ClientFault::Refused => 503,
            ClientFault::Late => 504,
        };
        (status, *count)
    };
    let mut statuses: Vec<(u16, u64)> = faults.iter().map(status).collect();
    statuses.sort_by_key(|(status, count)| (std::cmp::Reverse(*count), *status));
    RouteScene {
        name: name.to_owned(),
        upstream: "stripe".to_owned(),
        total,
        faults,
        statuses,
        percentiles: Some(percentiles.map(Duration::from_millis)),
        in_flight: 0,
        limits: Some([500, 1_000, 2_000, 3_000, 5_000, 8_000].map(Duration::from_millis)),
    }
}

/// Open since `tried`, or closed.
fn breaker(seconds: u64, tried: Option<u64>) -> BreakerScene {
    BreakerScene {
        state: if tried.is_some() { BreakerState::Open } else { BreakerState::Closed },
        since: tried.or((seconds >= 653).then_some(653)).map(after),
        shadow: false,
        held: false,
        probes_in: tried.map(|tried| Duration::from_secs(tried + 30 - seconds)),
    }
}

/// What was seen of stripe, which is gone from 0 s to 653 s: the breaker is open from 5 s, lets a request through each 30 s then,
/// and closes at 653 s.
fn stripe(seconds: u64) -> Scene {
    use ClientFault::{Late, Refused};
    let (checkout, refunds): (Faults, Faults) = match seconds {
        2 => (vec![(Late, 2)], Vec::new()),
        36 => (vec![(Refused, 22), (Late, 4)], vec![(Refused, 6), (Late, 1)]),
        336 | 395 => (vec![(Refused, 41), (Late, 2)], vec![(Refused, 12)]),
        655 => (vec![(Refused, 40), (Late, 1)], vec![(Refused, 11)]),
        _ => (Vec::new(), Vec::new()),
    };
    let (down, open) = ((2..653).contains(&seconds), (5..653).contains(&seconds));
    let quick = if open { [1, 2, 1_000] } else { [90, 310, 820] };
    // From 35 s on each 30 s.
    let tried = if seconds < 35 { 0 } else { seconds - (seconds - 5) % 30 };
    let failure = FailureScene {
        at: after(tried.max(1)),
        endpoint: Some("10.0.0.7:443".to_owned()),
        route: Some("checkout".to_owned()),
        why: "timeout",
    };
    let is = if down && seconds > 10 { EndpointIs::Unhealthy } else { EndpointIs::Well };
    let endpoint = |address: &str| EndpointScene { address: address.to_owned(), state: is };
    let upstream = UpstreamScene {
        name: "stripe".to_owned(),
        vendor: Some(VendorScene {
            thing: "payments (Stripe)".to_owned(),
            status_page: "https://status.stripe.com".to_owned(),
        }),
        impact: Some("Customers cannot pay by card at checkout".to_owned()),
        url: Some("https://api.stripe.com/".to_owned()),
        breaker: Some(breaker(seconds, open.then_some(tried))),
        endpoints: vec![endpoint("10.0.0.7:443"), endpoint("10.0.0.8:443")],
        failures: if down { vec![failure] } else { Vec::new() },
        last_success: Some(if down { BEGAN - Duration::from_secs(1) } else { after(seconds) }),
    };
    Scene {
        at: after(seconds),
        member: "pod-7".to_owned(),
        backend: Some("backend".to_owned()),
        routes: vec![route("checkout", 43, checkout, quick), route("refunds", 12, refunds, quick)],
        upstreams: vec![upstream],
        machine: Vec::new(),
        clear_after: Some(Duration::from_secs(120)),
        door: door(None, [true; 2]),
    }
}

fn door(token_file: Option<&str>, [hears_pagerduty, hears_slack]: [bool; 2]) -> Door {
    let token_file = token_file.map(str::to_owned);
    Door {
        base: "https://strop.shop.example".to_owned(),
        public: true,
        token_file,
        hears_pagerduty,
        hears_slack,
    }
}

fn inside(token_file: Option<&str>) -> Door {
    let token_file = token_file.map(str::to_owned);
    Door { base: "http://127.0.0.1:9901".to_owned(), token_file, ..Door::default() }
}

fn told(
    name: &'static str,
    one: &Incident,
    scene: Scene,
    to: Audience,
    call: Option<CallCause>,
) -> StoryMoment {
    let clock = Clock { now: scene.at, local: None, holiday: false };
    let next = one.escalation.ahead(&EscalationPolicy::default(), None, clock);
    let in_all = (&*one.key.service == "stripe").then_some((601, 617));
    let brief = Brief::of(one, &scene, &Occasion { audience: to, call, next, in_all });
    StoryMoment { name, incident: one.clone(), at: scene.at, brief, calls: call.is_some() }
}

fn ended(one: &mut Incident, at: At) {
    one.close(Ending::Recovered, Actor::Engine, "good for long enough".to_owned(), at).expect("closes");
}

/// Payments are down for eleven minutes: what those who are called read, and what the stakeholders hear. Both a click in PagerDuty and
/// one in Slack are heard.
pub(crate) fn critical() -> Vec<StoryMoment> {
    use Audience::{Called, Stakeholders};
    let mut one = begun(Rule::ServiceDown, "stripe", "", "stripe is down", Severity::Critical);
    let mut all = vec![told("critical, suspected", &one, stripe(2), Stakeholders, None)];
    let evidence = pairs([
        ("consecutive_failures", "5"),
        ("failed_probes", "3"),
        ("last_success", "36 s ago"),
        ("bad_of_last_minute", "33 of 55"),
        ("in_flight", "2"),
    ]);
    confirmed(&mut one, after(36), evidence, after(36));
    all.push(told("critical, called", &one, stripe(36), Called, Some(CallCause::Step)));
    all.push(told("critical, confirmed", &one, stripe(36), Stakeholders, None));
    call(&mut one, after(336));
    all.push(told("critical, called again", &one, stripe(336), Called, Some(CallCause::Again)));
    one.acknowledge("ann", after(395)).expect("takes");
    all.push(told("critical, acknowledged", &one, stripe(395), Called, None));
    all.push(told("critical, taken", &one, stripe(395), Stakeholders, None));
    one.monitor(after(653), after(655)).expect("calms");
    all.push(told("critical, monitoring", &one, stripe(655), Called, None));
    all.push(told("critical, works again", &one, stripe(655), Stakeholders, None));
    ended(&mut one, after(775));
    all.push(told("critical, resolved", &one, stripe(775), Called, None));
    all.push(told("critical, over", &one, stripe(775), Stakeholders, None));
    all
}

/// Something fails twice and never again: nobody is called, and who heard of it hears that it was nothing, or part of something else.
pub(crate) fn nothing() -> Vec<StoryMoment> {
    let mut one = begun(Rule::ServiceDown, "stripe", "", "stripe is down", Severity::Critical);
    let mut all = vec![told("nothing, suspected", &one, stripe(2), Audience::Stakeholders, None)];
    let (mut part, other) = (one.clone(), IncidentId::of(BEGAN.0, 8));
    let why = "it is the network".to_owned();
    part.close(Ending::PartOf(other), Actor::Engine, why, after(36)).expect("clears");
    all.push(told("nothing, part of another", &part, stripe(36), Audience::Called, None));
    all.push(told("nothing, part of another disruption", &part, stripe(36), Audience::Stakeholders, None));
    let why = "good for long enough".to_owned();
    one.close(Ending::NeverConfirmed, Actor::Engine, why, after(900)).expect("clears");
    all.push(told("nothing, cleared", &one, stripe(900), Audience::Stakeholders, None));
    all
}

/// One route of the application answers 500; the API asks for a token, and nothing is heard from elsewhere.
pub(crate) fn high() -> Vec<StoryMoment> {
    let mut one = begun(Rule::ErrorRate, "search", "", "15.00% of search replies fail", Severity::High);
    let scene = || {
        let faults = vec![(ClientFault::Status, 9)];
        let search =
            RouteScene { upstream: "backend".to_owned(), ..route("search", 60, faults, [40, 210, 600]) };
        let closed = BreakerScene {
            state: BreakerState::Closed,
            since: None,
            shadow: false,
            held: false,
            probes_in: None,
        };
        let application = UpstreamScene {
            name: "backend".to_owned(),
            vendor: None,
            impact: None,
            url: Some("http://127.0.0.1:8000/".to_owned()),
            breaker: Some(closed),
            endpoints: vec![EndpointScene { address: "127.0.0.1:8000".to_owned(), state: EndpointIs::Well }],
            failures: Vec::new(),
            last_success: Some(after(420)),
        };
        let (routes, door) = (vec![search], door(Some("/etc/strop/admin.token"), [false; 2]));
        Scene { routes, upstreams: vec![application], door, ..stripe(420) }
    };
    let evidence = pairs([
        ("last_minute", "9 of 60"),
        ("last_5_minutes", "31 of 300"),
        ("allowed", "1.000%"),
        ("burn_rate", "10.3"),
        ("top_contributor", "backend: 9"),
        ("of_one_client_not_counted", "0"),
    ]);
    confirmed(&mut one, after(120), evidence, after(420));
    vec![told("high, called", &one, scene(), Audience::Called, Some(CallCause::Step))]
}

/// Checkout is slow; the API is reached in the pod only, without a token.
pub(crate) fn medium() -> Vec<StoryMoment> {
    let mut one =
        begun(Rule::Latency, "checkout", "p95", "p95 of checkout is over 3000 ms", Severity::Medium);
    let scene = || {
        let slow = route("checkout", 43, Vec::new(), [120, 3_240, 9_020]);
        Scene { routes: vec![slow], door: inside(None), ..stripe(2_100) }
    };
    let evidence = pairs([
        ("p50_p95_p99", "120 ms, 3240 ms, 9020 ms"),
        ("slow_of_last_minute", "8 of 43"),
        ("slow_of_last_5_minutes", "37 of 215"),
    ]);
    confirmed(&mut one, after(300), evidence, after(2_100));
    vec![told("medium, called", &one, scene(), Audience::Called, Some(CallCause::Step))]
}

/// Memory runs short on one machine: nobody is told of the suspicion; called after two hours, taken, resolved. The API is reached in
/// the pod only, with a token.
pub(crate) fn low() -> Vec<StoryMoment> {
    let mut one = begun(Rule::Resource, "memory", "warning", "memory is over 85%", Severity::Low);
    let scene = |seconds, used| {
        let machine = vec![ResourceScene { service: "memory".to_owned(), used, at: after(seconds - 3) }];
        Scene { machine, door: inside(Some("/etc/strop/admin.token")), ..stripe(seconds) }
    };
    let evidence = pairs([("used", "87.4%"), ("samples", "3"), ("source", "cgroup v2, memory.max")]);
    confirmed(&mut one, after(10), evidence, after(7_210));
    let called = Some(CallCause::Step);
    let mut all = vec![told("low, called", &one, scene(7_210, Some(0.881)), Audience::Called, called)];
    all.push(told("low, called blind", &one, scene(7_210, None), Audience::Called, called));
    one.acknowledge("bo", after(7_500)).expect("takes");
    all.push(told("low, acknowledged", &one, scene(7_500, Some(0.884)), Audience::Called, None));
    one.monitor(after(9_000), after(9_000)).expect("calms");
    ended(&mut one, after(9_120));
    all.push(told("low, resolved", &one, scene(9_120, Some(0.61)), Audience::Called, None));
    all
}

/// Somebody tries whether people are reached.
pub(crate) fn drill() -> Vec<StoryMoment> {
    let mut one = begun(Rule::Manual, "test", "", "a drill", Severity::Critical);
    confirmed(&mut one, after(1), Vec::new(), after(1));
    let scene = Scene { at: after(3), ..stripe(900) };
    vec![told("drill, called", &one, scene, Audience::Called, Some(CallCause::Step))]
}

/// The moments of all stories.
pub(crate) fn all() -> Vec<StoryMoment> {
    [critical(), nothing(), high(), medium(), low(), drill()].into_iter().flatten().collect()
}

/// The moment of that name.
pub(crate) fn moment(name: &str) -> StoryMoment {
    all().into_iter().find(|told| told.name == name).expect("it is told")
}
