//! Turns what is seen into what is done: one task owns the engine, looks once a second, and carries its effects out.
//!
//! It waits for nobody: writes go to the store's durable lane, messages to the notifier, each of which has its own task. Orders
//! come through [`Handle`]; whoever gave one hears back when it is stored, or that it is not stored yet.

mod acted;
mod actions;
mod asking;
mod audit;
mod backups;
mod breaker;
mod bypass;
mod canary;
mod changes;
mod damaged;
mod degradation;
mod drilling;
mod drills;
mod effects;
mod evidence;
mod failover;
mod fleet;
mod follow;
mod handle;
mod heads;
mod heartbeat;
mod inbound;
mod log_filter;
mod looks;
mod machine;
mod memory;
mod messages;
mod monthly;
mod notifier;
mod observer;
mod orders;
mod outbox;
mod own;
mod past;
mod readiness;
mod records;
mod recovery;
mod routes;
mod runbooks;
mod seconds;
mod snapshot;
mod start;
mod time;
mod uptime;
mod wording;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

pub use crate::degrade::levels::LevelView;
pub use crate::reliability::ledger::SERVICE;
pub use acted::ActedReply;
pub use audit::{AuditRecord, OrderedBy, audit_id};
pub use backups::{BackupStatus, Backups, GoodCopy};
pub use breaker::{BreakerChange, BreakerOrder, BreakerOutcome, BreakerReply};
pub use bypass::{Bypass, BypassReading};
pub use canary::Canary;
pub use changes::{Change, Changes, NextChanges};
pub use degradation::{DegradationOrder, LevelChange};
pub use drilling::{DrillEndOrder, DrillReply, DrillStart};
pub use failover::{FailoverChange, FailoverOrdered};
pub use fleet::{FleetSync, FleetView, MemberView};
pub use handle::{Handle, Order, OrderReceipt, Replies};
pub use inbound::{InboundResult, Posted};
pub use log_filter::{LogChange, LogOrder};
pub use looks::{RunbookLook, RunbookOrder, RunbookRefused};
pub use memory::MemoryWatch;
pub use monthly::DrillScheduleView;
pub use notifier::Notifier;
pub use observer::Observer;
pub use outbox::{OutboxAct, OutboxOrder, OutboxReply};
pub use own::Own;
pub use readiness::{ReadinessChange, ReadinessOrder};
pub use records::Records;
pub use snapshot::{
    ActiveAlert, RecoveryView, Replied, ReplyWindow, Snapshot, UPTIME_WINDOWS, UptimeWindows,
};
pub use start::{Running, start};
pub use uptime::Uptime;

use crate::config::engine::escalation::People;
use crate::degrade::failover::Failovers;
use crate::degrade::levels::Levels;
use crate::names::IncidentId;
use crate::reliability::engine::{Engine, EnginePolicy};
use crate::reliability::escalation::{Clock, LocalMinute};
use crate::reliability::readings::Stage;
use crate::reliability::recovery::Recovery;
use crate::runtime::clock::{self, Moment};
use crate::runtime::drain::Drain;
use crate::runtime::timer::every;
use crate::runtime::{chance, pauses};
use crate::store::Store;
use crate::telemetry::Telemetry;
use crate::telemetry::event::{OrderEvent, ProcessEvent};
use crate::telemetry::sre::SreSnapshot;
use crate::units::At;
use changes::ChangeWriter;
use drills::Drills;
use evidence::EvidenceCollector;
use handle::{Door, PendingOrder};
use heads::HandedOver;
use records::LeftBehind;
use seconds::GoodSeconds;
use wording::Wording;

/// How long the first look waits for what an earlier start left.
const RESTORE: Duration = Duration::from_secs(2);

/// The state of the control task, with the engine that decides.
pub struct Control {
    engine: Engine,
    observer: Observer,
    telemetry: Arc<Telemetry>,
    store: Option<Store>,
    records: Records,
    notifier: Notifier,
    asks: mpsc::Receiver<PendingOrder>,
    snapshot: watch::Sender<Arc<Snapshot>>,
    changes: ChangeWriter,
    uptime: Uptime,
    seconds: GoodSeconds,
    evidence: EvidenceCollector,
    wording: Wording,
    /// The clock and the calendar of those who are called in working hours.
    people: Option<People>,
    /// What of each incident was handed to the store.
    told: BTreeMap<IncidentId, HandedOver>,
    fleet: fleet::FleetMember,
    recovery: Recovery,
    actions: actions::Actions,
    runbooks: asking::Runbooks,
    /// The door from inside: what was asked comes back by it.
    door: mpsc::Sender<PendingOrder>,
    levels: Arc<Levels>,
    drills: Arc<Drills>,
    failovers: Arc<Failovers>,
    time: Arc<time::Time>,
    follower: time::Follower,
    own: Own,
    /// The number of the last pause of the process that was told.
    pauses: u64,
}

