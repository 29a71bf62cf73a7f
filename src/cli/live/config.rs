//! `strop config`: what is in force and where each value comes from, and what another file would change.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use super::super::file;
use super::super::output::say;
use super::asking::LiveArgs;
use super::keys::{Keys, toml_text};
use super::table::text;
use crate::app::trial;
use crate::config::Config;
use crate::config::diff::{self, ConfigChange, Diff};
use crate::config::origin::KeyOrigins;

/// Looks.
#[derive(Clone, Debug, Subcommand)]
pub(in crate::cli) enum ConfigCommand {
    /// Print the config that a running sidecar has in force, as TOML: what was written, in its file or in variables.
    Show {
        /// All keys, with their defaults too.
        #[arg(long)]
        effective: bool,
        /// Say behind each value where it comes from: the file and its line, a variable, an argument, a preset, or the default.
        #[arg(long)]
        origin: bool,
        /// Show this file as it would run here, and ask nobody.
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
        #[command(flatten)]
        live: LiveArgs,
    },
    /// Tell what a reload with another file would change, and which of it waits for a restart.
    Diff {
        /// The new file.
        file: PathBuf,
        /// The file of now. Default: what the running sidecar has in force.
        old: Option<PathBuf>,
        #[command(flatten)]
        live: LiveArgs,
    },
}

pub(super) fn config(command: &ConfigCommand) -> Result<ExitCode, String> {
    match command {
        ConfigCommand::Show { effective, origin, config, live } => {
            let told = match config {
                Some(path) => of_file(path)?,
                None => live.door.asked("GET", "config", "")?,
            };
            if live.json {
                say(&told.1);
            } else {
                let keys = Keys { all: *effective, origin: *origin, file: file_of(&told.0) };
                say(toml_text(&keys, &told.0["effective"], &origins_of(&told.0)?).trim_end());
            }
            Ok(ExitCode::SUCCESS)
        }
        ConfigCommand::Diff { file, old: Some(old), live } => {
            let (old, new) = (read(old)?, read(file)?);
            let found = diff::diff(&old, &new);
            let waits = found.needs_restart.clone();
            diff::runnable(&old, new, &waits).map_err(|problems| problems.to_string())?;
            Ok(told(&found, live))
        }
        ConfigCommand::Diff { file, old: None, live } => {
            let (running, _) = live.door.asked("GET", "config", "")?;
            let origins = origins_of(&running)?;
            let env = variables(&running["effective"], &origins);
            let new = with(file, &env)?;
            Ok(told(&diff::against(&running["effective"], &origins, &new), live))
        }
    }
}

/// What a file would be, in the shape of the API's answer, and as it is printed.
fn of_file(path: &Path) -> Result<(Value, String), String> {
    let config = read(path)?;
    let told = json!({
        "path": path.display().to_string(),
        "hash": config.hash,
        "effective": config.effective(),
        "origins": config.origins(),
    });
    let printed = told.to_string();
    Ok((told, printed))
}

fn read(path: &Path) -> Result<Config, String> {
    file::read(Some(path), &file::overrides(None))
}

fn with(path: &Path, env: &[(String, String)]) -> Result<Config, String> {
    let (text, source) = file::text_of(Some(path))?;
    trial::load(&text, &source, env).map_err(|problems| problems.to_string())
}

fn origins_of(answer: &Value) -> Result<KeyOrigins, String> {
    serde_json::from_value(answer["origins"].clone())
        .map_err(|error| format!("that sidecar does not say where its values come from: {error}"))
}

fn file_of(answer: &Value) -> String {
    let path = answer["path"].as_str().map(Path::new);
    path.map_or("built-in".to_owned(), |path| path.display().to_string())
}

/// The variables and arguments of a running sidecar, as they would stand in its environment.
fn variables(effective: &Value, origins: &KeyOrigins) -> Vec<(String, String)> {
    let one = |(key, origin): (&String, &crate::config::origin::KeyOrigin)| {
        let value = effective.pointer(&format!("/{}", key.replace('.', "/")))?;
        Some((origin.variable.clone()?, toml::Value::try_from(value).ok()?.to_string()))
    };
    origins.iter().filter_map(one).collect()
}

fn told(found: &Diff, live: &LiveArgs) -> ExitCode {
    let nothing = found.applied.is_empty() && found.needs_restart.is_empty();
    if live.json {
        say(&json!(found).to_string());
    } else if nothing {
        say("nothing would change");
    } else {
        part("a reload would change", &found.applied);
        part("waits for a restart", &found.needs_restart);
    }
    if nothing { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn part(head: &str, changes: &[ConfigChange]) {
    if changes.is_empty() {
        return;
    }
    say(&format!("{head}:"));
    for ConfigChange { path, from, to } in changes {
        let value = |value: &Value| {
            if value.is_null() { "not set".to_owned() } else { text(&value.to_string().into()) }
        };
        say(&format!("  {path}: {} -> {}", value(from), value(to)));
    }
}
