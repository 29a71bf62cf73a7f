//! The answers that are our own: any [`ProxyError`] becomes what the client reads. One place.
//!
//! `application/problem+json` (RFC 9457), or what the upstream's own client library understands; `Proxy-Status`
//! (RFC 9209), `X-Strop-Reason`, `Retry-After`. Addresses and causes stay in the log.

use bytes::Bytes;

use super::error::ProxyError;
use super::facts::ErrorFacts;
use crate::config::{RefusalTemplate, RefusalValues};
use crate::message::body::Body;
use crate::message::head::{Framing, HeadStore, Method, ResponseHead};
use crate::upstream::rates::TooOften;

/// The answer to an exchange that failed, to a client of an upstream whose clients read `own`. `request_id` goes into the
/// body, so that a user can quote it.
pub fn of(
    error: &ProxyError,
    asked: Method,
    request_id: &str,
    own: Option<&RefusalTemplate>,
) -> (ResponseHead, Body) {
    let facts = error.facts();
    let status = facts.status;
    let shaped = own.filter(|own| own.has_body());
    let mut body = match shaped {
        Some(own) => own.write(RefusalValues { status, code: facts.label, detail: facts.advice, request_id }),
        None => problem(&facts, request_id),
    };
    // Its client may take its time.
    body.shrink_to_fit();
    let content_type = shaped.map_or("application/problem+json", |own| own.content_type.as_str());
    let mut head = ResponseHead::own(status, Framing::Length(body.len() as u64));
    head.store.push(b"content-type", content_type.as_bytes());
    head.store.push(b"cache-control", b"no-store");
    head.store.push(b"x-strop-reason", facts.label.as_bytes());
    // A single failure may well be repeated; what is held back is better not asked again by itself.
    if let (ProxyError::Refused { .. } | ProxyError::Throttled { .. }, Some(own)) = (error, own) {
        own.do_not_retry.iter().for_each(|(name, value)| head.store.push(name.as_bytes(), value.as_bytes()));
    }
    if let ProxyError::TooOften { limit, .. } = error {
        rate_limited(&mut head, limit);
    }
    framed(&mut head, &facts);
    let body = Body::of_own(&mut head, Bytes::from(body), asked);
    (head, body)
}

fn problem(facts: &ErrorFacts, request_id: &str) -> String {
    let status = facts.status;
    let title =
        http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("Closed");
    serde_json::json!({
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": facts.advice,
        "code": facts.label,
        // Its name until the version after this one.
        "reason": facts.label,
        "request_id": request_id,
    })
    .to_string()
}

/// How often the client may ask, and when again (draft-ietf-httpapi-ratelimit-headers-10).
fn rate_limited(head: &mut ResponseHead, limit: &TooOften) {
    let TooOften { requests, per, wait } = limit;
    let wait = wait.as_millis().div_ceil(1_000).max(1);
    head.store.push(b"ratelimit-policy", format!("\"client\";q={requests};w={}", per.as_secs()).as_bytes());
    head.store.push(b"ratelimit", format!("\"client\";r=0;t={wait}").as_bytes());
}

/// What is said to proxies and to the connection.
fn framed(head: &mut ResponseHead, facts: &ErrorFacts) {
    let told = format!("strop; error={}; details=\"{}\"", facts.token, facts.label);
    head.store.push(b"proxy-status", told.as_bytes());
    if let Some(wait) = facts.retry_after {
        head.store.push_retry_after(wait);
    }
    if facts.status == 405 {
        head.store.push(b"allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    }
    head.keeps_alive = facts.keeps_alive;
}

/// An answer of our own without its body, for a client that does not take it: its head says why.
pub fn head_alone(head: &mut ResponseHead) -> Body {
    let HeadStore { bytes, fields, .. } = &mut head.store;
    fields.retain(|field| !matches!(field.name.of(bytes), b"content-type" | b"content-length"));
    head.framing = Framing::None;
    Body::empty()
}
