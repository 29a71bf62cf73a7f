//! Drills: ordered here, looked after once a second, told when they are over.
//!
//! What a request meets stands in the world's snapshot, and nobody else puts it there. Nothing of
//! a drill outlives the process: a restart ends it, and its incidents are real ones from there on. What the calendar begins
//! is in `monthly`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::names;
use crate::reliability::counts::{Counts, RollingCounts, Windows};
use crate::reliability::drill::{
    Drill, DrillBefore, DrillMode, DrillMoved, DrillOrder, DrillRefused, DrillScene, DrillScope,
    MonthlyDrill, Standing,
};
use crate::runtime::chance;
use crate::telemetry::Telemetry;
use crate::telemetry::event::DrillEvent;
use crate::telemetry::labels::Direction;
use crate::units::At;
use crate::upstream::Upstream;
use crate::upstream::drill::Injection;
use crate::upstream::registry::{Registry, World};

/// Drills at hand that are over; the oldest go.
const KEPT: usize = 20;

#[derive(Debug, Default)]
struct Held {
    current: Option<(Drill, Arc<Injection>)>,
    /// Replies that were spoilt, by window; `None`: there was no drill yet.
    spoilt: Option<RollingCounts>,
    /// Of the current drill, as far as they stand there.
    counted: u64,
    past: VecDeque<Drill>,
}

/// The drills of this process.
pub(super) struct Drills {
    pub(super) registry: Arc<Registry>,
    telemetry: Arc<Telemetry>,
    held: Mutex<Held>,
    /// What was done about the schedule.
    pub(super) monthly: Mutex<MonthlyDrill>,
}

impl std::fmt::Debug for Drills {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Drills").finish_non_exhaustive()
    }
}

pub(super) fn found<'a>(world: &'a World, name: &str) -> Option<&'a Arc<Upstream>> {
    world.upstreams.iter().find(|(one, _)| one.as_str() == name).map(|(_, upstream)| upstream)
}

impl Drills {
    pub(super) fn new(registry: Arc<Registry>, telemetry: Arc<Telemetry>) -> Self {
        Self { registry, telemetry, held: Mutex::default(), monthly: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins one; in force when this returns.
    pub(super) fn begin(
        &self,
        order: &DrillOrder,
        before: &DrillBefore,
        at: (Instant, At),
    ) -> Result<Drill, DrillRefused> {
        let (instant, now) = at;
        let mut held = self.held();
        let world = self.registry.snapshot();
        order.check(&world.config.drill, before)?;
        if let Some((running, _)) = &held.current {
            return Err(DrillRefused::Running { id: running.id.to_string() });
        }
        let Some(upstream) = found(&world, &order.upstream) else {
            let known = world.upstreams.keys().map(ToString::to_string).collect();
            return Err(DrillRefused::NoUpstream { name: order.upstream.to_string(), known });
        };
        let id: Arc<str> = Arc::from(names::ordered("drl_", now.0, chance::draw()));
        let meets = (order.fault, order.share, order.reach);
        let name = upstream.config.name.clone();
        let injection = Arc::new(Injection::new(Arc::clone(&id), name, meets, instant, order.lasts));
        let drill = Drill::new(id, order.clone(), now);
        held.current = Some((drill.clone(), Arc::clone(&injection)));
        held.counted = 0;
        self.registry.inject(Some(injection));
        drop(held);
        DrillEvent::Began(&drill).tell();
        self.telemetry.drills.began();
        Ok(drill)
    }

    /// Ends the injection that goes on; `None`: none does.
    pub(super) fn stop(&self, actor: &str, now: At) -> Option<Drill> {
        let mut held = self.held();
        let (drill, injection) = held.current.as_mut()?;
        let stopped = drill.stop(actor, now);
        injection.end();
        let drill = drill.clone();
        drop(held);
        stopped.then(|| {
            DrillEvent::Ended(&drill).tell();
            drill
        })
    }

    /// The clock has made a step of so many milliseconds.
    pub(super) fn step(&self, millis: i64) {
        if let Some((drill, _)) = &mut self.held().current {
            drill.shift(millis);
        }
    }

    /// What the engine is to know of the drill that is not over. Whoever asks looks after it.
    pub(super) fn scope(&self, now: Instant) -> Option<DrillScope> {
        let held = self.held();
        let (drill, injection) = held.current.as_ref()?;
        injection.renew(now);
        let world = self.registry.snapshot();
        let leads = |one: &&Arc<crate::upstream::RouteEntry>| one.upstream.config.name == injection.upstream;
        let routes = world.counted_routes().filter(leads).map(|one| Arc::from(one.name().as_str()));
        let counted = if world.config.ingress.is_some() { Direction::Ingress } else { Direction::Egress };
        Some(DrillScope {
            id: Arc::clone(&drill.id),
            upstream: Arc::clone(&drill.order.upstream),
            routes: routes.collect(),
            calls: drill.order.calls,
            spoilt: injection.spoilt(counted),
        })
    }

    /// Replies that drills have spoilt, by window.
    pub(super) fn spoilt(&self, scope: Option<&DrillScope>, steady: At) -> Windows {
        let mut held = self.held();
        let new = scope.map_or(0, |scope| scope.spoilt.saturating_sub(held.counted));
        if held.spoilt.is_none() && new == 0 {
            return Windows::default();
        }
        held.counted += new;
        let since = Counts { good: 0, bad: new };
        held.spoilt.get_or_insert_with(|| RollingCounts::new(steady)).count(since, steady)
    }

    /// One look at the drill that is not over; what that has brought.
    pub(super) fn look(
        &self,
        scene: impl FnOnce(&Drill) -> DrillScene,
        now: At,
    ) -> Option<(DrillMoved, Drill)> {
        let mut held = self.held();
        let (drill, injection) = held.current.as_mut()?;
        let world = self.registry.snapshot();
        let policy = &world.config.drill;
        let standing = match found(&world, &drill.order.upstream) {
            None => Standing::Gone,
            Some(_) if policy.mode == DrillMode::Off => Standing::Off,
            Some(_) => Standing::Stands,
        };
        let scene = DrillScene { counts: injection.counts(), standing, ..scene(drill) };
        let moved = drill.look(&scene, policy, now)?;
        injection.end();
        let drill = drill.clone();
        if moved == DrillMoved::Over {
            held.current = None;
            held.past.push_front(drill.clone());
            held.past.truncate(KEPT);
            self.registry.inject(None);
        }
        drop(held);
        match moved {
            DrillMoved::Ended => DrillEvent::Ended(&drill).tell(),
            DrillMoved::Over => {
                DrillEvent::Over(&drill).tell();
                self.telemetry.drills.over(&drill);
            }
        }
        Some((moved, drill))
    }

    /// The one that is not over, then those that are, the youngest first.
    pub(super) fn all(&self) -> Vec<Drill> {
        let held = self.held();
        held.current.iter().map(|(drill, _)| drill).chain(&held.past).cloned().collect()
    }
}
