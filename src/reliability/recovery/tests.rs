use super::*;
use crate::reliability::engine::{Effect, EnginePolicy, SilenceCommand};
use crate::reliability::incident::State;
use crate::reliability::readings::{Readings, UpstreamReading};
use crate::reliability::rule::Rule;
use crate::reliability::silence::{Comparison, Label, Matcher, Purpose, Silence};

const MINUTE: Duration = Duration::from_secs(60);

fn plan(name: &str, service: &str, steps: &[(Action, StepMode)]) -> Plan {
    let step = |&(action, mode)| Step { action, mode, verify: Duration::from_secs(20) };
    Plan {
        name: Arc::from(name),
        trigger: PlanTrigger {
            rules: vec![Rule::ServiceDown],
            services: vec![Arc::from(service)],
            scopes: Vec::new(),
            early: false,
        },
        steps: steps.iter().map(step).collect(),
        max_attempts: 3,
        retry_delay: Duration::from_secs(15),
        verify_for: Duration::from_secs(10),
        cooldown: 5 * MINUTE,
        approve_within: MINUTE,
    }
}

/// A house with an engine, its recovery, and services that are ill until the right thing is done.
struct Ward {
    engine: Engine,
    recovery: Recovery,
    second: i64,
    readings: Readings,
    /// Services that are down, and what cures them.
    ill: BTreeMap<String, Option<Action>>,
    /// What was done, and when.
    acts: Vec<(i64, Action, String)>,
    /// What was let go, and when.
    released: Vec<(i64, Action)>,
    events: Vec<RunEventKind>,
    pages: Vec<i64>,
    /// What an act comes to; `None`: nothing is heard of it.
    result: Option<StepResult>,
}

fn ward(plans: Vec<Plan>, services: &[&str]) -> Ward {
    let upstreams = services.iter().map(|name| UpstreamReading::unseen(Arc::from(*name))).collect();
    let readings = Readings { backend: Some(Arc::from("api")), upstreams, ..Readings::default() };
    let mut policy = EnginePolicy::default();
    policy.escalation.fallback = vec!["chat".to_owned()];
    let mut ward = Ward {
        engine: Engine::new(policy, Arc::from("a#1"), 7, At(0)),
        recovery: Recovery::new(Arc::new(RecoveryPolicy { mode: RecoveryMode::On, plans }), 7),
        second: 0,
        readings,
        ill: BTreeMap::new(),
        acts: Vec::new(),
        released: Vec::new(),
        events: Vec::new(),
        pages: Vec::new(),
        result: Some(StepResult::Done),
    };
    ward.pass(40);
    ward
}

impl Ward {
    fn now(&self) -> At {
        At(1_800_000_000_000 + self.second * 1_000)
    }

    fn fall_ill(&mut self, service: &str, cure: Option<Action>) {
        self.ill.insert(service.to_owned(), cure);
    }

