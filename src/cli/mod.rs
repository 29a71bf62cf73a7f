//! The command line: `run`, `check`, `schema`, `demo`.

mod demo;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A sidecar reverse proxy with built-in reliability.
#[derive(Debug, Parser)]
#[command(name = "strop", version, about, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the sidecar.
    Run {
        /// The config file; without one, a backend on 127.0.0.1:8001 is served on 127.0.0.1:8000.
        #[arg(short, long)]
        config: Option<PathBuf>,
    },
    /// Check a config file and tell all its problems at once.
    Check {
        /// The config file.
        file: PathBuf,
    },
    /// Print the JSON Schema of the config file.
    Schema,
    /// Run the sidecar with a sample backend and stand-ins for its vendors.
    Demo {
        #[command(subcommand)]
        weather: Option<demo::Weather>,
    },
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run { config } => run::run(config),
        Command::Check { file } => run::check(&file),
        Command::Schema => {
            say(&crate::config::schema());
            ExitCode::SUCCESS
        }
        Command::Demo { weather: None } => demo::run(),
        Command::Demo { weather: Some(weather) } => demo::change(weather),
    }
}

/// Prints a line of an answer. A reader that has gone away (`| head`) is no error.
fn say(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Prints why a command failed.
fn complain(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{text}");
}
