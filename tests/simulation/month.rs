//! A month of ordinary life, and one route that is really broken: who is called, compared with a list.
//!
//! Vendors are silent all night, a deploy is ten seconds of 502 each day, an operator holds a breaker for a night's
//! maintenance, one client gets nothing but errors for days. None of that calls anybody. From the tenth day on one route
//! always answers 500: that is its own incident, by its own ladder.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use strop::reliability::breaker::{
    Breaker, BreakerPolicy, BreakerState, ExchangeEvidence, Hold, Mode, PermitRequest,
};
use strop::reliability::counts::{Counts, RollingCounts};
use strop::reliability::engine::{Effect, Engine, EnginePolicy};
use strop::reliability::incident::State;
use strop::reliability::party::Party;
use strop::reliability::reach::{Met, Noise};
use strop::reliability::readings::{
    BreakerReading, FailureScope, Over, PaymentReading, Readings, RouteReading, SlowCounts, UpstreamReading,
};
use strop::reliability::rule::Severity;
use strop::reliability::verdict::{BadReason, Verdict};
use strop::units::At;

use crate::dice::Dice;
use crate::world::breaker_policy;

/// A midnight.
const START: At = At(1_800_000_000_000 - 1_800_000_000_000 % 86_400_000);
const DAY: u64 = 86_400;
const HOUR: u64 = 3_600;
/// Seconds of a day: the deploy, and the time in which each second is looked at.
const DEPLOY: std::ops::Range<u64> = 14 * HOUR..14 * HOUR + 10;
const CLOSELY: std::ops::Range<u64> = 14 * HOUR - 10..14 * HOUR + 400;
/// Seconds between two looks otherwise.
const COARSE: u64 = 60;
/// Days with the noisy client, and from which on the route is broken.
const NOISY: std::ops::Range<u64> = 3..8;
const BROKEN: u64 = 10;
const MAINTENANCE: u64 = 6 * DAY + 2 * HOUR;

struct Upstream {
    reading: UpstreamReading,
    breaker: Breaker,
    trail: RollingCounts,
    met: Met,
}

struct Route {
    name: &'static str,
    fingerprint: u32,
    trail: RollingCounts,
    noise: Noise,
    good_of_minute: u64,
}

struct Month {
    engine: Engine,
    dice: Dice,
    origin: Instant,
    /// Since the start.
    second: u64,
    upstreams: Vec<Upstream>,
    routes: Vec<Route>,
    payments: (RollingCounts, RollingCounts),
}

/// What one look brings of one upstream or route.
#[derive(Default)]
struct Brought {
    counts: Counts,
    failed: Vec<Party>,
    served: Vec<Party>,
}

fn upstream(name: &str, mode: Mode, origin: Instant) -> Upstream {
    let policy = BreakerPolicy {
        mode,
        min_requests: 20,
        dedup_window: Duration::from_secs(1),
        ..breaker_policy(Duration::from_secs(30))
    };
    Upstream {
        reading: UpstreamReading::unseen(Arc::from(name)),
        breaker: Breaker::new(policy, 7, origin),
        trail: RollingCounts::new(START),
        met: Met::default(),
    }
}

/// Day, service, contact.
type Called = (u64, String, String);

impl Month {
    fn new(seed: u64) -> Self {
        let origin = Instant::now();
        let mut backend = upstream("api", Mode::Shadow, origin);
        backend.reading.beside = true;
        backend.reading.failed_probes = Some(0);
        let vendors = ["stripe", "twilio", "sendgrid"].map(|name| upstream(name, Mode::On, origin));
        let route = |name| Route {
            name,
            fingerprint: Party::named(name),
            trail: RollingCounts::new(START),
            noise: Noise::new(START),
            good_of_minute: 0,
        };
        Self {
            engine: Engine::new(EnginePolicy::default(), Arc::from("month"), seed, START),
            dice: Dice::new(seed),
            origin,
            second: 0,
            upstreams: std::iter::once(backend).chain(vendors).collect(),
            routes: ["web", "bookings"].map(route).into(),
            payments: (RollingCounts::new(START), RollingCounts::new(START)),
        }
    }

    fn now(&self) -> At {
        START + Duration::from_secs(self.second)
    }

