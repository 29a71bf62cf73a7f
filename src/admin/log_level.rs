//! Look at what is logged, order something else for a while, end the order.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
#[cfg(test)]
use utoipa::ToSchema;

use super::Admin;
use super::error::ApiError;
use super::observed::{Observed, Provenance};
use super::request::{self, ActorOrder, bad};
use crate::config::log_filter;
use crate::control::{ActedReply, LogChange, LogOrder};
use crate::runtime::clock::{self, Moment};
use crate::telemetry::logging::{Filter, FilterView};

/// An order about what is logged.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(ToSchema))]
#[serde(default, deny_unknown_fields)]
pub(super) struct LogLevelRequest {
    /// A level (off, error, warn, info, debug, trace) or tracing's directives, such as "info,strop=debug". Required.
    filter: Option<String>,
    /// How long, such as "10m"; at most 7 days. Required: it ends by itself.
    ttl: Option<String>,
    /// Why; shown to everybody.
    reason: Option<String>,
    /// Who; "admin-api" without it.
    actor: Option<String>,
}

/// What is logged, and by whose word.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct LogLevelView {
    /// The filter in force.
    filter: String,
    /// What `process.log` says, and is in force again when the order is over.
    configured: String,
    /// Who gave the order; null: there is none.
    actor: Option<String>,
    /// Why, as the order says; null: there is none.
    why: Option<String>,
    /// When the order was given, RFC 3339; null: there is none.
    since: Option<String>,
    /// When it ends by itself, RFC 3339; null: there is none.
    until: Option<String>,
}

/// What an order did.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct LogLevelChanged {
    /// As it is now.
    log_level: LogLevelView,
    /// Of the audit record.
    audit_id: String,
    /// That record is on disk. False: the store is off or away, and memory holds it.
    stored: bool,
    /// What was done, in words.
    note: String,
}

impl LogLevelView {
    fn of(filter: &Filter, moment: Moment) -> Self {
        let FilterView { configured, order } = filter.view();
        let wall = |at| clock::rfc3339(moment.wall_of(at));
        let (since, until) = order.as_ref().map(|order| (wall(order.since), wall(order.until))).unzip();
        let (filter, said) = match order {
            Some(order) => (order.filter, Some((order.actor, order.reason))),
            None => (configured.clone(), None),
        };
        let (actor, why) = said.unzip();
        Self { filter, configured, actor, why, since, until }
    }
}

/// The filter of this process.
fn filter(admin: &Admin) -> Result<&Filter, ApiError> {
    admin.telemetry.log_filter().ok_or_else(|| {
        let told = "what is logged is decided by another program around this one";
        ApiError::Stated(StatusCode::CONFLICT, "no_log_filter", told.to_owned(), "ask that program")
    })
}

/// What is logged: the filter in force, what the config says, and until when an order holds.
#[cfg_attr(test, utoipa::path(get, path = "/log-level",
    responses((status = 200, body = Observed<LogLevelView>), (status = 409))))]
pub(super) async fn show(State(admin): State<Arc<Admin>>) -> Result<Json<Observed<LogLevelView>>, ApiError> {
    let view = LogLevelView::of(filter(&admin)?, clock::now());
    Ok(Provenance::now().answer(&admin, view))
}

async fn obey(
    admin: &Admin,
    change: LogChange,
    actor: Option<String>,
    reason: Option<String>,
) -> Result<Json<Observed<LogLevelChanged>>, ApiError> {
    let (filter, moment) = (filter(admin)?, clock::now());
    let reason = reason.unwrap_or_else(|| "no reason given".to_owned());
    let order = LogOrder { change, actor: request::who(actor), reason };
    let done = admin.control.log_by(filter, order, moment).await;
    let ActedReply { done, record, audit_id, stored } = done.map_err(bad)?;
    let audit_id = admin.told(Some(audit_id), &record);
    let note = done.unwrap_or_else(|| "nothing to do: there was no order".to_owned());
    let log_level = LogLevelView::of(filter, moment);
    Ok(Provenance::now().answer(admin, LogLevelChanged { log_level, audit_id, stored, note }))
}

/// Log by another filter for a while; then what the config says is in force again. A reload does not end it, a restart does.
#[cfg_attr(test, utoipa::path(post, path = "/log-level", request_body = LogLevelRequest,
    responses((status = 200, body = Observed<LogLevelChanged>), (status = 400), (status = 409), (status = 413))))]
pub(super) async fn order(
    State(admin): State<Arc<Admin>>,
    body: Bytes,
) -> Result<Json<Observed<LogLevelChanged>>, ApiError> {
    let LogLevelRequest { filter, ttl, reason, actor } = request::body(&body)?;
    let example = "write {\"filter\": \"debug\", \"reason\": \"…\", \"ttl\": \"10m\"}";
    let filter = filter.ok_or_else(|| bad(format!("filter is missing; {example}")))?;
    log_filter(&filter).map_err(|problem| bad(format!("filter {problem}")))?;
    let ttl = ttl.ok_or_else(|| bad(format!("ttl is missing: an order ends by itself; {example}")))?;
    let change = LogChange::By(filter, request::ttl(&ttl, "10m")?);
    obey(&admin, change, actor, reason).await
}

/// End an order: what the config says is logged again.
#[cfg_attr(test, utoipa::path(post, path = "/log-level/release", request_body = ActorOrder,
    responses((status = 200, body = Observed<LogLevelChanged>), (status = 400), (status = 409), (status = 413))))]
pub(super) async fn release(
    State(admin): State<Arc<Admin>>,
    body: Bytes,
) -> Result<Json<Observed<LogLevelChanged>>, ApiError> {
    let ActorOrder { actor, reason } = request::body(&body)?;
    obey(&admin, LogChange::Release, actor, reason).await
}
