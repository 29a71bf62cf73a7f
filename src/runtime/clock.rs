//! The only reader of time.
//!
//! Asks tokio's clock and hands out std instants: the core stays free of tokio, and a paused test still rules time.

use std::cell::RefCell;
use std::time::{Instant, SystemTime};

/// One reading of both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// For arithmetic.
    pub instant: Instant,
    /// For people; may jump.
    pub wall: SystemTime,
}

/// Both clocks.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub fn now() -> Moment {
    Moment { instant: instant(), wall: SystemTime::now() }
}

/// The monotonic clock alone.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub fn instant() -> Instant {
    tokio::time::Instant::now().into_std()
}

thread_local! {
    /// The last date written on this thread, and the second it stands for.
    static DATE: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

/// Appends the current time as the `Date` of RFC 9110 section 6.6.1; made once a second and thread.
pub fn put_http_date(out: &mut Vec<u8>) {
    let wall = now().wall;
    let second = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    DATE.with_borrow_mut(|(of, text)| {
        if *of != second || text.is_empty() {
            let stamp = jiff::Timestamp::try_from(wall).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
            let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
            *text = printer.timestamp_to_rfc9110_string(&stamp).unwrap_or_default();
            *of = second;
        }
        out.extend_from_slice(text.as_bytes());
    });
}

/// A moment as RFC 3339 in UTC with milliseconds.
pub fn rfc3339(wall: SystemTime) -> String {
    let stamp = jiff::Timestamp::try_from(wall).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{stamp:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_what_http_wants() {
        let mut out = Vec::new();
        put_http_date(&mut out);
        let text = String::from_utf8(out).expect("text");
        assert_eq!(text.len(), 29, "{text}");
        assert!(text.ends_with(" GMT"), "{text}");
    }
}
