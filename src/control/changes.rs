//! What changed, in order, for those who look on: a ring of the last changes, read by many, filled by one.
//!
//! Nobody who reads holds up who fills. Whoever falls behind the ring begins anew with the snapshot as it is.
//!
//! # Invariants
//! * Numbers begin at 1 with each start of the process and rise by one.
//! * The snapshot that is handed out is the one of the newest number: what comes after it is not in it yet, what is in it does
//!   not come again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::snapshot::Snapshot;
use crate::names::IncidentId;
use crate::reliability::incident::{Incident, Review};

/// Changes that are kept.
const KEPT: usize = 512;
/// Bytes of their texts.
const BYTES: usize = 8 << 20;
/// Changes handed out at once.
const BATCH: usize = 32;
/// Lines of a timeline that a change carries: as many as a list shows.
const LINES: usize = 5;

/// An incident has changed.
#[derive(Clone, Debug)]
pub struct Change {
    /// From 1, one more with each change since the start.
    pub number: u64,
    /// As it was then, with the last lines of its timeline.
    pub incident: Arc<Incident>,
    /// Whether its condition held then.
    pub holds: bool,
    /// Nobody was called about it.
    pub silenced: bool,
}

/// What a reader gets.
#[derive(Clone, Debug)]
pub enum NextChanges {
    /// What came after its place; empty: nothing yet.
    Changes(Vec<Arc<Change>>),
    /// Its place is unknown: it begins anew.
    Anew {
        /// All that is known now, to begin anew with.
        snapshot: Arc<Snapshot>,
        /// Its place from now on.
        number: u64,
    },
}

#[derive(Debug, Default)]
struct ChangeRing {
    changes: VecDeque<Arc<Change>>,
    bytes: usize,
    newest: u64,
    known: BTreeMap<IncidentId, (u64, bool, bool)>,
    snapshot: Arc<Snapshot>,
}

impl ChangeRing {
    fn take(&mut self, snapshot: &Arc<Snapshot>) {
        // The oldest first, as they were made.
        for incident in snapshot.incidents.iter().rev() {
            let holds = snapshot.holding.contains(&incident.id);
            let silenced = snapshot.silenced.contains(&incident.id);
            let now = (incident.version, holds, silenced);
            if self.known.insert(incident.id.clone(), now) == Some(now) {
                continue;
            }
            self.newest += 1;
            let (number, incident) = (self.newest, brief(incident));
            self.bytes += size(&incident);
            self.changes.push_back(Arc::new(Change { number, incident, holds, silenced }));
            while self.changes.len() > KEPT || (self.bytes > BYTES && self.changes.len() > 1) {
                self.bytes -= self.changes.pop_front().map_or(0, |change| size(&change.incident));
            }
        }
        if self.known.len() != snapshot.incidents.len() {
            self.known.retain(|id, _| snapshot.incident(id).is_some());
        }
        self.snapshot = Arc::clone(snapshot);
    }

    fn next(&self, after: Option<u64>) -> NextChanges {
        let first = self.newest + 1 - self.changes.len() as u64;
        match after {
            Some(after) if (first..=self.newest + 1).contains(&(after.saturating_add(1))) => {
                let skip = usize::try_from(after + 1 - first).unwrap_or(usize::MAX);
                NextChanges::Changes(self.changes.iter().skip(skip).take(BATCH).map(Arc::clone).collect())
            }
            Some(_) | None => NextChanges::Anew { snapshot: Arc::clone(&self.snapshot), number: self.newest },
        }
    }
}

/// Bytes of its texts.
fn size(incident: &Incident) -> usize {
    let lines = incident.timeline.iter().map(|entry| {
        let evidence = entry.evidence.iter().map(|(name, value)| name.len() + value.len());
        entry.text.len() + evidence.sum::<usize>()
    });
    incident.title.len() + lines.sum::<usize>() + incident.review.as_ref().map_or(0, Review::size)
}

/// A ring of whole timelines would hold megabytes of the same lines.
fn brief(incident: &Arc<Incident>) -> Arc<Incident> {
    if incident.timeline.len() <= LINES {
        return Arc::clone(incident);
    }
    let mut brief = Incident::clone(incident);
    brief.timeline.drain(..incident.timeline.len() - LINES);
    Arc::new(brief)
}

/// The end that writes changes; there is one.
#[derive(Debug)]
pub(super) struct ChangeWriter {
    ring: Arc<Mutex<ChangeRing>>,
    newest: watch::Sender<u64>,
}

/// Who reads it. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Changes {
    ring: Arc<Mutex<ChangeRing>>,
    newest: watch::Receiver<u64>,
}

/// A ring without changes: the end that writes and the end that reads.
pub(super) fn changes() -> (ChangeWriter, Changes) {
    let ring: Arc<Mutex<ChangeRing>> = Arc::default();
    let (send, newest) = watch::channel(0);
    (ChangeWriter { ring: Arc::clone(&ring), newest: send }, Changes { ring, newest })
}

fn locked(ring: &Mutex<ChangeRing>) -> MutexGuard<'_, ChangeRing> {
    ring.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ChangeWriter {
    /// An incident that is over was fetched from the store: that is no change of it.
    pub(super) fn know(&self, incident: &Incident) {
        let known = (incident.version, false, false);
        locked(&self.ring).known.insert(incident.id.clone(), known);
    }

    /// The snapshot is another one: what differs from the one before is a change.
    pub(super) fn take(&self, snapshot: &Arc<Snapshot>) {
        let newest = {
            let mut ring = locked(&self.ring);
            ring.take(snapshot);
            ring.newest
        };
        self.newest.send_if_modified(|told| std::mem::replace(told, newest) != newest);
    }
}

