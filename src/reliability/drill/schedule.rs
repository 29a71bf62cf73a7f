//! Drills by the calendar: is one due now?
//!
//! Once a month, on a named day, at a time of the clock on the wall. It refuses to know time zones: the start of each month is an
//! argument. What was begun by a process before this one is asked of whoever can say (the audit log).
//!
//! # Invariants
//! * At most one drill begins in a month of the calendar, and none within `APART` of the one before by a clock that nobody sets.
//! * None begins before its start, nor [`LATE`] after it and later, nor for a start that lay behind when its day or time was written.
//! * Where nobody can say whether one was begun, none begins.

use std::fmt;
use std::time::Duration;

use super::{DrillOrder, DrillRefused, PaymentsAtRisk};
use crate::units::At;

/// So long after its start a drill may still begin: after a restart, or once what was in its way is over.
pub const LATE: Duration = Duration::from_secs(3_600);
/// Two starts are at least this far apart, whatever the clock on the wall is set to: 20 days.
const APART: Duration = Duration::from_secs(20 * 86_400);
/// Between two tries.
const AGAIN: Duration = Duration::from_secs(60);
/// Months that are remembered.
const REMEMBERED: usize = 24;

/// A month of the calendar, of the years 1970 and later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DrillMonth(u32);

impl DrillMonth {
    /// `month`: 1 to 12.
    pub fn of(year: u16, month: u8) -> Self {
        Self(u32::from(year.max(1970)) * 12 + u32::from(month.clamp(1, 12)) - 1)
    }

    /// Of the calendar.
    pub fn year(self) -> u16 {
        u16::try_from(self.0 / 12).unwrap_or(u16::MAX)
    }

    /// 1 to 12.
    pub fn month(self) -> u8 {
        u8::try_from(self.0 % 12 + 1).unwrap_or(12)
    }

    fn after(self, months: u32) -> Self {
        Self(self.0.saturating_add(months))
    }

    fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    fn is_leap(year: u32) -> bool {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    }

    fn length(self) -> u8 {
        match self.month() {
            2 if Self::is_leap(self.0 / 12) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    /// Days from 1970-01-01 to its first day.
    fn first_day(self) -> u32 {
        let (year, month) = (self.0 / 12, self.0 % 12);
        let leaps = |year: u32| (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400;
        let of_years = (year - 1970) * 365 + leaps(year) - leaps(1970);
        of_years + (0..month).map(|nth| u32::from(Self(year * 12 + nth).length())).sum::<u32>()
    }

    /// The day of the week on which it begins; Monday is 0.
    fn begins_on(self) -> u8 {
        // 1970-01-01 was a Thursday.
        u8::try_from((self.first_day() + 3) % 7).unwrap_or(0)
    }
}

/// Which day of a month it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrillDay {
    /// A date that each month has: 1 to 28.
    Date(u8),
    /// The first (1) to fourth (4) of a day of the week; Monday is 0.
    Nth(u8, u8),
    /// The last of a day of the week.
    Last(u8),
}

const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const NTH: [&str; 4] = ["first", "second", "third", "fourth"];

impl DrillDay {
    /// Reads `first tuesday`, `last friday` or `day 15`.
    pub fn read(text: &str) -> Option<Self> {
        let (which, of) = text.split_once(' ')?;
        if which == "day" {
            let plain = !of.starts_with('0') && of.bytes().all(|digit| digit.is_ascii_digit());
            return of.parse().ok().filter(|date| plain && (1..=28).contains(date)).map(Self::Date);
        }
        let place = |all: &[&str], word: &str| {
            all.iter().position(|one| *one == word).and_then(|at| u8::try_from(at).ok())
        };
        let day = place(&DAYS, of)?;
        if which == "last" { Some(Self::Last(day)) } else { Some(Self::Nth(place(&NTH, which)? + 1, day)) }
    }

    /// The date within that month, from 1.
    pub fn date(self, month: DrillMonth) -> u8 {
        let first = |day: u8| 1 + (day + 7 - month.begins_on()) % 7;
        match self {
            Self::Date(date) => date,
            Self::Nth(nth, day) => first(day) + (nth - 1) * 7,
            Self::Last(day) => first(day) + (month.length() - first(day)) / 7 * 7,
        }
    }
}

impl fmt::Display for DrillDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = |day: u8| DAYS.get(usize::from(day)).copied().unwrap_or_default();
        match *self {
            Self::Date(date) => write!(f, "day {date}"),
            Self::Nth(nth, of) => {
                write!(f, "{} {}", NTH.get(usize::from(nth) - 1).copied().unwrap_or_default(), day(of))
            }
            Self::Last(of) => write!(f, "last {}", day(of)),
        }
    }
}

/// When drills begin by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrillWhen {
    pub day: DrillDay,
    /// Minutes since midnight on the wall, 0 to 1439.
    pub minute: u16,
    /// The name of the time zone whose clock that is.
    pub zone: String,
}

impl fmt::Display for DrillWhen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:02}:{:02} {}", self.day, self.minute / 60, self.minute % 60, self.zone)
    }
}

/// Which drill begins when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrillSchedule {
    pub when: DrillWhen,
    pub order: DrillOrder,
    /// Whether payments that an open breaker refuses are accepted.
    pub payments: PaymentsAtRisk,
}

/// Both clocks at one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduleClock {
    pub now: At,
    /// The same by a clock that never jumps: for spans alone.
    pub steady: At,
    /// The month that it is where the schedule's clock hangs.
    pub month: DrillMonth,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrillDue {
    /// Find out whether a drill of the schedule was begun since its start.
    Recall { month: DrillMonth, since: At },
    /// Order it.
    Begin { month: DrillMonth },
}

