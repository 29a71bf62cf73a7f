//! The overview as the server tells it: for those without JavaScript, and before it has run. Every text is escaped.

use std::fmt::Write as _;
use std::time::Duration;

use super::super::contract::DependencyView;
use super::super::dashboard::{Dashboard, LiveIncident};
use super::super::uptime::{Burn, Span};
use crate::reliability::health::Health;
use crate::report::html;
use crate::units::{Written as _, cut_percent};

/// The form that asks for the token; `wrong`: what was the matter with the last one.
pub(super) fn form(wrong: &str) -> String {
    let wrong = match wrong {
        "" => String::new(),
        wrong => format!("<p class=\"problem\" role=\"alert\">{}</p>", html(wrong)),
    };
    format!(
        "<section class=\"login\"><h1>Log in</h1>{wrong}\
         <form method=\"post\" action=\"/ui/login\">\
         <label for=\"token\">The token of <code>admin.token_file</code></label>\
         <input id=\"token\" name=\"token\" type=\"password\" autocomplete=\"current-password\" required>\
         <button type=\"submit\">Log in</button></form>\
         <p class=\"soft\">It lasts 12 hours in this browser; the token itself is not kept.</p></section>"
    )
}

/// The page's main part. `age`: of the last look; `None`: there was none.
pub(super) fn main(told: &Dashboard, health: &Health, age: Option<Duration>) -> String {
    let mut out = String::new();
    let seen = age.map_or_else(
        || "nothing has been looked at yet".to_owned(),
        |age| format!("seen {} s ago", age.as_secs()),
    );
    let (status, sentence) = (health.status.label(), html(&told.sentence));
    let up = Duration::from_secs(told.uptime_seconds as u64).write();
    let _ = write!(
        out,
        "<section class=\"state {status}\"><h1>{sentence}</h1>\
         <p class=\"soft\">{status}: {}; {seen}; this sidecar has run for {up}.</p></section>",
        html(&health.reason)
    );
    list(&mut out, "What Strop does about it", &told.doing, "Nothing: no breaker is open, no plan runs.");
    incidents(&mut out, &told.incidents);
    upstreams(&mut out, &told.upstreams);
    if let Some(uptime) = &told.uptime {
        let target = cut_percent(Some(uptime.target));
        let _ = write!(out, "<section><h2>Uptime</h2><p>Promised: {target}</p>");
        let rows = uptime.windows.iter().map(span).collect();
        table(&mut out, &["window", "uptime", "observed", "lowest", "highest"], rows);
        out.push_str("</section>");
    }
    let objective = cut_percent(Some(told.budget.objective));
    let _ = write!(out, "<section><h2>Error budget</h2><p>Objective: {objective} good replies</p>");
    let rows = told.budget.windows.iter().map(burn).collect();
    table(&mut out, &["window", "good", "bad", "budget burns", "observed"], rows);
    out.push_str("</section>");
    out
}

fn list(out: &mut String, title: &str, all: &[String], nothing: &str) {
    let _ = write!(out, "<section><h2>{title}</h2>");
    if all.is_empty() {
        let _ = write!(out, "<p class=\"soft\">{nothing}</p>");
    } else {
        out.push_str("<ul>");
        for one in all {
            let _ = write!(out, "<li>{}</li>", html(one));
        }
        out.push_str("</ul>");
    }
    out.push_str("</section>");
}

fn incidents(out: &mut String, all: &[LiveIncident]) {
    out.push_str("<section><h2>Incidents</h2>");
    if all.is_empty() {
        out.push_str("<p class=\"soft\">No incident is open.</p>");
    } else {
        let row = |one: &LiveIncident| {
            let who = one.assignee.as_deref().or(one.acknowledged_by.as_deref()).unwrap_or("nobody");
            [one.severity, one.state, &one.title, &one.service, &one.began_at, who].map(str::to_owned).into()
        };
        let heads = ["severity", "state", "what", "service", "since", "who has it"];
        table(out, &heads, all.iter().map(row).collect());
    }
    out.push_str("</section>");
}

fn upstreams(out: &mut String, all: &[DependencyView]) {
    out.push_str("<section><h2>Upstreams</h2>");
    let row = |one: &DependencyView| {
        [&one.name, one.status, one.circuit_breaker, &one.reason].map(str::to_owned).into()
    };
    table(out, &["upstream", "status", "breaker", "why"], all.iter().map(row).collect());
    out.push_str("</section>");
}

fn span(one: &Span) -> Vec<String> {
    let shares = [one.uptime, Some(one.coverage), one.lowest, one.highest].map(cut_percent);
    [one.window.to_owned()].into_iter().chain(shares).collect()
}

fn burn(one: &Burn) -> Vec<String> {
    let rate = one.burn_rate.map_or_else(|| "no replies".to_owned(), |rate| format!("{rate:.2} ×"));
    let (good, bad) = (one.good.to_string(), one.bad.to_string());
    [one.window.to_owned(), good, bad, rate, cut_percent(Some(one.coverage))].into()
}

fn table(out: &mut String, heads: &[&str], rows: Vec<Vec<String>>) {
    out.push_str("<div class=\"scroll\"><table><thead><tr>");
    for head in heads {
        let _ = write!(out, "<th scope=\"col\">{head}</th>");
    }
    out.push_str("</tr></thead><tbody>");
    for row in rows {
        out.push_str("<tr>");
        for cell in &row {
            let _ = write!(out, "<td>{}</td>", html(cell));
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div>");
}
