//! What the operator wrote, as JSON: what a reload compares.
//!
//! Routes stand under their names, so that one more of them moves no other. A file that holds a secret stands there with a
//! hash of its content, keyed anew in each process: a rotation is seen, and the hash tells nobody anything.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::OnceLock;

use serde_json::{Map, Value};

use super::file::ConfigFile;
use super::routes;

/// Files that hold no secret, or whose content is looked at while it runs.
const OPEN: [&str; 3] = ["ca_file", "cert_file", "key_file"];

/// The whole file, with all defaults that lie in it.
pub(super) fn written(file: &ConfigFile) -> Value {
    let mut all = serde_json::to_value(file).unwrap_or_default();
    if let Some(Value::Array(list)) = all.get_mut("routes").map(Value::take) {
        let names = file.routes.iter().map(routes::name);
        all["routes"] = names.zip(list).collect::<Map<_, _>>().into();
    }
    fill(&mut all, &serde_json::to_value(ConfigFile::default()).unwrap_or_default());
    mark(&mut all);
    all
}

/// A table of which only a part is written has the defaults of the rest.
fn fill(value: &mut Value, default: &Value) {
    match (value, default) {
        (Value::Object(table), Value::Object(defaults)) => {
            let known = table.iter_mut().filter_map(|(key, value)| Some((value, defaults.get(key)?)));
            known.for_each(|(value, default)| fill(value, default));
        }
        (value @ Value::Null, default) => value.clone_from(default),
        _ => {}
    }
}

fn mark(value: &mut Value) {
    let Value::Object(table) = value else { return };
    let secret = |key: &str| key.ends_with("_file") && !OPEN.contains(&key);
    let files: Vec<(String, String)> = table
        .iter()
        .filter(|(key, _)| secret(key))
        .filter_map(|(key, file)| Some((key.clone(), file.as_str()?.to_owned())))
        .collect();
    for (key, file) in files {
        table.insert(format!("{key} (content)"), content(&file));
    }
    // What follows the question mark of an address may be a secret.
    let asked =
        table.get("url").and_then(Value::as_str).and_then(|url| Some((url.to_owned(), url.find('?')?)));
    if let Some((url, at)) = asked {
        table.insert("url (content)".to_owned(), hash(url.as_bytes()));
        table.insert("url".to_owned(), format!("{}…", &url[..=at]).into());
    }
    table.values_mut().for_each(mark);
}

fn content(file: &str) -> Value {
    std::fs::read(file).map_or(Value::Null, |bytes| hash(&bytes))
}

fn hash(bytes: &[u8]) -> Value {
    static KEY: OnceLock<RandomState> = OnceLock::new();
    format!("{:016x}", KEY.get_or_init(RandomState::new).hash_one(bytes)).into()
}
