//! Reading files that may hang: a FIFO that nobody writes to, a file system whose server is away.
//!
//! Nothing ends a thread that waits in the kernel, so each reading has a thread of its own, which is abandoned after
//! [`PATIENCE`]: whoever asked goes on with an error. Their number is bounded, and a file whose last reading still hangs is
//! not read once more.
//!
//! # Invariants
//! * At most [`MOST`] readings hang beside those that are still waited for; no lock is held over one of them.
//! * A reading that comes back late is thrown away, and its file may be read again.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// How long a file may take. A config of some kilobytes takes milliseconds from a disk and a second or two from a network
/// that is well; a program behind `<(…)` may think about it.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Readings of this process that hang.
static HUNG: Mutex<Vec<Hung>> = Mutex::new(Vec::new());

/// How long it may take to tell whether a file is another one by now, or to read a small one.
const GLANCE: Duration = Duration::from_secs(1);
/// Readings that may hang.
pub const MOST: usize = 4;
/// The longest file: nothing that Strop reads whole comes near it, and `/dev/zero` has no end.
pub const LONGEST: u64 = 16 << 20;

/// What a file holds.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    patiently(path, whole)
}

/// What a file of text holds.
pub fn read_to_string(path: &Path) -> io::Result<String> {
    let text = String::from_utf8(read(path)?);
    text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "is not text in UTF-8"))
}

/// What a file is.
pub fn look(path: &Path) -> io::Result<Metadata> {
    patiently(path, |path| std::fs::metadata(path))
}

/// What a small local file holds, where it says so within a second: for a reader that has something else to go by.
pub fn glance(path: &Path) -> io::Result<Vec<u8>> {
    within(&HUNG, GLANCE, path, whole)
}

/// Does `work`, which reads what `path` names, on a thread that is abandoned when it takes longer than [`PATIENCE`].
pub fn patiently<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    within(&HUNG, PATIENCE, path, work)
}

fn whole(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        let told = format!("is longer than {} MiB", LONGEST >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, told));
    }
    Ok(bytes)
}

/// A reading that hangs.
#[derive(Clone, Debug)]
struct Hung {
    path: PathBuf,
    /// Device and inode of the file; empty: that hung too.
    file: Arc<OnceLock<(u64, u64)>>,
}

/// Between whoever reads and whoever waits for it.
enum ReadSlot<T> {
    Waiting,
    Read(io::Result<T>),
    Abandoned,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn within<T: Send + 'static>(
    hung: &'static Mutex<Vec<Hung>>,
    limit: Duration,
    path: &Path,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    may_begin(hung, path)?;
    let shared = Arc::new((Mutex::new(ReadSlot::Waiting), Condvar::new()));
    let this = Hung { path: path.to_owned(), file: Arc::default() };
    let (of, reading) = (Arc::clone(&shared), this.clone());
    let read = move || {
        if let Ok(file) = std::fs::metadata(&reading.path) {
            reading.file.get_or_init(|| id(&file));
        }
        let done = work(&reading.path);
        let mut slot = locked(&of.0);
        if matches!(*slot, ReadSlot::Abandoned) {
            locked(hung).retain(|other| !Arc::ptr_eq(&other.file, &reading.file));
        } else {
            *slot = ReadSlot::Read(done);
            of.1.notify_one();
        }
    };
    std::thread::Builder::new().name("strop-file".to_owned()).stack_size(256 * 1024).spawn(read)?;
    let is_waiting = |slot: &mut ReadSlot<T>| matches!(slot, ReadSlot::Waiting);
    let waited = shared.1.wait_timeout_while(locked(&shared.0), limit, is_waiting);
    let (mut slot, _) = waited.unwrap_or_else(PoisonError::into_inner);
    match std::mem::replace(&mut *slot, ReadSlot::Abandoned) {
        ReadSlot::Read(done) => done,
        ReadSlot::Waiting | ReadSlot::Abandoned => {
            locked(hung).push(this);
            let told = format!(
                "gave no answer within {limit:?}: a FIFO that nobody writes to, or a file system that is away?"
            );
            Err(io::Error::new(io::ErrorKind::TimedOut, told))
        }
    }
}

