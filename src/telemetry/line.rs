//! One line of the access log, as bytes.
//!
//! Made for every exchange, so it formats by hand: no allocation, and the date only once a second.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use crate::message::fields::{put_hex, put_ip, put_number};
use crate::runtime::clock;

/// What a line says. Request id, method and host hold no letter that JSON would have to escape, and the path only visible
/// ASCII: the parsers refuse everything else.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct AccessLine<'a> {
    pub wall: SystemTime,
    pub request_id: &'a [u8],
    pub trace_id: Option<[u8; 16]>,
    pub client: IpAddr,
    pub method: &'a [u8],
    pub host: &'a [u8],
    pub path: &'a [u8],
    pub status: Option<u16>,
    pub outcome: &'static str,
    pub reason: Option<&'static str>,
    /// It took longer than `latency.slow`.
    pub slow: bool,
    /// Made by [`way`], once per route.
    pub way: &'a [u8],
    /// Made by [`endpoint`], once per endpoint.
    pub endpoint: &'a [u8],
    pub attempts: u32,
    /// Endpoints that an attempt failed at.
    pub tried: &'a [SocketAddr],
    pub first_byte: Option<Duration>,
    pub total: Duration,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub protocol: &'static str,
}

/// The last second that was written, as text.
#[derive(Debug, Default)]
pub(super) struct SecondText {
    second: u64,
    text: String,
}

