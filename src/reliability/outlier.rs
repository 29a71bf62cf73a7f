//! Is one endpoint worse than the others? Passive health: what its own attempts say of it.
//!
//! An endpoint is taken out of rotation after one failure to connect, or after three other failures in a row, for 1 s,
//! doubled with each ejection in a row, ±20 %, at most 5 min (Envoy's outlier detection, with its jitter and its cap).
//! Refuses to know sockets; the shell tells it what room there is.
//!
//! # Invariants
//! * The last endpoint in rotation is never ejected.
//! * Timeouts, resets and answers eject at most half of the endpoints, and never on the word of one route or one client
//!   that is not answered well elsewhere either.
//! * A good answer ends the row. The waits begin anew once an endpoint has been well for as long as it was out.

use std::time::{Duration, Instant};

use super::backoff::share;
use super::party::{Blame, Contributions};
use super::verdict::BadReason;

/// Failures in a row, other than failures to connect, after which an endpoint is ejected.
pub const ROW: u32 = 3;
/// How long the first ejection of a row lasts.
const FIRST: Duration = Duration::from_secs(1);
/// How long an ejection lasts at most.
const LONGEST: Duration = Duration::from_secs(300);
/// Share by which an ejection may be shorter or longer.
const JITTER: f64 = 0.2;

/// How many endpoints an upstream can do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// All endpoints of the upstream.
    pub of: usize,
    /// Those in rotation besides this one.
    pub others: usize,
}

/// What an active check can see of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sees {
    /// A check that connects sees whether there is a session.
    Connecting,
    /// A check that asks sees answers and timeouts too.
    Answering,
}

impl Sees {
    /// What a check must see to have noticed a failure of this kind.
    pub fn of(why: BadReason) -> Self {
        if why.is_connecting() { Self::Connecting } else { Self::Answering }
    }
}

/// An endpoint was taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// When it is back.
    pub until: Instant,
    /// The failure that did it.
    pub why: BadReason,
    /// Ejections in a row, this one included.
    pub times: u32,
}

/// What the attempts at one endpoint add up to.
#[derive(Clone, Debug, Default)]
pub struct Outlier {
    row: u32,
    began: Option<Instant>,
    by: Contributions,
    out: Option<(Instant, Sees)>,
    /// Ejections in a row, and how long the last one was.
    times: u32,
    length: Duration,
}

impl Outlier {
    /// Is there nothing to remember?
    pub fn is_pristine(&self) -> bool {
        self.row == 0 && self.out.is_none() && self.times == 0
    }

    /// Until when it is out of rotation.
    pub fn out_until(&self, now: Instant) -> Option<Instant> {
        self.out.map(|(until, _)| until).filter(|until| *until > now)
    }

    /// Ejections in a row.
    pub fn times(&self) -> u32 {
        self.times
    }

    /// An attempt went well.
    pub fn good(&mut self, now: Instant) {
        self.row = 0;
        self.began = None;
        self.by = Contributions::default();
        let well_since = self.out.map(|(until, _)| until);
        if well_since.is_none_or(|since| now >= since + self.length) {
            self.out = None;
            self.times = 0;
        }
    }

    /// An attempt failed. `draw`: any number, for the jitter.
    pub fn bad(
        &mut self,
        why: BadReason,
        blame: &Blame,
        room: Room,
        now: Instant,
        draw: u64,
    ) -> Option<Ejection> {
        if self.out_until(now).is_some() {
            return None; // it was asked for want of another; its time out goes on
        }
        let connecting = why.is_connecting();
        if !connecting {
            self.row = self.row.saturating_add(1);
            self.began.get_or_insert(now);
            self.by.add(blame);
        }
        let half = (room.of - room.others.min(room.of)) * 2 <= room.of;
        let enough = connecting || (self.row >= ROW && half && self.is_not_one_sided(blame));
        (enough && room.others > 0).then(|| self.eject(why, now, draw))
    }

    /// Do several clients and routes say so, or one that others answer well since the row began?
    fn is_not_one_sided(&self, blame: &Blame) -> bool {
        let (clients, routes) = self.by.several();
        let since = |at: Option<Instant>| at.is_some_and(|at| self.began.is_some_and(|began| at >= began));
        (clients || since(blame.lately.this_client)) && (routes || since(blame.lately.this_route))
    }

