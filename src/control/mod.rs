//! Turns what is seen into what is done: one task owns the desk, looks once a second, and carries its effects out.
//!
//! It waits for nobody: writes go to the store's durable lane, messages to the post, each of which has its own task. Orders
//! come through [`Handle`]; whoever gave one hears back when it is stored, or that it is not stored yet.

mod board;
mod courier;
mod fleet;
mod machine;
mod observer;
mod post;
mod records;
mod start;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

pub use board::{Board, Looked, SERVICE, Uptime};
pub use courier::{Courier, FleetView, MemberView};
pub use observer::Observer;
pub use post::Post;
pub use records::Records;
pub use start::{Running, start};

use crate::names::IncidentId;
use crate::reliability::desk::{Command, Desk, DeskPolicy, Effect, Reply};
use crate::reliability::escalation::LocalMinute;
use crate::reliability::incident::{Incident, Refused};
use crate::reliability::readings::Stage;
use crate::runtime::clock;
use crate::runtime::drain::Drain;
use crate::runtime::zone::Zone;
use crate::store::Store;
use crate::store::rows::{AuditEntry, Write};
use crate::telemetry::Telemetry;
use crate::telemetry::event::IncidentEvent;

/// Orders that may wait.
const WAITING: usize = 256;
/// How long the giver of an order waits for the disk.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who orders what, for the audit trail.
#[derive(Clone, Debug)]
pub struct Order {
    /// What the desk is to do.
    pub command: Command,
    /// Who, as the audit trail shows it; `None`: the machine itself, whose deeds are on the timeline alone.
    pub audit: Option<Audited>,
}

/// A line of the audit trail to be.
#[derive(Clone, Debug)]
pub struct Audited {
    /// Who.
    pub actor: String,
    /// What.
    pub action: &'static str,
    /// To what.
    pub target: String,
    /// Why.
    pub reason: String,
}

/// What became of an order.
#[derive(Clone, Debug)]
pub struct Done {
    /// What it brought.
    pub reply: Reply,
    /// It is on disk. False: the store is off or away, and memory holds it.
    pub stored: bool,
}

struct Ask {
    order: Order,
    answer: Option<oneshot::Sender<Result<Done, Refused>>>,
}

/// For those who give orders and those who look.
#[derive(Clone, Debug)]
pub struct Handle {
    asks: mpsc::Sender<Ask>,
    board: watch::Receiver<Arc<Board>>,
    records: Records,
}

impl Handle {
    /// Gives an order; `None`: the process is leaving.
    pub async fn order(&self, order: Order) -> Option<Result<Done, Refused>> {
        let (answer, told) = oneshot::channel();
        self.asks.send(Ask { order, answer: Some(answer) }).await.ok()?;
        told.await.ok()
    }

    /// What is known now.
    pub fn board(&self) -> Arc<Board> {
        Arc::clone(&self.board.borrow())
    }

    /// Wakes with every change of the board.
    pub fn watch(&self) -> watch::Receiver<Arc<Board>> {
        self.board.clone()
    }

    /// What is on disk.
    pub fn records(&self) -> &Records {
        &self.records
    }
}

/// The task's state.
pub struct Control {
    desk: Desk,
    observer: Observer,
    telemetry: Arc<Telemetry>,
    store: Option<Store>,
    records: Records,
    post: Post,
    asks: mpsc::Receiver<Ask>,
    board: watch::Sender<Arc<Board>>,
    uptime: Uptime,
    /// Where the people work who are called in working hours.
    zone: Option<Zone>,
    /// Up to which entry each incident's timeline was handed to the store.
    told: BTreeMap<IncidentId, u64>,
    fleet: fleet::Fleet,
}

impl Control {
    /// Ready to run. `member` names this sidecar, `boot` this start of it.
    pub fn new(
        observer: Observer,
        telemetry: Arc<Telemetry>,
        records: Records,
        post: impl FnOnce(Replies) -> Post,
    ) -> (Self, Handle, Option<Courier>) {
        let now = observer.at(clock::now());
        let (send, asks) = mpsc::channel(WAITING);
        let (board, watching) = watch::channel(Arc::default());
        let source = Arc::from(records.boot());
        let seed = uuid::Uuid::now_v7().as_u64_pair().1;
        let mut desk = Desk::new(DeskPolicy::default(), source, seed, now);
        let (fleet, courier) = fleet::Fleet::of(&records, seed, now);
        if courier.is_some() {
            desk.watch();
        }
        let handle = Handle { asks: send.clone(), board: watching, records: records.clone() };
        let post = post(Replies(send));
        let store = records.store().cloned();
        let uptime = Uptime::new(now);
        (
            Self {
                desk,
                observer,
                telemetry,
                store,
                records,
                post,
                asks,
                board,
                uptime,
                zone: None,
                told: BTreeMap::new(),
                fleet,
            },
            handle,
            courier,
        )
    }

    pub(super) fn post(&self) -> Post {
        self.post.clone()
    }

    /// Whether this member calls people, and when that changes.
    pub(super) fn duty(&self) -> watch::Receiver<crate::reliability::fleet::Duty> {
        self.fleet.duty()
    }

    /// Until asked to leave.
    pub async fn run(mut self, drain: Drain) {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // What a fleet has stored, the courier brings.
        let mut restored = !self.fleet.is_single();
        loop {
            tokio::select! {
                biased;
                () = drain.requested() => break,
                Some(ask) = self.asks.recv() => self.hear(ask),
                view = self.fleet.view() => self.hear_view(view, clock::now()),
                _ = second.tick() => {
                    if !restored {
                        restored = self.restore().await;
                    }
                    self.look();
                }
            }
        }
        let minutes = self.desk.flush();
        let writes = minutes.iter().map(|minute| self.records.ledger(minute)).collect::<Vec<_>>();
        if let Some(store) = self.store.as_ref().filter(|_| !writes.is_empty()) {
            // The store's own end waits for it.
            drop(store.write(writes));
        }
    }

