//! Fields that a proxy writes: who asked (`Forwarded`, `X-Forwarded-*`), which way (`Via`), which exchange
//! (`x-request-id`), which trace (`traceparent`).
//!
//! Pure functions over text and bytes. What a client claims about itself is believed only as far as the operator's
//! count of trusted hops goes.

use std::net::IpAddr;
use std::time::Duration;

use super::head::{self, HOP_BY_HOP, HeadStore, Known, KnownSet};

/// What never stands in a trailer section (RFC 9110 section 6.5.1), beside what belongs to the hop: it frames, routes
/// or authenticates, modifies the request, controls the answer or says what the content is.
const NO_TRAILERS: [&[u8]; 27] = [
    b"authorization",
    b"www-authenticate",
    b"proxy-authentication-info",
    b"authentication-info",
    b"cookie",
    b"set-cookie",
    b"content-type",
    b"content-encoding",
    b"content-range",
    b"content-language",
    b"content-location",
    b"cache-control",
    b"pragma",
    b"max-forwards",
    b"range",
    b"if-match",
    b"if-none-match",
    b"if-modified-since",
    b"if-unmodified-since",
    b"if-range",
    b"age",
    b"expires",
    b"location",
    b"vary",
    b"warning",
    b"accept",
    b"accept-encoding",
];

/// The fields among those that the proxy knows which do not: what a trailer says of the client is not to
/// be taken for ours.
const KNOWN_NO_TRAILERS: KnownSet = HOP_BY_HOP.and(KnownSet::of(&[
    Known::Host,
    Known::ContentLength,
    Known::TransferEncoding,
    Known::Trailer,
    Known::Expect,
    Known::XForwardedFor,
    Known::XForwardedProto,
    Known::XForwardedHost,
    Known::Forwarded,
    Known::SreDegraded,
    Known::RetryAfter,
    Known::Date,
]));

/// Leaves only fields that may stand in a trailer section.
pub fn only_trailers(mut trailers: HeadStore) -> HeadStore {
    let HeadStore { bytes, fields, .. } = &mut trailers;
    fields.retain(|field| {
        let name = field.name.of(bytes);
        let named = || NO_TRAILERS.iter().any(|known| name.eq_ignore_ascii_case(known));
        let refused = KNOWN_NO_TRAILERS.has(field.known) || head::is_twin(name);
        !(refused || field.known == Known::Other && named())
    });
    trailers
}

/// The address of the client, looking past `trusted` proxies in front: the `trusted`-th entry of `X-Forwarded-For`
/// from the right, else the peer. Never the leftmost, which the client writes itself.
pub fn client_ip(store: &HeadStore, peer: IpAddr, trusted: u8) -> IpAddr {
    let mut wanted = usize::from(trusted);
    if wanted == 0 {
        return peer;
    }
    let mut found = peer;
    let lines = store.fields.iter().rev().filter(|field| field.known == Known::XForwardedFor);
    for line in lines {
        for item in line.value.of(&store.bytes).rsplit(|b| *b == b',') {
            if wanted == 0 {
                return found;
            }
            match std::str::from_utf8(item.trim_ascii()).ok().and_then(|text| text.parse().ok()) {
                Some(ip) => found = ip,
                None => return found,
            }
            wanted -= 1;
        }
    }
    found
}

/// How long the peer keeps an idle connection (`Keep-Alive: timeout=5, max=100`), in whole seconds up to a day. `None`:
/// not said, or not one plain number.
pub fn keep_alive_timeout(store: &HeadStore) -> Option<Duration> {
    const MOST: u64 = 86_400;
    let mut said =
        store.all(Known::KeepAlive).flat_map(|value| value.split(|b| *b == b',')).filter_map(|item| {
            let at = item.iter().position(|b| *b == b'=')?;
            let (name, value) = item.split_at(at);
            name.trim_ascii()
                .eq_ignore_ascii_case(b"timeout")
                .then(|| value.get(1..).unwrap_or_default().trim_ascii())
        });
    let text = said.next()?;
    let plain = !text.is_empty() && text.len() <= 18 && text.iter().all(u8::is_ascii_digit);
    if !plain || said.next().is_some() {
        return None;
    }
    let seconds = text.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    Some(Duration::from_secs(seconds.min(MOST)))
}

/// A W3C trace context (<https://www.w3.org/TR/trace-context/>, version 00).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The id that all spans of the trace share.
    pub trace_id: [u8; 16],
    /// Names the span above this one; zero when the trace begins here.
    pub parent: [u8; 8],
    /// Bit 0 says that the trace is sampled.
    pub flags: u8,
}

impl Trace {
    /// The one `traceparent` of a head; `None` when there is none, when it is not valid, and when there are several.
    pub fn of(store: &HeadStore) -> Option<Self> {
        let mut all = store.all(Known::Traceparent);
        all.next().filter(|_| all.next().is_none()).and_then(Self::read)
    }

