//! Look at incidents; take them, write on them, end them; open one to see that people are reached.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
#[cfg(test)]
use utoipa::IntoParams;

use super::contract::incidents::{
    AckOrder, AssignOrder, Changed, IncidentView, Incidents, NoteOrder, RateOrder, ResolveOrder, TestOrder,
};
use super::error::ApiError;
use super::etag::Tag;
use super::observed::{Observed, Provenance};
use super::request::{self, MOST, Parameters, named, who};
use super::review::ReviewOrder;
use super::{Admin, stream};
use crate::control::{AuditRecord, Handle, OrderedBy, Snapshot};
use crate::names::IncidentId;
use crate::reliability::engine::Command;
use crate::reliability::health::{self, Health, Status};
use crate::reliability::incident::{self, Force, Incident};
use crate::reliability::rule::Severity;
use crate::store::IncidentFilter;

/// Incidents of one answer unless told otherwise.
const USUAL: u32 = 50;

/// Which incidents, and how many.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(IntoParams))]
#[cfg_attr(test, into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
pub(super) struct IncidentQuery {
    /// suspected, open, acknowledged, mitigating, monitoring, resolved, reviewed or cleared.
    state: Option<String>,
    /// critical, high, medium or low.
    severity: Option<String>,
    /// An upstream's name, or what else it is about.
    service: Option<String>,
    /// 1: also those that are over. Without it, those that are not.
    #[serde(deserialize_with = "request::flag")]
    all: bool,
    /// 1: those that are not over and then each change, as /incidents/stream. The other fields are not looked at.
    #[serde(deserialize_with = "request::flag")]
    watch: bool,
    /// With `watch`: as of /incidents/stream.
    last_event_id: Option<String>,
    /// 1 to 500; 50 without it.
    #[serde(deserialize_with = "request::limit")]
    #[cfg_attr(test, param(minimum = 1, maximum = 500))]
    limit: Option<u32>,
    /// `next` of the answer before.
    cursor: Option<String>,
}

impl IncidentQuery {
    /// Are its words known?
    fn check(&self) -> Result<(), ApiError> {
        request::word("state", self.state.as_deref(), &incident::State::ALL.map(incident::State::label))?;
        request::word("severity", self.severity.as_deref(), &Severity::ALL.map(Severity::label))
    }
}

/// Incidents, the youngest first: those that are not over, or all.
#[cfg_attr(test, utoipa::path(get, path = "/incidents", params(IncidentQuery),
    responses((status = 200, body = Observed<Incidents>), (status = 304), (status = 400), (status = 503))))]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    headers: HeaderMap,
    Parameters(wanted): Parameters<IncidentQuery>,
) -> Result<Response, ApiError> {
    wanted.check()?;
    if wanted.watch {
        let place = stream::place(&headers, wanted.last_event_id.as_deref());
        return stream::open(&admin, place);
    }
    let tag = Tag::of_all(&admin);
    let snapshot = admin.control.snapshot();
    let limit = wanted.limit.unwrap_or(USUAL).min(MOST);
    // What is not over is all at hand; what is over is looked for on disk, where there is one, and has no tag.
    let living =
        |label: &str| incident::State::ALL.iter().any(|state| state.is_live() && state.label() == label);
    if !wanted.all && wanted.state.as_deref().is_none_or(living) {
        let after = wanted.cursor.as_deref().map(place).transpose()?;
        let found = || at_hand(&snapshot, &wanted, after.as_ref(), limit);
        return Ok(tag.answer(&headers, || Provenance::looked(&admin, &snapshot).answer(&admin, found())));
    }
    let open = snapshot.open();
    let found = match stored(&admin, &wanted, limit).await? {
        Some((incidents, next)) => Incidents { open, count: incidents.len(), incidents, next },
        None => {
            let after = wanted.cursor.as_deref().map(place).transpose()?;
            at_hand(&snapshot, &wanted, after.as_ref(), limit)
        }
    };
    Ok(Provenance::looked(&admin, &snapshot).answer(&admin, found).into_response())
}

/// Where a page ended: of what is at hand an incident, of what is on disk `<began at>.<incident>`. Either is taken for both.
fn place(cursor: &str) -> Result<IncidentId, ApiError> {
    let (at, id) = cursor.split_once('.').map_or((None, cursor), |(at, id)| (Some(at), id));
    let id = IncidentId::read(id).filter(|_| at.is_none_or(|at| at.parse::<i64>().is_ok()));
    id.ok_or_else(|| request::no_cursor(cursor))
}

/// The same, as the store reads it.
fn place_on_disk(cursor: &str) -> Result<String, ApiError> {
    let id = place(cursor)?;
    match cursor.contains('.') {
        true => Ok(cursor.to_owned()),
        false => Ok(format!("{}.{id}", id.millis())),
    }
}

