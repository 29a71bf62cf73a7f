//! The traffic of the last hour in steps of ten seconds: of each series its outcomes and a histogram of two significant digits.
//!
//! Fed once a second with what the shards have recorded, beside the rings: the request path knows nothing of it. It lives in
//! memory alone, and a restart loses it. All of it together takes at most 8 MiB, whatever the config holds: a step that
//! outgrows its room is told more coarsely, and series beyond 254 are counted as one for each direction.
//!
//! # Invariants
//! * An exchange is counted in exactly one step, under its series or under that of the others.
//! * A step is the time from the end of the one before it to its own end; it ends at a multiple of ten seconds, the first turn
//!   after it. Time in which nothing turned lies in one long step.

mod grain;
mod open;
mod reading;
mod step;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::open::{OPEN_ROOM, OUTCOMES, OpenSeries};
use self::step::{STEP_ROOM, StepWriter};
use super::cells::{self, CellSum};
use super::labels::{Direction, SeriesKey};

pub use self::reading::{HEAT_BOUNDS_MS, Latency, TrafficBin, TrafficScope, TrafficSteps};

/// Bytes on the heap, at most: 8 MiB.
const ROOM: usize = 8 << 20;
/// The length of a step.
pub const STEP: Duration = Duration::from_secs(10);
/// Steps that are kept: an hour.
pub const STEPS: usize = 360;
/// Series that are told apart; the first two are those of the others, by direction.
const SERIES: usize = 256;

/// One closed step.
#[derive(Clone)]
struct Closed {
    /// Microseconds since the beginning.
    from: u64,
    to: u64,
    /// Shared with who reads; see [`step`].
    bytes: Arc<[u8]>,
}

/// The traffic of the last hour.
pub(super) struct TrafficHistory {
    began: Instant,
    /// The end of the last closed step, in microseconds since the beginning.
    since: u64,
    slots: BTreeMap<SeriesKey, u16>,
    open: Vec<OpenSeries>,
    closed: VecDeque<Closed>,
    writer: StepWriter,
}

/// The slot of those without one of their own.
fn others(direction: Direction) -> u16 {
    match direction {
        Direction::Ingress => 0,
        Direction::Egress => 1,
    }
}

impl TrafficHistory {
    pub(super) fn new(began: Instant) -> Self {
        let open = [OpenSeries::default(), OpenSeries::default()].into();
        Self {
            began,
            since: 0,
            slots: BTreeMap::new(),
            open,
            closed: VecDeque::new(),
            writer: StepWriter::default(),
        }
    }

    fn number(&self) -> u64 {
        self.since / STEP.as_micros() as u64
    }

    /// The slot of a series: its own, a free one, or that of the others.
    fn slot(&mut self, key: &SeriesKey) -> u16 {
        if let Some(slot) = self.slots.get(key) {
            return *slot;
        }
        let slot = if self.open.len() < SERIES {
            self.open.push(OpenSeries::default());
            self.open.len() as u16 - 1
        } else {
            let oldest = self.number().saturating_sub(STEPS as u64);
            let gone = |slot: &u16| self.open.get(usize::from(*slot)).is_some_and(|one| one.last < oldest);
            let free = self.slots.iter().find(|(_, slot)| gone(slot)).map(|(key, slot)| (key.clone(), *slot));
            let Some((forgotten, slot)) = free else { return others(key.2) };
            self.slots.remove(&forgotten);
            slot
        };
        self.slots.insert(key.clone(), slot);
        slot
    }

    /// Adds what a second recorded of a series, and the exchanges of it that ended, by outcome.
    pub(super) fn add(&mut self, key: &SeriesKey, recorded: &CellSum, ended: [u64; OUTCOMES]) {
        if recorded.all() == 0 && ended.iter().all(|count| *count == 0) {
            return;
        }
        let (slot, number) = (self.slot(key), self.number());
        let Some(open) = self.open.get_mut(usize::from(slot)) else { return };
        open.last = number;
        open.outcomes.iter_mut().zip(ended).for_each(|(sum, more)| *sum += more);
        if recorded.all() > 0 {
            open.add(recorded, &mut self.writer.scratch);
        }
    }

    /// All series have been added: closes the step if it is over, and forgets what is older than an hour.
    pub(super) fn turn(&mut self, now: Instant) {
        let now = now.saturating_duration_since(self.began).as_micros() as u64;
        let step = STEP.as_micros() as u64;
        if now / step == self.since / step {
            return;
        }
        let bytes = Arc::from(self.writer.close(&self.open));
        self.open.iter_mut().for_each(OpenSeries::clear);
        self.closed.push_back(Closed { from: self.since, to: now, bytes });
        self.since = now;
        let oldest = (now / step).saturating_sub(STEPS as u64);
        while self.closed.front().is_some_and(|closed| closed.from / step < oldest) {
            self.closed.pop_front();
        }
    }

    /// Its steps as they are now, for who reads them elsewhere.
    pub(super) fn steps(&self) -> TrafficSteps {
        let closed = self.closed.iter().map(Closed::clone).collect();
        TrafficSteps::new(self.began, self.since, closed, self.slots.clone())
    }
}

/// Bytes on the heap at most, by the bounds of its parts: steps, what is open, and the tables around them.
const fn bound() -> usize {
    // Of an Arc: two counts. The deque may have grown to twice what it holds.
    let steps = STEPS * (STEP_ROOM + 16 + 2 * size_of::<Closed>());
    let open = SERIES * 2 * (OPEN_ROOM + size_of::<OpenSeries>());
    // A node of the map has room for eleven keys and is half full at least; the names are those of the series.
    let slots = SERIES * 4 * (size_of::<SeriesKey>() + size_of::<u16>());
    let scratch = cells::CELLS * 8 + 2 * (STEP_ROOM + OPEN_ROOM);
    steps + open + slots + scratch
}

const _: () = assert!(bound() <= ROOM, "an hour at the largest config");
const _: () = assert!(SERIES * step::COUNTS_ROOM <= STEP_ROOM, "counts are never left out");

#[cfg(test)]
mod tests;
