//! An incident without its timeline, as it is stored: lines are rows of their own, so a note costs a line and not
//! the whole incident again.
//!
//! A head keeps the last line of each kind by which [`Incident::merge`] decides, so that two heads become one without
//! the timelines; of these all lines are kept, whoever wrote them.
//!
//! # Invariants
//! * Two heads become what the heads of the two merged incidents would be, but for the version.
//! * No line is lost: a whole incident has each line as often as either the head or the rows have it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{Entry, EntryKind, Incident};

/// The kinds whose last line decides which copy says how things are.
const MARKS: [EntryKind; 3] = [EntryKind::State, EntryKind::Severity, EntryKind::Assigned];

/// What is stored of an incident beside its lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    #[serde(flatten)]
    incident: Incident,
    /// The [`Head::mark`] of the head that its writer had seen before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    follows: Option<u64>,
    /// It was made of two copies: whoever wrote one of them may not know the other yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    joined: bool,
}

/// The lines that decide: the last one of each such kind, in their order.
fn marks(timeline: &[Entry]) -> Vec<Entry> {
    let last = |kind: &EntryKind| timeline.iter().rposition(|entry| entry.kind == *kind);
    let mut places: Vec<usize> = MARKS.iter().filter_map(last).collect();
    places.sort_unstable();
    places.into_iter().filter_map(|place| timeline.get(place)).cloned().collect()
}

impl From<&Incident> for Head {
    fn from(incident: &Incident) -> Self {
        let timeline = marks(&incident.timeline);
        let bare = Incident { timeline: Vec::new(), ..incident.clone() };
        Self { incident: Incident { timeline, ..bare }, follows: None, joined: false }
    }
}

impl Head {
    /// The incident; its timeline holds the lines that decide, or all of them, where an older version has stored it.
    pub fn incident(&self) -> &Incident {
        &self.incident
    }

    /// Made by somebody who had seen the head of this mark.
    pub fn following(self, mark: Option<u64>) -> Self {
        Self { follows: mark, ..self }
    }

    /// Tells this state of an incident from its others, in all processes: FNV-1a of what is stored.
    pub fn mark(incident: &Incident) -> u64 {
        // What the core holds has text keys only, so this cannot fail.
        let text = serde_json::to_vec(&incident.marked()).unwrap_or_default();
        text.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    /// What to keep of what is there and what one of the writers brings now; `same`: the same member wrote both.
    pub fn join(there: &Self, new: &Self, same: bool) -> Self {
        let newer = new.incident.version >= there.incident.version;
        let seen = new.follows.is_some_and(|mark| mark == Self::mark(&there.incident));
        if newer && (seen || (same && !there.joined)) {
            return new.clone();
        }
        if new == there {
            return there.clone();
        }
        let (theirs, ours) = (there.incident.version, new.incident.version);
        let mut both = there.incident.heads(&new.incident);
        let like_ours = Incident { version: ours, ..both.clone() } == new.incident.marked();
        // There are more lines now than whoever knows either version has seen: it is another version.
        both.version = if like_ours && ours > theirs { ours } else { theirs.max(ours) + 1 };
        Self { incident: both, follows: None, joined: true }
    }

    /// With all its lines: those of the rows, and what only the head has. By time; of one moment in the
    /// order of the rows.
    pub fn whole(self, rows: Vec<Entry>) -> Incident {
        let untold = |entry: &Entry| Entry { number: 0, ..entry.clone() };
        let mut known: HashMap<Entry, usize> = HashMap::new();
        for entry in &rows {
            *known.entry(untold(entry)).or_default() += 1;
        }
        let mut timeline = rows;
        for entry in &self.incident.timeline {
            match known.get_mut(&untold(entry)) {
                Some(left) if *left > 0 => *left -= 1,
                Some(_) | None => timeline.push(entry.clone()),
            }
        }
        timeline.sort_by_key(|entry| entry.at);
        (1..).zip(&mut timeline).for_each(|(number, entry)| entry.number = number);
        Incident { timeline, ..self.incident }
    }

    /// With the last lines only, as they are numbered: for a list.
    pub fn ending_in(self, lines: Vec<Entry>) -> Incident {
        if lines.is_empty() { self.incident } else { Incident { timeline: lines, ..self.incident } }
    }
}

impl Incident {
    /// Its head, whoever wrote it: copies number the same line differently.
    pub(super) fn marked(&self) -> Self {
        let mut incident = Head::from(self).incident;
        incident.timeline.iter_mut().for_each(|entry| entry.number = 0);
        incident
    }

    /// Two heads, but for the version.
    fn heads(&self, other: &Self) -> Self {
        let (a, b) = (self.marked(), other.marked());
        let (new, old) = a.ranked(&b);
        let mut both = new.blended(old);
        let mut lines: Vec<Entry> = new.timeline.clone();
        lines.extend(old.timeline.iter().cloned());
        lines.sort_by_cached_key(super::merge::order);
        both.timeline = marks(&lines);
        both
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::IncidentId;
    use crate::reliability::incident::{Actor, Beginning};
    use crate::reliability::rule::{AlertKey, Rule, Severity};
    use crate::units::At;

    fn noted(lines: i64) -> Incident {
        let (key, began) = (AlertKey::of(Rule::Manual, "test", ""), At(1_000));
        let (title, severity) = ("a test".to_owned(), Severity::Low);
        let beginning = Beginning { id: IncidentId::of(0, 1), key, title, severity, began, earlier: None };
        let mut one = Incident::suspected(beginning, began);
        one.open(Actor::Named("ann".to_owned()), "a test".to_owned(), At(1_000)).expect("opens");
        for n in 0..lines {
            let text = format!("note {}", n / 2); // each twice
            one.tell(At(2_000 + n / 2), Actor::Named("ann".to_owned()), EntryKind::Note, text, Vec::new());
        }
        one
    }

    fn stored(one: &Incident) -> String {
        serde_json::to_string(&Head::from(one)).expect("writes")
    }

    #[test]
    fn a_head_is_as_long_after_a_thousand_notes_as_after_one() {
        let (short, long) = (stored(&noted(1)).len(), stored(&noted(1_000)).len());
        assert!(long < short + 16 && long < 2_000, "{short} {long}");
    }

    #[test]
    fn a_head_and_its_rows_are_the_incident() {
        let one = noted(40);
        let head: Head = serde_json::from_str(&stored(&one)).expect("reads");
        assert_eq!(head.whole(one.timeline.clone()), one);
    }

    #[test]
    fn what_an_older_version_stored_whole_is_read_with_rows_and_without() {
        let one = noted(40);
        let old = serde_json::to_string(&one).expect("writes");
        let head = || serde_json::from_str::<Head>(&old).expect("reads");
        assert_eq!(head().whole(Vec::new()), one);
        assert_eq!(
            head().whole(one.timeline[30..].to_vec()),
            one,
            "a file that was moved aside took some away"
        );
        assert_eq!(head().whole(one.timeline.clone()), one);
    }
}
