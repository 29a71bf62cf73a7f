//! `strop log-level`: what is logged, and for how long it is something else.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use super::super::output::say;
use super::asking::{LiveArgs, OrderArgs};
use super::table::text;

/// Looks and orders.
#[derive(Clone, Debug, Subcommand)]
pub(in crate::cli) enum LogLevelCommand {
    /// Tell what is logged, and until when.
    Show(LiveArgs),
    /// Log by another filter for a while.
    Set {
        /// off, error, warn, info, debug, trace, or tracing's directives, such as info,strop=debug.
        filter: String,
        /// How long, such as 10m; at most 7 days.
        #[arg(long, default_value = "10m")]
        ttl: String,
        #[command(flatten)]
        order: OrderArgs,
    },
    /// Log again what the config says.
    Release(OrderArgs),
}

pub(super) fn log_level(command: &LogLevelCommand) -> Result<ExitCode, String> {
    match command {
        LogLevelCommand::Show(live) => live.look("log-level", tell),
        LogLevelCommand::Set { filter, ttl, order } => {
            let more = json!({ "filter": filter, "ttl": ttl });
            order.order("log-level", more, &format!("{filter} decides what is logged for {ttl}"))
        }
        LogLevelCommand::Release(order) => {
            order.order("log-level/release", json!({}), "what the config says is logged")
        }
    }
}

fn tell(told: &Value) -> ExitCode {
    let [filter, configured, actor, reason, until] =
        ["filter", "configured", "actor", "why", "until"].map(|field| text(&told[field]));
    match told["until"].is_string() {
        true => say(&format!("{filter} until {until}, by {actor}: {reason}; then {configured}")),
        false => say(&format!("{filter}, as the config says")),
    }
    ExitCode::SUCCESS
}
