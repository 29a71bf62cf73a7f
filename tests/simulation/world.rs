//! Upstreams with weather, real breakers in front of them, one route class, an operator, and the engine.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use strop::names::IncidentId;
use strop::reliability::breaker::{Breaker, BreakerPolicy, BreakerState, ExchangeEvidence, PermitRequest};
use strop::reliability::counts::{Counts, RollingCounts};
use strop::reliability::engine::{Command, Effect, Engine, EnginePolicy, SilenceCommand};
use strop::reliability::escalation::{Arrived, Calendar, LadderStep, LocalMinute};
use strop::reliability::incident::{Ending, Force, Incident};
use strop::reliability::readings::{
    BreakerReading, Over, Readings, Resource, ResourceReading, RouteReading, SlowCounts, UpstreamReading,
};
use strop::reliability::rule::{Rule, Severity};
use strop::reliability::silence::{Comparison, Label, Matcher, Purpose, Silence};
use strop::reliability::steps;
use strop::reliability::verdict::{BadReason, Verdict};
use strop::units::At;

use crate::dice::Dice;
use crate::watch::Watch;

const START: At = At(1_800_000_000_000);
const NAMES: [&str; 5] = ["api", "stripe", "database", "sendgrid", "twilio"];

/// One upstream: what it is like now, and what the shell would know of it.
struct Upstream {
    reading: UpstreamReading,
    breaker: Breaker,
    trail: RollingCounts,
    /// Share of answers that are bad.
    bad: f64,
    per_second: u64,
    since: At,
    state: BreakerState,
}

pub struct World {
    dice: Dice,
    origin: Instant,
    now: At,
    /// Milliseconds by which the wall clock has been set ahead so far.
    ahead: i64,
    upstreams: Vec<Upstream>,
    route: RollingCounts,
    cpu: f64,
    /// Share of replies over 5 s, and over 8 s.
    slow: (f64, f64),
    slow_trail: (RollingCounts, RollingCounts),
    /// What another member of the fleet still sees.
    elsewhere: Vec<Arc<str>>,
    engine: Engine,
    watch: Watch,
    pages: Vec<(IncidentId, u32)>,
    generation: u64,
}

/// What every breaker of the simulation has, but for what is told otherwise.
pub fn breaker_policy(open_for: Duration) -> BreakerPolicy {
    BreakerPolicy {
        failures: NonZeroU32::new(3),
        failure_rate: None,
        min_requests: 10,
        dedup_window: Duration::ZERO,
        open_for,
        ramp: Duration::ZERO,
        ..BreakerPolicy::default()
    }
}

