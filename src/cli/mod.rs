//! The command line: `run`, `init`, `check`, `healthcheck`, `schema`, `explain`, `audit`, `backup`, `report`, `notify`, `runbook`, `drill`,
//! `env`, `exec`, `completions`, `man`, `demo`, and what is about a running sidecar.

mod check;
mod demo;
mod doctor;
mod door;
mod drill;
mod env;
mod examples;
mod explain;
mod file;
mod generated;
mod init;
mod live;
mod notify;
mod output;
mod report;
mod run;
mod runbook;
mod store;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Command, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::units::Written as _;

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
    /// Write a starter config by asking what is in front and behind. A file that is there stays as it is.
    Init(init::InitArgs),
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
        /// Print one JSON document: for each file whether it can run, its problems, warnings and advice, and what was seen.
        #[arg(long)]
        json: bool,
        /// Look whether what it names answers from here: names, connections, TLS and certificates, the store. No request is sent.
        #[arg(long)]
        live: bool,
        /// How long each look may take.
        #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = lasting, requires = "live")]
        within: Duration,
    },
    /// Ask a running sidecar whether it is ready. Exit code 0: it is.
    Healthcheck {
        /// The admin port of that sidecar.
        #[arg(long, default_value = "127.0.0.1:9901", value_name = "HOST:PORT")]
        admin: String,
    },
    /// Print the JSON Schema of the config file.
    Schema,
    /// Explain a key of the config file, or what would become of a request.
    Explain(explain::ExplainArgs),
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
    /// Write one file for a bug report: version, config, health, metrics and incidents, without secrets, people and what they wrote.
    Doctor(doctor::DoctorArgs),
    /// Print the variables by which an application sends its requests through the sidecar: proxy, base URLs, roots.
    Env(env::EnvPrintArgs),
    /// Start an application with those variables. It takes the place of this process: signals and exit code are its own.
    Exec(env::ExecArgs),
    /// Print what a shell loads to complete commands, options and words.
    Completions(generated::CompletionsArgs),
    /// Print the manual, or write a page for each command.
    Man(generated::ManArgs),
    /// Run the sidecar with a sample backend and stand-ins for its vendors, a database and a cache.
    #[command(args_conflicts_with_subcommands = true)]
    Demo {
        /// Send requests to all of them, four a second each, so that there is something to see.
        #[arg(long)]
        traffic: bool,
        #[command(subcommand)]
        weather: Option<demo::Weather>,
    },
}

/// A duration as the file writes them.
fn lasting(text: &str) -> Result<Duration, String> {
    Duration::read(text)
        .filter(|read| !read.is_zero())
        .ok_or_else(|| format!("write {}", Duration::LIKE.replace(" in quotes", "")))
}

/// All commands with what is told of them, for whoever reads a command line or tells of it.
pub fn command() -> Command {
    examples::noted(Cli::command(), "")
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let cli = Cli::from_arg_matches(&command().get_matches()).unwrap_or_else(|error| error.exit());
    match cli.command {
        CliCommand::Run { config, backend } => run::run(config, backend.as_deref()),
        CliCommand::Init(args) => init::init(&args),
        CliCommand::Check { mut files, config, strict, json, live, within } => {
            files.extend(config);
            check::check(check::CheckArgs { files, strict, json, live: live.then_some(within) })
        }
        CliCommand::Healthcheck { admin } => run::healthcheck(&admin),
        CliCommand::Schema => {
            output::say(crate::config::schema::SCHEMA.trim_end());
            ExitCode::SUCCESS
        }
        CliCommand::Explain(args) => explain::explain(args),
        CliCommand::Audit { what } => store::audit(what),
        CliCommand::Backup { what, config, to } => store::backup(what, config, to),
        CliCommand::Report { what } => report::report(what),
        CliCommand::Notify { order } => self::notify::notify(order),
        CliCommand::Runbook { command } => runbook::runbook(command),
        CliCommand::Drill { command } => drill::drill(command),
        CliCommand::Live(command) => live::live(command),
        CliCommand::Doctor(args) => doctor::doctor(&args),
        CliCommand::Env(args) => env::print(&args),
        CliCommand::Exec(args) => env::exec(&args),
        CliCommand::Completions(args) => generated::completions(&args, command()),
        CliCommand::Man(args) => generated::man(&args, command()),
        CliCommand::Demo { weather: Some(weather), traffic: _ } => demo::change(weather),
        CliCommand::Demo { weather: None, traffic: true } => demo::run(demo::Traffic::Own),
        CliCommand::Demo { weather: None, traffic: false } => demo::run(demo::Traffic::Yours),
    }
}
