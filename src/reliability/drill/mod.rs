//! Drills: a fault is put into part of one upstream's requests for a while, to see how soon that is detected and how soon it is
//! over again.
//!
//! ```text
//!   Injecting ──▶ Settling (no fault any more; its incidents are still a drill's) ──▶ Over
//! ```
//!
//! It decides whether a drill may begin, which request is hit, when the injection must end, and what was measured. It refuses
//! to know how a fault is made.
//!
//! # Invariants
//! * A request that takes a payment, a tunnel and a replay of a queued write are never hit; other writes only by order.
//! * One drill at a time. Its injection ends at its end, by order, or by the guard, and never begins again.
//! * What was not seen is `None`.

mod guard;
mod schedule;
mod seen;

use std::sync::Arc;
use std::time::Duration;

use super::breaker::BreakerState;
pub use super::incident::DrillCalls;
use crate::units::{At, Percent};
pub use guard::{Company, DrillBefore, DrillRefused, DrillScene, PaymentsAtRisk, Standing};
pub use schedule::{
    DrillDay, DrillDue, DrillMonth, DrillSchedule, DrillWhen, LATE, MissedStart, MonthlyDrill, NotBegun,
    Recalled, ScheduleClock, Tell,
};
pub use seen::{DrillCounts, DrillEnd, DrillIncident, Trouble};

/// The guide's target for the time from the first bad event to the incident: 30 s.
pub const DETECT_WITHIN: Duration = Duration::from_secs(30);
/// The guide's target for the time to recover: 5 min.
pub const RECOVER_WITHIN: Duration = Duration::from_secs(300);

/// What becomes of a request that is hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is sent so much later.
    Latency(Duration),
    /// It is answered with this status in the upstream's place.
    Error(u16),
    /// Its connection breaks before an answer.
    Reset,
    /// Nothing comes back until a time limit passes.
    Blackhole,
}

impl Fault {
    /// The longest time by which a request may be sent later.
    pub const LATEST: Duration = Duration::from_secs(60);
    /// Statuses that may stand in the upstream's place.
    pub const STATUSES: std::ops::RangeInclusive<u16> = 500..=599;
    /// The one that does where none is named.
    pub const STATUS: u16 = 503;

    /// As in the API and in labels.
    pub const LABELS: [&'static str; 4] = ["latency", "error", "reset", "blackhole"];

    /// As in the API and in labels.
    pub fn label(self) -> &'static str {
        match self {
            Self::Latency(_) => "latency",
            Self::Error(_) => "error",
            Self::Reset => "reset",
            Self::Blackhole => "blackhole",
        }
    }
}

/// Which requests may be hit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DrillReach {
    /// GET, HEAD and OPTIONS: they change nothing and may be repeated.
    #[default]
    Reads,
    /// Other methods too. What takes a payment is never hit.
    Writes,
}

/// What a request is, as far as a drill depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hittable {
    /// GET, HEAD or OPTIONS.
    Read,
    /// Any other method.
    Write,
    /// It takes a payment, opens a tunnel, or replays a queued write.
    Never,
}

/// Is this request hit? `draw` is evenly distributed over all of `u64`.
pub fn is_hit(reach: DrillReach, what: Hittable, share: Percent, draw: u64) -> bool {
    let may = match what {
        Hittable::Read => true,
        Hittable::Write => reach == DrillReach::Writes,
        Hittable::Never => false,
    };
    // The upper half of the draw: each of 10,000 places is as likely as another, but for one in 400,000.
    may && share > Percent::of(0) && !share.reached_by(((draw >> 32) * 10_000) >> 32, 10_000)
}

/// What drills may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrillPolicy {
    /// Drills may be ordered at all.
    pub mode: DrillMode,
    /// The largest share of requests.
    pub most: Percent,
    /// The longest injection.
    pub longest: Duration,
    /// Bad answers of the service's last minute that end the injection, as a share of all of them.
    pub degraded: Percent,
    /// Bad answers of the upstream that the drill did not make and that end it, as a share of those that it did not touch.
    pub errors: Percent,
    /// How long after the injection its incidents are still the drill's.
    pub settle: Duration,
}

