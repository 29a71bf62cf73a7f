//! The idempotency keys of requests: what a client has sent, and what is made where it has sent none.

use std::time::Instant;

use crate::message::fields;
use crate::message::head::RequestHead;
use crate::reliability::idempotency::{KeyPolicy, VouchedKey};
use crate::runtime::chance;

/// The key by which the upstream knows the request again; none of its attempts begins before `first`.
pub(super) fn vouched(head: &RequestHead, keys: &KeyPolicy, first: Instant) -> Option<VouchedKey> {
    keys.vouches(head.method_bytes(), head.forwarded(keys.header.as_bytes()), first)
}

/// A key for a write that has none, where its upstream keeps keys of such: its field line is put behind `out`. What the client
/// sent as a key stands, whatever it is.
pub(super) fn give(
    head: &RequestHead,
    keys: &KeyPolicy,
    first: Instant,
    out: &mut Vec<u8>,
) -> Option<VouchedKey> {
    let has_one = head.store.named(keys.header.as_bytes()).next().is_some();
    if has_one || !keys.is_for(head.method_bytes()) {
        return None;
    }
    let key = fields::uuid_v4([chance::draw(), chance::draw()]);
    for part in [keys.header.as_bytes(), b": ", &key, b"\r\n"] {
        out.extend_from_slice(part);
    }
    keys.vouches(head.method_bytes(), std::iter::once(&key[..]), first)
}
