//! What a transaction brings about beside its rows: numbers of changes for the others, incidents that have ended.

use std::collections::BTreeMap;

use super::db::{Conn, DbError, args};

/// What a transaction changes that others want to know.
#[derive(Debug, Default)]
pub(super) struct CommitEffects {
    /// Incidents; true: it had ended before.
    incidents: BTreeMap<String, bool>,
    number: Option<i64>,
    silences: bool,
}

impl CommitEffects {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn is_news(&self) -> bool {
        self.number.is_some() || self.silences
    }

    /// Incident `id` changes; true: it had ended before.
    pub(super) fn incident(&mut self, id: &str) -> &mut bool {
        self.incidents.entry(id.to_owned()).or_default()
    }

    /// The incidents that change; true: it had ended before.
    pub(super) fn incidents(&self) -> impl Iterator<Item = (&str, bool)> {
        self.incidents.iter().map(|(id, ended)| (id.as_str(), *ended))
    }

    /// The number of this change of incidents.
    pub(super) async fn number(&mut self, conn: &mut Conn) -> Result<i64, DbError> {
        if self.number.is_none() {
            self.number = Some(next(conn, "incidents").await?);
        }
        Ok(self.number.unwrap_or_default())
    }

    /// Silences change.
    pub(super) async fn silence(&mut self, conn: &mut Conn) -> Result<(), DbError> {
        if !std::mem::replace(&mut self.silences, true) {
            next(conn, "silences").await?;
        }
        Ok(())
    }
}

/// The next number of a counter that every writer moves under the lock of the audit chain.
async fn next(conn: &mut Conn, name: &str) -> Result<i64, DbError> {
    let row = conn.row("UPDATE news SET seq = seq + 1 WHERE name = $1 RETURNING seq", args![name]).await?;
    row.ok_or_else(|| DbError::damaged("a counter of changes is missing"))?.int()
}
