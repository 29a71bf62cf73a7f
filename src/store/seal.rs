//! Incidents on the audit chain: when one has ended, and whenever it changes after that, a row of the chain holds the hash of it
//! and of its timeline; when retention takes some away, a row says up to when they had ended.
//!
//! The hash is SHA-256 over the words `strop-incident-1` and a line feed, then all columns of the incident and of each row of its
//! timeline in the order of the tables: a number as 8 bytes (big-endian, two's complement), a text as its length in 8 bytes and
//! its UTF-8, what is absent as 8 bytes of ones.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::chain::Broken;
use super::db::{Conn, DbError, SqlValue, args};
use super::digest::Sha256;
use super::rows::{AuditEntry, AuditRow, Millis, millis};
use crate::runtime::clock;

/// The action of a row with an incident's hash, and of one that tells what retention took away.
const SEALED: &str = "incident.sealed";
const TAKEN: &str = "retention";

const INCIDENT: &str = "SELECT id, dedup_key, state, severity, rule, service, started_at, resolved_at, updated_at, \
                        revision, member, body FROM incidents WHERE id = $1";
const TIMELINE: &str = "SELECT incident_id, seq, at, kind, actor, body FROM timeline WHERE incident_id = $1 \
                        ORDER BY seq";

/// The hash of an incident with its timeline; `None`: it is not there.
async fn hash(conn: &mut Conn, id: &str) -> Result<Option<String>, DbError> {
    let Some(incident) = conn.row(INCIDENT, args![id]).await? else { return Ok(None) };
    let timeline = conn.rows(TIMELINE, args![id]).await?;
    let mut hash = Sha256::new();
    hash.update(b"strop-incident-1\n");
    for cell in std::iter::once(incident).chain(timeline).flat_map(super::db::Row::cells) {
        match cell {
            SqlValue::Null => hash.update(&[0xFF; 8]),
            SqlValue::Int(number) => hash.update(&number.to_be_bytes()),
            SqlValue::Text(text) => {
                hash.update(&(text.len() as u64).to_be_bytes());
                hash.update(text.as_bytes());
            }
            SqlValue::Bytes(bytes) => {
                hash.update(&(bytes.len() as u64).to_be_bytes());
                hash.update(&bytes);
            }
        }
    }
    Ok(Some(hash.finish()))
}

/// The row that covers an incident. `None`: it has not ended, and had not before (`ended`).
pub(super) async fn row(conn: &mut Conn, id: &str, ended: bool) -> Result<Option<AuditEntry>, DbError> {
    let found = conn.row("SELECT resolved_at, revision FROM incidents WHERE id = $1", args![id]).await?;
    let Some(mut found) = found else { return Ok(None) };
    let (resolved, revision) = (found.maybe_int()?, found.int()?);
    if resolved.is_none() && !ended {
        return Ok(None);
    }
    let sha256 = hash(conn, id).await?;
    let body = json!({ "revision": revision, "resolved_at": resolved, "sha256": sha256 });
    Ok(Some(entry(SEALED, id, &body)))
}

/// The row that tells which incidents retention took away.
pub(super) fn taken(until: Millis) -> AuditEntry {
    entry(TAKEN, "incidents", &json!({ "resolved_before": until }))
}

fn entry(action: &str, target: &str, body: &Value) -> AuditEntry {
    AuditEntry {
        at: millis(clock::now().wall),
        actor: "strop".to_owned(),
        action: action.to_owned(),
        target: target.to_owned(),
        body: body.to_string(),
    }
}

/// What the chain says of incidents.
#[derive(Debug, Default)]
pub(super) struct ChainSeals {
    /// By incident the last row that covers it: its number, the hash, when the incident had ended.
    last: BTreeMap<String, (i64, String, Option<Millis>)>,
    /// Retention has taken away what had ended before.
    taken: Option<Millis>,
}

impl ChainSeals {
    /// A row of the chain goes by.
    pub(super) fn see(&mut self, row: &AuditRow) {
        let body = || serde_json::from_str::<Value>(&row.entry.body).unwrap_or_default();
        match row.entry.action.as_str() {
            SEALED => {
                let body = body();
                let sha256 = body["sha256"].as_str().unwrap_or_default().to_owned();
                self.last.insert(row.entry.target.clone(), (row.seq, sha256, body["resolved_at"].as_i64()));
            }
            TAKEN => self.taken = self.taken.max(body()["resolved_before"].as_i64()),
            _ => {}
        }
    }

    /// Are the incidents those that the chain covers? The first that is not.
    pub(super) async fn check(&self, conn: &mut Conn) -> Result<Option<Broken>, DbError> {
        for (id, (seq, sealed, resolved)) in &self.last {
            let why = match hash(conn, id).await? {
                Some(found) if found == *sealed => continue,
                Some(_) => format!("incident {id} or its timeline is not what was sealed here"),
                None if resolved.is_some_and(|at| self.taken.is_some_and(|taken| at < taken)) => continue,
                None => format!("incident {id}, sealed here, is gone, and retention did not take it"),
            };
            return Ok(Some(Broken { seq: *seq, why }));
        }
        Ok(None)
    }
}
