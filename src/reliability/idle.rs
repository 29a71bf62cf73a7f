//! How long may a connection lie idle, and does its peer end it sooner than that?
//!
//! A connection that is about to be closed by its peer is worth nothing: a request that crosses the peer's FIN is lost.
//! Decides how long one is kept, from what the operator wrote and what the peer said of itself, and what connections
//! that were found closed say about the peer. Invariants: what was written is never lengthened by a peer; one closing
//! alone, which may be a restart, accuses nobody.

use std::time::{Duration, Instant};

/// The most that is kept where nothing was written.
pub const MOST: Duration = Duration::from_secs(50);
/// HTTP/1.1 behind the ingress, where nothing was written: below the 5 s after which uvicorn and node hang up.
pub const BACKEND: Duration = Duration::from_secs(4);

/// How long idle connections of an upstream are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdlePolicy {
    /// HTTP/1.1, whose peers close without a word.
    pub h1: Duration,
    /// HTTP/2, whose peers say GOAWAY.
    pub h2: Duration,
    /// The operator wrote it. Then it is the most, whatever the peer says.
    pub written: bool,
}

impl IdlePolicy {
    /// What the operator wrote, for both protocols.
    pub fn written(limit: Duration) -> Self {
        Self { h1: limit, h2: limit, written: true }
    }

    /// Where nothing was written: of an upstream behind the ingress, else of another one.
    pub fn preset(ingress: bool) -> Self {
        Self { h1: if ingress { BACKEND } else { MOST }, h2: MOST, written: false }
    }

    /// How long an idle HTTP/1.1 connection is kept whose peer `said` that it keeps it so long (`Keep-Alive: timeout`):
    /// a fifth less than that, for the way there takes time and the peer's clock began sooner. It shortens what was
    /// written, and stands instead of what was not.
    pub fn h1_for(&self, said: Option<Duration>) -> Duration {
        match said {
            None => self.h1,
            Some(said) => (said - said / 5).min(if self.written { self.h1 } else { MOST }),
        }
    }
}

/// A connection that is closed sooner was closed for another reason: servers count idleness in whole seconds.
const SOON: Duration = Duration::from_millis(900);
/// Closings of an endpoint closer together than this are one event: a process that ends closes all it has.
const APART: Duration = Duration::from_secs(1);
/// Closings of an endpoint further apart than this have nothing to do with each other.
const WITHIN: Duration = Duration::from_secs(300);
/// Idle connections are looked at so often, so the time at which one was found closed is late by up to this.
const LATE: Duration = Duration::from_secs(1);
/// Endpoints that are remembered; then the one that was silent for longest is forgotten.
const ENDPOINTS: usize = 16;

#[derive(Clone, Copy, Debug)]
struct LastUse {
    endpoint: u64,
    at: Instant,
    /// The shortest that one of them had been idle.
    idle: Duration,
}

/// What idle connections that their peer has closed have shown so far.
#[derive(Clone, Debug, Default)]
pub struct Closings {
    last: Vec<LastUse>,
    closed_after: Option<Duration>,
}

impl Closings {
    /// The peer has closed a connection that had been idle for `idle`, at most. Gives the time that is worth telling: two
    /// closings of one endpoint at different moments agree on it, and it is markedly shorter (a quarter) than what was
    /// told before. One alone, or one of each endpoint, may be a restart.
    pub fn seen(&mut self, endpoint: u64, idle: Duration, now: Instant) -> Option<Duration> {
        if idle < SOON {
            return None;
        }
        let Some(last) = self.last.iter_mut().find(|last| last.endpoint == endpoint) else {
            self.remember(LastUse { endpoint, at: now, idle });
            return None;
        };
        let between = now.saturating_duration_since(last.at);
        if between < APART {
            last.idle = last.idle.min(idle);
            return None;
        }
        let before = std::mem::replace(last, LastUse { endpoint, at: now, idle }).idle;
        let (shorter, longer) = (before.min(idle), before.max(idle));
        let agree = between <= WITHIN && longer - shorter <= LATE + shorter / 4;
        let news = self.closed_after.is_none_or(|told| shorter < told - told / 4);
        if !(agree && news) {
            return None;
        }
        self.closed_after = Some(shorter);
        self.closed_after
    }

    fn remember(&mut self, last: LastUse) {
        if self.last.len() >= ENDPOINTS
            && let Some(oldest) = (0..self.last.len()).min_by_key(|at| self.last.get(*at).map(|last| last.at))
        {
            self.last.swap_remove(oldest);
        }
        self.last.push(last);
    }

    /// How long a connection was idle before the peer closed it; `None`: it was not seen doing so.
    pub fn closed_after(&self) -> Option<Duration> {
        self.closed_after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_was_written_is_the_most_and_a_peer_may_shorten_it() {
        let policy = IdlePolicy::written(secs(10));
        assert_eq!(policy.h1_for(None), secs(10));
        assert_eq!(policy.h1_for(Some(secs(5))), secs(4));
        assert_eq!(policy.h1_for(Some(secs(75))), secs(10));
        assert_eq!(policy.h1_for(Some(Duration::ZERO)), Duration::ZERO);
        assert_eq!(IdlePolicy::written(secs(90)).h1_for(Some(secs(100))), secs(80));
    }

    #[test]
    fn where_nothing_was_written_a_peer_sets_it() {
        let backend = IdlePolicy::preset(true);
        assert_eq!((backend.h1_for(None), backend.h2), (secs(4), secs(50)));
        assert_eq!(backend.h1_for(Some(secs(2))), Duration::from_millis(1_600));
        assert_eq!(backend.h1_for(Some(secs(20))), secs(16));
        assert_eq!(backend.h1_for(Some(secs(3_600))), secs(50));
        assert_eq!(IdlePolicy::preset(false).h1_for(None), secs(50));
    }

    #[test]
    fn two_closings_that_agree_are_told_once() {
        let t0 = Instant::now();
        let mut closings = Closings::default();
        assert_eq!(closings.seen(1, secs(5), t0), None);
        assert_eq!(closings.seen(1, Duration::from_millis(5_900), t0 + secs(7)), Some(secs(5)));
        assert_eq!(closings.seen(1, secs(5), t0 + secs(14)), None, "told already");
        assert_eq!(closings.closed_after(), Some(secs(5)));
    }

    #[test]
    fn a_markedly_shorter_time_is_told_again() {
        let t0 = Instant::now();
        let mut closings = Closings::default();
        for (at, idle, told) in [
            (0, 20, None),
            (30, 20, Some(20)),
            (60, 16, None),
            (90, 16, None),
            (120, 5, None),
            (130, 5, Some(5)),
        ] {
            assert_eq!(closings.seen(1, secs(idle), t0 + secs(at)), told.map(secs), "at {at}");
        }
    }

    #[test]
    fn a_restart_accuses_nobody() {
        let t0 = Instant::now();
        let mut closings = Closings::default();
        // A rolling one: each endpoint closes all it has, whatever its age, and the next one does so later.
        for endpoint in 0..40 {
            for idle in [30, 2, 11] {
                assert_eq!(closings.seen(endpoint, secs(idle), t0 + secs(endpoint * 5)), None);
            }
        }
        assert_eq!(closings.last.len(), ENDPOINTS);
        // The next deploy, and one whose connections are all busy.
        assert_eq!(closings.seen(39, secs(2), t0 + secs(3_600)), None);
        assert_eq!(closings.seen(39, Duration::from_millis(40), t0 + secs(3_605)), None);
        assert_eq!(closings.closed_after(), None);
    }
}
