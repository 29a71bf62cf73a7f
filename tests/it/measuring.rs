use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use crate::support::eventually;
use crate::support::proxy::{ingress_to, proxy};
use crate::support::upstream::{Upstream, status};

#[test]
fn a_window_shows_what_was_measured() {
    let backend = Upstream::start(Arc::new(|seen, stream| {
        if seen.path() == "/slow" {
            std::thread::sleep(Duration::from_millis(120)); // the upstream's own slowness
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_ok()
    }));
    let proxy = ingress_to(
        backend.address,
        r#"
            [latency]
            slow = "100ms"
        "#,
    );
    for n in 0..20 {
        proxy.get(if n % 4 == 0 { "/slow" } else { "/fast" });
    }
    let series = || {
        let performance = proxy.sre("performance");
        let all = performance["series"].as_array().expect("a list").clone();
        all.into_iter().find(|series| series["direction"] == "ingress").expect("ours")
    };
    eventually("the second turns", || series()["windows"][1]["total"]["count"] == 20);
    let window = &series()["windows"][1];
    // The backend itself waited this long, so nothing shorter can be the truth.
    assert!(window["total"]["max_ms"].as_f64() >= Some(120.0), "{window}");
    assert!(window["first_byte"]["p99_ms"].as_f64() >= Some(119.0), "{window}");
    assert!(window["total"]["p50_ms"].as_f64() < window["total"]["p90_ms"].as_f64(), "{window}");
    assert_eq!(window["total"]["p99_is_only_max"], true);
    assert_eq!(proxy.metric("slow_requests_total", ""), 5.0);
    assert_eq!(proxy.metric("http_request_duration_ms_count", "route=\"default\""), 20.0);
    assert_eq!(proxy.metric("http_server_request_duration_seconds_count", ""), 20.0);
    let log = proxy.admin_get("/api/v2/sre/latency.hlog").text();
    assert!(log.contains("Tag=ingress.default.backend,"), "{log}");
}

#[test]
fn openmetrics_carries_the_trace_of_a_request() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\ntraceparent: 00-{trace}-00f067aa0ba902b7-01\r\n\r\n"
    );
    crate::support::raw::ask(proxy.ingress(), &request);
    let scrape = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAccept: application/openmetrics-text; version=1.0.0\r\n\r\n";
    eventually("the exchange is counted with its trace", || {
        let answer = crate::support::raw::ask_http1(proxy.admin(), scrape);
        let kind = answer.field("content-type").unwrap_or_default();
        assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
        let text = answer.text();
        assert!(text.ends_with("# EOF\n"), "{text}");
        text.contains(&format!("# {{trace_id=\"{trace}\"}}"))
    });
}

#[test]
fn an_access_line_tells_the_story_and_no_secret() {
    let backend = Upstream::start(status(200));
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("access.log");
    let proxy = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{}"]
            [access_log]
            to = "file:{}"
        "#,
        backend.address,
        path.display()
    ));
    let request = "GET /pay?token=s3cret HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer s3cret\r\nCookie: s3cret\r\nConnection: close\r\n\r\n";
    let answer = crate::support::raw::ask(proxy.ingress(), request);
    let mut text = String::new();
    eventually("the line is written", || {
        text = std::fs::read_to_string(&path).unwrap_or_default();
        text.ends_with('\n')
    });
    let line: serde_json::Value = serde_json::from_str(text.trim()).expect("JSON");
    assert_eq!(line["request_id"].as_str(), answer.field("x-request-id"));
    assert_eq!(
        (line["status"].as_u64(), line["route"].as_str(), line["attempts"].as_u64()),
        (Some(200), Some("default"), Some(1))
    );
    assert_eq!(line["path"], "/pay?token=redacted");
    assert!(!text.contains("s3cret"));
}

