//! Mutations as the API shows them, and the last ones of this start, for when the store does not answer.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde_json::Value;
#[cfg(test)]
use utoipa::ToSchema;

use super::contract::moment::when;
use crate::control::AuditRecord;
use crate::runtime::clock;
use crate::store::rows::AuditRow;
use crate::units::At;

/// How many mutations are remembered for answers without a store.
const REMEMBERED: usize = 256;

/// A mutation that was done.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
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
    #[cfg_attr(test, schema(value_type = Object))]
    details: Option<Value>,
}

impl Mutation {
    /// Done now, and kept in memory alone.
    fn now(id: String, done: &AuditRecord) -> Self {
        Self {
            id,
            at: clock::rfc3339(clock::now().wall),
            actor: done.actor.to_string(),
            action: done.action.to_owned(),
            target: done.target.clone(),
            reason: done.reason.clone(),
            seq: None,
            hash: None,
            details: None,
        }
    }

    /// As it stands on disk.
    pub(super) fn of(row: AuditRow) -> Self {
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

/// The last mutations of this start.
#[derive(Debug, Default)]
pub(super) struct Remembered(Mutex<VecDeque<Mutation>>);

impl Remembered {
    /// The last ones, the youngest first.
    pub(super) fn youngest(&self, limit: usize) -> Vec<Mutation> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.iter().rev().take(limit).cloned().collect()
    }

    /// Notes what was done now, by the id of its answer.
    pub(super) fn note(&self, id: &str, done: &AuditRecord) {
        let mutation = Mutation::now(id.to_owned(), done);
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() == REMEMBERED {
            held.pop_front();
        }
        held.push_back(mutation);
    }
}
