//! PagerDuty, Events API v2 (developer.pagerduty.com/docs/events-api-v2, "Send an Alert Event"): field names and limits.
//!
//! An update is a trigger with the same key: PagerDuty adds it to the alert that is open. A test is one of severity `info`.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};

use super::message::{Message, MessageKind, Severity, fit, line, plain, stamp};
use super::web::Post;
use crate::config::channels::WebUrl;
use crate::net::sign::short;
use crate::reliability::brief::{Part, Section};

/// Longest `dedup_key`, in characters (Events API v2).
const KEY: usize = 255;
/// Longest `payload.summary`, in characters (Events API v2).
const SUMMARY: usize = 1_024;
/// An event has at most 512 KB: 24 facts and 6 sections of 12 lines and a command, of at most 512 characters each (6 bytes a
/// character, where it must be escaped), stay below that with all else that is told.
const FACTS: usize = 24;
/// So many sections of so many lines.
const SECTIONS: usize = 6;
const LINES: usize = 12;
const FACT: usize = 512;
/// What a link may have at most; a longer one is left out.
const LINK: usize = 2_048;

fn severity(message: &Message) -> &'static str {
    match (message.kind, message.severity) {
        (MessageKind::Test, _) | (_, Severity::Low) => "info",
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

/// The event that a message becomes, as JSON.
pub(super) fn event(message: &Message, routing_key: &str) -> Value {
    let action = match message.kind {
        MessageKind::Trigger | MessageKind::Update | MessageKind::Test => "trigger",
        MessageKind::Acknowledge => "acknowledge",
        MessageKind::Resolve => "resolve",
    };
    let mut event = json!({
        "routing_key": routing_key,
        "event_action": action,
        "dedup_key": dedup_key(&message.dedup_key),
    });
    if action == "trigger" {
        event["payload"] = payload(message);
        event["client"] = json!("Strop");
        if let Some(link) = message.open_link().filter(|link| link.len() <= LINK) {
            event["client_url"] = json!(link);
            event["links"] = json!([{ "href": link, "text": "Incident, timeline and evidence (JSON)" }]);
        }
    }
    event
}

/// Shown in the order of their names, whatever the order in JSON: they are numbered. Each is one text with line breaks, for a list would
/// be shown as JSON, and a command in it with backslashes.
fn details(message: &Message) -> Map<String, Value> {
    let mut told: Vec<(String, String)> = Vec::new();
    for section in message.brief.in_order().take(SECTIONS) {
        let click = click(message, section).map(str::to_owned);
        // The first line of how to take it says what the click says.
        let lines = section.lines.iter().skip(usize::from(click.is_some())).take(LINES);
        let lines: Vec<String> = click.into_iter().chain(lines.map(|line| plain(&fit(line, FACT)))).collect();
        told.push((section.part.title(message.brief.audience).to_owned(), lines.join("\n")));
        let command = section.command.as_ref();
        told.extend(command.map(|command| ("Command".to_owned(), fit(command, FACT))));
    }
    let fact = |(name, value): &(String, String)| format!("{}: {}", fit(name, 64), plain(&fit(value, FACT)));
    let mut facts: Vec<String> = message.facts.iter().take(FACTS).map(fact).collect();
    facts.push(format!("Incident: {}", fit(&message.incident_id, FACT)));
    facts.push(format!("Written by: {}", fit(&message.instance, FACT)));
    told.push(("In short".to_owned(), facts.join("\n")));
    let numbered = told.into_iter().enumerate();
    numbered.map(|(at, (name, text))| (format!("{:02} {name}", at + 1), json!(text))).collect()
}

/// What a click in PagerDuty does to Strop: whoever is woken finds that button first.
fn click(message: &Message, section: &Section) -> Option<&'static str> {
    let told = if message.brief.ways.pagerduty {
        "Press Acknowledge here: Strop then calls nobody else."
    } else {
        "To acknowledge it here does not end Strop's calls; the command below does."
    };
    (section.part == Part::Acknowledge).then_some(told)
}

fn payload(message: &Message) -> Value {
    let source = if message.service.is_empty() { &message.instance } else { &message.service };
    json!({
        "summary": fit(&summary(message), SUMMARY),
        "source": fit(source, FACT),
        "severity": severity(message),
        "timestamp": stamp(message.at),
        "component": fit(&message.service, FACT),
        "class": fit(&message.rule, FACT),
        "custom_details": details(message),
    })
}

/// What a phone reads out: the first line, with the service in front where the line does not name it.
fn summary(message: &Message) -> String {
    let (lead, service) = (message.lead(), line(&message.service));
    if lead.contains(&service) { lead } else { format!("{service}: {lead}") }
}

/// The request that sends a message.
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
    use super::super::message::tests::{calls, hostile, incident, outage};
    use super::*;

    #[test]
    fn an_outage_is_told_as_the_api_documents() {
        let all: Vec<Value> =
            calls().iter().map(|(name, one)| json!({ "is": name, "event": event(one, "R0") })).collect();
        insta::assert_snapshot!("pagerduty", serde_json::to_string_pretty(&all).expect("JSON"));
    }

    #[test]
    fn what_a_phone_reads_out_says_what_fails_since_when_how_bad_and_for_whom() {
        let told = event(&outage("critical, called"), "R0");
        let summary = told["payload"]["summary"].as_str().expect("text");
        for part in ["Critical", "stripe is down", "02:14:07 UTC", "26 of 43 requests of route checkout"] {
            assert!(summary.contains(part), "{part} is missing: {summary}");
        }
        assert!(summary.is_ascii(), "a text message of other letters has room for half of it: {summary}");
    }

    #[test]
    fn details_are_read_in_their_order_and_a_command_can_be_copied() {
        for (name, click) in
            [("critical, called", "Press Acknowledge here"), ("high, called", "does not end")]
        {
            let told = event(&outage(name), "R0");
            let details = told["payload"]["custom_details"].as_object().expect("an object");
            let mut keys: Vec<&String> = details.keys().collect();
            keys.sort();
            assert_eq!(keys[..3], ["01 How to take it", "02 Command", "03 What was seen"], "{name}");
            assert!(details.values().all(Value::is_string), "{details:#?}");
            let take = details["01 How to take it"].as_str().expect("text");
            assert!(take.lines().next().expect("a line").contains(click), "{name}: {take}");
            assert!(details["02 Command"].as_str().expect("text").starts_with("curl -X POST https://"));
        }
    }

    #[test]
    fn nothing_leads_a_browser_to_what_asks_for_a_token() {
        let told = event(&outage("high, called"), "R0");
        assert!(told["links"].is_null() && told["client_url"].is_null(), "{told:#}");
        assert!(event(&outage("critical, called"), "R0")["client_url"].is_string());
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
            ..hostile(&"\u{1b}".repeat(5_000))
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
        let of = |severity| self::severity(&Message { severity, ..incident(MessageKind::Trigger) });
        assert_eq!(
            [Severity::Critical, Severity::High, Severity::Medium, Severity::Low].map(of),
            ["critical", "error", "warning", "info"]
        );
        assert_eq!(severity(&incident(MessageKind::Test)), "info", "a test wakes nobody");
    }
}
