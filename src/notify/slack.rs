//! A message as Slack shows it: a bold first line, then, beside a bar in the colour of the severity, fields and sections.
//!
//! Two ways lead there. An incoming webhook (also of what is compatible with it, such as Mattermost and Rocket.Chat, which show
//! `text`) can only say something new. The Web API can do more: the first message about an incident is brought up to date
//! (`chat.update`), and what is new is said in its thread (`chat.postMessage` with `thread_ts`); see [`super::slack_api`].
//!
//! Limits are those of Slack's Block Kit reference (docs.slack.dev/reference/block-kit/blocks): text of a section 3,000
//! characters, ten fields of 2,000. An attachment that has blocks must have no other field but its colour, in hex. `&`, `<` and
//! `>` are escaped (docs.slack.dev/messaging/formatting-message-text); the marks of mrkdwn, which cannot be escaped, are
//! replaced by letters that look like them, and `verbatim` keeps names from becoming mentions.

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::inbound::BUTTON;
use super::message::{Message, Severity, Span, Tone, fit, minute, spans};
use super::web::Post;
use crate::config::channels::WebUrl;
use crate::reliability::brief::{Audience, Part, Section, bound};

const TEXT: usize = 3_000;
const FIELDS: usize = 10;
const FIELD: usize = 2_000;
/// Of `text`, which Slack cuts at 40,000.
const PLAIN: usize = 12_000;
/// Of the value of a button.
const VALUE: usize = 2_000;
/// Sections of one message; a message takes 50 blocks.
const SECTIONS: usize = 8;

/// As plain text within mrkdwn, at most `most` characters afterwards; no escape is cut in two.
fn escaped(text: &str, most: usize) -> String {
    let (mut out, mut length) = (String::new(), 0);
    let mut before = ' ';
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let alone = letter.to_string();
        let within = before.is_alphanumeric() && letters.peek().is_some_and(|next| next.is_alphanumeric());
        let part = match letter {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '*' => "∗",
            '~' => "∼",
            '`' => "ˋ",
            // Between letters it is one of them.
            '_' if !within => "＿",
            _ => alone.as_str(),
        };
        let more = part.chars().count();
        if length + more >= most {
            out.push('…');
            break;
        }
        length += more;
        out.push_str(part);
        before = letter;
    }
    out
}

/// A sentence whose addresses can be clicked and whose commands can be copied.
fn sentence(text: &str, most: usize) -> String {
    let word = |word: &str| match web(word) {
        Some(address) => format!("<{}>", address.replace('&', "&amp;")),
        None => escaped(word, most),
    };
    let span = |span| match span {
        Span::Said(text) => bound(text).split(' ').map(word).collect::<Vec<_>>().join(" "),
        Span::Typed(text) => format!("`{}`", typed(text)),
    };
    let told: String = spans(text).into_iter().map(span).collect();
    // Cut only what is too long: a link is not to be cut in two.
    if told.chars().count() > most { escaped(text, most) } else { told }
}

fn typed(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn web(word: &str) -> Option<&str> {
    let is_web = word.starts_with("https://") || word.starts_with("http://");
    let plain = !word.contains(|c: char| c.is_control() || "<>|\"\\^`{}".contains(c));
    (is_web && plain && word.len() < 1_000).then_some(word)
}

/// A command as it is typed.
fn code(command: &str) -> String {
    format!("```{}```", fit(&typed(command), TEXT / 2).replace('`', "ˋ"))
}

fn mark(message: &Message) -> &'static str {
    match message.tone() {
        Tone::Well => ":large_green_circle:",
        Tone::Test => ":white_circle:",
        Tone::Taken => ":eyes:",
        Tone::Rated(Severity::Critical) => ":red_circle:",
        Tone::Rated(Severity::High) => ":large_orange_circle:",
        Tone::Rated(Severity::Medium) => ":large_yellow_circle:",
        Tone::Rated(Severity::Low) => ":large_blue_circle:",
    }
}

fn marked(text: String) -> Value {
    json!({ "type": "mrkdwn", "text": text, "verbatim": true })
}

