//! One client is not everybody: who asked, who else was answered well, and whose failures these are.
//!
//! Clients and routes are known by 32-bit fingerprints, so the state is a few words whatever comes in. Two that share a
//! fingerprint are taken for one, which makes a bound on that one a little stricter and nothing else.

use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How long ago "lately" is: a good answer within this time shows that the upstream serves somebody else.
pub const LATELY: Duration = Duration::from_secs(2);

/// Who asked for what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Party {
    /// Fingerprint of the client's address (by trusted hops).
    pub client: u32,
    /// Fingerprint of the route or operation.
    pub route: u32,
}

impl Party {
    /// The fingerprint of a client: an IPv4 address, or the /64 network of an IPv6 one, since whoever has one address
    /// of it has all.
    pub fn client(address: IpAddr) -> u32 {
        match address {
            IpAddr::V4(v4) => v4.to_bits(),
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) => v4.to_bits(),
                None => {
                    let network = (v6.to_bits() >> 64) as u64;
                    (network.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32
                }
            },
        }
    }

    /// Buckets in which clients are counted; a power of two.
    pub const BUCKETS: usize = 1_024;

    /// In which one a client's fingerprint is counted. Neighbours lie apart: the golden ratio of
    /// 2^32 (Knuth's multiplicative hashing).
    pub fn bucket(client: u32) -> usize {
        (client.wrapping_mul(0x9E37_79B9) >> 22) as usize % Self::BUCKETS
    }

    /// The fingerprint of a name (FNV-1a).
    pub fn named(name: &str) -> u32 {
        name.bytes().fold(0x811C_9DC5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
    }
}

/// Which good answers an upstream gave within [`LATELY`], as seen from one [`Party`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lately {
    /// To a client with another fingerprint.
    pub another_client: bool,
    /// On a route with another fingerprint.
    pub another_route: bool,
    /// When this client was last answered well; `None`: not lately.
    pub this_client: Option<Instant>,
    /// When this route last answered well; `None`: not lately.
    pub this_route: Option<Instant>,
}

/// Whom a failure is put down to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blame {
    /// The client and the route of the failed attempt.
    pub party: Party,
    /// Fingerprint of the endpoint.
    pub endpoint: u32,
    /// Whether others are served.
    pub lately: Lately,
    /// Other endpoints that are in rotation.
    pub alternatives: u32,
}

impl Blame {
    /// Is what `share` names bounded, because others are served?
    fn bounds(&self, share: PartyShare) -> bool {
        match share {
            PartyShare::Client => self.lately.another_client,
            PartyShare::Route => self.lately.another_route,
            PartyShare::Endpoint => self.alternatives > 0,
        }
    }

