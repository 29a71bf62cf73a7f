//! Reads what is asked for: bodies whatever their content type says, flags, moments, who it is.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _};
#[cfg(test)]
use utoipa::ToSchema;

use super::error::ApiError;
use super::{Admin, texts};
use crate::config::problem::did_you_mean;
use crate::control::{AuditRecord, Handle, Order, OrderReceipt, OrderedBy};
use crate::names::IncidentId;
use crate::reliability::rule::Severity;
use crate::runtime::clock;
use crate::store::rows::millis;
use crate::units::{At, Written as _};

/// The body as JSON, each text within its bound: the guide's curl lines send a form's content type, or none and nothing.
pub(super) fn body<T: Default + serde::de::DeserializeOwned>(body: &Bytes) -> Result<T, ApiError> {
    if body.trim_ascii().is_empty() {
        return Ok(T::default());
    }
    let bad = |error: serde_json::Error| ApiError::BadBody { problem: error.to_string() };
    let order: serde_json::Value = serde_json::from_slice(body).map_err(bad)?;
    if !order.is_object() {
        // A list would be read as the fields in their order.
        return Err(self::bad("an order is an object; write {\"actor\": \"ann\"}".to_owned()));
    }
    texts::check(&order)?;
    serde_json::from_slice(body).map_err(bad)
}

/// The parameters of a query, deserialised. Whether its parameters are known at all is looked at before, see [`super::strict`].
pub(super) struct Parameters<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let read = Query::<T>::try_from_uri(&parts.uri);
        let Query(read) = read.map_err(|refused| {
            let told = refused.body_text();
            let told = told.strip_prefix("Failed to deserialize query string: ").unwrap_or(&told);
            ApiError::BadQuery { problem: told.to_owned() }
        })?;
        Ok(Self(read))
    }
}

/// A word of a closed set, if there is one.
pub(super) fn word(field: &str, said: Option<&str>, known: &[&str]) -> Result<(), ApiError> {
    match said {
        Some(said) if !known.contains(&said) => Err(unknown(field, said, known)),
        Some(_) | None => Ok(()),
    }
}

/// What to write instead of a word that is none.
pub(super) fn unknown(field: &str, said: &str, known: &[&str]) -> ApiError {
    let guess = did_you_mean(said, known.iter().copied());
    ApiError::BadQuery { problem: format!("{field} {said:?} is none{guess}; write {}", known.join(", ")) }
}

/// How many members of a list one answer has, at most.
pub(super) const MOST: u32 = 500;

/// The limit of a query: 1 to 500.
pub(super) fn limit<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    let said = String::deserialize(from)?;
    match said.parse() {
        Ok(limit) if (1..=MOST).contains(&limit) => Ok(Some(limit)),
        Ok(_) | Err(_) => Err(D::Error::custom(format!("{said:?} is no limit; write 1 to {MOST}"))),
    }
}

/// What to send instead of a cursor that is none.
pub(super) fn no_cursor(cursor: &str) -> ApiError {
    let problem = format!("{cursor:?} is no cursor; send what `next` gave, with the same filters, or none");
    ApiError::BadQuery { problem }
}

/// A flag of a query: `1` or `true`, `0` or `false`.
pub(super) fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    match String::deserialize(from)?.as_str() {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        other => Err(D::Error::custom(format!("{other:?} is no flag; write 1 or 0"))),
    }
}

/// The name of whoever gives an order; without one, "admin-api".
pub(super) fn who(actor: Option<String>) -> OrderedBy {
    OrderedBy::said(actor)
}

/// An incident by its name.
pub(super) fn named(id: &str) -> Result<IncidentId, ApiError> {
    IncidentId::read(id).ok_or_else(|| ApiError::UnknownIncident { id: id.to_owned() })
}

/// A severity by its word.
pub(super) fn severity(text: &str) -> Result<Severity, ApiError> {
    Severity::read(text).ok_or_else(|| {
        let guess = did_you_mean(text, Severity::ALL.map(Severity::label).into_iter());
        let known = "write \"critical\", \"high\", \"medium\" or \"low\"";
        bad(format!("severity {text:?} is none{guess}; {known}"))
    })
}

/// A moment as RFC 3339.
pub(super) fn moment(field: &str, text: &str) -> Result<At, ApiError> {
    match clock::read_moment(text) {
        Some(wall) => Ok(At(millis(wall))),
        None => Err(bad(format!("{field} {text:?} is no moment; write \"2026-01-31T22:00:00Z\""))),
    }
}

/// The end of a day in UTC, or a moment.
pub(super) fn day(field: &str, text: &str) -> Result<At, ApiError> {
    let end = format!("{}T23:59:59Z", text.trim());
    match clock::read_moment(&end).or_else(|| clock::read_moment(text)) {
        Some(wall) => Ok(At(millis(wall))),
        None => Err(bad(format!("{field} {text:?} is no day; write \"2026-01-31\""))),
    }
}

/// The longest order: nobody remembers why after a week.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

/// How long an order lasts; `example`: what to write instead of what is no such time.
pub(super) fn ttl(text: &str, example: &str) -> Result<Duration, ApiError> {
    let lasts = Duration::read(text).filter(|ttl| !ttl.is_zero() && *ttl <= LONGEST);
    lasts.ok_or_else(|| bad(format!("ttl {text:?} is not within 1s and 7d; write {example:?}")))
}

/// What is wrong with a body.
pub(super) fn bad(problem: String) -> ApiError {
    ApiError::BadBody { problem }
}

/// An order that says nothing but who and why.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(ToSchema))]
#[serde(default, deny_unknown_fields)]
pub(super) struct ActorOrder {
    /// Who; "admin-api" without it.
    pub(super) actor: Option<String>,
    /// Why; shown in the audit log.
    pub(super) reason: Option<String>,
}

/// Gives an order, as `give` does it; what became of it, and its id in the audit list.
pub(super) async fn order<C, R, E: Into<ApiError>>(
    admin: &Admin,
    command: C,
    audit: AuditRecord,
    give: impl AsyncFnOnce(&Handle, Order<C>) -> Option<Result<OrderReceipt<R>, E>>,
) -> Result<(OrderReceipt<R>, String), ApiError> {
    let done = give(&admin.control, Order { command, audit: Some(audit.clone()) }).await;
    let done = done.ok_or(ApiError::Leaving)?.map_err(Into::into)?;
    let audit_id = admin.told(done.audit_id.clone(), &audit);
    Ok((done, audit_id))
}
