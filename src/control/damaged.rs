//! Files of the store that were found damaged and moved aside: as long as one lies there, somebody has to look at it.
//!
//! What is on disk is asked, not what this start has seen: a restart does not make it well. Whoever has looked takes the file
//! elsewhere, and it is over.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::reliability::alert::Sign;
use crate::reliability::readings::Reported;
use crate::reliability::rule::Severity;
use crate::runtime::drain::Drain;
use crate::runtime::tasks;
use crate::store::MovedAside;
use crate::units::At;

/// Time between two looks for damaged files.
const EVERY: Duration = Duration::from_secs(5);

/// What lies there, for those who look; `None`: nobody has looked yet. Clones are cheap.
#[derive(Clone, Debug, Default)]
pub(super) struct Damaged(Arc<Mutex<Option<Vec<PathBuf>>>>);

impl Damaged {
    fn files(&self) -> Option<Vec<PathBuf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// That a damaged file lies there. `moved`: what this start has moved.
    pub(super) fn condition(&self, moved: Option<&MovedAside>) -> Option<Reported> {
        let files = self.files()?;
        let newest = files.last();
        let moved =
            moved.filter(|moved| newest.is_some_and(|newest| newest.file_name() == moved.to.file_name()));
        let shown = newest.map(|path| path.display().to_string()).unwrap_or_default();
        Some(Reported {
            service: Arc::from("store"),
            scope: Arc::from("damaged"),
            sign: if newest.is_some() { Sign::Bad } else { Sign::Good },
            severity: Severity::High,
            first_bad: moved.map(|moved| At(moved.at)),
            confirm: Duration::ZERO,
            title: "the store's file was damaged: a new one was begun, the old one was moved aside"
                .to_owned(),
            evidence: vec![
                ("file".to_owned(), shown),
                ("files".to_owned(), files.len().to_string()),
                (
                    "found".to_owned(),
                    moved.map_or("by an earlier start".to_owned(), |moved| moved.why.clone()),
                ),
                (
                    "to_end_it".to_owned(),
                    "put a backup in its place if need be, then take the file elsewhere".to_owned(),
                ),
            ],
        })
    }
}

/// Looks until asked to leave.
pub(super) async fn watch(damaged: Damaged, store: PathBuf, drain: Drain) {
    loop {
        let path = store.clone();
        // A directory that cannot be read now says nothing new.
        if let Some(Ok(files)) = tasks::blocking(move || lying_beside(&path)).await {
            *damaged.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(files);
        }
        tokio::select! {
            () = drain.requested() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// `<file>.damaged-<time>`, the oldest first, without their logs.
fn lying_beside(store: &Path) -> std::io::Result<Vec<PathBuf>> {
    let dir = store.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let prefix = format!("{}.damaged-", store.file_name().unwrap_or_default().to_string_lossy());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let time = name.strip_prefix(&prefix);
        if time.is_some_and(|time| !time.contains('-')) {
            found.push(dir.join(name));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_moved_aside_is_a_condition_until_it_is_taken_away() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = dir.path().join("strop.db");
        let damaged = Damaged::default();
        assert!(damaged.condition(None).is_none(), "nobody has looked");
        let look = || *damaged.0.lock().expect("whole") = Some(lying_beside(&store).expect("reads"));
        look();
        assert_eq!(damaged.condition(None).expect("known").sign, Sign::Good);
        for name in
            ["strop.db", "strop.db-wal", "strop.db.damaged-20260102T", "strop.db.damaged-20260102T-wal"]
        {
            std::fs::write(dir.path().join(name), "").expect("writes");
        }
        look();
        let to = dir.path().join("strop.db.damaged-20260102T");
        let moved = MovedAside { to: to.clone(), at: 7, why: "not a database".to_owned() };
        let bad = damaged.condition(Some(&moved)).expect("known");
        assert_eq!((bad.sign, bad.first_bad), (Sign::Bad, Some(At(7))));
        assert_eq!(bad.evidence[1].1, "1");
        std::fs::remove_file(to).expect("taken away");
        look();
        assert_eq!(damaged.condition(Some(&moved)).expect("known").sign, Sign::Good);
    }
}
