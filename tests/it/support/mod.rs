//! A proxy, an upstream, a client, a name server, a network, other people's programs, and patience.

pub mod dns;
pub mod events;
/// HTTP/2 by hand, as the abusers speak it.
#[allow(dead_code, reason = "the abusers need more of it")]
#[path = "../../abuse/src/frames.rs"]
pub mod frames;
pub mod h2;
pub mod h2raw;
pub mod namespace;
pub mod proxy;
pub mod raw;
pub mod secure;
pub mod terminal;
pub mod tools;
pub mod upstream;
pub mod upstream_h2;

use std::time::{Duration, Instant};

/// Longest wait for anything that is to happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a command beside a proxy: whether it was content, and what it said.
pub fn strop(args: &[&str], state: &std::path::Path) -> (bool, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_strop"));
    let ran = command.args(args).env("STATE_DIRECTORY", state).output().expect("runs");
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    (ran.status.success(), said)
}

/// A client that takes its time.
pub fn pace(step: Duration) {
    std::thread::sleep(step);
}

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
