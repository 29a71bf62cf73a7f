//! The file of SQLite as the directory knows it: still the one that is open, gone, or another one.
//!
//! Whoever has a file open goes on writing into it after it was unlinked, and all of it is lost at the end. So the writer
//! compares device and inode before whatever it does. A file that is gone is written anew from the one that is still open;
//! another one in its place is somebody's restore or mistake, and is left alone.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::db::{Conn, DbError, DbFault, args};
use super::error::DatabaseState;
use crate::runtime::{clock, tasks};

/// How long a file system may think about it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id {
    device: u64,
    inode: u64,
}

/// Which file has this name; `None`: none has.
pub(super) async fn named(path: &Path) -> Result<Option<Id>, DbError> {
    let owned = path.to_owned();
    let looking = tasks::blocking(move || fs::metadata(owned));
    let late = |_| DbError::unreachable(format!("the file system gave no answer within {PATIENCE:?}"));
    let looked = tokio::time::timeout(PATIENCE, looking).await.map_err(late)?;
    match looked {
        Some(Ok(file)) => Ok(Some(Id { device: file.dev(), inode: file.ino() })),
        Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Some(Err(error)) => {
            Err(DbError::unreachable(format!("{} cannot be looked at: {error}", path.display())))
        }
        None => Err(DbError::unreachable("the look at the file panicked")),
    }
}

/// Another file has the name.
pub(super) fn replaced(path: &Path) -> DbError {
    let path = path.display();
    let text = format!(
        "{path} is not the file that is open: it was replaced while Strop runs. It is left alone and taken up at the next \
         start; until then everything stays in memory"
    );
    DbError { fault: DbFault::Down(DatabaseState::Replaced), text }
}

fn gone(path: &Path, why: impl std::fmt::Display) -> DbError {
    let text = format!("{} was removed while Strop runs, and cannot be written anew: {why}", path.display());
    DbError { fault: DbFault::Down(DatabaseState::Gone), text }
}

/// An empty file that only its owner may read.
pub(super) fn private(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Writes the file that was removed anew, from the one that is still open.
pub(super) async fn rewrite(conn: &mut Conn, path: &Path) -> Result<(), DbError> {
    let draft = beside(path, ".new");
    let made = || {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        private(&draft).map(drop)
    };
    made().map_err(|error| gone(path, error))?;
    let text = draft.display().to_string();
    conn.run("VACUUM INTO $1", args![&text]).await.map_err(|error| gone(path, error.text))?;
    put(&draft, path).map_err(|error| gone(path, error))
}

/// Gives the draft its name, unless somebody was faster. Logs of the file that is gone would be read as the
/// new one's: they go aside.
fn put(draft: &Path, path: &Path) -> io::Result<()> {
    fs::File::open(draft)?.sync_all()?;
    let stamp = clock::rfc3339(clock::now().wall);
    let stamp: String = stamp.chars().filter(char::is_ascii_alphanumeric).collect();
    for log in ["-wal", "-shm"] {
        match fs::rename(beside(path, log), beside(path, &format!(".gone-{stamp}{log}"))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    fs::hard_link(draft, path)?;
    fs::remove_file(draft)?;
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        fs::File::open(dir)?.sync_all()?;
    }
    Ok(())
}
