//! Sees that the config file has changed, or a secret or a runbook that it names: by the directories they lie in, and by looking
//! every so often in any case.
//!
//! Decides when to look, not what has changed ([`Reloader`] compares contents). Reading a file is no change of it. A
//! file that somebody has open for writing is looked at when it is closed, or has been left alone for half a minute.
//!
//! A directory says what comes, goes and is closed in it; what is written is asked of the config file alone. A log that is written
//! beside it all the time wakes nobody, and a secret on a disk that hangs holds up nobody here.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

use super::Config;
use super::reload::{ReloadCause, Reloader};
use crate::runtime::{clock, threads};

/// One save is several events: this much silence ends it.
const QUIET: Duration = Duration::from_millis(250);
/// A writer that has not written for so long and still has the file open is one that keeps it open.
const LEFT: Duration = Duration::from_secs(30);
/// What a ConfigMap or a Secret swaps.
const SWAPPED: &str = "..data";
/// Bytes of events taken at once; one is at most 272.
const TAKEN: usize = 4096;

/// What a directory tells: everything that can put another file into a name, and nothing that each write does.
const OF_A_FOLDER: WatchFlags = WatchFlags::ONLYDIR
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF);

/// What an event says of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileEvent {
    /// Somebody writes, and has it open.
    Written,
    /// It is whole, as far as can be seen: closed, renamed, removed, linked.
    Whole,
}

/// What was heard of the files that matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Heard {
    /// The last of any of them.
    last: Option<FileEvent>,
    /// The last of the config file itself.
    own: Option<FileEvent>,
    /// One of the names may be another file's now.
    another: bool,
}

impl Heard {
    fn hear(&mut self, event: FileEvent, own: bool) {
        self.last = Some(event);
        if own {
            self.own = Some(event);
        }
    }
}

/// A new file is empty until somebody has written into it; a link is what it leads to.
fn created(path: &Path) -> FileEvent {
    use std::os::unix::fs::MetadataExt as _;
    let new = std::fs::symlink_metadata(path).is_ok_and(|file| file.is_file() && file.nlink() == 1);
    if new { FileEvent::Written } else { FileEvent::Whole }
}

fn folder(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).to_owned()
}

/// What the kernel is asked about, and what it answers.
struct Watches {
    inotify: OwnedFd,
    /// The files that matter; the first is the config.
    files: Vec<PathBuf>,
    /// By their numbers in the kernel.
    folders: BTreeMap<i32, PathBuf>,
    /// The config as it was last found, to hear who writes into it.
    own: Option<i32>,
}

