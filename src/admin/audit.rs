//! Who changed what: read from the audit log on disk; from memory where there is none, or it does not answer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::Admin;
use super::contract::incidents::when;
use super::error::ApiError;
use super::observed::{Observed, Provenance, Source};
use super::request::{self, MOST, Parameters};
use crate::control::AuditRecord;
use crate::runtime::clock;
use crate::store::rows::AuditRow;
use crate::telemetry::event::Event;
use crate::units::At;

/// How many mutations are remembered for answers without a store.
const REMEMBERED: usize = 256;
/// Rows of one answer unless told otherwise.
const USUAL: u32 = 50;

/// A mutation that was done.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Mutation {
    /// What the answer to the order called `audit_id`: it is part of the row's hashed body.
    id: String,
    /// When it was done, RFC 3339.
    at: String,
    /// The person or part of Strop that did it.
    actor: String,
    /// What was done, as in "incident.ack" or "config.applied".
    action: String,
    /// What it was done to: an upstream, an incident, the config.
    target: String,
    /// Why, in the words of whoever did it.
    reason: String,
    /// The row's number in the hash chain; null: it is in memory only.
    seq: Option<i64>,
    /// The row's hash; null: it is in memory only.
    hash: Option<String>,
    /// What else the row says, such as a config's generation and paths; null: nothing.
    #[schema(value_type = Object)]
    details: Option<Value>,
}

impl Mutation {
    fn of(row: AuditRow) -> Self {
        let mut body: serde_json::Map<String, Value> =
            serde_json::from_str(&row.entry.body).unwrap_or_default();
        let mut take = |name: &str| {
            let text = body.remove(name).as_ref().and_then(Value::as_str).map(str::to_owned);
            text.unwrap_or_default()
        };
        let (id, reason) = (take("id"), take("reason"));
        Self {
            id,
            at: when(At(row.entry.at)),
            actor: row.entry.actor,
            action: row.entry.action,
            target: row.entry.target,
            reason,
            seq: Some(row.seq),
            hash: Some(row.hash),
            details: (!body.is_empty()).then_some(Value::Object(body)),
        }
    }
}

/// Mutations, the youngest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditView {
    /// "store": the log on disk, of every start, and of all sidecars that share the database. "memory": what this start did,
    /// 256 at most, because the store is off or does not answer.
    kept_in: &'static str,
    mutations: Vec<Mutation>,
    /// Send it as `cursor` for those that follow; null: there are none.
    next: Option<String>,
}

/// How many, and from where on.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AuditQuery {
    /// 1 to 500; 50 without it.
    #[serde(deserialize_with = "request::limit")]
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next` of the answer before.
    cursor: Option<String>,
}

/// Who changed what and why, the youngest first.
#[utoipa::path(get, path = "/audit", params(AuditQuery), responses((status = 200, body = Observed<AuditView>), (status = 400)))]
pub(super) async fn audit(
    State(admin): State<Arc<Admin>>,
    Parameters(wanted): Parameters<AuditQuery>,
) -> Result<Json<Observed<AuditView>>, ApiError> {
    let limit = wanted.limit.unwrap_or(USUAL).min(MOST);
    let before = wanted.cursor.map(|cursor| {
        let place = cursor.parse::<i64>();
        place.map_err(|_| request::no_cursor(&cursor))
    });
    // One more than wanted says whether others follow.
    let rows = admin.control.records().audit_rows(before.transpose()?, limit + 1).await;
    let Ok(Some(mut rows)) = rows else {
        let mutations = admin.remembered.youngest(limit as usize);
        let view = AuditView { kept_in: "memory", mutations, next: None };
        return Ok(Provenance::now().answer(&admin, view));
    };
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| row.seq.to_string());
    let mutations = rows.into_iter().map(Mutation::of).collect();
    let view = AuditView { kept_in: "store", mutations, next };
    Ok(Provenance::now().by(Source::Reported).answer(&admin, view))
}

/// The last mutations of this start.
#[derive(Debug, Default)]
pub(super) struct Remembered(Mutex<VecDeque<Mutation>>);

impl Remembered {
    fn youngest(&self, limit: usize) -> Vec<Mutation> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.iter().rev().take(limit).cloned().collect()
    }

    fn note(&self, mutation: Mutation) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() == REMEMBERED {
            held.pop_front();
        }
        held.push_back(mutation);
    }
}

impl Admin {
    /// Tells of what was done, in the log and in memory, under the name that its row has on disk, or else a new one.
    pub(super) fn told(&self, id: Option<String>, done: &AuditRecord) -> String {
        let AuditRecord { actor, action, target, reason } = done;
        Event::AdminMutation { actor, action, target, reason }.tell();
        let id = id.unwrap_or_else(crate::control::audit_id);
        self.remembered.note(Mutation {
            id: id.clone(),
            at: clock::rfc3339(clock::now().wall),
            actor: actor.clone(),
            action: (*action).to_owned(),
            target: target.clone(),
            reason: reason.clone(),
            seq: None,
            hash: None,
            details: None,
        });
        id
    }
}
