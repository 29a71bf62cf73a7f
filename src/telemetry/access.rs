//! One JSON line per exchange, written by a thread of its own.
//!
//! A line is made in the worker's memory and handed over without waiting; when the writer is behind, lines are
//! dropped and counted. Never in a line: credentials, cookies, bodies, query parameters that are not listed.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;

use crate::config::{self, AccessSink};
use crate::runtime::clock;

/// Lines that may wait for the writer.
const WAITING: usize = 8_192;

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

enum Order {
    Line(Box<str>),
    Sink(AccessSink),
    Flush(SyncSender<()>),
}

/// The access log.
#[derive(Clone)]
pub struct AccessLog(Arc<Inner>);

struct Inner {
    on: AtomicBool,
    /// Share of plain successes that get a line, out of 2^32.
    sample: AtomicU64,
    keep_query: ArcSwap<Vec<String>>,
    orders: Mutex<Option<SyncSender<Order>>>,
    dropped: AtomicU64,
}

thread_local! {
    static SENDER: RefCell<Option<SyncSender<Order>>> = const { RefCell::new(None) };
    static TEXT: RefCell<String> = const { RefCell::new(String::new()) };
}

impl AccessLog {
    /// Writes nothing.
    pub fn off() -> Self {
        Self(Arc::new(Inner {
            on: AtomicBool::new(false),
            sample: AtomicU64::new(0),
            keep_query: ArcSwap::default(),
            orders: Mutex::new(None),
            dropped: AtomicU64::new(0),
        }))
    }

    /// Starts the writer's thread.
    pub fn start(config: &config::AccessLog) -> std::io::Result<Self> {
        let log = Self::off();
        let (orders, inbox) = sync_channel(WAITING);
        std::thread::Builder::new().name("strop-access".to_owned()).spawn(move || write_all(&inbox))?;
        *log.0.orders.lock().unwrap_or_else(PoisonError::into_inner) = Some(orders);
        log.reconfigure(config);
        Ok(log)
    }

    /// Takes a new config; a file is opened again, so a rotated one is let go.
    pub fn reconfigure(&self, config: &config::AccessLog) {
        self.0.sample.store((config.sample.clamp(0.0, 1.0) * f64::from(u32::MAX)) as u64, Ordering::Relaxed);
        self.0.keep_query.store(Arc::new(config.keep_query.clone()));
        if let Some(sink) = &config.to {
            self.order(Order::Sink(sink.clone()));
        }
        self.0.on.store(config.to.is_some(), Ordering::Relaxed);
    }

    /// Does it write at all?
    pub fn is_on(&self) -> bool {
        self.0.on.load(Ordering::Relaxed)
    }

    /// Does this exchange get a line? Everything that is not a plain success does.
    pub fn wants(&self, plain: bool, draw: u64) -> bool {
        !plain || (draw >> 32) <= self.0.sample.load(Ordering::Relaxed)
    }

    /// Lines that were dropped.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Hands over one line.
    pub fn write(&self, line: &Line<'_>) {
        let text = TEXT.with_borrow_mut(|text| {
            text.clear();
            self.format(line, text);
            Box::<str>::from(text.as_str())
        });
        self.order(Order::Line(text));
    }

    fn order(&self, order: Order) {
        SENDER.with_borrow_mut(|sender| {
            if sender.is_none() {
                *sender = self.0.orders.lock().unwrap_or_else(PoisonError::into_inner).clone();
            }
            let Some(sender) = sender else { return };
            if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = sender.try_send(order) {
                self.0.dropped.fetch_add(1, Ordering::Relaxed);
            }
        });
    }

    /// Waits until everything handed over so far is written, for at most `patience`.
    pub fn flush(&self, patience: Duration) {
        let (done, wait) = sync_channel(1);
        self.order(Order::Flush(done));
        // Too late is too late: the process is leaving.
        let _ = wait.recv_timeout(patience);
    }

    fn format(&self, line: &Line<'_>, out: &mut String) {
        let keep = self.0.keep_query.load();
        // Writing to a String cannot fail.
        let _ = write!(out, "{{\"time\":\"{}\"", clock::rfc3339(line.wall));
        text(out, "request_id", line.request_id);
        if let Some(trace) = line.trace_id {
            let mut id = Vec::with_capacity(32);
            crate::message::fields::put_hex(&mut id, &trace);
            text(out, "trace_id", std::str::from_utf8(&id).unwrap_or_default());
        }
        let _ = write!(out, ",\"client\":\"{}\"", line.client);
        text(out, "method", line.method);
        text(out, "host", line.host.rsplit('@').next().unwrap_or_default());
        text(out, "path", &redacted(line.path, &keep));
        match line.status {
            Some(status) => {
                let _ = write!(out, ",\"status\":{status}");
            }
            None => out.push_str(",\"status\":null"),
        }
        text(out, "outcome", line.outcome);
        for (name, value) in [("reason", line.reason), ("route", line.route), ("upstream", line.upstream)] {
            if let Some(value) = value {
                text(out, name, value);
            }
        }
        if let Some(endpoint) = line.endpoint {
            let _ = write!(out, ",\"endpoint\":\"{endpoint}\"");
        }
        let _ = write!(out, ",\"attempts\":{}", line.attempts);
        if let Some(first) = line.first_byte {
            let _ = write!(out, ",\"first_byte_ms\":{:.3}", first.as_secs_f64() * 1_000.0);
        }
        let _ = write!(
            out,
            ",\"total_ms\":{:.3},\"bytes_in\":{},\"bytes_out\":{},\"protocol\":\"{}\"}}",
            line.total.as_secs_f64() * 1_000.0,
            line.bytes_in,
            line.bytes_out,
            line.protocol
        );
    }
}

