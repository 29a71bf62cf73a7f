//! `strop check`: all problems of one file or of several, and where their numbers do not add up.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::file;
use super::output::{complain, say};
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
}

/// Checks them all. 0: all can run; 1: all can, and `strict` found a warning or advice; 2: one cannot.
pub(super) fn check(asked: CheckArgs) -> ExitCode {
    let files = match (asked.files.is_empty(), file::found(None)) {
        (false, _) => asked.files.into_iter().map(Some).collect(),
        (true, found) => vec![found],
    };
    let (mut refused, mut doubtful, mut told) = (false, false, Vec::new());
    for file in files {
        let read = read(file.as_deref());
        let name = file.map_or("the built-in config".to_owned(), |file| file.display().to_string());
        refused |= read.is_err();
        doubtful |= read.as_ref().is_ok_and(CheckReport::is_doubtful);
        if asked.json {
            told.push(as_json(&name, &read));
        } else {
            in_words(&name, &read);
        }
    }
    if asked.json {
        say(&Value::from(told).to_string());
    }
    match (refused, doubtful && asked.strict) {
        (true, _) => ExitCode::from(2),
        (false, true) => ExitCode::FAILURE,
        (false, false) => ExitCode::SUCCESS,
    }
}

/// A config that can run, with what is doubtful about it.
struct CheckReport {
    upstreams: usize,
    /// Those that are written: the built-in last one is in every file.
    routes: usize,
    warnings: Vec<String>,
    advice: Vec<config::advice::Advice>,
}

impl CheckReport {
    fn of(config: &Config) -> Self {
        let (warnings, advice) = (config::warnings::all(config), config::advice::of(config));
        let routes =
            config.routes.iter().filter(|route| route.name.as_str() != config::DEFAULT_ROUTE).count();
        Self { upstreams: config.upstreams.len(), routes, warnings, advice }
    }

    fn is_doubtful(&self) -> bool {
        !self.warnings.is_empty() || !self.advice.is_empty()
    }
}

fn read(file: Option<&Path>) -> Result<CheckReport, Problems> {
    let (text, source) = file::text_of(file).map_err(|error| Problems::single(&error))?;
    trial::load(&text, &source, &file::overrides(None)).map(|config| CheckReport::of(&config))
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
        }
        Err(problems) => complain(&problems.to_string()),
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
        }),
        Err(problems) => json!({ "file": name, "can_run": false, "problems": problems.all }),
    }
}
