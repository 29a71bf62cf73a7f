//! What a worker records of one series within a second.
//!
//! A worker can record no faster than it answers, so most series need but a list of cells, two bytes a record. A list that
//! is full is counted up in pages of 64 cells with a byte each; a cell that wraps is listed once for every 256. Beside a
//! full-size histogram (147 KiB) that is a hundred bytes for a series at 30 requests a second, some 10 KiB for the busiest,
//! and 22 KiB where every cell there is was hit.
//!
//! Invariants: nothing is rounded beyond the cell and nothing is lost, at any rate. What was allocated is kept for the
//! next second, and [`Recorder::drain`], off the request path, makes room beyond what the last one needed: a warm record
//! allocates nothing. After a minute without a record all of it goes back to the allocator.

use std::time::Duration;

use super::cells::{self, CELLS, CellSum};

/// The first list: 64 B.
const FIRST: usize = 32;
/// The longest list: 2 KiB.
const LONGEST: usize = 1_024;
/// Cells of a page: one line of a cache.
const PAGE: usize = 64;
/// How many there can be.
const ALL_PAGES: usize = CELLS.div_ceil(PAGE);
/// Pages that are made room for at once: 2 KiB.
const PAGES: usize = 32;
/// Pages that must be free for the next second.
const SPARE_PAGES: usize = 8;
/// Room for cells that wrap, at first.
const WRAPS: usize = 32;
/// How often it is drained without a record before its memory is given back: a minute.
const QUIET: u8 = 60;

/// Durations of one second, to the cell of an HdrHistogram.
#[derive(Default)]
pub struct Recorder {
    list: Vec<u16>,
    pages: Option<Box<Pages>>,
    /// Drained so often in a row with nothing in the list.
    quiet: u8,
    /// Drained so often in a row with nothing in the pages.
    unused: u8,
}

impl Recorder {
    /// Records one duration in the cell that holds it.
    pub fn record(&mut self, took: Duration) {
        if self.list.len() == self.list.capacity() {
            self.make_room();
        }
        self.list.push(cells::of(took));
    }

    #[cold]
    fn make_room(&mut self) {
        if self.list.len() < LONGEST {
            let len = self.list.len();
            self.list.reserve_exact(len.max(FIRST).min(LONGEST - len));
            return;
        }
        let pages = self.pages.get_or_insert_with(Box::default);
        self.list.drain(..).for_each(|cell| pages.add(cell));
    }

    /// Adds what was recorded to `sum` and begins anew.
    pub(super) fn drain(&mut self, sum: &mut CellSum) {
        let listed = self.list.len();
        self.list.drain(..).for_each(|cell| sum.add(cell, 1));
        let counted = self.pages.as_mut().is_some_and(|pages| pages.drain(sum));
        self.unused = if counted { 0 } else { self.unused.saturating_add(1) };
        if self.unused >= QUIET {
            self.pages = None;
        }
        self.quiet = if listed > 0 || counted { 0 } else { self.quiet.saturating_add(1) };
        if self.quiet >= QUIET {
            self.list = Vec::new();
        } else if listed * 2 > self.list.capacity() && self.list.capacity() < LONGEST {
            self.list.reserve_exact((listed * 2).min(LONGEST));
        }
    }
}

/// Counts of a byte each, for those pages of cells that were hit.
struct Pages {
    /// The place of each page in `counts`, plus one; 0: it has none.
    places: [u16; ALL_PAGES],
    counts: Vec<[u8; PAGE]>,
    /// A cell for each time that its count went from 255 to 0.
    wrapped: Vec<u16>,
}

impl Default for Pages {
    fn default() -> Self {
        Self { places: [0; ALL_PAGES], counts: Vec::with_capacity(PAGES), wrapped: Vec::with_capacity(WRAPS) }
    }
}

impl Pages {
    fn add(&mut self, cell: u16) {
        let (page, at) = (usize::from(cell) / PAGE, usize::from(cell) % PAGE);
        if self.places[page] == 0 {
            self.make_room(1);
            self.counts.push([0; PAGE]);
            // There are fewer than 300 pages.
            self.places[page] = self.counts.len() as u16;
        }
        let count = &mut self.counts[usize::from(self.places[page]) - 1][at];
        *count = count.wrapping_add(1);
        if *count == 0 {
            self.wrapped.push(cell);
        }
    }

