//! `[outbox]`: where writes are kept that were acknowledged before their upstream has them.

use std::path::{Path, PathBuf};

#[cfg(test)]
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::problem::Part;
use super::secret;
use super::store::below_state;
use crate::reliability::outbox::QueueLimits;
use crate::units::{Size, Text};

/// The table `[outbox]` as the operator writes it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct OutboxFile {
    /// Directory of this sidecar alone, on a disk that keeps what is synchronised; below the state directory unless it begins
    /// with a slash.
    pub directory: String,
    /// File with the key by which what is queued is sealed: 64 hexadecimal digits.
    pub seal_key_file: String,
    /// Writes of all upstreams, dead letters included.
    pub max_writes: u32,
    /// Bytes of them.
    pub max_bytes: Text<Size>,
}

/// 16 MiB are read at a start, and hold some thousand mails.
impl Default for OutboxFile {
    fn default() -> Self {
        Self {
            directory: "outbox".to_owned(),
            seal_key_file: String::new(),
            max_writes: 10_000,
            max_bytes: Text(Size(16 * 1024 * 1024)),
        }
    }
}

/// `[outbox]` as it runs.
#[derive(Clone, Debug)]
pub struct OutboxConfig {
    pub directory: PathBuf,
    /// 64 hexadecimal digits.
    pub key: SecretString,
    /// Of all upstreams.
    pub limits: QueueLimits,
}

impl OutboxFile {
    pub(super) fn check(&self, mut at: Part<'_, '_>) -> Option<OutboxConfig> {
        if self.directory.is_empty() || self.directory.starts_with('~') {
            at.add("directory", "is no directory; write the whole path, such as \"/var/lib/strop/outbox\"");
        }
        let messages = at.within("max_writes", self.max_writes, 1, 100_000) as usize;
        let bytes = at.within("max_bytes", self.max_bytes.0.0, 64 * 1024, 256 * 1024 * 1024);
        let key = at.take("seal_key_file", key(&self.seal_key_file));
        let directory = below_state(Path::new(&self.directory));
        Some(OutboxConfig { directory, key: key?, limits: QueueLimits { messages, bytes } })
    }
}

fn key(file: &str) -> Result<SecretString, String> {
    const WRITE: &str = "write `openssl rand -hex 32` into a file, and its path here";
    if file.is_empty() {
        return Err(format!("is missing: what is queued is never on disk in the clear; {WRITE}"));
    }
    let key = secret::read(file, "a key", 64)?;
    let text = secrecy::ExposeSecret::expose_secret(&key);
    let whole = text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    if whole { Ok(key) } else { Err(format!("{file:?} must hold 64 hexadecimal digits; {WRITE}")) }
}
