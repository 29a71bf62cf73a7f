//! Whom do failures meet: everybody, one route, or one client?
//!
//! Two memories, fed once a second with who failed and who was served. [`Met`] keeps them for an upstream, to tell an outage
//! from the errors of one route; [`Noise`] for a route, to tell its errors from those of one client. Clients and routes are
//! fingerprints (see [`Party`]); both memories hold a few of them, whatever comes in.
//!
//! Errs on the side of an outage: what cannot be told apart (nobody else asks, or all come by one address) is nobody's own.

use std::time::Duration;

use super::counts::{Counts, RollingCounts, Windows};
use super::party::Party;
use crate::units::At;

/// Whom the failures of an upstream since its last success have met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Nobody else has asked lately: it cannot be told.
    #[default]
    Unknown,
    /// One route or one client, while others are served.
    One,
    /// More than one route or client.
    Several,
}

/// Who was served this long ago is served still.
const LATELY: Duration = Duration::from_secs(60);
/// Parties that are told apart.
const KEPT: usize = 16;
/// One client fails alone when at least so many others are served. One other may be a probe, and the one a gateway
/// that everybody comes through.
const OTHERS: usize = 2;

/// Who was served, and when last.
#[derive(Clone, Debug, Default)]
struct Served(Vec<(Party, At)>);

impl Served {
    fn note(&mut self, party: Party, now: At) {
        self.0.retain(|(known, at)| *known != party && now.since(*at) <= LATELY);
        if self.0.len() >= KEPT {
            self.0.remove(0);
        }
        self.0.push((party, now));
    }

    fn lately(&self, now: At) -> impl Iterator<Item = Party> {
        self.0.iter().filter(move |(_, at)| now.since(*at) <= LATELY).map(|(party, _)| *party)
    }

    /// Other clients than this one that are served.
    fn others(&self, client: u32, now: At) -> usize {
        let mut others: Vec<u32> =
            self.lately(now).map(|party| party.client).filter(|one| *one != client).collect();
        others.sort_unstable();
        others.dedup();
        others.len()
    }
}

/// Whom an upstream has failed since its last success, and whom it has served.
#[derive(Clone, Debug, Default)]
pub struct Met {
    failed: Vec<Party>,
    served: Served,
}

impl Met {
    /// What the last second brought. A success ends the row of failures.
    pub fn note(&mut self, failed: &[Party], served: &[Party], now: At) {
        if !served.is_empty() {
            self.failed.clear();
        }
        for party in failed {
            if !self.failed.contains(party) && self.failed.len() < KEPT {
                self.failed.push(*party);
            }
        }
        served.iter().for_each(|party| self.served.note(*party, now));
    }

    /// Whom they have met, as far as it can be told.
    pub fn reach(&self, now: At) -> Reach {
        let Some(first) = self.failed.first() else { return Reach::Unknown };
        let one_route = self.failed.iter().all(|party| party.route == first.route);
        let one_client = self.failed.iter().all(|party| party.client == first.client);
        let other_route = self.served.lately(now).any(|party| party.route != first.route);
        if (one_route && other_route) || (one_client && self.served.others(first.client, now) >= OTHERS) {
            Reach::One
        } else if one_route && one_client {
            Reach::Unknown
        } else {
            Reach::Several
        }
    }
}

/// Which of a route's bad replies are one client's.
#[derive(Clone, Debug)]
pub struct Noise {
    /// Clients and their bad replies, halved each minute.
    failing: Vec<(u32, f64)>,
    decayed: At,
    served: Served,
    aside: RollingCounts,
}

/// The good replies of a minute outnumber those of a noisy client by this much: it is one of many.
const MINORITY: f64 = 4.0;

impl Noise {
    /// Of an upstream that nothing has been heard of.
    pub fn new(now: At) -> Self {
        Self { failing: Vec::new(), decayed: now, served: Served::default(), aside: RollingCounts::new(now) }
    }