fn section(message: &Message, section: &Section) -> Value {
    let mut text = format!("*{}*", section.part.title(message.brief.audience));
    for line in &section.lines {
        let line = format!("\n• {}", sentence(line, FIELD / 4));
        if text.chars().count() + line.chars().count() > TEXT / 2 {
            text.push_str("\n• …");
            break;
        }
        text.push_str(&line);
    }
    if let Some(command) = &section.command {
        text.push('\n');
        text.push_str(&code(command));
    }
    json!({ "type": "section", "text": marked(text) })
}

/// Slack shows a moment to each reader by the reader's own clock.
fn foot(message: &Message) -> Value {
    let by = match message.brief.audience {
        Audience::Called => {
            let [id, by] = [&message.incident_id, &message.instance].map(|text| escaped(text, 200));
            format!("{id} · written by {by} · ")
        }
        Audience::Stakeholders => String::new(),
    };
    let utc = minute(message.at);
    let own = format!("<!date^{}^{{date_short}}, {{time}}|{utc}>", message.at / 1_000);
    let mut parts = vec![marked(format!("{by}{utc} (by your clock {own})"))];
    if let Some(link) = message.open_link().filter(|link| link.len() < TEXT / 2) {
        parts.push(marked(format!("<{}|Incident (JSON)>", link.replace('&', "&amp;"))));
    }
    json!({ "type": "context", "elements": parts })
}

/// What takes it with a click, where the answer to that is heard.
fn button(message: &Message) -> Option<Value> {
    let fits = (1..=VALUE).contains(&message.incident_id.chars().count());
    (message.brief.ways.slack && fits).then(|| {
        let text = json!({ "type": "plain_text", "text": "I take it" });
        let button = json!({
            "type": "button", "text": text, "style": "primary", "action_id": BUTTON, "value": message.incident_id,
        });
        json!({ "type": "actions", "elements": [button] })
    })
}

/// `text` is what notifications, screen readers and plain clients have, so it says all that is needed to act; `blocks` and
/// `attachments` are what Slack shows. How to take it stands right below the first line.
pub(super) fn content(message: &Message) -> Value {
    let lead = message.lead();
    let told = format!("{} *{}*", mark(message), escaped(&bound(&lead), TEXT / 2));
    let field = |(name, value): &(String, String)| {
        marked(format!("*{}*\n{}", escaped(name, FIELD / 4), escaped(&bound(value), FIELD / 2)))
    };
    let fields: Vec<Value> = message.facts.iter().take(FIELDS).map(field).collect();
    let mut first = vec![json!({ "type": "section", "text": marked(told) })];
    first.extend(button(message));
    first.extend(message.brief.take().map(|one| section(message, one)));
    let mut blocks = Vec::new();
    if message.brief.sections.is_empty() && !message.summary.is_empty() {
        blocks.push(json!({ "type": "section", "text": marked(escaped(&message.summary, TEXT)) }));
    }
    if !fields.is_empty() {
        blocks.push(json!({ "type": "section", "fields": fields }));
    }
    let rest = message.brief.in_order().filter(|one| one.part != Part::Acknowledge);
    blocks.extend(rest.take(SECTIONS).map(|one| section(message, one)));
    blocks.push(foot(message));
    json!({
        "text": text(message, &lead),
        "blocks": first,
        "attachments": [{ "color": format!("#{}", message.tone().colour()), "blocks": blocks }],
    })
}

fn text(message: &Message, lead: &str) -> String {
    let mut text = format!("{} {}", mark(message), escaped(lead, TEXT / 2));
    for section in message.brief.in_order().take(SECTIONS) {
        let title = format!("{}:", section.part.title(message.brief.audience));
        let lines = section.lines.iter().take(FIELDS).map(|line| format!("• {}", sentence(line, 400)));
        let command = section.command.as_deref().map(code);
        for line in std::iter::once(title).chain(lines).chain(command) {
            if text.chars().count() + line.chars().count() > PLAIN {
                text.push_str("\n…");
                return text;
            }
            text.push('\n');
            text.push_str(&line);
        }
    }
    text
}

/// The request to an incoming webhook.
pub(super) fn post<'a>(url: &'a WebUrl, message: &Message) -> Post<'a> {
    let secrets = vec![url.path.expose_secret()];
    let body = content(message).to_string().into_bytes();
    Post { url, path: "", fields: Vec::new(), body, secrets }
}

#[cfg(test)]
mod tests {
    use super::super::message::MessageKind;
    use super::super::message::tests::{hostile, incident, outage, outages};
    use super::*;