impl Watches {
    fn new() -> std::io::Result<Self> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        Ok(Self { inotify, files: Vec::new(), folders: BTreeMap::new(), own: None })
    }

    /// Watches these, from now on. An error: a directory that cannot be watched.
    fn follow(&mut self, files: Vec<PathBuf>, runbooks: Option<PathBuf>) -> Result<(), String> {
        let wanted: BTreeSet<PathBuf> = files.iter().map(|path| folder(path)).chain(runbooks).collect();
        self.files = files;
        let (mut folders, mut failed) = (BTreeMap::new(), Ok(()));
        for path in wanted {
            // One that is watched already, and is still the same, keeps its number.
            match inotify::add_watch(&self.inotify, &path, OF_A_FOLDER) {
                Ok(number) => drop(folders.insert(number, path)),
                Err(error) => failed = Err(format!("{}: {}", path.display(), std::io::Error::from(error))),
            }
        }
        let before = std::mem::replace(&mut self.folders, folders);
        self.leave(before.into_keys().filter(|number| !self.folders.contains_key(number)));
        self.find();
        failed
    }

    /// Another file may have the name now. A pipe is none: who writes into it is read once.
    fn find(&mut self) {
        let file = self.files.first().filter(|path| path.is_file());
        let found = file.and_then(|path| inotify::add_watch(&self.inotify, path, WatchFlags::MODIFY).ok());
        let before = std::mem::replace(&mut self.own, found);
        self.leave(before.filter(|before| Some(*before) != found).into_iter());
    }

    fn leave(&self, numbers: impl Iterator<Item = i32>) {
        for number in numbers {
            // What is gone by itself is watched no more.
            let _ = inotify::remove_watch(&self.inotify, number);
        }
    }

    /// Does a name in a folder matter? Of the files there that nobody named only the link that a ConfigMap or a Secret swaps.
    fn matters(&self, name: &OsStr, path: &Path) -> bool {
        name == SWAPPED
            || self.files.iter().any(|file| file.file_name() == Some(name))
            || super::runbooks::is_one(path)
    }

    /// Waits for something to be heard, until then. Was there something?
    fn wait(&self, until: Instant) -> bool {
        loop {
            let left = until.saturating_duration_since(clock::instant());
            let mut asked = [PollFd::new(&self.inotify, PollFlags::IN)];
            match rustix::event::poll(&mut asked, Timespec::try_from(left).ok().as_ref()) {
                Ok(ready) => return ready > 0,
                // A signal is no event.
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => {
                    std::thread::sleep(left);
                    return false;
                }
            }
        }
    }

    /// What has been heard since the last time.
    fn take(&mut self) -> Heard {
        let mut heard = Heard::default();
        let mut space = [MaybeUninit::uninit(); TAKEN];
        let mut events = inotify::Reader::new(self.inotify.as_fd(), &mut space);
        while let Ok(event) = events.next() {
            let what = event.events();
            let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
            if what.contains(ReadFlags::QUEUE_OVERFLOW) {
                heard.another = true;
                heard.hear(FileEvent::Whole, true);
            } else if self.own == Some(event.wd()) {
                // Beside it only that it is gone, which its folder tells.
                if what.contains(ReadFlags::MODIFY) {
                    heard.hear(FileEvent::Written, true);
                }
            } else if let Some(folder) = self.folders.get(&event.wd()) {
                self.hear_folder(&mut heard, what, folder, name);
            }
        }
        if heard.another {
            self.find();
        }
        heard
    }

    fn hear_folder(&self, heard: &mut Heard, what: ReadFlags, folder: &Path, name: Option<&OsStr>) {
        // Of itself a folder tells that it is gone.
        let Some(name) = name else { return heard.hear(FileEvent::Whole, false) };
        let path = folder.join(name);
        if !self.matters(name, &path) {
            return;
        }
        heard.another = true;
        let own = self.files.first().is_some_and(|own| own.file_name() == Some(name));
        heard.hear(if what.contains(ReadFlags::CREATE) { created(&path) } else { FileEvent::Whole }, own);
    }
}

/// Waits until nobody writes any more; `told` hears whether somebody writes into the config. At most `poll` for the first word.
fn settle(watches: &mut Watches, poll: Duration, told: impl Fn(bool)) {
    let mut until = clock::instant() + poll;
    while watches.wait(until) {
        let heard = watches.take();
        if let Some(own) = heard.own {
            told(own == FileEvent::Written);
        }
        // What else happens there puts nothing off.
        let Some(last) = heard.last else { continue };
        until = clock::instant() + if last == FileEvent::Written { LEFT } else { QUIET };
    }
}

/// Watches on a thread of its own, for as long as the process lives, and looks every `poll` in any
/// case. `Err`: looking only.
pub fn watch(reloader: &Arc<Reloader>, poll: Duration) -> Result<(), String> {
    let Some(file) = reloader.file().map(Path::to_owned) else { return Ok(()) };
    let mut watches = Watches::new().map_err(|error| error.to_string());
    let following = match &mut watches {
        Ok(watches) => follow(watches, &file, &reloader.status().config),
        Err(error) => Err(error.clone()),
    };
    let reloader = Arc::downgrade(reloader);
    let run = move || look(&reloader, &file, watches.ok(), poll);
    threads::start_patient("strop-config", run).map_err(|error| error.to_string())?;
    following
}

fn follow(watches: &mut Watches, file: &Path, config: &Config) -> Result<(), String> {
    let files = std::iter::once(file.to_owned()).chain(config.secret_files()).collect();
    watches.follow(files, config.runbooks.directory.clone())
}