/// May there be drills?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DrillMode {
    On,
    #[default]
    Off,
}

impl Default for DrillPolicy {
    fn default() -> Self {
        Self {
            mode: DrillMode::Off,
            most: Percent::of(25),
            longest: Duration::from_secs(600),
            degraded: Percent::of(50),
            errors: Percent::of(5),
            settle: Duration::from_secs(900),
        }
    }
}

/// What somebody orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrillOrder {
    pub upstream: Arc<str>,
    pub fault: Fault,
    /// Of the requests that may be hit.
    pub share: Percent,
    /// How long the fault is injected.
    pub lasts: Duration,
    pub reach: DrillReach,
    pub calls: DrillCalls,
    /// Who ordered it.
    pub actor: String,
    /// Why, in the words of whoever ordered it.
    pub reason: String,
}

/// What a drill is about, for the engine: which incidents are its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrillScope {
    /// Its name.
    pub id: Arc<str>,
    pub upstream: Arc<str>,
    /// Routes that lead to the upstream alone.
    pub routes: Vec<Arc<str>>,
    pub calls: DrillCalls,
    /// Exchanges whose bad end the drill has made, of those that the service's routes count.
    pub spoilt: u64,
}

impl DrillScope {
    /// Is an incident about `service`, for which `cause` is to blame, this drill's?
    pub fn covers(&self, service: &Arc<str>, cause: Option<&Arc<str>>) -> bool {
        *service == self.upstream
            || cause == Some(&self.upstream)
            || (cause.is_none() && self.routes.contains(service))
    }
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DrillPhase {
    /// Requests are hit.
    Injecting,
    /// None is hit any more; what it brought about goes by.
    Settling { since: At, end: DrillEnd },
    /// Its report is complete.
    Over { since: At, end: DrillEnd, at: At },
}

impl DrillPhase {
    /// As in the API.
    pub const LABELS: [&'static str; 3] = ["injecting", "settling", "over"];

    /// As in the API.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Injecting => "injecting",
            Self::Settling { .. } => "settling",
            Self::Over { .. } => "over",
        }
    }
}

/// What a look has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrillMoved {
    /// No request is hit from now on.
    Ended,
    /// Its incidents are nobody's drill from now on, and its report is complete.
    Over,
}

/// One drill, with what was measured so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drill {
    /// Its name.
    pub id: Arc<str>,
    pub order: DrillOrder,
    pub began: At,
    pub phase: DrillPhase,
    pub counts: DrillCounts,
    /// Its incidents, oldest first.
    pub incidents: Vec<DrillIncident>,
    /// When the upstream's breaker was first seen open.
    pub breaker_opened: Option<At>,
    /// Since when its breaker is seen closed again; `None`: it is not, or never opened.
    pub breaker_closed: Option<At>,
}

impl Drill {
    pub fn new(id: Arc<str>, order: DrillOrder, now: At) -> Self {
        Self {
            id,
            order,
            began: now,
            phase: DrillPhase::Injecting,
            counts: DrillCounts::default(),
            incidents: Vec::new(),
            breaker_opened: None,
            breaker_closed: None,
        }
    }

    /// Its moments by a clock that has made a step of `millis`.
    pub fn shift(&mut self, millis: i64) {
        let since = match &mut self.phase {
            DrillPhase::Injecting => None,
            DrillPhase::Settling { since, .. } | DrillPhase::Over { since, .. } => Some(since),
        };
        let breaker = [&mut self.breaker_opened, &mut self.breaker_closed].into_iter().flatten();
        for at in std::iter::once(&mut self.began).chain(since).chain(breaker) {
            *at = at.moved(millis);
        }
    }

    /// When the injection ends by itself.
    pub fn until(&self) -> At {
        self.began + self.order.lasts
    }

