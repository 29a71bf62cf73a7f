//! Degradation and failover: an upstream of two groups, each with endpoints, checks and a breaker of its own, real requests, and
//! people who order; in seconds of a virtual clock.

use std::time::{Duration, Instant};

use strop::names::{FeatureName, RouteName};
use strop::reliability::breaker::{
    Breaker, BreakerPolicy, BreakerState, ExchangeEvidence, Fitness, Hold, PermitRequest,
};
use strop::reliability::degradation::{
    DegradationPolicy, Level, LevelOrder, LevelPolicy, RouteClass, Treatment, Trigger,
};
use strop::reliability::failover::{
    BreakerSight, Failover, FailoverOrder, FailoverPolicy, FailoverWhen, Group, GroupSight, Switch,
    SwitchReason,
};
use strop::reliability::verdict::{BadReason, Verdict};
use strop::units::Percent;

use crate::dice::Dice;

const ENDPOINTS: usize = 3;
/// A check sees so many seconds late what an endpoint is.
const LATE: usize = 3;
const SECOND: Duration = Duration::from_secs(1);

/// A group as it really is, and what is seen of it.
struct Place {
    /// By endpoint, the second until which it is away.
    away: [u64; ENDPOINTS],
    /// Until then it passes its checks and fails its requests.
    blind: u64,
    /// Until then its names have no address.
    nameless: u64,
    /// Endpoints that passed, in the last seconds.
    passing: [usize; LATE],
    breaker: Breaker,
}

impl Place {
    fn sight(&mut self, t: u64, now: Instant) -> GroupSight {
        let endpoints = if self.nameless > t { 0 } else { ENDPOINTS };
        let breaker = BreakerSight::of(&self.breaker.view(now));
        GroupSight { endpoints, passing: self.passing[0].min(endpoints), breaker }
    }
}

struct Service {
    dice: Dice,
    start: Instant,
    t: u64,
    first: Place,
    backup: Place,
    policy: FailoverPolicy,
    failover: Failover,
    levels: DegradationPolicy,
    order: Option<LevelOrder>,
    /// For how many looks in a row the first group was well.
    well: u64,
    /// Since when the first group has had no address.
    nameless: Option<u64>,
    returned: Vec<u64>,
    /// When the group in force was put in force, and returns in a row that did not last.
    moved_at: Option<u64>,
    strikes: u32,
    /// An order held at the last look.
    held: bool,
    /// When it was looked at last.
    looked: u64,
    flaps: bool,
}

fn name<T, E: std::fmt::Debug>(made: Result<T, E>) -> T {
    made.expect("it is a name")
}

