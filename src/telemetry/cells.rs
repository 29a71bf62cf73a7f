//! The cells of an HdrHistogram from 1 µs to 120 s with three significant digits, by number.
//!
//! Up to 2,047 µs a cell is one microsecond; every octave above it has 1,024 cells. The number of a cell is its index in
//! the histogram's own array of counts (<https://hdrhistogram.github.io/HdrHistogram/>), so both convert into each other
//! exactly. This file refuses to know what is counted, and when.

use std::time::Duration;

/// The largest value, in microseconds: 120 s.
pub const HIGHEST: u64 = 120_000_000;

/// log2 of the cells of an octave: 1,024 tell three digits apart.
const OCTAVE: u32 = 10;

/// The cell of a value from 1 to [`HIGHEST`].
pub(super) const fn number(micros: u64) -> u16 {
    let doubled = (micros | ((2 << OCTAVE) - 1)).ilog2() - OCTAVE;
    // 120 s lie in cell 18,215.
    (((doubled as u64) << OCTAVE) + (micros >> doubled)) as u16
}

/// How many cells there are.
pub(super) const CELLS: usize = number(HIGHEST) as usize + 1;

/// The cell of a duration; what lies outside 1 µs to 120 s is in the first or the last one.
pub(super) fn of(took: Duration) -> u16 {
    let micros = took.as_secs().min(HIGHEST) * 1_000_000 + u64::from(took.subsec_micros());
    number(micros.clamp(1, HIGHEST))
}

/// The smallest value of a cell, in microseconds.
pub(super) fn value(cell: u16) -> u64 {
    let cell = u64::from(cell);
    let doubled = (cell >> OCTAVE).saturating_sub(1);
    (cell - (doubled << OCTAVE)) << doubled
}

/// Cells that share a word of `used`.
const WORD: usize = u64::BITS as usize;

/// Counts by cell, with room for all cells: the place where many small counts become one, and then the next ones. It is
/// large (150 KiB), so there is one for all series; going through it costs by what is in it.
pub(super) struct CellSum {
    counts: Box<[u64; CELLS]>,
    /// A bit for each cell that is not 0.
    used: [u64; CELLS.div_ceil(WORD)],
    occupied: u32,
    all: u64,
}

impl Default for CellSum {
    fn default() -> Self {
        let counts = vec![0; CELLS].into_boxed_slice();
        Self {
            counts: counts.try_into().expect("it was made with this length"),
            used: [0; CELLS.div_ceil(WORD)],
            occupied: 0,
            all: 0,
        }
    }
}

impl CellSum {
    /// Adds to one cell; a number beyond the last cell is not counted.
    pub(super) fn add(&mut self, cell: u16, count: u64) {
        let at = usize::from(cell);
        if let (Some(held), true) = (self.counts.get_mut(at), count > 0) {
            self.occupied += u32::from(*held == 0);
            *held += count;
            self.used[at / WORD] |= 1 << (at % WORD);
            self.all += count;
        }
    }

    /// All that was counted.
    pub(super) fn all(&self) -> u64 {
        self.all
    }

    /// How many cells are not 0.
    pub(super) fn occupied(&self) -> u32 {
        self.occupied
    }

    /// The first and the last cell that is not 0; without any twice 0.
    pub(super) fn ends(&self) -> (u16, u16) {
        let cell = |at: usize, bit: u32| (at * WORD + bit as usize) as u16;
        let mut words = self.used.iter().enumerate().filter(|(_, word)| **word != 0);
        let Some((at, word)) = words.next() else { return (0, 0) };
        let (end, highest) = words.next_back().unwrap_or((at, word));
        (cell(at, word.trailing_zeros()), cell(end, highest.ilog2()))
    }

    /// The cells that are not 0 and their counts, in ascending order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u16, u64)> {
        self.used.iter().enumerate().filter(|(_, word)| **word != 0).flat_map(move |(at, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
                left &= left - 1;
                let cell = at * WORD + bit;
                Some((cell as u16, self.counts[cell]))
            })
        })
    }

    /// Sets all counts to zero.
    pub(super) fn clear(&mut self) {
        for (at, word) in self.used.iter_mut().enumerate().filter(|(_, word)| **word != 0) {
            let end = ((at + 1) * WORD).min(CELLS);
            self.counts[at * WORD..end].fill(0);
            *word = 0;
        }
        (self.occupied, self.all) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_ascend_without_a_gap_and_each_begins_with_its_own_value() {
        for cell in 1..CELLS as u16 {
            assert_eq!(number(value(cell)), cell);
            assert_eq!(number(value(cell) - 1), cell - 1);
        }
    }

    #[test]
    fn what_lies_outside_is_in_the_cell_at_the_bound() {
        assert_eq!(of(Duration::ZERO), 1);
        assert_eq!(of(Duration::from_nanos(1_999)), 1);
        for long in [Duration::from_secs(120), Duration::from_secs(121), Duration::MAX] {
            assert_eq!(usize::from(of(long)), CELLS - 1);
        }
    }

    #[test]
    fn a_sum_is_in_order_and_empty_after_it_was_cleared() {
        let mut sum = CellSum::default();
        for (cell, count) in [(18_215, 2), (64, 1), (63, 7), (1, 300), (64, 4), (9, 0), (u16::MAX, 1)] {
            sum.add(cell, count);
        }
        assert_eq!(sum.iter().collect::<Vec<_>>(), [(1, 300), (63, 7), (64, 5), (18_215, 2)]);
        assert_eq!((sum.all(), sum.occupied(), sum.ends()), (314, 4, (1, 18_215)));
        sum.clear();
        assert_eq!((sum.all(), sum.occupied(), sum.iter().count(), sum.ends()), (0, 0, 0, (0, 0)));
        sum.add(64, 1);
        assert_eq!((sum.iter().collect::<Vec<_>>(), sum.ends()), (vec![(64, 1)], (64, 64)));
    }
}
