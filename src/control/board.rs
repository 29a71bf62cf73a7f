//! What is shown: a picture of the desk, made anew with every change, read by many.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::records::KEPT;
use crate::names::IncidentId;
use crate::reliability::alert::Alert;
use crate::reliability::counts::Counts;
use crate::reliability::desk::Desk;
use crate::reliability::incident::{Incident, State};
use crate::reliability::ledger::{Minute, Report};
use crate::reliability::readings::{Readings, ResourceReading};
use crate::reliability::rule::Key;
use crate::reliability::silence::Silence;
use crate::telemetry::sre::Numbers;
use crate::units::At;

/// The service as a whole, in the ledger.
pub const SERVICE: &str = "service";
const DAY: Duration = Duration::from_secs(86_400);

/// A live alert.
#[derive(Clone, Debug)]
pub struct Looked {
    /// Its identity.
    pub key: Key,
    /// Its state.
    pub alert: Alert,
    /// Whose part it is.
    pub incident: IncidentId,
}

/// The picture.
#[derive(Clone, Debug, Default)]
pub struct Board {
    /// When it was made.
    pub at: At,
    /// At hand: live ones and those closed within a day, youngest first.
    pub incidents: Vec<Arc<Incident>>,
    /// Incidents whose condition holds.
    pub holding: BTreeSet<IncidentId>,
    /// Incidents nobody is called about.
    pub silenced: BTreeSet<IncidentId>,
    /// Live alerts.
    pub alerts: Vec<Looked>,
    /// Lasting and to come.
    pub silences: Vec<Silence>,
    /// By subject: the last day, week and month.
    pub uptime: BTreeMap<Arc<str>, [Report; 3]>,
    /// Replies of all routes: an hour, six hours, three days, and the short windows beside them.
    pub replies: BTreeMap<&'static str, Counts>,
    /// The others; `None`: this is the only one.
    pub fleet: Option<Arc<super::FleetView>>,
    /// What is known of the machine.
    pub resources: Vec<ResourceReading>,
    /// Who passes the egress by.
    pub bypass: super::Bypass,
}

impl Board {
    pub(super) fn of(before: &Self, desk: &Desk, uptime: &Uptime, readings: &Readings, now: At) -> Self {
        let mut replies: BTreeMap<&'static str, Counts> = BTreeMap::new();
        for route in &readings.routes {
            let windows = route.counts;
            for (name, counts) in [
                ("5m", windows.m5),
                ("30m", windows.m30),
                ("1h", windows.h1),
                ("6h", windows.h6),
                ("3d", windows.d3),
            ] {
                let sum = replies.entry(name).or_default();
                *sum = sum.plus(counts);
            }
        }
        let spans = [DAY, DAY * 7, KEPT];
        let reports = uptime
            .subjects()
            .map(|subject| (Arc::clone(subject), spans.map(|span| uptime.report(subject, now - span, now))));
        let resources = readings.resources.clone();
        Self { at: now, uptime: reports.collect(), replies, resources, ..Self::again(before, desk) }
    }

    /// The same sums, the desk as it is now.
    pub(super) fn again(before: &Self, desk: &Desk) -> Self {
        let known: BTreeMap<&IncidentId, &Arc<Incident>> =
            before.incidents.iter().map(|incident| (&incident.id, incident)).collect();
        let shown = |incident: &Incident| match known.get(&incident.id) {
            Some(known) if known.version == incident.version => Arc::clone(known),
            Some(_) | None => Arc::new(incident.clone()),
        };
        let incidents: Vec<_> = desk.incidents().rev().map(shown).collect();
        let holding = incidents.iter().filter(|one| desk.holds(&one.id)).map(|one| one.id.clone()).collect();
        // Nobody is called about what is over, silenced or not.
        let live = incidents.iter().filter(|one| one.state.is_live());
        let silenced = live.filter(|one| desk.is_silenced(one)).map(|one| one.id.clone()).collect();
        let alerts = desk.alerts().map(|(key, alert, incident)| Looked {
            key: key.clone(),
            alert: alert.clone(),
            incident: incident.clone(),
        });
        Self {
            at: before.at,
            incidents,
            holding,
            silenced,
            alerts: alerts.collect(),
            silences: desk.silences().to_vec(),
            uptime: before.uptime.clone(),
            replies: before.replies.clone(),
            fleet: before.fleet.clone(),
            resources: before.resources.clone(),
            bypass: before.bypass.clone(),
        }
    }

