//! Cells of two significant digits, and coarser ones.
//!
//! The finest grain has 128 cells an octave, as HdrHistogram has with two digits; each coarser one has half of them, down to two.
//! A cell of a coarse grain is made of whole cells of every finer one, three digits included: what is regrained is in its right
//! cell, whichever way it came there.

/// How finely durations are told apart: log2 of the cells of an octave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Grain(u8);

impl Grain {
    /// Two significant digits.
    pub(super) const FINEST: Self = Self(7);
    /// Two cells an octave.
    pub(super) const COARSEST: Self = Self(1);

    /// The next coarser one; `None`: there is none.
    pub(super) fn coarser(self) -> Option<Self> {
        (self > Self::COARSEST).then(|| Self(self.0 - 1))
    }

    /// As it is written in a step.
    pub(super) fn number(self) -> u8 {
        self.0
    }

    /// Reads it back.
    pub(super) fn read(number: u8) -> Self {
        Self(number.clamp(Self::COARSEST.0, Self::FINEST.0))
    }

    /// The cell that a duration in microseconds lies in.
    pub(super) fn cell(self, micros: u64) -> u16 {
        let octave = u32::from(self.0);
        let doubled = (micros | ((2 << octave) - 1)).ilog2() - octave;
        // 120 s lie in cell 2,597 of the finest grain.
        (((u64::from(doubled)) << octave) + (micros >> doubled)) as u16
    }

    /// The shortest and the longest duration of a cell, in microseconds.
    pub(super) fn span(self, cell: u16) -> (u64, u64) {
        let cell = u64::from(cell);
        let doubled = (cell >> self.0).saturating_sub(1);
        let lowest = (cell - (doubled << self.0)) << doubled;
        (lowest, lowest + (1 << doubled) - 1)
    }

    /// How wide a cell is, as a share of the durations in it, at most.
    pub(super) fn width(self) -> f64 {
        1.0 / f64::from(1_u32 << self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::cells;
    use super::*;

    #[test]
    fn cells_of_each_grain_ascend_without_a_gap_and_hold_whole_cells_of_the_finer_ones() {
        let mut grain = Some(Grain::FINEST);
        while let Some(this) = grain {
            let last = this.cell(cells::HIGHEST);
            for cell in 1..=last {
                let (lowest, highest) = this.span(cell);
                assert_eq!((this.cell(lowest), this.cell(highest)), (cell, cell), "{this:?}");
                assert_eq!(this.cell(lowest - 1), cell - 1, "{this:?}");
                assert!((highest - lowest) as f64 <= this.width() * lowest as f64, "{this:?} {lowest}");
            }
            for fine in 1..cells::CELLS as u16 - 1 {
                let ends = (cells::value(fine), cells::value(fine + 1) - 1);
                assert_eq!(this.cell(ends.0), this.cell(ends.1), "{this:?}: a cell of three digits is cut");
            }
            assert_eq!(Grain::read(this.number()), this);
            grain = this.coarser();
        }
    }
}
