//! `refusal = { … }`: what a client reads when the proxy answers in the upstream's place, so that the vendor's own client library
//! understands it.

use std::collections::BTreeMap;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::vendor::Preset;
use crate::config::fallback::media_type;
use crate::config::problem::Part;

/// Bytes of a written body, at most.
const LONGEST: usize = 8 * 1024;
/// Fields that say how a message is framed or for whom its connection is: they are the proxy's own.
const FRAMING: [&str; 6] =
    ["connection", "content-length", "content-type", "keep-alive", "trailer", "transfer-encoding"];

/// `refusal = { … }` as written.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RefusalFile {
    /// The body, with `${status}`, `${code}`, `${detail}`, `${request_id}` in it; empty: `application/problem+json` (RFC 9457).
    pub body: String,
    /// Media type of `body`; empty: `application/json`.
    pub content_type: String,
    /// Fields that tell the vendor's client library not to repeat; sent while the breaker refuses, and only then.
    /// An empty value: not this one.
    pub do_not_retry: BTreeMap<String, String>,
}

/// What may stand in a body as `${name}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variable {
    Status,
    Code,
    Detail,
    RequestId,
}

const VARIABLES: [(Variable, &str); 4] = [
    (Variable::Status, "status"),
    (Variable::Code, "code"),
    (Variable::Detail, "detail"),
    (Variable::RequestId, "request_id"),
];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Value(Variable),
}

/// What is known of one refusal.
#[derive(Clone, Copy, Debug)]
pub struct RefusalValues<'a> {
    /// The status that the client reads.
    pub status: u16,
    /// The word for programs, as in `X-Strop-Reason`.
    pub code: &'a str,
    /// One sentence for people.
    pub detail: &'a str,
    pub request_id: &'a str,
}

/// What a client reads when the proxy answers in the upstream's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalTemplate {
    body: Vec<Piece>,
    /// Media type of the body.
    pub content_type: String,
    /// Names (in lower case) and values of fields that are sent while the breaker refuses.
    pub do_not_retry: Vec<(String, String)>,
}

impl RefusalFile {
    /// As the vendor's own client library reads it.
    pub(super) fn base(vendor: Option<Preset>) -> Self {
        let Some(known) = vendor.map(Preset::refusal) else { return Self::default() };
        Self {
            body: known.body.to_owned(),
            content_type: String::new(),
            do_not_retry: known
                .do_not_retry
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    /// `None`: nothing is written, and clients read `application/problem+json`.
    pub(super) fn check(&self, mut at: Part<'_, '_>) -> Option<RefusalTemplate> {
        let body = at.take("body", pieces(&self.body)).unwrap_or_default();
        if self.body.len() > LONGEST {
            at.add("body", format!("is longer than {LONGEST} bytes; write a short one"));
        }
        let content_type =
            if self.content_type.is_empty() { "application/json" } else { self.content_type.as_str() };
        at.take("content_type", media_type(content_type));
        let template = RefusalTemplate {
            body,
            content_type: content_type.to_owned(),
            do_not_retry: self.fields(&mut at),
        };
        if content_type.contains("json") && !template.body.is_empty() {
            let sample = RefusalValues { status: 503, code: "a", detail: "\"b\"", request_id: "c" };
            if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&template.write(sample)) {
                let told =
                    "quotes belong around ${code}, ${detail} and ${request_id}, and not around ${status}";
                at.add("body", format!("is no JSON once its variables are filled in ({error}): {told}"));
            }
        }
        let empty = template.body.is_empty() && template.do_not_retry.is_empty();
        (!empty).then_some(template)
    }

    fn fields(&self, at: &mut Part<'_, '_>) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        for (name, value) in &self.do_not_retry {
            let lower = name.to_ascii_lowercase();
            let known = http::HeaderName::from_bytes(lower.as_bytes()).is_ok();
            let key = format!("do_not_retry.{name}");
            if !known || FRAMING.contains(&lower.as_str()) {
                at.add(&key, "is no field that can be set here; write one such as \"stripe-should-retry\"");
            } else if http::HeaderValue::from_str(value).is_err() {
                at.add(&key, "is no value of a field; write a word such as \"false\"");
            } else if !value.is_empty() {
                fields.push((lower, value.clone()));
            }
        }
        fields
    }
}

/// A body as it is written, cut where a value goes.
fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, behind) = after.split_once('}').unwrap_or((after, ""));
        let Some((value, _)) = VARIABLES.iter().find(|(_, known)| *known == name) else {
            return Err(format!(
                "${{{name}}} is none; write ${{status}}, ${{code}}, ${{detail}} or ${{request_id}}"
            ));
        };
        pieces.extend([Piece::Text(before.to_owned()), Piece::Value(*value)]);
        rest = behind;
    }
    pieces.push(Piece::Text(rest.to_owned()));
    pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
    Ok(pieces)
}

