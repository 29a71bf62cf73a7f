use super::grain::Grain;
use super::*;
use crate::names::{RouteName, UpstreamName};
use crate::runtime::clock;

fn key(route: &str, upstream: &str, direction: Direction) -> SeriesKey {
    (RouteName::new(route).expect("a name"), UpstreamName::new(upstream).expect("a name"), direction)
}

fn recorded(millis: impl IntoIterator<Item = (u64, u64)>) -> CellSum {
    let mut sum = CellSum::default();
    for (millis, count) in millis {
        sum.add(cells::of(Duration::from_millis(millis)), count);
    }
    sum
}

fn ok(count: u64) -> [u64; OUTCOMES] {
    [count, 0, 0, 0, 0, 0, 0]
}

fn second(began: Instant, number: u64) -> Instant {
    began + Duration::from_secs(number)
}

/// A cell for each time, uniformly between 1 µs and 120 s by logarithm.
fn wild(state: &mut u64) -> u16 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    let share = (*state >> 11) as f64 / (1_u64 << 53) as f64;
    cells::of(Duration::from_secs_f64(0.000_001 * 120_000_000_f64.powf(share)))
}

#[test]
fn each_exchange_is_in_one_step_and_steps_end_at_tens() {
    let began = clock::instant();
    let mut history = TrafficHistory::new(began);
    let (one, two) = (key("a", "backend", Direction::Ingress), key("b", "stripe", Direction::Egress));
    for number in 1..=95 {
        history.add(&one, &recorded([(7, 2), (900, 1)]), ok(3));
        history.add(&two, &recorded([(number, 1)]), [0, 0, 1, 0, 0, 0, 0]);
        history.turn(second(began, number));
    }
    let steps = history.steps();
    let bins = steps.bins(&TrafficScope::default(), 1, 9);
    let bins: Vec<_> = bins.into_iter().flatten().collect();
    assert_eq!((bins.len(), bins[0].from, bins[8].to), (9, began, second(began, 90)));
    assert_eq!(bins.iter().map(|bin| bin.outcomes[0] + bin.outcomes[2]).sum::<u64>(), 4 * 90);
    assert_eq!(bins.iter().flat_map(|bin| bin.heat).sum::<u64>(), 4 * 90);
    let ingress = TrafficScope { direction: Some(Direction::Ingress), ..TrafficScope::default() };
    let latency = steps.bins(&ingress, 3, 1)[0].clone().expect("seen").latency.expect("some");
    assert!((7.0..7.1).contains(&latency.p50_ms) && (900.0..908.0).contains(&latency.p95_ms), "{latency:?}");
    let stripe = TrafficScope { upstream: Some(two.1.clone()), ..TrafficScope::default() };
    let seen = steps.bins(&stripe, 9, 1)[0].clone().expect("seen");
    assert_eq!((seen.outcomes, seen.from, seen.to), ([0, 0, 90, 0, 0, 0, 0], began, second(began, 90)));
}

#[test]
fn what_was_not_observed_is_none_and_a_quiet_step_is_zero() {
    let began = clock::instant();
    let mut history = TrafficHistory::new(began);
    assert_eq!(history.steps().bins(&TrafficScope::default(), 1, 3), [None, None, None]);
    let all = TrafficScope::default();
    history.turn(second(began, 10));
    history.add(&key("a", "backend", Direction::Ingress), &recorded([(5, 1)]), ok(1));
    // The process stood still for a minute.
    history.turn(second(began, 75));
    history.turn(second(began, 80));
    let bins = history.steps().bins(&all, 1, 10);
    let told: Vec<_> = bins.iter().map(|bin| bin.as_ref().map(|bin| bin.outcomes[0])).collect();
    assert_eq!(told, [None, None, Some(0), Some(1), None, None, None, None, None, Some(0)]);
    let long = bins[3].clone().expect("seen");
    assert_eq!((long.from, long.to), (second(began, 10), second(began, 75)));
    assert_eq!(bins[2].as_ref().expect("seen").latency, None);
}

