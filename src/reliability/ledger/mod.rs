//! Was it up? One mark per second, and honest about what nobody saw.
//!
//! A minute holds sixty marks and two counters for each source that watched. Minutes merge like sets (associative,
//! commutative, idempotent), so a checkpoint that is written twice, late or by two members harms nothing. A second
//! without a mark is unknown: that is what becomes of the time in which Strop did not run. Unknown time is neither up
//! nor down; it widens the bounds of the uptime and lowers its coverage.
//!
//! # Invariants
//! * A report's five numbers of seconds add up to its range.
//! * lower ≤ uptime ≤ upper.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::counts::Counts;
use crate::units::At;

/// The subject that stands for the service as a whole.
pub const SERVICE: &str = "service";
/// Seconds of a minute.
const SECONDS: usize = 60;
/// A checkpoint of an open minute is due this many seconds after the last.
const CHECKPOINT: i64 = 10;
/// Looks may be this many seconds apart before the time between is unknown.
const BRIDGED: i64 = 3;

/// What a second was. The order is that of merging within one source: what is known beats what is not, the worse beats
/// the better, and what was announced beats what was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slice {
    /// Nobody saw the second.
    #[default]
    Unknown,
    /// The service answered as it should.
    Up,
    /// It served, not well.
    Degraded,
    /// It did not serve.
    Down,
    /// Work that was announced: neither up nor down.
    Maintenance,
}

impl Slice {
    fn letter(self) -> char {
        match self {
            Self::Unknown => '.',
            Self::Up => 'u',
            Self::Degraded => 'g',
            Self::Down => 'd',
            Self::Maintenance => 'm',
        }
    }

    fn read(letter: char) -> Option<Self> {
        [Self::Unknown, Self::Up, Self::Degraded, Self::Down, Self::Maintenance]
            .into_iter()
            .find(|slice| slice.letter() == letter)
    }
}

/// The sixty marks of a minute; written as sixty letters: `u` up, `g` degraded, `d` down, `m` maintenance, `.` unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slices(pub [Slice; SECONDS]);

impl Default for Slices {
    fn default() -> Self {
        Self([Slice::Unknown; SECONDS])
    }
}

impl Slices {
    fn mark(&mut self, second: usize, slice: Slice) {
        if let Some(held) = self.0.get_mut(second) {
            *held = slice.max(*held);
        }
    }
}

impl Serialize for Slices {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0.iter().map(|slice| slice.letter()).collect::<String>())
    }
}

impl<'de> Deserialize<'de> for Slices {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let mut slices = Self::default();
        if text.chars().count() != SECONDS {
            return Err(serde::de::Error::custom("a minute has sixty letters"));
        }
        // A letter of a newer version is something this one does not know.
        for (held, letter) in slices.0.iter_mut().zip(text.chars()) {
            *held = Slice::read(letter).unwrap_or_default();
        }
        Ok(slices)
    }
}

/// What one source saw of a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MinuteShare {
    /// Its marks, one a second.
    pub slices: Slices,
    /// Its requests; they only grow within the minute.
    pub counts: Counts,
}

/// One minute of one subject, as seen by everybody who watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Minute {
    /// An upstream, or the service as a whole.
    pub subject: Arc<str>,
    /// Minutes since the epoch.
    pub minute: i64,
    /// By source: a name that is new with every start of a process, so that its counters only grow.
    pub by: BTreeMap<Arc<str>, MinuteShare>,
}

impl Minute {
    /// Takes in another copy, or what another source saw. Of another minute or subject: nothing.
    pub fn merge(&mut self, other: &Self) {
        if (&self.subject, self.minute) != (&other.subject, other.minute) {
            return;
        }
        for (source, theirs) in &other.by {
            let ours = self.by.entry(Arc::clone(source)).or_default();
            for (second, slice) in theirs.slices.0.iter().enumerate() {
                ours.slices.mark(second, *slice);
            }
            ours.counts.good = ours.counts.good.max(theirs.counts.good);
            ours.counts.bad = ours.counts.bad.max(theirs.counts.bad);
        }
    }

