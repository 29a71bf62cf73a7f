//! File descriptors: as many as the system allows, how many are left, and some that are kept for those who must go on.

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are kept at most: 256 connections of the admin port, and as many again as half of that for the store,
/// notifiers, names and files.
const KEPT: u64 = 384;
/// Connections of the admin port, at most.
const ADMIN: u64 = 256;

/// From this descriptor on they are kept.
static FIRST_KEPT: AtomicU64 = AtomicU64::new(u64::MAX);
/// Connections of the admin port.
static ADMIN_PLACES: AtomicU64 = AtomicU64::new(ADMIN);

/// How many descriptors there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// At the start of the process; `None`: unlimited.
    pub was: Option<u64>,
    /// In force from now on.
    pub now: Option<u64>,
}

/// Raises the soft limit to the hard one, as servers that hold many connections do.
pub fn raise_limit() -> Limit {
    let before = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: before.maximum, maximum: before.maximum };
    // Refused only where raising to the hard limit is forbidden; then the old limit stands.
    let _ = setrlimit(Resource::Nofile, wanted);
    Limit { was: before.current, now: getrlimit(Resource::Nofile).current }
}

/// Of so many descriptors a quarter is kept, at most 384, and two thirds of those are for the admin port.
fn shares(limit: u64) -> (u64, u64) {
    let kept = (limit / 4).min(KEPT);
    (kept, (kept * 2 / 3).clamp(8, ADMIN))
}

/// From now on some of `limit` are kept; how many.
pub fn reserve(limit: Option<u64>) -> u64 {
    let Some(limit) = limit else { return 0 };
    let (kept, admin) = shares(limit);
    FIRST_KEPT.store(limit - kept, Ordering::Relaxed);
    ADMIN_PLACES.store(admin, Ordering::Relaxed);
    kept
}

/// Connections that the admin port may have.
pub fn admin_places() -> usize {
    usize::try_from(ADMIN_PLACES.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
}

/// Descriptors that are not kept: for connections of clients and of upstreams.
pub fn for_traffic() -> usize {
    usize::try_from(FIRST_KEPT.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
}

fn number(fd: BorrowedFd<'_>) -> u64 {
    u64::from(fd.as_raw_fd().unsigned_abs())
}

/// Is it one of those that are kept? The kernel gives the lowest that is free (POSIX, open): so all others are in use.
/// Costs no system call.
pub fn is_reserved(fd: BorrowedFd<'_>) -> bool {
    number(fd) >= FIRST_KEPT.load(Ordering::Relaxed)
}

/// Why nobody but those for whom some are kept may have a descriptor; `None`: there are others. `any`: one that is open.
pub fn only_reserved(any: BorrowedFd<'_>) -> Option<String> {
    let first_kept = FIRST_KEPT.load(Ordering::Relaxed);
    match rustix::io::fcntl_dupfd_cloexec(any, 0) {
        Ok(lowest) => {
            let told = || {
                format!(
                    "{first_kept} descriptors are in use, and the others are kept for the admin port and the store"
                )
            };
            (number(lowest.as_fd()) >= first_kept).then(told)
        }
        Err(error) => Some(error.to_string()),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_is_kept_of_few_and_a_fixed_number_of_many() {
        assert_eq!(shares(64), (16, 10));
        assert_eq!(shares(1_024), (256, 170));
        assert_eq!(shares(1_048_576), (384, 256));
    }
}