/// The path with only those query parameters whose values may be shown; the others keep their name.
fn redacted(path: &str, keep: &[String]) -> String {
    let Some((path, query)) = path.split_once('?') else { return path.to_owned() };
    let mut out = String::with_capacity(path.len() + query.len());
    out.push_str(path);
    for (at, pair) in query.split('&').enumerate() {
        out.push(if at == 0 { '?' } else { '&' });
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        out.push_str(name);
        if !value.is_empty() {
            out.push('=');
            out.push_str(if keep.iter().any(|kept| kept == name) { value } else { "redacted" });
        }
    }
    out
}

/// Appends `,"name":"value"` with the escapes of RFC 8259 section 7.
fn text(out: &mut String, name: &str, value: &str) {
    out.push_str(",\"");
    out.push_str(name);
    out.push_str("\":\"");
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{0}'..='\u{1f}' | '\u{7f}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}

fn open(sink: &AccessSink) -> Box<dyn std::io::Write> {
    match sink {
        AccessSink::Stdout => Box::new(std::io::stdout()),
        AccessSink::File(path) => match std::fs::OpenOptions::new().create(true).append(true).open(path) {
            Ok(file) => Box::new(std::io::BufWriter::with_capacity(64 * 1024, file)),
            Err(error) => {
                super::event::Event::AccessLogFailed { error: &error.to_string() }.tell();
                Box::new(std::io::sink())
            }
        },
    }
}

fn write_all(inbox: &Receiver<Order>) {
    let mut sink: Box<dyn std::io::Write> = Box::new(std::io::sink());
    let mut block: Vec<u8> = Vec::with_capacity(64 * 1024);
    while let Ok(order) = inbox.recv() {
        let mut next = Some(order);
        let mut flushed = Vec::new();
        while let Some(order) = next.take() {
            match order {
                Order::Line(line) => {
                    block.extend_from_slice(line.as_bytes());
                    block.push(b'\n');
                }
                Order::Sink(wanted) => {
                    let _ = sink.write_all(&block).and_then(|()| sink.flush());
                    block.clear();
                    sink = open(&wanted);
                }
                Order::Flush(done) => flushed.push(done),
            }
            if block.len() < 48 * 1024 {
                next = inbox.try_recv().ok();
            }
        }
        // A full disk or a closed pipe must not reach a request; the lines are lost.
        let _ = sink.write_all(&block).and_then(|()| sink.flush());
        block.clear();
        flushed.into_iter().for_each(|done| {
            let _ = done.send(());
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(path: &str) -> Line<'_> {
        Line {
            wall: SystemTime::UNIX_EPOCH,
            request_id: "r\"1",
            trace_id: None,
            client: IpAddr::from([127, 0, 0, 1]),
            method: "GET",
            host: "user:secret@a.example",
            path,
            status: Some(200),
            outcome: "ok",
            reason: None,
            route: Some("all"),
            upstream: None,
            endpoint: None,
            attempts: 1,
            first_byte: Some(Duration::from_millis(2)),
            total: Duration::from_millis(3),
            bytes_in: 0,
            bytes_out: 7,
            protocol: "1.1",
        }
    }

    #[test]
    fn a_line_is_json_and_tells_no_secret() {
        let log = AccessLog::off();
        log.0.keep_query.store(Arc::new(vec!["page".to_owned()]));
        let mut out = String::new();
        log.format(&line("/a?token=s3cret&page=2\u{1}&x"), &mut out);
        let read: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!(read["path"], "/a?token=redacted&page=2\u{1}&x");
        assert_eq!(read["host"], "a.example");
        assert_eq!(read["request_id"], "r\"1");
        assert_eq!(read["total_ms"], 3.0);
        assert!(!out.contains("s3cret") && !out.contains("user:"));
    }

    #[test]
    fn lines_reach_a_file_in_order() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("access.log");
        let to = Some(AccessSink::File(path.clone()));
        let log =
            AccessLog::start(&config::AccessLog { to, sample: 1.0, keep_query: Vec::new() }).expect("starts");
        for path in ["/1", "/2", "/3"] {
            log.write(&line(path));
        }
        log.flush(Duration::from_secs(10));
        let text = std::fs::read_to_string(&path).expect("written");
        let paths: Vec<_> = text.lines().map(|line| line.contains("\"path\":\"/")).collect();
        assert_eq!(paths, [true; 3]);
    }
}
