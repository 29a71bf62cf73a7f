//! Has the process stood still: stopped by a signal, frozen with its node or its control group?
//!
//! A thread of its own looks at the monotonic clock four times a second. Two looks that are a second or more apart had a pause
//! between them: nobody ran, so no deadline could be kept and nothing was seen. Whoever finds a deadline passed looks as well,
//! for it may run before that thread does.
//!
//! # Invariants
//! * Each pause is counted once, whoever sees it first.
//! * Without the thread there are no pauses.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::clock::{self, nanos};

/// Time between two looks at the clock.
const TICK: Duration = Duration::from_millis(250);
/// Looks that are this far apart had a pause between them. A busy machine wakes a thread within milliseconds, and a control
/// group out of its CPU quota within a few periods of 100 ms; deadlines are seconds.
const JUMP: Duration = Duration::from_secs(1);
/// Pauses that are remembered.
const KEPT: usize = 64;

/// The process stood still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Counted from 1 since the start.
    pub number: u64,
    /// The last look before it.
    pub from: Instant,
    /// The first look after it.
    pub until: Instant,
}

impl Pause {
    /// How long it was, to a quarter of a second.
    pub fn length(&self) -> Duration {
        self.until.saturating_duration_since(self.from)
    }
}

/// The pauses of a process.
#[derive(Debug)]
struct Pauses {
    begun: OnceLock<Instant>,
    /// Nanoseconds after `begun`: the last look. 0: nobody looks.
    last: AtomicU64,
    /// Nanoseconds of all pauses.
    total: AtomicU64,
    all: Mutex<VecDeque<Pause>>,
}

static PAUSES: Pauses = Pauses::new();

impl Pauses {
    const fn new() -> Self {
        let (last, total) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { begun: OnceLock::new(), last, total, all: Mutex::new(VecDeque::new()) }
    }

    fn all(&self) -> MutexGuard<'_, VecDeque<Pause>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nanoseconds on the scale of `last`; never 0.
    fn place(&self, now: Instant) -> u64 {
        let begun = *self.begun.get_or_init(|| now);
        nanos(now.saturating_duration_since(begun)).saturating_add(1)
    }

    fn jumped(&self, place: u64) -> bool {
        let last = self.last.load(Ordering::Acquire);
        last != 0 && place.saturating_sub(last) >= nanos(JUMP)
    }

    /// Notes a pause that has just been over.
    fn look(&self, now: Instant) {
        if self.last.load(Ordering::Relaxed) == 0 {
            return;
        }
        let place = self.place(now);
        if !self.jumped(place) {
            return;
        }
        let mut all = self.all();
        // Somebody else may have seen it meanwhile; whoever comes here later waits until it is in the sum.
        if !self.jumped(place) {
            return;
        }
        let last = self.last.load(Ordering::Acquire);
        let from = now.checked_sub(Duration::from_nanos(place - last)).unwrap_or(now);
        let number = all.back().map_or(1, |pause| pause.number + 1);
        all.push_back(Pause { number, from, until: now });
        if all.len() > KEPT {
            all.pop_front();
        }
        self.total.fetch_add(place - last, Ordering::Release);
        self.last.store(place, Ordering::Release);
    }

    /// A look by the clock.
    fn tick(&self, now: Instant) {
        self.look(now);
        self.last.fetch_max(self.place(now), Ordering::AcqRel);
    }

    fn between(&self, from: Instant, until: Instant) -> Duration {
        self.look(until);
        if self.total.load(Ordering::Acquire) == 0 {
            return Duration::ZERO;
        }
        let within = |pause: &Pause| pause.until.min(until).saturating_duration_since(pause.from.max(from));
        self.all().iter().map(within).sum()
    }
}

/// Begins to look, for as long as the process lives.
pub fn watch() -> std::io::Result<()> {
    PAUSES.tick(clock::instant());
    let look = || {
        loop {
            std::thread::sleep(TICK);
            PAUSES.tick(clock::instant());
        }
    };
    std::thread::Builder::new().name("strop-pauses".to_owned()).stack_size(64 * 1024).spawn(look).map(drop)
}

/// Time in which the process stood still so far, nanoseconds: for [`since`].
pub fn total() -> u64 {
    PAUSES.total.load(Ordering::Acquire)
}

/// How long the process has stood still since [`total`] was `before`.
pub fn since(before: u64, now: Instant) -> Duration {
    PAUSES.look(now);
    Duration::from_nanos(total().saturating_sub(before))
}

/// How much of the time from `from` to `until` the process stood still.
pub fn between(from: Instant, until: Instant) -> Duration {
    PAUSES.between(from, until)
}

/// How long the process ran from `from` to `until`. What is short had no pause in it and costs a comparison.
pub fn ran(from: Instant, until: Instant) -> Duration {
    let took = until.saturating_duration_since(from);
    if took < JUMP { took } else { took.saturating_sub(between(from, until)) }
}

/// The pauses after number `number`, as far as they are remembered.
pub fn after(number: u64, now: Instant) -> Vec<Pause> {
    PAUSES.look(now);
    if total() == 0 {
        return Vec::new();
    }
    PAUSES.all().iter().filter(|pause| pause.number > number).copied().collect()
}

/// How many there were, and how long they were together.
pub fn counted() -> (u64, Duration) {
    let number = PAUSES.all().back().map_or(0, |pause| pause.number);
    (number, Duration::from_nanos(total()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(t0: Instant) -> Pauses {
        let pauses = Pauses::new();
        pauses.tick(t0);
        pauses
    }

    #[test]
    fn what_is_a_second_apart_had_a_pause_between_it_and_is_counted_once() {
        let t0 = clock::instant();
        let at = |millis: u64| t0 + Duration::from_millis(millis);
        let pauses = running(t0);
        for millis in [250, 500, 1_400, 1_650] {
            pauses.tick(at(millis)); // 900 ms late is only late
        }
        assert!(pauses.all().is_empty());
        pauses.look(at(9_000));
        pauses.look(at(9_001));
        pauses.tick(at(9_002));
        let all: Vec<_> = pauses.all().iter().copied().collect();
        let [pause] = all[..] else { panic!("one: {all:?}") };
        assert_eq!((pause.number, pause.from, pause.length()), (1, at(1_650), Duration::from_millis(7_350)));
        assert_eq!(pauses.total.load(Ordering::Relaxed), nanos(pause.length()));
        let around = |from, until| pauses.between(at(from), at(until)).as_millis();
        assert_eq!(around(0, 9_002), 7_350);
        assert_eq!(around(8_000, 9_002), 1_000, "as much of it as lies within");
        assert_eq!(around(9_000, 9_002), 0, "what began after it was not held up");
    }

    #[test]
    fn without_the_thread_time_may_jump_as_it_likes() {
        let t0 = clock::instant();
        let pauses = Pauses::new();
        pauses.look(t0);
        pauses.look(t0 + Duration::from_secs(3_600));
        assert_eq!(pauses.between(t0, t0 + Duration::from_secs(3_600)), Duration::ZERO);
        assert!(pauses.all().is_empty());
    }

    #[test]
    fn only_the_last_pauses_are_remembered_and_all_are_counted() {
        let t0 = clock::instant();
        let pauses = running(t0);
        for second in 1..=200 {
            pauses.tick(t0 + Duration::from_secs(second * 2));
        }
        assert_eq!(pauses.all().len(), KEPT);
        assert_eq!(pauses.all().back().map(|pause| pause.number), Some(200));
        assert_eq!(pauses.total.load(Ordering::Relaxed), nanos(Duration::from_secs(400)));
    }
}
