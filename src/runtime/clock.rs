//! The only reader of time.
//!
//! Asks tokio's clock and hands out std instants: the core stays free of tokio, and a paused test still rules time.

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

/// A moment as RFC 3339 in UTC with milliseconds.
pub fn rfc3339(wall: SystemTime) -> String {
    let stamp = jiff::Timestamp::try_from(wall).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{stamp:.3}")
}
