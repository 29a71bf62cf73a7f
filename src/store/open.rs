//! Makes the database ready: a file that cannot be read is moved aside, the tables are brought up to date.

use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::connect::{Db, connect_sqlite, migrate};
use super::db::{Conn, DbError, DbFault};
use super::error::{DatabaseState, MovedAside};
use super::owner;
use super::rows::millis;
use crate::runtime::clock;

/// The connection that writes, and the damaged file that had to make room for it.
pub(super) async fn open(db: &Db) -> Result<(Conn, Option<MovedAside>), DbError> {
    let path = match db {
        Db::Sqlite(path) => path,
        Db::Postgres(way) => {
            let mut conn = Conn::Postgres(Box::new(way.stay().await?));
            migrate(&mut conn).await?;
            return Ok((conn, None));
        }
    };
    owner::check(path).await?;
    made(path)
        .map_err(|error| DbError::unreachable(format!("{} cannot be made: {error}", path.display())))?;
    match sound(path).await {
        Err(error) if error.fault == DbFault::Down(DatabaseState::Damaged) => {
            let moved = move_aside(path, &error.text).map_err(|other| {
                DbError::damaged(format!("{}; it cannot be moved aside: {other}", error.text))
            })?;
            made(path).map_err(|error| DbError::unreachable(error.to_string()))?;
            Ok((sound(path).await?, Some(moved)))
        }
        opened => opened.map(|conn| (conn, None)),
    }
}

/// The file, for its owner only, with the directories above it.
fn made(path: &Path) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(drop)
}

async fn sound(path: &Path) -> Result<Conn, DbError> {
    let old = std::fs::metadata(path).is_ok_and(|file| file.len() > 0);
    let mut conn = connect_sqlite(path, true).await?;
    match checked(&mut conn, old).await {
        Ok(()) => Ok(conn),
        Err(error) => {
            // Nobody may hold a file that is moved aside.
            let _ = conn.close().await;
            Err(error)
        }
    }
}

async fn checked(conn: &mut Conn, old: bool) -> Result<(), DbError> {
    if old {
        let found = conn.row("PRAGMA quick_check(1)", &[]).await?;
        let found = found.map(|mut row| row.text()).transpose()?.unwrap_or_default();
        if found != "ok" {
            return Err(DbError::damaged(found));
        }
    }
    migrate(conn).await?;
    owner::sign(conn).await
}

/// Renames the file and its log to `<file>.damaged-<time>`; nothing is deleted.
fn move_aside(path: &Path, why: &str) -> io::Result<MovedAside> {
    let now = clock::now().wall;
    let stamp: String = clock::rfc3339(now).chars().filter(char::is_ascii_alphanumeric).collect();
    let beside = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let to = beside(&format!(".damaged-{stamp}"));
    for log in ["-wal", "-shm"] {
        match std::fs::rename(beside(log), beside(&format!(".damaged-{stamp}{log}"))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    std::fs::rename(path, &to)?;
    Ok(MovedAside { to, at: millis(now), why: why.to_owned() })
}
