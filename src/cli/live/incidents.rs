//! `strop incidents`: the list, one with its timeline, and what people do about them.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use super::super::output::say;
use super::asking::{LiveArgs, OrderArgs, named};
use super::table::{self, list, table, text};

/// Looks and orders.
#[derive(Clone, Debug, Subcommand)]
pub(in crate::cli) enum IncidentsCommand {
    /// List those that are not over.
    List {
        /// Those that are over too.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        live: LiveArgs,
    },
    /// Tell one with its timeline.
    Show {
        id: String,
        #[command(flatten)]
        live: LiveArgs,
    },
    /// Take it: nobody else is called.
    Ack {
        id: String,
        #[command(flatten)]
        order: OrderArgs,
    },
    /// Write on its timeline.
    Note {
        id: String,
        text: String,
        #[command(flatten)]
        order: OrderArgs,
    },
    /// Put somebody in charge.
    Assign {
        id: String,
        /// Who.
        to: String,
        #[command(flatten)]
        order: OrderArgs,
    },
    /// End it.
    Resolve {
        id: String,
        /// Although its condition holds.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        order: OrderArgs,
    },
}

pub(super) fn incidents(command: &IncidentsCommand) -> Result<ExitCode, String> {
    let path = |id: &str, act: &str| named(id).map(|id| format!("incidents/{id}/{act}"));
    match command {
        IncidentsCommand::List { all, live } => {
            live.look(if *all { "incidents?all=true" } else { "incidents" }, tell_all)
        }
        IncidentsCommand::Show { id, live } => live.look(&format!("incidents/{}", named(id)?), tell),
        IncidentsCommand::Ack { id, order } => {
            order.order(&path(id, "ack")?, json!({ "reason": null }), &format!("{id} is taken"))
        }
        IncidentsCommand::Note { id, text, order } => {
            let more = json!({ "text": text, "reason": null });
            order.order(&path(id, "note")?, more, &format!("written on {id}"))
        }
        IncidentsCommand::Assign { id, to, order } => {
            let more = json!({ "to": to, "reason": null });
            order.order(&path(id, "assign")?, more, &format!("{to} is in charge of {id}"))
        }
        IncidentsCommand::Resolve { id, force, order } => {
            let more = json!({ "force": force.then_some(true) });
            order.order(&path(id, "resolve")?, more, &format!("{id} is resolved"))
        }
    }
}

fn tell_all(told: &Value) -> ExitCode {
    match list(told, "incidents") {
        [] => say("no incident is open"),
        all => say(&table::incidents(all)),
    }
    ExitCode::SUCCESS
}

fn tell(told: &Value) -> ExitCode {
    // An answer about one incident has its own status beside the whole's.
    let fields = ["id", "state", "severity", "service", "rule", "began_at", "assignee", "acknowledged_by"];
    let rows: Vec<_> = fields.map(|field| [field.to_owned(), text(&told[field])]).into();
    say(&text(&told["title"]));
    say(&table(["field", "value"], &rows));
    let row = |one: &Value| [text(&one["at"]), text(&one["actor"]), text(&one["kind"]), text(&one["text"])];
    let rows: Vec<_> = list(told, "timeline").iter().map(row).collect();
    say(&format!("\n{}", table(["at", "who", "what", "text"], &rows)));
    ExitCode::SUCCESS
}
