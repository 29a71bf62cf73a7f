//! What the engine looks at once a second: counters become readings.
//!
//! Decides nothing. What is not measured is absent.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::bypass::{Bypass, BypassWatch};
use super::drills::Drills;
use super::evidence::EvidenceCollector;
use super::machine::MachineSampler;
use super::routes::{HeardOf, Routes, SeriesReadings};
use super::time::Time;
use super::wording::Wording;
use crate::config::Config;
use crate::config::presets::SRE_API;
use crate::degrade::failover::Failovers;
use crate::degrade::levels::Levels;
use crate::names::UpstreamName;
use crate::reliability::breaker::Mode;
use crate::reliability::counts::{Counts, RollingCounts};
use crate::reliability::failover::Group;
use crate::reliability::party::Party;
use crate::reliability::payment::Paid;
use crate::reliability::reach::{Met, Reach};
use crate::reliability::readings::{
    BreakerReading, FailureScope, PaymentReading, Readings, Stage, UpstreamReading,
};
use crate::runtime::clock::Moment;
use crate::telemetry::Telemetry;
use crate::telemetry::upstreams::VERDICTS;
use crate::units::At;
use crate::upstream::Upstream;
use crate::upstream::registry::{Registry, World};

/// Fewer failures in a row are contradicted by a connection that works.
const A_ROW: u32 = 3;

/// Remembers what the counters said a second ago.
pub struct Observer {
    registry: Arc<Registry>,
    telemetry: Arc<Telemetry>,
    time: Arc<Time>,
    upstreams: BTreeMap<UpstreamName, UpstreamMemory>,
    routes: Routes,
    machine: MachineSampler,
    bypass: BypassWatch,
    hash: Option<String>,
}

/// What came of a second of an upstream: exchanges that ended well and badly, attempts that were reached and failed, checks.
#[derive(Clone, Copy, Debug)]
struct Second {
    good: u64,
    failed: u64,
    unconnected: u64,
    badly_answered: u64,
    passed: u64,
    missed: u64,
}

/// What is remembered of an upstream.
struct UpstreamMemory {
    verdicts: [u64; VERDICTS.len()],
    against_upstream: u64,
    /// The group that was called, and its checks.
    checks: (Group, (u64, u64)),
    counts: RollingCounts,
    met: Met,
    /// The breaker's row of failures that a check has ended, and the breaker does not know.
    forgiven: u32,
    paid: Paid,
    processor: RollingCounts,
    decisions: RollingCounts,
    reading: UpstreamReading,
}

impl Observer {
    /// An observer that has made no look yet.
    pub fn new(registry: Arc<Registry>, telemetry: Arc<Telemetry>) -> Self {
        let time = Time::new(telemetry.started());
        Self {
            registry,
            telemetry,
            time,
            upstreams: BTreeMap::new(),
            routes: Routes::default(),
            machine: MachineSampler::default(),
            bypass: BypassWatch::default(),
            hash: None,
        }
    }

