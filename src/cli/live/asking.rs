//! Whom a command asks, how it orders, and how the answer is told.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::super::door::{AdminDoor, who};
use super::super::output::say;

/// Whom to ask, and how to tell the answer.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct LiveArgs {
    /// Print the answer of the API as it is.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) door: AdminDoor,
}

/// Who gives an order, and why.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct OrderArgs {
    /// Why; shown to everybody and kept in the audit log.
    #[arg(long)]
    reason: Option<String>,
    /// Who orders it. Default: $USER.
    #[arg(long)]
    actor: Option<String>,
    #[command(flatten)]
    live: LiveArgs,
}

impl LiveArgs {
    /// Looks, and tells what was found, unless the answer is wanted as it is.
    pub(super) fn look(&self, path: &str, tell: impl FnOnce(&Value) -> ExitCode) -> Result<ExitCode, String> {
        let (answer, body) = self.door.asked("GET", path, "")?;
        if self.json {
            say(&body);
            return Ok(ExitCode::SUCCESS);
        }
        Ok(tell(&answer))
    }
}

impl OrderArgs {
    /// Gives an order; `more` beside the actor and the reason. Fields that are null are not sent.
    pub(super) fn order(&self, path: &str, more: Value, done: &str) -> Result<ExitCode, String> {
        let actor = who(self.actor.clone());
        let mut order = json!({ "actor": actor, "reason": self.reason });
        if let (Some(order), Value::Object(more)) = (order.as_object_mut(), more) {
            order.extend(more);
            order.retain(|_, value| !value.is_null());
        }
        let (answer, body) = self.live.door.asked("POST", path, &order.to_string())?;
        if self.live.json {
            say(&body);
        } else {
            let audit = answer["audit_id"].as_str().map_or_else(String::new, |id| format!(" (audit {id})"));
            say(&format!("{done}{audit}"));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A name in a path: what would lead elsewhere is refused.
pub(super) fn named(name: &str) -> Result<&str, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    let fine = !name.is_empty() && name.bytes().all(plain) && !name.contains("..");
    fine.then_some(name).ok_or_else(|| format!("{name:?} is no name; letters, digits, _, - and . make one"))
}