    /// The requests of all sources.
    pub fn counts(&self) -> Counts {
        self.by.values().fold(Counts::default(), |sum, share| sum.plus(share.counts))
    }

    /// What the second was for all who saw it: up when most of them served, degraded when some did. Whoever did not
    /// look has no voice.
    pub fn slice(&self, second: usize) -> Slice {
        let mut votes = [0_usize; 5];
        for share in self.by.values() {
            let slice = share.slices.0.get(second).copied().unwrap_or_default();
            if let Some(count) = votes.get_mut(slice as usize) {
                *count += 1;
            }
        }
        let [_, up, degraded, down, maintenance] = votes;
        let seen = up + degraded + down;
        if maintenance > 0 && maintenance >= seen {
            Slice::Maintenance
        } else if seen == 0 {
            Slice::Unknown
        } else if up * 2 > seen {
            Slice::Up
        } else if up + degraded > 0 {
            Slice::Degraded
        } else {
            Slice::Down
        }
    }
}

/// What a range of time was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Seconds in which it served.
    pub up: u64,
    /// Seconds in which it served, not well.
    pub degraded: u64,
    /// Seconds in which it did not.
    pub down: u64,
    /// Seconds of announced work.
    pub maintenance: u64,
    /// Seconds that nobody saw.
    pub unknown: u64,
    /// Requests of the minutes that begin in the range.
    pub counts: Counts,
}

