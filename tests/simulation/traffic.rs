//! One upstream under traffic: endpoints, deploys, reused connections, bad routes, clients and endpoints, outages.
//!
//! Exchanges overlap in virtual time; the pure parts are put together as the proxy puts them together.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use strop::reliability::balance::{self, Rank};
use strop::reliability::breaker::{
    Ask, Breaker, BreakerPolicy, BreakerState, Evidence, Fitness, Hold, Mode, Ticket,
};
use strop::reliability::outlier::{Outlier, Room};
use strop::reliability::party::{Blame, LATELY, Lately, Party};
use strop::reliability::retry::{self, Attempts, Next, Repeatable, RetryPolicy, Sent};
use strop::reliability::verdict::{Failure, JudgePolicy, Outcome, Verdict, Why};
use strop::units::Percent;

use crate::dice::Dice;

/// What is the matter in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// One endpoint after the other restarts; connections end first (`kill` false) or in the middle of an exchange.
    Deploy { kill: bool },
    /// Connections that had been idle turn out to be closed; some requests are said not to be processed.
    Idle,
    /// Route 0 answers 500.
    Route,
    /// Client 0 gets nothing but errors.
    Client,
    /// Endpoint 0 answers 500.
    Endpoint,
    /// Nothing works from second 10 to second 30.
    Outage(Why),
    /// An operator holds it open for a while.
    Operator,
}

const OUTAGE: std::ops::Range<u64> = 10..30;
const OPEN_FOR: Duration = Duration::from_secs(5);

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
    answered: u32,
}

pub struct Traffic {
    dice: Dice,
    weather: Weather,
    start: Instant,
    now: Instant,
    endpoints: Vec<Endpoint>,
    breaker: Breaker,
    mode: Mode,
    posts: bool,
    good: [HashMap<u32, Instant>; 2],
    events: BTreeMap<(Instant, u64), Exchange>,
    number: u64,
    pub failed_gets: u32,
    pub refused: u32,
    opened: Option<Instant>,
}

fn few(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).expect("not zero")
}

fn policy(mode: Mode) -> BreakerPolicy {
    BreakerPolicy {
        mode,
        failures: Some(few(3)),
        failure_rate: Some(Percent::of(50)),
        slow_rate: None,
        window: Duration::from_secs(10),
        min_requests: 20,
        lump: Duration::from_secs(1),
        open_for: OPEN_FOR,
        open_for_max: Duration::from_secs(300),
        successes: few(2),
        probes: few(1),
        probe_timeout: Duration::from_secs(10),
        ramp: Duration::ZERO,
    }
}

impl Traffic {
    pub fn new(seed: u64, mode: Mode) -> Self {
        let mut dice = Dice::new(seed);
        let outages = [Why::Connect, Why::Reset, Why::Status, Why::Timeout];
        let weather = match dice.below(8) {
            0 => Weather::Deploy { kill: false },
            1 => Weather::Deploy { kill: true },
            2 => Weather::Idle,
            3 => Weather::Route,
            4 => Weather::Client,
            5 => Weather::Endpoint,
            6 => Weather::Outage(dice.one_of(&outages)),
            _ => Weather::Operator,
        };
        let several = matches!(weather, Weather::Deploy { .. } | Weather::Endpoint);
        let n = if several { 2 + dice.below(4) } else { 1 + dice.below(4) };
        let start = Instant::now();
        let posts = matches!(weather, Weather::Outage(_)) && dice.chance(0.3);
        Self {
            posts,
            weather,
            start,
            now: start,
            endpoints: (0..n).map(|_| Endpoint { up: true, ..Endpoint::default() }).collect(),
            breaker: Breaker::new(policy(mode), seed, start),
            mode,
            good: [HashMap::new(), HashMap::new()],
            events: BTreeMap::new(),
            number: 0,
            failed_gets: 0,
            refused: 0,
            opened: None,
            dice,
        }
    }