    fn pass(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.second += 1;
            let now = self.now();
            for one in &mut self.readings.upstreams {
                if self.ill.contains_key(&*one.name) {
                    one.consecutive_failures += 3;
                    one.failing_since.get_or_insert(now);
                    one.last_failure = Some(now);
                } else {
                    (one.consecutive_failures, one.failing_since, one.last_success) = (0, None, Some(now));
                }
            }
            let effects = self.engine.tick(&self.readings, now);
            self.hear(effects);
            let effects = self.recovery.look(&self.engine, Begins::Yes, now);
            self.carry_out(effects);
        }
    }

    fn hear(&mut self, effects: Vec<Effect>) {
        let calls = effects.iter().filter(|effect| matches!(effect, Effect::Page(_)));
        self.pages.extend(calls.map(|_| self.second));
    }

    fn carry_out(&mut self, effects: Vec<RecoveryEffect>) {
        let mut stored = None;
        for effect in effects {
            match effect {
                RecoveryEffect::Save(run) => stored = Some((run.id.clone(), run.generation)),
                RecoveryEffect::Act(act) => {
                    assert_eq!(stored, Some((act.run.clone(), act.generation)), "the intent is stored first");
                    self.do_it(act);
                }
                RecoveryEffect::Release(held) => self.released.push((self.second, held.action)),
                RecoveryEffect::Order(command) => {
                    let (done, effects) = self.engine.command(command, self.now());
                    done.expect("the incident takes it");
                    self.hear(effects);
                }
                RecoveryEffect::Tell(event) => self.events.push(event.kind),
            }
        }
    }

    fn do_it(&mut self, act: ActRequest) {
        self.acts.push((self.second, act.action, act.target.to_string()));
        if self.ill.get(&*act.target).is_some_and(|cure| *cure == Some(act.action)) {
            self.ill.remove(&*act.target);
        }
        if let Some(result) = self.result {
            self.order(RecoveryCommand::Acted {
                run: act.run,
                generation: act.generation,
                result,
                detail: "as told".to_owned(),
            })
            .expect("heard");
        }
    }

    fn order(&mut self, command: RecoveryCommand) -> Result<Box<Run>, RecoveryRefused> {
        let (done, effects) = self.recovery.command(command, &self.engine, self.now());
        assert!(done.is_ok() || effects.is_empty());
        self.carry_out(effects);
        done
    }

    fn trigger(&mut self, plan: &str, target: Option<&str>) -> Result<Box<Run>, RecoveryRefused> {
        let order = RunOrder { actor: "ada".to_owned(), reason: "a test".to_owned() };
        let target = target.map(Arc::from);
        let plan = plan.to_owned();
        self.order(RecoveryCommand::Trigger { plan, incident: None, target, dry_run: false, order })
    }

    fn actions(&self) -> Vec<Action> {
        self.acts.iter().map(|(_, action, _)| *action).collect()
    }

    fn outcomes(&self) -> Vec<RunOutcome> {
        let ends = self.events.iter().filter_map(|event| match event {
            RunEventKind::Ended { outcome, .. } => Some(*outcome),
            RunEventKind::Began | RunEventKind::Step { .. } => None,
        });
        ends.collect()
    }
}

use Action::{CircuitBreaker, ConnectionReset, RestartService};
use StepMode::{Act, Ask, DryRun};

fn database(last: StepMode) -> Plan {
    plan(
        "database_failure",
        "database",
        &[(ConnectionReset, Act), (CircuitBreaker, Act), (RestartService, last)],
    )
}

#[test]
fn the_first_step_that_helps_is_the_last_and_it_is_verified() {
    let mut ward = ward(vec![database(Act)], &["api", "database"]);
    ward.fall_ill("database", Some(CircuitBreaker));
    ward.pass(300);
    assert_eq!(ward.actions(), [ConnectionReset, CircuitBreaker]);
    assert_eq!(ward.outcomes(), [RunOutcome::Recovered]);
    let run = ward.recovery.runs().next().expect("there was one").clone();
    let verified: Vec<_> = run.steps.iter().map(|step| step.verified).collect();
    assert_eq!(verified, [Some(false), Some(true)]);
    let by = ward.events.iter().find_map(|event| match event {
        RunEventKind::Ended { by, .. } => *by,
        RunEventKind::Began | RunEventKind::Step { .. } => None,
    });
    assert_eq!(by, Some(CircuitBreaker));
    let incident = ward.engine.incidents().next().expect("there was one");
    assert_eq!(incident.state, State::Resolved);
    assert!(
        incident.timeline.iter().any(|line| line.text.contains("has worked")),
        "{:#?}",
        incident.timeline
    );
}

#[test]
fn what_no_step_can_mend_ends_after_exactly_its_attempts_and_calls_people_once() {
    let mut ward = ward(vec![database(Act)], &["api", "database"]);
    ward.fall_ill("database", None);
    ward.pass(3_600);
    assert_eq!(ward.acts.len(), 9, "three passes of three steps: {:?}", ward.acts);
    assert_eq!(ward.outcomes(), [RunOutcome::Exhausted]);
    let lines = |ward: &Ward| {
        let incident = ward.engine.incidents().next().expect("there is one");
        incident.timeline.iter().filter(|line| line.text.contains("people must act")).count()
    };
    assert_eq!(lines(&ward), 1);
    ward.pass(3_600);
    assert_eq!((ward.acts.len(), lines(&ward)), (9, 1), "it is not begun again");
}

#[test]
fn a_suspicion_that_passes_is_left_alone() {
    let mut ward = ward(vec![database(Act)], &["api", "database"]);
    for _ in 0..5 {
        ward.fall_ill("database", None);
        ward.pass(8);
        ward.ill.clear();
        ward.pass(120);
    }
    assert!(ward.acts.is_empty() && ward.recovery.runs().next().is_none(), "{:?}", ward.acts);
}

