//! `strop runbook`: which runbooks there are, what is in one, and a look at what one checks.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::door::{AdminDoor, who};
use super::file;
use super::output::{complain, say};

/// Looks into runbooks.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum RunbookCommand {
    /// List the runbooks of the config's directory.
    List {
        /// The config file; found as `strop run` finds it.
        #[arg(short, long)]
        config: Option<PathBuf>,
    },
    /// Print a runbook step by step.
    Show {
        name: String,
        /// The config file; found as `strop run` finds it.
        #[arg(short, long)]
        config: Option<PathBuf>,
    },
    /// Have a running sidecar make the checks of a runbook. Exit code 0: none is bad; 1: one is; 2: it was not done.
    Run(RunArgs),
}

/// What is to be looked at, and whom to ask.
#[derive(Clone, Debug, Args)]
pub(super) struct RunArgs {
    name: String,
    /// The incident that it is about: its timeline gets what is found.
    #[arg(long, value_name = "ID")]
    incident: Option<String>,
    /// What is looked at. Default: what the incident is about, else the first service of the runbook.
    #[arg(long)]
    service: Option<String>,
    /// Who orders it; for the audit log. Default: $USER.
    #[arg(long)]
    actor: Option<String>,
    /// Why; for the audit log.
    #[arg(long, default_value = "")]
    reason: String,
    /// Print the answer of the API as it is.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    door: AdminDoor,
}

/// Does it.
pub(super) fn runbook(command: RunbookCommand) -> ExitCode {
    match command {
        RunbookCommand::List { config } => list(config),
        RunbookCommand::Show { name, config } => show(&name, config),
        RunbookCommand::Run(args) => run(&args).unwrap_or_else(|problem| {
            complain(&problem);
            ExitCode::from(2)
        }),
    }
}

fn list(config: Option<PathBuf>) -> ExitCode {
    let config = match file::configured(config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    for one in &config.runbooks.all {
        say(&format!("{}: {} ({} steps)", one.name, one.title, one.steps.len()));
    }
    ExitCode::SUCCESS
}

fn show(name: &str, config: Option<PathBuf>) -> ExitCode {
    let config = match file::configured(config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let Some(one) = config.runbooks.named(name) else {
        let names: Vec<&str> = config.runbooks.all.iter().map(|one| &*one.name).collect();
        let known = if names.is_empty() { "there are none".to_owned() } else { names.join(", ") };
        complain(&format!(
            "no runbook is named {name:?} ({known}); write [runbooks] directory or another name"
        ));
        return ExitCode::from(2);
    };
    say(&one.title);
    let mut part = "";
    for (number, step) in (1..).zip(&one.steps) {
        if step.part != part {
            part = &step.part;
            say(&format!("\n{part}"));
        }
        say(&format!("{number:>3}. {:<5} {}", step.kind.label(), step.text));
    }
    ExitCode::SUCCESS
}

fn run(args: &RunArgs) -> Result<ExitCode, String> {
    let actor = who(args.actor.clone());
    let order = json!({
        "actor": actor, "reason": args.reason, "incident_id": args.incident, "service": args.service,
    });
    let named = args.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if !named {
        return Err(format!("{:?} is no name of a runbook", args.name));
    }
    let path = format!("runbooks/{}/run", args.name);
    let (answer, body) = args.door.asked("POST", &path, &order.to_string())?;
    let checks = answer["checks"].as_array().cloned().unwrap_or_default();
    if args.json {
        say(&body);
    } else {
        for check in &checks {
            let text = |field: &str| check[field].as_str().unwrap_or_default();
            say(&format!("{:<14} {}: {}", text("result"), text("text"), text("says")));
        }
    }
    let bad = checks.iter().any(|check| check["result"] == "bad");
    Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
