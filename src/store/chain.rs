//! What is known of the audit chain: its ends, and what a walk along it found.

use std::fmt;

/// One end of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainEnd {
    /// Which row; 0: none yet.
    pub seq: i64,
    /// Hash of that row: hex, or `hmac:` and hex with a key.
    pub hash: String,
}

/// `12:<hash>`: row 12 and its hash, as logs, manifests and `strop audit verify --against` know it.
impl fmt::Display for ChainEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash)
    }
}

impl ChainEnd {
    /// Reads what [`fmt::Display`] writes.
    pub fn read(text: &str) -> Option<Self> {
        let (seq, hash) = text.trim().split_once(':')?;
        let digits = hash.strip_prefix(KEYED).unwrap_or(hash);
        let whole = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let seq = seq.parse().ok().filter(|seq| *seq >= 0)?;
        whole.then(|| Self { seq, hash: hash.to_owned() })
    }

    /// The first 48 bits of the hash, for a gauge, which can hold no more.
    pub fn prefix(&self) -> u64 {
        let digits = self.hash.strip_prefix(KEYED).unwrap_or(&self.hash);
        u64::from_str_radix(digits.get(..12).unwrap_or_default(), 16).unwrap_or_default()
    }
}

/// What a hash begins with that a key made.
pub(super) const KEYED: &str = "hmac:";

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
    pub head: ChainEnd,
    /// Of the good ones, how many bear a key; without it only their order is checked.
    pub keyed: u64,
    /// The first bad one, if there is one.
    pub broken: Option<Broken>,
}