impl SecondText {
    /// Appends `wall` as RFC 3339 with milliseconds.
    fn put(&mut self, out: &mut Vec<u8>, wall: SystemTime) {
        let since = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if self.second != since.as_secs() || self.text.is_empty() {
            self.second = since.as_secs();
            self.text.clear();
            clock::put_rfc3339(&mut self.text, SystemTime::UNIX_EPOCH + Duration::from_secs(self.second));
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

/// Appends milliseconds with three decimals.
fn millis(out: &mut Vec<u8>, took: Duration) {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    put_number(out, micros / 1_000);
    out.push(b'.');
    three(out, (micros % 1_000) as u32);
}

/// The part of a line that names a route and its upstream.
pub fn way(route: &str, upstream: &str) -> Box<[u8]> {
    format!(",\"route\":\"{route}\",\"upstream\":\"{upstream}\"").into_bytes().into()
}

/// The part of a line that names an endpoint.
pub fn endpoint(addr: SocketAddr) -> Box<[u8]> {
    format!(",\"endpoint\":\"{addr}\"").into_bytes().into()
}

/// Appends a part of a path with the escapes of RFC 8259 section 7. A head's path is visible ASCII, so
/// only two letters need one.
fn escaped(out: &mut Vec<u8>, value: &[u8]) {
    let mut rest = value;
    while let Some(at) = memchr::memchr2(b'"', b'\\', rest) {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        out.push(b'\\');
        out.extend_from_slice(rest.get(at..=at).unwrap_or_default());
        rest = rest.get(at + 1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// Longest method, host and path of a line for a tap, in bytes.
const TAPPED: [usize; 3] = [32, 255, 512];

/// A text of a request, cut at `most` bytes. A dot of three ends what was cut: no part of a head has one of its own.
fn cut(out: &mut Vec<u8>, text: &[u8], most: usize) {
    match text.get(..most).filter(|_| text.len() > most) {
        Some(kept) => {
            escaped(out, kept);
            out.extend_from_slice("…".as_bytes());
        }
        None => escaped(out, text),
    }
}

/// Appends `value` and the quote that ends it after `before`: for names of ours, which need no escapes.
fn named(out: &mut Vec<u8>, before: &'static str, value: &str) {
    out.extend_from_slice(before.as_bytes());
    out.extend_from_slice(value.as_bytes());
    out.push(b'"');
}

/// Appends the path with only those query parameters whose values may be shown; the others keep their name.
fn redacted(out: &mut Vec<u8>, path: &[u8], keep: &[String]) {
    let Some(at) = memchr::memchr(b'?', path) else { return escaped(out, path) };
    let (path, query) = (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default());
    escaped(out, path);
    for (at, pair) in query.split(|b| *b == b'&').enumerate() {
        out.push(if at == 0 { b'?' } else { b'&' });
        let Some(end) = pair.iter().position(|b| *b == b'=') else {
            // Without a name it may itself be the secret.
            let shown = pair.is_empty() || keep.iter().any(|kept| kept.as_bytes() == pair);
            escaped(out, if shown { pair } else { b"redacted" });
            continue;
        };
        let (name, value) = (pair.get(..end).unwrap_or_default(), pair.get(end + 1..).unwrap_or_default());
        escaped(out, name);
        if !value.is_empty() {
            out.push(b'=');
            escaped(out, if keep.iter().any(|kept| kept.as_bytes() == name) { value } else { b"redacted" });
        }
    }
}

impl AccessLine<'_> {
    /// Appends it with its line end; values of the query parameters `keep` are shown.
    pub(super) fn put(&self, out: &mut Vec<u8>, seconds: &mut SecondText, keep: &[String]) {
        out.extend_from_slice(b"{\"timestamp\":\"");
        seconds.put(out, self.wall);
        // The old name, for one version.
        out.extend_from_slice(b"\",\"time\":\"");
        seconds.put(out, self.wall);
        self.put_names(out);
        out.extend_from_slice(b"\",\"method\":\"");
        out.extend_from_slice(self.method);
        out.extend_from_slice(b"\",\"host\":\"");
        out.extend_from_slice(self.host);
        out.extend_from_slice(b"\",\"path\":\"");
        redacted(out, self.path, keep);
        self.put_end(out);
    }

    /// The same for a tap: the path ends where its query begins, and what a request says is cut at a bound.
    pub(super) fn put_tapped(&self, out: &mut Vec<u8>, seconds: &mut SecondText) {
        out.extend_from_slice(b"{\"timestamp\":\"");
        seconds.put(out, self.wall);
        self.put_names(out);
        let path = self.path.split(|b| *b == b'?').next().unwrap_or_default();
        let [method, host, longest] = TAPPED;
        out.extend_from_slice(b"\",\"method\":\"");
        cut(out, self.method, method);
        out.extend_from_slice(b"\",\"host\":\"");
        cut(out, self.host, host);
        out.extend_from_slice(b"\",\"path\":\"");
        cut(out, path, longest);
        self.put_end(out);
    }

    fn put_names(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\",\"request_id\":\"");
        out.extend_from_slice(self.request_id);
        if let Some(trace) = self.trace_id {
            out.extend_from_slice(b"\",\"trace_id\":\"");
            put_hex(out, &trace);
        }
        out.extend_from_slice(b"\",\"client\":\"");
        put_ip(out, self.client);
    }

    fn put_end(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\",\"status\":");
        match self.status {
            Some(status) => put_number(out, status),
            None => out.extend_from_slice(b"null"),
        }
        named(out, ",\"outcome\":\"", self.outcome);
        if let Some(reason) = self.reason {
            named(out, ",\"reason\":\"", reason);
        }
        if self.slow {
            // The guide's word, for whoever searches the log.
            out.extend_from_slice(b",\"event\":\"slow_request\"");
        }
        out.extend_from_slice(self.way);
        out.extend_from_slice(self.endpoint);
        self.put_numbers(out);
    }

    fn put_numbers(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"attempts\":");
        put_number(out, self.attempts);
        for (at, endpoint) in self.tried.iter().enumerate() {
            out.extend_from_slice(if at == 0 { b",\"failed_at\":[\"" } else { b",\"" });
            out.extend_from_slice(endpoint.to_string().as_bytes());
            out.push(b'"');
        }
        if !self.tried.is_empty() {
            out.push(b']');
        }
        if let Some(first) = self.first_byte {
            out.extend_from_slice(b",\"first_byte_ms\":");
            millis(out, first);
        }
        out.extend_from_slice(b",\"total_ms\":");
        millis(out, self.total);
        out.extend_from_slice(b",\"bytes_in\":");
        put_number(out, self.bytes_in);
        out.extend_from_slice(b",\"bytes_out\":");
        put_number(out, self.bytes_out);
        named(out, ",\"protocol\":\"", self.protocol);
        out.extend_from_slice(b"}\n");
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A line about `path`.
    pub(in crate::telemetry) fn line(path: &str) -> AccessLine<'_> {
        AccessLine {
            wall: SystemTime::UNIX_EPOCH + Duration::from_millis(1_768_000_000_042),
            request_id: b"r-1",
            trace_id: Some([0xab; 16]),
            client: IpAddr::from([127, 0, 0, 1]),
            method: b"GET",
            host: b"a.example",
            path: path.as_bytes(),
            status: Some(200),
            outcome: "ok",
            reason: None,
            slow: false,
            way: b",\"route\":\"all\",\"upstream\":\"backend\"",
            endpoint: b",\"endpoint\":\"[::1]:80\"",
            attempts: 1,
            tried: &[],
            first_byte: Some(Duration::from_micros(2_001)),
            total: Duration::from_millis(3),
            bytes_in: 0,
            bytes_out: 7,
            protocol: "1.1",
        }
    }

    #[test]
    fn parts_are_made_as_they_are_shown() {
        let line = line("/");
        assert_eq!(*way("all", "backend"), *line.way);
        assert_eq!(*endpoint(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 80))), *line.endpoint);
    }

