//! The table `heads`: the ends of the audit chain. Who writes on the chain takes its end, and so its turn among all writers.

use super::audit::AuditEntry;
use super::table::{Exported, Kept, Table};
use crate::store::audit::{self, ChainEnd, ChainKey};
use crate::store::db::{Conn, DbError, args};
use crate::telemetry::event::AuditEvent;

pub(in crate::store) const TABLE: Table = Table {
    name: "heads",
    exported: Exported::Rows { columns: &["name", "seq", "hash", "mac"], order: "name" },
    kept: Kept::Always,
};

/// Makes writers follow each other until the transaction ends, in a fleet too, and gives the chain's end. A key begins its part
/// of the chain, and marks an end that it does not know.
pub(in crate::store) async fn lock(conn: &mut Conn, key: Option<&ChainKey>) -> Result<ChainEnd, DbError> {
    let sql = "UPDATE heads SET seq = seq WHERE name = 'audit' RETURNING seq, hash, mac";
    let row = conn.row(sql, &[]).await?;
    let mut row = row.ok_or_else(|| DbError::damaged("the audit chain has no end"))?;
    let (mut head, mac) = (ChainEnd { seq: row.int()?, hash: row.text()? }, row.maybe_text()?);
    let turn = key.and_then(|key| Some((key, audit::turn(key, &head, mac.as_deref())?)));
    if let Some((key, turn)) = turn {
        AuditEvent::Turned { action: &turn.action, after: &head.to_string() }.tell();
        if audit::mac(conn, "anchor").await?.is_none() {
            let anchor = audit::head(conn, "anchor").await?;
            let mac = key.mac("anchor", &anchor);
            conn.run("UPDATE heads SET mac = $1 WHERE name = 'anchor'", args![&mac]).await?;
        }
        add_audit(conn, &turn, &mut head, Some(key)).await?;
    }
    Ok(head)
}

/// Adds a row to the chain.
pub(in crate::store) async fn add_audit(
    conn: &mut Conn,
    entry: &AuditEntry,
    head: &mut ChainEnd,
    key: Option<&ChainKey>,
) -> Result<(), DbError> {
    let seq = head.seq + 1;
    let hash = audit::signed(key, seq, entry, &head.hash);
    let sql = "INSERT INTO audit (seq, at, actor, action, target, body, prev_hash, hash) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let args =
        args![seq, entry.at, &entry.actor, &entry.action, &entry.target, &entry.body, &head.hash, &hash];
    conn.run(sql, args).await?;
    *head = ChainEnd { seq, hash };
    put_head(conn, "audit", head, key).await
}

/// Moves an end of the chain.
pub(in crate::store) async fn put_head(
    conn: &mut Conn,
    name: &str,
    head: &ChainEnd,
    key: Option<&ChainKey>,
) -> Result<(), DbError> {
    // A writer without the key leaves what the key said: it does not fit any more, and that is told.
    match key.map(|key| key.mac(name, head)) {
        Some(mac) => {
            let sql = "UPDATE heads SET seq = $1, hash = $2, mac = $3 WHERE name = $4";
            conn.run(sql, args![head.seq, &head.hash, &mac, name]).await.map(drop)
        }
        None => {
            let sql = "UPDATE heads SET seq = $1, hash = $2 WHERE name = $3";
            conn.run(sql, args![head.seq, &head.hash, name]).await.map(drop)
        }
    }
}
