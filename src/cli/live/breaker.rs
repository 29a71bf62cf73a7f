//! `strop breaker`: states, holds, closings.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use super::super::output::say;
use super::asking::{LiveArgs, OrderArgs, named};
use super::table::{list, table, text};

/// Looks and orders.
#[derive(Clone, Debug, Subcommand)]
pub(in crate::cli) enum BreakerCommand {
    /// List all breakers.
    List(LiveArgs),
    /// Tell everything about one.
    Show {
        /// An upstream, `<upstream>.<operation>` or `<upstream>.backup`.
        name: String,
        #[command(flatten)]
        live: LiveArgs,
    },
    /// Hold it open: nothing is sent, until the hold ends.
    Open {
        /// As in `show`.
        name: String,
        /// How long, such as 10m; at most 7 days. Default: 1h.
        #[arg(long)]
        ttl: Option<String>,
        #[command(flatten)]
        order: OrderArgs,
    },
    /// Close it by way of its probes.
    Close {
        /// As in `show`.
        name: String,
        /// At once, without probes.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        order: OrderArgs,
    },
    /// End a hold: the evidence rules again.
    Release {
        /// As in `show`.
        name: String,
        #[command(flatten)]
        order: OrderArgs,
    },
}

pub(super) fn breaker(command: &BreakerCommand) -> Result<ExitCode, String> {
    let path = |name: &str, act: &str| named(name).map(|name| format!("circuit-breakers/{name}/{act}"));
    match command {
        BreakerCommand::List(live) => live.look("circuit-breakers", |told| {
            let rows: Vec<_> = list(told, "circuit_breakers").iter().map(row).collect();
            say(&table(["breaker", "state", "mode", "since", "requests", "failures", "why"], &rows));
            ExitCode::SUCCESS
        }),
        BreakerCommand::Show { name, live } => {
            live.look(&format!("circuit-breakers/{}", named(name)?), |told| {
                let fields = told.as_object().into_iter().flatten();
                let rows: Vec<_> = fields.map(|(field, value)| [field.clone(), text(value)]).collect();
                say(&table(["field", "value"], &rows));
                ExitCode::SUCCESS
            })
        }
        BreakerCommand::Open { name, ttl, order } => {
            order.order(&path(name, "open")?, json!({ "ttl": ttl }), &format!("{name} is held open"))
        }
        BreakerCommand::Close { name, force, order } => {
            let done = if *force { "is closed" } else { "closes when its probes are good" };
            let more = json!({ "force": force.then_some(true) });
            order.order(&path(name, "close")?, more, &format!("{name} {done}"))
        }
        BreakerCommand::Release { name, order } => {
            order.order(&path(name, "release")?, json!({}), &format!("{name}: the evidence rules again"))
        }
    }
}

fn row(one: &Value) -> [String; 7] {
    let why = one["hold"]["reason"].as_str().map(|why| Value::from(format!("held: {why}")));
    let why = text(why.as_ref().unwrap_or(&one["why"]));
    let fields = ["name", "state", "mode", "since", "window_requests", "window_failures"];
    let [name, state, mode, since, requests, failures] = fields.map(|field| text(&one[field]));
    [name, state, mode, since, requests, failures, why]
}
