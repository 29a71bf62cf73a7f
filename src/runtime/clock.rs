//! The only reader of time.
//!
//! Asks tokio's clock and hands out std instants: the core stays free of tokio, and a paused test still rules time.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::time::{Duration, Instant, SystemTime};

/// One reading of both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// For arithmetic: it never jumps.
    pub instant: Instant,
    /// For people; may jump.
    pub wall: SystemTime,
}

impl Moment {
    /// What the clock for people says, or said, at another instant, if nobody sets it.
    pub fn wall_of(self, at: Instant) -> SystemTime {
        let later = self.wall + at.saturating_duration_since(self.instant);
        later - self.instant.saturating_duration_since(at)
    }
}

/// Reads both clocks, one after the other.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub fn now() -> Moment {
    Moment { instant: instant(), wall: SystemTime::now() }
}

/// The monotonic clock alone.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub fn instant() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Whole nanoseconds, for a counter that threads share: 584 years of them at most.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// How long the machine has been up, its sleep included: what the monotonic clock counts, and what it does
/// not. `None`: not observable.
pub fn uptime() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/uptime").ok()?;
    let seconds: f64 = text.split_ascii_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// How long the machine slept between two readings of the monotonic clock and the uptime.
pub fn slept(from: (Instant, Option<Duration>), until: (Instant, Option<Duration>)) -> Duration {
    let (Some(before), Some(after)) = (from.1, until.1) else { return Duration::ZERO };
    let awake = until.0.saturating_duration_since(from.0);
    after.saturating_sub(before).saturating_sub(awake)
}

thread_local! {
    /// The last date written on this thread, and the second it stands for.
    static DATE: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

thread_local! {
    /// A reading of both clocks, not older than a second.
    static ANCHOR: Cell<Option<Moment>> = const { Cell::new(None) };
}

/// The wall clock at `instant`, a moment of the last second or so, without reading it each time: a step of the wall clock is
/// seen within a second.
pub fn wall_at(instant: Instant) -> SystemTime {
    let anchor = ANCHOR.get().filter(|anchor| {
        instant.saturating_duration_since(anchor.instant) < Duration::from_secs(1)
            && instant >= anchor.instant
    });
    let anchor = anchor.unwrap_or_else(|| {
        let fresh = now();
        ANCHOR.set(Some(fresh));
        fresh
    });
    match instant.checked_duration_since(anchor.instant) {
        Some(since) => anchor.wall + since,
        None => anchor.wall - anchor.instant.saturating_duration_since(instant),
    }
}

/// Appends `instant` as the `Date` of RFC 9110 section 6.6.1; made once a second and thread.
pub fn put_http_date(out: &mut Vec<u8>, instant: Instant) {
    let wall = wall_at(instant);
    let second = unix_seconds(wall);
    DATE.with_borrow_mut(|(of, text)| {
        if *of != second || text.is_empty() {
            let stamp = jiff::Timestamp::try_from(wall).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
            text.clear();
            // Only years beyond 9999 cannot be printed.
            let _ = jiff::fmt::rfc2822::DateTimePrinter::new().print_timestamp_rfc9110(&stamp, &mut *text);
            *of = second;
        }
        out.extend_from_slice(text.as_bytes());
    });
}

/// A moment as RFC 3339 in UTC with milliseconds.
/// Whole seconds since 1970; a moment before it is 0.
pub fn unix_seconds(wall: SystemTime) -> u64 {
    wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

pub fn rfc3339(wall: SystemTime) -> String {
    let mut text = String::new();
    put_rfc3339(&mut text, wall);
    text
}

/// Appends the moment as [`rfc3339`] writes it.
pub fn put_rfc3339(out: &mut String, wall: SystemTime) {
    let stamp = jiff::Timestamp::try_from(wall).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let _ = write!(out, "{stamp:.3}"); // a String takes all
}

/// Reads a moment back: RFC 3339 with its offset.
pub fn read_moment(text: &str) -> Option<SystemTime> {
    SystemTime::try_from(text.trim().parse::<jiff::Timestamp>().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_is_known_at_any_moment_of_late() {
        let read = now();
        for (ahead, millis) in [(true, 0), (true, 300), (true, 5_000), (false, 40)] {
            let step = Duration::from_millis(millis);
            let at = if ahead { read.instant + step } else { read.instant - step };
            let wanted = if ahead { read.wall + step } else { read.wall - step };
            let told = wall_at(at);
            let off = told.duration_since(wanted).unwrap_or_else(|error| error.duration());
            assert!(off < Duration::from_millis(20), "{off:?}");
        }
    }

    #[test]
    fn what_the_uptime_counts_and_the_monotonic_clock_does_not_is_sleep() {
        let (start, second) = (instant(), Duration::from_secs(1));
        let after =
            |awake: u32, up: u32| slept((start, Some(second)), (start + second * awake, Some(second * up)));
        assert_eq!(after(10, 11), Duration::ZERO);
        assert_eq!(after(10, 3_611), second * 3_600);
        assert_eq!(
            slept((start, None), (start + second, Some(second * 9))),
            Duration::ZERO,
            "not observable"
        );
        assert!(uptime().is_none_or(|up| up > second));
    }

    #[test]
    fn what_was_written_is_read_back() {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_millis(1_800_000_000_123);
        assert_eq!(read_moment(&rfc3339(wall)), Some(wall));
        assert_eq!(read_moment("2026-12-01T23:59:59Z"), read_moment("2026-12-02T00:59:59+01:00"));
        for bad in ["", "tomorrow", "2026-12-01T10:00", "2026-12-01", "12:00"] {
            assert_eq!(read_moment(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_date_is_what_http_wants() {
        let mut out = Vec::new();
        put_http_date(&mut out, instant());
        let text = String::from_utf8(out).expect("text");
        assert_eq!(text.len(), 29, "{text}");
        assert!(text.ends_with(" GMT"), "{text}");
    }
}
