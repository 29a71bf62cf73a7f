//! The list: which columns fit, and what stands in them.

use super::model::{Listed, TopModel};
use super::painted::{ScreenLine, TextTone, cut, line};
use super::rows::{BreakerSign, Percentile, TopRow};

/// A column besides the name.
struct TopColumn {
    head: &'static str,
    width: usize,
    /// Of those that do not fit, the lowest goes first.
    rank: u8,
    cell: fn(&TopRow) -> (String, TextTone),
}

const ROUTES: [TopColumn; 7] = [
    TopColumn { head: "REQ/S", width: 7, rank: 6, cell: |row| (pace(row.rate), TextTone::Plain) },
    TopColumn { head: "FAILED", width: 7, rank: 4, cell: |row| failed(row.failed) },
    TopColumn { head: "P50 MS", width: 7, rank: 2, cell: |row| (millis(row.p50), TextTone::Plain) },
    TopColumn { head: "P95 MS", width: 7, rank: 3, cell: |row| (millis(row.p95), TextTone::Plain) },
    TopColumn { head: "P99 MS", width: 7, rank: 5, cell: |row| (millis(row.p99), TextTone::Plain) },
    TopColumn { head: "IN FL", width: 5, rank: 1, cell: |row| (count(row.in_flight), TextTone::Plain) },
    TopColumn { head: "BREAKER", width: 11, rank: 7, cell: |row| breaker(row.breaker) },
];

const UPSTREAMS: [TopColumn; 7] = [
    TopColumn { head: "STATUS", width: 10, rank: 2, cell: status },
    TopColumn { head: "ATT/S", width: 7, rank: 6, cell: |row| (pace(row.rate), TextTone::Plain) },
    TopColumn { head: "FAILED", width: 7, rank: 5, cell: |row| failed(row.failed) },
    TopColumn { head: "P99 MS", width: 7, rank: 4, cell: |row| (millis(row.p99), TextTone::Plain) },
    TopColumn { head: "IN FL", width: 5, rank: 1, cell: |row| (count(row.in_flight), TextTone::Plain) },
    TopColumn { head: "ENDP", width: 5, rank: 3, cell: |row| (dash(row.endpoints.clone()), TextTone::Plain) },
    TopColumn { head: "BREAKER", width: 11, rank: 7, cell: |row| breaker(row.breaker) },
];

/// A name may be cut to this, and grows to that where there is room.
const NAME: (usize, usize) = (12, 40);
/// The trend: at least so wide, or not at all; at most so wide.
const TREND: (usize, usize) = (8, 30);

/// The heading, and as many rows as fit: those around the chosen one.
pub(super) fn lines(model: &TopModel, width: usize, height: usize) -> Vec<ScreenLine> {
    let rows = model.rows();
    if rows.is_empty() {
        let told = match (model.filter.is_empty(), &model.seen) {
            (_, None) => "nothing has been seen yet",
            (true, Some(_)) => "nothing is there to be listed",
            (false, Some(_)) => "no name has the text of the filter",
        };
        return vec![line(told, TextTone::Faint)];
    }
    let all = match model.listed {
        Listed::Routes => &ROUTES,
        Listed::Upstreams => &UPSTREAMS,
    };
    let columns = fitting(all, width);
    let longest = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or_default();
    let taken: usize = columns.iter().map(|column| column.width + 1).sum();
    let left = width.saturating_sub(taken);
    let name = left.min(longest.clamp(NAME.0, NAME.1));
    let trend = Some(left.saturating_sub(name + 1).min(TREND.1)).filter(|trend| *trend >= TREND.0);
    let mut lines = vec![heading(model.listed, &columns, name, trend)];
    let place = model.place(&rows);
    let room = height.saturating_sub(1);
    let first = (place + 1).saturating_sub(room);
    for (at, row) in rows.iter().enumerate().skip(first).take(room) {
        lines.push(cells(model, row, &columns, (name, trend), at == place));
    }
    lines
}

