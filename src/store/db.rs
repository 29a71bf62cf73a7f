//! The door to sqlx: a connection, its arguments and its rows, for SQLite and PostgreSQL alike.
//!
//! Knows no table. The SQL is the same text for both: `$1` placeholders, BIGINT and TEXT, `ON CONFLICT`, `RETURNING`.

use sqlx::{AssertSqlSafe, Connection as _, PgPool, SqlSafeStr as _, SqliteConnection, SqlitePool};

use super::error::{DatabaseState, StoreError};
use super::session::Session;

/// What a failure means for what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DbFault {
    /// The database cannot do it now; it may later.
    Down(DatabaseState),
    /// The asker's: it would fail again.
    Refused,
    /// The tables are another program's.
    OtherTables,
}

/// A failure of the database.
#[derive(Clone, Debug)]
pub(super) struct DbError {
    pub(super) fault: DbFault,
    pub(super) text: String,
}

impl DbError {
    pub(super) fn damaged(text: impl Into<String>) -> Self {
        Self { fault: DbFault::Down(DatabaseState::Damaged), text: text.into() }
    }

    pub(super) fn refused(text: impl Into<String>) -> Self {
        Self { fault: DbFault::Refused, text: text.into() }
    }

    pub(super) fn unreachable(text: impl Into<String>) -> Self {
        Self { fault: DbFault::Down(DatabaseState::Unreachable), text: text.into() }
    }
}

impl From<DbError> for StoreError {
    fn from(error: DbError) -> Self {
        match error.fault {
            DbFault::Down(state) => Self::Unavailable { state, why: error.text },
            DbFault::Refused => Self::Refused(error.text),
            DbFault::OtherTables => Self::OtherTables(error.text),
        }
    }
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code().map(|code| code.into_owned()));
        let fault = match (&error, code.as_deref()) {
            (sqlx::Error::Encode(_) | sqlx::Error::InvalidArgument(_), _) => DbFault::Refused,
            // Only damage turns a stored text into something that is none.
            (sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_), _) => {
                DbFault::Down(DatabaseState::Damaged)
            }
            (_, Some(code)) => fault_of(code),
            (_, None) => DbFault::Down(DatabaseState::Unreachable),
        };
        Self { fault, text: error.to_string() }
    }
}

/// SQLite's codes are numbers (the low byte is the kind), PostgreSQL's have five characters (the first two are the class).
fn fault_of(code: &str) -> DbFault {
    if code.len() == 5 && !code.starts_with(' ') {
        return match &code[..2] {
            "22" | "23" | "54" => DbFault::Refused,
            _ if code == "53100" => DbFault::Down(DatabaseState::Full),
            "XX" => DbFault::Down(DatabaseState::Damaged),
            _ => DbFault::Down(DatabaseState::Unreachable),
        };
    }
    match code.parse::<u32>().unwrap_or_default() & 0xFF {
        13 => DbFault::Down(DatabaseState::Full),
        11 | 26 => DbFault::Down(DatabaseState::Damaged),
        // TOOBIG, CONSTRAINT, MISMATCH, RANGE
        18 | 19 | 20 | 25 => DbFault::Refused,
        _ => DbFault::Down(DatabaseState::Unreachable),
    }
}

/// One argument of a statement.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arg<'a> {
    Int(Option<i64>),
    Text(Option<&'a str>),
    Bytes(&'a [u8]),
}

impl From<i64> for Arg<'_> {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<Option<i64>> for Arg<'_> {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl<'a> From<&'a str> for Arg<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(Some(value))
    }
}

impl<'a> From<Option<&'a str>> for Arg<'a> {
    fn from(value: Option<&'a str>) -> Self {
        Self::Text(value)
    }
}

impl<'a> From<&'a String> for Arg<'a> {
    fn from(value: &'a String) -> Self {
        Self::Text(Some(value))
    }
}

impl<'a> From<&'a Option<String>> for Arg<'a> {
    fn from(value: &'a Option<String>) -> Self {
        Self::Text(value.as_deref())
    }
}

