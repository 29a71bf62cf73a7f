//! The numbers of one breaker: an upstream's, or one of its operations'.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::sre::Spans;
use crate::reliability::breaker::{BreakerTransition, Refusal};
use crate::runtime::clock;

/// Why an exchange was not begun.
/// Moves of a breaker that are remembered.
pub const MOVES: usize = 12;

/// What the breaker's metrics show.
#[derive(Clone, Debug, Default)]
pub struct BreakerNumbers {
    /// 0 closed, 1 open, 2 half-open.
    pub state: u8,
    /// The same for what a breaker in shadow would be.
    pub shadow_state: u8,
    /// Of the move that led there.
    pub generation: u64,
    /// Transitions by (to, why).
    pub transitions: BTreeMap<(&'static str, &'static str), u64>,
    /// The same of a breaker in shadow.
    pub shadow_transitions: BTreeMap<(&'static str, &'static str), u64>,
    /// Times from opening to closing.
    pub recovery: Spans,
    /// The last of them.
    pub last_recovery: Option<Duration>,
    /// The last moves, oldest first, with the wall clock of each: at most [`MOVES`].
    pub history: VecDeque<(SystemTime, BreakerTransition)>,
}

/// One worker's count, on cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
struct BreakerShard(AtomicU64);

/// The numbers of one breaker.
pub struct BreakerSeries {
    /// Whose: such as `stripe`, or `stripe.charges` for an operation.
    pub label: Arc<str>,
    numbers: Mutex<BreakerNumbers>,
    refused: [AtomicU64; Refusal::LABELS.len()],
    /// Exchanges that a breaker that is on would have refused.
    against_shadow: Box<[BreakerShard]>,
    failures: AtomicU64,
}

impl BreakerSeries {
    pub(super) fn new(label: Arc<str>, workers: usize) -> Self {
        Self {
            label,
            numbers: Mutex::default(),
            refused: Default::default(),
            against_shadow: (0..workers.max(1)).map(|_| BreakerShard::default()).collect(),
            failures: AtomicU64::new(0),
        }
    }

    /// An exchange of an operation has failed.
    pub fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Exchanges of an operation that have failed; an upstream's own breaker shows its bad attempts instead.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// An exchange was admitted that a breaker that is on would have refused.
    pub fn would_refuse(&self, worker: usize) {
        // There is at least one shard.
        self.against_shadow[worker % self.against_shadow.len()].0.fetch_add(1, Ordering::Relaxed);
    }

    /// Exchanges that a breaker that is on would have refused.
    pub fn would_have_refused(&self) -> u64 {
        self.against_shadow.iter().map(|shard| shard.0.load(Ordering::Relaxed)).sum()
    }

    /// An exchange was not begun.
    pub fn refused(&self, refusal: Refusal) {
        self.refused[refusal.place()].fetch_add(1, Ordering::Relaxed);
    }

    /// Exchanges not begun, in the order of [`Refusal::LABELS`].
    pub fn refusals(&self) -> [u64; Refusal::LABELS.len()] {
        self.refused.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    /// The breaker moved. Two moves may cross on their way here; their generations put them in order.
    pub fn moved(&self, moved: &BreakerTransition) {
        let mut breaker = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        if moved.generation > breaker.generation {
            breaker.generation = moved.generation;
            if moved.shadow {
                breaker.shadow_state = moved.to.number();
            } else {
                breaker.state = moved.to.number();
                breaker.shadow_state = 0;
            }
        }
        if moved.shadow {
            *breaker.shadow_transitions.entry((moved.to.label(), moved.why.label())).or_default() += 1;
            return;
        }
        *breaker.transitions.entry((moved.to.label(), moved.why.label())).or_default() += 1;
        let place = breaker.history.partition_point(|(_, known)| known.generation < moved.generation);
        breaker.history.insert(place, (clock::now().wall, *moved));
        if breaker.history.len() > MOVES {
            breaker.history.pop_front();
        }
        if let Some(took) = moved.recovered {
            breaker.recovery.record(took);
            breaker.last_recovery = Some(took);
        }
    }

    /// What the breaker's metrics show.
    pub fn numbers(&self) -> BreakerNumbers {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
