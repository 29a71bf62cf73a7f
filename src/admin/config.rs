//! Look at the config in force, read the file again, see who changed what.

use std::sync::{Arc, PoisonError};

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;

use super::Admin;
use super::wire::{self, Audit, ConfigView, Observed};
use crate::config::reload::{Cause, Outcome};
use crate::config::show::effective;
use crate::runtime::clock;

/// The config in force and the last reload.
#[utoipa::path(get, path = "/config", responses((status = 200, body = Observed<ConfigView>)))]
pub(super) async fn show(State(admin): State<Arc<Admin>>) -> Json<Observed<ConfigView>> {
    let status = admin.reloader.status();
    wire::now(ConfigView {
        path: status.path.map(|path| path.display().to_string()),
        generation: status.generation,
        hash: status.config.hash.clone(),
        loaded_at: clock::rfc3339(status.loaded_at),
        file_changed_at: status.file_changed_at.map(clock::rfc3339),
        last_reload: status.last,
        effective: effective(&status.config),
    })
}

/// Read the config file again. 422: it cannot run, the last good one stays.
#[utoipa::path(post, path = "/config/reload", responses((status = 200, body = Observed<Outcome>), (status = 422)))]
pub(super) async fn reload(
    State(admin): State<Arc<Admin>>,
    _: Bytes,
) -> (StatusCode, Json<Observed<Outcome>>) {
    let reloader = Arc::clone(&admin.reloader);
    let outcome = crate::runtime::tasks::blocking(move || reloader.reload(Cause::Api)).await;
    admin.audited("admin-api", "config.reload", "config", "asked by the API");
    match outcome {
        Some(outcome) if outcome.refused.is_empty() => (StatusCode::OK, wire::now(outcome)),
        Some(outcome) => (StatusCode::UNPROCESSABLE_ENTITY, wire::now(outcome)),
        None => {
            let at = clock::rfc3339(clock::now().wall);
            let generation = admin.reloader.status().generation;
            let cause = "api".to_owned();
            let outcome = Outcome {
                cause,
                at,
                generation,
                applied: Vec::new(),
                needs_restart: Vec::new(),
                refused: Vec::new(),
            };
            (StatusCode::INTERNAL_SERVER_ERROR, wire::now(outcome))
        }
    }
}

/// Mutations since the start.
#[utoipa::path(get, path = "/audit", responses((status = 200, body = Observed<Audit>)))]
pub(super) async fn audit(State(admin): State<Arc<Admin>>) -> Json<Observed<Audit>> {
    let mutations = admin.audit.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
    wire::now(Audit { mutations })
}
