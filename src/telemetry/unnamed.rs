//! Which paths do requests have that no route has a name for? A bounded sample, folded into templates, for people who write routes.
//!
//! Each worker puts some of them a second into a `Lane` of its own, without a lock and without allocation; once a second they are
//! folded and counted, off the request path. Nothing is decided by them: they are shown.
//!
//! Invariants: at most [`MOST_TEMPLATES`] are told apart, the others are one number; of each request it is known whether it was
//! sampled.

use std::collections::BTreeMap;
use std::sync::mpsc::Receiver;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::labels::Method;
use super::lane::Lane;
use crate::message::fold::folded;

/// Paths that a worker keeps until they are counted: once a second.
const LANE: usize = 32;
/// The longest path that is sampled, in bytes.
const LONGEST: usize = 190;
/// Templates that are told apart.
pub const MOST_TEMPLATES: usize = 200;

/// A path on its way to be counted.
struct SampledPath {
    method: Method,
    length: u8,
    bytes: [u8; LONGEST],
}

impl SampledPath {
    fn of(method: Method, path: &[u8]) -> Option<Self> {
        let mut bytes = [0; LONGEST];
        bytes.get_mut(..path.len())?.copy_from_slice(path);
        Some(Self { method, length: path.len() as u8, bytes })
    }

    fn path(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

/// A template that paths have, and how many of those that were sampled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenTemplate {
    pub template: String,
    /// By method, each that was seen.
    pub methods: BTreeMap<Method, u64>,
}

impl SeenTemplate {
    /// Requests that were sampled.
    pub fn count(&self) -> u64 {
        self.methods.values().sum()
    }
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenPaths {
    pub since: Instant,
    /// Requests without a name of their own.
    pub requests: u64,
    /// Those of them that were looked at.
    pub sampled: u64,
    /// Of those, the ones whose template is not told apart, or cannot be written.
    pub others: u64,
    /// The most frequent first.
    pub templates: Vec<SeenTemplate>,
}

/// What was counted since it began.
struct SeenCounts {
    since: Instant,
    sampled: u64,
    others: u64,
    /// What was lost before that.
    lost_before: u64,
    templates: BTreeMap<String, BTreeMap<Method, u64>>,
}

impl SeenCounts {
    fn new(since: Instant, lost_before: u64) -> Self {
        Self { since, sampled: 0, others: 0, lost_before, templates: BTreeMap::new() }
    }

    fn add(&mut self, one: &SampledPath) {
        self.sampled += 1;
        let template = folded(one.path());
        let Some(template) = template.filter(|template| {
            self.templates.len() < MOST_TEMPLATES || self.templates.contains_key(template)
        }) else {
            self.others += 1;
            return;
        };
        *self.templates.entry(template).or_default().entry(one.method).or_default() += 1;
    }
}

struct Counting {
    readers: Vec<Receiver<SampledPath>>,
    counts: SeenCounts,
}

/// Paths of requests without a name.
pub struct UnnamedPaths {
    lanes: Box<[Lane<SampledPath>]>,
    counting: Mutex<Counting>,
}

impl UnnamedPaths {
    pub(super) fn new(workers: usize, now: Instant) -> Self {
        let (lanes, readers): (Vec<_>, Vec<_>) = (0..workers.max(1)).map(|_| Lane::new(LANE)).unzip();
        let counting = Counting { readers, counts: SeenCounts::new(now, 0) };
        Self { lanes: lanes.into(), counting: Mutex::new(counting) }
    }

    /// A worker has a request without a name; `path`: as it was sent, without the query.
    pub fn saw(&self, worker: usize, method: Method, path: &[u8]) {
        let Some(lane) = self.lanes.get(worker).filter(|lane| lane.has_room()) else { return };
        match SampledPath::of(method, path) {
            Some(one) => lane.put(one),
            None => lane.lose(),
        }
    }

    fn lost(&self) -> u64 {
        self.lanes.iter().map(Lane::lost).sum()
    }

    /// Counts what has come.
    pub(super) fn turn(&self) {
        let mut counting = self.counting.lock().unwrap_or_else(PoisonError::into_inner);
        let Counting { readers, counts } = &mut *counting;
        for (lane, reader) in self.lanes.iter().zip(readers) {
            lane.take(reader, LANE).iter().for_each(|one| counts.add(one));
        }
    }

    /// Forgets what was seen: names are others from now on.
    pub fn begin(&self, now: Instant) {
        self.turn();
        let lost = self.lost();
        let mut counting = self.counting.lock().unwrap_or_else(PoisonError::into_inner);
        counting.counts = SeenCounts::new(now, lost);
    }

    /// What was seen since.
    pub fn seen(&self) -> SeenPaths {
        self.turn();
        let lost = self.lost();
        let counting = self.counting.lock().unwrap_or_else(PoisonError::into_inner);
        let SeenCounts { since, sampled, others, lost_before, ref templates } = counting.counts;
        let one = |(template, methods): (&String, &BTreeMap<Method, u64>)| SeenTemplate {
            template: template.clone(),
            methods: methods.clone(),
        };
        let mut templates: Vec<_> = templates.iter().map(one).collect();
        templates.sort_by_key(|one| std::cmp::Reverse(one.count()));
        SeenPaths { since, requests: sampled + lost.saturating_sub(lost_before), sampled, others, templates }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock;

    #[test]
    fn templates_are_counted_by_method_the_most_frequent_first() {
        let now = clock::instant();
        let paths = UnnamedPaths::new(2, now);
        for nth in 0..9 {
            paths.saw(nth % 2, Method::Get, format!("/bookings/{nth}").as_bytes());
        }
        paths.saw(0, Method::Delete, b"/bookings/77");
        paths.saw(1, Method::Get, b"/health");
        paths.saw(1, Method::Get, b"/a{b}");
        let seen = paths.seen();
        assert_eq!((seen.requests, seen.sampled, seen.others), (12, 12, 1));
        let bookings = [(Method::Get, 9), (Method::Delete, 1)].into();
        let first = SeenTemplate { template: "/bookings/{id}".to_owned(), methods: bookings };
        assert_eq!((seen.templates.len(), &seen.templates[0]), (2, &first));
        paths.begin(now);
        assert_eq!(
            paths.seen(),
            SeenPaths { since: now, requests: 0, sampled: 0, others: 0, templates: Vec::new() }
        );
    }

    #[test]
    fn what_is_not_sampled_is_counted_and_what_is_too_long_too() {
        let paths = UnnamedPaths::new(1, clock::instant());
        (0..100).for_each(|_| paths.saw(0, Method::Get, b"/a"));
        paths.turn();
        paths.saw(0, Method::Get, &[b'/'; LONGEST + 1]);
        paths.saw(0, Method::Get, &[b'/'; LONGEST]);
        let seen = paths.seen();
        assert_eq!((seen.requests, seen.sampled), (102, LANE as u64 + 1));
        paths.begin(clock::instant());
        assert_eq!(paths.seen().requests, 0);
    }

    #[test]
    fn hostile_paths_fill_a_bounded_table() {
        let paths = UnnamedPaths::new(1, clock::instant());
        for nth in 0..2 * MOST_TEMPLATES {
            let word: String = format!("{nth:09b}").replace('0', "a").replace('1', "b");
            paths.saw(0, Method::Get, format!("/{word}").as_bytes());
            paths.turn();
        }
        let seen = paths.seen();
        assert_eq!((seen.templates.len(), seen.others), (MOST_TEMPLATES, MOST_TEMPLATES as u64));
    }
}
