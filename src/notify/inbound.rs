//! What a pager or a chat says back: somebody has taken an incident there.
//!
//! Signed by the sender over the bytes as they came; nothing is read before the signature was verified in constant time.
//!
//! * PagerDuty, webhook subscriptions (V3): `X-PagerDuty-Signature` holds `v1=` and the HMAC-SHA256 of the body in hex, several
//!   with commas between them while a secret is rotated. `event.data.incident_key` is the `dedup_key` of the alert.
//! * Slack, slash commands and buttons: `X-Slack-Signature` holds `v0=` and the HMAC-SHA256 of `v0:TIMESTAMP:BODY` in hex,
//!   `X-Slack-Request-Timestamp` the seconds since 1970; five minutes off is a repetition. The body is a form.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::pagerduty::dedup_key;
use crate::net::sign::is_signed;

/// A timestamp that is further off is a repetition.
const WINDOW: u64 = 300;
/// Characters of a name that are kept.
const NAME: usize = 100;
/// The `action_id` of a button whose `value` is the name of an incident.
pub(super) const BUTTON: &str = "strop_ack";

/// Which incident is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one whose key a pager has.
    Key(String),
    /// The one of this name.
    Id(String),
}

impl Which {
    /// Is it this one?
    pub fn is(&self, id: &str, dedup: &str) -> bool {
        match self {
            Self::Key(key) => *key == dedup_key(dedup),
            Self::Id(named) => named == id,
        }
    }
}

/// What a post says, once its signature was found genuine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Somebody has taken an incident.
    Taken {
        /// The incident that was taken, as the sender names it.
        which: Which,
        /// The person who took it, for people.
        by: String,
    },
    /// Something genuine that is nobody's acknowledgement.
    Other,
}

/// Why nothing was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unheard {
    /// The signature is none of the sender's.
    Forged,
    /// It was signed too long ago, or is from the future.
    Stale,
    /// It is not what the sender documents.
    Unreadable,
}

/// Reads what PagerDuty posts.
pub fn pagerduty(secret: &SecretString, signatures: &str, body: &[u8]) -> Result<Said, Unheard> {
    let secret = secret.expose_secret();
    let mut given = signatures.split(',').filter_map(|one| one.trim().strip_prefix("v1="));
    if !given.any(|signature| is_signed(secret, &[body], signature)) {
        return Err(Unheard::Forged);
    }
    let told: Value = serde_json::from_slice(body).map_err(|_| Unheard::Unreadable)?;
    let event = &told["event"];
    let kind = event["event_type"].as_str().ok_or(Unheard::Unreadable)?;
    if kind != "incident.acknowledged" {
        return Ok(Said::Other);
    }
    // An incident that a person opened there has a key that nothing here has.
    let key = event["data"]["incident_key"].as_str().ok_or(Unheard::Unreadable)?;
    let by = name(event["agent"]["summary"].as_str().unwrap_or("somebody"), "PagerDuty");
    Ok(Said::Taken { which: Which::Key(key.to_owned()), by })
}

/// Reads what Slack posts; `now` in seconds since 1970.
pub fn slack(
    secret: &SecretString,
    timestamp: &str,
    signature: &str,
    body: &[u8],
    now: u64,
) -> Result<Said, Unheard> {
    let signature = signature.strip_prefix("v0=").ok_or(Unheard::Forged)?;
    let signed = [b"v0:", timestamp.as_bytes(), b":", body];
    if !is_signed(secret.expose_secret(), &signed, signature) {
        return Err(Unheard::Forged);
    }
    let at: u64 = timestamp.parse().map_err(|_| Unheard::Unreadable)?;
    if at.abs_diff(now) > WINDOW {
        return Err(Unheard::Stale);
    }
    let field = |name: &str| fields(body).find(|(key, _)| key == name).map(|(_, value)| value);
    if let Some(payload) = field("payload") {
        let told: Value = serde_json::from_str(&payload).map_err(|_| Unheard::Unreadable)?;
        let pressed = told["actions"].as_array().into_iter().flatten().find(|one| one["action_id"] == BUTTON);
        let Some(id) = pressed.and_then(|one| one["value"].as_str()) else { return Ok(Said::Other) };
        let user = &told["user"];
        let who = user["username"].as_str().or(user["name"].as_str()).unwrap_or("somebody");
        return Ok(Said::Taken { which: Which::Id(id.to_owned()), by: name(who, "Slack") });
    }
    // `/strop ack ID`, whatever the command is called.
    let text = field("text").unwrap_or_default();
    let mut words = text.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some("ack"), Some(id), None) => {
            let who = field("user_name").unwrap_or_else(|| "somebody".to_owned());
            Ok(Said::Taken { which: Which::Id(id.to_owned()), by: name(&who, "Slack") })
        }
        _ => Ok(Said::Other),
    }
}

fn name(who: &str, of: &str) -> String {
    format!("{} ({of})", super::message::fit(super::message::line(who).trim(), NAME))
}

