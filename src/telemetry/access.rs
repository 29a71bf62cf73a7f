//! One JSON line per exchange, written by a thread of its own.
//!
//! A line is made in its worker's memory; blocks of lines are handed over without waiting, when they are full or a tenth
//! of a second old. When the thread is behind, or the disk is full, lines are lost and counted. Never in a line: credentials,
//! cookies, bodies, query parameters that are not listed.

use std::cell::RefCell;
use std::os::unix::fs::OpenOptionsExt as _;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

pub use super::line::AccessLine;
use super::line::SecondText;
use crate::config::{self, AccessSink};
use crate::runtime::threads;

/// Orders that may wait for the thread.
const WAITING: usize = 64;
/// Bytes of a block; one is handed over when it is nearly full.
const BLOCK: usize = 64 * 1024;
/// A longer line than this is rare enough to make its block grow.
const ROOM: usize = 2 * 1024;
/// How long a line may wait in its block.
const PATIENCE: Duration = Duration::from_millis(100);

enum LogOrder {
    Lines(Vec<u8>),
    /// Take up the file named in [`AccessInner::wanted`].
    Look,
    Flush(SyncSender<()>),
}

/// Writes access lines in a thread of its own; clones share it.
#[derive(Clone)]
pub struct AccessLog(Arc<AccessInner>);

struct AccessInner {
    on: AtomicBool,
    /// Share of plain successes that get a line, out of 2^32.
    sample: AtomicU64,
    keep_query: ArcSwap<Vec<String>>,
    orders: Mutex<Option<SyncSender<LogOrder>>>,
    /// Where lines are to go from now on.
    wanted: Mutex<Option<AccessSink>>,
    /// Blocks that were written, for the next lines.
    spare: Mutex<Vec<Vec<u8>>>,
    dropped: AtomicU64,
}

impl AccessLog {
    /// A log that drops every line.
    pub fn off() -> Self {
        Self(Arc::new(AccessInner {
            on: AtomicBool::new(false),
            sample: AtomicU64::new(0),
            keep_query: ArcSwap::default(),
            orders: Mutex::new(None),
            wanted: Mutex::new(None),
            spare: Mutex::default(),
            dropped: AtomicU64::new(0),
        }))
    }

    /// Starts the thread that writes.
    pub fn start(config: &config::AccessLogConfig) -> std::io::Result<Self> {
        let log = Self::off();
        let (orders, inbox) = sync_channel(WAITING);
        let inner = Arc::clone(&log.0);
        threads::start_patient("strop-access", move || write_all(&inbox, &inner))?;
        *log.0.orders.lock().unwrap_or_else(PoisonError::into_inner) = Some(orders);
        log.reconfigure(config);
        Ok(log)
    }

    /// Takes a new config; a file is opened again, so a rotated one is let go.
    pub fn reconfigure(&self, config: &config::AccessLogConfig) {
        self.0.sample.store((config.sample.clamp(0.0, 1.0) * f64::from(u32::MAX)) as u64, Ordering::Relaxed);
        self.0.keep_query.store(Arc::new(config.keep_query.clone()));
        if let Some(sink) = &config.to {
            *self.0.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Some(sink.clone());
            // No place: the thread is behind, and looks with its next order.
            let _ = self.orders().map(|orders| orders.try_send(LogOrder::Look));
        }
        self.0.on.store(config.to.is_some(), Ordering::Relaxed);
    }

    /// Does it write at all?
    pub fn is_on(&self) -> bool {
        self.0.on.load(Ordering::Relaxed)
    }

    /// Does this exchange get a line? Everything that is not a plain success does.
    pub fn wants(&self, plain: bool, draw: u64) -> bool {
        !plain || (draw >> 32) <= self.0.sample.load(Ordering::Relaxed)
    }

    /// Lines that were dropped.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// The writer of one worker.
    pub fn writer(&self) -> Rc<AccessWriter> {
        Rc::new(AccessWriter {
            log: self.clone(),
            orders: self.orders(),
            block: RefCell::default(),
            seconds: RefCell::default(),
            first: Notify::new(),
        })
    }

