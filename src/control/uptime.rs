//! The uptime ledger at hand: the last month to the second, read from the store at a start and written on by each look.
//!
//! The last two hours are minutes as they are stored. An hour before that is the runs of its marks, so that a window may
//! begin within it, and the sums of the whole. Beside it stands what earlier starts left of other figures: replies by the
//! minute, and the incidents of the last day.
//!
//! # Invariants
//! * The seconds of a report add up to its range, wherever that begins.
//! * Replies of this start are counted by the observer; those kept here are of earlier starts alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::past::Figure;
use super::records::KEPT;
use crate::reliability::counts::Counts;
use crate::reliability::ledger::{Minute, Report, Slice};
use crate::units::At;

/// Minutes that are kept as such.
const MINUTES: i64 = 120;
/// Seconds of an hour.
const HOUR: i64 = 3_600;
/// The longest window of replies: three days.
pub(super) const REPLIES: Duration = Duration::from_secs(3 * 86_400);

/// The ledger of the last 30 days, and what earlier starts left beside it.
#[derive(Debug)]
pub struct Uptime {
    subjects: BTreeMap<Arc<str>, HourlyMinutes>,
    /// When this start began: of its first minute, what lies before was not watched.
    began: At,
    /// Replies of earlier starts by minute since the epoch, of the last three days.
    replies: Vec<(i64, Counts)>,
    earlier: Arc<[Figure]>,
}

#[derive(Debug, Default)]
struct HourlyMinutes {
    minutes: BTreeMap<i64, Minute>,
    hours: BTreeMap<i64, Hour>,
}

/// An hour that has been closed.
#[derive(Debug)]
struct Hour {
    whole: Report,
    /// Marks and for how many seconds, from its beginning to its end.
    runs: Box<[(Slice, u16)]>,
    /// Bit by bit, the minutes in which a sidecar was running.
    watched: u64,
}

impl Hour {
    /// `minutes` are all of this hour.
    fn of(minutes: &[Minute], hour: i64) -> Self {
        let whole = Report::of(minutes, hour_at(hour), hour_at(hour + 1));
        let mut merged: BTreeMap<i64, Minute> = BTreeMap::new();
        for minute in minutes {
            let held = merged.entry(minute.minute).and_modify(|held| held.merge(minute));
            held.or_insert_with(|| minute.clone());
        }
        let mut runs: Vec<(Slice, u16)> = Vec::new();
        let mut watched = 0_u64;
        for number in 0..60 {
            let minute = merged.get(&(hour * 60 + number));
            watched |= u64::from(minute.is_some()) << number;
            for second in 0..60 {
                let slice = minute.map_or(Slice::Unknown, |minute| minute.slice(second));
                match runs.last_mut() {
                    Some((last, seconds)) if *last == slice => *seconds += 1,
                    Some(_) | None => runs.push((slice, 1)),
                }
            }
        }
        Self { whole, runs: runs.into(), watched }
    }

    /// From `second` of the hour on. Its requests are known of the whole hour only, so none are in it.
    fn after(&self, second: i64) -> Report {
        let mut report = Report { unknown: u64::try_from(HOUR - second).unwrap_or(0), ..Report::default() };
        let mut at = 0;
        for (slice, seconds) in &self.runs {
            let end = at + i64::from(*seconds);
            (at.max(second)..end).for_each(|_| report.add(*slice));
            at = end;
        }
        report
    }
}

impl Uptime {
    pub(super) fn new(now: At) -> Self {
        Self { subjects: BTreeMap::new(), began: now, replies: Vec::new(), earlier: Arc::default() }
    }

    /// Takes over what an earlier start left.
    pub(super) fn take_over(&mut self, past: Self) {
        for (subject, left) in past.subjects {
            let held = self.subjects.entry(subject).or_default();
            held.hours.extend(left.hours);
            for (minute, left) in left.minutes {
                held.minutes.entry(minute).and_modify(|known| known.merge(&left)).or_insert(left);
            }
        }
        self.replies = past.replies;
        self.earlier = past.earlier;
    }

    /// Notes the replies of a minute of an earlier start.
    pub(super) fn replied(&mut self, minute: i64, counts: Counts) {
        if counts.total() > 0 {
            self.replies.push((minute, counts));
        }
    }

    /// Notes the incidents of the last day that earlier starts have stored.
    pub(super) fn remember(&mut self, earlier: Vec<Figure>) {
        self.earlier = earlier.into();
    }

    /// The incidents of the last day that earlier starts have stored.
    pub(super) fn earlier(&self) -> Arc<[Figure]> {
        Arc::clone(&self.earlier)
    }

