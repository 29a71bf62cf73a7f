//! Goes to the store that a fleet shares, once a second, and comes back with what is new: who has the duty, who else is there
//! and what they see, which incidents others have changed.
//!
//! A task of its own, so that a store that does not answer holds up nobody: what it has not brought is simply not there yet.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use super::records::{LeftBehind, Records};
use crate::reliability::fleet::{Duty, Said, Sighting, TERM};
use crate::reliability::incident::Incident;
use crate::reliability::silence::Silence;
use crate::runtime::clock::{self, Moment};
use crate::runtime::drain::Drain;
use crate::store::rows::{Lease, Presence, Seen};
use crate::store::{Store, StoreError};
use crate::units::At;

/// The lease of whoever calls people.
const DUTY: &str = "duty";
/// How long one question may take: with a longer wait the lease would run out behind it.
const ANSWER: Duration = Duration::from_secs(2);
/// Incidents that changed this recently are shown also when they are over.
const LATELY: Duration = Duration::from_secs(86_400);

/// What a member tells the others of itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Word {
    /// Its duty, as [`Duty::label`].
    pub(super) duty: String,
    /// Its live alerts.
    pub(super) sees: Vec<Sighting>,
}

impl Word {
    pub(super) fn of(duty: Duty, sees: Vec<Sighting>) -> Self {
        Self { duty: duty.label().to_owned(), sees }
    }
}

/// Another member, or this one.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) boot: String,
    /// How old its word was.
    pub(super) age: Duration,
    pub(super) word: Word,
}

/// What came back.
#[derive(Debug)]
pub(super) struct View {
    pub(super) asked: Moment,
    pub(super) said: Said,
    /// `None`: the store did not answer.
    pub(super) news: Option<News>,
}

#[derive(Debug)]
pub(super) struct News {
    pub(super) members: Vec<Member>,
    /// New, or newer than last time.
    pub(super) incidents: Vec<Incident>,
    /// All of them.
    pub(super) silences: Vec<Silence>,
    /// What this member's earlier starts left, the first time.
    pub(super) left: Option<LeftBehind>,
}

/// The task.
pub struct Courier {
    store: Store,
    records: Records,
    word: watch::Receiver<Word>,
    views: mpsc::Sender<View>,
    lease: Option<Lease>,
    /// The versions that were brought, by incident.
    brought: BTreeMap<String, (i64, String)>,
    restored: bool,
}

impl Courier {
    pub(super) fn new(
        store: Store,
        records: Records,
        word: watch::Receiver<Word>,
        views: mpsc::Sender<View>,
    ) -> Self {
        Self { store, records, word, views, lease: None, brought: BTreeMap::new(), restored: false }
    }

    /// Until asked to leave; then the duty is free for others at once.
    pub(super) async fn run(mut self, drain: Drain) {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = drain.requested() => break,
                _ = second.tick() => {}
            }
            let view = tokio::select! {
                biased;
                () = drain.requested() => break,
                view = self.go() => view,
            };
            if self.views.send(view).await.is_err() {
                break;
            }
        }
        let leaving = async {
            if let Some(lease) = self.lease.take() {
                let _ = self.store.release(lease).await;
            }
            let _ = self.store.depart(self.presence()).await;
        };
        let _ = tokio::time::timeout(ANSWER, leaving).await;
    }

    async fn go(&mut self) -> View {
        let asked = clock::now();
        let said = match tokio::time::timeout(ANSWER, self.ask()).await {
            Ok(Ok(said)) => said,
            Ok(Err(_)) | Err(_) => return View { asked, said: Said::Nothing, news: None },
        };
        let news = tokio::time::timeout(ANSWER * 2, self.news()).await;
        match news {
            Ok(Ok(news)) => View { asked, said, news: Some(news) },
            // Whoever cannot see what others have stored must not act as if it could.
            Ok(Err(_)) | Err(_) => View { asked, said: Said::Nothing, news: None },
        }
    }

    async fn ask(&mut self) -> Result<Said, StoreError> {
        if let Some(lease) = &self.lease {
            self.lease = self.store.renew(lease, TERM).await?;
        }
        if self.lease.is_none() {
            // Two starts of one sidecar are two members: the earlier one may still run.
            let holder = format!("{}/{}", self.records.member(), self.records.boot());
            self.lease = self.store.acquire(DUTY, &holder, TERM).await?;
        }
        Ok(if self.lease.is_some() { Said::Yours } else { Said::Anothers })
    }

    fn presence(&self) -> Presence {
        let sees = serde_json::to_string(&*self.word.borrow()).unwrap_or_default();
        Presence { member: self.records.member().to_owned(), boot: self.records.boot().to_owned(), sees }
    }

    async fn news(&mut self) -> Result<News, StoreError> {
        let now = At(crate::store::rows::millis(clock::now().wall));
        let members = self.store.appear(self.presence()).await?;
        let members = members.into_iter().map(member).collect();
        let left = match self.restored {
            true => None,
            false => Some(self.records.left_behind(now).await.ok_or(StoreError::Closed)?),
        };
        let reader = self.store.reader();
        let mut incidents = Vec::new();
        let versions = reader.versions((now - LATELY).0, super::records::LIVE).await?;
        for version in &versions {
            let this = (version.revision, version.member.clone());
            if self.brought.get(&version.id) == Some(&this) {
                continue;
            }
            incidents.extend(self.records.find_row(&version.id).await?);
            self.brought.insert(version.id.clone(), this);
        }
        self.brought.retain(|id, _| versions.iter().any(|version| version.id == *id));
        let silences = self.records.silences(now).await?;
        self.restored = true;
        Ok(News { members, incidents, silences, left })
    }
}

fn member(seen: Seen) -> Member {
    let Seen { presence: Presence { member, boot, sees }, age } = seen;
    Member {
        name: member,
        boot,
        age: Duration::from_millis(u64::try_from(age).unwrap_or_default()),
        // What a newer version says in words of its own is nothing to this one.
        word: serde_json::from_str(&sees).unwrap_or_default(),
    }
}

/// A word that nobody has spoken yet.
pub(super) fn silent() -> (watch::Sender<Word>, watch::Receiver<Word>) {
    watch::channel(Word::of(Duty::Follows, Vec::new()))
}

/// Who is shown of the fleet.
#[derive(Clone, Debug)]
pub struct FleetView {
    /// This member's duty.
    pub duty: Duty,
    /// Since when.
    pub since: At,
    /// Who has the duty, as far as this member knows.
    pub holder: Option<Arc<str>>,
    /// Everybody seen within the hour.
    pub members: Vec<MemberView>,
}

/// One member.
#[derive(Clone, Debug)]
pub struct MemberView {
    /// Its name.
    pub name: Arc<str>,
    /// Its start.
    pub boot: Arc<str>,
    /// How long ago it was last seen.
    pub age: Duration,
    /// Alerts that it sees.
    pub sees: usize,
}
