//! One upstream under traffic: endpoints, deploys, reused connections, bad routes, clients and endpoints, outages.
//!
//! Exchanges overlap in virtual time; the pure parts are put together as the proxy puts them together.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use strop::reliability::balance::{self, Rank};
use strop::reliability::breaker::{
    Breaker, BreakerPolicy, BreakerState, BreakerTransition, Check, ExchangeEvidence, Fitness, Hold, Mode,
    PermitRequest, Ticket, TransitionCause as Cause,
};
use strop::reliability::outlier::{Outlier, Room, Sees};
use strop::reliability::party::{Blame, LATELY, Lately, Party};
use strop::reliability::retry::{self, Attempts, NextAttempt, Repeatable, RetryBudget, RetryPolicy, Sent};
use strop::reliability::verdict::{BadReason, Failure, JudgePolicy, Outcome, Verdict};

use crate::dice::Dice;
use crate::weather::{Asked, OUTAGE, Weather};

/// A probe whose body is yet to come waits so long at most; here all are whole.
const PATIENCE: Duration = Duration::from_secs(1);
/// From one request to the next, and from a request to its answer, at most.
const APART: Duration = Duration::from_millis(45);
const ANSWER: Duration = Duration::from_millis(110);

struct Exchange {
    party: Party,
    get: bool,
    ticket: Ticket,
    attempts: Attempts,
    free: u32,
    tried: Vec<usize>,
    at: usize,
    began: Instant,
    outcome: Outcome,
    /// Waits for its next attempt.
    waits: bool,
}

#[derive(Default)]
struct Endpoint {
    up: bool,
    outlier: Outlier,
    in_flight: u32,
    /// Bad answers before it was first taken out.
    bad: u32,
}

pub struct Traffic {
    dice: Dice,
    weather: Weather,
    start: Instant,
    now: Instant,
    endpoints: Vec<Endpoint>,
    policy: BreakerPolicy,
    breaker: Breaker,
    retry: RetryPolicy,
    budget: RetryBudget,
    /// Only one client asks, and for one thing.
    alone: bool,
    requests: u64,
    /// Requests and paid retries while it is out.
    asked_in_vain: u64,
    paid: u64,
    posts: bool,
    good: [HashMap<u32, Instant>; 2],
    events: BTreeMap<(Instant, u64), Exchange>,
    number: u64,
    failed_gets: u32,
    refused: u32,
    /// When evidence first opened it.
    opened: Option<Instant>,
    /// Until when it was open at last.
    open_until: Option<Instant>,
    /// Openings after the outage was over.
    reopened: u32,
    /// Checks closed it while it was out.
    deceived: u32,
    /// Probes that passed since it moved.
    passed: u32,
    hiccup: bool,
}

impl Traffic {
    pub fn new(seed: u64, mode: Mode) -> Self {
        let mut dice = Dice::new(seed);
        let weather = Weather::drawn(&mut dice);
        let policy = weather.policy(&mut dice, mode);
        let one = weather == Weather::Hiccup(BadReason::Reset);
        let retry = RetryPolicy { attempts: 2 + dice.below(3) as u32, ..RetryPolicy::default() };
        let several = matches!(weather, Weather::Deploy { .. } | Weather::Endpoint);
        let n = match dice.below(4) {
            _ if one => 1,
            more => more + 1 + u64::from(several),
        };
        let start = Instant::now();
        Self {
            posts: weather.is_outage() && dice.chance(0.3),
            alone: weather.is_outage() && dice.chance(0.3),
            weather,
            start,
            now: start,
            endpoints: (0..n).map(|_| Endpoint { up: true, ..Endpoint::default() }).collect(),
            breaker: Breaker::new(policy.clone(), seed, start),
            policy,
            budget: RetryBudget::default(),
            retry,
            requests: 0,
            asked_in_vain: 0,
            paid: 0,
            good: [HashMap::new(), HashMap::new()],
            events: BTreeMap::new(),
            number: 0,
            failed_gets: 0,
            refused: 0,
            opened: None,
            open_until: None,
            reopened: 0,
            deceived: 0,
            passed: 0,
            hiccup: false,
            dice,
        }
    }

