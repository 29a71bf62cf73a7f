//! The published read model: a snapshot of the engine, replaced with every change, read by many.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::past::{DAY, Figure};
use super::uptime::{KEPT, Uptime};
use crate::names::IncidentId;
use crate::reliability::alert::Alert;
use crate::reliability::counts::{Counts, Windows};
use crate::reliability::engine::Engine;
use crate::reliability::incident::{Incident, State};
use crate::reliability::ledger::{Report, SERVICE};
use crate::reliability::readings::{Readings, ResourceReading};
use crate::reliability::recovery::{RecoveryPolicy, Run};
use crate::reliability::rule::AlertKey;
use crate::reliability::silence::Silence;
use crate::runtime::clock::Moment;
use crate::telemetry::sre::SreSnapshot;
use crate::units::At;

/// Uptime of one subject over windows that end now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UptimeWindows {
    pub day: Report,
    pub week: Report,
    /// 30 days.
    pub month: Report,
}

/// The names of [`UptimeWindows`].
pub const UPTIME_WINDOWS: [&str; 3] = ["24h", "7d", "30d"];

impl UptimeWindows {
    /// Each with its name, the shortest first.
    pub fn named(&self) -> [(&'static str, &Report); 3] {
        let [day, week, month] = UPTIME_WINDOWS;
        [(day, &self.day), (week, &self.week), (month, &self.month)]
    }
}

/// A window of replies; burn rates are told over all of them (SRE workbook, chapter 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyWindow {
    Minutes5,
    Minutes30,
    Hour,
    Hours6,
    Days3,
}

impl ReplyWindow {
    /// The shortest first.
    pub const ALL: [Self; 5] = [Self::Minutes5, Self::Minutes30, Self::Hour, Self::Hours6, Self::Days3];

    /// As the API names it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Minutes5 => "5m",
            Self::Minutes30 => "30m",
            Self::Hour => "1h",
            Self::Hours6 => "6h",
            Self::Days3 => "3d",
        }
    }
}

/// Replies that clients got within one window that ends now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Replied {
    pub window: ReplyWindow,
    /// Good and bad ones: of this start, and of earlier ones as far as the store has them.
    pub counts: Counts,
    /// Share of the window in which this sidecar was running, 0 to 1.
    pub coverage: f64,
}

/// A condition that a rule finds now.
#[derive(Clone, Debug)]
pub struct ActiveAlert {
    /// Its rule, service and scope.
    pub key: AlertKey,
    /// How long it has held, and in which state it is.
    pub alert: Alert,
    /// Whose part it is.
    pub incident: IncidentId,
}

/// What recovery is at, for readers.
#[derive(Clone, Debug, Default)]
pub struct RecoveryView {
    /// The plans, and what they may do.
    pub policy: Arc<RecoveryPolicy>,
    /// At hand: those that go on and the last ones, oldest first.
    pub runs: Vec<Arc<Run>>,
}

/// What the control task publishes.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// When it was made.
    pub at: At,
    /// At hand: live ones and those closed within a day, youngest first.
    pub incidents: Vec<Arc<Incident>>,
    /// Incidents whose condition holds.
    pub holding: BTreeSet<IncidentId>,
    /// Incidents nobody is called about.
    pub silenced: BTreeSet<IncidentId>,
    /// Conditions that rules find now.
    pub alerts: Vec<ActiveAlert>,
    /// Lasting and to come.
    pub silences: Vec<Silence>,
    /// By subject.
    pub uptime: BTreeMap<Arc<str>, UptimeWindows>,
    /// Replies of all routes by window, the shortest first.
    pub replies: Vec<Replied>,
    /// Share of the last 24 hours in which this sidecar was running, 0 to 1; `None`: no look has been made.
    pub watched_day: Option<f64>,
    /// Incidents of the last 24 hours that are no longer at hand, as earlier starts have stored them.
    pub(super) earlier: Arc<[Figure]>,
    /// When the last look of the control loop was made; `None`: none was.
    pub looked: Option<Moment>,
    /// The others; `None`: this is the only one.
    pub fleet: Option<Arc<super::FleetView>>,
    /// What is known of the machine.
    pub resources: Vec<ResourceReading>,
    /// What recovery is at.
    pub recovery: RecoveryView,
    /// Who passes the egress by.
    pub bypass: super::Bypass,
}

impl Snapshot {
    pub(super) fn of(before: &Self, engine: &Engine, uptime: &Uptime, readings: &Readings, now: At) -> Self {
        let windows = |subject: &Arc<str>| {
            let over = |span| uptime.report(subject, now - span, now);
            UptimeWindows { day: over(DAY), week: over(DAY * 7), month: over(KEPT) }
        };
        let reports = uptime.subjects().map(|subject| (Arc::clone(subject), windows(subject)));
        Self {
            at: now,
            uptime: reports.collect(),
            replies: replied(readings, uptime, now),
            watched_day: Some(uptime.watched(SERVICE, now - DAY, now)),
            earlier: uptime.earlier(),
            resources: readings.resources.clone(),
            ..Self::again(before, engine)
        }
    }