    /// Room for so many pages more, as far as there can be more.
    fn make_room(&mut self, spare: usize) {
        let (len, left) = (self.counts.len(), ALL_PAGES - self.counts.len());
        if self.counts.capacity() - len < spare.min(left) {
            self.counts.reserve_exact(PAGES.min(left));
        }
    }

    /// Moves all counts into `sum`; false: there were none.
    fn drain(&mut self, sum: &mut CellSum) -> bool {
        let before = sum.all();
        for (page, place) in self.places.iter().enumerate().filter(|(_, place)| **place > 0) {
            let counts = &mut self.counts[usize::from(*place) - 1];
            for (at, count) in counts.iter_mut().enumerate().filter(|(_, count)| **count > 0) {
                sum.add((page * PAGE + at) as u16, u64::from(std::mem::take(count)));
            }
        }
        let wrapped = self.wrapped.len();
        self.wrapped.drain(..).for_each(|cell| sum.add(cell, 256));
        self.make_room(SPARE_PAGES);
        self.wrapped.reserve(wrapped * 2);
        sum.all() > before
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Recorder {
        /// Bytes on the heap.
        fn heap(&self) -> usize {
            let pages = self.pages.as_ref().map_or(0, |pages| {
                size_of::<Pages>() + pages.counts.capacity() * PAGE + pages.wrapped.capacity() * 2
            });
            self.list.capacity() * 2 + pages
        }
    }

    fn drained(recorder: &mut Recorder) -> Vec<(u16, u64)> {
        let mut sum = CellSum::default();
        recorder.drain(&mut sum);
        sum.iter().collect()
    }

    proptest! {
        #[test]
        fn nothing_is_lost_at_any_rate(
            seconds in prop::collection::vec(
                prop::collection::vec((0_u64..200_000_000, 1_usize..1_200), 0..40), 1..4)
        ) {
            let mut recorder = Recorder::default();
            for second in seconds {
                let mut offline = std::collections::BTreeMap::new();
                for (micros, times) in second {
                    let took = Duration::from_micros(micros);
                    (0..times).for_each(|_| recorder.record(took));
                    *offline.entry(cells::of(took)).or_insert(0) += times as u64;
                }
                prop_assert_eq!(drained(&mut recorder), offline.into_iter().collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_second_at_thirty_requests_is_a_hundred_bytes_and_every_cell_there_is_22_kib() {
        let mut recorder = Recorder::default();
        for _ in 0..10 {
            (0..30_u64).for_each(|n| recorder.record(Duration::from_micros(n * 7_919)));
            drained(&mut recorder);
        }
        assert!(recorder.heap() <= 128, "{}", recorder.heap());
        for cell in (0..CELLS as u16).cycle().take(4 * CELLS) {
            recorder.record(Duration::from_micros(cells::value(cell)));
        }
        drained(&mut recorder);
        assert!(recorder.heap() <= 22 << 10, "{}", recorder.heap());
    }

    #[test]
    fn a_second_like_the_one_before_it_changes_no_room() {
        let mut recorder = Recorder::default();
        let second = |recorder: &mut Recorder, records: u64| {
            (0..records).for_each(|n| recorder.record(Duration::from_micros(900 + n * n % 5_003)));
        };
        for records in [1, 30, 900, 50_000] {
            second(&mut recorder, records);
            drained(&mut recorder);
            let room = recorder.heap();
            // Room only ever grows, so it is the same before and after if nothing was asked of the allocator.
            for _ in 0..10 {
                second(&mut recorder, records);
                assert_eq!(recorder.heap(), room, "{records} records");
                drained(&mut recorder);
                assert_eq!(recorder.heap(), room, "{records} records");
            }
        }
    }

    #[test]
    fn a_minute_without_a_record_gives_everything_back() {
        let mut recorder = Recorder::default();
        (0..5_000).for_each(|n| recorder.record(Duration::from_micros(n)));
        for _ in 0..QUIET {
            drained(&mut recorder);
            assert!(recorder.heap() > 0, "it may go on any moment");
        }
        drained(&mut recorder);
        assert_eq!(recorder.heap(), 0);
        recorder.record(Duration::from_micros(5));
        assert_eq!(drained(&mut recorder), [(5, 1)]);
    }
}
