//! The table `leases`: who may do something alone, until when.

use super::table::{Exported, Kept, Table};
use crate::store::db::{Conn, DbError, args};
use crate::store::rows::Lease;

pub(in crate::store) const TABLE: Table = Table {
    name: "leases",
    exported: Exported::Rows { columns: &["name", "holder", "token", "expires_at"], order: "name" },
    kept: Kept::Always,
};

/// Gives a lease back. The row stays: its token must never be given twice.
pub(in crate::store) async fn release(conn: &mut Conn, lease: &Lease) -> Result<(), DbError> {
    let sql = "UPDATE leases SET expires_at = 0 WHERE name = $1 AND holder = $2 AND token = $3";
    conn.run(sql, args![&lease.name, &lease.holder, lease.token]).await.map(drop)
}