    /// When and why the injection ended; `None`: it goes on.
    pub fn ended(&self) -> Option<(At, &DrillEnd)> {
        match &self.phase {
            DrillPhase::Injecting => None,
            DrillPhase::Settling { since, end } | DrillPhase::Over { since, end, .. } => Some((*since, end)),
        }
    }

    /// One look, each second; what it has brought.
    pub fn look(&mut self, scene: &DrillScene, policy: &DrillPolicy, now: At) -> Option<DrillMoved> {
        if matches!(self.phase, DrillPhase::Over { .. }) {
            return None;
        }
        self.measure(scene, now);
        match &self.phase {
            DrillPhase::Injecting => {
                let trouble = scene.trouble(&self.counts, policy).map(DrillEnd::Aborted);
                let end = trouble.or_else(|| (now >= self.until()).then_some(DrillEnd::Window))?;
                self.phase = DrillPhase::Settling { since: now, end };
                Some(DrillMoved::Ended)
            }
            DrillPhase::Settling { since, end } => {
                let gone = self.incidents.iter().all(|one| !one.state.is_live());
                let calm = scene.breaker == BreakerState::Closed && now.since(*since) >= CALM;
                if !(gone && calm) && now.since(*since) < policy.settle {
                    return None;
                }
                self.phase = DrillPhase::Over { since: *since, end: end.clone(), at: now };
                Some(DrillMoved::Over)
            }
            DrillPhase::Over { .. } => None,
        }
    }

    /// Somebody ends the injection; false: it has ended already.
    pub fn stop(&mut self, actor: &str, now: At) -> bool {
        let injects = self.phase == DrillPhase::Injecting;
        if injects {
            let end = DrillEnd::Stopped { actor: actor.to_owned() };
            self.phase = DrillPhase::Settling { since: now, end };
        }
        injects
    }

    fn measure(&mut self, scene: &DrillScene, now: At) {
        self.counts = scene.counts;
        for seen in &scene.incidents {
            match self.incidents.iter_mut().find(|known| known.id == seen.id) {
                Some(known) => known.clone_from(seen),
                None => self.incidents.push(seen.clone()),
            }
        }
        if scene.breaker == BreakerState::Open {
            self.breaker_opened.get_or_insert(now);
        }
        match scene.breaker {
            BreakerState::Closed if self.breaker_opened.is_some() => {
                self.breaker_closed.get_or_insert(now);
            }
            BreakerState::Closed => {}
            BreakerState::Open | BreakerState::HalfOpen => self.breaker_closed = None,
        }
    }

    /// When the first request was hit; `None`: none was.
    pub fn first_hit(&self) -> Option<At> {
        self.counts.first_hit.map(|after| self.began + after)
    }

    /// From the first hit to the first suspicion.
    pub fn to_suspect(&self) -> Option<Duration> {
        let suspected = self.incidents.iter().map(|one| one.suspected).min()?;
        Some(suspected.since(self.first_hit()?))
    }

    /// From the first hit to the first incident that was confirmed: the time to detect.
    pub fn to_detect(&self) -> Option<Duration> {
        let opened = self.incidents.iter().filter_map(|one| one.opened).min()?;
        Some(opened.since(self.first_hit()?))
    }

    /// From the end of the injection to the moment from which all of its incidents were well and the breaker was closed: the
    /// time to recover. 0: that was so before. `None`: nothing was detected, or it is not so.
    pub fn to_recover(&self) -> Option<Duration> {
        let (ended, _) = self.ended()?;
        let confirmed = || self.incidents.iter().filter(|one| one.opened.is_some());
        let ill = confirmed().any(|one| one.recovered.is_none());
        let refuses = self.breaker_opened.is_some() && self.breaker_closed.is_none();
        if ill || refuses {
            return None;
        }
        let well = confirmed().filter_map(|one| one.recovered).chain(self.breaker_closed).max()?;
        Some(well.since(ended))
    }

    /// Who was called, each line once.
    pub fn called(&self) -> impl Iterator<Item = &str> {
        self.incidents.iter().flat_map(|one| one.called.iter().map(String::as_str))
    }
}

/// So long after the injection what it did may still come to light.
const CALM: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
