//! Goes to the store that a fleet shares, every two seconds (each second while it has the duty, and soon after others have told
//! that there is something new), and comes back with what is new: who has the duty, who else is there and what they see, which
//! incidents others have changed.
//!
//! A task of its own, so that a store that does not answer holds up nobody: what it has not brought is simply not there yet.
//! One statement asks for all of it; what it brings does not grow with the fleet, but for the member with the duty. That one
//! hears all who see anything, and tells the others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use crate::control::records::{self, LeftBehind, Records};
use crate::reliability::fleet::{Duty, FRESH, FleetSummary, LeaseReply, Sighting, TERM, next_beat, turn};
use crate::reliability::incident::Incident;
use crate::reliability::recovery::Run;
use crate::reliability::silence::Silence;
use crate::runtime::chance;
use crate::runtime::clock::{self, Moment};
use crate::runtime::drain::Drain;
use crate::store::rows::{
    IncidentVersion, KnownChanges, Lease, LeaseHolder, MemberRow, Presence, SeenMember, SyncReply,
    SyncRequest,
};
use crate::store::{Store, StoreError};
use crate::units::At;

/// The lease of whoever calls people.
const DUTY: &str = "duty";
/// How long one question may take: with a longer wait the lease would run out behind it.
const ANSWER: Duration = Duration::from_secs(2);
/// Incidents that changed this recently are shown also when they are over.
const LATELY: Duration = Duration::from_secs(86_400);
/// All versions are compared this often: members of an older version tell nobody what they change.
const COMPARED: Duration = Duration::from_secs(60);
/// Members that are shown …
const SHOWN: u32 = 50;
/// … and read this often, where there are more of them than a few.
const SHOWN_EVERY: Duration = Duration::from_secs(10);
const FEW: usize = 10;
/// Between two beats, whatever there is to hear.
const GAP: Duration = Duration::from_millis(250);
/// Incidents that one beat brings, at most.
const PAGE: usize = crate::store::CHANGES;
/// Changes that nobody has asked for yet: none of them is new.
const NOTHING: KnownChanges = KnownChanges { incidents: i64::MAX, silences: i64::MAX };

/// What a member publishes of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct MemberStatus {
    /// Its duty, as [`Duty::label`].
    pub(super) duty: String,
    /// The alerts that it sees now.
    pub(super) sees: Vec<Sighting>,
    /// Published while it has the duty, in a column of its own.
    #[serde(skip)]
    pub(super) whole: FleetSummary,
}

impl MemberStatus {
    pub(super) fn of(duty: Duty, sees: Vec<Sighting>, whole: FleetSummary) -> Self {
        Self { duty: duty.label().to_owned(), sees, whole }
    }
}

/// Another member, or this one.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) boot: String,
    /// Age of its status when it was read.
    pub(super) age: Duration,
    pub(super) status: MemberStatus,
}

/// The result of one exchange with the store.
#[derive(Debug)]
pub(in crate::control) struct SyncResult {
    pub(super) asked: Moment,
    pub(super) lease: LeaseReply,
    /// `None`: the store did not answer in time.
    pub(super) update: Option<Update>,
}

#[derive(Debug)]
pub(super) struct Update {
    /// Those who see alerts; whoever follows hears the holder alone.
    pub(super) members: Vec<Peer>,
    /// How many there are, for the holder.
    pub(super) count: Option<u64>,
    /// Some of them, to be shown; `None`: they were not read again.
    pub(super) roster: Option<Vec<MemberRow>>,
    /// Who has the duty.
    pub(super) holder: Option<Arc<str>>,
    /// What the holder tells, and how old that is.
    pub(super) whole: Option<(FleetSummary, Duration)>,
    /// New, or newer than last time.
    pub(super) incidents: Vec<Incident>,
    /// All silences of the fleet, as the store has them.
    pub(super) silences: Vec<Silence>,
    /// What this member's earlier starts left, the first time.
    pub(super) left: Option<LeftBehind>,
    /// What recovery has done lately, once when the duty comes here.
    pub(super) past_runs: Vec<Run>,
}

/// The task that exchanges a member's status with the store.
pub struct FleetSync {
    store: Store,
    records: Records,
    status: watch::Receiver<MemberStatus>,
    views: mpsc::Sender<SyncResult>,
    lease: Option<Lease>,
    /// The versions that were brought, by incident.
    brought: BTreeMap<String, (i64, String)>,
    restored: bool,
    /// What recovery has done was read since the duty came here.
    remembers: bool,
    /// Up to which change.
    known: KnownChanges,
    /// When all versions were last compared.
    compared: Option<At>,
    silences: Vec<Silence>,
    /// The number of the holder's summary that was received last, and the summary.
    received: (Option<i64>, FleetSummary),
    /// The own summary as it was published last, JSON, and its number.
    published: (String, i64),
    /// How long the one with the duty may keep it, as it was last heard.
    left: Duration,
    /// There is more to be fetched.
    more: bool,
    /// When those who are shown were read, and how many they were.
    shown: (Option<At>, usize),
}

