//! A closed interval in as few bits as its shape needs.
//!
//! Occupied cells in ascending order: how many cells were skipped, then the count less one, both as Golomb-Rice codes (R.
//! F. Rice, 1979) whose parameter follows the running mean, so that it fits the dense middle and the sparse tail alike. A
//! minute at 30 requests a second is some 600 bytes: a third of HdrHistogram's V2, which spends whole bytes, and within a
//! third of the entropy. The format never leaves the process; what does is written as V2 by [`super::latency`].

use super::cells::CellSum;

/// From this many ones on, a number is written out.
const ESCAPE: u32 = 24;
/// The widest number that is written out.
const WIDE: u32 = 64;

/// Counts by cell, packed.
#[derive(Clone, Debug)]
pub(super) struct Packed(Box<[u8]>);

impl Packed {
    /// Packs `sum`; `room` is only there to be used again.
    pub(super) fn of(sum: &CellSum, room: &mut Vec<u8>) -> Self {
        room.clear();
        write(sum, room);
        Self(room.as_slice().into())
    }

    /// All that was counted.
    pub(super) fn all(&self) -> u64 {
        PackedReader { bytes: &self.0, open: 0, filled: 0 }.wide()
    }

    /// Calls `each` with every occupied cell and its count, in ascending order.
    pub(super) fn each(&self, each: impl FnMut(u16, u64)) {
        read(&self.0, each);
    }

    /// Bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        self.0.len()
    }
}

/// Appends `sum`, packed.
pub(super) fn write(sum: &CellSum, into: &mut Vec<u8>) {
    let mut bits = PackedWriter { bytes: into, open: 0, filled: 0 };
    let occupied = u64::from(sum.occupied());
    bits.wide(sum.all());
    bits.wide(occupied);
    let (mut next, last) = sum.ends();
    bits.wide(u64::from(next));
    bits.wide(u64::from(last));
    let (mut skip, mut more) = models(sum.all(), occupied, u64::from(last - next));
    for (cell, count) in sum.iter() {
        bits.number(u64::from(cell - next), &mut skip);
        bits.number(count - 1, &mut more);
        next = cell + 1;
    }
    bits.end();
}

/// Calls `each` with every occupied cell of what [`write`] has written and its count, in ascending order.
pub(super) fn read(bytes: &[u8], mut each: impl FnMut(u16, u64)) {
    let mut bits = PackedReader { bytes, open: 0, filled: 0 };
    let (all, occupied, first, last) = (bits.wide(), bits.wide(), bits.wide(), bits.wide());
    let (mut skip, mut more) = models(all, occupied, last.saturating_sub(first));
    let mut next = first as u16;
    for _ in 0..occupied {
        let cell = next.wrapping_add(bits.number(&mut skip) as u16);
        each(cell, bits.number(&mut more) + 1);
        next = cell.wrapping_add(1);
    }
}

/// What the numbers were like so far: 32 times their mean.
struct Model(u64);

/// One number beyond this says nothing of the next.
const TYPICAL: u64 = 1 << 20;

/// Of what is skipped and of the counts, by the means of the whole: all counts, and cells from the first to the last.
fn models(all: u64, occupied: u64, span: u64) -> (Model, Model) {
    let sum = |of: u64| u128::from(of.saturating_sub(occupied)) * 32 / u128::from(occupied.max(1));
    let mean = |of: u64| Model(u64::try_from(sum(of)).map_or(32 * TYPICAL, |mean| mean.min(32 * TYPICAL)));
    (mean(span), mean(all))
}

impl Model {
    /// How many low bits are written as they are: the best for a geometric distribution of this mean.
    fn low(&self) -> u32 {
        (((self.0 + 16) >> 5) | 1).ilog2()
    }

    fn learn(&mut self, number: u64) {
        self.0 = self.0 - self.0 / 32 + number.min(TYPICAL);
    }
}

struct PackedWriter<'a> {
    bytes: &'a mut Vec<u8>,
    open: u64,
    filled: u32,
}

