//! What members of a fleet tell the store that they share, and what it tells them.

use super::rows::Millis;
use super::tables::{IncidentRow, IncidentVersion, NewEntry, SilenceRow};

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
