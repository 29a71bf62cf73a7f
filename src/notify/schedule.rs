//! When does a receiver want to be asked again? Pure.

use std::time::{Duration, SystemTime};

/// The most that a receiver's `Retry-After` is believed: people wait.
const BELIEVED: Duration = Duration::from_secs(3_600);

/// A `Retry-After` field (RFC 9110 section 10.2.3): seconds, or a date.
pub(super) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let wait = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
            let now = jiff::Timestamp::try_from(now).ok()?;
            // A date that has passed says: now.
            Duration::try_from(date.duration_since(now)).unwrap_or_default()
        }
    };
    Some(wait.min(BELIEVED))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_receiver_says_when_in_seconds_or_by_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(retry_after("120", now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:50:07 GMT", now), Some(Duration::from_secs(30)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("99999999999", now), Some(BELIEVED));
        assert_eq!(retry_after("soon", now), None);
    }

    proptest! {
        #[test]
        fn no_field_breaks_the_reader(value in ".{0,40}") {
            let _ = retry_after(&value, SystemTime::UNIX_EPOCH);
        }
    }
}