fn at_hand(snapshot: &Snapshot, wanted: &IncidentQuery, after: Option<&IncidentId>, limit: u32) -> Incidents {
    let fits = |one: &Incident| {
        (wanted.all || wanted.state.is_some() || one.state.is_live())
            && wanted.state.as_deref().is_none_or(|state| state == one.state.label())
            && wanted.severity.as_deref().is_none_or(|severity| severity == one.severity.label())
            && wanted.service.as_deref().is_none_or(|service| service == &*one.key.service)
            && after.is_none_or(|after| one.id < *after)
    };
    let mut fitting = snapshot.incidents.iter().filter(|one| fits(one));
    let incidents: Vec<_> =
        fitting.by_ref().take(limit as usize).map(|one| IncidentView::of(one, snapshot)).collect();
    let next = fitting.next().and_then(|_| incidents.last()).map(IncidentView::id);
    Incidents { open: snapshot.open(), count: incidents.len(), incidents, next }
}

type Found = Option<(Vec<IncidentView>, Option<String>)>;

async fn stored(admin: &Admin, wanted: &IncidentQuery, limit: u32) -> Result<Found, ApiError> {
    let cursor = wanted.cursor.as_deref().map(place_on_disk).transpose()?;
    let filter = IncidentFilter {
        state: wanted.state.clone(),
        severity: wanted.severity.clone(),
        service: wanted.service.clone(),
        ..IncidentFilter::default()
    };
    let snapshot = admin.control.snapshot();
    let page = admin.control.records().search(&filter, cursor.as_deref(), limit).await?;
    Ok(page.map(|page| {
        let newest = |one: &Incident| match snapshot.incident(&one.id) {
            Some(at_hand) => IncidentView::of(at_hand, &snapshot),
            None => IncidentView::of(one, &snapshot),
        };
        (page.rows.iter().map(newest).collect(), page.next)
    }))
}

/// One incident with its timeline.
#[cfg_attr(test, utoipa::path(get, path = "/incidents/{id}", params(("id" = String, Path,)),
    responses((status = 200, body = Observed<IncidentView>), (status = 304), (status = 404), (status = 503))))]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let id = named(&id)?;
    let snapshot = admin.control.snapshot();
    if let Some(incident) = snapshot.incident(&id) {
        return Ok(whole(&admin, incident, &snapshot, &headers));
    }
    match admin.control.records().find(&id).await? {
        Some(incident) => Ok(whole(&admin, &incident, &snapshot, &headers)),
        None => Err(ApiError::UnknownIncident { id: id.as_str().to_owned() }),
    }
}

fn whole(admin: &Admin, incident: &Incident, snapshot: &Snapshot, headers: &HeaderMap) -> Response {
    let about = || Provenance::looked(admin, snapshot).of(health(incident));
    Tag::of(incident, snapshot)
        .answer(headers, || about().answer(admin, IncidentView::whole(incident, snapshot)))
}

/// The status of an answer about one incident.
fn health(incident: &Incident) -> Health {
    health::of_incident(incident).unwrap_or_else(|| Health {
        status: Status::Healthy,
        reason: match incident.state.is_live() {
            true => "a drill: it says nothing of the service".to_owned(),
            false => format!("{}: {}", incident.state.label(), incident.title),
        },
    })
}

/// Gives the order and shows what it brought.
async fn order(
    admin: &Admin,
    command: Command,
    action: &'static str,
    actor: OrderedBy,
    reason: String,
) -> Result<Json<Observed<Changed>>, ApiError> {
    let target = match (&command, command.incident()) {
        (_, Some(id)) => id.as_str().to_owned(),
        (Command::Open { service, .. }, _) => service.clone(),
        (_, None) => String::new(),
    };
    let audit = AuditRecord { actor, action, target, reason };
    let (done, audit_id) = request::order(admin, command, audit, Handle::order).await?;
    let about = Provenance::now().of(health(&done.reply));
    let incident = IncidentView::whole(&done.reply, &admin.control.snapshot());
    Ok(about.answer(admin, Changed { incident, audit_id, stored: done.stored }))
}

/// Take an incident: nobody else is called about it.
#[cfg_attr(test, utoipa::path(post, path = "/incidents/{id}/ack", params(("id" = String, Path,)), request_body = AckOrder,
    responses((status = 200, body = Observed<Changed>), (status = 404), (status = 409), (status = 413), (status = 429))))]
pub(super) async fn ack(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Observed<Changed>>, ApiError> {
    let (id, said) = (named(&id)?, request::body::<AckOrder>(&body)?);
    let actor = who(said.actor);
    let command = Command::Ack { id, actor: actor.to_string() };
    order(&admin, command, "incident.ack", actor, said.reason.unwrap_or_default()).await
}

/// End an incident. While its condition holds that is refused with 409, unless `force` is true.
#[cfg_attr(test, utoipa::path(post, path = "/incidents/{id}/resolve", params(("id" = String, Path,)), request_body = ResolveOrder,
    responses((status = 200, body = Observed<Changed>), (status = 404), (status = 409), (status = 413))))]
