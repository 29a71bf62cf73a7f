//! From `[store]` to a connection: options, the floor of SQLite's version, migrations.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use secrecy::ExposeSecret as _;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, SqlSafeStr as _};

use super::db::{Conn, DbError, DbFault, Pool};
use super::error::StoreError;
use super::read::Reader;
use super::session::{PATIENCE, ServerRoute};
use super::tables::MIGRATIONS;
use crate::config::{StoreAt, StoreConfig};
use crate::telemetry::event::StoreEvent;

/// Older SQLite can damage a file when its write-ahead log starts over.
const OLDEST_SQLITE: (u32, u32, u32) = (3, 51, 3);
/// Connections that only read a file.
const READERS: u32 = 4;

/// Where the database is and how it is reached.
#[derive(Clone, Debug)]
pub(super) enum Db {
    Sqlite(PathBuf),
    Postgres(Box<ServerRoute>),
}

impl Db {
    pub(super) fn of(config: &StoreConfig) -> Result<Self, StoreError> {
        match &config.at {
            StoreAt::Sqlite(path) => Ok(Self::Sqlite(path.clone())),
            StoreAt::Postgres { url, password } => {
                let mut options =
                    PgConnectOptions::from_str(url).map_err(|error| StoreError::Config(error.to_string()))?;
                if let Some(password) = password {
                    options = options.password(password.expose_secret());
                }
                let options = options.application_name("strop").disable_statement_logging();
                Ok(Self::Postgres(Box::new(ServerRoute::new(options))))
            }
        }
    }

    /// Where it is, for people: no password, nothing behind a question mark.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Sqlite(path) => {
                let whole = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                format!("sqlite:{}", whole.display())
            }
            Self::Postgres(way) => format!("postgres://{}", way.place()),
        }
    }

    /// As it is told to operators: "sqlite" or "postgresql".
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgresql",
        }
    }

    /// A connection to what is there already; nothing is made, nothing is migrated.
    pub(super) async fn connect(&self) -> Result<Conn, DbError> {
        match self {
            Self::Sqlite(path) => connect_sqlite(path, false).await,
            Self::Postgres(way) => Ok(Conn::Postgres(Box::new(way.connect().await?))),
        }
    }

    /// Connections that only read; each is made when it is needed.
    pub(super) fn pool(&self) -> Pool {
        match self {
            Self::Sqlite(path) => {
                let options = sqlite_options(path).read_only(true);
                let pool = SqlitePoolOptions::new().max_connections(READERS).acquire_timeout(PATIENCE);
                Pool::Sqlite(pool.connect_lazy_with(options))
            }
            Self::Postgres(way) => Pool::Postgres(way.readers()),
        }
    }
}

impl Reader {
    /// Opens what is there for reading alone, for a command beside a running sidecar.
    pub fn open(config: &StoreConfig) -> Result<Self, StoreError> {
        Ok(Self { pool: Db::of(config)?.pool() })
    }
}

/// Can a database of this config be spoken to at all? Nothing is opened.
pub fn check(config: &StoreConfig) -> Result<(), StoreError> {
    Db::of(config).map(drop)
}

/// Opens what is there, and says where it is; a file that is not there yet is made by the first start.
pub async fn reach(config: &StoreConfig) -> Result<String, StoreError> {
    let db = Db::of(config)?;
    match &db {
        Db::Sqlite(path) if crate::runtime::files::look(path).is_err() => {
            let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let is_there = crate::runtime::files::look(above).is_ok_and(|above| above.is_dir());
            let told = format!("{} is not there yet: the first start makes it", db.place());
            let missing =
                || StoreError::Config(format!("{} has no directory; make {}", db.place(), above.display()));
            is_there.then_some(told).ok_or_else(missing)
        }
        Db::Sqlite(_) | Db::Postgres(_) => {
            let mut conn = db.connect().await?;
            conn.row("SELECT 1", &[]).await?;
            Ok(format!("{} answers", db.place()))
        }
    }
}

/// The database of a sidecar that starts: the log says where it is.
pub(super) fn told(config: &StoreConfig) -> Result<Db, StoreError> {
    let db = Db::of(config)?;
    StoreEvent::Kept { at: &db.place() }.tell();
    Ok(db)
}

fn sqlite_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).busy_timeout(PATIENCE).disable_statement_logging()
}

/// The connection that writes a file; `create`: it may be new.
pub(super) async fn connect_sqlite(path: &Path, create: bool) -> Result<Conn, DbError> {
    let options = sqlite_options(path)
        .create_if_missing(create)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let connected = options.connect().await.map_err(|error| {
        let error = DbError::from(error);
        DbError { text: format!("{}: {}", path.display(), error.text), ..error }
    });
    let mut conn = Conn::Sqlite(connected?);
    let version = conn.row("SELECT sqlite_version()", &[]).await?;
    let version = version.map(|mut row| row.text()).transpose()?.unwrap_or_default();
    let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    if (next(), next(), next()) < OLDEST_SQLITE {
        return Err(DbError::unreachable(format!(
            "SQLite {version} can damage its file; 3.51.3 is the oldest that does not"
        )));
    }
    Ok(conn)
}

/// Brings the tables up to date.
pub(super) async fn migrate(conn: &mut Conn) -> Result<(), DbError> {
    let migrations = MIGRATIONS.iter().map(|(version, name, sql)| {
        Migration::new(*version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    // Migrations only ever add: while a fleet is being updated, the older ones go on with what they know.
    migrator.set_ignore_missing(true);
    let migrated = match conn {
        Conn::Sqlite(conn) => migrator.run_direct(None, conn, false).await,
        Conn::Postgres(session) => session.migrate(&mut migrator).await,
    };
    migrated.map_err(|error| {
        let changed = matches!(error, MigrateError::VersionMismatch(_));
        let text = error.to_string();
        if let MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) = error {
            return error.into();
        }
        let other = DbError::unreachable(text);
        if changed { DbError { fault: DbFault::OtherTables, ..other } } else { other }
    })
}

/// The newest migration of this program.
pub(super) fn schema_version() -> i64 {
    MIGRATIONS.iter().map(|(version, ..)| *version).max().unwrap_or_default()
}
