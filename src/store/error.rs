//! What goes wrong with the store, and how it is.

use std::path::PathBuf;

use super::rows::Millis;
use crate::telemetry::seconds::Seconds;

/// How the database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseState {
    Ok,
    /// Nobody answers, the file cannot be opened, or another process holds it too long.
    Unreachable,
    /// Its disk is full.
    Full,
    /// What is on disk cannot be read.
    Damaged,
    /// Its file was removed while it was open, and cannot be written anew.
    Gone,
    /// Another file has the name of the one that is open; it is left alone.
    Replaced,
}

impl DatabaseState {
    pub const ALL: [Self; 6] =
        [Self::Ok, Self::Unreachable, Self::Full, Self::Damaged, Self::Gone, Self::Replaced];

    /// The word of logs, metrics and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unreachable => "unreachable",
            Self::Full => "full",
            Self::Damaged => "damaged",
            Self::Gone => "gone",
            Self::Replaced => "replaced",
        }
    }
}

/// A damaged file that was moved aside for a new one. Nothing is ever deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedAside {
    /// Where it is now.
    pub to: PathBuf,
    pub at: Millis,
    /// What the database said of the damage.
    pub why: String,
}

/// How the store is, for the person on call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreStatus {
    /// How the database is.
    pub state: DatabaseState,
    /// Since when it is so.
    pub since: Millis,
    /// The kind of database: "sqlite" or "postgresql".
    pub database: &'static str,
    /// Durable writes that wait in memory, in number.
    pub backlog: usize,
    /// How many may wait.
    pub backlog_limit: usize,
    /// What went wrong last, also when it is well again.
    pub last_error: Option<String>,
    /// The damaged file of this start, if there was one.
    pub moved_aside: Option<MovedAside>,
    /// When the file was last found removed and written anew; `None`: not since the start.
    pub rewritten: Option<Millis>,
    /// Durable writes on disk since the start.
    pub committed: u64,
    /// Waiting writes that a newer one of the same row has replaced.
    pub folded: u64,
    /// Durable writes that were refused because the backlog was full; their callers were told.
    pub refused: u64,
    /// How long the transactions took that came to disk.
    pub commits: Seconds,
    /// The last row of the audit chain that this sidecar saw; `None`: it has not written yet.
    pub audit_head: Option<super::chain::ChainEnd>,
}

/// Why the store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The operator's: `[store]` cannot work as it is written.
    #[error("[store] cannot work: {0}")]
    Config(String),
    /// The database's: it may work later.
    #[error("the store is {}: {why}", state.as_str())]
    Unavailable {
        state: DatabaseState,
        /// What the database or the system said.
        why: String,
    },
    /// The database's: as many writes wait as may.
    #[error("the store's backlog is full: {0} writes wait")]
    BacklogFull(usize),
    /// The caller's: this write can never work.
    #[error("the store refuses this write: {0}")]
    Refused(String),
    /// The operator's: the tables are not those of this Strop.
    #[error("the database's tables are not those of this version of Strop: {0}")]
    OtherTables(String),
    /// The store was closed before it was on disk.
    #[error("the store was closed")]
    Closed,
}

impl StoreError {
    /// May the same be asked again later?
    pub fn repeatable(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::BacklogFull(_) => true,
            Self::Config(_) | Self::Refused(_) | Self::OtherTables(_) | Self::Closed => false,
        }
    }
}
