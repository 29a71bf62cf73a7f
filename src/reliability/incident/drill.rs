//! Incidents that are no real ones: a drill's, and those that test the ladder. They count in no figure.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Incident;
use crate::reliability::rule::Rule;

/// What a drill is about: a test incident names no other service unless it is told one.
pub const DRILL: &str = "test";

/// Who hears of the incidents of a drill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrillCalls {
    /// Nobody: it is announced work.
    #[default]
    Nobody,
    /// The ladder, as for a real one; each message says that it is a drill.
    Ladder,
}

/// Whose doing an incident is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillMark {
    /// The drill's name.
    pub id: Arc<str>,
    /// Who hears of it.
    #[serde(default)]
    pub calls: DrillCalls,
}

impl Incident {
    /// A drill's, or opened by hand about the service `test` to see that people are reached: it counts in no figure.
    pub fn is_drill(&self) -> bool {
        self.drill.is_some() || (self.key.rule == Rule::Manual && &*self.key.service == DRILL)
    }

    /// Is it a drill's of which nobody is to hear?
    pub fn is_quiet_drill(&self) -> bool {
        self.drill.as_ref().is_some_and(|mark| mark.calls == DrillCalls::Nobody)
    }
}
