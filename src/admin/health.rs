//! Three questions that are not the same: does the sidecar live, may traffic come, how are the dependencies?

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::wire::{self, Observed};
use super::{Admin, upstreams};
use crate::control::Bypass;
use crate::reliability::breaker::BreakerState;
use crate::reliability::readings::ResourceReading;
use crate::runtime::{clock, fds};
use crate::upstream::Upstream;

/// Alive: whoever answers is.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Ready for traffic. A dependency that is down never makes the pod unready.
pub(super) async fn readyz(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    let reasons = admin.readiness.reasons();
    if reasons.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", reasons.join(", ")))
    }
}

/// healthy, degraded, unhealthy, or unknown when nobody has called or checked it.
fn dependency(upstream: &Upstream) -> Value {
    let moment = clock::now();
    let view = upstream.gate.view(moment.instant);
    let endpoints = upstream.endpoints.load();
    let checked = upstream.config.health.is_some();
    let healthy = endpoints.iter().filter(|endpoint| endpoint.is_healthy()).count();
    let seen = upstream.series.verdicts().iter().sum::<u64>() > 0;
    let status = match view.state {
        BreakerState::Open => "unhealthy",
        _ if endpoints.is_empty() => "unhealthy",
        _ if checked && healthy == 0 => "unhealthy",
        BreakerState::HalfOpen => "degraded",
        BreakerState::Closed
            if view.consecutive > 0 || view.ramping || (checked && healthy < endpoints.len()) =>
        {
            "degraded"
        }
        BreakerState::Closed if seen || checked => "healthy",
        BreakerState::Closed => "unknown",
    };
    let source = if checked { "probed" } else { "observed" };
    let note = (status == "unknown")
        .then_some("not observable yet: nobody has called it and no check is configured");
    json!({
        "name": upstream.config.name.as_str(),
        "status": status,
        "source": source,
        "note": note,
        "circuit_breaker": view.state.label(),
        "why": view.why.map(crate::reliability::breaker::Why::told),
        "endpoints": endpoints.len(),
        "endpoints_healthy": checked.then_some(healthy),
    })
}

