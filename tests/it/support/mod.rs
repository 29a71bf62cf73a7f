//! A proxy, an upstream, a client, other people's programs, and patience.

pub mod h2;
pub mod proxy;
pub mod raw;
pub mod secure;
pub mod tools;
pub mod upstream;

use std::time::{Duration, Instant};

/// Longest wait for anything that is to happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `holds`, or fails with `what`.
pub fn eventually(what: &str, holds: impl FnMut() -> bool) {
    within(PATIENCE, what, holds);
}

/// Waits until `holds`, but no longer than `limit`.
pub fn within(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < limit, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
