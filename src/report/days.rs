//! The days of the last months of one subject, for a calendar. What no minute of the ledger tells of is unknown.

use super::calendar::CalendarDay;
use super::sla::MonthTally;
use crate::reliability::ledger::{Minute, Report};
use crate::runtime::zone::Zone;
use crate::units::At;

/// Which days are asked for.
#[derive(Clone, Debug)]
pub struct DaysRequest {
    /// The service as a whole, or an upstream.
    pub subject: String,
    /// Calendar months, the running one included.
    pub months: u8,
    /// In whose calendar.
    pub zone: Zone,
    /// What is not before this moment is not told of.
    pub until: At,
}

/// Days, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Days {
    pub days: Vec<(CalendarDay, Report)>,
    /// Did any minute tell of the subject?
    pub seen: bool,
    /// Rows of the store that could not be read: their time is unknown.
    pub unreadable_rows: usize,
}

/// Days that are being summed up.
pub(super) struct DayTally {
    days: Vec<CalendarDay>,
    tally: MonthTally,
}

impl DaysRequest {
    pub(super) fn tally(&self) -> DayTally {
        let days = self.zone.days_until(self.until, self.months);
        let spans = days.iter().map(|day| day.span.clone()).collect();
        DayTally { days, tally: MonthTally::new(spans, Vec::new(), self.until) }
    }
}

impl DayTally {
    /// Takes in a minute; they come in order.
    pub(super) fn add(&mut self, minute: Minute) {
        self.tally.add(minute);
    }

    /// From the first day's first second to the last one's end.
    pub(super) fn span(&self) -> std::ops::Range<At> {
        let ends = self.days.first().zip(self.days.last());
        ends.map_or(At(0)..At(0), |(first, last)| first.span.start..last.span.end)
    }

    pub(super) fn finish(self, subject: &str, unreadable_rows: usize) -> Days {
        let unseen = self.tally.unseen();
        let found = self.tally.finish().remove(subject);
        let seen = found.is_some();
        let days = self.days.into_iter().zip(found.unwrap_or(unseen).days).collect();
        Days { days, seen, unreadable_rows }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::reliability::counts::Counts;
    use crate::reliability::ledger::{MinuteShare, SERVICE, Slice, Slices};

    const MINUTE: i64 = 60_000;

    fn minute(at: At, slice: Slice) -> Minute {
        let share = MinuteShare { slices: Slices([slice; 60]), counts: Counts { good: 2, bad: 1 } };
        Minute { subject: Arc::from(SERVICE), minute: at.minute(), by: [(Arc::from("boot"), share)].into() }
    }

    #[test]
    fn a_year_has_the_days_that_have_begun_and_each_second_of_them_once() {
        // 2028-02-29T12:00:00Z.
        let until = At(1_835_438_400_000);
        let zone = Zone::read("UTC").expect("a zone");
        let asked = DaysRequest { subject: SERVICE.to_owned(), months: 12, zone, until };
        let mut tally = asked.tally();
        tally.add(minute(At(until.0 - 25 * 60 * MINUTE), Slice::Down));
        tally.add(minute(At(until.0 - MINUTE), Slice::Up));
        let days = tally.finish(SERVICE, 0);
        assert_eq!((days.days.len(), days.seen), (366, true), "a leap year, from 1 March 2027 on");
        assert_eq!(days.days[0].0.date, "2027-03-01");
        let [.., (_, before), (last, today)] = &days.days[..] else { panic!("two days") };
        assert_eq!((&*last.date, today.up, today.unknown), ("2028-02-29", 60, 12 * 3_600 - 60));
        assert_eq!((before.down, before.unknown, before.counts), (60, 86_340, Counts { good: 2, bad: 1 }));
        let unseen = asked.tally().finish("stripe", 0);
        assert!(!unseen.seen && unseen.days.iter().all(|(_, day)| day.unknown > 0 && day.measured() == 0));
    }
}
