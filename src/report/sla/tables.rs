//! The tables of a month's report.

use std::time::Duration;

use super::clocks::Spread;
use super::figures::Figures;
use super::{Sla, Way};
use crate::report::text;

/// How a column stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Words,
    /// Numbers, right under each other.
    Numbers,
}

use Column::{Numbers, Words};

/// A table; all texts are escaped here.
pub(super) fn table(columns: &[(&str, Column)], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let class = |column: Column| if column == Numbers { " class=\"right\"" } else { "" };
    let mut out = String::from("<div class=\"wide\"><table>\n<thead><tr>");
    for (name, column) in columns {
        out.push_str(&format!("<th{}>{}</th>", class(*column), text::html(name)));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        for (cell, (_, column)) in row.iter().zip(columns) {
            out.push_str(&format!("<td{}>{}</td>", class(*column), text::html(cell)));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    out
}

const TIME: [(&str, Column); 9] = [
    ("", Words),
    ("Uptime", Numbers),
    ("Observed", Numbers),
    ("Down", Numbers),
    ("Degraded", Numbers),
    ("Maintenance", Numbers),
    ("Requests", Numbers),
    ("Failed", Numbers),
    ("Good", Numbers),
];

fn time(name: &str, figures: &Figures) -> Vec<String> {
    let whole =
        figures.report.up + figures.report.degraded + figures.report.down + figures.report.maintenance;
    vec![
        name.to_owned(),
        text::share(figures.good_seconds(), figures.measured_seconds(), 3),
        text::share(whole, whole + figures.unknown_seconds, 1),
        text::seconds(figures.down_seconds),
        text::seconds(figures.degraded_seconds),
        text::seconds(figures.maintenance_seconds),
        text::count(figures.requests),
        text::count(figures.failed),
        text::share(figures.requests - figures.failed, figures.requests, 3),
    ]
}

/// The month of every subject.
pub(super) fn subjects(sla: &Sla) -> String {
    let mut rows = Vec::new();
    for subject in &sla.subjects {
        rows.push(time(&subject.name, &subject.month));
        rows.extend(subject.service_hours.as_ref().map(|hours| time("… in service hours", hours)));
    }
    table(&TIME, rows)
}

/// The days of the first subject.
pub(super) fn days(sla: &Sla) -> String {
    let days = sla.subjects.first().map(|whole| whole.days.as_slice()).unwrap_or_default();
    table(&TIME, days.iter().map(|day| time(&day.date, &day.figures)))
}

/// How long things took.
pub(super) fn clocks(sla: &Sla) -> String {
    let clocks = &sla.clocks;
    let columns = [
        ("", Words),
        ("Median", Numbers),
        ("p90", Numbers),
        ("Mean", Numbers),
        ("n", Numbers),
        ("From – to", Words),
    ];
    let row = |name: &str, spread: &Spread, what: &str| {
        let told = |seconds: Option<f64>| seconds.map_or_else(|| "–".to_owned(), span);
        let Spread { n, median_seconds, p90_seconds, mean_seconds } = *spread;
        let figures = [told(median_seconds), told(p90_seconds), told(mean_seconds), n.to_string()];
        [name.to_owned()].into_iter().chain(figures).chain([what.to_owned()]).collect()
    };
    let rows: [Vec<String>; 6] = [
        row("To detect (MTTD)", &clocks.detect, "first bad event – suspected"),
        row("To confirm", &clocks.confirm, "first bad event – confirmed"),
        row("To acknowledge (MTTA)", &clocks.acknowledge, "confirmed – taken by a person"),
        row("To recover (MTTR)", &clocks.recover, "first bad event – end of the condition"),
        row("… without a person", &clocks.recover_alone, "of those that nobody took or ended"),
        row("… with a person", &clocks.recover_with_people, "of those that somebody took or ended"),
    ];
    table(&columns, rows)
}

/// Seconds as a span for people.
pub(super) fn span(seconds: f64) -> String {
    text::span(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// What incidents were about.
pub(super) fn causes(sla: &Sla) -> String {
    let columns = [
        ("Found by", Words),
        ("About", Words),
        ("Incidents", Numbers),
        ("Relapses in them", Numbers),
        ("Time until recovered, together", Numbers),
    ];
    let row = |cause: &super::CauseGroup| {
        vec![
            cause.rule.replace('_', " "),
            cause.service.clone(),
            cause.incidents.to_string(),
            cause.flaps.to_string(),
            span(cause.seconds),
        ]
    };
    table(&columns, sla.incidents.by_cause.iter().map(row))
}

/// The longest incidents of the month.
pub(super) fn incidents(sla: &Sla) -> String {
    let columns = [
        ("Began", Words),
        ("Severity", Words),
        ("About", Words),
        ("What", Words),
        ("State", Words),
        ("To recover", Numbers),
    ];
    let row = |row: &super::IncidentFigures| {
        // The offset stands in the head of the page, and in JSON.
        let began = row.began.get(..16).unwrap_or(&row.began).replace('T', " ");
        let took = row.seconds.map_or_else(|| "not over".to_owned(), span);
        vec![
            began,
            row.severity.to_owned(),
            row.service.clone(),
            row.title.clone(),
            row.state.to_owned(),
            took,
        ]
    };
    table(&columns, sla.incidents.longest.iter().map(row))
}

/// The trends of failures by subject.
pub(super) fn trends(sla: &Sla) -> String {
    let columns = [
        ("", Words),
        ("Failed", Numbers),
        ("Of all", Numbers),
        ("First half", Numbers),
        ("Second half", Numbers),
        ("Trend", Words),
        ("Worst day", Words),
    ];
    let percent = |share: Option<f64>| share.map_or_else(|| "–".to_owned(), |share| format!("{share:.3} %"));
    let row = |trend: &super::Trend| {
        let way = match trend.trend {
            Way::Rising => "↗ rising",
            Way::Falling => "↘ falling",
            Way::Steady => "→ no change beyond chance",
        };
        vec![
            trend.subject.clone(),
            text::count(trend.failed),
            percent(Some(trend.failed_percentage)),
            percent(trend.first_half_percentage),
            percent(trend.second_half_percentage),
            way.to_owned(),
            format!("{} ({})", trend.worst_day, text::count(trend.worst_day_failed)),
        ]
    };
    table(&columns, sla.error_trends.iter().map(row))
}
