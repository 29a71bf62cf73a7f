//! Reads the file again when it changes, when a signal says so, or when somebody asks. The last good config stays.
//!
//! A file may hang, so no lock is held over reading and applying: there is one reload at a time, whoever comes
//! meanwhile waits for a moment and is refused then, and what is in force can be asked for at any time.

use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;

use super::Config;
use super::diff::{self, ConfigChange, Diff};
use super::problem::{Problem, Problems};
use crate::runtime::{clock, files};

/// Why the file is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadCause {
    /// The process got SIGHUP.
    Signal,
    Watch,
    /// A call of `POST /api/v2/sre/config/reload`.
    Api,
    /// The config of the file has made things worse (`process.canary`): the one before is in force again.
    Canary,
}

impl ReloadCause {
    /// For logs and the API.
    pub fn label(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::Watch => "watch",
            Self::Api => "api",
            Self::Canary => "canary",
        }
    }
}

/// What came of a reload.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, schema(as = Outcome))]
pub struct ReloadOutcome {
    /// What caused it: `signal`, `watch` or `api`; `canary`: the config before came in force again.
    pub cause: String,
    /// Who asked for it; the cause again where nobody is known.
    pub actor: String,
    /// The reason given in the request; without one, what caused the reload, such as "SIGHUP".
    pub reason: String,
    /// When it began, as RFC 3339.
    pub at: String,
    /// Number of the config in force; it rises by one with each applied config.
    pub generation: u64,
    /// Content hash of the config in force.
    pub hash: String,
    /// Changes that are in force now.
    pub applied: Vec<ConfigChange>,
    /// Changes that take a restart; the old values stay in force until then.
    pub needs_restart: Vec<ConfigChange>,
    /// Why the file was refused; empty when it was applied.
    pub refused: Vec<Problem>,
}

impl ReloadOutcome {
    /// Nothing has come of it yet: this one is in force.
    fn begun(cause: ReloadCause, (actor, reason): (&str, &str), generation: u64, current: &Config) -> Self {
        Self {
            cause: cause.label().to_owned(),
            actor: actor.to_owned(),
            reason: reason.to_owned(),
            at: clock::rfc3339(clock::now().wall),
            generation,
            hash: current.hash.clone(),
            applied: Vec::new(),
            needs_restart: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// The reason, where the config of the file was taken back.
    pub fn taken_back(&self) -> Option<&str> {
        (self.cause == ReloadCause::Canary.label()).then_some(&*self.reason)
    }
}

/// Reads a text, and tries what can be tried without running it.
pub type Load = fn(&str, &str, &[(String, String)]) -> Result<Config, Problems>;
/// Puts a good config in force.
pub type Apply = Box<dyn Fn(Arc<Config>, &Diff, ReloadCause) + Send + Sync>;
/// Hears of every outcome.
pub type Hear = Box<dyn Fn(&ReloadOutcome, Option<&Problems>) + Send + Sync>;

struct ReloadState {
    current: Arc<Config>,
    /// What was in force before that, and ran.
    before: Option<Arc<Config>>,
    generation: u64,
    loaded_at: SystemTime,
    changed_at: Option<SystemTime>,
    last: Option<ReloadOutcome>,
    /// Of the bytes that were read last, whether they could run or not.
    seen: u64,
    /// The same of the secrets.
    secrets: u64,
}

/// How long a reload waits for the one before.
const TURN: Duration = Duration::from_secs(5);
/// Reloads that may wait.
const WAITING: usize = 2;

/// Another reload has not ended, and probably hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a reload that began {} s ago has not ended; it waits for a file", .0.as_secs())]
pub struct Busy(pub Duration);

/// Whose turn it is.
#[derive(Default)]
struct Turns {
    held: Mutex<ReloadTurn>,
    freed: Condvar,
}

#[derive(Default)]
struct ReloadTurn {
    since: Option<Instant>,
    waiting: usize,
}

/// Until it is dropped nobody else reloads.
struct ReloadGuard<'a>(&'a Turns);

impl Turns {
    fn take(&self) -> Result<ReloadGuard<'_>, Busy> {
        let busy = |held: &ReloadTurn| {
            let now = clock::instant();
            Busy(held.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since)))
        };
        let mut held = locked(&self.held);
        if held.since.is_some() && held.waiting >= WAITING {
            return Err(busy(&held));
        }
        held.waiting += 1;
        let waited = self.freed.wait_timeout_while(held, TURN, |held| held.since.is_some());
        let (mut held, _) = waited.unwrap_or_else(PoisonError::into_inner);
        held.waiting -= 1;
        if held.since.is_some() {
            return Err(busy(&held));
        }
        held.since = Some(clock::instant());
        Ok(ReloadGuard(self))
    }
}

