//! Which endpoints of an upstream are called: its first group, or the backup group?
//!
//! The backup group takes over at once when the first one is ill and the backup is less so. The way back is slow: the first
//! group has to be well for [`FailoverPolicy::back_after`] without an interruption, and for twice as long each time that it
//! did not last, up to eight times. Between two groups that are equally ill nothing moves. An order for the backup group is a
//! preference and no evidence: a backup that is worse than the first group is left all the same.
//!
//! Refuses to know endpoints and requests: a group is how many of its endpoints pass their checks, and what its breaker says.

use std::time::{Duration, Instant};

use super::breaker::{BreakerState, BreakerView};
use crate::units::Percent;

/// A first group without any address for so long is ill; names are looked up again every 2 s after a failed look-up.
const WITHOUT_ADDRESS: Duration = Duration::from_secs(5);
/// Nothing is known of a longer time between two looks (one each second).
const BLIND: Duration = Duration::from_secs(5);
/// A first group that stays for so many `back_after` has lasted.
const LASTED: u32 = 10;
/// The wait is doubled so often at most.
const DOUBLED: u32 = 3;

/// A group of an upstream's endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// `endpoints`.
    #[default]
    First,
    /// `backup`.
    Backup,
}

impl Group {
    pub fn label(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Backup => "backup",
        }
    }

    /// The value of the gauge.
    pub fn number(self) -> u8 {
        match self {
            Self::First => 0,
            Self::Backup => 1,
        }
    }
}

/// What makes the first group ill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailoverWhen {
    /// Its checks alone.
    Health,
    /// Its checks, and its breaker when requests have opened it.
    Breaker,
}

/// When another group is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailoverPolicy {
    pub when: FailoverWhen,
    /// A group in which a smaller share passes its checks is ill; one in which no endpoint does always is.
    pub min_healthy: Percent,
    /// The first group has to be well for so long before it is called again.
    pub back_after: Duration,
}

/// What the breaker of a group says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerSight {
    /// All pass.
    Closed,
    /// It has closed, and refuses some.
    Ramping,
    /// A few pass as probes.
    HalfOpen,
    /// Requests have opened it.
    Open,
    /// An operator holds it open: no evidence.
    HeldOpen,
}

impl BreakerSight {
    /// In shadow a breaker refuses nothing, and says nothing.
    pub fn of(view: &BreakerView) -> Self {
        match view.state {
            BreakerState::Closed if view.ramping => Self::Ramping,
            BreakerState::Closed => Self::Closed,
            BreakerState::HalfOpen => Self::HalfOpen,
            BreakerState::Open if view.hold.is_some() => Self::HeldOpen,
            BreakerState::Open => Self::Open,
        }
    }
}

/// A look at a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupSight {
    /// Addresses that its names have now.
    pub endpoints: usize,
    /// Those of them that pass their checks.
    pub passing: usize,
    pub breaker: BreakerSight,
}

impl GroupSight {
    /// Does an endpoint of it get requests, and answer them as far as checks can see?
    fn serves(self) -> bool {
        let passes = !matches!(self.breaker, BreakerSight::Open | BreakerSight::HeldOpen);
        self.endpoints > 0 && self.passing > 0 && passes
    }
}

/// How a group is, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    Well,
    /// Not to be gone back to yet, and no reason to leave it.
    Unsure,
    /// Too few of its endpoints pass their checks.
    Thin,
    /// It answers nobody.
    Out,
}

impl Condition {
    fn is_ill(self) -> bool {
        self >= Self::Thin
    }
}

/// Why another group is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SwitchReason {
    /// Too few endpoints of the first group pass their checks.
    Health,
    /// The breaker of the first group is open.
    Breaker,
    /// The names of the first group have no address.
    NoAddress,
    /// An operator or a plan has ordered it.
    Order,
    /// The first group has been well for long enough.
    Recovered,
    /// The backup group is ill, and the first one less so.
    BackupIll,
}

impl SwitchReason {
    pub const ALL: [Self; 6] =
        [Self::Health, Self::Breaker, Self::NoAddress, Self::Order, Self::Recovered, Self::BackupIll];