impl PackedWriter<'_> {
    /// At most 32 bits; those above `len` are 0.
    fn bits(&mut self, bits: u64, len: u32) {
        self.open |= bits << self.filled;
        self.filled += len;
        while self.filled >= 8 {
            self.bytes.push(self.open as u8);
            self.open >>= 8;
            self.filled -= 8;
        }
    }

    fn long(&mut self, bits: u64, len: u32) {
        let first = len.min(32);
        self.bits(bits & ((1 << first) - 1), first);
        if len > 32 {
            self.bits(bits >> 32, len - 32);
        }
    }

    fn number(&mut self, number: u64, model: &mut Model) {
        let low = model.low();
        let high = number >> low;
        if high < u64::from(ESCAPE) {
            let ones = high as u32;
            self.bits((1 << ones) - 1, ones + 1);
            self.long(number & ((1 << low) - 1), low);
        } else {
            self.bits((1 << ESCAPE) - 1, ESCAPE);
            self.long(number, WIDE);
        }
        model.learn(number);
    }

    /// Seven bits a byte, for what has no model.
    fn wide(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bits(number & 0x7f | 0x80, 8);
            number >>= 7;
        }
        self.bits(number, 8);
    }

    fn end(&mut self) {
        if self.filled > 0 {
            self.bits(0, 8 - self.filled);
        }
    }
}

struct PackedReader<'a> {
    bytes: &'a [u8],
    open: u64,
    filled: u32,
}

impl PackedReader<'_> {
    /// At least 32 bits are open, zeros beyond the end.
    fn fill(&mut self) {
        while self.filled < 32 {
            let (byte, left) = self.bytes.split_first().map_or((0, self.bytes), |(byte, left)| (*byte, left));
            self.open |= u64::from(byte) << self.filled;
            self.bytes = left;
            self.filled += 8;
        }
    }

    fn bits(&mut self, len: u32) -> u64 {
        self.fill();
        let bits = self.open & ((1 << len) - 1);
        self.open >>= len;
        self.filled -= len;
        bits
    }

    fn long(&mut self, len: u32) -> u64 {
        let first = self.bits(len.min(32));
        if len > 32 { first | self.bits(len - 32) << 32 } else { first }
    }

    fn number(&mut self, model: &mut Model) -> u64 {
        self.fill();
        let low = model.low();
        let ones = self.open.trailing_ones();
        let number = if ones < ESCAPE {
            self.bits(ones + 1);
            u64::from(ones) << low | self.long(low)
        } else {
            self.bits(ESCAPE);
            self.long(WIDE)
        };
        model.learn(number);
        number
    }

    fn wide(&mut self) -> u64 {
        let mut number = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.bits(8);
            number |= (byte & 0x7f) << shift.min(63);
            if byte < 0x80 {
                break;
            }
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::cells::CELLS;
    use super::*;

    fn packed(counts: impl IntoIterator<Item = (u16, u64)>) -> (CellSum, Packed) {
        let mut sum = CellSum::default();
        counts.into_iter().for_each(|(cell, count)| sum.add(cell, count));
        let packed = Packed::of(&sum, &mut Vec::new());
        (sum, packed)
    }

    fn unpacked(packed: &Packed) -> Vec<(u16, u64)> {
        let mut all = Vec::new();
        packed.each(|cell, count| all.push((cell, count)));
        all
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out_as_it_was(
            counts in prop::collection::vec(
                (0..CELLS as u16, prop_oneof![Just(1), 1..300_u64, 1..1_u64 << 50]), 0..300)
        ) {
            let (sum, packed) = packed(counts);
            prop_assert_eq!(packed.all(), sum.all());
            prop_assert_eq!(unpacked(&packed), sum.iter().collect::<Vec<_>>());
        }

        #[test]
        fn a_run_of_like_cells_comes_out_as_it_was(from in 0..8_000_u16, len in 1..9_000_u16, count in 1..9_u64) {
            let (sum, packed) = packed((from..from + len).map(|cell| (cell, 1 + u64::from(cell) % count)));
            prop_assert_eq!(unpacked(&packed), sum.iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_extremes_come_out_as_they_were() {
        let last = CELLS as u16 - 1;
        for counts in [vec![], vec![(0, 1)], vec![(0, 1), (1, 1), (last, u64::MAX / 2)], vec![(last, 1)]] {
            assert_eq!(unpacked(&packed(counts.clone()).1), counts);
        }
    }

    #[test]
    fn a_single_record_is_a_few_bytes() {
        assert!(packed([(9_999, 1)]).1.bytes() <= 8);
    }
}