impl<'a> From<&'a Vec<u8>> for Arg<'a> {
    fn from(value: &'a Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

/// The arguments of a statement, in the order of its placeholders.
macro_rules! args {
    ($($value:expr),* $(,)?) => { &[$($crate::store::db::Arg::from($value)),*] };
}
pub(super) use args;

/// One value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SqlValue {
    Null,
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// One row, read from left to right.
#[derive(Debug)]
pub(super) struct Row(std::vec::IntoIter<SqlValue>);

impl Row {
    pub(super) fn of(cells: Vec<SqlValue>) -> Self {
        Self(cells.into_iter())
    }

    pub(super) fn int(&mut self) -> Result<i64, DbError> {
        self.maybe_int()?.ok_or_else(|| DbError::damaged("a number is missing"))
    }

    pub(super) fn text(&mut self) -> Result<String, DbError> {
        self.maybe_text()?.ok_or_else(|| DbError::damaged("a text is missing"))
    }

    pub(super) fn maybe_int(&mut self) -> Result<Option<i64>, DbError> {
        match self.0.next() {
            Some(SqlValue::Int(value)) => Ok(Some(value)),
            Some(SqlValue::Null) => Ok(None),
            Some(SqlValue::Text(_) | SqlValue::Bytes(_)) | None => {
                Err(DbError::damaged("something else stands where a number should"))
            }
        }
    }

    pub(super) fn maybe_text(&mut self) -> Result<Option<String>, DbError> {
        match self.0.next() {
            Some(SqlValue::Text(value)) => Ok(Some(value)),
            Some(SqlValue::Null) => Ok(None),
            Some(SqlValue::Int(_) | SqlValue::Bytes(_)) | None => {
                Err(DbError::damaged("something else stands where a text should"))
            }
        }
    }

    pub(super) fn bytes(&mut self) -> Result<Vec<u8>, DbError> {
        self.maybe_bytes()?.ok_or_else(|| DbError::damaged("bytes are missing"))
    }

    pub(super) fn maybe_bytes(&mut self) -> Result<Option<Vec<u8>>, DbError> {
        match self.0.next() {
            Some(SqlValue::Bytes(value)) => Ok(Some(value)),
            Some(SqlValue::Null) => Ok(None),
            Some(SqlValue::Int(_) | SqlValue::Text(_)) | None => {
                Err(DbError::damaged("something else stands where bytes should"))
            }
        }
    }

    /// What is left of it.
    pub(super) fn cells(self) -> impl Iterator<Item = SqlValue> {
        self.0
    }
}

/// Reads a driver's row.
macro_rules! row {
    ($row:expr) => {{
        use sqlx::{Column as _, Row as _, TypeInfo as _, ValueRef as _};

        use $crate::store::db::{Row, SqlValue};

        let row = &$row;
        let mut cells = Vec::with_capacity(row.columns().len());
        for column in row.columns() {
            let at = column.ordinal();
            let value = row.try_get_raw(at)?;
            cells.push(if value.is_null() {
                SqlValue::Null
            } else {
                match value.type_info().name() {
                    "INTEGER" | "INT8" | "INT4" => SqlValue::Int(row.try_get_unchecked(at)?),
                    "BLOB" | "BYTEA" => SqlValue::Bytes(row.try_get_unchecked(at)?),
                    _ => SqlValue::Text(row.try_get_unchecked(at)?),
                }
            });
        }
        Ok::<Row, $crate::store::db::DbError>(Row::of(cells))
    }};
}
pub(super) use row;

/// Runs a statement with its arguments on either database.
macro_rules! query {
    ($sql:expr, $args:expr) => {{
        let mut query = sqlx::query($sql);
        for arg in $args {
            query = match *arg {
                $crate::store::db::Arg::Int(value) => query.bind(value),
                $crate::store::db::Arg::Text(value) => query.bind(value),
                $crate::store::db::Arg::Bytes(value) => query.bind(value),
            };
        }
        query
    }};
}
pub(super) use query;

/// One connection to either kind of database.
#[derive(Debug)]
pub(super) enum Conn {
    Sqlite(SqliteConnection),
    Postgres(Box<Session>),
}

impl Conn {
    /// Runs one statement; how many rows it changed.
    pub(super) async fn run(&mut self, sql: &'static str, args: &[Arg<'_>]) -> Result<u64, DbError> {
        Ok(match self {
            Self::Sqlite(conn) => query!(sql, args).execute(conn).await?.rows_affected(),
            Self::Postgres(session) => session.run(sql.into_sql_str(), args).await?,
        })
    }

    /// Runs a statement made of this program's own names.
    pub(super) async fn run_made(&mut self, sql: String, args: &[Arg<'_>]) -> Result<u64, DbError> {
        let sql = AssertSqlSafe(sql).into_sql_str();
        Ok(match self {
            Self::Sqlite(conn) => query!(sql, args).execute(conn).await?.rows_affected(),
            Self::Postgres(session) => session.run(sql, args).await?,
        })
    }

    /// All rows of a statement.
    pub(super) async fn rows(&mut self, sql: &'static str, args: &[Arg<'_>]) -> Result<Vec<Row>, DbError> {
        self.rows_of(sql.into_sql_str(), args).await
    }

    /// All rows of a statement made of this program's own names.
    pub(super) async fn rows_made(&mut self, sql: String, args: &[Arg<'_>]) -> Result<Vec<Row>, DbError> {
        self.rows_of(AssertSqlSafe(sql).into_sql_str(), args).await
    }

    async fn rows_of(&mut self, sql: sqlx::SqlStr, args: &[Arg<'_>]) -> Result<Vec<Row>, DbError> {
        match self {
            Self::Sqlite(conn) => {
                query!(sql, args).fetch_all(conn).await?.iter().map(|row| row!(*row)).collect()
            }
            Self::Postgres(session) => session.rows(sql, args).await,
        }
    }

    /// The first row, if there is one.
    pub(super) async fn row(&mut self, sql: &'static str, args: &[Arg<'_>]) -> Result<Option<Row>, DbError> {
        Ok(self.rows(sql, args).await?.into_iter().next())
    }

    /// Begins a transaction that will write.
    pub(super) async fn begin(&mut self) -> Result<(), DbError> {
        match self {
            // A transaction that reads first could not wait for its turn to write.
            Self::Sqlite(_) => self.run("BEGIN IMMEDIATE", &[]).await.map(drop),
            Self::Postgres(session) => session.begin().await,
        }
    }

    /// Begins a transaction that sees one moment.
    pub(super) async fn begin_snapshot(&mut self) -> Result<(), DbError> {
        match self {
            Self::Sqlite(_) => self.run("BEGIN", &[]).await.map(drop),
            Self::Postgres(session) => session.begin_snapshot().await,
        }
    }

    /// Ends a transaction: it is on disk.
    pub(super) async fn commit(&mut self) -> Result<(), DbError> {
        match self {
            Self::Sqlite(_) => self.run("COMMIT", &[]).await.map(drop),
            Self::Postgres(session) => session.commit().await,
        }
    }

    /// Ends a transaction as if it had not been.
    pub(super) async fn rollback(&mut self) -> Result<(), DbError> {
        match self {
            Self::Sqlite(_) => self.run("ROLLBACK", &[]).await.map(drop),
            Self::Postgres(session) => session.rollback().await,
        }
    }

    pub(super) async fn close(self) -> Result<(), DbError> {
        match self {
            Self::Sqlite(conn) => conn.close().await?,
            Self::Postgres(session) => session.close().await?,
        }
        Ok(())
    }
}

/// Connections that only read.
#[derive(Clone, Debug)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
    /// There is nothing that may be read.
    Away(DbError),
}

