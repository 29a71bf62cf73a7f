//! A copy that is known to work: made while the database is in use, restored for real, and only then given its name.
//!
//! Of SQLite the copy is a database file (`VACUUM INTO`), of PostgreSQL an export as JSON lines; physical copies of PostgreSQL
//! stay its administrator's. Beside each copy lies a manifest (`<copy>.json`) with its hash, the rows of each table and the end
//! of the audit chain, all taken at the same moment as the copy. When to make one, and whom to tell, is the caller's.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::StoreConfig;
use super::audit::{self, Sha256};
use super::connect::{Db, connect_sqlite, migrate, schema_version};
use super::db::{Conn, DbError, args};
use super::error::StoreError;
use super::export::{self, Stopped};
use super::file;
use crate::runtime::{clock, tasks};

/// So often a copy is made again because somebody wrote meanwhile; after that, writers wait.
const TRIES: u32 = 3;
/// What a killed run left behind goes after so long.
const LEFTOVER: Duration = Duration::from_secs(86_400);

/// What lies beside a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Of this file: 1.
    pub format: u32,
    /// The copies of a directory in the order in which they were made, whatever the clocks said: one more than the highest that
    /// was there. 0: a Strop that did not count made it.
    #[serde(default)]
    pub number: u64,
    /// When, in RFC 3339.
    pub made_at: String,
    /// Which Strop made it.
    pub strop: String,
    /// The newest migration it knew.
    pub schema: i64,
    /// Of what: "sqlite" or "postgresql".
    pub database: String,
    /// The copy's name, in the same directory.
    pub file: String,
    /// Length of the copy in bytes.
    pub bytes: u64,
    /// SHA-256 of the copy, hex.
    pub sha256: String,
    /// Number of rows in each table.
    pub rows: BTreeMap<String, i64>,
    /// The last row of the audit chain; 0: none.
    pub audit_seq: i64,
    /// Hash of that row of the audit chain.
    pub audit_hash: String,
}

impl Manifest {
    /// The end of the audit chain at the copy's moment.
    pub fn head(&self) -> audit::ChainEnd {
        audit::ChainEnd { seq: self.audit_seq, hash: self.audit_hash.clone() }
    }
}

/// Why there is no good copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The database did not let itself be copied.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The copy cannot be written or read.
    #[error("{path}: {error}")]
    Io { path: String, error: io::Error },
    /// The copy is not what it should be.
    #[error("the copy is bad: {0}")]
    Bad(String),
}

impl From<DbError> for BackupError {
    fn from(error: DbError) -> Self {
        Self::Store(error.into())
    }
}

fn io_at(path: &Path) -> impl Fn(io::Error) -> BackupError {
    let path = path.display().to_string();
    move |error| BackupError::Io { path: path.clone(), error }
}

/// What a copy must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
struct CopyContents {
    rows: BTreeMap<String, i64>,
    head: audit::ChainEnd,
}

async fn moment(conn: &mut Conn) -> Result<CopyContents, DbError> {
    Ok(CopyContents { rows: export::counts(conn).await?, head: audit::head(conn, "audit").await? })
}

/// Goes away with everything in it, however its user ends.
struct ScratchDir(PathBuf);

