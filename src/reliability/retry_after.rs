//! `Retry-After`: when the peer wants to be asked again.

use std::time::Duration;

/// Longest `Retry-After` of an upstream that is believed (Envoy's and linkerd's cap as well).
pub const RETRY_AFTER_CAP: Duration = Duration::from_secs(300);

/// Reads `Retry-After`: seconds, also with a fraction, as some servers write them, or an HTTP date in any of its three forms
/// (RFC 9110 sections 10.2.3 and 5.6.7), against the wall clock in Unix seconds. A date that has passed is zero; what is longer
/// than `cap` is `cap`.
pub fn parse_retry_after(text: &str, wall: u64, cap: Duration) -> Option<Duration> {
    let text = text.trim();
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let wait = match text.split_once('.') {
        // More than a number holds is still a wish to wait long.
        None if digits(text) => Duration::from_secs(text.parse().unwrap_or(u64::MAX)),
        Some((whole, part)) if digits(whole) && digits(part) => {
            let thousandths = format!("{part:0<3}").get(..3)?.parse().ok()?;
            Duration::from_secs(whole.parse().unwrap_or(u64::MAX))
                .saturating_add(Duration::from_millis(thousandths))
        }
        None | Some(_) => {
            let at = date(text, wall)?;
            Duration::from_secs(at.saturating_sub(wall))
        }
    };
    Some(wait.min(cap))
}

/// An HTTP date in any of its three forms (RFC 9110 section 5.6.7) in Unix seconds, as is `wall`; `None`: it is none.
pub fn date(text: &str, wall: u64) -> Option<u64> {
    let text = text.trim();
    http_date(text).or_else(|| http_date(&in_today_s_form(text, wall)?))
}

