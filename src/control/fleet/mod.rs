//! One member among others: what changes when another one has the duty to call people.
//!
//! While this member has it, its engine is the fleet's. Else the engine watches, and a mirror shows what is stored and takes orders.

mod duty;
mod sync;
mod view;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

pub use sync::FleetSync;
use sync::{MemberStatus, SyncResult};
pub use view::{FleetView, MemberView};

use super::Records;
use crate::reliability::backoff;
use crate::reliability::engine::Engine;
use crate::reliability::fleet::{Duty, FRESH, FleetSummary, Leadership, Neighbour, Sighting, seen_by_others};
use crate::reliability::rule::AlertKey;
use crate::reliability::silence::Silence;
use crate::runtime::chance;
use crate::store::rows::{MemberRow, Write};
use crate::units::At;

/// A silence made here may not be among those that the synchronisation reads for so long.
const ON_ITS_WAY: Duration = Duration::from_secs(5);
/// A minute of the ledger waits no longer than this before it is written.
const LATENESS: Duration = Duration::from_secs(10);

/// This member's place in the fleet.
pub(super) struct FleetMember {
    leadership: Leadership,
    pub(super) mirror: Engine,
    /// While this member has the duty: those who see anything.
    neighbours: Vec<Neighbour>,
    /// While another one has it: what that one tells, and since when it holds.
    whole: Option<(At, FleetSummary)>,
    /// How many others and itself there are, as it was counted here.
    count: Option<(At, u64)>,
    /// To be shown: age when it was read.
    roster: (At, Vec<MemberRow>),
    /// Minutes of the ledger that wait for their moment.
    late: Vec<(At, Write)>,
    /// How long they wait: a fleet does not write all its minutes in the same second.
    lateness: Duration,
    /// Who said that it has the duty.
    holder: Option<Arc<str>>,
    views: Option<mpsc::Receiver<SyncResult>>,
    status: watch::Sender<MemberStatus>,
    duty: watch::Sender<Duty>,
    since: At,
    /// Silences made or ended here, and when.
    fresh: Vec<(At, Silence)>,
    held: BTreeSet<AlertKey>,
}

impl FleetMember {
    /// Of one sidecar, with a file or without a store.
    pub(super) fn single(now: At) -> Self {
        Self::new(Leadership::single(), Duty::Holds, None, sync::unpublished().0, now)
    }

    /// Of one among others, which share a store; and the task that goes there.
    pub(super) fn of(records: &Records, draw: u64, now: At) -> (Self, Option<FleetSync>) {
        let Some(store) = records.shared() else { return (Self::single(now), None) };
        let (send, views) = mpsc::channel(2);
        let (status, published) = sync::unpublished();
        let sync = FleetSync::new(store.clone(), records.clone(), published, send);
        (Self::new(Leadership::member(draw, now), Duty::Follows, Some(views), status, now), Some(sync))
    }

    fn new(
        leadership: Leadership,
        duty: Duty,
        views: Option<mpsc::Receiver<SyncResult>>,
        status: watch::Sender<MemberStatus>,
        now: At,
    ) -> Self {
        let (neighbours, fresh, held, whole, count, late) = Default::default();
        let roster = (now, Vec::new());
        let lateness = match &views {
            Some(_) => LATENESS.mul_f64(backoff::share(chance::draw())),
            None => Duration::ZERO,
        };
        let mirror = Engine::mirror(chance::draw(), now);
        let duty = watch::Sender::new(duty);
        Self {
            leadership,
            mirror,
            neighbours,
            whole,
            count,
            roster,
            late,
            lateness,
            holder: None,
            views,
            status,
            duty,
            since: now,
            fresh,
            held,
        }
    }

    /// The clock has made a step of so many milliseconds: all that is remembered was heard as long ago as before.
    pub(super) fn step(&mut self, millis: i64) {
        self.leadership.shift(millis);
        let told = self.whole.iter_mut().map(|(at, _)| at).chain(self.count.iter_mut().map(|(at, _)| at));
        let waiting = self.late.iter_mut().map(|(at, _)| at).chain(self.fresh.iter_mut().map(|(at, _)| at));
        let read = self.neighbours.iter_mut().map(|one| &mut one.read);
        for at in told.chain(waiting).chain(read).chain([&mut self.roster.0, &mut self.since]) {
            *at = at.moved(millis);
        }
    }

    /// The next result of the synchronisation; pending for ever for a single member.
    pub(super) async fn view(&mut self) -> SyncResult {
        if let Some(views) = &mut self.views
            && let Some(view) = views.recv().await
        {
            return view;
        }
        std::future::pending().await
    }

    pub(super) fn is_single(&self) -> bool {
        self.views.is_none()
    }

    pub(super) fn duty(&self) -> watch::Receiver<Duty> {
        self.duty.subscribe()
    }

    /// What others see, as far as that can be known; `None`: nobody has told it lately.
    fn seen(&self, boot: &str, now: At) -> Option<Vec<Sighting>> {
        let fresh = |since: At| now.since(since) <= FRESH;
        match (&self.count, &self.whole) {
            (Some((since, _)), _) if fresh(*since) => Some(seen_by_others(&self.neighbours, boot, now)),
            (_, Some((since, whole))) if fresh(*since) => Some(whole.of_others(boot)),
            (Some(_) | None, _) => None,
        }
    }

    /// How many were seen lately.
    fn members(&self, now: At) -> u64 {
        let fresh = |since: At| now.since(since) <= FRESH;
        match (&self.count, &self.whole) {
            (Some((since, count)), _) if fresh(*since) => *count,
            (_, Some((since, whole))) if fresh(*since) => whole.members,
            (Some(_) | None, _) => 0,
        }
    }

    /// What this member tells everybody while it has the duty.
    fn told(&self, boot: &str, now: At) -> FleetSummary {
        match &self.count {
            Some((_, count)) => FleetSummary::of(boot, &self.neighbours, *count, now),
            None => FleetSummary::default(),
        }
    }

    /// Keeps a minute of the ledger for its moment; `None`: it is kept.
    pub(super) fn later(&mut self, write: Write, now: At) -> Option<Write> {
        if self.lateness.is_zero() {
            return Some(write);
        }
        let minute = write.minute();
        let same = |held: &Write| minute.is_some() && held.minute() == minute;
        // One write of a minute is enough, with all that is known by then.
        match self.late.iter_mut().find(|(_, held)| same(held)) {
            Some((_, held)) => *held = write,
            None => self.late.push((now + self.lateness, write)),
        }
        None
    }

    /// What has waited long enough by `now`; `None`: all of it.
    pub(super) fn due(&mut self, now: Option<At>) -> Vec<Write> {
        let due = self.late.extract_if(.., |(at, _)| now.is_none_or(|now| *at <= now));
        due.map(|(_, write)| write).collect()
    }
}