pub(super) async fn resolve(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Observed<Changed>>, ApiError> {
    let (id, said) = (named(&id)?, request::body::<ResolveOrder>(&body)?);
    let actor = who(said.actor);
    let reason = said.reason.unwrap_or_else(|| "no reason given".to_owned());
    let force = if said.force { Force::Forced } else { Force::Asked };
    let command = Command::Resolve { id, actor: actor.to_string(), reason: reason.clone(), force };
    order(&admin, command, "incident.resolve", actor, reason).await
}

/// Write something onto the timeline.
#[cfg_attr(test, utoipa::path(post, path = "/incidents/{id}/note", params(("id" = String, Path,)), request_body = NoteOrder,
    responses((status = 200, body = Observed<Changed>), (status = 400), (status = 404), (status = 409), (status = 413), (status = 429))))]
pub(super) async fn note(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Observed<Changed>>, ApiError> {
    let (id, said) = (named(&id)?, request::body::<NoteOrder>(&body)?);
    let actor = who(said.actor);
    let text = said.text.unwrap_or_default();
    let command = Command::Note { id, actor: actor.to_string(), text: text.clone() };
    order(&admin, command, "incident.note", actor, text).await
}

/// Put somebody in charge.
#[cfg_attr(test, utoipa::path(post, path = "/incidents/{id}/assign", params(("id" = String, Path,)), request_body = AssignOrder,
    responses((status = 200, body = Observed<Changed>), (status = 400), (status = 404), (status = 409), (status = 413), (status = 429))))]
pub(super) async fn assign(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Observed<Changed>>, ApiError> {
    let (id, said) = (named(&id)?, request::body::<AssignOrder>(&body)?);
    let actor = who(said.actor);
    let to = said.to.unwrap_or_default();
    let command = Command::Assign { id, actor: actor.to_string(), to: to.clone() };
    order(&admin, command, "incident.assign", actor, to).await
}

/// Say how bad an incident is, up or down. What a person has lowered rises again only when the
/// evidence says worse than before.
#[cfg_attr(test, utoipa::path(post, path = "/incidents/{id}/rate", params(("id" = String, Path,)), request_body = RateOrder,
    responses((status = 200, body = Observed<Changed>), (status = 400), (status = 404), (status = 409), (status = 413), (status = 429))))]
pub(super) async fn rate(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Observed<Changed>>, ApiError> {
    let (id, said) = (named(&id)?, request::body::<RateOrder>(&body)?);
    let severity = request::severity(&said.severity.unwrap_or_default())?;
    let (actor, reason) = (who(said.actor), said.reason.unwrap_or_default());
    let command = Command::Rate { id, actor: actor.to_string(), severity, reason: reason.clone() };
    order(&admin, command, "incident.rate", actor, reason).await
}

/// Write down what was learnt from a resolved incident. Complete, it makes the incident reviewed; otherwise 400 says what is
/// missing. An incident that ended weeks ago is fetched from the store.
#[cfg_attr(test, utoipa::path(post, path = "/incidents/{id}/review", params(("id" = String, Path,)), request_body = ReviewOrder,
    responses((status = 200, body = Observed<Changed>), (status = 400), (status = 404), (status = 409), (status = 413), (status = 429))))]
pub(super) async fn review(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Observed<Changed>>, ApiError> {
    let (id, said) = (named(&id)?, request::body::<ReviewOrder>(&body)?);
    let (actor, review) = said.read()?;
    let command = Command::Review { id, actor: actor.to_string(), review };
    order(&admin, command, "incident.review", actor, String::new()).await
}

/// Open an incident by hand, to see that it is shown and that people are reached.
#[cfg_attr(test, utoipa::path(post, path = "/test/incident", request_body = TestOrder,
    responses((status = 200, body = Observed<Changed>), (status = 400), (status = 413), (status = 429))))]
pub(super) async fn test(
    State(admin): State<Arc<Admin>>,
    body: Bytes,
) -> Result<Json<Observed<Changed>>, ApiError> {
    let said = request::body::<TestOrder>(&body)?;
    let severity = match said.severity.as_deref() {
        None => Severity::Low,
        Some(text) => request::severity(text)?,
    };
    let actor = who(said.actor);
    let title = said.title.unwrap_or_else(|| "Test incident".to_owned());
    let service = said.service.unwrap_or_else(|| incident::DRILL.to_owned());
    let command = Command::Open { actor: actor.to_string(), title: title.clone(), severity, service };
    order(&admin, command, "incident.test", actor, title).await
}
