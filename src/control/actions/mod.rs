//! What recovery does: each act a task of its own, whose result comes back as an order with the act's generation.
//!
//! Refuses to know whether an act is right; that is decided in [`recovery`](crate::reliability::recovery). An act whose intent
//! is not on disk is done only where it stays within this process.

mod hook;
mod kubernetes;
mod unlink;

use std::sync::Arc;
use std::time::Duration;

use hook::Done;

use super::handle::{Order, Pending, PendingOrder};
use super::{
    BreakerChange, BreakerOrder, DegradationOrder, FailoverChange, FailoverOrdered, Handle, LevelChange,
    OrderedBy,
};
use crate::config::BoundHook;
use crate::names::{RunId, UpstreamName};
use crate::reliability::breaker::BreakerState;
use crate::reliability::degradation::{Level, LevelPolicy};
use crate::reliability::failover::Group;
use crate::reliability::recovery::{ActRequest, Action, Reach, RecoveryCommand, ReleaseRequest, StepResult};
use crate::runtime::drain::Drain;
use crate::runtime::{clock, tasks};
use crate::store::WriteReceipt;
use crate::telemetry::event::ProcessEvent;
use crate::upstream::Upstream;
use crate::upstream::registry::Registry;

/// How long the store may take to say that the intent is on disk.
const STORE: Duration = Duration::from_secs(5);
/// How long a degradation level lasts that a step has raised.
const DEGRADED: Duration = Duration::from_secs(600);
/// How long the backup endpoints of an upstream are called that a step has failed over to them, at most.
const FAILED_OVER: Duration = Duration::from_secs(600);
/// How often an autoscaler is looked at that was raised; where none is, once in so many of these looks.
const LOOK: Duration = Duration::from_secs(10);
const LOOKS_OF_NOTHING: u32 = 60;
/// A hold of a breaker lasts as long as its step is watched, within these bounds.
const HOLD: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));

/// Whoever acts. Clones are cheap.
#[derive(Clone)]
pub(super) struct Actions {
    registry: Arc<Registry>,
    handle: Handle,
    web: Arc<hook::Web>,
    cluster: Arc<kubernetes::Cluster>,
}

impl Actions {
    /// `handle`: the door through which breakers are ordered and results come back.
    pub(super) fn new(registry: Arc<Registry>, handle: Handle) -> Self {
        Self { registry, handle, web: Arc::default(), cluster: Arc::default() }
    }

    /// Does it, once `intent` is on disk.
    pub(super) fn begin(&self, request: ActRequest, intent: Option<WriteReceipt>) {
        let actions = self.clone();
        tasks::detach("recovery", "acting", async move {
            let (result, detail) = actions.act(&request, intent).await;
            let ActRequest { run, generation, .. } = request;
            let command = RecoveryCommand::Acted { run, generation, result, detail };
            let pending = Pending { order: Order { command, audit: None }, rows: Vec::new(), answer: None };
            // A process that leaves finds on disk that it was begun.
            let _ = actions.handle.asks.send(PendingOrder::Recovery(pending)).await;
        });
    }

