//! Look at incidents; take them, write on them, end them; open one to see that people are reached.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Admin;
use super::error::ApiError;
use super::incidents_wire::{Changed, IncidentOrder, IncidentView, Incidents, TestOrder};
use super::wire::{self, Observed};
use crate::control::{Audited, Order};
use crate::names::IncidentId;
use crate::reliability::desk::{Command, Reply};
use crate::reliability::incident::{Force, Incident};
use crate::reliability::rule::Severity;
use crate::store::IncidentFilter;

/// Incidents of one answer unless told otherwise.
const USUAL: u32 = 50;
/// The most of one answer.
const MOST: u32 = 500;

/// Which incidents, and how many.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Wanted {
    /// suspected, open, acknowledged, mitigating, monitoring, resolved, reviewed or cleared.
    state: Option<String>,
    /// critical, high, medium or low.
    severity: Option<String>,
    /// An upstream's name, or what else it is about.
    service: Option<String>,
    /// true: also those that are over. Without it, those that are not.
    all: bool,
    /// 1 to 500; 50 without it.
    limit: Option<u32>,
    /// `next` of the answer before.
    cursor: Option<String>,
}

/// Incidents, the youngest first: those that are not over, or all.
#[utoipa::path(get, path = "/incidents", params(Wanted),
    responses((status = 200, body = Observed<Incidents>), (status = 400), (status = 503)))]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Observed<Incidents>>, ApiError> {
    let board = admin.control.board();
    let limit = wanted.limit.unwrap_or(USUAL).clamp(1, MOST);
    let fits = |one: &Incident| {
        (wanted.all || wanted.state.is_some() || one.state.is_live())
            && wanted.state.as_deref().is_none_or(|state| state == one.state.label())
            && wanted.severity.as_deref().is_none_or(|severity| severity == one.severity.label())
            && wanted.service.as_deref().is_none_or(|service| service == &*one.key.service)
    };
    let at_hand: Vec<_> = board.incidents.iter().filter(|one| fits(one)).collect();
    let over = ["resolved", "reviewed", "cleared"];
    let live = !wanted.all && wanted.state.as_deref().is_none_or(|state| !over.contains(&state));
    let open = board.open();
    // What is not over is all at hand; what is over is looked for on disk, where there is one.
    let stored = if live { None } else { stored(&admin, &wanted, limit).await? };
    let (incidents, next) = match stored {
        Some((found, next)) => (found, next),
        None => {
            let shown = at_hand.iter().take(limit as usize);
            (shown.map(|one| IncidentView::of(one, &board)).collect(), None)
        }
    };
    Ok(wire::now(Incidents { open, count: incidents.len(), incidents, next }))
}

type Found = Option<(Vec<IncidentView>, Option<String>)>;

async fn stored(admin: &Admin, wanted: &Wanted, limit: u32) -> Result<Found, ApiError> {
    let filter = IncidentFilter {
        state: wanted.state.clone(),
        severity: wanted.severity.clone(),
        service: wanted.service.clone(),
        ..IncidentFilter::default()
    };
    let board = admin.control.board();
    let page = admin.control.records().search(&filter, wanted.cursor.as_deref(), limit).await?;
    Ok(page.map(|page| {
        let newest = |one: &Incident| match board.incident(&one.id) {
            Some(at_hand) => IncidentView::of(at_hand, &board),
            None => IncidentView::of(one, &board),
        };
        (page.rows.iter().map(newest).collect(), page.next)
    }))
}

/// One incident with its timeline.
#[utoipa::path(get, path = "/incidents/{id}", params(("id" = String, Path,)),
    responses((status = 200, body = Observed<IncidentView>), (status = 404), (status = 503)))]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
) -> Result<Json<Observed<IncidentView>>, ApiError> {
    let id = named(&id)?;
    let board = admin.control.board();
    if let Some(incident) = board.incident(&id) {
        return Ok(wire::now(IncidentView::whole(incident, &board)));
    }
    match admin.control.records().find(&id).await? {
        Some(incident) => Ok(wire::now(IncidentView::whole(&incident, &board))),
        None => Err(ApiError::UnknownIncident { id: id.as_str().to_owned() }),
    }
}

fn named(id: &str) -> Result<IncidentId, ApiError> {
    IncidentId::read(id).ok_or_else(|| ApiError::UnknownIncident { id: id.to_owned() })
}

pub(super) fn read<T: Default + serde::de::DeserializeOwned>(body: &Bytes) -> Result<T, ApiError> {
    if body.trim_ascii().is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(body).map_err(|error| ApiError::BadBody { problem: error.to_string() })
}

pub(super) fn who(actor: Option<String>) -> String {
    actor.filter(|actor| !actor.trim().is_empty()).unwrap_or_else(|| "admin-api".to_owned())
}

