//! `strop recovery`: plans and their runs.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use super::super::output::say;
use super::asking::{LiveArgs, OrderArgs, named};
use super::table::{list, table, text};

/// Looks and orders.
#[derive(Clone, Debug, Subcommand)]
pub(in crate::cli) enum RecoveryCommand {
    /// List plans and what their runs are at.
    List(LiveArgs),
    /// Begin a run of a plan.
    Run {
        /// Its name, such as database_failure.
        plan: String,
        /// The service that is to recover.
        #[arg(long)]
        service: Option<String>,
        /// The incident that it is about.
        #[arg(long, value_name = "ID")]
        incident: Option<String>,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        order: OrderArgs,
    },
    /// Let a run do the step that it asks for.
    Approve {
        id: String,
        #[command(flatten)]
        order: OrderArgs,
    },
    /// End a run; what is being done is not undone.
    Cancel {
        id: String,
        #[command(flatten)]
        order: OrderArgs,
    },
}

pub(super) fn recovery(command: &RecoveryCommand) -> Result<ExitCode, String> {
    let path = |id: &str, act: &str| named(id).map(|id| format!("recovery/{id}/{act}"));
    match command {
        RecoveryCommand::List(live) => live.look("recovery", tell),
        RecoveryCommand::Run { plan, service, incident, dry_run, order } => {
            let context = service.as_ref().map(|service| json!({ "service": service }));
            let more = json!({
                "trigger_condition": plan, "incident_id": incident, "context": context,
                "dry_run": dry_run.then_some(true),
            });
            order.order(
                "recovery/trigger",
                more,
                &format!("a run of {plan} begins; `strop recovery list` tells how it goes"),
            )
        }
        RecoveryCommand::Approve { id, order } => {
            order.order(&path(id, "approve")?, json!({}), &format!("{id} goes on"))
        }
        RecoveryCommand::Cancel { id, order } => {
            order.order(&path(id, "cancel")?, json!({}), &format!("{id} ends"))
        }
    }
}

fn tell(told: &Value) -> ExitCode {
    let row = |one: &Value| {
        let steps: Vec<String> = list(one, "steps").iter().map(|step| text(&step["action"])).collect();
        [text(&one["name"]), steps.join(", "), text(&one["begins"])]
    };
    let plans: Vec<_> = list(told, "plans").iter().map(row).collect();
    say(&format!("recovery is {}", text(&told["mode"])));
    say(&table(["plan", "steps", "begins"], &plans));
    let row = |one: &Value| {
        let last = list(one, "steps").last();
        let step = last.map_or_else(String::new, |step| {
            format!("{}: {} {}", text(&step["action"]), text(&step["result"]), text(&step["detail"]))
        });
        let fields = ["id", "plan", "target", "began", "phase", "outcome"];
        let [id, plan, target, began, phase, outcome] = fields.map(|field| text(&one[field]));
        [id, plan, target, began, phase, outcome, step]
    };
    let runs: Vec<_> = list(told, "runs").iter().map(row).collect();
    if !runs.is_empty() {
        say(&format!(
            "\n{}",
            table(["run", "plan", "target", "began", "phase", "outcome", "last step"], &runs)
        ));
    }
    ExitCode::SUCCESS
}
