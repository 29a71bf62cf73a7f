//! `judge = { … }`: what counts as bad.

use std::time::Duration;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::vendor::Preset;
use crate::config::problem::Part;
use crate::reliability::verdict::{JudgePolicy, ToldLimit};
use crate::units::{Text, Written};

/// Bytes of what a body says, at most.
const LONGEST: usize = 100;

/// `judge = { … }` as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct JudgeFile {
    /// Statuses that count as bad: "500", or a range such as "502-504".
    pub bad_statuses: Vec<Text<Statuses>>,
    /// Slower answers are slow calls; absent: never.
    pub slow_after: Option<Text<Duration>>,
    /// Rate limits that only the body of an answer tells; absent: those of its preset.
    pub rate_limits: Vec<ToldLimitFile>,
}

/// An entry of `rate_limits` as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ToldLimitFile {
    /// The status that it comes with, or a range of them.
    pub status: Text<Statuses>,
    /// What the JSON of the body says then, as a string of its own.
    pub body: String,
}

impl Default for JudgeFile {
    fn default() -> Self {
        let JudgePolicy { bad_statuses, slow_after, .. } = JudgePolicy::default();
        let bad_statuses = bad_statuses.into_iter().map(|(low, high)| Text(Statuses(low, high))).collect();
        Self { bad_statuses, slow_after: slow_after.map(Text), rate_limits: Vec::new() }
    }
}

/// A status, or all from one to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statuses(pub u16, pub u16);

impl Written for Statuses {
    const LIKE: &'static str = r#"a status or a range in quotes, such as "503" or "502-504""#;
    const PATTERN: &'static str = r"^[1-9][0-9]{2}( ?- ?[1-9][0-9]{2})?$";

    fn read(text: &str) -> Option<Self> {
        let (low, high) = text.split_once('-').unwrap_or((text, text));
        match (low.trim().parse(), high.trim().parse()) {
            (Ok(low @ 100..=999), Ok(high @ 100..=999)) if low <= high => Some(Self(low, high)),
            _ => None,
        }
    }

    fn write(&self) -> String {
        if self.0 == self.1 { self.0.to_string() } else { format!("{}-{}", self.0, self.1) }
    }
}

impl JudgeFile {
    /// With the limits that the vendor tells in bodies.
    pub(super) fn base(vendor: Option<Preset>) -> Self {
        let one = |(status, body): &(u16, &str)| ToldLimitFile {
            status: Text(Statuses(*status, *status)),
            body: (*body).to_owned(),
        };
        let rate_limits = vendor.map_or(&[][..], Preset::rate_limits).iter().map(one).collect();
        Self { rate_limits, ..Self::default() }
    }

    pub(super) fn check(&self, mut at: Part<'_, '_>) -> JudgePolicy {
        for (nth, limit) in self.rate_limits.iter().enumerate() {
            let says = limit.body.as_str();
            let plain = says.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\'));
            if !(1..=LONGEST).contains(&says.len()) || !plain {
                let told = "is no string that can be looked for; write one such as \"rateLimitExceeded\"";
                at.add(&format!("rate_limits.{nth}.body"), told);
            }
        }
        let pair = |Text(Statuses(low, high)): &Text<Statuses>| (*low, *high);
        let one =
            |limit: &ToldLimitFile| ToldLimit { statuses: pair(&limit.status), says: limit.body.clone() };
        JudgePolicy {
            bad_statuses: self.bad_statuses.iter().map(pair).collect(),
            slow_after: self.slow_after.map(|slow| slow.0),
            rate_limits: self.rate_limits.iter().map(one).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::config_text;

    fn judge(name: &str, more: &str) -> Result<JudgePolicy, String> {
        let text = config_text(&format!(
            "[egress]\n[upstreams.{name}]\nendpoints = [\"127.0.0.1:1\"]\nhosts = [\"x.example\"]\n{more}\n"
        ));
        let config = crate::config::load(&text, "a test", &[]).map_err(|problems| problems.to_string())?;
        Ok(config.upstreams.last().expect("one").judge.clone())
    }

    #[test]
    fn google_tells_limits_in_bodies_and_others_are_written() {
        let google = judge("google_calendar", "").expect("runs");
        for reason in ["rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded"] {
            let body = format!("{{\"error\": {{\"errors\": [{{\"reason\": \"{reason}\"}}]}}}}");
            assert!(google.is_limit(403, body.as_bytes()), "{reason}");
        }
        assert!(!judge("stripe", "").expect("runs").looks_into(403));
        let none = judge("google_calendar", "judge = { rate_limits = [] }").expect("runs");
        assert!(!none.looks_into(403), "what is written rules");
        let own = judge("x", "judge = { rate_limits = [{ status = \"400-499\", body = \"slow_down\" }] }");
        assert!(own.expect("runs").is_limit(418, b"[\"slow_down\"]"));
        for body in ["", "a b", "a\\\"b"] {
            let wrong = format!("judge = {{ rate_limits = [{{ status = \"403\", body = \"{body}\" }}] }}");
            let told = judge("x", &wrong).expect_err("is refused");
            assert!(told.contains("rate_limits.0.body") && told.contains("such as"), "{told}");
        }
    }
}
