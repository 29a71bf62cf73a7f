//! One line of the access log, as bytes.
//!
//! Made for every exchange, so it formats by hand: no allocation, and the date only once a second.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use crate::message::fields::put_hex;
use crate::runtime::clock;

/// What a line says.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Line<'a> {
    pub wall: SystemTime,
    pub request_id: &'a str,
    pub trace_id: Option<[u8; 16]>,
    pub client: IpAddr,
    pub method: &'a str,
    pub host: &'a str,
    pub path: &'a str,
    pub status: Option<u16>,
    pub outcome: &'static str,
    pub reason: Option<&'static str>,
    pub route: Option<&'a str>,
    pub upstream: Option<&'a str>,
    pub endpoint: Option<SocketAddr>,
    pub attempts: u32,
    pub first_byte: Option<Duration>,
    pub total: Duration,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub protocol: &'static str,
}

/// The last second that was written, as text.
#[derive(Debug, Default)]
pub(super) struct Seconds {
    second: u64,
    text: String,
}

impl Seconds {
    /// Appends `wall` as RFC 3339 with milliseconds.
    fn put(&mut self, out: &mut Vec<u8>, wall: SystemTime) {
        let since = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if self.second != since.as_secs() || self.text.is_empty() {
            self.second = since.as_secs();
            self.text = clock::rfc3339(SystemTime::UNIX_EPOCH + Duration::from_secs(self.second));
            self.text.truncate("2026-01-01T00:00:00.".len());
        }
        out.extend_from_slice(self.text.as_bytes());
        three(out, since.subsec_millis());
        out.push(b'Z');
    }
}

/// Appends the last three digits.
fn three(out: &mut Vec<u8>, number: u32) {
    let digit = |at: u32| b'0' + (number / at % 10) as u8;
    out.extend_from_slice(&[digit(100), digit(10), digit(1)]);
}

fn number(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends milliseconds with three decimals.
fn millis(out: &mut Vec<u8>, took: Duration) {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    number(out, micros / 1_000);
    out.push(b'.');
    three(out, (micros % 1_000) as u32);
}

fn ip(out: &mut Vec<u8>, ip: IpAddr) {
    use std::io::Write as _;
    match ip {
        IpAddr::V4(v4) => {
            for (at, octet) in v4.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                number(out, octet);
            }
        }
        // Writing to a Vec cannot fail.
        IpAddr::V6(v6) => drop(write!(out, "{v6}")),
    }
}

fn endpoint(out: &mut Vec<u8>, addr: SocketAddr) {
    let brackets = addr.is_ipv6();
    if brackets {
        out.push(b'[');
    }
    ip(out, addr.ip());
    out.extend_from_slice(if brackets { b"]:" } else { b":" });
    number(out, addr.port());
}

/// Appends `value` with the escapes of RFC 8259 section 7.
fn escaped(out: &mut Vec<u8>, value: &str) {
    let plain = |b: u8| b >= b' ' && !matches!(b, b'"' | b'\\' | 0x7f);
    if value.bytes().all(plain) {
        return out.extend_from_slice(value.as_bytes());
    }
    for b in value.bytes() {
        match b {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', b]),
            _ if plain(b) => out.push(b),
            _ => {
                out.extend_from_slice(b"\\u00");
                put_hex(out, &[b]);
            }
        }
    }
}

/// Appends `,"name":"value"`; `name` comes with its quotes and colon.
fn text(out: &mut Vec<u8>, name: &'static str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    escaped(out, value);
    out.push(b'"');
}

/// Appends the path with only those query parameters whose values may be shown; the others keep their name.
fn redacted(out: &mut Vec<u8>, path: &str, keep: &[String]) {
    let Some((path, query)) = path.split_once('?') else { return escaped(out, path) };
    escaped(out, path);
    for (at, pair) in query.split('&').enumerate() {
        out.push(if at == 0 { b'?' } else { b'&' });
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        escaped(out, name);
        if !value.is_empty() {
            out.push(b'=');
            escaped(out, if keep.iter().any(|kept| kept == name) { value } else { "redacted" });
        }
    }
}

