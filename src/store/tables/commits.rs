//! The table `commits`: the last transaction of each writer.

use std::time::Duration;

use super::table::{Class, Exported, Kept, Table};
use crate::store::db::{Conn, DbError, args};
use crate::store::error::StoreError;
use crate::store::read::Reader;
use crate::store::rows::Millis;

/// Notes about writers of the past are kept so long.
const PAST: Duration = Duration::from_secs(400 * 86_400);

pub(in crate::store) const TABLE: Table = Table {
    name: "commits",
    exported: Exported::Nothing,
    kept: Kept::Class(Class {
        age: |_| PAST,
        count: Some("SELECT COUNT(*) FROM commits"),
        delete: &["DELETE FROM commits WHERE writer IN (SELECT writer FROM commits WHERE at < $1 \
                   ORDER BY at LIMIT $2)"],
        is_sealed: false,
    }),
};

/// The last batch of this writer that is on disk; 0: none.
pub(in crate::store) async fn last_batch(conn: &mut Conn, writer: &str) -> Result<i64, DbError> {
    let row = conn.row("SELECT batch FROM commits WHERE writer = $1", args![writer]).await?;
    row.map_or(Ok(0), |mut row| row.int())
}

/// Notes the batch in its own transaction.
pub(in crate::store) async fn note_batch(
    conn: &mut Conn,
    writer: &str,
    batch: i64,
    at: Millis,
) -> Result<(), DbError> {
    let sql = "INSERT INTO commits (writer, batch, at) VALUES ($1, $2, $3) \
               ON CONFLICT (writer) DO UPDATE SET batch = excluded.batch, at = excluded.at";
    conn.run(sql, args![writer, batch, at]).await.map(drop)
}

impl Reader {
    /// Who has written of late, and the number of the last transaction of each: the newest eight.
    pub async fn writers(&self) -> Result<Vec<(String, i64)>, StoreError> {
        let sql = "SELECT writer, batch FROM commits ORDER BY at DESC LIMIT 8";
        self.all(sql, &[], |mut row| Ok((row.text()?, row.int()?))).await
    }
}