    pub(super) fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.registry)
    }

    /// The time as the engine has it.
    pub fn at(&self, moment: Moment) -> At {
        self.time.at(moment)
    }

    /// Whose time it is.
    pub(super) fn time(&self) -> Arc<Time> {
        Arc::clone(&self.time)
    }

    /// The degradation level of the requests that this one looks at.
    pub(super) fn levels(&self) -> Levels {
        Levels::new(Arc::clone(&self.registry), Arc::clone(&self.telemetry))
    }

    /// Drills on the upstreams that this one looks at.
    pub(super) fn drills(&self) -> Drills {
        Drills::new(Arc::clone(&self.registry), Arc::clone(&self.telemetry))
    }

    /// The groups of endpoints that the requests meet that this one looks at.
    pub(super) fn failovers(&self) -> Failovers {
        Failovers::new(Arc::clone(&self.registry), Arc::clone(&self.telemetry))
    }

    /// Collects evidence from where this one looks.
    pub(super) fn evidence(&self) -> EvidenceCollector {
        EvidenceCollector::new(Arc::clone(&self.registry), Arc::clone(&self.telemetry))
    }

    /// Writes messages from what this one looks at.
    pub(super) fn wording(&self) -> Wording {
        Wording::new(Arc::clone(&self.registry), Arc::clone(&self.telemetry))
    }

    /// The config in force, when it is another one than at the last call.
    pub fn new_config(&mut self) -> Option<Arc<Config>> {
        let world = self.registry.snapshot();
        let new = self.hash.as_ref() != Some(&world.config.hash);
        new.then(|| {
            self.hash = Some(world.config.hash.clone());
            Arc::clone(&world.config)
        })
    }

    /// Who passes the egress by, as far as that can be observed.
    pub(super) fn bypass(&mut self, now: At) -> Bypass {
        let seen = self.bypass.look(&self.registry, now);
        self.telemetry.bypass.set(seen.passing());
        seen
    }

    /// One look at everything: what the engine decides by.
    pub fn look(&mut self, moment: Moment, stage: Stage) -> Readings {
        let now = self.at(moment);
        let world = self.registry.snapshot();
        let generation = self.telemetry.process.config_generation.load(std::sync::atomic::Ordering::Relaxed);
        let mut readings = Readings {
            stage,
            backend: world.config.ingress.as_ref().map(|ingress| Arc::from(ingress.upstream.as_str())),
            context: vec![
                ("config_generation".to_owned(), generation.to_string()),
                ("config_hash".to_owned(), world.config.hash.clone()),
                ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ],
            resources: self.machine.look(&world.config, now),
            ..Readings::default()
        };
        // What is counted and remembered here are spans: no step of the wall clock tears them.
        let steady = self.time.steady(moment);
        let heard = SeriesReadings::now(&self.telemetry);
        self.look_at_upstreams(&world, &heard, moment, steady, &mut readings);
        readings.routes = self.routes.look(&world, &heard, moment, steady);
        readings
    }

    fn look_at_upstreams(
        &mut self,
        world: &World,
        heard: &SeriesReadings,
        moment: Moment,
        now: At,
        readings: &mut Readings,
    ) {
        let ahead = self.time.ahead();
        // The admin API on the traffic port is nobody's dependency.
        let watched = |upstream: &&Arc<Upstream>| upstream.config.name.as_str() != SRE_API;
        self.upstreams.retain(|name, _| world.upstreams.contains_key(name));
        let mut all: Vec<_> = world.serving().filter(watched).collect();
        all.sort_by(|a, b| a.config.name.cmp(&b.config.name));
        for upstream in all {
            let name: Arc<str> = Arc::from(upstream.config.name.as_str());
            let held = self
                .upstreams
                .entry(upstream.config.name.clone())
                .or_insert_with(|| UpstreamMemory::new(Arc::clone(&name), now));
            held.look(upstream, heard, now);
            held.reading.beside = world.config.is_behind(&upstream.config.name);
            let since = |instant: std::time::Instant| now - moment.instant.saturating_duration_since(instant);
            let view = upstream.gate.view(moment.instant);
            let policy = &upstream.config.breaker;
            held.reading.breaker = (policy.mode != Mode::Off).then(|| BreakerReading {
                state: view.state,
                since: since(view.since),
                open_for: policy.open_for,
                held: view.hold.is_some(),
            });
            readings.upstreams.push(held.reading.moved(ahead));
            if upstream.config.takes_payments() {
                readings.payments.push(held.payments(now));
            }
        }
    }
}

impl UpstreamMemory {
    fn new(name: Arc<str>, now: At) -> Self {
        Self {
            verdicts: [0; VERDICTS.len()],
            against_upstream: 0,
            checks: (Group::First, (0, 0)),
            counts: RollingCounts::new(now),
            met: Met::default(),
            forgiven: 0,
            paid: Paid::default(),
            processor: RollingCounts::new(now),
            decisions: RollingCounts::new(now),
            reading: UpstreamReading::unseen(name),
        }
    }

