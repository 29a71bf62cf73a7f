//! What is asked of a tap, checked: a filter that is spelt wrong must not answer with nothing for ten minutes.

use std::time::Duration;

use serde::Deserialize;
#[cfg(test)]
use utoipa::IntoParams;

use crate::admin::error::ApiError;
use crate::admin::request::{self, unknown};
use crate::telemetry::Telemetry;
use crate::telemetry::labels::{ExchangeOutcome, SeriesKey};
use crate::telemetry::tap::{TapFilter, TapStatus};
use crate::units::{Percent, Written as _};

/// How long a tap is open unless told otherwise.
const USUAL: Duration = Duration::from_secs(600);
/// How long it may be.
const LONGEST: Duration = Duration::from_secs(3_600);
/// How many exchanges may be asked for.
const MOST: u64 = 1_000_000;
/// The longest name of a field, of a method, of a reason, in bytes.
const NAME: usize = 200;

/// Which exchanges, how many, for how long.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(IntoParams))]
#[cfg_attr(test, into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
pub(in crate::admin) struct TapQuery {
    /// Those of this route.
    route: Option<String>,
    /// Those of this upstream.
    upstream: Option<String>,
    /// Those of this status: 5xx, 503, or none (no answer was sent).
    status: Option<String>,
    /// Those that took longer, such as 250ms, from the head of the request to the last byte of the answer.
    slower_than: Option<String>,
    /// Those whose request has a field of this name, such as x-debug. Its value is not looked at, and never shown.
    header: Option<String>,
    /// Those of this method, in capital letters as it is sent.
    method: Option<String>,
    /// Those that ended so.
    outcome: Option<String>,
    /// Those with this reason in their access line, such as breaker_open.
    reason: Option<String>,
    /// A share of all, by chance, such as 10%.
    sample: Option<String>,
    /// End after so many exchanges: 1 to 1000000. Without it, when the time is over.
    limit: Option<String>,
    /// How long, such as 30s; 10m without it, at most 1h.
    #[serde(rename = "for")]
    lasts: Option<String>,
}

/// The same, as it is to be done.
#[derive(Debug)]
pub(super) struct WantedTap {
    pub(super) filter: TapFilter,
    /// `None`: all that come while it is open.
    pub(super) limit: Option<u64>,
    pub(super) lasts: Duration,
}

impl TapQuery {
    /// As it was asked, for the log: what is no name has been refused.
    pub(super) fn written(&self) -> String {
        let Self {
            route,
            upstream,
            status,
            slower_than,
            header,
            method,
            outcome,
            reason,
            sample,
            limit,
            lasts,
        } = self;
        let all = [
            ("route", route),
            ("upstream", upstream),
            ("status", status),
            ("slower_than", slower_than),
            ("header", header),
            ("method", method),
            ("outcome", outcome),
            ("reason", reason),
            ("sample", sample),
            ("limit", limit),
            ("for", lasts),
        ];
        let said = all.iter().filter_map(|(name, said)| Some(format!("{name}={}", said.as_ref()?)));
        let said = said.collect::<Vec<_>>().join(" ");
        if said.is_empty() { "all".to_owned() } else { said }
    }
}

impl WantedTap {
    pub(super) fn read(asked: &TapQuery, telemetry: &Telemetry) -> Result<Self, ApiError> {
        let named = |field, said: &Option<String>, of: fn(&SeriesKey) -> String| {
            let Some(said) = said else { return Ok(None) };
            let series = telemetry.all_series();
            let mut known: Vec<String> = series.iter().map(|series| of(&series.key)).collect();
            known.sort();
            known.dedup();
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            request::word(field, Some(said), &known).map(|()| Some(said.clone()))
        };
        let filter = TapFilter {
            route: named("route", &asked.route, |key| key.0.to_string())?,
            upstream: named("upstream", &asked.upstream, |key| key.1.to_string())?,
            status: read("status", &asked.status, TapStatus::LIKE, TapStatus::read)?,
            slower_than: read("slower_than", &asked.slower_than, "250ms", Duration::read)?,
            header: read("header", &asked.header, "the name of a field, such as x-debug", token)?,
            method: read("method", &asked.method, "GET, POST or another one", token)?,
            outcome: asked.outcome.as_deref().map(outcome).transpose()?,
            reason: read("reason", &asked.reason, "one of the access log, such as breaker_open", label)?,
            sample: read("sample", &asked.sample, "a share, such as 10%", share)?,
        };
        let limit = read("limit", &asked.limit, "1 to 1000000", |said| {
            said.parse().ok().filter(|limit| (1..=MOST).contains(limit))
        })?;
        let lasts = read("for", &asked.lasts, "a time of up to 1h, such as 30s", |said| {
            Duration::read(said).filter(|lasts| !lasts.is_zero() && *lasts <= LONGEST)
        })?;
        Ok(Self { filter, limit, lasts: lasts.unwrap_or(USUAL) })
    }
}