    /// A request each 5 to 45 ms.
    pub fn run(&mut self) {
        let mut next = self.start;
        let mut second = 0;
        let end = self.start + Duration::from_secs(self.weather.length());
        while self.now < end {
            let due = self.events.first_key_value().map(|((at, _), _)| *at);
            match due.filter(|at| *at <= next) {
                Some(at) => {
                    self.now = at;
                    if let Some((_, exchange)) = self.events.pop_first() {
                        self.finish(exchange);
                    }
                }
                None => {
                    self.now = next;
                    next += Duration::from_millis(5 + self.dice.below(40));
                    if self.second() > second {
                        second = self.second();
                        self.chores(second);
                    }
                    self.change();
                    if !self.weather.is_silent(second) {
                        self.begin();
                    }
                }
            }
            self.check();
        }
        self.judge();
    }

    /// What the shell does once a second; and now and then a reload, and an operator's order.
    fn chores(&mut self, second: u64) {
        let now = self.now;
        let ticked = self.breaker.tick(now);
        self.moved(ticked);
        if let Some((sees, well)) = self.weather.check(second) {
            let well = if well { Check::Passed } else { Check::Failed };
            let moved = self.breaker.checked(sees, well, now);
            self.moved(moved);
        }
        if self.breaker.wants_connect(now) {
            let refused = self.weather.is_out(second) && self.weather.why() == BadReason::Connect;
            let moved = self.breaker.connected(if refused { Check::Failed } else { Check::Passed }, now);
            self.moved(moved);
        }
        if self.dice.chance(0.05) {
            let before = (self.breaker.generation(), self.breaker.state());
            assert_eq!(self.breaker.reconfigure(self.policy.clone(), now), None);
            assert_eq!((self.breaker.generation(), self.breaker.state()), before, "a reload loses nothing");
        }
        let meddles = match self.weather {
            Weather::Operator => second < 50 && self.dice.chance(0.2),
            Weather::Outage { meddler, .. } => {
                meddler && (second == OUTAGE.start + 3 || second == OUTAGE.end - 2)
            }
            _ => false,
        };
        if meddles {
            self.order();
        }
    }

    fn order(&mut self) {
        let until = self.now + Duration::from_secs(1 + self.dice.below(5));
        let hold = |state| Hold { state, reason: String::new(), actor: String::new(), until };
        let moved = match self.dice.below(5) {
            0 | 1 => Some(self.breaker.hold(hold(BreakerState::Open), self.now)),
            2 => Some(self.breaker.hold(hold(BreakerState::Closed), self.now)),
            3 => self.breaker.close(self.weather == Weather::Operator && self.dice.chance(0.5), self.now),
            _ => self.breaker.release(self.now),
        };
        self.moved(moved);
    }

    /// The breaker moved: may it?
    fn moved(&mut self, moved: Option<BreakerTransition>) {
        let Some(moved) = moved else { return };
        let out = self.weather.is_out(self.second());
        match moved.why {
            Cause::Tripped(_) => {
                let fails = self.weather.is_outage() && self.second() < self.weather.end() + 3;
                assert!(fails, "{:?} opened it in {:?}", moved.why, self.weather);
                self.opened.get_or_insert(self.now);
            }
            Cause::ChecksPassed if out && matches!(self.weather, Weather::Liar(_)) => self.deceived += 1,
            Cause::ChecksPassed | Cause::ProbesPassed => {
                assert!(!out, "{:?} closed it in {:?}", moved.why, self.weather);
                let probes = moved.why != Cause::ProbesPassed || self.passed >= self.policy.successes.get();
                assert!(probes, "{} probes have closed it", self.passed);
            }
            _ => {}
        }
        self.passed = 0;
        let opens =
            !matches!(moved.why, Cause::Operator | Cause::HoldExpired) && moved.to == BreakerState::Open;
        self.reopened += u32::from(opens && self.weather.is_over(self.second()));
        self.open_until = self.breaker.view(self.now).open_until.or(self.open_until);
    }

    fn second(&self) -> u64 {
        (self.now - self.start).as_secs()
    }

