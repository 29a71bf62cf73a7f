//! The last quarter of what clients share goes to those that hold little of it.
//!
//! One client that is slow, or opens many exchanges at once, can take every connection of an upstream; nobody else is served
//! then. Decides whether one more exchange of a client fits. Refuses to know connections and addresses.
//!
//! Invariants: below three quarters nobody is refused; a client that holds less than a quarter is refused by nothing here;
//! where one client alone was there lately, it may have all.

use std::time::Duration;

/// How long ago "lately" is.
pub const LATELY: Duration = Duration::from_secs(10);

/// What is shared, as one client finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occupancy {
    /// Places that there are in all.
    pub places: usize,
    /// Places in use, by any client.
    pub taken: usize,
    /// Places in use by this client.
    pub own: usize,
}

impl Occupancy {
    /// Is the last quarter in use?
    pub fn is_short(&self) -> bool {
        self.taken >= self.places - self.places / 4
    }

    /// Does one more of this client fit? `alone` is only asked for when it depends on that.
    pub fn fits(&self, alone: impl FnOnce() -> bool) -> bool {
        !self.is_short() || self.own < (self.places / 4).max(1) || alone()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_quarter_is_for_those_that_hold_little() {
        let of = |taken, own| Occupancy { places: 100, taken, own };
        assert!(of(74, 74).fits(|| false), "three quarters are for everybody");
        assert!(!of(75, 25).fits(|| false) && !of(99, 74).fits(|| false));
        assert!(of(99, 24).fits(|| false), "and one that holds little has the rest");
        assert!(of(99, 99).fits(|| true), "nobody else is there");
    }

    proptest! {
        /// One greedy client and others that ask for one place at a time: whoever holds little is never refused for it.
        #[test]
        fn one_client_never_takes_all_from_the_others(places in 4_usize..2_000, greedy in 0_usize..4_000, others in 1_usize..50) {
            let (mut taken, mut own) = (0, 0);
            for _ in 0..greedy {
                if taken < places && (Occupancy { places, taken, own }).fits(|| false) {
                    (taken, own) = (taken + 1, own + 1);
                }
            }
            prop_assert!(taken <= places - places / 4 + 1);
            let free = places - taken;
            for nth in 0..others.min(free) {
                let shared = Occupancy { places, taken: taken + nth, own: 0 };
                prop_assert!(shared.fits(|| false));
            }
        }
    }
}
