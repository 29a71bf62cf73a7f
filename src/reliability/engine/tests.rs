mod drilling;
mod step;

use super::*;
use crate::reliability::breaker::BreakerState;
use crate::reliability::counts::{Counts, Windows};
use crate::reliability::escalation::Arrived;
use crate::reliability::incident::{EntryKind, Force, Refused, Review};
use crate::reliability::ledger::Report;
use crate::reliability::readings::{
    BreakerReading, Over, Readings, RouteReading, SlowCounts, Stage, UpstreamReading,
};
use crate::reliability::silence::{Comparison, Label, Matcher};

fn at(second: i64) -> At {
    At(1_800_000_000_000 + second * 1_000)
}

/// An engine, a clock, and what the shell would have seen.
struct Shift {
    engine: Engine,
    second: i64,
    readings: Readings,
    effects: Vec<(i64, Effect)>,
}

fn shift(names: &[&str]) -> Shift {
    let upstreams = names.iter().map(|name| UpstreamReading::unseen(Arc::from(*name))).collect();
    let readings = Readings { backend: Some(Arc::from("api")), upstreams, ..Readings::default() };
    let engine = Engine::new(EnginePolicy::default(), Arc::from("a#1"), 7, at(0));
    let mut shift = Shift { engine, second: 0, readings, effects: Vec::new() };
    names.iter().for_each(|name| shift.good(name));
    shift.pass(40);
    shift
}

impl Shift {
    fn upstream(&mut self, name: &str) -> &mut UpstreamReading {
        self.readings.upstreams.iter_mut().find(|one| *one.name == *name).expect("known")
    }

    fn good(&mut self, name: &str) {
        let now = at(self.second);
        let one = self.upstream(name);
        (one.consecutive_failures, one.failing_since, one.last_success) = (0, None, Some(now));
        one.counts.s1 = Counts { good: 1, bad: 0 };
    }

    fn bad(&mut self, name: &str) {
        let now = at(self.second);
        let one = self.upstream(name);
        one.consecutive_failures += 3;
        one.failing_since.get_or_insert(now);
        one.last_failure = Some(now);
        one.counts.s1 = Counts { good: 0, bad: 3 };
    }

    fn breaker(&mut self, name: &str, state: BreakerState) {
        let since = at(self.second);
        let open_for = Duration::from_secs(30);
        self.upstream(name).breaker = Some(BreakerReading { state, since, open_for, held: false });
    }

    /// Seconds in which nothing changes but the time.
    fn pass_as_told(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.second += 1;
            let effects = self.engine.tick(&self.readings, at(self.second));
            self.effects.extend(effects.into_iter().map(|effect| (self.second, effect)));
        }
    }

    /// Seconds in which nobody asks this one for anything, while all others are well.
    fn silent(&mut self, name: &str, seconds: i64) {
        for _ in 0..seconds {
            let now = at(self.second + 1);
            for one in self.readings.upstreams.iter_mut().filter(|one| *one.name != *name) {
                one.last_success = Some(now);
            }
            self.pass_as_told(1);
        }
    }

    /// Seconds in which nothing changes but the time; every look is told good or bad by what was last.
    fn pass(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.second += 1;
            let now = at(self.second);
            for one in &mut self.readings.upstreams {
                if one.consecutive_failures == 0 {
                    one.last_success = Some(now);
                } else {
                    one.last_failure = Some(now);
                }
            }
            let effects = self.engine.tick(&self.readings, now);
            self.effects.extend(effects.into_iter().map(|effect| (self.second, effect)));
        }
    }

    fn order(&mut self, command: Command) -> Result<Box<Incident>, Refused> {
        let (done, effects) = self.engine.command(command, at(self.second));
        self.effects.extend(effects.into_iter().map(|effect| (self.second, effect)));
        done
    }

    fn silence(&mut self, command: SilenceCommand) -> Result<Silence, Refused> {
        let (done, effects) = self.engine.silence(command, at(self.second));
        self.effects.extend(effects.into_iter().map(|effect| (self.second, effect)));
        done
    }

    fn only(&self) -> &Incident {
        let live: Vec<_> = self.engine.incidents().filter(|one| one.state != State::Cleared).collect();
        assert_eq!(live.len(), 1, "{live:#?}");
        live[0]
    }

    fn pages(&self) -> Vec<(i64, &str)> {
        self.effects
            .iter()
            .filter_map(
                |(second, effect)| if let Effect::Page(page) = effect { Some((*second, page)) } else { None },
            )
            .flat_map(|(second, page)| page.contacts.iter().map(move |contact| (second, contact.as_str())))
            .collect()
    }

    fn moves(&self) -> Vec<(i64, State)> {
        self.effects
            .iter()
            .filter_map(
                |(second, effect)| {
                    if let Effect::Tell(moved) = effect { Some((*second, moved.to)) } else { None }
                },
            )
            .collect()
    }
}

