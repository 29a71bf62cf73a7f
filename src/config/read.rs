//! From text to what was written: syntax, environment overrides, shape. Collects every problem on the way.

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::file::ConfigFile;
use super::problem::{Collector, did_you_mean};

/// Prefix of environment variables that override keys: `STROP__LATENCY__SLOW=2s`.
pub const PREFIX: &str = "STROP__";

/// Reads a file's text with `env` overrides. `None` when problems were noted.
pub fn read(text: &str, env: &[(String, String)], problems: &mut Collector<'_>) -> Option<ConfigFile> {
    let mut table: Table = match text.parse() {
        Ok(table) => table,
        Err(error) => {
            problems.at(error.message(), error.span());
            return None;
        }
    };
    for (name, value) in env {
        overridden(&mut table, name, value, problems);
    }
    shaped(Value::Table(table), problems)
}

fn overridden(table: &mut Table, name: &str, text: &str, problems: &mut Collector<'_>) {
    let Some(path) = name.strip_prefix(PREFIX) else { return };
    let mut keys: Vec<String> = path.split("__").map(str::to_ascii_lowercase).collect();
    let Some(last) = keys.pop().filter(|last| !last.is_empty()) else {
        problems.add("", format!("{name}: write {PREFIX}TABLE__KEY=value"));
        return;
    };
    let mut at = table;
    for key in keys {
        let next = at.entry(key.clone()).or_insert_with(|| Value::Table(Table::new()));
        match next {
            Value::Table(inner) => at = inner,
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_) => {
                problems.add("", format!("{name}: {key:?} is not a table in the file"));
                return;
            }
        }
    }
    // `500`, `true` and `["a"]` are what they look like; everything else is text.
    let value = format!("x = {text}").parse::<Table>().ok().and_then(|mut parsed| parsed.remove("x"));
    at.insert(last, value.unwrap_or_else(|| Value::String(text.to_owned())));
}

/// Reads the shape; each wrong key is noted and taken out, so that it hides no other.
fn shaped<T: DeserializeOwned>(mut value: Value, problems: &mut Collector<'_>) -> Option<T> {
    let mut clean = true;
    // A file with more mistakes than this has one that matters more.
    for _ in 0..50 {
        match serde_path_to_error::deserialize::<_, T>(value.clone()) {
            Ok(shape) => return clean.then_some(shape),
            Err(error) => {
                clean = false;
                let path = error.path().to_string();
                let message = error.inner().message().to_owned();
                let (path, message) = named(&path, &message);
                problems.add(&path, message);
                if !taken_out(&mut value, &path) {
                    return None;
                }
            }
        }
    }
    None
}

/// The path of the wrong key itself, and the message with a guess at what was meant.
fn named(path: &str, message: &str) -> (String, String) {
    let path = path.replace('[', ".").replace(']', "");
    let path = if path == "." { String::new() } else { path };
    let Some(rest) = message.strip_prefix("unknown field `") else { return (path, message.to_owned()) };
    let mut names = rest.split('`').step_by(2).map(str::to_owned);
    let wrong = names.next().unwrap_or_default();
    let known: Vec<String> = names.collect();
    let guess = did_you_mean(&wrong, known.iter().map(String::as_str));
    let full = if path.rsplit('.').next() == Some(wrong.as_str()) || path.is_empty() && wrong.is_empty() {
        path
    } else if path.is_empty() {
        wrong.clone()
    } else {
        format!("{path}.{wrong}")
    };
    (full, format!("there is no key {wrong:?} here{guess} (known: {})", known.join(", ")))
}

fn taken_out(value: &mut Value, path: &str) -> bool {
    let (parents, last) = path.rsplit_once('.').unwrap_or(("", path));
    let mut at = value;
    for key in parents.split('.').filter(|key| !key.is_empty()) {
        let next = match at {
            Value::Table(table) => table.get_mut(key),
            Value::Array(list) => key.parse::<usize>().ok().and_then(|n| list.get_mut(n)),
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_) => None,
        };
        match next {
            Some(next) => at = next,
            None => return false,
        }
    }
    match at {
        Value::Table(table) => table.remove(last).is_some(),
        Value::Array(list) => match last.parse::<usize>() {
            Ok(n) if n < list.len() => {
                list.remove(n);
                true
            }
            Ok(_) | Err(_) => false,
        },
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {
            false
        }
    }
}
