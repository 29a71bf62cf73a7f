//! `strop readiness` and `strop drain`: may traffic come, and the way out.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use super::super::output::say;
use super::asking::{LiveArgs, OrderArgs};
use super::table::{list, text};

/// Looks and orders.
#[derive(Clone, Debug, Subcommand)]
pub(in crate::cli) enum ReadinessCommand {
    /// Tell whether traffic may come, and what holds it off. Exit code 1: it may not.
    Show(LiveArgs),
    /// Hold traffic off: readiness probes fail. What comes all the same is served as ever.
    Hold {
        /// How long, such as 10m; at most 7 days. Without it until it is taken back.
        #[arg(long)]
        ttl: Option<String>,
        #[command(flatten)]
        order: OrderArgs,
    },
    /// Let traffic come again.
    Release(OrderArgs),
}

pub(super) fn readiness(command: &ReadinessCommand) -> Result<ExitCode, String> {
    match command {
        ReadinessCommand::Show(live) => live.look("readiness", tell),
        ReadinessCommand::Hold { ttl, order } => {
            let lasts =
                ttl.as_ref().map_or("until that is taken back".to_owned(), |ttl| format!("for {ttl}"));
            order.order("readiness/hold", json!({ "ttl": ttl }), &format!("unready {lasts}"))
        }
        ReadinessCommand::Release(order) => {
            order.order("readiness/release", json!({}), "no order holds traffic off")
        }
    }
}

pub(super) fn drain(order: &OrderArgs) -> Result<ExitCode, String> {
    order.order("drain", json!({}), "it leaves")
}

fn tell(told: &Value) -> ExitCode {
    if told["ready"] == true {
        say("ready: traffic may come");
        return ExitCode::SUCCESS;
    }
    let why: Vec<String> = list(told, "not_ready_because").iter().map(text).collect();
    say(&format!("not ready: {}", why.join(", ")));
    let hold = &told["hold"];
    if hold.is_object() {
        let until = hold["until"].as_str().map_or("that is taken back", |until| until);
        say(&format!("until {until}, by {}: {}", text(&hold["actor"]), text(&hold["reason"])));
    }
    ExitCode::FAILURE
}
