//! `strop check`: all problems of one file or of several, where their numbers do not add up, and with `--live` what does not answer.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::output::{complain, say};
use super::{file, store};
use crate::app::reaching::{self, LiveLook, LookSign};
use crate::app::trial;
use crate::config::problem::Problems;
use crate::config::{self, Config};

/// What was asked for.
pub(super) struct CheckArgs {
    /// The files; none: the one that `run` would take.
    pub(super) files: Vec<PathBuf>,
    /// A warning or advice fails.
    pub(super) strict: bool,
    /// One JSON document on standard output, and nothing else.
    pub(super) json: bool,
    /// Looks whether what they name answers, each look for so long; `None`: nobody is asked.
    pub(super) live: Option<Duration>,
}

/// Checks them all. 0: all can run; 1: all can, and `strict` found a warning or advice; 2: one cannot; 3: all can, and something
/// that one names does not answer.
pub(super) fn check(asked: CheckArgs) -> ExitCode {
    let files = match (asked.files.is_empty(), file::found(None)) {
        (false, _) => asked.files.into_iter().map(Some).collect(),
        (true, found) => vec![found],
    };
    let (mut refused, mut doubtful, mut silent, mut told) = (false, false, false, Vec::new());
    for file in files {
        let read = read(file.as_deref(), asked.live);
        let name = named(file.as_deref());
        refused |= read.is_err();
        doubtful |= read.as_ref().is_ok_and(CheckReport::is_doubtful);
        silent |= read.as_ref().is_ok_and(|found| found.sees(LookSign::Bad));
        if asked.json {
            told.push(as_json(&name, &read));
        } else {
            in_words(&name, &read);
        }
    }
    if asked.json {
        say(&Value::from(told).to_string());
    }
    match (refused, silent, doubtful && asked.strict) {
        (true, _, _) => ExitCode::from(2),
        (false, true, _) => ExitCode::from(3),
        (false, false, true) => ExitCode::FAILURE,
        (false, false, false) => ExitCode::SUCCESS,
    }
}

/// A config that can run, with what is doubtful about it.
struct CheckReport {
    upstreams: usize,
    /// Those that are written: the built-in last one is in every file.
    routes: usize,
    warnings: Vec<String>,
    advice: Vec<config::advice::Advice>,
    /// What was seen of what it names; `None`: nobody was asked.
    live: Option<Vec<LiveLook>>,
}

impl CheckReport {
    fn of(config: &Config) -> Self {
        let (warnings, advice) = (config::warnings::all(config), config::advice::of(config));
        let routes =
            config.routes.iter().filter(|route| route.name.as_str() != config::DEFAULT_ROUTE).count();
        Self { upstreams: config.upstreams.len(), routes, warnings, advice, live: None }
    }

    fn is_doubtful(&self) -> bool {
        !self.warnings.is_empty() || !self.advice.is_empty() || self.sees(LookSign::Doubtful)
    }

    fn sees(&self, sign: LookSign) -> bool {
        self.live.iter().flatten().any(|look| look.sign == sign)
    }
}

fn read(file: Option<&Path>, live: Option<Duration>) -> Result<CheckReport, Problems> {
    let (text, source) = file::text_of(file).map_err(|error| Problems::single(&error))?;
    let config = trial::load(&text, &source, &file::overrides(None))?;
    let look =
        |within| store::wait(reaching::look(&config, within)).map_err(|error| Problems::single(&error));
    Ok(CheckReport { live: live.map(look).transpose()?, ..CheckReport::of(&config) })
}

/// What is said of a file, in the form of `--json`.
pub(super) fn found(file: Option<&Path>) -> Value {
    as_json(&named(file), &read(file, None))
}

fn named(file: Option<&Path>) -> String {
    file.map_or("the built-in config".to_owned(), |file| file.display().to_string())
}

fn in_words(name: &str, read: &Result<CheckReport, Problems>) {
    match read {
        Ok(found) => {
            let many = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
            let (upstreams, routes) = (many(found.upstreams, "upstream"), many(found.routes, "route"));
            say(&format!("{name} can run: {upstreams}, {routes}"));
            found.warnings.iter().for_each(|warning| complain(&format!("warning: {warning}")));
            found
                .advice
                .iter()
                .for_each(|advice| complain(&format!("advice: {}: {}", advice.at, advice.says)));
            found.live.iter().for_each(|looks| tick_list(looks));
        }
        Err(problems) => complain(&problems.to_string()),
    }
}

/// A line a look, below what it is about.
fn tick_list(looks: &[LiveLook]) {
    for (about, head) in [("upstream", "upstreams"), ("certificate", "certificates"), ("store", "store")] {
        let mut looks = looks.iter().filter(|look| look.about == about).peekable();
        if looks.peek().is_some() {
            say(&format!("\n{head}\n{}", "-".repeat(head.len())));
        }
        for LiveLook { name, sign, says, hint, .. } in looks {
            let tick = match sign {
                LookSign::Good => "√",
                LookSign::Doubtful => "‼",
                LookSign::Bad => "×",
            };
            let of = if name == about { String::new() } else { format!("{name}: ") };
            say(&format!("{tick} {of}{says}"));
            if !hint.is_empty() {
                say(&format!("    {hint}"));
            }
        }
    }
}

fn as_json(name: &str, read: &Result<CheckReport, Problems>) -> Value {
    match read {
        Ok(found) => json!({
            "file": name,
            "can_run": true,
            "upstreams": found.upstreams,
            "routes": found.routes,
            "problems": [],
            "warnings": found.warnings,
            "advice": found.advice.iter().map(|one| json!({ "path": one.at, "message": one.says })).collect::<Vec<_>>(),
            "live": found.live,
        }),
        Err(problems) => json!({ "file": name, "can_run": false, "problems": problems.all }),
    }
}
