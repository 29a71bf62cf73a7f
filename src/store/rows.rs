//! The rows as they are stored. The store knows rows, not machines: states, kinds and bodies are the caller's.

use std::time::SystemTime;

/// A moment of the wall clock: milliseconds since 1970-01-01T00:00:00Z.
pub type Millis = i64;

/// A wall clock reading as it is stored.
pub fn millis(wall: SystemTime) -> Millis {
    let since = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
}

/// One incident as it is now; its story is the timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncidentRow {
    /// The incident's id, given by the engine.
    pub id: String,
    /// What makes two signals the same trouble.
    pub dedup_key: String,
    /// The word of its state in the lifecycle.
    pub state: String,
    /// The word of its severity.
    pub severity: String,
    /// Which rule opened it.
    pub rule: String,
    /// What is in trouble.
    pub service: String,
    /// When the trouble began.
    pub started_at: Millis,
    /// `None`: it has not ended.
    pub resolved_at: Option<Millis>,
    /// When this row changed.
    pub updated_at: Millis,
    /// Grows with each change: an older one never overwrites a newer one.
    pub revision: i64,
    /// Which sidecar wrote it.
    pub member: String,
    /// All other facts of the incident as JSON; the columns beside it are for queries.
    pub body: String,
}

/// What becomes of an incident that is there already when another version of it is written: the version to keep, from the
/// one that is there and the new one. Writers follow each other, so nothing comes between.
pub type Join = fn(&IncidentRow, &IncidentRow) -> IncidentRow;

/// The newer revision; of two with the same one, the new one.
pub fn newer(there: &IncidentRow, new: &IncidentRow) -> IncidentRow {
    if new.revision >= there.revision { new.clone() } else { there.clone() }
}

/// One line of an incident's timeline. Its number is given by the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEntry {
    pub incident_id: String,
    pub at: Millis,
    /// A signal, an action, a note, a notification …
    pub kind: String,
    /// The person or part of Strop that did it.
    pub actor: String,
    /// The entry itself as JSON, as the core writes it.
    pub body: String,
}

/// Who did what. Its number and its hashes are given by the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    pub at: Millis,
    /// The person, member or part of Strop that did it.
    pub actor: String,
    /// A word of a closed set, such as "audit.keyed".
    pub action: String,
    /// The id or name of what it was done to.
    pub target: String,
    /// Facts of the action, such as its reason, as JSON.
    pub body: String,
}

/// An audit entry in its chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// 1, 2, 3 … without a gap.
    pub seq: i64,
    pub entry: AuditEntry,
    /// The hash of the row before, hex; zeros for the first one.
    pub prev_hash: String,
    /// Of this row, hex.
    pub hash: String,
}

/// How far a notification is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// To be sent at `next_at`.
    Waiting,
    /// Taken by the receiver.
    Sent,
    /// Refused by the receiver for good.
    Failed,
    /// Given up after too many attempts.
    Dead,
}

impl Delivery {
    /// The word of the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Dead => "dead",
        }
    }

    /// `None`: no word of this version.
    pub fn read(text: &str) -> Option<Self> {
        [Self::Waiting, Self::Sent, Self::Failed, Self::Dead].into_iter().find(|one| one.as_str() == text)
    }
}

/// One message to one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotificationRow {
    /// The id that the receiver gets too; it stays over all attempts.
    pub id: String,
    /// About which incident; a test has none.
    pub incident_id: Option<String>,
    /// What makes two messages the same for the receiver.
    pub dedup_key: String,
    /// Name of the channel, as in `[notify.<name>]`.
    pub channel: String,
    /// Trigger, update, resolve …
    pub kind: String,
    /// The message with its facts, as JSON.
    pub body: String,
    /// How far it is.
    pub state: Delivery,
    /// Attempts that were made so far.
    pub attempts: i64,
    /// When to try (again).
    pub next_at: Millis,
    /// When it was made.
    pub created_at: Millis,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When it was taken.
    pub sent_at: Option<Millis>,
}

/// One minute of one service as one sidecar saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerMinute {
    /// The member that saw it.
    pub member: String,
    /// The service that the ledger counts: the whole, or one upstream.
    pub service: String,
    /// When the minute began.
    pub minute: Millis,
    /// Which start of the sidecar.
    pub boot: String,
    /// One letter a second, 60 in all; what they mean is the ledger's.
    pub slices: String,
    /// Exchanges of this minute that were good.
    pub good: i64,
    /// Exchanges of this minute in all.
    pub total: i64,
}

/// Some time of the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Minutes {
    /// By minute, service, member and start.
    pub rows: Vec<LedgerMinute>,
    /// Packed days that cannot be read, by name; they stay where they are.
    pub unreadable: Vec<String>,
}