    /// A minute: a request each 5 to 45 ms.
    pub fn run(&mut self) {
        let mut next = self.start;
        let end = self.start + Duration::from_secs(60);
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
                    self.change();
                    self.begin();
                }
            }
            self.check();
        }
        self.judge();
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
            Weather::Operator if second == 20 && self.opened.is_none() => {
                self.opened = Some(self.now);
                let until = self.now + Duration::from_secs(5);
                let state = BreakerState::Open;
                let hold = Hold { state, reason: String::new(), actor: String::new(), until };
                self.breaker.hold(hold, self.now);
            }
            Weather::Operator
            | Weather::Idle
            | Weather::Route
            | Weather::Client
            | Weather::Endpoint
            | Weather::Outage(_) => {}
        }
    }

    /// What is in flight there ends now, by a reset.
    fn kill(&mut self, at: usize) {
        let keys: Vec<_> =
            self.events.iter().filter(|(_, e)| e.at == at && !e.waits).map(|(key, _)| *key).collect();
        for key in keys {
            if let Some(mut exchange) = self.events.remove(&key) {
                exchange.outcome = Outcome::Failed(Failure::of(Why::Reset, Sent::Maybe));
                self.number += 1;
                self.events.insert((self.now, self.number), exchange);
            }
        }
    }

    fn begin(&mut self) {
        let party = Party { client: self.dice.below(5) as u32, route: self.dice.below(4) as u32 };
        let get = !self.posts && (self.dice.chance(0.8) || matches!(self.weather, Weather::Deploy { .. }));
        let fitness = if get { Fitness::Safe } else { Fitness::Whole };
        let usual = Some(Duration::from_millis(50));
        let draw = self.dice.draw();
        match self.breaker.admit(Ask { fitness, usual }, self.now, draw).0 {
            Err(_) => self.refused += 1,
            Ok(ticket) => {
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
        let (outcome, took) = self.what_comes(&exchange);
        exchange.outcome = outcome;
        self.endpoints[at].in_flight += 1;
        self.number += 1;
        self.events.insert((self.now + took, self.number), exchange);
    }

    fn what_comes(&mut self, exchange: &Exchange) -> (Outcome, Duration) {
        let failed = |why, sent| Outcome::Failed(Failure::of(why, sent));
        let took = Duration::from_millis(10 + self.dice.below(100));
        let soon = Duration::from_millis(1);
        let fresh = exchange.attempts.made > 1;
        if !self.endpoints[exchange.at].up {
            return (failed(Why::Connect, Sent::Nothing), soon);
        }
        let mut status = 200;
        let served = self.second() >= 3;
        match self.weather {
            Weather::Idle if !fresh && self.dice.chance(0.3) => {
                let refused = self.dice.chance(0.5);
                let stale = Failure { reused: true, ..Failure::of(Why::Reset, Sent::Maybe) };
                let failure = if refused { Failure::of(Why::Reset, Sent::Refused) } else { stale };
                return (Outcome::Failed(failure), soon);
            }
            // Who fails before anybody was ever served is all there is.
            Weather::Route if exchange.party.route == 0 && served => status = 500,
            Weather::Client if exchange.party.client == 0 && served => status = 500,
            Weather::Endpoint if exchange.at == 0 && served => status = 500,
            Weather::Outage(why) if OUTAGE.contains(&self.second()) => match why {
                Why::Status => status = 500,
                Why::Connect => return (failed(why, Sent::Nothing), soon),
                Why::Timeout => return (failed(why, Sent::Maybe), Duration::from_secs(2)),
                Why::Reset | Why::Tls | Why::Protocol => return (failed(Why::Reset, Sent::Maybe), soon),
            },
            Weather::Deploy { .. }
            | Weather::Idle
            | Weather::Route
            | Weather::Client
            | Weather::Endpoint
            | Weather::Outage(_)
            | Weather::Operator => {}
        }
        (Outcome::Answered { status, retry_after: None, grpc: None, took }, took)
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
        self.endpoints[at].answered += u32::from(self.is_in(at));
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
        let failed = retry::Failed {
            sent: failure.sent,
            unconnected: failure.why == Why::Connect,
            reset: failure.why == Why::Reset,
            reused: failure.reused,
            another: (0..self.endpoints.len()).any(|other| !exchange.tried.contains(&other)),
        };
        let request = Repeatable { safe: exchange.get, idempotent: exchange.get, whole: true };
        let draw = self.dice.draw();
        let next = exchange.attempts.next(&RetryPolicy::default(), failed, request, self.now, draw);
        assert!(exchange.get || failed.sent != Sent::Maybe || next == Next::Stop, "a write is never doubled");
        match next {
            Next::Stop => self.settle(exchange, verdict, blame),
            Next::Now => {
                exchange.free += 1;
                assert!(exchange.free <= 2, "two free repetitions at most");
                self.attempt(exchange);
            }
            Next::Paid(wait) | Next::Wait(wait) => {
                exchange.waits = true;
                self.number += 1;
                self.events.insert((self.now + wait, self.number), exchange);
            }
        }
    }

    fn observe(&mut self, at: usize, verdict: Verdict, blame: &Blame, others: usize) {
        let (of, draw, now) = (self.endpoints.len(), self.dice.draw(), self.now);
        let outlier = &mut self.endpoints[at].outlier;
        match verdict {
            _ if of < 2 => {}
            Verdict::Good | Verdict::Slow => outlier.good(now),
            Verdict::Bad(why) => {
                let ejected = outlier.bad(why, blame, Room { of, others }, now, draw);
                assert!(ejected.is_none() || others > 0, "the last endpoint in rotation is never ejected");
                // What was in flight when it began to be bad is over by then.
                let settled = (now - self.start).as_secs() >= 5;
                let one_sided = matches!(self.weather, Weather::Route | Weather::Client) && settled;
                assert!(ejected.is_none() || !one_sided, "{:?} ejects nobody", self.weather);
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
            Weather::Outage(_) => true,
            Weather::Deploy { .. } | Weather::Idle | Weather::Operator => false,
        };
        if exchange.get && !verdict.is_good() && !excused {
            self.failed_gets += 1;
        }
        let evidence = Evidence { blame, ..Evidence::of(verdict, exchange.began) };
        let moved = self.breaker.settle(exchange.ticket, &evidence, self.now);
        assert!(moved.is_none() || !matches!(verdict, Verdict::Inconclusive(_)), "no evidence moves nothing");
        if moved.is_some_and(|moved| moved.to == BreakerState::Open) {
            self.opened.get_or_insert(self.now);
        }
    }

    fn check(&mut self) {
        let real = matches!(self.weather, Weather::Outage(_) | Weather::Operator);
        if !real {
            assert_eq!(self.breaker.view(self.now).trips, 0, "{:?} is no outage", self.weather);
        }
        if self.mode != Mode::On && self.weather != Weather::Operator {
            assert_eq!((self.breaker.state(), self.refused), (BreakerState::Closed, 0), "{:?}", self.mode);
        }
    }

    /// What must be so at the end.
    fn judge(&mut self) {
        assert_eq!(self.failed_gets, 0, "{:?} with {} endpoints", self.weather, self.endpoints.len());
        let real = matches!(self.weather, Weather::Outage(_) | Weather::Operator);
        assert!(real || self.refused == 0, "{:?} refuses nobody", self.weather);
        assert_eq!(self.breaker.state(), BreakerState::Closed, "{:?} is over", self.weather);
        if let (Weather::Outage(why), Mode::On) = (self.weather, self.mode) {
            let opened = self.opened.expect("an outage opens it");
            // Three events a second apart; a timeout is known two seconds later.
            assert!(
                opened - self.start <= Duration::from_secs(16),
                "{why:?} after {:?}",
                opened - self.start
            );
        }
        if self.weather == Weather::Endpoint {
            let answered = self.endpoints[0].answered;
            assert!(self.endpoints[0].outlier.times() > 0, "it is out after {answered}");
        }
    }
}

/// One seed in every mode.
pub fn run(seed: u64) {
    for mode in Mode::ALL {
        Traffic::new(seed, mode).run();
    }
}