    /// What the weather does to endpoints: in a deploy each is away for one second of ten, one after the other.
    fn change(&mut self) {
        let (second, n) = (self.second(), self.endpoints.len() as u64);
        match self.weather {
            Weather::Deploy { kill } => {
                let away = (second % 3 == 1).then_some(second / 3 % n);
                for at in 0..n {
                    let up = away != Some(at);
                    let endpoint = &mut self.endpoints[at as usize];
                    let falls = endpoint.up && !up;
                    endpoint.up = up;
                    if falls && kill {
                        self.kill(at as usize);
                    }
                }
            }
            Weather::Hiccup(why) if !self.hiccup && second == OUTAGE.start => {
                self.hiccup = true;
                let bad = Outcome::Answered { status: 500, retry_after: None, grpc: None, took: ANSWER };
                let broken = Outcome::Failed(Failure::of(why, Sent::Maybe));
                let in_flight = self.events.values_mut().filter(|exchange| !exchange.waits);
                in_flight.for_each(|one| one.outcome = if why == BadReason::Status { bad } else { broken });
            }
            Weather::Stall if second == OUTAGE.start => {
                let stalled = Failure { stalled: true, ..Failure::of(BadReason::Timeout, Sent::Maybe) };
                let in_flight = self.events.values_mut().filter(|exchange| !exchange.waits);
                in_flight.for_each(|exchange| exchange.outcome = Outcome::Failed(stalled));
            }
            _ => {}
        }
    }

    /// What is in flight there ends now, by a reset.
    fn kill(&mut self, at: usize) {
        let keys: Vec<_> =
            self.events.iter().filter(|(_, e)| e.at == at && !e.waits).map(|(key, _)| *key).collect();
        for key in keys {
            if let Some(mut exchange) = self.events.remove(&key) {
                exchange.outcome = Outcome::Failed(Failure::of(BadReason::Reset, Sent::Maybe));
                self.number += 1;
                self.events.insert((self.now, self.number), exchange);
            }
        }
    }

    fn begin(&mut self) {
        let most = self.dice.chance(0.6);
        let (client, route) = (self.dice.below(5) as u32, self.dice.below(4) as u32);
        let client = if most && self.weather == Weather::Client { 0 } else { client };
        let route = if most && self.weather == Weather::Route { 0 } else { route };
        let party = if self.alone { Party::default() } else { Party { client, route } };
        let get = !self.posts && (self.dice.chance(0.8) || matches!(self.weather, Weather::Deploy { .. }));
        let fitness = if get { Fitness::Safe } else { Fitness::Whole };
        let usual = Some(Duration::from_millis(50));
        let draw = self.dice.draw();
        self.requests += 1;
        self.asked_in_vain += u64::from(self.weather.is_out(self.second()));
        let (answer, ticked) = self.breaker.admit(PermitRequest { fitness, usual }, self.now, draw);
        self.moved(ticked);
        match answer {
            Err(_) => self.refused += 1,
            Ok(ticket) => {
                let state = self.breaker.state();
                let fits = state == BreakerState::Closed || ticket.is_probe();
                assert!(fits, "nothing but probes passes while it is {state:?}");
                let outcome = Outcome::ClientGone;
                let (attempts, tried) = (Attempts::default(), Vec::new());
                let began = self.now;
                self.attempt(Exchange {
                    party,
                    get,
                    ticket,
                    attempts,
                    free: 0,
                    tried,
                    at: 0,
                    began,
                    outcome,
                    waits: false,
                });
            }
        }
    }

    fn is_in(&self, at: usize) -> bool {
        self.endpoints[at].outlier.out_until(self.now).is_none()
    }

