//! Signatures and short names of long texts.

use aws_lc_rs::{digest, hmac};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// HMAC-SHA256 (RFC 2104) over `timestamp`, a dot and `body`, in hex.
pub(crate) fn signature(secret: &str, timestamp: u64, body: &[u8]) -> String {
    signed(secret, &[timestamp.to_string().as_bytes(), b".", body])
}

/// HMAC-SHA256 over the parts, in hex.
pub(crate) fn signed(secret: &str, parts: &[&[u8]]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let mut signed = hmac::Context::with_key(&key);
    parts.iter().for_each(|part| signed.update(part));
    hex(signed.sign().as_ref())
}

/// Is this hex the HMAC-SHA256 over the parts? Compared in constant time.
pub(crate) fn is_signed(secret: &str, parts: &[&[u8]], hex: &str) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let digits =
        |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let tag: Option<Vec<u8>> = hex.as_bytes().chunks(2).map(digits).collect();
    tag.is_some_and(|tag| hmac::verify(&key, &parts.concat(), &tag).is_ok())
}

/// 128 bits of SHA-256 in hex: the same for the same text, and for no other.
pub(crate) fn short(text: &str) -> String {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    hex(&digest.as_ref()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf '1795543230.{}' | openssl dgst -sha256 -hmac 0123456789abcdef`
    #[test]
    fn the_signature_is_what_openssl_says() {
        let signed = signature("0123456789abcdef", 1_795_543_230, b"{}");
        assert_eq!(signed, "0ed5ab434e0af3dcd3a4f637b406e7d2479e9fdbd47e58ff8ff95e58aaa7d94d");
        assert_eq!(short("a").len(), 32);
        assert_ne!(short("a"), short("b"));
    }
}
