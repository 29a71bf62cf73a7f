//! The tables: one file each with its rows, its SQL, what a backup holds of it and how long its rows stay.
//!
//! A new table is its migration, its file, its row in [`TABLES`] and, where others than the store write it, its [`Write`].
//! Its SQL is read by SQLite and PostgreSQL alike. What members of a fleet tell each other needs a row in `news` besides, and its
//! place in `control::fleet`. The tests below hold [`TABLES`] against the schema and against what retention deletes.

mod audit;
mod commits;
pub(super) mod heads;
pub(super) mod incidents;
mod leases;
mod ledger;
mod members;
pub(super) mod notifications;
mod recovery;
mod silences;
mod table;
pub(super) mod timeline;

pub(super) use audit::row_of;
pub use audit::{AuditEntry, AuditRow};
pub(super) use commits::{last_batch, note_batch};
pub use incidents::{IncidentFilter, IncidentRow, IncidentVersion, Join, newer};
pub(super) use leases::release;
pub use ledger::{LedgerMinute, Minutes};
pub use notifications::{Delivery, NotificationRow};
pub use recovery::RecoveryRow;
pub use silences::SilenceRow;
pub(super) use table::{Class, Exported, Kept, Table};
pub use timeline::NewEntry;

use super::audit::ChainKey;
use super::chain::ChainEnd;
use super::db::{Conn, DbError};
use super::effects::CommitEffects;
use super::rows::Millis;

/// All migrations, oldest first.
pub(super) const MIGRATIONS: [(i64, &str, &str); 6] = [
    (1, "first", include_str!("../migrations/0001_first.sql")),
    (2, "fleet", include_str!("../migrations/0002_fleet.sql")),
    (3, "audit key", include_str!("../migrations/0003_audit_key.sql")),
    (4, "ledger days", include_str!("../migrations/0004_ledger_days.sql")),
    (5, "news", include_str!("../migrations/0005_news.sql")),
    (6, "recovery", include_str!("../migrations/0006_recovery.sql")),
];

/// Tables that nothing writes any more. They stay in the schema, empty, while members of the version before may share the
/// database: that version counts their rows when it cleans. A line of an older export for one of them is left out.
pub(super) const RETIRED: [&str; 2] = ["checkpoints", "samples"];

/// All tables, in the order of an export. Retention cleans them in this order.
pub(super) const TABLES: [Table; 13] = [
    incidents::TABLE,
    timeline::TABLE,
    audit::TABLE,
    notifications::TABLE,
    ledger::TABLE,
    ledger::DAYS,
    silences::TABLE,
    recovery::TABLE,
    leases::TABLE,
    heads::TABLE,
    commits::TABLE,
    members::TABLE,
    members::NEWS,
];

/// How is written what is not said by the row itself.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) join: Join,
    /// Of the audit chain.
    pub(super) key: Option<ChainKey>,
}

/// One durable write. The writes of one call are on disk together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// New, or newer than what is there.
    PutIncident(IncidentRow),
    /// Added to the end of their timelines.
    AddEntries(Vec<NewEntry>),
    /// Added to the end of the chain.
    Audit(AuditEntry),
    PutNotification(NotificationRow),
    PutSilence(SilenceRow),
    PutRecovery(RecoveryRow),
    /// New, or the same minute with more in it.
    LedgerMinute(LedgerMinute),
}

/// Which row a write replaces as a whole.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) enum RowKey {
    Incident(String),
    Notification(String),
    Recovery(String),
    Minute(String, String, String, Millis),
}

impl Write {
    /// The row that it replaces as a whole; `None`: it replaces none, so each such write counts.
    pub(super) fn key(&self) -> Option<RowKey> {
        match self {
            Self::PutIncident(row) => Some(RowKey::Incident(row.id.clone())),
            Self::PutNotification(row) => Some(RowKey::Notification(row.id.clone())),
            Self::PutRecovery(row) => Some(RowKey::Recovery(row.id.clone())),
            Self::LedgerMinute(row) => {
                Some(RowKey::Minute(row.member.clone(), row.boot.clone(), row.service.clone(), row.minute))
            }
            Self::AddEntries(_) | Self::Audit(_) | Self::PutSilence(_) => None,
        }
    }

    /// Is it, which came later, to be kept instead of `older`? An incident's revision decides, not the order of calls.
    pub(super) fn supersedes(&self, older: &Self) -> bool {
        match (self, older) {
            (Self::PutIncident(newer), Self::PutIncident(older)) => newer.revision >= older.revision,
            (
                Self::PutIncident(_)
                | Self::PutNotification(_)
                | Self::LedgerMinute(_)
                | Self::AddEntries(_)
                | Self::Audit(_)
                | Self::PutSilence(_)
                | Self::PutRecovery(_),
                _,
            ) => true,
        }
    }

    /// Is it a row of this start alone? It needs no turn among the writers of a fleet.
    pub(super) fn is_own(&self) -> bool {
        self.minute().is_some()
    }