    /// Runs to the end; what was called, and what was ever confirmed.
    fn run(mut self, days: u64) -> (Vec<Called>, BTreeSet<(String, Severity)>) {
        let (mut calls, mut confirmed) = (Vec::new(), BTreeSet::new());
        while self.second < days * DAY {
            let closely = CLOSELY.contains(&(self.second % DAY));
            self.second += if closely { 1 } else { COARSE };
            for effect in self.look() {
                match effect {
                    Effect::Page(page) => {
                        let service =
                            self.engine.incident(&page.incident).map(|one| one.key.service.to_string());
                        let service = service.unwrap_or_default();
                        calls.extend(
                            page.contacts
                                .into_iter()
                                .map(|contact| (self.second / DAY, service.clone(), contact)),
                        );
                    }
                    Effect::Save(one) if one.state == State::Open => {
                        confirmed.insert((one.key.service.to_string(), one.severity));
                    }
                    _ => {}
                }
            }
        }
        (calls, confirmed)
    }

    fn look(&mut self) -> Vec<Effect> {
        let (day, time) = (self.second / DAY, self.second % DAY);
        let deploys = DEPLOY.contains(&time);
        let mut backend = Brought::default();
        let mut routes = Vec::new();
        for at in 0..self.routes.len() {
            let brought = self.ask(at, day, deploys);
            backend.counts = backend.counts.plus(brought.counts);
            backend.failed.extend(&brought.failed);
            backend.served.extend(&brought.served);
            routes.push(self.route(at, &brought));
        }
        self.maintain();
        self.learn(0, &backend, deploys);
        for at in 1..self.upstreams.len() {
            let brought = self.vendor(at, time);
            self.learn(at, &brought, false);
        }
        let readings = Readings {
            backend: Some(Arc::from("api")),
            upstreams: self.upstreams.iter().map(|one| one.reading.clone()).collect(),
            routes,
            payments: vec![self.payment()],
            ..Readings::default()
        };
        self.engine.tick(&readings, self.now())
    }

    /// Requests of a route: of three clients, and of a noisy one.
    fn ask(&mut self, at: usize, day: u64, deploys: bool) -> Brought {
        let Route { name, fingerprint: route, .. } = self.routes[at];
        let broken = name == "bookings" && day >= BROKEN;
        let mut brought = Brought::default();
        let noisy = name == "web" && NOISY.contains(&day);
        for client in (1..=3).chain(noisy.then_some(66)) {
            let bad = deploys || broken || client == 66 || self.dice.chance(0.0003);
            let party = Party { client, route };
            if bad {
                brought.counts.bad += 1;
                brought.failed.push(party);
            } else {
                brought.counts.good += 4;
                brought.served.push(party);
            }
        }
        brought
    }

    fn route(&mut self, at: usize, brought: &Brought) -> RouteReading {
        let now = self.now();
        let route = &mut self.routes[at];
        let counts = route.trail.count(brought.counts, now);
        route.good_of_minute = counts.m1.good;
        let failed: Vec<(u32, u64)> = brought.failed.iter().map(|party| (party.client, 1)).collect();
        let served: Vec<u32> = brought.served.iter().map(|party| party.client).collect();
        let of_one = route.noise.count(&failed, &served, route.good_of_minute, now);
        let over = |counts: Counts| Over { total: counts.total(), warn: 0, alert: 0 };
        let calm = SlowCounts { m1: over(counts.m1), m5: over(counts.m5) };
        RouteReading {
            class: Arc::from(route.name),
            counts,
            of_one,
            blamed: vec![(Arc::from("api"), counts.m1.bad)],
            p50: calm,
            p95: calm,
            p99: calm,
            ..RouteReading::default()
        }
    }

    /// A vendor is asked now and then by day, and never at night; one request in a thousand fails.
    fn vendor(&mut self, at: usize, time: u64) -> Brought {
        let instant = self.origin + Duration::from_secs(self.second);
        let mut brought = Brought::default();
        if !(6 * HOUR..22 * HOUR).contains(&time) || !self.dice.chance(0.2) {
            let _ = self.upstreams[at].breaker.tick(instant);
            return brought;
        }
        let (bad, draw) = (self.dice.chance(0.001), self.dice.draw());
        let breaker = &mut self.upstreams[at].breaker;
        let Ok(ticket) = breaker.admit(PermitRequest::SAFE, instant, draw).0 else { return brought };
        let verdict = if bad { Verdict::Bad(BadReason::Status) } else { Verdict::Good };
        let _ = breaker.settle(ticket, &ExchangeEvidence::of(verdict, instant), instant);
        let party = Party { client: 1, route: at as u32 };
        if bad {
            (brought.counts.bad, brought.failed) = (1, vec![party]);
        } else {
            (brought.counts.good, brought.served) = (1, vec![party]);
        }
        brought
    }