impl Changes {
    /// What came after number `after`; `None`: from the beginning.
    pub fn next(&self, after: Option<u64>) -> NextChanges {
        locked(&self.ring).next(after)
    }

    /// The number of the last change; 0: there was none.
    pub fn newest(&self) -> u64 {
        *self.newest.borrow()
    }

    /// Until there is something after `number`. False: nothing will ever be, the process is leaving.
    pub async fn grown(&mut self, number: u64) -> bool {
        self.newest.wait_for(|newest| *newest > number).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reliability::incident::{Actor, Beginning, EntryKind};
    use crate::reliability::rule::{AlertKey, Rule, Severity};
    use crate::units::At;

    fn incident(draw: u64, version: u64) -> Arc<Incident> {
        let beginning = Beginning {
            id: IncidentId::of(1, draw),
            key: AlertKey::of(Rule::Manual, "test", ""),
            title: String::new(),
            severity: Severity::Low,
            began: At(1),
            earlier: None,
        };
        let mut one = Incident::suspected(beginning, At(1));
        for _ in 0..version {
            one.tell(At(1), Actor::Engine, EntryKind::Note, "a line".to_owned(), Vec::new());
        }
        Arc::new(one)
    }

    fn snapshot(incidents: Vec<Arc<Incident>>) -> Arc<Snapshot> {
        Arc::new(Snapshot { incidents, ..Snapshot::default() })
    }

    fn numbers(next: NextChanges) -> Vec<u64> {
        match next {
            NextChanges::Changes(changes) => changes.iter().map(|change| change.number).collect(),
            NextChanges::Anew { number, .. } => panic!("anew at {number}"),
        }
    }

    #[test]
    fn what_did_not_change_is_told_once() {
        let (writer, changes) = changes();
        assert!(matches!(changes.next(None), NextChanges::Anew { number: 0, .. }));
        writer.take(&snapshot(vec![incident(1, 1)]));
        writer.take(&snapshot(vec![incident(1, 1)]));
        writer.take(&snapshot(vec![incident(2, 1), incident(1, 2)]));
        assert_eq!(numbers(changes.next(Some(0))), [1, 2, 3]);
        assert_eq!(numbers(changes.next(Some(2))), [3]);
        assert!(numbers(changes.next(Some(3))).is_empty());
    }

    #[test]
    fn a_silence_is_a_change_and_a_forgotten_incident_is_none() {
        let (writer, changes) = changes();
        let one = incident(1, 1);
        writer.take(&snapshot(vec![Arc::clone(&one)]));
        let silenced =
            Snapshot { silenced: [one.id.clone()].into(), ..Snapshot::clone(&snapshot(vec![one])) };
        writer.take(&Arc::new(silenced));
        writer.take(&snapshot(Vec::new()));
        assert_eq!(numbers(changes.next(Some(0))), [1, 2]);
    }

    #[test]
    fn what_is_fetched_to_be_looked_at_is_no_change() {
        let (writer, changes) = changes();
        writer.know(&incident(1, 7));
        writer.take(&snapshot(vec![incident(1, 7)]));
        assert!(numbers(changes.next(Some(0))).is_empty());
        writer.take(&snapshot(vec![incident(1, 8)]));
        assert_eq!(numbers(changes.next(Some(0))), [1]);
    }

    #[test]
    fn whoever_fell_behind_or_comes_from_elsewhere_begins_anew() {
        let (writer, changes) = changes();
        for version in 1..=KEPT as u64 + 2 {
            writer.take(&snapshot(vec![incident(1, version)]));
        }
        let newest = KEPT as u64 + 2;
        assert!(matches!(changes.next(Some(1)), NextChanges::Anew { number, .. } if number == newest));
        assert!(
            matches!(changes.next(Some(newest + 1)), NextChanges::Anew { .. }),
            "a number that was never given"
        );
        assert!(matches!(changes.next(Some(u64::MAX)), NextChanges::Anew { .. }));
        let mut place = 2;
        let mut seen = Vec::new();
        while place < newest {
            let more = numbers(changes.next(Some(place)));
            assert!(more.len() <= BATCH);
            place = *more.last().expect("more");
            seen.extend(more);
        }
        assert_eq!(seen, (3..=newest).collect::<Vec<_>>());
    }

    #[test]
    fn a_change_carries_the_last_lines_only() {
        let (writer, changes) = changes();
        writer.take(&snapshot(vec![incident(1, 40)]));
        let NextChanges::Changes(changes) = changes.next(Some(0)) else { panic!("a change") };
        let lines: Vec<u64> = changes[0].incident.timeline.iter().map(|entry| entry.number).collect();
        assert_eq!(lines, [36, 37, 38, 39, 40]);
    }

    #[test]
    fn long_lines_make_the_ring_shorter_and_never_longer_in_bytes() {
        let (writer, changes) = changes();
        let mut one = Incident::clone(&incident(1, 1));
        for n in 1..=400 {
            one.tell(At(n), Actor::Engine, EntryKind::Note, "x".repeat(10_000), Vec::new());
            writer.take(&snapshot(vec![Arc::new(one.clone())]));
        }
        let ring = locked(&changes.ring);
        let held: usize = ring.changes.iter().map(|change| size(&change.incident)).sum();
        assert_eq!(ring.bytes, held);
        assert!(held <= BYTES && ring.changes.len() > 50, "{held} {}", ring.changes.len());
    }
}