    /// What the last second brought: bad replies by client, clients that were served, good replies of the last minute. Tells the
    /// bad ones that are one client's.
    pub fn count(&mut self, bad: &[(u32, u64)], served: &[u32], good: u64, now: At) -> Windows {
        let halves = now.since(self.decayed).as_secs_f64() / 60.0;
        self.decayed = now;
        self.failing.iter_mut().for_each(|(_, weight)| *weight *= 0.5_f64.powf(halves));
        self.failing.retain(|(_, weight)| *weight > 0.01);
        for client in served {
            self.served.note(Party { client: *client, route: 0 }, now);
        }
        for (client, more) in bad {
            self.fails(*client, *more as f64);
        }
        let own = self.noisy(good, now).and_then(|noisy| bad.iter().find(|(client, _)| *client == noisy));
        let bad = own.map_or(0, |(_, bad)| *bad);
        self.aside.count(Counts { good: 0, bad }, now)
    }

    fn fails(&mut self, client: u32, more: f64) {
        if let Some((_, weight)) = self.failing.iter_mut().find(|(known, _)| *known == client) {
            *weight += more;
            return;
        }
        if self.failing.len() >= KEPT {
            self.failing.sort_by(|a, b| b.1.total_cmp(&a.1));
            self.failing.pop();
        }
        self.failing.push((client, more));
    }

    /// The client that most of the trouble is of, if it is one of many and others are served.
    fn noisy(&self, good: u64, now: At) -> Option<u32> {
        let (client, weight) = self.failing.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
        let one_of_many = weight * MINORITY <= good as f64 && self.served.others(*client, now) >= OTHERS;
        one_of_many.then_some(*client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> At {
        At(second * 1_000)
    }

    fn party(client: u32, route: u32) -> Party {
        Party { client, route }
    }

    #[test]
    fn one_bad_route_among_others_that_are_served_is_one() {
        let mut met = Met::default();
        met.note(&[], &[party(1, 1)], at(0));
        met.note(&[party(1, 2), party(2, 2)], &[], at(1));
        assert_eq!(met.reach(at(1)), Reach::One);
        assert_eq!(met.reach(at(62)), Reach::Several, "nobody was served on another route for a minute");
    }

    #[test]
    fn one_bad_client_among_several_that_are_served_is_one_and_a_single_other_may_be_a_probe() {
        let mut met = Met::default();
        met.note(&[], &[party(2, 1)], at(0));
        met.note(&[party(1, 1)], &[], at(1));
        assert_eq!(met.reach(at(1)), Reach::Unknown);
        met.note(&[], &[party(3, 1)], at(2));
        met.note(&[party(1, 1)], &[], at(3));
        assert_eq!(met.reach(at(3)), Reach::One);
    }

    #[test]
    fn what_fails_on_two_routes_meets_several_and_a_success_ends_the_row() {
        let mut met = Met::default();
        met.note(&[party(1, 1), party(1, 2)], &[], at(0));
        assert_eq!(met.reach(at(0)), Reach::Several);
        met.note(&[party(1, 1)], &[party(1, 2)], at(1));
        assert_eq!(met.reach(at(1)), Reach::One);
        met.note(&[], &[party(1, 1)], at(2));
        assert_eq!(met.reach(at(2)), Reach::Unknown, "nothing fails");
    }

    #[test]
    fn a_noisy_client_is_set_aside_and_whoever_fails_beside_it_is_not() {
        let mut noise = Noise::new(at(0));
        let mut aside = Windows::default();
        for second in 0..120 {
            let mut bad = vec![(9, 2)];
            if second % 10 == 0 {
                bad.push((1, 1));
            }
            aside = noise.count(&bad, &[1, 2, 3], 3_000, at(second));
        }
        assert_eq!(aside.m1.bad, 120);
    }

    #[test]
    fn a_gateway_that_everybody_comes_through_is_no_noisy_client() {
        let mut noise = Noise::new(at(0));
        for second in 0..60 {
            noise.count(&[], &[1], 600, at(second));
        }
        assert_eq!(noise.count(&[(1, 50)], &[2], 600, at(60)).m5.bad, 0, "one other may be a probe");
        let mut noise = Noise::new(at(0));
        assert_eq!(noise.count(&[(1, 50)], &[2, 3], 100, at(1)).m5.bad, 0, "most of the traffic is its own");
    }
}
