//! Writes as SQL. Everything runs inside the writer's transaction.

use std::collections::BTreeMap;

use super::audit::{self, ChainEnd, ChainKey};
use super::db::{Conn, DbError, args};
use super::rows::{
    AuditEntry, IncidentRow, Join, Lease, LedgerMinute, Millis, NewEntry, NotificationRow, SilenceRow, Write,
};
use super::{read, seal};
use crate::telemetry::event::AuditEvent;

/// How is written what is not said by the row itself.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) join: Join,
    /// Of the audit chain.
    pub(super) key: Option<ChainKey>,
}

/// Makes writers follow each other until the transaction ends, in a fleet too, and gives the chain's end. A key begins its part
/// of the chain, and marks an end that it does not know.
pub(super) async fn lock(conn: &mut Conn, key: Option<&ChainKey>) -> Result<ChainEnd, DbError> {
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

/// What a transaction changes that others want to know.
#[derive(Debug, Default)]
pub(super) struct CommitEffects {
    /// Incidents; true: it had ended before.
    incidents: BTreeMap<String, bool>,
    /// The number of this change of incidents.
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

    async fn number(&mut self, conn: &mut Conn) -> Result<i64, DbError> {
        if self.number.is_none() {
            self.number = Some(next(conn, "incidents").await?);
        }
        Ok(self.number.unwrap_or_default())
    }

    async fn silence(&mut self, conn: &mut Conn) -> Result<(), DbError> {
        if !std::mem::replace(&mut self.silences, true) {
            next(conn, "silences").await?;
        }
        Ok(())
    }
}

/// The next number of a counter that every writer moves under the [`lock`].
async fn next(conn: &mut Conn, name: &str) -> Result<i64, DbError> {
    let row = conn.row("UPDATE news SET seq = seq + 1 WHERE name = $1 RETURNING seq", args![name]).await?;
    row.ok_or_else(|| DbError::damaged("a counter of changes is missing"))?.int()
}

/// Writes a row that is this start's alone.
pub(super) async fn own(conn: &mut Conn, write: &Write) -> Result<(), DbError> {
    match write {
        Write::LedgerMinute(row) => ledger_minute(conn, row).await,
        Write::PutIncident(_)
        | Write::AddEntries(_)
        | Write::Audit(_)
        | Write::PutNotification(_)
        | Write::PutSilence(_) => Err(DbError::unreachable("others write it too, so it needs the lock")),
    }
}

/// Writes one; `head` moves with the chain.
pub(super) async fn write(
    conn: &mut Conn,
    write: &Write,
    head: &mut ChainEnd,
    changed: &mut CommitEffects,
    rules: &Rules,
) -> Result<(), DbError> {
    match write {
        Write::PutIncident(row) => put_incident(conn, row, changed, rules.join).await,
        Write::AddEntries(entries) => {
            for entry in entries {
                changed.incidents.entry(entry.incident_id.clone()).or_default();
            }
            add_entries(conn, entries).await
        }
        Write::Audit(entry) => add_audit(conn, entry, head, rules.key.as_ref()).await,
        Write::PutNotification(row) => put_notification(conn, row).await,
        Write::PutSilence(row) => {
            changed.silence(conn).await?;
            put_silence(conn, row).await
        }
        Write::LedgerMinute(_) => own(conn, write).await,
    }
}

/// Writers follow each other (see [`lock`]), so what is read here is what is written over.
async fn put_incident(
    conn: &mut Conn,
    ours: &IncidentRow,
    changed: &mut CommitEffects,
    join: Join,
) -> Result<(), DbError> {
    let found = conn.row(read::INCIDENT, args![&ours.id]).await?;
    let joined = match found.map(read::incident).transpose()? {
        Some(theirs) => {
            let joined = join(&theirs, ours);
            if joined == theirs {
                return Ok(());
            }
            *changed.incidents.entry(ours.id.clone()).or_default() |= theirs.resolved_at.is_some();
            Some(joined)
        }
        None => {
            changed.incidents.entry(ours.id.clone()).or_default();
            None
        }
    };
    let row = joined.as_ref().unwrap_or(ours);
    let sql = "INSERT INTO incidents (id, dedup_key, state, severity, rule, service, started_at, resolved_at, \
               updated_at, revision, member, body, change) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
               ON CONFLICT (id) DO UPDATE SET dedup_key = excluded.dedup_key, state = excluded.state, \
               severity = excluded.severity, rule = excluded.rule, service = excluded.service, \
               started_at = excluded.started_at, resolved_at = excluded.resolved_at, \
               updated_at = excluded.updated_at, revision = excluded.revision, member = excluded.member, \
               body = excluded.body, change = excluded.change";
    let change = changed.number(conn).await?;
    let args = args![
        &row.id,
        &row.dedup_key,
        &row.state,
        &row.severity,
        &row.rule,
        &row.service,
        row.started_at,
        row.resolved_at,
        row.updated_at,
        row.revision,
        &row.member,
        &row.body,
        change,
    ];
    conn.run(sql, args).await.map(drop)
}

async fn add_entries(conn: &mut Conn, entries: &[NewEntry]) -> Result<(), DbError> {
    let sql = "INSERT INTO timeline (incident_id, seq, at, kind, actor, body) \
               SELECT $1, COALESCE(MAX(seq), 0) + 1, $2, $3, $4, $5 FROM timeline WHERE incident_id = $1";
    for entry in entries {
        let args = args![&entry.incident_id, entry.at, &entry.kind, &entry.actor, &entry.body];
        conn.run(sql, args).await?;
    }
    Ok(())
}

/// Puts incidents that have ended on the chain, as they are after everything else of the transaction.
pub(super) async fn seal(
    conn: &mut Conn,
    changed: &CommitEffects,
    head: &mut ChainEnd,
    key: Option<&ChainKey>,
) -> Result<(), DbError> {
    for (id, ended) in &changed.incidents {
        if let Some(entry) = seal::row(conn, id, *ended).await? {
            add_audit(conn, &entry, head, key).await?;
        }
    }
    Ok(())
}

/// Adds a row to the chain.
pub(super) async fn add_audit(
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
pub(super) async fn put_head(
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

/// What is settled stays settled: a member of a fleet that has lost the duty may still have an attempt under way, and what comes
/// of it says less than what the next member has done.
async fn put_notification(conn: &mut Conn, row: &NotificationRow) -> Result<(), DbError> {
    let sql = "INSERT INTO notifications (id, incident_id, dedup_key, channel, kind, body, state, attempts, next_at, \
               created_at, last_error, sent_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
               ON CONFLICT (id) DO UPDATE SET incident_id = excluded.incident_id, dedup_key = excluded.dedup_key, \
               channel = excluded.channel, kind = excluded.kind, body = excluded.body, state = excluded.state, \
               attempts = excluded.attempts, next_at = excluded.next_at, created_at = excluded.created_at, \
               last_error = excluded.last_error, sent_at = excluded.sent_at \
               WHERE notifications.state = 'waiting' OR excluded.state <> 'waiting'";
    let args = args![
        &row.id,
        &row.incident_id,
        &row.dedup_key,
        &row.channel,
        &row.kind,
        &row.body,
        row.state.as_str(),
        row.attempts,
        row.next_at,
        row.created_at,
        &row.last_error,
        row.sent_at,
    ];
    conn.run(sql, args).await.map(drop)
}

async fn put_silence(conn: &mut Conn, row: &SilenceRow) -> Result<(), DbError> {
    let sql = "INSERT INTO silences (id, body, starts_at, ends_at) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (id) DO UPDATE SET body = excluded.body, starts_at = excluded.starts_at, \
               ends_at = excluded.ends_at";
    conn.run(sql, args![&row.id, &row.body, row.starts_at, row.ends_at]).await.map(drop)
}

async fn ledger_minute(conn: &mut Conn, row: &LedgerMinute) -> Result<(), DbError> {
    let sql = "INSERT INTO ledger (member, service, minute, boot, slices, good, total) \
               VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (service, minute, member, boot) DO UPDATE SET \
               slices = excluded.slices, good = excluded.good, total = excluded.total";
    let args = args![&row.member, &row.service, row.minute, &row.boot, &row.slices, row.good, row.total];
    conn.run(sql, args).await.map(drop)
}

/// The last batch of this writer that is on disk; 0: none.
pub(super) async fn last_batch(conn: &mut Conn, writer: &str) -> Result<i64, DbError> {
    let row = conn.row("SELECT batch FROM commits WHERE writer = $1", args![writer]).await?;
    row.map_or(Ok(0), |mut row| row.int())
}

/// Notes the batch in its own transaction.
pub(super) async fn note_batch(conn: &mut Conn, writer: &str, batch: i64, at: Millis) -> Result<(), DbError> {
    let sql = "INSERT INTO commits (writer, batch, at) VALUES ($1, $2, $3) \
               ON CONFLICT (writer) DO UPDATE SET batch = excluded.batch, at = excluded.at";
    conn.run(sql, args![writer, batch, at]).await.map(drop)
}

/// Gives a lease back. The row stays: its token must never be given twice.
pub(super) async fn release(conn: &mut Conn, lease: &Lease) -> Result<(), DbError> {
    let sql = "UPDATE leases SET expires_at = 0 WHERE name = $1 AND holder = $2 AND token = $3";
    conn.run(sql, args![&lease.name, &lease.holder, lease.token]).await.map(drop)
}
