//! `strop silence`: what holds calls back.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use super::super::output::say;
use super::asking::{LiveArgs, OrderArgs, named};
use super::table::{list, table, text};

/// Looks and orders.
#[derive(Clone, Debug, Subcommand)]
pub(in crate::cli) enum SilenceCommand {
    /// List what holds calls back now or will.
    List(LiveArgs),
    /// Hold calls about a service back.
    Begin {
        /// An upstream, a route, or service.
        service: String,
        /// How long, such as 2h; at most 31 days.
        #[arg(long = "for", value_name = "DURATION")]
        lasts: String,
        /// The ledger marks the time as maintenance too.
        #[arg(long)]
        maintenance: bool,
        #[command(flatten)]
        order: OrderArgs,
    },
    /// End one now.
    End {
        id: String,
        #[command(flatten)]
        order: OrderArgs,
    },
}

pub(super) fn silence(command: &SilenceCommand) -> Result<ExitCode, String> {
    match command {
        SilenceCommand::List(live) => live.look("silences", |told| {
            let row = |one: &Value| {
                let fields = ["id", "purpose", "from", "until", "actor", "reason"];
                fields.map(|field| text(&one[field]))
            };
            let rows: Vec<_> = list(told, "silences").iter().map(row).collect();
            match rows.is_empty() {
                true => say("nothing holds calls back"),
                false => say(&table(["silence", "purpose", "from", "until", "by", "why"], &rows)),
            }
            ExitCode::SUCCESS
        }),
        SilenceCommand::Begin { service, lasts, maintenance, order } => {
            let purpose = maintenance.then_some("maintenance");
            let more = json!({ "service": service, "for": lasts, "purpose": purpose });
            order.order("silences", more, &format!("calls about {service} are held back for {lasts}"))
        }
        SilenceCommand::End { id, order } => {
            order.order(&format!("silences/{}/end", named(id)?), json!({}), &format!("{id} is over"))
        }
    }
}