impl Report {
    /// The range from `from` to before `to`, whole seconds, out of records of one subject in any
    /// order, double ones included.
    pub fn of<'a>(records: impl IntoIterator<Item = &'a Minute>, from: At, to: At) -> Self {
        let (first, end) = (from.second(), to.second());
        let mut minutes: BTreeMap<i64, Minute> = BTreeMap::new();
        let inside = |minute: i64| minute * 60 < end && minute * 60 + 60 > first;
        for record in records.into_iter().filter(|record| inside(record.minute)) {
            minutes
                .entry(record.minute)
                .and_modify(|held| held.merge(record))
                .or_insert_with(|| record.clone());
        }
        let mut report = Self { unknown: u64::try_from(end - first).unwrap_or(0), ..Self::default() };
        for (number, minute) in &minutes {
            let start = number * 60;
            if (first..end).contains(&start) {
                report.counts = report.counts.plus(minute.counts());
            }
            for second in (start.max(first)..(start + 60).min(end)).map(|second| (second - start) as usize) {
                report.add(minute.slice(second));
            }
        }
        report
    }

    /// One second that was held to be unknown was this instead.
    pub fn add(&mut self, slice: Slice) {
        let count = match slice {
            Slice::Unknown => return,
            Slice::Up => &mut self.up,
            Slice::Degraded => &mut self.degraded,
            Slice::Down => &mut self.down,
            Slice::Maintenance => &mut self.maintenance,
        };
        *count += 1;
        self.unknown = self.unknown.saturating_sub(1);
    }

    /// The sums of two ranges that do not overlap.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            up: self.up + other.up,
            degraded: self.degraded + other.degraded,
            down: self.down + other.down,
            maintenance: self.maintenance + other.maintenance,
            unknown: self.unknown + other.unknown,
            counts: self.counts.plus(other.counts),
        }
    }

    /// Seconds in which it served or should have.
    pub fn measured(&self) -> u64 {
        self.up + self.degraded + self.down
    }

    /// The share of the range that somebody saw, 0 to 1; maintenance is seen. 1 of an empty range.
    pub fn coverage(&self) -> f64 {
        let known = self.measured() + self.maintenance;
        share(known, known + self.unknown).unwrap_or(1.0)
    }

    /// Good seconds over measured ones, 0 to 1; `None`: nothing was measured.
    pub fn uptime(&self) -> Option<f64> {
        share(self.up + self.degraded, self.measured())
    }

    /// The uptime when all unknown time was down, and when it was up; `None`: there was nothing but maintenance.
    pub fn bounds(&self) -> Option<(f64, f64)> {
        let (good, whole) = (self.up + self.degraded, self.measured() + self.unknown);
        Some((share(good, whole)?, share(good + self.unknown, whole)?))
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// The pen: keeps the two newest minutes of one subject open, and hands out what is to be stored.
#[derive(Clone, Debug)]
pub struct Ledger {
    subject: Arc<str>,
    source: Arc<str>,
    open: BTreeMap<i64, MinuteShare>,
    last: Option<i64>,
    /// What of the last second's counts is in already.
    counted: Counts,
    written: i64,
}

impl Ledger {
    /// Nothing is known yet. What lies between the last stored minute and the first mark stays unknown.
    pub fn new(subject: Arc<str>, source: Arc<str>) -> Self {
        Self {
            subject,
            source,
            open: BTreeMap::new(),
            last: None,
            counted: Counts::default(),
            written: i64::MIN,
        }
    }

    /// Marks the second of `now`, with what was counted in it so far. A look that comes a little late marks what it
    /// missed. Gives back what is to be stored: a closed minute, and a checkpoint of the open one every ten seconds.
    pub fn mark(&mut self, slice: Slice, counts: Counts, now: At) -> Vec<Minute> {
        let second = now.second();
        let from = match self.last {
            Some(last) if second - last <= BRIDGED => (last + 1).min(second),
            Some(_) | None => second,
        };
        self.amend(from, second + 1, slice);
        let again = if self.last == Some(second) { self.counted } else { Counts::default() };
        let share = self.open.entry(second.div_euclid(60)).or_default();
        share.counts = share.counts.plus(counts.minus(again));
        self.counted = counts;
        self.last = self.last.max(Some(second));
        let newest = second.div_euclid(60);
        let closing: Vec<i64> = self.open.keys().copied().filter(|minute| *minute < newest - 1).collect();
        let mut out: Vec<Minute> = Vec::new();
        let due = second.saturating_sub(self.written) >= CHECKPOINT;
        if due {
            self.written = second;
            out.extend(self.open.iter().map(|(minute, share)| self.record(*minute, *share)));
        } else {
            out.extend(
                closing.iter().filter_map(|minute| Some(self.record(*minute, *self.open.get(minute)?))),
            );
        }
        self.open.retain(|minute, _| !closing.contains(minute));
        out
    }

    /// The clock has made a step, and it is `now` by the new one: what lies ahead of it is handed out to be stored and
    /// left, and the next mark bridges nothing.
    pub fn step(&mut self, now: At) -> Vec<Minute> {
        let ahead = self.open.extract_if(.., |minute, _| *minute > now.minute()).collect::<Vec<_>>();
        (self.last, self.counted, self.written) = (None, Counts::default(), i64::MIN);
        ahead.into_iter().map(|(minute, share)| self.record(minute, share)).collect()
    }

    /// Nobody saw the seconds before `second` that are not marked yet: the next mark does not bridge them.
    pub fn resumes(&mut self, second: i64) {
        self.last = self.last.map(|last| last.max(second - 1));
    }

    /// Marks seconds again, now that more is known: `from` to before `to` (seconds since the epoch), as far as
    /// their minutes are open.
    pub fn amend(&mut self, from: i64, to: i64, slice: Slice) {
        let oldest = self.open.keys().next().map_or(from, |minute| minute * 60);
        for second in from.max(oldest)..to {
            let share = self.open.entry(second.div_euclid(60)).or_default();
            share.slices.mark(second.rem_euclid(60) as usize, slice);
        }
    }

    /// What is open, to be stored at the end.
    pub fn flush(&self) -> Vec<Minute> {
        self.open.iter().map(|(minute, share)| self.record(*minute, *share)).collect()
    }

    fn record(&self, minute: i64, share: MinuteShare) -> Minute {
        let by = BTreeMap::from([(Arc::clone(&self.source), share)]);
        Minute { subject: Arc::clone(&self.subject), minute, by }
    }
}

#[cfg(test)]
mod tests;
