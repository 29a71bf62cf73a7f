//! Why this process should not get traffic yet, or any more: a set of named reasons, and the hold that an operator has ordered.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The reason while an order holds traffic off.
const HELD: &str = "held by order";
/// The reason of a process that leaves.
const DRAINING: &str = "draining";

/// An order that holds traffic off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadinessHold {
    pub actor: String,
    /// Why, in the words of whoever orders it.
    pub reason: String,
    pub since: Instant,
    /// It is over from then on; `None`: when it is taken back.
    pub until: Option<Instant>,
}

impl ReadinessHold {
    fn is_over(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

#[derive(Debug, Default)]
struct Held {
    reasons: BTreeSet<&'static str>,
    hold: Option<ReadinessHold>,
}

/// The reasons not to be ready.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<Held>>);

impl Readiness {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Not ready, for good: the process leaves. False: it did already.
    pub fn drain(&self) -> bool {
        self.held().reasons.insert(DRAINING)
    }

    /// Not ready until that order is over.
    pub fn hold(&self, hold: ReadinessHold) {
        self.held().hold = Some(hold);
    }

    /// Ends an order; the one that has ended.
    pub fn release(&self, now: Instant) -> Option<ReadinessHold> {
        self.held().hold.take().filter(|hold| !hold.is_over(now))
    }

    /// Ends an order whose time is over, and says which that was; called once a second. [`Self::reasons`] does not wait for it.
    pub fn look(&self, now: Instant) -> Option<ReadinessHold> {
        self.held().hold.take_if(|hold| hold.is_over(now))
    }

    /// The order that holds traffic off now.
    pub fn ordered(&self, now: Instant) -> Option<ReadinessHold> {
        self.held().hold.clone().filter(|hold| !hold.is_over(now))
    }

    /// The reasons; none: ready.
    pub fn reasons(&self, now: Instant) -> Vec<&'static str> {
        let held = self.held();
        let ordered = held.hold.as_ref().filter(|hold| !hold.is_over(now)).map(|_| HELD);
        held.reasons.iter().copied().chain(ordered).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::runtime::clock;

    fn hold(since: Instant, lasts: Option<Duration>) -> ReadinessHold {
        let (actor, reason) = ("ann".to_owned(), "a test".to_owned());
        ReadinessHold { actor, reason, since, until: lasts.map(|lasts| since + lasts) }
    }

    #[test]
    fn a_hold_ends_by_itself_at_its_time_or_when_it_is_taken_back() {
        let (readiness, now) = (Readiness::default(), clock::instant());
        let minute = Duration::from_secs(60);
        readiness.hold(hold(now, Some(minute)));
        assert_eq!(readiness.reasons(now), [HELD]);
        assert_eq!(readiness.look(now), None);
        let over = now + minute;
        assert!(readiness.reasons(over).is_empty() && readiness.ordered(over).is_none());
        assert!(readiness.look(over).is_some());
        assert_eq!((readiness.look(over), readiness.release(over)), (None, None));
        readiness.hold(hold(now, None));
        assert_eq!(readiness.reasons(over), [HELD]);
        assert!(readiness.release(over).is_some() && readiness.reasons(over).is_empty());
    }

    #[test]
    fn whoever_leaves_is_unready_for_good_whatever_is_taken_back() {
        let (readiness, now) = (Readiness::default(), clock::instant());
        assert!(readiness.drain() && !readiness.drain());
        readiness.hold(hold(now, None));
        assert_eq!(readiness.reasons(now), [DRAINING, HELD]);
        assert!(readiness.release(now).is_some());
        assert_eq!(readiness.reasons(now), [DRAINING]);
    }
}
