//! `strop audit verify` and `strop backup`: commands that open the store themselves, beside a running sidecar or without one.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;

use super::{complain, run, say};
use crate::config::Store as StoreConfig;
use crate::store;
use crate::store::backup::{self, BackupError, Manifest};

/// What is asked of the audit trail.
#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Walk the hash chain from its first row to its last. Exit code 0: whole; 1: broken, or it cannot be read.
    Verify {
        /// The config file; found as `run` finds it.
        #[arg(short, long)]
        config: Option<PathBuf>,
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

fn configured(named: Option<PathBuf>) -> Result<StoreConfig, ExitCode> {
    let config = run::configured(named).map_err(|problem| {
        complain(&problem);
        ExitCode::from(2)
    })?;
    config.store.ok_or_else(|| {
        complain("store.url is \"off\": there is nothing to look into");
        ExitCode::from(2)
    })
}

/// Walks the chain. 0: whole; 1: broken or unreadable; 2: the config cannot run.
pub(super) fn audit(Audit::Verify { config }: Audit) -> ExitCode {
    let config = match configured(config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let walked = wait(store::verify_audit(&config)).and_then(|walk| walk.map_err(|error| error.to_string()));
    match walked {
        Ok(walk) => match walk.broken {
            None => {
                say(&format!(
                    "whole: {} rows, the last is row {} with {}",
                    walk.rows, walk.head.seq, walk.head.hash
                ));
                ExitCode::SUCCESS
            }
            Some(broken) => {
                complain(&format!(
                    "broken at row {}: {} ({} good rows before it)",
                    broken.seq, broken.why, walk.rows
                ));
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Makes a copy now, or checks one. 0: good; 1: not; 2: the config cannot run.
pub(super) fn backup(what: Option<Backup>, config: Option<PathBuf>, to: Option<PathBuf>) -> ExitCode {
    if let Some(Backup::Verify { file }) = what {
        return told(wait(backup::verify(&file)).map(|checked| checked.map(|manifest| (file, manifest))));
    }
    let config = match configured(config) {
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
