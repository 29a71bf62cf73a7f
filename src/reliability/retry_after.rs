//! `Retry-After`: when the peer wants to be asked again.

use std::time::Duration;

/// Longest `Retry-After` that is believed (Envoy's and linkerd's cap as well).
pub const RETRY_AFTER_CAP: Duration = Duration::from_secs(300);

/// Reads `Retry-After`: seconds or an HTTP date (RFC 9110 section 10.2.3), against the wall clock in Unix seconds.
/// A date that has passed is zero; everything is capped at [`RETRY_AFTER_CAP`].
pub fn parse_retry_after(text: &str, wall: u64) -> Option<Duration> {
    let text = text.trim();
    let seconds = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse().unwrap_or(u64::MAX) // more than a number holds is still a wish to wait long
    } else {
        http_date(text)?.saturating_sub(wall)
    };
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_CAP))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` as Unix seconds; the two obsolete forms are not read, nor is a day that no calendar
/// has.
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
        assert_eq!(parse_retry_after("120", wall), Some(Duration::from_secs(120)));
        assert_eq!(parse_retry_after("Sun, 06 Nov 1994 08:50:07 GMT", wall), Some(Duration::from_secs(30)));
        assert_eq!(parse_retry_after("Sun, 06 Nov 1994 08:00:00 GMT", wall), Some(Duration::ZERO));
        assert_eq!(parse_retry_after("soon", wall), None);
    }

    #[test]
    fn a_retry_after_beyond_measure_is_capped_and_a_day_that_is_none_is_not_read() {
        let read = |text| parse_retry_after(text, 784_111_777);
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