/// Gives the order and shows what it brought.
async fn order(
    admin: &Admin,
    command: Command,
    action: &'static str,
    actor: String,
    reason: String,
) -> Result<Json<Observed<Changed>>, ApiError> {
    let target = match &command {
        Command::Open { service, .. } => service.clone(),
        Command::Ack { id, .. }
        | Command::Note { id, .. }
        | Command::Assign { id, .. }
        | Command::Rate { id, .. }
        | Command::Act { id, .. }
        | Command::Evidence { id, .. }
        | Command::Resolve { id, .. }
        | Command::Review { id, .. }
        | Command::Delivered { id, .. } => id.as_str().to_owned(),
        Command::Silence(_) | Command::EndSilence { .. } => String::new(),
    };
    let audit = Audited { actor, action, target, reason };
    let done = admin.control.order(Order { command, audit: Some(audit.clone()) }).await;
    let done = done.ok_or(ApiError::Leaving)??;
    let audit_id = admin.told(done.audit_id, &audit);
    match done.reply {
        Reply::Incident(incident) => {
            let incident = IncidentView::whole(&incident, &admin.control.board());
            Ok(wire::now(Changed { incident, audit_id, stored: done.stored }))
        }
        Reply::Silence(_) => Err(ApiError::Leaving),
    }
}

/// Take an incident: nobody else is called about it.
#[utoipa::path(post, path = "/incidents/{id}/ack", params(("id" = String, Path,)), request_body = IncidentOrder,
    responses((status = 200, body = Observed<Changed>), (status = 404), (status = 409)))]
pub(super) async fn ack(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Observed<Changed>>, ApiError> {
    let (id, said) = (named(&id)?, read::<IncidentOrder>(&body)?);
    let actor = who(said.actor);
    let command = Command::Ack { id, actor: actor.clone() };
    order(&admin, command, "incident.ack", actor, said.reason.unwrap_or_default()).await
}

/// End an incident. While its condition holds that is refused with 409, unless `force` is true.
#[utoipa::path(post, path = "/incidents/{id}/resolve", params(("id" = String, Path,)), request_body = IncidentOrder,
    responses((status = 200, body = Observed<Changed>), (status = 404), (status = 409)))]
pub(super) async fn resolve(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Observed<Changed>>, ApiError> {
    let (id, said) = (named(&id)?, read::<IncidentOrder>(&body)?);
    let actor = who(said.actor);
    let reason = said.reason.unwrap_or_else(|| "no reason given".to_owned());
    let force = if said.force { Force::Forced } else { Force::Asked };
    let command = Command::Resolve { id, actor: actor.clone(), reason: reason.clone(), force };
    order(&admin, command, "incident.resolve", actor, reason).await
}

/// Write something onto the timeline.
#[utoipa::path(post, path = "/incidents/{id}/note", params(("id" = String, Path,)), request_body = IncidentOrder,
    responses((status = 200, body = Observed<Changed>), (status = 400), (status = 404)))]
pub(super) async fn note(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Observed<Changed>>, ApiError> {
    let (id, said) = (named(&id)?, read::<IncidentOrder>(&body)?);
    let actor = who(said.actor);
    let text = said.text.unwrap_or_default();
    let command = Command::Note { id, actor: actor.clone(), text: text.clone() };
    order(&admin, command, "incident.note", actor, text).await
}

/// Put somebody in charge.
#[utoipa::path(post, path = "/incidents/{id}/assign", params(("id" = String, Path,)), request_body = IncidentOrder,
    responses((status = 200, body = Observed<Changed>), (status = 400), (status = 404)))]
pub(super) async fn assign(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Observed<Changed>>, ApiError> {
    let (id, said) = (named(&id)?, read::<IncidentOrder>(&body)?);
    let actor = who(said.actor);
    let to = said.to.unwrap_or_default();
    let command = Command::Assign { id, actor: actor.clone(), to: to.clone() };
    order(&admin, command, "incident.assign", actor, to).await
}

/// Open an incident by hand, to see that it is shown and that people are reached.
#[utoipa::path(post, path = "/test/incident", request_body = TestOrder,
    responses((status = 200, body = Observed<Changed>), (status = 400)))]
pub(super) async fn test(
    State(admin): State<Arc<Admin>>,
    body: Bytes,
) -> Result<Json<Observed<Changed>>, ApiError> {
    let said = read::<TestOrder>(&body)?;
    let severity = match said.severity.as_deref() {
        None => Severity::Low,
        Some(text) => Severity::read(text).ok_or_else(|| ApiError::BadBody {
            problem: format!("severity {text:?} is none; write critical, high, medium or low"),
        })?,
    };
    let actor = who(said.actor);
    let title = said.title.unwrap_or_else(|| "Test incident".to_owned());
    let service = said.service.unwrap_or_else(|| "test".to_owned());
    let command = Command::Open { actor: actor.clone(), title: title.clone(), severity, service };
    order(&admin, command, "incident.test", actor, title).await
}
