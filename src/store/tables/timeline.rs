//! The table `timeline`: what happened in an incident, line by line.

use super::table::{Exported, Kept, Table};
use crate::store::db::{Conn, DbError, Row, args};
use crate::store::effects::CommitEffects;
use crate::store::error::StoreError;
use crate::store::read::Reader;
use crate::store::rows::Millis;

pub(in crate::store) const TABLE: Table = Table {
    name: "timeline",
    exported: Exported::Rows {
        columns: &["incident_id", "seq", "at", "kind", "actor", "body"],
        order: "incident_id, seq",
    },
    kept: Kept::WithIncident,
};

/// One line of an incident's timeline. Its number is given by the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEntry {
    pub incident_id: String,
    pub at: Millis,
    /// A signal, an action, a note, a notification …
    pub kind: String,
    /// The person or part of Strop that did it.
    pub actor: String,
    /// The entry itself as JSON, as the core writes it.
    pub body: String,
}

impl NewEntry {
    pub(super) fn texts(&mut self) -> Vec<&mut String> {
        let Self { incident_id, kind, actor, body, .. } = self;
        vec![incident_id, kind, actor, body]
    }
}

pub(in crate::store) const LINES: &str =
    "SELECT incident_id, at, kind, actor, body FROM timeline WHERE incident_id = $1 ORDER BY seq";

pub(in crate::store) fn entry(mut row: Row) -> Result<NewEntry, DbError> {
    let (incident_id, at) = (row.text()?, row.int()?);
    Ok(NewEntry { incident_id, at, kind: row.text()?, actor: row.text()?, body: row.text()? })
}

/// Adds lines to the ends of their timelines.
pub(super) async fn add(
    conn: &mut Conn,
    entries: &[NewEntry],
    changed: &mut CommitEffects,
) -> Result<(), DbError> {
    let sql = "INSERT INTO timeline (incident_id, seq, at, kind, actor, body) \
               SELECT $1, COALESCE(MAX(seq), 0) + 1, $2, $3, $4, $5 FROM timeline WHERE incident_id = $1";
    for entry in entries {
        changed.incident(&entry.incident_id);
        let args = args![&entry.incident_id, entry.at, &entry.kind, &entry.actor, &entry.body];
        conn.run(sql, args).await?;
    }
    Ok(())
}

impl Reader {
    /// An incident's whole timeline.
    pub async fn lines(&self, incident: &str) -> Result<Vec<NewEntry>, StoreError> {
        self.all(LINES, args![incident], entry).await
    }

    /// The last lines of an incident's timeline, the oldest of them first.
    pub async fn last_lines(&self, incident: &str, limit: u32) -> Result<Vec<NewEntry>, StoreError> {
        let sql = "SELECT incident_id, at, kind, actor, body FROM timeline WHERE incident_id = $1 \
                   ORDER BY seq DESC LIMIT $2";
        let mut lines = self.all(sql, args![incident, i64::from(limit)], entry).await?;
        lines.reverse();
        Ok(lines)
    }

    /// The timelines of all incidents without an end.
    pub async fn unresolved_lines(&self) -> Result<Vec<NewEntry>, StoreError> {
        let sql = "SELECT incident_id, at, kind, actor, body FROM timeline WHERE incident_id IN \
                   (SELECT id FROM incidents WHERE resolved_at IS NULL) ORDER BY incident_id, seq";
        self.all(sql, &[], entry).await
    }
}