#[test]
fn a_dump_equals_an_offline_histogram_of_the_same_requests() {
    let backend = Upstream::start(Arc::new(|seen, stream| {
        let wait = seen.path().trim_start_matches('/').parse().unwrap_or(0);
        std::thread::sleep(Duration::from_micros(wait)); // the upstream's own slowness
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_ok()
    }));
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("access.log");
    let proxy = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{}"]
            [access_log]
            to = "file:{}"
        "#,
        backend.address,
        path.display()
    ));
    let mut client = crate::support::raw::Client::to(proxy.ingress());
    const REQUESTS: usize = 400;
    for n in 0..REQUESTS {
        let wait = [0, 50, 300, 1_000, 7_000][n % 5];
        client.send(format!("GET /{wait} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        assert_eq!(client.response(false).expect("answered").status, 200);
    }
    let mut lines = Vec::new();
    eventually("every request has its line", || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        lines =
            text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()).collect();
        lines.len() == REQUESTS
    });
    let mut offline = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 120_000_000, 3).expect("bounds");
    for line in &lines {
        let micros = (line["total_ms"].as_f64().expect("a number") * 1_000.0).round() as u64;
        offline.record(micros).expect("in range");
    }
    let mut dumped = offline.clone();
    eventually("the second turns", || {
        dumped = dump(&proxy.admin_get("/api/v2/sre/latency.hlog").text());
        dumped.len() == REQUESTS as u64
    });
    // The line's three decimals are microseconds, rounded; the histogram's are cut off: one microsecond, or one cell.
    for quantile in [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0] {
        let (a, b) = (offline.value_at_quantile(quantile), dumped.value_at_quantile(quantile));
        assert!(a.abs_diff(b) <= 1 + a / 1_000, "{quantile}: {a} offline, {b} dumped");
    }
}

/// All histograms of an interval log as one.
fn dump(log: &str) -> hdrhistogram::Histogram<u64> {
    use base64::Engine as _;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
    let mut all = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 120_000_000, 3).expect("bounds");
    for entry in IntervalLogIterator::new(log.as_bytes()) {
        if let LogEntry::Interval(interval) = entry.expect("a valid log") {
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(interval.encoded_histogram())
                .expect("base64");
            let read: hdrhistogram::Histogram<u64> =
                Deserializer::new().deserialize(&mut bytes.as_slice()).expect("a histogram");
            all.add(read).expect("the same bounds");
        }
    }
    all
}

#[test]
fn what_each_thread_ran_and_waited_is_told_and_never_falls() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let of = |family: &str, thread: &str| proxy.metric(family, &format!("thread=\"{thread}\""));
    let before = of("strop_thread_cpu_seconds_total", "worker-0");
    let waited = of("strop_thread_wait_seconds_total", "worker-0");
    eventually("the worker's time grows with its requests", || {
        (0..50).for_each(|_| drop(proxy.get("/")));
        of("strop_thread_cpu_seconds_total", "worker-0") > before
    });
    assert!(of("strop_thread_wait_seconds_total", "worker-0") >= waited);
    assert!(of("strop_thread_cpu_seconds_total", "control") > 0.0, "the metrics themselves are made there");
    assert!(
        proxy.admin_get("/metrics").text().contains("strop_thread_preemptions_total{thread=\"worker-0\"}")
    );
}

#[test]
fn how_long_a_worker_was_busy_and_the_longest_that_one_task_held_it() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let of = |family: &str| proxy.metric(family, "thread=\"worker-0\"");
    let before = of("strop_worker_busy_seconds_total");
    eventually("the worker is busy with its requests", || {
        (0..50).for_each(|_| drop(proxy.get("/")));
        of("strop_worker_busy_seconds_total") > before
    });
    let longest = of("strop_worker_longest_poll_seconds");
    assert!(longest > 0.0 && longest <= of("strop_worker_busy_seconds_total"), "one of them: {longest}");
    let metrics = proxy.admin_get("/metrics").text();
    assert!(!metrics.contains("strop_worker_busy_seconds_total{thread=\"control\"}"), "of workers");
}

#[test]
fn who_writes_a_log_takes_the_cpu_from_no_worker() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    assert_eq!(proxy.get("/").status, 200);
    let policies: BTreeMap<String, String> = std::fs::read_dir(format!("/proc/{}/task", proxy.pid()))
        .expect("its threads")
        .flatten()
        .filter_map(|task| {
            let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
            let (before, after) = stat.rsplit_once(") ")?;
            let (_, name) = before.split_once('(')?;
            Some((name.to_owned(), after.split(' ').nth(41 - 3)?.to_owned()))
        })
        .collect();
    let (batch, other) = ("3", "0");
    for patient in ["strop-access", "strop-log", "strop-config"] {
        assert_eq!(policies[patient], batch, "{policies:?}");
    }
    // What control starts, a hook among it, would inherit it.
    for impatient in ["strop-worker-0", "strop-control", "strop-pauses"] {
        assert_eq!(policies[impatient], other, "{policies:?}");
    }
}