/// The columns that fit beside the shortest name.
fn fitting(all: &'static [TopColumn], width: usize) -> Vec<&'static TopColumn> {
    let mut columns: Vec<&TopColumn> = all.iter().collect();
    let taken =
        |columns: &[&TopColumn]| NAME.0 + columns.iter().map(|column| column.width + 1).sum::<usize>();
    while taken(&columns) > width {
        let Some(least) = columns.iter().map(|column| column.rank).min() else { break };
        columns.retain(|column| column.rank > least);
    }
    columns
}

fn heading(listed: Listed, columns: &[&TopColumn], name: usize, trend: Option<usize>) -> ScreenLine {
    let first = match listed {
        Listed::Routes => "ROUTE",
        Listed::Upstreams => "UPSTREAM",
    };
    let mut told = format!("{first:<name$}");
    for column in columns {
        told.push_str(&format!(" {:>width$}", column.head, width = column.width));
    }
    if trend.is_some() {
        told.push_str(" TREND");
    }
    line(told, TextTone::Strong)
}

fn cells(
    model: &TopModel,
    row: &TopRow,
    columns: &[&TopColumn],
    (name, trend): (usize, Option<usize>),
    chosen: bool,
) -> ScreenLine {
    let toned = |tone| if chosen { TextTone::Chosen } else { tone };
    let mut line = vec![(format!("{:<name$}", cut(&row.name, name)), toned(TextTone::Plain))];
    for column in columns {
        let (text, tone) = (column.cell)(row);
        line.push((format!(" {:>width$}", cut(&text, column.width), width = column.width), toned(tone)));
    }
    if let Some(trend) = trend {
        line.push((format!(" {:<trend$}", sparkline(&model.trend(row), trend)), toned(TextTone::Faint)));
    }
    line
}

/// The last points, the highest of them as high as a letter; what is nothing leaves the lowest mark.
fn sparkline(points: &[f64], width: usize) -> String {
    const MARKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let points = &points[points.len().saturating_sub(width)..];
    let highest = points.iter().copied().fold(0.0, f64::max);
    let mark = |point: &f64| {
        let share = if highest > 0.0 { point / highest } else { 0.0 };
        MARKS[((share * 7.0).round() as usize).min(7)]
    };
    points.iter().map(mark).collect()
}

fn dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "–".to_owned())
}

/// A second.
fn pace(rate: Option<f64>) -> String {
    dash(rate.map(short))
}

fn short(number: f64) -> String {
    match number {
        number if number >= 100_000.0 => format!("{:.0}k", number / 1_000.0),
        number if number >= 100.0 => format!("{number:.0}"),
        number if number >= 10.0 => format!("{number:.1}"),
        number => format!("{number:.2}"),
    }
}

pub(super) fn millis(millis: Percentile) -> String {
    match millis {
        Percentile::Is(millis) => short(millis),
        Percentile::AtMost(millis) => format!("<={}", short(millis)),
        Percentile::OfFew(millis) => format!("{}*", short(millis)),
        Percentile::Unknown => dash(None),
    }
}

fn count(number: Option<u64>) -> String {
    dash(number.map(|number| number.to_string()))
}

/// In percent, cut and never rounded down to nothing: a failure is not 0 %.
fn failed(share: Option<f64>) -> (String, TextTone) {
    let Some(share) = share else { return (dash(None), TextTone::Plain) };
    let tone = match share {
        share if share >= 0.05 => TextTone::Bad,
        share if share > 0.0 => TextTone::Doubtful,
        _ => TextTone::Plain,
    };
    let told = match share * 100.0 {
        percent if percent > 0.0 && percent < 0.01 => "<0.01%".to_owned(),
        percent => format!("{percent:.2}%"),
    };
    (told, tone)
}

fn breaker(sign: BreakerSign) -> (String, TextTone) {
    let tone = match sign {
        BreakerSign::Closed => TextTone::Good,
        BreakerSign::Ramping | BreakerSign::HalfOpen | BreakerSign::HeldClosed | BreakerSign::WouldBeOpen => {
            TextTone::Doubtful
        }
        BreakerSign::Open | BreakerSign::HeldOpen => TextTone::Bad,
        BreakerSign::Off | BreakerSign::Unknown => TextTone::Faint,
    };
    (sign.label().to_owned(), tone)
}

fn status(row: &TopRow) -> (String, TextTone) {
    let tone = match row.status.as_deref() {
        Some("healthy") => TextTone::Good,
        Some("unhealthy") => TextTone::Bad,
        Some("degraded" | "recovering") => TextTone::Doubtful,
        Some(_) | None => TextTone::Faint,
    };
    (dash(row.status.clone()), tone)
}
