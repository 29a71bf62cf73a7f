//! `idempotency = { … }`: by which key the upstream knows a write that it has seen, so that it may be sent twice.

use std::time::Duration;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::judge::Statuses;
use super::vendor::Preset;
use crate::config::problem::Part;
use crate::message::head::{Known, Method, is_ours};
use crate::reliability::idempotency::KeyPolicy;
use crate::units::{Text, Written as _, secs};

/// The shortest time that is worth anything: attempts of one exchange are further apart than a moment.
const LEAST: Duration = Duration::from_secs(60);

/// `idempotency = { … }` as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct IdempotencyFile {
    /// The field that carries the key; empty: it knows no keys.
    pub header: String,
    /// How long it remembers a key, at least; 1m or longer.
    #[serde(rename = "for")]
    pub lives: Text<Duration>,
    /// Methods whose requests it knows again by their key.
    pub methods: Vec<String>,
    /// Statuses by which it says that it has done nothing and will not remember that it was asked: "409", or a range.
    pub undone: Vec<Text<Statuses>>,
    /// Writes without a key get one; a route can say otherwise.
    pub inject: bool,
}

impl Default for IdempotencyFile {
    fn default() -> Self {
        let methods = vec!["POST".to_owned()];
        Self { header: String::new(), lives: secs(86_400), methods, undone: Vec::new(), inject: false }
    }
}

impl IdempotencyFile {
    /// As the vendor documents it.
    pub(super) fn base(vendor: Option<Preset>) -> Self {
        let Some(known) = vendor.and_then(Preset::keys) else { return Self::default() };
        Self {
            header: known.header.to_owned(),
            lives: secs(known.hours * 3_600),
            methods: known.methods.iter().map(|method| (*method).to_owned()).collect(),
            undone: known.undone.iter().map(|status| Text(Statuses(*status, *status))).collect(),
            inject: false,
        }
    }

    /// `None`: it knows no keys.
    pub(super) fn check(&self, mut at: Part<'_, '_>) -> Option<KeyPolicy> {
        if self.header.is_empty() {
            if self.inject {
                at.add("inject", "needs the field that carries a key; write header = \"Idempotency-Key\"");
            }
            return None;
        }
        let header = self.header.to_ascii_lowercase();
        let name = header.as_bytes();
        let own =
            Known::of(name) != Known::Other || is_ours(name) || matches!(name, b"cookie" | b"authorization");
        if own || http::HeaderName::from_bytes(name).is_err() {
            at.add("header", "is no field that can carry a key; write one such as \"Idempotency-Key\"");
        }
        if self.lives.0 < LEAST {
            let is = self.lives.0.write();
            at.add("for", format!("{is:?} is over before a request is repeated; write \"1m\" or longer"));
        }
        if self.methods.is_empty() {
            at.add("methods", "needs a method; write [\"POST\"], or header = \"\" for no keys");
        }
        for (nth, method) in self.methods.iter().enumerate() {
            // What is idempotent by itself needs no key.
            if !matches!(Method::of(method.as_bytes()), Method::Post | Method::Patch) {
                at.add(
                    &format!("methods.{nth}"),
                    format!("{method:?} needs no key; write \"POST\" or \"PATCH\""),
                );
            }
        }
        for (nth, Text(statuses)) in self.undone.iter().enumerate() {
            if statuses.0 < 400 || statuses.1 >= 500 {
                let is = statuses.write();
                let told =
                    "says that something may have been done; write statuses from 400 to 499, such as \"409\"";
                at.add(&format!("undone.{nth}"), format!("{is:?} {told}"));
            }
        }
        Some(KeyPolicy {
            header,
            lives: self.lives.0,
            methods: self.methods.clone(),
            undone: self.undone.iter().map(|Text(Statuses(low, high))| (*low, *high)).collect(),
            inject: self.inject,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::config_text;
    use crate::config::word::Word as _;

    fn upstream(text: &str) -> Result<Option<KeyPolicy>, String> {
        let text = config_text(&format!("[egress]\n{text}"));
        let config = crate::config::load(&text, "a test", &[]).map_err(|problems| problems.to_string())?;
        Ok(config.upstreams.last().expect("one").keys.clone())
    }

    fn written(keys: &str) -> Result<Option<KeyPolicy>, String> {
        upstream(&format!(
            "[upstreams.pay]\nendpoints = [\"127.0.0.1:1\"]\nhosts = [\"pay.example\"]\n[upstreams.pay.idempotency]\n{keys}\n"
        ))
    }

    #[test]
    fn of_the_vendors_only_stripe_keeps_keys_and_a_failure_is_one_of_its_results() {
        for (vendor, name, _) in Preset::WORDS {
            let keys = upstream(&format!("[upstreams.{name}]\npreset = \"{name}\"\n")).expect("runs");
            assert_eq!(keys.is_some(), *vendor == Preset::Stripe, "{name}");
            let Some(keys) = keys else { continue };
            assert_eq!((keys.header.as_str(), keys.lives), ("idempotency-key", Duration::from_secs(86_400)));
            assert!(keys.is_for(b"POST") && !keys.is_for(b"DELETE") && !keys.inject);
            assert!(keys.is_undone(409) && (500..600).all(|status| !keys.is_undone(status)));
        }
        assert_eq!(
            upstream("[upstreams.stripe]\npreset = \"stripe\"\nidempotency = { header = \"\" }\n"),
            Ok(None)
        );
    }

    #[test]
    fn others_are_written_and_what_vouches_for_nothing_is_refused_with_what_to_write() {
        let keys =
            written("header = \"X-Request-Token\"\nfor = \"10m\"\nmethods = [\"PATCH\"]\ninject = true");
        let keys = keys.expect("runs").expect("has some");
        assert_eq!((keys.header.as_str(), keys.lives), ("x-request-token", Duration::from_secs(600)));
        assert!(keys.is_for(b"PATCH") && keys.inject && keys.undone.is_empty());
        assert_eq!(written("for = \"10m\""), Ok(None));
        for (keys, at, told) in [
            ("inject = true", "inject", "write header = "),
            ("header = \"x-request-id\"", "header", "such as \"Idempotency-Key\""),
            ("header = \"X-Strop-Key\"", "header", "such as \"Idempotency-Key\""),
            ("header = \"a b\"", "header", "such as \"Idempotency-Key\""),
            ("header = \"k\"\nfor = \"59s\"", "for", "write \"1m\" or longer"),
            ("header = \"k\"\nmethods = []", "methods", "write [\"POST\"]"),
            ("header = \"k\"\nmethods = [\"PUT\"]", "methods.0", "write \"POST\" or \"PATCH\""),
            ("header = \"k\"\nundone = [\"500\"]", "undone.0", "such as \"409\""),
        ] {
            let problems = written(keys).expect_err("is refused");
            assert!(problems.contains(told) && problems.contains(&format!("idempotency.{at}")), "{problems}");
        }
    }
}