/// One start of a sidecar of a fleet: that it runs, and what it sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// The member's name, as `process.name` says.
    pub member: String,
    /// Which start of it.
    pub boot: String,
    /// The alerts that it sees, as JSON.
    pub sees: String,
}

/// A presence, and how old it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenMember {
    /// As it was told.
    pub presence: Presence,
    /// Milliseconds since then, by the database's clock.
    pub age: Millis,
}

/// What a sidecar of a fleet says each time that it tells that it runs, and what it wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncRequest {
    /// That it runs, and what it sees now.
    pub presence: Presence,
    /// Alerts among what it sees; those of 0 are read by nobody.
    pub loud: i64,
    /// The lease that it wants, or has.
    pub lease: String,
    /// The member and start in whose name it asks for the lease.
    pub holder: String,
    /// Under which token it has the lease.
    pub token: Option<i64>,
    /// For how long from now.
    pub term: std::time::Duration,
    /// What it tells everybody when it has the lease, JSON.
    pub word: String,
    /// The number of that word: another one is another word.
    pub said: i64,
    /// The holder's word that it knows.
    pub heard: Option<i64>,
    /// The changes that it knows.
    pub known: KnownChanges,
    /// What was told longer ago counts for nothing.
    pub fresh: std::time::Duration,
    /// How many others it wants to see, at most; 0: none.
    pub roster: u32,
}

/// Up to which change a sidecar knows what others have written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownChanges {
    /// The number of the last known change of an incident.
    pub incidents: i64,
    /// The number of the last known change of a silence.
    pub silences: i64,
}

/// What a [`SyncRequest`] brings back. What goes to the holder of the lease alone costs the database the more the larger the fleet
/// is, everything else does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncReply {
    /// The lease, for whoever has it now.
    pub lease: Option<Lease>,
    /// Who had it just before.
    pub holder: Option<LeaseHolder>,
    /// Up to here everything there is was brought, or was brought before; `None`: the tables are another version's.
    pub known: Option<KnownChanges>,
    /// Incidents that have changed, in this order; the next ones come with the next beat.
    pub incidents: Vec<IncidentVersion>,
    /// All silences that have not ended; `None`: none has changed.
    pub silences: Option<Vec<SilenceRow>>,
    /// To the holder: who sees alerts.
    pub loud: Vec<SeenMember>,
    /// To the holder: how many told lately that they run.
    pub members: Option<u64>,
    /// Some of those who were seen within the hour, in the order of their names; their words stay unread.
    pub roster: Vec<MemberRow>,
}

/// An incident and the lines of its timeline, in order.
pub type StoredIncident = (IncidentRow, Vec<NewEntry>);

/// A lease in somebody's hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseHolder {
    /// The member and start that have the lease.
    pub holder: String,
    /// Milliseconds that it lasts yet; less than 0: it has run out.
    pub left: Millis,
    /// Which word its holder has said.
    pub said: Option<i64>,
    /// The word, where it is not the one that was known.
    pub word: Option<String>,
}

/// One of those who run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRow {
    /// The member's name, as `process.name` says.
    pub member: String,
    /// Which start of it.
    pub boot: String,
    /// Milliseconds since it told so, by the database's clock.
    pub age: Millis,
    /// Alerts that it sees.
    pub loud: i64,
}

/// Which version of an incident the store has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncidentVersion {
    pub id: String,
    /// Grows with each change of the incident.
    pub revision: i64,
    /// Which sidecar wrote it.
    pub member: String,
}

/// Who wants to hear nothing of what, and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SilenceRow {
    pub id: String,
    /// The whole silence as JSON.
    pub body: String,
    /// When it begins to hold calls back.
    pub starts_at: Millis,
    /// When it ends (exclusive).
    pub ends_at: Millis,
}

/// The right to do something alone, for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What the lease grants, such as the calls of a fleet.
    pub name: String,
    /// The member and start that have it.
    pub holder: String,
    /// Grows with each holder: a former one neither renews nor releases it.
    pub token: i64,
    /// When it ends by the database's clock.
    pub expires_at: Millis,
}

/// One durable write. The writes of one call are on disk together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// New, or newer than what is there.
    PutIncident(IncidentRow),
    /// Added to the end of their timelines.
    AddEntries(Vec<NewEntry>),
    /// Added to the end of the chain.
    Audit(AuditEntry),
    PutNotification(NotificationRow),
    PutSilence(SilenceRow),
    /// New, or the same minute with more in it.
    LedgerMinute(LedgerMinute),
}
