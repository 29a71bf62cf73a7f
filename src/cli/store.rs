//! `strop audit verify` and `strop backup`: commands that open the store themselves, beside a running sidecar or without one.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;

use super::file;
use super::output::{complain, say};
use crate::config::{StoreAt, StoreConfig};
use crate::store;
use crate::store::audit::{ChainEnd, Walk};
use crate::store::backup::{self, BackupError, Manifest};

/// What is asked of the audit log.
#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Walk the hash chain from its first row to its last. Exit code 0: whole; 1: broken, or it cannot be read.
    Verify {
        /// The config file. Default: $STROP_CONFIG, else ./strop.toml, else /etc/strop/strop.toml, else a built-in one that
        /// serves a backend on 127.0.0.1:8001 at 127.0.0.1:8000.
        #[arg(short, long)]
        config: Option<PathBuf>,
        /// A head that was seen before, `ROW:HASH` as the log tells it, or the manifest of a copy: it must still be on the chain.
        #[arg(long, value_name = "HEAD")]
        against: Option<String>,
    },
}

/// What else is asked of copies.
#[derive(Debug, Subcommand)]
pub(super) enum Backup {
    /// Check a copy: its hash, a real restore, integrity, row counts and the end of the audit chain.
    Verify {
        /// The copy or its manifest.
        file: PathBuf,
    },
}

/// Runs what waits for files and databases.
pub(super) fn wait<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map(|runtime| runtime.block_on(work)).map_err(|error| format!("cannot start: {error}"))
}

/// The configured store, which is there.
fn store_of(named: Option<PathBuf>) -> Result<StoreConfig, ExitCode> {
    let config = file::configured(named)?;
    let store = config.store.ok_or_else(|| {
        complain("store.url is \"off\": there is nothing to look into");
        ExitCode::from(2)
    })?;
    there(&store).map_err(|problem| {
        complain(&problem);
        ExitCode::FAILURE
    })?;
    Ok(store)
}

/// Is there a file to look into? A server says so itself.
pub(super) fn there(store: &StoreConfig) -> Result<(), String> {
    let StoreAt::Sqlite(path) = &store.at else { return Ok(()) };
    match crate::runtime::files::look(path) {
        Ok(_) => Ok(()),
        Err(error) => {
            let whole = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            Err(format!(
                "there is no store to look into at {}: {error}; a relative store.url is below $STATE_DIRECTORY",
                whole.display()
            ))
        }
    }
}

/// A head as it was told, or as the manifest of a copy holds it.
fn head(told: &str) -> Result<ChainEnd, String> {
    if let Some(head) = ChainEnd::read(told) {
        return Ok(head);
    }
    let text = std::fs::read_to_string(told).map_err(|error| {
        format!("--against {told:?} is neither ROW:HASH nor a manifest that can be read: {error}")
    })?;
    let manifest: Manifest = serde_json::from_str(&text)
        .map_err(|error| format!("--against {told:?} is no manifest of a copy: {error}"))?;
    Ok(manifest.head())
}

/// Walks the chain. 0: whole; 1: broken or unreadable; 2: the config or what is asked cannot run.
pub(super) fn audit(Audit::Verify { config, against }: Audit) -> ExitCode {
    let config = match store_of(config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let against = match against.as_deref().map(head).transpose() {
        Ok(against) => against,
        Err(problem) => {
            complain(&problem);
            return ExitCode::from(2);
        }
    };
    let walking = store::verify_audit_against(&config, against.as_ref());
    match wait(walking).and_then(|walk| walk.map_err(|error| error.to_string())) {
        Ok(walk) => walked(&walk, config.audit_key.is_some()),
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// What a walk came to; `keyed`: the key was at hand.
fn walked(walk: &Walk, keyed: bool) -> ExitCode {
    if let Some(broken) = &walk.broken {
        complain(&format!(
            "broken at row {}: {} ({} good rows before it)",
            broken.seq, broken.why, walk.rows
        ));
        return ExitCode::FAILURE;
    }
    say(&format!("whole: {} rows, the last is row {} with {}", walk.rows, walk.head.seq, walk.head.hash));
    match (walk.keyed, keyed) {
        (0, _) => say("no row bears a key: who can write to the database could have made all of it"),
        (rows, false) => {
            say(&format!("{rows} rows bear a key that is not at hand: only their order was checked"))
        }
        (rows, true) => say(&format!("{rows} rows bear the key")),
    }
    ExitCode::SUCCESS
}

/// Makes a copy now, or checks one. 0: good; 1: not; 2: the config cannot run.
pub(super) fn backup(what: Option<Backup>, config: Option<PathBuf>, to: Option<PathBuf>) -> ExitCode {
    if let Some(Backup::Verify { file }) = what {
        return told(wait(backup::verify(&file)).map(|checked| checked.map(|manifest| (file, manifest))));
    }
    let config = match store_of(config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let Some(to) = to.or_else(|| config.backup.as_ref().map(|backup| backup.to.clone())) else {
        complain("where to? Write --to DIR, or `to` in [store.backup]");
        return ExitCode::from(2);
    };
    told(wait(taken(&config, &to)))
}

async fn taken(config: &StoreConfig, to: &Path) -> Result<(PathBuf, Manifest), BackupError> {
    let taken = backup::take(config, to).await?;
    if let Some(scheduled) = config.backup.as_ref().filter(|scheduled| scheduled.to == to) {
        backup::prune(to, scheduled.keep, &taken.1)?;
    }
    Ok(taken)
}

fn told(how: Result<Result<(PathBuf, Manifest), BackupError>, String>) -> ExitCode {
    match how.and_then(|how| how.map_err(|error| error.to_string())) {
        Ok((path, manifest)) => {
            let rows: i64 = manifest.rows.values().sum();
            say(&format!(
                "{} is good: {} bytes, {rows} rows, audit chain up to row {}, restored and compared",
                path.display(),
                manifest.bytes,
                manifest.audit_seq
            ));
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}