/// Ladders of several steps, some in working hours only, contacts with several channels, and ends that are soon let go of.
pub fn policy() -> EnginePolicy {
    let mut policy = EnginePolicy { keep: Duration::from_secs(60), ..EnginePolicy::default() };
    for (ladder, first) in policy.escalation.ladders.iter_mut().zip([60, 30, 10, 0]) {
        let step = |after: u64, name: &str| LadderStep {
            after: Duration::from_secs(after),
            contacts: vec![name.to_owned()],
        };
        ladder.steps = vec![step(first, "team_lead"), step(first + 20, "cto"), step(first + 40, "on_call")];
        (ladder.again_every, ladder.again_at_most) = (Duration::from_secs(45), 3);
    }
    policy.escalation.ladders[0].hours = Some(Calendar::weekdays(9, 17));
    for contact in &mut policy.escalation.contacts {
        contact.channels = vec!["pager".to_owned(), "chat".to_owned()];
    }
    policy
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let origin = Instant::now();
        let upstreams = NAMES
            .iter()
            .map(|name| Upstream {
                reading: UpstreamReading::unseen(Arc::from(*name)),
                breaker: Breaker::new(breaker_policy(Duration::from_secs(15 + dice.below(30))), seed, origin),
                trail: RollingCounts::new(START),
                bad: 0.0,
                per_second: 1 + dice.below(20),
                since: START,
                state: BreakerState::Closed,
            })
            .collect();
        let engine = Engine::new(policy(), Arc::from("sim#0"), seed, START);
        Self {
            dice,
            origin,
            now: START,
            ahead: 0,
            upstreams,
            route: RollingCounts::new(START),
            cpu: 0.3,
            slow: (0.0, 0.0),
            slow_trail: (RollingCounts::new(START), RollingCounts::new(START)),
            elsewhere: Vec::new(),
            engine,
            watch: Watch::default(),
            pages: Vec::new(),
            generation: 0,
        }
    }

    /// Seconds of weather.
    pub fn length(&mut self) -> u64 {
        60 + self.dice.below(300)
    }

    pub fn step(&mut self) {
        let whole =
            Duration::from_millis(1_000 + if self.dice.chance(0.02) { self.dice.below(2_500) } else { 0 });
        self.now = self.now + whole;
        self.weather();
        if self.dice.chance(0.004) {
            self.set_clock();
        }
        if self.dice.chance(0.08) {
            self.operator();
        }
        self.deliveries();
        if self.dice.chance(0.003) {
            self.restart();
        }
        self.second();
    }

    /// Fair weather until everything that evidence has opened is over.
    pub fn calm_down(&mut self) {
        for upstream in &mut self.upstreams {
            upstream.bad = 0.0;
        }
        (self.cpu, self.slow) = (0.3, (0.0, 0.0));
        self.elsewhere.clear();
        for _ in 0..3_600 {
            self.now = self.now + Duration::from_secs(1);
            self.deliveries();
            self.second();
            if self.engine.alerts().next().is_none() {
                break;
            }
        }
        let left: Vec<_> = self.engine.alerts().collect();
        assert!(left.is_empty(), "an hour of fair weather ends every alert: {left:#?}");
        let left: Vec<_> = self.engine.incidents().filter(|one| one.state.is_live()).collect();
        assert!(left.iter().all(|one| one.signals.is_empty()), "only what a person opened is left: {left:?}");
    }

    /// The clock of the machine, which nobody sets.
    fn steady(&self) -> At {
        self.now.moved(-self.ahead)
    }

    fn another_clock(&mut self) -> i64 {
        let by = self.dice.below(7_200_000) as i64 - 3_600_000;
        (self.now, self.ahead) = (self.now.moved(by), self.ahead + by);
        by
    }

    /// Somebody sets the clock, or the machine has slept.
    fn set_clock(&mut self) {
        let by = self.another_clock();
        let cause =
            if by > 0 && self.dice.chance(0.3) { steps::StepCause::Slept } else { steps::StepCause::Set };
        let effects = self.engine.step(steps::ClockStep { by, cause }, self.now);
        self.take(effects, None);
        for one in self.engine.incidents().filter(|one| one.state.is_live()) {
            assert!(one.newest() <= self.now, "it lies in the future: {one:#?}");
        }
    }

    fn weather(&mut self) {
        if self.dice.chance(0.02) {
            let bad = self.dice.one_of(&[0.0, 0.0, 0.0, 0.05, 0.5, 1.0]);
            let storm = self.dice.chance(0.1);
            let hit = self.dice.below(self.upstreams.len() as u64) as usize;
            for (n, upstream) in self.upstreams.iter_mut().enumerate() {
                if storm || n == hit {
                    upstream.bad = if storm { 1.0 } else { bad };
                }
            }
        }
        if self.dice.chance(0.05) {
            for upstream in &mut self.upstreams {
                if self.dice.chance(0.4) {
                    upstream.bad = 0.0;
                }
            }
        }
        if self.dice.chance(0.01) {
            self.slow = self.dice.one_of(&[(0.0, 0.0), (0.0, 0.0), (0.03, 0.0), (0.3, 0.2)]);
        }
        if self.dice.chance(0.01) {
            let live =
                self.engine.incidents().filter(|one| one.state.is_live()).map(|one| Arc::clone(&one.dedup));
            self.elsewhere = live.collect();
        } else if self.dice.chance(0.02) {
            self.elsewhere.clear();
        }
        if self.dice.chance(0.01) {
            self.cpu = self.dice.one_of(&[0.3, 0.5, 0.85, 0.93, 0.99]);
        }
    }

    /// One second of traffic, then one look.
    fn second(&mut self) {
        let steady = self.steady();
        let instant = self.origin + steady.since(START);
        let mut replies = Counts::default();
        let mut blamed = Vec::new();
        for upstream in &mut self.upstreams {
            let (counts, refused) = upstream.serve(&mut self.dice, steady, instant);
            upstream.reading.counts = upstream.trail.count(counts, steady);
            replies = replies.plus(counts).plus(Counts { good: 0, bad: refused });
            blamed.push((Arc::clone(&upstream.reading.name), counts.bad + refused));
        }
        let readings = self.readings(replies, blamed);
        let effects = self.engine.tick(&readings, self.now);
        for effect in &effects {
            if let Effect::Save(incident) = effect
                && incident.ending == Some(Ending::Recovered)
            {
                self.is_really_over(incident);
            }
        }
        self.take(effects, None);
    }

    /// Resolved by evidence: then the world itself must be well, as far as the incident is about it.
    fn is_really_over(&self, incident: &Incident) {
        assert!(!self.elsewhere.contains(&incident.dedup), "resolved while another member still sees it");
        for signal in incident.signals.iter().filter(|signal| signal.confirmed.is_some()) {
            let Some(upstream) = self.upstreams.iter().find(|one| one.reading.name == signal.key.service)
            else {
                continue;
            };
            let (rule, state) = (signal.key.rule, upstream.breaker.state());
            let well = (rule != Rule::ServiceDown || upstream.reading.consecutive_failures == 0)
                && (rule != Rule::Breaker || state == BreakerState::Closed);
            // It may have come back meanwhile, as part of another incident.
            let elsewhere = self.engine.alerts().any(|(key, _, id)| *key == signal.key && *id != incident.id);
            assert!(well || elsewhere, "{signal:?}");
        }
    }

    fn readings(&mut self, replies: Counts, blamed: Vec<(Arc<str>, u64)>) -> Readings {
        let steady = self.steady();
        let counts = self.route.count(replies, steady);
        let mut slow = |share: f64| (0..replies.total()).filter(|_| self.dice.chance(share)).count() as u64;
        let (warn, alert) = (slow(self.slow.0), slow(self.slow.1));
        let counted = |bad: u64| Counts { good: 0, bad };
        let warn = self.slow_trail.0.count(counted(warn.max(alert)), steady);
        let alert = self.slow_trail.1.count(counted(alert), steady);
        let over = |all: Counts, warn: Counts, alert: Counts| Over {
            total: all.total(),
            warn: warn.bad,
            alert: alert.bad,
        };
        let p99 =
            SlowCounts { m1: over(counts.m1, warn.m1, alert.m1), m5: over(counts.m5, warn.m5, alert.m5) };
        let none = Counts::default();
        let calm = SlowCounts { m1: over(counts.m1, none, none), m5: over(counts.m5, none, none) };
        let route = RouteReading {
            class: Arc::from("web"),
            counts,
            blamed,
            p50: calm,
            p95: calm,
            p99,
            ..RouteReading::default()
        };
        let cpu = ResourceReading {
            what: Resource::Cpu,
            which: Arc::from(""),
            used: (!self.dice.chance(0.01)).then_some(self.cpu),
            sampled: At(self.now.0 - self.now.0 % 5_000),
            source: "simulation".to_owned(),
        };
        Readings {
            local: Some(LocalMinute((self.now.minute() % 10_080) as u16)),
            backend: Some(Arc::from("api")),
            upstreams: self.upstreams.iter().map(|upstream| upstream.reading.moved(self.ahead)).collect(),
            routes: vec![route],
            resources: vec![cpu],
            elsewhere: self.elsewhere.clone(),
            ..Readings::default()
        }
    }

    fn take(&mut self, effects: Vec<Effect>, by_force: Option<&IncidentId>) {
        for effect in &effects {
            if let Effect::Page(page) = effect {
                self.pages.push((page.incident.clone(), page.number));
            }
        }
        self.watch.see(&self.engine, &effects, by_force, self.now);
    }

    fn order(&mut self, command: Command) {
        let resolve =
            if let Command::Resolve { id, force, .. } = &command { Some((id.clone(), *force)) } else { None };
        let held = resolve.as_ref().is_some_and(|(id, _)| self.engine.holds(id));
        let asked = resolve.as_ref().is_some_and(|(_, force)| *force == Force::Asked);
        let forced = resolve.filter(|(_, force)| *force == Force::Forced).map(|(id, _)| id);
        let (done, effects) = self.engine.command(command, self.now);
        assert!(!(asked && held && done.is_ok()), "resolved while it held, unforced");
        assert!(done.is_ok() || effects.is_empty(), "refused, and yet: {effects:?}");
        self.take(effects, forced.as_ref());
    }

    fn order_silence(&mut self, command: SilenceCommand) {
        let (done, effects) = self.engine.silence(command, self.now);
        assert!(done.is_ok() || effects.is_empty(), "refused, and yet: {effects:?}");
        self.take(effects, None);
    }

    fn operator(&mut self) {
        let all: Vec<&Incident> = self.engine.incidents().collect();
        let pick = self.dice.below(all.len().max(1) as u64) as usize;
        let id = all.get(pick).map(|one| one.id.clone()).unwrap_or_else(|| IncidentId::of(0, 0));
        let actor = "ada".to_owned();
        let command = match self.dice.below(12) {
            0 | 1 => Command::Ack { id, actor },
            2 => Command::Note { id, actor, text: "looking".to_owned() },
            3 => Command::Assign { id, actor, to: "bo".to_owned() },
            4 => {
                let severity = self.dice.one_of(&Severity::ALL);
                Command::Rate { id, actor, severity, reason: "I know it".to_owned() }
            }
            5 => Command::Act { id, actor: None, what: "restart".to_owned(), evidence: Vec::new() },
            6 | 7 => {
                let force = self.dice.one_of(&[Force::Asked, Force::Forced]);
                Command::Resolve { id, actor, reason: "enough".to_owned(), force }
            }
            8..=10 => {
                let silence = self.silence(actor);
                return self.order_silence(SilenceCommand::Begin(silence));
            }
            _ if self.dice.chance(0.3) => {
                let severity = self.dice.one_of(&Severity::ALL);
                Command::Open { actor, title: "Test incident".to_owned(), severity, service: String::new() }
            }
            _ => {
                let numbers: Vec<u64> = self.engine.silences().iter().map(|one| one.number).collect();
                let number = if numbers.is_empty() { 0 } else { self.dice.one_of(&numbers) };
                return self.order_silence(SilenceCommand::End { number, actor });
            }
        };
        self.order(command);
    }

    fn silence(&mut self, actor: String) -> Silence {
        let value = self.dice.one_of(&NAMES).to_owned();
        Silence {
            number: 0,
            purpose: self.dice.one_of(&[Purpose::Silence, Purpose::Maintenance]),
            matchers: vec![Matcher { label: Label::Service, is: Comparison::Is, value }],
            from: self.now,
            until: self.now + Duration::from_secs(30 + self.dice.below(300)),
            actor,
            reason: "planned".to_owned(),
        }
    }

    fn deliveries(&mut self) {
        for (id, number) in std::mem::take(&mut self.pages) {
            if self.dice.chance(0.8) {
                self.pages.push((id, number)); // still under way
                continue;
            }
            let arrived = if self.dice.chance(0.3) { Arrived::No } else { Arrived::Yes };
            self.order(Command::Delivered { id, number, arrived, detail: String::new() });
        }
    }

    /// The process dies; the store has every incident as it was saved last.
    fn restart(&mut self) {
        self.generation += 1;
        self.now = self.now + Duration::from_secs(self.dice.below(40));
        let saved = self.watch.saved();
        let silences = self.engine.silences().to_vec();
        if self.dice.chance(0.3) {
            self.another_clock();
        }
        let source = Arc::from(format!("sim#{}", self.generation));
        self.engine = Engine::new(policy(), source, self.dice.draw(), self.now);
        let live = |engine: &Engine| engine.incidents().filter(|one| one.state.is_live()).count();
        let before = saved.iter().filter(|one| one.state.is_live()).count();
        let effects = self.engine.restore(saved, silences, self.now);
        assert_eq!(live(&self.engine), before, "a restart ends nothing");
        self.take(effects, None);
    }
}

