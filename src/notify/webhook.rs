//! A signed webhook: JSON that says all of a message.
//!
//! To verify: take `Strop-Timestamp`, a dot, and the body's bytes as they came; HMAC-SHA256 with the secret; compare in
//! constant time with the hex digits after `v1=` in `Strop-Signature`; refuse timestamps more than five minutes off.
//! `Idempotency-Key` is the same with each attempt for one message: do nothing the second time. In Python:
//!
//! ```python
//! signed = hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
//! genuine = hmac.compare_digest("v1=" + signed, signature) and abs(time.time() - int(timestamp)) <= 300
//! ```

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::message::{Message, stamp};
use super::web::Post;
use crate::config::channels::WebUrl;
use crate::net::sign::signature;
use crate::reliability::brief::Section;

/// The body. Fields may be added; what is here keeps its name and meaning.
pub(super) fn body(message: &Message, id: &str) -> Value {
    let facts: Vec<Value> =
        message.facts.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    let sections: Vec<Value> = message.brief.sections.iter().map(section).collect();
    json!({
        "id": id,
        "kind": message.kind.label(),
        "incident_id": message.incident_id,
        "dedup_key": message.dedup_key,
        "severity": message.severity.label(),
        "state": message.brief.status,
        "audience": message.brief.audience,
        "title": message.title,
        "summary": message.summary,
        "service": message.service,
        "rule": message.rule,
        "started_at": stamp(message.started_at),
        "at": stamp(message.at),
        "ends_at": message.ends_at.map(stamp),
        "link": message.link,
        "facts": facts,
        "sections": sections,
        "instance": message.instance,
    })
}

fn section(section: &Section) -> Value {
    json!({ "name": section.part.label(), "lines": section.lines, "command": section.command })
}

/// The request; `now` is in seconds since 1970 and is signed.
pub(super) fn post<'a>(
    url: &'a WebUrl,
    secret: &'a SecretString,
    message: &Message,
    id: &str,
    now: u64,
) -> Post<'a> {
    let body = body(message, id).to_string().into_bytes();
    let secret = secret.expose_secret();
    let fields = vec![
        ("strop-timestamp", now.to_string()),
        ("strop-signature", format!("v1={}", signature(secret, now, &body))),
        ("idempotency-key", id.to_owned()),
    ];
    Post { url, path: "", fields, body, secrets: vec![secret] }
}

#[cfg(test)]
mod tests {
    use super::super::message::MessageKind;
    use super::super::message::tests::{incident, outages};
    use super::*;

    #[test]
    fn an_outage_is_told_with_all_that_there_is_to_say() {
        let all: Vec<Value> = outages().iter().map(|(name, one)| body(one, name)).collect();
        insta::assert_snapshot!("webhook", serde_json::to_string_pretty(&all).expect("JSON"));
    }

    #[test]
    fn the_body_is_what_receivers_were_written_for() {
        insta::assert_snapshot!(
            "webhook_body",
            serde_json::to_string_pretty(&body(&incident(MessageKind::Resolve), "019-message"))
                .expect("JSON")
        );
    }
}