impl Pool {
    /// All rows of a statement.
    pub(super) async fn rows(&self, sql: &'static str, args: &[Arg<'_>]) -> Result<Vec<Row>, DbError> {
        match self {
            Self::Sqlite(pool) => {
                query!(sql, args).fetch_all(pool).await?.iter().map(|row| row!(*row)).collect()
            }
            // Whatever stands between, what prepares a statement runs it, and it stays nowhere.
            // Boxed: whoever asks holds it within its own future.
            Self::Postgres(pool) => {
                Box::pin(async {
                    let mut reading = pool.begin_with("BEGIN READ ONLY").await?;
                    let rows = query!(sql, args).persistent(false).fetch_all(&mut *reading).await?;
                    reading.commit().await?;
                    rows.iter().map(|row| row!(*row)).collect()
                })
                .await
            }
            Self::Away(why) => Err(why.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_says_whose_fault_it_was() {
        for (code, fault) in [
            ("13", DbFault::Down(DatabaseState::Full)),
            ("778", DbFault::Down(DatabaseState::Unreachable)),
            ("11", DbFault::Down(DatabaseState::Damaged)),
            ("267", DbFault::Down(DatabaseState::Damaged)),
            ("26", DbFault::Down(DatabaseState::Damaged)),
            ("5", DbFault::Down(DatabaseState::Unreachable)),
            ("1555", DbFault::Refused),
            ("53100", DbFault::Down(DatabaseState::Full)),
            ("57P01", DbFault::Down(DatabaseState::Unreachable)),
            ("22021", DbFault::Refused),
            ("XX001", DbFault::Down(DatabaseState::Damaged)),
        ] {
            assert_eq!(fault_of(code), fault, "{code}");
        }
    }
}