    /// Reads a `traceparent`; `None` when it is not valid.
    pub fn read(value: &[u8]) -> Option<Self> {
        let mut parts = value.split(|b| *b == b'-');
        let version: [u8; 1] = hex(parts.next()?)?;
        let trace_id: [u8; 16] = hex(parts.next()?)?;
        let parent: [u8; 8] = hex(parts.next()?)?;
        let [flags] = hex(parts.next()?)?;
        let more = parts.next().is_some();
        let valid = version != [0xff] && !(version == [0] && more) && trace_id != [0; 16] && parent != [0; 8];
        valid.then_some(Self { trace_id, parent, flags })
    }

    /// Appends the text of a `traceparent` with `span` as the parent of what follows.
    pub fn write(&self, span: [u8; 8], out: &mut Vec<u8>) {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        hex_into(&mut text[3..35], &self.trace_id);
        hex_into(&mut text[36..52], &span);
        hex_into(&mut text[53..55], &[self.flags]);
        out.extend_from_slice(&text);
    }
}

fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if text.len() != N * 2 {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        for digit in pair {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return None, // upper case is not allowed
            };
            *byte = *byte << 4 | value;
        }
    }
    Some(bytes)
}

/// Writes `bytes` in lower-case hexadecimal over `text`, which has two places for each.
fn hex_into(text: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

/// Appends `bytes` in lower-case hexadecimal.
pub fn put_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    let at = out.len();
    out.resize(at + bytes.len() * 2, b'0');
    hex_into(out.get_mut(at..).unwrap_or_default(), bytes);
}

/// A UUID of version 7 (RFC 9562 section 5.7) as text: `millis` since 1970 and `noise`.
pub fn uuid_v7(millis: u64, noise: [u8; 10]) -> [u8; 36] {
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    bytes[6..].copy_from_slice(&noise);
    uuid(bytes, 7)
}

/// A UUID of version 4 (RFC 9562 section 5.4) as text, of 128 bits of chance.
pub fn uuid_v4(chance: [u64; 2]) -> [u8; 36] {
    uuid((u128::from(chance[0]) << 64 | u128::from(chance[1])).to_be_bytes(), 4)
}

/// A UUID as text: `bytes`, but for its version and its variant.
fn uuid(mut bytes: [u8; 16], version: u8) -> [u8; 36] {
    bytes[6] = version << 4 | bytes[6] & 0x0f;
    bytes[8] = 0x80 | bytes[8] & 0x3f;
    let mut text = *b"00000000-0000-0000-0000-000000000000";
    for (at, part) in [(0, 0..4), (9, 4..6), (14, 6..8), (19, 8..10), (24, 10..16)] {
        let places = part.len() * 2;
        hex_into(&mut text[at..at + places], &bytes[part]);
    }
    text
}

/// Each octet with a dot after it, and how long that is.
const OCTETS: [[u8; 5]; 256] = {
    let mut table = [[0; 5]; 256];
    let mut octet = 0;
    while octet < 256 {
        let digits = [octet / 100, octet / 10 % 10, octet % 10];
        let skip = if octet >= 100 {
            0
        } else if octet >= 10 {
            1
        } else {
            2
        };
        let mut at = 0;
        while skip + at < 3 {
            table[octet][at] = b'0' + digits[skip + at] as u8;
            at += 1;
        }
        table[octet][at] = b'.';
        table[octet][4] = at as u8 + 1;
        octet += 1;
    }
    table
};

/// Appends an address; an IPv6 one without brackets.
pub fn put_ip(out: &mut Vec<u8>, ip: IpAddr) {
    use std::io::Write as _;
    match ip {
        IpAddr::V4(v4) => {
            let mut text = [0; 20];
            let mut at = 0;
            for octet in v4.octets() {
                let [digits @ .., len] = OCTETS[usize::from(octet)];
                text[at..at + 4].copy_from_slice(&digits);
                at += usize::from(len);
            }
            // Without the last dot.
            out.extend_from_slice(&text[..at - 1]);
        }
        // Writing to a Vec cannot fail.
        IpAddr::V6(v6) => drop(write!(out, "{v6}")),
    }
}

/// Appends a decimal number.
pub fn put_number(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// May a request id that a client sent be passed on? 1–128 printable characters that need no quoting anywhere.
pub fn is_request_id(value: &[u8]) -> bool {
    let fits =
        |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':' | b'/' | b'+' | b'=');
    (1..=128).contains(&value.len()) && value.iter().all(fits)
}

/// Appends `for=…` of RFC 7239: an IPv6 address is bracketed and quoted.
pub fn put_forwarded_for(out: &mut Vec<u8>, ip: IpAddr) {
    let brackets: (&[u8], &[u8]) = if ip.is_ipv6() { (b"for=\"[", b"]\"") } else { (b"for=", b"") };
    out.extend_from_slice(brackets.0);
    put_ip(out, ip);
    out.extend_from_slice(brackets.1);
}

