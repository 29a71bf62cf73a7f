//! From text to what was written: syntax, environment overrides, shape. Collects every problem on the way.

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::file::ConfigFile;
use super::problem::{Collector, did_you_mean};

/// Prefix of environment variables that override keys: `STROP__LATENCY__SLOW=2s`.
pub const PREFIX: &str = "STROP__";

/// Reads a file's text with `env` overrides. What is wrong in its shape is noted and left out, so that the rest can be checked
/// too; `None` when there is no shape at all.
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
    // A file with more mistakes than this has one that matters more.
    for _ in 0..50 {
        match serde_path_to_error::deserialize::<_, T>(value.clone()) {
            Ok(shape) => return Some(shape),
            Err(error) => {
                let path = error.path().to_string();
                let message = error.inner().message().to_owned();
                let Named { path, message, meant } = named(&path, &message);
                problems.add(&path, message);
                if let Some(meant) = meant {
                    problems.misread(&meant);
                }
                if !taken_out(&mut value, &path) {
                    return None;
                }
                problems.left_out(&path);
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
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0 on",
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

struct Named {
    /// Of the wrong key itself.
    path: String,
    message: String,
    /// The path of the key that was probably meant.
    meant: Option<String>,
}

/// What is wrong, with a guess at what was meant.
fn named(path: &str, message: &str) -> Named {
    let path = path.replace('[', ".").replace(']', "");
    let path = if path == "." { String::new() } else { path };
    let Some(rest) = message.strip_prefix("unknown field `") else {
        return Named { path, message: plainly(message), meant: None };
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
    Named { path: full, message, meant }
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

#[cfg(test)]
mod tests {
    use crate::config::load;

    fn told(text: &str, env: &[(&str, &str)]) -> Vec<(String, usize, String)> {
        let env: Vec<_> = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let problems = load(text, "a test", &env).expect_err("it cannot run");
        problems.all.into_iter().map(|problem| (problem.path, problem.line, problem.message)).collect()
    }

    #[test]
    fn what_is_wrong_in_shape_hides_no_wrong_value_and_nothing_is_told_twice() {
        let text = "[ingress]\nlisten = \"nowhere\"\n[upstreams.backend]\nenpoints = [\"127.0.0.1:8001\"]\n\
                    [upstreams.backend.breaker]\nfailures = \"three\"\nopen_for = \"0s\"\n\
                    [[routes]]\nprefix = \"a\"\nlate = true\n";
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
        assert_eq!(all[2].2, "the text \"three\" does not belong here; write a whole number from 0 on");
    }

    #[test]
    fn a_member_of_a_list_that_is_wrong_moves_no_other_one() {
        let text = "[ingress]\n[upstreams.backend]\nendpoints = [\"127.0.0.1:8001\"]\nhosts = [\"a\", 1, \"b\", 2]\n\
                    [[routes]]\n[[routes]]\nprefix = 5\n[[routes]]\nprefix = \"c\"\n";
        let all = told(text, &[]);
        let places: Vec<_> = all.iter().map(|(path, _, _)| path.as_str()).collect();
        for wanted in
            ["upstreams.backend.hosts.1", "upstreams.backend.hosts.3", "routes.1.prefix", "routes.2.prefix"]
        {
            assert!(places.contains(&wanted), "{wanted}: {all:#?}");
        }
    }
}
