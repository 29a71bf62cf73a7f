//! Tables and texts for a terminal. Titles come from traffic: what would steer a terminal is not passed on.

use serde_json::Value;

use super::tint::{Colour, Tint};
use crate::report::table;
pub(super) use crate::report::table::plain;
use crate::units;

/// A value as people read it; null is what is not observed.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => plain(text),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => other.to_string(),
    }
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

/// A line a row, in columns; words that say how something is in their colours, at a terminal.
pub(super) fn table<const N: usize>(heads: [&str; N], rows: &[[String; N]]) -> String {
    tinted(heads, rows, Colour::on_a_terminal())
}

fn tinted<const N: usize>(heads: [&str; N], rows: &[[String; N]], colour: Colour) -> String {
    let says = heads.map(|head| matches!(head, "status" | "state" | "breaker" | "severity"));
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.to_vec()).collect();
    table::table_shown(&heads.map(str::to_owned), &rows, |column, cell| {
        let tint = Tint::of(cell).filter(|_| says.get(column) == Some(&true));
        tint.map_or_else(|| cell.to_owned(), |tint| colour.tinted(cell, tint))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_observed_is_not_zero_and_nearly_all_is_not_all() {
        assert_eq!(percent(&Value::Null), "not observed");
        assert_eq!(percent(&Value::from(0.999_996)), "99.999 %");
        assert_eq!(text(&Value::Null), "–");
    }

    #[cfg(feature = "top")]
    #[test]
    fn a_word_has_its_colour_in_its_column_alone_and_none_where_none_is_wanted() {
        let rows = [["open", "open", "a"], ["closed", "low", "b"]].map(|row| row.map(str::to_owned));
        let plain = tinted(["breaker", "name", "why"], &rows, Colour::never());
        assert_eq!(plain, "BREAKER  NAME  WHY\nopen     open  a\nclosed   low   b");
        let told = tinted(["breaker", "name", "why"], &rows, Colour::always());
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines[1], "\u{1b}[31mopen\u{1b}[0m     open  a");
        assert_eq!(lines[2], "\u{1b}[32mclosed\u{1b}[0m   low   b");
    }
}