    /// The guide's two orders, an hour apart, and a hold that is left to expire.
    fn maintain(&mut self) {
        let instant = self.origin + Duration::from_secs(self.second);
        let since = self.second.checked_sub(MAINTENANCE);
        let stripe = &mut self.upstreams[1].breaker;
        let hold = || Hold {
            state: BreakerState::Open,
            reason: "Maintenance window".to_owned(),
            actor: "ada".to_owned(),
            until: instant + Duration::from_secs(2 * HOUR),
        };
        match since {
            Some(since) if since < COARSE => drop(stripe.hold(hold(), instant)),
            Some(since) if (HOUR..HOUR + COARSE).contains(&since) => {
                assert!(stripe.close(false, instant).is_some(), "closed as the guide says");
            }
            Some(since) if (2 * DAY..2 * DAY + COARSE).contains(&since) => drop(stripe.hold(hold(), instant)),
            _ => {}
        }
    }

    /// What the shell would know of an upstream by now.
    fn learn(&mut self, at: usize, brought: &Brought, gone: bool) {
        let (now, origin) = (self.now(), self.origin);
        let instant = origin + Duration::from_secs(self.second);
        let one = &mut self.upstreams[at];
        let reading = &mut one.reading;
        reading.counts = one.trail.count(brought.counts, now);
        if let Some(missed) = &mut reading.failed_probes {
            *missed = if gone { *missed + 1 } else { 0 };
            if !gone {
                (reading.last_success, reading.checked) = (Some(now), Some(now));
            }
        }
        if brought.counts.good > 0 {
            (reading.consecutive_failures, reading.failing_since) = (0, None);
            (reading.last_success, reading.failing) = (Some(now), FailureScope::Connections);
        }
        if brought.counts.bad > 0 {
            reading.consecutive_failures += brought.counts.bad as u32;
            reading.failing_since.get_or_insert(now);
            reading.last_failure = Some(now);
            reading.failing = if gone { FailureScope::Connections } else { FailureScope::Answers };
        }
        one.met.note(&brought.failed, &brought.served, now);
        reading.reach = one.met.reach(now);
        let view = one.breaker.view(instant);
        let since = now - instant.saturating_duration_since(view.since);
        let (state, held) = (view.state, view.hold.is_some());
        reading.breaker = Some(BreakerReading { state, since, open_for: Duration::from_secs(30), held });
    }

    /// Payments by day; three fail in one night, and that is all there are.
    fn payment(&mut self) -> PaymentReading {
        let (now, time) = (self.now(), self.second % DAY);
        let night = (20 * DAY + HOUR..20 * DAY + HOUR + 3 * COARSE).contains(&self.second);
        let by_day = (6 * HOUR..22 * HOUR).contains(&time) && self.dice.chance(0.1);
        let processor = Counts { good: u64::from(by_day), bad: u64::from(night) };
        let declined = by_day && self.dice.chance(0.1);
        let decisions = Counts { good: u64::from(by_day && !declined), bad: u64::from(declined) };
        PaymentReading {
            vendor: Arc::from("stripe"),
            processor: self.payments.0.count(processor, now),
            decisions: self.payments.1.count(decisions, now),
        }
    }
}

#[test]
fn a_month_calls_for_the_broken_route_and_for_nothing_else() {
    let (calls, confirmed) = Month::new(1).run(30);
    // Its own ladder: high after five minutes, again each quarter of an hour, twelve times.
    let expected: Vec<(u64, String, String)> =
        (0..13).map(|_| (BROKEN, "bookings".to_owned(), "engineering_manager".to_owned())).collect();
    assert_eq!(calls, expected);
    assert_eq!(confirmed, BTreeSet::from([("bookings".to_owned(), Severity::High)]));
}