fn ada() -> String {
    "ada".to_owned()
}

#[test]
fn a_dead_backend_is_one_incident_from_suspicion_to_resolution() {
    let mut shift = shift(&["api", "stripe"]);
    shift.bad("api");
    shift.breaker("api", BreakerState::Open);
    shift.pass(100);
    shift.good("api");
    shift.breaker("api", BreakerState::Closed);
    shift.pass(130);
    assert_eq!(
        shift.moves(),
        [(41, State::Suspected), (42, State::Open), (141, State::Monitoring), (261, State::Resolved)]
    );
    let one = shift.only();
    assert_eq!((one.key.rule, one.severity), (Rule::ServiceDown, Severity::Critical));
    assert_eq!(one.clocks.to_suspect(), Duration::from_secs(1));
    assert_eq!(one.clocks.to_recover(), Some(Duration::from_secs(101)));
    assert_eq!(one.signals.len(), 2, "its breaker is part of it");
    assert!(one.timeline.iter().any(|entry| !entry.evidence.is_empty()));
}

#[test]
fn a_critical_one_calls_the_cto_once_it_is_confirmed_and_nobody_before() {
    let mut shift = shift(&["api"]);
    shift.bad("api");
    shift.pass(30);
    assert_eq!(shift.pages(), [(70, "cto"), (70, "engineering_lead")]);
    let id = shift.only().id.clone();
    shift.order(Command::Ack { id, actor: ada() }).expect("taken");
    shift.pass(1_000);
    assert_eq!(shift.pages().len(), 2, "whoever takes it ends the calls");
}

#[test]
fn what_is_never_confirmed_is_cleared_and_calls_nobody() {
    let mut shift = shift(&["api"]);
    shift.bad("api");
    shift.pass(10);
    shift.good("api");
    shift.pass(20);
    assert_eq!(shift.moves(), [(41, State::Suspected), (61, State::Cleared)]);
    assert!(shift.pages().is_empty());
    assert!(shift.effects.iter().any(|(_, effect)| matches!(effect, Effect::Update(_))), "but it is told");
}

#[test]
fn an_error_spike_whose_cause_is_an_open_breaker_is_part_of_its_incident() {
    let mut shift = shift(&["api", "twilio"]);
    shift.breaker("twilio", BreakerState::Open);
    let bad = Counts { good: 400, bad: 100 };
    let counts = Windows { s10: bad, m1: bad, m5: bad, h1: bad, ..Windows::default() };
    let blamed = vec![(Arc::from("twilio"), 95)];
    shift.readings.routes =
        vec![RouteReading { class: Arc::from("web"), counts, blamed, ..RouteReading::default() }];
    shift.pass(200);
    let one = shift.only();
    assert_eq!((&*one.key.service, one.key.rule), ("twilio", Rule::Breaker));
    assert!(one.signals.iter().any(|signal| signal.key.rule == Rule::ErrorRate));
    assert_eq!(one.severity, Severity::High, "raised by the burn, once that was confirmed");
    assert!(shift.engine.incidents().all(|one| one.key.rule == Rule::Breaker));
}

#[test]
fn a_deed_about_a_service_is_a_line_of_its_incident_and_changes_no_state() {
    let mut shift = shift(&["api", "twilio"]);
    let acted = |service: &str| Command::Acted {
        service: service.to_owned(),
        actor: ada(),
        what: "the breaker of twilio is held open for 10m: no use".to_owned(),
    };
    assert_eq!(shift.order(acted("twilio")), Err(Refused::NoSuchIncident), "nothing is the matter");
    shift.bad("twilio");
    shift.breaker("twilio", BreakerState::Open);
    shift.pass(5);
    let before = shift.only().clone();
    shift.order(acted("twilio")).expect("taken");
    assert_eq!(shift.order(acted("api")), Err(Refused::NoSuchIncident), "another one's incident");
    let after = shift.only();
    let line = after.timeline.last().expect("a line");
    assert_eq!((line.kind, &line.actor), (EntryKind::Action, &Actor::Named(ada())));
    assert_eq!((after.state, after.timeline.len()), (before.state, before.timeline.len() + 1));
}