    fn look(&mut self, upstream: &Upstream, heard: &SeriesReadings, now: At) {
        let verdicts = upstream.series.verdicts();
        let mut new = verdicts;
        new.iter_mut().zip(self.verdicts).for_each(|(new, old)| *new = new.saturating_sub(old));
        let [good, slow, connect, tls, timeout, reset, status, protocol, limited, ..] = new;
        // Only what an exchange ended with: an attempt that went well elsewhere is nobody's outage.
        let [_, _, against_upstream] = upstream.series.against();
        let ended_badly = against_upstream.saturating_sub(self.against_upstream);
        let (good, failed) = (good + slow, ended_badly.saturating_sub(limited));
        self.against_upstream = against_upstream;
        let checks = (upstream.group, upstream.series.checks(upstream.group));
        // The checks of a group that was not called until now say nothing of this second.
        let before = if self.checks.0 == upstream.group { self.checks.1 } else { checks.1 };
        let (passed, missed) = checks.1;
        let second = Second {
            good,
            failed,
            unconnected: connect + tls,
            badly_answered: timeout + reset + status + protocol,
            passed: passed - before.0,
            missed: missed - before.1,
        };
        (self.verdicts, self.checks) = (verdicts, checks);
        let counts = Counts { good, bad: failed + limited };
        self.reading.counts = self.counts.count(counts, now);
        let probed = upstream.config.health.is_some();
        self.reading.failed_probes = probed.then(|| upstream.series.failed_checks(upstream.group));
        self.learn(second, upstream, now);
        self.meet(heard.of(&upstream.config.name), now);
        self.reading.in_flight = heard.of(&upstream.config.name).map(|one| one.series.in_flight()).sum();
        self.count_payments(upstream, now);
    }

    /// What a second says of the row of failures.
    fn learn(&mut self, second: Second, upstream: &Upstream, now: At) {
        let row = upstream.gate.bad_in_a_row();
        let reading = &mut self.reading;
        if second.good > 0 {
            self.forgiven = 0;
        }
        self.forgiven = self.forgiven.min(row);
        // Where no address is known there is no attempt, and a failure all the same.
        let failed = second.failed > 0 || row - self.forgiven > reading.consecutive_failures;
        reading.consecutive_failures = row - self.forgiven;
        // A check that only connects says nothing of answers.
        let sees = upstream.config.health.as_ref().is_some_and(|health| health.path.is_some());
        let seen_well =
            second.passed > 0 && !failed && (sees || reading.failing == FailureScope::Connections);
        if seen_well && second.good == 0 {
            (reading.consecutive_failures, self.forgiven) = (0, row);
        }
        if second.passed > 0 {
            reading.checked = Some(now);
        }
        // While the exchanges say nothing yet, it is there as far as anybody knows.
        let there = second.passed > 0 && reading.consecutive_failures < A_ROW;
        if second.good > 0 || seen_well || there {
            reading.last_success = Some(now);
        }
        if second.good > 0 || seen_well {
            reading.failing_since = None;
        }
        match (second.unconnected, second.badly_answered) {
            (0, 0) => {}
            (_, 0) => reading.failing = FailureScope::Connections,
            (_, _) => reading.failing = FailureScope::Answers,
        }
        if failed || second.missed > 0 {
            reading.last_failure = Some(now);
            // Of a second that brought both, only what came after the last good one is a row.
            if !seen_well && (second.good == 0 || reading.consecutive_failures > 0) {
                reading.failing_since = reading.failing_since.or(Some(now));
            }
        }
    }

    /// Whom the failures of the row have met.
    fn meet<'a>(&mut self, heard: impl Iterator<Item = &'a HeardOf>, now: At) {
        let (mut failed, mut served) = (Vec::new(), Vec::new());
        for one in heard {
            let route = Party::named(one.series.key.0.as_str());
            failed.extend(one.clients.failed().map(|(client, _)| Party { client, route }));
            served.extend(one.clients.served().map(|client| Party { client, route }));
        }
        self.met.note(&failed, &served, now);
        // That nobody can connect is no route's own.
        let connected = self.reading.failing == FailureScope::Answers;
        self.reading.reach = if connected { self.met.reach(now) } else { Reach::Unknown };
    }

    fn count_payments(&mut self, upstream: &Upstream, now: At) {
        if !upstream.config.takes_payments() {
            return;
        }
        let (paid, before) = (upstream.series.payments(), self.paid);
        self.paid = paid;
        let since = |good: fn(Paid) -> u64, bad: fn(Paid) -> u64| {
            let of = |paid: Paid| Counts { good: good(paid), bad: bad(paid) };
            of(paid).minus(of(before))
        };
        self.processor.count(since(|paid| paid.answered, |paid| paid.failed), now);
        self.decisions.count(since(|paid| paid.accepted, |paid| paid.declined), now);
    }

    fn payments(&mut self, now: At) -> PaymentReading {
        PaymentReading {
            vendor: Arc::clone(&self.reading.name),
            processor: self.processor.count(Counts::default(), now),
            decisions: self.decisions.count(Counts::default(), now),
        }
    }
}