impl FleetSync {
    pub(super) fn new(
        store: Store,
        records: Records,
        status: watch::Receiver<MemberStatus>,
        views: mpsc::Sender<SyncResult>,
    ) -> Self {
        Self {
            store,
            records,
            status,
            views,
            lease: None,
            brought: BTreeMap::new(),
            restored: false,
            remembers: false,
            known: NOTHING,
            compared: None,
            silences: Vec::new(),
            received: Default::default(),
            published: Default::default(),
            left: TERM,
            more: false,
            shown: Default::default(),
        }
    }

    /// Until asked to leave; then the duty is free for others at once.
    pub(in crate::control) async fn run(mut self, drain: Drain) {
        let mut news = self.store.news();
        loop {
            let view = tokio::select! {
                biased;
                () = drain.requested() => break,
                view = self.go() => view,
            };
            if self.views.send(view).await.is_err() {
                break;
            }
            tokio::select! {
                biased;
                () = drain.requested() => break,
                () = self.rest(&mut news) => {}
            }
        }
        let leaving = self.store.depart(self.presence().0, self.lease.take());
        let _ = tokio::time::timeout(ANSWER, leaving).await;
    }

    /// Until the next beat: by the clock, or when there is something to tell or to hear, in turn.
    async fn rest(&mut self, news: &mut watch::Receiver<u64>) {
        let duty = if self.lease.is_some() { Duty::Holds } else { Duty::Follows };
        let by_the_clock = tokio::time::sleep(next_beat(duty, self.left, chance::draw()));
        tokio::pin!(by_the_clock);
        tokio::time::sleep(GAP).await;
        if self.more {
            return;
        }
        tokio::select! {
            () = &mut by_the_clock => return,
            Ok(()) = news.changed() => {}
            Ok(()) = self.status.changed() => {}
        }
        let members = self.status.borrow().whole.members.max(self.received.1.members);
        tokio::select! {
            () = &mut by_the_clock => {}
            () = tokio::time::sleep(turn(members, chance::draw())) => {}
        }
    }

    async fn go(&mut self) -> SyncResult {
        let asked = clock::now();
        let nothing = SyncResult { asked, lease: LeaseReply::Unreachable, update: None };
        let roster = self.roster();
        let beat = self.beat(roster);
        let Ok(Ok(pulse)) = tokio::time::timeout(ANSWER, self.store.beat(beat)).await else {
            // Nobody knows how long the duty lasts: nothing is hurried for it.
            self.left = TERM;
            return nothing;
        };
        self.lease.clone_from(&pulse.lease);
        let lease = if self.lease.is_some() { LeaseReply::Granted } else { LeaseReply::HeldElsewhere };
        match tokio::time::timeout(ANSWER * 2, self.update(pulse, roster > 0)).await {
            Ok(Ok(update)) => SyncResult { asked, lease, update: Some(update) },
            // Whoever cannot see what others have stored must not act as if it could.
            Ok(Err(_)) | Err(_) => nothing,
        }
    }

    /// How many members are to be read.
    fn roster(&self) -> u32 {
        let now = At(crate::store::rows::millis(clock::now().wall));
        let due = self.shown.0.is_none_or(|at| now.since(at) >= SHOWN_EVERY);
        if due || self.shown.1 <= FEW { SHOWN } else { 0 }
    }

    fn beat(&mut self, roster: u32) -> SyncRequest {
        let (presence, loud) = self.presence();
        let summary = serde_json::to_string(&self.status.borrow_and_update().whole).unwrap_or_default();
        if summary != self.published.0 {
            // A random number: the summaries of two holders never share one.
            self.published = (summary, i64::from_ne_bytes(chance::draw().to_ne_bytes()));
        }
        SyncRequest {
            loud,
            lease: DUTY.to_owned(),
            // Two starts of one sidecar are two members: the earlier one may still run.
            holder: format!("{}/{}", self.records.member(), self.records.boot()),
            token: self.lease.as_ref().map(|lease| lease.token),
            term: TERM,
            word: self.published.0.clone(),
            said: self.published.1,
            heard: self.received.0,
            known: self.known,
            fresh: FRESH,
            roster,
            presence,
        }
    }

