//! How one answer counts.
//!
//! Decides between good, slow, bad, rate-limited and abandoned. Refuses to know what carried the answer.

use std::time::Duration;

/// How one attempt counts for its upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Answered, in time.
    Good,
    /// Answered, but slower than the slow-call limit. Good for everything but the slow-call rate.
    Slow,
    /// Did not answer, or answered badly.
    Bad(Why),
    /// 429, or 503 with `Retry-After`: counts in the rate, never as a consecutive failure; fails a probe.
    RateLimited {
        /// The upstream's own wish, capped at 300 s.
        retry_after: Option<Duration>,
    },
    /// The client left, or our own rejection: counts nowhere and gives a probe's slot back.
    Abandoned,
}

/// Why an attempt was bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// No connection.
    Connect,
    /// No TLS session.
    Tls,
    /// Nothing came in time.
    Timeout,
    /// The connection ended before the head of the answer.
    Reset,
    /// A status that the policy calls bad.
    Status,
    /// Not HTTP, or not what was asked.
    Protocol,
}

impl Why {
    /// All of them, for metrics.
    pub const ALL: [Self; 6] =
        [Self::Connect, Self::Tls, Self::Timeout, Self::Reset, Self::Status, Self::Protocol];

    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Status => "status",
            Self::Protocol => "protocol",
        }
    }
}

/// Longest `Retry-After` that is believed (Envoy's and linkerd's cap as well).
pub const RETRY_AFTER_CAP: Duration = Duration::from_secs(300);

/// What came of an attempt, as far as judging needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A final response head.
    Answered {
        /// 200–999.
        status: u16,
        /// `Retry-After`, when there was one.
        retry_after: Option<Duration>,
        /// `grpc-status`, where the head told it (a "trailers-only" answer).
        grpc: Option<u16>,
        /// From the admission to the head.
        took: Duration,
    },
    /// No head.
    Failed(Why),
    /// The client left first.
    ClientGone,
}

/// Which answers are bad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgePolicy {
    /// Inclusive ranges of bad statuses. Default 500–599 without 501 and 505, which say that the request was
    /// wrong, not that the server is ill (HAProxy's reading as well).
    pub bad_statuses: Vec<(u16, u16)>,
    /// Answers slower than this are [`Verdict::Slow`]; `None`: never.
    pub slow_after: Option<Duration>,
}

impl Default for JudgePolicy {
    fn default() -> Self {
        Self { bad_statuses: vec![(500, 500), (502, 504), (506, 599)], slow_after: None }
    }
}

impl JudgePolicy {
    /// The verdict on one outcome.
    pub fn judge(&self, outcome: Outcome) -> Verdict {
        match outcome {
            Outcome::Failed(why) => Verdict::Bad(why),
            Outcome::ClientGone => Verdict::Abandoned,
            Outcome::Answered { status, retry_after, grpc, took } => {
                let status = grpc.map_or(status, grpc_as_status);
                let limited = status == 429 || (status == 503 && retry_after.is_some());
                let bad = self.bad_statuses.iter().any(|&(low, high)| (low..=high).contains(&status));
                if limited {
                    Verdict::RateLimited { retry_after: retry_after.map(|wish| wish.min(RETRY_AFTER_CAP)) }
                } else if bad {
                    Verdict::Bad(Why::Status)
                } else if self.slow_after.is_some_and(|limit| took > limit) {
                    Verdict::Slow
                } else {
                    Verdict::Good
                }
            }
        }
    }
}

/// A gRPC status as the HTTP status that means the same to a breaker. What says that the call was wrong, and not that
/// the server is ill, is no failure (<https://grpc.github.io/grpc/core/md_doc_statuscodes.html>).
fn grpc_as_status(code: u16) -> u16 {
    match code {
        2 | 13 | 15 => 500, // UNKNOWN, INTERNAL, DATA_LOSS
        4 => 504,           // DEADLINE_EXCEEDED
        8 => 429,           // RESOURCE_EXHAUSTED
        14 => 503,          // UNAVAILABLE
        _ => 200,
    }
}

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

    fn answered(status: u16, retry_after: Option<u64>) -> Verdict {
        let retry_after = retry_after.map(Duration::from_secs);
        let took = Duration::ZERO;
        JudgePolicy::default().judge(Outcome::Answered { status, retry_after, grpc: None, took })
    }

    #[test]
    fn a_grpc_status_rules_over_its_200() {
        let told = |code| {
            let (retry_after, took) = (None, Duration::ZERO);
            JudgePolicy::default().judge(Outcome::Answered {
                status: 200,
                retry_after,
                grpc: Some(code),
                took,
            })
        };
        for code in [0, 3, 5, 7, 16] {
            assert_eq!(told(code), Verdict::Good, "{code}");
        }
        for code in [2, 4, 13, 14, 15] {
            assert_eq!(told(code), Verdict::Bad(Why::Status), "{code}");
        }
        assert_eq!(told(8), Verdict::RateLimited { retry_after: None });
    }

    #[test]
    fn a_declined_card_is_no_outage() {
        for status in [200, 302, 400, 401, 402, 404, 409, 501, 505] {
            assert_eq!(answered(status, None), Verdict::Good, "{status}");
        }
        for status in [500, 502, 503, 504, 599] {
            assert_eq!(answered(status, None), Verdict::Bad(Why::Status), "{status}");
        }
    }

    #[test]
    fn a_rate_limit_is_its_own_verdict_and_its_wish_is_capped() {
        assert_eq!(answered(429, None), Verdict::RateLimited { retry_after: None });
        let capped = Verdict::RateLimited { retry_after: Some(RETRY_AFTER_CAP) };
        assert_eq!(answered(503, Some(9_999)), capped);
    }

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
