//! Between the engine's values and the store's rows.
//!
//! A row's body is the value as JSON; its columns are what is searched by. Of an incident it is the head: the lines of its
//! timeline are rows of their own. Rows of a version that says things this one does
//! not know are read as far as they go; one that cannot be read is told, kept on disk and left out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::backups::Backups;
use super::damaged::Damaged;
use super::heads::{HandedOver, PAGE, json, live, row};
use super::past::{self, Figure};
use super::uptime::{KEPT, REPLIES, Uptime};
use crate::names::IncidentId;
use crate::notify::queue::{DeliveryState as Delivered, Queued};
use crate::reliability::alert::Sign;
use crate::reliability::incident::{Head, Incident};
use crate::reliability::ledger::Minute;
use crate::reliability::readings::Reported;
use crate::reliability::recovery::{self, Run};
use crate::reliability::rule::Severity;
use crate::reliability::silence::Silence;
use crate::runtime::clock;
use crate::store::rows::{self, Delivery, LedgerMinute, NewEntry, Write, millis};
use crate::store::values::{self, Names, value};
use crate::store::{IncidentFilter, RowPage, Store, StoreError};
use crate::telemetry::event::StoreEvent;
use crate::units::At;

/// How long it is told that the file was removed, in milliseconds.
const REMOVED: i64 = 600_000;
/// Incidents of one look at what others have changed.
pub(super) const LIVE: u32 = 1_000;
/// Lines of a timeline in lists.
const LAST: u32 = 5;

/// The store as the engine sees it. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Records {
    store: Option<Store>,
    member: Arc<str>,
    boot: Arc<str>,
    backups: Backups,
    damaged: Damaged,
}

/// How much of the ledger is read at a time: a whole hour, or several, for each hour is summed up before the next page comes.
const MINUTES: i64 = 6 * 3_600_000;

/// What a start finds: live incidents, silences, what the ledger says of the last 30 days.
#[derive(Debug)]
pub(super) struct LeftBehind {
    pub(super) incidents: Vec<Incident>,
    pub(super) silences: Vec<Silence>,
    pub(super) uptime: Uptime,
    /// Recovery runs of this member that go on.
    pub(super) runs: Vec<Run>,
    /// What recovery has done in the last day; in a fleet none.
    pub(super) past_runs: Vec<Run>,
}

impl Records {
    /// `member` names this sidecar and stays the same; `boot` is new with every start.
    pub fn new(store: Option<Store>, member: &str, boot: &str) -> Self {
        let (backups, damaged) = Default::default();
        Self { store, member: Arc::from(member), boot: Arc::from(boot), backups, damaged }
    }

    pub(super) fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    /// Reads from what is on disk; `None`: there is no store.
    pub fn reader(&self) -> Option<crate::store::Reader> {
        self.store.as_ref().map(Store::reader)
    }

    /// The store, if other sidecars share it.
    pub(super) fn shared(&self) -> Option<&Store> {
        self.store.as_ref().filter(|store| store.is_shared())
    }

    /// How the store is; `None`: it is off.
    pub fn status(&self) -> Option<crate::store::StoreStatus> {
        self.store.as_ref().map(Store::status)
    }

    /// Copies by the clock.
    pub fn backups(&self) -> &Backups {
        &self.backups
    }

    pub(super) fn damaged(&self) -> &Damaged {
        &self.damaged
    }

    /// The store's conditions: that it takes no writes, was damaged, or is not backed up, is an incident too.
    pub(super) fn conditions(&self) -> Vec<Reported> {
        let Some(status) = self.status() else { return Vec::new() };
        let damaged = self.damaged.condition(status.moved_aside.as_ref());
        let removed = Self::removed(&status, millis(clock::now().wall));
        let all = [Some(Self::condition(status)), Some(removed), damaged, self.backups.condition()];
        all.into_iter().flatten().collect()
    }

    /// That the file was removed is told for a while after it was written anew: somebody should know who does such things.
    fn removed(status: &crate::store::StoreStatus, now: i64) -> Reported {
        let lately = status.rewritten.filter(|at| now.saturating_sub(*at) < REMOVED);
        Reported {
            service: Arc::from("store"),
            scope: Arc::from("removed"),
            sign: if lately.is_some() { Sign::Bad } else { Sign::Good },
            severity: Severity::High,
            first_bad: lately.map(At),
            confirm: Duration::ZERO,
            title: "the store's file was removed while it was open: it was written anew".to_owned(),
            evidence: Vec::new(),
        }
    }

