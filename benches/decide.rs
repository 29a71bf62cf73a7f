//! What a request pays for decisions: nanoseconds of the pure parts and of the gate around them.
//!
//! `cargo bench --bench decide`. Budget: admit and settle together at most 30 ns, a record at most 30 ns; what turns the
//! windows of 560 active series, once a second and off the request path, at most 10 ms.

#![allow(clippy::disallowed_methods, reason = "a bench is its own clock")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use strop::config::presets;
use strop::message::h1::chunked::{ChunkStep, Chunked};
use strop::message::h1::parse::{self, HeadLimits, Parsed};
use strop::message::h1::write::{self, Edits};
use strop::names::{RouteName, UpstreamName};
use strop::reliability::balance::{self, Rank};
use strop::reliability::breaker::{Breaker, ExchangeEvidence, PermitRequest};
use strop::reliability::verdict::{BadReason, JudgePolicy, Outcome, Verdict};
use strop::runtime::clock;
use strop::telemetry::Telemetry;
use strop::telemetry::access::AccessLog;
use strop::telemetry::latency::{LatencyWindow, Recorder};
use strop::telemetry::series::{Direction, ExchangeOutcome as Ended, Finished, Method, Series};
use strop::upstream::gate::Gate;

const LIMITS: HeadLimits = HeadLimits { bytes: 65_536, fields: 100 };

/// What a browser's request looks like, roughly.
const HEAD: &[u8] =
    b"GET /api/v2/bookings?day=2026-11-24 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: bench/1.0\r\n\
    Accept: application/json\r\nAccept-Encoding: gzip\r\nAuthorization: Bearer abcdefghijklmnopqrstuvwxyz\r\n\
    Cookie: session=0123456789abcdef\r\nX-Request-Id: 01a20dd4-14e7-720d-bbfb-0ad9381f95a9\r\n\r\n";

fn decisions(c: &mut Criterion) {
    let now = Instant::now();
    let gate = Gate::new(presets::breaker("stripe"), 1, 2, now, Box::new(|_| {}));
    c.bench_function("gate: admit + settle, closed", |b| {
        b.iter(|| {
            if let Ok(permit) = black_box(&gate).admit(0, now, 7, || PermitRequest::SAFE) {
                permit.settle(&ExchangeEvidence::of(Verdict::Good, now), now);
            }
        });
    });
    let open = Gate::new(presets::breaker("stripe"), 1, 2, now, Box::new(|_| {}));
    for _ in 0..3 {
        if let Ok(permit) = open.admit(0, now, 7, || PermitRequest::SAFE) {
            permit.settle(&ExchangeEvidence::of(Verdict::Bad(BadReason::Status), now), now);
        }
    }
    c.bench_function("gate: refuse, open", |b| {
        b.iter(|| black_box(&open).admit(0, now, 7, || PermitRequest::SAFE).is_err())
    });
    let mut breaker = Breaker::new(presets::breaker("stripe"), 1, now);
    c.bench_function("breaker: admit + settle", |b| {
        b.iter(|| {
            if let (Ok(ticket), _) = breaker.admit(PermitRequest::SAFE, now, 7) {
                black_box(breaker.settle(ticket, &ExchangeEvidence::of(Verdict::Good, now), now));
            }
        });
    });
    let judge = JudgePolicy::default();
    c.bench_function("verdict: judge", |b| {
        let took = Duration::from_millis(3);
        b.iter(|| {
            judge.judge(Outcome::Answered { status: black_box(200), retry_after: None, grpc: None, took })
        });
    });
    c.bench_function("balance: pick one of four", |b| {
        let costs = [0.1, 0.2, 0.3, 0.4];
        b.iter(|| balance::pick(|_| Rank::Good, |at| costs[at], costs.len(), black_box(12_345)));
    });
    let mut recorder = Recorder::default();
    c.bench_function("latency: record", |b| {
        b.iter(|| recorder.record(black_box(Duration::from_micros(1_234))));
    });
}

