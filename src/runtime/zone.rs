//! What clock and calendar on the wall say in a time zone. The zones are the binary's own copy of the IANA database, never the
//! machine's: an image without them has them too, and a report of a month is the same wherever it is made.

use std::time::SystemTime;

use jiff::tz::{TimeZone, TimeZoneDatabase};

/// A time zone of the IANA database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    zone: TimeZone,
    name: String,
}

impl Zone {
    /// By its name, such as `Europe/Berlin`, in any case of letters; `None`: there is none of that name.
    pub fn named(name: &str) -> Option<Self> {
        let zone = TimeZoneDatabase::bundled().get(name).ok()?;
        let name = zone.iana_name().unwrap_or(name).to_owned();
        Some(Self { zone, name })
    }

    /// The same; `Err` says what to write.
    pub fn read(name: &str) -> Result<Self, String> {
        let unknown =
            || format!("no time zone is named {name:?}; write an IANA name such as \"Europe/Berlin\"");
        Self::named(name).ok_or_else(unknown)
    }

    /// IANA names of all time zones.
    pub fn names() -> Vec<String> {
        TimeZoneDatabase::bundled().available().map(|name| name.as_str().to_owned()).collect()
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its rules, for what reckons with days.
    pub fn time_zone(&self) -> &TimeZone {
        &self.zone
    }

    fn local(&self, wall: SystemTime) -> jiff::civil::DateTime {
        self.zone.to_datetime(jiff::Timestamp::try_from(wall).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
    }

    /// The year and the month (1 to 12) there.
    pub fn month(&self, wall: SystemTime) -> (u16, u8) {
        let local = self.local(wall).date();
        (local.year().unsigned_abs(), local.month().unsigned_abs())
    }

    /// When the clock there shows that minute of a day (0 to 1439) of a month (1 to 12) of a year. A time that the clocks skip
    /// is as much later as they skip; of one that they repeat it is the first. `None`: there is no such day.
    pub fn moment_of(&self, (year, month): (u16, u8), day: u8, minute: u16) -> Option<SystemTime> {
        let small = |number: u8| i8::try_from(number).ok();
        let date = jiff::civil::Date::new(i16::try_from(year).ok()?, small(month)?, small(day)?).ok()?;
        let (hour, minute) = (i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?);
        let time = jiff::civil::Time::new(hour, minute, 0, 0).ok()?;
        let zoned = date.to_datetime(time).to_zoned_datetime(self.zone.clone()).ok()?;
        SystemTime::try_from(zoned.timestamp()).ok()
    }

    /// Is it that day there?
    pub fn is_on(&self, wall: SystemTime, day: Holiday) -> bool {
        let local = self.local(wall).date();
        let same = |day: jiff::civil::Date| (day.month(), day.day()) == (local.month(), local.day());
        match day {
            Holiday::Once(day) => day == local,
            Holiday::EachYear(day) => same(day),
        }
    }

    /// The minute of the week there, 0 to 10079: Monday 00:00 is 0.
    pub fn minute_of_week(&self, wall: SystemTime) -> u16 {
        let local = self.local(wall);
        // Days 0 to 6, hours 0 to 23, minutes 0 to 59: none is negative.
        let part = |number: i8| u16::from(number.unsigned_abs());
        part(local.weekday().to_monday_zero_offset()) * 1_440 + part(local.hour()) * 60 + part(local.minute())
    }
}

/// A day of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holiday {
    /// One day, written as `2026-12-25`.
    Once(jiff::civil::Date),
    /// `12-25`; the year says nothing.
    EachYear(jiff::civil::Date),
}

impl Holiday {
    /// Reads one; `None`: there is no such day.
    pub fn read(text: &str) -> Option<Self> {
        let digits = |places: &[usize]| {
            let parts: Vec<&str> = text.split('-').collect();
            parts.len() == places.len()
                && parts.iter().zip(places).all(|(part, places)| {
                    part.len() == *places && part.bytes().all(|letter| letter.is_ascii_digit())
                })
        };
        if digits(&[4, 2, 2]) {
            text.parse().ok().map(Self::Once)
        } else if digits(&[2, 2]) {
            // A leap year: whoever was born on 29 February has the day, if not each year.
            format!("2024-{text}").parse().ok().map(Self::EachYear)
        } else {
            None
        }
    }
}

impl std::fmt::Display for Holiday {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Once(day) => write!(f, "{day}"),
            Self::EachYear(day) => write!(f, "{:02}-{:02}", day.month(), day.day()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SystemTime {
        let stamp: jiff::Timestamp = text.parse().expect("a moment");
        SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(stamp.as_second().unsigned_abs())
    }

    #[test]
    fn summer_time_is_the_same_hour_on_the_wall() {
        let berlin = Zone::named("Europe/Berlin").expect("is known");
        let nine_on_tuesday = 1_440 + 9 * 60;
        assert_eq!(berlin.minute_of_week(at("2026-01-13T08:00:00Z")), nine_on_tuesday);
        assert_eq!(berlin.minute_of_week(at("2026-07-14T07:00:00Z")), nine_on_tuesday);
        // The last Sunday of March: the hour from two to three is left out.
        assert_eq!(berlin.minute_of_week(at("2026-03-29T00:59:59Z")), 6 * 1_440 + 119);
        assert_eq!(berlin.minute_of_week(at("2026-03-29T01:00:00Z")), 6 * 1_440 + 180);
        // The last one of October: it comes twice.
        assert_eq!(berlin.minute_of_week(at("2026-10-25T00:30:00Z")), 6 * 1_440 + 150);
        assert_eq!(berlin.minute_of_week(at("2026-10-25T01:30:00Z")), 6 * 1_440 + 150);
    }

    #[test]
    fn a_time_of_the_wall_is_found_whatever_the_clocks_do_that_day() {
        let berlin = Zone::named("Europe/Berlin").expect("is known");
        let found = |month: u8, day: u8, minute: u16| berlin.moment_of((2026, month), day, minute);
        assert_eq!(found(1, 13, 540), Some(at("2026-01-13T08:00:00Z")));
        assert_eq!(found(7, 14, 540), Some(at("2026-07-14T07:00:00Z")));
        // Half past two is left out on 29 March and comes twice on 25 October.
        assert_eq!(found(3, 29, 150), Some(at("2026-03-29T01:30:00Z")));
        assert_eq!(found(10, 25, 150), Some(at("2026-10-25T00:30:00Z")));
        assert_eq!((found(2, 29, 0), found(13, 1, 0), found(1, 1, 1_440)), (None, None, None));
        assert_eq!(berlin.month(at("2026-12-31T22:59:59Z")), (2026, 12));
        assert_eq!(berlin.month(at("2026-12-31T23:00:00Z")), (2027, 1));
    }

    #[test]
    fn a_day_is_that_day_where_the_zone_is() {
        let kiritimati = Zone::named("Pacific/Kiritimati").expect("is known");
        let day = |text: &str| Holiday::read(text).expect("a day");
        let noon = at("2026-12-24T12:00:00Z");
        assert!(kiritimati.is_on(noon, day("2026-12-25")) && kiritimati.is_on(noon, day("12-25")));
        assert!(!kiritimati.is_on(noon, day("2027-12-25")) && !kiritimati.is_on(noon, day("12-24")));
        for text in ["2026-12-25", "12-25", "02-29"] {
            assert_eq!(day(text).to_string(), text);
        }
        for bad in ["", "2026-02-29", "13-01", "00-10", "1-1", "2026-1-1", "25.12.", "+202-01-01", "02-30"] {
            assert_eq!(Holiday::read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_week_ends_where_the_zone_is() {
        let utc = Zone::named("UTC").expect("is known");
        let kiritimati = Zone::named("Pacific/Kiritimati").expect("is known");
        let sunday_noon = at("2026-11-22T12:00:00Z");
        assert_eq!(utc.minute_of_week(sunday_noon), 6 * 1_440 + 720);
        assert_eq!(kiritimati.minute_of_week(sunday_noon), 120);
        assert_eq!(Zone::named("Europe/Atlantis"), None);
        assert!(Zone::names().iter().any(|name| name == "America/New_York"));
    }
}
