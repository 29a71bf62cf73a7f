//! Three questions that are not the same: does the sidecar live, may traffic come, how are the dependencies?

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use super::Admin;
use super::health_view::HealthView;
use super::observed::{Observed, Provenance};
use crate::runtime::clock;

/// Alive: whoever answers is.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Ready for traffic. A dependency that is down never makes the pod unready.
pub(super) async fn readyz(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    let reasons = admin.readiness.reasons(clock::instant());
    if reasons.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", reasons.join(", ")))
    }
}

/// Liveness, readiness and dependencies: how the whole is and why, then what that was decided by.
#[cfg_attr(test, utoipa::path(get, path = "/health/comprehensive", responses((status = 200, body = Observed<HealthView>))))]
pub(super) async fn comprehensive(State(admin): State<Arc<Admin>>) -> Json<Observed<HealthView>> {
    let snapshot = admin.control.snapshot();
    Provenance::looked(&admin, &snapshot).answer(&admin, HealthView::of(&admin, &snapshot))
}
