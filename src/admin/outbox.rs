//! The outbox: what is queued and what could not be delivered, never what is in it; orders about single writes.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
#[cfg(test)]
use utoipa::ToSchema;

use super::Admin;
use super::contract::moment::when;
use super::error::ApiError;
use super::observed::{Observed, Provenance};
use super::request::{self, who};
use crate::control::{OutboxAct, OutboxOrder, OutboxReply};
use crate::reliability::outbox::{QueuePhase, QueueSums, QueuedWrite};

/// Writes in one answer, at most; the sums are of all.
const MOST: usize = 500;

/// What is queued.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct OutboxView {
    /// There is an outbox: the config has the table `[outbox]`.
    enabled: bool,
    /// Writes that are to be sent.
    waiting: usize,
    /// Dead letters.
    dead: usize,
    /// Bytes of both.
    bytes: u64,
    /// When the oldest one that is to be sent was queued; null: there is none.
    oldest: Option<String>,
    /// Dead letters first, then the oldest first; 500 at most.
    writes: Vec<QueuedWriteView>,
}

/// One queued write, without its head and its body.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct QueuedWriteView {
    id: u64,
    upstream: String,
    route: String,
    state: &'static str,
    /// Why it is a dead letter; null: it is none.
    dead_because: Option<&'static str>,
    /// When it was queued, or last ordered to be sent again.
    queued: String,
    /// Not sent before; null: it is a dead letter.
    due: Option<String>,
    /// Attempts that reached the upstream, or may have.
    attempts: u32,
    bytes: u64,
    /// It waits for earlier ones of its order, or others for it.
    ordered: bool,
    /// Its upstream knows it again, by its key or by its method: it may be sent twice.
    known_again: bool,
}

/// What an order did.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct OutboxChanged {
    /// As it is now, or was when it was dropped.
    write: QueuedWriteView,
    /// The mutation's id in the audit list.
    audit_id: String,
    /// It is on disk. False: the store is off or away, and memory holds it.
    stored: bool,
}

/// Who says so, and why.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(ToSchema))]
#[serde(default, deny_unknown_fields)]
pub(super) struct WriteDecision {
    /// Who; "admin-api" without it.
    actor: Option<String>,
    /// Why; kept in the audit log.
    reason: Option<String>,
}

impl QueuedWriteView {
    fn of(id: u64, write: &QueuedWrite) -> Self {
        let dead = match write.phase {
            QueuePhase::Dead(reason) => Some(reason.label()),
            QueuePhase::Writing | QueuePhase::Waiting | QueuePhase::Sending => None,
        };
        Self {
            id,
            upstream: write.upstream.to_string(),
            route: write.route.to_string(),
            state: write.phase.label(),
            dead_because: dead,
            queued: when(write.queued),
            due: dead.is_none().then(|| when(write.due)),
            attempts: write.attempts,
            bytes: write.bytes,
            ordered: write.order.is_some(),
            known_again: write.known_again,
        }
    }
}

/// What is queued: counts, age, and the writes without heads and bodies.
#[cfg_attr(test, utoipa::path(get, path = "/outbox", responses((status = 200, body = Observed<OutboxView>))))]
pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Json<Observed<OutboxView>> {
    let queued = admin.control.queued();
    let enabled = queued.is_some();
    let mut all = queued.unwrap_or_default();
    let QueueSums { waiting, dead, bytes, oldest } = sums(&all);
    all.sort_by_key(|(id, write)| (!write.is_dead(), *id));
    let writes = all.iter().take(MOST).map(|(id, write)| QueuedWriteView::of(*id, write)).collect();
    let view = OutboxView { enabled, waiting, dead, bytes, oldest: oldest.map(when), writes };
    Provenance::now().answer(&admin, view)
}

pub(super) fn sums(all: &[(u64, QueuedWrite)]) -> QueueSums {
    let mut sums = QueueSums::default();
    all.iter().for_each(|(_, write)| sums.add(write));
    sums
}

/// Send a dead letter, or a write that waits, as soon as its turn comes. What may have arrived may then arrive twice.
#[cfg_attr(test, utoipa::path(post, path = "/outbox/{id}/retry", params(("id" = String, Path,)), request_body = WriteDecision,
    responses((status = 200, body = Observed<OutboxChanged>), (status = 404), (status = 413))))]
pub(super) async fn retry(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Observed<OutboxChanged>>, ApiError> {
    order(&admin, &id, OutboxAct::Retry, &body).await
}

/// Drop a dead letter, or a write that waits: it is never sent.
#[cfg_attr(test, utoipa::path(post, path = "/outbox/{id}/drop", params(("id" = String, Path,)), request_body = WriteDecision,
    responses((status = 200, body = Observed<OutboxChanged>), (status = 404), (status = 413))))]
pub(super) async fn discard(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Observed<OutboxChanged>>, ApiError> {
    order(&admin, &id, OutboxAct::Drop, &body).await
}

async fn order(
    admin: &Admin,
    id: &str,
    act: OutboxAct,
    body: &Bytes,
) -> Result<Json<Observed<OutboxChanged>>, ApiError> {
    let said: WriteDecision = request::body(body)?;
    let unknown = || ApiError::UnknownWrite { id: id.to_owned() };
    let number: u64 = id.parse().map_err(|_| unknown())?;
    let (actor, reason) = (who(said.actor), said.reason.unwrap_or_default());
    let ordered = OutboxOrder { id: number, act, actor, reason };
    let done = admin.control.outbox(ordered).await.ok_or_else(unknown)?;
    let OutboxReply { write, record, audit_id, stored } = done;
    let audit_id = admin.told(Some(audit_id), &record);
    let write = QueuedWriteView::of(number, &write);
    Ok(Provenance::now().answer(admin, OutboxChanged { write, audit_id, stored }))
}