    /// The minute of the ledger that it writes, and of which service.
    pub(crate) fn minute(&self) -> Option<(Millis, &str)> {
        let Self::LedgerMinute(row) = self else { return None };
        Some((row.minute, &row.service))
    }

    /// Every text in it.
    fn texts(&mut self) -> Vec<&mut String> {
        match self {
            Self::PutIncident(row) => row.texts(),
            Self::AddEntries(rows) => rows.iter_mut().flat_map(NewEntry::texts).collect(),
            Self::Audit(row) => row.texts(),
            Self::PutNotification(row) => row.texts(),
            Self::PutSilence(row) => row.texts(),
            Self::PutRecovery(row) => row.texts(),
            Self::LedgerMinute(row) => row.texts(),
        }
    }

    /// PostgreSQL stores no text with a NUL (U+0000) in it, and a row that is refused would be refused for ever. What people and
    /// their programs send gets U+FFFD in its place, in both databases, before anything is hashed over it. Bodies are JSON, which
    /// writes it as an escape.
    pub(super) fn without_nul(&mut self) {
        for text in self.texts().into_iter().filter(|text| text.contains('\0')) {
            *text = text.replace('\0', "\u{fffd}");
        }
    }

    /// Writes it inside the writer's turn; `head` moves with the chain.
    pub(super) async fn put(
        &self,
        conn: &mut Conn,
        head: &mut ChainEnd,
        changed: &mut CommitEffects,
        rules: &Rules,
    ) -> Result<(), DbError> {
        match self {
            Self::PutIncident(row) => row.put(conn, changed, rules.join).await,
            Self::AddEntries(rows) => timeline::add(conn, rows, changed).await,
            Self::Audit(entry) => heads::add_audit(conn, entry, head, rules.key.as_ref()).await,
            Self::PutNotification(row) => row.put(conn).await,
            Self::PutSilence(row) => row.put(conn, changed).await,
            Self::PutRecovery(row) => row.put(conn).await,
            Self::LedgerMinute(row) => row.put(conn).await,
        }
    }

    /// Writes a row that is this start's alone (see [`Self::is_own`]).
    pub(super) async fn put_own(&self, conn: &mut Conn) -> Result<(), DbError> {
        let Self::LedgerMinute(row) = self else {
            return Err(DbError::unreachable("others write it too, so it needs the lock"));
        };
        row.put(conn).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::store::connect::Db;
    use crate::store::open;

    /// Columns of the fleet of the moment, which no backup holds: how it tells what is new.
    const COLUMNS_NOT_EXPORTED: [&str; 3] = ["change", "word", "said"];

    async fn names(conn: &mut Conn, sql: String) -> BTreeSet<String> {
        let rows = conn.rows_made(sql, &[]).await.expect("reads");
        rows.into_iter().map(|mut row| row.text().expect("a name")).collect()
    }

    #[tokio::test]
    async fn retention_and_export_know_every_table_with_every_column() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut conn, _) = open::open(&Db::Sqlite(dir.path().join("strop.db"))).await.expect("opens");
        let sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT LIKE '_sqlx%'";
        let there = names(&mut conn, sql.to_owned()).await;
        let known = TABLES.iter().map(|table| table.name).chain(RETIRED).map(str::to_owned).collect();
        assert_eq!(there, known);
        for table in &TABLES {
            let Exported::Rows { columns, .. } = table.exported else { continue };
            let there =
                names(&mut conn, format!("SELECT name FROM pragma_table_info('{}')", table.name)).await;
            let there: BTreeSet<_> =
                there.into_iter().filter(|name| !COLUMNS_NOT_EXPORTED.contains(&name.as_str())).collect();
            let known = columns.iter().map(|column| (*column).to_owned()).collect();
            assert_eq!(there, known, "{}", table.name);
        }
    }

    #[test]
    fn a_class_deletes_rows_of_its_table_and_that_of_incidents_what_goes_with_them() {
        let from = |sql: &str, table: &str| sql.starts_with(&format!("DELETE FROM {table} "));
        for table in &TABLES {
            let class = match &table.kept {
                Kept::Class(class) => class,
                Kept::WithIncident => &incidents::CLASS,
                Kept::Always | Kept::Chain => continue,
            };
            assert!(class.delete.iter().any(|sql| from(sql, table.name)), "{}", table.name);
        }
    }

    #[test]
    fn a_nul_in_what_somebody_sent_blocks_no_row() {
        let entry = |actor: &str| AuditEntry {
            at: 1,
            actor: actor.to_owned(),
            action: "note".to_owned(),
            target: "inc\0".to_owned(),
            body: "{}".to_owned(),
        };
        let mut write = Write::Audit(entry("ann\0bob"));
        write.without_nul();
        assert_eq!(
            write,
            Write::Audit(AuditEntry { target: "inc\u{fffd}".to_owned(), ..entry("ann\u{fffd}bob") })
        );
        let mut plain = Write::Audit(AuditEntry { target: "ä\u{1}".to_owned(), ..entry("ann") });
        let before = plain.clone();
        plain.without_nul();
        assert_eq!(plain, before, "nothing else is touched");
    }
}
