//! The door to sqlx: a connection for SQLite and PostgreSQL alike.
//!
//! Knows no table. The SQL is the same text for both: `$1` placeholders, BIGINT and TEXT, `ON CONFLICT`, `RETURNING`.

use sqlx::{AssertSqlSafe, Connection as _, PgPool, SqlSafeStr as _, SqliteConnection, SqlitePool};

use super::session::Session;
pub(super) use super::statement::{Arg, DbError, DbFault, Row, SqlValue, args};
use super::statement::{query, row};

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
