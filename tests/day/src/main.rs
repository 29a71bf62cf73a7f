//! A day's worth of connections in miniature.
//!
//! Starts the real binary between an origin and clients of its own; both do whatever connections can do to a proxy, all
//! of it drawn from one seed. Then it makes sure that no answer was another's, that nothing leaked and that all counts
//! add up. CONTRIBUTING.md has the commands.
//!
//! [`plan`] says what is asked, [`client`] and [`origin`] do it, [`judge`] looks at every request, [`sums`] at the
//! totals, [`evening`] at what is left when all connections are closed.

mod args;
mod client;
mod content;
mod deeds;
mod draw;
mod evening;
mod judge;
mod ledger;
mod lines;
mod metrics;
mod origin;
mod plan;
mod report;
mod request;
mod stage;
mod strop;
mod sums;
mod verdict;
mod wire;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use args::Args;
use client::World;
use evening::Evening;
use ledger::Seen;
use report::Report;
use stage::{DRAIN, EXTRA, Stage};
use verdict::Verdict;

/// How much the resident memory may grow after the first quarter of the day, KiB. What a worker keeps for the next
/// request (buffers, heads) is at its most once the most connections were busy at the same time, which the first
/// quarter sees; so are the breakers' windows. What goes on growing for an hour is one histogram per series and minute.
/// A leak of 16 bytes per request would be beyond it in a day of a million.
const GROWTH: u64 = 12 * 1024;

fn main() -> ExitCode {
    let args = match Args::read(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(text) => {
            eprintln!("{text}");
            return ExitCode::from(2);
        }
    };
    println!(
        "day: seed {}, {} requests, {} sessions",
        args.plan.seed, args.plan.requests, args.plan.sessions
    );
    match day(&args) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(text) => {
            eprintln!("day: seed {}: {text}", args.plan.seed);
            ExitCode::FAILURE
        }
    }
}

/// The day, as one line.
fn day(args: &Args) -> Result<String, String> {
    let report = Arc::<Report>::default();
    let began = Instant::now();
    let mut stage = Stage::set(args, &report)?;
    let (rows, memory) = live(args, &mut stage, began)?;
    let lived = began.elapsed();
    let used = args.plan.requests;
    let (rows, asked, metrics) = Evening::new(&stage, rows, used).spend();
    let stopping = Instant::now();
    match stage.strop.exit(DRAIN + Duration::from_secs(5)) {
        Some(0) => {}
        code => report
            .find("it did not leave in order", format!("{code:?}, {:?} after SIGTERM", stopping.elapsed())),
    }
    let lines = stage.reader.finish();
    for route in origin::LISTENING {
        report.equal("connections of an upstream after the exit", stage.origin.open(route), 0);
    }
    let came = stage.origin.stop();
    let mut verdict = Verdict::new(&report, &rows, &came, &lines.rows, args.open);
    verdict.of_all(args.plan, asked);
    verdict.totals(&metrics, &lines);
    if memory.1 > memory.0 + GROWTH {
        report.find("resident memory grew", format!("from {} to {} KiB", memory.0, memory.1));
    }
    let line = summary(args, &report, &verdict, memory, stage.descriptors.len(), lived);
    if report.count() == 0 { Ok(line) } else { Err(format!("findings:\n{}{line}", report.findings())) }
}

/// Lives the day on a thread of its own, within the limit; what the clients saw, and the resident memory at its most
/// about the end of the first quarter and about the end.
fn live(args: &Args, stage: &mut Stage, began: Instant) -> Result<(Vec<Seen>, (u64, u64)), String> {
    let (places, plan, open) = (stage.places, args.plan, args.open);
    let report = Arc::clone(&stage.report);
    let clients = std::thread::spawn(move || {
        let world = World::new(places, vec![Seen::default(); (plan.requests + EXTRA) as usize], report);
        client::live(&world, plan, open).map(|()| world.take_rows())
    });
    let (mut early, mut late) = (0, 0);
    while !clients.is_finished() {
        std::thread::sleep(Duration::from_millis(50));
        let percent = u64::from(stage.report.done.load(Ordering::Relaxed)) * 100 / u64::from(plan.requests);
        match percent {
            15..=25 => early = early.max(stage.strop.resident()),
            90.. => late = late.max(stage.strop.resident()),
            _ => {}
        }
        if !stage.strop.runs() {
            return Err(format!("Strop is gone; {}", under_way(stage)));
        }
        if began.elapsed() > args.limit {
            return Err(format!("not over within {:?}; {}", args.limit, under_way(stage)));
        }
    }
    match clients.join() {
        Ok(Ok(rows)) => Ok((rows, (early, late.max(early)))),
        Ok(Err(error)) => Err(format!("the clients: {error}")),
        Err(_) => Err("the clients panicked".to_owned()),
    }
}

/// What is still open, for whoever has to find out why.
fn under_way(stage: &Stage) -> String {
    let metrics = stage.metrics();
    let count = |family| metrics.sum(family, &[]);
    format!(
        "{} requests are over; clients are at {:?}; active: {} in, {} out; connections: {} of clients, {} of upstreams; \
         findings:\n{}",
        stage.report.done.load(Ordering::Relaxed),
        stage.report.under_way(),
        count("http_server_active_requests"),
        count("http_client_active_requests"),
        count("listener_connections"),
        count("upstream_connections"),
        stage.report.findings(),
    )
}

fn summary(
    args: &Args,
    report: &Report,
    verdict: &Verdict<'_>,
    memory: (u64, u64),
    descriptors: usize,
    lived: Duration,
) -> String {
    let (count, seconds) = (&verdict.count, lived.as_secs_f64());
    format!(
        "day: seed {}: {} requests over {} connections in {seconds:.0} s ({:.0}/s): {} answered by the origin, {} by \
         Strop, {} cut short, {} left by the client, {} behind a close, {} unsent; {} tunnels; {} MB read; {} lost to a \
         closing upstream, {} to GOAWAY; RSS {:.1} to {:.1} MB; {descriptors} descriptors; {} findings",
        args.plan.seed,
        args.plan.requests,
        report.opened.load(Ordering::Relaxed),
        f64::from(args.plan.requests) / seconds,
        count.whole,
        count.own,
        count.cut,
        count.left,
        count.behind,
        count.unsent,
        count.tunnels,
        report.bytes.load(Ordering::Relaxed) / 1_000_000,
        count.raced,
        count.caught,
        memory.0 as f64 / 1024.0,
        memory.1 as f64 / 1024.0,
        report.count(),
    )
}
