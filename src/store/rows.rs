//! The rows as they are stored. The store knows rows, not machines: states, kinds and bodies are the caller's.

use std::time::SystemTime;

pub use super::exchange::{
    KnownChanges, Lease, LeaseHolder, MemberRow, Presence, SeenMember, StoredIncident, SyncReply, SyncRequest,
};
pub use super::tables::{
    AuditEntry, AuditRow, Delivery, IncidentRow, IncidentVersion, LedgerMinute, Minutes, NewEntry,
    NotificationRow, RecoveryRow, SilenceRow, Write,
};

/// A moment of the wall clock: milliseconds since 1970-01-01T00:00:00Z.
pub type Millis = i64;

/// A wall clock reading as it is stored.
pub fn millis(wall: SystemTime) -> Millis {
    let since = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
}