    fn attempt(&mut self, mut exchange: Exchange) {
        let draw = self.dice.draw();
        let rank = |at: usize| match (exchange.tried.contains(&at), self.is_in(at)) {
            (false, true) => Rank::Good,
            (false, false) => Rank::Out,
            (true, true) => Rank::Tried,
            (true, false) => Rank::TriedOut,
        };
        let cost = |at: usize| f64::from(self.endpoints[at].in_flight + 1);
        let at = balance::pick(rank, cost, self.endpoints.len(), draw).expect("there is one");
        let another = (0..self.endpoints.len()).any(|at| !exchange.tried.contains(&at));
        assert!(!another || !exchange.tried.contains(&at), "a tried endpoint while another is left");
        exchange.attempts.made += 1;
        exchange.at = at;
        exchange.began = self.now;
        exchange.waits = false;
        let (outcome, took) = self.meets(&exchange);
        exchange.outcome = outcome;
        self.endpoints[at].in_flight += 1;
        self.number += 1;
        self.events.insert((self.now + took, self.number), exchange);
    }

    fn meets(&mut self, exchange: &Exchange) -> (Outcome, Duration) {
        if !self.endpoints[exchange.at].up {
            let refused = Failure::of(BadReason::Connect, Sent::Nothing);
            return (Outcome::Failed(refused), Duration::from_millis(1));
        }
        let Party { client, route } = exchange.party;
        let probe = exchange.ticket.is_probe();
        let asked = Asked { client, route, endpoint: exchange.at, first: exchange.attempts.made == 1, probe };
        self.weather.meets(&asked, self.second(), &mut self.dice)
    }

    fn lately(&self, party: Party) -> Lately {
        let since = |at: &Instant| self.now - *at <= LATELY;
        let [clients, routes] = &self.good;
        let another = |map: &HashMap<u32, Instant>, own| map.iter().any(|(who, at)| *who != own && since(at));
        Lately {
            another_client: another(clients, party.client),
            another_route: another(routes, party.route),
            this_client: clients.get(&party.client).copied().filter(since),
            this_route: routes.get(&party.route).copied().filter(since),
        }
    }

    fn finish(&mut self, mut exchange: Exchange) {
        if exchange.waits {
            return self.attempt(exchange);
        }
        let at = exchange.at;
        self.endpoints[at].in_flight -= 1;
        let verdict = JudgePolicy::default().judge(exchange.outcome);
        let others = (0..self.endpoints.len()).filter(|other| *other != at && self.is_in(*other)).count();
        let blame = Blame {
            party: exchange.party,
            endpoint: at as u32,
            lately: self.lately(exchange.party),
            alternatives: others as u32,
        };
        self.observe(at, verdict, &blame, others);
        let Outcome::Failed(failure) = exchange.outcome else { return self.settle(exchange, verdict, blame) };
        exchange.tried.push(at);
        let failed = retry::FailedTry {
            sent: failure.sent,
            unconnected: failure.why == BadReason::Connect,
            reset: failure.why == BadReason::Reset,
            reused: failure.reused,
            another: (0..self.endpoints.len()).any(|other| !exchange.tried.contains(&other)),
        };
        let twice = if exchange.get { retry::Twice::Bare } else { retry::Twice::Harm };
        let (all, draw) = (Repeatable { twice, whole: true }, self.dice.draw());
        let goes_on = self.breaker.generation() == exchange.ticket.generation()
            || self.breaker.state() == BreakerState::Closed;
        if !goes_on {
            return self.settle(exchange, verdict, blame);
        }
        let next = exchange.attempts.next(&self.retry, failed, all, self.now, draw);
        let untaken = failed.sent != Sent::Maybe && exchange.attempts.made == 1;
        assert!(!untaken || matches!(next, NextAttempt::Now(_)), "what was not processed is sent at once");
        let doubled = !exchange.get && failed.sent == Sent::Maybe && next != NextAttempt::Stop;
        assert!(!doubled, "a write is never doubled");
        match next {
            NextAttempt::Stop => self.settle(exchange, verdict, blame),
            NextAttempt::Now(_) => {
                exchange.free += 1;
                assert!(exchange.free <= 2, "two free repetitions at most");
                self.attempt(exchange);
            }
            NextAttempt::Paid(..) if !self.budget.take(&self.retry, self.requests, self.now) => {
                self.settle(exchange, verdict, blame);
            }
            NextAttempt::Paid(wait, _) | NextAttempt::Wait(wait) => {
                let out = self.weather.is_out(self.second());
                self.paid += u64::from(out && matches!(next, NextAttempt::Paid(..)));
                exchange.waits = true;
                self.number += 1;
                self.events.insert((self.now + wait, self.number), exchange);
            }
        }
    }

