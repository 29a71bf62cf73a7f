//! What the file of the outbox is made of: records, each sealed by itself.
//!
//! A record is its length (4 bytes, little-endian), a nonce (12 bytes) and so many bytes of AES-256-GCM: text, then tag. What
//! is sealed with it is its number in the file and its length, so that a record that was moved, shortened or changed does not
//! open; the tag does what a checksum would. The text is the length of a JSON value (4 bytes), the value, and the bytes of a
//! request. Invariant: of a file that was cut off anywhere, the records before the cut are read, and nothing else.

use aws_lc_rs::aead::{AES_256_GCM, Aad, MAX_TAG_LEN, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use crate::reliability::outbox::{DeadReason, QueuePhase, QueuedWrite};
use crate::units::At;

/// The first bytes of the file.
pub(super) const MAGIC: &[u8; 16] = b"strop-outbox-1\r\n";
/// The longest record: no request that may be queued comes near it.
const LONGEST: usize = 64 << 20;
const PREFIX: usize = 4 + NONCE_LEN;

/// Hash of an upstream and an order key: the first eight bytes of SHA-256. It is stored, so that it must be the same for every
/// build; who shares one by chance waits for the other.
pub fn order_of(upstream: &str, key: &[u8]) -> u64 {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(upstream.as_bytes());
    hash.update(&[0]); // no name has it
    hash.update(key);
    hash.finish().as_ref().iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// A request that was accepted, beside its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredWrite {
    pub upstream: String,
    pub route: String,
    /// Hash of its upstream and order key; `None`: it has none.
    pub order: Option<u64>,
    /// The upstream knows it again.
    pub known_again: bool,
    pub queued: At,
    /// The way in that it took, as its label.
    pub entrance: String,
    /// Who sent it.
    pub peer: std::net::IpAddr,
    /// It came by TLS.
    pub secure: bool,
    /// Proxies in front that were believed.
    pub trusted_hops: u8,
    /// Bytes of its head; its body follows.
    pub head: usize,
}

impl StoredWrite {
    /// As the queue has it.
    pub(super) fn queued(&self, bytes: u64) -> QueuedWrite {
        QueuedWrite {
            upstream: self.upstream.as_str().into(),
            route: self.route.as_str().into(),
            order: self.order,
            known_again: self.known_again,
            queued: self.queued,
            bytes,
            attempts: 0,
            due: self.queued,
            phase: QueuePhase::Waiting,
        }
    }
}

/// What happened, in the order in which it did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Record {
    /// The file begins; numbers up to `last` are taken.
    Begins { last: u64 },
    /// A request was accepted.
    Accepted { id: u64, write: StoredWrite },
    /// It is about to be sent: from here on it may have arrived.
    Sending { id: u64 },
    /// It has not been delivered, and waits.
    Later { id: u64, attempts: u32, due: At },
    /// It is delivered, or was dropped.
    Over { id: u64 },
    /// It is given up.
    Dead { id: u64, reason: DeadReason },
    /// Somebody ordered that a dead letter is sent again.
    Again { id: u64, at: At },
}

/// Seals and opens records.
pub(super) struct Seal(RandomizedNonceKey);

impl Seal {
    /// `None`: the key has not 32 bytes.
    pub(super) fn new(key: &[u8]) -> Option<Self> {
        RandomizedNonceKey::new(&AES_256_GCM, key).ok().map(Self)
    }

    /// Appends the record with this number to `out`; false: it cannot be sealed, and `out` is as it was.
    pub(super) fn put(&self, out: &mut Vec<u8>, number: u64, record: &Record, request: &[u8]) -> bool {
        let Ok(json) = serde_json::to_vec(record) else { return false };
        let mut text = Vec::with_capacity(4 + json.len() + request.len() + MAX_TAG_LEN);
        text.extend_from_slice(&(json.len() as u32).to_le_bytes());
        text.extend_from_slice(&json);
        text.extend_from_slice(request);
        let length = text.len() + MAX_TAG_LEN;
        if length > LONGEST {
            return false;
        }
        let Ok(nonce) = self.0.seal_in_place_append_tag(aad(number, length), &mut text) else { return false };
        out.extend_from_slice(&(length as u32).to_le_bytes());
        out.extend_from_slice(nonce.as_ref());
        out.extend_from_slice(&text);
        true
    }

    /// The record with this number at the beginning of `bytes`, the bytes of its request, and its length in the file; `None`:
    /// there is none that is whole, or it is not of this key.
    pub(super) fn read(&self, bytes: &[u8], number: u64) -> Option<(Record, Vec<u8>, usize)> {
        let (prefix, rest) = bytes.split_at_checked(PREFIX)?;
        let length = u32::from_le_bytes(prefix.get(..4)?.try_into().ok()?) as usize;
        let (record, request) = self.open(prefix, rest.get(..length)?, number)?;
        Some((record, request, PREFIX + length))
    }

