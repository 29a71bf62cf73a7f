//! One closed step as bytes: of each series its number, outcomes, grain and histogram.
//!
//! A step has a room. What does not fit is told more coarsely, all series alike; a series whose histogram does not fit even
//! then keeps its counts. Invariant: counts are never left out.

use super::grain::Grain;
use super::open::{OUTCOMES, OpenSeries, PackScratch};
use crate::telemetry::packed;

/// Bytes of one step of all series together.
pub(super) const STEP_ROOM: usize = 19_200;

/// Bytes of a number with seven bits a byte, at most.
const WIDEST: usize = 10;
/// Bytes of a series without its histogram, at most: its number, its outcomes, the grain, and that there is none.
pub(super) const COUNTS_ROOM: usize = 2 + OUTCOMES * WIDEST + 2;

/// What is used again for each step.
#[derive(Default)]
pub(super) struct StepWriter {
    pub(super) scratch: PackScratch,
    step: Vec<u8>,
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 & 0x7f | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..70).step_by(7) {
        let Some((byte, left)) = bytes.split_first() else { break };
        *bytes = left;
        number |= u64::from(byte & 0x7f) << shift.min(63);
        if *byte < 0x80 {
            break;
        }
    }
    number
}

impl PackScratch {
    /// Packs what an open histogram holds, at `grain`.
    fn pack(&mut self, open: &OpenSeries, grain: Grain) {
        self.packed.clear();
        if grain == open.grain {
            self.packed.extend_from_slice(&open.packed);
            return;
        }
        open.each(|lowest, count| self.sum.add(grain.cell(lowest), count));
        packed::write(&self.sum, &mut self.packed);
        self.sum.clear();
    }
}

impl StepWriter {
    /// The bytes of a step of all that is open; at the coarsest grain some histograms may be left out.
    pub(super) fn close(&mut self, open: &[OpenSeries]) -> &[u8] {
        let mut grain = Grain::FINEST;
        while !self.write(open, grain) {
            match grain.coarser() {
                Some(coarser) => grain = coarser,
                None => break,
            }
        }
        &self.step
    }

    /// Writes them at `grain`, or at their own where it is coarser; false: histograms were left out.
    fn write(&mut self, open: &[OpenSeries], grain: Grain) -> bool {
        self.step.clear();
        let mut whole = true;
        let seen = || open.iter().enumerate().filter(|(_, one)| one.is_seen());
        let mut counts = seen().count() * COUNTS_ROOM;
        for (slot, one) in seen() {
            put(&mut self.step, slot as u64);
            one.outcomes.iter().for_each(|count| put(&mut self.step, *count));
            let grain = grain.min(one.grain);
            self.scratch.pack(one, grain);
            counts -= COUNTS_ROOM;
            // Room for the counts of all that follow is kept free.
            let fits = self.step.len() + 1 + WIDEST + self.scratch.packed.len() + counts <= STEP_ROOM;
            whole &= fits;
            self.step.push(grain.number());
            put(&mut self.step, if fits { self.scratch.packed.len() as u64 } else { 0 });
            if fits {
                self.step.extend_from_slice(&self.scratch.packed);
            }
        }
        whole
    }
}

/// A series within a step.
pub(super) struct SteppedSeries<'a> {
    pub(super) slot: u16,
    pub(super) outcomes: [u64; OUTCOMES],
    pub(super) grain: Grain,
    /// Empty: it was left out.
    pub(super) packed: &'a [u8],
}

/// The series of a step, in the order of their numbers.
pub(super) fn read(mut bytes: &[u8]) -> impl Iterator<Item = SteppedSeries<'_>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let slot = take(&mut bytes) as u16;
        let outcomes = std::array::from_fn(|_| take(&mut bytes));
        let grain = Grain::read(take(&mut bytes) as u8);
        let long = (take(&mut bytes) as usize).min(bytes.len());
        let (packed, left) = bytes.split_at(long);
        bytes = left;
        Some(SteppedSeries { slot, outcomes, grain, packed })
    })
}
