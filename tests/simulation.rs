//! The core under random weather: engine and breakers, a virtual clock, invariants after every step.
//!
//! `SIM_SEEDS=10000` runs so many seeds, `SIM_SEED=n` replays one. `tests/simulation/release` builds it at full speed, from the
//! core alone and with its invariants checked.

#![allow(clippy::disallowed_methods, reason = "a test is its own clock")]
#![allow(clippy::wildcard_enum_match_arm, reason = "weathers are alike in most things")]
#![allow(unreachable_pub, reason = "modules of a test")]

#[path = "simulation/days.rs"]
mod days;
#[path = "simulation/degradation.rs"]
mod degradation;
#[path = "simulation/dice.rs"]
mod dice;
#[path = "simulation/fleet/mod.rs"]
mod fleet;
#[path = "simulation/month.rs"]
mod month;
#[path = "simulation/outbox.rs"]
mod outbox;
#[path = "simulation/plans.rs"]
mod plans;
#[path = "simulation/recovery.rs"]
mod recovery;
#[path = "simulation/soak.rs"]
mod soak;
#[path = "simulation/traffic.rs"]
mod traffic;
#[path = "simulation/watch.rs"]
mod watch;
#[path = "simulation/weather.rs"]
mod weather;
#[path = "simulation/world.rs"]
mod world;

use world::World;

/// How many seeds by default: what takes a debug build about 10 s.
const SEEDS: u64 = 150;

/// Most seeds of a fleet: each takes about 20 ms at full speed.
const FLEETS: u64 = 10_000;

/// Most seeds of the outbox: each takes about 8 ms at full speed.
const OUTBOXES: u64 = 10_000;

/// Most seeds of degradation: each takes about 10 ms at full speed.
const DEGRADATIONS: u64 = 3_000;

/// Most seeds of recovery: each takes about 20 ms at full speed.
const RECOVERIES: u64 = 10_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn run(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..world.length() {
        world.step();
    }
    if seed.is_multiple_of(4) {
        world.calm_down();
    }
    traffic::run(seed);
}

/// Runs so many seeds, `most` at most, on all cores, or the one that is named.
fn seeds(of: fn(u64), most: u64, name: &str) {
    let (from, count) = match number("SIM_SEED") {
        Some(seed) => (seed, 1),
        None => (0, number("SIM_SEEDS").unwrap_or(SEEDS).min(most)),
    };
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let failed: Vec<u64> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|worker| {
                scope.spawn(move || {
                    (from..from + count)
                        .filter(|seed| seed % threads == worker)
                        .find(|seed| std::panic::catch_unwind(|| of(*seed)).is_err())
                })
            })
            .collect();
        workers.into_iter().filter_map(|worker| worker.join().expect("a worker ends")).collect()
    });
    if let Some(seed) = failed.iter().min() {
        panic!("replay: SIM_SEED={seed} cargo test --test simulation {name}");
    }
}

#[test]
fn whatever_the_weather_the_machines_agree() {
    seeds(run, u64::MAX, "whatever_the_weather");
}

#[test]
fn whatever_fails_between_members_store_and_channels_they_keep_what_they_promise() {
    seeds(fleet::run, FLEETS, "whatever_fails");
}

#[test]
fn whatever_falls_ill_no_step_is_done_twice_and_every_run_ends() {
    seeds(recovery::run, RECOVERIES, "whatever_falls_ill");
}

#[test]
fn whatever_fails_what_was_acknowledged_is_delivered_in_order_or_kept() {
    seeds(outbox::run, OUTBOXES, "whatever_fails_what");
}

#[test]
fn whatever_group_falls_ill_nobody_is_sent_to_a_worse_one_and_all_is_as_it_was_in_the_end() {
    seeds(degradation::run, DEGRADATIONS, "whatever_group");
}