impl Control {
    /// Ready to run. `member` names this sidecar, `boot` this start of it.
    pub fn new(
        observer: Observer,
        telemetry: Arc<Telemetry>,
        records: Records,
        notifier: impl FnOnce(Replies) -> Notifier,
    ) -> (Self, Handle, Option<FleetSync>) {
        let now = observer.at(clock::now());
        let source = Arc::from(records.boot());
        let seed = chance::draw();
        let mut engine = Engine::new(EnginePolicy::default(), source, seed, now);
        let (fleet, sync) = fleet::FleetMember::of(&records, seed, now);
        if sync.is_some() {
            engine.watch();
        }
        let levels = Arc::new(observer.levels());
        let (failovers, drills) = (Arc::new(observer.failovers()), Arc::new(observer.drills()));
        let held = (Arc::clone(&levels), Arc::clone(&failovers), Arc::clone(&drills));
        let (Door { asks, snapshot, changes }, handle) = handle::door(&records, held, observer.time());
        let control = Self {
            engine,
            notifier: notifier(Replies(handle.asks.clone())),
            asks,
            snapshot,
            changes,
            store: records.store().cloned(),
            uptime: Uptime::new(now),
            seconds: GoodSeconds::default(),
            evidence: observer.evidence(),
            wording: observer.wording(),
            people: None,
            told: BTreeMap::new(),
            fleet,
            levels,
            drills,
            failovers,
            time: observer.time(),
            follower: time::Follower::new(telemetry.started()),
            own: Own::default(),
            recovery: Recovery::new(Arc::default(), seed),
            actions: actions::Actions::new(observer.registry(), handle.clone()),
            runbooks: asking::Runbooks::new(observer.registry()),
            door: handle.asks.clone(),
            pauses: 0,
            observer,
            telemetry,
            records,
        };
        (control, handle, sync)
    }

    /// What the process knows of itself.
    pub(super) fn own(&self) -> Own {
        self.own.clone()
    }

    fn actions(&self) -> actions::Actions {
        self.actions.clone()
    }

    pub(super) fn notifier(&self) -> Notifier {
        self.notifier.clone()
    }

    /// Whether this member calls people, and when that changes.
    pub(super) fn duty(&self) -> watch::Receiver<crate::reliability::fleet::Duty> {
        self.fleet.duty()
    }

    /// Until asked to leave.
    pub async fn run(mut self, drain: Drain) {
        // An order may come before the first look: whom it calls is the operator's to say then, too.
        self.heed_config();
        let mut second = every(Duration::from_secs(1));
        // What a fleet has stored, the synchronisation brings.
        let mut restored = !self.fleet.is_single();
        let mut left = Box::pin(self.records.clone().left_behind_at_last());
        if !restored && let Ok(found) = tokio::time::timeout(RESTORE, &mut left).await {
            // Before the first look, where the store answers: what goes on is not opened a second time.
            restored = true;
            self.take_over(found);
        }
        loop {
            tokio::select! {
                biased;
                () = drain.requested() => break,
                Some(ask) = self.asks.recv() => self.hear(ask),
                found = &mut left, if !restored => {
                    restored = true;
                    self.take_over(found);
                }
                view = self.fleet.view() => self.hear_view(view, clock::now()),
                _ = second.tick() => self.look(),
            }
        }
        let minutes = self.engine.flush();
        let mut writes = self.fleet.due(None);
        writes.extend(minutes.iter().map(|minute| self.records.ledger(minute)));
        if let Some(store) = self.store.as_ref().filter(|_| !writes.is_empty()) {
            // The store's own end waits for it.
            drop(store.write(writes));
        }
    }

    /// Takes over what an earlier start left.
    fn take_over(&mut self, left: LeftBehind) {
        let LeftBehind { incidents, silences, uptime, runs, past_runs } = left;
        let now = self.observer.at(clock::now());
        self.uptime.take_over(uptime);
        self.told.extend(incidents.iter().map(|one| (one.id.clone(), HandedOver::all(one))));
        let effects = self.engine.restore(incidents, silences, now);
        self.carry_out(effects, Vec::new());
        self.restore_runs(runs, past_runs, now);
    }

