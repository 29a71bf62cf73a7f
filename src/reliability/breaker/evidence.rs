//! What a settled exchange says, and the row of failures that it makes.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::view::FailedAttempt;
use crate::names::RouteName;
use crate::reliability::outlier::Sees;
use crate::reliability::party::{Blame, Contributions, Lately, Party};
use crate::reliability::verdict::{Inconclusive, Verdict};

/// How an exchange went, with what is needed to say whose fault that is.
#[derive(Clone, Copy, Debug)]
pub struct ExchangeEvidence<'a> {
    /// The verdict on its last attempt.
    pub verdict: Verdict,
    /// When that attempt began.
    pub began: Instant,
    /// To whom a failure is put down.
    pub blame: Blame,
    /// The address that it was sent to; `None`: to none.
    pub endpoint: Option<SocketAddr>,
    /// Had its connection carried an exchange before?
    pub reused: bool,
    /// The route that it came by; `None`: by none.
    pub route: Option<&'a RouteName>,
    /// Was there no session to send a request on? An active check that only connects sees as much.
    pub unconnected: bool,
}

impl ExchangeEvidence<'_> {
    /// A verdict on an attempt that began at `began`, of nobody in particular.
    pub fn of(verdict: Verdict, began: Instant) -> Self {
        let unconnected = matches!(verdict, Verdict::Bad(why) if why.is_connecting());
        Self {
            verdict,
            began,
            blame: Blame::default(),
            endpoint: None,
            reused: false,
            route: None,
            unconnected,
        }
    }

    /// The same for the breaker of the exchange's operation, where `lately` is who was answered well on the operation
    /// itself. That nobody could connect says nothing of an operation.
    pub fn of_operation(self, party: Party, lately: Lately) -> Self {
        let verdict =
            if self.unconnected { Verdict::Inconclusive(Inconclusive::NoRoute) } else { self.verdict };
        Self { verdict, blame: Blame { party, lately, ..self.blame }, ..self }
    }

    /// What a check must see to notice what failed here.
    pub(super) fn sees(&self) -> Sees {
        if self.unconnected { Sees::Connecting } else { Sees::Answering }
    }
}

/// Attempts that are kept for telling.
const KEPT: usize = 8;
/// Endpoints whose last counted failures are remembered.
const RECENT: usize = 8;

/// Failures in a row, and what is needed to tell a new one from an echo.
#[derive(Debug, Default)]
pub(super) struct FailureRow {
    /// Exchanges in a row that count towards a trip.
    count: u32,
    /// All bad exchanges in a row, whether they say something new or not.
    all: u32,
    by: Contributions,
    /// Did all of them fail to connect?
    connecting: bool,
    /// When the last counted failure was known: an attempt that began before says nothing new.
    known: Option<Instant>,
    /// Until when failures of an endpoint belong to one that has counted.
    recent: VecDeque<(u32, Instant)>,
    /// The last failures, counted or not.
    seen: VecDeque<FailedAttempt>,
}

impl FailureRow {
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn all(&self) -> u32 {
        self.all
    }

    /// Did all failures of the row fail to connect?
    pub(super) fn is_connecting(&self) -> bool {
        self.all > 0 && self.connecting
    }

    pub(super) fn seen(&self) -> impl Iterator<Item = &FailedAttempt> {
        self.seen.iter()
    }

    /// An exchange went well. What was seen is kept for telling.
    pub(super) fn end(&mut self) {
        (self.count, self.all) = (0, 0);
        self.by = Contributions::default();
    }

    /// Does a bad verdict say something new? Of bad answers that were in flight together one does; of connections that
    /// were refused or broke, and of timeouts, one of an endpoint within `dedup_window`.
    pub(super) fn is_event(
        &mut self,
        evidence: &ExchangeEvidence<'_>,
        window: Duration,
        now: Instant,
    ) -> bool {
        let new = match evidence.verdict {
            Verdict::Bad(why) if !why.is_answer() => {
                self.recent.retain(|(_, until)| *until > now);
                let endpoint = evidence.blame.endpoint;
                let new = !self.recent.iter().any(|(known, _)| *known == endpoint);
                if new && !window.is_zero() {
                    if self.recent.len() >= RECENT {
                        self.recent.pop_front();
                    }
                    self.recent.push_back((endpoint, now + window));
                }
                new
            }
            Verdict::Bad(_) | Verdict::RateLimited { .. } => {
                self.known.is_none_or(|known| evidence.began >= known)
            }
            Verdict::Good | Verdict::Slow | Verdict::Inconclusive(_) => false,
        };
        if new {
            self.known = Some(now);
        }
        new
    }

    /// A bad exchange that is an event: it counts towards the `needed` ones unless its client, route or endpoint has
    /// brought half of them already while others are served.
    pub(super) fn failed(&mut self, evidence: &ExchangeEvidence<'_>, needed: u32) {
        if self.by.has_room(&evidence.blame, needed) {
            self.count = self.count.saturating_add(1);
            self.by.add(&evidence.blame);
        }
    }

    /// Keeps a bad exchange for telling.
    pub(super) fn remember(&mut self, evidence: &ExchangeEvidence<'_>, now: Instant) {
        let why = match evidence.verdict {
            Verdict::Bad(why) => Some(why),
            Verdict::RateLimited { .. } => None,
            Verdict::Good | Verdict::Slow | Verdict::Inconclusive(_) => return,
        };
        if why.is_some() {
            self.connecting = evidence.unconnected && (self.connecting || self.all == 0);
            self.all = self.all.saturating_add(1);
        }
        if self.seen.len() >= KEPT {
            self.seen.pop_front();
        }
        self.seen.push_back(FailedAttempt {
            at: now,
            endpoint: evidence.endpoint,
            why,
            reused: evidence.reused,
            route: evidence.route.cloned(),
        });
    }

    /// A phase has begun: what was counted belongs to the last one.
    pub(super) fn begin(&mut self) {
        self.end();
        self.known = None;
        self.recent.clear();
    }
}
