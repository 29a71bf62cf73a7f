//! Sees that the config file has changed, or a secret or a runbook that it names: by the directories they lie in, and by looking
//! every so often in any case.
//!
//! Decides when to look, not what has changed ([`Reloader`] compares contents). Reading a file is no change of it. A
//! file that somebody has open for writing is looked at when it is closed, or has been left alone for half a minute.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use ::notify::event::{AccessKind, AccessMode, ModifyKind};
use ::notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::Config;
use super::reload::{ReloadCause, Reloader};

/// One save is several events: this much silence ends it.
const QUIET: Duration = Duration::from_millis(250);
/// A writer that has not written for so long and still has the file open is one that keeps it open.
const LEFT: Duration = Duration::from_secs(30);

/// What an event says of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileEvent {
    /// Somebody writes, and has it open.
    Written,
    /// It is whole, as far as can be seen: closed, renamed, removed, linked.
    Whole,
}

/// `None`: it was only looked at.
fn seen(event: &Event) -> Option<FileEvent> {
    match event.kind {
        EventKind::Modify(ModifyKind::Data(_)) => Some(FileEvent::Written),
        // A new file is empty until somebody has written into it; a link is what it leads to.
        EventKind::Create(_) if event.paths.iter().any(|path| is_new(path)) => Some(FileEvent::Written),
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Any
        | EventKind::Other => Some(FileEvent::Whole),
        EventKind::Access(_) => None,
    }
}

fn is_new(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::symlink_metadata(path).is_ok_and(|file| file.is_file() && file.nlink() == 1)
}

/// The files that matter, and what watches their directories.
struct Files {
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    names: Arc<Mutex<BTreeSet<OsString>>>,
}

fn folder(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).to_owned()
}

impl Files {
    /// Watches where these lie, from now on. An error: a directory that cannot be watched.
    fn follow(&mut self, file: &Path, config: &Config) -> Result<(), String> {
        let all: Vec<PathBuf> = std::iter::once(file.to_owned()).chain(config.secret_files()).collect();
        // Of the other files of a folder only the link that a ConfigMap or a Secret swaps matters.
        let names = all.iter().filter_map(|path| path.file_name()).map(std::ffi::OsStr::to_owned);
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) =
            names.chain([OsString::from("..data")]).collect();
        let mut wanted: BTreeSet<PathBuf> = all.iter().map(|path| folder(path)).collect();
        wanted.extend(config.runbooks.directory.clone());
        let Some(watcher) = &mut self.watcher else { return Ok(()) };
        for gone in self.folders.difference(&wanted) {
            // What is gone by itself is watched no more.
            let _ = watcher.unwatch(gone);
        }
        let mut failed = Ok(());
        let mut held: BTreeSet<PathBuf> = self.folders.intersection(&wanted).cloned().collect();
        for new in wanted.difference(&self.folders) {
            match watcher.watch(new, RecursiveMode::NonRecursive) {
                Ok(()) => drop(held.insert(new.clone())),
                Err(error) => failed = Err(format!("{}: {error}", new.display())),
            }
        }
        self.folders = held;
        failed
    }
}

/// Waits until nobody writes any more.
fn settle(first: FileEvent, changes: &Receiver<FileEvent>) {
    let mut last = first;
    loop {
        let quiet = match last {
            FileEvent::Written => LEFT,
            FileEvent::Whole => QUIET,
        };
        match changes.recv_timeout(quiet) {
            Ok(next) => last = next,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Watches on a thread of its own, for as long as the process lives, and looks every `poll` in any
/// case. `Err`: looking only.
pub fn watch(reloader: &Arc<Reloader>, poll: Duration) -> Result<(), String> {
    let Some(file) = reloader.file().map(Path::to_owned) else { return Ok(()) };
    let (events, changes) = channel();
    let names: Arc<Mutex<BTreeSet<OsString>>> = Arc::default();
    let (ours, own, telling) = (Arc::clone(&names), file.clone(), Arc::downgrade(reloader));
    let hear = move |event: ::notify::Result<Event>| {
        let Ok(event) = event else {
            let _ = events.send(FileEvent::Whole);
            return;
        };
        let names = ours.lock().unwrap_or_else(PoisonError::into_inner);
        let is_ours = |path: &PathBuf| {
            path.file_name().is_some_and(|name| names.contains(name)) || super::runbooks::is_one(path)
        };
        if !event.paths.is_empty() && !event.paths.iter().any(is_ours) {
            return;
        }
        let Some(seen) = seen(&event) else { return };
        if event.paths.iter().any(|path| path.file_name() == own.file_name())
            && let Some(reloader) = telling.upgrade()
        {
            reloader.being_written(seen == FileEvent::Written);
        }
        // The thread that listens lives as long as the process.
        let _ = events.send(seen);
    };
    let (watcher, made) = match ::notify::recommended_watcher(hear) {
        Ok(watcher) => (Some(watcher), Ok(())),
        Err(error) => (None, Err(error.to_string())),
    };
    let mut files = Files { watcher, folders: BTreeSet::new(), names };
    let following = files.follow(&file, &reloader.status().config);
    let reloader = Arc::downgrade(reloader);
    std::thread::Builder::new()
        .name("strop-config".to_owned())
        .spawn(move || look(&reloader, &file, files, &changes, poll))
        .map_err(|error| error.to_string())?;
    made.and(following)
}

fn look(
    reloader: &Weak<Reloader>,
    file: &Path,
    mut files: Files,
    changes: &Receiver<FileEvent>,
    poll: Duration,
) {
    loop {
        match changes.recv_timeout(poll) {
            Ok(first) => settle(first, changes),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(poll),
        }
        let Some(reloader) = reloader.upgrade() else { return };
        reloader.being_written(false);
        if reloader.has_changed(file) {
            // Busy: it is looked at again.
            let _ = reloader.reload(ReloadCause::Watch);
        }
        // What cannot be watched is looked at.
        let _ = files.follow(file, &reloader.status().config);
    }
}

#[cfg(test)]
mod tests {
    use ::notify::event::{CreateKind, DataChange, RenameMode};

    use super::*;

    fn event(kind: EventKind, path: &Path) -> Option<FileEvent> {
        seen(&Event::new(kind).add_path(path.to_owned()))
    }

    #[test]
    fn reading_a_file_is_no_change_of_it() {
        let path = Path::new("/etc/strop/strop.toml");
        for kind in [
            AccessKind::Open(AccessMode::Any),
            AccessKind::Close(AccessMode::Read),
            AccessKind::Read,
            AccessKind::Any,
        ] {
            assert_eq!(event(EventKind::Access(kind), path), None, "{kind:?}");
        }
        let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
        assert_eq!(event(closed, path), Some(FileEvent::Whole));
        assert_eq!(event(EventKind::Modify(ModifyKind::Name(RenameMode::To)), path), Some(FileEvent::Whole));
    }

    #[test]
    fn a_file_is_whole_once_its_writer_has_closed_it_and_a_link_at_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let (new, link) = (dir.path().join("new"), dir.path().join("link"));
        std::fs::write(&new, "half").expect("writes");
        std::os::unix::fs::symlink(&new, &link).expect("links");
        let created = EventKind::Create(CreateKind::File);
        assert_eq!(event(created, &new), Some(FileEvent::Written));
        assert_eq!(event(created, &link), Some(FileEvent::Whole));
        assert_eq!(
            event(EventKind::Modify(ModifyKind::Data(DataChange::Any)), &new),
            Some(FileEvent::Written)
        );
    }
}