#[test]
fn an_hour_later_it_is_forgotten_and_its_place_is_free() {
    let began = clock::instant();
    let mut history = TrafficHistory::new(began);
    let gone = key("gone", "backend", Direction::Ingress);
    history.add(&gone, &recorded([(5, 1)]), ok(1));
    for number in 1..=361 {
        history.turn(second(began, number * 10));
    }
    let steps = history.steps();
    assert_eq!((history.closed.len(), steps.known_since()), (360, second(began, 10)));
    assert!(steps.bins(&TrafficScope::default(), 1, 360).iter().flatten().all(|bin| bin.outcomes == ok(0)));
    for number in 0..SERIES as u64 {
        history.add(&key(&format!("r{number}"), "backend", Direction::Ingress), &recorded([(1, 1)]), ok(1));
    }
    // Two are those of the others, so one of the 254 places was that of the route that is gone.
    assert_eq!((history.open.len(), history.slots.contains_key(&gone)), (SERIES, false));
    history.turn(second(began, 3_620));
    let bins = history.steps().bins(&TrafficScope::default(), 1, 1);
    assert_eq!(bins[0].as_ref().expect("seen").outcomes, ok(SERIES as u64), "the others are counted, too");
}

/// That an hour of steps of this size fits is held by the compiler, see [`bound`].
#[test]
fn a_step_at_the_largest_config_has_room_and_no_count_is_lost_and_a_warm_second_asks_for_no_memory() {
    let began = clock::instant();
    let mut history = TrafficHistory::new(began);
    let keys: Vec<_> =
        (0..300).map(|number| key(&format!("r{number}"), "backend", Direction::Ingress)).collect();
    let mut state = 7;
    // Durations of which hardly two are alike: the worst that a histogram can be.
    let mut worst = CellSum::default();
    (0..2_000).for_each(|at| worst.add(wild(&mut state), 1 + at % 90));
    let mut rooms = Vec::new();
    for step in 1..=4 {
        for key in &keys {
            history.add(key, &worst, ok(worst.all()));
        }
        let open: Vec<_> = history.open.iter().map(|open| open.packed.capacity()).collect();
        assert!(open.iter().all(|room| *room <= 2 * OPEN_ROOM), "{open:?}");
        rooms.push(open);
        history.turn(second(began, step * 10));
    }
    assert_eq!(rooms[1], rooms[3], "room only ever grows: nothing was asked for in between");
    assert!(history.closed.iter().all(|closed| closed.bytes.len() <= STEP_ROOM));
    let bins = history.steps().bins(&TrafficScope::default(), 1, 4);
    for bin in bins.iter().map(|bin| bin.as_ref().expect("seen")) {
        assert_eq!(bin.outcomes, ok(300 * worst.all()));
        assert!(bin.precision > Grain::FINEST.width(), "it is told more coarsely");
        assert!(bin.latency.is_some());
    }
}

#[test]
fn sixty_series_of_usual_shape_keep_two_digits() {
    let began = clock::instant();
    let mut history = TrafficHistory::new(began);
    let mut state = 3_u64;
    for number in 1..=20 {
        for route in 0..60 {
            let mut sum = CellSum::default();
            for _ in 0..200 {
                // The sum of six is near enough to normal: p99 at three times the median of 20 ms.
                let normal: f64 = (0..6)
                    .map(|_| {
                        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
                    })
                    .sum();
                sum.add(cells::of(Duration::from_secs_f64(0.02 * (normal * 0.65).exp())), 1);
            }
            history.add(&key(&format!("r{route}"), "backend", Direction::Ingress), &sum, ok(200));
        }
        history.turn(second(began, number));
    }
    let bins = history.steps().bins(&TrafficScope::default(), 1, 2);
    let precision: Vec<_> = bins.iter().flatten().map(|bin| bin.precision).collect();
    assert_eq!(precision, [1.0 / 128.0; 2]);
}
