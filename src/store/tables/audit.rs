//! The table `audit`: who did what, row by row, each with the hash of the row before it (see [`crate::store::audit`]).

use super::table::{Exported, Kept, Table};
use crate::store::db::{DbError, Row, args};
use crate::store::error::StoreError;
use crate::store::read::{MOST, Reader};
use crate::store::rows::Millis;

pub(in crate::store) const TABLE: Table = Table {
    name: "audit",
    exported: Exported::Rows {
        columns: &["seq", "at", "actor", "action", "target", "body", "prev_hash", "hash"],
        order: "seq",
    },
    kept: Kept::Chain,
};

/// Who did what. Its number and its hashes are given by the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    pub at: Millis,
    /// The person, member or part of Strop that did it.
    pub actor: String,
    /// A word of a closed set, such as "audit.keyed".
    pub action: String,
    /// The id or name of what it was done to.
    pub target: String,
    /// Facts of the action, such as its reason, as JSON.
    pub body: String,
}

/// An audit entry in its chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// 1, 2, 3 … without a gap.
    pub seq: i64,
    pub entry: AuditEntry,
    /// The hash of the row before, hex; zeros for the first one.
    pub prev_hash: String,
    /// Of this row, hex.
    pub hash: String,
}

impl AuditEntry {
    pub(super) fn texts(&mut self) -> Vec<&mut String> {
        let Self { actor, action, target, body, .. } = self;
        vec![actor, action, target, body]
    }
}

/// Reads `seq, at, actor, action, target, body, prev_hash, hash`.
pub(in crate::store) fn row_of(mut row: Row) -> Result<AuditRow, DbError> {
    Ok(AuditRow {
        seq: row.int()?,
        entry: AuditEntry {
            at: row.int()?,
            actor: row.text()?,
            action: row.text()?,
            target: row.text()?,
            body: row.text()?,
        },
        prev_hash: row.text()?,
        hash: row.text()?,
    })
}

impl Reader {
    /// The audit log before row `before` (`None`: from the last one), the youngest first.
    pub async fn audit(&self, before: Option<i64>, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let sql = "SELECT seq, at, actor, action, target, body, prev_hash, hash FROM audit WHERE seq < $1 \
                   ORDER BY seq DESC LIMIT $2";
        let args = args![before.unwrap_or(i64::MAX), i64::from(limit.clamp(1, MOST))];
        self.all(sql, args, row_of).await
    }

    /// What was done to the config from `since` to before `until`, the oldest first; the first thousand.
    pub async fn config_changes(&self, since: Millis, until: Millis) -> Result<Vec<AuditRow>, StoreError> {
        let sql = "SELECT seq, at, actor, action, target, body, prev_hash, hash FROM audit \
                   WHERE at >= $1 AND at < $2 AND substr(action, 1, 7) = 'config.' ORDER BY seq LIMIT $3";
        self.all(sql, args![since, until, i64::from(MOST)], row_of).await
    }
}
