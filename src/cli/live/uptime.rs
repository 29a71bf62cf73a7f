//! `strop uptime`: windows of the ledger, and the error budget.

use std::process::ExitCode;

use serde_json::Value;

use super::super::output::say;
use super::asking::LiveArgs;
use super::table::{list, percent, table, text};

pub(super) fn uptime(args: &LiveArgs) -> Result<ExitCode, String> {
    args.look("uptime", |told| {
        let rows: Vec<_> = list(told, "subjects").iter().flat_map(rows).collect();
        say(&table(["subject", "window", "uptime", "lowest", "highest", "observed"], &rows));
        ExitCode::SUCCESS
    })?;
    if args.json {
        return Ok(ExitCode::SUCCESS);
    }
    args.look("slo", |told| {
        let row = |one: &Value| {
            let rate = one["burn_rate"]
                .as_f64()
                .map_or_else(|| "no replies".to_owned(), |rate| format!("{rate:.2} x"));
            [text(&one["window"]), text(&one["good"]), text(&one["bad"]), rate, percent(&one["coverage"])]
        };
        let rows: Vec<_> = list(told, "windows").iter().map(row).collect();
        say(&format!("\nobjective: {} good replies", percent(&told["objective"])));
        say(&table(["window", "good", "bad", "budget burns", "observed"], &rows));
        ExitCode::SUCCESS
    })
}

fn rows(subject: &Value) -> Vec<[String; 6]> {
    let row = |one: &Value| {
        let [uptime, lowest, highest, coverage] =
            ["uptime", "lowest", "highest", "coverage"].map(|field| percent(&one[field]));
        [text(&subject["name"]), text(&one["window"]), uptime, lowest, highest, coverage]
    };
    list(subject, "windows").iter().map(row).collect()
}
