//! The tables `ledger` and `ledger_days`: what was up, minute by minute, and packed by the day (see [`crate::store::ledger`]).

use super::table::{Class, Exported, Kept, Table};
use crate::store::db::{Conn, DbError, args};
use crate::store::rows::Millis;

pub(in crate::store) const TABLE: Table = Table {
    name: "ledger",
    exported: Exported::Rows {
        columns: &["member", "service", "minute", "boot", "slices", "good", "total"],
        order: "service, minute, member, boot",
    },
    kept: Kept::Class(Class {
        age: |keep| keep.ledger,
        count: Some("SELECT COUNT(*) FROM ledger"),
        delete: &[
            "DELETE FROM ledger WHERE (service, minute, member, boot) IN (SELECT service, minute, member, boot \
                   FROM ledger WHERE minute < $1 ORDER BY minute LIMIT $2)",
        ],
        is_sealed: false,
    }),
};

/// A packed day goes when all of its minutes may.
pub(in crate::store) const DAYS: Table = Table {
    name: "ledger_days",
    exported: Exported::Rows {
        columns: &["member", "service", "day", "packed"],
        order: "service, day, member",
    },
    kept: Kept::Class(Class {
        age: |keep| keep.ledger,
        count: Some("SELECT COUNT(*) FROM ledger_days"),
        delete: &["DELETE FROM ledger_days WHERE (service, day, member) IN (SELECT service, day, member \
                   FROM ledger_days WHERE day <= $1 - 86400000 ORDER BY day LIMIT $2)"],
        is_sealed: false,
    }),
};

/// One minute of one service as one sidecar saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerMinute {
    /// The member that saw it.
    pub member: String,
    /// The service that the ledger counts: the whole, or one upstream.
    pub service: String,
    /// When the minute began.
    pub minute: Millis,
    /// Which start of the sidecar.
    pub boot: String,
    /// One letter a second, 60 in all; what they mean is the ledger's.
    pub slices: String,
    /// Exchanges of this minute that were good.
    pub good: i64,
    /// Exchanges of this minute in all.
    pub total: i64,
}

/// Some time of the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Minutes {
    /// By minute, service, member and start.
    pub rows: Vec<LedgerMinute>,
    /// Packed days that cannot be read, by name; they stay where they are.
    pub unreadable: Vec<String>,
}

impl LedgerMinute {
    pub(super) fn texts(&mut self) -> Vec<&mut String> {
        let Self { member, service, boot, slices, .. } = self;
        vec![member, service, boot, slices]
    }

    pub(super) async fn put(&self, conn: &mut Conn) -> Result<(), DbError> {
        let sql = "INSERT INTO ledger (member, service, minute, boot, slices, good, total) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (service, minute, member, boot) DO UPDATE SET \
                   slices = excluded.slices, good = excluded.good, total = excluded.total";
        let args =
            args![&self.member, &self.service, self.minute, &self.boot, &self.slices, self.good, self.total];
        conn.run(sql, args).await.map(drop)
    }
}
