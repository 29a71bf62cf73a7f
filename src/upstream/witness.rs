//! Who was answered well last, and who before: a few words a worker, written without a lock and without a map.
//!
//! It answers one question: does the upstream serve somebody else just now? Two clients and two routes a worker are
//! enough for that, since whoever is served keeps coming. Invariant: a word is written by its own worker only; a reader
//! sees it late or not at all, never torn.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::reliability::party::{LATELY, Lately, Party};

/// A tenth of a second: how finely a word tells the time.
const TICK: Duration = Duration::from_millis(100);

/// The last two that differ, each a fingerprint and ticks since the start (zero: nobody yet).
#[derive(Default)]
struct Two([AtomicU64; 2]);

impl Two {
    fn note(&self, who: u32, tick: u32) {
        let [last, before] = &self.0;
        let word = u64::from(who) << 32 | u64::from(tick);
        let known = last.load(Ordering::Relaxed);
        if known == word {
            return;
        }
        if (known >> 32) as u32 != who {
            before.store(known, Ordering::Relaxed);
        }
        last.store(word, Ordering::Relaxed);
    }

    fn seen(&self) -> impl Iterator<Item = (u32, u32)> {
        self.0.iter().map(|word| word.load(Ordering::Relaxed)).map(|word| ((word >> 32) as u32, word as u32))
    }
}

/// A worker's words, on cache lines of their own.
#[derive(Default)]
#[repr(align(128))]
struct Words {
    clients: Two,
    routes: Two,
}

/// Good answers of one upstream.
pub struct Witness {
    born: Instant,
    workers: Box<[Words]>,
}

impl Witness {
    /// Has witnessed nothing yet, for `workers` workers.
    pub fn new(workers: usize, now: Instant) -> Self {
        Self { born: now, workers: (0..workers.max(1)).map(|_| Words::default()).collect() }
    }

    /// `party` was answered well.
    pub fn note(&self, worker: usize, party: Party, now: Instant) {
        let tick = self.tick(now);
        // There is at least one worker.
        let words = &self.workers[worker % self.workers.len()];
        words.clients.note(party.client, tick);
        words.routes.note(party.route, tick);
    }

    /// Was another client than this noted within `span`?
    pub fn another_client(&self, client: u32, span: Duration, now: Instant) -> bool {
        let since = self.tick(now).saturating_sub((span.as_millis() / TICK.as_millis()) as u32).max(1);
        let seen = self.workers.iter().flat_map(|words| words.clients.seen());
        seen.filter(|(_, tick)| *tick >= since).any(|(seen, _)| seen != client)
    }

    /// Who was answered well lately, as seen from `party`.
    pub fn lately(&self, party: Party, now: Instant) -> Lately {
        let mut lately = Lately::default();
        let since = self.tick(now).saturating_sub((LATELY.as_millis() / TICK.as_millis()) as u32).max(1);
        for words in &self.workers {
            for (client, tick) in words.clients.seen().filter(|(_, tick)| *tick >= since) {
                lately.another_client |= client != party.client;
                if client == party.client {
                    lately.this_client = lately.this_client.max(Some(self.at(tick)));
                }
            }
            for (route, tick) in words.routes.seen().filter(|(_, tick)| *tick >= since) {
                lately.another_route |= route != party.route;
                if route == party.route {
                    lately.this_route = lately.this_route.max(Some(self.at(tick)));
                }
            }
        }
        lately
    }

    /// From 1 on: zero is a word that nobody has written.
    fn tick(&self, now: Instant) -> u32 {
        let ticks = now.saturating_duration_since(self.born).as_millis() / TICK.as_millis();
        u32::try_from(ticks).unwrap_or(u32::MAX - 1).saturating_add(1)
    }

    fn at(&self, tick: u32) -> Instant {
        self.born + TICK * tick.saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock;

    const ONE: Party = Party { client: 1, route: 1 };
    const TWO: Party = Party { client: 2, route: 1 };

    #[test]
    fn somebody_else_is_served_for_as_long_as_lately_is() {
        let t0 = clock::instant();
        let witness = Witness::new(2, t0);
        assert_eq!(witness.lately(ONE, t0), Lately::default());
        witness.note(0, TWO, t0);
        let lately = witness.lately(ONE, t0 + LATELY);
        assert!(lately.another_client && !lately.another_route);
        assert_eq!((lately.this_client, lately.this_route), (None, Some(t0)));
        assert_eq!(witness.lately(ONE, t0 + LATELY + TICK), Lately::default());
    }

    #[test]
    fn one_that_comes_often_does_not_push_out_the_other() {
        let t0 = clock::instant();
        let witness = Witness::new(1, t0);
        witness.note(0, TWO, t0);
        for n in 0..15 {
            witness.note(0, ONE, t0 + TICK * n);
        }
        assert!(witness.lately(ONE, t0 + TICK * 15).another_client);
    }
}
