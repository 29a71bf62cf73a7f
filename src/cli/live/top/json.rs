//! What `strop top` shows, for programs: a line for each look.

use serde_json::{Value, json};

use super::super::table::text;
use super::model::{Listed, TopModel};
use super::rows::{BreakerSign, Percentile, TopRow};

/// The last look: both lists, as they are sorted.
pub(super) fn snapshot(model: &mut TopModel) -> Value {
    let mut listed = |listed: Listed| {
        model.listed = listed;
        model.rows().iter().map(row).collect::<Vec<_>>()
    };
    let (routes, upstreams) = (listed(Listed::Routes), listed(Listed::Upstreams));
    let seen = model.seen.as_ref().map(|seen| &seen.look.dashboard);
    let told = |field: &str| seen.map_or(Value::Null, |dashboard| dashboard[field].clone());
    json!({
        "at": told("observed_at"),
        "process": told("process"),
        "status": told("status"),
        "sentence": seen.map(|dashboard| text(&dashboard["sentence"])),
        "window": model.span.label(),
        "routes": routes,
        "upstreams": upstreams,
    })
}

fn row(row: &TopRow) -> Value {
    let breaker = (row.breaker != BreakerSign::Unknown).then(|| row.breaker.label());
    json!({
        "name": row.name,
        "breaker_name": row.breaker_name,
        "breaker": breaker,
        "status": row.status,
        "per_second": row.rate,
        "failed": row.failed,
        "p50": percentile(row.p50),
        "p95": percentile(row.p95),
        "p99": percentile(row.p99),
        "in_flight": row.in_flight,
        "endpoints": row.endpoints,
    })
}

/// Milliseconds, and what they are: `exact`, `at_most` (the highest of several routes), `longest_of_few` (of fewer than 100 exchanges).
fn percentile(of: Percentile) -> Value {
    let (millis, kind) = match of {
        Percentile::Is(millis) => (millis, "exact"),
        Percentile::AtMost(millis) => (millis, "at_most"),
        Percentile::OfFew(millis) => (millis, "longest_of_few"),
        Percentile::Unknown => return Value::Null,
    };
    json!({ "ms": millis, "is": kind })
}
