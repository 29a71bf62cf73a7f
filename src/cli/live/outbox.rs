//! `strop outbox`: queued writes and dead letters, never what is in them.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use super::super::output::say;
use super::asking::{LiveArgs, OrderArgs};
use super::table::{list, table, text};

/// Looks and orders.
#[derive(Clone, Debug, Subcommand)]
pub(in crate::cli) enum OutboxCommand {
    /// List dead letters, then what waits.
    List(LiveArgs),
    /// Send one as soon as its turn comes. What may have arrived may then arrive twice.
    Retry {
        id: u64,
        #[command(flatten)]
        order: OrderArgs,
    },
    /// Drop one: it is never sent.
    Drop {
        id: u64,
        #[command(flatten)]
        order: OrderArgs,
    },
}

pub(super) fn outbox(command: &OutboxCommand) -> Result<ExitCode, String> {
    match command {
        OutboxCommand::List(live) => live.look("outbox", tell),
        OutboxCommand::Retry { id, order } => order.order(
            &format!("outbox/{id}/retry"),
            json!({}),
            &format!("{id} is sent when its turn comes"),
        ),
        OutboxCommand::Drop { id, order } => {
            order.order(&format!("outbox/{id}/drop"), json!({}), &format!("{id} is dropped"))
        }
    }
}

fn tell(told: &Value) -> ExitCode {
    if told["enabled"] == false {
        say("there is no outbox: the config has no table [outbox]");
        return ExitCode::SUCCESS;
    }
    let [waiting, dead, bytes] = ["waiting", "dead", "bytes"].map(|field| text(&told[field]));
    say(&format!("{waiting} wait, {dead} dead letters, {bytes} bytes"));
    let row = |one: &Value| {
        let fields = ["id", "upstream", "route", "state", "dead_because", "queued", "due", "attempts"];
        fields.map(|field| text(&one[field]))
    };
    let rows: Vec<_> = list(told, "writes").iter().map(row).collect();
    if !rows.is_empty() {
        say(&table(["id", "upstream", "route", "state", "why dead", "queued", "due", "attempts"], &rows));
    }
    ExitCode::SUCCESS
}