    fn orders(&self) -> Option<SyncSender<LogOrder>> {
        self.0.orders.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until everything handed over so far is written, for at most `patience`.
    pub fn flush(&self, patience: Duration) {
        let (done, wait) = sync_channel(1);
        let Some(orders) = self.orders() else { return };
        let mut order = LogOrder::Flush(done);
        let step = Duration::from_millis(10);
        for _ in 0..patience.as_millis() / step.as_millis() {
            match orders.try_send(order) {
                // Too late is too late: the process is leaving.
                Ok(()) => {
                    let _ = wait.recv_timeout(patience);
                    return;
                }
                Err(TrySendError::Disconnected(_)) => return,
                Err(TrySendError::Full(back)) => order = back,
            }
            std::thread::sleep(step);
        }
    }
}

/// Lines on their way.
#[derive(Default)]
struct Block {
    text: Vec<u8>,
    lines: u64,
}

/// Makes the lines of one worker.
pub struct AccessWriter {
    log: AccessLog,
    orders: Option<SyncSender<LogOrder>>,
    block: RefCell<Block>,
    seconds: RefCell<SecondText>,
    /// The first line has come into an empty block.
    first: Notify,
}

impl AccessWriter {
    /// Adds one line to the block of this worker.
    pub fn write(&self, line: &AccessLine<'_>) {
        let mut block = self.block.borrow_mut();
        if block.lines == 0 {
            self.first.notify_one();
        }
        if block.text.capacity() == 0 {
            block.text = self.spare();
        }
        let keep = self.log.0.keep_query.load();
        line.put(&mut block.text, &mut self.seconds.borrow_mut(), &keep);
        block.lines += 1;
        if block.text.len() + ROOM > BLOCK {
            self.hand_over(&mut block);
        }
    }

    /// An empty block: one that was written, else a new one.
    fn spare(&self) -> Vec<u8> {
        let kept = self.log.0.spare.try_lock().ok().and_then(|mut spare| spare.pop());
        kept.unwrap_or_else(|| Vec::with_capacity(BLOCK))
    }

    fn hand_over(&self, block: &mut Block) {
        if block.lines == 0 {
            return;
        }
        let Block { text, lines } = std::mem::take(block);
        let order = LogOrder::Lines(text);
        if self.orders.as_ref().is_none_or(|orders| orders.try_send(order).is_err()) {
            self.log.0.dropped.fetch_add(lines, Ordering::Relaxed);
        }
    }

    /// Hands over what there is.
    pub fn flush(&self) {
        self.hand_over(&mut self.block.borrow_mut());
    }

    /// Keeps lines from waiting for a full block, for as long as the worker lives.
    pub async fn keep_flushing(self: Rc<Self>) {
        loop {
            self.first.notified().await;
            tokio::time::sleep(PATIENCE).await;
            self.flush();
        }
    }
}

/// A log that is new is its owner's alone, as the store is.
fn private() -> std::fs::OpenOptions {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true).mode(0o600);
    options
}

fn open(sink: &AccessSink) -> Box<dyn std::io::Write> {
    match sink {
        AccessSink::Stdout => Box::new(std::io::stdout()),
        AccessSink::File(path) => match private().open(path) {
            Ok(file) => Box::new(file),
            Err(error) => {
                super::event::Event::AccessLogFailed { error: &error.to_string() }.tell();
                Box::new(std::io::sink())
            }
        },
    }
}

/// Writes what can be written; how many lines could not. `torn`: the last line on disk is cut short, so that the next one must
/// not go on where it ends.
fn put(sink: &mut dyn std::io::Write, lines: &[u8], torn: &mut bool) -> u64 {
    let mut left = lines;
    if *torn && sink.write_all(b"\n").is_ok() {
        *torn = false;
    }
    while !left.is_empty() && !*torn {
        match sink.write(left) {
            Ok(written) if written > 0 => left = &left[written..],
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => {
                let written = lines.len() - left.len();
                *torn = lines[..written].last().is_some_and(|last| *last != b'\n');
                break;
            }
        }
    }
    let lost = left.iter().filter(|byte| **byte == b'\n').count() as u64;
    // What a closed pipe refuses now, it refuses again with the next lines, which are counted.
    let _ = sink.flush();
    lost
}

