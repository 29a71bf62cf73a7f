//! `strop top`: routes and upstreams as they are now, for a person at a terminal.
//!
//! Keys, looks and orders become values that [`update`] takes; what it wants done is done here. It reads the API once a second and
//! decides nothing: an order about a breaker is the API's, with a reason, and confirmed.

mod columns;
mod detail;
mod dialog;
mod json;
mod look;
mod model;
mod painted;
mod rows;
mod terminal;
#[cfg(test)]
mod tests;
mod update;
mod view;

use std::io::{IsTerminal as _, stdin, stdout};
use std::process::ExitCode;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use clap::Args;

use super::super::door::{AdminDoor, who};
use super::super::output::{goes_on, say};
use super::tint::Colour;
use crate::runtime::{clock, signals};
use crate::units::Written as _;
use dialog::GivenOrder;
use look::TopLook;
use model::{Listed, TopModel};
use terminal::TakenTerminal;
use update::{Happened, TopEffect, update};

/// How long keys are waited for before what else has happened is looked at.
const GLANCE: Duration = Duration::from_millis(50);
/// Ages are shown with a tenth of a second; they move so often.
const REPAINT: Duration = Duration::from_millis(250);
/// Between two looks.
const EVERY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(60));
/// Of what is printed where there is no terminal.
const PRINTED: (usize, usize) = (120, 1_000);

/// Whom to look at, and how often.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct TopArgs {
    /// Time between two looks, 200ms to 1m.
    #[arg(long, value_name = "TIME", default_value = "1s")]
    every: String,
    /// Who gives the orders. Default: $USER.
    #[arg(long)]
    actor: Option<String>,
    /// Print what is shown as one JSON document a line, at each look, until it is stopped.
    #[arg(long, conflicts_with = "actor")]
    json: bool,
    /// End after so many lines.
    #[arg(long, value_name = "LINES", requires = "json", value_parser = clap::value_parser!(u64).range(1..))]
    times: Option<u64>,
    #[command(flatten)]
    door: AdminDoor,
}

pub(super) fn top(args: &TopArgs) -> Result<ExitCode, String> {
    let every = Duration::read(&args.every).filter(|every| (EVERY.0..=EVERY.1).contains(every));
    let every = every.ok_or_else(|| format!("--every {:?} is not within 200ms and 1m", args.every))?;
    let mut model = TopModel::new(every, clock::instant());
    // Before the terminal is taken: whom nobody answers has a line to read.
    model.looked(look(&args.door)?, clock::instant());
    if args.json {
        return print_json(args, &mut model);
    }
    if !stdout().is_terminal() || !stdin().is_terminal() {
        print(&mut model);
        return Ok(ExitCode::SUCCESS);
    }
    run(args, model).map_err(|error| format!("the terminal cannot be used: {error}"))?;
    Ok(ExitCode::SUCCESS)
}

fn look(door: &AdminDoor) -> Result<TopLook, String> {
    let asked = |path: &str| door.asked("GET", path, "").map(|(answer, _)| answer);
    Ok(TopLook {
        performance: asked("performance")?,
        upstreams: asked("upstreams")?,
        breakers: asked("circuit-breakers")?,
        dashboard: asked("dashboard")?,
    })
}

/// A line at each look, until there are enough, its reader has gone, or nobody answers.
fn print_json(args: &TopArgs, model: &mut TopModel) -> Result<ExitCode, String> {
    for nth in 1.. {
        let read = goes_on(&json::snapshot(model).to_string());
        if !read || args.times == Some(nth) {
            break;
        }
        std::thread::sleep(model.every);
        model.looked(look(&args.door)?, clock::instant());
    }
    Ok(ExitCode::SUCCESS)
}

/// Both lists, once.
fn print(model: &mut TopModel) {
    for listed in [Listed::Routes, Listed::Upstreams] {
        model.listed = listed;
        for line in columns::lines(model, PRINTED.0, PRINTED.1) {
            let texts = line.into_iter().map(|(text, _)| text);
            say(texts.collect::<String>().trim_end());
        }
        if listed == Listed::Routes {
            say("");
        }
    }
}

/// Until it is left.
fn run(args: &TopArgs, mut model: TopModel) -> std::io::Result<()> {
    let (tell, happened) = channel();
    let (every, door, to) = (model.every, args.door.clone(), tell.clone());
    thread("looks", move || keep_looking(&door, every, &to))?;
    hear(tell.clone())?;
    let mut terminal = TakenTerminal::take(Colour::on_a_terminal())?;
    let mut painted = None;
    loop {
        let now = clock::instant();
        let due = painted.is_none_or(|at| now.saturating_duration_since(at) >= REPAINT);
        let mut news: Vec<Happened> = terminal::pressed(GLANCE)?.into_iter().collect();
        news.extend(happened.try_iter());
        if due {
            news.push(Happened::Passed);
        }
        if news.is_empty() {
            continue;
        }
        for one in news {
            match update(&mut model, one, clock::instant()) {
                TopEffect::Nothing => {}
                TopEffect::Leave => return Ok(()),
                TopEffect::Give(order) => {
                    let (door, actor, to) = (args.door.clone(), who(args.actor.clone()), tell.clone());
                    thread("order", move || drop(to.send(Happened::Ordered(give(&door, order, actor)))))?;
                }
            }
        }
        terminal.draw(&model)?;
        painted = Some(now);
    }
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name(format!("strop-top-{name}")).spawn(work).map(drop)
}

fn keep_looking(door: &AdminDoor, every: Duration, to: &Sender<Happened>) {
    loop {
        std::thread::sleep(every);
        // Nobody hears it any more: it is left.
        if to.send(Happened::Looked(look(door).map(Box::new))).is_err() {
            return;
        }
    }
}

/// Tells from now on when the process is asked to end: the terminal is to be given back first.
fn hear(to: Sender<Happened>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut hangups = runtime.block_on(async { signals::hangups() })?;
    let (tell, heard) = channel();
    thread("signals", move || {
        runtime.block_on(async {
            tokio::select! {
                biased;
                _ = signals::stop() => {}
                () = async {
                    // What stands before has been asked once: it listens.
                    let _ = tell.send(());
                    hangups.recv().await;
                } => {}
            }
        });
        let _ = to.send(Happened::Asked);
    })?;
    heard.recv().map_err(std::io::Error::other)
}

/// Gives an order; what the API says of it, with the row of the audit log.
fn give(door: &AdminDoor, order: GivenOrder, actor: Option<String>) -> Result<String, String> {
    let GivenOrder { path, mut body } = order;
    if let Some(actor) = actor {
        body["actor"] = actor.into();
    }
    let (answer, _) = door.asked("POST", &path, &body.to_string())?;
    let told = |field: &str| answer[field].as_str().unwrap_or_default().to_owned();
    let name = answer["circuit_breaker"]["name"].as_str().map_or_else(String::new, str::to_owned);
    let audit = answer["audit_id"].as_str().map_or_else(String::new, |id| format!(" (audit {id})"));
    Ok(format!("{name}: {}{audit}", told("note")))
}
