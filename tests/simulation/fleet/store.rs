//! The database that the members share: rows, one lease, its own clock. What is here outlives every process.
//!
//! A batch is written whole or not at all, and once, however often it is brought: its number is stored with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use strop::names::IncidentId;
use strop::reliability::delivery::NotificationId;
use strop::reliability::fleet::{FRESH, FleetSummary, Sighting, TERM};
use strop::reliability::incident::{Entry, EntryKind, Head, Incident};
use strop::reliability::silence::Silence;

use super::letters::Letter;

/// One row of a batch.
#[derive(Clone, Debug)]
pub enum Write {
    /// The head of an incident, and the lines that come after those handed over before.
    Incident(Box<Head>, Vec<Entry>),
    Letter(Box<Letter>),
    Silence(Silence),
}

/// What a member tells and asks with each beat.
#[derive(Clone, Debug)]
pub struct Beat {
    pub boot: Arc<str>,
    pub sees: Vec<Sighting>,
    pub summary: FleetSummary,
    /// Up to which change it knows all incidents.
    pub known: u64,
}

/// Who holds the lease, as a beat left it.
#[derive(Clone, Debug, PartialEq)]
pub struct Lease {
    pub holder: Arc<str>,
    /// By the store's clock.
    pub until: u64,
    pub summary: FleetSummary,
}

/// What a beat brings; incidents are read after it.
#[derive(Clone, Debug)]
pub struct Pulse {
    /// By the store's clock.
    pub executed: u64,
    pub ours: bool,
    pub lease: Option<Lease>,
    pub loud: Vec<(Arc<str>, Duration, Vec<Sighting>)>,
    pub count: Option<u64>,
    pub changed: Vec<IncidentId>,
    pub known: u64,
}

#[derive(Debug)]
struct Row {
    head: Head,
    by: usize,
    change: u64,
}

#[derive(Debug, Default)]
pub struct Store {
    rows: BTreeMap<IncidentId, Row>,
    lines: BTreeMap<IncidentId, Vec<Entry>>,
    letters: BTreeMap<NotificationId, Letter>,
    silences: BTreeMap<u64, Silence>,
    members: BTreeMap<Arc<str>, (u64, Vec<Sighting>)>,
    /// The last batch of each process.
    commits: BTreeMap<Arc<str>, u64>,
    lease: Option<Lease>,
    changes: u64,
    /// When it was first stored that somebody has taken an incident.
    pub taken: BTreeMap<IncidentId, u64>,
    /// When the line that tells of a call was first stored.
    pub called: BTreeMap<(IncidentId, String), u64>,
}

impl Store {
    /// Who may call people now.
    pub fn holder(&self, now: u64) -> Option<&Arc<str>> {
        self.lease.as_ref().filter(|lease| lease.until > now).map(|lease| &lease.holder)
    }

    pub fn beat(&mut self, beat: Beat, now: u64) -> Pulse {
        self.members.insert(Arc::clone(&beat.boot), (now, beat.sees));
        let anothers = self.holder(now).is_some_and(|holder| *holder != beat.boot);
        if !anothers {
            let until = now + TERM.as_millis() as u64;
            self.lease = Some(Lease { holder: Arc::clone(&beat.boot), until, summary: beat.summary });
        }
        let fresh = FRESH.as_millis() as u64;
        let lately = self.members.iter().filter(|(_, (seen, _))| seen + fresh >= now);
        let count = (!anothers).then(|| lately.clone().count() as u64);
        let loud = lately.filter(|(_, (_, sees))| !anothers && !sees.is_empty());
        let loud = loud
            .map(|(boot, (seen, sees))| (Arc::clone(boot), Duration::from_millis(now - seen), sees.clone()));
        let changed = self.rows.iter().filter(|(_, row)| row.change > beat.known);
        Pulse {
            executed: now,
            ours: !anothers,
            lease: self.lease.clone(),
            loud: loud.collect(),
            count,
            changed: changed.map(|(id, _)| id.clone()).collect(),
            known: self.changes,
        }
    }

    /// The own row goes, and the lease is free.
    pub fn depart(&mut self, boot: &Arc<str>) {
        self.members.remove(boot);
        self.lease.take_if(|lease| lease.holder == *boot);
    }

    pub fn read(&self, id: &IncidentId) -> Option<Incident> {
        let row = self.rows.get(id)?;
        Some(row.head.clone().whole(self.lines.get(id).cloned().unwrap_or_default()))
    }

    pub fn all(&self) -> impl Iterator<Item = Incident> {
        self.rows.keys().filter_map(|id| self.read(id))
    }

    pub fn silences(&self) -> Vec<Silence> {
        self.silences.values().cloned().collect()
    }

    pub fn letters(&self) -> impl Iterator<Item = &Letter> {
        self.letters.values()
    }

    /// What nobody has delivered yet, what is due first first.
    pub fn undelivered(&self) -> Vec<Letter> {
        let mut all: Vec<Letter> =
            self.letters.values().filter(|one| one.progress.state.is_active()).cloned().collect();
        all.sort_by(|a, b| (a.progress.next_at, &a.id).cmp(&(b.progress.next_at, &b.id)));
        all
    }

    /// One batch of the process `boot` of member `by`.
    pub fn write(&mut self, by: usize, boot: &Arc<str>, number: u64, batch: Vec<Write>, now: u64) {
        let last = self.commits.entry(Arc::clone(boot)).or_default();
        if *last >= number {
            return;
        }
        *last = number;
        for write in batch {
            match write {
                Write::Incident(head, lines) => self.put(by, *head, lines, now),
                Write::Letter(letter) => self.put_letter(*letter),
                Write::Silence(silence) => drop(self.silences.insert(silence.number, silence)),
            }
        }
    }

    /// What is settled stays settled: a member that has lost the duty may still have an attempt under way.
    fn put_letter(&mut self, new: Letter) {
        let settled = |one: &Letter| !one.progress.state.is_active();
        if self.letters.get(&new.id).is_none_or(|there| !settled(there) || settled(&new)) {
            self.letters.insert(new.id.clone(), new);
        }
    }

    fn put(&mut self, by: usize, new: Head, lines: Vec<Entry>, now: u64) {
        let id = new.incident().id.clone();
        let (head, by) = match self.rows.get(&id) {
            None => (new, by),
            Some(there) => {
                let kept = Head::join(&there.head, &new, there.by == by);
                let by = if kept == there.head { there.by } else { by };
                (kept, by)
            }
        };
        assert!(
            self.rows.get(&id).is_none_or(|there| there.head.incident().state.is_live()
                || !head.incident().state.is_live()),
            "what is over stays over in the store"
        );
        if head.incident().clocks.acknowledged.is_some() {
            self.taken.entry(id.clone()).or_insert(now);
        }
        let calls = lines.iter().filter(|line| line.kind == EntryKind::Page);
        for (_, number) in calls.flat_map(|line| &line.evidence).filter(|(name, _)| name == "call") {
            self.called.entry((id.clone(), number.clone())).or_insert(now);
        }
        self.changes += 1;
        self.lines.entry(id.clone()).or_default().extend(lines);
        self.rows.insert(id, Row { head, by, change: self.changes });
    }
}
