//! What a series holds, in bytes that were asked of the allocator, while time is simulated: quiet, active, after an hour.
//!
//! `cargo test --manifest-path tests/alloc/Cargo.toml --test memory`. Both histograms of a series, its counts and its sums
//! are in it; every series answers on two workers, with three statuses, around 20 ms.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use anyhow::ensure;
use strop::config::Until;
use strop::names::{RouteName, UpstreamName};
use strop::runtime::clock;
use strop::telemetry::Telemetry;
use strop::telemetry::access::AccessLog;
use strop::telemetry::series::{Direction, ExchangeOutcome, Finished, Method, Series};
use strop::telemetry::slow::Yardstick;
use strop_alloc::{Counting, counted, held};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const WORKERS: usize = 2;
const KIB: i64 = 1_024;
const MINUTE: usize = 60;
const HOUR: usize = 3_600;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    one()?;
    busy()?;
    fleet()?;
    warm()
}

/// A quiet series, an active one, an hour of it, and the same when it has become quiet.
fn one() -> anyhow::Result<()> {
    let mut life = Life::new();
    let before = held();
    life.add(100)?;
    at_most("a series without a request", (held() - before) / 100, 4 * KIB)?;

    // What all series share is spread over four.
    for rate in [10, 30] {
        let mut life = Life::new();
        let before = held();
        life.add(4)?;
        let each = || (held() - before) / 4;
        life.live(5 * MINUTE, rate);
        let five = each();
        at_most(&format!("{rate}/s for five minutes, their closed intervals included"), five, 64 * KIB)?;
        // The steps of 10 s of the traffic history among it, which takes 8 MiB at most.
        life.live(HOUR - 5 * MINUTE, rate);
        at_most(&format!("{rate}/s for an hour, beside those five minutes"), each() - five, 128 * KIB)?;
        life.live(MINUTE + 1, 0);
        life.live(HOUR, 0);
        let four = held() - before;
        // What all of them share, the steps of the last hour above all, is no series'.
        let mut life = Life::new();
        let before = held();
        life.add(1)?;
        life.live(HOUR, rate);
        life.live(HOUR + MINUTE + 1, 0);
        let one = held() - before;
        at_most(&format!("{rate}/s for an hour and none for another"), (four - one) / 3, 4 * KIB)?;
        at_most("what all series share after that", one - (four - one) / 3, 64 * KIB)?;
    }
    Ok(())
}

/// The busiest there is, before it has closed intervals to speak of; five minutes of counts take 13 KiB more.
fn busy() -> anyhow::Result<()> {
    let mut life = Life::new();
    let before = held();
    life.add(4)?;
    life.live(1, 40_000);
    at_most("40,000/s for a second", (held() - before) / 4, 51 * KIB)
}

/// 500 routes and 60 upstreams: a minute, and an hour, at 10 a second. A tenth of them lives the hour.
fn fleet() -> anyhow::Result<()> {
    let mut life = Life::new();
    let before = held();
    life.add(560)?;
    life.live(MINUTE, 10);
    at_most("560 series at 10/s for a minute", held() - before, 30 * 1_024 * KIB)?;
    let mut life = Life::new();
    let before = held();
    life.add(56)?;
    life.live(HOUR, 10);
    at_most("56 series at 10/s for an hour", held() - before, 6 * 1_024 * KIB)
}

/// A worker that records second after second as it did before asks for nothing; the control thread turns the windows.
fn warm() -> anyhow::Result<()> {
    for rate in [30, 2_000] {
        let mut life = Life::new();
        life.add(1)?;
        let series = Arc::clone(&life.series[0]);
        let (ask, asked) = channel::<(Instant, u64)>();
        let (tell, told) = channel();
        let record = move || {
            while let Ok((now, seed)) = asked.recv() {
                let (mut state, before) = (seed, counted());
                (0..rate).for_each(|n| series.finished(&done(n, &mut state, now)));
                if tell.send(counted() - before).is_err() {
                    return;
                }
            }
        };
        let worker = std::thread::Builder::new().name("strop-worker-0".to_owned()).spawn(record)?;
        let mut allocations = Vec::new();
        for second in 0..40 {
            ask.send((life.now, second % 10))?;
            allocations.push(told.recv()?);
            life.turn();
        }
        drop(ask);
        ensure!(worker.join().is_ok(), "the worker panicked");
        println!("allocations of {rate} records a second: {allocations:?}");
        ensure!(allocations[0] > 0, "the first records are cold: is the worker's thread named otherwise?");
        ensure!(allocations[20..].iter().all(|count| *count == 0), "a warm record must not allocate");
    }
    Ok(())
}

fn at_most(what: &str, bytes: i64, most: i64) -> anyhow::Result<()> {
    println!("{what}: {bytes} B of {most}");
    ensure!(bytes <= most, "{what}: {bytes} B, more than {most}");
    Ok(())
}

/// Series and the time that they have.
struct Life {
    telemetry: Arc<Telemetry>,
    series: Vec<Arc<Series>>,
    now: Instant,
    state: u64,
}

impl Life {
    fn new() -> Self {
        let moment = clock::now();
        let telemetry = Telemetry::new(WORKERS, AccessLog::off(), moment);
        Self { telemetry, series: Vec::new(), now: moment.instant, state: 7 }
    }

    fn add(&mut self, count: usize) -> anyhow::Result<()> {
        let upstream = UpstreamName::new("backend")?;
        for n in 0..count {
            let route = RouteName::new(&format!("r{n}"))?;
            let series = self.telemetry.series(&route, &upstream, Direction::Ingress);
            let limits = [20, 40, 50, 60, 80, 100].map(Duration::from_millis);
            series.measure(Some(Yardstick { until: Until::LastByte, limits }), self.now);
            self.series.push(series);
        }
        Ok(())
    }

    fn live(&mut self, seconds: usize, rate: usize) {
        for _ in 0..seconds {
            for series in &self.series {
                (0..rate).for_each(|n| series.finished(&done(n, &mut self.state, self.now)));
            }
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.now += Duration::from_secs(1);
        self.telemetry.rotate(self.now);
    }
}

/// A number in 0..1 (D. Knuth's MMIX constants).
fn chance(state: &mut u64) -> f64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 11) as f64 / (1_u64 << 53) as f64
}

/// Log-normal around 20 ms, p99 at three times that: the sum of twelve numbers is normal.
fn done(n: usize, state: &mut u64, now: Instant) -> Finished {
    let normal = (0..12).map(|_| chance(state)).sum::<f64>() - 6.0;
    let first_byte = Duration::from_secs_f64(0.020 * (normal * 0.5).exp());
    let (status, outcome) = match n % 10 {
        0 => (404, ExchangeOutcome::ClientError),
        1 => (503, ExchangeOutcome::ServerError),
        _ => (200, ExchangeOutcome::Ok),
    };
    Finished {
        worker: n % WORKERS,
        client: n as u32,
        method: Method::Get,
        status: Some(status),
        outcome,
        first_byte: Some(first_byte),
        total: first_byte + Duration::from_micros(n as u64 % 300),
        bytes_in: 0,
        bytes_out: 5,
        trace_id: None,
        slow: false,
        now,
    }
}
