//! Calendar months, days and service hours in a named time zone.
//!
//! What a report asks of a [`Zone`]. A day is from midnight to midnight of the zone: 23, 24 or 25 hours.

use std::ops::Range;

use jiff::civil::{self, Weekday};
use jiff::{Timestamp, ToSpan as _};

use super::hours::{DAY_MINUTES, ServiceHours};
use crate::runtime::zone::Zone;
use crate::units::At;

/// A calendar month, of the years 1970 to 9998.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Month {
    first: civil::Date,
}

/// A calendar day of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalendarDay {
    /// Written as `2026-10-25`.
    pub date: String,
    /// The day of the month, from 1.
    pub number: i8,
    /// From its first second to before the next day's.
    pub span: Range<At>,
}

impl Month {
    /// Reads a month that is written as `2026-10`; `Err` says what to write.
    pub fn read(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no month; write it as \"2026-10\"");
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let (year, month) = text.split_once('-').ok_or_else(wrong)?;
        if year.len() != 4 || month.len() != 2 || !digits(year) || !digits(month) {
            return Err(wrong());
        }
        let (year, month) = (year.parse().map_err(|_| wrong())?, month.parse().map_err(|_| wrong())?);
        let first = civil::Date::new(year, month, 1).map_err(|_| wrong())?;
        if (1970..9_999).contains(&year) { Ok(Self { first }) } else { Err(wrong()) }
    }

    /// Written as `2026-10`.
    pub fn code(self) -> String {
        format!("{:04}-{:02}", self.first.year(), self.first.month())
    }

    /// The month before it; of the first month there is, itself.
    fn before(self) -> Self {
        Self { first: self.first.checked_sub(1.month()).unwrap_or(self.first) }
    }

    /// Written as `October 2026`.
    pub fn title(self) -> String {
        self.first.strftime("%B %Y").to_string()
    }

    fn dates(self) -> impl Iterator<Item = civil::Date> {
        self.first.series(1.day()).take(usize::try_from(self.first.days_in_month()).unwrap_or(0))
    }
}

impl Zone {
    fn midnight(&self, date: civil::Date) -> At {
        // Only a date beyond the year 9999 has no midnight, and no month ends there.
        date.to_zoned_datetime(self.time_zone().clone())
            .map_or(At(0), |midnight| At(midnight.timestamp().as_millisecond()))
    }

    /// The days of a month, in order.
    pub fn days(&self, month: Month) -> Vec<CalendarDay> {
        let day = |date: civil::Date| CalendarDay {
            date: date.to_string(),
            number: date.day(),
            span: self.midnight(date)..self.midnight(date.tomorrow().unwrap_or(date)),
        };
        month.dates().map(day).collect()
    }

    /// The days of so many months, of which the last one is that of `until`; those that have begun, in order.
    pub fn days_until(&self, until: At, months: u8) -> Vec<CalendarDay> {
        let last = Month { first: self.moment(until).date().first_of_month() };
        let all = std::iter::successors(Some(last), |month| Some(month.before()));
        let mut all: Vec<Month> = all.take(usize::from(months)).collect();
        all.reverse();
        let days = all.into_iter().flat_map(|month| self.days(month));
        days.filter(|day| day.span.start < until).collect()
    }

    /// From the month's first second to before the next month's.
    pub fn span(&self, month: Month) -> Range<At> {
        let days = self.days(month);
        let ends = days.first().zip(days.last());
        ends.map_or(At(0)..At(0), |(first, last)| first.span.start..last.span.end)
    }

    /// The service hours of a month: in order, none empty, none touching the next.
    pub fn open(&self, hours: &ServiceHours, month: Month) -> Vec<Range<At>> {
        let mut spans: Vec<Range<At>> = Vec::new();
        for date in month.dates() {
            let mut opened: Vec<_> = hours.of(day_of_week(date.weekday())).collect();
            opened.sort_by_key(|minutes| minutes.start);
            for minutes in opened {
                let span = self.minute_of(date, minutes.start)..self.minute_of(date, minutes.end);
                match spans.last_mut() {
                    Some(last) if last.end >= span.start => last.end = last.end.max(span.end),
                    Some(_) | None if span.start < span.end => spans.push(span),
                    Some(_) | None => {}
                }
            }
        }
        spans
    }

    /// A wall clock time of a day. One that the clocks skip is as much later as they skip; one that they repeat is the first.
    fn minute_of(&self, date: civil::Date, minute: u16) -> At {
        if minute >= DAY_MINUTES {
            return self.midnight(date.tomorrow().unwrap_or(date));
        }
        let (hour, minute) = (i8::try_from(minute / 60).unwrap_or(0), i8::try_from(minute % 60).unwrap_or(0));
        let read = date.at(hour, minute, 0, 0).to_zoned_datetime(self.time_zone().clone());
        read.map_or_else(|_| self.midnight(date), |at| At(at.timestamp().as_millisecond()))
    }

