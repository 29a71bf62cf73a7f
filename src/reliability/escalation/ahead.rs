//! Who is called next, as far as it is known now.

use std::time::Duration;

use super::{ASSIGNED, Clock, Escalation, EscalationPolicy};
use crate::units::At;

/// The next step of a ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// When; not later than working hours begin.
    pub at: At,
    /// The contacts to call, each once.
    pub contacts: Vec<String>,
    /// All of them were called before.
    pub again: bool,
    /// Of one that repeats all: how often, and how many times are left, this one included.
    pub repeats: Option<(Duration, u32)>,
}

impl Escalation {
    /// The next step while nobody takes the incident; `None`: nobody is called any more by itself.
    pub fn ahead(&self, policy: &EscalationPolicy, assignee: Option<&str>, clock: Clock) -> Option<Ahead> {
        let at = self.next_deadline(policy, clock)?;
        let ladder = policy.ladder(self.severity?);
        let step = ladder.steps.get(self.step as usize);
        let steps = step.map_or(ladder.steps.as_slice(), std::slice::from_ref);
        let mut contacts: Vec<String> = Vec::new();
        for contact in steps.iter().flat_map(|step| &step.contacts) {
            let contact = assignee.filter(|_| contact == ASSIGNED).unwrap_or(contact);
            if !contacts.iter().any(|known| known == contact) {
                contacts.push(contact.to_owned());
            }
        }
        let left = ladder.again_at_most.saturating_sub(self.round);
        let repeats = step.is_none().then_some((ladder.again_every, left));
        Some(Ahead { at, contacts, again: step.is_none(), repeats })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reliability::escalation::LadderStep;
    use crate::reliability::rule::Severity;

    #[test]
    fn the_next_step_is_named_before_it_comes_and_then_all_again_until_somebody_takes_it() {
        let mut policy = EscalationPolicy::default();
        let late = LadderStep { after: Duration::from_secs(600), contacts: vec![ASSIGNED.to_owned()] };
        policy.ladders[3].steps.push(late);
        let clock = |minute: i64| Clock { now: At(minute * 60_000), local: None, holiday: false };
        let mut ladder = Escalation::default();
        assert_eq!(ladder.ahead(&policy, None, clock(0)), None);
        ladder.start(Severity::Critical, At(0));
        assert_eq!(ladder.due(&policy, Some("bo"), clock(0)).len(), 1, "one message to both");
        let next = Ahead { at: At(600_000), contacts: vec!["bo".to_owned()], again: false, repeats: None };
        assert_eq!(ladder.ahead(&policy, Some("bo"), clock(1)), Some(next));
        assert_eq!(ladder.due(&policy, Some("bo"), clock(10)).len(), 1);
        let all = ["cto", "engineering_lead", "bo"].map(str::to_owned).to_vec();
        let repeats = Some((Duration::from_secs(300), 12));
        let next = Ahead { at: At(900_000), contacts: all, again: true, repeats };
        assert_eq!(ladder.ahead(&policy, Some("bo"), clock(10)), Some(next));
        ladder.stop(At(660_000));
        assert_eq!(ladder.ahead(&policy, Some("bo"), clock(12)), None);
    }
}
