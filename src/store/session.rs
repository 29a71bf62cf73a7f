//! One connection to a PostgreSQL, whatever stands between.
//!
//! In a session of its own, statements are prepared once and news is heard the moment it is told. A pooler that gives each
//! transaction another session (PgBouncer by transaction) takes both away: then each statement is prepared within its own
//! transaction, and nobody listens. Which of the two it is, is not configured but found out: by what others have left in the
//! session, by its process being another one, by a statement that is not there.
//!
//! Invariant: a named statement that writes runs only in a transaction whose session is known to be the own one, so under a
//! pooler that was not recognised yet it cannot be another program's statement of the same name.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgListener, PgPool, PgPoolOptions};
use sqlx::{Acquire as _, ConnectOptions as _, Connection as _, SqlStr};

use super::db::{Arg, DbError, Row, query, row};

/// What members tell each other of what they have written.
const CHANNEL: &str = "strop_news";
/// How long a connection may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// Who else brings the tables up to date waits here: any number that nobody else uses.
const MIGRATING: &str = "SELECT pg_advisory_xact_lock(7595442613718443)";
const BEGIN: &str = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '10s'; \
                     SET LOCAL statement_timeout = '10s'; SELECT CAST(pg_backend_pid() AS BIGINT)";

/// Where the server is, and what is known of the way there. Clones know the same.
#[derive(Clone, Debug)]
pub(super) struct ServerRoute {
    options: PgConnectOptions,
    /// A pooler was found on it.
    pooled: Arc<AtomicBool>,
}

impl ServerRoute {
    pub(super) fn new(options: PgConnectOptions) -> Self {
        // PgBouncer refuses a parameter that it does not know, and no number here has digits behind a point.
        let options = options.extra_float_digits(None);
        Self { options, pooled: Arc::default() }
    }

    /// Host, port and database.
    pub(super) fn place(&self) -> String {
        let options = &self.options;
        let host =
            options.get_socket().map_or(options.get_host().to_owned(), |dir| dir.display().to_string());
        let database = options.get_database().unwrap_or(options.get_username());
        format!("{host}:{}/{database}", options.get_port())
    }

    /// An error that says where.
    fn there(&self, error: DbError) -> DbError {
        DbError { text: format!("{}: {}", self.place(), error.text), ..error }
    }

    /// A connection that keeps nothing in its session.
    pub(super) async fn connect(&self) -> Result<Session, DbError> {
        let connecting = tokio::time::timeout(PATIENCE, self.options.connect()).await;
        let conn = connecting.map_err(|_| late()).and_then(|came| came.map_err(DbError::from));
        let conn = conn.map_err(|error| self.there(error))?;
        Ok(Session { link: SessionLink::Passing(conn), open: false, way: self.clone() })
    }

    /// The one that writes: in a session of its own where there is one.
    pub(super) async fn stay(&self) -> Result<Session, DbError> {
        if self.pooled.load(Ordering::Relaxed) {
            return self.connect().await;
        }
        let staying = tokio::time::timeout(PATIENCE, self.own());
        staying.await.map_err(|_| late()).and_then(|came| came).map_err(|error| self.there(error))
    }

    async fn own(&self) -> Result<Session, DbError> {
        // A pool tries a server that refuses again and again by itself: all members would be there in the moment in which it
        // comes back. When to try again is the writer's to say.
        PgConnection::connect_with(&self.options).await?.close().await?;
        let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let pool = pool.acquire_timeout(PATIENCE).connect_lazy_with(self.options.clone());
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.ignore_pool_close_event(true);
        listener.eager_reconnect(false);
        let sql = "SELECT CAST(pg_backend_pid() AS BIGINT), (SELECT COUNT(*) FROM pg_prepared_statements)";
        let mut first = raw(listener.acquire().await?, sql).await?;
        let mut first = first.pop().ok_or_else(|| DbError::unreachable("it says nothing"))?;
        let (process, prepared) = (first.int()?, first.int()?);
        if prepared > 0 {
            return Err(self.found_pooled());
        }
        listener.listen(CHANNEL).await?;
        let link = SessionLink::Own { listener: Box::new(listener), pool, process };
        Ok(Session { link, open: false, way: self.clone() })
    }

