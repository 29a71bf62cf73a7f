//! What a reload changes: what applies at once, what waits for a restart.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::Config;

/// One key whose value changes.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Change {
    /// Such as `upstreams.stripe.breaker.failures`.
    pub path: String,
    /// Before; null: the key (or its table) is new.
    #[schema(value_type = Object)]
    pub from: Value,
    /// After; null: it is gone.
    #[schema(value_type = Object)]
    pub to: Value,
}

/// What a reload changes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Diff {
    /// In force from now on.
    pub applied: Vec<Change>,
    /// Kept as it was until the next start.
    pub needs_restart: Vec<Change>,
}

/// Keys that are read once, at the start.
fn waits(path: &str) -> bool {
    let exact = [
        "ingress.listen",
        "egress.listen",
        "admin.listen",
        "process.name",
        "process.workers",
        "process.log_json",
        "process.lame_duck",
    ];
    exact.contains(&path)
        || matches!(path, "ingress" | "egress")
        || path.starts_with("ingress.tls")
        || path == "store"
        || path.starts_with("store.")
        || (path.starts_with("upstreams.") && path.ends_with(".local"))
}

/// Compares what was written, key by key.
pub fn diff(old: &Config, new: &Config) -> Diff {
    let mut diff = Diff::default();
    walk("", &old.written, &new.written, &mut diff);
    diff
}

fn walk(path: &str, old: &Value, new: &Value, diff: &mut Diff) {
    if old == new {
        return;
    }
    match (old, new) {
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<&String> =
                a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))).collect();
            keys.sort();
            for key in keys {
                let next = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                walk(&next, a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null), diff);
            }
        }
        _ => {
            let change = Change { path: path.to_owned(), from: old.clone(), to: new.clone() };
            if waits(path) { &mut diff.needs_restart } else { &mut diff.applied }.push(change);
        }
    }
}

/// Writes `value` at `path`; null takes it out where it was not.
fn put(written: &mut Value, path: &str, value: Value) {
    let (tables, key) = path.rsplit_once('.').unwrap_or(("", path));
    let mut at = written;
    for table in tables.split('.').filter(|table| !table.is_empty()) {
        let Some(next) = at.get_mut(table) else { return };
        at = next;
    }
    if let Value::Object(table) = at {
        table.insert(key.to_owned(), value);
    }
}

/// `new`, with `old`'s values where a restart is needed.
pub fn runnable(old: &Config, new: &Config) -> Config {
    let mut config = new.clone();
    let mut written = (*new.written).clone();
    diff(old, new).needs_restart.into_iter().for_each(|change| put(&mut written, &change.path, change.from));
    config.written = Arc::new(written);
    config.ingress = match (&old.ingress, config.ingress) {
        (Some(old), Some(mut new)) => {
            new.listen = old.listen;
            new.tls.clone_from(&old.tls);
            Some(new)
        }
        (old, _) => old.clone(),
    };
    config.egress = match (&old.egress, config.egress) {
        (Some(old), Some(mut new)) => {
            new.listen = old.listen;
            Some(new)
        }
        (old, _) => old.clone(),
    };
    config.admin.listen = old.admin.listen;
    config.store.clone_from(&old.store);
    config.process.name.clone_from(&old.process.name);
    config.process.workers = old.process.workers;
    config.process.log_json = old.process.log_json;
    config.process.lame_duck = old.process.lame_duck;
    for upstream in &mut config.upstreams {
        let before = old.upstreams.iter().find(|other| other.name == upstream.name);
        let local = before.and_then(|before| before.local);
        if upstream.local != local {
            Arc::make_mut(upstream).local = local;
        }
    }
    config
}

#[cfg(test)]
mod tests {
    use super::super::file::ConfigFile;
    use super::super::load;
    use super::super::written::written;
    use super::*;

    fn paths(changes: &[Change]) -> Vec<&str> {
        changes.iter().map(|change| change.path.as_str()).collect()
    }

    /// All keys without keys below them.
    fn leaves(path: &str, value: &Value, found: &mut Vec<String>) {
        let of = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        match value.as_object().filter(|table| !table.is_empty()) {
            Some(table) => table.iter().for_each(|(key, value)| leaves(&of(key), value, found)),
            None => found.push(path.to_owned()),
        }
    }

