//! Tables and texts for a terminal. Titles come from traffic: what would steer a terminal is not passed on.

use serde_json::Value;

use crate::units;

/// A cell longer than this is cut.
const WIDEST: usize = 100;

/// A value as people read it; null is what is not observed.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => plain(text),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => other.to_string(),
    }
}

/// Without control letters and those that turn the direction of writing.
pub(super) fn plain(text: &str) -> String {
    let shown = |letter: char| match letter {
        letter if units::turns_direction(letter) => '\u{fffd}',
        letter if letter.is_control() => ' ',
        letter => letter,
    };
    text.chars().map(shown).collect()
}

/// A share in percent, cut and never rounded up.
pub(super) fn percent(value: &Value) -> String {
    units::cut_percent(value.as_f64())
}

/// The members of a list.
pub(super) fn list<'a>(answer: &'a Value, field: &str) -> &'a [Value] {
    answer[field].as_array().map_or(&[], Vec::as_slice)
}

/// Incidents, one a row.
pub(super) fn incidents(all: &[Value]) -> String {
    let row = |one: &Value| {
        let who = one["assignee"].as_str().or(one["acknowledged_by"].as_str()).unwrap_or("nobody");
        let [id, severity, state, began, title] =
            ["id", "severity", "state", "began_at", "title"].map(|field| text(&one[field]));
        [id, severity, state, began, plain(who), title]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    table(["incident", "severity", "state", "since", "who has it", "what"], &rows)
}

/// A line a row, in columns; nothing where there are no rows.
pub(super) fn table<const N: usize>(heads: [&str; N], rows: &[[String; N]]) -> String {
    let cut = |cell: &str| match cell.char_indices().nth(WIDEST) {
        Some((at, _)) => format!("{}…", &cell[..at]),
        None => cell.to_owned(),
    };
    let heads = heads.map(str::to_uppercase);
    let all: Vec<[String; N]> =
        std::iter::once(heads).chain(rows.iter().map(|row| row.each_ref().map(|cell| cut(cell)))).collect();
    let widths: [usize; N] =
        std::array::from_fn(|at| all.iter().map(|row| row[at].chars().count()).max().unwrap_or_default());
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_their_heads() {
        let rows = [["stripe", "open"], ["b", "closed"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(["name", "state"], &rows), "NAME    STATE\nstripe  open\nb       closed");
    }

    #[test]
    fn nothing_in_a_title_steers_the_terminal() {
        assert_eq!(plain("\u{1b}[31mred\u{7}\u{202e}x"), " [31mred \u{fffd}x");
        let long = table(["what"], &[["x".repeat(500)]]);
        assert!(long.lines().all(|line| line.chars().count() <= WIDEST + 1), "{long}");
    }

    #[test]
    fn what_is_not_observed_is_not_zero_and_nearly_all_is_not_all() {
        assert_eq!(percent(&Value::Null), "not observed");
        assert_eq!(percent(&Value::from(0.999_996)), "99.999 %");
        assert_eq!(text(&Value::Null), "–");
    }
}
