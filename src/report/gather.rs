//! Reads what a report is made of from the store: the ledger in pages of some hours, incidents in pages of a thousand.
//!
//! Decides nothing. Each page is a statement of its own, so a long report never holds a transaction open before the writer.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use super::days::{Days, DaysRequest};
use super::review::{self, Around, AuditedChange, PostIncident};
use super::sla::{SERVICE, Sla, SlaRequest};
use crate::reliability::counts::Counts;
use crate::reliability::incident::{Head, Incident};
use crate::reliability::ledger::Minute;
use crate::store::values::{self, Names, value};
use crate::store::{IncidentFilter, Reader, StoreError};
use crate::units::At;

/// How much of the ledger of all subjects is read at a time.
const PAGE: i64 = 6 * 3_600_000;
/// How much of that of one: a day is packed as one, and is unpacked once.
const DAY: i64 = 24 * 3_600_000;
/// Incidents read at a time.
const ROWS: u32 = 1_000;
/// What began so long before a month and is over was over before it.
const BEFORE: Duration = Duration::from_secs(31 * 86_400);

/// The minutes of a range, page by page; how many rows could not be read.
async fn minutes(
    reader: &Reader,
    service: Option<&str>,
    span: Range<At>,
    mut take: impl FnMut(Minute),
) -> Result<usize, StoreError> {
    let mut names = Names::default();
    let (mut unreadable, mut days) = (0, BTreeSet::new());
    // The minute in which the range begins is part of it.
    let mut from = span.start.minute() * 60_000;
    let page = if service.is_some() { DAY } else { PAGE };
    while from < span.end.0 {
        let to = (from + page - from.rem_euclid(page)).min(span.end.0);
        let page = reader.ledger(service, from, to).await?;
        // Several pages may be of one day.
        days.extend(page.unreadable);
        for row in page.rows {
            match values::minute(&row, &mut names) {
                Some(minute) => take(minute),
                None => unreadable += 1,
            }
        }
        from = to;
    }
    Ok(unreadable + days.len())
}

/// The incidents of a filter; how many could not be read.
async fn incidents(
    reader: &Reader,
    filter: &IncidentFilter,
    into: &mut Vec<Incident>,
) -> Result<usize, StoreError> {
    let (mut cursor, mut unreadable) = (None, 0);
    loop {
        let page = reader.incidents(filter, cursor.as_deref(), ROWS).await?;
        for row in &page.rows {
            match value::<Head>(&row.id, &row.body) {
                Some(head) => into.push(head.ending_in(Vec::new())),
                None => unreadable += 1,
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(unreadable);
        }
    }
}

/// The service level of a month.
pub async fn sla(reader: &Reader, asked: &SlaRequest) -> Result<Sla, StoreError> {
    let span = asked.span();
    let told = span.start..span.end.min(asked.until);
    let mut tally = asked.tally();
    let service = asked.service.as_deref();
    let mut unreadable = minutes(reader, service, told.clone(), |minute| tally.add(minute)).await?;
    let begun = IncidentFilter {
        service: asked.service.clone(),
        since: Some((span.start - BEFORE).0),
        until: Some(told.end.0),
        ..IncidentFilter::default()
    };
    let old = IncidentFilter { unresolved: true, since: None, until: begun.since, ..begun.clone() };
    let mut stored = Vec::new();
    unreadable += incidents(reader, &begun, &mut stored).await?;
    unreadable += incidents(reader, &old, &mut stored).await?;
    Ok(Sla::of(asked, tally.finish(), &stored, unreadable))
}

/// The days of one subject.
pub async fn days(reader: &Reader, asked: &DaysRequest) -> Result<Days, StoreError> {
    let mut tally = asked.tally();
    let span = tally.span();
    let told = span.start..span.end.min(asked.until);
    let unreadable = minutes(reader, Some(&asked.subject), told, |minute| tally.add(minute)).await?;
    Ok(tally.finish(&asked.subject, unreadable))
}

/// One incident, from the disk. `Ok(None)`: there is none of that name, or it cannot be read.
pub async fn incident(reader: &Reader, id: &str) -> Result<Option<Incident>, StoreError> {
    let head = reader.incident(id).await?.and_then(|row| value::<Head>(&row.id, &row.body));
    let Some(head) = head else { return Ok(None) };
    Ok(Some(head.whole(values::lines(&reader.lines(id).await?))))
}

/// What there is to review about an incident.
pub async fn review(
    reader: &Reader,
    incident: &Incident,
    asked: &review::ReviewRequest,
) -> Result<PostIncident, StoreError> {
    let span = review::window(incident, asked.until);
    let mut around = Around::default();
    let subjects: BTreeSet<&str> = [SERVICE, &*incident.key.service]
        .into_iter()
        .chain(incident.signals.iter().map(|signal| &*signal.key.service))
        .collect();
    for subject in subjects {
        let mut found = Vec::new();
        minutes(reader, Some(subject), span.clone(), |minute| found.push(minute)).await?;
        around.minutes.extend(found);
    }
    let period = (span.end - review::PERIOD)..span.end;
    around.period =
        reader.ledger_counts(SERVICE, period.start.0, period.end.0).await?.and_then(|(good, total)| {
            let (good, total) = (u64::try_from(good).ok()?, u64::try_from(total).ok()?);
            Some(Counts { good, bad: total.saturating_sub(good) })
        });
    let changes = reader.config_changes((span.start - review::LOOK_BACK).0, span.end.0).await?;
    around.changes = changes
        .into_iter()
        .map(|row| AuditedChange {
            at: At(row.entry.at),
            actor: row.entry.actor,
            action: row.entry.action,
            target: row.entry.target,
            detail: row.entry.body,
        })
        .collect();
    Ok(PostIncident::of(incident, around, asked))
}