/// A route of which one reply in five is over the limits of all percentiles, all of them of one upstream.
fn slow(class: &str, upstream: &str) -> RouteReading {
    let over = Over { total: 1_000, warn: 200, alert: 200 };
    let counts = SlowCounts { m1: over, m5: over };
    let slow_by = vec![(Arc::from(upstream), [over; 3])];
    let class = Arc::from(class);
    RouteReading { class, slow_by, p50: counts, p95: counts, p99: counts, ..RouteReading::default() }
}

#[test]
fn slowness_is_part_of_its_upstreams_incident_whichever_is_seen_first() {
    for slow_first in [true, false] {
        let mut shift = shift(&["api", "twilio"]);
        for step in 0..2 {
            if (step == 0) == slow_first {
                shift.readings.routes = vec![slow("web", "twilio")];
            } else {
                shift.bad("twilio");
                shift.breaker("twilio", BreakerState::Open);
            }
            shift.pass(5);
        }
        let one = shift.only();
        let rules: BTreeSet<_> = one.signals.iter().map(|signal| signal.key.rule).collect();
        assert_eq!(&*one.key.service, "twilio", "slow first: {slow_first}");
        assert!(rules.is_superset(&[Rule::Breaker, Rule::Latency].into()), "{rules:?}");
    }
}

#[test]
fn slowness_of_one_upstream_is_no_part_of_anothers_incident() {
    let mut shift = shift(&["api", "twilio", "stripe"]);
    shift.bad("stripe");
    shift.breaker("stripe", BreakerState::Open);
    shift.readings.routes = vec![slow("web", "twilio")];
    shift.pass(5);
    let live = shift.engine.incidents().filter(|one| one.state.is_live());
    let services: BTreeSet<_> = live.map(|one| one.key.service.to_string()).collect();
    assert_eq!(services, ["stripe".to_owned(), "web".to_owned()].into());
}

#[test]
fn errors_that_were_seen_before_their_breaker_opened_move_to_its_incident() {
    let mut shift = shift(&["api", "twilio"]);
    let bad = Counts { good: 400, bad: 100 };
    let counts = Windows { s10: bad, m1: bad, m5: bad, ..Windows::default() };
    let blamed = vec![(Arc::from("twilio"), 95)];
    shift.readings.routes =
        vec![RouteReading { class: Arc::from("web"), counts, blamed, ..RouteReading::default() }];
    shift.pass(5);
    assert_eq!(shift.only().key.rule, Rule::ErrorRate);
    shift.breaker("twilio", BreakerState::Open);
    shift.pass(5);
    let one = shift.only().clone();
    assert_eq!(one.key.rule, Rule::Breaker);
    let absorbed = shift.engine.incidents().find(|one| one.state == State::Cleared).expect("the first one");
    assert_eq!(absorbed.ending, Some(Ending::PartOf(one.id)));
}

#[test]
fn errors_whose_origin_is_known_a_moment_later_move_to_its_incident() {
    let mut shift = shift(&["api", "twilio"]);
    let bad = Counts { good: 400, bad: 100 };
    let counts = Windows { s10: bad, m1: bad, m5: bad, ..Windows::default() };
    shift.readings.routes = vec![RouteReading { class: Arc::from("web"), counts, ..RouteReading::default() }];
    shift.breaker("twilio", BreakerState::Open);
    shift.pass(1);
    let rules: BTreeSet<Rule> = shift.engine.incidents().map(|one| one.key.rule).collect();
    assert_eq!(rules, BTreeSet::from([Rule::Breaker, Rule::ErrorRate]), "nobody is blamed yet");
    shift.readings.routes[0].blamed = vec![(Arc::from("twilio"), 95)];
    shift.pass(1);
    let one = shift.only().clone();
    assert_eq!(one.key.rule, Rule::Breaker);
    assert!(shift.engine.alerts().all(|(_, _, home)| *home == one.id), "all of it is one incident");
}

