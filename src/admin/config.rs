//! Look at the config in force, read the file again.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Admin;
use super::error::ApiError;
use super::wire::{self, ConfigView, Observed};
use crate::config::reload::{Cause, Outcome};
use crate::control::Audited;
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
        effective: status.config.effective(),
    })
}

/// Who wants the file read again, and why.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ReloadOrder {
    /// Who; "admin-api" without it.
    actor: Option<String>,
    /// Why.
    reason: Option<String>,
}

/// Read the config file again. 409: another reload has not ended, for a file hangs. 422: it cannot run, the last good one stays. Either way the audit trail has it.
#[utoipa::path(post, path = "/config/reload", request_body = ReloadOrder,
    responses((status = 200, body = Observed<Outcome>), (status = 400), (status = 409), (status = 422), (status = 413)))]
pub(super) async fn reload(
    State(admin): State<Arc<Admin>>,
    body: Bytes,
) -> Result<(StatusCode, Json<Observed<Outcome>>), ApiError> {
    let order = super::asked::body::<ReloadOrder>(&body)?;
    let actor = super::asked::who(order.actor);
    let reason = order.reason.unwrap_or_else(|| "asked by the API".to_owned());
    let (target, action) = ("config".to_owned(), "config.reload");
    let asked = Audited { actor: actor.clone(), action, target, reason: reason.clone() };
    let reloader = Arc::clone(&admin.reloader);
    let outcome =
        crate::runtime::tasks::apart(move || reloader.reload_for(Cause::Api, &actor, &reason)).await;
    let outcome = outcome.transpose().map_err(ApiError::Reloading)?;
    // Its row, with what came of it, is written by whoever hears of every reload.
    admin.told(None, &asked);
    Ok(match outcome {
        Some(outcome) if outcome.refused.is_empty() => (StatusCode::OK, wire::now(outcome)),
        Some(outcome) => (StatusCode::UNPROCESSABLE_ENTITY, wire::now(outcome)),
        None => {
            let at = clock::rfc3339(clock::now().wall);
            let status = admin.reloader.status();
            let outcome = Outcome {
                cause: "api".to_owned(),
                actor: asked.actor,
                reason: asked.reason,
                at,
                generation: status.generation,
                hash: status.config.hash.clone(),
                applied: Vec::new(),
                needs_restart: Vec::new(),
                refused: Vec::new(),
            };
            (StatusCode::INTERNAL_SERVER_ERROR, wire::now(outcome))
        }
    })
}
