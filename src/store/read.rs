//! Reading what is on disk. Never waits for the writer; a database that is away is an error that says so. What is read of a
//! table stands in the table's file.

use super::db::{Arg, DbError, Pool, Row};
use super::error::StoreError;
use super::rows::Millis;

/// The most rows of one page.
pub(super) const MOST: u32 = 1_000;

/// Some rows, and where the next ones begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowPage<T> {
    pub rows: Vec<T>,
    /// Hand it in for the next page; `None`: this was the last one.
    pub next: Option<String>,
}

/// Reads what is on disk; clones are cheap.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(super) pool: Pool,
}

/// `<started_at>.<id>` of the last row of a page.
pub(super) fn place(cursor: &str) -> Result<(Millis, &str), StoreError> {
    let place = cursor.split_once('.').and_then(|(at, id)| Some((at.parse().ok()?, id)));
    place.ok_or_else(|| StoreError::Refused(format!("{cursor:?} is no cursor; hand in what `next` gave")))
}

impl Reader {
    pub(super) fn new(pool: Pool) -> Self {
        Self { pool }
    }

    /// All rows of a statement, read.
    pub(super) async fn all<T>(
        &self,
        sql: &'static str,
        args: &[Arg<'_>],
        read: impl Fn(Row) -> Result<T, DbError>,
    ) -> Result<Vec<T>, StoreError> {
        let rows = self.pool.rows(sql, args).await?;
        Ok(rows.into_iter().map(read).collect::<Result<_, _>>()?)
    }
}