impl Line<'_> {
    /// Appends it with its line end; values of the query parameters `keep` are shown.
    pub(super) fn put(&self, out: &mut Vec<u8>, seconds: &mut Seconds, keep: &[String]) {
        out.extend_from_slice(b"{\"time\":\"");
        seconds.put(out, self.wall);
        out.push(b'"');
        text(out, ",\"request_id\":\"", self.request_id);
        if let Some(trace) = self.trace_id {
            out.extend_from_slice(b",\"trace_id\":\"");
            put_hex(out, &trace);
            out.push(b'"');
        }
        out.extend_from_slice(b",\"client\":\"");
        ip(out, self.client);
        out.push(b'"');
        text(out, ",\"method\":\"", self.method);
        text(out, ",\"host\":\"", self.host.rsplit('@').next().unwrap_or_default());
        out.extend_from_slice(b",\"path\":\"");
        redacted(out, self.path, keep);
        out.extend_from_slice(b"\",\"status\":");
        match self.status {
            Some(status) => number(out, status),
            None => out.extend_from_slice(b"null"),
        }
        text(out, ",\"outcome\":\"", self.outcome);
        self.put_way(out);
        self.put_numbers(out);
    }

    /// Why, by which route, to whom: as far as there was one.
    fn put_way(&self, out: &mut Vec<u8>) {
        let named = [
            (",\"reason\":\"", self.reason),
            (",\"route\":\"", self.route),
            (",\"upstream\":\"", self.upstream),
        ];
        for (name, value) in named {
            if let Some(value) = value {
                text(out, name, value);
            }
        }
        if let Some(addr) = self.endpoint {
            out.extend_from_slice(b",\"endpoint\":\"");
            endpoint(out, addr);
            out.push(b'"');
        }
    }

    fn put_numbers(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"attempts\":");
        number(out, self.attempts);
        if let Some(first) = self.first_byte {
            out.extend_from_slice(b",\"first_byte_ms\":");
            millis(out, first);
        }
        out.extend_from_slice(b",\"total_ms\":");
        millis(out, self.total);
        out.extend_from_slice(b",\"bytes_in\":");
        number(out, self.bytes_in);
        out.extend_from_slice(b",\"bytes_out\":");
        number(out, self.bytes_out);
        text(out, ",\"protocol\":\"", self.protocol);
        out.extend_from_slice(b"}\n");
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A line about `path`.
    pub(in crate::telemetry) fn line(path: &str) -> Line<'_> {
        Line {
            wall: SystemTime::UNIX_EPOCH + Duration::from_millis(1_768_000_000_042),
            request_id: "r\"1",
            trace_id: Some([0xab; 16]),
            client: IpAddr::from([127, 0, 0, 1]),
            method: "GET",
            host: "user:secret@a.example",
            path,
            status: Some(200),
            outcome: "ok",
            reason: None,
            route: Some("all"),
            upstream: None,
            endpoint: Some(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 80))),
            attempts: 1,
            first_byte: Some(Duration::from_micros(2_001)),
            total: Duration::from_millis(3),
            bytes_in: 0,
            bytes_out: 7,
            protocol: "1.1",
        }
    }

    fn written(line: &Line<'_>, keep: &[String]) -> String {
        let mut out = Vec::new();
        line.put(&mut out, &mut Seconds::default(), keep);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_line_is_json_and_tells_no_secret() {
        let out = written(&line("/a?token=s3cret&page=2\u{1}&x"), &["page".to_owned()]);
        let read: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!(read["path"], "/a?token=redacted&page=2\u{1}&x");
        assert_eq!(read["host"], "a.example");
        assert_eq!(read["request_id"], "r\"1");
        assert_eq!(read["time"], "2026-01-09T23:06:40.042Z");
        assert_eq!((&read["total_ms"], &read["first_byte_ms"]), (&3.0.into(), &2.001.into()));
        assert_eq!(read["endpoint"], "[::1]:80");
        assert!(!out.contains("s3cret") && !out.contains("user:"));
    }

    proptest! {
        #[test]
        fn whatever_was_asked_for_the_line_says_it(path in "\\PC{0,40}", method in "[!-~]{1,10}", millis in 0_u64..2_000_000_000_000, micros in 0_u64..10_000_000) {
            let wall = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
            let total = Duration::from_micros(micros);
            let asked = path.replace(['?', '&'], "/");
            let out = written(&Line { wall, total, method: &method, ..line(&asked) }, &[]);
            let read: serde_json::Value = serde_json::from_str(&out).expect("JSON");
            prop_assert_eq!(read["path"].as_str(), Some(asked.as_str()));
            prop_assert_eq!(read["method"].as_str(), Some(method.as_str()));
            let time = clock::rfc3339(wall);
            prop_assert_eq!(read["time"].as_str(), Some(time.as_str()));
            prop_assert_eq!(read["total_ms"].as_f64(), Some(micros as f64 / 1_000.0));
        }
    }
}
