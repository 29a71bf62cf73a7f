//! What the API tells, as rows. Whatever is not observed stays so: it is shown as a dash and sorted last.

use std::cmp::Ordering;
use std::time::Duration;

use serde_json::Value;

use super::super::table::{list, plain, text};
use super::look::{SortKey, TopLook, TopSpan};

/// Milliseconds of a percentile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Percentile {
    Is(f64),
    /// It is not more than that: the highest of several routes.
    AtMost(f64),
    /// Of fewer than a hundred exchanges: just the longest.
    OfFew(f64),
    Unknown,
}

impl Percentile {
    fn of(window: &Value, field: &str) -> Self {
        let few = field == "p99_ms" && window["p99_is_only_max"] == true;
        match window[field].as_f64() {
            Some(millis) if few => Self::OfFew(millis),
            Some(millis) => Self::Is(millis),
            None => Self::Unknown,
        }
    }

    fn number(self) -> Option<f64> {
        match self {
            Self::Is(millis) | Self::AtMost(millis) | Self::OfFew(millis) => Some(millis),
            Self::Unknown => None,
        }
    }

    /// Of all that is behind both.
    fn and(self, other: Self) -> Self {
        match (self.number(), other.number()) {
            (Some(one), Some(two)) => Self::AtMost(one.max(two)),
            (Some(_), None) => self,
            (None, _) => other,
        }
    }
}

/// How a breaker is, in a word or two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BreakerSign {
    Closed,
    Ramping,
    HalfOpen,
    Open,
    HeldOpen,
    HeldClosed,
    /// In shadow it would be open.
    WouldBeOpen,
    Off,
    Unknown,
}

impl BreakerSign {
    fn of(breaker: &Value) -> Self {
        let (state, open) = (breaker["state"].as_str(), breaker["shadow_state"] == "open");
        match (breaker["mode"].as_str(), state) {
            _ if breaker["hold"]["state"] == "open" => Self::HeldOpen,
            _ if breaker["hold"]["state"] == "closed" => Self::HeldClosed,
            (Some("off"), _) => Self::Off,
            (Some("shadow"), _) if open => Self::WouldBeOpen,
            (_, Some("open")) => Self::Open,
            (_, Some("half_open")) => Self::HalfOpen,
            (_, Some("closed")) if breaker["ramping"] == true => Self::Ramping,
            (_, Some("closed")) => Self::Closed,
            _ => Self::Unknown,
        }
    }

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Ramping => "ramping",
            Self::HalfOpen => "half-open",
            Self::Open => "open",
            Self::HeldOpen => "held open",
            Self::HeldClosed => "held closed",
            Self::WouldBeOpen => "would open",
            Self::Off => "off",
            Self::Unknown => "–",
        }
    }
}

/// One line of the list.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TopRow {
    /// Of all rows no other one has it.
    pub(super) key: String,
    /// As it is shown.
    pub(super) name: String,
    /// The breaker that requests of it meet, by its name in the API; `None`: none that can be ordered about.
    pub(super) breaker_name: Option<String>,
    /// healthy, degraded and so on; of routes none.
    pub(super) status: Option<String>,
    /// A second, over the window.
    pub(super) rate: Option<f64>,
    /// A second, over the last moments: the next point of its trend.
    pub(super) pace: Option<f64>,
    /// Share of the last five minutes, 0 to 1.
    pub(super) failed: Option<f64>,
    pub(super) p50: Percentile,
    pub(super) p95: Percentile,
    pub(super) p99: Percentile,
    pub(super) in_flight: Option<u64>,
    /// Of an upstream: how many are healthy, and how many there are.
    pub(super) endpoints: Option<String>,
    pub(super) breaker: BreakerSign,
}

/// The most first, what is not known last.
fn most<T: PartialOrd>(a: Option<T>, b: Option<T>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => b.partial_cmp(&a).unwrap_or(Ordering::Equal),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    }
}

impl TopRow {
    pub(super) fn order(&self, other: &Self, by: SortKey) -> Ordering {
        let first = match by {
            SortKey::Name => Ordering::Equal,
            SortKey::Rate => most(self.rate, other.rate),
            SortKey::Failed => most(self.failed, other.failed),
            SortKey::Slow => most(self.p99.number(), other.p99.number()),
            SortKey::InFlight => most(self.in_flight, other.in_flight),
        };
        first.then_with(|| self.key.cmp(&other.key))
    }
}

/// One window of a series.
fn window(series: &Value, span: TopSpan) -> &Value {
    let found = list(series, "windows").iter().find(|window| window["window"] == span.label());
    &found.unwrap_or(&Value::Null)["total"]
}

/// Exchanges a second within a window; while the sidecar is younger than that, within its life.
fn rate(look: &TopLook, series: &Value, span: TopSpan) -> Option<f64> {
    let lived = look.dashboard["uptime_seconds"].as_f64()?;
    let count = window(series, span)["count"].as_f64()?;
    Some(count / span.seconds().min(lived.max(1.0)))
}

