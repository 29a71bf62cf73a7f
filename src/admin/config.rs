//! Look at the config in force, read the file again.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
#[cfg(test)]
use utoipa::ToSchema;

use super::Admin;
use super::contract::ConfigView;
use super::error::{self, ApiError};
use super::observed::{Observed, Provenance};
use crate::config::diff::ConfigChange;
use crate::config::reload::{ReloadCause, ReloadOutcome};
use crate::control::AuditRecord;
use crate::runtime::clock;

/// The config in force and the last reload.
#[cfg_attr(test, utoipa::path(get, path = "/config", responses((status = 200, body = Observed<ConfigView>))))]
pub(super) async fn show(State(admin): State<Arc<Admin>>) -> Json<Observed<ConfigView>> {
    let status = admin.reloader.status();
    let view = ConfigView {
        path: status.path.map(|path| path.display().to_string()),
        generation: status.generation,
        hash: status.config.hash.clone(),
        loaded_at: clock::rfc3339(status.loaded_at),
        file_changed_at: status.file_changed_at.map(clock::rfc3339),
        last_reload: status.last,
        effective: status.config.effective(),
        origins: status.config.origins(),
    };
    Provenance::now().answer(&admin, view)
}

/// Who wants the file read again, and why.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(ToSchema))]
#[serde(default, deny_unknown_fields)]
pub(super) struct ReloadOrder {
    /// Who; "admin-api" without it.
    actor: Option<String>,
    /// Why; shown in the audit log.
    reason: Option<String>,
}

/// A config that was read again and is in force.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct Reloaded {
    /// What asked for it.
    cause: String,
    /// Who asked; "admin-api" where nobody is named.
    actor: String,
    /// The reason that was given.
    why: String,
    /// When it was read, RFC 3339.
    at: String,
    /// Of the config in force.
    generation: u64,
    /// Of the text of the config in force.
    hash: String,
    /// In force from now on.
    applied: Vec<ConfigChange>,
    /// Kept as it was until the next start.
    needs_restart: Vec<ConfigChange>,
}

impl Reloaded {
    fn of(outcome: ReloadOutcome) -> Self {
        let ReloadOutcome { cause, actor, reason, at, generation, hash, applied, needs_restart, .. } =
            outcome;
        Self { cause, actor, why: reason, at, generation, hash, applied, needs_restart }
    }
}

/// Read the config file again. 409: another reload has not ended, for a file hangs. 422: it cannot run, the last good one stays. Either way the audit log has it.
#[cfg_attr(test, utoipa::path(post, path = "/config/reload", request_body = ReloadOrder,
    responses((status = 200, body = Observed<Reloaded>), (status = 400), (status = 409), (status = 422), (status = 413))))]
pub(super) async fn reload(State(admin): State<Arc<Admin>>, body: Bytes) -> Result<Response, ApiError> {
    let order = super::request::body::<ReloadOrder>(&body)?;
    let actor = super::request::who(order.actor);
    let reason = order.reason.unwrap_or_else(|| "asked by the API".to_owned());
    let (target, action) = ("config".to_owned(), "config.reload");
    let asked = AuditRecord { actor: actor.clone(), action, target, reason: reason.clone() };
    let reloader = Arc::clone(&admin.reloader);
    let outcome =
        crate::runtime::tasks::apart(move || reloader.reload_for(ReloadCause::Api, actor.label(), &reason))
            .await;
    let outcome = outcome.transpose().map_err(ApiError::Reloading)?;
    // Its row, with what came of it, is written by whoever hears of every reload.
    admin.told(None, &asked);
    match outcome {
        Some(outcome) if outcome.refused.is_empty() => {
            Ok(Provenance::now().answer(&admin, Reloaded::of(outcome)).into_response())
        }
        Some(outcome) => Ok(error::config_refused(outcome)),
        None => Err(ApiError::Broken),
    }
}
