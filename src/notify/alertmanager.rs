//! Alertmanager, API v2 (`POST /api/v2/alerts`).
//!
//! Labels identify, annotations do not: a label holds what is the same for the whole incident, whoever tells it.
//! Severity is a label because receivers route by it: when it changes, the alert of the old one ends by itself after
//! three intervals. An Alertmanager forgets: `endsAt` is always set, a firing alert is sent again each interval with
//! `endsAt` three intervals ahead, a resolved one for five minutes (semantics c.7;
//! prometheus.io/docs/alerting/latest/alerts_api). Members of a cluster do not pass alerts on to each other, so each is
//! sent to; one that has it is enough, for the others get it with the next interval.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};

use super::delivery::{DeliveryError, DeliveryFailure};
use super::message::{Message, MessageKind, fit, stamp};
use super::web::Post;
use crate::config::channels::WebUrl;
use crate::reliability::brief::Part;

/// A resolved alert is sent again for so long.
const RESOLVED_FOR: u64 = 5 * 60 * 1_000;
/// `endsAt` of a firing alert, in intervals: two sendings may be lost.
const AHEAD: u32 = 3;
const FACTS: usize = 64;
const FACT: usize = 4_096;

fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

/// When it ends, or is taken to have ended unless it is sent again.
fn ends_at(message: &Message, now: u64, interval: Duration) -> u64 {
    match message.kind {
        MessageKind::Resolve => message.ends_at.unwrap_or(message.at).max(message.started_at),
        MessageKind::Trigger | MessageKind::Acknowledge | MessageKind::Update => {
            now.saturating_add(millis(interval * AHEAD))
        }
        // Nobody sends it again.
        MessageKind::Test => now.saturating_add(millis(interval)),
    }
}

/// How long after a delivery it is to be sent again; `None`: not.
pub(super) fn again_in(message: &Message, now: u64, interval: Duration) -> Option<Duration> {
    match message.kind {
        MessageKind::Trigger | MessageKind::Acknowledge | MessageKind::Update => Some(interval),
        MessageKind::Resolve => {
            let ended = ends_at(message, now, interval);
            (now < ended.saturating_add(RESOLVED_FOR)).then_some(interval)
        }
        MessageKind::Test => None,
    }
}

/// The list of one alert.
pub(super) fn alerts(message: &Message, now: u64, interval: Duration) -> Value {
    let mut labels = Map::new();
    // An empty label is no label (prometheus.io/docs/concepts/data_model).
    for (name, value) in [
        ("alertname", message.rule.as_str()),
        ("service", message.service.as_str()),
        ("severity", message.severity.label()),
        ("dedup_key", message.dedup_key.as_str()),
    ] {
        if !value.is_empty() {
            labels.insert(name.to_owned(), json!(fit(value, FACT)));
        }
    }
    let mut annotations = Map::new();
    for (name, value) in message.facts.iter().take(FACTS) {
        annotations.insert(label_name(name), json!(fit(value, FACT)));
    }
    let known = if message.kind == MessageKind::Acknowledge { "acknowledged" } else { message.kind.label() };
    let state = Some(message.brief.status.as_str()).filter(|status| !status.is_empty()).unwrap_or(known);
    for (name, lines, command) in sections(message) {
        annotations.insert(name.to_owned(), json!(fit(&lines, FACT)));
        if let Some(command) = command {
            annotations.insert("command".to_owned(), json!(fit(command, FACT)));
        }
    }
    for (name, value) in [
        ("title", message.title.as_str()),
        ("summary", message.summary.as_str()),
        ("incident", message.incident_id.as_str()),
        ("instance", message.instance.as_str()),
        ("state", state),
        ("at", &stamp(message.at)),
    ] {
        annotations.insert(name.to_owned(), json!(fit(value, FACT)));
    }
    let mut alert = json!({
        "labels": labels,
        "annotations": annotations,
        "startsAt": stamp(message.started_at),
        "endsAt": stamp(ends_at(message, now, interval)),
    });
    if let Some(link) = message.open_link() {
        alert["generatorURL"] = json!(link);
    }
    json!([alert])
}

/// An annotation each: templates of receivers show `description` beside `summary`, so what was seen has that name.
fn sections(message: &Message) -> impl Iterator<Item = (&'static str, String, Option<&str>)> {
    message.brief.sections.iter().map(|section| {
        let name = match section.part {
            Part::Evidence => "description",
            Part::Runbook | Part::Done | Part::Next | Part::Look | Part::Acknowledge | Part::Other => {
                section.part.label()
            }
        };
        let lines: Vec<&str> = section.lines.iter().chain(&section.command).map(String::as_str).collect();
        (name, lines.join("\n"), section.command.as_deref())
    })
}

/// As a name of Prometheus: `error rate` → `error_rate`.
fn label_name(text: &str) -> String {
    let name: String = fit(text, 64)
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        .collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) || name.is_empty() { format!("_{name}") } else { name }
}