    /// Replies of earlier starts in the minutes that begin at `from` or later.
    pub(super) fn replies_before(&self, from: At) -> Counts {
        let within = self.replies.iter().filter(|(minute, _)| minute * 60_000 >= from.0);
        within.fold(Counts::default(), |sum, (_, counts)| sum.plus(*counts))
    }

    /// Takes in a minute, once or again.
    pub(super) fn add(&mut self, minute: Minute) {
        let held = self.subjects.entry(Arc::clone(&minute.subject)).or_default();
        held.minutes.entry(minute.minute).and_modify(|known| known.merge(&minute)).or_insert(minute);
    }

    /// The open minutes, and the time.
    pub(super) fn turn(&mut self, open: Vec<Minute>, now: At) {
        open.into_iter().for_each(|minute| self.add(minute));
        let (oldest, first) = ((now - KEPT).minute() / 60, (now.minute() - MINUTES) / 60);
        for held in self.subjects.values_mut() {
            while let Some(minute) = held.minutes.first_key_value().map(|(minute, _)| *minute)
                && minute / 60 < first
            {
                let hour = minute / 60;
                let of_it = held.minutes.extract_if(..(hour + 1) * 60, |_, _| true);
                let of_it: Vec<Minute> = of_it.map(|(_, minute)| minute).collect();
                held.hours.insert(hour, Hour::of(&of_it, hour));
            }
            held.hours.retain(|hour, _| *hour >= oldest);
        }
        self.replies.retain(|(minute, _)| *minute >= (now - REPLIES).minute());
    }

    pub(super) fn subjects(&self) -> impl Iterator<Item = &Arc<str>> {
        self.subjects.keys()
    }

    /// What lies between `from` and `now`, to the second.
    pub(super) fn report(&self, subject: &Arc<str>, from: At, now: At) -> Report {
        let Some(held) = self.subjects.get(subject) else { return Report::default() };
        let border = (now.minute() - MINUTES) / 60;
        let (first, begins) = (from.minute() / 60, from.second());
        let near = Report::of(held.minutes.values(), from.max(hour_at(border)), now);
        (first..border).fold(near, |sum, hour| {
            let cut = (begins - hour * HOUR).max(0);
            let unseen = Report { unknown: u64::try_from(HOUR - cut).unwrap_or(0), ..Report::default() };
            let known = held.hours.get(&hour);
            sum.plus(known.map_or(unseen, |hour| if cut == 0 { hour.whole } else { hour.after(cut) }))
        })
    }

    /// Requests of the minutes that `from` and `until` lie in and of those between them; `None`: none were counted, or they lie so far
    /// back that only whole hours are at hand.
    pub(super) fn requests(&self, subject: &str, from: At, until: At) -> Option<Counts> {
        let held = self.subjects.get(subject)?;
        if held.hours.range(from.minute() / 60..).next().is_some() {
            return None;
        }
        let minutes = held.minutes.range(from.minute()..=until.minute().max(from.minute()));
        let all = minutes.map(|(_, minute)| minute.counts()).fold(Counts::default(), Counts::plus);
        (all.total() > 0).then_some(all)
    }

    /// The share of the time between `from` and `now` in which a sidecar was running, 0 to 1: to the minute, at the edges of a
    /// window and at the beginning of this start to the second.
    pub(super) fn watched(&self, subject: &str, from: At, now: At) -> f64 {
        let (begin, end) = (from.second(), now.second());
        let Some(held) = self.subjects.get(subject).filter(|_| end > begin) else { return 0.0 };
        let within = |minute: i64, from: i64| ((minute + 1) * 60).min(end) - (minute * 60).max(from);
        let near = held.minutes.iter().map(|(minute, of)| {
            let ours_alone = *minute == self.began.minute() && of.by.len() == 1;
            within(*minute, if ours_alone { begin.max(self.began.second()) } else { begin })
        });
        let far = held.hours.iter().flat_map(|(hour, of)| {
            let minutes = (0..60).filter(|number| of.watched >> number & 1 == 1);
            minutes.map(move |number| within(hour * 60 + number, begin))
        });
        let seconds: i64 = near.chain(far).filter(|seconds| *seconds > 0).sum();
        (seconds as f64 / (end - begin) as f64).min(1.0)
    }
}