fn look(reloader: &Weak<Reloader>, file: &Path, mut watches: Option<Watches>, poll: Duration) {
    loop {
        match &mut watches {
            Some(watches) => settle(watches, poll, |is| {
                if let Some(reloader) = reloader.upgrade() {
                    reloader.being_written(is);
                }
            }),
            None => std::thread::sleep(poll),
        }
        let Some(reloader) = reloader.upgrade() else { return };
        reloader.being_written(false);
        // What comes after this is heard; what cannot be watched is looked at.
        let mut follow = || watches.as_mut().map(|watches| follow(watches, file, &reloader.status().config));
        let _ = follow();
        if reloader.has_changed(file) {
            // Busy: it is looked at again.
            let _ = reloader.reload(ReloadCause::Watch);
            let _ = follow();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A folder with a config file, and what watches it.
    fn watched() -> (tempfile::TempDir, PathBuf, Watches) {
        let folder = tempfile::tempdir().expect("a directory");
        let file = folder.path().join("strop.toml");
        fs::write(&file, "a").expect("writes");
        let mut watches = Watches::new().expect("inotify");
        watches.follow(vec![file.clone(), folder.path().join("key")], None).expect("watches");
        (folder, file, watches)
    }

    fn heard(last: FileEvent, own: Option<FileEvent>) -> (Option<FileEvent>, Option<FileEvent>) {
        (Some(last), own)
    }

    /// What is there by now: the kernel tells before the call that does it returns.
    fn taken(watches: &mut Watches) -> (Option<FileEvent>, Option<FileEvent>) {
        let Heard { last, own, .. } = watches.take();
        (last, own)
    }

    use FileEvent::{Whole, Written};

    #[test]
    fn a_busy_file_beside_it_is_not_even_told_by_the_kernel() {
        let (folder, file, mut watches) = watched();
        let mut log = fs::File::create(folder.path().join("access.log")).expect("a log");
        assert!(watches.wait(clock::instant()), "that it came is told");
        assert_eq!(taken(&mut watches), (None, None), "and is nothing to this one");
        for _ in 0..1000 {
            log.write_all(b"a line\n").expect("writes");
        }
        assert!(!watches.wait(clock::instant()), "no event for a line");
        fs::read(&file).expect("reads");
        fs::read_dir(folder.path()).expect("lists").for_each(drop);
        assert!(!watches.wait(clock::instant()), "nor for a look at the file");
    }

    #[test]
    fn a_file_is_whole_once_its_writer_has_closed_it_and_a_link_at_once() {
        let (folder, file, mut watches) = watched();
        let mut open = fs::OpenOptions::new().append(true).open(&file).expect("opens");
        open.write_all(b"half").expect("writes");
        assert_eq!(taken(&mut watches), heard(Written, Some(Written)));
        drop(open);
        assert_eq!(taken(&mut watches), heard(Whole, Some(Whole)));
        // A new one beside it, for another of the names.
        let mut new = fs::File::create(folder.path().join("key")).expect("creates");
        assert_eq!(taken(&mut watches), heard(Written, None), "empty as yet");
        new.write_all(b"secret").expect("writes");
        drop(new);
        assert_eq!(taken(&mut watches), heard(Whole, None));
        std::os::unix::fs::symlink("2026", folder.path().join("..data")).expect("links");
        assert_eq!(taken(&mut watches), heard(Whole, None));
    }

    #[test]
    fn the_file_that_has_the_name_now_is_the_one_that_is_heard() {
        let (folder, file, mut watches) = watched();
        let old = folder.path().join("strop.toml.old");
        fs::rename(&file, &old).expect("renames");
        assert_eq!(taken(&mut watches), heard(Whole, Some(Whole)));
        fs::write(folder.path().join("new"), "b").expect("writes");
        fs::rename(folder.path().join("new"), &file).expect("renames");
        assert_eq!(taken(&mut watches), heard(Whole, Some(Whole)));
        fs::write(&old, "c").expect("writes");
        assert_eq!(taken(&mut watches), (None, None), "the old one is nobody's");
        let mut open = fs::OpenOptions::new().append(true).open(&file).expect("opens");
        open.write_all(b"half").expect("writes");
        assert_eq!(taken(&mut watches), heard(Written, Some(Written)));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("chmod");
        assert_eq!(taken(&mut watches), heard(Whole, Some(Whole)), "it may be readable only now");
    }

    #[test]
    fn a_folder_that_went_and_came_is_watched_again() {
        let above = tempfile::tempdir().expect("a directory");
        let folder = above.path().join("etc");
        let file = folder.join("strop.toml");
        fs::create_dir(&folder).expect("creates");
        let mut watches = Watches::new().expect("inotify");
        let files = vec![file.clone()];
        watches.follow(files.clone(), None).expect("watches");
        fs::remove_dir(&folder).expect("removes");
        assert_eq!(taken(&mut watches), heard(Whole, None));
        assert!(watches.follow(files.clone(), None).is_err());
        fs::create_dir(&folder).expect("creates");
        watches.follow(files, None).expect("watches");
        fs::write(&file, "a").expect("writes");
        assert_eq!(taken(&mut watches), heard(Whole, Some(Whole)));
    }
}
