//! How moments look in the API.

use std::time::{Duration, UNIX_EPOCH};

use crate::runtime::clock;
use crate::units::At;

/// The moment as RFC 3339, in UTC.
pub(in crate::admin) fn when(at: At) -> String {
    let millis = u64::try_from(at.0).unwrap_or(0);
    clock::rfc3339(UNIX_EPOCH + Duration::from_millis(millis))
}
