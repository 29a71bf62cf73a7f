//! The handshake of a WebSocket (RFC 6455 section 4), where one side of the proxy has it and the other, HTTP/2, has none
//! (RFC 8441 section 5.1): the key that a server is asked with, and the proof that a client of one waits for.

use aws_lc_rs::digest;

use super::head::{Framing, Known, Method, RequestHead};

/// What a server appends to the key (RFC 6455 section 1.3).
const PROOF: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Bytes of a key: 16 in Base64.
const KEY: usize = 24;

/// Is `head` the opening of a WebSocket? One whose handshake is not whole is an upgrade like any other: whoever speaks
/// the protocol refuses it.
pub fn is_asked_for(head: &RequestHead) -> bool {
    let one = |field, fits: fn(&[u8]) -> bool| {
        let mut values = head.store.all(field);
        values.next().is_some_and(fits) && values.next().is_none()
    };
    head.wants_upgrade
        && head.method == Method::Get
        && matches!(head.framing, Framing::None | Framing::Length(0))
        && one(Known::Upgrade, |protocol| protocol.eq_ignore_ascii_case(b"websocket"))
        && one(Known::SecWebSocketKey, is_key)
}

fn is_key(key: &[u8]) -> bool {
    let is_digit = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    matches!(key, [digits @ .., b'=', b'='] if key.len() == KEY && digits.iter().all(is_digit))
}

/// A key (RFC 6455 section 4.1) for a server behind HTTP/1.1: the client of HTTP/2 has sent none.
pub fn key(chance: [u64; 2]) -> [u8; KEY] {
    let mut key = [b'='; KEY];
    base64(&chance.map(u64::to_be_bytes).concat(), &mut key);
    key
}

/// The proof that the server has read `key` (RFC 6455 section 4.2.2), for a client of HTTP/1.1: the server of HTTP/2 sends none.
pub fn accept(key: &[u8]) -> [u8; 28] {
    // No secret is kept by it: the RFC asks for this digest.
    let mut digest = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    digest.update(key);
    digest.update(PROOF);
    let mut accept = [b'='; 28];
    base64(digest.finish().as_ref(), &mut accept);
    accept
}

/// Base64 (RFC 4648 section 4) into `out`, which is padding before.
fn base64(bytes: &[u8], out: &mut [u8]) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (three, four) in bytes.chunks(3).zip(out.chunks_mut(4)) {
        let bits =
            (0..3).fold(0_usize, |bits, at| bits << 8 | usize::from(three.get(at).copied().unwrap_or(0)));
        for (at, digit) in four.iter_mut().take(three.len() + 1).enumerate() {
            *digit = DIGITS[bits >> (18 - 6 * at) & 63];
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn a_key_is_proved_as_the_rfc_does() {
        assert_eq!(&accept(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_key_is_sixteen_bytes_of_chance() {
        for chance in [[0, 0], [u64::MAX; 2], [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210]] {
            let made = key(chance);
            assert!(is_key(&made));
            assert_eq!(STANDARD.decode(made).expect("Base64"), chance.map(u64::to_be_bytes).concat());
        }
        for other in [
            &b""[..],
            b"x",
            b"dGhlIHNhbXBsZSBub25jZQ=",
            b"dGhlIHNhbXBsZSBub25jZQxx",
            b"dGhlIHNhbXBsZSBub25 ZQ==",
        ] {
            assert!(!is_key(other), "{other:?}");
        }
    }
}
