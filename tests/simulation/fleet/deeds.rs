//! What people did counts, whoever wrote what at the same time: the lines tell of it, and what is shown says the same.
//!
//! Lines are kept whoever brings them; how things are is made of the copies of several members. So the one judges the other.

use strop::reliability::incident::{Actor, Entry, EntryKind, Incident};

use super::store::Store;

/// Milliseconds within which an order given at one member may not be known to another one.
const NEWS: i64 = 1_000;

/// `offsets`: by how much the members' clocks are ahead.
pub fn count(store: &Store, offsets: impl Iterator<Item = i64> + Clone) {
    let apart = offsets.clone().max().unwrap_or(0) - offsets.min().unwrap_or(0) + NEWS;
    for one in store.all() {
        taken(&one);
        ended(&one);
        let severity = format!(" → {}: ", one.severity.label());
        last(&one, EntryKind::Severity, apart, |line| line.text.contains(&severity));
        let charge = one.assignee.as_ref().map(|who| format!(" put {who} in charge"));
        last(&one, EntryKind::Assigned, apart, |line| {
            charge.as_ref().is_some_and(|said| line.text.ends_with(said))
        });
    }
}

/// Who has taken it is one of those who did.
fn taken(one: &Incident) {
    let takes = |line: &&Entry| line.text.contains("taken by ");
    let who = |line: &Entry| match &line.actor {
        Actor::Named(name) => Some(name.clone()),
        Actor::Engine => None,
    };
    let by: Vec<String> = one.timeline.iter().filter(takes).filter_map(who).collect();
    let said = one.acknowledged_by.as_ref();
    assert_eq!(one.clocks.acknowledged.is_some(), !by.is_empty(), "taken by {by:?}, and yet: {one:#?}");
    assert!(
        by.is_empty() || said.is_some_and(|said| by.contains(said)),
        "taken by {by:?}, and yet: {one:#?}"
    );
}

/// It is over where somebody said so, and nowhere else.
fn ended(one: &Incident) {
    let ends = |line: &Entry| {
        let to = line.text.split_once(" → ").map_or("", |(_, to)| to);
        line.kind == EntryKind::State && (to.starts_with("resolved") || to.starts_with("cleared"))
    };
    assert_eq!(one.state.is_live(), !one.timeline.iter().any(ends), "{one:#?}");
}

/// One of the last lines of a kind says how it is: which one, the clocks of several members may tell differently.
fn last(one: &Incident, kind: EntryKind, apart: i64, says: impl Fn(&Entry) -> bool) {
    let lines = || one.timeline.iter().filter(|line| line.kind == kind);
    let Some(newest) = lines().map(|line| line.at.0).max() else { return };
    let mut late = lines().filter(|line| line.at.0 + apart >= newest);
    assert!(late.any(says), "{kind:?}: {one:#?}");
}