/// What is known of starts since the one that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recalled {
    /// One was begun.
    Begun,
    /// None was.
    Nothing,
    /// There is no store: what this process did is known, and nothing before it.
    NoStore,
    /// The store does not say.
    Unknown,
}

/// Why a drill that was due has not begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotBegun {
    /// The order was refused.
    Refused(DrillRefused),
    /// It was due before this process was there, and without a store nobody knows whether it was begun.
    NoStore,
    /// The store is away: nobody knows whether it was begun.
    Unknown,
}

impl fmt::Display for NotBegun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => write!(f, "{refused}"),
            Self::NoStore => f.write_str(
                "it was due before this process started, and without a store nobody knows whether it has begun",
            ),
            Self::Unknown => f.write_str("the store is away: nobody knows whether it has begun already"),
        }
    }
}

/// A start that did not come about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissedStart {
    month: DrillMonth,
    /// When that was last seen.
    pub at: At,
    pub why: NotBegun,
}

/// Is that to be told?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell {
    /// The first time in its month.
    Now,
    /// It was told.
    Already,
}

/// What was done about the schedule so far.
#[derive(Clone, Debug, Default)]
pub struct MonthlyDrill {
    /// Since when it is looked after, by the steady clock.
    since: Option<At>,
    when: Option<DrillWhen>,
    /// When its day or time became another one, by the steady clock.
    changed: Option<At>,
    /// Months whose drill has begun, or will not; the youngest last.
    settled: Vec<DrillMonth>,
    /// The month of which it is known that nothing was begun.
    clear: Option<DrillMonth>,
    /// The last start, by the steady clock.
    last: Option<At>,
    /// The last try, by the steady clock.
    tried: Option<At>,
    missed: Option<MissedStart>,
}

impl MonthlyDrill {
    /// Takes in what is configured. A start that lies behind when it is written is not made up for.
    pub fn heed(&mut self, when: Option<&DrillWhen>, steady: At) {
        if self.since.is_some() && self.when.as_ref() != when {
            (self.changed, self.tried, self.missed) = (Some(steady), None, None);
        }
        self.since.get_or_insert(steady);
        self.when = when.cloned();
    }

    /// What is to be done now; `start`: when the drill of a month is to begin, by the wall clock.
    pub fn due(&self, clock: &ScheduleClock, start: impl Fn(DrillMonth) -> Option<At>) -> Option<DrillDue> {
        let lately = |at: Option<At>, span: Duration| at.is_some_and(|at| clock.steady.since(at) < span);
        if lately(self.tried, AGAIN) || lately(self.last, APART) {
            return None;
        }
        // The hour after a start may reach into the next month.
        let begins = |month: DrillMonth| {
            let at = start(month).filter(|at| *at <= clock.now && self.is_open(month, *at, clock));
            at.map(|at| (month, at))
        };
        let (month, since) = [clock.month, clock.month.before()].into_iter().find_map(begins)?;
        let known = self.clear == Some(month);
        Some(if known { DrillDue::Begin { month } } else { DrillDue::Recall { month, since } })
    }

    /// The next start, or the one whose hour goes on.
    pub fn next(&self, clock: &ScheduleClock, start: impl Fn(DrillMonth) -> Option<At>) -> Option<At> {
        let months = std::iter::once(clock.month.before()).chain((0..3).map(|more| clock.month.after(more)));
        months.filter_map(|month| start(month).filter(|start| self.is_open(month, *start, clock))).next()
    }

    /// Is a drill of that month to come, or may it still begin?
    fn is_open(&self, month: DrillMonth, start: At, clock: &ScheduleClock) -> bool {
        let behind = |since: At| clock.now.since(start) > clock.steady.since(since);
        !self.settled.contains(&month)
            && clock.now.since(start) < LATE
            && !self.changed.is_some_and(|changed| start <= clock.now && behind(changed))
    }

    /// What is known of starts since that of `month`; what is to be told of it.
    pub fn recalled(
        &mut self,
        (month, since): (DrillMonth, At),
        found: Recalled,
        clock: &ScheduleClock,
    ) -> Option<(Tell, NotBegun)> {
        let came_later = self.since.is_none_or(|came| clock.now.since(since) > clock.steady.since(came));
        let why = match found {
            Recalled::Nothing => None,
            Recalled::NoStore if !came_later => None,
            Recalled::Begun => {
                self.settle(month);
                return None;
            }
            Recalled::NoStore => {
                self.settle(month);
                Some(NotBegun::NoStore)
            }
            Recalled::Unknown => Some(NotBegun::Unknown),
        };
        match why {
            None => {
                self.clear = Some(month);
                None
            }
            Some(why) => Some((self.missed(month, why.clone(), clock), why)),
        }
    }

    /// It has begun.
    pub fn begun(&mut self, month: DrillMonth, clock: &ScheduleClock) {
        self.settle(month);
        self.last = Some(clock.steady);
    }

    /// It could not begin. It is tried again for as long as it may be late.
    pub fn missed(&mut self, month: DrillMonth, why: NotBegun, clock: &ScheduleClock) -> Tell {
        self.tried = Some(clock.steady);
        let told = self.missed.as_ref().is_some_and(|before| before.month == month);
        self.missed = Some(MissedStart { month, at: clock.now, why });
        if told { Tell::Already } else { Tell::Now }
    }

    /// The last start that did not come about.
    pub fn last_missed(&self) -> Option<&MissedStart> {
        self.missed.as_ref()
    }

    fn settle(&mut self, month: DrillMonth) {
        self.settled.push(month);
        let over = self.settled.len().saturating_sub(REMEMBERED);
        self.settled.drain(..over);
    }
}

#[cfg(test)]
mod tests;