#[test]
fn what_is_silenced_is_left_alone_until_that_is_over() {
    let mut ward = ward(vec![database(Act)], &["api", "database"]);
    let matchers = vec![Matcher { label: Label::Service, is: Comparison::Is, value: "database".to_owned() }];
    let (from, until) = (ward.now(), ward.now() + 5 * MINUTE);
    let (purpose, actor, reason) = (Purpose::Silence, "ada".to_owned(), "a drill".to_owned());
    let silence = Silence { number: 0, purpose, matchers, from, until, actor, reason };
    ward.engine.silence(SilenceCommand::Begin(silence), from).0.expect("taken");
    ward.fall_ill("database", None);
    ward.pass(290);
    assert!(ward.acts.is_empty() && ward.recovery.runs().next().is_none(), "{:?}", ward.acts);
    ward.pass(20);
    assert_eq!(ward.actions(), [ConnectionReset]);
}

#[test]
fn what_gets_well_by_itself_before_a_step_is_no_success_of_the_plan() {
    let mut ward = ward(vec![plan("ask", "database", &[(RestartService, Ask)])], &["api", "database"]);
    ward.fall_ill("database", None);
    ward.pass(60);
    assert_eq!(ward.recovery.runs().next().map(|run| run.phase.label()), Some("asking"));
    ward.ill.clear();
    ward.pass(60);
    assert_eq!((ward.acts.len(), ward.outcomes()), (0, vec![RunOutcome::Unneeded]));
}

#[test]
fn a_step_that_asks_waits_for_a_yes_and_no_answer_is_no() {
    let mut ward = ward(vec![plan("ask", "database", &[(RestartService, Ask)])], &["api", "database"]);
    ward.fall_ill("database", Some(RestartService));
    ward.pass(60);
    let run = ward.recovery.runs().next().expect("it asks").id.clone();
    let yes =
        |run: &RunId, actor: &str| RecoveryCommand::Approve { run: run.clone(), actor: actor.to_owned() };
    assert_eq!(ward.order(yes(&run, " ")), Err(RecoveryRefused::Empty("actor")));
    ward.order(yes(&run, "ada")).expect("taken");
    assert_eq!(ward.order(yes(&run, "bo")), Err(RecoveryRefused::NotAsked));
    ward.pass(60);
    assert_eq!(ward.outcomes(), [RunOutcome::Recovered]);
    let approved = ward.recovery.runs().next().and_then(|run| run.steps[0].approved_by.clone());
    assert_eq!(approved.as_deref(), Some("ada"));

    let mut other = self::ward(vec![plan("ask", "database", &[(RestartService, Ask)])], &["api", "database"]);
    other.fall_ill("database", Some(RestartService));
    other.pass(300);
    assert_eq!((other.acts.len(), other.outcomes()), (0, vec![RunOutcome::NothingDone]));
}

#[test]
fn a_yes_is_to_what_was_asked_and_not_to_what_stands_there_since() {
    let mut ward = ward(vec![plan("ask", "database", &[(RestartService, Ask)])], &["api", "database"]);
    ward.fall_ill("database", None);
    ward.pass(60);
    let run = ward.recovery.runs().next().expect("it asks").id.clone();
    let plans = vec![plan("ask", "database", &[(Action::Rollback, Ask)])];
    ward.recovery.reconfigure(Arc::new(RecoveryPolicy { mode: RecoveryMode::On, plans }));
    ward.order(RecoveryCommand::Approve { run, actor: "ada".to_owned() }).expect("taken");
    ward.pass(5);
    assert_eq!((ward.acts.len(), ward.outcomes()), (0, vec![RunOutcome::NothingDone]));
    let detail = ward.recovery.runs().next().map(|run| run.steps[0].detail.clone()).expect("it is kept");
    assert!(detail.contains("another step"), "{detail}");
}