    /// Lets an autoscaler down again whose time is over, until asked to leave. Whoever has raised it: this process or one before, in
    /// this pod or another.
    pub(super) async fn watch_autoscaler(self, drain: Drain) {
        for look in 0_u32.. {
            let config = self.registry.snapshot().config.recovery.kubernetes.clone();
            if let Some(config) = config.filter(|one| one.enabled)
                && (self.cluster.may_have_raised() || look.is_multiple_of(LOOKS_OF_NOTHING))
                && let Some(told) = self.cluster.let_down(&config).await
            {
                ProcessEvent::AutoscalerLetDown { told: &told }.tell();
            }
            tokio::select! {
                () = drain.requested() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Lets go what a run has put in force. What somebody else has put there since stays.
    pub(super) fn release(&self, held: ReleaseRequest) {
        let actions = self.clone();
        tasks::detach("recovery", "letting go", async move {
            let ReleaseRequest { run, plan, action, target } = held;
            let (actor, reason) = signature(&plan, &run);
            match action {
                Action::CircuitBreaker => {
                    let Ok(first) = actions.upstream(&target) else { return };
                    // It was held in the group that was called then.
                    let own = |group: &&Arc<Upstream>| {
                        let hold = group.gate.view(clock::instant()).hold;
                        hold.is_some_and(|hold| hold.actor == actor.label() && hold.reason == reason)
                    };
                    let Some(group) = first.groups().find(own) else { return };
                    let order = BreakerOrder {
                        gate: &group.gate,
                        upstream: &target,
                        name: &group.breaker.label,
                        change: BreakerChange::ReleaseOwn,
                        actor,
                        reason,
                    };
                    let _ = actions.handle.breaker(order, clock::now()).await;
                }
                Action::GracefulDegradation => {
                    let order = actions.handle.degradation().order;
                    if order.is_none_or(|order| order.actor != actor.label() || order.reason != reason) {
                        return;
                    }
                    let order = DegradationOrder { change: LevelChange::RestoreOwn, actor, reason };
                    let _ = actions.handle.degrade(order, clock::now()).await;
                }
                Action::ConnectionReset
                | Action::CacheClear
                | Action::Failover
                | Action::RestartService
                | Action::ScaleUp
                | Action::ScaleDown
                | Action::Rollback => {}
            }
        });
    }

    async fn act(&self, request: &ActRequest, intent: Option<WriteReceipt>) -> Done {
        let stored = match intent {
            Some(intent) => matches!(tokio::time::timeout(STORE, intent).await, Ok(Ok(()))),
            None => false,
        };
        if !stored && request.action.reach() == Reach::Application {
            let why = "that it is to be done could not be stored, so nobody would know of it after a restart";
            return (StepResult::NotPossible, why.to_owned());
        }
        match request.action {
            Action::CircuitBreaker => self.hold_breaker(request).await,
            Action::ConnectionReset => self.reset_connections(request),
            Action::GracefulDegradation => self.degrade(request).await,
            Action::Failover => match self.upstream(&request.target) {
                Ok(upstream) if upstream.backup.is_some() => self.fail_over(&upstream, request).await,
                Ok(_) | Err(_) => self.outside(request).await,
            },
            Action::CacheClear if self.hook(request.action).is_none() => self.clear_kept(request),
            Action::CacheClear
            | Action::RestartService
            | Action::ScaleUp
            | Action::ScaleDown
            | Action::Rollback => self.outside(request).await,
        }
    }

    /// To the backup endpoints of the target.
    async fn fail_over(&self, upstream: &Upstream, request: &ActRequest) -> Done {
        let name = upstream.config.name.clone();
        let Some(failover) = self.handle.failover(&name) else {
            return (StepResult::NotPossible, "its endpoints were not looked at yet".to_owned());
        };
        if failover.group() == Group::Backup {
            return (StepResult::Unneeded, "its backup endpoints are called already".to_owned());
        }
        if !failover.backup_serves() {
            return (StepResult::NotPossible, "its backup endpoints are no better off".to_owned());
        }
        let (actor, reason) = signature(&request.plan, &request.run);
        let change = FailoverChange::Backup(FAILED_OVER);
        let order = FailoverOrdered { upstream: name, change, actor, reason };
        let reply = self.handle.fail_over(order, clock::now()).await;
        match reply.and_then(|reply| reply.done) {
            Some(done) => (StepResult::Done, done),
            None => (StepResult::NotPossible, "it has no backup endpoints any more".to_owned()),
        }
    }

    /// By a hook, where one is written; else by the cluster.
    async fn outside(&self, request: &ActRequest) -> Done {
        let name = request.action.label();
        let cluster = || self.registry.snapshot().config.recovery.kubernetes.clone();
        match self.hook(request.action) {
            Some(hook) => self.web.run(&hook, request).await,
            None => match cluster().filter(|one| one.enabled && request.action.is_of_cluster()) {
                Some(config) => self.cluster.run(&config, request).await,
                None => (
                    StepResult::NotPossible,
                    format!("nothing here does it: [recovery.actions.{name}] is not written"),
                ),
            },
        }
    }

    fn hook(&self, action: Action) -> Option<BoundHook> {
        self.registry.snapshot().config.recovery.hooks.get(&action).cloned()
    }

    fn upstream(&self, target: &str) -> Result<Arc<Upstream>, Done> {
        let found = UpstreamName::new(target).ok();
        let found = found.and_then(|name| self.registry.snapshot().upstreams.get(&name).map(Arc::clone));
        found.ok_or_else(|| (StepResult::NotPossible, format!("{target:?} is no upstream of this sidecar")))
    }

    async fn hold_breaker(&self, request: &ActRequest) -> Done {
        let upstream = match self.upstream(&request.target) {
            Ok(first) => self.registry.snapshot().in_force(&first.config.name).map_or(first, Arc::clone),
            Err(done) => return done,
        };
        let moment = clock::now();
        let view = upstream.gate.view(moment.instant);
        if view.state == BreakerState::Open {
            return (StepResult::Unneeded, "it is open already".to_owned());
        }
        if let Some(hold) = view.hold {
            return (StepResult::NotPossible, format!("{} holds it closed", hold.actor));
        }
        let ttl = request.lasts.clamp(HOLD.0, HOLD.1);
        let (actor, reason) = signature(&request.plan, &request.run);
        let order = BreakerOrder {
            gate: &upstream.gate,
            upstream: &request.target,
            name: &upstream.breaker.label,
            change: BreakerChange::HoldOpen(ttl),
            actor,
            reason,
        };
        let _ = self.handle.breaker(order, moment).await;
        (StepResult::Done, format!("it is held open, for {} s at most", ttl.as_secs()))
    }

    /// The first level that says what it means.
    async fn degrade(&self, request: &ActRequest) -> Done {
        let policy = self.registry.snapshot().config.degradation.clone();
        let meant =
            (1..=Level::MOST).zip(&policy.levels).find(|(_, means)| **means != LevelPolicy::default());
        let Some(level) = meant.and_then(|(number, _)| Level::of(number)) else {
            let why = "no degradation level says what it means: write [degradation.level1]";
            return (StepResult::NotPossible, why.to_owned());
        };
        let view = self.handle.degradation();
        let held = view.directives.map_or(0, |held| held.level.number());
        if held >= level.number() {
            return (StepResult::Unneeded, format!("the level is {held} already"));
        }
        if let Some(order) = view.order {
            let told = format!("{} has ordered level {}", order.actor, order.level.number());
            return (StepResult::NotPossible, told);
        }
        let (actor, reason) = signature(&request.plan, &request.run);
        let order = DegradationOrder { change: LevelChange::Raise(level, DEGRADED), actor, reason };
        let _ = self.handle.degrade(order, clock::now()).await;
        (StepResult::Done, format!("level {}, for {} s at most", level.number(), DEGRADED.as_secs()))
    }

    /// Forgets the kept answers of the target's routes.
    fn clear_kept(&self, request: &ActRequest) -> Done {
        let target = &request.target;
        match self.handle.stale.clear(target) {
            (0, _) => (StepResult::Unneeded, format!("no kept answer is of {target}")),
            (answers, bytes) => {
                let told = format!("{answers} kept answers of {target} are forgotten, {bytes} bytes");
                (StepResult::Done, told)
            }
        }
    }

    fn reset_connections(&self, request: &ActRequest) -> Done {
        match self.upstream(&request.target) {
            Ok(upstream) => {
                let what = match upstream.renew() {
                    0 => "no session is there to reset".to_owned(),
                    open => format!("{open} connections take no new exchange"),
                };
                (StepResult::Done, format!("{what}, and its names are looked up again"))
            }
            Err(done) => done,
        }
    }
}

/// Who puts something in force for a run, and why: by both it is known again.
fn signature(plan: &str, run: &RunId) -> (OrderedBy, String) {
    (OrderedBy::Named(format!("recovery plan {plan}")), format!("step of {run}"))
}
