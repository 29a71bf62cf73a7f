//! Recovery among services that fall ill: acts that take time and fail, a store that is away, crashes between intent, effect
//! and answer, people who order and change the plans.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use strop::names::RunId;
use strop::reliability::engine::{Command, Effect, Engine, EnginePolicy};
use strop::reliability::incident::Force;
use strop::reliability::readings::{Readings, UpstreamReading};
use strop::reliability::recovery::{
    ActRequest, Action, Begins, Reach, Recovery, RecoveryCommand, RecoveryEffect, RecoveryMode,
    RecoveryPolicy, Run, RunEventKind, RunOrder, RunOutcome, RunPhase, StepMode, StepRecord, StepResult,
};
use strop::reliability::rule::Rule;
use strop::units::At;

use crate::dice::Dice;
use crate::plans::{SERVICES, plans};

#[path = "recovery_checks.rs"]
mod checks;

const START: i64 = 1_800_000_000_000;

/// What makes a service well again.
#[derive(Clone, Copy)]
struct Illness {
    cure: Option<Action>,
    /// It passes by itself then.
    until: u64,
}

/// An act on its way, or its result.
struct Doing {
    request: ActRequest,
    due: u64,
    result: StepResult,
}

struct Ward {
    dice: Dice,
    engine: Engine,
    recovery: Recovery,
    policy: Arc<RecoveryPolicy>,
    t: u64,
    readings: Readings,
    ill: BTreeMap<&'static str, Illness>,
    doing: VecDeque<Doing>,
    /// What is on disk. Of a process that ends the rest is gone.
    disk: BTreeMap<RunId, Run>,
    store_away_until: u64,
    /// Steps that were done, by run, pass and place.
    done: BTreeSet<(RunId, u32, usize)>,
    /// Acts by run.
    acts: BTreeMap<RunId, usize>,
    /// For how many seconds nothing about a service has held.
    calm: BTreeMap<String, u64>,
    /// What runs have put in force in this process.
    held: BTreeSet<(RunId, Action)>,
    /// Runs as whoever runs plans must know them: those of this process, and what was stored of those before.
    known: BTreeMap<RunId, Run>,
    /// The most passes that were allowed while a run went on.
    passes: BTreeMap<RunId, u32>,
    ended: BTreeMap<RunId, RunOutcome>,
    boots: u64,
}

