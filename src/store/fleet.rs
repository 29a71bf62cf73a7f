//! What members of a fleet ask of the store that they share: over the one connection that is open anyway, answered at
//! once or not at all.

use tokio::sync::watch;

use super::queue::Query;
use super::rows::{
    IncidentVersion, Lease, Millis, NotificationRow, Presence, StoredIncident, SyncReply, SyncRequest,
};
use super::{Store, StoreError};

impl Store {
    /// Tells that this sidecar runs, keeps or takes a lease, and brings what is new, all at once. Answered at once or not at
    /// all: it does not wait for a database that is away. A file refuses it.
    pub async fn beat(&self, beat: SyncRequest) -> Result<SyncReply, StoreError> {
        self.answered(|done| Query::Sync(Box::new(beat), done)).await
    }

    /// Changes whenever another sidecar tells that it has written something; never where nobody can be listened to.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.shared.news.subscribe()
    }

    /// Takes back what [`Self::beat`] told, and gives the lease back.
    pub async fn depart(&self, presence: Presence, lease: Option<Lease>) -> Result<(), StoreError> {
        self.answered(|done| Query::Depart(presence, lease, done)).await
    }

    /// Which versions there are of incidents that are not over, or have changed since `since` by their writers' clocks; over the
    /// connection that is open anyway.
    pub async fn versions(&self, since: Millis, limit: u32) -> Result<Vec<IncidentVersion>, StoreError> {
        self.answered(|done| Query::Versions(since, limit, done)).await
    }

    /// An incident and its lines, over the connection that is open anyway.
    pub async fn whole(&self, id: &str) -> Result<Option<StoredIncident>, StoreError> {
        self.answered(|done| Query::Incident(id.to_owned(), done)).await
    }

    /// Notifications that wait, what is due first first, over the connection that is open anyway.
    pub async fn undelivered(&self, limit: u32) -> Result<Vec<NotificationRow>, StoreError> {
        self.answered(|done| Query::Undelivered(limit, done)).await
    }
}
