//! The audit log: what its rows say, and who waits for them.

use std::time::Duration;

use serde_json::{Value, json};

use super::Records;
use crate::runtime::{chance, clock};
use crate::store::rows::{AuditEntry, AuditRow, Write, millis};
use crate::store::{Store, StoreError, WriteReceipt};
use crate::units::At;

/// How long the giver of an order waits for the disk.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// Who gave an order. Logs, the audit log and the API show its label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderedBy {
    /// A person or a system by the name that it gave: through the API, a pager or a chat.
    Named(String),
    /// A caller of the API that gave no name.
    Api,
    /// The process, by starting.
    Start,
    /// The calendar: `[drill.schedule]`.
    Schedule,
}

impl OrderedBy {
    /// The caller of the API that gave this name; a blank one is none.
    pub fn said(name: Option<String>) -> Self {
        name.filter(|name| !name.trim().is_empty()).map_or(Self::Api, Self::Named)
    }

    /// The name, `admin-api`, `start` or `schedule`.
    pub fn label(&self) -> &str {
        match self {
            Self::Named(name) => name,
            Self::Api => "admin-api",
            Self::Start => "start",
            Self::Schedule => "schedule",
        }
    }
}

impl std::fmt::Display for OrderedBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.label())
    }
}

/// What an order writes on the audit log.
#[derive(Clone, Debug)]
pub struct AuditRecord {
    /// The person or part of Strop that orders it.
    pub actor: OrderedBy,
    /// A word of a closed set, such as "incident.ack".
    pub action: &'static str,
    /// The id or name of what it is done to.
    pub target: String,
    /// Why, in the words of whoever orders it.
    pub reason: String,
}

impl AuditRecord {
    /// The row, and the name by which the answer to the order and the list of mutations call it.
    pub(super) fn row(&self, member: &str, at: At, more: Value) -> (String, Write) {
        let id = audit_id();
        let mut body = json!({ "id": id, "member": member, "reason": self.reason });
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        let row = Write::Audit(AuditEntry {
            at: at.0,
            actor: self.actor.to_string(),
            action: self.action.to_owned(),
            target: self.target.clone(),
            body: body.to_string(),
        });
        (id, row)
    }
}

/// A new name for a row: `aud_` and 20 letters that order it by time.
pub fn audit_id() -> String {
    let draw = chance::draw();
    crate::names::ordered("aud_", millis(clock::now().wall), draw)
}

fn now() -> At {
    At(millis(clock::now().wall))
}

/// Is it on disk? False as well when that takes longer than anybody should wait: it is taken, and follows.
pub(super) async fn stored(written: Option<WriteReceipt>) -> bool {
    match written {
        Some(written) => matches!(tokio::time::timeout(PATIENCE, written).await, Ok(Ok(()))),
        None => false,
    }
}

impl Records {
    fn put(&self, write: Write) -> Option<WriteReceipt> {
        self.store().map(|store: &Store| store.write(vec![write]))
    }

    /// Writes who did what; the row's name, and whether it is on disk.
    pub async fn audit(&self, done: &AuditRecord) -> (String, bool) {
        let (id, row) = done.row(self.member(), now(), Value::Null);
        (id, stored(self.put(row)).await)
    }

    /// The same, with more to say and nobody who waits. From any thread.
    pub fn note(&self, done: &AuditRecord, more: Value) {
        let (_, row) = done.row(self.member(), now(), more);
        drop(self.put(row));
    }

    /// Rows of the audit log before row `before` (`None`: from its end), the youngest first; `None`: there is no store.
    pub async fn audit_rows(
        &self,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Option<Vec<AuditRow>>, StoreError> {
        let Some(store) = self.store() else { return Ok(None) };
        store.reader().audit(before, limit).await.map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gives_no_name_or_a_blank_one_is_the_api() {
        for (said, label) in [(None, "admin-api"), (Some(" "), "admin-api"), (Some("ann"), "ann")] {
            assert_eq!(OrderedBy::said(said.map(str::to_owned)).to_string(), label);
        }
    }
}
