//! The table `recovery_runs`: what recovery plans have done, and what they are at.

use super::table::{Class, Exported, Kept, Table};
use crate::store::db::{Conn, DbError, Row, args};
use crate::store::error::StoreError;
use crate::store::read::{MOST, Reader};
use crate::store::rows::Millis;

pub(in crate::store) const TABLE: Table = Table {
    name: "recovery_runs",
    exported: Exported::Rows {
        columns: &["id", "member", "plan", "body", "began_at", "ended_at"],
        order: "id",
    },
    kept: Kept::Class(Class {
        age: |keep| keep.incidents,
        count: Some("SELECT COUNT(*) FROM recovery_runs"),
        delete: &["DELETE FROM recovery_runs WHERE id IN (SELECT id FROM recovery_runs WHERE ended_at < $1 \
                   ORDER BY ended_at, id LIMIT $2)"],
        is_sealed: false,
    }),
};

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryRow {
    pub id: String,
    /// The sidecar whose run it is.
    pub member: String,
    pub plan: String,
    /// The whole run as JSON.
    pub body: String,
    pub began_at: Millis,
    /// `None`: it goes on.
    pub ended_at: Option<Millis>,
}

fn run(mut row: Row) -> Result<RecoveryRow, DbError> {
    let (id, member, plan, body) = (row.text()?, row.text()?, row.text()?, row.text()?);
    Ok(RecoveryRow { id, member, plan, body, began_at: row.int()?, ended_at: row.maybe_int()? })
}

impl RecoveryRow {
    pub(super) fn texts(&mut self) -> Vec<&mut String> {
        let Self { id, member, plan, body, .. } = self;
        vec![id, member, plan, body]
    }

    pub(super) async fn put(&self, conn: &mut Conn) -> Result<(), DbError> {
        let sql = "INSERT INTO recovery_runs (id, member, plan, body, began_at, ended_at) \
                   VALUES ($1, $2, $3, $4, $5, $6) \
                   ON CONFLICT (id) DO UPDATE SET body = excluded.body, ended_at = excluded.ended_at";
        let args = args![&self.id, &self.member, &self.plan, &self.body, self.began_at, self.ended_at];
        conn.run(sql, args).await.map(drop)
    }
}

impl Reader {
    /// Runs of `member` that go on, oldest first.
    pub async fn recovery_going_on(&self, member: &str) -> Result<Vec<RecoveryRow>, StoreError> {
        let sql = "SELECT id, member, plan, body, began_at, ended_at FROM recovery_runs \
                   WHERE member = $1 AND ended_at IS NULL ORDER BY id";
        self.all(sql, args![member], run).await
    }

    /// Runs that other members than `member` left going on, and all that began or ended since then; the latest first.
    pub async fn recovery_past(
        &self,
        member: &str,
        since: Millis,
        limit: u32,
    ) -> Result<Vec<RecoveryRow>, StoreError> {
        let sql = "SELECT id, member, plan, body, began_at, ended_at FROM recovery_runs \
                   WHERE ended_at >= $2 OR (ended_at IS NULL AND member <> $1 AND began_at >= $2) \
                   ORDER BY id DESC LIMIT $3";
        self.all(sql, args![member, since, i64::from(limit.clamp(1, MOST))], run).await
    }

    /// Runs of all members, the latest first.
    pub async fn recovery_runs(&self, limit: u32) -> Result<Vec<RecoveryRow>, StoreError> {
        let sql = "SELECT id, member, plan, body, began_at, ended_at FROM recovery_runs \
                   ORDER BY id DESC LIMIT $1";
        self.all(sql, args![i64::from(limit.clamp(1, MOST))], run).await
    }
}