fn messages(c: &mut Criterion) {
    c.bench_function("h1: parse a request head", |b| b.iter(|| parse::request(black_box(HEAD), LIMITS)));
    let Ok(Parsed::Whole(head, _)) = parse::request(HEAD, LIMITS) else { panic!("the head is whole") };
    let mut out = Vec::with_capacity(1_024);
    c.bench_function("h1: write a request head", |b| {
        let edits = Edits { add: b"via: 1.1 strop\r\n", ..Edits::default() };
        b.iter(|| {
            out.clear();
            write::request(&mut out, &head, &edits, head.framing);
            black_box(out.len())
        });
    });
    let body = [&b"4000\r\n"[..], &[b'x'; 0x4000], b"\r\n0\r\n\r\n"].concat();
    c.bench_function("h1: decode a chunk of 16 KiB", |b| {
        b.iter(|| {
            let mut chunked = Chunked::default();
            let mut at = 0;
            while let Ok(step) = chunked.step(&body[at..]) {
                match step {
                    ChunkStep::Data { skip, len } => {
                        chunked.took(len);
                        at += skip + len;
                    }
                    ChunkStep::More { consumed } | ChunkStep::End { consumed } => return at + consumed,
                }
            }
            at
        });
    });
}

/// Second after second of 560 series, each with 30 exchanges a second around 20 ms on two workers.
struct Seconds {
    telemetry: Arc<Telemetry>,
    series: Vec<Arc<Series>>,
    now: Instant,
    state: u64,
}

impl Seconds {
    fn new() -> Self {
        let moment = clock::now();
        let telemetry = Telemetry::new(2, AccessLog::off(), moment);
        let upstream = UpstreamName::new("backend").expect("a name");
        let series = |n| {
            let route = RouteName::new(&format!("r{n}")).expect("a name");
            telemetry.series(&route, &upstream, Direction::Ingress)
        };
        let series = (0..560).map(series).collect();
        Self { telemetry, series, now: moment.instant, state: 7 }
    }

    fn chance(&mut self) -> f64 {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Log-normal around 20 ms: the sum of twelve numbers is normal.
    fn took(&mut self) -> Duration {
        let normal = (0..12).map(|_| self.chance()).sum::<f64>() - 6.0;
        Duration::from_secs_f64(0.020 * (normal * 0.5).exp())
    }

    /// Records a second, and how long it then takes to turn the windows.
    fn turn(&mut self) -> Duration {
        self.now += Duration::from_secs(1);
        for at in 0..self.series.len() {
            for n in 0..30 {
                let total = self.took();
                let done = Finished {
                    worker: n % 2,
                    client: n as u32,
                    method: Method::Get,
                    status: Some(200),
                    outcome: Ended::Ok,
                    first_byte: Some(total),
                    total,
                    bytes_in: 0,
                    bytes_out: 0,
                    trace_id: None,
                    slow: false,
                    now: self.now,
                };
                self.series[at].finished(&done);
            }
        }
        let begun = Instant::now();
        self.telemetry.rotate(self.now);
        begun.elapsed()
    }
}

fn windows(c: &mut Criterion) {
    let mut recorder = Recorder::default();
    let mut state = 7_u64;
    c.bench_function("latency: record, 7,000 cells, 10,000,000 a second", |b| {
        b.iter(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            recorder.record(Duration::from_micros(1_000 + (state >> 33) % 99_000));
        });
    });
    let mut seconds = Seconds::new();
    (0..300).for_each(|_| {
        seconds.turn();
    });
    let mut group = c.benchmark_group("windows of 560 series");
    group.sample_size(60);
    group.bench_function("turn", |b| b.iter_custom(|n| (0..n).map(|_| seconds.turn()).sum()));
    group.bench_function("learn what is usual of a sixtieth", |b| {
        b.iter(|| seconds.series.iter().take(10).for_each(|series| series.learn_usual(seconds.now)));
    });
    group.bench_function("a window of five minutes of one", |b| {
        b.iter(|| seconds.series[0].window(LatencyWindow::FiveMinutes, seconds.now));
    });
    group.finish();
}

criterion_group!(benches, decisions, messages, windows);
criterion_main!(benches);