    #[test]
    fn an_outage_is_told_as_slack_documents() {
        let all: Vec<Value> =
            outages().iter().map(|(name, one)| json!({ "is": name, "message": content(one) })).collect();
        insta::assert_snapshot!("slack", serde_json::to_string_pretty(&all).expect("JSON"));
    }

    #[test]
    fn it_can_be_taken_right_below_the_first_line_and_by_a_button_where_that_is_heard() {
        let kinds = |name: &str| {
            let told = content(&outage(name));
            let kinds = told["blocks"].as_array().expect("a list").iter().map(|one| one["type"].clone());
            (kinds.collect::<Vec<_>>(), told)
        };
        let (with, told) = kinds("critical, called");
        assert_eq!(with, ["section", "actions", "section"]);
        let button = &told["blocks"][1]["elements"][0];
        let id = outage("critical, called").incident_id;
        assert_eq!((&button["action_id"], &button["value"]), (&json!("strop_ack"), &json!(id)));
        let (without, told) = kinds("high, called");
        assert_eq!(without, ["section", "section"], "nobody would hear a button");
        assert!(told["blocks"][1]["text"]["text"].as_str().expect("text").contains("curl -X POST"));
        for name in
            ["critical, acknowledged", "critical, monitoring", "critical, resolved", "critical, taken"]
        {
            assert_eq!(kinds(name).0, ["section"], "{name}: there is nothing to take");
        }
    }

    #[test]
    fn what_only_a_shell_reaches_is_no_link() {
        for name in ["high, called", "medium, called", "low, called", "low, resolved"] {
            let told = content(&outage(name)).to_string();
            assert!(!told.contains("/api/v2/sre/incidents/inc_01m8dcg2cr0000000007>"), "{name}: {told}");
            assert!(!told.contains("|Incident"), "{name}: {told}");
            assert!(told.contains("`curl"), "{name}: {told}");
        }
    }

    fn texts<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::String(text) => found.push(text),
            Value::Array(all) => all.iter().for_each(|one| texts(one, found)),
            Value::Object(all) => all.values().for_each(|one| texts(one, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    #[test]
    fn no_text_is_too_long_for_it_and_none_breaks_out() {
        let long = "<!channel> <@U0> *x* _y_ ~z~ `w` & <https://evil.example|here> ".repeat(1_000);
        let facts = (0..50).map(|_| (long.clone(), long.clone())).collect();
        let told = content(&Message { facts, ..hostile(&long) });
        let blocks = told["attachments"][0]["blocks"].as_array().expect("a list");
        assert!(blocks.len() <= 50);
        let mut found = Vec::new();
        texts(&told, &mut found);
        assert!(found.iter().all(|text| text.chars().count() <= 8_000));
        let shown =
            |value: &Value, most: usize| value["text"].as_str().expect("text").chars().count() <= most;
        for block in blocks.iter().chain(told["blocks"].as_array().expect("a list")) {
            assert!(block["text"].is_null() || shown(&block["text"], TEXT), "{block}");
            let fields = block["fields"].as_array().map_or(&[][..], Vec::as_slice);
            assert!(fields.len() <= FIELDS && fields.iter().all(|field| shown(field, FIELD)));
        }
        // A command is code: marks mean nothing there.
        let all = told.to_string();
        let text: String = all.split("```").step_by(2).collect();
        assert!(!all.contains("<!channel") && !all.contains("<https://evil"));
        for bad in ["<!channel", "<@U0", "_y_", "~z~", "`w`", "*x*", "<https://evil"] {
            assert!(!text.contains(bad), "{bad}");
        }
    }

    #[test]
    fn an_address_can_be_clicked_and_a_name_with_a_line_below_stays_one() {
        let told = sentence("engineering_lead: see https://a.example/x?y=1&z=2 at once", 500);
        assert_eq!(told, "engineering_lead: see <https://a.example/x?y=1&amp;z=2> at once");
    }

    #[test]
    fn a_message_of_an_older_version_is_told_with_all_it_has() {
        let told = content(&incident(MessageKind::Trigger)).to_string();
        for part in
            ["Stripe does not &lt;answer&gt; &amp; bookings fail", "42 % of attempts failed", "error rate"]
        {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
}
