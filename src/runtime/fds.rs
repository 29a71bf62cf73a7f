//! File descriptors: as many as the system allows, and how many are left.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one; the limit now in force, `None`: unlimited.
pub fn raise_limit() -> Option<u64> {
    let now = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: now.maximum, maximum: now.maximum };
    // Refused only where raising to the hard limit is forbidden; then the old limit stands.
    let _ = setrlimit(Resource::Nofile, wanted);
    getrlimit(Resource::Nofile).current
}

/// Descriptors in use; `None`: not observable.
pub fn in_use() -> Option<u64> {
    let entries = std::fs::read_dir("/proc/self/fd").ok()?;
    // One of them is the reading itself.
    Some((entries.count() as u64).saturating_sub(1))
}

/// The limit in force; `None`: unlimited.
pub fn limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}
