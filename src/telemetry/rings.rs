//! Closed intervals of one series: seconds for ten seconds, tens for five minutes, minutes for an hour.
//!
//! Each ring is made of the one before it, so nothing is held open: what is not yet in a coarse ring is read from the finer
//! ones. Intervals are kept [`Packed`]. A ring that outgrows its room joins its oldest intervals, up to a step that its
//! window bears; how long an interval is stands in it. Invariant: a record lies in one interval of a ring, or in one of a
//! finer ring that is not yet in it, never in both.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::cells::CellSum;
use super::packed::Packed;

/// How a ring is cut, in microseconds.
struct RingCut {
    /// The length of an interval: one ends at every multiple of it, the first thing after it.
    every: u64,
    /// How long one is kept after its end.
    keep: u64,
    /// Bytes beyond which the oldest are joined.
    room: usize,
    /// The length up to which they are.
    longest: u64,
}

const SECOND: u64 = 1_000_000;

const CUTS: [RingCut; 3] = [
    RingCut { every: SECOND, keep: 10 * SECOND, room: usize::MAX, longest: SECOND },
    RingCut { every: 10 * SECOND, keep: 300 * SECOND, room: 11 << 10, longest: 60 * SECOND },
    RingCut { every: 60 * SECOND, keep: 3_600 * SECOND, room: 34 << 10, longest: 300 * SECOND },
];

/// The length of a ring's intervals.
#[derive(Clone, Copy)]
pub(super) enum Every {
    Second,
    /// An interval of ten seconds.
    Ten,
    Minute,
}

/// One interval, in microseconds since the beginning of its rings.
struct Closed {
    from: u64,
    /// Saturates at 71 minutes.
    length: u32,
    packed: Packed,
}

impl Closed {
    fn to(&self) -> u64 {
        self.from + u64::from(self.length)
    }
}

#[derive(Default)]
struct IntervalRing {
    closed: VecDeque<Closed>,
    /// Where the open interval began.
    since: u64,
}

impl IntervalRing {
    fn close(&mut self, sum: &mut CellSum, room: &mut Vec<u8>, now: u64) {
        if sum.all() > 0 {
            // A pause of the process may last longer than a length can say.
            let from = self.since.max(now.saturating_sub(u32::MAX.into()));
            self.closed.push_back(Closed {
                from,
                length: (now - from) as u32,
                packed: Packed::of(sum, room),
            });
            sum.clear();
        }
        self.since = now;
    }

    /// Closes an interval of what a finer ring has since the last one, if it is over and the finer ring closes one as well:
    /// none of those is cut.
    fn take(&mut self, fine: &Self, cut: &RingCut, sum: &mut CellSum, room: &mut Vec<u8>, now: u64) {
        if now / cut.every > self.since / cut.every && fine.since == now {
            for closed in fine.beginning(self.since) {
                closed.packed.each(|cell, count| sum.add(cell, count));
            }
            self.close(sum, room, now);
        }
    }

    /// Intervals that began at `since` or later.
    fn beginning(&self, since: u64) -> impl Iterator<Item = &Closed> {
        let before = self.closed.partition_point(|closed| closed.from < since);
        self.closed.range(before..)
    }

    fn bytes(&self) -> usize {
        let packed: usize = self.closed.iter().map(|closed| closed.packed.bytes()).sum();
        packed + self.closed.len() * size_of::<Closed>()
    }

    /// Joins the oldest intervals until they have room; only those that the next ring has already, which are
    /// all that began before `taken`.
    fn join(&mut self, cut: &RingCut, taken: u64, sum: &mut CellSum, room: &mut Vec<u8>) {
        let mut bytes = self.bytes();
        let mut at = 0;
        while bytes > cut.room && at + 1 < self.closed.len() {
            let (older, newer) = (&self.closed[at], &self.closed[at + 1]);
            let length = newer.to() - older.from;
            if newer.from >= taken || length > cut.longest + cut.every / 2 {
                at += 1;
                continue;
            }
            bytes -= older.packed.bytes() + newer.packed.bytes() + size_of::<Closed>();
            older.packed.each(|cell, count| sum.add(cell, count));
            newer.packed.each(|cell, count| sum.add(cell, count));
            let packed = Packed::of(sum, room);
            bytes += packed.bytes();
            sum.clear();
            self.closed[at] = Closed { from: older.from, length: length as u32, packed };
            self.closed.remove(at + 1);
        }
    }