    pub fn label(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Breaker => "breaker",
            Self::NoAddress => "no_address",
            Self::Order => "order",
            Self::Recovered => "recovered",
            Self::BackupIll => "backup_ill",
        }
    }

    /// A clause for people.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Health => "too few of its first endpoints pass their checks",
            Self::Breaker => "the breaker of its first endpoints is open",
            Self::NoAddress => "its first endpoints have no address",
            Self::Order => "it was ordered",
            Self::Recovered => "its first endpoints have been well for long enough",
            Self::BackupIll => "its backup endpoints are worse off than its first ones",
        }
    }
}

/// An order to call the backup group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailoverOrder {
    /// Why, in the words of whoever ordered it.
    pub reason: String,
    pub actor: String,
    /// When it ends by itself.
    pub until: Instant,
}

/// Another group is called from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    pub to: Group,
    pub why: SwitchReason,
}

/// Which group of one upstream is called, and what that is decided by.
#[derive(Clone, Debug)]
pub struct Failover {
    group: Group,
    /// When that group was put in force, and why; `None`: it is the first one, from the beginning.
    switched: Option<(Instant, SwitchReason)>,
    /// The first group has been well since then.
    well_since: Option<Instant>,
    /// The first group has had no address since then.
    empty_since: Option<Instant>,
    looked: Option<Instant>,
    /// Returns to the first group in a row that did not last.
    strikes: u32,
    order: Option<FailoverOrder>,
    /// How the first group and the backup group were at the last look.
    seen: (Condition, Condition),
}

impl Default for Failover {
    fn default() -> Self {
        Self {
            group: Group::First,
            switched: None,
            well_since: None,
            empty_since: None,
            looked: None,
            strikes: 0,
            order: None,
            seen: (Condition::Unsure, Condition::Unsure),
        }
    }
}

impl Failover {
    /// The group that is in force.
    pub fn group(&self) -> Group {
        self.group
    }

    /// When it was put in force, and why; `None`: nothing was ever switched.
    pub fn switched(&self) -> Option<(Instant, SwitchReason)> {
        self.switched
    }

    /// The order; `None`: there is none.
    pub fn order(&self) -> Option<&FailoverOrder> {
        self.order.as_ref()
    }

    /// Would the backup group, as it was seen last, serve better than the first one, or at least as well as a group that is
    /// well?
    pub fn backup_serves(&self) -> bool {
        let (first, backup) = self.seen;
        !backup.is_ill() || backup < first
    }

    /// The backup group is to be called, in the place of an earlier order. In force with the next look.
    pub fn set_order(&mut self, order: FailoverOrder) {
        self.order = Some(order);
    }

    /// Ends the order, if `which` picks it; the order that has ended. From then on the first group has to be well for
    /// `back_after`: what was ordered was ordered for a reason that checks may not see.
    pub fn end_order(&mut self, which: impl FnOnce(&FailoverOrder) -> bool) -> Option<FailoverOrder> {
        let ended = self.order.take_if(|order| which(order))?;
        self.well_since = None;
        Some(ended)
    }

    /// How long the first group has to be well before it is called again.
    pub fn wait(&self, policy: &FailoverPolicy) -> Duration {
        policy.back_after * 2_u32.pow(self.strikes.min(DOUBLED))
    }

    /// When the first group is called again if it stays well; `None`: it is in force, it is not well, or an order holds.
    pub fn back_at(&self, policy: &FailoverPolicy) -> Option<Instant> {
        let waits = self.group == Group::Backup && self.order.is_none();
        self.well_since.filter(|_| waits).map(|since| since + self.wait(policy))
    }

