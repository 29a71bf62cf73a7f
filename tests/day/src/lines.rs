//! Strop's access log: one line per exchange, counted by request and by series.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use serde::Deserialize;

use crate::ledger::{Outcome, Reason, Told};
use crate::plan::Ask;
use crate::report::Report;

/// What is read of a line.
#[derive(Debug, Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    request_id: &'a str,
    method: &'a str,
    status: Option<u16>,
    outcome: &'a str,
    reason: Option<&'a str>,
    route: Option<&'a str>,
    upstream: Option<&'a str>,
    attempts: u32,
    bytes_in: u64,
    bytes_out: u64,
}

/// What names a count: upstream, then method and status.
pub type ByStatus = (String, String, String);

/// All lines so far.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    /// One row per number.
    pub rows: Vec<Told>,
    /// Lines of exchanges that had a route, by upstream, method and status (`none`: no answer).
    pub by_status: BTreeMap<ByStatus, u64>,
    /// The same by upstream and outcome.
    pub by_outcome: BTreeMap<(String, &'static str), u64>,
    /// The same by upstream and verdict, as far as attempts go.
    pub by_verdict: BTreeMap<(String, &'static str), u64>,
    /// Bytes received and sent, by upstream.
    pub bytes: BTreeMap<String, (u64, u64)>,
    /// Tunnels that were established by CONNECT, by upstream: how many, bytes up, bytes down.
    pub tunnels: BTreeMap<String, (u64, u64, u64)>,
    /// Attempts beyond the first, by upstream.
    pub again: BTreeMap<String, u64>,
    /// Exchanges that the breaker refused, by upstream.
    pub refused: BTreeMap<String, u64>,
    /// Lines of requests whose body was malformed, by reason.
    pub malformed: BTreeMap<String, u64>,
}

/// Reads lines on a thread of its own.
pub struct Reader {
    lines: Arc<Mutex<Lines>>,
    thread: JoinHandle<()>,
}

impl Reader {
    /// Reads `from` to its end, for requests with numbers below `numbers`.
    pub fn start(from: impl Read + Send + 'static, numbers: u32, report: Arc<Report>) -> Self {
        let rows = vec![Told::default(); numbers as usize];
        let lines = Arc::new(Mutex::new(Lines { rows, ..Lines::default() }));
        let filling = Arc::clone(&lines);
        let thread = std::thread::spawn(move || {
            let mut from = BufReader::with_capacity(1 << 20, from);
            let mut text = Vec::new();
            while from.read_until(b'\n', &mut text).is_ok_and(|n| n > 0) {
                let mut lines = filling.lock().unwrap_or_else(PoisonError::into_inner);
                match serde_json::from_slice(&text) {
                    Ok(line) => lines.add(&line, &report),
                    Err(error) => {
                        let text = String::from_utf8_lossy(&text);
                        report.find("an access line that is no JSON", format!("{error}: {text}"));
                    }
                }
                drop(lines);
                text.clear();
            }
        });
        Self { lines, thread }
    }

    /// How many there are so far of exchanges that had a route.
    pub fn routed(&self) -> u64 {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).by_status.values().sum()
    }

    /// All of them so far.
    pub fn snapshot(&self) -> Lines {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All of them, once the process that writes them has left.
    pub fn finish(self) -> Lines {
        // A panic of the thread is a finding by what is missing.
        let _ = self.thread.join();
        std::mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Lines {
    fn add(&mut self, line: &Line<'_>, report: &Report) {
        let (outcome, reason) = (Outcome::read(line.outcome), line.reason.and_then(Reason::read));
        if outcome.is_none() || (line.reason.is_some() && reason.is_none()) {
            report.find("an unknown outcome or reason", format!("{line:?}"));
        }
        match Ask::number_of(line.request_id).and_then(|number| self.rows.get_mut(number as usize)) {
            Some(row) => {
                *row = Told {
                    lines: row.lines.saturating_add(1),
                    status: line.status.unwrap_or(0),
                    outcome,
                    reason,
                    routed: line.route.is_some(),
                    attempts: line.attempts as u8,
                    received: line.bytes_in as u32,
                    sent: line.bytes_out as u32,
                };
            }
            // What could not be read has an id that Strop made: no ask is known by it.
            None if line.method.is_empty()
                && line.status.is_some_and(|status| (400..600).contains(&status)) => {}
            None => report.find("an access line of nobody", format!("{line:?}")),
        }
        if let Some(reason) = line.reason.filter(|reason| *reason == "bad_chunk") {
            *self.malformed.entry(reason.to_owned()).or_default() += 1;
        }
        if let Some(upstream) = line.upstream {
            self.routed(line, upstream);
        }
    }

    fn routed(&mut self, line: &Line<'_>, upstream: &str) {
        let name = || upstream.to_owned();
        let status = line.status.map_or_else(|| "none".to_owned(), |status| status.to_string());
        *self.by_status.entry((name(), line.method.to_owned(), status)).or_default() += 1;
        if let Some(outcome) = Outcome::read(line.outcome) {
            *self.by_outcome.entry((name(), outcome.word())).or_default() += 1;
        }
        let bytes = self.bytes.entry(name()).or_default();
        bytes.0 += line.bytes_in;
        bytes.1 += line.bytes_out;
        if line.method == "CONNECT" && line.status == Some(200) {
            let tunnels = self.tunnels.entry(name()).or_default();
            tunnels.0 += 1;
            tunnels.1 += line.bytes_in;
            tunnels.2 += line.bytes_out;
        }
        if line.reason.is_some_and(|reason| reason.starts_with("breaker_")) {
            *self.refused.entry(name()).or_default() += 1;
        }
        if line.attempts > 0 {
            *self.by_verdict.entry((name(), verdict(line))).or_default() += 1;
            // Only one that failed before anything left is followed by another, and its connection was reset or none.
            let before = u64::from(line.attempts - 1);
            let why = if upstream == "dead" { "connect" } else { "reset" };
            if before > 0 {
                *self.by_verdict.entry((name(), why)).or_default() += before;
                *self.again.entry(name()).or_default() += before;
            }
        }
    }
}

/// How the last attempt of an exchange counts, as README.md says it.
fn verdict(line: &Line<'_>) -> &'static str {
    if line.method == "CONNECT" && line.status == Some(200) {
        return match (line.bytes_out, line.outcome) {
            (1.., _) => "good",
            (0, "upstream_failed") => "reset",
            (0, _) => "abandoned",
        };
    }
    match (line.reason, line.status) {
        (Some("connect_failed"), _) => "connect",
        (Some("connect_timeout" | "upstream_timeout"), _) => "timeout",
        (Some("connection_broken"), _) => "reset",
        (Some("bad_upstream_answer"), _) => "protocol",
        (_, Some(503)) if line.upstream == Some("held") => "none",
        // The day's 503 has a Retry-After.
        (None | Some("body_broken" | "client_gone"), Some(429 | 503)) => "rate_limited",
        (None | Some("body_broken" | "client_gone"), Some(500 | 502 | 504)) => "status",
        (None | Some("body_broken"), Some(_)) => "good",
        (Some("client_gone"), Some(status)) if status != 499 => "good",
        _ => "abandoned",
    }
}
