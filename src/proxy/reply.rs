//! The answers that are our own: any [`ProxyError`] becomes what the client reads. One place.
//!
//! `application/problem+json` (RFC 9457), `Proxy-Status` (RFC 9209), `X-Strop-Reason`, `Retry-After`. Addresses and
//! causes stay in the log.

use std::io::Write as _;

use bytes::Bytes;

use super::error::ProxyError;
use crate::message::body::Body;
use crate::message::head::{Framing, HeadStore, Method, ResponseHead};

/// The answer to an exchange that failed. `request_id` goes into the body, so that a user can quote it.
pub fn of(error: &ProxyError, asked: Method, request_id: &str) -> (ResponseHead, Body) {
    let facts = error.facts();
    let status = facts.status;
    let title =
        http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("Closed");
    let mut body = serde_json::json!({
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": facts.advice,
        "code": facts.label,
        // Its name until the version after this one.
        "reason": facts.label,
        "request_id": request_id,
    })
    .to_string();
    // Its client may take its time.
    body.shrink_to_fit();
    let mut head = ResponseHead::own(status, Framing::Length(body.len() as u64));
    head.store.push(b"content-type", b"application/problem+json");
    head.store.push(b"cache-control", b"no-store");
    head.store.push(b"x-strop-reason", facts.label.as_bytes());
    let mut line = Vec::with_capacity(64);
    // Writing to a Vec cannot fail.
    let _ = write!(line, "strop; error={}; details=\"{}\"", facts.token, facts.label);
    head.store.push(b"proxy-status", &line);
    if let Some(wait) = facts.retry_after {
        line.clear();
        // Rounded up: coming back too early only costs another refusal.
        let _ = write!(line, "{}", wait.as_millis().div_ceil(1_000).max(1));
        head.store.push(b"retry-after", &line);
    }
    if status == 405 {
        head.store.push(b"allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    }
    line.clear();
    let _ = write!(line, "{}", body.len());
    head.store.push(b"content-length", &line);
    head.store.bytes.extend_from_slice(b"\r\n");
    head.keeps_alive = facts.keeps_alive;
    if asked == Method::Head {
        head.framing = Framing::None;
        return (head, Body::empty());
    }
    (head, Body::full(Bytes::from(body)))
}

/// An answer of our own without its body, for a client that does not take it: its head says why.
pub fn head_alone(head: &mut ResponseHead) -> Body {
    let HeadStore { bytes, fields, .. } = &mut head.store;
    fields.retain(|field| !matches!(field.name.of(bytes), b"content-type" | b"content-length"));
    head.framing = Framing::None;
    Body::empty()
}
