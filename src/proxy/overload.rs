//! Ends connections of this worker so that the others can go on: where memory is short, or where slow clients hold what
//! all share. [`crate::reliability::overload`] decides which.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::worker::Worker;
use crate::message::buf;
use crate::message::memory::CutReason;
use crate::reliability::overload::{Holding, slowest, to_end};
use crate::reliability::share::Occupancy;
use crate::runtime::pauses;
use crate::upstream::Upstream;

/// Between two looks while memory is short.
const SOON: Duration = Duration::from_millis(100);

/// One look, once a second, and more often while memory is short: then when the next one is due.
pub fn look(worker: &Worker, now: Instant, second: bool) -> Option<Duration> {
    if second {
        worker.accounts.end_rests(now);
        slow(worker);
    }
    let memory = &worker.telemetry.memory;
    let short = memory.is_tight();
    if short {
        buf::clear_shelves();
    }
    let excess = memory.excess();
    worker.accounts.look(|all| {
        // Looked at even when nothing is to end, so that it is known how long each has stood still.
        let holdings = all.iter().map(|one| {
            let still = pauses::ran(one.still_since(now), now);
            Holding { client: one.client(), bytes: one.held(), still }
        });
        if excess == 0 {
            return holdings.for_each(drop);
        }
        let holdings: Vec<_> = holdings.collect();
        let workers = worker.registry.snapshot().config.process.workers.max(1);
        for at in to_end(&holdings, excess.div_ceil(workers)) {
            if let Some(account) = all.get(at) {
                account.end(CutReason::Memory);
            }
        }
    });
    short.then_some(SOON)
}

/// Ends the slowest clients of upstreams whose last quarter of connections is in use.
fn slow(worker: &Worker) {
    let world = worker.registry.snapshot();
    let least = world.config.ingress.as_ref().map_or(0, |ingress| ingress.limits.min_rate);
    worker.accounts.look(|all| {
        for account in all {
            account.look_at_pace();
        }
        if least == 0 {
            return;
        }
        for (upstream, places) in world.serving().filter_map(short) {
            // All workers look; together they end no more than that.
            let places = places.div_ceil(world.config.process.workers.max(1));
            let pool = Arc::as_ptr(&upstream.connections) as usize;
            let rates: Vec<_> =
                all.iter().map(|one| one.rate().filter(|_| one.pool() == pool && one.is_awaited())).collect();
            for at in slowest(&rates, least, places) {
                if let Some(account) = all.get(at) {
                    account.end(CutReason::Slow);
                }
            }
        }
    });
}

/// An upstream whose last quarter is in use, and how many places of it.
fn short(upstream: &Arc<Upstream>) -> Option<(&Arc<Upstream>, usize)> {
    let (places, taken) = (upstream.config.pool.connections, upstream.shares.as_ref()?.taken());
    let shared = Occupancy { places, taken, own: 0 };
    shared.is_short().then(|| (upstream, taken - (places - places / 4) + 1))
}