    /// Takes over what an earlier start left. False: the store does not answer; the next second asks again.
    async fn restore(&mut self) -> bool {
        let now = self.observer.at(clock::now());
        let Some((incidents, silences, minutes)) = self.records.left_behind(now).await else { return false };
        self.uptime.add_all(minutes);
        let last = |one: &Incident| one.timeline.last().map_or(0, |entry| entry.number);
        self.told.extend(incidents.iter().map(|one| (one.id.clone(), last(one))));
        let effects = self.desk.restore(incidents, silences, now);
        self.carry_out(effects, Vec::new());
        true
    }

    fn look(&mut self) {
        let moment = clock::now();
        let now = self.observer.at(moment);
        if let Some(config) = self.observer.new_config() {
            self.desk.reconfigure((*config.watch.policy).clone());
            self.zone = Some(config.watch.zone.clone());
        }
        let mut readings = self.observer.look(moment, Stage::Serving);
        // People work by the clock on their wall, which may be set while the process runs.
        readings.local = self.zone.as_ref().map(|zone| LocalMinute(zone.minute_of_week(moment.wall)));
        readings.reported.extend(self.records.condition());
        self.shift(now);
        self.look_around(&mut readings, now);
        let effects = self.desk.tick(&readings, now);
        self.carry_out(effects, Vec::new());
        self.look_back(&readings, now);
        let gone: Vec<IncidentId> = self.told.keys().filter(|id| !self.knows(id)).cloned().collect();
        self.told.retain(|id, _| !gone.contains(id));
        self.uptime.turn(self.desk.flush(), now);
        let board = self.fleet_board(Board::of(&self.desk, &self.uptime, &readings, now), now);
        self.telemetry.sre.set(board.numbers(now));
        self.board.send_replace(Arc::new(board));
    }

    fn hear(&mut self, ask: Ask) {
        let now = self.observer.at(clock::now());
        let Ask { order: Order { command, audit }, answer } = ask;
        let (reply, effects) = self.obey(command, now);
        let audit = audit.filter(|_| reply.is_ok()).map(|audit| {
            Write::Audit(AuditEntry {
                at: now.0,
                actor: audit.actor,
                action: audit.action.to_owned(),
                target: audit.target,
                body: serde_json::json!({ "reason": audit.reason }).to_string(),
            })
        });
        let written = self.carry_out(effects, audit.into_iter().collect());
        let board = Board { at: now, ..Board::again(&self.board.borrow(), &self.desk) };
        let board = self.fleet_board(board, now);
        self.board.send_replace(Arc::new(board));
        let Some(answer) = answer else { return };
        // Whoever asked may have left; the order is done all the same.
        crate::runtime::tasks::detach(async move {
            let stored = match written {
                Some(written) => matches!(tokio::time::timeout(PATIENCE, written).await, Ok(Ok(()))),
                None => false,
            };
            let _ = answer.send(reply.map(|reply| Done { reply, stored }));
        });
    }

    /// What is to be stored goes out as one write, so that a timeline never speaks of a call that nobody queued.
    fn carry_out(&mut self, effects: Vec<Effect>, mut writes: Vec<Write>) -> Option<crate::store::Written> {
        let mut letters = Vec::new();
        for effect in effects {
            match effect {
                Effect::Save(incident) => {
                    let last = incident.timeline.last().map_or(0, |entry| entry.number);
                    let told = self.told.insert(incident.id.clone(), last).unwrap_or(0);
                    writes.extend(self.records.incident(&incident, told));
                }
                Effect::SaveSilence(silence) => {
                    self.remember_silence(&silence, self.observer.at(clock::now()));
                    writes.push(self.records.silence(&silence));
                }
                Effect::Ledger(minute) => {
                    writes.push(self.records.ledger(&minute));
                    self.uptime.add(minute);
                }
                Effect::Tell(transition) => {
                    let incident = self.desk.incident(&transition.id);
                    IncidentEvent {
                        id: transition.id.as_str(),
                        rule: transition.rule.label(),
                        severity: transition.severity.label(),
                        from: transition.from.map(crate::reliability::incident::State::label),
                        to: transition.to.label(),
                        title: incident.map_or("", |incident| &incident.title),
                    }
                    .tell();
                    if let Some(incident) = incident {
                        self.telemetry.sre.moved(&transition, incident);
                    }
                }
                Effect::Page(page) => letters.extend(
                    self.desk.incident(&page.incident).map(|incident| post::Letter::call(&page, incident)),
                ),
                Effect::Update(notice) => letters.extend(self.notice(&notice, crate::notify::Kind::Update)),
                Effect::ResolveNotice(notice) => {
                    letters.extend(self.notice(&notice, crate::notify::Kind::Resolve));
                }
            }
        }
        writes.extend(self.post.take(letters));
        let store = self.store.as_ref().filter(|_| !writes.is_empty())?;
        Some(store.write(writes))
    }

    fn notice(
        &self,
        notice: &crate::reliability::desk::Notice,
        kind: crate::notify::Kind,
    ) -> Vec<post::Letter> {
        let Some(incident) = self.desk.incident(&notice.incident) else { return Vec::new() };
        post::Letter::notices(notice, kind, incident)
    }
}

/// Where the post tells what became of a call.
#[derive(Clone, Debug)]
pub struct Replies(mpsc::Sender<Ask>);

impl Replies {
    async fn tell(&self, command: Command) {
        // Leaving: nobody wants to know any more; the store has it.
        let _ = self.0.send(Ask { order: Order { command, audit: None }, answer: None }).await;
    }
}
