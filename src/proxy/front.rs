//! Is there a balancer in front that nobody told of? Then all clients look like one, and what protects
//! one from another cannot.

use std::cell::Cell;
use std::net::IpAddr;

use crate::telemetry::event::Event;

/// Requests of one look.
const LOOK: u32 = 1_000;
/// Of these so many must be alike.
const ALIKE: u32 = 950;

/// What one worker has seen of the front in this look.
#[derive(Debug, Default)]
pub struct Front {
    peer: Cell<Option<IpAddr>>,
    seen: Cell<u32>,
    same: Cell<u32>,
    forwarded: Cell<u32>,
    told: Cell<bool>,
}

impl Front {
    /// One more request from `peer` to an ingress that believes nobody; `forwarded`: with `X-Forwarded-For`. True: this
    /// look says that it is a balancer's address.
    fn look(&self, peer: IpAddr, forwarded: bool) -> bool {
        let first = self.peer.get().is_none();
        if first {
            self.peer.set(Some(peer));
        }
        let add = |count: &Cell<u32>, one: bool| count.set(count.get() + u32::from(one));
        add(&self.seen, true);
        add(&self.same, self.peer.get() == Some(peer));
        add(&self.forwarded, forwarded);
        if self.seen.get() < LOOK {
            return false;
        }
        self.peer.set(None);
        self.seen.set(0);
        self.same.replace(0) >= ALIKE && self.forwarded.replace(0) >= ALIKE
    }

    /// Notes a request; warns once when a balancer must be in front.
    pub fn note(&self, peer: IpAddr, forwarded: bool) {
        if !self.told.get() && self.look(peer, forwarded) {
            self.told.set(true);
            let problem = format!(
                "nearly all requests come from {peer} with X-Forwarded-For: that is a balancer, and all its clients look like \
                 one; write ingress.trusted_hops = 1"
            );
            Event::ConfigWarning { problem: &problem }.tell();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_brings_nearly_everything_for_others_is_a_balancer() {
        let looks = |peers: u32, forwarded: bool| {
            let front = Front::default();
            (0..3_000_u32)
                .any(|nth| front.look(IpAddr::from((0x0a00_0000 + nth % peers).to_be_bytes()), forwarded))
        };
        assert!(looks(1, true));
        assert!(!looks(1, false), "one client, and no balancer");
        assert!(!looks(2, true), "several of them");
    }
}
