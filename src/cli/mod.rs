//! The command line: `run`, `check`, `healthcheck`, `schema`, `audit`, `backup`, `report`, `notify`, `runbook`, `drill`, `demo`,
//! and what is about a running sidecar.

mod check;
mod demo;
mod door;
mod drill;
mod file;
mod live;
mod notify;
mod output;
mod report;
mod run;
mod runbook;
mod store;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A sidecar reverse proxy with built-in reliability.
#[derive(Debug, Parser)]
#[command(name = "strop", version, about, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: CliCommand,
}

#[derive(Debug, Subcommand)]
enum CliCommand {
    /// Run the sidecar.
    Run {
        /// The config file. Default: $STROP_CONFIG, else ./strop.toml, else /etc/strop/strop.toml, else a built-in one that
        /// serves a backend on 127.0.0.1:8001 at 127.0.0.1:8000.
        #[arg(short, long)]
        config: Option<PathBuf>,
        /// Where the backend listens, instead of what the config says.
        #[arg(short, long, value_name = "HOST:PORT")]
        backend: Option<String>,
    },
    /// Check a config file: tell all its problems at once, and where its numbers do not add up.
    Check {
        /// The config files; without any the one that `run` would take.
        files: Vec<PathBuf>,
        /// The same as a file named alone, as `run` takes it.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Exit code 1 when there is a warning or advice.
        #[arg(long)]
        strict: bool,
        /// Print one JSON document: for each file whether it can run, its problems, warnings and advice.
        #[arg(long)]
        json: bool,
    },
    /// Ask a running sidecar whether it is ready. Exit code 0: it is.
    Healthcheck {
        /// The admin port of that sidecar.
        #[arg(long, default_value = "127.0.0.1:9901", value_name = "HOST:PORT")]
        admin: String,
    },
    /// Print the JSON Schema of the config file.
    Schema,
    /// Look into the audit log.
    Audit {
        #[command(subcommand)]
        what: store::Audit,
    },
    /// Make a copy of the store now and prove it by a restore, also while a sidecar runs; or check one.
    #[command(args_conflicts_with_subcommands = true)]
    Backup {
        #[command(subcommand)]
        what: Option<store::Backup>,
        /// The config file. Default: $STROP_CONFIG, else ./strop.toml, else /etc/strop/strop.toml, else a built-in one that
        /// serves a backend on 127.0.0.1:8001 at 127.0.0.1:8000.
        #[arg(short, long)]
        config: Option<PathBuf>,
        /// A directory. Default: `to` of [store.backup].
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
    },
    /// Write a report from what the store holds, also while a sidecar runs.
    Report {
        #[command(subcommand)]
        what: report::ReportCommand,
    },
    /// Try the ways to tell people.
    Notify {
        #[command(subcommand)]
        order: self::notify::Notify,
    },
    /// Look into runbooks, and have a running sidecar make the checks of one.
    Runbook {
        #[command(subcommand)]
        command: runbook::RunbookCommand,
    },
    /// Have a running sidecar put a fault into part of one upstream's requests, and see how soon that is detected and over.
    Drill {
        #[command(subcommand)]
        command: drill::DrillCommand,
    },
    #[command(flatten)]
    Live(live::LiveCommand),
    /// Run the sidecar with a sample backend and stand-ins for its vendors.
    Demo {
        #[command(subcommand)]
        weather: Option<demo::Weather>,
    },
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        CliCommand::Run { config, backend } => run::run(config, backend.as_deref()),
        CliCommand::Check { mut files, config, strict, json } => {
            files.extend(config);
            check::check(check::CheckArgs { files, strict, json })
        }
        CliCommand::Healthcheck { admin } => run::healthcheck(&admin),
        CliCommand::Schema => {
            output::say(&crate::config::schema());
            ExitCode::SUCCESS
        }
        CliCommand::Audit { what } => store::audit(what),
        CliCommand::Backup { what, config, to } => store::backup(what, config, to),
        CliCommand::Report { what } => report::report(what),
        CliCommand::Notify { order } => self::notify::notify(order),
        CliCommand::Runbook { command } => runbook::runbook(command),
        CliCommand::Drill { command } => drill::drill(command),
        CliCommand::Live(command) => live::live(command),
        CliCommand::Demo { weather: None } => demo::run(),
        CliCommand::Demo { weather: Some(weather) } => demo::change(weather),
    }
}
