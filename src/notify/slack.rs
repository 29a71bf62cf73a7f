//! An incoming webhook of Slack, or of what is compatible with it (Mattermost, Rocket.Chat).
//!
//! Limits are those of Slack's Block Kit reference (docs.slack.dev/reference/block-kit/blocks): header 150 characters,
//! text of a section 3,000, ten fields of 2,000. `&`, `<` and `>` are escaped (docs.slack.dev/messaging/formatting-message-text).

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::message::{Kind, Message, Severity, stamp};
use super::wire::Post;
use crate::config::channels::WebUrl;

const HEADER: usize = 150;
const SECTION: usize = 3_000;
const FIELDS: usize = 10;
const FIELD: usize = 2_000;

/// Escaped, at most `most` characters afterwards; no escape is cut in two.
fn escaped(text: &str, most: usize) -> String {
    let mut out = String::new();
    let mut length = 0;
    for c in text.chars() {
        let alone = c.to_string();
        let part = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            _ => alone.as_str(),
        };
        let more = part.chars().count();
        if length + more >= most {
            out.push('…');
            break;
        }
        length += more;
        out.push_str(part);
    }
    out
}

fn mark(message: &Message) -> &'static str {
    match (message.kind, message.severity) {
        (Kind::Resolve, _) => ":large_green_circle:",
        (Kind::Test, _) => ":white_circle:",
        (_, Severity::Critical) => ":red_circle:",
        (_, Severity::High) => ":large_orange_circle:",
        (_, Severity::Medium | Severity::Low) => ":large_yellow_circle:",
    }
}

/// The message: `text` is what notifications and plain clients show, `blocks` what Slack shows.
pub(super) fn payload(message: &Message) -> Value {
    let headline = message.headline();
    let plain =
        |text: &str, most| json!({ "type": "plain_text", "text": escaped(text, most), "emoji": true });
    let marked = |text: String| json!({ "type": "mrkdwn", "text": text });
    let mut blocks = vec![json!({ "type": "header", "text": plain(&headline, HEADER) })];
    if !message.summary.is_empty() {
        let text = marked(format!("{} {}", mark(message), escaped(&message.summary, SECTION - 40)));
        blocks.push(json!({ "type": "section", "text": text }));
    }
    let field = |(name, value): &(String, String)| {
        marked(format!("*{}*\n{}", escaped(name, FIELD / 4), escaped(value, FIELD / 2)))
    };
    let fields: Vec<Value> = message.facts.iter().take(FIELDS).map(field).collect();
    if !fields.is_empty() {
        blocks.push(json!({ "type": "section", "fields": fields }));
    }
    let mut foot = vec![marked(format!(
        "{} · since {} · {} · told by {}",
        escaped(&message.rule, 200),
        stamp(message.started_at),
        escaped(&message.incident_id, 200),
        escaped(&message.instance, 200)
    ))];
    if let Some(link) = message.safe_link().filter(|link| link.len() < SECTION / 2) {
        foot.push(marked(format!("<{}|Incident>", escaped(link, SECTION))));
    }
    blocks.push(json!({ "type": "context", "elements": foot }));
    json!({ "text": format!("{} {}", mark(message), escaped(&headline, SECTION)), "blocks": blocks })
}

/// The request.
pub(super) fn post<'a>(url: &'a WebUrl, message: &Message) -> Post<'a> {
    let secrets = vec![url.path.expose_secret()];
    Post { url, path: "", fields: Vec::new(), body: payload(message).to_string().into_bytes(), secrets }
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::incident;
    use super::*;

    #[test]
    fn a_message_is_what_slack_documents() {
        insta::assert_snapshot!(
            "slack_message",
            serde_json::to_string_pretty(&payload(&incident(Kind::Trigger))).expect("JSON")
        );
    }

    #[test]
    fn no_text_is_too_long_for_it_and_none_breaks_out() {
        let long = "<!channel> & ".repeat(1_000);
        let facts = (0..50).map(|_| (long.clone(), long.clone())).collect();
        let message = Message {
            title: long.clone(),
            summary: long.clone(),
            rule: long.clone(),
            facts,
            ..incident(Kind::Trigger)
        };
        let told = payload(&message);
        let blocks = told["blocks"].as_array().expect("a list");
        let length = |value: &Value| value.as_str().expect("text").chars().count();
        assert!(blocks.len() <= 50);
        assert!(length(&blocks[0]["text"]["text"]) <= HEADER);
        assert!(length(&blocks[1]["text"]["text"]) <= SECTION);
        let fields = blocks[2]["fields"].as_array().expect("a list");
        assert_eq!(fields.len(), FIELDS);
        assert!(fields.iter().all(|field| length(&field["text"]) <= FIELD));
        let text = told.to_string();
        assert!(!text.contains("<!channel>"), "nobody is woken by a title");
        assert_eq!(text.matches('<').count(), 1, "the link alone");
    }
}