#[test]
fn a_dry_run_does_nothing_and_calls_nobody() {
    let mut ward = ward(vec![plan("dry", "database", &[(RestartService, DryRun)])], &["api", "database"]);
    ward.fall_ill("database", None);
    ward.pass(600);
    assert_eq!((ward.acts.len(), ward.outcomes()), (0, vec![RunOutcome::DryRun]));
    let mut all = self::ward(vec![database(Act)], &["api", "database"]);
    all.recovery
        .reconfigure(Arc::new(RecoveryPolicy { mode: RecoveryMode::DryRun, plans: vec![database(Act)] }));
    all.fall_ill("database", None);
    all.pass(600);
    assert_eq!((all.acts.len(), all.outcomes()), (0, vec![RunOutcome::DryRun]));
}

#[test]
fn no_restart_where_another_service_explains_it() {
    let api = plan("api_failure", "api", &[(RestartService, Act), (ConnectionReset, Act)]);
    let mut ward = ward(vec![api], &["api", "database"]);
    ward.fall_ill("database", None);
    ward.fall_ill("api", None);
    ward.pass(600);
    assert!(!ward.actions().contains(&RestartService), "{:?}", ward.acts);
    let skipped = ward.recovery.runs().flat_map(|run| &run.steps).find(|step| step.action == RestartService);
    assert_eq!(skipped.map(|step| step.detail.as_str()), Some("database fails, and explains it"));
}

#[test]
fn an_end_of_the_process_in_the_middle_of_an_act_does_it_no_second_time() {
    let mut ward = ward(vec![database(Act)], &["api", "database"]);
    ward.fall_ill("database", None);
    ward.result = None;
    ward.pass(60);
    assert_eq!(ward.actions(), [ConnectionReset]);
    let stored: Vec<Run> = ward.recovery.runs().cloned().collect();
    assert_eq!(stored[0].phase.label(), "acting");
    ward.recovery = Recovery::new(ward.recovery.policy().clone(), 8);
    let effects = ward.recovery.restore(stored, ward.now());
    ward.carry_out(effects);
    ward.result = Some(StepResult::Done);
    ward.pass(30);
    assert_eq!(
        ward.actions(),
        [ConnectionReset, CircuitBreaker],
        "what came of it was watched, then the next"
    );
    let first = ward.recovery.runs().next().map(|run| run.steps[0].result);
    assert_eq!(first, Some(StepResult::Unknown));
}

#[test]
fn a_late_result_of_an_act_of_before_changes_nothing() {
    let mut ward = ward(vec![database(Act)], &["api", "database"]);
    ward.fall_ill("database", None);
    ward.result = None;
    ward.pass(60);
    let run = ward.recovery.runs().next().expect("it runs").clone();
    let late = |generation| RecoveryCommand::Acted {
        run: run.id.clone(),
        generation,
        result: StepResult::Done,
        detail: String::new(),
    };
    assert_eq!(ward.order(late(run.generation + 1)), Err(RecoveryRefused::NotAsked));
    ward.order(late(run.generation)).expect("heard");
    assert_eq!(ward.order(late(run.generation)), Err(RecoveryRefused::NotAsked), "once");
}

#[test]
fn an_order_says_why_it_is_refused() {
    let mut ward = ward(vec![database(Act)], &["api", "database"]);
    ward.result = None;
    let known = vec![Arc::from("database_failure")];
    assert_eq!(ward.trigger("databse_failure", None), Err(RecoveryRefused::NoSuchPlan { known }));
    let run = ward.trigger("database_failure", None).expect("the plan names its service");
    assert_eq!(&*run.target, "database");
    let running = RecoveryRefused::Running { run: run.id.clone() };
    assert_eq!(ward.trigger("database_failure", Some("database")), Err(running));
    let cancel =
        RecoveryCommand::Cancel { run: run.id, actor: "ada".to_owned(), reason: "a mistake".to_owned() };
    ward.order(cancel).expect("ended");
    ward.recovery
        .reconfigure(Arc::new(RecoveryPolicy { mode: RecoveryMode::Off, ..RecoveryPolicy::default() }));
    assert_eq!(ward.trigger("database_failure", None), Err(RecoveryRefused::Off));
}

#[test]
fn what_runs_ends_when_its_plan_is_taken_away() {
    let mut ward = ward(vec![database(Act)], &["api", "database"]);
    ward.fall_ill("database", None);
    ward.pass(60);
    assert!(ward.recovery.runs().next().is_some_and(Run::is_live));
    ward.recovery.reconfigure(Arc::default());
    ward.pass(2);
    assert_eq!(ward.outcomes(), [RunOutcome::Withdrawn]);
    let acts = ward.acts.len();
    ward.pass(600);
    assert_eq!(ward.acts.len(), acts);
}