    /// Connections that only read: one, for as long as somebody reads.
    pub(super) fn readers(&self) -> PgPool {
        let pool = PgPoolOptions::new().max_connections(1).idle_timeout(READS);
        pool.acquire_timeout(PATIENCE).connect_lazy_with(self.options.clone())
    }

    fn found_pooled(&self) -> DbError {
        self.pooled.store(true, Ordering::Relaxed);
        DbError::unreachable("a pooler gives each transaction another session: from now on none is relied on")
    }
}

/// How long a connection that only reads is kept after the last read.
const READS: Duration = Duration::from_secs(10);

fn late() -> DbError {
    DbError::unreachable(format!("no answer within {PATIENCE:?}"))
}

/// A connection to a server, opened when it is needed.
#[derive(Debug)]
pub(super) struct Session {
    link: SessionLink,
    /// A transaction is open.
    open: bool,
    way: ServerRoute,
}

#[derive(Debug)]
enum SessionLink {
    /// Of a session of its own, which is this process of the server.
    Own { listener: Box<PgListener>, pool: PgPool, process: i64 },
    /// Of whatever session is free.
    Passing(PgConnection),
}

impl Session {
    async fn conn(&mut self) -> Result<&mut PgConnection, DbError> {
        Ok(match &mut self.link {
            SessionLink::Own { listener, .. } => listener.acquire().await?,
            SessionLink::Passing(conn) => conn,
        })
    }

    fn keeps(&self) -> bool {
        matches!(self.link, SessionLink::Own { .. })
    }

    /// Is it still the session that it was? `process` is what it says it is.
    pub(super) fn same(&self, process: i64) -> Result<(), DbError> {
        match &self.link {
            SessionLink::Own { process: own, .. } if *own != process => Err(self.way.found_pooled()),
            SessionLink::Own { .. } | SessionLink::Passing(_) => Ok(()),
        }
    }

    /// A statement that is not there, or is another one: what was kept was kept in another session.
    fn judged(&self, error: sqlx::Error) -> DbError {
        let code = error.as_database_error().and_then(|error| error.code());
        match code.as_deref() {
            Some("26000" | "42P05" | "08P01") if self.keeps() => self.way.found_pooled(),
            _ => error.into(),
        }
    }