    fn moment(&self, at: At) -> jiff::ZonedDateTime {
        Timestamp::from_millisecond(at.0)
            .unwrap_or(Timestamp::UNIX_EPOCH)
            .to_zoned_datetime(self.time_zone().clone())
    }

    /// Written as `2026-10-25T02:30:00+02:00`.
    pub fn rfc3339(&self, at: At) -> String {
        self.moment(at).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }

    /// The date, written as `2026-10-25`.
    pub fn date(&self, at: At) -> String {
        self.moment(at).date().to_string()
    }

    /// The hour of the day, 0 to 23.
    pub fn hour(&self, at: At) -> usize {
        usize::try_from(self.moment(at).hour()).unwrap_or(0)
    }
}

fn day_of_week(day: Weekday) -> u16 {
    u16::try_from(day.to_monday_zero_offset()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> Zone {
        Zone::read(name).expect("a zone")
    }

    fn month(text: &str) -> Month {
        Month::read(text).expect("a month")
    }

    fn hours(span: &Range<At>) -> i64 {
        (span.end.0 - span.start.0) / 3_600_000
    }

    /// By hand: 31 days of 24 h are 744 h; on 2026-03-29 Berlin loses an hour, on 2026-10-25 it gains one.
    #[test]
    fn a_month_in_which_the_clocks_change_is_an_hour_longer_or_shorter() {
        let berlin = zone("europe/berlin");
        assert_eq!(berlin.name(), "Europe/Berlin");
        for (name, wanted) in [("2026-03", 743), ("2026-10", 745), ("2026-12", 744), ("2026-02", 672)] {
            assert_eq!(hours(&berlin.span(month(name))), wanted, "{name}");
        }
        // 2026-09-30T22:00:00Z and 2026-10-31T23:00:00Z, by `date -u -d … +%s`.
        assert_eq!(berlin.span(month("2026-10")), At(1_790_805_600_000)..At(1_793_487_600_000));
        let days = berlin.days(month("2026-10"));
        let long: Vec<_> = days.iter().filter(|day| hours(&day.span) == 25).map(|day| &*day.date).collect();
        assert_eq!((days.len(), long), (31, vec!["2026-10-25"]));
        assert!(days.windows(2).all(|two| two[0].span.end == two[1].span.start));
        assert_eq!(hours(&zone("UTC").span(month("2026-10"))), 744);
    }

    #[test]
    fn what_is_no_month_and_no_zone_is_refused_with_how_to_write_it() {
        for bad in
            ["2026", "2026-13", "26-10", "2026-1", "2026-00", "+026-10", "9999-12", "1969-12", "2026-10-01"]
        {
            assert!(Month::read(bad).expect_err(bad).contains("2026-10"), "{bad}");
        }
        assert!(Zone::read("Mars/Olympus").expect_err("none").contains("Europe/Berlin"));
        assert_eq!(
            (month("2026-10").title(), month("2026-10").code()),
            ("October 2026".into(), "2026-10".into())
        );
    }

    /// October 2026 has 22 working days from Monday to Friday, and the clocks change on a Sunday.
    #[test]
    fn service_hours_follow_the_wall_clock() {
        let berlin = zone("Europe/Berlin");
        let office = ServiceHours::read("mon-fri 08:00-20:00").expect("hours");
        let open = berlin.open(&office, month("2026-10"));
        assert_eq!(open.iter().map(hours).sum::<i64>(), 22 * 12);
        assert_eq!(berlin.rfc3339(open[0].start), "2026-10-01T08:00:00+02:00");
        let last = open.last().expect("some");
        assert_eq!(berlin.rfc3339(last.end), "2026-10-30T20:00:00+01:00");
        let night = ServiceHours::read("sun 00:00-04:00").expect("hours");
        let open = berlin.open(&night, month("2026-10"));
        assert_eq!(
            open.iter().map(hours).collect::<Vec<_>>(),
            [4, 4, 4, 5],
            "the night of the change is longer"
        );
        let always = ServiceHours::read("daily 00:00-24:00").expect("hours");
        assert_eq!(berlin.open(&always, month("2026-10")), [berlin.span(month("2026-10"))]);
    }

    #[test]
    fn a_moment_is_told_with_its_offset() {
        let berlin = zone("Europe/Berlin");
        // The hour from 2 to 3 comes twice: 00:30Z and 01:30Z.
        let first = At(1_792_888_200_000);
        assert_eq!(berlin.rfc3339(first), "2026-10-25T02:30:00+02:00");
        assert_eq!(berlin.rfc3339(At(first.0 + 3_600_000)), "2026-10-25T02:30:00+01:00");
        assert_eq!((berlin.hour(first), berlin.date(first)), (2, "2026-10-25".to_owned()));
    }
}
