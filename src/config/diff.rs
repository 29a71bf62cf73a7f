//! What a reload changes: what applies at once, what waits for a restart.

use serde::Serialize;
use serde_json::Value;

use super::{Config, show};

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

/// Compares two configs, key by key.
pub fn diff(old: &Config, new: &Config) -> Diff {
    let mut diff = Diff::default();
    walk("", &show::effective(old), &show::effective(new), &mut diff);
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

/// `new`, with `old`'s values where a restart is needed.
pub fn runnable(old: &Config, new: &Config) -> Config {
    let mut config = new.clone();
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
            std::sync::Arc::make_mut(upstream).local = local;
        }
    }
    config
}