    /// Runs one statement; how many rows it changed.
    pub(super) async fn run(&mut self, sql: SqlStr, args: &[Arg<'_>]) -> Result<u64, DbError> {
        let alone = self.alone().await?;
        let keeps = self.keeps();
        let ran = query!(sql, args).persistent(keeps).execute(self.conn().await?).await;
        let ran = ran.map(|done| done.rows_affected()).map_err(|error| self.judged(error));
        self.end(alone, ran).await
    }

    /// All rows of a statement.
    pub(super) async fn rows(&mut self, sql: SqlStr, args: &[Arg<'_>]) -> Result<Vec<Row>, DbError> {
        let alone = self.alone().await?;
        let keeps = self.keeps();
        let found = query!(sql, args).persistent(keeps).fetch_all(self.conn().await?).await;
        let read = found.map_err(|error| self.judged(error)).and_then(|rows| rows.iter().map(read).collect());
        self.end(alone, read).await
    }

    /// Begins a transaction of its own for a statement that was prepared nowhere: what prepares it must be what runs it.
    async fn alone(&mut self) -> Result<bool, DbError> {
        let alone = !self.open && !self.keeps();
        if alone {
            raw(self.conn().await?, "BEGIN").await?;
        }
        Ok(alone)
    }

    async fn end<T>(&mut self, alone: bool, done: Result<T, DbError>) -> Result<T, DbError> {
        if alone {
            let sql = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
            let ended = raw(self.conn().await?, sql).await;
            // What went wrong first says more.
            return done.and_then(|done| ended.map(|_| done));
        }
        done
    }

    /// Begins a transaction that will write. Writers follow each other: one that was stopped in the middle
    /// must not stop the fleet.
    pub(super) async fn begin(&mut self) -> Result<(), DbError> {
        let mut said = raw(self.conn().await?, BEGIN).await?;
        self.open = true;
        let process = said.pop().map(|mut row| row.int()).transpose()?;
        process.map_or(Ok(()), |process| self.same(process))
    }

    /// Begins a transaction that sees one moment.
    pub(super) async fn begin_snapshot(&mut self) -> Result<(), DbError> {
        raw(self.conn().await?, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        self.open = true;
        Ok(())
    }

    pub(super) async fn commit(&mut self) -> Result<(), DbError> {
        raw(self.conn().await?, "COMMIT").await?;
        self.open = false;
        Ok(())
    }

    pub(super) async fn rollback(&mut self) -> Result<(), DbError> {
        raw(self.conn().await?, "ROLLBACK").await?;
        self.open = false;
        Ok(())
    }

    /// Tells the others, when the transaction is on disk, that there is something new; `who` knows it already.
    pub(super) async fn tell(&mut self, who: &str) -> Result<(), DbError> {
        let sql = sqlx::SqlSafeStr::into_sql_str("SELECT pg_notify($1, $2)");
        self.run(sql, &[Arg::from(CHANNEL), Arg::from(who)]).await.map(drop)
    }

    /// Until somebody else than `who` tells something. Dropped without loss. An error: the connection is gone.
    pub(super) async fn news(&mut self, who: &str) -> Result<(), DbError> {
        let SessionLink::Own { listener, .. } = &mut self.link else { return std::future::pending().await };
        loop {
            match listener.try_recv().await? {
                Some(news) if news.payload() == who => {}
                Some(_) => return Ok(()),
                None => return Err(DbError::unreachable("the server has closed the connection")),
            }
        }
    }

    /// Brings the tables up to date, one sidecar after the other.
    pub(super) async fn migrate(&mut self, migrator: &mut Migrator) -> Result<(), MigrateError> {
        // The lock that a migrator takes by itself is a session's.
        migrator.set_locking(false);
        let conn = match &mut self.link {
            SessionLink::Own { listener, .. } => listener.acquire().await?,
            SessionLink::Passing(conn) => conn,
        };
        if up_to_date(conn, migrator).await? {
            return Ok(());
        }
        let mut whole = sqlx::Connection::begin(conn).await?;
        sqlx::raw_sql(MIGRATING).execute(&mut *whole).await?;
        if up_to_date(&mut whole, migrator).await? {
            // Somebody else has done it meanwhile.
            return whole.commit().await.map_err(Into::into);
        }
        // It names its statements; in a session that others use, too, they must neither be there nor stay.
        sqlx::raw_sql("DEALLOCATE ALL").execute(&mut *whole).await?;
        migrator.run_direct(None, &mut *whole, false).await?;
        sqlx::raw_sql("DEALLOCATE ALL").execute(&mut *whole).await?;
        whole.commit().await?;
        Ok(())
    }

    pub(super) async fn close(self) -> Result<(), DbError> {
        match self.link {
            SessionLink::Own { listener, pool, .. } => {
                drop(listener);
                pool.close().await;
            }
            SessionLink::Passing(conn) => conn.close().await?,
        }
        Ok(())
    }
}

/// Every start of a fleet asks, so it asks for little.
async fn up_to_date(conn: &mut PgConnection, migrator: &Migrator) -> Result<bool, sqlx::Error> {
    let sql = "SELECT CAST(to_regclass('_sqlx_migrations') AS TEXT)";
    let there = sqlx::raw_sql(sql).fetch_all(&mut *conn).await?;
    let there: Vec<Row> = there.iter().map(read).collect::<Result<_, _>>().map_err(decoded)?;
    if !there.into_iter().any(|mut row| matches!(row.maybe_text(), Ok(Some(_)))) {
        return Ok(false);
    }
    let sql = "SELECT encode(checksum, 'hex') FROM _sqlx_migrations WHERE success";
    let known = sqlx::raw_sql(sql).fetch_all(&mut *conn).await?;
    let known: Vec<Row> = known.iter().map(read).collect::<Result<_, _>>().map_err(decoded)?;
    let known: Vec<String> = known.into_iter().filter_map(|mut row| row.text().ok()).collect();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Ok(migrator.iter().all(|one| known.contains(&hex(&one.checksum))))
}

fn decoded(error: DbError) -> sqlx::Error {
    sqlx::Error::Protocol(error.text)
}

fn read(found: &sqlx::postgres::PgRow) -> Result<Row, DbError> {
    row!(*found)
}

/// What needs no preparing.
async fn raw(conn: &mut PgConnection, sql: &'static str) -> Result<Vec<Row>, DbError> {
    let rows = sqlx::raw_sql(sql).fetch_all(conn).await?;
    rows.iter().map(read).collect()
}
