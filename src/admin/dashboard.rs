//! The whole at a glance: what the page shows first, and the guide's `curl …/dashboard`.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
#[cfg(test)]
use utoipa::ToSchema;

use super::contract::DependencyView;
use super::contract::moment::when;
use super::observed::{Observed, Provenance};
use super::uptime::{self, SloView, Span};
use super::{Admin, dependencies, outbox};
use crate::control::{LevelView, Snapshot};
use crate::reliability::breaker::BreakerState;
use crate::reliability::brief;
use crate::reliability::failover::Group;
use crate::reliability::health::Health;
use crate::reliability::incident::Incident;
use crate::runtime::clock;
use crate::units::Written as _;
use crate::upstream::Upstream;

/// An incident that is not over.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct LiveIncident {
    pub(super) id: String,
    pub(super) title: String,
    /// critical, high, medium or low.
    pub(super) severity: &'static str,
    /// suspected, open, acknowledged, mitigating or monitoring.
    pub(super) state: &'static str,
    pub(super) service: String,
    /// The first bad event, RFC 3339.
    pub(super) began_at: String,
    /// null: nobody has taken it.
    pub(super) acknowledged_by: Option<String>,
    /// null: nobody is in charge.
    pub(super) assignee: Option<String>,
    /// Nobody had taken it when it was late to respond.
    pub(super) response_breached: bool,
}

/// Uptime of the service.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct ServiceUptime {
    /// What is promised, 0 to 1.
    pub(super) target: f64,
    /// 24h, 7d and 30d.
    pub(super) windows: Vec<Span>,
}

/// Writes that are queued.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct QueuedWrites {
    /// They are to be sent.
    pub(super) waiting: usize,
    /// They could not be delivered, and wait for a person.
    pub(super) dead: usize,
}

/// How it is, in one sentence and in the numbers beside it.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct Dashboard {
    /// The state in one sentence: the worst incident that is not over, since when, who has it.
    pub(super) sentence: String,
    /// Since when, RFC 3339; null: no incident lives.
    pub(super) since: Option<String>,
    pub(super) version: &'static str,
    /// The name of the sidecar, as `process.name` says.
    pub(super) process: String,
    pub(super) uptime_seconds: f64,
    /// Incidents that are not over, the worst first, a hundred at most.
    pub(super) incidents: Vec<LiveIncident>,
    /// What Strop does now that it does not do on a quiet day, a text each.
    pub(super) doing: Vec<String>,
    pub(super) upstreams: Vec<DependencyView>,
    /// null: the ledger has nothing of the service yet.
    pub(super) uptime: Option<ServiceUptime>,
    pub(super) budget: SloView,
    /// 0 (nothing is given up) to 3.
    pub(super) degradation_level: u8,
    /// null: there is no outbox.
    pub(super) outbox: Option<QueuedWrites>,
    /// ok, unreachable, full, damaged, gone or replaced; null: the store is off.
    pub(super) store: Option<&'static str>,
    /// What this member's part in the fleet is; null: it is the only one.
    pub(super) fleet: Option<String>,
}

/// Incidents in one answer.
const MOST: usize = 100;

impl LiveIncident {
    fn of(one: &Incident) -> Self {
        Self {
            id: one.id.to_string(),
            title: one.title.clone(),
            severity: one.severity.label(),
            state: one.state.label(),
            service: one.key.service.to_string(),
            began_at: when(one.clocks.began),
            acknowledged_by: one.acknowledged_by.clone(),
            assignee: one.assignee.clone(),
            response_breached: one.breached,
        }
    }
}

