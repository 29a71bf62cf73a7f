//! `judge = { … }`: what counts as bad.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reliability::verdict::JudgePolicy;
use crate::units::{Text, Written};

/// `judge = { … }` as written.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct JudgeFile {
    /// Statuses that count as bad: "500", or a range such as "502-504".
    pub bad_statuses: Vec<Text<Statuses>>,
    /// Slower answers are slow calls; absent: never.
    pub slow_after: Option<Text<Duration>>,
}

impl Default for JudgeFile {
    fn default() -> Self {
        let JudgePolicy { bad_statuses, slow_after } = JudgePolicy::default();
        let bad_statuses = bad_statuses.into_iter().map(|(low, high)| Text(Statuses(low, high))).collect();
        Self { bad_statuses, slow_after: slow_after.map(Text) }
    }
}

/// A status, or all from one to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statuses(pub u16, pub u16);

impl Written for Statuses {
    const LIKE: &'static str = r#"a status or a range in quotes, such as "503" or "502-504""#;
    const PATTERN: &'static str = r"^[1-9][0-9]{2}( ?- ?[1-9][0-9]{2})?$";

    fn read(text: &str) -> Option<Self> {
        let (low, high) = text.split_once('-').unwrap_or((text, text));
        match (low.trim().parse(), high.trim().parse()) {
            (Ok(low @ 100..=999), Ok(high @ 100..=999)) if low <= high => Some(Self(low, high)),
            _ => None,
        }
    }

    fn write(&self) -> String {
        if self.0 == self.1 { self.0.to_string() } else { format!("{}-{}", self.0, self.1) }
    }
}

impl JudgeFile {
    pub(super) fn policy(&self) -> JudgePolicy {
        let bad_statuses = self.bad_statuses.iter().map(|Text(Statuses(low, high))| (*low, *high)).collect();
        JudgePolicy { bad_statuses, slow_after: self.slow_after.map(|slow| slow.0) }
    }
}
