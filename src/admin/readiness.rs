//! May traffic come? Look, hold it off, let it come again; make the process leave.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
#[cfg(test)]
use utoipa::ToSchema;

use super::Admin;
use super::error::ApiError;
use super::held_body::holding;
use super::observed::{Observed, Provenance};
use super::request::{self, ActorOrder};
use crate::control::{ActedReply, ReadinessChange, ReadinessOrder};
use crate::runtime::clock::{self, Moment};
use crate::runtime::readiness::ReadinessHold;

/// An order to hold traffic off.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(ToSchema))]
#[serde(default, deny_unknown_fields)]
pub(super) struct ReadinessRequest {
    /// How long, such as "10m"; at most 7 days. Without it until it is taken back, or the process ends.
    ttl: Option<String>,
    /// Why; shown to everybody.
    reason: Option<String>,
    /// Who; "admin-api" without it.
    actor: Option<String>,
}

/// An order that holds traffic off.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct ReadinessHoldView {
    actor: String,
    reason: String,
    /// RFC 3339.
    since: String,
    /// When it ends by itself, RFC 3339; null: when it is taken back.
    until: Option<String>,
}

/// May traffic come, and why not.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct ReadinessView {
    /// What /readyz says.
    ready: bool,
    /// Why not; empty: traffic may come.
    not_ready_because: Vec<&'static str>,
    /// The order that holds traffic off; null: there is none.
    hold: Option<ReadinessHoldView>,
}

/// What an order did.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct ReadinessChanged {
    /// As it is now.
    readiness: ReadinessView,
    /// Of the audit record.
    audit_id: String,
    /// That record is on disk. False: the store is off or away, and memory holds it.
    stored: bool,
    /// What was done, in words.
    note: String,
}

/// The process leaves.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct DrainOrdered {
    /// Seconds in which connections are still accepted (`process.lame_duck`).
    lame_duck_seconds: f64,
    /// Seconds after that in which exchanges may end (`process.drain_for`).
    drain_for_seconds: f64,
    /// Of the audit record.
    audit_id: String,
    /// That record is on disk. False: the store is off or away.
    stored: bool,
    /// What was done, in words.
    note: String,
}

impl ReadinessView {
    fn of(admin: &Admin, moment: Moment) -> Self {
        let not_ready_because = admin.readiness.reasons(moment.instant);
        let wall = |at| clock::rfc3339(moment.wall_of(at));
        let view = |ReadinessHold { actor, reason, since, until }| {
            let (since, until) = (wall(since), until.map(wall));
            ReadinessHoldView { actor, reason, since, until }
        };
        let hold = admin.readiness.ordered(moment.instant).map(view);
        Self { ready: not_ready_because.is_empty(), not_ready_because, hold }
    }
}

/// May traffic come? What holds it off, by whose order and until when.
#[cfg_attr(test, utoipa::path(get, path = "/readiness", responses((status = 200, body = Observed<ReadinessView>))))]
pub(super) async fn show(State(admin): State<Arc<Admin>>) -> Json<Observed<ReadinessView>> {
    let view = ReadinessView::of(&admin, clock::now());
    Provenance::now().answer(&admin, view)
}

async fn obey(
    admin: &Admin,
    change: ReadinessChange,
    actor: Option<String>,
    reason: Option<String>,
) -> ActedReply {
    let reason = reason.unwrap_or_else(|| "no reason given".to_owned());
    let order = ReadinessOrder { change, actor: request::who(actor), reason };
    let reply = admin.control.order_readiness(&admin.readiness, order, clock::now()).await;
    let audit_id = admin.told(Some(reply.audit_id), &reply.record);
    ActedReply { audit_id, ..reply }
}

fn changed(admin: &Admin, reply: ActedReply) -> Json<Observed<ReadinessChanged>> {
    let ActedReply { done, audit_id, stored, .. } = reply;
    let note = done.unwrap_or_else(|| "nothing to do: there was no order".to_owned());
    let readiness = ReadinessView::of(admin, clock::now());
    Provenance::now().answer(admin, ReadinessChanged { readiness, audit_id, stored, note })
}

/// Hold traffic off, for a while or until that is taken back: /readyz says 503. What comes all the same is served as ever.
#[cfg_attr(test, utoipa::path(post, path = "/readiness/hold", request_body = ReadinessRequest,
    responses((status = 200, body = Observed<ReadinessChanged>), (status = 400), (status = 413))))]
pub(super) async fn hold(
    State(admin): State<Arc<Admin>>,
    body: Bytes,
) -> Result<Json<Observed<ReadinessChanged>>, ApiError> {
    let ReadinessRequest { ttl, reason, actor } = request::body(&body)?;
    let ttl = ttl.map(|text| request::ttl(&text, "10m")).transpose()?;
    Ok(changed(&admin, obey(&admin, ReadinessChange::Hold(ttl), actor, reason).await))
}

/// Let traffic come again. What else makes the process unready stays.
#[cfg_attr(test, utoipa::path(post, path = "/readiness/release", request_body = ActorOrder,
    responses((status = 200, body = Observed<ReadinessChanged>), (status = 400), (status = 413))))]
pub(super) async fn release(
    State(admin): State<Arc<Admin>>,
    body: Bytes,
) -> Result<Json<Observed<ReadinessChanged>>, ApiError> {
    let ActorOrder { actor, reason } = request::body(&body)?;
    Ok(changed(&admin, obey(&admin, ReadinessChange::Release, actor, reason).await))
}

/// Leave as at SIGTERM: unready, `process.lame_duck`, no new connections, at most `process.drain_for` for what is in flight, the
/// end. It begins when this is answered, and nothing takes it back.
#[cfg_attr(test, utoipa::path(post, path = "/drain", request_body = ActorOrder,
    responses((status = 200, body = Observed<DrainOrdered>), (status = 400), (status = 413))))]
pub(super) async fn drain(State(admin): State<Arc<Admin>>, body: Bytes) -> Result<Response, ApiError> {
    let ActorOrder { actor, reason } = request::body(&body)?;
    let ActedReply { done, record, audit_id, stored } =
        obey(&admin, ReadinessChange::Drain, actor, reason).await;
    let begins = done.is_some();
    let process = &admin.reloader.status().config.process;
    let ordered = DrainOrdered {
        lame_duck_seconds: process.lame_duck.as_secs_f64(),
        drain_for_seconds: process.drain_for.as_secs_f64(),
        audit_id,
        stored,
        note: done.unwrap_or_else(|| "nothing to do: it leaves already".to_owned()),
    };
    let answer = Provenance::now().answer(&admin, ordered).into_response();
    let why = format!("ordered by {}: {}", record.actor, record.reason);
    Ok(if begins { holding(answer, admin.leave.when_dropped(why)) } else { answer })
}