impl Dashboard {
    /// `health`: of the whole.
    pub(super) fn of(admin: &Admin, snapshot: &Snapshot, health: &Health) -> Self {
        let mut live: Vec<&Incident> =
            snapshot.incidents.iter().map(|one| &**one).filter(|one| one.state.is_live()).collect();
        live.sort_by_key(|one| brief::rank(one));
        let (sentence, since) = brief::sentence(&live, health, admin.control.now());
        let upstreams = dependencies::sorted(admin);
        let service = snapshot.uptime.get(crate::control::SERVICE);
        let queued = admin.control.queued().map(|all| outbox::sums(&all));
        let level = admin.control.degradation();
        Self {
            sentence,
            since: since.map(when),
            version: env!("CARGO_PKG_VERSION"),
            process: admin.control.records().member().to_owned(),
            uptime_seconds: clock::instant().saturating_duration_since(admin.started.instant).as_secs_f64(),
            incidents: live.iter().take(MOST).map(|one| LiveIncident::of(one)).collect(),
            doing: doing(admin, snapshot, &upstreams, &level),
            upstreams: upstreams.iter().map(|one| dependencies::dependency(admin, one).1).collect(),
            uptime: service.map(|windows| ServiceUptime {
                target: uptime::promised(admin),
                windows: uptime::spans(windows),
            }),
            budget: SloView::of(admin, snapshot),
            degradation_level: level.directives.as_ref().map_or(0, |directives| directives.level.number()),
            outbox: queued.map(|sums| QueuedWrites { waiting: sums.waiting, dead: sums.dead }),
            store: admin.control.records().status().map(|status| status.state.as_str()),
            fleet: snapshot.fleet.as_ref().map(|fleet| {
                let holder = fleet.holder.as_deref().unwrap_or("not known who");
                format!(
                    "{} of {} members; the duty to call people has: {holder}",
                    fleet.duty.label(),
                    fleet.count
                )
            }),
        }
    }
}

/// What is not as on a quiet day: breakers, groups of endpoints, the level, runs, drills.
fn doing(admin: &Admin, snapshot: &Snapshot, upstreams: &[Arc<Upstream>], level: &LevelView) -> Vec<String> {
    let now = clock::instant();
    let mut all: Vec<String> = upstreams.iter().filter_map(|one| breaker(one, now)).collect();
    let world = admin.registry.snapshot();
    let serving = world.serving().filter(|one| one.group == Group::Backup);
    all.extend(serving.map(|one| format!("{}: its backup endpoints are called", one.config.name)));
    if let Some(directives) = &level.directives {
        let why = directives.why(level.order.as_ref());
        all.push(format!("degradation level {} is in force: {why}", directives.level.number()));
    }
    for run in snapshot.recovery.runs.iter().filter(|run| run.is_live()) {
        let dry = if run.dry_run { " (dry run)" } else { "" };
        let (plan, target, phase) = (&run.plan, &run.target, run.phase.label());
        all.push(format!("recovery plan {plan} runs for {target}{dry}: pass {}, {phase}", run.attempt));
    }
    for drill in admin.control.drills().iter().filter(|drill| drill.ended().is_none()) {
        let order = &drill.order;
        let (fault, upstream) = (order.fault.label(), &order.upstream);
        all.push(format!("a drill puts {fault} into {} of the requests of {upstream}", order.share));
    }
    all
}

/// What the breaker of an upstream keeps from it.
fn breaker(upstream: &Upstream, now: Instant) -> Option<String> {
    let (name, view) = (&upstream.config.name, upstream.gate.view(now));
    let left = |until: Instant| until.saturating_duration_since(now);
    let whole = |span: std::time::Duration| std::time::Duration::from_secs(span.as_secs()).write();
    if let Some(hold) = &view.hold {
        let (state, reason) = (hold.state.label(), &hold.reason);
        let ends = whole(left(hold.until));
        return Some(format!(
            "{name}: its breaker is held {state} for {ends} more by {}: {reason}",
            hold.actor
        ));
    }
    match view.state {
        BreakerState::Open => {
            let next = view
                .open_until
                .map_or_else(String::new, |until| format!("; the next probe is in {}", whole(left(until))));
            Some(format!("{name}: its breaker is open, and requests are refused at once{next}"))
        }
        BreakerState::HalfOpen => Some(format!("{name}: its breaker lets probes through")),
        BreakerState::Closed if view.ramping => {
            Some(format!("{name}: its breaker has closed, and traffic grows back"))
        }
        BreakerState::Closed => None,
    }
}

/// The whole at a glance: the state in one sentence, what is the matter, what Strop does about it, and the numbers beside it.
#[cfg_attr(test, utoipa::path(get, path = "/dashboard", responses((status = 200, body = Observed<Dashboard>))))]
pub(super) async fn dashboard(State(admin): State<Arc<Admin>>) -> Json<Observed<Dashboard>> {
    let snapshot = admin.control.snapshot();
    let health = dependencies::of_the_whole(&admin);
    let view = Dashboard::of(&admin, &snapshot, &health);
    Provenance::looked(&admin, &snapshot).of(health).answer(&admin, view)
}
