//! Copies of the store by the clock: each one is restored and compared, and only after a good one do older ones go.
//!
//! A task of its own, on a thread that may wait: a copy takes as long as the disk does, and neither the engine nor a request
//! waits for it. Each sidecar makes its own, of an SQLite file as a file, of PostgreSQL as an export of the whole database.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::config::StoreBackup;
use crate::reliability::alert::Sign;
use crate::reliability::backoff;
use crate::reliability::readings::Reported;
use crate::reliability::rule::Severity;
use crate::runtime::drain::Drain;
use crate::runtime::{chance, clock, tasks};
use crate::store::StoreConfig;
use crate::store::backup::{self, BackupError, Manifest};
use crate::store::rows::millis;
use crate::telemetry::event::StoreEvent;
use crate::units::At;

/// From the start to the first copy, where one is due: the store has settled by then.
const SOON: Duration = Duration::from_secs(5);
/// After a failure: the first wait, and the longest.
const AGAIN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(3_600));
/// One copy, at the most: a server that hangs is a failure too.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// A copy that was restored and compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoodCopy {
    pub path: PathBuf,
    /// When it was begun.
    pub at: SystemTime,
    /// Length of the copy in bytes.
    pub bytes: u64,
    /// From its beginning to the end of its check; `None`: an earlier start made it.
    pub took: Option<Duration>,
}

/// How the copies are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupStatus {
    /// The newest good one; `None`: there is none, or nobody has looked yet.
    pub last: Option<GoodCopy>,
    /// Since when no attempt was good, and what the last one said; `None`: the last one was good.
    pub failing: Option<(SystemTime, String)>,
    /// Good copies of this start.
    pub good: u64,
    /// Attempts of this start that failed.
    pub failed: u64,
}

/// What the task knows, for those who look. Clones are cheap.
#[derive(Clone, Debug, Default)]
pub struct Backups(Arc<Mutex<Option<BackupStatus>>>);

impl Backups {
    fn held(&self) -> MutexGuard<'_, Option<BackupStatus>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the copies are; `None`: none are asked for.
    pub fn status(&self) -> Option<BackupStatus> {
        self.held().clone()
    }

    fn change(&self, change: impl FnOnce(&mut BackupStatus)) {
        change(self.held().get_or_insert_default());
    }

    /// That copies fail is an incident, until the next good one.
    pub(super) fn condition(&self) -> Option<Reported> {
        let status = self.status()?;
        let last = status.last.map_or("none".to_owned(), |copy| clock::rfc3339(copy.at));
        let (since, why) = status.failing.unzip();
        Some(Reported {
            service: Arc::from("store"),
            scope: Arc::from("backup"),
            sign: if why.is_some() { Sign::Bad } else { Sign::Good },
            severity: Severity::Medium,
            first_bad: since.map(|since| At(millis(since))),
            confirm: Duration::ZERO,
            title: "the store is not backed up: the last attempt failed".to_owned(),
            evidence: vec![
                ("last_good".to_owned(), last),
                ("last_error".to_owned(), why.unwrap_or_default()),
            ],
        })
    }
}

/// How long until the next copy is due, when the newest is of `newest`. One from the future is new, unless no clock that is
/// nearly right can have made it: then nobody knows how old it is.
fn due_in(every: Duration, newest: Option<SystemTime>, now: SystemTime) -> Duration {
    let known = newest.filter(|at| *at <= now + every);
    let age = known.map(|at| now.duration_since(at).unwrap_or_default());
    age.map_or(SOON, |age| every.saturating_sub(age).max(SOON))
}

/// Makes copies until asked to leave.
pub(super) async fn run(backups: Backups, store: StoreConfig, plan: StoreBackup, drain: Drain) {
    backups.change(|_| ());
    let mut wait = due_in(plan.every, found(&backups, &plan.to).await, clock::now().wall);
    let mut failures = 0;
    loop {
        tokio::select! {
            () = drain.requested() => return,
            () = tokio::time::sleep(wait) => {}
        }
        let good = tokio::select! {
            // What is half done lies in a directory of its own and goes with a later run.
            () = drain.requested() => return,
            good = once(&backups, &store, &plan) => good,
        };
        wait = if good {
            failures = 0;
            plan.every
        } else {
            let draw = chance::draw();
            failures += 1;
            backoff::nth(AGAIN.0, AGAIN.1.min(plan.every), failures - 1, draw)
        };
    }
}

