//! The report for spreadsheets: comma-separated with a header (RFC 4180 but for line feeds alone).

use std::fmt::Write as _;

use super::Sla;
use super::figures::Figures;
use crate::report::text;

const HEADER: &str = "subject,period,time_zone,uptime,lowest,highest,coverage,up_seconds,\
                      degraded_seconds,down_seconds,maintenance_seconds,unknown_seconds,requests,failed,success\n";

/// All rows: the month, its service hours if there are any, its days; subject by subject.
pub(super) fn write(sla: &Sla) -> String {
    let mut out = HEADER.to_owned();
    for subject in &sla.subjects {
        row(&mut out, &subject.name, &sla.month, sla, &subject.month);
        if let (Some(hours), Some(figures)) = (&sla.service_hours, &subject.service_hours) {
            row(&mut out, &subject.name, &format!("{} {hours}", sla.month), sla, figures);
        }
        for day in &subject.days {
            row(&mut out, &subject.name, &day.date, sla, &day.figures);
        }
    }
    out
}

/// A field that is empty was not observed.
fn row(out: &mut String, subject: &str, period: &str, sla: &Sla, figures: &Figures) {
    let share =
        |percent: Option<f64>| percent.map(|percent| (percent / 100.0).to_string()).unwrap_or_default();
    let fields = [
        text::csv(subject),
        text::csv(period),
        text::csv(&sla.time_zone),
        share(figures.uptime_percentage),
        share(figures.lowest_percentage),
        share(figures.highest_percentage),
        figures.coverage.to_string(),
        figures.up_seconds.to_string(),
        figures.degraded_seconds.to_string(),
        figures.down_seconds.to_string(),
        figures.maintenance_seconds.to_string(),
        figures.unknown_seconds.to_string(),
        figures.requests.to_string(),
        figures.failed.to_string(),
        share(figures.success_percentage),
    ];
    // A String takes all.
    let _ = writeln!(out, "{}", fields.join(","));
}
