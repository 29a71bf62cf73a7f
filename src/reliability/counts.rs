//! Good and bad over several windows at once.
//!
//! Decides nothing: it is the evidence that rules read. A [`RollingCounts`] is fed once a second with what was counted since and
//! holds 1 s slices for five minutes, minutes for six hours and hours for three days. Invariant: a window's sum is the sum
//! of its slices; the long ones begin on a slice, so they may be up to one slice short.

use serde::{Deserialize, Serialize};

use crate::units::At;

/// Replies or attempts that were counted, by how they went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Those that went well.
    pub good: u64,
    /// What did not. Client cancellations and business outcomes are neither.
    pub bad: u64,
}

impl Counts {
    /// Good and bad ones together.
    pub fn total(self) -> u64 {
        self.good.saturating_add(self.bad)
    }

    /// The share of bad ones, 0 to 1; `None` of nothing.
    pub fn bad_ratio(self) -> Option<f64> {
        (self.total() > 0).then(|| self.bad as f64 / self.total() as f64)
    }

    /// The counts of both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { good: self.good.saturating_add(other.good), bad: self.bad.saturating_add(other.bad) }
    }

    /// What is left without `other`.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self { good: self.good.saturating_sub(other.good), bad: self.bad.saturating_sub(other.bad) }
    }
}

/// The same counts over the windows that the rules use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Windows {
    pub s1: Counts,
    /// The last five seconds.
    pub s5: Counts,
    /// The last ten seconds.
    pub s10: Counts,
    /// The last twenty seconds.
    pub s20: Counts,
    /// The last minute, by seconds.
    pub m1: Counts,
    /// The last five minutes, by seconds.
    pub m5: Counts,
    /// The last half hour, by minutes.
    pub m30: Counts,
    /// The last hour, by minutes.
    pub h1: Counts,
    /// The last six hours, by minutes.
    pub h6: Counts,
    /// The last three days, by hours.
    pub d3: Counts,
}

impl Windows {
    /// The same without the bad ones of `aside`.
    #[must_use]
    pub fn without(&self, aside: &Self) -> Self {
        let less = |all: Counts, aside: Counts| Counts { bad: all.bad.saturating_sub(aside.bad), ..all };
        Self {
            s1: less(self.s1, aside.s1),
            s5: less(self.s5, aside.s5),
            s10: less(self.s10, aside.s10),
            s20: less(self.s20, aside.s20),
            m1: less(self.m1, aside.m1),
            m5: less(self.m5, aside.m5),
            m30: less(self.m30, aside.m30),
            h1: less(self.h1, aside.h1),
            h6: less(self.h6, aside.h6),
            d3: less(self.d3, aside.d3),
        }
    }
}

/// A ring of slices of one length, with running sums of its newest ones.
#[derive(Clone, Debug)]
struct SliceRing<const SUMS: usize> {
    slices: Vec<Counts>,
    /// The number of the newest slice, since the epoch.
    newest: i64,
    /// For each window: its length in slices, and its sum.
    sums: [(usize, Counts); SUMS],
}

impl<const SUMS: usize> SliceRing<SUMS> {
    fn new(lengths: [usize; SUMS], at: i64) -> Self {
        let longest = lengths.iter().copied().max().unwrap_or(1);
        let sums = lengths.map(|length| (length, Counts::default()));
        Self { slices: vec![Counts::default(); longest], newest: at, sums }
    }

    fn place(&self, slice: i64) -> usize {
        slice.rem_euclid(self.slices.len() as i64) as usize
    }

    fn held(&self, slice: i64) -> Counts {
        self.slices.get(self.place(slice)).copied().unwrap_or_default()
    }

    fn turn(&mut self, slice: i64) {
        if slice - self.newest >= self.slices.len() as i64 {
            self.slices.fill(Counts::default());
            self.sums.iter_mut().for_each(|(_, sum)| *sum = Counts::default());
            self.newest = slice;
        }
        while self.newest < slice {
            self.newest += 1;
            for number in 0..SUMS {
                let length = self.sums.get(number).map_or(0, |(length, _)| *length);
                let leaving = self.held(self.newest - length as i64);
                if let Some((_, sum)) = self.sums.get_mut(number) {
                    *sum = sum.minus(leaving);
                }
            }
            let place = self.place(self.newest);
            if let Some(fresh) = self.slices.get_mut(place) {
                *fresh = Counts::default();
            }
        }
    }

    fn count(&mut self, what: Counts, slice: i64) {
        self.turn(slice);
        let place = self.place(self.newest);
        if let Some(newest) = self.slices.get_mut(place) {
            *newest = newest.plus(what);
        }
        self.sums.iter_mut().for_each(|(_, sum)| *sum = sum.plus(what));
    }
}

/// The counts of one subject, fed once a second.
#[derive(Clone, Debug)]
pub struct RollingCounts {
    seconds: SliceRing<6>,
    minutes: SliceRing<3>,
    hours: SliceRing<1>,
}

impl RollingCounts {
    /// Counts that begin at `now`.
    pub fn new(now: At) -> Self {
        Self {
            seconds: SliceRing::new([1, 5, 10, 20, 60, 300], now.second()),
            minutes: SliceRing::new([30, 60, 360], now.minute()),
            hours: SliceRing::new([72], now.minute().div_euclid(60)),
        }
    }

    /// Adds what was counted since the last call, and tells all windows.
    pub fn count(&mut self, since_last: Counts, now: At) -> Windows {
        self.seconds.count(since_last, now.second());
        self.minutes.count(since_last, now.minute());
        self.hours.count(since_last, now.minute().div_euclid(60));
        let [s1, s5, s10, s20, m1, m5] = self.seconds.sums.map(|(_, sum)| sum);
        let [m30, h1, h6] = self.minutes.sums.map(|(_, sum)| sum);
        let [d3] = self.hours.sums.map(|(_, sum)| sum);
        Windows { s1, s5, s10, s20, m1, m5, m30, h1, h6, d3 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_window_holds_what_a_list_would(gaps in prop::collection::vec((1_i64..400, 0_u64..5, 0_u64..5), 1..80)) {
            let mut counts = RollingCounts::new(At(0));
            let mut list = Vec::new();
            let mut second = 0;
            for (gap, good, bad) in gaps {
                second += gap;
                list.push((second, Counts { good, bad }));
                let told = counts.count(Counts { good, bad }, At(second * 1_000));
                let last = |from: i64, slice: i64| {
                    let first = second.div_euclid(slice) - from + 1;
                    list.iter()
                        .filter(|(at, _)| at.div_euclid(slice) >= first)
                        .fold(Counts::default(), |sum, (_, counts)| sum.plus(*counts))
                };
                prop_assert_eq!(told.s1, last(1, 1));
                prop_assert_eq!(told.s5, last(5, 1));
                prop_assert_eq!(told.s10, last(10, 1));
                prop_assert_eq!(told.s20, last(20, 1));
                prop_assert_eq!(told.m1, last(60, 1));
                prop_assert_eq!(told.m5, last(300, 1));
                prop_assert_eq!(told.m30, last(30, 60));
                prop_assert_eq!(told.h1, last(60, 60));
                prop_assert_eq!(told.h6, last(360, 60));
                prop_assert_eq!(told.d3, last(72, 3_600));
            }
        }
    }
}