/// A part of the query, read; where it cannot be read, what to write instead.
fn read<T>(
    field: &str,
    said: &Option<String>,
    like: &str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, ApiError> {
    let Some(said) = said else { return Ok(None) };
    let wrong = || ApiError::BadQuery { problem: format!("{field} {said:?} is none; write {like}") };
    read(said).map(Some).ok_or_else(wrong)
}

/// A token of RFC 9110 section 5.6.2: the name of a field, or of a method.
fn token(said: &str) -> Option<String> {
    let is_part = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let fits = !said.is_empty() && said.len() <= NAME && said.bytes().all(is_part);
    fits.then(|| said.to_owned())
}

fn label(said: &str) -> Option<String> {
    let is_part = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let fits = !said.is_empty() && said.len() <= NAME && said.bytes().all(is_part);
    fits.then(|| said.to_owned())
}

fn share(said: &str) -> Option<f64> {
    Percent::read(said).map(Percent::ratio).filter(|share| *share > 0.0)
}

fn outcome(said: &str) -> Result<ExchangeOutcome, ApiError> {
    let known = ExchangeOutcome::ALL.map(ExchangeOutcome::label);
    let found = ExchangeOutcome::ALL.into_iter().find(|outcome| outcome.label() == said);
    found.ok_or_else(|| unknown("outcome", said, &known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock;
    use crate::telemetry::access::AccessLog;

    /// A part of a query.
    type Field = fn(&mut TapQuery) -> &mut Option<String>;

    fn known() -> std::sync::Arc<Telemetry> {
        let telemetry = Telemetry::new(1, AccessLog::off(), clock::now());
        let route = crate::names::RouteName::new("default").expect("a name");
        let upstream = crate::names::UpstreamName::new("backend").expect("a name");
        telemetry.series(&route, &upstream, crate::telemetry::labels::Direction::Ingress);
        telemetry
    }

    fn wanted(query: TapQuery) -> Result<WantedTap, String> {
        WantedTap::read(&query, &known()).map_err(|refused| {
            let ApiError::BadQuery { problem } = refused else { panic!("another error: {refused:?}") };
            problem
        })
    }

    #[test]
    fn what_is_asked_for_is_what_is_looked_for() {
        let text = |text: &str| Some(text.to_owned());
        let query = || TapQuery {
            route: text("default"),
            status: text("5xx"),
            slower_than: text("250ms"),
            header: text("X-Debug"),
            outcome: text("refused"),
            sample: text("10%"),
            limit: text("20"),
            lasts: text("1h"),
            ..TapQuery::default()
        };
        let WantedTap { filter, limit, lasts } = wanted(query()).expect("fits");
        assert_eq!((filter.status, filter.sample), (Some(TapStatus::Class(5)), Some(0.1)));
        assert_eq!((filter.outcome, limit), (Some(ExchangeOutcome::Refused), Some(20)));
        assert_eq!((filter.slower_than, lasts), (Some(Duration::from_millis(250)), LONGEST));
        let told = "route=default status=5xx slower_than=250ms header=X-Debug outcome=refused sample=10% limit=20 for=1h";
        assert_eq!(query().written(), told);
        assert_eq!(TapQuery::default().written(), "all");
        let WantedTap { limit, lasts, .. } = wanted(TapQuery::default()).expect("all of them");
        assert_eq!((limit, lasts), (None, USUAL));
    }

    #[test]
    fn what_is_spelt_wrong_is_refused_and_told_how_it_is_written() {
        let cases: [(Field, &str, &str); 12] = [
            (|query| &mut query.route, "defualt", "did you mean \"default\""),
            (|query| &mut query.upstream, "stripe", "write backend"),
            (|query| &mut query.status, "5x", "5xx, 503 or none"),
            (|query| &mut query.slower_than, "250", "250ms"),
            (|query| &mut query.header, "x debug", "the name of a field"),
            (|query| &mut query.method, "", "GET, POST"),
            (|query| &mut query.outcome, "okay", "write ok, client_error"),
            (|query| &mut query.reason, "Breaker\nopen", "breaker_open"),
            (|query| &mut query.sample, "0%", "a share, such as 10%"),
            (|query| &mut query.limit, "0", "1 to 1000000"),
            (|query| &mut query.lasts, "2h", "up to 1h"),
            (|query| &mut query.lasts, "0s", "up to 1h"),
        ];
        for (field, said, told) in cases {
            let mut query = TapQuery::default();
            *field(&mut query) = Some(said.to_owned());
            let problem = wanted(query).expect_err(said);
            assert!(problem.contains(told), "{said:?}: {problem}");
        }
    }
}
