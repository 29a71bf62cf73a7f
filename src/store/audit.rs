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
//!
//! Without a key that proves something only against who does not know how it is made: whoever can write to the database can hash
//! a chain of his own. With a key (`store.audit_key_file`) a row's hash is `hmac:` and the HMAC-SHA256 of the same encoding, and
//! the `mac` of each of the `heads` is `hmac:` and the HMAC-SHA256 of `strop-heads-1`, a line feed, its name and its hash (each
//! as a text) and its `seq`. The first row with a key (`audit.keyed`) covers those before it. A head that the key does not know
//! is never gone on from in silence: a row `audit.cut` stands where it was found. Against an old copy of the whole file put in
//! its place only a head that has left it helps: see [`ChainEnd`]'s text.

use aws_lc_rs::hmac;
use secrecy::ExposeSecret as _;

use super::StoreConfig;
use super::chain::KEYED;
pub use super::chain::{Broken, ChainEnd, Walk};
use super::db::{Conn, DbError, args};
use super::digest::{hex, sha256};
use super::rows::{AuditEntry, AuditRow, millis};
use super::seal::ChainSeals;
use super::tables::row_of;
use crate::runtime::clock;

/// Rows read at a time.
const PAGE: i64 = 1_000;

/// The key of a chain; it shows itself to nobody.
#[derive(Clone, Debug)]
pub(super) struct ChainKey(hmac::Key);

