//! Where each value of a config comes from: what was written, and in what, of a preset, or the default.

use serde_json::Value;

pub use super::places::{KeyOrigin, KeyOrigins, KeySource, below, tables};
use super::running::{Config, json};
use super::upstream::UpstreamFile;
use super::{file, secret};

/// Is it a value of its own, and no table with keys?
fn is_leaf(value: &Value) -> bool {
    match value {
        Value::Object(table) => table.is_empty(),
        Value::Array(list) => !list.iter().any(Value::is_object),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// Each value of `full` with its key, and what stands at that key in two others.
fn each<'a>(
    path: &str,
    full: &'a Value,
    others: [Option<&'a Value>; 2],
    take: &mut impl FnMut(&str, &'a Value, [Option<&'a Value>; 2]),
) {
    if is_leaf(full) {
        return take(path, full, others);
    }
    for (key, inner) in full.as_object().into_iter().flatten() {
        each(&below(path, key), inner, others.map(|other| other?.get(key)), take);
    }
    for (nth, inner) in full.as_array().into_iter().flatten().enumerate() {
        each(&below(path, &nth.to_string()), inner, others.map(|other| other?.get(nth)), take);
    }
}

/// The tables of `written` that hold no key: that they stand there says something.
fn empty(path: &str, written: &Value, take: &mut impl FnMut(&str)) {
    for (key, inner) in written.as_object().into_iter().flatten() {
        let path = below(path, key);
        if inner.as_object().is_some_and(serde_json::Map::is_empty) {
            take(&path);
        }
        empty(&path, inner, take);
    }
}

impl Config {
    /// Where the values of [`effective`](Self::effective) come from.
    pub fn origins(&self) -> KeyOrigins {
        let (full, written) = (json(&self.origin.file), &self.origin.written);
        let mut found = KeyOrigins::new();
        each("", &full, [Some(written), None], &mut |path, _, [written, _]| {
            if written.is_some() {
                found.insert(path.to_owned(), self.origin.places.written(path));
            }
        });
        empty("", written, &mut |path| drop(found.insert(path.to_owned(), self.origin.places.written(path))));
        self.of_presets(&full, &mut found);
        found
    }

    /// Keys of upstreams that nobody wrote and that another name without a preset would have otherwise.
    fn of_presets(&self, full: &Value, found: &mut KeyOrigins) {
        let Ok(written) = toml::Table::try_from(&self.origin.written) else { return };
        let neighbours = file::neighbours(&written);
        let upstreams = written.get("upstreams").and_then(toml::Value::as_table).into_iter().flatten();
        for (name, upstream) in upstreams.filter_map(|(name, one)| Some((name, one.as_table()?))) {
            let behind = neighbours.contains(name);
            let mut plain = upstream.clone();
            plain.remove("preset");
            let base = |name, written| serde_json::to_value(UpstreamFile::base(name, behind, written));
            let (Ok(own), Ok(plain)) = (base(name, upstream), base(UNKNOWN, &plain)) else { continue };
            let others = [Some(&own), Some(&plain)];
            each(
                &format!("upstreams.{name}"),
                &full["upstreams"][name],
                others,
                &mut |path, is, [own, plain]| {
                    if own == Some(is) && plain != own && !found.contains_key(path) {
                        let preset = KeyOrigin { from: KeySource::Preset, line: None, variable: None };
                        found.insert(path.to_owned(), preset);
                    }
                },
            );
        }
    }

    /// What the operator wrote, a variable's values included; what may be a secret in an address is left out.
    pub fn as_written(&self) -> Value {
        let mut all = self.origin.written.clone();
        secret::mask("", &mut all);
        all
    }
}

/// The name of an upstream that no preset and no guide knows.
const UNKNOWN: &str = "other";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;
    use crate::config::tests::config_text;

    fn origins(text: &str, env: &[(&str, &str)]) -> KeyOrigins {
        let env: Vec<_> = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        load(text, "a test", &env).unwrap_or_else(|problems| panic!("{problems}")).origins()
    }

    #[test]
    fn each_value_says_whether_it_was_written_in_what_or_comes_of_a_preset() {
        let text = config_text(
            r#"
                [egress]
                [ingress]
                [upstreams.stripe]
                preset = "stripe"
                breaker = { open_for = "20s" }
                [upstreams.backend]
                endpoints = [
                    "127.0.0.1:8001",
                ]
                [[routes]]
                prefix = "/a"
            "#,
        );
        let variable = ("STROP__UPSTREAMS__STRIPE__TIMEOUTS__FIRST_BYTE", "9s");
        let argument = ("--backend", "[\"127.0.0.1:8002\"]");
        let found = origins(&text, &[variable, argument]);
        let told = |key: &str| {
            let KeyOrigin { from, line, variable } = found.get(key)?.clone();
            Some((from, line, variable))
        };
        let set = |from, name: &str| Some((from, None, Some(name.to_owned())));
        assert_eq!(told("upstreams.stripe.breaker.open_for"), Some((KeySource::File, Some(5), None)));
        assert_eq!(told("upstreams.stripe.breaker.failures"), Some((KeySource::Preset, None, None)));
        assert_eq!(told("upstreams.stripe.hosts"), Some((KeySource::Preset, None, None)));
        assert_eq!(told("upstreams.stripe.timeouts.first_byte"), set(KeySource::Environment, variable.0));
        assert_eq!(told("upstreams.backend.endpoints"), set(KeySource::Argument, argument.0));
        assert_eq!(told("routes.0.prefix"), Some((KeySource::File, Some(11), None)));
        for key in ["upstreams.stripe.breaker.probes", "upstreams.backend.breaker.failures", "latency.slow"] {
            assert_eq!(told(key), None, "{key} has its default");
        }
    }

    #[test]
    fn a_table_without_keys_says_where_it_stands() {
        let found = origins("[egress]\n[ingress]\n[upstreams.backend]\nendpoints = [\"127.0.0.1:1\"]\n", &[]);
        assert_eq!(found.get("ingress").and_then(|origin| origin.line), Some(2), "{found:?}");
        assert_eq!(found.get("ingress.listen"), None);
    }

    #[test]
    fn a_service_of_the_guide_has_its_numbers_without_a_preset() {
        let text = "[egress]\n[upstreams.redis]\nendpoints = [\"127.0.0.1:6379\"]\n";
        let found = origins(text, &[]);
        let preset = |key: &str| found.get(key).is_some_and(|origin| origin.from == KeySource::Preset);
        assert!(
            found.keys().any(|key| key.starts_with("upstreams.redis.breaker.") && preset(key)),
            "{found:?}"
        );
        assert!(!preset("upstreams.redis.endpoints"));
    }
}
