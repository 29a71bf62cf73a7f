//! Two outages as they are told, for the tests of what carries messages: a critical one and a low one.

use std::time::Duration;

use super::{
    Audience, BreakerScene, Brief, ClientFault, Door, EndpointIs, EndpointScene, FailureScene, Occasion,
    RouteScene, Scene, UpstreamScene,
};
use crate::names::IncidentId;
use crate::reliability::breaker::BreakerState;
use crate::reliability::escalation::{Arrived, CallCause, Clock, EscalationPolicy};
use crate::reliability::incident::{Actor, Beginning, Ending, EntryKind, Incident, Signal};
use crate::reliability::rule::{AlertKey, Rule, Severity};
use crate::units::At;

/// 2026-11-27 02:14:07 UTC.
pub(crate) const BEGAN: At = At(1_795_745_647_000);

/// A moment of a story: what is told, and the incident as it is then.
pub(crate) struct StoryMoment {
    pub(crate) name: &'static str,
    pub(crate) incident: Incident,
    pub(crate) at: At,
    pub(crate) brief: Brief,
}

fn after(seconds: u64) -> At {
    BEGAN + Duration::from_secs(seconds)
}

fn pairs<const N: usize>(all: [(&str, &str); N]) -> Vec<(String, String)> {
    all.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn begun(key: AlertKey, title: &str, severity: Severity) -> Incident {
    let (id, title) = (IncidentId::of(BEGAN.0, 7), title.to_owned());
    let beginning = Beginning { id, key: key.clone(), title, severity, began: BEGAN, earlier: None };
    let mut one = Incident::suspected(beginning, after(1));
    one.signals.push(Signal { key, first_bad: BEGAN, confirmed: None, over: None, worst: None });
    one
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

fn stripe(at: At, failing: bool) -> Scene {
    let ms = Duration::from_millis;
    let faults = if failing { vec![(ClientFault::Status, 30), (ClientFault::Late, 11)] } else { Vec::new() };
    let route = |name: &str, faults: Vec<(ClientFault, u64)>, total| RouteScene {
        name: name.to_owned(),
        upstream: "stripe".to_owned(),
        total,
        statuses: if faults.is_empty() { Vec::new() } else { vec![(502, 30), (504, 11)] },
        faults,
        percentiles: Some(if name == "checkout" && failing {
            [ms(120), ms(3_240), ms(9_020)]
        } else {
            [ms(90), ms(310), ms(820)]
        }),
        limits: Some([500, 1_000, 2_000, 3_000, 5_000, 8_000].map(ms)),
    };
    let breaker = BreakerScene {
        state: if failing { BreakerState::Open } else { BreakerState::Closed },
        since: Some(after(5)),
        shadow: false,
        held: false,
        probes_in: failing.then_some(Duration::from_secs(12)),
    };
    let failure = FailureScene {
        at: after(28),
        endpoint: Some("10.0.0.7:443".to_owned()),
        route: Some("checkout".to_owned()),
        why: "timeout",
    };
    let endpoint = |address: &str, ill| EndpointScene {
        address: address.to_owned(),
        state: if ill { EndpointIs::Unhealthy } else { EndpointIs::Well },
    };
    let upstream = UpstreamScene {
        name: "stripe".to_owned(),
        breaker: Some(breaker),
        endpoints: vec![endpoint("10.0.0.7:443", failing), endpoint("10.0.0.8:443", false)],
        failures: if failing { vec![failure] } else { Vec::new() },
        last_success: Some(if failing { BEGAN - Duration::from_secs(1) } else { at }),
    };
    Scene {
        at,
        member: "pod-7".to_owned(),
        backend: Some("backend".to_owned()),
        routes: vec![route("checkout", faults, 43), route("refunds", Vec::new(), 12)],
        upstreams: vec![upstream],
        clear_after: Some(Duration::from_secs(120)),
        door: Door { base: "https://strop.shop.example".to_owned(), public: true, token_file: None },
    }
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
    let brief = Brief::of(one, &scene, &Occasion { audience: to, call, next });
    StoryMoment { name, incident: one.clone(), at: scene.at, brief }
}

/// Payments are down for six minutes: suspected, called, called again, taken, resolved; and what the stakeholders hear.
pub(crate) fn critical() -> Vec<StoryMoment> {
    use Audience::{Called, Stakeholders};
    let key = AlertKey::of(Rule::ServiceDown, "stripe", "");
    let mut one = begun(key, "stripe is down", Severity::Critical);
    let evidence = pairs([
        ("consecutive_failures", "12"),
        ("failed_probes", "3"),
        ("last_success", "36 s ago"),
        ("bad_of_last_minute", "41 of 43"),
        ("in_flight", "2"),
    ]);
    let mut all = vec![told("suspected", &one, stripe(after(2), true), Stakeholders, None)];
    let text = "confirmed: stripe is down".to_owned();
    one.tell(after(36), Actor::Engine, EntryKind::Signal, text, evidence);
    one.open(Actor::Engine, "stripe is down".to_owned(), after(36)).expect("opens");
    call(&mut one, after(36));
    all.push(told("called", &one, stripe(after(36), true), Called, Some(CallCause::Step)));
    all.push(told("confirmed", &one, stripe(after(36), true), Stakeholders, None));
    one.acknowledge("ann", after(95)).expect("takes");
    all.push(told("acknowledged", &one, stripe(after(95), true), Called, None));
    all.push(told("taken", &one, stripe(after(95), true), Stakeholders, None));
    one.monitor(after(353), after(355)).expect("calms");
    let well = "good for long enough".to_owned();
    one.close(Ending::Recovered, Actor::Engine, well, after(475)).expect("closes");
    all.push(told("resolved", &one, stripe(after(475), false), Called, None));
    all.push(told("over", &one, stripe(after(475), false), Stakeholders, None));
    all
}

/// Memory runs short on one machine: nobody is told of the suspicion; called after two hours, taken, resolved.
pub(crate) fn low() -> Vec<StoryMoment> {
    let key = AlertKey::of(Rule::Resource, "memory", "warning");
    let mut one = begun(key, "memory is over 85%", Severity::Low);
    let door = Door {
        base: "http://127.0.0.1:9901".to_owned(),
        public: false,
        token_file: Some("/etc/strop/admin.token".to_owned()),
    };
    let scene = |seconds| Scene { at: after(seconds), door: door.clone(), ..stripe(after(seconds), false) };
    let mut all = vec![told("suspected", &one, scene(2), Audience::Stakeholders, None)];
    let evidence = pairs([("used", "87.4%"), ("samples", "3"), ("source", "cgroup v2, memory.max")]);
    one.tell(
        after(10),
        Actor::Engine,
        EntryKind::Signal,
        "confirmed: memory is over 85%".to_owned(),
        evidence,
    );
    one.open(Actor::Engine, "memory is over 85%".to_owned(), after(10)).expect("opens");
    call(&mut one, after(7_210));
    all.push(told("called", &one, scene(7_210), Audience::Called, Some(CallCause::Step)));
    one.acknowledge("bo", after(7_500)).expect("takes");
    all.push(told("acknowledged", &one, scene(7_500), Audience::Called, None));
    one.monitor(after(9_000), after(9_000)).expect("calms");
    let well = "good for long enough".to_owned();
    one.close(Ending::Recovered, Actor::Engine, well, after(9_120)).expect("closes");
    all.push(told("resolved", &one, scene(9_120), Audience::Called, None));
    all.push(told("over", &one, scene(9_120), Audience::Stakeholders, None));
    all
}
