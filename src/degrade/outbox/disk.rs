//! The file of the outbox and the thread that alone touches it.
//!
//! Orders that wait are written together and made durable by one `fdatasync`. Invariants: nothing is said to be durable before
//! that; what could not be written is cut off again, so that the file ends with a whole record; a request whose asker has given
//! up is written as over. The file is written anew at each start and when most of it is of no use any more: a new one is made
//! durable, then takes its place by a rename.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};

use tokio::sync::oneshot;

use super::record::{MAGIC, Record, Seal, StoredWrite};
use crate::reliability::outbox::{NextReplay, Queue, QueuePhase, QueuedWrite};
use crate::runtime::clock;
use crate::units::At;

/// The file, and the one that is to take its place.
const NAME: &str = "outbox";
const NEW: &str = "outbox.new";
/// Orders that are made durable together, at most.
const TOGETHER: usize = 256;
/// A file that is shorter is not written anew.
const SMALL: u64 = 1 << 20;

/// What the thread is asked to do.
pub(super) enum DiskOrder {
    /// Make a request durable, and say when it is.
    Accept { id: u64, write: StoredWrite, request: Vec<u8>, durable: oneshot::Sender<bool> },
    /// Make a record durable; `durable` is told, where somebody waits.
    Note { record: Record, durable: Option<oneshot::Sender<bool>> },
    /// Read a request.
    Read { id: u64, found: oneshot::Sender<(StoredWrite, Vec<u8>)> },
}

/// Where a request stands in the file.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: u64,
    length: usize,
    number: u64,
}

/// The file, its key and what is in it.
pub(super) struct Disk {
    directory: PathBuf,
    seal: Seal,
    file: File,
    length: u64,
    /// Records in the file.
    records: u64,
    places: BTreeMap<u64, Place>,
    /// Records that could not be written yet.
    owed: Vec<Record>,
    /// Held as long as the process lives.
    _lock: File,
}

/// The queue, whoever has panicked with it.
pub(super) fn locked(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lock(directory: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(directory.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(io::Error::new(io::ErrorKind::WouldBlock, "another process has it open"))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(true).read(true).write(true).mode(0o600).open(path)
}

/// What a start has found.
pub(super) struct Left {
    pub(super) disk: Disk,
    /// The copy of a file that could not be read to its end; `None`: all of it was read.
    pub(super) damaged: Option<PathBuf>,
}

/// Opens the outbox of a directory, which is made where there is none, and fills `queue` with what an earlier start left.
pub(super) fn open(directory: &Path, seal: Seal, queue: &Mutex<Queue>, now: At) -> io::Result<Left> {
    std::fs::create_dir_all(directory)?;
    let lock = lock(directory)?;
    let path = directory.join(NAME);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let (mut found, places, whole) = replayed(&bytes, &seal)?;
    let mut damaged = None;
    if !whole {
        let aside = directory.join(format!("{NAME}.damaged-{}", clock::unix_seconds(clock::now().wall)));
        std::fs::copy(&path, &aside)?;
        damaged = Some(aside);
    }
    found.interrupted(now);
    *locked(queue) = found;
    let file = create(&directory.join(NEW))?;
    let owed = Vec::new();
    let directory = directory.to_owned();
    let mut disk = Disk { directory, seal, file, length: 0, records: 0, places, owed, _lock: lock };
    disk.rewrite(&locked(queue), |place| {
        let from = place.at as usize;
        bytes.get(from..from + place.length).map(<[u8]>::to_vec)
    })?;
    Ok(Left { disk, damaged })
}

/// The state after all records of a file. False: bytes are left behind the last one that is whole.
fn replayed(bytes: &[u8], seal: &Seal) -> io::Result<(Queue, BTreeMap<u64, Place>, bool)> {
    let (mut queue, mut places) = (Queue::default(), BTreeMap::new());
    if bytes.is_empty() {
        return Ok((queue, places, true));
    }
    let foreign = |why| io::Error::new(io::ErrorKind::InvalidData, why);
    let mut rest = bytes.strip_prefix(MAGIC).ok_or_else(|| foreign("its file is no outbox of Strop's"))?;
    let mut number = 0;
    while let Some((record, _, length)) = seal.read(rest, number) {
        let place = Place { at: (bytes.len() - rest.len()) as u64, length, number };
        apply(&mut queue, &mut places, record, place);
        rest = rest.get(length..).unwrap_or_default();
        number += 1;
    }
    if number == 0 {
        return Err(foreign("its file was written with another key, or is damaged"));
    }
    Ok((queue, places, rest.is_empty()))
}

fn apply(queue: &mut Queue, places: &mut BTreeMap<u64, Place>, record: Record, place: Place) {
    match record {
        Record::Begins { last } => *queue = Queue::after(last),
        Record::Accepted { id, write } => {
            queue.restore(id, write.queued(place.length as u64));
            places.insert(id, place);
        }
        Record::Sending { id } => queue.sending(id),
        Record::Later { id, attempts, due } => queue.later(id, attempts, due),
        Record::Over { id } => drop(queue.remove(id)),
        Record::Dead { id, reason } => queue.settle(id, NextReplay::Dead(reason), At(0)).unwrap_or_default(),
        Record::Again { id, at } => drop(queue.retry(id, at)),
    }
}

/// The records that say of a request what is known of it.
fn state(id: u64, accepted: Record, write: &QueuedWrite) -> Vec<Record> {
    let Record::Accepted { write: stored, .. } = accepted else { return Vec::new() };
    let (queued, known_again) = (write.queued, write.known_again);
    let mut records = vec![Record::Accepted { id, write: StoredWrite { queued, known_again, ..stored } }];
    if write.attempts > 0 || write.due > queued {
        records.push(Record::Later { id, attempts: write.attempts, due: write.due });
    }
    match write.phase {
        QueuePhase::Writing | QueuePhase::Waiting => {}
        QueuePhase::Sending => records.push(Record::Sending { id }),
        QueuePhase::Dead(reason) => records.push(Record::Dead { id, reason }),
    }
    records
}

/// A file that is being written, from its first byte.
struct NewFile<'a> {
    file: &'a File,
    seal: &'a Seal,
    length: u64,
    records: u64,
}

impl NewFile<'_> {
    fn put(&mut self, record: &Record, request: &[u8]) -> io::Result<Place> {
        let mut bytes = Vec::new();
        if !self.seal.put(&mut bytes, self.records, record, request) {
            return Err(io::Error::other("a record cannot be sealed"));
        }
        self.file.write_all_at(&bytes, self.length)?;
        let place = Place { at: self.length, length: bytes.len(), number: self.records };
        self.length += bytes.len() as u64;
        self.records += 1;
        Ok(place)
    }
}

