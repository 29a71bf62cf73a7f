//! What a reload changes: what applies at once, what waits for a restart.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde::Serialize;
use serde_json::{Map, Value};

use super::file::ConfigFile;
use super::places::{KeyOrigins, KeySource, below, tables};
use super::problem::{Collector, Problems};
use super::read;
use super::runbooks::RunbooksConfig;
use super::running::{Config, ConfigOrigin, WrittenConfig, json};
use super::secret;

/// One key whose value changes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, schema(as = Change))]
pub struct ConfigChange {
    /// The key with its tables, such as `upstreams.stripe.breaker.failures`.
    pub path: String,
    /// Before; null: the key (or its table) is new.
    #[cfg_attr(test, schema(value_type = Object))]
    pub from: Value,
    /// After; null: it is gone.
    #[cfg_attr(test, schema(value_type = Object))]
    pub to: Value,
}

/// What a reload changes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Diff {
    /// In force from now on.
    pub applied: Vec<ConfigChange>,
    /// Kept as it was until the next start.
    pub needs_restart: Vec<ConfigChange>,
}

/// Which keys wait for a restart, as the schema marks them (`x-restart`).
#[derive(Debug, Default)]
struct Restart {
    /// Each with all below it; `*` stands for any name.
    keys: Vec<Vec<String>>,
    /// Tables that come and go with a restart only.
    tables: Vec<Vec<String>>,
}

static RESTART: LazyLock<Restart> = LazyLock::new(|| {
    let schema = super::schema::read();
    let mut found = Restart::default();
    found.collect(&schema, &schema, &mut Vec::new());
    found
});

impl Restart {
    fn collect(&mut self, schema: &Value, root: &Value, path: &mut Vec<String>) {
        match schema.get("x-restart") {
            Some(Value::Bool(true)) => self.keys.push(path.clone()),
            Some(_) => self.tables.push(path.clone()),
            None => {}
        }
        let name = schema.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix("#/$defs/"));
        let named = name.and_then(|name| root.get("$defs")?.get(name));
        let options = schema.get("anyOf").and_then(Value::as_array).into_iter().flatten();
        named.into_iter().chain(options).for_each(|inner| self.collect(inner, root, path));
        let keys = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        let any = schema.get("additionalProperties").filter(|inner| inner.is_object());
        for (key, inner) in
            keys.map(|(key, inner)| (key.as_str(), inner)).chain(any.map(|inner| ("*", inner)))
        {
            path.push(key.to_owned());
            self.collect(inner, root, path);
            path.pop();
        }
    }

    /// Does the key wait?
    fn waits(&self, path: &[&str]) -> bool {
        self.keys.iter().any(|key| key.len() <= path.len() && matches(key, path))
            || self.tables.iter().any(|table| table.len() == path.len() && matches(table, path))
    }

    /// Keys below `path` that wait, from there.
    fn below<'a>(&'a self, path: &'a [&str]) -> impl Iterator<Item = &'a [String]> {
        let keys = self.keys.iter().filter(|key| key.len() > path.len() && matches(key, path));
        keys.filter_map(|key| key.get(path.len()..))
    }
}

fn matches(pattern: &[String], path: &[&str]) -> bool {
    pattern.iter().zip(path).all(|(pattern, key)| pattern == "*" || pattern == key)
}

/// One config, for the comparison.
struct Side {
    /// What the operator wrote.
    written: Value,
    /// The same file with the default of every key that was not written.
    full: Value,
}

impl Side {
    /// Routes stand under their names, so that one more of them moves no other; each secret beside what it held.
    fn of(config: &Config) -> Self {
        let ConfigOrigin { written, file, contents, exposed: _, places: _ } = &*config.origin;
        Self::new(written.clone(), json(file), contents)
    }

    fn new(mut written: Value, mut full: Value, contents: &secret::Contents) -> Self {
        secret::mark(&mut written, contents);
        secret::mark(&mut full, contents);
        let list = |of: &mut Value| match of.get_mut("routes").map(Value::take) {
            Some(Value::Array(list)) => list,
            Some(_) | None => Vec::new(),
        };
        let (routes, mine) = (list(&mut full), list(&mut written));
        let named = |route: &Value| route.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let names: Vec<String> = routes.iter().map(named).collect();
        for (side, list) in [(&mut full, routes), (&mut written, mine)] {
            side["routes"] = names.iter().cloned().zip(list).collect::<Map<_, _>>().into();
        }
        Self { written, full }
    }
}