impl ScratchDir {
    fn below(dir: &Path, stamp: &str) -> Result<Self, BackupError> {
        let path = dir.join(format!(".strop-{stamp}"));
        fs::create_dir_all(dir).map_err(io_at(dir))?;
        let mut own = fs::DirBuilder::new();
        own.recursive(true).mode(0o700).create(&path).map_err(io_at(&path))?;
        Ok(Self(path))
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        // What cannot be removed now goes with [`prune`].
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Makes a copy in the directory `to` and proves it by a restore; gives the copy's path and its manifest.
pub async fn take(config: &StoreConfig, to: &Path) -> Result<(PathBuf, Manifest), BackupError> {
    let db = Db::of(config)?;
    let now = clock::now().wall;
    let made_at = clock::rfc3339(now);
    let stamp: String = made_at.chars().filter(char::is_ascii_alphanumeric).collect();
    let scratch = ScratchDir::below(to, &stamp)?;
    let ending = if matches!(db, Db::Sqlite(_)) { "db" } else { "jsonl" };
    let number = numbered(to)?.last().map_or(0, |(number, _)| *number).saturating_add(1);
    let mut file = format!("strop-{stamp}.{ending}");
    if to.join(&file).exists() || to.join(format!("{file}.json")).exists() {
        // A clock that was set back says the same moment twice.
        file = format!("strop-{stamp}-{number}.{ending}");
    }
    let draft = scratch.0.join(&file);
    let moment = match &db {
        Db::Sqlite(_) => copy_sqlite(&db, &draft).await?,
        Db::Postgres(_) => copy_postgres(&db, &draft).await?,
    };
    let (bytes, sha256) = hashed(&draft).await?;
    let manifest = Manifest {
        format: 1,
        number,
        made_at,
        strop: env!("CARGO_PKG_VERSION").to_owned(),
        schema: schema_version(),
        database: db.name().to_owned(),
        file,
        bytes,
        sha256,
        rows: moment.rows,
        audit_seq: moment.head.seq,
        audit_hash: moment.head.hash,
    };
    restored(&draft, &manifest, &scratch).await?;
    let path = to.join(&manifest.file);
    named(&scratch, to, &manifest)?;
    Ok((path, manifest))
}

/// Gives copy and manifest their names, the manifest last: a copy without one is unfinished.
fn named(scratch: &ScratchDir, to: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    let beside = format!("{}.json", manifest.file);
    let draft = scratch.0.join(&beside);
    let write = || {
        let mut file = file::private(&draft)?;
        serde_json::to_writer_pretty(&mut file, manifest)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(scratch.0.join(&manifest.file), to.join(&manifest.file))?;
        fs::rename(&draft, to.join(&beside))?;
        File::open(to)?.sync_all()
    };
    write().map_err(io_at(&to.join(&manifest.file)))
}

/// The copy, and what the database held at its moment.
async fn copy_sqlite(db: &Db, draft: &Path) -> Result<CopyContents, BackupError> {
    let mut conn = db.connect().await?;
    let mut held = None;
    for attempt in 1..=TRIES + 1 {
        if attempt > TRIES {
            // Too much is being written: whoever writes waits for this copy.
            let mut guard = db.connect().await?;
            guard.begin().await?;
            held = Some(guard);
        }
        let before = version(&mut conn).await?;
        let moment = moment(&mut conn).await?;
        let path = draft.display().to_string();
        // Into a file that is there and empty: it keeps its mode.
        file::private(draft).map_err(io_at(draft))?;
        conn.run("VACUUM INTO $1", args![&path]).await?;
        if held.is_some() || version(&mut conn).await? == before {
            File::open(draft).and_then(|file| file.sync_all()).map_err(io_at(draft))?;
            return Ok(moment);
        }
        fs::remove_file(draft).map_err(io_at(draft))?;
    }
    Err(BackupError::Bad("the database changed all the time".to_owned()))
}

/// Changes whenever another connection has written.
async fn version(conn: &mut Conn) -> Result<i64, DbError> {
    let row = conn.row("PRAGMA data_version", &[]).await?;
    row.map_or(Ok(0), |mut row| row.int())
}

async fn copy_postgres(db: &Db, draft: &Path) -> Result<CopyContents, BackupError> {
    let mut conn = db.connect().await?;
    conn.begin_snapshot().await?;
    let moment = moment(&mut conn).await?;
    let file = file::private(draft).map_err(io_at(draft))?;
    let mut out = BufWriter::new(file);
    export::export(&mut conn, &mut out).await.map_err(|stopped| stopped_at(draft, stopped))?;
    let file = out.into_inner().map_err(|error| io_at(draft)(error.into_error()))?;
    file.sync_all().map_err(io_at(draft))?;
    conn.commit().await?;
    Ok(moment)
}

fn stopped_at(path: &Path, stopped: Stopped) -> BackupError {
    match stopped {
        Stopped::Db(error) => error.into(),
        Stopped::Io(error) => io_at(path)(error),
        Stopped::Line(why) => BackupError::Bad(why),
    }
}

/// Length and SHA-256 of a file.
async fn hashed(path: &Path) -> Result<(u64, String), BackupError> {
    let owned = path.to_owned();
    let read = move || {
        let mut file = File::open(owned)?;
        let (mut hash, mut length, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 16]);
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok((length, hash.finish())),
                read => {
                    hash.update(&buffer[..read]);
                    length += read as u64;
                }
            }
        }
    };
    let read = tasks::blocking(read).await.unwrap_or_else(|| Err(io::Error::other("the reader panicked")));
    read.map_err(io_at(path))
}

/// Checks a copy by its manifest: `path` is either of the two. Restores it for real, beside itself.
pub async fn verify(path: &Path) -> Result<Manifest, BackupError> {
    let beside = match path.extension() {
        Some(ending) if ending == "json" => path.to_owned(),
        Some(_) | None => {
            let mut name = path.as_os_str().to_owned();
            name.push(".json");
            PathBuf::from(name)
        }
    };
    let text = fs::read_to_string(&beside).map_err(io_at(&beside))?;
    let manifest: Manifest = serde_json::from_str(&text)
        .map_err(|error| BackupError::Bad(format!("{} is no manifest: {error}", beside.display())))?;
    let dir = beside.parent().unwrap_or(Path::new("."));
    let copy = dir.join(&manifest.file);
    let (bytes, sha256) = hashed(&copy).await?;
    if (bytes, &sha256) != (manifest.bytes, &manifest.sha256) {
        return Err(BackupError::Bad(format!(
            "{} is not the file that was written: {bytes} bytes with SHA-256 {sha256}, not {} with {}",
            copy.display(),
            manifest.bytes,
            manifest.sha256
        )));
    }
    let stamp: String =
        clock::rfc3339(clock::now().wall).chars().filter(char::is_ascii_alphanumeric).collect();
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let scratch = ScratchDir::below(dir, &format!("verify-{stamp}"))?;
    restored(&copy, &manifest, &scratch).await?;
    Ok(manifest)
}