    fn eject(&mut self, why: BadReason, now: Instant, draw: u64) -> Ejection {
        let doubled = FIRST.saturating_mul(1 << self.times.min(16)).min(LONGEST);
        self.length = doubled.mul_f64(1.0 - JITTER + 2.0 * JITTER * share(draw)).min(LONGEST);
        self.times = self.times.saturating_add(1);
        self.row = 0;
        self.began = None;
        self.by = Contributions::default();
        let until = now + self.length;
        self.out = Some((until, Sees::of(why)));
        Ejection { until, why, times: self.times }
    }

    /// An active check passed: the endpoint is back at once, when the check sees what it was ejected for. True: it was out.
    pub fn passed(&mut self, sees: Sees, now: Instant) -> bool {
        let out = self.out.filter(|(until, missed)| *until > now && *missed <= sees);
        if out.is_some() {
            self.out = Some((now, sees));
            self.row = 0;
            self.by = Contributions::default();
        }
        out.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reliability::party::{Lately, Party};

    const TWO: Room = Room { of: 2, others: 1 };

    fn blame(client: u32, route: u32) -> Blame {
        Blame { party: Party { client, route }, ..Blame::default() }
    }

    #[test]
    fn one_refused_connection_is_enough_but_never_for_the_last_one() {
        let t0 = Instant::now();
        let mut alone = Outlier::default();
        assert_eq!(alone.bad(BadReason::Connect, &blame(1, 1), Room { of: 1, others: 0 }, t0, 0), None);
        let mut outlier = Outlier::default();
        let ejected = outlier.bad(BadReason::Connect, &blame(1, 1), TWO, t0, 0).expect("out");
        assert_eq!(ejected.until, t0 + Duration::from_millis(800));
        assert!(outlier.out_until(t0).is_some() && outlier.out_until(ejected.until).is_none());
    }

    #[test]
    fn each_ejection_in_a_row_is_twice_as_long_and_a_while_of_health_forgives() {
        let mut now = Instant::now();
        let mut outlier = Outlier::default();
        for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            let ejected = outlier.bad(BadReason::Tls, &blame(1, 1), TWO, now, u64::MAX / 2).expect("out");
            assert!((ejected.until - now).abs_diff(Duration::from_secs(seconds)) < Duration::from_millis(1));
            now = ejected.until;
            outlier.good(now); // back, but not for long enough
        }
        outlier.good(now + LONGEST);
        assert!(outlier.is_pristine());
    }

    #[test]
    fn one_route_alone_ejects_nobody_unless_it_is_well_elsewhere() {
        let t0 = Instant::now();
        let later = t0 + Duration::from_secs(1);
        let mut outlier = Outlier::default();
        for client in 0..20 {
            assert_eq!(outlier.bad(BadReason::Status, &blame(client, 1), TWO, t0, 0), None);
        }
        let well = Lately { this_route: Some(later), ..Lately::default() };
        assert!(
            outlier.bad(BadReason::Status, &Blame { lately: well, ..blame(3, 1) }, TWO, later, 0).is_some()
        );
    }

    #[test]
    fn one_client_alone_ejects_nobody() {
        let t0 = Instant::now();
        let mut outlier = Outlier::default();
        for route in 0..20 {
            assert_eq!(outlier.bad(BadReason::Status, &blame(1, route), TWO, t0, 0), None);
        }
        assert!(outlier.bad(BadReason::Status, &blame(2, 1), TWO, t0, 0).is_some());
    }

    #[test]
    fn answers_eject_at_most_half() {
        let t0 = Instant::now();
        let third = |others| {
            let mut outlier = Outlier::default();
            (0..3)
                .filter_map(|n| outlier.bad(BadReason::Timeout, &blame(n, n), Room { of: 3, others }, t0, 0))
                .count()
        };
        assert_eq!((third(2), third(1)), (1, 0));
    }

    #[test]
    fn a_check_brings_back_what_it_can_see() {
        let t0 = Instant::now();
        let mut outlier = Outlier::default();
        for n in 0..3 {
            let _ = outlier.bad(BadReason::Status, &blame(n, n), TWO, t0, 0);
        }
        assert!(!outlier.passed(Sees::Connecting, t0), "a connect does not see answers");
        assert!(outlier.passed(Sees::Answering, t0));
        assert_eq!(outlier.out_until(t0), None);
    }
}