    /// The same sums, the engine as it is now.
    pub(super) fn again(before: &Self, engine: &Engine) -> Self {
        let known: BTreeMap<&IncidentId, &Arc<Incident>> =
            before.incidents.iter().map(|incident| (&incident.id, incident)).collect();
        let shown = |incident: &Incident| match known.get(&incident.id) {
            Some(known) if known.version == incident.version => Arc::clone(known),
            Some(_) | None => Arc::new(incident.clone()),
        };
        let incidents: Vec<_> = engine.incidents().rev().map(shown).collect();
        let holding =
            incidents.iter().filter(|one| engine.holds(&one.id)).map(|one| one.id.clone()).collect();
        // Nobody is called about what is over, silenced or not.
        let live = incidents.iter().filter(|one| one.state.is_live());
        let silenced = live.filter(|one| engine.is_silenced(one)).map(|one| one.id.clone()).collect();
        let alerts = engine.alerts().map(|(key, alert, incident)| ActiveAlert {
            key: key.clone(),
            alert: alert.clone(),
            incident: incident.clone(),
        });
        let (alerts, silences) = (alerts.collect(), engine.silences().to_vec());
        Self { incidents, holding, silenced, alerts, silences, ..before.clone() }
    }

    /// The incident of that name, if it is at hand.
    pub fn incident(&self, id: &IncidentId) -> Option<&Arc<Incident>> {
        self.incidents.iter().find(|incident| incident.id == *id)
    }

    /// The figures that `/metrics` shows of it.
    pub(super) fn metrics(&self, now: At) -> SreSnapshot {
        let earlier = self.earlier.iter().filter(|one| self.incident(&one.id).is_none()).cloned();
        let figures: Vec<Figure> =
            self.incidents.iter().filter_map(|one| Figure::of(one)).chain(earlier).collect();
        let within = |at: Option<At>| at.is_some_and(|at| now.since(at) < DAY);
        let confirmed = figures.iter().filter(|one| within(one.opened)).count();
        let ended = figures.iter().filter(|one| within(one.closed)).filter_map(|one| one.took);
        let ended: Vec<Duration> = ended.collect();
        let mean =
            |spans: &[Duration]| spans.iter().sum::<Duration>() / u32::try_from(spans.len()).unwrap_or(1);
        let mut live = BTreeMap::new();
        for one in self.incidents.iter().filter(|one| one.state.is_live()) {
            *live.entry((one.state.label(), one.severity.label())).or_default() += 1;
        }
        let service = self.uptime.get(SERVICE).map(|windows| windows.month);
        SreSnapshot {
            uptime: service.and_then(|report| report.uptime()),
            coverage: service.map(|report| report.coverage()),
            error_rate: self.replied(ReplyWindow::Hour).and_then(|of| of.counts.bad_ratio()),
            mttr: (!ended.is_empty()).then(|| mean(&ended)),
            incidents_24h: confirmed as u64,
            incidents_coverage: self.watched_day,
            live,
            seconds: BTreeMap::new(),
            resources: self.resources.iter().filter_map(measured).collect(),
        }
    }

    /// The replies of that window; `None`: no look has been made.
    fn replied(&self, window: ReplyWindow) -> Option<&Replied> {
        self.replies.iter().find(|one| one.window == window)
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

fn replied(readings: &Readings, uptime: &Uptime, now: At) -> Vec<Replied> {
    let sum = |of: fn(&Windows) -> Counts| {
        let all = readings.routes.iter().fold(Counts::default(), |sum, route| sum.plus(of(&route.counts)));
        all.minus(of(&readings.spoilt))
    };
    let minutes = |many: u64| Duration::from_secs(many * 60);
    let windows = [
        (ReplyWindow::Minutes5, minutes(5), sum(|of| of.m5)),
        (ReplyWindow::Minutes30, minutes(30), sum(|of| of.m30)),
        (ReplyWindow::Hour, minutes(60), sum(|of| of.h1)),
        (ReplyWindow::Hours6, minutes(360), sum(|of| of.h6)),
        (ReplyWindow::Days3, DAY * 3, sum(|of| of.d3)),
    ];
    let one = |(window, length, since_start): (ReplyWindow, Duration, Counts)| Replied {
        window,
        counts: since_start.plus(uptime.replies_before(now - length)),
        coverage: uptime.watched(SERVICE, now - length, now),
    };
    windows.into_iter().map(one).collect()
}