impl Service {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x0d06_f00d);
        let start = Instant::now();
        let policy = FailoverPolicy {
            when: dice.one_of(&[FailoverWhen::Health, FailoverWhen::Breaker]),
            min_healthy: Percent::of(dice.one_of(&[0, 50, 67])),
            back_after: Duration::from_secs(10 + dice.below(60)),
        };
        let place = |seed: u64| Place {
            away: [0; ENDPOINTS],
            blind: 0,
            nameless: 0,
            passing: [ENDPOINTS; LATE],
            breaker: Breaker::new(BreakerPolicy::default(), seed, start),
        };
        let feature = |text: &str| name(FeatureName::new(text));
        let level = |features: &[&str], shed: &[RouteClass]| LevelPolicy {
            features: features.iter().map(|one| feature(one)).collect(),
            fallback: Vec::new(),
            shed: shed.to_vec(),
        };
        let levels = [
            level(&["a"], &[]),
            level(&["b"], &[RouteClass::Low]),
            level(&[], &[RouteClass::Low, RouteClass::Normal]),
        ];
        let when = Trigger {
            breaker: "first".to_owned(),
            level: name(Level::of(1).ok_or("3 at most")),
            features: vec![feature("c")],
        };
        Self {
            flaps: dice.chance(0.3),
            first: place(seed),
            backup: place(seed.wrapping_add(1)),
            policy,
            failover: Failover::default(),
            levels: DegradationPolicy { levels, when: vec![when] },
            order: None,
            t: 0,
            well: 0,
            nameless: None,
            returned: Vec::new(),
            moved_at: None,
            strikes: 0,
            held: false,
            looked: 0,
            dice,
            start,
        }
    }

    fn now(&self) -> Instant {
        self.start + SECOND * self.t as u32
    }

    fn weather(&mut self) {
        let (dice, t) = (&mut self.dice, self.t);
        for (place, often) in [(&mut self.first, 0.01), (&mut self.backup, 0.004)] {
            if dice.chance(often) {
                let at = dice.below(ENDPOINTS as u64) as usize;
                place.away[at] = t + dice.below(100);
            }
            if dice.chance(often / 4.0) {
                place.away = [t + dice.below(200); ENDPOINTS];
            }
            if dice.chance(often / 4.0) {
                place.blind = t + dice.below(150);
            }
            if dice.chance(often / 8.0) {
                place.nameless = t + dice.below(30);
            }
        }
        // What comes back and falls again as soon as it is called.
        if self.flaps && self.returned.last().is_some_and(|at| at + 1 == t) {
            self.first.away = [t + 8; ENDPOINTS];
        }
    }

    fn people(&mut self) {
        let (now, t) = (self.now(), self.t);
        let until = now + SECOND * (5 + self.dice.below(200)) as u32;
        let (reason, actor) = (String::new(), "ada".to_owned());
        match self.dice.below(1_500) {
            0 => self.failover.set_order(FailoverOrder { reason, actor, until }),
            1 => drop(self.failover.end_order(|_| true)),
            2 => {
                let state = self.dice.one_of(&[BreakerState::Open, BreakerState::Closed]);
                self.first.breaker.hold(Hold { state, reason, actor, until }, now);
            }
            3 | 4 => {
                let level = name(Level::of(self.dice.below(4) as u8).ok_or("3 at most"));
                self.order = Some(LevelOrder { level, reason, actor, since: now, until });
            }
            // The machine stands still.
            5 => self.t = t + 6 + self.dice.below(30),
            _ => {}
        }
    }

    /// Ten requests a second, to the group in force.
    fn requests(&mut self) {
        let (now, t, group) = (self.now(), self.t, self.failover.group());
        for _ in 0..10 {
            let (draw, at) = (self.dice.draw(), self.dice.below(ENDPOINTS as u64) as usize);
            let place = match group {
                Group::First => &mut self.first,
                Group::Backup => &mut self.backup,
            };
            let bad = place.away[at] > t || place.blind > t || place.nameless > t;
            let usual = Some(Duration::from_millis(20));
            let asked = PermitRequest { fitness: Fitness::Whole, usual };
            if let Ok(ticket) = place.breaker.admit(asked, now, draw).0 {
                let verdict = if bad { Verdict::Bad(BadReason::Reset) } else { Verdict::Good };
                place.breaker.settle(ticket, &ExchangeEvidence::of(verdict, now), now);
            }
        }
    }

    fn second(&mut self) {
        self.t += 1;
        let (now, t) = (self.now(), self.t);
        for place in [&mut self.first, &mut self.backup] {
            place.breaker.tick(now);
            let up = place.away.iter().filter(|until| **until <= t).count();
            place.passing.rotate_left(1);
            place.passing[LATE - 1] = up;
        }
        self.requests();
        self.look(now);
        self.degrade(now);
    }

    fn look(&mut self, now: Instant) {
        let (first, backup) = (self.first.sight(self.t, now), self.backup.sight(self.t, now));
        let blind = self.stood_still();
        self.nameless = (first.endpoints == 0).then(|| self.nameless.unwrap_or(self.t));
        let well = first.passing > 0
            && self.policy.min_healthy.reached_by(first.passing as u64, first.endpoints as u64)
            && matches!(first.breaker, BreakerSight::Closed | BreakerSight::HalfOpen);
        let before = self.failover.group();
        let ordered = self.failover.order().is_some_and(|order| order.until > now);
        // What was ordered was ordered for a reason: it counts anew from the order's end.
        let over = std::mem::replace(&mut self.held, ordered) && !ordered;
        let anew = blind || over;
        self.well = match (well, anew) {
            (false, _) => 0,
            (true, true) => 1,
            (true, false) => self.well + 1,
        };
        let moved = self.failover.look(&self.policy, first, backup, now);
        assert_eq!(self.failover.order().is_some(), ordered, "an order ends when it says");
        if let Some(moved) = moved {
            assert_ne!(moved.to, before, "it moves to another group");
            self.moved(moved, first, backup, ordered);
        }
        let lost = self.nameless.is_some_and(|since| self.t - since >= 5);
        let gone = lost || (first.endpoints > 0 && first.passing == 0);
        let stands = backup.passing == ENDPOINTS && backup.breaker == BreakerSight::Closed;
        if gone && stands {
            assert_eq!(self.failover.group(), Group::Backup, "nobody is left in the first group");
        }
        let fine = first.endpoints > 0 && first.passing == ENDPOINTS && first.breaker == BreakerSight::Closed;
        if backup.passing == 0 && fine {
            assert_eq!(self.failover.group(), Group::First, "nobody is left in the backup group");
        }
    }

    /// Was there no look in the seconds before?
    fn stood_still(&mut self) -> bool {
        let last = std::mem::replace(&mut self.looked, self.t);
        self.t - last > 5
    }

    fn moved(&mut self, moved: Switch, first: GroupSight, backup: GroupSight, ordered: bool) {
        let thin = |sight: GroupSight| {
            !self.policy.min_healthy.reached_by(sight.passing as u64, sight.endpoints as u64)
        };
        let lost = self.nameless.is_some_and(|since| self.t - since >= 5);
        let out = (first.endpoints > 0 && first.passing == 0)
            || lost
            || (first.breaker == BreakerSight::Open && self.policy.when == FailoverWhen::Breaker);
        let backup_out =
            backup.passing == 0 || matches!(backup.breaker, BreakerSight::Open | BreakerSight::HeldOpen);
        let stood = self.moved_at.replace(self.t).map(|at| self.t - at);
        match moved.to {
            Group::Backup => {
                let lasted = stood.is_none_or(|stood| stood >= 10 * self.policy.back_after.as_secs());
                let failed = u32::from(moved.why != SwitchReason::Order);
                self.strikes = if lasted { 0 } else { (self.strikes + failed).min(3) };
                let ill = out || (first.endpoints > 0 && thin(first));
                assert!(ordered || ill, "nothing is the matter: {moved:?}, {first:?}");
                assert!(
                    !backup_out || (ordered && out),
                    "to a group that answers nobody: {moved:?}, {backup:?}"
                );
            }
            Group::First => {
                self.returned.push(self.t);
                assert!(!ordered || backup_out || thin(backup), "{moved:?} while it is ordered otherwise");
                let long = self.well > self.policy.back_after.as_secs() << self.strikes;
                let refuses = matches!(first.breaker, BreakerSight::Open | BreakerSight::HeldOpen);
                let serves = first.passing > 0 && !refuses;
                let needed = moved.why == SwitchReason::BackupIll && (backup_out || thin(backup)) && serves;
                assert!(long || needed, "well for {} looks: {moved:?}, {first:?}, {backup:?}", self.well);
            }
        }
    }

    fn degrade(&mut self, now: Instant) {
        self.order.take_if(|order| order.until <= now);
        let open = self.first.breaker.state() != BreakerState::Closed;
        let ordered = self.order.as_ref().map(|order| order.level);
        let directives = self.levels.decide(ordered, |breaker| breaker == "first" && open);
        let level = ordered.map_or(0, Level::number).max(u8::from(open));
        assert_eq!(directives.as_ref().map_or(0, |one| one.level.number()), level);
        let Some(directives) = directives else { return };
        let told: Vec<&str> = directives.features.iter().map(FeatureName::as_str).collect();
        let expected = [(level >= 1, "a"), (level >= 2, "b"), (open, "c")];
        for (due, feature) in expected {
            assert_eq!(told.contains(&feature), due, "{feature} at level {level}: {told:?}");
        }
        let route = name(RouteName::new("bookings"));
        let treated = [RouteClass::High, RouteClass::Normal, RouteClass::Low].map(|class| {
            let treated = directives.treat(&route, class);
            assert_ne!(treated, Treatment::Fallback, "it has none");
            treated == Treatment::Shed
        });
        assert_eq!(treated, [false, level >= 3, level >= 2], "at level {level}");
    }
}

/// An hour, and then calm until all is as it was.
pub fn run(seed: u64) {
    let mut service = Service::new(seed);
    while service.t < 3_600 {
        service.people();
        service.weather();
        service.second();
    }
    let back = service.policy.back_after.as_secs();
    // Each return that did not last doubles the wait, up to eight times; ten waits that last begin anew.
    let most = 5 * (1 + 3_600 / (10 * back)) + 3_600 / (8 * back);
    let unbidden = service.returned.len() as u64;
    assert!(unbidden <= most, "{unbidden} returns where {most} are possible");
    for place in [&mut service.first, &mut service.backup] {
        (place.away, place.blind, place.nameless) = ([0; ENDPOINTS], 0, 0);
    }
    service.flaps = false;
    for _ in 0..300 + 8 * back + 400 {
        service.second();
    }
    assert_eq!(service.failover.group(), Group::First, "all is well, and the backup group is called");
    assert!(service.order.is_none() && service.failover.order().is_none(), "orders end");
}
