//! An incident as rows: its head, and the lines of its timeline.

use std::collections::HashMap;

use crate::reliability::incident::{Head, Incident};
use crate::store::rows::{self, NewEntry};
use crate::store::values::{self, value};
use crate::store::{IncidentFilter, Reader, StoreError};

/// Rows of one page.
pub(super) const PAGE: u32 = 1_000;

/// What of an incident was handed to the store already.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HandedOver {
    /// The number of the last line.
    pub(super) lines: u64,
    /// The [`Head::mark`] of what was written or read last; `None`: nothing was.
    pub(super) mark: Option<u64>,
}

impl HandedOver {
    /// All of it: it is as it is stored.
    pub(super) fn all(incident: &Incident) -> Self {
        let lines = incident.timeline.last().map_or(0, |entry| entry.number);
        Self { lines, mark: Some(Head::mark(incident)) }
    }
}

/// All incidents without an end, with their timelines.
pub(super) async fn live(reader: &Reader) -> Result<Vec<Incident>, StoreError> {
    let filter = IncidentFilter { unresolved: true, ..IncidentFilter::default() };
    let (mut rows, mut cursor) = (Vec::new(), None);
    loop {
        let page = reader.incidents(&filter, cursor.as_deref(), PAGE).await?;
        rows.extend(page.rows);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let mut lines: HashMap<String, Vec<NewEntry>> = HashMap::new();
    for line in reader.unresolved_lines().await? {
        lines.entry(line.incident_id.clone()).or_default().push(line);
    }
    let whole = |row: &rows::IncidentRow| {
        let head = value::<Head>(&row.id, &row.body)?;
        Some(head.whole(values::lines(&lines.remove(&row.id).unwrap_or_default())))
    };
    Ok(rows.iter().filter_map(whole).collect())
}

pub(super) fn row(incident: &Incident, head: Head, member: &str) -> rows::IncidentRow {
    let live = incident.state.is_live();
    rows::IncidentRow {
        id: incident.id.as_str().to_owned(),
        dedup_key: incident.dedup.to_string(),
        state: incident.state.label().to_owned(),
        severity: incident.severity.label().to_owned(),
        rule: incident.key.rule.label().to_owned(),
        service: incident.key.service.to_string(),
        started_at: incident.clocks.began.0,
        resolved_at: incident.clocks.closed.filter(|_| !live).map(|at| at.0),
        updated_at: incident.timeline.last().map_or(incident.clocks.suspected, |entry| entry.at).0,
        revision: i64::try_from(incident.version).unwrap_or(i64::MAX),
        member: member.to_owned(),
        body: json(&head),
    }
}

/// A value of the core as the body of a row.
pub(super) fn json<T: serde::Serialize>(value: &T) -> String {
    // Values of the core have text keys only, so this cannot fail.
    serde_json::to_string(value).unwrap_or_default()
}

/// What the store keeps of two versions of an incident: both of them, see [`Head::join`]. A row that cannot be read here gives
/// way to a newer revision alone.
pub(super) fn join(there: &rows::IncidentRow, new: &rows::IncidentRow) -> rows::IncidentRow {
    let read = |row: &rows::IncidentRow| serde_json::from_str::<Head>(&row.body).ok();
    let (Some(theirs), Some(ours)) = (read(there), read(new)) else {
        return crate::store::newer(there, new);
    };
    let kept = Head::join(&theirs, &ours, there.member == new.member);
    if kept == theirs {
        return there.clone();
    }
    if kept == ours {
        return new.clone();
    }
    let updated_at = there.updated_at.max(new.updated_at);
    rows::IncidentRow { updated_at, ..row(&kept.incident().clone(), kept, &new.member) }
}
