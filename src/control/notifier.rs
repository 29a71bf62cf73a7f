//! The queue of notifications: on disk too, delivered until they have arrived or nobody can want them any more.
//!
//! It has a task of its own; a channel that hangs holds up its own notifications only. A notification that an earlier start
//! left behind is delivered by this one; one that may have arrived has the same id, so receivers can tell. What is sent when
//! is decided in [`delivery`](crate::reliability::delivery), by a clock that never jumps: the wall's may be set meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::Replies;
use super::records::Records;
use crate::names::ChannelName;
use crate::notify::queue::{DeliveryState, Landed, NotificationQueue, Queued};
use crate::notify::{DeliveryError, Message, MessageKind, Receipt, Sender};
use crate::reliability::brief::{self, Audience};
use crate::reliability::delivery::NotificationId;
use crate::reliability::engine::{Command, Notice, NoticeKind, Page};
use crate::reliability::escalation::Arrived;
use crate::reliability::fleet::Duty;
use crate::reliability::incident::Incident;
use crate::runtime::chance;
use crate::runtime::clock::{self, Moment};
use crate::runtime::drain::Drain;
use crate::store::rows::Write;
use crate::telemetry::Telemetry;
use crate::telemetry::people::Waiting;

/// Notifications at hand, at most; beyond it the oldest finished ones are forgotten, then the oldest of all, which wait on
/// disk until there is room.
const MOST: usize = 10_000;
/// The longest sleep: a notification that is due is looked for at least this often.
const NAP: Duration = Duration::from_secs(30);
/// What others have left is looked for this often, and what could not be read is tried again.
const LOOK: Duration = Duration::from_secs(5);
/// How long the store may take to say what is left: what is new does not wait longer for what is old.
const PATIENCE: Duration = Duration::from_secs(2);

/// A message for one channel.
#[derive(Clone, Debug)]
pub(super) struct Notification {
    id: NotificationId,
    channel: String,
    message: Message,
    /// Not to be sent before this has passed, or it was amended.
    wait: Duration,
}

impl Notification {
    /// `message` calls whom `page` names: its first fact. It waits so long for what is still being asked.
    pub(super) fn call(page: &Page, mut message: Message, wait: Duration) -> Self {
        message.facts.insert(0, ("For".to_owned(), brief::contacts(&page.contacts)));
        Self { id: NotificationId::of_call(page), channel: page.channel.clone(), message, wait }
    }

    /// One for each channel. Who was called through it before reads what those who act need, and not what others are told.
    pub(super) fn notices(
        notice: &Notice,
        incident: &Incident,
        write: impl Fn(MessageKind, Audience) -> Message,
    ) -> Vec<Self> {
        let kind = match notice.news {
            NoticeKind::State | NoticeKind::Severity => MessageKind::Update,
            NoticeKind::Taken => MessageKind::Acknowledge,
            NoticeKind::Over => MessageKind::Resolve,
        };
        let channels: BTreeSet<&String> = notice.to.iter().map(|(_, channel)| channel).collect();
        let called = |channel: &str| incident.escalation.calls().iter().any(|call| call.channel == channel);
        let notification = |channel: &String| Self {
            id: NotificationId::of_notice(notice, incident.version, channel),
            channel: channel.clone(),
            message: write(kind, if called(channel) { Audience::Called } else { Audience::Stakeholders }),
            wait: Duration::ZERO,
        };
        channels.into_iter().map(notification).collect()
    }
}

struct NotifierState {
    queue: Mutex<NotificationQueue>,
    /// The queue's clock began then.
    began: Moment,
    wake: Notify,
    /// Notifications were let go that wait on disk.
    left: AtomicBool,
    sender: Arc<Sender>,
    records: Records,
    replies: Replies,
    telemetry: Arc<Telemetry>,
}

/// The queue and who empties it. Clones are cheap.
#[derive(Clone)]
pub struct Notifier(Arc<NotifierState>);