/// A record that is to be written, the bytes of its request, and who waits for it.
type Pending = (Record, Vec<u8>, Option<oneshot::Sender<bool>>);

impl Disk {
    /// Does what it is asked, until nobody can ask any more.
    pub(super) fn run(mut self, orders: &mpsc::Receiver<DiskOrder>, queue: &Mutex<Queue>) {
        while let Ok(first) = orders.recv() {
            let more = std::iter::from_fn(|| orders.try_recv().ok()).take(TOGETHER - 1);
            self.carry_out(std::iter::once(first).chain(more));
            let live: u64 = self.places.values().map(|place| place.length as u64).sum();
            if self.length > SMALL && self.length > 2 * live {
                let now = locked(queue).clone();
                // The old file stays where no new one can be written; the next orders try again.
                let _ = self.compact(&now);
            }
        }
    }

    fn carry_out(&mut self, orders: impl Iterator<Item = DiskOrder>) {
        let owed = std::mem::take(&mut self.owed);
        let mut writes: Vec<Pending> = owed.into_iter().map(|record| (record, Vec::new(), None)).collect();
        let mut reads = Vec::new();
        for order in orders {
            match order {
                DiskOrder::Accept { durable, .. } if durable.is_closed() => {}
                DiskOrder::Accept { id, write, request, durable } => {
                    writes.push((Record::Accepted { id, write }, request, Some(durable)));
                }
                DiskOrder::Note { record, durable } => writes.push((record, Vec::new(), durable)),
                DiskOrder::Read { id, found } => reads.push((id, found)),
            }
        }
        let together = self.append(&writes);
        for write in writes {
            // What is too long does not keep the others from being written.
            let done = together || self.append(std::slice::from_ref(&write));
            self.answer(write, done);
        }
        for (id, found) in reads {
            if let Some(request) = self.request(id) {
                let _ = found.send(request);
            }
        }
    }

