//! `strop status`: the state in one sentence, then a table.

use std::process::ExitCode;

use serde_json::Value;

use super::super::output::say;
use super::asking::LiveArgs;
use super::table::{self, list, percent, table, text};
use super::tint::{Colour, Tint};

pub(super) fn status(args: &LiveArgs) -> Result<ExitCode, String> {
    let (answer, body) = args.door.asked("GET", "dashboard", "")?;
    if args.json {
        say(&body);
    } else {
        tell(&answer);
    }
    let well = matches!(answer["status"].as_str(), Some("healthy"));
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(told: &Value) {
    say(&text(&told["sentence"]));
    let age = told["age_seconds"].as_f64().unwrap_or_default();
    let (status, reason) = (text(&told["status"]), text(&told["reason"]));
    let status =
        Tint::of(&status).map_or(status.clone(), |tint| Colour::on_a_terminal().tinted(&status, tint));
    say(&format!("{status}: {reason} (seen {age:.1} s ago by {})", text(&told["process"])));
    for one in list(told, "doing") {
        say(&format!("  - {}", text(one)));
    }
    let row = |one: &Value| {
        let endpoints = match one["endpoints_healthy"].as_u64() {
            Some(healthy) => format!("{healthy}/{}", one["endpoints"]),
            None => text(&one["endpoints"]),
        };
        [
            text(&one["name"]),
            text(&one["status"]),
            text(&one["circuit_breaker"]),
            endpoints,
            text(&one["reason"]),
        ]
    };
    let rows: Vec<_> = list(told, "upstreams").iter().map(row).collect();
    say(&format!("\n{}", table(["upstream", "status", "breaker", "endpoints", "why"], &rows)));
    let incidents = list(told, "incidents");
    if !incidents.is_empty() {
        say(&format!("\n{}", table::incidents(incidents)));
    }
    let uptime = list(&told["uptime"], "windows").iter();
    let spans: Vec<String> = uptime
        .map(|one| {
            let (window, share) = (text(&one["window"]), percent(&one["uptime"]));
            match one["uptime"].is_null() {
                true => format!("{window} {share}"),
                false => format!("{window} {share} of the {} that was observed", percent(&one["coverage"])),
            }
        })
        .collect();
    if !spans.is_empty() {
        say(&format!("\nuptime: {}", spans.join(", ")));
    }
}