    /// Forgets what is too old, unless it began at `taken` or later: then the next ring does not have it yet.
    fn forget(&mut self, cut: &RingCut, taken: u64, now: u64) {
        let old = |closed: &Closed| closed.from < taken && now.saturating_sub(closed.to()) > cut.keep;
        while self.closed.front().is_some_and(old) {
            self.closed.pop_front();
        }
        if self.closed.is_empty() {
            self.closed = VecDeque::new();
        }
    }
}

/// The rings of one series.
pub(super) struct Rings {
    /// Times are counted from here: earlier than it was made, by what the series are apart.
    began: Instant,
    rings: [IntervalRing; 3],
}

impl Rings {
    /// A set of empty rings. Their intervals end `apart` sooner than those of others that begin now: thousands of
    /// intervals do not end at once.
    pub(super) fn new(now: Instant, apart: Duration) -> Self {
        // Where the clock cannot go back so far, they end together.
        let mut rings = Self { began: now.checked_sub(apart).unwrap_or(now), rings: Default::default() };
        let since = rings.micros(now);
        rings.rings.iter_mut().for_each(|ring| ring.since = since);
        rings
    }

    fn micros(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.began).as_micros()).unwrap_or(u64::MAX)
    }

    /// Closes a second with what was `recorded` in it, and every interval that is over; `recorded` is empty afterwards.
    pub(super) fn turn(&mut self, recorded: &mut CellSum, room: &mut Vec<u8>, now: Instant) {
        let now = self.micros(now);
        let [seconds, tens, minutes] = &mut self.rings;
        let [second, ten, minute] = &CUTS;
        seconds.close(recorded, room, now);
        tens.take(seconds, ten, recorded, room, now);
        minutes.take(tens, minute, recorded, room, now);
        seconds.forget(second, tens.since, now);
        tens.forget(ten, minutes.since, now);
        minutes.forget(minute, now, now);
        if tens.since == now {
            tens.join(ten, minutes.since, recorded, room);
        }
        if minutes.since == now {
            minutes.join(minute, now, recorded, room);
        }
    }

    fn at(&self, micros: u64) -> Instant {
        self.began + Duration::from_micros(micros)
    }

    /// The closed intervals of a ring, oldest first.
    pub(super) fn closed(&self, every: Every) -> impl Iterator<Item = (Instant, Instant, &Packed)> {
        let all = self.rings[every as usize].closed.iter();
        all.map(|closed| (self.at(closed.from), self.at(closed.to()), &closed.packed))
    }

    /// What a ring does not have yet, and since when.
    pub(super) fn open(&self, every: Every) -> (Instant, impl Iterator<Item = &Packed>) {
        let [seconds, tens, minutes] = &self.rings;
        let coarsest = [seconds.since, tens.since, minutes.since][every as usize];
        // From the finest up: what one has and the next one has not.
        let fine = seconds.beginning(tens.since.max(coarsest));
        let middle = tens.beginning(minutes.since.max(coarsest));
        let middle = middle.filter(move |_| matches!(every, Every::Minute));
        let fine = fine.filter(move |_| !matches!(every, Every::Second));
        (self.at(coarsest), middle.chain(fine).map(|closed| &closed.packed))
    }

    /// All of a ring that ended within `length` before `now`, and what it does not have yet.
    pub(super) fn within(
        &self,
        every: Every,
        length: Duration,
        now: Instant,
    ) -> impl Iterator<Item = &Packed> {
        let young = move |to: Instant| now.saturating_duration_since(to) <= length;
        let closed = self.closed(every).filter(move |(_, to, _)| young(*to)).map(|(_, _, packed)| packed);
        closed.chain(self.open(every).1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::cells;
    use super::*;
    use crate::runtime::clock;

    /// A number in 0..1 and the next state (D. Knuth's MMIX constants).
    fn chance(state: &mut u64) -> f64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Log-normal around 20 ms, p99 at three times that, as a service that is well: the sum of twelve numbers is normal.
    fn usual(state: &mut u64) -> Duration {
        let normal = (0..12).map(|_| chance(state)).sum::<f64>() - 6.0;
        Duration::from_secs_f64(0.020 * (normal * 0.5).exp())
    }

    /// Anything between 1 ms and 10 s.
    fn wild(state: &mut u64) -> Duration {
        Duration::from_secs_f64(0.001 * 10_000_f64.powf(chance(state)))
    }

    /// Rings after so many seconds, and all that was recorded.
    fn lived(seconds: u64, rate: u64, took: fn(&mut u64) -> Duration) -> (Rings, CellSum, Instant) {
        let t0 = clock::instant();
        let (mut rings, mut all) = (Rings::new(t0, Duration::ZERO), CellSum::default());
        let (mut state, mut sum, mut room) = (7, CellSum::default(), Vec::new());
        for second in 1..=seconds {
            for _ in 0..rate {
                let cell = cells::of(took(&mut state));
                all.add(cell, 1);
                sum.add(cell, 1);
            }
            rings.turn(&mut sum, &mut room, t0 + Duration::from_secs(second));
        }
        (rings, all, t0 + Duration::from_secs(seconds))
    }

    /// Bytes on the heap.
    fn heap(rings: &Rings) -> usize {
        let of = |ring: &IntervalRing| {
            let packed: usize = ring.closed.iter().map(|closed| closed.packed.bytes()).sum();
            packed + ring.closed.capacity() * size_of::<Closed>()
        };
        rings.rings.iter().map(of).sum()
    }

    fn lengths(rings: &Rings) -> Vec<u64> {
        rings.closed(Every::Minute).map(|(from, to, _)| to.duration_since(from).as_secs()).collect()
    }

    #[test]
    fn an_hour_is_at_most_48_kib_and_nothing_of_it_is_lost() {
        type Draw = fn(&mut u64) -> Duration;
        let cases: [(u64, Draw); 4] = [(10, usual), (30, usual), (10, wild), (30, wild)];
        for (rate, took) in cases {
            let (rings, all, now) = lived(3_600, rate, took);
            assert!(heap(&rings) <= 48 << 10, "{rate} a second: {} bytes", heap(&rings));
            let mut sum = CellSum::default();
            rings
                .within(Every::Minute, Duration::from_secs(3_600), now)
                .for_each(|packed| packed.each(|cell, count| sum.add(cell, count)));
            assert!(sum.iter().eq(all.iter()), "{} of {}", sum.all(), all.all());
        }
    }

    #[test]
    fn an_hour_of_minutes_stays_one_at_10_a_second_and_old_ones_are_joined_up_to_five_where_it_is_too_much() {
        let (rings, ..) = lived(3_600, 10, usual);
        assert_eq!(lengths(&rings), [60; 60]);
        let (rings, ..) = lived(3_600, 30, usual);
        let lengths = lengths(&rings);
        assert_eq!((lengths[0], lengths.last()), (300, Some(&60)), "{lengths:?}");
        assert_eq!(lengths.iter().sum::<u64>(), 3_600, "{lengths:?}");
        assert!(lengths.is_sorted_by(|older, newer| older >= newer), "{lengths:?}");
    }

    #[test]
    fn seconds_that_are_longer_or_shorter_lose_nothing_and_count_nothing_twice() {
        for apart in [0, 7, 33] {
            let mut now = clock::instant();
            let mut rings = Rings::new(now, Duration::from_secs(apart));
            let (mut state, mut sum, mut room, mut all) = (3, CellSum::default(), Vec::new(), 0);
            for _ in 0..3_000 {
                now += Duration::from_secs_f64(0.4 + chance(&mut state));
                sum.add(cells::of(usual(&mut state)), 2);
                all += 2;
                rings.turn(&mut sum, &mut room, now);
                let within = rings.within(Every::Minute, Duration::from_secs(3_600), now);
                assert_eq!(within.map(Packed::all).sum::<u64>(), all);
                let five = rings.within(Every::Ten, Duration::from_secs(290), now).map(Packed::all);
                assert!(five.sum::<u64>() >= 2 * (all / 2).min(200), "the last minutes are there");
            }
            assert!(rings.closed(Every::Minute).count() >= 44, "an interval a minute");
        }
    }

    #[test]
    fn a_pause_of_hours_is_one_interval_and_the_windows_are_those_after_it() {
        let (mut rings, mut all, now) = lived(100, 3, usual);
        let later = now + Duration::from_secs(9_000);
        let (mut sum, mut room) = (CellSum::default(), Vec::new());
        sum.add(5, 2);
        all.add(5, 2);
        rings.turn(&mut sum, &mut room, later);
        for (every, length) in [(Every::Second, 10), (Every::Ten, 300), (Every::Minute, 3_600)] {
            let young = rings.within(every, Duration::from_secs(length), later);
            assert_eq!(young.map(Packed::all).sum::<u64>() % 3, 2, "what was recorded last is there");
        }
        for second in 1..=3_700 {
            rings.turn(&mut sum, &mut room, later + Duration::from_secs(second));
        }
        assert_eq!(heap(&rings), 0, "an hour without a record leaves nothing");
    }
}
