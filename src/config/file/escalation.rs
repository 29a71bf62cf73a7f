//! `[escalation]` as it was written. What is not written is the guide's matrix.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::desk::Staffed;
use crate::config::word::OneOf;
use crate::units::Text;

/// `[escalation]`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EscalationFile {
    /// Channels for whoever has none, or when all of theirs fail; all of them when absent, `default` first.
    pub fallback: Option<Vec<String>>,
    /// Contacts that hear of every change of state.
    pub stakeholders: Option<Vec<String>>,
    /// People and teams, by name.
    pub contacts: BTreeMap<String, ContactFile>,
    /// Working hours.
    pub hours: HoursFile,
    /// Who is called for critical incidents.
    pub critical: LadderFile,
    /// For high ones.
    pub high: LadderFile,
    /// For medium ones.
    pub medium: LadderFile,
    /// For low ones.
    pub low: LadderFile,
}

/// `[escalation.contacts.<name>]`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ContactFile {
    /// Names of `[notify.<name>]`, the preferred one first.
    pub channels: Vec<String>,
}

/// `[escalation.hours]`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HoursFile {
    /// Of the IANA database.
    pub time_zone: String,
    /// Days and hours in which somebody works.
    pub open: Vec<String>,
    /// Days on which nobody works.
    pub holidays: Vec<String>,
}

impl Default for HoursFile {
    fn default() -> Self {
        Self {
            time_zone: "UTC".to_owned(),
            open: vec!["mon-fri 09:00-17:00".to_owned()],
            holidays: Vec::new(),
        }
    }
}

/// `[escalation.<severity>]`; what is not written is the guide's.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LadderFile {
    /// In the order of `after`.
    pub steps: Option<Vec<StepFile>>,
    /// All are called again so often while nobody takes it; 0s: never.
    pub again_every: Option<Text<Duration>>,
    /// At most so many times.
    pub again_at_most: Option<u32>,
    /// When it calls.
    pub hours: Option<OneOf<Staffed>>,
}

/// One of `steps`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StepFile {
    /// Since the incident was opened or became that bad.
    pub after: Text<Duration>,
    /// Names of contacts.
    pub contacts: Vec<String>,
}

impl Default for StepFile {
    fn default() -> Self {
        Self { after: Text(Duration::ZERO), contacts: Vec::new() }
    }
}