    /// Makes records durable, all or none.
    fn append(&mut self, writes: &[Pending]) -> bool {
        let (mut bytes, mut found) = (Vec::new(), Vec::new());
        for ((record, request, _), number) in writes.iter().zip(self.records..) {
            let from = bytes.len();
            if !self.seal.put(&mut bytes, number, record, request) {
                return false;
            }
            let place = Place { at: self.length + from as u64, length: bytes.len() - from, number };
            match record {
                Record::Accepted { id, .. } => found.push((*id, Some(place))),
                Record::Over { id } => found.push((*id, None)),
                Record::Begins { .. }
                | Record::Sending { .. }
                | Record::Later { .. }
                | Record::Dead { .. }
                | Record::Again { .. } => {}
            }
        }
        let written = self.file.write_all_at(&bytes, self.length).and_then(|()| self.file.sync_data());
        if written.is_err() {
            // Where this fails too, the next records are written over what is left.
            let _ = self.file.set_len(self.length);
            return false;
        }
        self.length += bytes.len() as u64;
        self.records += writes.len() as u64;
        for (id, place) in found {
            match place {
                Some(place) => drop(self.places.insert(id, place)),
                None => drop(self.places.remove(&id)),
            }
        }
        true
    }

    fn answer(&mut self, (record, _, waits): Pending, done: bool) {
        let waited = waits.is_some();
        let told = waits.is_none_or(|waits| waits.send(done).is_ok());
        match record {
            // Whoever sent it has been refused meanwhile.
            Record::Accepted { id, .. } if done && !told => self.owed.push(Record::Over { id }),
            Record::Accepted { .. } => {}
            record @ (Record::Begins { .. }
            | Record::Sending { .. }
            | Record::Later { .. }
            | Record::Over { .. }
            | Record::Dead { .. }
            | Record::Again { .. }) => {
                if !done && !waited {
                    self.owed.push(record);
                }
            }
        }
    }

    fn request(&self, id: u64) -> Option<(StoredWrite, Vec<u8>)> {
        let place = self.places.get(&id)?;
        match self.seal.read(&bytes_at(&self.file, *place)?, place.number)? {
            (Record::Accepted { write, .. }, request, _) => Some((write, request)),
            _ => None,
        }
    }

    fn compact(&mut self, queue: &Queue) -> io::Result<()> {
        let old = self.file.try_clone()?;
        self.rewrite(queue, |place| bytes_at(&old, place))
    }

    /// Writes a new file with what `queue` has, and puts it in the place of the old one.
    fn rewrite(&mut self, queue: &Queue, old: impl Fn(Place) -> Option<Vec<u8>>) -> io::Result<()> {
        let (path, unread) = (self.directory.join(NEW), || io::Error::other("a record does not open"));
        let file = create(&path)?;
        file.write_all_at(MAGIC, 0)?;
        let mut new = NewFile { file: &file, seal: &self.seal, length: MAGIC.len() as u64, records: 0 };
        new.put(&Record::Begins { last: queue.last() }, &[])?;
        let mut places = BTreeMap::new();
        for (id, write) in queue.iter() {
            let Some(place) = self.places.get(&id) else { continue };
            let sealed = old(*place).ok_or_else(unread)?;
            let (accepted, request, _) = self.seal.read(&sealed, place.number).ok_or_else(unread)?;
            let mut states = state(id, accepted, write).into_iter();
            let accepted = states.next().ok_or_else(unread)?;
            places.insert(id, new.put(&accepted, &request)?);
            for record in states {
                new.put(&record, &[])?;
            }
        }
        let (length, records) = (new.length, new.records);
        file.sync_all()?;
        std::fs::rename(&path, self.directory.join(NAME))?;
        File::open(&self.directory)?.sync_all()?;
        (self.file, self.length, self.records, self.places) = (file, length, records, places);
        Ok(())
    }
}

