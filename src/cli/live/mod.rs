//! Commands about a running sidecar: a look at it, and orders. They read and order by its API, and decide nothing.
//!
//! For people by default; with `--json` the answer of the API as it is. Exit codes: 0 done (and, of `status`, all is well),
//! 1 done and something is not well, 2 not done.

mod breaker;
mod incidents;
mod outbox;
mod recovery;
mod silence;
mod status;
mod table;
mod uptime;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::door::AdminDoor;
use super::output::{complain, say};

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
    /// Tell the uptime of the service and its upstreams, and how fast the error budget goes.
    Uptime(LiveArgs),
    /// Have a running sidecar read its config file again. Exit code 2: it was refused, and the one before is in force.
    Reload(LiveArgs),
}

/// Whom to ask, and how to tell the answer.
#[derive(Clone, Debug, Args)]
pub(super) struct LiveArgs {
    /// Print the answer of the API as it is.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    door: AdminDoor,
}

/// Who gives an order, and why.
#[derive(Clone, Debug, Args)]
pub(super) struct OrderArgs {
    /// Why; shown to everybody and kept in the audit log.
    #[arg(long)]
    reason: Option<String>,
    /// Who orders it. Default: $USER.
    #[arg(long)]
    actor: Option<String>,
    #[command(flatten)]
    live: LiveArgs,
}

impl LiveArgs {
    /// Looks, and tells what was found, unless the answer is wanted as it is.
    fn look(&self, path: &str, tell: impl FnOnce(&Value) -> ExitCode) -> Result<ExitCode, String> {
        let (answer, body) = self.door.asked("GET", path, "")?;
        if self.json {
            say(&body);
            return Ok(ExitCode::SUCCESS);
        }
        Ok(tell(&answer))
    }
}

impl OrderArgs {
    /// Gives an order; `more` beside the actor and the reason. Fields that are null are not sent.
    fn order(&self, path: &str, more: Value, done: &str) -> Result<ExitCode, String> {
        let actor = self.actor.clone().or_else(|| std::env::var("USER").ok());
        let mut order = json!({ "actor": actor, "reason": self.reason });
        if let (Some(order), Value::Object(more)) = (order.as_object_mut(), more) {
            order.extend(more);
            order.retain(|_, value| !value.is_null());
        }
        let (answer, body) = self.live.door.asked("POST", path, &order.to_string())?;
        if self.live.json {
            say(&body);
        } else {
            let audit = answer["audit_id"].as_str().map_or_else(String::new, |id| format!(" (audit {id})"));
            say(&format!("{done}{audit}"));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A name in a path: what would lead elsewhere is refused.
fn named(name: &str) -> Result<&str, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    let fine = !name.is_empty() && name.bytes().all(plain) && !name.contains("..");
    fine.then_some(name).ok_or_else(|| format!("{name:?} is no name; letters, digits, _, - and . make one"))
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
        LiveCommand::Uptime(args) => uptime::uptime(&args),
        LiveCommand::Reload(args) => reload(&args),
    };
    done.unwrap_or_else(|problem| {
        complain(&problem);
        ExitCode::from(2)
    })
}

fn reload(args: &LiveArgs) -> Result<ExitCode, String> {
    let actor = std::env::var("USER").ok();
    let (answer, body) = args.door.asked("POST", "config/reload", &json!({ "actor": actor }).to_string())?;
    if args.json {
        say(&body);
    } else {
        let changed = table::list(&answer, "applied").len();
        say(&format!("the config in force is {}: {changed} changes", table::text(&answer["hash"])));
    }
    Ok(ExitCode::SUCCESS)
}
