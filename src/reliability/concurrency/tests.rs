//! The limit before a simulated backend: some slots and a queue before them, in steps of a millisecond.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const STEP: Duration = Duration::from_millis(1);

/// A kind of request.
#[derive(Clone, Copy)]
struct Kind {
    /// The route that it is counted for.
    route: usize,
    class: RouteClass,
    /// A second.
    rate: f64,
    /// Seconds in a slot.
    service: f64,
    /// Seconds of waiting for somebody else, in no slot.
    waits: f64,
}

const QUICK: Kind = Kind { route: 0, class: RouteClass::Normal, rate: 0.0, service: 0.005, waits: 0.0 };

struct Request {
    kind: usize,
    came: f64,
}

struct Simulation {
    policy: ConcurrencyPolicy,
    gradient: Gradient,
    baselines: Vec<Baseline>,
    kinds: Vec<Kind>,
    slots: usize,
    /// Times the service time.
    slow: f64,
    /// Nothing is begun.
    hangs: bool,
    now: f64,
    chance: u64,
    queue: VecDeque<Request>,
    running: Vec<(f64, Request)>,
    waiting: Vec<(f64, Request)>,
    seen: Vec<RouteWindow>,
    turn_in: u32,
    window_refused: u64,
    refused: u64,
    done: Vec<Vec<f64>>,
}

impl Simulation {
    fn new(slots: usize, kinds: &[Kind], seed: u64) -> Self {
        let policy = ConcurrencyPolicy { mode: AdmissionMode::On, ..ConcurrencyPolicy::default() };
        let routes = kinds.iter().map(|kind| kind.route + 1).max().unwrap_or(1);
        Self {
            policy,
            gradient: Gradient::new(&policy),
            baselines: vec![Baseline::default(); routes],
            kinds: kinds.to_vec(),
            slots,
            slow: 1.0,
            hangs: false,
            now: 0.0,
            chance: seed | 1,
            queue: VecDeque::new(),
            running: Vec::new(),
            waiting: Vec::new(),
            seen: vec![RouteWindow::default(); routes],
            turn_in: 250,
            window_refused: 0,
            refused: 0,
            done: vec![Vec::new(); kinds.len()],
        }
    }

