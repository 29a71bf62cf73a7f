//! The review as Markdown (CommonMark with tables). Titles, notes and names come from people and are escaped, each in its place.

use std::fmt::Write as _;
use std::time::Duration;

use super::document::PostIncident;
use super::impact::{Impact, Touched};
use super::rows::Item;
use crate::report::text::{self, count, markdown as plain};

/// The review as Markdown, for people and issue trackers.
pub(super) fn write(review: &PostIncident) -> String {
    let mut out = String::new();
    head(&mut out, review);
    clocks(&mut out, review);
    impact(&mut out, &review.impact);
    signals(&mut out, review);
    response(&mut out, review);
    changes(&mut out, review);
    factors(&mut out, review);
    items(&mut out, review);
    timeline(&mut out, review);
    unseen(&mut out, review);
    out
}

fn put(out: &mut String, what: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(what); // a String takes all
}

fn table(out: &mut String, columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    put(out, format_args!("| {} |\n|{}\n", columns.join(" | "), " --- |".repeat(columns.len())));
    for row in rows {
        put(out, format_args!("| {} |\n", row.join(" | ")));
    }
    out.push('\n');
}

fn span(seconds: f64) -> String {
    let text = text::span(Duration::try_from_secs_f64(seconds.abs()).unwrap_or_default());
    if seconds < 0.0 { format!("−{text}") } else { text }
}

fn maybe(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "–".to_owned(), span)
}

fn or_dash(text: Option<&str>) -> String {
    text.map_or_else(|| "–".to_owned(), plain)
}

/// Of a time with its offset the part a person reads: `2026-10-25 02:30:00 +02:00`.
fn at(stamp: &str) -> String {
    let (day, clock) = stamp.split_once('T').unwrap_or((stamp, ""));
    let (clock, offset) = clock.split_at_checked(8).unwrap_or((clock, ""));
    format!("{day} {clock} {offset}").trim_end().to_owned()
}

fn head(out: &mut String, review: &PostIncident) {
    put(out, format_args!("# Post-incident review: {}\n\n", plain(&review.title)));
    let state = match (review.reviewed, review.missing.is_empty()) {
        (true, _) => "complete".to_owned(),
        (false, true) => "filled in, not confirmed yet".to_owned(),
        (false, false) => format!("**not complete**: {} still missing", review.missing.join(", ")),
    };
    let rows = [
        ("Incident", format!("`{}`", review.id)),
        ("About", format!("{} (found by: {})", plain(&review.service), review.rule.replace('_', " "))),
        ("Severity", review.severity.to_owned()),
        ("State", review.state.to_owned()),
        ("Review", state),
        ("Began", at(&review.began)),
        ("Ended", review.ended.as_deref().map_or_else(|| "not over".to_owned(), at)),
        ("Time zone", plain(&review.time_zone)),
        ("Taken by", or_dash(review.acknowledged_by.as_deref())),
        ("In charge", or_dash(review.assignee.as_deref())),
        ("Relapses", review.flaps.to_string()),
        ("Earlier one", review.earlier.as_ref().map_or_else(|| "–".to_owned(), |id| format!("`{id}`"))),
    ];
    table(out, &["", ""], rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]));
}

fn clocks(out: &mut String, review: &PostIncident) {
    out.push_str("## Clocks\n\n");
    let rows = review
        .clocks
        .iter()
        .map(|took| vec![took.clock.to_owned(), maybe(took.seconds), took.definition.to_owned()]);
    table(out, &["Clock", "Took", "From – to"], rows);
    let Some(by) = review.respond_by.as_deref().map(at) else {
        out.push_str("It was never confirmed, so no response clock ran.\n\n");
        return;
    };
    let how = match (review.response_breached, &review.acknowledged_by, &review.ended) {
        (true, ..) => "nobody had: the response clock ran out",
        (false, Some(_), _) => "kept",
        (false, None, Some(_)) => "nobody had, and it was over before that",
        (false, None, None) => "nobody has yet",
    };
    put(out, format_args!("To be taken by {by}: {how}.\n\n"));
}

fn impact(out: &mut String, impact: &Impact) {
    put(out, format_args!("## Impact\n\nIt lasted {}.\n\n", span(impact.seconds)));
    if impact.touched.is_empty() {
        out.push_str("Requests and uptime: not observed, the ledger has nothing of that time.\n\n");
    } else {
        let row = |it: &Touched| {
            vec![
                plain(&it.subject),
                format!(
                    "{} of {} ({})",
                    count(it.failed),
                    count(it.requests),
                    text::bad_share(it.failed, it.requests, 2)
                ),
                text::seconds(it.down_seconds),
                text::seconds(it.degraded_seconds),
                text::seconds(it.maintenance_seconds),
                text::seconds(it.unknown_seconds),
            ]
        };
        let columns = ["Subject", "Failed requests", "Down", "Degraded", "Maintenance", "Not observed"];
        table(out, &columns, impact.touched.iter().map(row));
        out.push_str("Requests are those of whole minutes, failures for other reasons included.\n\n");
    }
    let budget =
        |share: Option<f64>| share.map_or_else(|| "not observed".to_owned(), |share| format!("{share:.1} %"));
    put(
        out,
        format_args!(
            "- Error budget of 30 days spent: {} of requests, {} of time.\n",
            budget(impact.request_budget_percentage),
            budget(impact.time_budget_percentage)
        ),
    );
    match &impact.routes {
        Some(routes) => {
            let names: Vec<String> = routes.iter().map(|name| plain(name)).collect();
            put(out, format_args!("- Route classes with signals of their own: {}.\n\n", names.join(", ")));
        }
        None => out.push_str("- Affected routes: not observed, no signal of a route is part of it.\n\n"),
    }
}