    fn condition(status: crate::store::StoreStatus) -> Reported {
        let well = status.state == crate::store::DatabaseState::Ok;
        // A start does not wait for a server: until it has answered or failed, nobody knows.
        let sign = match (well, &status.last_error) {
            (true, _) => Sign::Good,
            (false, Some(_)) => Sign::Bad,
            (false, None) => Sign::Blind,
        };
        Reported {
            service: Arc::from("store"),
            scope: Arc::from(""),
            sign,
            severity: Severity::High,
            first_bad: (!well).then_some(At(status.since)),
            confirm: Duration::from_secs(10),
            title: format!("the store is {}: what is told waits in memory", status.state.as_str()),
            evidence: vec![
                ("backlog".to_owned(), format!("{} of {}", status.backlog, status.backlog_limit)),
                ("last_error".to_owned(), status.last_error.unwrap_or_default()),
            ],
        }
    }

    /// The name of this start; another one with each start of the process.
    pub fn boot(&self) -> &str {
        &self.boot
    }

    /// The name of this sidecar, as `process.name` says.
    pub fn member(&self) -> &str {
        &self.member
    }

    /// The incident without its timeline, and the lines of it that come after those handed over already.
    pub(super) fn incident(&self, incident: &Incident, before: &HandedOver) -> [Write; 2] {
        let row = row(incident, Head::from(incident).following(before.mark), &self.member);
        let new =
            incident.timeline.iter().filter(|entry| entry.number > before.lines).map(|entry| NewEntry {
                incident_id: incident.id.as_str().to_owned(),
                at: entry.at.0,
                kind: word(&entry.kind),
                actor: entry.actor.label().to_owned(),
                body: json(entry),
            });
        [Write::PutIncident(row), Write::AddEntries(new.collect())]
    }

    pub(super) fn silence(&self, silence: &Silence) -> Write {
        Write::PutSilence(rows::SilenceRow {
            // Its number is its own in the whole fleet: whoever ends it writes the same row.
            id: silence.number.to_string(),
            body: json(silence),
            starts_at: silence.from.0,
            ends_at: silence.until.0,
        })
    }

    pub(super) fn ledger(&self, minute: &Minute) -> Write {
        let share = minute.by.get(&self.boot).copied().unwrap_or_default();
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        Write::LedgerMinute(LedgerMinute {
            member: self.member.to_string(),
            service: minute.subject.to_string(),
            minute: minute.minute * 60_000,
            boot: self.boot.to_string(),
            slices: word(&share.slices),
            good: count(share.counts.good),
            total: count(share.counts.total()),
        })
    }

    pub(super) fn queued(entry: &Queued) -> Write {
        let progress = &entry.progress;
        let state = match progress.state {
            Delivered::Waiting | Delivered::Repeating => Delivery::Waiting,
            Delivered::Sent | Delivered::Folded => Delivery::Sent,
            Delivered::Failed => Delivery::Failed,
            Delivered::Dead => Delivery::Dead,
        };
        let millis = |at: u64| i64::try_from(at).unwrap_or(i64::MAX);
        Write::PutNotification(rows::NotificationRow {
            id: entry.id.to_string(),
            incident_id: Some(entry.message.incident_id.clone()),
            dedup_key: entry.message.dedup_key.clone(),
            channel: entry.channel.clone(),
            kind: entry.message.kind.label().to_owned(),
            body: json(entry),
            state,
            attempts: i64::from(progress.attempts),
            next_at: millis(progress.next_at),
            created_at: millis(entry.message.at),
            last_error: entry.last.clone().filter(|_| progress.state != Delivered::Sent),
            sent_at: (progress.delivered > 0).then(|| millis(progress.since)),
        })
    }