/// The breaker of that name; null where there is none.
pub(super) fn breaker<'a>(look: &'a TopLook, name: &str) -> &'a Value {
    let found = list(&look.breakers, "circuit_breakers").iter().find(|breaker| breaker["name"] == name);
    found.unwrap_or(&Value::Null)
}

/// What tells a series from all others.
pub(super) fn series_key(series: &Value) -> String {
    let [direction, route, upstream] = ["direction", "route", "upstream"].map(|field| text(&series[field]));
    format!("{direction} {route} > {upstream}")
}

/// Routes with their upstreams.
pub(super) fn routes(look: &TopLook, span: TopSpan) -> Vec<TopRow> {
    let row = |series: &Value| {
        let [route, upstream] =
            ["route", "upstream"].map(|field| plain(series[field].as_str().unwrap_or("")));
        let window = window(series, span);
        let found = breaker(look, &upstream);
        TopRow {
            key: series_key(series),
            name: if route == upstream { route } else { format!("{route} > {upstream}") },
            breaker_name: found["name"].as_str().map(plain),
            status: None,
            rate: rate(look, series, span),
            pace: rate(look, series, TopSpan::TenSeconds),
            failed: series["error_rate_5m"].as_f64(),
            p50: Percentile::of(window, "p50_ms"),
            p95: Percentile::of(window, "p95_ms"),
            p99: Percentile::of(window, "p99_ms"),
            in_flight: series["in_flight"].as_u64(),
            endpoints: None,
            breaker: BreakerSign::of(found),
        }
    };
    list(&look.performance, "series").iter().map(row).collect()
}

/// Upstreams, and the breakers of their operations and backup endpoints. `before`: the look before, and how long ago it was.
pub(super) fn upstreams(look: &TopLook, before: Option<(&TopLook, Duration)>, span: TopSpan) -> Vec<TopRow> {
    let row = |found: &Value| {
        let name = plain(found["name"].as_str().unwrap_or(""));
        let upstream = upstream(look, &name);
        let behind: Vec<&Value> =
            list(&look.performance, "series").iter().filter(|series| series["upstream"] == *name).collect();
        let millis = |field: &str| {
            let each = behind.iter().map(|series| Percentile::of(window(series, span), field));
            each.fold(Percentile::Unknown, Percentile::and)
        };
        let pace = before.and_then(|(before, ago)| {
            let more = attempts(upstream)?.checked_sub(attempts(self::upstream(before, &name))?)?;
            (ago > Duration::ZERO).then(|| more as f64 / ago.as_secs_f64())
        });
        TopRow {
            key: name.clone(),
            breaker_name: Some(name.clone()),
            name,
            status: upstream["health"]["status"].as_str().map(plain),
            rate: pace,
            pace,
            failed: failed(&behind),
            p50: millis("p50_ms"),
            p95: millis("p95_ms"),
            p99: millis("p99_ms"),
            in_flight: in_flight(upstream),
            endpoints: endpoints(upstream),
            breaker: BreakerSign::of(found),
        }
    };
    list(&look.breakers, "circuit_breakers").iter().map(row).collect()
}

/// The upstream of that name; null where it is an operation or a backup.
pub(super) fn upstream<'a>(look: &'a TopLook, name: &str) -> &'a Value {
    let found = list(&look.upstreams, "upstreams").iter().find(|upstream| upstream["name"] == name);
    found.unwrap_or(&Value::Null)
}

/// Attempts since the start.
fn attempts(upstream: &Value) -> Option<u64> {
    let verdicts = upstream["attempts"].as_object()?;
    Some(verdicts.values().filter_map(Value::as_u64).sum())
}

fn in_flight(upstream: &Value) -> Option<u64> {
    let endpoints = upstream["endpoints"].as_array()?;
    Some(endpoints.iter().filter_map(|endpoint| endpoint["in_flight"].as_u64()).sum())
}

fn endpoints(upstream: &Value) -> Option<String> {
    let health = &upstream["health"];
    let all = health["endpoints"].as_u64()?;
    Some(match health["endpoints_healthy"].as_u64() {
        Some(healthy) => format!("{healthy}/{all}"),
        None => all.to_string(),
    })
}

/// The share of several series: a client that left says nothing about the service.
fn failed(behind: &[&Value]) -> Option<f64> {
    let sum = |outcomes: &[&str]| -> u64 {
        let counts =
            behind.iter().flat_map(|series| outcomes.iter().map(|name| &series["outcomes_5m"][*name]));
        counts.filter_map(Value::as_u64).sum()
    };
    let failed = sum(&["server_error", "refused", "timeout", "upstream_failed"]);
    let all = failed + sum(&["ok", "client_error"]);
    (all > 0).then(|| failed as f64 / all as f64)
}
