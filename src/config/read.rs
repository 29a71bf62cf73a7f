//! From text to what was written: syntax, environment overrides, shape. Collects every problem on the way.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::problem::{Collector, did_you_mean};

/// Prefix of environment variables that override keys: `STROP__LATENCY__SLOW=2s`.
pub const PREFIX: &str = "STROP__";

/// What the command line says in the place of a variable.
pub const BACKEND: (&str, &str) = ("--backend", "upstreams.backend.endpoints");

/// What was written: the file, and the process' `env` over it. `None` when it cannot be read at all.
pub fn read(text: &str, env: &[(String, String)], problems: &mut Collector<'_>) -> Option<Table> {
    let mut table: Table = match text.parse() {
        Ok(table) => table,
        Err(error) => {
            problems.at("", error.message(), error.span());
            return None;
        }
    };
    for (name, value) in env {
        overridden(&mut table, name, value, problems);
    }
    Some(table)
}

/// The key that a variable gives; `None`: it is none of ours.
fn key_of(name: &str) -> Option<String> {
    match name.strip_prefix(PREFIX) {
        Some(path) => Some(path.replace("__", ".").to_ascii_lowercase()),
        None if name == BACKEND.0 => Some(BACKEND.1.to_owned()),
        None => None,
    }
}

/// Which keys are given by which variable; of two the last one holds.
pub(super) fn variables(env: &[(String, String)]) -> BTreeMap<String, String> {
    env.iter().filter_map(|(name, _)| Some((key_of(name)?, name.clone()))).collect()
}

fn overridden(table: &mut Table, name: &str, text: &str, problems: &mut Collector<'_>) {
    let Some(path) = key_of(name) else { return };
    let (tables, last) = path.rsplit_once('.').unwrap_or(("", &path));
    if last.is_empty() {
        problems.variable(name, text, format!("names no key; write {PREFIX}TABLE__KEY=value"));
        return;
    }
    let mut at = table;
    for key in tables.split('.').filter(|_| !tables.is_empty()) {
        match at.entry(key).or_insert_with(|| Value::Table(Table::new())).as_table_mut() {
            Some(inner) => at = inner,
            None => {
                problems.variable(name, text, format!("{key:?} is not a table in the file"));
                return;
            }
        }
    }
    // `500`, `true` and `["a"]` are what they look like; everything else is text.
    let value = format!("x = {text}").parse::<Table>().ok().and_then(|mut parsed| parsed.remove("x"));
    at.insert(last.to_owned(), value.unwrap_or_else(|| Value::String(text.to_owned())));
    problems.comes_from(&path, name, text);
}

/// Reads the shape. What is wrong in it is noted and left out, so that it hides no other problem; `None` when there
/// is no shape at all.
pub(super) fn shaped<T: DeserializeOwned>(
    filled: impl Fn() -> Table,
    problems: &mut Collector<'_>,
) -> Option<T> {
    let mut out: Vec<String> = Vec::new();
    // A file with more mistakes than this has one that matters more.
    for _ in 0..50 {
        let mut value = Value::Table(filled());
        if !out.iter().all(|path| taken_out(&mut value, path)) {
            return None;
        }
        match serde_path_to_error::deserialize::<_, T>(value) {
            Ok(shape) => return Some(shape),
            Err(error) => {
                let path = error.path().to_string();
                let message = error.inner().message().to_owned();
                let KeyLocation { path, message, meant } = named(&path, &message);
                problems.part("").add(&path, message);
                if let Some(meant) = meant {
                    problems.misread(&meant);
                }
                problems.left_out(&path);
                out.push(path);
            }
        }
    }
    None
}

/// A message of the reader's in an operator's words.
fn plainly(message: &str) -> String {
    let rest = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    let Some((found, expected)) = rest.and_then(|rest| rest.rsplit_once(", expected ")) else {
        return message.to_owned();
    };
    let wanted = match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number from 0 on",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" => "text in quotes",
        "a sequence" => "a list, such as [\"one\", \"two\"]",
        "a map" => "a table",
        other if other.starts_with("struct ") => "a table",
        other => other,
    };
    let found = found.replace('`', "");
    let found = match found.split_once(' ') {
        Some(("string", text)) => format!("the text {text}"),
        Some(("integer" | "boolean", value)) => value.to_owned(),
        _ => found,
    };
    format!("{found} does not belong here; write {wanted}")
}