impl Ward {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let policy = Arc::new(RecoveryPolicy { mode: RecoveryMode::On, plans: plans(&mut dice) });
        let upstreams = SERVICES.iter().map(|name| UpstreamReading::unseen(Arc::from(*name))).collect();
        let mut engine = EnginePolicy::default();
        engine.escalation.fallback = vec!["chat".to_owned()];
        Self {
            engine: Engine::new(engine, Arc::from("ward"), seed, At(START)),
            recovery: Recovery::new(Arc::clone(&policy), seed),
            policy,
            t: 0,
            readings: Readings { backend: Some(Arc::from("api")), upstreams, ..Readings::default() },
            ill: BTreeMap::new(),
            doing: VecDeque::new(),
            disk: BTreeMap::new(),
            store_away_until: 0,
            done: BTreeSet::new(),
            acts: BTreeMap::new(),
            calm: BTreeMap::new(),
            held: BTreeSet::new(),
            known: BTreeMap::new(),
            passes: BTreeMap::new(),
            ended: BTreeMap::new(),
            boots: 0,
            dice,
        }
    }

    fn now(&self) -> At {
        At(START + self.t as i64 * 1_000)
    }

    fn step(&mut self) {
        self.t += 1;
        self.weather();
        self.look();
        self.answers();
        self.people();
        self.check();
        if self.dice.chance(0.002) {
            self.crash();
        }
    }

    fn weather(&mut self) {
        if self.dice.chance(0.004) {
            let service = self.dice.one_of(&SERVICES);
            let all = Action::ALL;
            let cure = self.dice.chance(0.7).then(|| self.dice.one_of(&all));
            let until = self.t + if self.dice.chance(0.3) { 5 + self.dice.below(60) } else { 100_000 };
            self.ill.insert(service, Illness { cure, until });
        }
        if self.dice.chance(0.000_5) {
            // All at once.
            let until = self.t + 60 + self.dice.below(200);
            self.ill.extend(SERVICES.iter().map(|service| (*service, Illness { cure: None, until })));
        }
        if self.dice.chance(0.002) {
            self.store_away_until = self.t + self.dice.below(120);
        }
        let t = self.t;
        self.ill.retain(|_, ill| ill.until > t);
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
    }

    fn look(&mut self) {
        let now = self.now();
        self.engine.tick(&self.readings, now);
        for service in SERVICES {
            let holds = self.engine.alerts().any(|(key, alert, _)| *key.service == *service && alert.holds());
            let calm = self.calm.entry(service.to_owned()).or_default();
            *calm = if holds { 0 } else { *calm + 1 };
        }
        let effects = self.recovery.look(&self.engine, Begins::Yes, now);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Vec<RecoveryEffect>) {
        let stores = self.t >= self.store_away_until;
        let (mut saved, mut escalations): (Option<Run>, usize) = (None, 0);
        for effect in effects {
            match effect {
                RecoveryEffect::Save(run) => {
                    if stores {
                        self.disk.insert(run.id.clone(), (*run).clone());
                    }
                    self.known.insert(run.id.clone(), (*run).clone());
                    saved = Some(*run);
                }
                RecoveryEffect::Act(request) => {
                    let run = saved.as_ref().expect("the intent is handed to the store first");
                    assert_eq!((&run.id, run.generation), (&request.run, request.generation));
                    self.begin(request, stores);
                }
                RecoveryEffect::Release(held) => {
                    let of_it = self.recovery.runs().find(|run| run.id == held.run).into_iter();
                    let steps = of_it.flat_map(|run| &run.steps).filter(|step| step.action == held.action);
                    let holds = |step: &StepRecord| step.result.acted() && step.released.is_none();
                    assert!(!steps.into_iter().any(holds), "let go, and a step holds it: {held:?}");
                    self.held.remove(&(held.run, held.action));
                }
                RecoveryEffect::Order(command) => {
                    escalations += usize::from(matches!(command, Command::Escalate { .. }));
                    let (done, _) = self.engine.command(command, self.now());
                    assert!(done.is_ok(), "the incident takes the line: {done:?}");
                }
                RecoveryEffect::Tell(event) => {
                    if event.kind == RunEventKind::Began {
                        self.may_begin(&event.run);
                    }
                    if let RunEventKind::Ended { outcome, .. } = event.kind {
                        let called = std::mem::take(&mut escalations);
                        self.ends_as_it_should(&event.run, outcome, called);
                        let twice = self.ended.insert(event.run, outcome);
                        assert!(twice.is_none(), "a run ends once: {twice:?} and {outcome:?}");
                    }
                }
            }
        }
    }

    /// The shell: what is not stored is done only where it stays within the process.
    fn begin(&mut self, request: ActRequest, stored: bool) {
        let run = self.recovery.runs().find(|run| run.id == request.run).expect("it runs").clone();
        assert!(!run.dry_run && self.policy.mode == RecoveryMode::On, "nothing is done in a dry run");
        let record = run.steps.last().expect("it is at a step");
        assert_eq!(record.action, request.action, "what was asked for is what is done");
        assert!(
            record.mode == StepMode::Act || (record.mode == StepMode::Ask && record.approved_by.is_some())
        );
        if request.action.reach() == Reach::Application {
            let explained = self.engine.incidents().any(|one| {
                let away = matches!(one.key.rule, Rule::ServiceDown | Rule::Breaker | Rule::NetworkDown);
                away && one.state.is_live() && one.key.service != request.target && self.engine.holds(&one.id)
            });
            assert!(!explained, "{request:?} while another service explains it");
            if !stored {
                return self.doing.push_back(Doing { request, due: self.t, result: StepResult::NotPossible });
            }
        }
        *self.acts.entry(request.run.clone()).or_default() += 1;
        // What stays within a process is gone with it, and may be done again by the next one.
        if request.action.reach() == Reach::Application {
            let first = self.done.insert((request.run.clone(), record.attempt, record.step));
            assert!(first, "done twice: {request:?}");
        }
        let result = match self.dice.below(10) {
            0 => StepResult::Failed,
            1 => StepResult::Unneeded,
            _ => StepResult::Done,
        };
        let cures = self.ill.get(&*request.target).is_some_and(|ill| ill.cure == Some(request.action));
        if cures && result == StepResult::Done {
            self.ill.retain(|name, _| **name != *request.target);
        }
        // Of some nothing is ever heard, of some too late.
        let due = match self.dice.below(20) {
            0 => u64::MAX,
            1 => self.t + 115 + self.dice.below(60),
            _ => self.t + self.dice.below(20),
        };
        self.doing.push_back(Doing { request, due, result });
    }

    fn answers(&mut self) {
        let (due, later): (VecDeque<Doing>, _) =
            std::mem::take(&mut self.doing).into_iter().partition(|one| one.due <= self.t);
        self.doing = later;
        for Doing { request, result, .. } in due {
            let ActRequest { run, generation, action, .. } = request;
            if action.holds() && result == StepResult::Done {
                self.held.insert((run.clone(), action));
            }
            // Some are heard twice.
            for _ in 0..1 + u64::from(self.dice.chance(0.1)) {
                let (run, detail) = (run.clone(), "as told".to_owned());
                let other = |one: &&Run| one.id == run && one.generation != generation;
                let other = self.recovery.runs().find(other).cloned();
                // Of an act that nobody waits for any more what was put in force is let go; its run knows nothing of it.
                self.order(RecoveryCommand::Acted { run, generation, result, detail });
                let after = |before: &Run| self.recovery.runs().find(|one| one.id == before.id);
                assert!(
                    other.is_none_or(|one| after(&one) == Some(&one)),
                    "the result of another act is heard"
                );
            }
        }
    }

    fn order(&mut self, command: RecoveryCommand) -> bool {
        let (done, effects) = self.recovery.command(command, &self.engine, self.now());
        assert!(done.is_ok() || effects.is_empty(), "refused, and yet: {effects:?}");
        self.carry_out(effects);
        done.is_ok()
    }

    fn people(&mut self) {
        let runs: Vec<RunId> = self.recovery.runs().map(|run| run.id.clone()).collect();
        let actor = "ada".to_owned();
        match self.dice.below(400) {
            0 if !runs.is_empty() => {
                let run = runs[self.dice.below(runs.len() as u64) as usize].clone();
                self.order(RecoveryCommand::Cancel { run, actor, reason: "enough".to_owned() });
            }
            1..=4 if !runs.is_empty() => {
                let run = runs[runs.len() - 1].clone();
                self.order(RecoveryCommand::Approve { run, actor });
            }
            41 => {
                let service = self.dice.one_of(&SERVICES);
                let order = RunOrder { actor, reason: "a look".to_owned() };
                let (plan, dry_run) = (format!("{service}_failure"), self.dice.chance(0.3));
                self.order(RecoveryCommand::Trigger { plan, incident: None, target: None, dry_run, order });
            }
            42 => {
                let mode = self.dice.one_of(&RecoveryMode::ALL);
                let plans =
                    if self.dice.chance(0.3) { plans(&mut self.dice) } else { self.policy.plans.clone() };
                self.policy = Arc::new(RecoveryPolicy { mode, plans });
                self.recovery.reconfigure(Arc::clone(&self.policy));
            }
            43 => self.policy_is_on(),
            44 => self.close_an_incident(actor),
            _ => {}
        }
    }

    fn policy_is_on(&mut self) {
        self.policy = Arc::new(RecoveryPolicy { mode: RecoveryMode::On, plans: self.policy.plans.clone() });
        self.recovery.reconfigure(Arc::clone(&self.policy));
    }

    fn close_an_incident(&mut self, actor: String) {
        let live = self.engine.incidents().find(|one| one.state.is_live()).map(|one| one.id.clone());
        let Some(id) = live else { return };
        let command = if self.dice.chance(0.5) {
            Command::Ack { id, actor }
        } else {
            Command::Resolve { id, actor, reason: "enough".to_owned(), force: Force::Forced }
        };
        let (_, effects): (_, Vec<Effect>) = self.engine.command(command, self.now());
        drop(effects);
    }

    /// The process ends: what is not on disk is gone, and whoever acts is not heard any more.
    fn crash(&mut self) {
        self.boots += 1;
        self.doing.clear();
        self.held.clear();
        // Nobody has looked meanwhile.
        self.calm.clear();
        if self.dice.chance(0.3) {
            self.t += self.dice.below(900);
        }
        self.known.clone_from(&self.disk);
        self.recovery = Recovery::new(Arc::clone(&self.policy), self.boots << 32 | 7);
        let (left, past): (Vec<Run>, Vec<Run>) = self.disk.values().cloned().partition(Run::is_live);
        if self.dice.chance(0.2) {
            return self.takes_over(left, past);
        }
        let effects = self.recovery.remember(past, self.now());
        self.carry_out(effects);
        // What was not stored of an end is told again.
        for run in &left {
            self.ended.remove(&run.id);
        }
        let known: BTreeSet<RunId> = left.iter().map(|run| run.id.clone()).collect();
        self.acts.retain(|id, _| known.contains(id) || self.ended.contains_key(id));
        let effects = self.recovery.restore(left, self.now());
        self.carry_out(effects);
        for run in self.recovery.runs().filter(|run| run.is_live()) {
            let moments = run.steps.iter().flat_map(|step| [Some(step.began), step.ended]).flatten();
            let waits = match run.phase {
                RunPhase::Asking { until, .. } | RunPhase::Resting { until } => Some(until),
                _ => None,
            };
            let newest = moments.chain(waits).max().unwrap_or(run.began).max(run.began);
            assert!(self.now().since(newest) <= Duration::from_secs(300), "taken up too late: {run:?}");
        }
    }

    /// Another member has the duty from now on.
    fn takes_over(&mut self, left: Vec<Run>, past: Vec<Run>) {
        let effects = self.recovery.remember([left, past].concat(), self.now());
        self.carry_out(effects);
        let live = self.recovery.runs().find(|run| run.is_live());
        assert!(live.is_none(), "another's run goes on: {live:?}");
    }
}

/// One ward for an hour, the last twenty minutes of it calm.
pub fn run(seed: u64) {
    let mut ward = Ward::new(seed);
    for _ in 0..2_400 {
        ward.step();
    }
    ward.policy_is_on();
    ward.ill.clear();
    for _ in 0..1_200 {
        ward.t += 1;
        ward.weather_is_fine();
        ward.look();
        ward.answers();
        ward.check();
    }
    let live: Vec<&Run> = ward.recovery.runs().filter(|run| run.is_live()).collect();
    assert!(live.is_empty(), "nothing is the matter, and they go on: {live:#?}");
    for (run, acts) in &ward.acts {
        assert!(*acts <= 3 * 4 * 2, "{acts} acts of {run}");
    }
}

impl Ward {
    fn weather_is_fine(&mut self) {
        let now = self.now();
        for one in &mut self.readings.upstreams {
            (one.consecutive_failures, one.failing_since, one.last_success) = (0, None, Some(now));
        }
    }
}