    /// What it sees, and how many alerts that is.
    fn presence(&self) -> (Presence, i64) {
        let status = self.status.borrow();
        let sees = serde_json::to_string(&*status).unwrap_or_default();
        let loud = i64::try_from(status.sees.len()).unwrap_or(i64::MAX);
        let (member, boot) = (self.records.member().to_owned(), self.records.boot().to_owned());
        (Presence { member, boot, sees }, loud)
    }

    async fn update(&mut self, pulse: SyncReply, shown: bool) -> Result<Update, StoreError> {
        let now = At(crate::store::rows::millis(clock::now().wall));
        if shown {
            self.shown = (Some(now), pulse.roster.len());
        }
        let left = match self.restored {
            true => None,
            false => Some(self.records.left_behind(now).await.ok_or(StoreError::Closed)?),
        };
        let holds = pulse.lease.is_some();
        let past_runs = match holds && !self.remembers {
            true => self.records.past_runs(now).await?,
            false => Vec::new(),
        };
        let mut incidents = self.brought(pulse.incidents).await?;
        self.more = incidents.len() >= PAGE;
        let known = pulse.known.unwrap_or(NOTHING);
        // A database that was put back knows less than before.
        let back = known.incidents < self.known.incidents || known.silences < self.known.silences;
        let compare = back || self.compared.is_none_or(|at| now.since(at) >= COMPARED);
        if compare {
            incidents.extend(self.compare(now).await?);
            self.compared = Some(now);
        }
        match pulse.silences {
            Some(rows) => self.silences = rows.iter().filter_map(records::silence_of).collect(),
            None if back => self.silences = self.records.silences(now).await?,
            None => self.silences.retain(|silence| silence.until > now),
        }
        self.known = known;
        (self.restored, self.remembers) = (true, holds);
        let (holder, whole) = self.hear(pulse.holder, holds);
        Ok(Update {
            members: pulse.loud.into_iter().map(member).collect(),
            count: pulse.members,
            roster: shown.then_some(pulse.roster),
            holder,
            whole,
            incidents,
            silences: self.silences.clone(),
            left,
            past_runs,
        })
    }

    /// Who has the duty, and what it says to everybody.
    fn hear(
        &mut self,
        held: Option<LeaseHolder>,
        ours: bool,
    ) -> (Option<Arc<str>>, Option<(FleetSummary, Duration)>) {
        if ours {
            self.left = TERM;
            return (Some(Arc::from(self.records.member())), None);
        }
        let Some(held) = held else { return (None, None) };
        // A text of a newer version that this one cannot read counts as empty.
        if let Some(word) = held.word {
            self.received = (held.said, serde_json::from_str(&word).unwrap_or_default());
        }
        let left = u64::try_from(held.left).unwrap_or_default();
        self.left = Duration::from_millis(left);
        let (holder, boot) = held.holder.rsplit_once('/').unwrap_or((held.holder.as_str(), ""));
        let holder = (left > 0).then(|| Arc::from(holder));
        // It was said when the duty was last renewed; what was given back keeps its age as it was.
        let its = left > 0 && *self.received.1.by == *boot;
        let whole = its.then(|| (self.received.1.clone(), TERM.saturating_sub(self.left)));
        (holder, whole)
    }

    /// Those that have changed.
    async fn brought(&mut self, changed: Vec<IncidentVersion>) -> Result<Vec<Incident>, StoreError> {
        let mut incidents = Vec::new();
        for IncidentVersion { id, revision, member } in changed {
            incidents.extend(self.records.find_row(&id).await?);
            self.brought.insert(id, (revision, member));
        }
        Ok(incidents)
    }

    /// What has changed without having been told.
    async fn compare(&mut self, now: At) -> Result<Vec<Incident>, StoreError> {
        let versions = self.store.versions((now - LATELY).0, records::LIVE).await?;
        let is_known = |version: &IncidentVersion| {
            let known = self.brought.get(&version.id);
            known.is_some_and(|(revision, member)| (revision, member) == (&version.revision, &version.member))
        };
        let changed = versions.iter().filter(|version| !is_known(version)).cloned().collect();
        let incidents = self.brought(changed).await?;
        self.brought.retain(|id, _| versions.iter().any(|version| version.id == *id));
        Ok(incidents)
    }
}

fn member(seen: SeenMember) -> Peer {
    let SeenMember { presence: Presence { member, boot, sees }, age } = seen;
    Peer {
        name: member,
        boot,
        age: Duration::from_millis(u64::try_from(age).unwrap_or_default()),
        // A text of a newer version that this one cannot read counts as empty.
        status: serde_json::from_str(&sees).unwrap_or_default(),
    }
}

/// A status before the first look.
pub(super) fn unpublished() -> (watch::Sender<MemberStatus>, watch::Receiver<MemberStatus>) {
    watch::channel(MemberStatus::of(Duty::Follows, Vec::new(), FleetSummary::default()))
}