    fn fingerprint(&self, share: PartyShare) -> u32 {
        match share {
            PartyShare::Client => self.party.client,
            PartyShare::Route => self.party.route,
            PartyShare::Endpoint => self.endpoint,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum PartyShare {
    Client,
    Route,
    Endpoint,
}

const SHARES: [PartyShare; 3] = [PartyShare::Client, PartyShare::Route, PartyShare::Endpoint];
/// Contributors that are told apart; beyond them nobody can have brought half of all.
const KEPT: usize = 8;

/// How much each of a few contributors has brought (Space-Saving, Metwally et al. 2005: a count is never too low).
#[derive(Clone, Copy, Debug, Default)]
struct PartyCounts {
    kept: [(u32, u32); KEPT],
}

impl PartyCounts {
    fn add(&mut self, who: u32, n: u32) {
        if n == 0 {
            return;
        }
        let known = self.kept.iter().position(|(known, count)| *count > 0 && *known == who);
        let least = || self.kept.iter().enumerate().min_by_key(|(_, (_, count))| *count).map(|(at, _)| at);
        if let Some((key, count)) = known.or_else(least).and_then(|at| self.kept.get_mut(at)) {
            *key = who;
            *count = count.saturating_add(n);
        }
    }

    fn of(&self, who: u32) -> u32 {
        self.kept.iter().find(|(known, count)| *count > 0 && *known == who).map_or(0, |(_, count)| *count)
    }

    fn most(&self) -> u32 {
        self.kept.iter().map(|(_, count)| *count).max().unwrap_or(0)
    }

    fn merge(&mut self, other: &Self) {
        other.kept.iter().for_each(|(who, n)| self.add(*who, *n));
    }
}

/// What clients, routes and endpoints have contributed to failures.
#[derive(Clone, Copy, Debug, Default)]
pub struct Contributions([PartyCounts; SHARES.len()]);

impl Contributions {
    /// Counts one failure for each share of its blame.
    pub fn add(&mut self, blame: &Blame) {
        for (counts, share) in self.0.iter_mut().zip(SHARES) {
            counts.add(blame.fingerprint(share), 1);
        }
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(sum, more)| sum.merge(more));
    }

    /// May one more failure of `blame` count towards the `needed` ones? Not when its client, route or endpoint has
    /// brought half of them (rounded up) already while others are served.
    pub fn has_room(&self, blame: &Blame, needed: u32) -> bool {
        self.0
            .iter()
            .zip(SHARES)
            .all(|(counts, share)| !blame.bounds(share) || counts.of(blame.fingerprint(share)) < half(needed))
    }

    /// How many of all counted failures exceed the half of `needed` that one contributor may bring, others being served.
    pub fn excess(&self, blame: &Blame, needed: u64) -> u64 {
        let bounded = self.0.iter().zip(SHARES).filter(|(_, share)| blame.bounds(*share));
        bounded
            .map(|(counts, _)| u64::from(counts.most()).saturating_sub(needed.div_ceil(2)))
            .max()
            .unwrap_or(0)
    }

    /// Did more than one client, and more than one route, contribute?
    pub fn several(&self) -> (bool, bool) {
        let several = |counts: &PartyCounts| counts.kept.iter().filter(|(_, count)| *count > 0).count() > 1;
        let [clients, routes, _] = &self.0;
        (several(clients), several(routes))
    }
}

/// Half of `n`, rounded up.
fn half(n: u32) -> u32 {
    n.div_ceil(2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn blame(client: u32, others: bool) -> Blame {
        let lately = Lately { another_client: others, ..Lately::default() };
        Blame { party: Party { client, route: 1 }, lately, ..Blame::default() }
    }

    #[test]
    fn one_client_brings_half_of_what_is_needed_while_others_are_served() {
        let mut row = Contributions::default();
        for _ in 0..2 {
            assert!(row.has_room(&blame(7, true), 3));
            row.add(&blame(7, true));
        }
        assert!(!row.has_room(&blame(7, true), 3));
        assert!(row.has_room(&blame(8, true), 3));
        assert!(row.has_room(&blame(7, false), 3), "it is alone: whom else should one ask?");
    }

    #[test]
    fn the_excess_of_one_is_what_it_brought_beyond_half() {
        let mut window = Contributions::default();
        (0..30).for_each(|_| window.add(&blame(7, true)));
        (0..5).for_each(|n| window.add(&blame(100 + n, true)));
        assert_eq!(window.excess(&blame(7, true), 20), 20);
        assert_eq!(window.excess(&blame(7, false), 20), 0);
    }

    proptest! {
        #[test]
        fn whoever_brings_half_is_never_counted_too_low(added in prop::collection::vec(prop_oneof![Just(0_u32), 1_u32..500], 1..120)) {
            let mut counts = PartyCounts::default();
            added.iter().for_each(|who| counts.add(*who, 1));
            let true_count = added.iter().filter(|who| **who == 0).count();
            prop_assume!(true_count * 2 >= added.len());
            prop_assert!(counts.of(0) as usize >= true_count);
            prop_assert_eq!(counts.most(), counts.of(0).max(counts.most()));
        }
    }
}