/// Liveness, readiness and dependencies.
#[utoipa::path(get, path = "/health/comprehensive", responses((status = 200, description = "state of the sidecar and its dependencies")))]
pub(super) async fn comprehensive(State(admin): State<Arc<Admin>>) -> Json<Observed<Value>> {
    let moment = clock::now();
    let dependencies: Vec<Value> =
        upstreams::sorted(&admin).iter().map(|upstream| dependency(upstream)).collect();
    let is = |wanted: &str| dependencies.iter().any(|dependency| dependency["status"] == wanted);
    let status = if is("unhealthy") {
        "degraded"
    } else if is("degraded") {
        "recovering"
    } else {
        "healthy"
    };
    let reasons = admin.readiness.reasons();
    let uptime = moment.instant.saturating_duration_since(admin.started.instant);
    let config = admin.reloader.status();
    let config_ok = config.last.as_ref().is_none_or(|last| last.refused.is_empty());
    let listeners: Value = admin
        .telemetry
        .listener_counts()
        .into_iter()
        .map(|(name, n)| (name, json!(n)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let roots = upstreams::sorted(&admin)
        .iter()
        .find_map(|upstream| upstream.tls.as_ref().map(|tls| tls.roots.label()));
    wire::now(json!({
        "status": status,
        "sidecar": {
            "alive": true,
            "ready": reasons.is_empty(),
            "not_ready_because": reasons,
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_seconds": uptime.as_secs_f64(),
            "connections": listeners,
            "file_descriptors": { "in_use": fds::in_use(), "limit": fds::limit() },
            "buffers": buffers(&admin),
            "panics": admin.telemetry.process.panics.load(Ordering::Relaxed),
            "tls_roots": roots,
        },
        "config": { "generation": config.generation, "hash": config.config.hash, "last_reload_ok": config_ok },
        "store": store(&admin),
        "fleet": fleet(&admin),
        "heartbeat": heartbeat(&admin),
        "resources": resources(&admin),
        "bypass": bypass(&admin),
        "incidents_open": admin.control.board().open(),
        "dependencies": dependencies,
    }))
}

/// What is buffered of traffic, in bytes; null: not observable.
fn buffers(admin: &Admin) -> Value {
    let memory = &admin.telemetry.memory;
    json!({
        "limit": memory.limit(),
        "process": memory.buffers(),
        "kernel": memory.kernel(),
        "short": memory.is_tight(),
    })
}

/// Who outside is told that all is watched; null: nobody.
fn heartbeat(admin: &Admin) -> Option<Value> {
    let status = admin.reloader.status();
    let heartbeat = status.config.heartbeat.as_ref()?;
    let beaten = admin.telemetry.people.heartbeat();
    let heard = beaten.as_ref().and_then(|beaten| beaten.heard_at);
    Some(json!({
        "every_seconds": heartbeat.every.as_secs(),
        "last_heard_at": heard.map(|at| clock::rfc3339(UNIX_EPOCH + Duration::from_secs(at))),
        "last_outcome": beaten.map(|beaten| beaten.last),
    }))
}

/// Who else is there and who calls people; null: this is the only one.
fn fleet(admin: &Admin) -> Option<Value> {
    let board = admin.control.board();
    let fleet = board.fleet.as_ref()?;
    let records = admin.control.records();
    let member = |one: &crate::control::MemberView| {
        json!({
            "name": one.name,
            "boot": one.boot,
            "self": *one.boot == *records.boot(),
            "age_seconds": one.age.as_secs_f64(),
            "alerts": one.sees,
        })
    };
    Some(json!({
        "member": records.member(),
        "duty": fleet.duty.label(),
        "since": super::incidents_wire::when(fleet.since),
        "holder": fleet.holder,
        "count": fleet.count,
        "members": fleet.members.iter().map(member).collect::<Vec<_>>(),
    }))
}

/// How near its end is what it lives on; `used` null: not observable. The application's own use is not, from a sidecar.
fn resources(admin: &Admin) -> Vec<Value> {
    let board = admin.control.board();
    let one = |one: &ResourceReading| {
        json!({
            "resource": one.what.label(),
            "which": *one.which,
            "used": one.used,
            "source": one.source,
            "age_seconds": board.at.since(one.sampled).as_secs_f64(),
        })
    };
    board.resources.iter().map(one).collect()
}

/// Connections of the pod that go out beside the egress; null: not observable, and why.
fn bypass(admin: &Admin) -> Value {
    let board = admin.control.board();
    let seen = match &board.bypass {
        Bypass::NotObservable(why) => {
            return json!({ "connections": null, "note": format!("not observable: {why}") });
        }
        Bypass::Observed(seen) => seen,
    };
    let examples = seen.examples.iter().map(|(address, upstream, many)| {
        json!({ "address": address.to_string(), "upstream": upstream, "connections": many })
    });
    let cut = "this machine has more connections than are looked at: there may be more that pass by";
    json!({
        "ports": seen.ports,
        "connections": seen.passing.values().map(|one| one.open).sum::<u64>(),
        "connections_total": seen.passing.values().map(|one| one.total).sum::<u64>(),
        "examples": examples.collect::<Vec<_>>(),
        "note": seen.cut.then_some(cut),
        "age_seconds": admin.control.now().since(seen.at).as_secs_f64(),
    })
}

/// How the store is; null: it is off.
fn store(admin: &Admin) -> Option<Value> {
    let status = admin.control.records().status()?;
    Some(json!({
        "state": status.state.as_str(),
        "since": super::incidents_wire::when(crate::units::At(status.since)),
        "database": status.database,
        "backlog": status.backlog,
        "backlog_limit": status.backlog_limit,
        "last_error": status.last_error,
        "moved_aside": status.moved_aside.map(|moved| moved.to.display().to_string()),
        "audit_head": status.audit_head.map(|head| head.to_string()),
        "committed": status.committed,
        "refused": status.refused,
        "dropped_samples": status.dropped_samples,
        "backup": admin.control.records().backups().status().map(backup),
    }))
}

/// How the copies of the store are.
fn backup(status: crate::control::BackupStatus) -> Value {
    let failing =
        status.failing.map(|(since, why)| json!({ "since": clock::rfc3339(since), "last_error": why }));
    json!({
        "last_good": status.last.map(|copy| json!({
            "file": copy.path.display().to_string(),
            "at": clock::rfc3339(copy.at),
            "bytes": copy.bytes,
            "took_seconds": copy.took.map(|took| took.as_secs_f64()),
        })),
        "failing": failing,
        "good": status.good,
        "failed": status.failed,
    })
}
