//! The workers: one thread each, its own listeners, its own worker.

use std::cell::Cell;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use super::bound::BoundListener;
use crate::degrade::outbox::Outbox;
use crate::degrade::stale::StaleCache;
use crate::proxy::accept::{self, ListenerDoor};
use crate::proxy::overload;
use crate::proxy::pulse::BEAT;
use crate::proxy::replay;
use crate::proxy::worker::Worker;
use crate::runtime::drain::Drain;
use crate::runtime::tasks::spawn_on_worker;
use crate::runtime::workers::Workers;
use crate::runtime::{chance, clock};
use crate::telemetry::Telemetry;
use crate::telemetry::event::Event;
use crate::upstream::registry::Registry;

/// Starts a worker for each socket of a listener.
pub(super) fn spawn(
    bound: Vec<BoundListener>,
    registry: &Arc<Registry>,
    telemetry: &Arc<Telemetry>,
    kept: &(Arc<StaleCache>, Option<Arc<Outbox>>),
    drain: &Drain,
) -> anyhow::Result<Workers> {
    let count = bound.first().map_or(0, |bound| bound.sockets.len());
    let mut shares: Vec<Vec<(ListenerDoor, TcpListener)>> = (0..count).map(|_| Vec::new()).collect();
    for bound in bound {
        for (share, socket) in shares.iter_mut().zip(bound.sockets) {
            share.push((bound.door.clone(), socket));
        }
    }
    let makers: Vec<_> = shares
        .into_iter()
        .enumerate()
        .map(|(number, share)| {
            let (registry, telemetry, drain) = (Arc::clone(registry), Arc::clone(telemetry), drain.clone());
            let kept = kept.clone();
            move || work(number, share, (registry, telemetry), kept, drain)
        })
        .collect();
    Workers::start(makers, |error| Event::WorkerFailed { error: &error.to_string() }.tell())
        .context("worker threads")
}

/// One worker, until it has been asked to leave and its last connection is gone.
async fn work(
    number: usize,
    share: Vec<(ListenerDoor, TcpListener)>,
    (registry, telemetry): (Arc<Registry>, Arc<Telemetry>),
    kept: (Arc<StaleCache>, Option<Arc<Outbox>>),
    drain: Drain,
) {
    let seed = chance::draw() ^ number as u64;
    let worker = Worker::new(number, registry, telemetry, kept, seed);
    let open: accept::Open = Rc::new(Cell::new(0));
    spawn_on_worker("worker", "flushing the access log", Rc::clone(&worker.access).keep_flushing());
    if let Some(outbox) = worker.outbox.clone().filter(|_| number == 0) {
        let replaying = replay::replay(Rc::clone(&worker), outbox, Rc::clone(&open), drain.clone());
        spawn_on_worker("worker", "replaying the outbox", replaying);
    }
    for (door, socket) in share {
        let accepting = accept::accept(socket, door, Rc::clone(&worker), drain.clone(), Rc::clone(&open));
        spawn_on_worker("worker", "accepting", accepting);
    }
    let telling = tell_to_leave(Rc::clone(&worker), drain.clone());
    spawn_on_worker("worker", "telling connections to leave", telling);
    let look = || {
        let config = Arc::clone(&worker.registry.snapshot().config);
        worker.pools.kept.allow(config.process.kept_bodies);
        worker.stale.allow(config.kept_answers);
        worker.pools.expire(|endpoint| worker.registry.upstream_of(endpoint));
    };
    look();
    let mut beat_at = clock::instant();
    while !(drain.is_requested() && open.get() == 0) {
        let now = clock::instant();
        let second = now >= beat_at;
        if second {
            beat_at = now + BEAT;
            worker.pulse.beat(now);
            worker.give_back();
            look();
        }
        let soon = overload::look(&worker, now, second).unwrap_or(BEAT);
        let wait = if drain.is_requested() { Duration::from_millis(10) } else { soon };
        tokio::select! {
            () = tokio::time::sleep(wait.min(beat_at.saturating_duration_since(now))) => {}
            () = worker.telemetry.memory.becomes_tight() => {}
            () = drain.requested(), if !drain.is_requested() => {}
        }
    }
    worker.access.flush();
}

/// Has all connections see that the process leaves; those that come later see it by themselves.
async fn tell_to_leave(worker: Rc<Worker>, drain: Drain) {
    drain.requested().await;
    worker.accounts.wake();
}