impl Drop for ReloadGuard<'_> {
    fn drop(&mut self) {
        locked(&self.0.held).since = None;
        self.0.freed.notify_one();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps a config file and the config in force together.
pub struct Reloader {
    path: Option<PathBuf>,
    env: Vec<(String, String)>,
    load: Load,
    apply: Apply,
    hear: Hear,
    state: Mutex<ReloadState>,
    turns: Turns,
    /// Has somebody the file open who writes?
    written: (Mutex<bool>, Condvar),
}

/// How the config in force came about.
#[derive(Clone, Debug)]
pub struct ReloadStatus {
    /// The file; `None`: built in.
    pub path: Option<PathBuf>,
    /// The config in force.
    pub config: Arc<Config>,
    /// Rises with every transition.
    pub generation: u64,
    /// When it came in force.
    pub loaded_at: SystemTime,
    /// The file's own time of change at the last look; `None`: not observable.
    pub file_changed_at: Option<SystemTime>,
    /// The last reload, applied or refused; `None`: none since the start.
    pub last: Option<ReloadOutcome>,
}

impl Reloader {
    /// With the config that the process started with.
    pub fn new(
        path: Option<PathBuf>,
        env: Vec<(String, String)>,
        current: Arc<Config>,
        (load, apply, hear): (Load, Apply, Hear),
    ) -> Arc<Self> {
        let found = path.as_deref().and_then(regular);
        let changed_at = found.as_ref().and_then(|(changed_at, _)| *changed_at);
        let seen = found.map_or(0, |(_, bytes)| hash(&bytes));
        let loaded_at = clock::now().wall;
        let secrets = secrets(&current);
        let state = ReloadState {
            current,
            before: None,
            generation: 1,
            loaded_at,
            changed_at,
            last: None,
            seen,
            secrets,
        };
        let (state, turns, written) = (Mutex::new(state), Turns::default(), Default::default());
        Arc::new(Self { path, env, load, apply, hear, state, turns, written })
    }

    /// Reads the file again and puts it in force if it can run.
    pub fn reload(&self, cause: ReloadCause) -> Result<ReloadOutcome, Busy> {
        let reason = match cause {
            ReloadCause::Signal => "SIGHUP",
            ReloadCause::Watch => "the file changed",
            ReloadCause::Api => "asked by the API",
            ReloadCause::Canary => "the config before is better",
        };
        self.reload_for(cause, cause.label(), reason)
    }

    /// The same for somebody who gives a reason.
    pub fn reload_for(&self, cause: ReloadCause, actor: &str, reason: &str) -> Result<ReloadOutcome, Busy> {
        let _turn = self.turns.take()?;
        let (before, generation) = {
            let state = locked(&self.state);
            (Arc::clone(&state.current), state.generation)
        };
        let mut outcome = ReloadOutcome::begun(cause, (actor, reason), generation, &before);
        let read = self.closed().and_then(|()| self.read(&before)).and_then(|new| {
            let diff = diff::diff(&before, &new);
            Ok((diff::runnable(&before, new, &diff.needs_restart)?, diff))
        });
        let problems = match read {
            Ok((running, diff)) => {
                self.put_in_force(Arc::new(running), cause, diff, &mut outcome);
                None
            }
            Err(problems) => {
                outcome.refused.clone_from(&problems.all);
                Some(problems)
            }
        };
        locked(&self.state).last = Some(outcome.clone());
        (self.hear)(&outcome, problems.as_ref());
        Ok(outcome)
    }

    fn put_in_force(&self, new: Arc<Config>, cause: ReloadCause, diff: Diff, outcome: &mut ReloadOutcome) {
        (self.apply)(Arc::clone(&new), &diff, cause);
        (outcome.generation, outcome.hash) = (outcome.generation + 1, new.hash.clone());
        Diff { applied: outcome.applied, needs_restart: outcome.needs_restart } = diff;
        let mut state = locked(&self.state);
        let before = std::mem::replace(&mut state.current, new);
        // A comment changes no config: what ran before that is still the one to go back to.
        if !outcome.applied.is_empty() {
            state.before = (cause != ReloadCause::Canary).then_some(before);
        }
        state.generation = outcome.generation;
        state.loaded_at = clock::now().wall;
    }

    /// Puts the config of before in force again, while the one with this hash still is. The file stays, and is not read again until
    /// it changes or somebody asks for it. `None`: another one came meanwhile.
    pub fn take_back(&self, hash: &str, why: &str) -> Result<Option<ReloadOutcome>, Busy> {
        let _turn = self.turns.take()?;
        let (current, before, generation) = {
            let state = locked(&self.state);
            (Arc::clone(&state.current), state.before.clone(), state.generation)
        };
        let Some(before) = before.filter(|_| current.hash == hash) else { return Ok(None) };
        let cause = ReloadCause::Canary;
        let mut outcome = ReloadOutcome::begun(cause, ("canary", why), generation, &current);
        let diff = diff::diff(&current, &before);
        // The secrets that are looked at are its own again.
        let secrets = secrets(&before);
        self.put_in_force(before, cause, diff, &mut outcome);
        let mut state = locked(&self.state);
        (state.secrets, state.last) = (secrets, Some(outcome.clone()));
        drop(state);
        (self.hear)(&outcome, None);
        Ok(Some(outcome))
    }

    fn read(&self, before: &Config) -> Result<Config, Problems> {
        let Some(path) = &self.path else {
            return Err(Problems::single(
                "there is no config file to read: the process runs on built-in settings",
            ));
        };
        let changed_at = files::look(path).and_then(|file| file.modified()).ok();
        let bytes = files::read(path)
            .map_err(|error| Problems::single(&format!("{} cannot be read: {error}", path.display())))?;
        let secrets = secrets(before);
        {
            // Before anything is made of it: what cannot run is refused once, not at each look.
            let mut state = locked(&self.state);
            (state.seen, state.secrets, state.changed_at) = (hash(&bytes), secrets, changed_at);
        }
        let text = String::from_utf8(bytes)
            .map_err(|error| Problems::single(&not_text(path, error.as_bytes(), error.utf8_error())))?;
        (self.load)(&text, &path.display().to_string(), &self.env)
    }

    /// How the config in force came about. Looks at no file.
    pub fn status(&self) -> ReloadStatus {
        let state = locked(&self.state);
        ReloadStatus {
            path: self.path.clone(),
            config: Arc::clone(&state.current),
            generation: state.generation,
            loaded_at: state.loaded_at,
            file_changed_at: state.changed_at,
            last: state.last.clone(),
        }
    }

    /// Does the file, or one of the secrets that it names, hold something else than at the last reading?
    pub(super) fn has_changed(&self, path: &Path) -> bool {
        let secrets = secrets(&self.status().config);
        let found = regular(path);
        let mut state = locked(&self.state);
        let Some((changed_at, bytes)) = found else { return state.secrets != secrets };
        state.changed_at = changed_at;
        hash(&bytes) != state.seen || state.secrets != secrets
    }

    /// The file of the config, if there is one.
    pub(super) fn file(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Somebody has the file open and writes, or has closed it.
    pub(super) fn being_written(&self, is: bool) {
        *locked(&self.written.0) = is;
        self.written.1.notify_all();
    }

    /// Waits for a writer that has the file open. An error: it does not close it.
    fn closed(&self) -> Result<(), Problems> {
        let open = self.written.1.wait_timeout_while(locked(&self.written.0), TURN, |open| *open);
        let (open, _) = open.unwrap_or_else(PoisonError::into_inner);
        if !*open {
            return Ok(());
        }
        let file = self.path.as_deref().unwrap_or(Path::new("")).display();
        Err(Problems::single(&format!(
            "{file} is being written: it is read when its writer has closed it (write beside it and rename, and it is never \
             seen half)"
        )))
    }
}

/// Where a file stops being text.
fn not_text(path: &Path, bytes: &[u8], error: std::str::Utf8Error) -> String {
    let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
    let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
    format!("{} is not text in UTF-8 from line {line} on; save it as UTF-8", path.display())
}

/// When a file was changed and what it holds, if it is one that may be looked at again and again: what comes
/// out of a FIFO is gone.
fn regular(path: &Path) -> Option<(Option<SystemTime>, Vec<u8>)> {
    let file = files::look(path).ok().filter(std::fs::Metadata::is_file)?;
    Some((file.modified().ok(), files::read(path).ok()?))
}

/// What the secrets and runbooks hold that a config names, as far as they may be looked at again and again.
fn secrets(config: &Config) -> u64 {
    let held = config.secret_files().into_iter().map(|path| regular(&path).map(|(_, bytes)| bytes));
    let mut hasher = std::collections::hash_map::DefaultHasher::new();
    held.for_each(|bytes| bytes.hash(&mut hasher));
    config.runbooks.hash_now().hash(&mut hasher);
    hasher.finish()
}

/// Tells two texts apart; no secret depends on it.
pub fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = std::collections::hash_map::DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}
