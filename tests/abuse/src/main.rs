//! One client that behaves badly, against one load that behaves well.
//!
//! For each kind of abuse the real binary is started in a control group of 128 MiB. A well-behaved load runs alone, then
//! beside the abuser. No good request may fail, every `/livez` must be answered, the process must live, and when the abuser is gone
//! everything must be as before. The p99 of both runs is printed, not judged: machines differ.
//!
//! A client of HTTP/2 ([`storm`]) comes with one connection and then with a hundred. What it may cost in memory is judged,
//! and frames that bring nothing must have an end.
//!
//! `cargo run --manifest-path tests/abuse/Cargo.toml -- --strop PATH [--seconds N] [--size PERCENT] [KIND …]`

mod abuser;
#[allow(dead_code, reason = "the black-box tests ask more of it")]
mod frames;
mod good;
mod group;
mod origin;
mod storm;
mod storms;
mod strop;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use abuser::{Abuser, Kind};
use good::{Good, Seen};
use group::Group;
use origin::Origin;
use storm::Storm;
use strop::{State, Strop};

/// How long everything may take to be as before.
const AFTERWARDS: Duration = Duration::from_secs(60);

struct Args {
    strop: PathBuf,
    /// Of the load alone, and beside the abuser.
    seconds: u64,
    /// Of the abuser's full size.
    percent: usize,
    kinds: Vec<Kind>,
    storms: Vec<Storm>,
}

fn args() -> Result<Args, String> {
    let mut args = Args {
        strop: PathBuf::from("target/release/strop"),
        seconds: 10,
        percent: 100,
        kinds: Vec::new(),
        storms: Vec::new(),
    };
    let mut given = std::env::args().skip(1);
    while let Some(one) = given.next() {
        let mut value = || given.next().ok_or(format!("{one} needs a value"));
        match one.as_str() {
            "--strop" => args.strop = PathBuf::from(value()?),
            "--seconds" => args.seconds = value()?.parse().map_err(|_| "--seconds needs a number")?,
            "--size" => args.percent = value()?.parse().map_err(|_| "--size needs a number")?,
            name => match Storm::ALL.into_iter().find(|storm| storm.name() == name) {
                Some(storm) => args.storms.push(storm),
                None => args.kinds.push(Kind::named(name)?),
            },
        }
    }
    if args.kinds.is_empty() && args.storms.is_empty() {
        (args.kinds, args.storms) = (Kind::ALL.to_vec(), Storm::ALL.to_vec());
    }
    Ok(args)
}

fn main() -> ExitCode {
    let args = match args() {
        Ok(args) => args,
        Err(text) => {
            eprintln!("{text}");
            return ExitCode::from(2);
        }
    };
    let mut findings = 0;
    for kind in &args.kinds {
        findings += tell(kind.name(), run(&args, *kind));
    }
    for storm in &args.storms {
        findings += tell(storm.name(), storms::run(&args, *storm));
    }
    println!("abuse: {} kinds, {findings} findings", args.kinds.len() + args.storms.len());
    if findings == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints what came of one kind; how many findings that are.
fn tell(name: &str, came: Result<(String, Vec<String>), String>) -> usize {
    match came {
        Ok((line, found)) => {
            println!("{line}");
            for one in &found {
                println!("    {one}");
            }
            found.len()
        }
        Err(text) => {
            println!("{name}: {text}");
            1
        }
    }
}

/// One kind: its line, and what was wrong.
fn run(args: &Args, kind: Kind) -> Result<(String, Vec<String>), String> {
    let group = Group::make()?;
    let origin = Origin::start()?;
    let mut strop = Strop::start(&args.strop, &origin, &group, kind.descriptors())?;
    let mut found = Vec::new();
    let lasting = Duration::from_secs(args.seconds);
    let alone = Good::start(&strop).during(lasting);
    judge("alone", &alone, &mut found);
    let before = strop.state()?;
    let abuser = Abuser::start(kind, &strop, args.percent);
    let good = Good::start(&strop);
    let beside = good.during(lasting);
    let deeds = abuser.stop();
    judge("beside the abuser", &beside, &mut found);
    if !strop.runs() {
        found.push("the process is gone".to_owned());
        return Ok((line(kind, &group, &alone, &beside, &deeds), found));
    }
    if deeds.done == 0 {
        found.push("the abuser did nothing".to_owned());
    }
    settle(&strop, &before, &mut found);
    Ok((line(kind, &group, &alone, &beside, &deeds), found))
}

/// Waits until everything is as before.
fn settle(strop: &Strop, before: &State, found: &mut Vec<String>) {
    let until = Instant::now() + AFTERWARDS;
    while let Err(text) = strop.state().and_then(|now| now.is_as(before)) {
        if Instant::now() > until {
            found.push(format!("afterwards: {text}"));
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let after = Good::start(strop).during(Duration::from_secs(1));
    judge("afterwards", &after, found);
}

fn judge(when: &str, seen: &Seen, found: &mut Vec<String>) {
    if seen.requests == 0 {
        found.push(format!("{when}: no request was made"));
    }
    if seen.failed > 0 {
        found.push(format!(
            "{when}: {} of {} good requests failed: {}",
            seen.failed, seen.requests, seen.first
        ));
    }
    if seen.livez_failed > 0 || seen.livez == 0 {
        found.push(format!("{when}: {} of {} /livez were not answered", seen.livez_failed, seen.livez));
    }
}

fn line(kind: Kind, group: &Group, alone: &Seen, beside: &Seen, deeds: &abuser::Deeds) -> String {
    format!(
        "{:<16} {:>6} good requests, {} failed; {} /livez, {} failed; p99 {:.1} ms alone, {:.1} ms beside; most memory {} of \
         {}; the abuser: {} done, {} refused, {} ended",
        kind.name(),
        beside.requests,
        beside.failed,
        beside.livez,
        beside.livez_failed,
        alone.p99().as_secs_f64() * 1e3,
        beside.p99().as_secs_f64() * 1e3,
        group.most().map_or("unknown".to_owned(), |bytes| format!("{:.1} MiB", bytes as f64 / 1048576.0)),
        group.limit(),
        deeds.done,
        deeds.refused,
        deeds.ended,
    )
}
