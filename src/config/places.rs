//! Where what was written stands, and the words for where a value comes from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use toml::de::{DeArray, DeTable, DeValue};

/// What gives a key its value, where that is not the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum KeySource {
    /// The preset of an upstream, or what the guide says of a service of that name.
    Preset,
    /// The config file; of a process that runs without one, the built-in config.
    File,
    /// A variable of the environment.
    Environment,
    /// An argument of the command line.
    Argument,
}

impl KeySource {
    /// As people read it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Preset => "preset",
            Self::File => "file",
            Self::Environment => "environment",
            Self::Argument => "argument",
        }
    }
}

/// Where the value of a key comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct KeyOrigin {
    /// What gives it.
    pub from: KeySource,
    /// The line of the file, from 1; absent: it stands in no file, or is kept from an earlier reading until the next start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The variable or argument, such as `STROP__LATENCY__SLOW`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
}

/// Origins by key (`upstreams.stripe.breaker.failures`, `routes.0.prefix`). A key that is not here has its default.
pub type KeyOrigins = BTreeMap<String, KeyOrigin>;

/// Where what was written stands.
#[derive(Clone, Debug, Default)]
pub(super) struct WrittenPlaces {
    /// Lines of the file by key.
    lines: BTreeMap<String, usize>,
    /// The variable or argument that gives a key, and all below it.
    variables: BTreeMap<String, String>,
}

impl WrittenPlaces {
    /// Of a text, and of what stands over it: key and variable.
    pub(super) fn of(text: &str, variables: BTreeMap<String, String>) -> Self {
        let mut lines = BTreeMap::new();
        if let Ok(root) = DeTable::parse(text) {
            let ends = text.match_indices('\n').map(|(at, _)| at).collect::<Vec<_>>();
            let mut found = LinesFound { ends: &ends, lines: &mut lines };
            found.table("", root.get_ref());
        }
        Self { lines, variables }
    }

    /// What stands at `path` is of another text.
    pub(super) fn forget(&mut self, path: &str) {
        self.lines.retain(|key, _| !is_within(key, path));
    }

    fn variable(&self, path: &str) -> Option<&String> {
        self.variables.iter().find(|(at, _)| is_within(path, at)).map(|(_, name)| name)
    }

    /// Of a key that was written.
    pub(super) fn written(&self, path: &str) -> KeyOrigin {
        let Some(name) = self.variable(path) else {
            return KeyOrigin { from: KeySource::File, line: self.lines.get(path).copied(), variable: None };
        };
        let from = if name.starts_with("--") { KeySource::Argument } else { KeySource::Environment };
        KeyOrigin { from, line: None, variable: Some(name.clone()) }
    }
}

fn is_within(path: &str, table: &str) -> bool {
    path.strip_prefix(table).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

struct LinesFound<'a> {
    ends: &'a [usize],
    lines: &'a mut BTreeMap<String, usize>,
}

impl LinesFound<'_> {
    fn table(&mut self, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            // The key's own line: that of a text over several lines is where it begins.
            self.value(&below(path, key.get_ref()), value.get_ref(), key.span().start);
        }
    }

    fn list(&mut self, path: &str, list: &DeArray<'_>) {
        for (nth, value) in list.iter().enumerate() {
            if let DeValue::Table(inner) = value.get_ref() {
                self.table(&below(path, &nth.to_string()), inner);
            }
        }
    }

    fn value(&mut self, path: &str, value: &DeValue<'_>, at: usize) {
        self.lines.insert(path.to_owned(), self.ends.partition_point(|end| *end < at) + 1);
        match value {
            DeValue::Table(inner) => self.table(path, inner),
            DeValue::Array(inner) => self.list(path, inner),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
    }
}

/// The tables of a list, where it holds nothing else.
pub fn tables(value: &Value) -> Option<Vec<&Map<String, Value>>> {
    let list = value.as_array().filter(|list| !list.is_empty())?;
    list.iter().map(Value::as_object).collect()
}

/// The path of a key in a table.
pub fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
