//! Three questions that are not the same: does the sidecar live, may traffic come, how are the dependencies?

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use super::contract::DependencyView;
use super::health_view::HealthView;
use super::observed::{Observed, Provenance, Source};
use super::{Admin, upstreams};
use crate::reliability::breaker::TransitionCause;
use crate::reliability::health::{self, Dependency, Facts, Health};
use crate::runtime::clock;
use crate::store;
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

/// How a dependency is, as the core decides it.
pub(super) fn dependency(upstream: &Upstream) -> (Health, DependencyView) {
    let view = upstream.gate.view(clock::instant());
    let endpoints = upstream.endpoints.load();
    let (passed, missed) = upstream.series.checks();
    let checked = upstream.config.health.is_some() && passed + missed > 0;
    let passing = checked.then(|| endpoints.iter().filter(|endpoint| endpoint.is_healthy()).count());
    let facts = Dependency {
        breaker: view.shadow_state.unwrap_or(view.state),
        shadow: view.shadow_state.is_some(),
        why: view.why.map(TransitionCause::describe),
        held: view.hold.as_ref().map(|hold| hold.reason.clone()),
        ramping: view.ramping,
        bad_in_a_row: view.bad_in_a_row,
        endpoints: endpoints.len(),
        passing,
        seen: upstream.series.verdicts().iter().sum::<u64>() > 0,
    };
    let health = facts.health();
    let told = DependencyView {
        name: upstream.config.name.as_str().to_owned(),
        status: health.status.label(),
        reason: health.reason.clone(),
        source: if checked { Source::Probed } else { Source::Observed },
        circuit_breaker: view.state.label(),
        why: facts.why,
        endpoints: endpoints.len(),
        endpoints_healthy: passing,
    };
    (health, told)
}

/// How the whole is, as the core decides it.
pub(super) fn of_the_whole(admin: &Admin) -> Health {
    let dependencies: Vec<_> = upstreams::sorted(admin).iter().map(|one| dependency(one)).collect();
    let backend = admin.registry.snapshot();
    let backend = backend.config.ingress.as_ref().map(|ingress| ingress.upstream.as_str());
    let of = |(health, view): (Health, DependencyView)| {
        let is_backend = Some(&*view.name) == backend;
        (view.name, is_backend, health)
    };
    let snapshot = admin.control.snapshot();
    let looked = snapshot.looked.map(|at| clock::instant().saturating_duration_since(at.instant));
    let refused = admin.reloader.status().last.and_then(|last| last.refused.into_iter().next());
    let store = admin.control.records().status().map(|status| status.state);
    let facts = Facts {
        looked,
        incidents: snapshot.incidents.iter().filter_map(|one| health::of_incident(one)).collect(),
        dependencies: dependencies.into_iter().map(of).collect(),
        config_refused: refused.map(|problem| format!("{} {}", problem.path, problem.message)),
        store: store
            .filter(|state| *state != store::DatabaseState::Ok)
            .map(|state| state.as_str().to_owned()),
        not_ready: admin.readiness.reasons().into_iter().map(str::to_owned).collect(),
    };
    facts.health()
}

/// Liveness, readiness and dependencies: how the whole is and why, then what that was decided by.
#[utoipa::path(get, path = "/health/comprehensive", responses((status = 200, body = Observed<HealthView>)))]
pub(super) async fn comprehensive(State(admin): State<Arc<Admin>>) -> Json<Observed<HealthView>> {
    let snapshot = admin.control.snapshot();
    Provenance::looked(&admin, &snapshot).answer(&admin, HealthView::of(&admin, &snapshot))
}
