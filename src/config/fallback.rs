//! `fallback = { … }` of a route: what its clients read when the upstream cannot be asked.

use bytes::Bytes;
#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::Part;
use crate::reliability::degradation::FallbackPolicy;

/// Bytes of a body, at most: it is held in memory and written in the TOML.
const LONGEST: usize = 64 * 1024;

/// `fallback = { … }` as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct FallbackFile {
    /// 200 to 299 or 400 to 599. Below 400 it answers GET and HEAD alone: of a write nobody knows whether it was done.
    pub status: u16,
    /// Media type of `body`.
    pub content_type: String,
    /// As it is sent.
    pub body: String,
    /// Also in the place of the upstream's own 500, 502, 503 and 504.
    pub on_5xx: bool,
}

impl Default for FallbackFile {
    fn default() -> Self {
        Self { status: 503, content_type: "application/json".to_owned(), body: String::new(), on_5xx: false }
    }
}

/// What stands in for the answer of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// When it is given.
    pub policy: FallbackPolicy,
    /// Media type of the body.
    pub content_type: String,
    /// Shared by all answers.
    pub body: Bytes,
}

impl FallbackFile {
    pub(super) fn check(&self, mut at: Part<'_, '_>) -> Fallback {
        let Self { status, content_type, body, on_5xx } = self;
        at.take("status", status_of_a_stand_in(*status));
        at.take("content_type", media_type(content_type));
        if body.len() > LONGEST {
            at.add(
                "body",
                format!("has {} bytes, and at most {LONGEST} may be kept; write less", body.len()),
            );
        }
        if *status == 204 && !body.is_empty() {
            at.add("body", "is not sent with 204; write status = 200, or no body");
        }
        if content_type.contains("json") && !body.is_empty() {
            let read = serde_json::from_str::<serde::de::IgnoredAny>(body);
            let told = |error| format!("is no JSON ({error}); write JSON, or another content_type");
            at.take("body", read.map_err(told));
        }
        Fallback {
            policy: FallbackPolicy { status: *status, on_5xx: *on_5xx },
            content_type: content_type.clone(),
            body: Bytes::from(body.clone()),
        }
    }
}

/// Is the text a media type that can be sent as it is?
pub(super) fn media_type(text: &str) -> Result<(), &'static str> {
    let readable = text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') && text.contains('/');
    readable.then_some(()).ok_or("is no media type; write one such as \"application/json\"")
}

/// A status that says all with what a fallback has: a redirect, a challenge and a part of something need more.
fn status_of_a_stand_in(status: u16) -> Result<(), String> {
    match status {
        205 | 206 | 401 | 407 | 416 | 426 => {
            Err(format!("{status} needs more than a body; write another status"))
        }
        200..=299 | 400..=599 => Ok(()),
        _ => Err(format!("{status} is not within 200 to 299 or 400 to 599")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use super::*;

    fn with(fallback: &str) -> Result<Option<Fallback>, String> {
        let text = format!(
            "[ingress]\n[upstreams.backend]\nendpoints = [\"127.0.0.1:8001\"]\n[[routes]]\nprefix = \"/a\"\n{fallback}\n"
        );
        let config = load(&text, "a test", &[]).map_err(|problems| problems.to_string())?;
        Ok(config.routes[0].fallback.clone())
    }

    #[test]
    fn what_is_not_written_is_an_empty_503() {
        assert_eq!(with(""), Ok(None));
        let fallback = with("fallback = {}").expect("runs").expect("one");
        assert_eq!(fallback.policy, FallbackPolicy { status: 503, on_5xx: false });
        assert!(fallback.body.is_empty());
    }

    #[test]
    fn what_no_client_could_use_is_refused_with_what_to_write() {
        for (fallback, told) in [
            ("{ status = 302 }", "routes.0.fallback.status: 302 is not within 200 to 299"),
            ("{ status = 206 }", "206 needs more than a body"),
            ("{ status = 204, body = '{}' }", "is not sent with 204"),
            ("{ body = '{' }", "routes.0.fallback.body: is no JSON"),
            ("{ content_type = \"json\" }", "such as \"application/json\""),
            ("{ content_type = \"a/b\\r\\nx: y\" }", "is no media type"),
            ("{ statuss = 200 }", "did you mean \"status\"?"),
        ] {
            let problems = with(&format!("fallback = {fallback}")).expect_err(fallback);
            assert!(problems.contains(told), "{fallback}: {problems}");
        }
        let text = with("fallback = { content_type = \"text/html\", body = '<p>Soon.' }").expect("runs");
        assert_eq!(&*text.expect("one").body, b"<p>Soon.");
        let long = format!("fallback = {{ content_type = \"a/b\", body = \"{}\" }}", "x".repeat(LONGEST + 1));
        assert!(with(&long).expect_err("too long").contains("at most 65536"));
    }
}
