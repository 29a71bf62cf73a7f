//! What the process knows of itself: its config file, its certificates, the ways to tell people, who else writes into its file.
//!
//! Holds facts; [`crate::reliability::conditions`] says which of them somebody should know.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::{Control, Records};
use crate::config::problem::Problem;
use crate::config::reload::ReloadOutcome;
use crate::names::UpstreamName;
use crate::reliability::conditions;
use crate::reliability::failover::{Failover, Group};
use crate::reliability::readings::Reported;
use crate::runtime::clock::{self, Moment};
use crate::runtime::drain::Drain;
use crate::store::rows::millis;
use crate::units::At;

/// Between two looks at who writes: a sidecar writes at least every ten seconds.
const EVERY: Duration = Duration::from_secs(15);

#[derive(Debug, Default)]
struct OwnFacts {
    /// When the config file was refused, and its first problem.
    refused: Option<(At, String)>,
    /// When the config of the file was taken back, and why.
    taken_back: Option<(At, String)>,
    /// When certificates are valid, by listener.
    certificates: BTreeMap<String, (At, At)>,
    /// The file of the store, and how many write into it.
    writers: Option<(String, usize)>,
}

/// The facts. Clones are cheap and the same.
#[derive(Clone, Debug, Default)]
pub struct Own(Arc<Mutex<OwnFacts>>);

impl Own {
    fn facts(&self) -> MutexGuard<'_, OwnFacts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What came of a reload.
    pub fn reloaded(&self, outcome: &ReloadOutcome) {
        let told = |one: &Problem| {
            if one.path.is_empty() { one.message.clone() } else { format!("{}: {}", one.path, one.message) }
        };
        let now = clock::now().wall;
        self.config_refused(now, outcome.refused.first().map(told));
        if outcome.refused.is_empty() {
            let why = outcome.taken_back().map(str::to_owned);
            self.facts().taken_back = why.map(|why| (At(millis(now)), why));
        }
    }

    fn config_refused(&self, at: SystemTime, problem: Option<String>) {
        let mut facts = self.facts();
        facts.refused = problem.map(|problem| {
            let since = facts.refused.as_ref().map_or(At(millis(at)), |(since, _)| *since);
            (since, problem)
        });
    }

    /// The certificate of a listener is valid from and until then.
    pub fn certificate(&self, listener: &str, (from, until): (SystemTime, SystemTime)) {
        self.facts().certificates.insert(listener.to_owned(), (At(millis(from)), At(millis(until))));
    }

    /// From and until when the certificates that clients are shown are valid, by listener, as of the last look.
    pub fn certificates(&self) -> BTreeMap<String, (At, At)> {
        self.facts().certificates.clone()
    }

    fn conditions(&self, now: At) -> Vec<Reported> {
        let facts = self.facts();
        let certificates = facts.certificates.iter();
        let certificates =
            certificates.map(|(listener, valid)| conditions::certificate(listener, *valid, now));
        let writers = facts.writers.as_ref().map(|(path, writers)| conditions::shared_file(path, *writers));
        let config = [
            conditions::config_refused(facts.refused.as_ref()),
            conditions::config_taken_back(facts.taken_back.as_ref()),
        ];
        config.into_iter().chain(writers).chain(certificates).collect()
    }
}

impl Control {
    /// What somebody should know of the process itself.
    pub(super) fn own_conditions(&self, now: At) -> Vec<Reported> {
        let mut all = self.own.conditions(now);
        all.push(self.follower.condition(now));
        all.extend(self.notifier.failing().into_iter().map(|(channel, failing)| {
            let failing = failing.as_ref().map(|(length, why)| (*length, *why));
            conditions::channel(&channel, failing, now)
        }));
        all
    }

    /// What somebody should know of upstreams that are called at their backup endpoints.
    pub(super) fn failover_conditions(&self, moment: Moment, now: At) -> Vec<Reported> {
        let condition = |(name, failover): (UpstreamName, Failover)| {
            let switched = failover.switched().filter(|_| failover.group() == Group::Backup);
            let since = switched.map(|(at, why)| (now - moment.instant.saturating_duration_since(at), why));
            conditions::on_backup(name.as_str(), since)
        };
        self.failovers.all().into_iter().map(condition).collect()
    }
}

/// Looks at who writes into the file of the store until asked to leave.
pub(super) async fn watch_writers(own: Own, records: Records, path: std::path::PathBuf, drain: Drain) {
    let mut before: Option<BTreeMap<String, i64>> = None;
    loop {
        if let Some(reader) = records.reader()
            && let Ok(all) = reader.writers().await
        {
            let now: BTreeMap<String, i64> = all.into_iter().collect();
            let writers = before.as_ref().map(|before| moved(before, &now));
            own.facts().writers = writers.map(|writers| (shown(&path), writers));
            before = Some(now);
        }
        tokio::select! {
            () = drain.requested() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// How many have written between two looks.
fn moved(before: &BTreeMap<String, i64>, now: &BTreeMap<String, i64>) -> usize {
    now.iter().filter(|(writer, batch)| before.get(*writer) != Some(*batch)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_writes_between_two_looks_is_counted_and_who_has_ended_is_not() {
        let look = |all: &[(&str, i64)]| -> BTreeMap<String, i64> {
            all.iter().map(|(writer, batch)| ((*writer).to_owned(), *batch)).collect()
        };
        let before = look(&[("an earlier start", 900), ("a", 7)]);
        assert_eq!(moved(&before, &look(&[("an earlier start", 900), ("a", 9)])), 1);
        assert_eq!(moved(&before, &look(&[("an earlier start", 900), ("a", 9), ("b", 1)])), 2);
    }

    #[test]
    fn a_file_that_is_refused_again_is_refused_since_the_first_time() {
        let own = Own::default();
        let at = |second| SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        own.config_refused(at(10), Some("one".to_owned()));
        own.config_refused(at(20), Some("another".to_owned()));
        let told = own.conditions(At(30_000)).remove(0);
        assert_eq!(told.first_bad, Some(At(10_000)));
        own.config_refused(at(30), None);
        assert_eq!(own.conditions(At(40_000)).remove(0).first_bad, None);
    }
}
