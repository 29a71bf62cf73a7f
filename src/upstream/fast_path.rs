//! A machine behind a lock that nobody takes while there is nothing to decide.
//!
//! One word says whether the machine is *steady* (whoever asks is admitted, a good verdict only counts) or *passing*
//! (whoever asks is admitted, and nothing counts) and in which generation. While it is, good verdicts go into the
//! worker's own cell, to be folded into the machine whenever somebody does take the lock. Why a stale word is harmless:
//! it carries the generation, so what was admitted under it settles as a straggler; and a good verdict that is added to
//! a cell just after the machine has moved counts a moment late, once, towards a total and never towards closing
//! anything. `tests/loom` checks all interleavings of this file, which is why it names nothing of this crate.

use std::time::Instant;

#[cfg(loom)]
use loom::sync::Mutex;
#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(loom))]
use std::sync::Mutex;
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, Ordering};

/// What the lock guards.
pub trait GuardedMachine {
    /// Rises whenever the machine moves.
    fn generation(&self) -> u64;
    /// Is there nothing to decide?
    fn is_steady(&self) -> bool;
    /// Is whoever asks admitted, and does nothing of it count? Never while it is steady.
    fn is_passing(&self) -> bool {
        false
    }
    /// `n` good verdicts that were counted in cells.
    fn credit_good(&mut self, n: u64, now: Instant);
}

const STEADY: u64 = 1;
const PASSING: u64 = 2;
const SHIFT: u32 = 2;

/// A worker's count of good verdicts, on cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
struct Cell(AtomicU64);

/// A machine, its word and its workers' cells.
pub struct Guarded<M> {
    /// Generation and whether it is steady; written under the lock only.
    word: AtomicU64,
    cells: Box<[Cell]>,
    machine: Mutex<M>,
}

impl<M: GuardedMachine> Guarded<M> {
    /// The machine with a cell for each of `workers` workers.
    pub fn new(machine: M, workers: usize) -> Self {
        let cells = (0..workers.max(1)).map(|_| Cell::default()).collect();
        Self { word: AtomicU64::new(word_of(&machine)), cells, machine: Mutex::new(machine) }
    }

    /// The generation, while the machine is steady.
    pub fn steady(&self) -> Option<u64> {
        let word = self.word.load(Ordering::Acquire);
        (word & STEADY != 0).then_some(word >> SHIFT)
    }

    /// The generation, while the machine is passing.
    pub fn passing(&self) -> Option<u64> {
        let word = self.word.load(Ordering::Acquire);
        (word & PASSING != 0).then_some(word >> SHIFT)
    }

    /// The generation that was published last.
    pub fn generation(&self) -> u64 {
        self.word.load(Ordering::Acquire) >> SHIFT
    }

    /// Counts a good verdict of a steady generation; false: it is over, and the machine itself must hear of it.
    pub fn count_good(&self, worker: usize, generation: u64) -> bool {
        let steady = self.steady() == Some(generation);
        if steady {
            // There is at least one cell.
            self.cells[worker % self.cells.len()].0.fetch_add(1, Ordering::Relaxed);
        }
        steady
    }

    /// Locks, folds the cells in, decides, and publishes the word before the lock is let go.
    pub fn with<T>(&self, now: Instant, decide: impl FnOnce(&mut M) -> T) -> T {
        let mut machine = self.machine.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let good = self.cells.iter().map(|cell| cell.0.swap(0, Ordering::Relaxed)).sum();
        machine.credit_good(good, now);
        let decided = decide(&mut machine);
        self.word.store(word_of(&*machine), Ordering::Release);
        decided
    }
}

fn word_of(machine: &impl GuardedMachine) -> u64 {
    let steady = if machine.is_steady() { STEADY } else { 0 };
    let passing = if machine.is_passing() { PASSING } else { 0 };
    machine.generation() << SHIFT | steady | passing
}