impl Notifier {
    /// A notifier with an empty queue; what is on disk is read when it runs.
    pub fn new(sender: Arc<Sender>, records: Records, replies: Replies, telemetry: Arc<Telemetry>) -> Self {
        let (queue, began) = (Mutex::default(), clock::now());
        let (wake, left) = (Notify::new(), AtomicBool::new(false));
        Self(Arc::new(NotifierState { queue, began, wake, left, sender, records, replies, telemetry }))
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, NotificationQueue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The queue's time: the wall's when it began, and what has passed since.
    fn now(&self) -> u64 {
        let passed = clock::instant().saturating_duration_since(self.0.began.instant).as_millis();
        crate::notify::millis(self.0.began.wall).saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    /// The wall clock has made a step of `millis`: moments that are shown follow it. How long a notification waits does not.
    pub(super) fn step(&self, millis: i64) {
        self.queue().shift(millis);
        self.0.wake.notify_one();
    }

    /// Queues notifications; what is to be stored with what they speak of.
    pub(super) fn take(&self, notifications: Vec<Notification>) -> Vec<Write> {
        if notifications.is_empty() {
            return Vec::new();
        }
        let now = self.now();
        let mut queue = self.queue();
        let mut writes = Vec::new();
        for Notification { id, channel, mut message, wait } in notifications {
            self.0.records.member().clone_into(&mut message.instance);
            let entry = Queued::new(id, channel, message, now).after(wait);
            writes.push(Records::queued(&entry));
            queue.push(entry);
        }
        let surplus = queue.make_room(MOST);
        self.0.left.fetch_or(surplus > 0, Ordering::Relaxed);
        drop(queue);
        self.0.wake.notify_one();
        writes
    }

    /// Calls that waited for what they now say: due at once, unless they were sent meanwhile. What is to be stored of it.
    pub(super) fn amend(&self, notifications: Vec<Notification>) -> Vec<Write> {
        let now = self.now();
        let mut queue = self.queue();
        let mut amended = Vec::new();
        for Notification { id, channel, mut message, .. } in notifications {
            self.0.records.member().clone_into(&mut message.instance);
            amended.extend(queue.amend(&id, &channel, message, now).map(|entry| Records::queued(&entry)));
        }
        drop(queue);
        self.0.wake.notify_one();
        amended
    }

    /// What nobody has taken yet, by channel: of those in force, and of those that still have notifications.
    pub(super) fn waiting(&self) -> BTreeMap<String, Waiting> {
        let now = self.now();
        let channels = self.0.sender.channels();
        let mut all: BTreeMap<String, Waiting> =
            channels.names().map(|name| (name.to_string(), Waiting::default())).collect();
        let queue = self.queue();
        for entry in queue.entries().iter().filter(|entry| entry.progress.state == DeliveryState::Waiting) {
            let waiting = all.entry(entry.channel.clone()).or_default();
            waiting.messages += 1;
            waiting.oldest = waiting.oldest.max(NotificationQueue::waited(entry, now));
        }
        all
    }

    /// Each channel in force: how long it has failed, and at what.
    pub(super) fn failing(&self) -> Vec<(String, Option<(Duration, &'static str)>)> {
        let channels = self.0.sender.channels();
        let people = &self.0.telemetry.people;
        channels.names().map(|name| (name.to_string(), people.failing(name.as_str()))).collect()
    }

    /// Until asked to leave: what is not delivered by then is on disk, for the next start. Of a fleet only the member on duty
    /// delivers, what others have left too.
    pub async fn run(self, drain: Drain, mut duty: watch::Receiver<Duty>) {
        let mut look = Some(clock::instant());
        loop {
            let acts = duty.borrow_and_update().acts();
            if self.0.left.swap(false, Ordering::Relaxed) {
                look.get_or_insert_with(|| clock::instant() + LOOK);
            }
            if acts && look.is_some_and(|look| look <= clock::instant()) {
                let found = self.find().await;
                let again = !found || self.0.records.shared().is_some();
                look = again.then(|| clock::instant() + LOOK);
            }
            let most = if look.is_some() { LOOK } else { NAP };
            let wait = if acts { self.round().await.min(most) } else { NAP };
            tokio::select! {
                () = drain.requested() => return,
                () = self.0.wake.notified() => {}
                Ok(()) = duty.changed() => self.hand_over(duty.borrow().acts()),
                () = tokio::time::sleep(wait) => {}
            }
            if !acts {
                look = Some(clock::instant());
            }
        }
    }

    /// Takes what is on disk and not delivered, as much as there is room for. False: there is more, or the
    /// store does not answer.
    async fn find(&self) -> bool {
        let asked = tokio::time::timeout(PATIENCE, self.0.records.undelivered(MOST)).await;
        let Ok(Some((mut left, mut more))) = asked else { return false };
        let (now, wall) = (self.now(), crate::notify::millis(clock::now().wall));
        let mut queue = self.queue();
        let known: BTreeSet<&NotificationId> = queue.entries().iter().map(|known| &known.id).collect();
        left.retain(|one| !known.contains(&one.id));
        let active = queue.entries().iter().filter(|entry| entry.progress.state.is_active()).count();
        let room = MOST.saturating_sub(active);
        more |= left.len() > room;
        left.truncate(room);
        // How old it is only the wall clocks of two starts know.
        let ours = |one: Queued| one.taken_over(now, wall);
        queue.put_before(left.into_iter().map(ours).collect());
        !more
    }

    /// Whoever has the duty now finds on disk what is not delivered.
    fn hand_over(&self, acts: bool) {
        if !acts {
            self.queue().clear();
        }
    }

    /// Starts what is due; how long until something else may be.
    async fn round(&self) -> Duration {
        let now = self.now();
        let (folded, closed, due, next) = {
            let mut queue = self.queue();
            queue.set_pagers(self.0.sender.channels().pagers().map(ToString::to_string).collect());
            let (folded, closed) = (queue.fold(), queue.close(now));
            (folded, closed, queue.depart(now), queue.wakes_at(now))
        };
        folded.iter().for_each(|entry| self.store(entry));
        for entry in due {
            let notifier = self.clone();
            crate::runtime::tasks::detach(
                "notifier",
                "delivering",
                async move { notifier.deliver(entry).await },
            );
        }
        for entry in &closed {
            let why = entry.last.as_deref().unwrap_or("away: nothing is sent there until it is back");
            self.report(entry, Arrived::No, format!("{}: {why}", entry.channel)).await;
        }
        let next = next.filter(|at| *at > now).map(|at| Duration::from_millis(at - now));
        next.unwrap_or(NAP).min(NAP)
    }

    /// Where the entry goes on: from what is at hand, else from what an earlier start has stored.
    async fn thread(&self, entry: &Queued) -> Option<String> {
        let channel = ChannelName::new(&entry.channel).ok()?;
        if !self.0.sender.channels().has_threads(&channel) {
            return None;
        }
        let known = self.queue().thread(entry);
        if known.is_some() || entry.message.kind == MessageKind::Test {
            return known;
        }
        let asked = self.0.records.thread(&entry.channel, &entry.message.incident_id);
        tokio::time::timeout(PATIENCE, asked).await.ok().flatten()
    }

    async fn deliver(&self, mut entry: Queued) {
        entry.message.thread = self.thread(&entry).await;
        let start = clock::instant();
        let came = match ChannelName::new(&entry.channel) {
            Ok(channel) => {
                let id = entry.id.to_string();
                self.0.sender.deliver_to(&channel, &entry.message, &id, &entry.left).await
            }
            Err(_) => Err(DeliveryError::permanent(
                crate::notify::DeliveryFailure::NoChannel,
                format!("{:?} is not the name of a channel", entry.channel),
            )),
        };
        let took = clock::instant().saturating_duration_since(start);
        let outcome = came.as_ref().map_or_else(|error| error.why.label(), |_| "delivered");
        self.0.telemetry.people.attempt(&entry.channel, outcome, took);
        let chance = chance::draw();
        let landed = self.queue().landed(entry, &came, self.now(), chance);
        self.0.wake.notify_one();
        self.tell(&landed, &came).await;
    }

    /// What became of a message is stored; of a call it goes onto the timeline, too, with the same write: that somebody has it, or
    /// that it reaches nobody any more. A process that ends between the two would leave a failed call without another way.
    async fn tell(&self, landed: &Landed, came: &Result<Receipt, DeliveryError>) {
        let Landed { entry, new } = landed;
        match came {
            Ok(receipt) if *new => {
                self.report(entry, Arrived::Yes, format!("{}: {receipt}", entry.channel)).await;
            }
            Err(error) if !entry.progress.state.is_active() => {
                let left = match &entry.left[..] {
                    [] => String::new(),
                    left => format!("not to {}: ", left.join(", ")),
                };
                self.report(entry, Arrived::No, format!("{}: {left}{}", entry.channel, error.cause)).await;
            }
            // It is tried again; that another way is to be tried beside it is seen in the next round.
            Ok(_) | Err(_) => self.store(entry),
        }
    }

    async fn report(&self, entry: &Queued, arrived: Arrived, detail: String) {
        let NotificationId::Call { incident, number } = &entry.id else { return self.store(entry) };
        let command = Command::Delivered { id: incident.clone(), number: *number, arrived, detail };
        if self.0.replies.tell(command, Records::queued(entry)).await.is_some() {
            self.store(entry);
        }
    }

    fn store(&self, entry: &Queued) {
        if let Some(store) = self.0.records.store() {
            // Nobody waits for it: what is lost is delivered twice, with the same id.
            drop(store.write(vec![Records::queued(entry)]));
        }
    }
}

impl std::fmt::Debug for Notifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notifier").field("entries", &self.queue().entries().len()).finish_non_exhaustive()
    }
}
