//! Slack's Web API (docs.slack.dev/reference/methods/chat.postMessage, chat.update): what is said about one incident is one
//! thread, and its first message always says how things are now.
//!
//! A thread is known by where its first message is: the channel's id and the message's `ts`, `C024BE91L/1503435956.000247`,
//! which the receipt of the first delivery holds and each later message brings back. Of a later message the first one is brought
//! up to date before the new one is posted beneath it: whoever reads the channel sees one entry an incident, and a second
//! attempt after a failure repeats what changes nothing.

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::delivery::{DeliveryError, DeliveryFailure, excerpt};
use super::message::{Message, MessageKind};
use super::slack::content;
use super::web::{self, Post};
use crate::config::channels::WebUrl;
use crate::net::addresses::Addresses;
use crate::net::client::Tls;

/// Where messages go: a channel of Slack, and the bot that writes there.
pub(super) struct Api<'a> {
    /// Of the Web API.
    pub(super) url: &'a WebUrl,
    /// The token of a bot with the scope `chat:write`.
    pub(super) token: &'a SecretString,
    /// Its id, or `#name`.
    pub(super) channel: &'a str,
}

/// Errors that may pass (docs.slack.dev, "Errors" of both methods); all others are for good.
const PASSING: [&str; 8] = [
    "ratelimited",
    "rate_limited",
    "message_limit_exceeded",
    "internal_error",
    "fatal_error",
    "service_unavailable",
    "request_timeout",
    "team_added_to_org",
];
/// The first message of a thread is not there any more, or may not be changed: a new one is begun.
const GONE: [&str; 5] = [
    "message_not_found",
    "cant_update_message",
    "edit_window_closed",
    "thread_not_found",
    "channel_not_found",
];

/// What the API answers to both; the rest is not looked at.
#[derive(Deserialize)]
struct Answered {
    ok: bool,
    #[serde(default)]
    error: String,
    #[serde(default)]
    channel: String,
    #[serde(default)]
    ts: String,
}

enum SlackRefusal {
    /// With Slack's own word.
    Said(String),
    Failed(DeliveryError),
}

impl From<SlackRefusal> for DeliveryError {
    fn from(refused: SlackRefusal) -> Self {
        match refused {
            SlackRefusal::Failed(error) => error,
            SlackRefusal::Said(word) if PASSING.contains(&word.as_str()) => {
                Self::passing(DeliveryFailure::Busy, told(&word))
            }
            SlackRefusal::Said(word) => Self::permanent(DeliveryFailure::Refused, told(&word)),
        }
    }
}

fn told(word: &str) -> String {
    let hint = match word {
        "not_in_channel" => ": invite the bot to the channel",
        "channel_not_found" => ": write the channel's id, and invite the bot to it",
        "invalid_auth" | "not_authed" | "token_revoked" | "token_expired" | "account_inactive" => {
            ": the token of token_file is not accepted"
        }
        "missing_scope" => ": the bot needs the scope chat:write",
        _ => "",
    };
    format!("Slack says {}{hint}", excerpt(word, &[]))
}

/// Where a message is: channel and `ts`.
fn place(thread: &str) -> Option<(&str, &str)> {
    thread.split_once('/').filter(|(channel, ts)| !channel.is_empty() && !ts.is_empty())
}

fn body(message: &Message, more: Value) -> Value {
    let mut body = content(message);
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    body
}

/// The first message of a thread, or one of its own.
fn first(api: &Api<'_>, message: &Message) -> Value {
    body(message, json!({ "channel": api.channel, "unfurl_links": false, "unfurl_media": false }))
}

/// One beneath it. What calls somebody again is shown in the channel too: nobody is told of what is said in a thread.
fn beneath(message: &Message, channel: &str, ts: &str) -> Value {
    let broadcast = message.kind == MessageKind::Trigger;
    let more = json!({
        "channel": channel, "thread_ts": ts, "reply_broadcast": broadcast, "unfurl_links": false, "unfurl_media": false,
    });
    body(message, more)
}

fn changed(message: &Message, channel: &str, ts: &str) -> Value {
    body(message, json!({ "channel": channel, "ts": ts }))
}

/// What the requests of one message share.
struct ApiCall<'a> {
    addresses: &'a Addresses,
    tls: &'a Tls,
    api: &'a Api<'a>,
}

impl ApiCall<'_> {
    async fn ask(&self, method: &str, body: &Value) -> Result<Answered, SlackRefusal> {
        let token = self.api.token.expose_secret();
        let post = Post {
            url: self.api.url,
            path: method,
            fields: vec![("authorization", format!("Bearer {token}"))],
            body: body.to_string().into_bytes(),
            secrets: vec![token],
        };
        let answer = web::post(self.addresses, self.tls, post).await.map_err(SlackRefusal::Failed)?;
        let read: Answered = serde_json::from_str(&answer.body).map_err(|_| {
            SlackRefusal::Failed(DeliveryError::passing(
                DeliveryFailure::Broken,
                format!("not Slack's API: {}", answer.said),
            ))
        })?;
        if read.ok { Ok(read) } else { Err(SlackRefusal::Said(read.error)) }
    }
}

/// Tells it; where its thread is.
pub(super) async fn deliver(
    addresses: &Addresses,
    tls: &Tls,
    api: &Api<'_>,
    message: &Message,
) -> Result<String, DeliveryError> {
    let line = ApiCall { addresses, tls, api };
    if let Some((channel, ts)) = message.thread.as_deref().and_then(place) {
        match line.ask("/chat.update", &changed(message, channel, ts)).await {
            Ok(_) => {
                line.ask("/chat.postMessage", &beneath(message, channel, ts)).await?;
                return Ok(format!("{channel}/{ts}"));
            }
            Err(SlackRefusal::Said(word)) if GONE.contains(&word.as_str()) => {}
            Err(refused) => return Err(refused.into()),
        }
    }
    let posted = line.ask("/chat.postMessage", &first(api, message)).await?;
    Ok(format!("{}/{}", posted.channel, posted.ts))
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::incident;
    use super::*;

    #[test]
    fn what_slack_refuses_says_whether_to_try_again_and_what_to_do() {
        for word in PASSING {
            assert!(!DeliveryError::from(SlackRefusal::Said(word.to_owned())).permanent, "{word}");
        }
        for (word, hint) in [
            ("not_in_channel", "invite the bot"),
            ("invalid_auth", "token_file"),
            ("missing_scope", "chat:write"),
            ("msg_too_long", "msg_too_long"),
        ] {
            let error = DeliveryError::from(SlackRefusal::Said(word.to_owned()));
            assert!(error.permanent && error.cause.contains(hint), "{error}");
        }
    }

    #[test]
    fn only_what_calls_again_is_shown_outside_its_thread() {
        let shown = |kind| beneath(&incident(kind), "C0", "1.2")["reply_broadcast"].clone();
        assert_eq!(
            [MessageKind::Trigger, MessageKind::Acknowledge, MessageKind::Update, MessageKind::Resolve]
                .map(shown),
            [true, false, false, false].map(Value::Bool)
        );
    }

    #[test]
    fn a_place_that_is_none_is_not_used() {
        assert_eq!(place("C0/1.2"), Some(("C0", "1.2")));
        for bad in ["", "C0", "/1.2", "C0/"] {
            assert_eq!(place(bad), None, "{bad}");
        }
    }
}
