//! PagerDuty, Events API v2 (developer.pagerduty.com/docs/events-api-v2, "Send an Alert Event"): field names and limits.
//!
//! An update is a trigger with the same key: PagerDuty adds it to the alert that is open. A test is one of severity `info`.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};

use super::message::{Kind, Message, Severity, fit, stamp};
use super::sign::short;
use super::wire::Post;
use crate::config::channels::WebUrl;

/// Characters of `dedup_key`.
const KEY: usize = 255;
/// Characters of `payload.summary`.
const SUMMARY: usize = 1_024;
/// An event has at most 512 KB: 64 facts of at most 1,024 characters (6 bytes each, where they must be escaped) stay below that,
/// with all else that is told.
const FACTS: usize = 64;
const FACT: usize = 1_024;
/// What a link may have at most; a longer one is left out.
const LINK: usize = 2_048;

fn severity(message: &Message) -> &'static str {
    match (message.kind, message.severity) {
        (Kind::Test, _) | (_, Severity::Low) => "info",
        (_, Severity::Medium) => "warning",
        (_, Severity::High) => "error",
        (_, Severity::Critical) => "critical",
    }
}

/// The key itself, or what stands for one that is too long: the same for the same key, and for no other.
pub(super) fn dedup_key(key: &str) -> String {
    if key.chars().count() <= KEY {
        return key.to_owned();
    }
    let start: String = key.chars().take(KEY - 33).collect();
    format!("{start}-{}", short(key))
}

/// The event.
pub(super) fn event(message: &Message, routing_key: &str) -> Value {
    let action = match message.kind {
        Kind::Trigger | Kind::Update | Kind::Test => "trigger",
        Kind::Acknowledge => "acknowledge",
        Kind::Resolve => "resolve",
    };
    let mut event = json!({
        "routing_key": routing_key,
        "event_action": action,
        "dedup_key": dedup_key(&message.dedup_key),
    });
    if action == "trigger" {
        event["payload"] = payload(message);
        event["client"] = json!("Strop");
        if let Some(link) = message.safe_link().filter(|link| link.len() <= LINK) {
            event["client_url"] = json!(link);
            event["links"] = json!([{ "href": link, "text": "Incident" }]);
        }
    }
    event
}

fn payload(message: &Message) -> Value {
    let mut details = Map::new();
    details.insert("summary".to_owned(), json!(fit(&message.summary, FACT)));
    details.insert("incident".to_owned(), json!(message.incident_id));
    details.insert("told_by".to_owned(), json!(message.instance));
    details.insert("started_at".to_owned(), json!(stamp(message.started_at)));
    for (name, value) in message.facts.iter().take(FACTS) {
        details.insert(fit(name, 64), json!(fit(value, FACT)));
    }
    let source = if message.service.is_empty() { &message.instance } else { &message.service };
    json!({
        "summary": fit(&message.headline(), SUMMARY),
        "source": fit(source, FACT),
        "severity": severity(message),
        "timestamp": stamp(message.at),
        "component": fit(&message.service, FACT),
        "class": fit(&message.rule, FACT),
        "custom_details": details,
    })
}

/// The request.
pub(super) fn post<'a>(url: &'a WebUrl, routing_key: &'a SecretString, message: &Message) -> Post<'a> {
    let key = routing_key.expose_secret();
    Post {
        url,
        path: "",
        fields: Vec::new(),
        body: event(message, key).to_string().into_bytes(),
        secrets: vec![key],
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::incident;
    use super::*;

    #[test]
    fn an_event_is_what_the_api_documents() {
        let all: Vec<Value> = [Kind::Trigger, Kind::Acknowledge, Kind::Update, Kind::Resolve]
            .map(|kind| event(&incident(kind), "R0"))
            .into();
        insta::assert_snapshot!("pagerduty_events", serde_json::to_string_pretty(&all).expect("JSON"));
    }

    #[test]
    fn no_text_is_too_long_for_it_and_long_keys_stay_apart() {
        let long = "ä".repeat(5_000);
        let facts = (0..5_000).map(|n| (format!("{n}{long}"), "\u{1b}".repeat(5_000))).collect();
        let message = Message {
            title: long.clone(),
            summary: long.clone(),
            dedup_key: long.clone(),
            service: "\u{1b}".repeat(100_000),
            rule: "\u{1b}".repeat(100_000),
            link: Some(format!("https://strop.example/{long}")),
            facts,
            ..incident(Kind::Trigger)
        };
        let told = event(&message, "R0");
        assert!(told["dedup_key"].as_str().expect("text").chars().count() <= KEY);
        assert!(told["payload"]["summary"].as_str().expect("text").chars().count() <= SUMMARY);
        assert!(told.to_string().len() < 512 * 1024, "{}", told.to_string().len());
        let other = Message { dedup_key: format!("{long}!"), ..message };
        assert_ne!(event(&other, "R0")["dedup_key"], told["dedup_key"]);
    }

    #[test]
    fn severities_have_their_counterparts() {
        let of = |severity| self::severity(&Message { severity, ..incident(Kind::Trigger) });
        assert_eq!(
            [Severity::Critical, Severity::High, Severity::Medium, Severity::Low].map(of),
            ["critical", "error", "warning", "info"]
        );
        assert_eq!(severity(&incident(Kind::Test)), "info", "a test wakes nobody");
    }
}