/// One request for each member.
pub(super) fn posts<'a>(urls: &'a [WebUrl], token: Option<&'a SecretString>, body: &Value) -> Vec<Post<'a>> {
    let token = token.map(SecretString::expose_secret);
    let post = |url| Post {
        url,
        path: "/api/v2/alerts",
        fields: token.map(|token| ("authorization", format!("Bearer {token}"))).into_iter().collect(),
        body: body.to_string().into_bytes(),
        secrets: token.into_iter().collect(),
    };
    urls.iter().map(post).collect()
}

/// What all members together say: what one of them has is delivered.
pub(super) fn summed(
    came: Vec<(String, Result<String, DeliveryError>)>,
    interval: Duration,
) -> Result<String, DeliveryError> {
    let told = |(url, came): &(String, Result<String, DeliveryError>)| match came {
        Ok(said) => format!("{url}: {said}"),
        Err(error) => format!("{url}: {}", error.cause),
    };
    let text = came.iter().map(told).collect::<Vec<_>>().join("; ");
    if came.iter().any(|(_, came)| came.is_ok()) {
        return Ok(text);
    }
    let errors: Vec<DeliveryError> = came.into_iter().filter_map(|(_, came)| came.err()).collect();
    let why = errors.first().map_or(DeliveryFailure::Unusable, |error| error.why);
    Err(DeliveryError {
        permanent: errors.iter().all(|error| error.permanent),
        retry_after: errors.iter().filter_map(|error| error.retry_after).min(),
        retry_within: Some(interval),
        ..DeliveryError::passing(why, text)
    })
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::{calls, incident, outage};
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn an_outage_is_told_in_annotations_and_its_labels_stay() {
        let all: Vec<Value> = calls()
            .iter()
            .map(|(name, one)| json!({ "is": name, "alerts": alerts(one, one.at, MINUTE) }))
            .collect();
        insta::assert_snapshot!("alertmanager", serde_json::to_string_pretty(&all).expect("JSON"));
        for story in ["critical", "low"] {
            let own = |one: &&Value| one["is"].as_str().is_some_and(|name| name.starts_with(story));
            let labels: Vec<&Value> = all.iter().filter(own).map(|one| &one["alerts"][0]["labels"]).collect();
            assert!(
                labels.len() > 3 && labels.iter().all(|one| *one == labels[0]),
                "one alert from beginning to end"
            );
        }
    }

    #[test]
    fn how_to_take_it_stands_with_its_command() {
        let told = alerts(&outage("high, called"), 0, MINUTE);
        let annotations = &told[0]["annotations"];
        let take = annotations["acknowledge"].as_str().expect("text");
        assert!(take.ends_with(annotations["command"].as_str().expect("text")), "{take}");
        assert!(told[0]["generatorURL"].is_null(), "it would ask for a token");
    }

    #[test]
    fn labels_identify_and_hold_no_values() {
        let told = alerts(&incident(MessageKind::Trigger), 1_795_543_230_000, MINUTE);
        insta::assert_snapshot!("alertmanager_alerts", serde_json::to_string_pretty(&told).expect("JSON"));
        let later = Message {
            facts: vec![("error rate".to_owned(), "43 %".to_owned())],
            instance: "pod-8".to_owned(),
            ..incident(MessageKind::Update)
        };
        let later = alerts(&later, 1_795_543_290_000, MINUTE);
        assert_eq!(later[0]["labels"], told[0]["labels"]);
        assert_ne!(later[0]["annotations"], told[0]["annotations"]);
    }

    #[test]
    fn it_always_ends_and_is_sent_again_until_nobody_can_have_missed_it() {
        let firing = incident(MessageKind::Trigger);
        assert_eq!(ends_at(&firing, 1_000, MINUTE), 181_000);
        assert_eq!(again_in(&firing, 1_000, MINUTE), Some(MINUTE));
        let over = incident(MessageKind::Resolve);
        let ended = over.ends_at.expect("over");
        assert_eq!(ends_at(&over, ended + 60_000, MINUTE), ended, "the same with each sending");
        assert_eq!(again_in(&over, ended + RESOLVED_FOR - 1, MINUTE), Some(MINUTE));
        assert_eq!(again_in(&over, ended + RESOLVED_FOR, MINUTE), None);
        assert_eq!(again_in(&incident(MessageKind::Test), 0, MINUTE), None);
    }

    #[test]
    fn one_member_that_has_it_is_enough() {
        let no = || Err(DeliveryError::permanent(DeliveryFailure::Refused, "status 400"));
        let late = || Err(DeliveryError::passing(DeliveryFailure::Late, "late"));
        let at = |url: &str, came| (url.to_owned(), came);
        let told = summed(vec![at("a", late()), at("b", Ok("200".to_owned()))], MINUTE).expect("delivered");
        assert_eq!(told, "a: late; b: 200");
        let error = summed(vec![at("a", no()), at("b", late())], MINUTE).expect_err("nobody has it");
        assert!(!error.permanent && error.retry_within == Some(MINUTE));
        assert!(summed(vec![at("a", no()), at("b", no())], MINUTE).expect_err("nobody has it").permanent);
    }

    #[test]
    fn a_fact_becomes_an_annotation_whatever_its_name() {
        for (text, name) in [("error rate", "error_rate"), ("5xx", "_5xx"), ("", "_"), ("ä/b", "__b")] {
            assert_eq!(label_name(text), name);
        }
    }
}
