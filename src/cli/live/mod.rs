//! Commands about a running sidecar: a look at it, and orders. They read and order by its API, and decide nothing.
//!
//! For people by default; with `--json` the answer of the API as it is. Exit codes: 0 done (and, of `status`, all is well),
//! 1 done and something is not well, 2 not done.

mod asking;
mod breaker;
mod config;
mod incidents;
mod keys;
mod log_level;
mod outbox;
mod readiness;
mod recovery;
mod routes;
mod silence;
mod status;
mod table;
mod tap;
mod tint;
#[cfg(feature = "top")]
mod top;
mod uptime;

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::door::who;
use super::output::{complain, say};
pub(super) use asking::LiveArgs;

/// Commands about a running sidecar.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum LiveCommand {
    /// Tell how a running sidecar and its upstreams are. Exit code 0: well; 1: not; 2: it could not be asked.
    Status(LiveArgs),
    /// Look at breakers, hold them, close them, end a hold.
    Breaker {
        #[command(subcommand)]
        command: breaker::BreakerCommand,
    },
    /// Look at incidents, take them, write on them, end them.
    Incidents {
        #[command(subcommand)]
        command: incidents::IncidentsCommand,
    },
    /// Look at silences, begin and end them.
    Silence {
        #[command(subcommand)]
        command: silence::SilenceCommand,
    },
    /// Look at recovery plans and their runs, begin, approve and cancel runs.
    Recovery {
        #[command(subcommand)]
        command: recovery::RecoveryCommand,
    },
    /// Look at queued writes and dead letters, send them again or drop them.
    Outbox {
        #[command(subcommand)]
        command: outbox::OutboxCommand,
    },
    /// Tell exchanges as they end, a line each, until they are enough, its time is over, or you stop it.
    Tap(tap::TapArgs),
    /// Show routes and upstreams as they are now: rates, failures, percentiles, breakers, which can be held, closed and released.
    ///
    /// Keys: ? lists them all, q leaves. Where standard output is no terminal, both lists are printed once, as plain text.
    #[cfg(feature = "top")]
    Top(top::TopArgs),
    /// Tell the uptime of the service and its upstreams, and how fast the error budget goes.
    Uptime(LiveArgs),
    /// Look at the config in force and the origin of each value; compare it with a file.
    Config {
        #[command(subcommand)]
        command: config::ConfigCommand,
    },
    /// Look at what a running sidecar logs, and have it log something else for a while.
    LogLevel {
        #[command(subcommand)]
        command: log_level::LogLevelCommand,
    },
    /// Look whether traffic may come to a running sidecar, hold it off, let it come again.
    Readiness {
        #[command(subcommand)]
        command: readiness::ReadinessCommand,
    },
    /// Have a running sidecar leave as at SIGTERM: unready, no new connections, the end of what is in flight, the end.
    Drain(asking::OrderArgs),
    /// Have a running sidecar read its config file again. Exit code 2: it was refused, and the one before is in force.
    Reload(LiveArgs),
}

/// Does it.
pub(super) fn live(command: LiveCommand) -> ExitCode {
    let done = match command {
        LiveCommand::Status(args) => status::status(&args),
        LiveCommand::Breaker { command } => breaker::breaker(&command),
        LiveCommand::Incidents { command } => incidents::incidents(&command),
        LiveCommand::Silence { command } => silence::silence(&command),
        LiveCommand::Recovery { command } => recovery::recovery(&command),
        LiveCommand::Outbox { command } => outbox::outbox(&command),
        LiveCommand::Tap(args) => tap::tap(&args),
        #[cfg(feature = "top")]
        LiveCommand::Top(args) => top::top(&args),
        LiveCommand::Uptime(args) => uptime::uptime(&args),
        LiveCommand::Config { command } => config::config(&command),
        LiveCommand::LogLevel { command } => log_level::log_level(&command),
        LiveCommand::Readiness { command } => readiness::readiness(&command),
        LiveCommand::Drain(order) => readiness::drain(&order),
        LiveCommand::Reload(args) => reload(&args),
    };
    done.unwrap_or_else(not_done)
}

/// Tells which templates the requests have that no route has a name for.
pub(super) fn seen_routes(args: &LiveArgs) -> ExitCode {
    routes::routes(args).unwrap_or_else(not_done)
}

fn not_done(problem: String) -> ExitCode {
    complain(&problem);
    ExitCode::from(2)
}

fn reload(args: &LiveArgs) -> Result<ExitCode, String> {
    let order = json!({ "actor": who(None) }).to_string();
    let (answer, body) = args.door.asked("POST", "config/reload", &order)?;
    if args.json {
        say(&body);
    } else {
        let changed = table::list(&answer, "applied").len();
        say(&format!("the config in force is {}: {changed} changes", table::text(&answer["hash"])));
    }
    Ok(ExitCode::SUCCESS)
}
