//! Minutes of the ledger, summed by subject and day as they come.
//!
//! Takes the minutes of all members in the order of time; copies of one minute follow each other and are merged as
//! [`Minute::merge`] says before they count. What no minute tells of is unknown. Requests belong to the day
//! in which their minute begins.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::reliability::counts::Counts;
use crate::reliability::ledger::{Minute, Report, Slice};
use crate::units::At;

/// The sums of one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectSums {
    /// By day, in order.
    pub days: Vec<Report>,
    /// Within the service hours; nothing without such.
    pub open: Report,
}

/// The sums so far.
#[derive(Clone, Debug)]
pub struct MonthTally {
    days: Vec<Range<At>>,
    open: Vec<Range<At>>,
    until: At,
    /// The minute that may still get copies, by subject.
    waiting: BTreeMap<Arc<str>, Minute>,
    sums: BTreeMap<Arc<str>, SubjectSums>,
}

impl MonthTally {
    /// Sums of `days` (in order, touching) and of the service hours `open` (in order, apart), each only as far as `until`.
    pub fn new(days: Vec<Range<At>>, open: Vec<Range<At>>, until: At) -> Self {
        Self { days, open, until, waiting: BTreeMap::new(), sums: BTreeMap::new() }
    }

    /// Takes in a minute, or another copy of it. The minutes of a subject come in order.
    pub fn add(&mut self, minute: Minute) {
        match self.waiting.get_mut(&minute.subject) {
            Some(held) if held.minute == minute.minute => held.merge(&minute),
            Some(held) => {
                let whole = std::mem::replace(held, minute);
                self.count(&whole);
            }
            None => {
                self.waiting.insert(Arc::clone(&minute.subject), minute);
            }
        }
    }

    /// All that was taken in, by subject.
    pub fn finish(mut self) -> BTreeMap<Arc<str>, SubjectSums> {
        for minute in std::mem::take(&mut self.waiting).values() {
            self.count(minute);
        }
        self.sums
    }

    /// What a subject without a minute is.
    pub fn unseen(&self) -> SubjectSums {
        let unseen = |span: &Range<At>| {
            let end = span.end.min(self.until).second();
            Report { unknown: u64::try_from(end - span.start.second()).unwrap_or(0), ..Report::default() }
        };
        let open = self.open.iter().map(unseen).fold(Report::default(), Report::plus);
        SubjectSums { days: self.days.iter().map(unseen).collect(), open }
    }

    fn count(&mut self, minute: &Minute) {
        if !self.sums.contains_key(&minute.subject) {
            let unseen = self.unseen();
            self.sums.insert(Arc::clone(&minute.subject), unseen);
        }
        let Some(sums) = self.sums.get_mut(&minute.subject) else { return };
        let slices = whole(minute);
        let counts = minute.counts();
        let first = self.days.partition_point(|day| day.end.second() <= minute.minute * 60);
        for (day, sum) in self.days.iter().zip(&mut sums.days).skip(first).take(2) {
            add(sum, minute.minute * 60, &slices, counts, day.start..day.end.min(self.until));
        }
        let first = self.open.partition_point(|open| open.end.second() <= minute.minute * 60);
        for open in self.open.iter().skip(first).take(2) {
            add(&mut sums.open, minute.minute * 60, &slices, counts, open.start..open.end.min(self.until));
        }
    }
}

/// What each second of a minute was for all who saw it.
fn whole(minute: &Minute) -> [Slice; 60] {
    // Who looked alone is right; and that is most minutes.
    match minute.by.values().next() {
        Some(share) if minute.by.len() == 1 => share.slices.0,
        Some(_) | None => std::array::from_fn(|second| minute.slice(second)),
    }
}

