//! The uptime ledger in its tables: minutes as they are written, and each closed day as one packed row a subject and member.
//!
//! `ledger` has a row for each subject, minute, member and start of the member: some 280 bytes, so one sidecar with seven
//! subjects would write 1.1 GB in 400 days. `ledger_days` has one row for each subject, day and member: 1 to 3 KiB ([`day`]).
//! The writer moves the minutes of closed days from the one to the other when it has nothing else to do ([`pack`]); readers
//! see minutes, wherever they lie ([`read`]).
//!
//! Invariants: at every moment each minute is in at least one of the tables, and a minute that is in both counts once: its row
//! in `ledger` was written later and holds all that the packed one holds, so it wins. A day is one of UTC whatever the time zone
//! of a report. What a packed day cannot hold (an odd moment, no sixty letters) stays in `ledger`.

mod day;
pub(super) mod pack;
mod read;

use std::time::{Duration, SystemTime};

use super::rows::Millis;
use crate::runtime::clock;

/// Milliseconds of a minute and of a day.
const MINUTE: Millis = 60_000;
const DAY: Millis = 1_440 * MINUTE;

/// What a packed day is called where it is told of.
fn name(service: &str, member: &str, day: Millis) -> String {
    let date =
        u64::try_from(day).map(|day| clock::rfc3339(SystemTime::UNIX_EPOCH + Duration::from_millis(day)));
    let date = date.unwrap_or_default();
    format!("ledger_days/{service}/{}/{member}", date.split('T').next().unwrap_or_default())
}

/// When the day of UTC began that `at` lies in.
fn day_of(at: Millis) -> Millis {
    at.div_euclid(DAY).saturating_mul(DAY)
}