    /// The incident of that name, if it is at hand.
    pub fn incident(&self, id: &IncidentId) -> Option<&Arc<Incident>> {
        self.incidents.iter().find(|incident| incident.id == *id)
    }

    /// For the metrics.
    pub(super) fn numbers(&self, now: At) -> Numbers {
        let confirmed = self.incidents.iter().filter(|one| one.clocks.opened.is_some() && !one.is_drill());
        let recent = confirmed.clone().filter(|one| one.clocks.opened.is_some_and(|at| now.since(at) < DAY));
        let ended: Vec<Duration> = confirmed.filter_map(|one| one.clocks.to_recover()).collect();
        let mean =
            |spans: &[Duration]| spans.iter().sum::<Duration>() / u32::try_from(spans.len()).unwrap_or(1);
        let mut live = BTreeMap::new();
        for one in self.incidents.iter().filter(|one| one.state.is_live()) {
            *live.entry((one.state.label(), one.severity.label())).or_default() += 1;
        }
        let service = self.uptime.get(SERVICE).map(|spans| spans[2]);
        Numbers {
            uptime: service.and_then(|report| report.uptime()),
            coverage: service.map(|report| report.coverage()),
            error_rate: self.replies.get("1h").and_then(|counts| counts.bad_ratio()),
            mttr: (!ended.is_empty()).then(|| mean(&ended)),
            incidents_24h: recent.count() as u64,
            live,
            seconds: BTreeMap::new(),
            resources: self.resources.iter().filter_map(measured).collect(),
        }
    }

    /// Live ones that are confirmed.
    pub fn open(&self) -> usize {
        let is_open = |one: &&Arc<Incident>| one.state.is_live() && one.state != State::Suspected;
        self.incidents.iter().filter(is_open).count()
    }
}

fn measured(one: &ResourceReading) -> Option<(&'static str, String, f64)> {
    Some((one.what.label(), one.which.to_string(), one.used?))
}

/// The ledger of the last month: minutes of the last two hours, hours before that.
#[derive(Debug)]
pub struct Uptime {
    subjects: BTreeMap<Arc<str>, Hours>,
    since: At,
}

#[derive(Debug, Default)]
struct Hours {
    minutes: BTreeMap<i64, Minute>,
    hours: BTreeMap<i64, Report>,
}

/// Minutes that are kept as such.
const MINUTES: i64 = 120;

impl Uptime {
    pub(super) fn new(now: At) -> Self {
        Self { subjects: BTreeMap::new(), since: now }
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
                held.hours.insert(hour, Report::of(&of_it, hour_at(hour), hour_at(hour + 1)));
            }
            held.hours.retain(|hour, _| *hour >= oldest);
        }
        self.since = self.since.min(now);
    }

    fn subjects(&self) -> impl Iterator<Item = &Arc<str>> {
        self.subjects.keys()
    }

    /// From the hour that `from` lies in, where that is more than two hours ago.
    pub(super) fn report(&self, subject: &Arc<str>, from: At, now: At) -> Report {
        let Some(held) = self.subjects.get(subject) else { return Report::default() };
        let border = (now.minute() - MINUTES) / 60;
        let first = from.minute() / 60;
        let near = Report::of(held.minutes.values(), from.max(hour_at(border)), now);
        (first..border).fold(near, |sum, hour| {
            let unseen = Report { unknown: 3_600, ..Report::default() };
            sum.plus(held.hours.get(&hour).copied().unwrap_or(unseen))
        })
    }
}

fn hour_at(hour: i64) -> At {
    At(hour * 3_600_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reliability::ledger::{Share, Slice, Slices};

    fn minute(number: i64, slice: Slice) -> Minute {
        let share = Share { slices: Slices([slice; 60]), counts: Counts { good: 1, bad: 0 } };
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
}