#[test]
fn people_are_called_at_once_when_nothing_is_left_to_try() {
    let fast = Plan { max_attempts: 1, ..plan("fast", "database", &[(ConnectionReset, Act)]) };
    let mut ward = ward(vec![fast], &["api", "database"]);
    ward.fall_ill("database", None);
    ward.pass(70);
    let ended = ward.recovery.runs().next().and_then(Run::ended).expect("it has ended");
    assert_eq!(ended.0, RunOutcome::Exhausted);
    let incident = ward.engine.incidents().next().expect("there is one");
    let escalated = incident.timeline.iter().any(|line| line.text.contains("people must act"));
    assert!(escalated && !ward.pages.is_empty(), "{:?}", ward.pages);
}

#[test]
fn a_breaker_that_is_held_rests_for_its_step_and_is_watched_by_traffic_after_it() {
    let mut ward = ward(vec![plan("rest", "database", &[(CircuitBreaker, Act)])], &["api", "database"]);
    ward.fall_ill("database", None);
    ward.pass(300);
    let (held, _, _) = ward.acts[0].clone();
    assert_eq!(ward.released[0], (held + 20, CircuitBreaker), "the step's 20 s are over");
    let run = ward.recovery.runs().next().expect("there was one").clone();
    assert_eq!(ward.acts[1].0 - held, 20 + 20 + 15, "as long again, then the delay: {:?}", ward.acts);
    assert_eq!(ward.released.len(), 3, "one a pass: {:?}", ward.released);
    assert!(run.steps.iter().all(|step| step.released.is_some() && step.verified == Some(false)));
}

#[test]
fn what_is_seen_well_is_let_go_at_once() {
    let mut ward = ward(vec![plan("rest", "database", &[(CircuitBreaker, Act)])], &["api", "database"]);
    ward.fall_ill("database", None);
    while ward.acts.is_empty() {
        ward.pass(1);
    }
    ward.pass(2);
    assert!(ward.released.is_empty(), "it rests");
    ward.ill.clear();
    ward.pass(1);
    assert_eq!(ward.released, [(ward.second, CircuitBreaker)], "at the first look that sees it well");
    ward.pass(30);
    assert_eq!(ward.outcomes(), [RunOutcome::Recovered]);
}

#[test]
fn what_a_run_holds_is_let_go_when_it_ends_and_a_level_stays_where_people_are_called_or_have_ordered_it() {
    let degraded = || plan("less", "database", &[(Action::GracefulDegradation, Act), (CircuitBreaker, Act)]);
    let begun = || {
        let mut ward = ward(vec![degraded()], &["api", "database"]);
        ward.fall_ill("database", None);
        ward.pass(60);
        assert_eq!(ward.actions(), [Action::GracefulDegradation, CircuitBreaker]);
        assert!(ward.released.is_empty(), "{:?}", ward.released);
        ward
    };
    let all = |ward: &Ward| {
        let mut all: Vec<Action> = ward.released.iter().map(|(_, action)| *action).collect();
        all.sort();
        assert_eq!(all, [CircuitBreaker, Action::GracefulDegradation], "{:?}", ward.released);
    };
    let mut cancelled = begun();
    let run = cancelled.recovery.runs().next().expect("it runs").id.clone();
    let cancel = RecoveryCommand::Cancel { run, actor: "ada".to_owned(), reason: "enough".to_owned() };
    cancelled.order(cancel).expect("ended");
    all(&cancelled);
    let mut withdrawn = begun();
    withdrawn.recovery.reconfigure(Arc::default());
    withdrawn.pass(1);
    all(&withdrawn);
    let mut left = begun();
    let stored: Vec<Run> = left.recovery.runs().cloned().collect();
    left.recovery = Recovery::new(left.recovery.policy().clone(), 8);
    left.second += 3_600;
    let effects = left.recovery.restore(stored, left.now());
    left.carry_out(effects);
    all(&left);
    let mut exhausted = begun();
    exhausted.pass(1_000);
    assert_eq!(exhausted.outcomes(), [RunOutcome::Exhausted]);
    let breakers = exhausted.released.iter().filter(|(_, action)| *action == CircuitBreaker).count();
    assert_eq!((breakers, exhausted.released.len()), (3, 3), "{:?}", exhausted.released);
    let mut ordered = ward(vec![plan("less", "api", &[(Action::GracefulDegradation, Act)])], &["api"]);
    ordered.trigger("less", None).expect("it runs");
    ordered.pass(60);
    assert_eq!((ordered.outcomes(), ordered.released), (vec![RunOutcome::Recovered], vec![]));
}

