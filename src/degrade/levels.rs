//! The degradation level: what is ordered, what open breakers mean, and the directives that requests meet.
//!
//! The order is held here, the directives stand in the world's snapshot, and nobody else puts them there. An order ends by
//! itself, seen once a second; nothing of it outlives the process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::reliability::breaker::BreakerState;
use crate::reliability::degradation::{Directives, Level, LevelOrder};
use crate::telemetry::Telemetry;
use crate::telemetry::event::LevelMoved;
use crate::upstream::registry::{Registry, World};

/// What is held between two looks.
struct Held {
    order: Option<LevelOrder>,
    /// Since when the level is what it is.
    since: Instant,
}

/// A look at the level.
#[derive(Clone, Debug)]
pub struct LevelView {
    /// What is in force; `None`: level 0.
    pub directives: Option<Arc<Directives>>,
    /// The operator's order; `None`: there is none.
    pub order: Option<LevelOrder>,
    /// Since when the level is what it is.
    pub since: Instant,
}

/// The degradation level of this process.
pub struct Levels {
    registry: Arc<Registry>,
    telemetry: Arc<Telemetry>,
    held: Mutex<Held>,
}

impl std::fmt::Debug for Levels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Levels").finish_non_exhaustive()
    }
}

impl Levels {
    /// Level 0, for the requests that read this registry's world.
    pub fn new(registry: Arc<Registry>, telemetry: Arc<Telemetry>) -> Self {
        let held = Mutex::new(Held { order: None, since: telemetry.started().instant });
        Self { registry, telemetry, held }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another order; in force when this returns.
    pub fn order(&self, order: LevelOrder, now: Instant) {
        let mut held = self.held();
        held.order = Some(order);
        self.renew(held, now);
    }

    /// Ends the order, if `which` picks it; the order that has ended.
    pub fn end(&self, now: Instant, which: impl FnOnce(&LevelOrder) -> bool) -> Option<LevelOrder> {
        let mut held = self.held();
        let before = held.order.take_if(|order| which(order));
        self.renew(held, now);
        before
    }

    /// What time, breakers and a reload bring; called once a second.
    pub fn look(&self, now: Instant) {
        self.renew(self.held(), now);
    }

    /// What is in force now, and why.
    pub fn view(&self) -> LevelView {
        let held = self.held();
        let directives = self.registry.snapshot().directives.clone();
        LevelView { directives, order: held.order.clone(), since: held.since }
    }

    /// Decides anew, and puts what is another thing in force. The lock is held until that is done, so that of two orders the
    /// later one stays; what is told is told without it.
    fn renew(&self, mut held: MutexGuard<'_, Held>, now: Instant) {
        let world = self.registry.snapshot();
        held.order.take_if(|order| order.until <= now);
        let policy = &world.config.degradation;
        let ordered = held.order.as_ref().map(|order| order.level);
        let next = policy.decide(ordered, |breaker| is_open(&world, breaker, now));
        if next.as_ref() == world.directives.as_deref() {
            return;
        }
        let [from, to] = [world.directives.as_deref(), next.as_ref()].map(level);
        let nothing = || "nothing raises it any more".to_owned();
        let why = next.as_ref().map_or_else(nothing, |next| next.why(held.order.as_ref()));
        let features = next.as_ref().map_or_else(String::new, |next| next.field.clone());
        self.registry.direct(next.map(Arc::new));
        self.telemetry.degradation.set(to.number());
        if from != to {
            held.since = now;
        }
        drop(held);
        LevelMoved { from: from.number(), to: to.number(), told: &features, why: &why }.tell();
    }
}

fn level(directives: Option<&Directives>) -> Level {
    directives.map_or_else(Level::default, |directives| directives.level)
}

/// Is the breaker of that label there and not closed? In shadow it refuses nothing, and means nothing.
fn is_open(world: &World, label: &str, now: Instant) -> bool {
    let of = label.split_once('.').map_or(label, |(upstream, _)| upstream);
    let found = world.serving().find(|upstream| upstream.config.name.as_str() == of);
    let gate = found.and_then(|upstream| {
        if of == label {
            return Some(&upstream.gate);
        }
        upstream.operations.named(label).map(|operation| &operation.gate)
    });
    gate.is_some_and(|gate| !gate.is_steady() && gate.view(now).state != BreakerState::Closed)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config;
    use crate::reliability::breaker::Hold;
    use crate::runtime::clock;
    use crate::telemetry::access::AccessLog;

    fn config(more: &str) -> Arc<config::Config> {
        let text = format!(
            "[ingress]\n[upstreams.backend]\nendpoints = [\"127.0.0.1:8001\"]\n[upstreams.twilio]\npreset = \"twilio\"\n\
             [degradation]\nlevel2 = {{ features = [\"calendar\"] }}\n{more}\n"
        );
        Arc::new(config::load(&text, "a test", &[]).expect("it can run"))
    }

    fn levels() -> Levels {
        let telemetry = Telemetry::new(1, AccessLog::off(), clock::now());
        let (registry, _) = Registry::new(
            config("when = [{ breaker = \"twilio\", features = [\"sms\"] }]"),
            Arc::clone(&telemetry),
            1,
        );
        Levels::new(registry, telemetry)
    }

    fn field(levels: &Levels) -> Option<String> {
        levels.view().directives.map(|directives| directives.field.clone())
    }

    fn order(level: u8, now: Instant) -> LevelOrder {
        let level = Level::of(level).expect("a level");
        let (reason, actor) = ("a test".to_owned(), "ann".to_owned());
        LevelOrder { level, reason, actor, since: now, until: now + Duration::from_secs(60) }
    }

    #[tokio::test]
    async fn an_order_is_in_force_at_once_and_ends_by_itself() {
        let (levels, now) = (levels(), clock::instant());
        levels.look(now);
        assert_eq!(field(&levels), None);
        levels.order(order(2, now), now);
        assert_eq!(field(&levels).as_deref(), Some("level=2; features=\"calendar\""));
        levels.look(now + Duration::from_secs(59));
        assert_eq!(levels.view().since, now);
        let over = now + Duration::from_secs(60);
        levels.look(over);
        let view = levels.view();
        assert!(view.directives.is_none() && view.order.is_none());
        assert_eq!(view.since, over);
    }

    #[tokio::test]
    async fn a_breaker_that_is_not_closed_raises_it_and_a_reload_keeps_what_is_in_force() {
        let (levels, now) = (levels(), clock::instant());
        let world = levels.registry.snapshot();
        let twilio = world.upstreams.values().find(|one| one.config.name.as_str() == "twilio");
        let gate = Arc::clone(&twilio.expect("it is there").gate);
        drop(world);
        let hold = |state| Hold {
            state,
            reason: String::new(),
            actor: String::new(),
            until: now + Duration::from_secs(9),
        };
        gate.hold(hold(BreakerState::Open), now);
        levels.look(now);
        assert_eq!(field(&levels).as_deref(), Some("level=1; features=\"sms\""));
        levels.registry.reconcile(config(""), now);
        assert_eq!(field(&levels).as_deref(), Some("level=1; features=\"sms\""), "until the next look");
        levels.look(now);
        assert_eq!(field(&levels), None, "nothing says any more what it means");
    }
}
