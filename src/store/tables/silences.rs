//! The table `silences`: when calls are held back.

use super::table::{Class, Exported, Kept, Table};
use crate::store::db::{Conn, DbError, Row, args};
use crate::store::effects::CommitEffects;
use crate::store::error::StoreError;
use crate::store::read::{MOST, Reader};
use crate::store::rows::Millis;

pub(in crate::store) const TABLE: Table = Table {
    name: "silences",
    exported: Exported::Rows { columns: &["id", "body", "starts_at", "ends_at"], order: "id" },
    kept: Kept::Class(Class {
        age: |keep| keep.incidents,
        count: Some("SELECT COUNT(*) FROM silences"),
        delete: &["DELETE FROM silences WHERE id IN (SELECT id FROM silences WHERE ends_at < $1 \
                   ORDER BY ends_at, id LIMIT $2)"],
        is_sealed: false,
    }),
};

/// Who wants to hear nothing of what, and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilenceRow {
    pub id: String,
    /// The whole silence as JSON.
    pub body: String,
    /// When it begins to hold calls back.
    pub starts_at: Millis,
    /// When it ends (exclusive).
    pub ends_at: Millis,
}

fn silence(mut row: Row) -> Result<SilenceRow, DbError> {
    let (id, body) = (row.text()?, row.text()?);
    Ok(SilenceRow { id, body, starts_at: row.int()?, ends_at: row.int()? })
}

impl SilenceRow {
    pub(super) fn texts(&mut self) -> Vec<&mut String> {
        let Self { id, body, .. } = self;
        vec![id, body]
    }

    pub(super) async fn put(&self, conn: &mut Conn, changed: &mut CommitEffects) -> Result<(), DbError> {
        changed.silence(conn).await?;
        let sql = "INSERT INTO silences (id, body, starts_at, ends_at) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (id) DO UPDATE SET body = excluded.body, starts_at = excluded.starts_at, \
                   ends_at = excluded.ends_at";
        conn.run(sql, args![&self.id, &self.body, self.starts_at, self.ends_at]).await.map(drop)
    }
}

impl Reader {
    /// Silences that end at or after `at`.
    pub async fn silences(&self, at: Millis) -> Result<Vec<SilenceRow>, StoreError> {
        let sql =
            "SELECT id, body, starts_at, ends_at FROM silences WHERE ends_at >= $1 ORDER BY starts_at, id";
        self.all(sql, args![at], silence).await
    }

    /// Silences that ended before `at`, the last one first.
    pub async fn ended_silences(&self, at: Millis, limit: u32) -> Result<Vec<SilenceRow>, StoreError> {
        let sql = "SELECT id, body, starts_at, ends_at FROM silences WHERE ends_at <= $1 \
                   ORDER BY starts_at DESC, id DESC LIMIT $2";
        self.all(sql, args![at, i64::from(limit.clamp(1, MOST))], silence).await
    }
}
