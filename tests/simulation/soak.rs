//! What a flood, a long outage and a year of quiet leave in memory: the bounds that the README names, in simulated time.

use std::sync::Arc;
use std::time::Duration;

use strop::reliability::engine::{Command, Effect, Engine, EnginePolicy};
use strop::reliability::incident::{Force, Incident};
use strop::reliability::readings::{Readings, UpstreamReading};
use strop::reliability::rule::Severity;
use strop::units::At;

use crate::dice::Dice;

const START: At = At(1_800_000_000_000);
/// What the README says of orders, silences and timelines.
const LIVE: usize = 1_000;
const LINES: usize = 1_000;
const TEXTS: usize = 16 << 20;

fn engine() -> Engine {
    Engine::new(EnginePolicy::default(), Arc::from("soak"), 7, START)
}

fn readings(upstream: &UpstreamReading) -> Readings {
    Readings { backend: Some(Arc::from("api")), upstreams: vec![upstream.clone()], ..Readings::default() }
}

fn is_live(incident: &Incident) -> bool {
    incident.state.is_live()
}

/// Bytes of all texts that are held.
fn texts(engine: &Engine) -> usize {
    let of = |incident: &Incident| -> usize {
        incident.title.len() + incident.timeline.iter().map(|entry| entry.text.len()).sum::<usize>()
    };
    engine.incidents().map(of).sum()
}

/// Somebody who opens incidents and writes to them as fast as he can.
fn flood(engine: &mut Engine, dice: &mut Dice, now: At) {
    let actor = || "somebody".to_owned();
    let title = format!("{} {}", now.0, "t".repeat(200));
    let open = Command::Open { actor: actor(), title, severity: Severity::Low, service: String::new() };
    let _ = engine.command(open, now);
    let many = engine.incidents().count() as u64;
    let Some(id) = engine.incidents().nth(dice.below(many.max(1)) as usize).map(|one| one.id.clone()) else {
        return;
    };
    for _ in 0..5 {
        let _ =
            engine.command(Command::Note { id: id.clone(), actor: actor(), text: "n".repeat(4_000) }, now);
    }
}

#[test]
fn a_day_of_outage_under_a_flood_of_orders_stays_within_every_bound() {
    let (mut engine, mut dice) = (engine(), Dice::new(7));
    let mut upstream = UpstreamReading::unseen(Arc::from("api"));
    let mut at = START;
    for look in 0..24 * 60_u64 {
        at = START + Duration::from_secs(look * 60);
        upstream.consecutive_failures += 1;
        upstream.failing_since.get_or_insert(START);
        upstream.last_failure = Some(at);
        let _ = engine.tick(&readings(&upstream), at);
        flood(&mut engine, &mut dice, at);
        if look % 240 == 0 {
            engine.check_invariants();
            // What Strop finds itself comes on top: one upstream has a handful of rules.
            assert!(engine.incidents().filter(|one| is_live(one)).count() <= LIVE + 10);
            assert!(engine.incidents().all(|one| one.timeline.len() <= LINES));
            assert!(texts(&engine) <= TEXTS + (1 << 20), "{} bytes", texts(&engine));
        }
    }
    assert!(engine.incidents().count() >= LIVE / 2, "there was a flood");
    let all: Vec<_> = engine.incidents().filter(|one| is_live(one)).map(|one| one.id.clone()).collect();
    for id in all {
        let (actor, reason) = ("somebody".to_owned(), "over".to_owned());
        let _ = engine.command(Command::Resolve { id, actor, reason, force: Force::Forced }, at);
    }
    upstream = UpstreamReading::unseen(Arc::from("api"));
    for hour in 1..=24 * 14 {
        let _ = engine.tick(&readings(&upstream), at + Duration::from_secs(hour * 3_600));
    }
    assert!(engine.incidents().filter(|one| is_live(one)).count() <= 1);
    let held = engine.incidents().count();
    assert!(held <= 100, "{held} of {LIVE} are held a fortnight later");
}

#[test]
fn a_year_of_quiet_leaves_nothing_in_memory_and_little_to_write() {
    let mut engine = engine();
    let upstream = UpstreamReading::unseen(Arc::from("api"));
    let (mut most, mut saved) = (0, 0);
    for look in 0..365 * 24_u64 {
        let effects = engine.tick(&readings(&upstream), START + Duration::from_secs(look * 3_600));
        most = most.max(effects.len());
        saved += effects.iter().filter(|effect| matches!(effect, Effect::Save(_))).count();
    }
    assert_eq!((engine.incidents().count(), engine.silences().len(), saved), (0, 0, 0));
    assert!(most <= 8, "{most} effects of one look");
}