impl RefusalTemplate {
    /// Is there a body, or only fields?
    pub fn has_body(&self) -> bool {
        !self.body.is_empty()
    }

    /// The body with its values; texts are escaped as in a JSON string (RFC 8259 section 7).
    pub fn write(&self, values: RefusalValues<'_>) -> String {
        let RefusalValues { status, code, detail, request_id } = values;
        let mut out = String::with_capacity(256);
        for piece in &self.body {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Value(Variable::Status) => out.push_str(&status.to_string()),
                Piece::Value(Variable::Code) => out.push_str(&escaped(code)),
                Piece::Value(Variable::Detail) => out.push_str(&escaped(detail)),
                Piece::Value(Variable::RequestId) => out.push_str(&escaped(request_id)),
            }
        }
        out
    }
}

fn escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::config_text;
    use crate::config::word::Word as _;

    fn upstream(text: &str) -> Result<Option<RefusalTemplate>, String> {
        let text = config_text(&format!("[egress]\n{text}"));
        let config = crate::config::load(&text, "a test", &[]).map_err(|problems| problems.to_string())?;
        Ok(config.upstreams.last().expect("one").refusal.clone())
    }

    fn written(body: &str, more: &str) -> Result<Option<RefusalTemplate>, String> {
        upstream(&format!(
            "[upstreams.pay]\nendpoints = [\"127.0.0.1:1\"]\nhosts = [\"pay.example\"]\n[upstreams.pay.refusal]\nbody = '{body}'\n{more}\n"
        ))
    }

    const VALUES: RefusalValues<'_> =
        RefusalValues { status: 503, code: "breaker_held", detail: "It said \"no\".", request_id: "a\"b\\c" };

    #[test]
    fn each_vendor_s_body_is_json_with_the_status_and_the_words() {
        for (vendor, name, _) in Preset::WORDS {
            let path = match vendor {
                Preset::Stripe | Preset::GoogleCalendar => "/error/message",
                Preset::SendGrid => "/errors/0/message",
                Preset::Twilio => "/message",
            };
            let refusal = upstream(&format!("[upstreams.{name}]\npreset = \"{name}\"\n"));
            let refusal = refusal.expect("runs").expect("has one");
            let body: serde_json::Value = serde_json::from_str(&refusal.write(VALUES)).expect("JSON");
            let told = body.pointer(path).and_then(serde_json::Value::as_str);
            assert!(told.is_some_and(|told| told.contains("It said \"no\".")), "{name}: {body}");
            let keeps_off = refusal.do_not_retry.iter().any(|(name, _)| name == "stripe-should-retry");
            assert_eq!(keeps_off, *vendor == Preset::Stripe);
        }
        assert_eq!(
            upstream("[upstreams.x]\nendpoints = [\"127.0.0.1:1\"]\nhosts = [\"x.example\"]\n"),
            Ok(None)
        );
    }

    #[test]
    fn what_is_written_rules_over_the_preset() {
        let own = upstream("[upstreams.stripe]\npreset = \"stripe\"\nrefusal = { body = \"\" }\n");
        let own = own.expect("runs").expect("its fields stay");
        assert!(!own.has_body() && own.do_not_retry.len() == 1);
        let none = upstream(
            "[upstreams.stripe]\npreset = \"stripe\"\nrefusal = { body = \"\", do_not_retry = { stripe-should-retry = \"\" } }\n",
        );
        assert_eq!(none, Ok(None));
    }

    #[test]
    fn a_body_that_no_client_could_read_is_refused_with_what_to_write() {
        let refused = |body: &str, more: &str| written(body, more).expect_err("is refused");
        for (body, more, told) in [
            (r#"{"a": ${who}}"#, "", "write ${status}, ${code}"),
            (r#"{"a": ${code}}"#, "", "quotes belong around"),
            (r#"{"a": "${status"}"#, "", "is none; write"),
            ("", "content_type = \"json\"", "such as \"application/json\""),
            ("", "do_not_retry = { \"content-length\" = \"1\" }", "no field that can be set"),
            ("", "do_not_retry = { \"x\" = \"a\\nb\" }", "no value of a field"),
        ] {
            let problems = refused(body, more);
            assert!(problems.contains(told) && problems.contains("upstreams.pay.refusal"), "{problems}");
        }
        let text =
            written("down (${code})", "content_type = \"text/plain\"").expect("runs").expect("has one");
        assert_eq!(text.write(VALUES), "down (breaker_held)");
    }
}