fn signals(out: &mut String, review: &PostIncident) {
    out.push_str("## Contributing signals\n\n");
    if review.signals.is_empty() {
        out.push_str("None: a person opened it.\n\n");
        return;
    }
    let rows = review.signals.iter().map(|lead| {
        let scope = if lead.scope.is_empty() { String::new() } else { format!(" ({})", plain(&lead.scope)) };
        vec![
            format!("{} of {}{scope}", lead.rule.replace('_', " "), plain(&lead.service)),
            at(&lead.first_bad),
            maybe(lead.lead_seconds),
            lead.over.as_deref().map_or_else(|| "not over".to_owned(), at),
        ]
    });
    table(out, &["Signal", "First bad event", "Before it was confirmed", "Over"], rows);
}

fn response(out: &mut String, review: &PostIncident) {
    out.push_str("## Response\n\n");
    if review.calls.is_empty() {
        out.push_str("Nobody was called.\n\n");
    } else {
        let rows = review.calls.iter().map(|call| {
            let arrived = match call.arrived {
                Some(true) => "arrived",
                Some(false) => "did not arrive",
                None => "not known",
            };
            vec![call.number.to_string(), plain(&call.contact), plain(&call.channel), arrived.to_owned()]
        });
        table(out, &["Call", "Whom", "Through", "Delivery"], rows);
    }
    if review.actions.is_empty() {
        out.push_str("No action is on the timeline.\n\n");
        return;
    }
    let rows = review.actions.iter().map(|done| {
        let verified = match done.verified {
            Some(true) => "yes, it helped",
            Some(false) => "yes, it did not help",
            None => "nobody looked",
        };
        vec![at(&done.at), plain(&done.actor), plain(&done.what), verified.to_owned()]
    });
    table(out, &["At", "Who", "What was done", "Verified"], rows);
}

fn changes(out: &mut String, review: &PostIncident) {
    out.push_str("## Changes of the config, from a day before to its end\n\n");
    if review.config_changes.is_empty() {
        out.push_str("The audit trail has none.\n\n");
        return;
    }
    let rows = review.config_changes.iter().map(|change| {
        let what = format!("{} {}", plain(&change.action), plain(&change.target));
        vec![
            at(&change.at),
            span(change.before_seconds),
            plain(&change.actor),
            what.trim().to_owned(),
            plain(&change.detail),
        ]
    });
    table(out, &["At", "Before it began", "Who", "What", "Details"], rows);
}

/// Lines stay lines; none of them becomes a heading, a list or code.
fn words(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(plain).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() { "_To be filled in._".to_owned() } else { lines.join("  \n") }
}

fn factors(out: &mut String, review: &PostIncident) {
    let factors = &review.factors;
    out.push_str("## Causes\n\n");
    for (name, text) in [
        ("Technical factors", &factors.technical),
        ("Process issues", &factors.process),
        ("Human factors", &factors.human),
    ] {
        put(out, format_args!("### {name}\n\n{}\n\n", words(text)));
    }
}

fn items(out: &mut String, review: &PostIncident) {
    out.push_str("## Action items\n\n");
    let blank = vec!["_To be filled in._".to_owned(), String::new(), String::new()];
    let row = |item: &Item| vec![plain(&item.what), plain(&item.owner), item.due.clone()];
    let mut rows: Vec<_> = review.action_items.iter().map(row).collect();
    if rows.is_empty() {
        rows.push(blank);
    }
    table(out, &["What", "Owner", "Due"], rows);
}

fn timeline(out: &mut String, review: &PostIncident) {
    out.push_str("## Timeline\n\n");
    let rows = review.timeline.iter().map(|line| {
        let evidence: Vec<String> =
            line.evidence.iter().map(|(name, value)| format!("{} = {}", plain(name), plain(value))).collect();
        let known = if evidence.is_empty() { String::new() } else { format!(" ({})", evidence.join("; ")) };
        vec![at(&line.at), span(line.seconds), plain(&line.actor), format!("{}{known}", plain(&line.text))]
    });
    table(out, &["At", "Since it began", "Who", "What"], rows);
}

fn unseen(out: &mut String, review: &PostIncident) {
    out.push_str("## Not observed\n\n");
    for what in &review.not_observed {
        put(out, format_args!("- {what}\n"));
    }
}