fn id(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

fn may_begin(hung: &'static Mutex<Vec<Hung>>, path: &Path) -> io::Result<()> {
    let busy = |told: String| Err(io::Error::new(io::ErrorKind::ResourceBusy, told));
    let all = locked(hung).clone();
    if all.len() >= MOST {
        let all: Vec<String> = all.iter().map(|one| one.path.display().to_string()).collect();
        return busy(format!("{MOST} readings hang already, of {}; it is not begun", all.join(", ")));
    }
    let same: Vec<_> = all.iter().filter(|one| one.path == path).collect();
    if same.is_empty() {
        return Ok(());
    }
    // Somebody may have put another file there: what is blocked in a FIFO that is gone never comes back.
    if same.iter().all(|one| one.file.get().is_some()) {
        let (mut name, real) = (path.as_os_str().to_owned(), path.to_owned());
        name.push(" (which file it is)");
        let now =
            within(hung, GLANCE, Path::new(&name), move |_| std::fs::metadata(real).map(|file| id(&file)))?;
        if same.iter().all(|one| one.file.get() != Some(&now)) {
            return Ok(());
        }
    }
    busy(
        "its last reading hangs; it is read again when that has come back, or another file has its name"
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    fn hung() -> &'static Mutex<Vec<Hung>> {
        Box::leak(Box::default())
    }

    /// Reads something that comes when the sender says so.
    fn slow(hung: &'static Mutex<Vec<Hung>>, path: &str, limit: Duration) -> (Sender<u8>, io::Result<u8>) {
        let (send, come) = channel();
        let work = move |_: &Path| come.recv().map_err(io::Error::other);
        (send, within(hung, limit, Path::new(path), work))
    }

    #[test]
    fn what_hangs_is_abandoned_and_not_begun_again_until_it_has_come_back() {
        let hung = hung();
        let (late, answer) = slow(hung, "a", Duration::from_millis(20));
        assert_eq!(answer.expect_err("hangs").kind(), io::ErrorKind::TimedOut);
        let again = within(hung, PATIENCE, Path::new("a"), |_| Ok(()));
        assert_eq!(again.expect_err("hangs still").kind(), io::ErrorKind::ResourceBusy);
        assert!(within(hung, PATIENCE, Path::new("b"), |_| Ok(())).is_ok(), "another one is read");
        late.send(1).expect("it waits");
        while !locked(hung).is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(within(hung, PATIENCE, Path::new("a"), |_| Ok(7)).expect("reads"), 7);
    }

    #[test]
    fn a_file_that_takes_the_place_of_one_that_hangs_is_read() {
        let (hung, dir) = (hung(), tempfile::tempdir().expect("a directory"));
        let path = dir.path().join("config");
        std::fs::write(&path, "old").expect("writes");
        let name = path.to_str().expect("text");
        let (_never, answer) = slow(hung, name, Duration::from_millis(20));
        assert_eq!(answer.expect_err("hangs").kind(), io::ErrorKind::TimedOut);
        let again = || within(hung, PATIENCE, &path, whole);
        assert_eq!(again().expect_err("the same file").kind(), io::ErrorKind::ResourceBusy);
        let new = dir.path().join("new");
        std::fs::write(&new, "new").expect("writes");
        std::fs::rename(&new, &path).expect("renames");
        assert_eq!(again().expect("reads"), b"new");
    }

    #[test]
    fn readings_that_hang_do_not_pile_up() {
        let hung = hung();
        let all: Vec<_> = (0..10).map(|n| slow(hung, &n.to_string(), Duration::from_millis(5))).collect();
        let kinds: Vec<_> =
            all.iter().map(|(_, answer)| answer.as_ref().expect_err("hangs").kind()).collect();
        assert!(kinds[..MOST].iter().all(|kind| *kind == io::ErrorKind::TimedOut), "{kinds:?}");
        assert!(kinds[MOST..].iter().all(|kind| *kind == io::ErrorKind::ResourceBusy), "{kinds:?}");
        assert_eq!(locked(hung).len(), MOST);
    }

    #[test]
    fn a_file_without_an_end_is_no_config() {
        let endless = read(Path::new("/dev/zero")).expect_err("too long");
        assert_eq!(endless.kind(), io::ErrorKind::FileTooLarge);
        assert!(
            read(Path::new("/nowhere/at/all")).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        );
    }
}