fn write_all(inbox: &Receiver<LogOrder>, log: &AccessInner) {
    let mut sink: Box<dyn std::io::Write> = Box::new(std::io::sink());
    let mut torn = false;
    while let Ok(order) = inbox.recv() {
        if let Some(wanted) = log.wanted.lock().unwrap_or_else(PoisonError::into_inner).take() {
            sink = open(&wanted);
            torn = false;
        }
        match order {
            LogOrder::Lines(mut lines) => {
                // A full disk or a closed pipe must not reach a request; the lines are lost, and counted.
                let lost = put(&mut *sink, &lines, &mut torn);
                log.dropped.fetch_add(lost, Ordering::Relaxed);
                lines.clear();
                let mut spare = log.spare.lock().unwrap_or_else(PoisonError::into_inner);
                if spare.len() < WAITING && lines.capacity() <= 2 * BLOCK {
                    spare.push(lines);
                }
            }
            LogOrder::Look => {}
            LogOrder::Flush(done) => {
                // Whoever asked may have left.
                let _ = done.send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use super::super::line::tests::line;

    #[test]
    fn lines_reach_a_file_in_order() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("access.log");
        let to = Some(AccessSink::File(path.clone()));
        let log = AccessLog::start(&config::AccessLogConfig { to, sample: 1.0, keep_query: Vec::new() })
            .expect("starts");
        let writer = log.writer();
        for path in ["/1", "/2", "/3"] {
            writer.write(&line(path));
        }
        writer.flush();
        log.flush(Duration::from_secs(10));
        let text = std::fs::read_to_string(&path).expect("written");
        let paths: Vec<_> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["path"].clone())
            .collect();
        assert_eq!(paths, ["/1", "/2", "/3"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lonely_line_does_not_wait_for_company() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("access.log");
        let to = Some(AccessSink::File(path.clone()));
        let log = AccessLog::start(&config::AccessLogConfig { to, sample: 1.0, keep_query: Vec::new() })
            .expect("starts");
        let writer = log.writer();
        writer.write(&line("/alone"));
        let kept = Rc::clone(&writer).keep_flushing();
        let _ = tokio::time::timeout(PATIENCE * 2, kept).await;
        log.flush(Duration::from_secs(10));
        assert_eq!(std::fs::read_to_string(&path).expect("written").lines().count(), 1);
    }

    /// A disk with so much room left.
    struct Disk {
        written: Vec<u8>,
        room: usize,
    }

    impl std::io::Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let taken = bytes.len().min(self.room);
            if taken == 0 {
                return Err(std::io::ErrorKind::StorageFull.into());
            }
            self.written.extend_from_slice(&bytes[..taken]);
            self.room -= taken;
            Ok(taken)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_costs_lines_that_are_counted_and_no_line_goes_on_where_another_was_torn() {
        let mut disk = Disk { written: Vec::new(), room: 12 };
        let mut torn = false;
        assert_eq!(put(&mut disk, b"one 1\ntwo 2\nthree 3\n", &mut torn), 1);
        assert!(!torn, "it was full at the end of a line");
        disk.room = 3;
        assert_eq!((put(&mut disk, b"four 4\n", &mut torn), torn), (1, true));
        assert_eq!((put(&mut disk, b"five 5\n", &mut torn), torn), (1, true));
        disk.room = 100;
        assert_eq!((put(&mut disk, b"six 6\n", &mut torn), torn), (0, false));
        assert_eq!(String::from_utf8_lossy(&disk.written), "one 1\ntwo 2\nfou\nsix 6\n");
    }

    #[test]
    fn lines_nobody_takes_are_counted() {
        let log = AccessLog::off();
        let writer = log.writer();
        writer.write(&line("/1"));
        writer.write(&line("/2"));
        writer.flush();
        assert_eq!(log.dropped(), 2);
    }
}