    fn open(&self, prefix: &[u8], sealed: &[u8], number: u64) -> Option<(Record, Vec<u8>)> {
        let nonce = Nonce::try_assume_unique_for_key(prefix.get(4..)?).ok()?;
        let mut text = sealed.to_vec();
        let text = self.0.open_in_place(nonce, aad(number, sealed.len()), &mut text).ok()?;
        let (length, rest) = text.split_at_checked(4)?;
        let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
        let (json, request) = rest.split_at_checked(length)?;
        Some((serde_json::from_slice(json).ok()?, request.to_vec()))
    }
}

/// What is sealed with a record.
fn aad(number: u64, length: usize) -> Aad<[u8; 16]> {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes[8..].copy_from_slice(&(length as u64).to_le_bytes());
    Aad::from(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn write(head: usize) -> StoredWrite {
        StoredWrite {
            upstream: "mail".to_owned(),
            route: "mail".to_owned(),
            order: Some(7),
            known_again: true,
            queued: At(5),
            entrance: "local:mail".to_owned(),
            peer: [127, 0, 0, 1].into(),
            secure: false,
            trusted_hops: 0,
            head,
        }
    }

    fn record(kind: u8, id: u64) -> Record {
        match kind {
            0 => Record::Accepted { id, write: write(3) },
            1 => Record::Sending { id },
            2 => Record::Later { id, attempts: 2, due: At(9) },
            3 => Record::Dead { id, reason: DeadReason::Unsure },
            _ => Record::Over { id },
        }
    }

    fn file(seal: &Seal, kinds: &[u8], body: &[u8]) -> (Vec<(Record, Vec<u8>)>, Vec<u8>) {
        let (mut records, mut bytes) = (Vec::new(), Vec::new());
        for (number, kind) in (0..).zip(kinds) {
            let body = if *kind == 0 { body } else { &[] };
            records.push((record(*kind, number), body.to_vec()));
            assert!(seal.put(&mut bytes, number, &record(*kind, number), body));
        }
        (records, bytes)
    }

    fn read_all(seal: &Seal, mut bytes: &[u8]) -> Vec<(Record, Vec<u8>)> {
        let mut all = Vec::new();
        while let Some((record, request, length)) = seal.read(bytes, all.len() as u64) {
            all.push((record, request));
            bytes = &bytes[length..];
        }
        all
    }

    fn seal() -> Seal {
        Seal::new(&[7; 32]).expect("a key")
    }

    proptest! {
        #[test]
        fn a_cut_anywhere_leaves_the_records_before_it(
            kinds in prop::collection::vec(0_u8..5, 0..8),
            body in prop::collection::vec(any::<u8>(), 0..64),
            at: prop::sample::Index,
        ) {
            let seal = seal();
            let (records, bytes) = file(&seal, &kinds, &body);
            prop_assert_eq!(&read_all(&seal, &bytes), &records);
            let cut = &bytes[..at.index(bytes.len() + 1)];
            let read = read_all(&seal, cut);
            prop_assert!(read.len() <= records.len());
            prop_assert_eq!(&read[..], &records[..read.len()]);
            prop_assert_eq!(read.len() == records.len(), cut.len() == bytes.len(), "only the whole has all");
        }

        #[test]
        fn a_changed_byte_anywhere_is_found(
            kinds in prop::collection::vec(0_u8..5, 1..8),
            at: prop::sample::Index,
            flip in 1_u8..=255,
        ) {
            let seal = seal();
            let (records, mut bytes) = file(&seal, &kinds, b"a body");
            let at = at.index(bytes.len());
            let mut whole = 0;
            let mut end = 0;
            while let Some((_, _, length)) = seal.read(&bytes[end..], whole) {
                if end + length > at {
                    break;
                }
                (whole, end) = (whole + 1, end + length);
            }
            bytes[at] ^= flip;
            let read = read_all(&seal, &bytes);
            prop_assert_eq!(read.len() as u64, whole, "it ends before the record with that byte");
            prop_assert_eq!(&read[..], &records[..read.len()]);
        }
    }

    #[test]
    fn another_key_or_another_place_opens_nothing_and_nothing_is_in_the_clear() {
        let (_, bytes) = file(&seal(), &[0, 1], b"Authorization: Bearer sekret");
        let other = Seal::new(&[8; 32]).expect("a key");
        assert_eq!(other.read(&bytes, 0), None);
        assert_eq!(seal().read(&bytes, 1), None);
        assert!(!bytes.windows(6).any(|part| part == b"sekret"));
        assert!(Seal::new(&[7; 16]).is_none());
    }

    /// Files outlive builds.
    #[test]
    fn an_order_is_the_same_in_every_build() {
        assert_eq!(order_of("sendgrid", b"a"), 0x1920_4db8_cd8d_4c3f);
        assert_ne!(order_of("sendgrid", b"a"), order_of("sendgri", b"da"));
    }
}