/// The fields of a form (`application/x-www-form-urlencoded`).
fn fields(body: &[u8]) -> impl Iterator<Item = (String, String)> {
    let pair = |pair: &[u8]| {
        let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        (decoded(&pair[..at]), decoded(pair.get(at + 1..).unwrap_or_default()))
    };
    body.split(|byte| *byte == b'&').map(pair)
}

fn decoded(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let hex = after.get(..2).filter(|_| *first == b'%');
        let byte = hex
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (first, byte) {
            (_, Some(byte)) => {
                out.push(byte);
                rest = &after[2..];
            }
            (b'+', None) => out.push(b' '),
            (other, None) => out.push(*other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::net::sign::signed;

    const NOW: u64 = 1_795_543_230;

    fn secret() -> SecretString {
        SecretString::from("0123456789abcdef")
    }

    fn v1(body: &str) -> String {
        format!("v1={}", signed("0123456789abcdef", &[body.as_bytes()]))
    }

    fn by_slack(at: u64, body: &str) -> Result<Said, Unheard> {
        let at = at.to_string();
        let signature = signed("0123456789abcdef", &[b"v0:", at.as_bytes(), b":", body.as_bytes()]);
        slack(&secret(), &at, &format!("v0={signature}"), body.as_bytes(), NOW)
    }

    /// The example of PagerDuty's documentation ("Webhooks Overview", V3), shortened.
    const EVENT: &str = r#"{"event":{"id":"01BWEWWLE24TVK64OLP7GRR1JM","event_type":"incident.acknowledged","resource_type":"incident",
        "occurred_at":"2026-10-02T18:45:22.169Z","agent":{"id":"PLH1HKV","summary":"Tenex Engineer","type":"user_reference"},"client":null,
        "data":{"id":"PGR0VU2","type":"incident","number":2,"status":"acknowledged","incident_key":"strop/payments/UpstreamDown/stripe",
        "title":"A little bump in the road"}}}"#;

    #[test]
    fn an_acknowledgement_of_pagerduty_names_the_key_and_the_person() {
        let heard = pagerduty(&secret(), &v1(EVENT), EVENT.as_bytes()).expect("genuine");
        let Said::Taken { which, by } = heard else { panic!("{heard:?}") };
        assert!(which.is("019", "strop/payments/UpstreamDown/stripe") && !which.is("019", "strop/other"));
        assert_eq!(by, "Tenex Engineer (PagerDuty)");
        let rotated = format!("v1=00ff, {}", v1(EVENT));
        assert!(
            pagerduty(&secret(), &rotated, EVENT.as_bytes()).is_ok(),
            "while a secret is rotated there are two"
        );
        let other = EVENT.replace("acknowledged\",\"resource", "resolved\",\"resource");
        assert_eq!(pagerduty(&secret(), &v1(&other), other.as_bytes()), Ok(Said::Other));
        let long = "k".repeat(1_000);
        assert!(Which::Key(dedup_key(&long)).is("019", &long), "a key that was too long for it");
    }

    #[test]
    fn what_is_not_signed_by_the_sender_is_not_even_read() {
        for signatures in ["", "v1=", "v1=zz", "v0=00", &v1("{}"), &v1(EVENT)[3..]] {
            assert_eq!(
                pagerduty(&secret(), signatures, EVENT.as_bytes()),
                Err(Unheard::Forged),
                "{signatures}"
            );
        }
        assert_eq!(slack(&secret(), "1", "v0=00", b"text=ack+019", 1), Err(Unheard::Forged));
        assert_eq!(pagerduty(&secret(), &v1("[]"), b"[]"), Err(Unheard::Unreadable));
    }

    #[test]
    fn a_command_and_a_button_of_slack_name_the_incident_and_the_person() {
        let taken =
            |id: &str, by: &str| Ok(Said::Taken { which: Which::Id(id.to_owned()), by: by.to_owned() });
        let command =
            "token=x&command=%2Fstrop&text=+ack++0193-ab+&user_name=ann&response_url=https%3A%2F%2Fx";
        assert_eq!(by_slack(NOW, command), taken("0193-ab", "ann (Slack)"));
        let button = r#"{"type":"block_actions","user":{"id":"U1","username":"bob","name":"bob"},"actions":[{"action_id":"strop_ack","value":"0193"}]}"#;
        let body = format!("payload={}", button.replace('"', "%22").replace('{', "%7B"));
        assert_eq!(by_slack(NOW, &body), taken("0193", "bob (Slack)"));
        for other in ["text=help", "text=ack", "text=ack+a+b", "payload=%7B%7D", ""] {
            assert_eq!(by_slack(NOW, other), Ok(Said::Other), "{other}");
        }
    }

    #[test]
    fn what_was_signed_long_ago_is_a_repetition() {
        assert!(by_slack(NOW - WINDOW, "text=ack+019").is_ok());
        assert_eq!(by_slack(NOW - WINDOW - 1, "text=ack+019"), Err(Unheard::Stale));
        assert_eq!(by_slack(NOW + WINDOW + 1, "text=ack+019"), Err(Unheard::Stale));
    }

    proptest! {
        #[test]
        fn no_form_breaks_the_reader(body in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = fields(&body).count();
        }
    }
}
