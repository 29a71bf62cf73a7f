//! `strop doctor`: one file for a bug report, with what is known of a sidecar and without what is nobody's business.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Map, Value, json};

use super::door::AdminDoor;
use super::output::{complain, say};
use super::{check, file};
use crate::runtime::clock;

/// What the sidecar is asked for.
const LOOKS: [&str; 8] = [
    "config",
    "health/comprehensive",
    "upstreams",
    "circuit-breakers",
    "performance",
    "incidents",
    "recovery",
    "dashboard",
];
/// Fields whose texts people wrote, or that say who somebody is.
const PEOPLE: [&str; 10] =
    ["actor", "assignee", "acknowledged_by", "to", "from", "username", "people", "by", "reason", "note"];

/// Whom to ask, and where it goes.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// The file that is written; it must not be there. Default: strop-doctor-TIME.json.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    #[command(flatten)]
    door: AdminDoor,
}

/// Writes it. 0: it is written; 1: it is, and nobody could be asked; 2: it cannot be written.
pub(super) fn doctor(args: &DoctorArgs) -> ExitCode {
    let at = clock::rfc3339(clock::now().wall);
    let to = args
        .to
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("strop-doctor-{}.json", at.replace(':', ""))));
    let (sidecar, answers) = sidecar(&args.door);
    let found = file::found(None);
    let told = json!({
        "made_at": at,
        "version": env!("CARGO_PKG_VERSION"),
        "machine": {
            "os": std::env::consts::OS,
            "arch": std::env::consts::ARCH,
            "cpus": std::thread::available_parallelism().ok().map(std::num::NonZero::get),
        },
        "variables": file::overrides(None).into_iter().map(|(name, _)| name).collect::<Vec<_>>(),
        "file": check::found(found.as_deref()),
        "sidecar": sidecar,
    });
    let text = serde_json::to_string_pretty(&told).unwrap_or_default();
    let written = File::options().write(true).create_new(true).open(&to);
    match written.and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => {
            say(&format!("{} is written: look at it before you send it to anybody", to.display()));
            if answers { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            complain(&format!("{} is there already, and stays as it is; write --to ANOTHER", to.display()));
            ExitCode::from(2)
        }
        Err(error) => {
            complain(&format!("{} cannot be written: {error}", to.display()));
            ExitCode::from(2)
        }
    }
}

/// What the sidecar says of itself, and whether it does.
fn sidecar(door: &AdminDoor) -> (Value, bool) {
    let mut told = Map::new();
    let mut answers = false;
    for path in LOOKS {
        let answer = match door.asked("GET", path, "") {
            Ok((mut answer, _)) => {
                answers = true;
                redact("", &mut answer);
                answer
            }
            Err(problem) => json!({ "error": problem }),
        };
        told.insert(path.to_owned(), answer);
        if !answers {
            complain(told[path]["error"].as_str().unwrap_or_default());
            return (Value::Object(told), false);
        }
    }
    let metrics = door
        .ask_at("GET", "/metrics", "")
        .map_or_else(|problem| json!({ "error": problem }), |(_, text)| text.into());
    told.insert("metrics".to_owned(), metrics);
    (Value::Object(told), true)
}

/// Takes out who people are and what they wrote, and all of an address but its scheme and host. `key`: where the value stands.
fn redact(key: &str, value: &mut Value) {
    match value {
        Value::Object(table) => table.iter_mut().for_each(|(key, value)| redact(key, value)),
        Value::Array(list) => list.iter_mut().for_each(|value| redact(key, value)),
        Value::String(text) if PEOPLE.contains(&key) || text.contains('@') => "(left out)".clone_into(text),
        Value::String(text) => {
            if let Some(at) = text.find("://").map(|at| at + 3) {
                let end = text.get(at..).and_then(|rest| rest.find('/')).map_or(text.len(), |end| at + end);
                if end < text.len() {
                    text.truncate(end);
                    text.push_str("/…");
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_and_the_paths_of_addresses_are_left_out() {
        let mut told = json!({
            "notify": { "chat": { "url": "https://hooks.example/T0/SECRET", "to": ["ann@example.org"] } },
            "incidents": [{ "title": "stripe fails", "assignee": "ann", "timeline": [{ "text": "call ann@example.org" }] }],
            "from": null,
            "endpoints": ["127.0.0.1:8001"],
        });
        redact("", &mut told);
        assert_eq!(
            told,
            json!({
                "notify": { "chat": { "url": "https://hooks.example/…", "to": ["(left out)"] } },
                "incidents": [{ "title": "stripe fails", "assignee": "(left out)", "timeline": [{ "text": "(left out)" }] }],
                "from": null,
                "endpoints": ["127.0.0.1:8001"],
            })
        );
    }
}