    /// Something else that may stand there.
    fn changed(file: &Value, path: &str) -> Option<ConfigFile> {
        let pointer = format!("/{}", path.replace('.', "/"));
        let now = file.pointer(&pointer).cloned().unwrap_or_default();
        let another = [
            serde_json::json!(now.as_bool().is_some_and(|now| !now)),
            serde_json::json!(now.as_u64().unwrap_or(6) + 1),
            "7s".into(),
            "13%".into(),
            "98.7%".into(),
            "17KiB".into(),
            "email".into(),
            "first_byte".into(),
            "working".into(),
            "shadow".into(),
            "off".into(),
            "h2".into(),
            "report".into(),
            "low".into(),
            "allow".into(),
            "implicit".into(),
            "else".into(),
            serde_json::json!(["latency"]),
            serde_json::json!(["else"]),
            serde_json::json!([{ "after": "9m", "contacts": ["else"] }]),
            serde_json::json!({}),
            serde_json::json!({ "else": "/else" }),
            serde_json::json!({ "else": {} }),
            serde_json::json!([{}]),
        ];
        another.into_iter().filter(|another| *another != now).find_map(|another| {
            let mut file = file.clone();
            *file.pointer_mut(&pointer)? = another;
            serde_json::from_value(file).ok()
        })
    }

    #[test]
    fn of_all_keys_a_changed_one_is_named_and_no_other() {
        let text = include_str!("../../config/reference.toml");
        let file: ConfigFile = toml::from_str(text).expect("reads");
        let (was, json) = (written(&file), serde_json::to_value(&file).expect("serialises"));
        let mut all = Vec::new();
        leaves("", &json, &mut all);
        assert!(all.len() > 160, "{} keys", all.len());
        for path in all {
            let another =
                changed(&json, &path).unwrap_or_else(|| panic!("{path}: nothing else may stand there"));
            let mut diff = Diff::default();
            walk("", &was, &written(&another), &mut diff);
            let named = [paths(&diff.applied), paths(&diff.needs_restart)].concat();
            let exact = named.iter().all(|named| {
                *named == path
                    || named.starts_with(&format!("{path}."))
                    || *named == format!("{path} (content)")
            });
            assert!(exact && !named.is_empty(), "{path}: {named:?}");
        }
    }

    #[test]
    fn what_is_in_force_at_once_and_lies_elsewhere_is_told_too() {
        let dir = tempfile::tempdir().expect("a directory");
        let token = dir.path().join("token");
        let text = |open: &str| {
            format!("[egress]\n[admin]\ntoken_file = {token:?}\n[escalation.hours]\nopen = [\"{open}\"]\n")
        };
        std::fs::write(&token, "one token of sixteen letters").expect("writes");
        let old = load(&text("mon-fri 09:00-17:00"), "a test", &[]).expect("runs");
        std::fs::write(&token, "another token, rotated").expect("writes");
        let new = load(&text("mon-fri 08:00-16:00"), "a test", &[]).expect("runs");
        let diff = diff(&old, &new);
        assert_eq!(paths(&diff.applied), ["admin.token_file (content)", "escalation.hours.open"]);
        let told = serde_json::to_string(&diff).expect("serialises");
        assert!(!told.contains("sixteen") && !told.contains("rotated"), "{told}");
    }

    #[test]
    fn what_waits_for_a_restart_goes_on_waiting_after_another_reload() {
        let load = |text: &str| load(text, "a test", &[]).expect("runs");
        let old = load("[egress]\n");
        let first = load("[egress]\n[process]\nname = \"shop-1\"\n");
        let running = runnable(&old, &first);
        let again = load("[egress]\n[process]\nname = \"shop-1\"\n[latency]\nslow = \"2s\"\n");
        let told = diff(&running, &again);
        assert_eq!(
            (paths(&told.applied), paths(&told.needs_restart)),
            (vec!["latency.slow"], vec!["process.name"])
        );
        let back = diff(&runnable(&running, &again), &load("[egress]\n[latency]\nslow = \"2s\"\n"));
        assert_eq!((back.applied, back.needs_restart), (Vec::new(), Vec::new()));
    }
}