fn hour_at(hour: i64) -> At {
    At(hour * 3_600_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reliability::ledger::{MinuteShare, Slice, Slices};

    use crate::reliability::ledger::SERVICE;
    const DAY: Duration = Duration::from_secs(86_400);

    fn minute(number: i64, slice: Slice) -> Minute {
        let share = MinuteShare { slices: Slices([slice; 60]), counts: Counts { good: 1, bad: 0 } };
        Minute { subject: Arc::from("service"), minute: number, by: [(Arc::from("boot"), share)].into() }
    }

    #[test]
    fn what_an_earlier_start_left_is_taken_over_beside_what_was_seen_since() {
        let end = 30_000_000;
        let now = At(end * 60_000);
        let mut past = Uptime::new(now);
        past.turn((end - 300..end).map(|number| minute(number, Slice::Up)).collect(), now);
        assert!(past.subjects[SERVICE].hours.len() >= 2 && past.subjects[SERVICE].minutes.len() < 200);
        let mut uptime = Uptime::new(now);
        // The minute in which the one ended and the other began, and the one after it.
        uptime.turn(vec![minute(end - 1, Slice::Down), minute(end, Slice::Down)], now);
        uptime.take_over(past);
        let later = At((end + 1) * 60_000);
        let report = uptime.report(&Arc::from(SERVICE), now - Duration::from_secs(300 * 60), later);
        assert_eq!((report.up, report.down, report.unknown), (299 * 60, 2 * 60, 0));
    }

    #[test]
    fn minutes_that_become_hours_say_the_same() {
        let end = 30_000_000;
        let now = At(end * 60_000);
        let mut uptime = Uptime::new(now);
        for number in end - 600..end {
            let slice = if number % 10 == 0 { Slice::Down } else { Slice::Up };
            let at = At((number + 1) * 60_000);
            uptime.add(minute(number, slice));
            uptime.add(minute(number, slice)); // again, as a checkpoint is
            uptime.turn(Vec::new(), at);
        }
        let report = uptime.report(&Arc::from(SERVICE), now - Duration::from_secs(600 * 60), now);
        assert_eq!((report.down, report.up, report.unknown), (60 * 60, 540 * 60, 0));
        assert_eq!(report.counts.good, 600);
        let longer = uptime.report(&Arc::from(SERVICE), now - DAY, now);
        assert_eq!(longer.unknown, 86_400 - 36_000, "what nobody saw");
    }

    #[test]
    fn a_day_is_exactly_24_hours_at_every_second_of_the_hour() {
        let end = 30_000_000;
        let mut uptime = Uptime::new(At(end * 60_000));
        // Down for the whole hour in which the day begins, but for its last 100 s.
        for number in end - 1_500..end {
            let mut one = minute(number, if number < end - 1_500 + 120 { Slice::Down } else { Slice::Up });
            if number == end - 1_500 + 119 {
                let share = one.by.values_mut().next().expect("one source");
                share.slices.0[20..].fill(Slice::Up);
            }
            uptime.add(one);
        }
        uptime.turn(Vec::new(), At(end * 60_000));
        for offset in [0, 1, 59, 60, 1_799, 3_540] {
            let now = At((end * 60 - offset) * 1_000);
            let report = uptime.report(&Arc::from(SERVICE), now - DAY, now);
            let seconds = report.measured() + report.maintenance + report.unknown;
            assert_eq!(seconds, 86_400, "{offset} s before");
            let last_down = (end - 1_500 + 119) * 60 + 20;
            let down = (last_down - (end * 60 - offset - 86_400)).max(0);
            assert_eq!(i64::try_from(report.down), Ok(down), "{offset} s before");
        }
    }

    #[test]
    fn how_much_of_a_window_was_watched_is_known_across_starts() {
        let end = 30_000_000;
        let now = At(end * 60_000 + 30_000);
        let mut past = Uptime::new(now);
        // Ten hours, five hours ago: half of them nothing was asked, and all of them were watched.
        for number in end - 900..end - 300 {
            past.add(minute(number, if number % 2 == 0 { Slice::Up } else { Slice::Unknown }));
        }
        past.replied(end - 301, Counts { good: 7, bad: 3 });
        past.turn(Vec::new(), now);
        let mut uptime = Uptime::new(now);
        assert!(uptime.watched(SERVICE, now - DAY, now) < f64::EPSILON);
        uptime.take_over(past);
        let later = now + Duration::from_secs(90);
        uptime.turn(
            vec![minute(end, Slice::Up), minute(end + 1, Slice::Up), minute(end + 2, Slice::Up)],
            later,
        );
        let watched = uptime.watched(SERVICE, later - DAY, later);
        assert!((watched - (36_000.0 + 90.0) / 86_400.0).abs() < 1e-9, "{watched}");
        assert_eq!(uptime.replies_before(later - DAY), Counts { good: 7, bad: 3 });
        assert_eq!(uptime.replies_before(later - Duration::from_secs(5 * 3_600)), Counts::default());
    }
}