impl Upstream {
    /// One second of requests through the breaker: what came of them, and how many it refused.
    fn serve(&mut self, dice: &mut Dice, now: At, instant: Instant) -> (Counts, u64) {
        let mut counts = Counts::default();
        let mut refused = 0;
        for _ in 0..self.per_second {
            let draw = dice.draw();
            let Ok(ticket) = self.breaker.admit(PermitRequest::SAFE, instant, draw).0 else {
                refused += 1;
                continue;
            };
            let bad = dice.chance(self.bad);
            let verdict = if bad { Verdict::Bad(BadReason::Status) } else { Verdict::Good };
            let _ = self.breaker.settle(ticket, &ExchangeEvidence::of(verdict, instant), instant);
            let reading = &mut self.reading;
            if bad {
                counts.bad += 1;
                reading.consecutive_failures += 1;
                reading.failing_since.get_or_insert(now);
                reading.last_failure = Some(now);
            } else {
                counts.good += 1;
                reading.consecutive_failures = 0;
                reading.failing_since = None;
                reading.last_success = Some(now);
            }
        }
        let state = self.breaker.state();
        if state != self.state {
            (self.state, self.since) = (state, now);
        }
        let open_for = Duration::from_secs(30);
        self.reading.breaker = Some(BreakerReading { state, since: self.since, open_for, held: false });
        (counts, refused)
    }
}