    fn observe(&mut self, at: usize, verdict: Verdict, blame: &Blame, others: usize) {
        let (of, draw, now) = (self.endpoints.len(), self.dice.draw(), self.now);
        let outlier = &mut self.endpoints[at].outlier;
        let one_sided = matches!(self.weather, Weather::Route | Weather::Client);
        let nobody = matches!(self.weather, Weather::Shortage | Weather::Stall | Weather::Idle);
        match verdict {
            _ if of < 2 => {}
            Verdict::Good | Verdict::Slow => outlier.good(now),
            Verdict::Bad(why) => {
                let ejected = outlier.bad(why, blame, Room { of, others }, now, draw);
                if self.weather == Weather::Endpoint
                    && at == 0
                    && outlier.times() <= u32::from(ejected.is_some())
                {
                    self.endpoints[at].bad += 1;
                }
                let Some(ejected) = ejected else { return };
                assert!(others > 0, "the last endpoint in rotation is never ejected");
                // What was in flight when it began to be bad is over by then.
                let settled = (now - self.start).as_secs() >= 5;
                assert!(!(one_sided && settled || nobody), "{:?} ejects nobody", self.weather);
                let out = (0..of).filter(|at| !self.is_in(*at)).count();
                let answers = !ejected.why.is_connecting() && self.weather.why() == ejected.why;
                assert!(
                    !answers || matches!(self.weather, Weather::Deploy { .. }) || out * 2 <= of,
                    "{out} of {of}"
                );
            }
            Verdict::RateLimited { .. } | Verdict::Inconclusive(_) => {}
        }
    }

    fn settle(&mut self, exchange: Exchange, verdict: Verdict, mut blame: Blame) {
        if exchange.tried.iter().any(|other| *other != exchange.at) {
            blame.alternatives = 0;
        }
        if verdict.is_good() {
            self.good[0].insert(exchange.party.client, self.now);
            self.good[1].insert(exchange.party.route, self.now);
        }
        let excused = match self.weather {
            Weather::Route => exchange.party.route == 0,
            Weather::Client => exchange.party.client == 0,
            Weather::Endpoint => exchange.at == 0,
            Weather::Deploy { .. } | Weather::Idle | Weather::Operator => false,
            _ => true,
        };
        if exchange.get && !verdict.is_good() && !excused {
            self.failed_gets += 1;
        }
        let evidence = ExchangeEvidence { blame, ..ExchangeEvidence::of(verdict, exchange.began) };
        let current = exchange.ticket.generation() == self.breaker.generation();
        self.passed += u32::from(exchange.ticket.is_probe() && verdict.is_good() && current);
        let moved = self.breaker.settle(exchange.ticket, &evidence, self.now);
        assert!(moved.is_none() || !matches!(verdict, Verdict::Inconclusive(_)), "no evidence moves nothing");
        assert!(moved.is_none() || current, "a verdict counts only in the phase that admitted it");
        self.moved(moved);
    }

