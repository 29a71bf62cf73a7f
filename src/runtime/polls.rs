//! How long a worker is busy, and the longest that one task held it: whoever waits behind such a task is late by as much.
//!
//! The clock is read when the worker wakes and after each poll of a task, so what lies between two polls (the scheduler, what the
//! kernel reported) counts to the later one, and so does the time in which another thread had the CPU. One writer, the worker;
//! who asks reads along.

use std::cell::{Cell, OnceCell};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::clock::{self, nanos};

/// Seconds of one part of the minute that is remembered.
const PART: u64 = 10;
/// Parts that are remembered: a minute that is full, and the one that runs.
const PARTS: usize = 7;

/// The polls of one worker.
#[derive(Debug)]
pub struct Polls {
    thread: String,
    begun: Instant,
    /// Nanoseconds.
    busy: AtomicU64,
    /// The longest poll of each part: the low half is microseconds, the high half which part, counted from 1 since the start.
    longest: [AtomicU64; PARTS],
}

/// What was seen of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollTimes {
    /// The worker, as its thread is called, such as `worker-0`.
    pub thread: String,
    /// Awake, since the start.
    pub busy: Duration,
    /// The longest poll of the last minute, to a microsecond and to ten seconds of when.
    pub longest: Duration,
}

/// The worker that this thread is.
struct Own {
    polls: Arc<Polls>,
    /// It woke, or the last poll ended.
    mark: Cell<Instant>,
    /// When the current part ends.
    until: Cell<Instant>,
    /// The longest poll of the current part.
    longest: Cell<Duration>,
}

thread_local! {
    static OWN: OnceCell<Own> = const { OnceCell::new() };
}

static ALL: Mutex<Vec<Arc<Polls>>> = Mutex::new(Vec::new());

/// From now on this thread is the worker `number`.
pub fn begin(number: usize) {
    let polls = Arc::new(Polls::new(format!("worker-{number}"), clock::instant()));
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|before| before.thread != polls.thread);
    all.push(Arc::clone(&polls));
    drop(all);
    OWN.with(|own| drop(own.set(Own::new(polls))));
}

/// The worker has slept.
pub fn woke() {
    with_own(|own| own.mark.set(clock::instant()));
}

/// A task of this worker has been polled; nothing on another thread.
pub fn ended() {
    with_own(|own| own.ended(clock::instant()));
}

fn with_own(work: impl FnOnce(&Own)) {
    OWN.with(|own| own.get().map_or((), work));
}

/// Of all workers, in the order in which they started.
pub fn times() -> Vec<PollTimes> {
    let now = clock::instant();
    ALL.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|polls| polls.times(now)).collect()
}

impl Own {
    fn new(polls: Arc<Polls>) -> Self {
        let begun = polls.begun;
        Self { polls, mark: Cell::new(begun), until: Cell::new(begun), longest: Cell::default() }
    }

    fn ended(&self, now: Instant) {
        let took = now.saturating_duration_since(self.mark.replace(now));
        let busy = &self.polls.busy;
        // Nobody else writes it.
        busy.store(busy.load(Relaxed).saturating_add(nanos(took)), Relaxed);
        if now >= self.until.get() {
            let part = self.polls.part(now);
            self.until.set(self.polls.begun + Duration::from_secs(part * PART));
        } else if took <= self.longest.get() {
            return;
        }
        self.longest.set(took);
        self.polls.note(now, took);
    }
}

impl Polls {
    fn new(thread: String, begun: Instant) -> Self {
        Self { thread, begun, busy: AtomicU64::new(0), longest: Default::default() }
    }

    /// Counted from 1.
    fn part(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.begun).as_secs() / PART + 1
    }

    fn note(&self, now: Instant, took: Duration) {
        let part = self.part(now);
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        let slot = usize::try_from(part).unwrap_or_default() % PARTS;
        if let Some(slot) = self.longest.get(slot) {
            slot.store(part << 32 | u64::from(micros), Relaxed);
        }
    }

    fn times(&self, now: Instant) -> PollTimes {
        let part = self.part(now);
        let remembered = |noted: &u64| (noted >> 32) + PARTS as u64 > part;
        let noted = self.longest.iter().map(|slot| slot.load(Relaxed)).filter(remembered);
        let micros = noted.map(|noted| noted & u64::from(u32::MAX)).max().unwrap_or_default();
        let busy = Duration::from_nanos(self.busy.load(Relaxed));
        PollTimes { thread: self.thread.clone(), busy, longest: Duration::from_micros(micros) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_poll_is_remembered_for_a_minute_and_all_of_them_are_summed() {
        let t0 = clock::instant();
        let at = |millis: u64| t0 + Duration::from_millis(millis);
        let own = Own::new(Arc::new(Polls::new("worker-0".to_owned(), t0)));
        let longest = |millis: u64| own.polls.times(at(millis)).longest.as_millis();
        for millis in [1, 31, 34] {
            own.ended(at(millis));
        }
        assert_eq!(longest(34), 30);
        own.mark.set(at(15_000)); // it slept
        own.ended(at(15_002));
        own.ended(at(15_003));
        assert_eq!(longest(15_003), 30, "of another part of the minute");
        assert_eq!((longest(60_000), longest(69_999)), (30, 30), "a minute is full");
        assert_eq!((longest(70_000), longest(80_000)), (2, 0));
        assert_eq!(own.polls.times(at(80_000)).busy, Duration::from_millis(37), "sleep is none of it");
        own.mark.set(at(75_000));
        own.ended(at(75_005));
        assert_eq!(longest(75_005), 5, "where the oldest stood");
    }

    #[test]
    fn a_thread_that_is_no_worker_counts_nothing() {
        woke();
        ended();
        OWN.with(|own| assert!(own.get().is_none()));
    }
}