    /// Ends orders about the process whose time is over.
    fn end_orders(&self, now: Instant) {
        if let Some(filter) = self.telemetry.log_filter() {
            filter.look(now);
        }
        if let Some(hold) = self.telemetry.readiness.look(now) {
            OrderEvent::ReadinessReleased { actor: &hold.actor, reason: &hold.reason }.tell();
        }
    }

    fn look(&mut self) {
        let moment = clock::now();
        self.follow(moment);
        self.failovers.look(moment.instant);
        self.levels.look(moment.instant);
        self.end_orders(moment.instant);
        let now = self.observer.at(moment);
        self.heed_config();
        let mut readings = self.observer.look(moment, Stage::Serving);
        self.wording.look(&readings, moment);
        let clock = self.clock(moment);
        (readings.local, readings.holiday) = (clock.local, clock.holiday);
        readings.reported.extend(self.records.conditions());
        readings.reported.extend(self.own_conditions(now));
        readings.reported.extend(self.failover_conditions(moment, now));
        readings.resumed = self.resumed(moment);
        readings.drill = self.drills.scope(moment.instant);
        readings.spoilt = self.drills.spoilt(readings.drill.as_ref(), self.time.steady(moment));
        self.shift(now);
        self.look_around(&mut readings, now);
        let effects = self.engine.tick(&readings, now);
        self.carry_out(effects, Vec::new());
        self.look_back(&readings, now);
        self.look_at_drill(&readings, moment, now);
        self.recover(now);
        for command in self.evidence.take(moment, now) {
            let (_, effects) = self.shown_engine().command(command, now);
            self.carry_out(effects, Vec::new());
        }
        let gone: Vec<IncidentId> = self.told.keys().filter(|id| !self.knows(id)).cloned().collect();
        self.told.retain(|id, _| !gone.contains(id));
        let due = self.fleet.due(Some(now));
        if let Some(store) = self.store.as_ref().filter(|_| !due.is_empty()) {
            // Nobody waits for it.
            drop(store.write(due));
        }
        let minutes = self.engine.flush();
        self.seconds.turn(&minutes);
        self.uptime.turn(minutes, now);
        let before = Arc::clone(&self.snapshot.borrow());
        let snapshot = Snapshot::of(&before, &self.engine, &self.uptime, &readings, now);
        let (bypass, recovery) = (self.observer.bypass(now), self.recovery_view());
        let snapshot = Snapshot { bypass, recovery, looked: Some(moment), ..snapshot };
        let snapshot = self.fleet_snapshot(snapshot, now);
        let seconds = self.seconds.totals();
        self.telemetry.sre.set(SreSnapshot { seconds, ..snapshot.metrics(now) });
        self.show(snapshot);
    }

    /// People work by the clock on their wall, which may be set while the process runs.
    fn clock(&self, moment: Moment) -> Clock {
        let people = self.people.as_ref();
        Clock {
            now: self.observer.at(moment),
            local: people.map(|people| LocalMinute(people.zone.minute_of_week(moment.wall))),
            holiday: people.is_some_and(|people| people.rest(moment.wall)),
        }
    }

    /// The end of the last pause of the process, if it was since the last look.
    fn resumed(&mut self, moment: Moment) -> Option<At> {
        let pauses = pauses::after(self.pauses, moment.instant);
        for pause in &pauses {
            ProcessEvent::Paused { seconds: pause.length().as_secs_f64() }.tell();
        }
        let last = pauses.last()?;
        self.pauses = last.number;
        Some(self.observer.at(moment) - moment.instant.saturating_duration_since(last.until))
    }

    fn show(&mut self, snapshot: Snapshot) {
        let snapshot = Arc::new(snapshot);
        // In this order: the number of a change stands for a snapshot that everybody sees already.
        self.snapshot.send_replace(Arc::clone(&snapshot));
        self.changes.take(&snapshot);
    }

    /// What is decided is decided by the config in force: an order may come before the first look, or right after a reload.
    fn heed_config(&mut self) {
        if let Some(config) = self.observer.new_config() {
            self.engine.reconfigure((*config.watch.policy).clone());
            self.recovery.reconfigure(Arc::clone(&config.recovery.policy));
            self.people = Some(config.watch.people.clone());
            self.wording.reconfigure(&config);
        }
    }
}