fn bytes_at(file: &File, place: Place) -> Option<Vec<u8>> {
    let mut bytes = vec![0; place.length];
    file.read_exact_at(&mut bytes, place.at).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reliability::outbox::DeadReason;

    fn open_in(directory: &Path) -> (Left, Mutex<Queue>) {
        let queue = Mutex::default();
        let seal = Seal::new(&[7; 32]).expect("a key");
        (open(directory, seal, &queue, At(50)).expect("opens"), queue)
    }

    fn stored(known_again: bool) -> StoredWrite {
        StoredWrite {
            upstream: "mail".to_owned(),
            route: "mail".to_owned(),
            order: None,
            known_again,
            queued: At(5),
            entrance: "ingress".to_owned(),
            peer: [127, 0, 0, 1].into(),
            secure: false,
            trusted_hops: 0,
            head: 1,
        }
    }

    /// Asks for a request to be written; whoever asked waits.
    fn accept(disk: &mut Disk, id: u64, known_again: bool) -> oneshot::Receiver<bool> {
        let (durable, told) = oneshot::channel();
        let request = format!("request {id}").into_bytes();
        disk.carry_out(std::iter::once(DiskOrder::Accept {
            id,
            write: stored(known_again),
            request,
            durable,
        }));
        told
    }

    fn note(disk: &mut Disk, record: Record) {
        disk.carry_out(std::iter::once(DiskOrder::Note { record, durable: None }));
    }

    #[test]
    fn a_file_that_is_cut_off_anywhere_has_what_stood_before_the_cut_and_is_kept_aside() {
        let whole = tempfile::tempdir().expect("a directory");
        let (Left { mut disk, .. }, _) = open_in(whole.path());
        let mut ends = vec![disk.length];
        for id in 1..4 {
            assert_eq!(accept(&mut disk, id, true).try_recv(), Ok(true));
            ends.push(disk.length);
        }
        let bytes = std::fs::read(whole.path().join(NAME)).expect("reads");
        for cut in (ends[0]..=ends[3]).step_by(7).chain(ends.clone()) {
            let other = tempfile::tempdir().expect("a directory");
            std::fs::write(other.path().join(NAME), &bytes[..cut as usize]).expect("writes");
            let (left, queue) = open_in(other.path());
            let before = ends[1..].iter().filter(|end| **end <= cut).count();
            assert_eq!(locked(&queue).len(), before, "cut at {cut}");
            assert_eq!(left.damaged.is_some(), !ends.contains(&cut));
            for id in 1..=before as u64 {
                assert_eq!(left.disk.request(id).expect("there").1, format!("request {id}").into_bytes());
            }
        }
    }

    #[test]
    fn what_was_being_sent_at_the_end_is_sent_again_only_where_it_is_known_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let (Left { mut disk, .. }, _) = open_in(directory.path());
        for (id, known_again) in [(1, true), (2, false), (3, false), (4, true), (5, true)] {
            assert_eq!(accept(&mut disk, id, known_again).try_recv(), Ok(true));
        }
        for record in [
            Record::Sending { id: 1 },
            Record::Sending { id: 2 },
            Record::Sending { id: 4 },
            Record::Over { id: 4 },
            Record::Later { id: 5, attempts: 2, due: At(99) },
        ] {
            note(&mut disk, record);
        }
        drop(disk);
        // Twice: what a start has written is what the next one reads.
        for _ in 0..2 {
            let (_, queue) = open_in(directory.path());
            let queue = locked(&queue);
            let phase = |id| queue.get(id).map(|write| (write.phase, write.attempts, write.due));
            assert_eq!(phase(1), Some((QueuePhase::Waiting, 1, At(50))));
            assert_eq!(phase(2).map(|one| one.0), Some(QueuePhase::Dead(DeadReason::Unsure)));
            assert_eq!(phase(3), Some((QueuePhase::Waiting, 0, At(5))));
            assert_eq!((phase(4), queue.last()), (None, 5));
            assert_eq!(phase(5), Some((QueuePhase::Waiting, 2, At(99))));
        }
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_not_sent_and_a_file_of_what_is_over_becomes_short() {
        let directory = tempfile::tempdir().expect("a directory");
        let (Left { mut disk, .. }, queue) = open_in(directory.path());
        drop(accept(&mut disk, 1, true));
        let (durable, told) = oneshot::channel();
        drop(told);
        disk.carry_out(std::iter::once(DiskOrder::Accept {
            id: 2,
            write: stored(true),
            request: vec![1],
            durable,
        }));
        assert!(!disk.places.contains_key(&2), "its asker had left before");
        note(&mut disk, Record::Over { id: 1 });
        let long = disk.length;
        disk.compact(&locked(&queue).clone()).expect("written");
        assert!(disk.length < long && disk.places.is_empty());
        drop(disk);
        let (_, queue) = open_in(directory.path());
        assert!(locked(&queue).is_empty());
    }
}