    fn written(line: &AccessLine<'_>, keep: &[String]) -> String {
        let mut out = Vec::new();
        line.put(&mut out, &mut SecondText::default(), keep);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_line_is_json_and_tells_no_secret() {
        assert!(written(&line("/a?s3cret"), &[]).contains("\"path\":\"/a?redacted\""));
        let out = written(&line("/a?token=s3cret&page=2\\\"&page"), &["page".to_owned()]);
        let read: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!(read["path"], "/a?token=redacted&page=2\\\"&page");
        assert_eq!(read["host"], "a.example");
        assert_eq!(read["request_id"], "r-1");
        assert_eq!(
            (&read["timestamp"], &read["time"]),
            (&"2026-01-09T23:06:40.042Z".into(), &read["timestamp"])
        );
        assert_eq!((&read["total_ms"], &read["first_byte_ms"]), (&3.0.into(), &2.001.into()));
        assert_eq!(read["endpoint"], "[::1]:80");
        assert!(read["failed_at"].is_null());
        let tried = [80, 81].map(|port| SocketAddr::from(([10, 0, 0, 7], port)));
        let out = written(&AccessLine { tried: &tried, ..line("/") }, &[]);
        let read: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!(read["failed_at"], serde_json::json!(["10.0.0.7:80", "10.0.0.7:81"]));
        assert!(!out.contains("s3cret"));
    }

    #[test]
    fn a_line_for_a_tap_has_no_query_and_an_end() {
        let tapped = |line: &AccessLine<'_>| {
            let mut out = Vec::new();
            line.put_tapped(&mut out, &mut SecondText::default());
            let text = String::from_utf8(out).expect("text");
            serde_json::from_str::<serde_json::Value>(&text).expect("JSON")
        };
        let read = tapped(&line("/a\"b?page=2&s3cret"));
        assert_eq!(read["path"], "/a\"b");
        assert!(read["time"].is_null() && read["timestamp"] == "2026-01-09T23:06:40.042Z");
        assert_eq!(
            (&read["outcome"], &read["route"], &read["endpoint"]),
            (&"ok".into(), &"all".into(), &"[::1]:80".into())
        );
        let (long, host) = ("/".repeat(600), "h".repeat(300));
        let read = tapped(&AccessLine { host: host.as_bytes(), method: &[b'M'; 40], ..line(&long) });
        let letters = |field: &str| read[field].as_str().expect("text").chars().count();
        assert_eq!(["method", "host", "path"].map(letters), TAPPED.map(|most| most + 1));
        assert!(read["path"].as_str().is_some_and(|path| path.ends_with("/…")));
    }

    proptest! {
        #[test]
        fn whatever_was_asked_for_the_line_says_it(path in "[ -~]{0,40}", method in "[!#-Z^-~]{1,10}", millis in 0_u64..2_000_000_000_000, micros in 0_u64..10_000_000) {
            let wall = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
            let total = Duration::from_micros(micros);
            let asked = path.replace(['?', '&'], "/");
            let out = written(&AccessLine { wall, total, method: method.as_bytes(), ..line(&asked) }, &[]);
            let read: serde_json::Value = serde_json::from_str(&out).expect("JSON");
            prop_assert_eq!(read["path"].as_str(), Some(asked.as_str()));
            prop_assert_eq!(read["method"].as_str(), Some(method.as_str()));
            let time = clock::rfc3339(wall);
            prop_assert_eq!(read["timestamp"].as_str(), Some(time.as_str()));
            prop_assert_eq!(read["total_ms"].as_f64(), Some(micros as f64 / 1_000.0));
        }
    }
}