/// Compares what was written, key by key, and tells it with the defaults.
pub fn diff(old: &Config, new: &Config) -> Diff {
    let (was, is) = (&old.origin, &new.origin);
    let mut diff = if was.written == is.written && was.contents == is.contents {
        Diff::default()
    } else {
        compare(&Side::of(old), &Side::of(new))
    };
    diff.applied.extend(runbooks(old, new));
    diff
}

/// What a reload of `new` would change in another process, of which no more is known than what its API tells: its effective
/// values with their origins. What files of secrets hold and what follows a question mark in an address is not compared,
/// nor what is in files of runbooks.
pub fn against(effective: &Value, origins: &KeyOrigins, new: &Config) -> Diff {
    let told =
        kept("", effective, &|path| origins.get(path).is_some_and(|origin| origin.from != KeySource::Preset));
    let plain = |of: &Value| kept("", of, &|path| !path.ends_with(secret::CONTENT));
    let none = secret::Contents::new();
    let old = Side::new(told, plain(effective), &none);
    let new = Side::new(new.as_written(), plain(&new.effective()), &none);
    compare(&old, &new)
}

/// The tables of a value, and of their keys those that are `wanted`. Lists of tables are there with all of them or not at all; a
/// route has a name at least.
fn kept(path: &str, value: &Value, wanted: &impl Fn(&str) -> bool) -> Value {
    let inner = |table: &Map<String, Value>| {
        let inner = table.iter().filter_map(|(key, inner)| {
            let path = below(path, key);
            let kept = kept(&path, inner, wanted);
            let stays = match tables(inner).is_some() {
                true => key == "routes" || !kept.as_array().into_iter().flatten().all(is_empty),
                false => inner.is_object() || wanted(&path),
            };
            stays.then(|| (key.clone(), kept))
        });
        inner.collect()
    };
    match value {
        Value::Object(table) => Value::Object(inner(table)),
        Value::Array(list) if tables(value).is_some() => {
            let all = list.iter().enumerate();
            all.map(|(nth, inner)| kept(&below(path, &nth.to_string()), inner, wanted)).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => value.clone(),
    }
}

fn is_empty(table: &Value) -> bool {
    table.as_object().is_some_and(Map::is_empty)
}

/// Files of the same directory that hold something else.
fn runbooks(old: &Config, new: &Config) -> Option<ConfigChange> {
    let (was, is) = (&old.runbooks, &new.runbooks);
    let told = |one: &RunbooksConfig| format!("{} files, {}", one.all.len(), one.hash).into();
    let (from, to) = (told(was), told(is));
    let changed = was.directory == is.directory && was.hash != is.hash;
    changed.then(|| ConfigChange { path: "runbooks.directory (content)".to_owned(), from, to })
}

fn compare(old: &Side, new: &Side) -> Diff {
    let mut diff = Diff::default();
    walk(&mut Vec::new(), [&old.written, &new.written], [&old.full, &new.full], &mut diff);
    diff
}

fn walk(path: &mut Vec<String>, written: [&Value; 2], full: [&Value; 2], diff: &mut Diff) {
    if written[0] == written[1] || full[0] == full[1] {
        return;
    }
    let (Value::Object(old), Value::Object(new)) = (full[0], full[1]) else {
        return change(path, full, diff);
    };
    let keys: BTreeSet<&String> =
        written.iter().filter_map(|table| table.as_object()).flat_map(Map::keys).collect();
    for key in keys {
        let written = written.map(|table| table.get(key).unwrap_or(&Value::Null));
        let full = [old, new].map(|table| table.get(key).unwrap_or(&Value::Null));
        path.push(key.clone());
        walk(path, written, full, diff);
        path.pop();
    }
}

fn change(path: &[String], [from, to]: [&Value; 2], diff: &mut Diff) {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let mut told = |path: String, waits: bool, mut from: Value, mut to: Value| {
        let key = path.rsplit('.').next().unwrap_or_default();
        secret::mask(key, &mut from);
        secret::mask(key, &mut to);
        if waits { &mut diff.needs_restart } else { &mut diff.applied }.push(ConfigChange { path, from, to });
    };
    let (at, waits) = (path.join("."), RESTART.waits(&path));
    let mut to = to.clone();
    // Of a new table a part may have to wait.
    for key in RESTART.below(&path).filter(|_| !waits && from.is_null()) {
        let pointer = format!("/{}", key.join("/"));
        if let Some(inner) = to.pointer_mut(&pointer).map(Value::take).filter(|inner| !inner.is_null()) {
            told(format!("{at}.{}", key.join(".")), true, Value::Null, inner);
        }
    }
    told(at, waits, from.clone(), to);
}

/// Writes `value` at `path`, or takes out what is there.
fn put(table: &mut Value, path: &str, value: Option<Value>) {
    let (tables, key) = path.rsplit_once('.').unwrap_or(("", path));
    let mut at = table;
    for name in tables.split('.').filter(|name| !name.is_empty()) {
        let Some(table) = at.as_object_mut() else { return };
        at = table.entry(name).or_insert_with(|| Map::new().into());
    }
    match (at.as_object_mut(), value) {
        (Some(table), Some(value)) => {
            table.insert(key.to_owned(), value);
        }
        (Some(table), None) => {
            table.remove(key);
        }
        (None, _) => {}
    }
}

/// What is not there is written as null in JSON, and not at all in TOML.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(table) => {
            table.retain(|_, inner| !inner.is_null());
            table.values_mut().for_each(without_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(without_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// `new`, with `old`'s values where a restart is needed. `Err`: the two do not go together.
pub fn runnable(old: &Config, new: Config, waits: &[ConfigChange]) -> Result<Config, Problems> {
    if waits.is_empty() {
        return Ok(new);
    }
    let (mut written, mut file) = (new.origin.written.clone(), json(&new.origin.file));
    let (before, mut places) = (json(&old.origin.file), new.origin.places.clone());
    for ConfigChange { path, .. } in waits.iter().filter(|change| !change.path.ends_with(')')) {
        let pointer = format!("/{}", path.replace('.', "/"));
        put(&mut written, path, old.origin.written.pointer(&pointer).cloned());
        put(&mut file, path, before.pointer(&pointer).cloned());
        places.forget(path);
    }
    let mut problems = Collector::new("");
    without_nulls(&mut file);
    let table = toml::Table::try_from(file).map_err(|error| Problems::single(&error.to_string()))?;
    let file = read::shaped::<ConfigFile>(|| table.clone(), &mut problems);
    let file = file.filter(|_| problems.is_clean());
    file.and_then(|file| file.check(WrittenConfig { keys: written, places, hash: new.hash }, &mut problems))
        .ok_or_else(|| problems.finish("what is new, with what stays as it is until the next start,"))
}

#[cfg(test)]
mod tests {
    use super::super::{file, load, problem::Collector};
    use super::*;
    use crate::config::tests::config_text;

    fn paths(changes: &[ConfigChange]) -> Vec<&str> {
        changes.iter().map(|change| change.path.as_str()).collect()
    }

    fn side(written: &Value) -> Option<Side> {
        let table = toml::Table::try_from(written).ok()?;
        let mut problems = Collector::new("");
        let file: ConfigFile =
            read::shaped(|| file::fill(&table), &mut problems).filter(|_| problems.is_clean())?;
        let contents = secret::contents(&json(&file));
        Some(Side::new(written.clone(), json(&file), &contents))
    }

    /// All keys without keys below them.
    fn leaves(path: &str, value: &Value, found: &mut Vec<String>) {
        let of = |key: &str| below(path, key);
        match value.as_object().filter(|table| !table.is_empty()) {
            Some(table) => table.iter().for_each(|(key, value)| leaves(&of(key), value, found)),
            None => found.push(path.to_owned()),
        }
    }

    /// Something else that may stand there.
    fn changed(written: &Value, now: &Value, path: &str) -> Option<Side> {
        let text = "7s 13% 98.7% 17KiB email first_byte working shadow off h2 report low allow implicit auto stripe begin refuse 503 \
                    127.0.0.1:7 else on";
        let text = text.split(' ').map(Value::from);
        let lists = ["latency", "else", "503", "127.0.0.1:7", "10.0.0.0/8", "low"]
            .map(|one| serde_json::json!([one]));
        let lists = lists.into_iter().chain([serde_json::json!([7])]);
        let tables = [
            serde_json::json!([{ "after": "9m", "contacts": ["else"] }]),
            serde_json::json!([{ "status": "403", "body": "else" }]),
            serde_json::json!([{ "breaker": "else" }]),
            serde_json::json!({ "else": "/else" }),
            serde_json::json!({ "else": {} }),
            serde_json::json!({}),
        ];
        let plain = [
            serde_json::json!(now.as_bool().is_some_and(|now| !now)),
            serde_json::json!(now.as_u64().unwrap_or(6) + 1),
        ];
        let all = plain.into_iter().chain(text).chain(lists).chain(tables);
        all.filter(|another| another != now).find_map(|another| {
            let mut written = written.clone();
            match path.strip_prefix("routes.bookings.") {
                Some(key) => put(&mut written["routes"][0], key, Some(another)),
                None => put(&mut written, path, Some(another)),
            }
            side(&written)
                .filter(|side| side.full.pointer(&format!("/{}", path.replace('.', "/"))) != Some(now))
        })
    }

    #[test]
    fn of_all_keys_a_changed_one_is_named_and_no_other() {
        let text = include_str!("../../config/reference.toml");
        let written: toml::Table = text.parse().expect("reads");
        let written = serde_json::to_value(&written).expect("serialises");
        let was = side(&written).expect("reads");
        let mut all = Vec::new();
        leaves("", &was.full, &mut all);
        assert!(all.len() > 160, "{} keys", all.len());
        for path in all {
            let now = was.full.pointer(&format!("/{}", path.replace('.', "/"))).expect("it is there");
            let is_name = path == "routes.bookings.name";
            let another = changed(&written, now, &path);
            let another = another.unwrap_or_else(|| panic!("{path}: nothing else may stand there"));
            let diff = compare(&was, &another);
            let named = [paths(&diff.applied), paths(&diff.needs_restart)].concat();
            let exact = named.iter().all(|named| {
                *named == path
                    || named.starts_with(&format!("{path}."))
                    || *named == format!("{path} (content)")
                    || is_name
            });
            assert!(exact && !named.is_empty(), "{path}: {named:?}");
        }
    }

    #[test]
    fn what_an_api_tells_of_a_config_is_compared_as_the_config_itself_is() {
        let stripe = "[egress]\n[upstreams.stripe]\npreset = \"stripe\"\n[[routes]]\nprefix = \"/a\"\nupstream = \"stripe\"\n";
        let more = "[notify.pager]\nkind = \"alertmanager\"\nurls = [\"http://127.0.0.1:9\"]\n[latency]\nslow = \"4s\"\n";
        let steps = "[[escalation.high.steps]]\nafter = \"1m\"\ncontacts = [\"team_lead\"]\n";
        let texts = [stripe.to_owned(), format!("{more}{stripe}"), format!("{steps}{more}{stripe}")];
        let configs =
            texts.map(|text| load(&text, "a test", &[]).unwrap_or_else(|problems| panic!("{problems}")));
        for old in &configs {
            for new in &configs {
                assert_eq!(against(&old.effective(), &old.origins(), new), diff(old, new));
            }
        }
    }

    #[test]
    fn what_waits_for_a_restart_is_what_the_reference_says() {
        let mut table: Vec<&str> = Vec::new();
        let mut told = BTreeSet::new();
        for line in include_str!("../../config/reference.toml").lines() {
            let plain = line.trim_start_matches("# ");
            if let Some(name) = plain.strip_prefix('[').filter(|_| !line.starts_with("# [ingress.tls")) {
                table =
                    name.split(']').next().unwrap_or_default().trim_start_matches('[').split('.').collect();
            }
            if line.contains("(restart)") && !line.starts_with("# file") && !line.starts_with("# Durations") {
                let key = plain.split_once(" = ").map(|(key, _)| key).filter(|_| !plain.starts_with('['));
                let mut path = table.clone();
                path.extend(key);
                path.iter_mut().filter(|part| **part == "backend").for_each(|part| *part = "*");
                told.insert(path.join("."));
            }
        }
        let marked: BTreeSet<String> = RESTART.keys.iter().map(|key| key.join(".")).collect();
        assert_eq!(told, marked);
        assert!(marked.contains("upstreams.*.local") && marked.contains("store"), "{marked:?}");
    }

    fn runs(text: &str) -> Config {
        load(text, "a test", &[]).unwrap_or_else(|problems| panic!("{problems}"))
    }

    #[test]
    fn what_is_in_force_at_once_and_lies_elsewhere_is_told_too() {
        let dir = tempfile::tempdir().expect("a directory");
        let token = dir.path().join("token");
        let text = |open: &str| {
            config_text(&format!(
                r#"
                    [egress]
                    [admin]
                    token_file = {token:?}
                    [escalation.hours]
                    open = ["{open}"]
                "#
            ))
        };
        std::fs::write(&token, "one token of sixteen letters").expect("writes");
        let old = runs(&text("mon-fri 09:00-17:00"));
        std::fs::write(&token, "another token, rotated").expect("writes");
        let new = runs(&text("mon-fri 08:00-16:00"));
        let diff = diff(&old, &new);
        assert_eq!(paths(&diff.applied), ["admin.token_file (content)", "escalation.hours.open"]);
        let told = serde_json::to_string(&diff).expect("serialises");
        assert!(!told.contains("sixteen") && !told.contains("rotated"), "{told}");
    }

    #[test]
    fn a_default_that_is_written_out_is_no_change_and_a_first_word_is_told_with_the_default() {
        let old = runs("[egress]\n");
        let same = runs(&config_text(
            r#"
                [egress]
                unlisted = "deny"
                [latency]
                slow = "1s"
            "#,
        ));
        assert_eq!(diff(&old, &same), Diff::default());
        let new = runs("[egress]\n[latency.p50]\nwarn = \"400ms\"\n");
        let change =
            ConfigChange { path: "latency.p50.warn".into(), from: "500ms".into(), to: "400ms".into() };
        assert_eq!(diff(&old, &new).applied, [change]);
    }

    fn after(old: &Config, text: &str) -> (Diff, Result<Config, Problems>) {
        let new = runs(text);
        let diff = diff(old, &new);
        let running = runnable(old, new, &diff.needs_restart);
        (diff, running)
    }

    #[test]
    fn what_waits_for_a_restart_goes_on_waiting_after_another_reload() {
        let old = runs("[egress]\n");
        let (_, running) = after(&old, "[egress]\n[process]\nname = \"shop-1\"\n");
        let running = running.expect("runs");
        let (told, running) = after(
            &running,
            &config_text(
                r#"
                    [egress]
                    [process]
                    name = "shop-1"
                    [latency]
                    slow = "2s"
                "#,
            ),
        );
        assert_eq!(
            (paths(&told.applied), paths(&told.needs_restart)),
            (vec!["latency.slow"], vec!["process.name"])
        );
        let (back, _) = after(&running.expect("runs"), "[egress]\n[latency]\nslow = \"2s\"\n");
        assert_eq!((back.applied, back.needs_restart), (Vec::new(), Vec::new()));
    }

    #[test]
    fn of_a_new_upstream_the_listener_waits_and_the_rest_does_not() {
        let old = runs("[egress]\n");
        let (told, running) = after(
            &old,
            &config_text(
                r#"
                    [egress]
                    [upstreams.x]
                    endpoints = ["10.0.0.7:80"]
                    local = "127.0.0.1:9101"
                "#,
            ),
        );
        assert_eq!(
            (paths(&told.applied), paths(&told.needs_restart)),
            (vec!["upstreams.x"], vec!["upstreams.x.local"])
        );
        assert_eq!(told.applied[0].to["local"], Value::Null);
        assert_eq!(running.expect("runs").upstreams[0].local, None);
    }

    /// Each half is safe, and what would run until the restart is not.
    #[test]
    fn what_stays_and_what_is_new_must_go_together() {
        let dir = tempfile::tempdir().expect("a directory");
        let token = dir.path().join("token");
        std::fs::write(&token, "one token of sixteen letters").expect("writes");
        let old = runs(&config_text(&format!(
            r#"
                [egress]
                [admin]
                listen = "0.0.0.0:9901"
                token_file = {token:?}
            "#
        )));
        let (told, running) = after(&old, "[egress]\n[admin]\nlisten = \"127.0.0.1:9901\"\n");
        assert_eq!(paths(&told.needs_restart), ["admin.listen"]);
        let refused = running.expect_err("the port would be open to everybody").to_string();
        assert!(refused.contains("admin.listen: 0.0.0.0:9901 is reachable from outside"), "{refused}");
    }
}
