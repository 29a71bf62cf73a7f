//! The audit chain: each row holds the hash of the row before it, so that none can be changed or taken out unseen.
//!
//! `hash = SHA-256(canonical encoding)`, in lower-case hex. The canonical encoding of a row is, one after the other:
//!
//! | what | as |
//! |---|---|
//! | the words `strop-audit-1` and a line feed | 14 bytes |
//! | `seq`, then `at` (milliseconds since 1970) | 8 bytes each, big-endian, two's complement |
//! | `actor`, `action`, `target`, `body`, `prev_hash` | for each its length in bytes (8 bytes, big-endian), then its UTF-8 |
//!
//! The first row follows 64 zeros. `heads` remembers the last row, so that cutting the end off is seen too, and the last row
//! that retention took away, which the oldest row left must follow.

use super::db::{Conn, DbError, Row, args};
use super::rows::{AuditEntry, AuditRow};

/// Rows read at a time.
const PAGE: i64 = 1_000;

/// One end of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Which row; 0: none yet.
    pub seq: i64,
    /// Its hash.
    pub hash: String,
}

/// Why a chain is not whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The first bad row.
    pub seq: i64,
    /// What is wrong with it.
    pub why: String,
}

/// What a walk along the chain found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// Rows that are good.
    pub rows: u64,
    /// The last good one.
    pub head: Head,
    /// The first bad one, if there is one.
    pub broken: Option<Broken>,
}

/// SHA-256 in lower-case hex.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 of what comes in pieces.
pub(super) struct Sha256(aws_lc_rs::digest::Context);

impl Sha256 {
    pub(super) fn new() -> Self {
        Self(aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256))
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> String {
        hex(self.0.finish().as_ref())
    }
}

/// The hash of a row that follows `prev_hash`.
pub fn hash_of(seq: i64, entry: &AuditEntry, prev_hash: &str) -> String {
    let mut bytes = Vec::with_capacity(256 + entry.body.len());
    bytes.extend_from_slice(b"strop-audit-1\n");
    bytes.extend_from_slice(&seq.to_be_bytes());
    bytes.extend_from_slice(&entry.at.to_be_bytes());
    for text in [&entry.actor, &entry.action, &entry.target, &entry.body, prev_hash] {
        bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    sha256(&bytes)
}

/// Reads `seq, at, actor, action, target, body, prev_hash, hash`.
pub(super) fn row_of(mut row: Row) -> Result<AuditRow, DbError> {
    Ok(AuditRow {
        seq: row.int()?,
        entry: AuditEntry {
            at: row.int()?,
            actor: row.text()?,
            action: row.text()?,
            target: row.text()?,
            body: row.text()?,
        },
        prev_hash: row.text()?,
        hash: row.text()?,
    })
}

/// One of `heads`: "audit" or "anchor".
pub(super) async fn head(conn: &mut Conn, name: &str) -> Result<Head, DbError> {
    let row = conn.row("SELECT seq, hash FROM heads WHERE name = $1", args![name]).await?;
    let mut row = row.ok_or_else(|| DbError::damaged(format!("the audit chain has no {name:?}")))?;
    Ok(Head { seq: row.int()?, hash: row.text()? })
}

/// What is wrong with a row that should follow `before`.
fn wrong(row: &AuditRow, before: &Head) -> Option<String> {
    if row.seq != before.seq + 1 {
        return Some(format!("row {} is missing: after it comes row {}", before.seq + 1, row.seq));
    }
    if row.prev_hash != before.hash {
        return Some("it does not follow the row before it".to_owned());
    }
    if row.hash != hash_of(row.seq, &row.entry, &row.prev_hash) {
        return Some("its content is not what was hashed".to_owned());
    }
    None
}

/// Walks from the anchor to the head, on one connection that sees one moment.
pub(super) async fn walk(conn: &mut Conn) -> Result<Walk, DbError> {
    let sql = "SELECT seq, at, actor, action, target, body, prev_hash, hash FROM audit WHERE seq > $1 \
               ORDER BY seq LIMIT $2";
    let mut before = head(conn, "anchor").await?;
    let end = head(conn, "audit").await?;
    let mut rows = 0;
    let mut after = i64::MIN;
    loop {
        let page = conn.rows(sql, args![after, PAGE]).await?;
        let last = page.len() < PAGE as usize;
        for row in page {
            let row = row_of(row)?;
            if let Some(why) = wrong(&row, &before) {
                let seq = row.seq.min(before.seq + 1);
                return Ok(Walk { rows, head: before, broken: Some(Broken { seq, why }) });
            }
            rows += 1;
            after = row.seq;
            before = Head { seq: row.seq, hash: row.hash };
        }
        if last {
            break;
        }
    }
    let broken = (before != end).then(|| Broken {
        seq: before.seq + 1,
        why: format!("the chain ends here, but its last row is known to be row {}", end.seq),
    });
    Ok(Walk { rows, head: before, broken })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_the_documented_one() {
        let entry = AuditEntry {
            at: 1_700_000_000_000,
            actor: "ann".to_owned(),
            action: "open".to_owned(),
            target: "stripe".to_owned(),
            body: "{}".to_owned(),
        };
        let zeros = "0".repeat(64);
        // Computed by Python's struct and hashlib from the table in the module doc.
        assert_eq!(
            hash_of(1, &entry, &zeros),
            "2c94375bb2df9c85a2c6c13038e15fb470f1fee60ef4e8001a1de76a6489e771"
        );
    }

    #[test]
    fn no_two_rows_have_the_same_encoding() {
        let entry = |actor: &str, action: &str| AuditEntry {
            at: 0,
            actor: actor.to_owned(),
            action: action.to_owned(),
            target: String::new(),
            body: String::new(),
        };
        assert_ne!(hash_of(1, &entry("ab", "c"), ""), hash_of(1, &entry("a", "bc"), ""));
        assert_ne!(hash_of(1, &entry("a", "b"), ""), hash_of(2, &entry("a", "b"), ""));
    }
}
