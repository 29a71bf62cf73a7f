//! What is too old goes, once a day. Open incidents never do; the audit chain keeps its anchor.

use std::time::Duration;

use super::db::{Conn, DbError, args};
use super::rows::Millis;
use super::{audit, sql};
use crate::config::Retention;

/// Notes about writers and sidecars of the past are kept so long.
const PAST: Duration = Duration::from_secs(400 * 86_400);
/// A sidecar that was not seen for so long is gone.
const GONE: Duration = Duration::from_secs(86_400);

fn before(now: Millis, age: Duration) -> Millis {
    now.saturating_sub(Millis::try_from(age.as_millis()).unwrap_or(Millis::MAX))
}

/// Deletes what is older than its class is kept, in one transaction of its own; how many rows.
pub(super) async fn clean(conn: &mut Conn, keep: &Retention, now: Millis) -> Result<u64, DbError> {
    conn.begin().await?;
    match delete(conn, keep, now).await {
        Ok(rows) => conn.run("COMMIT", &[]).await.map(|_| rows),
        Err(error) => {
            conn.run("ROLLBACK", &[]).await?;
            Err(error)
        }
    }
}

async fn delete(conn: &mut Conn, keep: &Retention, now: Millis) -> Result<u64, DbError> {
    sql::lock(conn).await?;
    let incidents = before(now, keep.incidents);
    let past = before(now, PAST);
    let mut rows = 0;
    for (sql, until) in [
        (
            "DELETE FROM timeline WHERE incident_id IN (SELECT id FROM incidents WHERE resolved_at < $1)",
            incidents,
        ),
        (
            "DELETE FROM notifications WHERE incident_id IN (SELECT id FROM incidents WHERE resolved_at < $1)",
            incidents,
        ),
        ("DELETE FROM incidents WHERE resolved_at < $1", incidents),
        (
            "DELETE FROM notifications WHERE incident_id IS NULL AND state <> 'waiting' AND created_at < $1",
            incidents,
        ),
        ("DELETE FROM silences WHERE ends_at < $1", incidents),
        ("DELETE FROM samples WHERE at < $1", before(now, keep.samples)),
        ("DELETE FROM ledger WHERE minute < $1", before(now, keep.ledger)),
        ("DELETE FROM checkpoints WHERE at < $1", past),
        ("DELETE FROM commits WHERE at < $1", past),
        ("DELETE FROM members WHERE seen_at < $1", before(now, GONE)),
    ] {
        rows += conn.run(sql, args![until]).await?;
    }
    Ok(rows + shorten(conn, before(now, keep.audit)).await?)
}

/// Takes the oldest audit rows away and remembers the last of them, which the oldest row left follows.
async fn shorten(conn: &mut Conn, until: Millis) -> Result<u64, DbError> {
    // Up to the first row that is young enough: the chain has no holes, whatever the clocks did.
    let sql = "SELECT seq, hash FROM audit WHERE seq < COALESCE((SELECT MIN(seq) FROM audit WHERE at >= $1), \
               (SELECT seq + 1 FROM heads WHERE name = 'audit')) ORDER BY seq DESC LIMIT 1";
    let Some(mut row) = conn.row(sql, args![until]).await? else { return Ok(0) };
    let anchor = audit::Head { seq: row.int()?, hash: row.text()? };
    let sql = "UPDATE heads SET seq = $1, hash = $2 WHERE name = 'anchor'";
    conn.run(sql, args![anchor.seq, &anchor.hash]).await?;
    conn.run("DELETE FROM audit WHERE seq <= $1", args![anchor.seq]).await
}
