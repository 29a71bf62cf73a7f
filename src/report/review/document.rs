//! The review as it is written, field by field.

use serde::Serialize;

use super::impact::Impact;
use super::rows::{ActionRow, Called, ChangeRow, Factors, Item, Lead, TimelineRow, Took};

/// The review of one incident as a document.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PostIncident {
    /// The form of this document.
    pub schema: &'static str,
    pub id: String,
    /// One line for people.
    pub title: String,
    /// critical, high, medium or low.
    pub severity: &'static str,
    /// Its state when the review was made.
    pub state: &'static str,
    /// The rule that found it.
    pub rule: &'static str,
    /// What it is about.
    pub service: String,
    /// An IANA name: all times are told in it.
    pub time_zone: String,
    /// The first bad event.
    pub began: String,
    /// The end of the condition; null: it is not over.
    pub ended: Option<String>,
    /// Who took it; null: nobody has.
    pub acknowledged_by: Option<String>,
    /// Who was in charge.
    pub assignee: Option<String>,
    /// Relapses that are folded into it.
    pub flaps: u32,
    /// The one of the same identity that was over shortly before.
    pub earlier: Option<String>,
    /// Its review is complete.
    pub reviewed: bool,
    /// What the review still misses.
    pub missing: Vec<&'static str>,
    /// How long it took.
    pub clocks: Vec<Took>,
    /// When somebody had to have taken it.
    pub respond_by: Option<String>,
    /// True when nobody had taken it by then.
    pub response_breached: bool,
    /// What it cost the users of the service.
    pub impact: Impact,
    /// The one that spoke first comes first.
    pub signals: Vec<Lead>,
    /// The latest calls, oldest first.
    pub calls: Vec<Called>,
    /// Actions in the timeline, and whether they helped.
    pub actions: Vec<ActionRow>,
    /// From a day before the first bad event to the end.
    pub config_changes: Vec<ChangeRow>,
    /// Every line of the timeline, oldest first.
    pub timeline: Vec<TimelineRow>,
    /// The causes, as people found them; empty: not filled in yet.
    pub factors: Factors,
    /// What is to be done.
    pub action_items: Vec<Item>,
    /// Facts that no part of Strop observes yet.
    pub not_observed: Vec<&'static str>,
}