#[test]
fn what_was_put_in_force_after_its_step_was_given_up_is_let_go_when_that_is_heard() {
    let mut ward = ward(vec![plan("rest", "database", &[(CircuitBreaker, Act)])], &["api", "database"]);
    ward.fall_ill("database", None);
    ward.result = None;
    ward.pass(60);
    let acting = ward.recovery.runs().next().expect("it runs").clone();
    ward.pass(200);
    let run = ward.recovery.runs().next().expect("it runs").clone();
    assert!(run.is_live(), "another pass: {run:?}");
    assert_eq!(run.steps[0].result, StepResult::Unknown);
    assert!(run.steps[0].released.is_some(), "{run:?}");
    ward.released.clear();
    let late = RecoveryCommand::Acted {
        run: run.id.clone(),
        generation: acting.generation,
        result: StepResult::Done,
        detail: "late".to_owned(),
    };
    ward.order(late).expect("heard");
    assert_eq!(ward.released, [(ward.second, CircuitBreaker)]);
    assert_eq!(ward.recovery.runs().next(), Some(&run), "and the run goes on as it was");
}

#[test]
fn what_was_put_in_force_after_the_end_is_let_go_when_that_is_heard() {
    let mut ward = ward(vec![plan("rest", "database", &[(CircuitBreaker, Act)])], &["api", "database"]);
    ward.fall_ill("database", None);
    ward.result = None;
    ward.pass(60);
    let run = ward.recovery.runs().next().expect("it runs").clone();
    assert_eq!(run.phase.label(), "acting");
    ward.recovery.reconfigure(Arc::default());
    ward.pass(1);
    ward.released.clear();
    let late = RecoveryCommand::Acted {
        run: run.id,
        generation: run.generation,
        result: StepResult::Done,
        detail: "late".to_owned(),
    };
    ward.order(late).expect("heard");
    assert_eq!(ward.released, [(ward.second, CircuitBreaker)]);
}

#[test]
fn whoever_takes_over_keeps_the_cooldown_and_tries_nothing_again_that_was_all_tried() {
    let mut ward = ward(vec![database(Act)], &["api", "database"]);
    ward.fall_ill("database", None);
    ward.pass(600);
    assert_eq!(ward.outcomes(), [RunOutcome::Exhausted]);
    let (acts, past): (usize, Vec<Run>) = (ward.acts.len(), ward.recovery.runs().cloned().collect());
    ward.recovery = Recovery::new(ward.recovery.policy().clone(), 8);
    let effects = ward.recovery.remember(past, ward.now());
    assert_eq!(effects, [], "nothing of it changes");
    ward.pass(600);
    assert_eq!(ward.acts.len(), acts, "all was tried: {:?}", ward.acts);
}

#[test]
fn a_run_of_a_member_that_is_gone_is_over_and_its_plan_begins_again_when_it_has_cooled() {
    let mut ward = ward(vec![database(Act)], &["api", "database"]);
    ward.fall_ill("database", None);
    ward.pass(60);
    assert_eq!(ward.actions(), [ConnectionReset, CircuitBreaker]);
    let (second, past): (i64, Vec<Run>) = (ward.second, ward.recovery.runs().cloned().collect());
    ward.recovery = Recovery::new(ward.recovery.policy().clone(), 8);
    let effects = ward.recovery.remember(past, ward.now());
    let saved = |effect: &RecoveryEffect| matches!(effect, RecoveryEffect::Save(run) if !run.is_live());
    assert!(effects.len() == 1 && effects.iter().all(saved), "{effects:?}");
    ward.pass(200);
    assert_eq!(ward.acts.len(), 2, "five minutes have not passed: {:?}", ward.acts);
    ward.pass(200);
    let again = ward.acts.get(2).map(|(at, action, _)| (at - second >= 240, *action));
    assert_eq!(again, Some((true, ConnectionReset)), "{:?}", ward.acts);
}