#[test]
fn three_upstreams_at_once_are_one_incident_of_the_network() {
    let mut shift = shift(&["api", "stripe", "twilio", "sendgrid"]);
    for name in ["stripe", "twilio", "sendgrid"] {
        shift.bad(name);
        shift.breaker(name, BreakerState::Open);
        shift.pass(2);
    }
    shift.pass(60);
    let one = shift.only();
    assert_eq!((one.key.rule, one.severity, one.state), (Rule::NetworkDown, Severity::Critical, State::Open));
    let id = one.id.clone();
    assert!(shift.engine.alerts().all(|(_, _, home)| *home == id), "all of it is one incident");
    for name in ["stripe", "twilio", "sendgrid"] {
        shift.good(name);
        shift.breaker(name, BreakerState::Closed);
    }
    shift.pass(125);
    assert_eq!(shift.only().state, State::Resolved);
    let called: BTreeSet<_> = shift.pages().into_iter().map(|(_, contact)| contact).collect();
    assert_eq!(called, BTreeSet::from(["cto", "engineering_lead"]));
}

#[test]
fn what_nobody_sees_calls_everybody_once_says_so_and_ends_by_what_is_seen() {
    let mut shift = shift(&["api", "twilio"]);
    shift.bad("twilio");
    shift.breaker("twilio", BreakerState::Open);
    let failed = shift.second;
    shift.pass(1);
    // Nobody asks for anything from here on; the wait ends, and it is half-open.
    shift.breaker("twilio", BreakerState::HalfOpen);
    shift.silent("twilio", 12 * 3_600);
    let one = shift.only().clone();
    assert_eq!((one.state, one.severity), (State::Open, Severity::Medium));
    assert_eq!(one.unseen_since, Some(at(failed + 1)));
    let said = one.timeline.iter().filter(|entry| entry.text.starts_with("not seen since ")).count();
    assert_eq!(said, 1, "{:#?}", one.timeline);
    let pages = shift.pages();
    assert!(
        matches!(pages[..], [(at, "team_lead")] if at > failed + 1_800),
        "its step, and not again: {pages:?}"
    );
    assert_eq!(shift.engine.next_deadline(), None, "nothing is due by itself");
    assert!(!shift.engine.holds(&one.id), "nobody knows whether it holds");
    shift.good("twilio");
    shift.breaker("twilio", BreakerState::Closed);
    shift.pass(130);
    let one = shift.only();
    assert_eq!((one.state, one.unseen_since), (State::Resolved, None));
    assert_eq!(one.ending, Some(Ending::Recovered));
    assert_eq!(shift.pages().len(), 1);
}

#[test]
fn what_is_seen_to_be_bad_again_calls_again() {
    let mut shift = shift(&["api", "twilio"]);
    shift.bad("twilio");
    shift.breaker("twilio", BreakerState::Open);
    shift.pass(1);
    shift.breaker("twilio", BreakerState::HalfOpen);
    shift.silent("twilio", 7_200);
    assert_eq!(shift.pages().len(), 1);
    shift.bad("twilio");
    shift.breaker("twilio", BreakerState::Open);
    shift.pass(310);
    assert_eq!(shift.only().unseen_since, None);
    assert_eq!(shift.pages().last().map(|(_, who)| *who), Some("engineering_manager"), "it is down by now");
}

#[test]
fn what_nobody_sees_may_be_resolved_by_a_person() {
    let mut shift = shift(&["api", "twilio"]);
    shift.bad("twilio");
    shift.breaker("twilio", BreakerState::Open);
    shift.pass(1);
    let resolve = |id| Command::Resolve { id, actor: ada(), reason: "gone".to_owned(), force: Force::Asked };
    let id = shift.only().id.clone();
    assert!(shift.order(resolve(id.clone())).is_err(), "it holds");
    shift.breaker("twilio", BreakerState::HalfOpen);
    shift.silent("twilio", 100);
    shift.order(resolve(id.clone())).expect("resolved");
    shift.silent("twilio", 1_000);
    assert_eq!(shift.only().ending, Some(Ending::ByHand));
}

#[test]
fn an_operators_hold_on_what_is_well_is_no_incident_while_it_lasts_nor_after_it() {
    let mut shift = shift(&["api", "twilio"]);
    shift.breaker("twilio", BreakerState::Open);
    shift.upstream("twilio").breaker.as_mut().expect("some").held = true;
    shift.silent("twilio", 600);
    shift.breaker("twilio", BreakerState::Closed);
    shift.silent("twilio", 600);
    assert_eq!(shift.engine.incidents().count(), 0);
}