    fn draw(&mut self) -> f64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        (self.chance >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn in_flight(&self) -> u32 {
        (self.queue.len() + self.running.len() + self.waiting.len()) as u32
    }

    fn comes(&mut self, at: usize) {
        let kind = self.kinds[at];
        if self.in_flight() >= share(self.gradient.limit(), kind.class) {
            (self.refused, self.window_refused) = (self.refused + 1, self.window_refused + 1);
            return;
        }
        let request = Request { kind: at, came: self.now };
        if kind.waits > 0.0 {
            self.waiting.push((self.now + kind.waits, request));
        } else {
            self.queue.push_back(request);
        }
    }

    fn leaves(&mut self, request: &Request) {
        let took = self.now - request.came;
        self.done[request.kind].push(took);
        let seen = &mut self.seen[self.kinds[request.kind].route];
        (seen.left, seen.samples) = (seen.left + 1, seen.samples + 1);
        let took = Duration::from_secs_f64(took.max(1e-6));
        seen.fastest = Some(seen.fastest.map_or(took, |known| known.min(took)));
    }

    fn step(&mut self) {
        self.now += STEP.as_secs_f64();
        for at in 0..self.kinds.len() {
            let mut expected = self.kinds[at].rate * STEP.as_secs_f64();
            while expected > 0.0 {
                // One of several a millisecond, each by chance.
                if self.draw() < expected.min(0.5) {
                    self.comes(at);
                }
                expected -= 0.5;
            }
        }
        for list in [true, false] {
            let from = if list { &mut self.running } else { &mut self.waiting };
            let (over, still): (Vec<_>, Vec<_>) =
                std::mem::take(from).into_iter().partition(|(until, _)| *until <= self.now);
            *from = still;
            over.iter().for_each(|(_, request)| self.leaves(request));
        }
        while self.running.len() < self.slots && !self.hangs {
            let Some(request) = self.queue.pop_front() else { break };
            let until = self.now + self.kinds[request.kind].service * self.slow;
            self.running.push((until, request));
        }
        self.turn_in -= 1;
        if self.turn_in == 0 {
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.turn_in = 250;
        let refused = std::mem::take(&mut self.window_refused);
        let window = Window { took: WINDOW, in_flight: self.in_flight(), refused };
        let mut routes: Vec<_> =
            self.seen.iter_mut().map(std::mem::take).zip(self.baselines.iter_mut()).collect();
        self.gradient.turn(&self.policy, &window, &mut routes);
    }

    fn runs(&mut self, seconds: f64) {
        let until = self.now + seconds;
        while self.now < until {
            self.step();
        }
    }

    /// Answers of all kinds and refusals from now on.
    fn forget(&mut self) {
        self.done.iter_mut().for_each(Vec::clear);
        self.refused = 0;
    }

    fn answers(&self) -> usize {
        self.done.iter().map(Vec::len).sum()
    }

    fn p99(&self, kind: usize) -> f64 {
        let mut all = self.done[kind].clone();
        all.sort_by(f64::total_cmp);
        all[all.len() * 99 / 100]
    }
}

/// 16 slots of 5 ms: 3,200 a second.
fn day(label: usize, quick: f64, slow: f64, seed: u64) -> Simulation {
    let quick = Kind { rate: quick, ..QUICK };
    let slow = Kind { route: label, rate: slow, waits: 10.0, ..QUICK };
    Simulation::new(16, &[quick, slow], seed)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Requests of 5 ms and of 10 s, counted for one route or for two: a start at full rate with cold caches, a mix that moves, a
    /// deploy that hangs for a while and is three times as slow for half a minute after it.
    #[test]
    fn an_ordinary_day_refuses_nobody(
        seed: u64, label in 0_usize..2, quick in 5.0..900.0_f64, slow in 0.2..20.0_f64, cold in 1.0..3.0_f64, hangs in 0.0..0.8_f64,
    ) {
        let mut day = day(label, quick, slow, seed);
        day.slow = cold;
        day.runs(4.0);
        day.slow = 1.0;
        day.runs(20.0);
        (day.kinds[0].rate, day.kinds[1].rate) = (quick / 10.0, slow * 2.0);
        day.runs(15.0);
        (day.kinds[0].rate, day.kinds[1].rate) = (quick, slow);
        day.hangs = true;
        day.runs(hangs);
        (day.hangs, day.slow) = (false, 3.0);
        day.runs(30.0);
        day.slow = 1.0;
        day.runs(5.0);
        prop_assert_eq!(day.refused, 0, "limit {}", day.gradient.limit());
    }

    #[test]
    fn the_limit_stays_within_its_bounds(
        windows in prop::collection::vec((0_u32..5_000, 0_u64..50, 0_u64..2_000, 0_u64..20_000), 1..400), min in 1_u32..50, more in 0_u32..5_000,
    ) {
        let policy = ConcurrencyPolicy { mode: AdmissionMode::On, min, max: min + more };
        let mut gradient = Gradient::new(&policy);
        let mut baseline = Baseline::default();
        for (in_flight, refused, left, millis) in windows {
            let seen = RouteWindow { left, samples: left, fastest: (left > 0).then(|| Duration::from_millis(millis)) };
            gradient.turn(&policy, &Window { took: WINDOW, in_flight, refused }, &mut [(seen, &mut baseline)]);
            prop_assert!((policy.min..=policy.max).contains(&gradient.limit()));
        }
    }
}

/// 32 slots, a tenth of the requests is high, 30 % low: what stays at three times the capacity from `after` seconds on.
fn overloaded(service: f64, after: f64) {
    let capacity = 32.0 / service;
    let of = |class, rate| Kind { class, rate, service, ..QUICK };
    let kinds = |rate: f64| {
        [
            of(RouteClass::High, rate * 0.1),
            of(RouteClass::Normal, rate * 0.6),
            of(RouteClass::Low, rate * 0.3),
        ]
    };
    let mut simulation = Simulation::new(32, &kinds(capacity / 2.0), 7);
    simulation.runs(20.0);
    assert_eq!(simulation.refused, 0, "half of what it can do");
    let usual = simulation.p99(0);
    simulation.kinds = kinds(capacity * 3.0).to_vec();
    simulation.runs(after);
    simulation.forget();
    simulation.runs(55.0);
    let each_second = simulation.answers() as f64 / 55.0;
    assert!(each_second >= 0.9 * capacity, "{each_second}");
    let high = simulation.p99(0);
    assert!(high <= 3.0 * usual, "{high} s against {usual} s");
    assert!(simulation.refused as f64 > 55.0 * capacity, "{}", simulation.refused);
    let share_of = |kind: usize| simulation.done[kind].len() as f64 / 55.0 / simulation.kinds[kind].rate;
    assert!(share_of(0) > 0.98, "the high class has its place: {}", share_of(0));
    assert!(share_of(2) < 0.05, "the low one is refused first: {}", share_of(2));
}

#[test]
fn at_three_times_the_capacity_answers_stay_and_the_high_class_hardly_waits() {
    overloaded(0.020, 5.0);
}

/// 200 a second: it takes seconds until what is in flight reaches the limit, and until answers tell of the queue.
#[test]
fn an_overload_that_fills_up_slowly_is_seen_too() {
    overloaded(0.160, 4.0);
}

#[test]
fn what_was_overloaded_refuses_nobody_soon_after() {
    let mut day = day(0, 9_000.0, 0.0, 3);
    day.runs(20.0);
    assert!(day.gradient.limit() < 100, "{}", day.gradient.limit());
    day.kinds[0].rate = 2_400.0;
    day.runs(1.0);
    day.forget();
    day.runs(20.0);
    assert_eq!((day.refused, day.gradient.limit()), (0, day.policy.max));
}

#[test]
fn a_version_that_is_slower_by_nature_is_not_held_back_for_good() {
    // 128 slots of 50 ms, overloaded, and then by a version of 120 ms that can still do what it is asked.
    let mut simulation = Simulation::new(128, &[Kind { rate: 6_000.0, service: 0.050, ..QUICK }], 5);
    simulation.kinds[0].rate = 900.0;
    simulation.runs(10.0);
    simulation.kinds[0].rate = 6_000.0;
    simulation.runs(10.0);
    simulation.slow = 2.4;
    simulation.gradient.limit = 40.0;
    simulation.kinds[0].rate = 900.0;
    simulation.runs(90.0);
    simulation.forget();
    simulation.runs(20.0);
    assert_eq!(simulation.refused, 0, "limit {}", simulation.gradient.limit());
}

#[test]
fn a_route_that_is_slow_by_nature_shrinks_nothing_while_others_are_refused() {
    let policy = ConcurrencyPolicy { mode: AdmissionMode::On, ..ConcurrencyPolicy::default() };
    let mut gradient = Gradient::new(&policy);
    let (mut quick, mut slow) = (Baseline::default(), Baseline::default());
    let seen =
        |left, millis| RouteWindow { left, samples: left, fastest: Some(Duration::from_millis(millis)) };
    for refused in (0..40).map(|nth| u64::from(nth >= 20)) {
        // 300 of 10 s, and the quick ones three times as slow as usual while some are refused.
        let millis = if refused > 0 { 15 } else { 5 };
        let window = Window { took: WINDOW, in_flight: 302, refused };
        gradient.turn(&policy, &window, &mut [(seen(25, millis), &mut quick), (seen(10, 10_000), &mut slow)]);
    }
    assert_eq!(gradient.limit(), policy.max);
}

#[test]
fn a_low_class_is_refused_first_and_a_high_one_last() {
    let of = |limit| [RouteClass::Low, RouteClass::Normal, RouteClass::High].map(|class| share(limit, class));
    assert_eq!(of(100), [60, 80, 100]);
    assert_eq!(of(1), [1, 1, 1], "nobody is shut out");
}

/// The quick's fastest answer is the route's, and says nothing of 400 slow ones that are in flight and well.
#[test]
fn a_route_of_quick_and_slow_requests_is_refused_nothing_for_a_hang_of_a_moment() {
    for seed in 1..5_u64 {
        let (quick, slow) = (900.0, 20.0);
        let mut day = day(0, quick, slow, seed * 7_919_317_231 + 5);
        day.runs(24.0);
        (day.kinds[0].rate, day.kinds[1].rate) = (quick / 10.0, slow * 2.0);
        day.runs(15.0);
        (day.kinds[0].rate, day.kinds[1].rate) = (quick, slow);
        day.hangs = true;
        day.runs(0.79);
        (day.hangs, day.slow) = (false, 3.0);
        day.runs(30.0);
        assert_eq!(day.refused, 0, "limit {}", day.gradient.limit());
    }
}

/// It begins just before a window ends and ends just after one: what is in flight grows in five windows, next to nothing in the first.
#[test]
fn a_hang_that_touches_five_windows_refuses_nobody() {
    for (seed, quick, slow) in
        [(1_894_118_444_530_139_586, 880.055, 2.018), (1_045_801_109_290_460_292, 879.646, 0.2)]
    {
        let mut day = day(0, quick, slow, seed);
        day.runs(24.0);
        (day.kinds[0].rate, day.kinds[1].rate) = (quick / 10.0, slow * 2.0);
        day.runs(15.0);
        (day.kinds[0].rate, day.kinds[1].rate) = (quick, slow);
        day.hangs = true;
        day.runs(0.785);
        (day.hangs, day.slow) = (false, 3.0);
        day.runs(30.0);
        assert_eq!(day.refused, 0, "limit {}", day.gradient.limit());
    }
}