/// `Sunday, 06-Nov-94 08:49:37 GMT` and `Sun Nov  6 08:49:37 1994` as `Sun, 06 Nov 1994 08:49:37 GMT`. Two digits are the
/// year of that ending which is no more than 50 years ahead.
fn in_today_s_form(text: &str, wall: u64) -> Option<String> {
    const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    if let Some((day_name, date)) = text.split_once(", ") {
        let name = DAYS.iter().find(|name| **name == day_name)?.get(..3)?;
        let (date, time) = date.split_once(' ')?;
        let mut parts = date.split('-');
        let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
        let two = year.len() == 2 && year.bytes().all(|b| b.is_ascii_digit()) && parts.next().is_none();
        let year: u64 = year.parse().ok().filter(|_| two)?;
        // A mean year of the calendar has so many seconds.
        let last = 1970 + wall / 31_556_952 + 50;
        let year = last - (last + 100 - year) % 100;
        return Some(format!("{name}, {day} {month} {year} {time}"));
    }
    let name = text.get(..3).filter(|_| text.len() == 24 && text.is_ascii())?;
    let (month, day, time, year) = (text.get(3..8)?, text.get(8..10)?, text.get(10..20)?, text.get(20..)?);
    let month = month.strip_prefix(' ')?.strip_suffix(' ')?;
    Some(format!("{name}, {} {month} {year}{}GMT", day.replace(' ', "0"), time))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` as Unix seconds; a day that no calendar has is not read.
fn http_date(text: &str) -> Option<u64> {
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (day_name, date) = text.split_once(", ")?;
    let number = |from: usize, len: usize| {
        let digits = date.get(from..from + len).filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
        digits.and_then(|digits| digits.parse::<i64>().ok())
    };
    let stands = |at: usize, wanted: &str| date.get(at..at + wanted.len()) == Some(wanted);
    let between = [(2, " "), (6, " "), (11, " "), (14, ":"), (17, ":"), (20, " GMT")];
    if date.len() != 24 || !DAYS.contains(&day_name) || !between.iter().all(|(at, text)| stands(*at, text)) {
        return None;
    }
    let month = MONTHS.iter().position(|month| stands(3, month))? as i64 + 1;
    let (day, year) = (number(0, 2)?, number(7, 4)?);
    let (hour, minute, second) = (number(12, 2)?, number(15, 2)?, number(18, 2)?);
    // A leap second is written 60 (RFC 9110 section 5.6.7).
    let fits = year >= 1970 && (1..=days_of(month, year)).contains(&day);
    if !fits || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    u64::try_from(days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second).ok()
}

fn days_of(month: i64, year: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// By Howard Hinnant's days_from_civil.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted / 400;
    let of_era = shifted - era * 400;
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_retry_after_are_read() {
        let wall = 784_111_777; // Sun, 06 Nov 1994 08:49:37 GMT
        assert_eq!(parse_retry_after("120", wall, RETRY_AFTER_CAP), Some(Duration::from_secs(120)));
        assert_eq!(
            parse_retry_after("Sun, 06 Nov 1994 08:50:07 GMT", wall, RETRY_AFTER_CAP),
            Some(Duration::from_secs(30))
        );
        assert_eq!(
            parse_retry_after("Sun, 06 Nov 1994 08:00:00 GMT", wall, RETRY_AFTER_CAP),
            Some(Duration::ZERO)
        );
        assert_eq!(parse_retry_after("soon", wall, RETRY_AFTER_CAP), None);
    }

    #[test]
    fn each_asker_believes_as_long_as_it_says() {
        let hour = Duration::from_secs(3_600);
        for text in ["99999999999", "Sun, 06 Nov 2044 08:50:07 GMT"] {
            assert_eq!(parse_retry_after(text, 784_111_777, hour), Some(hour), "{text}");
        }
        assert_eq!(parse_retry_after("1800", 784_111_777, hour), Some(Duration::from_secs(1_800)));
    }

    #[test]
    fn the_obsolete_forms_of_a_date_and_fractions_of_a_second_are_read() {
        let wall = 784_111_777; // Sun, 06 Nov 1994 08:49:37 GMT
        let read = |text: &str| parse_retry_after(text, wall, RETRY_AFTER_CAP).map(|wait| wait.as_millis());
        assert_eq!(read("Sunday, 06-Nov-94 08:50:07 GMT"), Some(30_000));
        assert_eq!(read("Sun Nov  6 08:50:07 1994"), Some(30_000));
        assert_eq!(read("Sunday, 06-Nov-70 08:50:07 GMT"), Some(0), "1970, for 2070 is too far ahead");
        assert_eq!(read("Sunday, 06-Nov-30 08:50:07 GMT"), Some(300_000), "2030");
        assert_eq!((read("1.5"), read("0.25"), read("2.0009")), (Some(1_500), Some(250), Some(2_000)));
        for bad in [
            "1.",
            ".5",
            "1.5.2",
            "-1.5",
            "Sun, 06-Nov-94 08:50:07 GMT",
            "Sunday, 06-Nov-1994 08:50:07 GMT",
            "Sun Nov 6 08:50:07 1994",
            "Sun Nov 31 08:50:07 1994",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_retry_after_beyond_measure_is_capped_and_a_day_that_is_none_is_not_read() {
        let read = |text| parse_retry_after(text, 784_111_777, RETRY_AFTER_CAP);
        assert_eq!(read("99999999999999999999"), Some(RETRY_AFTER_CAP));
        assert_eq!(read("Thu, 29 Feb 2024 23:59:60 GMT"), Some(RETRY_AFTER_CAP));
        for wrong in [
            "+120",
            "",
            "Sun, 06 Nov 1994 9223372036854775807:00:00 GMT",
            "Sun, 06 Nov 1994 -1:00:00 GMT",
            "Sun, 06 Nov 2994 24:00:00 GMT",
            "Sun, 31 Feb 2994 00:00:00 GMT",
            "Sun, 29 Feb 2100 00:00:00 GMT",
            "Sun, 6 Nov 2994 08:49:37 GMT",
            "Any, 06 Nov 2994 08:49:37 GMT",
            "Sun, 06 Nov 2994 08:49:37 GMT and more",
        ] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }
}
