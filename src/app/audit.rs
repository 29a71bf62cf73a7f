//! Changes of the config on the audit log: by whom, from where, which paths; never a value, for it may be a secret.

use std::path::Path;

use serde_json::json;

use crate::config::Config;
use crate::config::diff::ConfigChange;
use crate::config::problem::Problems;
use crate::config::reload::ReloadOutcome;
use crate::control::{AuditRecord, OrderedBy, Records};

fn named(path: Option<&Path>) -> String {
    path.map_or("built-in".to_owned(), |path| path.display().to_string())
}

/// The process starts with this config: a change that came by a restart is one too.
pub(super) fn started(records: &Records, config: &Config, path: Option<&Path>) {
    let done = AuditRecord {
        actor: OrderedBy::Start,
        action: "config.applied",
        target: named(path),
        reason: "the process starts".to_owned(),
    };
    records.note(&done, json!({ "cause": "start", "generation": 1, "hash": config.hash }));
}

/// A reload, whether it was applied or refused.
pub(super) fn reloaded(
    records: &Records,
    path: Option<&Path>,
    outcome: &ReloadOutcome,
    problems: Option<&Problems>,
) {
    let paths =
        |changes: &[ConfigChange]| changes.iter().map(|change| change.path.clone()).collect::<Vec<_>>();
    let problem = |problem: &crate::config::problem::Problem| json!({ "path": problem.path, "line": problem.line, "message": problem.message });
    let done = AuditRecord {
        actor: OrderedBy::Named(outcome.actor.clone()),
        action: if problems.is_some() { "config.refused" } else { "config.applied" },
        target: named(path),
        reason: outcome.reason.clone(),
    };
    let more = json!({
        "cause": outcome.cause,
        "generation": outcome.generation,
        "hash": outcome.hash,
        "applied": paths(&outcome.applied),
        "needs_restart": paths(&outcome.needs_restart),
        "problems": problems.map(|problems| problems.all.iter().map(problem).collect::<Vec<_>>()),
    });
    records.note(&done, more);
}