/// Restores the copy into a file of its own and compares it with what the database held.
async fn restored(copy: &Path, manifest: &Manifest, scratch: &ScratchDir) -> Result<(), BackupError> {
    let target = scratch.0.join("restored.db");
    let mut conn = if manifest.database == "sqlite" {
        fs::copy(copy, &target).map_err(io_at(&target))?;
        connect_sqlite(&target, false).await?
    } else {
        let mut conn = connect_sqlite(&target, true).await?;
        migrate(&mut conn).await?;
        let file = File::open(copy).map_err(io_at(copy))?;
        let restored = export::restore(&mut conn, &mut BufReader::new(file)).await;
        restored.map_err(|stopped| stopped_at(copy, stopped))?;
        conn
    };
    migrate(&mut conn).await?;
    let integrity = conn.row("PRAGMA integrity_check(1)", &[]).await?;
    let integrity = integrity.map(|mut row| row.text()).transpose()?.unwrap_or_default();
    if integrity != "ok" {
        return Err(BackupError::Bad(integrity));
    }
    if !conn.rows("PRAGMA foreign_key_check", &[]).await?.is_empty() {
        return Err(BackupError::Bad("rows refer to rows that are not there".to_owned()));
    }
    let found = moment(&mut conn).await?;
    // Of a table that came later a copy has no rows.
    let mut rows: BTreeMap<String, i64> = found.rows.keys().map(|table| (table.clone(), 0)).collect();
    rows.extend(manifest.rows.clone());
    let wanted = CopyContents { rows, head: manifest.head() };
    if found != wanted {
        return Err(BackupError::Bad(format!("it holds {found:?} instead of {wanted:?}")));
    }
    if let Some(broken) = audit::walk(&mut conn, &audit::Checks::default()).await?.broken {
        return Err(BackupError::Bad(format!(
            "its audit chain breaks at row {}: {}",
            broken.seq, broken.why
        )));
    }
    conn.close().await?;
    Ok(())
}

/// The copies of a directory by their manifests, each with its number, the oldest first. Of the same number, as all have that
/// were made before there were numbers, the name decides. A manifest that cannot be read has no number.
fn numbered(dir: &Path) -> Result<Vec<(u64, String)>, BackupError> {
    #[derive(Deserialize)]
    struct Number {
        #[serde(default)]
        number: u64,
    }
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(io_at(dir))?,
    };
    let mut copies = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(copy) = name.strip_suffix(".json").filter(|copy| copy.starts_with("strop-")) else {
            continue;
        };
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        let number = serde_json::from_str::<Number>(&text).map_or(0, |manifest| manifest.number);
        copies.push((number, copy.to_owned()));
    }
    copies.sort();
    Ok(copies)
}

/// The newest copy of a directory; `None`: there is none, nor perhaps the directory. That it has its name says that it was good.
pub fn newest(dir: &Path) -> Result<Option<Manifest>, BackupError> {
    let Some((_, name)) = numbered(dir)?.pop() else { return Ok(None) };
    let path = dir.join(format!("{name}.json"));
    let text = fs::read_to_string(&path).map_err(io_at(&path))?;
    let read = serde_json::from_str(&text);
    read.map(Some).map_err(|error| BackupError::Bad(format!("{} is no manifest: {error}", path.display())))
}

/// Removes the oldest copies of the directory until `keep` are left, and what killed runs left behind; how many copies went.
/// `good`, the one just proved, stays whatever the others say of themselves.
pub fn prune(dir: &Path, keep: usize, good: &Manifest) -> Result<usize, BackupError> {
    for entry in fs::read_dir(dir).map_err(io_at(dir))?.flatten() {
        let old = || {
            let changed = entry.metadata().and_then(|file| file.modified()).ok();
            changed.and_then(|at| clock::now().wall.duration_since(at).ok()).is_some_and(|age| age > LEFTOVER)
        };
        if entry.file_name().to_string_lossy().starts_with(".strop-") && old() {
            fs::remove_dir_all(entry.path()).map_err(io_at(&entry.path()))?;
        }
    }
    let mut copies = numbered(dir)?;
    copies.retain(|(_, copy)| *copy != good.file);
    let gone = copies.len().saturating_sub(keep.saturating_sub(1));
    for (_, copy) in copies.iter().take(gone) {
        for path in [dir.join(format!("{copy}.json")), dir.join(copy)] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_at(&path)(error)),
                Ok(()) | Err(_) => {}
            }
        }
    }
    Ok(gone)
}
