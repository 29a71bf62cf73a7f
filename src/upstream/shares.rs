//! Who holds how many exchanges of an upstream, over all workers, without a lock and without a map.
//!
//! Clients are counted in buckets by their fingerprint; two that share one are taken for one, which makes their bound a
//! little stricter while places are short, and nothing else. [`Occupancy`] decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Instant;

use super::witness::Witness;
use crate::config::{self, Protocol};
use crate::reliability::party::Party;
use crate::reliability::share::{LATELY, Occupancy};

/// Exchanges in flight by client.
pub struct Shares {
    taken: AtomicUsize,
    clients: Box<[AtomicU32]>,
    asked: Witness,
}

/// One exchange in flight.
pub struct ShareHeld {
    of: Arc<Shares>,
    bucket: usize,
}

impl Drop for ShareHeld {
    fn drop(&mut self) {
        self.of.taken.fetch_sub(1, Ordering::Relaxed);
        self.of.bucket(self.bucket).fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shares {
    /// Those of an upstream. Only by HTTP/1.1 does each exchange hold a connection that another client could use, and
    /// only behind the ingress are there other clients.
    pub fn of(
        config: &config::UpstreamConfig,
        ingress: bool,
        workers: usize,
        now: Instant,
    ) -> Option<Arc<Self>> {
        let plain = match config.protocol {
            Protocol::Http1 => true,
            Protocol::Auto => config.tls.is_none(),
            Protocol::H2 => false,
        };
        (plain && ingress).then(|| Self::new(workers, now))
    }

    /// Counts of no client yet, with memory for `workers` workers.
    pub fn new(workers: usize, now: Instant) -> Arc<Self> {
        let clients = (0..Party::BUCKETS).map(|_| AtomicU32::new(0)).collect();
        Arc::new(Self { taken: AtomicUsize::new(0), clients, asked: Witness::new(workers, now) })
    }

    fn bucket(&self, at: usize) -> &AtomicU32 {
        &self.clients[at % Party::BUCKETS]
    }

    /// One more exchange of `client`; `None`: others are to have the places that are left of `places`.
    pub fn take(
        self: &Arc<Self>,
        worker: usize,
        client: u32,
        places: usize,
        now: Instant,
    ) -> Option<ShareHeld> {
        let party = Party { client, route: 0 };
        self.asked.note(worker, party, now);
        let at = Party::bucket(client);
        let taken = self.taken.fetch_add(1, Ordering::Relaxed);
        let own = self.bucket(at).fetch_add(1, Ordering::Relaxed);
        let held = ShareHeld { of: Arc::clone(self), bucket: at };
        let alone = || self.is_alone(client, now);
        (Occupancy { places, taken, own: own as usize }).fits(alone).then_some(held)
    }

    /// Was `client` the only one that asked lately?
    pub fn is_alone(&self, client: u32, now: Instant) -> bool {
        !self.asked.another_client(client, LATELY, now)
    }

    /// Exchanges that are in flight now, of all clients.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_client_leaves_a_quarter_to_others_unless_it_is_alone() {
        let now = crate::runtime::clock::instant();
        let shares = Shares::new(2, now);
        let mut held: Vec<ShareHeld> = (0..100).filter_map(|_| shares.take(0, 7, 100, now)).collect();
        assert_eq!(held.len(), 100, "it is alone");
        let other = shares.take(1, 9, 100, now).expect("it holds nothing");
        held.truncate(80);
        assert!(shares.take(0, 7, 100, now).is_none(), "others are there");
        drop(other);
        assert!(shares.take(0, 7, 100, now + Duration::from_secs(11)).is_some(), "they were");
        held.clear();
        assert_eq!(shares.taken(), 0);
    }
}