    /// What an earlier start left, once the store says it: asked for once a second. Whoever looks does not wait for it.
    pub(super) async fn left_behind_at_last(self) -> LeftBehind {
        loop {
            if let Some(left) = self.left_behind(At(millis(clock::now().wall))).await {
                return left;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// `None`: the store does not answer.
    pub(super) async fn left_behind(&self, now: At) -> Option<LeftBehind> {
        let Some(store) = &self.store else {
            let uptime = Uptime::new(now);
            return Some(LeftBehind {
                incidents: Vec::new(),
                silences: Vec::new(),
                uptime,
                runs: Vec::new(),
                past_runs: Vec::new(),
            });
        };
        let read = async {
            let reader = store.reader();
            // A file is one sidecar's, whatever its name was. In a database that others share the incidents are the fleet's.
            let incidents = if self.shared().is_some() { Vec::new() } else { live(&reader).await? };
            let silences = reader.silences(now.0).await?;
            let runs = reader.recovery_going_on(&self.member).await?;
            // In a fleet they are another member's, until the duty comes here.
            let past_runs = if self.shared().is_some() { Vec::new() } else { self.past_runs(now).await? };
            let uptime = self.uptime(&reader, now).await?;
            Ok::<_, StoreError>((incidents, silences, uptime, runs, past_runs))
        };
        let (incidents, silences, uptime, runs, past_runs) = read.await.ok()?;
        let silences = silences.iter().filter_map(|row| value(&row.id, &row.body)).collect();
        let runs = runs.iter().filter_map(|row| value(&row.id, &row.body)).collect();
        Some(LeftBehind { incidents, silences, uptime, runs, past_runs })
    }

    /// What recovery has done in the last day, here and on other members; what this one left going on is not among it.
    pub(super) async fn past_runs(&self, now: At) -> Result<Vec<Run>, StoreError> {
        let Some(store) = &self.store else { return Ok(Vec::new()) };
        let most = recovery::KEPT as u32;
        let rows = store.reader().recovery_past(&self.member, (now - past::DAY).0, most).await?;
        Ok(rows.iter().filter_map(|row| value(&row.id, &row.body)).collect())
    }

    /// The ledger of the last 30 days and the incidents of the last day, the ledger page by page: minutes take a hundred times the room of the hours that they become.
    async fn uptime(&self, reader: &crate::store::Reader, now: At) -> Result<Uptime, StoreError> {
        let member = self.shared().map(|_| &*self.member);
        let (mut uptime, mut unreadable, mut names) = (Uptime::new(now), BTreeSet::new(), Names::default());
        let mut from = (now - KEPT).0;
        while from < now.0 {
            let to = (from.div_euclid(MINUTES) + 1).saturating_mul(MINUTES).min(now.0);
            let page = reader.ledger_of(None, member, from, to).await?;
            unreadable.extend(page.unreadable);
            let minutes: Vec<Minute> =
                page.rows.iter().filter_map(|row| values::minute(row, &mut names)).collect();
            for minute in minutes.iter().filter(|one| self.is_past_reply(one, now)) {
                uptime.replied(minute.minute, minute.counts());
            }
            uptime.turn(minutes, now);
            from = to;
        }
        let bodies = reader.incidents_since((now - past::DAY).0, past::MOST).await?;
        let figure = |(id, body): &(String, String)| Figure::of(value::<Head>(id, body)?.incident());
        uptime.remember(bodies.iter().filter_map(figure).collect());
        let error = "a packed day that cannot be unpacked";
        unreadable.iter().for_each(|id| StoreEvent::Unreadable { id, error }.tell());
        Ok(uptime)
    }

    /// Is it one of the service as a whole, of an earlier start, within the longest window of replies?
    fn is_past_reply(&self, minute: &Minute, now: At) -> bool {
        *minute.subject == *super::SERVICE
            && minute.minute >= (now - REPLIES).minute()
            && !minute.by.contains_key(&self.boot)
    }

    /// Messages that an earlier start did not deliver, so many at most, and whether there are more. `None`: the
    /// store does not answer.
    pub(super) async fn undelivered(&self, most: usize) -> Option<(Vec<Queued>, bool)> {
        let Some(store) = &self.store else { return Some(Default::default()) };
        if let Some(shared) = self.shared() {
            // Asked every few seconds: no second connection is kept for it.
            let rows = shared.undelivered(u32::try_from(most).unwrap_or(u32::MAX)).await.ok()?;
            return Some((
                rows.iter().filter_map(|row| value(&row.id, &row.body)).collect(),
                rows.len() >= most,
            ));
        }
        let reader = store.reader();
        let (mut found, mut place) = (Vec::new(), (i64::MIN, String::new()));
        loop {
            let after = (place.0, place.1.as_str());
            let rows = reader.notifications_after(Delivery::Waiting, after, PAGE).await.ok()?;
            found.extend(rows.iter().filter_map(|row| value(&row.id, &row.body)));
            match rows.last().filter(|_| rows.len() == PAGE as usize) {
                Some(_) if found.len() >= most => return Some((found, true)),
                Some(last) => place = (last.next_at, last.id.clone()),
                None => return Some((found, false)),
            }
        }
    }

    /// Where a channel keeps the first message about an incident, as its last delivery said.
    pub(super) async fn thread(&self, channel: &str, incident: &str) -> Option<String> {
        let reader = self.reader()?;
        let sent = reader.notifications(Some(Delivery::Sent), Some(incident), None, PAGE).await.ok()?;
        let sent = sent.iter().rev().filter(|row| row.channel == channel);
        sent.filter_map(|row| value::<Queued>(&row.id, &row.body)).find_map(|one| one.message.thread)
    }

    /// Silences that last or are to come at `now`.
    pub(super) async fn silences(&self, now: At) -> Result<Vec<Silence>, StoreError> {
        let Some(store) = &self.store else { return Ok(Vec::new()) };
        let rows = store.reader().silences(now.0).await?;
        Ok(rows.iter().filter_map(|row| value(&row.id, &row.body)).collect())
    }

    /// The incident of that name, if there is one that can be read.
    pub(super) async fn find_row(&self, id: &str) -> Result<Option<Incident>, StoreError> {
        let Some(store) = &self.store else { return Ok(None) };
        let found = if let Some(shared) = self.shared() {
            // Asked for whatever has changed in a fleet: no second connection is opened for it.
            shared.whole(id).await?
        } else {
            let reader = store.reader();
            match reader.incident(id).await? {
                Some(row) => Some((row, reader.lines(id).await?)),
                None => None,
            }
        };
        let Some((row, lines)) = found else { return Ok(None) };
        Ok(value::<Head>(&row.id, &row.body).map(|head| head.whole(values::lines(&lines))))
    }

    /// One incident, from the disk; `None`: there is none, or no store.
    pub async fn find(&self, id: &IncidentId) -> Result<Option<Incident>, StoreError> {
        self.find_row(id.as_str()).await
    }

    /// Silences and maintenance windows that have ended, the last one first, at most `limit`; `None`: there is no store.
    pub async fn ended_silences(&self, now: At, limit: u32) -> Result<Option<Vec<Silence>>, StoreError> {
        let Some(store) = &self.store else { return Ok(None) };
        let ended = store.reader().ended_silences(now.0, limit).await?;
        Ok(Some(ended.iter().filter_map(|row| value(&row.id, &row.body)).collect()))
    }

    /// Incidents with the last lines of their timelines, the youngest first; `None`: there is no store.
    pub async fn search(
        &self,
        filter: &IncidentFilter,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Option<RowPage<Incident>>, StoreError> {
        let Some(store) = &self.store else { return Ok(None) };
        let reader = store.reader();
        let page = reader.incidents(filter, cursor, limit).await?;
        let mut rows = Vec::with_capacity(page.rows.len());
        for row in &page.rows {
            let lines = reader.last_lines(&row.id, LAST).await?;
            rows.extend(value::<Head>(&row.id, &row.body).map(|head| head.ending_in(values::lines(&lines))));
        }
        Ok(Some(RowPage { rows, next: page.next }))
    }
}

/// The silence of a row, if it can be read.
pub(super) fn silence_of(row: &rows::SilenceRow) -> Option<Silence> {
    value(&row.id, &row.body)
}

/// What is one word in JSON.
fn word<T: serde::Serialize>(value: &T) -> String {
    let value = serde_json::to_value(value).ok();
    value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Retention, StoreAt};
    use crate::notify::{Message, MessageKind};
    use crate::runtime::tasks::Tasks;

    const DAY: i64 = 86_400_000;

    async fn opened(dir: &std::path::Path) -> (Store, Tasks) {
        let keep = Duration::from_secs(400 * 86_400);
        let retention = Retention { incidents: keep, audit: keep, ledger: keep };
        let at = StoreAt::Sqlite(dir.join("strop.db"));
        let config =
            crate::config::StoreConfig { at, audit_key: None, backlog: 100_000, retention, backup: None };
        let tasks = Tasks::default();
        (Store::open(&config, &tasks).await.expect("opens"), tasks)
    }

    /// What the API shows, and a range that cuts through a day and an hour.
    fn told(uptime: &Uptime, now: At) -> Vec<crate::reliability::ledger::Report> {
        let ends = [24, 7 * 24, 30 * 24].map(|hours| Duration::from_secs(hours * 3_600));
        let ends = ends.into_iter().chain([Duration::from_secs(41 * 3_600 + 1_234)]);
        ends.flat_map(|length| {
            ["service", "stripe"].map(|of| uptime.report(&Arc::from(of), now - length, now))
        })
        .collect()
    }

    #[tokio::test]
    async fn a_start_reads_the_same_uptime_from_packed_days_as_from_minutes() {
        let dir = tempfile::tempdir().expect("a directory");
        let (store, _tasks) = opened(dir.path()).await;
        let records = Records::new(Some(store.clone()), "m1", "b2");
        let now = At(millis(clock::now().wall).div_euclid(60_000) * 60_000);
        let mut writes = Vec::new();
        // Up to now, and at the far end of 30 days: of either, one minute in some.
        for minute in (0..4_000).step_by(3).chain(43_100..43_210) {
            for service in ["service", "stripe"] {
                let letters = ["u", "d", "g", "."][(minute / 50 % 4) as usize];
                writes.push(Write::LedgerMinute(LedgerMinute {
                    member: "m1".to_owned(),
                    service: service.to_owned(),
                    minute: now.0 - minute * 60_000,
                    boot: format!("b{}", minute / 1_000),
                    slices: letters.repeat(60),
                    good: minute,
                    total: minute + 1,
                }));
            }
        }
        store.write(writes).await.expect("written");
        let uptime = records.left_behind(now).await.expect("reads").uptime;
        let minutes = told(&uptime, now);
        assert!(minutes.iter().all(|report| report.up > 0 && report.down > 0 && report.counts.good > 0));
        assert!(minutes[4].counts.good > minutes[2].counts.good, "the far end is in it");
        assert!(store.pack().await.expect("packed") > 1_000);
        let packed = store.reader().ledger(None, now.0 - 31 * DAY, now.0).await.expect("reads");
        assert!(packed.unreadable.is_empty());
        let uptime = records.left_behind(now).await.expect("reads").uptime;
        assert_eq!(told(&uptime, now), minutes);
    }

    fn message() -> Message {
        let text = String::new;
        Message {
            incident_id: text(),
            dedup_key: text(),
            kind: MessageKind::Trigger,
            severity: Severity::High,
            title: text(),
            summary: text(),
            service: text(),
            rule: text(),
            started_at: 1,
            at: 1,
            ends_at: None,
            link: None,
            facts: Vec::new(),
            instance: text(),
            brief: crate::reliability::brief::Brief::default(),
            thread: None,
        }
    }

    #[tokio::test]
    async fn all_that_was_not_delivered_is_found_however_many_they_are() {
        let dir = tempfile::tempdir().expect("a directory");
        let year = Duration::from_secs(400 * 86_400);
        let retention = Retention { incidents: year, audit: year, ledger: year };
        let at = StoreAt::Sqlite(dir.path().join("strop.db"));
        let config =
            crate::config::StoreConfig { at, audit_key: None, backlog: 10_000, retention, backup: None };
        let store = Store::open(&config, &Tasks::default()).await.expect("opens");
        let records = Records::new(Some(store.clone()), "a", "a#1");
        let queued = |n: u32| Queued::new(format!("{n:05}"), "pager".to_owned(), message(), u64::from(n / 7));
        let writes = (0..2_500).map(|n| Records::queued(&queued(n))).collect();
        store.write(writes).await.expect("is on disk");
        let (all, more) = records.undelivered(10_000).await.expect("answers");
        let ids: Vec<String> = all.iter().map(|one| one.id.to_string()).collect();
        assert!(ids.is_sorted() && ids.len() == 2_500 && !more, "{} {more}", ids.len());
        let (some, more) = records.undelivered(1_500).await.expect("answers");
        assert!(some.len() == 2_000 && more, "{} {more}", some.len());
    }
}