/// What an earlier start left: when its newest copy was made.
async fn found(backups: &Backups, dir: &Path) -> Option<SystemTime> {
    let owned = dir.to_owned();
    // A directory that cannot be read fails again when a copy is made, and is told then.
    let newest = tasks::blocking(move || backup::newest(&owned)).await?.ok()??;
    let copy = GoodCopy { took: None, ..copy_of(dir.join(&newest.file), &newest)? };
    let at = copy.at;
    backups.change(|status| status.last = Some(copy));
    Some(at)
}

fn copy_of(path: PathBuf, manifest: &Manifest) -> Option<GoodCopy> {
    let at = clock::read_moment(&manifest.made_at)?;
    Some(GoodCopy { path, at, bytes: manifest.bytes, took: None })
}

/// One copy, and what it came to. False: it failed.
async fn once(backups: &Backups, store: &StoreConfig, plan: &StoreBackup) -> bool {
    let start = clock::instant();
    let came = taken(store.clone(), plan.clone()).await;
    let took = clock::instant().saturating_duration_since(start);
    match came {
        Ok((path, manifest, removed)) => {
            let (file, rows) = (path.display().to_string(), manifest.rows.values().sum());
            let (bytes, took_ms, head) = (manifest.bytes, took.as_millis(), manifest.head().to_string());
            StoreEvent::BackedUp { file: &file, bytes, rows, took_ms, audit_head: &head }.tell();
            let copy = copy_of(path, &manifest).map(|copy| GoodCopy { took: Some(took), ..copy });
            backups.change(|status| {
                status.last = copy.or(status.last.take());
                status.good += 1;
                status.failing = None;
            });
            // The copy is good; that old ones stay is told all the same, for in the end they fill the disk.
            removed.map_err(|error| failed(backups, &plan.to, format!("old copies stay: {error}"))).is_ok()
        }
        Err(error) => {
            failed(backups, &plan.to, error.to_string());
            false
        }
    }
}

fn failed(backups: &Backups, to: &Path, why: String) {
    StoreEvent::NotBackedUp { to: &to.display().to_string(), why: &why }.tell();
    let now = clock::now().wall;
    backups.change(|status| {
        status.failed += 1;
        let since = status.failing.take().map_or(now, |(since, _)| since);
        status.failing = Some((since, why));
    });
}

type BackupResult = (PathBuf, Manifest, Result<usize, BackupError>);

/// A good copy, and what became of older ones.
async fn taken(store: StoreConfig, plan: StoreBackup) -> Result<BackupResult, BackupError> {
    let runtime = tokio::runtime::Handle::current();
    let work = move || {
        let take = async { tokio::time::timeout(PATIENCE, backup::take(&store, &plan.to)).await };
        let late = |_| BackupError::Bad(format!("it was not made within {PATIENCE:?}"));
        let (path, manifest) = runtime.block_on(take).map_err(late)??;
        let removed = backup::prune(&plan.to, plan.keep, &manifest);
        Ok((path, manifest, removed))
    };
    let made = tasks::blocking(work).await;
    made.unwrap_or_else(|| Err(BackupError::Bad("the copier panicked".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn the_first_copy_is_made_soon_unless_a_young_one_is_there() {
        let now = SystemTime::UNIX_EPOCH + 1_000 * DAY;
        assert_eq!(due_in(DAY, None, now), SOON);
        assert_eq!(due_in(DAY, Some(now - 2 * DAY), now), SOON);
        assert_eq!(due_in(DAY, Some(now - DAY / 4), now), DAY * 3 / 4);
        assert_eq!(due_in(DAY, Some(now + DAY), now), DAY, "a clock that was set back");
        assert_eq!(due_in(DAY, Some(now + 400 * DAY), now), SOON, "made by a clock that was wrong");
    }

    #[test]
    fn a_failure_is_a_condition_until_the_next_good_copy() {
        let backups = Backups::default();
        assert!(backups.condition().is_none(), "none are asked for");
        failed(&backups, Path::new("there"), "no room".to_owned());
        failed(&backups, Path::new("there"), "still none".to_owned());
        let bad = backups.condition().expect("bad");
        assert_eq!(bad.sign, Sign::Bad);
        assert_eq!(bad.evidence[1].1, "still none");
        backups.change(|status| status.failing = None);
        assert_eq!(backups.condition().expect("good").sign, Sign::Good);
    }
}
