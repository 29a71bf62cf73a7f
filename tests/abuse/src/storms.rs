//! One storm beside the load: first one connection of it, then a hundred.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::good::{Good, Seen};
use crate::group::Group;
use crate::origin::Origin;
use crate::storm::{Deeds, FRAMES, Storm, Stormer};
use crate::strop::Strop;
use crate::{Args, judge, settle};

/// Connections at once at its full size.
const MANY: usize = 100;
/// What one connection may cost, in bytes.
const ONE: u64 = 4 << 20;
/// What a hundred may.
const HUNDRED: u64 = 32 << 20;
/// Descriptors that Strop may have.
const DESCRIPTORS: u64 = 16_384;

/// What was seen while so many connections were there.
struct Phase {
    good: Seen,
    deeds: std::sync::Arc<Deeds>,
    grown: u64,
}

/// Its line, and what was wrong.
pub fn run(args: &Args, storm: Storm) -> Result<(String, Vec<String>), String> {
    let group = Group::make()?;
    let origin = Origin::start()?;
    let mut strop = Strop::start(&args.strop, &origin, &group, DESCRIPTORS)?;
    let mut found = Vec::new();
    let lasting = Duration::from_secs(args.seconds);
    let alone = Good::start(&strop).during(lasting / 2);
    judge("alone", &alone, &mut found);
    let before = strop.state()?;
    let one = phase(&strop, storm, 1, lasting / 2);
    check("beside one connection", storm, &one, ONE, &mut found);
    settle(&strop, &before, &mut found);
    let many = phase(&strop, storm, (MANY * args.percent / 100).max(2), lasting);
    check("beside many", storm, &many, HUNDRED, &mut found);
    if strop.runs() {
        settle(&strop, &before, &mut found);
    } else {
        found.push("the process is gone".to_owned());
    }
    Ok((line(storm, &alone, &one, &many), found))
}

fn phase(strop: &Strop, storm: Storm, connections: usize, lasting: Duration) -> Phase {
    let (before, peak) = (strop.resident(), strop.watch());
    let stormer = Stormer::start(storm, strop.at("ingress"), connections);
    let good = Good::start(strop).during(lasting);
    let deeds = stormer.stop();
    Phase { good, deeds, grown: peak.most().saturating_sub(before) }
}

fn check(when: &str, storm: Storm, phase: &Phase, most: u64, found: &mut Vec<String>) {
    judge(when, &phase.good, found);
    let of = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    if of(&phase.deeds.connections) == 0 {
        found.push(format!("{when}: the storm did nothing"));
    }
    if phase.grown > most {
        found.push(format!("{when}: memory grew by {}, {} at most", mib(phase.grown), mib(most)));
    }
    if of(&phase.deeds.lasting) > 0 {
        let lasting = of(&phase.deeds.lasting);
        found.push(format!("{when}: {lasting} connections were not ended after {FRAMES} frames"));
    }
    if storm.must_end() && of(&phase.deeds.ended) == 0 {
        found.push(format!("{when}: no connection was ended"));
    }
    if storm.must_end() && of(&phase.deeds.otherwise) > 0 {
        let otherwise = of(&phase.deeds.otherwise);
        found.push(format!("{when}: {otherwise} connections were ended without ENHANCE_YOUR_CALM"));
    }
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
}

fn line(storm: Storm, alone: &Seen, one: &Phase, many: &Phase) -> String {
    let ms = |seen: &Seen| seen.p99().as_secs_f64() * 1e3;
    let of = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    let most = of(&one.deeds.most).max(of(&many.deeds.most));
    format!(
        "{:<23} {:>5} good requests, {} failed; p99 {:.1} ms alone, {:.1} ms beside one, {:.1} ms beside many; memory +{} and \
         +{}; {} connections, {} ended, after {most} frames at most",
        storm.name(),
        one.good.requests + many.good.requests,
        one.good.failed + many.good.failed,
        ms(alone),
        ms(&one.good),
        ms(&many.good),
        mib(one.grown),
        mib(many.grown),
        of(&one.deeds.connections) + of(&many.deeds.connections),
        of(&one.deeds.ended) + of(&many.deeds.ended),
    )
}