fn add(sum: &mut Report, start: i64, slices: &[Slice; 60], counts: Counts, span: Range<At>) {
    let (from, to) = (span.start.second().max(start), span.end.second().min(start + 60));
    if (span.start.second()..span.end.second()).contains(&start) {
        sum.counts = sum.counts.plus(counts);
    }
    for second in from..to {
        sum.add(slices.get((second - start) as usize).copied().unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::reliability::ledger::{MinuteShare, Slices};

    fn minute(number: i64, source: &str, letters: &str, good: u64, bad: u64) -> Minute {
        let slices: Slices = serde_json::from_value(letters.into()).expect("sixty letters");
        let share = MinuteShare { slices, counts: Counts { good, bad } };
        Minute { subject: Arc::from("api"), minute: number, by: [(Arc::from(source), share)].into() }
    }

    fn at(second: i64) -> At {
        At(second * 1_000)
    }

    fn sums(tally: MonthTally) -> SubjectSums {
        tally.finish().remove("api").expect("counted")
    }

    /// By hand: minute 0 is 30 s up, 20 s degraded, 10 s down; minute 1 has nothing; minute 2 is maintenance.
    #[test]
    fn seconds_and_requests_go_to_their_day_and_the_rest_is_unknown() {
        let days = vec![at(0)..at(90), at(90)..at(240)];
        let mut tally = MonthTally::new(days, vec![at(40)..at(130)], at(240));
        tally.add(minute(0, "a", &("u".repeat(30) + &"g".repeat(20) + &"d".repeat(10)), 9, 1));
        tally.add(minute(2, "a", &"m".repeat(60), 5, 0));
        let sums = sums(tally);
        let [one, two] = &sums.days[..] else { panic!("two days") };
        assert_eq!((one.up, one.degraded, one.down, one.maintenance, one.unknown), (30, 20, 10, 0, 30));
        assert_eq!((two.up, two.down, two.maintenance, two.unknown), (0, 0, 60, 90));
        assert_eq!((one.counts.good, one.counts.bad, two.counts.good), (9, 1, 5));
        // Of the service hours 40..130: 10 s degraded, 10 s down, 10 s maintenance, 60 s unknown.
        let open = sums.open;
        assert_eq!((open.up, open.degraded, open.down, open.maintenance, open.unknown), (0, 10, 10, 10, 60));
        assert_eq!(open.counts.good, 5, "of the minute that begins in them");
    }

    #[test]
    fn of_a_month_that_is_not_over_only_the_past_counts() {
        let mut tally = MonthTally::new(vec![at(0)..at(86_400)], Vec::new(), at(120));
        tally.add(minute(0, "a", &"u".repeat(60), 1, 0));
        tally.add(minute(2, "a", &"u".repeat(60), 1, 0));
        let sums = sums(tally);
        assert_eq!((sums.days[0].up, sums.days[0].unknown, sums.days[0].counts.good), (60, 60, 1));
    }

    /// By hand: of three members two served, so it was up; of two one served, so it was degraded; requests add up, and a
    /// checkpoint that is there twice adds nothing.
    #[test]
    fn members_are_merged_as_the_ledger_says() {
        let mut tally = MonthTally::new(vec![at(0)..at(120)], Vec::new(), at(120));
        for (number, source, letter) in [
            (0, "a", "u"),
            (0, "b", "u"),
            (0, "c", "d"),
            (0, "c", "d"),
            (1, "a", "u"),
            (1, "b", "d"),
            (1, "c", "."),
        ] {
            tally.add(minute(number, source, &letter.repeat(60), 10, 1));
        }
        let day = sums(tally).days[0];
        assert_eq!((day.up, day.degraded, day.down, day.unknown), (60, 60, 0, 0));
        assert_eq!((day.counts.good, day.counts.bad), (60, 6));
    }

    fn letters() -> impl Strategy<Value = String> {
        proptest::collection::vec(prop_oneof![Just('u'), Just('g'), Just('d'), Just('m'), Just('.')], 60)
            .prop_map(|letters| letters.into_iter().collect())
    }

    proptest! {
        /// Days of any length, members in any number, copies twice: the same as the ledger's own report of the whole range,
        /// every second is in exactly one place, and min ≤ uptime ≤ max.
        #[test]
        fn the_days_add_up_to_the_ledgers_own_report(
            minutes in proptest::collection::vec((0_i64..6, 0_usize..3, letters(), 0_u64..50, 0_u64..5), 0..14),
            cut in 1_i64..359,
            until in 0_i64..420,
        ) {
            let mut records: Vec<_> = minutes
                .iter()
                .map(|(number, source, letters, good, bad)| minute(*number, ["a", "b", "c"][*source], letters, *good, *bad))
                .collect();
            records.sort_by_key(|record| record.minute);
            let until = at(until);
            let mut tally = MonthTally::new(vec![at(0)..at(cut), at(cut)..at(360)], Vec::new(), until);
            let empty = tally.unseen();
            for record in records.iter().flat_map(|record| [record, record]) {
                tally.add(record.clone());
            }
            let sums = tally.finish().remove("api").unwrap_or(empty);
            let whole = sums.days.iter().copied().fold(Report::default(), Report::plus);
            prop_assert_eq!(whole, Report::of(&records, at(0), until.min(at(360))));
            let seconds = whole.up + whole.degraded + whole.down + whole.maintenance + whole.unknown;
            prop_assert_eq!(seconds as i64, until.second().min(360));
            if let (Some(uptime), Some((low, high))) = (whole.uptime(), whole.bounds()) {
                prop_assert!(low <= uptime && uptime <= high);
            }
            prop_assert!((0.0..=1.0).contains(&whole.coverage()));
        }
    }
}
