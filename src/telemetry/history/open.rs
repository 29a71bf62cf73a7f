//! What is recorded of one series since the last step ended: its outcomes, and a histogram that is packed at all times.
//!
//! Invariant: the histogram takes at most [`OPEN_ROOM`] bytes; where it would take more, it becomes coarser.

use super::grain::Grain;
use crate::telemetry::cells::{self, CellSum};
use crate::telemetry::labels::ExchangeOutcome;
use crate::telemetry::packed;

/// Bytes of a histogram that is open, at most.
pub(super) const OPEN_ROOM: usize = 2 << 10;
pub(super) const OUTCOMES: usize = ExchangeOutcome::ALL.len();

/// Where one histogram after the other is packed.
#[derive(Default)]
pub(super) struct PackScratch {
    pub(super) sum: CellSum,
    pub(super) packed: Vec<u8>,
}

/// What is recorded of one series in the open step.
pub(super) struct OpenSeries {
    pub(super) outcomes: [u64; OUTCOMES],
    pub(super) grain: Grain,
    /// Empty: nothing was.
    pub(super) packed: Vec<u8>,
    /// The number of the last step that it was seen in.
    pub(super) last: u64,
}

impl Default for OpenSeries {
    fn default() -> Self {
        Self { outcomes: [0; OUTCOMES], grain: Grain::FINEST, packed: Vec::new(), last: 0 }
    }
}

impl OpenSeries {
    pub(super) fn is_seen(&self) -> bool {
        self.outcomes.iter().any(|count| *count > 0) || !self.packed.is_empty()
    }

    /// Calls `each` with the shortest duration of every cell in use, in microseconds, and its count.
    pub(super) fn each(&self, mut each: impl FnMut(u64, u64)) {
        if !self.packed.is_empty() {
            packed::read(&self.packed, |cell, count| each(self.grain.span(cell).0, count));
        }
    }

    /// Adds what a second recorded; where that takes too much room, the whole becomes coarser.
    pub(super) fn add(&mut self, recorded: &CellSum, scratch: &mut PackScratch) {
        loop {
            self.each(|lowest, count| scratch.sum.add(self.grain.cell(lowest), count));
            for (cell, count) in recorded.iter() {
                scratch.sum.add(self.grain.cell(cells::value(cell)), count);
            }
            scratch.packed.clear();
            packed::write(&scratch.sum, &mut scratch.packed);
            scratch.sum.clear();
            let coarser = self.grain.coarser().filter(|_| scratch.packed.len() > OPEN_ROOM);
            let Some(coarser) = coarser else { break };
            self.regrain(coarser, scratch);
        }
        self.packed.clear();
        // The coarsest grain has 60 cells: it fits.
        self.packed.extend_from_slice(&scratch.packed);
    }

    fn regrain(&mut self, coarser: Grain, scratch: &mut PackScratch) {
        self.each(|lowest, count| scratch.sum.add(coarser.cell(lowest), count));
        let some = !self.packed.is_empty();
        self.packed.clear();
        if some {
            packed::write(&scratch.sum, &mut self.packed);
        }
        scratch.sum.clear();
        self.grain = coarser;
    }

    /// Begins anew; a series without traffic gives its memory back.
    pub(super) fn clear(&mut self) {
        match self.packed.is_empty() {
            true => self.packed = Vec::new(),
            false => self.packed.clear(),
        }
        (self.outcomes, self.grain) = ([0; OUTCOMES], Grain::FINEST);
    }
}
