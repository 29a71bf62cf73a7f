//! A config as people read it: TOML, with the origin of each value behind it.

use serde_json::{Map, Value};

use super::table::text;
use crate::config::origin::{KeyOrigin, KeyOrigins, KeySource, below, tables};

/// What is shown of it.
pub(super) struct Keys {
    /// Keys that nobody wrote too.
    pub(super) all: bool,
    /// Where each value comes from.
    pub(super) origin: bool,
    /// The file's name.
    pub(super) file: String,
}

/// The text; what has no value stands in it as a remark.
pub(super) fn toml_text(keys: &Keys, effective: &Value, origins: &KeyOrigins) -> String {
    let mut text = KeysText { keys, origins, out: String::new() };
    if let Some(all) = effective.as_object() {
        text.table("", "", all);
    }
    text.out
}

struct KeysText<'a> {
    keys: &'a Keys,
    origins: &'a KeyOrigins,
    out: String,
}

impl KeysText<'_> {
    /// A table: `path` with the numbers of lists, `name` as TOML has it.
    fn table(&mut self, path: &str, name: &str, table: &Map<String, Value>) {
        let (inner, named) = (|key: &str| below(path, key), |key: &str| below(name, key));
        for (key, value) in table.iter().filter(|(_, value)| !value.is_object() && tables(value).is_none()) {
            self.key(&inner(key), key, value);
        }
        for (key, value) in table {
            if let Some(value) = value.as_object() {
                self.headed(&format!("[{}]", named(key)), &inner(key), &named(key), value);
            }
            let members = tables(value).filter(|_| self.keys.all || self.is_written(&inner(key)));
            for (nth, value) in members.into_iter().flatten().enumerate() {
                let path = format!("{}.{nth}", inner(key));
                self.headed(&format!("[[{}]]", named(key)), &path, &named(key), value);
            }
        }
    }

    /// Was a key of the list at `path` written? Then all its members were: they stand there together.
    fn is_written(&self, path: &str) -> bool {
        let within = |key: &String| key.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
        self.origins.iter().any(|(key, origin)| within(key) && origin.from != KeySource::Preset)
    }

    /// A table below its head, where there is something to show of it.
    fn headed(&mut self, head: &str, path: &str, name: &str, table: &Map<String, Value>) {
        let before = self.out.len();
        let gap = if before == 0 { "" } else { "\n" };
        self.out.push_str(&format!("{gap}{head}\n"));
        let headed = self.out.len();
        self.table(path, name, table);
        let bare = self.out.get(headed..).is_none_or(|below| below.is_empty() || below.starts_with("\n["));
        let told = self.origins.contains_key(path) || (self.keys.all && table.is_empty());
        if bare && !told && !head.starts_with("[[") {
            // What is below has heads of its own.
            let below = self.out.split_off(headed);
            self.out.truncate(before);
            self.out.push_str(if before == 0 { below.trim_start_matches('\n') } else { &below });
        }
    }

    fn key(&mut self, path: &str, key: &str, value: &Value) {
        let origin = self.origins.get(path);
        let written = origin.is_some_and(|origin| origin.from != KeySource::Preset);
        // Beside the path of a secret stands a hash of what was read there.
        let beside =
            key.ends_with(')') && self.origins.contains_key(path.split(' ').next().unwrap_or_default());
        if !(self.keys.all || written || beside) {
            return;
        }
        let line = match toml::Value::try_from(value) {
            Ok(value) if !key.contains(' ') => format!("{key} = {value}"),
            _ if value.is_null() => format!("# {key} is not set"),
            _ => format!("# {key}: {}", text(value)),
        };
        let told = self.keys.origin.then(|| self.told(origin)).filter(|_| !key.contains(' '));
        self.out.push_str(&told.map_or_else(|| format!("{line}\n"), |told| format!("{line}  # {told}\n")));
    }

    fn told(&self, origin: Option<&KeyOrigin>) -> String {
        match origin {
            None => "default".to_owned(),
            Some(KeyOrigin { variable: Some(name), from, .. }) => {
                format!("{}: {}", from.label(), text(&name.as_str().into()))
            }
            Some(KeyOrigin { from: KeySource::File, line, .. }) => match line {
                Some(line) => format!("{}:{line}", self.keys.file),
                None => {
                    format!("{}, before its last reading; the new value waits for a restart", self.keys.file)
                }
            },
            Some(KeyOrigin { from, .. }) => from.label().to_owned(),
        }
    }
}
