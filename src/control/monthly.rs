//! The drill of each month: what the calendar orders, by the door that operators have.
//!
//! Looked at once a second. That one was begun is a row of the audit log, and a later process reads it there: where the log
//! cannot be asked, nothing is begun.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::drilling::BEGUN;
use super::{AuditRecord, DrillStart, Handle, OrderedBy};
use crate::config::ScheduledDrill;
use crate::reliability::drill::{
    DrillDue, DrillMonth, LATE, MissedStart, MonthlyDrill, NotBegun, Recalled, ScheduleClock, Tell,
};
use crate::runtime::clock::{self, Moment};
use crate::runtime::drain::Drain;
use crate::runtime::timer::every;
use crate::store::rows::millis;
use crate::store::{DatabaseState, StoreError};
use crate::telemetry::event::DrillEvent;
use crate::units::{At, Written as _};

/// The row of one that was due and did not begin.
const NOT_BEGUN: &str = "drill.refused";
/// Rows of the audit log that are read at a time.
const PAGE: u32 = 200;

/// The drill of each month, as it stands.
#[derive(Clone, Debug)]
pub struct DrillScheduleView {
    pub schedule: Arc<ScheduledDrill>,
    /// When it begins next.
    pub next: Option<At>,
    /// The last start since the process began that did not come about.
    pub missed: Option<MissedStart>,
}

/// Follows the calendar until asked to leave.
pub(super) async fn follow(handle: Handle, drain: Drain) {
    let mut second = every(Duration::from_secs(1));
    loop {
        tokio::select! {
            () = drain.requested() => return,
            _ = second.tick() => {}
        }
        // Before the first look nobody knows what an earlier start has left.
        if handle.snapshot().looked.is_some() {
            handle.look_at_schedule().await;
        }
    }
}

/// When the drill of a month begins.
fn start(schedule: &ScheduledDrill, month: DrillMonth) -> Option<At> {
    let when = &schedule.plan.when;
    let date = when.day.date(month);
    schedule.zone.moment_of((month.year(), month.month()), date, when.minute).map(|wall| At(millis(wall)))
}

impl Handle {
    /// The drill of each month; `None`: there is none.
    pub fn drill_schedule(&self, moment: Moment) -> Option<DrillScheduleView> {
        let schedule = self.schedule()?;
        let clock = self.schedule_clock(&schedule, moment);
        let monthly = self.monthly();
        let next = monthly.next(&clock, |month| start(&schedule, month));
        let missed = monthly.last_missed().cloned();
        drop(monthly);
        Some(DrillScheduleView { schedule, next, missed })
    }

    fn schedule(&self) -> Option<Arc<ScheduledDrill>> {
        self.drills.registry.snapshot().config.drill_schedule.clone()
    }

    fn monthly(&self) -> MutexGuard<'_, MonthlyDrill> {
        self.drills.monthly.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn schedule_clock(&self, schedule: &ScheduledDrill, moment: Moment) -> ScheduleClock {
        let (year, month) = schedule.zone.month(moment.wall);
        let month = DrillMonth::of(year, month);
        ScheduleClock { now: At(millis(moment.wall)), steady: self.time.steady(moment), month }
    }

    async fn look_at_schedule(&self) {
        let moment = clock::now();
        let schedule = self.schedule();
        let when = schedule.as_ref().map(|schedule| &schedule.plan.when);
        self.monthly().heed(when, self.time.steady(moment));
        let Some(schedule) = schedule else { return };
        let clock = self.schedule_clock(&schedule, moment);
        let due = || self.monthly().due(&clock, |month| start(&schedule, month));
        if let Some(DrillDue::Recall { month, since }) = due() {
            let found = self.recall(since).await;
            let told = self.monthly().recalled((month, since), found, &clock);
            if let Some((Tell::Now, why)) = told {
                self.tell_not_begun(&schedule, &why);
            }
        }
        if let Some(DrillDue::Begin { month }) = due() {
            self.begin_monthly(&schedule, month, &clock).await;
        }
    }

    async fn begin_monthly(&self, schedule: &ScheduledDrill, month: DrillMonth, clock: &ScheduleClock) {
        let (order, payments) = (schedule.plan.order.clone(), schedule.plan.payments);
        let start = DrillStart { order, actor: OrderedBy::Schedule, payments };
        match self.begin_drill(start, clock::now()).await {
            Ok(_) => self.monthly().begun(month, clock),
            Err(refused) => {
                let why = NotBegun::Refused(refused);
                let tell = self.monthly().missed(month, why.clone(), clock);
                if tell == Tell::Now {
                    self.tell_not_begun(schedule, &why);
                }
            }
        }
    }

    /// Has the calendar begun a drill since then?
    async fn recall(&self, since: At) -> Recalled {
        let Some(status) = self.records.status() else { return Recalled::NoStore };
        if status.state != DatabaseState::Ok {
            return Recalled::Unknown;
        }
        match self.begun_since(since).await {
            Ok(true) => Recalled::Begun,
            Ok(false) => Recalled::Nothing,
            Err(_) => Recalled::Unknown,
        }
    }

    async fn begun_since(&self, since: At) -> Result<bool, StoreError> {
        let own = OrderedBy::Schedule;
        let mut before = None;
        loop {
            let rows = self.records.audit_rows(before, PAGE).await?.unwrap_or_default();
            let begun = |action: &str, actor: &str| action == BEGUN && actor == own.label();
            if rows.iter().any(|row| row.entry.at >= since.0 && begun(&row.entry.action, &row.entry.actor)) {
                return Ok(true);
            }
            match rows.last() {
                Some(last) if last.entry.at >= since.0 => before = Some(last.seq),
                Some(_) | None => return Ok(false),
            }
        }
    }

    fn tell_not_begun(&self, schedule: &ScheduledDrill, why: &NotBegun) {
        let order = &schedule.plan.order;
        DrillEvent::NotBegun { schedule: &schedule.plan, why }.tell();
        let record = AuditRecord {
            actor: OrderedBy::Schedule,
            action: NOT_BEGUN,
            target: order.upstream.to_string(),
            reason: format!("{why}; tried for {} after {}", LATE.write(), schedule.plan.when),
        };
        self.records.note(&record, Value::Null);
    }
}
