//! The fleet as the API shows it.

use std::sync::Arc;
use std::time::Duration;

use super::FleetMember;
use crate::control::Records;
use crate::reliability::fleet::Duty;
use crate::store::rows::MemberRow;
use crate::units::At;

/// Who is shown of the fleet.
#[derive(Clone, Debug)]
pub struct FleetView {
    /// Whether this member calls people.
    pub duty: Duty,
    /// When it came to that duty.
    pub since: At,
    /// Who has the duty, as far as this member knows.
    pub holder: Option<Arc<str>>,
    /// How many were seen within ten seconds.
    pub count: u64,
    /// Some of those seen within the hour; all, in a fleet of up to 50.
    pub members: Vec<MemberView>,
}

/// One member as another one sees it.
#[derive(Clone, Debug)]
pub struct MemberView {
    pub name: Arc<str>,
    /// Which start of the member it is.
    pub boot: Arc<str>,
    /// How long ago it was last seen.
    pub age: Duration,
    /// Alerts that it sees.
    pub sees: usize,
}

impl FleetMember {
    /// The fleet as this member knows it at `now`; `None`: there is one member only.
    pub(super) fn view_of(&self, records: &Records, now: At) -> Option<Arc<FleetView>> {
        if self.is_single() {
            return None;
        }
        let (read, roster) = &self.roster;
        let shown = |one: &MemberRow| {
            // Of itself a member has no need to hear from the store.
            let read = Duration::from_millis(u64::try_from(one.age).unwrap_or_default()) + now.since(*read);
            MemberView {
                name: Arc::from(one.member.as_str()),
                boot: Arc::from(one.boot.as_str()),
                age: if one.boot == records.boot() { Duration::ZERO } else { read },
                sees: usize::try_from(one.loud).unwrap_or_default(),
            }
        };
        let members = roster.iter().map(shown).collect();
        let (duty, since) = (*self.duty.borrow(), self.since);
        let holder = match duty {
            Duty::Holds => Some(Arc::from(records.member())),
            // What was true before the store went away may not be any more.
            Duty::Alone => None,
            Duty::Follows => self.holder.clone(),
        };
        let count = self.members(now);
        Some(Arc::new(FleetView { duty, since, holder, count, members }))
    }
}
