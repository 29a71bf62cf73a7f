//! Working hours: `"mon-fri 09:00-17:00"`.

use crate::reliability::escalation::Calendar;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY: u16 = 1_440;
const WEEK: u16 = 7 * DAY;

/// Days (`mon-fri`, `sat,sun`, `fri-mon`, `daily`) and hours; hours that end before they begin end on the next day.
pub(super) fn add(calendar: &mut Calendar, text: &str) -> Result<(), String> {
    let read = || {
        let (days, hours) = text.trim().split_once(' ')?;
        let (from, to) = hours.trim().split_once('-')?;
        Some((days_of(days)?, minute(from)?, minute(to)?))
    };
    let (days, from, to) = read().ok_or_else(|| {
        format!("{text:?} is no time of the week; write \"mon-fri 09:00-17:00\" or \"sat,sun 22:00-06:00\"")
    })?;
    if from == to || from == DAY {
        return Err(format!("{text:?} has no length; a whole day is \"00:00-24:00\""));
    }
    for day in days {
        let (begin, end) = (day * DAY + from, day * DAY + if to > from { to } else { to + DAY });
        calendar.windows.push((begin, end.min(WEEK)));
        if end > WEEK {
            calendar.windows.push((0, end - WEEK));
        }
    }
    Ok(())
}

/// Several, with semicolons between them, as a command line and a query take them.
pub fn week(text: &str) -> Result<Calendar, String> {
    let mut calendar = Calendar::default();
    text.split(';').try_for_each(|part| add(&mut calendar, part.trim()))?;
    Ok(calendar)
}

fn days_of(text: &str) -> Option<Vec<u16>> {
    if text == "daily" {
        return Some((0..7).collect());
    }
    let mut days = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let length = (last + 7 - first) % 7;
        days.extend((0..=length).map(|more| (first + more) % 7));
    }
    Some(days)
}

fn day(text: &str) -> Option<u16> {
    DAYS.iter().position(|day| *day == text).and_then(|at| u16::try_from(at).ok())
}

/// Minutes since midnight of `00:00` to `24:00`; `None` for anything else.
pub(in crate::config) fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    let minute = hours * 60 + minutes;
    (minutes < 60 && minute <= DAY).then_some(minute)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reliability::escalation::LocalMinute;

    fn calendar(texts: &[&str]) -> Calendar {
        let mut calendar = Calendar::default();
        texts.iter().for_each(|text| add(&mut calendar, text).expect("reads"));
        calendar
    }

    fn open(calendar: &Calendar, day: u16, hour: u16) -> bool {
        calendar.opens_in(LocalMinute(day * DAY + hour * 60)).is_some_and(|wait| wait.is_zero())
    }

    #[test]
    fn days_and_hours_are_what_they_look_like() {
        assert_eq!(calendar(&["mon-fri 09:00-17:00"]), Calendar::weekdays(9, 17));
        let all = calendar(&["daily 00:00-24:00"]);
        assert!((0..7).all(|day| open(&all, day, 0) && open(&all, day, 23)));
        let weekend = calendar(&["sat,sun 10:00-14:00"]);
        assert!(
            open(&weekend, 5, 10)
                && open(&weekend, 6, 13)
                && !open(&weekend, 6, 14)
                && !open(&weekend, 4, 10)
        );
    }

    #[test]
    fn a_night_goes_on_into_the_next_day_and_into_the_next_week() {
        let nights = calendar(&["sun 22:00-06:00"]);
        assert!(open(&nights, 6, 23) && open(&nights, 0, 5) && !open(&nights, 0, 6) && !open(&nights, 6, 21));
        let round = calendar(&["sat-mon 08:00-09:00"]);
        assert!(open(&round, 5, 8) && open(&round, 6, 8) && open(&round, 0, 8) && !open(&round, 1, 8));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for bad in [
            "",
            "mon",
            "09:00-17:00",
            "mon 9:00-17:00",
            "mon 09:00",
            "mon 09:00-25:00",
            "mon 09:60-10:00",
            "mon 24:01-25:00",
            "mon 24:00-06:00",
            "mon 09:00-09:00",
            "moon 09:00-17:00",
            "mon- 09:00-17:00",
            "Mon 09:00-17:00",
            "mon +9:00-17:00",
        ] {
            let mut calendar = Calendar::default();
            assert!(add(&mut calendar, bad).is_err(), "{bad:?}");
            assert_eq!(calendar, Calendar::default(), "{bad:?}");
        }
    }
}
