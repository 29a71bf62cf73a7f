//! Lines of the log on their way to standard error: nobody who tells something waits for whoever reads it.
//!
//! Lines go through a bounded queue to a thread of their own; what does not fit is lost and counted. What one place tells
//! as a warning more often than 20 times in 10 s is folded: counted, and not written.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Filter};

use crate::runtime::{clock, threads};

/// Lines that may wait for the thread.
const WAITING: usize = 4_096;
/// Warnings of one place within a window; the next ones are folded.
const MOST: u32 = 20;
/// How long a window is.
const WINDOW: Duration = Duration::from_secs(10);

static LOST: AtomicU64 = AtomicU64::new(0);
static FOLDED: AtomicU64 = AtomicU64::new(0);
static QUEUE: OnceLock<SyncSender<LineOrder>> = OnceLock::new();

enum LineOrder {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// Lines that found no room since the start.
pub fn lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// Lines that were told as a number only, since the start.
pub fn folded() -> u64 {
    FOLDED.load(Ordering::Relaxed)
}

/// Waits until what was told is written, at most so long.
pub fn flush(limit: Duration) {
    let Some(queue) = QUEUE.get() else { return };
    let (done, is_done) = sync_channel(1);
    if queue.try_send(LineOrder::Flush(done)).is_ok() {
        // Whoever reads nothing is not waited for any longer.
        let _ = is_done.recv_timeout(limit);
    }
}

/// Gives each line to the thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineWriter;

/// One line in the making.
pub(super) struct LineBuffer(Vec<u8>);

impl Write for LineBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Tells a line that is no event.
pub(super) fn say(line: &str) {
    drop(LineBuffer(format!("{line}\n").into_bytes()));
}

impl Drop for LineBuffer {
    fn drop(&mut self) {
        let queue = QUEUE.get_or_init(|| {
            let (queue, inbox) = sync_channel(WAITING);
            // Without a thread every line is lost, and counted.
            let _ = threads::start_patient("strop-log", move || write_all(&inbox));
            queue
        });
        if queue.try_send(LineOrder::Line(std::mem::take(&mut self.0))).is_err() {
            LOST.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl MakeWriter<'_> for LineWriter {
    type Writer = LineBuffer;

    fn make_writer(&self) -> LineBuffer {
        LineBuffer(Vec::new())
    }
}

fn write_all(inbox: &Receiver<LineOrder>) {
    while let Ok(order) = inbox.recv() {
        match order {
            LineOrder::Line(line) => {
                if io::stderr().write_all(&line).is_err() {
                    LOST.fetch_add(1, Ordering::Relaxed);
                }
            }
            // Whoever asked may have left.
            LineOrder::Flush(done) => drop(done.try_send(())),
        }
    }
}

/// Folds warnings that come too often.
#[derive(Default)]
pub(super) struct Folding {
    /// Since when, and how often since then.
    places: Mutex<HashMap<Identifier, (Instant, u32)>>,
}

impl Folding {
    fn passes(&self, place: Identifier, now: Instant) -> bool {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, times) = places.entry(place).or_insert((now, 0));
        if now.saturating_duration_since(*since) >= WINDOW {
            (*since, *times) = (now, 0);
        }
        *times += 1;
        let passes = *times <= MOST;
        FOLDED.fetch_add(u64::from(!passes), Ordering::Relaxed);
        passes
    }
}

impl<S> Filter<S> for Folding {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &tracing::Event<'_>, _: &Context<'_, S>) -> bool {
        let told = event.metadata();
        *told.level() != Level::WARN || self.passes(told.callsite(), clock::instant())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_that_comes_too_often_is_folded_until_its_window_is_over() {
        let folding = Folding::default();
        let place =
            tracing::callsite!(name: "a place", kind: tracing::metadata::Kind::EVENT, fields: message);
        let place = tracing::callsite::Callsite::metadata(place).callsite();
        let now = clock::instant();
        let passed = |at: Duration| (0..200).filter(|_| folding.passes(place.clone(), now + at)).count();
        assert_eq!(passed(Duration::ZERO), 20);
        assert_eq!(passed(Duration::from_secs(9)), 0);
        assert_eq!(passed(WINDOW), 20);
    }
}