#[test]
fn twelve_checked_upstreams_gone_at_once_are_one_incident_and_call_once() {
    let names: Vec<String> = (0..12).map(|n| format!("u{n}")).collect();
    let mut shift = shift(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let gone = shift.second;
    for second in 1..=120 {
        for (n, name) in (0..).zip(&names) {
            let one = shift.upstream(name);
            one.last_success = Some(at(gone - 9 + n % 10));
            let since = gone + 1 + n % 10;
            if gone + second >= since {
                one.failed_probes = Some((gone + second - since + 1) as u32);
                (one.failing_since, one.last_failure) = (Some(at(since)), Some(at(gone + second)));
            }
        }
        shift.pass_as_told(1);
    }
    let one = shift.only();
    assert_eq!((one.key.rule, one.state), (Rule::NetworkDown, State::Open));
    let told = shift.effects.iter().filter(|(_, effect)| matches!(effect, Effect::Update(_))).count();
    assert!(told <= 3, "{told} messages: {:?}", shift.moves());
    assert_eq!(shift.pages().iter().map(|(_, who)| *who).collect::<Vec<_>>(), ["cto", "engineering_lead"]);
}

#[test]
fn a_flapping_breaker_is_one_incident_with_a_count() {
    let mut shift = shift(&["api", "twilio"]);
    shift.breaker("twilio", BreakerState::Open);
    shift.pass(20);
    for _ in 0..5 {
        shift.breaker("twilio", BreakerState::Closed);
        shift.pass(20);
        shift.breaker("twilio", BreakerState::Open);
        shift.pass(20);
    }
    assert_eq!((shift.only().flaps, shift.only().state), (5, State::Open));
    shift.breaker("twilio", BreakerState::Closed);
    shift.pass(115);
    assert_eq!(shift.only().state, State::Monitoring, "a flapping one is asked for a longer peace");
    shift.pass(10);
    assert_eq!(shift.only().state, State::Resolved);
}

#[test]
fn what_holds_is_resolved_only_by_force_and_then_comes_back_with_a_link() {
    let mut shift = shift(&["api"]);
    shift.bad("api");
    shift.pass(60);
    let id = shift.only().id.clone();
    let resolve =
        |force| Command::Resolve { id: id.clone(), actor: ada(), reason: "enough".to_owned(), force };
    let refused = shift.order(resolve(Force::Asked)).expect_err("it holds");
    assert_eq!(refused, Refused::StillHolds { holding: vec!["service_down of api".to_owned()] });
    shift.order(resolve(Force::Forced)).expect("resolved");
    assert_eq!(shift.engine.incident(&id).expect("kept").ending, Some(Ending::Forced));
    shift.pass(5);
    let again = shift.engine.incidents().find(|one| one.state.is_live()).expect("it still holds");
    assert_eq!(again.earlier, Some(id));
}

#[test]
fn a_silence_holds_calls_back_and_ends_by_itself() {
    let mut shift = shift(&["api"]);
    let matchers = vec![Matcher { label: Label::Service, is: Comparison::Is, value: "api".to_owned() }];
    let (from, until) = (at(shift.second), at(shift.second + 300));
    let (purpose, reason) = (Purpose::Silence, "known".to_owned());
    let silence = Silence { number: 0, purpose, matchers, from, until, actor: ada(), reason };
    shift.silence(SilenceCommand::Begin(silence)).expect("kept");
    shift.bad("api");
    shift.pass(299);
    assert!(shift.pages().is_empty() && shift.only().state == State::Open);
    assert!(!shift.effects.iter().any(|(_, effect)| matches!(effect, Effect::Update(_))));
    assert_eq!(shift.engine.next_deadline(), Some(until));
    shift.pass(2);
    assert_eq!(shift.pages(), [(340, "cto"), (340, "engineering_lead")]);
    assert!(shift.engine.silences().is_empty());
    let silences = shift.only().timeline.iter().filter(|entry| entry.kind == EntryKind::Silence).count();
    assert_eq!(silences, 2);
}

#[test]
fn a_call_that_does_not_arrive_goes_another_way() {
    let mut shift = shift(&["api"]);
    let mut policy = EnginePolicy::default();
    policy.escalation.fallback = vec!["mail".to_owned()];
    policy.escalation.contacts[0].channels = vec!["pager".to_owned()];
    shift.engine.reconfigure(policy);
    shift.bad("api");
    shift.pass(30);
    let id = shift.only().id.clone();
    let detail = "connection refused".to_owned();
    shift.order(Command::Delivered { id, number: 1, arrived: Arrived::No, detail }).expect("heard");
    let last = shift.effects.iter().rev().find_map(|(_, effect)| {
        if let Effect::Page(page) = effect {
            Some((page.contacts.join(", "), page.channel.as_str()))
        } else {
            None
        }
    });
    let both = "engineering_lead".to_owned();
    assert_eq!(
        last,
        Some((both, "mail")),
        "the mail is on its way already, and from now on to the CTO as well"
    );
    let mail = shift.only().escalation.calls().last().expect("called").whom();
    assert_eq!(mail, "engineering_lead, cto");
}

#[test]
fn what_a_person_lowered_stays_lowered_until_it_gets_worse_than_ever() {
    let mut shift = shift(&["api", "twilio"]);
    shift.breaker("twilio", BreakerState::Open);
    shift.pass(10);
    let id = shift.only().id.clone();
    let (severity, reason) = (Severity::Low, "only tests".to_owned());
    shift.order(Command::Rate { id, actor: ada(), severity, reason }).expect("lowered");
    shift.pass(100);
    assert_eq!(shift.only().severity, Severity::Low);
    let stored: Vec<Incident> = shift.engine.incidents().cloned().collect();
    shift.engine = Engine::new(EnginePolicy::default(), Arc::from("a#2"), 8, at(shift.second));
    shift.engine.restore(stored, Vec::new(), at(shift.second));
    shift.pass(10);
    assert_eq!(shift.only().severity, Severity::Low, "also after a restart");
    shift.bad("twilio");
    shift.pass(40);
    assert_eq!(shift.only().severity, Severity::High, "the service is down");
}

#[test]
fn after_a_restart_an_incident_goes_on_and_ends_when_the_evidence_says_so() {
    let mut shift = shift(&["api"]);
    shift.bad("api");
    shift.pass(60);
    let stored: Vec<Incident> = shift.engine.incidents().cloned().collect();
    let text = serde_json::to_string(&stored).expect("writes");
    let read: Vec<Incident> = serde_json::from_str(&text).expect("reads");
    assert_eq!(read, stored);
    shift.engine = Engine::new(EnginePolicy::default(), Arc::from("a#2"), 8, at(shift.second));
    assert_eq!(shift.engine.restore(read, Vec::new(), at(shift.second)), []);
    shift.effects.clear();
    shift.pass(10);
    assert_eq!((shift.only().state, shift.only().id.clone()), (State::Open, stored[0].id.clone()));
    assert!(shift.pages().is_empty(), "who was called is not called again for the restart");
    shift.good("api");
    shift.pass(125);
    assert_eq!(shift.only().state, State::Resolved);
}

#[test]
fn an_upstream_that_is_taken_out_of_the_config_ends_its_incident() {
    let mut shift = shift(&["api", "twilio"]);
    shift.bad("twilio");
    shift.pass(60);
    shift.readings.upstreams.retain(|one| *one.name != *"twilio");
    shift.pass(310);
    assert_eq!(shift.only().state, State::Resolved);
}

#[test]
fn while_another_member_still_sees_it_it_stays_open() {
    let mut shift = shift(&["api"]);
    shift.bad("api");
    shift.pass(60);
    shift.readings.elsewhere = vec![Arc::clone(&shift.only().dedup)];
    shift.good("api");
    shift.pass(500);
    assert_eq!(shift.only().state, State::Open);
    shift.readings.upstreams.clear();
    shift.pass(500);
    assert_eq!(shift.only().state, State::Open);
    shift.readings.elsewhere.clear();
    shift.pass(2);
    assert_eq!(shift.only().state, State::Resolved);
}

#[test]
fn a_draining_process_finds_nothing() {
    let mut shift = shift(&["api"]);
    shift.readings.stage = Stage::Draining;
    shift.bad("api");
    shift.pass(100);
    assert_eq!(shift.engine.incidents().count(), 0);
}

#[test]
fn a_test_incident_is_open_at_once_and_its_ladder_runs() {
    let mut shift = shift(&["api"]);
    let (title, severity) = ("Test incident".to_owned(), Severity::Critical);
    let open = Command::Open { actor: ada(), title, severity, service: String::new() };
    let one = shift.order(open).expect("opened");
    assert_eq!(one.state, State::Open);
    assert_eq!(shift.pages().len(), 2);
    let (id, reason) = (one.id.clone(), "done".to_owned());
    shift
        .order(Command::Resolve { id: id.clone(), actor: ada(), reason, force: Force::Asked })
        .expect("nothing holds");
    let review = Command::Review { id, actor: ada(), review: Review::default() };
    assert!(matches!(shift.order(review), Err(Refused::Incomplete(_))));
}

#[test]
fn orders_that_make_no_sense_are_refused_and_change_nothing() {
    let mut shift = shift(&["api"]);
    let id = IncidentId::of(0, 0);
    shift.effects.clear();
    assert_eq!(shift.order(Command::Ack { id: id.clone(), actor: ada() }), Err(Refused::NoSuchIncident));
    let end = SilenceCommand::End { number: 9, actor: ada() };
    assert_eq!(shift.silence(end), Err(Refused::NoSuchSilence));
    let note = Command::Note { id, actor: " ".to_owned(), text: "x".to_owned() };
    assert_eq!(shift.order(note), Err(Refused::Empty("actor")));
    assert!(shift.effects.is_empty());
}

#[test]
fn the_ledger_counts_a_death_from_its_first_failure_and_maintenance_apart() {
    let mut shift = shift(&["api"]);
    let from = shift.second + 1;
    shift.bad("api");
    shift.upstream("api").counts.s1 = Counts::default();
    shift.pass(50);
    shift.good("api");
    shift.pass(30);
    let (actor, reason, purpose) = (ada(), "planned".to_owned(), Purpose::Maintenance);
    let (start, until) = (at(shift.second), at(shift.second + 20));
    let silence = Silence { number: 0, purpose, matchers: Vec::new(), from: start, until, actor, reason };
    shift.silence(SilenceCommand::Begin(silence)).expect("kept");
    shift.pass(39);
    let mut minutes: Vec<Minute> = shift
        .effects
        .iter()
        .filter_map(
            |(_, effect)| if let Effect::Ledger(minute) = effect { Some(minute.clone()) } else { None },
        )
        .collect();
    minutes.extend(shift.engine.flush());
    minutes.retain(|minute| &*minute.subject == "service");
    let report = Report::of(&minutes, at(from), at(shift.second + 1));
    assert_eq!((report.down, report.maintenance, report.unknown), (50, 19, 0));
    assert_eq!(report.up, 30 + 20);
}

#[test]
fn no_two_incidents_have_one_name() {
    let mut engine = Engine::new(EnginePolicy::default(), Arc::from("a"), 1, at(0));
    let names: BTreeSet<_> = (0..1_000).map(|_| engine.next_id(at(1))).collect();
    assert_eq!(names.len(), 1_000);
}

fn by_hand(engine: &mut Engine, now: At) -> Result<Box<Incident>, Refused> {
    let (actor, title, service) = ("ann".to_owned(), "a drill".to_owned(), "test".to_owned());
    engine.command(Command::Open { actor, title, severity: Severity::Low, service }, now).0
}

fn id_of(reply: Result<Box<Incident>, Refused>) -> IncidentId {
    reply.expect("an incident").id
}

#[test]
fn nobody_opens_the_thousand_and_first_by_hand_and_what_is_found_is_found() {
    let mut shift = shift(&["api"]);
    let now = at(shift.second);
    let ids: Vec<_> = (0..room::MOST_LIVE).map(|_| id_of(by_hand(&mut shift.engine, now))).collect();
    let most = room::MOST_LIVE;
    let refused = by_hand(&mut shift.engine, now).expect_err("too many");
    assert_eq!(refused, Refused::TooMany { most, what: "incidents that are not over" });
    shift.bad("api");
    shift.pass(2);
    let found = shift.engine.incidents().filter(|one| one.key.rule == Rule::ServiceDown).count();
    assert_eq!((found, shift.engine.incidents().count()), (1, most + 1), "Strop's own is never refused");
    for id in &ids[..2] {
        let (id, actor, reason) = (id.clone(), "ann".to_owned(), "done".to_owned());
        let order = Command::Resolve { id, actor, reason, force: Force::Asked };
        shift.engine.command(order, at(shift.second)).0.expect("resolves");
    }
    by_hand(&mut shift.engine, at(shift.second)).expect("there is room again");
}

#[test]
fn a_full_incident_takes_no_note_and_is_still_taken_ended_and_reviewed() {
    let mut shift = shift(&["api"]);
    let now = at(shift.second);
    let id = id_of(by_hand(&mut shift.engine, now));
    let ann = || "ann".to_owned();
    let mut give = |command: Command| shift.engine.command(command, now);
    let note = || Command::Note { id: id.clone(), actor: ann(), text: "so it goes".to_owned() };
    let mut notes = 0;
    let refused = loop {
        match give(note()).0 {
            Ok(_) => notes += 1,
            Err(why) => break why,
        }
    };
    assert_eq!((refused, notes), (Refused::Full, 999), "the line of the opening is one too");
    assert!(give(note()).1.is_empty(), "a refusal changes nothing");
    let assign = Command::Assign { id: id.clone(), actor: ann(), to: "bo".to_owned() };
    assert_eq!(give(assign).0, Err(Refused::Full));
    give(Command::Ack { id: id.clone(), actor: ann() }).0.expect("calls can always be ended");
    assert_eq!(give(Command::Ack { id: id.clone(), actor: ann() }).0, Err(Refused::Full), "once");
    let (what, evidence) = ("measured".to_owned(), Vec::new());
    give(Command::Evidence { id: id.clone(), what, evidence }).0.expect("Strop's own is always recorded");
    let resolve = Command::Resolve { id: id.clone(), actor: ann(), reason: ann(), force: Force::Asked };
    give(resolve).0.expect("it ends");
    let actions = vec![crate::reliability::incident::ActionItem { what: ann(), owner: ann(), due: now }];
    let review = Review { technical: ann(), process: ann(), human: ann(), actions };
    give(Command::Review { id: id.clone(), actor: ann(), review }).0.expect("it is reviewed");
}

#[test]
fn all_notes_together_have_a_bound_and_those_of_yesterday_make_room() {
    let mut shift = shift(&["api"]);
    let now = at(shift.second);
    let text = "x".repeat(40_000);
    let mut ids = Vec::new();
    let refused = 'full: loop {
        let id = id_of(by_hand(&mut shift.engine, now));
        ids.push(id.clone());
        for _ in 0..13 {
            let order = Command::Note { id: id.clone(), actor: "ann".to_owned(), text: text.clone() };
            if let Err(why) = shift.engine.command(order, now).0 {
                break 'full why;
            }
        }
    };
    assert!(matches!(refused, Refused::TooMany { most: room::MOST_WRITTEN, .. }), "{refused:?}");
    assert!((30..=34).contains(&ids.len()), "{}", ids.len());
    for id in ids {
        let (actor, reason) = ("ann".to_owned(), "done".to_owned());
        let order = Command::Resolve { id, actor, reason, force: Force::Asked };
        shift.engine.command(order, now).0.expect("ends in any case");
    }
    shift.pass(86_402);
    by_hand(&mut shift.engine, at(shift.second)).expect("there is room again");
}

#[test]
fn seconds_in_which_the_process_stood_still_are_neither_good_nor_bad() {
    let mut shift = shift(&["api"]);
    shift.upstream("api").consecutive_failures = 1;
    shift.upstream("api").failing_since = Some(at(shift.second));
    shift.pass(1);
    let stopped = shift.second;
    shift.second += 20;
    shift.readings.resumed = Some(at(shift.second));
    shift.bad("api");
    shift.pass(1);
    shift.readings.resumed = None;
    shift.bad("api");
    shift.pass(3);
    let minutes: Vec<_> = shift.engine.flush().into_iter().filter(|one| &*one.subject == "api").collect();
    let pause = Report::of(&minutes, at(stopped + 1), at(stopped + 20));
    assert_eq!((pause.unknown, pause.measured()), (19, 0), "{pause:?}");
    let after = Report::of(&minutes, at(stopped + 21), at(shift.second));
    assert!(after.down > 0, "what is bad after it is bad: {after:?}");
}
