//! `[store]` as it was written.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Text;

fn days(days: u64) -> Text<Duration> {
    Text(Duration::from_secs(days * 86_400))
}

/// `[store]`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoreFile {
    /// "sqlite:PATH", "postgres://user@host/database" or "off".
    pub url: String,
    /// File with the password of the database.
    pub password_file: Option<String>,
    /// Durable writes that may wait in memory.
    pub backlog: u32,
    /// How long things are kept.
    pub retention: RetentionFile,
    /// Copies made by the sidecar itself.
    pub backup: Option<BackupFile>,
}

impl Default for StoreFile {
    fn default() -> Self {
        Self {
            url: "sqlite:strop.db".to_owned(),
            password_file: None,
            backlog: 10_000,
            retention: RetentionFile::default(),
            backup: None,
        }
    }
}

/// `[store.retention]`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionFile {
    /// Incidents since they were resolved.
    pub incidents: Text<Duration>,
    /// Audit rows, at least 365 days.
    pub audit: Text<Duration>,
    /// Samples.
    pub samples: Text<Duration>,
    /// The uptime ledger.
    pub ledger: Text<Duration>,
}

impl Default for RetentionFile {
    fn default() -> Self {
        Self { incidents: days(400), audit: days(400), samples: days(7), ledger: days(400) }
    }
}

/// `[store.backup]`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BackupFile {
    /// Between two copies.
    pub every: Text<Duration>,
    /// A directory.
    pub to: String,
    /// Copies kept.
    pub keep: u32,
}

impl Default for BackupFile {
    fn default() -> Self {
        Self { every: days(1), to: String::new(), keep: 7 }
    }
}