    fn check(&mut self) {
        let view = self.breaker.view(self.now);
        let held = view.hold.is_some();
        if !self.weather.is_outage() {
            assert_eq!(view.trips, 0, "{:?} is no outage", self.weather);
            let closed = held || view.state == BreakerState::Closed;
            assert!(closed, "{:?} keeps nobody out once no operator does", self.weather);
        }
        if self.policy.mode != Mode::On && !held {
            assert_eq!(view.state, BreakerState::Closed, "{:?}", self.policy.mode);
        }
        let in_flight = self
            .events
            .values()
            .filter(|exchange| exchange.ticket.is_probe() && exchange.ticket.generation() == view.generation);
        assert_eq!(view.probes_in_flight as usize, in_flight.count(), "a slot is held by a probe in flight");
        let half_open = view.shadow_state.unwrap_or(view.state) == BreakerState::HalfOpen;
        if half_open && !held && self.weather.is_out(self.second()) {
            let longest = self.policy.probe_timeout + PATIENCE * 2;
            let lasts = self.now - view.since;
            assert!(lasts <= longest, "half-open for {lasts:?} while nothing works");
        }
        let closed = view.shadow_state.unwrap_or(view.state) == BreakerState::Closed;
        let second = self.second();
        if closed || held || !self.weather.is_over(second) || self.weather == Weather::Slow {
            return;
        }
        // A wait, and then `successes` requests, each as soon as it may be a probe.
        let each = PATIENCE + if self.weather.is_silent(second) { PATIENCE * 2 } else { APART + ANSWER };
        let recovered = self.start + Duration::from_secs(OUTAGE.end);
        let waited = self.open_until.map_or(recovered, |until| until.max(recovered)).max(view.since);
        // A probe that began before may hang until it is late.
        let hangs = if self.weather.why() == BadReason::Timeout { self.policy.probe_timeout } else { ANSWER };
        let due = waited + each * self.policy.successes.get() + hangs;
        assert!(self.now <= due, "{:?}: not closed {:?} after its wait", self.weather, self.now - waited);
        if let Weather::Outage { why, checks: Some(sees), meddler: false } = self.weather
            && sees >= Sees::of(why)
        {
            let checks = u64::from(self.policy.successes.get()) + 1;
            let seen = self.now - view.since.max(recovered);
            assert!(
                seen <= Duration::from_secs(checks) + ANSWER,
                "checks have seen for {seen:?} that it is well"
            );
        }
    }

    /// What must be so at the end.
    fn judge(&mut self) {
        let weather = self.weather;
        assert_eq!(self.failed_gets, 0, "{weather:?} with {} endpoints", self.endpoints.len());
        let real = weather.is_outage() || weather == Weather::Operator;
        let ordered = matches!(weather, Weather::Operator | Weather::Outage { meddler: true, .. });
        let may_refuse = ordered || (real && self.policy.mode == Mode::On);
        assert!(may_refuse || self.refused == 0, "{weather:?} refuses nobody, {:?}", self.policy.mode);
        assert_eq!(self.breaker.state(), BreakerState::Closed, "{weather:?} is over");
        let mode = self.policy.mode;
        let long = weather.is_outage() && weather != Weather::Slow;
        assert!(mode == Mode::Off || !long || self.opened.is_some(), "an outage opens it");
        if let (Weather::Outage { why, meddler: false, .. }, Some(opened)) = (weather, self.opened) {
            // Events at most so far apart, once nobody has been served lately; a timeout is known two seconds later.
            let known = if why == BadReason::Timeout { 2.0 } else { 0.0 } + LATELY.as_secs_f64();
            // By its rate alone: once half of a window of ten seconds is bad.
            let within = known + self.policy.failures.map_or(12.0, |needed| 1.2 * f64::from(needed.get()));
            let took = (opened - self.start).as_secs_f64() - OUTAGE.start as f64;
            assert!(took <= within, "{why:?}: opened {took} s after it began, not within {within}");
        }
        // What failed when it was over had begun before; what comes back slower is let in at the third wait.
        let most = if weather == Weather::Slow { 3 } else { 1 };
        assert!(self.reopened <= most * u32::from(real), "{weather:?}: opened {} times again", self.reopened);
        assert!(self.deceived <= 2, "checks were believed {} times in vain", self.deceived);
        let bad = self.endpoints[0].bad;
        assert!(bad <= 10, "an endpoint is out after 10 bad answers, not {bad}");
        let out = weather != Weather::Endpoint || self.endpoints[0].outlier.times() > 0;
        assert!(out, "it is out");
        let RetryPolicy { budget_percent, min_per_second, .. } = self.retry;
        // What may be saved up for ten seconds, and the outage itself.
        let floor = u64::from(min_per_second) * (10 + OUTAGE.end - OUTAGE.start);
        let share = (self.asked_in_vain + 400) * u64::from(budget_percent) / 100;
        assert!(self.paid <= share + floor, "{} paid of {}", self.paid, self.asked_in_vain);
    }
}

/// One seed in every mode.
pub fn run(seed: u64) {
    for mode in Mode::ALL {
        Traffic::new(seed, mode).run();
    }
}