/// Is the credential a key of Stripe's test mode (`sk_test_…`, `rk_test_…`), as a bearer or as the name of a Basic one?
pub fn has_test_key(store: &HeadStore) -> bool {
    // The last letter of Basic holds the first bits of what follows, so the comparison ends before it.
    const KEYS: [&[u8]; 2] = [b"sk_test_", b"rk_test_"];
    const BASIC: [&[u8]; 2] = [b"c2tfdGVzdF", b"cmtfdGVzdF"];
    let Some(value) = store.field("authorization") else { return false };
    let Some(space) = value.iter().position(|byte| *byte == b' ') else { return false };
    let (scheme, key) = value.split_at(space);
    let key = key.trim_ascii_start();
    match scheme {
        _ if scheme.eq_ignore_ascii_case(b"bearer") => KEYS.iter().any(|test| key.starts_with(test)),
        _ if scheme.eq_ignore_ascii_case(b"basic") => BASIC.iter().any(|test| key.starts_with(test)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(lines: &[&[u8]]) -> Option<u64> {
        let mut store = HeadStore::default();
        lines.iter().for_each(|value| store.push(b"Keep-Alive", value));
        keep_alive_timeout(&store).map(|said| said.as_secs())
    }

    #[test]
    fn how_long_a_peer_keeps_an_idle_connection_is_one_plain_number() {
        assert_eq!(said(&[b"timeout=5"]), Some(5));
        assert_eq!(said(&[b"max=100 , Timeout = 20"]), Some(20));
        assert_eq!(said(&[b"max=100", b"timeout=7"]), Some(7));
        assert_eq!(said(&[b"timeout=0"]), Some(0));
        assert_eq!(said(&[b"timeout=99999999999"]), Some(86_400));
        for nonsense in
            [&b"timeout"[..], b"timeout=", b"timeout=5s", b"timeout=-1", b"timeout=1.5", b"300", b""]
        {
            assert_eq!(said(&[nonsense]), None, "{}", String::from_utf8_lossy(nonsense));
        }
        assert_eq!(said(&[b"timeout=5, timeout=9"]), None, "which of them?");
        assert_eq!(said(&[b"timeout=9999999999999999999"]), None);
        assert_eq!(said(&[]), None);
    }

    proptest! {
        #[test]
        fn an_address_reads_as_it_is_shown(v4: u32, v6: u128) {
            for ip in [IpAddr::from(v4.to_be_bytes()), IpAddr::from(v6.to_be_bytes())] {
                let mut out = Vec::new();
                put_ip(&mut out, ip);
                prop_assert_eq!(String::from_utf8(out).unwrap(), ip.to_string());
            }
        }

        #[test]
        fn an_id_is_a_uuid_of_version_7(millis in 0_u64..(1 << 48), noise: [u8; 10]) {
            let id = uuid::Builder::from_unix_timestamp_millis(millis, &noise).into_uuid();
            let text = id.to_string();
            prop_assert_eq!(&uuid_v7(millis, noise)[..], text.as_bytes());
        }

        #[test]
        fn a_key_is_a_uuid_of_version_4(chance: [u64; 2]) {
            let bytes = (u128::from(chance[0]) << 64 | u128::from(chance[1])).to_be_bytes();
            let text = uuid::Builder::from_random_bytes(bytes).into_uuid().to_string();
            prop_assert_eq!(&uuid_v4(chance)[..], text.as_bytes());
        }
    }

    fn forwarded(lines: &[&str]) -> HeadStore {
        let mut store = HeadStore::default();
        lines.iter().for_each(|line| store.push(b"X-Forwarded-For", line.as_bytes()));
        store
    }

    #[test]
    fn a_client_cannot_choose_its_address() {
        let peer = IpAddr::from([10, 0, 0, 1]);
        let store = forwarded(&["6.6.6.6, 1.2.3.4", "5.6.7.8"]);
        assert_eq!(client_ip(&store, peer, 0), peer);
        assert_eq!(client_ip(&store, peer, 1), IpAddr::from([5, 6, 7, 8]));
        assert_eq!(client_ip(&store, peer, 2), IpAddr::from([1, 2, 3, 4]));
        assert_eq!(client_ip(&forwarded(&["nonsense"]), peer, 1), peer);
        // However many lines it writes, the last one is its proxy's.
        let mut lines = vec!["6.6.6.6"; 40];
        lines.push("5.6.7.8");
        assert_eq!(client_ip(&forwarded(&lines), peer, 1), IpAddr::from([5, 6, 7, 8]));
    }

    #[test]
    fn a_trace_is_continued_or_begun() {
        let text = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace = Trace::read(text).expect("valid");
        let mut out = Vec::new();
        trace.write([0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7], &mut out);
        assert_eq!(out, text);
        for bad in [
            &b"00-00000000000000000000000000000000-00f067aa0ba902b7-01"[..],
            b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            b"",
        ] {
            assert_eq!(Trace::read(bad), None, "{}", String::from_utf8_lossy(bad));
        }
    }
}
