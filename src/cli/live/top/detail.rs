//! One row, with all that is known of it.

use serde_json::Value;

use super::super::table::{list, plain, text};
use super::look::TopLook;
use super::model::{Listed, TopModel};
use super::painted::{ScreenLine, TextTone, cut, line};
use super::rows::{self, TopRow, series_key, upstream};

/// The lines that follow those which are scrolled away. The last one stays in sight.
pub(super) fn lines(model: &TopModel, scrolled: usize, height: usize) -> Vec<ScreenLine> {
    let Some((seen, row)) = model.seen.as_ref().zip(model.row()) else {
        return vec![line("it is not there any more", TextTone::Faint)];
    };
    let mut all = vec![line(row.name.clone(), TextTone::Strong)];
    match model.listed {
        Listed::Routes => route(&seen.look, &row, &mut all),
        Listed::Upstreams => of_upstream(&seen.look, &row, &mut all),
    }
    if let Some(name) = &row.breaker_name {
        breaker(&seen.look, name, &mut all);
    }
    let first = scrolled.min(all.len().saturating_sub(height));
    all.into_iter().skip(first).take(height).collect()
}

fn pair(name: &str, value: impl Into<String>, all: &mut Vec<ScreenLine>) {
    all.push(vec![(format!("{name:<14} "), TextTone::Faint), (value.into(), TextTone::Plain)]);
}

/// A map of counts: those that are not zero.
fn counts(value: &Value) -> String {
    let some = value.as_object().into_iter().flatten().filter(|(_, count)| count.as_u64() != Some(0));
    let told: Vec<String> = some.map(|(name, count)| format!("{} {count}", plain(name))).collect();
    if told.is_empty() { "none".to_owned() } else { told.join(", ") }
}

fn route(look: &TopLook, row: &TopRow, all: &mut Vec<ScreenLine>) {
    let mut series = list(&look.performance, "series").iter();
    let Some(series) = series.find(|series| series_key(series) == row.key) else { return };
    pair("direction", text(&series["direction"]), all);
    pair("in flight", text(&series["in_flight"]), all);
    pair("ended in 5m", counts(&series["outcomes_5m"]), all);
    all.push(line(
        format!(
            "{:<8} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "WINDOW", "COUNT", "P50 MS", "P95 MS", "P99 MS", "MAX MS"
        ),
        TextTone::Strong,
    ));
    for window in list(series, "windows") {
        let total = &window["total"];
        let cells =
            ["count", "p50_ms", "p95_ms", "p99_ms", "max_ms"].map(|field| cut(&text(&total[field]), 9));
        let [count, p50, p95, p99, max] = cells;
        let told = format!("{:<8} {count:>9} {p50:>9} {p95:>9} {p99:>9} {max:>9}", text(&window["window"]));
        all.push(line(told, TextTone::Plain));
    }
    for (name, budget) in series["budgets"].as_object().into_iter().flatten() {
        let told = format!(
            "{} over {} ms, {} over {} ms, of {} in 1m: {}",
            text(&budget["over_warn"]),
            text(&budget["warn_ms"]),
            text(&budget["over_alert"]),
            text(&budget["alert_ms"]),
            text(&budget["count"]),
            text(&budget["state"])
        );
        pair(&format!("budget {}", plain(name)), told, all);
    }
}

fn of_upstream(look: &TopLook, row: &TopRow, all: &mut Vec<ScreenLine>) {
    let upstream = upstream(look, &row.key);
    if upstream.is_null() {
        return;
    }
    pair("status", text(&upstream["health"]["status"]), all);
    pair("because", text(&upstream["health"]["reason"]), all);
    pair("attempts", counts(&upstream["attempts"]), all);
    let (retries, denied) = (text(&upstream["retries"]), text(&upstream["retries_denied"]));
    pair("retries", format!("{retries} made, {denied} denied"), all);
    let (open, most) = (text(&upstream["connections"]), text(&upstream["connections_max"]));
    pair("connections", format!("{open} of {most}"), all);
    for endpoint in list(upstream, "endpoints") {
        let health = match endpoint["healthy"].as_bool() {
            Some(true) => "healthy",
            Some(false) => "unhealthy",
            None => "not checked",
        };
        let out = endpoint["ejected_for_seconds"].as_f64();
        let out = out.map_or_else(String::new, |left| format!(", out of rotation for {left:.0} s more"));
        let told = format!(
            "{} {health}, {} in flight{out}",
            text(&endpoint["address"]),
            text(&endpoint["in_flight"])
        );
        pair("endpoint", told, all);
    }
}

fn breaker(look: &TopLook, name: &str, all: &mut Vec<ScreenLine>) {
    let found = rows::breaker(look, name);
    if found.is_null() {
        return;
    }
    pair(
        "breaker",
        format!("{} ({}) since {}", text(&found["state"]), text(&found["mode"]), text(&found["since"])),
        all,
    );
    if found["why"].is_string() {
        pair("because", text(&found["why"]), all);
    }
    if found["hold"].is_object() {
        let hold = &found["hold"];
        let left = hold["expires_in_seconds"].as_f64().unwrap_or_default();
        let [state, actor, reason] = ["state", "actor", "reason"].map(|field| text(&hold[field]));
        let told = format!("{state} for {left:.0} s more by {actor}: {reason}");
        pair("held", told, all);
    }
    if let Some(left) = found["probe_in_seconds"].as_f64() {
        pair("probes", format!("in {left:.0} s"), all);
    }
    let (requests, failures) = (text(&found["window_requests"]), text(&found["window_failures"]));
    pair("counted", format!("{failures} bad of {requests} in its window"), all);
    pair("refused", format!("{} since the start", text(&found["refused_total"])), all);
    for one in list(found, "evidence").iter().rev() {
        pair("evidence", format!("{} {}", text(&one["at"]), text(&one["why"])), all);
    }
}