impl ChainKey {
    pub(super) fn of(config: &StoreConfig) -> Option<Self> {
        let secret = config.audit_key.as_ref()?.expose_secret().as_bytes();
        Some(Self(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    fn sign(&self, bytes: &[u8]) -> String {
        format!("{KEYED}{}", hex(hmac::sign(&self.0, bytes).as_ref()))
    }

    /// What it says of one of `heads`.
    pub(super) fn mac(&self, name: &str, head: &ChainEnd) -> String {
        let mut bytes = b"strop-heads-1\n".to_vec();
        for text in [name, &head.hash] {
            bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes.extend_from_slice(&head.seq.to_be_bytes());
        self.sign(&bytes)
    }
}

/// What the key finds before it goes on from a head.
pub(super) fn turn(key: &ChainKey, head: &ChainEnd, mac: Option<&str>) -> Option<AuditEntry> {
    let known = mac.is_some_and(|mac| mac == key.mac("audit", head));
    let action = match (known, mac, head.hash.starts_with(KEYED)) {
        (true, ..) => return None,
        (false, None, false) => "audit.keyed",
        (false, ..) => CUT,
    };
    Some(AuditEntry {
        at: millis(clock::now().wall),
        actor: "strop".to_owned(),
        action: action.to_owned(),
        target: "audit".to_owned(),
        body: "{}".to_owned(),
    })
}

/// The action of the row behind a head that the key does not know.
const CUT: &str = "audit.cut";

/// The hash of a row that follows `prev_hash`, without a key.
pub fn hash_of(seq: i64, entry: &AuditEntry, prev_hash: &str) -> String {
    sha256(&encoded(seq, entry, prev_hash))
}

/// The hash of a row that follows `prev_hash`, with the key if there is one.
pub(super) fn signed(key: Option<&ChainKey>, seq: i64, entry: &AuditEntry, prev_hash: &str) -> String {
    let bytes = encoded(seq, entry, prev_hash);
    key.map_or_else(|| sha256(&bytes), |key| key.sign(&bytes))
}

fn encoded(seq: i64, entry: &AuditEntry, prev_hash: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256 + entry.body.len());
    bytes.extend_from_slice(b"strop-audit-1\n");
    bytes.extend_from_slice(&seq.to_be_bytes());
    bytes.extend_from_slice(&entry.at.to_be_bytes());
    for text in [&entry.actor, &entry.action, &entry.target, &entry.body, prev_hash] {
        bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

/// One of `heads`: "audit" or "anchor".
pub(super) async fn head(conn: &mut Conn, name: &str) -> Result<ChainEnd, DbError> {
    let row = conn.row("SELECT seq, hash FROM heads WHERE name = $1", args![name]).await?;
    let mut row = row.ok_or_else(|| DbError::damaged(format!("the audit chain has no {name:?}")))?;
    Ok(ChainEnd { seq: row.int()?, hash: row.text()? })
}

/// What the key says of one of `heads`; `None`: no key has said anything.
pub(super) async fn mac(conn: &mut Conn, name: &str) -> Result<Option<String>, DbError> {
    let row = conn.row("SELECT mac FROM heads WHERE name = $1", args![name]).await?;
    row.map_or(Ok(None), |mut row| row.maybe_text())
}

/// By what a chain is checked.
#[derive(Debug, Default)]
pub(super) struct Checks<'a> {
    pub(super) key: Option<ChainKey>,
    /// A head that was seen elsewhere.
    pub(super) against: Option<&'a ChainEnd>,
}

/// What is wrong with a row that should follow `before`; `keyed`: an earlier row bears a key.
fn wrong(row: &AuditRow, before: &ChainEnd, keyed: bool, key: Option<&ChainKey>) -> Option<String> {
    if row.seq != before.seq + 1 {
        return Some(format!("row {} is missing: after it comes row {}", before.seq + 1, row.seq));
    }
    if row.prev_hash != before.hash {
        return Some("it does not follow the row before it".to_owned());
    }
    if row.entry.action == CUT {
        return Some(
            "Strop found here that the end of the chain was not its own: rows were cut off".to_owned(),
        );
    }
    let told = match (row.hash.starts_with(KEYED), key) {
        (false, _) if keyed => "it bears no key although a row before it does",
        (false, _) if row.hash != hash_of(row.seq, &row.entry, &row.prev_hash) => {
            "its content is not what was hashed"
        }
        (true, Some(key)) if row.hash != signed(Some(key), row.seq, &row.entry, &row.prev_hash) => {
            "its content is not what this key signed"
        }
        (true | false, _) => return None,
    };
    Some(told.to_owned())
}

/// What the ends say: `before` is the last row that was walked to.
fn wrong_end(walked: &Walked, end: &ChainEnd, checks: &Checks<'_>) -> Option<Broken> {
    let before = &walked.before;
    let told = |seq: i64, why: String| Some(Broken { seq, why });
    if before != end {
        let why = format!("the chain ends here, but its last row is known to be row {}", end.seq);
        return told(before.seq + 1, why);
    }
    if let Some(known) = checks.against.filter(|_| !walked.met) {
        let why = if known.seq > before.seq {
            format!("the chain ends with row {}, but row {} is known", before.seq, known.seq)
        } else {
            "it was known and is not here any more: retention has taken it away, or somebody has".to_owned()
        };
        return told(known.seq, why);
    }
    let key = checks.key.as_ref()?;
    let knows =
        |name: &str, head: &ChainEnd, mac: &Option<String>| mac.as_ref() == Some(&key.mac(name, head));
    if !knows("audit", end, &walked.macs.0) {
        return told(
            before.seq + 1,
            "the key does not know this end: rows were cut off, or none bears it".to_owned(),
        );
    }
    if !knows("anchor", &walked.anchor, &walked.macs.1) {
        return told(
            walked.anchor.seq + 1,
            "the key does not know this beginning: rows were cut off".to_owned(),
        );
    }
    None
}

/// What a walk has come by.
struct Walked {
    anchor: ChainEnd,
    before: ChainEnd,
    rows: u64,
    /// What the key says of the end and of the beginning.
    macs: (Option<String>, Option<String>),
    keyed: u64,
    /// The head that was seen elsewhere was come by.
    met: bool,
    seals: ChainSeals,
}

impl Walked {
    /// One row further; what is wrong with it.
    fn step(&mut self, row: AuditRow, checks: &Checks<'_>) -> Option<Broken> {
        if let Some(why) = wrong(&row, &self.before, self.keyed > 0, checks.key.as_ref()) {
            return Some(Broken { seq: row.seq.min(self.before.seq + 1), why });
        }
        self.seals.see(&row);
        self.rows += 1;
        self.keyed += u64::from(row.hash.starts_with(KEYED));
        self.before = ChainEnd { seq: row.seq, hash: row.hash };
        self.meet(checks)
    }

    /// Is this the head that was seen elsewhere?
    fn meet(&mut self, checks: &Checks<'_>) -> Option<Broken> {
        let known = checks.against.filter(|known| known.seq == self.before.seq)?;
        self.met = true;
        let why = || format!("it is not the row that was known: its hash was {}", known.hash);
        (known.hash != self.before.hash).then(|| Broken { seq: known.seq, why: why() })
    }

    fn ended(self, broken: Option<Broken>) -> Walk {
        Walk { rows: self.rows, head: self.before, keyed: self.keyed, broken }
    }
}

/// Walks from the anchor to the head, on one connection that sees one moment.
pub(super) async fn walk(conn: &mut Conn, checks: &Checks<'_>) -> Result<Walk, DbError> {
    let sql = "SELECT seq, at, actor, action, target, body, prev_hash, hash FROM audit WHERE seq > $1 \
               ORDER BY seq LIMIT $2";
    let anchor = head(conn, "anchor").await?;
    let end = head(conn, "audit").await?;
    let macs = match checks.key {
        Some(_) => (mac(conn, "audit").await?, mac(conn, "anchor").await?),
        None => (None, None),
    };
    let (before, seals) = (anchor.clone(), ChainSeals::default());
    let mut walked = Walked { anchor, before, rows: 0, macs, keyed: 0, met: false, seals };
    if let Some(broken) = walked.meet(checks) {
        return Ok(walked.ended(Some(broken)));
    }
    let mut after = i64::MIN;
    loop {
        let page = conn.rows(sql, args![after, PAGE]).await?;
        let last = page.len() < PAGE as usize;
        for row in page {
            let row = row_of(row)?;
            after = row.seq;
            if let Some(broken) = walked.step(row, checks) {
                return Ok(walked.ended(Some(broken)));
            }
        }
        if last {
            break;
        }
    }
    let broken = match wrong_end(&walked, &end, checks) {
        None => walked.seals.check(conn).await?,
        found => found,
    };
    Ok(walked.ended(broken))
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