    /// One look at both groups; the switch that it leads to.
    pub fn look(
        &mut self,
        policy: &FailoverPolicy,
        first: GroupSight,
        backup: GroupSight,
        now: Instant,
    ) -> Option<Switch> {
        self.end_order(|order| order.until <= now);
        let blind = self.looked.replace(now).is_some_and(|last| now.saturating_duration_since(last) > BLIND);
        self.empty_since = (first.endpoints == 0).then(|| self.empty_since.unwrap_or(now));
        let first_serves = first.serves();
        let (first, why) = self.first(policy, first, now);
        let backup = condition_of_backup(policy, backup);
        self.seen = (first, backup);
        let well_before = self.well_since.filter(|_| !blind);
        self.well_since = (first == Condition::Well).then(|| well_before.unwrap_or(now));
        let why = match self.group {
            Group::First => self.leaves_first(why)?,
            Group::Backup => self.leaves_backup(policy, first_serves, now)?,
        };
        Some(self.switch(why, policy, now))
    }

    /// How the first group is, and by what it would be ill.
    fn first(&self, policy: &FailoverPolicy, sight: GroupSight, now: Instant) -> (Condition, SwitchReason) {
        let empty_for = self.empty_since.map(|since| now.saturating_duration_since(since));
        match (sight.breaker, policy.when) {
            _ if empty_for.is_some_and(|length| length >= WITHOUT_ADDRESS) => {
                (Condition::Out, SwitchReason::NoAddress)
            }
            _ if empty_for.is_some() => (Condition::Unsure, SwitchReason::NoAddress),
            _ if sight.passing == 0 => (Condition::Out, SwitchReason::Health),
            (BreakerSight::Open, FailoverWhen::Breaker) => (Condition::Out, SwitchReason::Breaker),
            _ if is_thin(policy, sight) => (Condition::Thin, SwitchReason::Health),
            (BreakerSight::Open | BreakerSight::HeldOpen | BreakerSight::Ramping, _) => {
                (Condition::Unsure, SwitchReason::Breaker)
            }
            // Without requests nothing probes what its checks cannot see: half-open is blind, not bad.
            (BreakerSight::Closed | BreakerSight::HalfOpen, _) => (Condition::Well, SwitchReason::Health),
        }
    }

    fn leaves_first(&self, why: SwitchReason) -> Option<SwitchReason> {
        let (first, backup) = self.seen;
        if first.is_ill() && backup < first {
            return Some(why);
        }
        let ordered = self.order.is_some() && !(backup.is_ill() && backup > first);
        ordered.then_some(SwitchReason::Order)
    }

    fn leaves_backup(
        &self,
        policy: &FailoverPolicy,
        first_serves: bool,
        now: Instant,
    ) -> Option<SwitchReason> {
        let (first, backup) = self.seen;
        // What is no reason to leave the first group is none to go back to it.
        if backup.is_ill() && first < backup && first_serves {
            return Some(SwitchReason::BackupIll);
        }
        let over = self.back_at(policy).is_some_and(|at| at <= now);
        over.then_some(SwitchReason::Recovered)
    }

    fn switch(&mut self, why: SwitchReason, policy: &FailoverPolicy, now: Instant) -> Switch {
        let stood = self.switched.map(|(since, _)| now.saturating_duration_since(since));
        let to = match self.group {
            Group::First => {
                let lasted = stood.is_none_or(|stood| stood >= policy.back_after * LASTED);
                let failed = why != SwitchReason::Order;
                self.strikes = match lasted {
                    true => 0,
                    false => self.strikes.saturating_add(u32::from(failed)).min(DOUBLED),
                };
                Group::Backup
            }
            Group::Backup => Group::First,
        };
        (self.group, self.switched) = (to, Some((now, why)));
        Switch { to, why }
    }
}

fn is_thin(policy: &FailoverPolicy, sight: GroupSight) -> bool {
    !policy.min_healthy.reached_by(sight.passing as u64, sight.endpoints as u64)
}

/// A backup group has to do more than the first one, which may just stay: what its breaker refuses it does not serve.
fn condition_of_backup(policy: &FailoverPolicy, sight: GroupSight) -> Condition {
    match sight.breaker {
        _ if sight.passing == 0 => Condition::Out,
        BreakerSight::Open | BreakerSight::HeldOpen => Condition::Out,
        _ if is_thin(policy, sight) => Condition::Thin,
        BreakerSight::HalfOpen | BreakerSight::Ramping => Condition::Unsure,
        BreakerSight::Closed => Condition::Well,
    }
}

#[cfg(test)]
mod tests;