struct KeyLocation {
    /// Of the wrong key itself.
    path: String,
    message: String,
    /// The path of the key that was probably meant.
    meant: Option<String>,
}

/// What is wrong, with a guess at what was meant.
fn named(path: &str, message: &str) -> KeyLocation {
    let path = path.replace('[', ".").replace(']', "");
    let path = if path == "." { String::new() } else { path };
    let Some(rest) = message.strip_prefix("unknown field `") else {
        return KeyLocation { path, message: plainly(message), meant: None };
    };
    let mut names = rest.split('`').step_by(2).map(str::to_owned);
    let wrong = names.next().unwrap_or_default();
    let known: Vec<String> = names.collect();
    let guess = did_you_mean(&wrong, known.iter().map(String::as_str));
    let meant = known.iter().find(|known| guess.contains(&format!("{known:?}")));
    let full = if path.rsplit('.').next() == Some(wrong.as_str()) || path.is_empty() && wrong.is_empty() {
        path
    } else if path.is_empty() {
        wrong.clone()
    } else {
        format!("{path}.{wrong}")
    };
    let meant = meant.map(|meant| match full.rsplit_once('.') {
        Some((table, _)) => format!("{table}.{meant}"),
        None => meant.clone(),
    });
    let message = format!("there is no key {wrong:?} here{guess} (known: {})", known.join(", "));
    KeyLocation { path: full, message, meant }
}

fn taken_out(value: &mut Value, path: &str) -> bool {
    let (parents, last) = path.rsplit_once('.').unwrap_or(("", path));
    let mut at = value;
    for key in parents.split('.').filter(|key| !key.is_empty()) {
        let next = match key.parse::<usize>() {
            Ok(nth) if at.is_array() => at.get_mut(nth),
            Ok(_) | Err(_) => at.get_mut(key),
        };
        let Some(next) = next else { return false };
        at = next;
    }
    if let Some(list) = at.as_array_mut() {
        let there = last.parse::<usize>().ok().filter(|nth| *nth < list.len());
        return there.map(|nth| list.remove(nth)).is_some();
    }
    at.as_table_mut().is_some_and(|table| table.remove(last).is_some())
}

#[cfg(test)]
mod tests {
    use crate::config::load;
    use crate::config::tests::config_text;

    fn told(text: &str, env: &[(&str, &str)]) -> Vec<(String, usize, String)> {
        let env: Vec<_> = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let problems = load(text, "a test", &env).expect_err("it cannot run");
        problems.all.into_iter().map(|problem| (problem.path, problem.line, problem.message)).collect()
    }

    #[test]
    fn what_is_wrong_in_shape_hides_no_wrong_value_and_nothing_is_told_twice() {
        let text = &config_text(
            r#"
                [ingress]
                listen = "nowhere"
                [upstreams.backend]
                enpoints = ["127.0.0.1:8001"]
                [upstreams.backend.breaker]
                failures = "three"
                open_for = "0s"
                [[routes]]
                prefix = "a"
                late = true
            "#,
        );
        let all = told(text, &[]);
        let places: Vec<_> = all.iter().map(|(path, line, _)| (path.as_str(), *line)).collect();
        let wanted = [
            ("ingress.listen", 2),
            ("upstreams.backend.enpoints", 4),
            ("upstreams.backend.breaker.failures", 6),
            ("upstreams.backend.breaker.open_for", 7),
            ("routes.0.prefix", 9),
            ("routes.0.late", 10),
        ];
        assert_eq!(places, wanted, "{all:#?}");
        assert_eq!(
            all[2].2,
            "the text \"three\" does not belong here; write a whole number from 0 to 4294967295"
        );
    }

    #[test]
    fn a_member_of_a_list_that_is_wrong_moves_no_other_one() {
        let text = &config_text(
            r#"
                [ingress]
                [upstreams.backend]
                endpoints = ["127.0.0.1:8001"]
                hosts = ["a", 1, "b", 2]
                [[routes]]
                [[routes]]
                prefix = 5
                [[routes]]
                prefix = "c"
            "#,
        );
        let all = told(text, &[]);
        let places: Vec<_> = all.iter().map(|(path, _, _)| path.as_str()).collect();
        for wanted in
            ["upstreams.backend.hosts.1", "upstreams.backend.hosts.3", "routes.1.prefix", "routes.2.prefix"]
        {
            assert!(places.contains(&wanted), "{wanted}: {all:#?}");
        }
    }
}
