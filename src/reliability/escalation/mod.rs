//! Whom to call now, and whom next.
//!
//! The ladder of an incident's severity, step by step, until somebody takes it. It refuses to know what a channel is:
//! it names one, hears whether that delivered, and names another.
//!
//! # Invariants
//! * Steps come in order, each once per round.
//! * After the stop there is no call, not even for a failed delivery.

mod ahead;
mod policy;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::rule::Severity;
use crate::units::At;
pub use ahead::Ahead;
pub use policy::{ASSIGNED, Calendar, Contact, EscalationPolicy, Ladder, LocalMinute, Step};

/// Calls that are remembered, for their deliveries.
const REMEMBERED: usize = 64;

/// Why somebody is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// It is their step.
    Step,
    /// Nobody has taken it since.
    Again,
    /// The call before this one was not delivered.
    Undelivered,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// From 1 within its incident.
    pub number: u32,
    /// Whom.
    pub contact: String,
    /// Through what.
    pub channel: String,
    /// The step, from 0.
    pub step: u32,
    /// 0, then once more each time that all are called again.
    pub round: u32,
    /// Why.
    pub cause: Cause,
    /// Channels tried before for the same call.
    #[serde(default)]
    pub tried: u32,
    /// Did it arrive? `None`: not known yet.
    #[serde(default)]
    pub delivered: Option<bool>,
}

/// The time, for machines and for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Now.
    pub now: At,
    /// Now, in the local week; `None`: unknown, and every hour is a working hour.
    pub local: Option<LocalMinute>,
    /// It is a day on which nobody works.
    pub holiday: bool,
}

/// How far the ladder of one incident has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Escalation {
    /// Whose ladder.
    severity: Option<Severity>,
    /// When it started.
    started: Option<At>,
    /// When it stopped.
    stopped: Option<At>,
    /// The next step.
    step: u32,
    /// How many times all were called again.
    round: u32,
    /// The last call.
    last: Option<At>,
    /// Calls so far.
    made: u32,
    /// The latest calls.
    calls: Vec<Call>,
}

impl Escalation {
    /// The ladder of `severity` starts.
    pub fn start(&mut self, severity: Severity, at: At) {
        self.severity = Some(severity);
        self.started = Some(at);
        (self.step, self.round, self.last) = (0, 0, None);
    }

    /// It has become another severity: that ladder starts, unless somebody has taken it.
    pub fn rate(&mut self, severity: Severity, at: At) {
        if self.stopped.is_none() {
            self.start(severity, at);
        }
    }

    /// Somebody has taken it, or it is over.
    pub fn stop(&mut self, at: At) {
        self.stopped.get_or_insert(at);
    }

    /// Its moments by a clock that runs `millis` ahead of the one before.
    pub(super) fn shift(&mut self, millis: i64) {
        for at in [&mut self.started, &mut self.stopped, &mut self.last].into_iter().flatten() {
            *at = at.moved(millis);
        }
    }

    /// The newest moment that it remembers.
    pub(super) fn newest(&self) -> Option<At> {
        [self.started, self.stopped, self.last].into_iter().flatten().max()
    }

    /// Started and not stopped.
    pub fn runs(&self) -> bool {
        self.started.is_some() && self.stopped.is_none()
    }

    /// The latest calls, oldest first.
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// One of two copies: the one that has come further, stopped if either was, with what is known of either's calls.
    pub fn merged(&self, other: &Self) -> Self {
        let far = |one: &Self| (one.made, one.round, one.step, one.last, one.started, one.severity);
        let (ahead, behind) = if far(self) >= far(other) { (self, other) } else { (other, self) };
        let mut merged = ahead.clone();
        merged.stopped = ahead.stopped.into_iter().chain(behind.stopped).min();
        for call in &mut merged.calls {
            let same = |one: &&Call| (one.number, &one.channel) == (call.number, &call.channel);
            if let Some(known) = behind.calls.iter().find(same) {
                call.delivered = call.delivered.max(known.delivered);
            }
        }
        merged
    }

    /// When the next step, or the next round, is due, apart from working hours.
    fn due_at(&self, policy: &EscalationPolicy) -> Option<At> {
        let (started, severity) = (self.started.filter(|_| self.runs())?, self.severity?);
        let ladder = policy.ladder(severity);
        if let Some(step) = ladder.steps.get(self.step as usize) {
            return Some(started + step.after);
        }
        let goes_on =
            !ladder.again_every.is_zero() && self.round < ladder.again_at_most && !ladder.steps.is_empty();
        self.last.filter(|_| goes_on).map(|last| last + ladder.again_every)
    }

    /// Steps that have not been taken yet: they come once, whatever is seen of the matter.
    pub fn has_steps_left(&self, policy: &EscalationPolicy) -> bool {
        let ladder = self.severity.filter(|_| self.runs()).map(|severity| policy.ladder(severity));
        ladder.is_some_and(|ladder| (self.step as usize) < ladder.steps.len())
    }

    fn waits(&self, policy: &EscalationPolicy, clock: Clock) -> Option<Duration> {
        let hours = self.severity.and_then(|severity| policy.ladder(severity).hours.as_ref());
        match (hours, clock.local) {
            // What the next day is, is seen when it comes.
            (Some(_), Some(local)) if clock.holiday => Some(local.to_midnight()),
            (Some(calendar), Some(local)) => calendar.opens_in(local),
            (Some(_), None) | (None, _) => Some(Duration::ZERO),
        }
    }

    /// Who is to be called at this moment. `assignee` takes the calls of [`ASSIGNED`].
    pub fn due(&mut self, policy: &EscalationPolicy, assignee: Option<&str>, clock: Clock) -> Vec<Call> {
        let mut calls = Vec::new();
        if self.waits(policy, clock) != Some(Duration::ZERO) {
            return calls;
        }
        while self.due_at(policy).is_some_and(|due| due <= clock.now) {
            let Some(severity) = self.severity else { break };
            let ladder = policy.ladder(severity);
            let (cause, steps) = match ladder.steps.get(self.step as usize) {
                Some(step) => {
                    (if self.round == 0 { Cause::Step } else { Cause::Again }, vec![(self.step, step)])
                }
                None => {
                    self.round += 1;
                    (Cause::Again, (0..).zip(&ladder.steps).collect())
                }
            };
            self.step = self.step.saturating_add(u32::from(cause == Cause::Step));
            self.last = Some(clock.now);
            for (step, contact) in
                steps.into_iter().flat_map(|(n, step)| step.contacts.iter().map(move |c| (n, c)))
            {
                let contact = assignee.filter(|_| contact == ASSIGNED).unwrap_or(contact);
                calls.extend(self.call(policy, contact, step, cause, 0));
            }
        }
        calls
    }

    fn call(
        &mut self,
        policy: &EscalationPolicy,
        contact: &str,
        step: u32,
        cause: Cause,
        tried: u32,
    ) -> Option<Call> {
        let channel = policy.channel(contact, tried as usize)?.to_owned();
        self.made += 1;
        let (number, round, contact) = (self.made, self.round, contact.to_owned());
        let call = Call { number, contact, channel, step, round, cause, tried, delivered: None };
        if self.calls.len() >= REMEMBERED {
            self.calls.remove(0);
        }
        self.calls.push(call.clone());
        Some(call)
    }

    /// What became of call `number`; the call, when it did not arrive. `None` as well when it is unknown or settled.
    pub fn record(&mut self, number: u32, arrived: Arrived) -> Option<Call> {
        let call = self.calls.iter_mut().find(|call| call.number == number && call.delivered.is_none())?;
        call.delivered = Some(arrived == Arrived::Yes);
        (arrived == Arrived::No).then(|| call.clone())
    }

    /// The same call through the next channel; `None`: the ladder has stopped, or no channel is left.
    pub fn another_way(&mut self, policy: &EscalationPolicy, failed: &Call) -> Option<Call> {
        if !self.runs() {
            return None;
        }
        self.call(policy, &failed.contact, failed.step, Cause::Undelivered, failed.tried + 1)
    }

    /// When to look again; `None`: nothing is due by itself.
    pub fn next_deadline(&self, policy: &EscalationPolicy, clock: Clock) -> Option<At> {
        let due = self.due_at(policy)?;
        // A calendar is asked again each time: what is due later is looked at when it is due.
        if due > clock.now { Some(due) } else { self.waits(policy, clock).map(|wait| clock.now + wait) }
    }
}

/// Did it arrive?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrived {
    /// The channel has taken it.
    Yes,
    /// It has not, and will not.
    No,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clock(minute: i64) -> Clock {
        Clock { now: At(minute * 60_000), local: None, holiday: false }
    }

    fn who(calls: &[Call]) -> Vec<(&str, u32, Cause)> {
        calls.iter().map(|call| (call.contact.as_str(), call.round, call.cause)).collect()
    }

    fn ladder(severity: Severity) -> Escalation {
        let mut ladder = Escalation::default();
        ladder.start(severity, At(0));
        ladder
    }

    #[test]
    fn the_ladders_are_those_of_the_guide() {
        let policy = EscalationPolicy::default();
        for (severity, minute, contacts) in [
            (Severity::Critical, 0, &["cto", "engineering_lead"][..]),
            (Severity::High, 5, &["engineering_manager"]),
            (Severity::Medium, 30, &["team_lead"]),
            (Severity::Low, 120, &["bo"]),
        ] {
            let mut ladder = ladder(severity);
            if minute > 0 {
                assert_eq!(ladder.due(&policy, Some("bo"), clock(minute - 1)), []);
                assert_eq!(ladder.next_deadline(&policy, clock(0)), Some(clock(minute).now));
            }
            let calls = ladder.due(&policy, Some("bo"), clock(minute));
            let called: Vec<_> = calls.iter().map(|call| call.contact.as_str()).collect();
            assert_eq!(called, contacts, "{severity:?}");
            assert_eq!(ladder.due(&policy, Some("bo"), clock(minute)), []);
        }
    }

    #[test]
    fn whoever_takes_it_ends_the_calls() {
        let policy = EscalationPolicy::default();
        let mut ladder = ladder(Severity::Critical);
        let calls = ladder.due(&policy, None, clock(0));
        ladder.stop(clock(1).now);
        let failed = ladder.record(calls[0].number, Arrived::No).expect("known");
        assert_eq!(ladder.another_way(&policy, &failed), None);
        assert_eq!(ladder.due(&policy, None, clock(500)), []);
        ladder.rate(Severity::Critical, clock(501).now);
        assert_eq!(ladder.due(&policy, None, clock(502)), []);
        assert_eq!(ladder.next_deadline(&policy, clock(502)), None);
    }

    #[test]
    fn nobody_takes_it_so_all_are_called_again_but_not_for_ever() {
        let mut policy = EscalationPolicy::default();
        policy.ladders[3].again_at_most = 2;
        let mut ladder = ladder(Severity::Critical);
        let mut calls = Vec::new();
        for minute in 0..100 {
            calls.extend(ladder.due(&policy, None, clock(minute)));
        }
        assert_eq!(
            who(&calls),
            [
                ("cto", 0, Cause::Step),
                ("engineering_lead", 0, Cause::Step),
                ("cto", 1, Cause::Again),
                ("engineering_lead", 1, Cause::Again),
                ("cto", 2, Cause::Again),
                ("engineering_lead", 2, Cause::Again),
            ]
        );
    }

    #[test]
    fn what_is_not_delivered_goes_through_the_next_channel_and_then_the_fallback() {
        let mut policy =
            EscalationPolicy { fallback: vec!["mail".to_owned(), "pager".to_owned()], ..Default::default() };
        policy.contacts[0].channels = vec!["pager".to_owned(), "chat".to_owned()];
        let mut ladder = ladder(Severity::Critical);
        let mut call = ladder.due(&policy, None, clock(0)).remove(0);
        for channel in ["pager", "chat", "mail"] {
            assert_eq!(call.channel, channel);
            let failed = ladder.record(call.number, Arrived::No).expect("known");
            match ladder.another_way(&policy, &failed) {
                Some(next) => call = next,
                None => assert_eq!(channel, "mail"),
            }
        }
        assert_eq!(ladder.record(call.number, Arrived::No), None, "told twice");
    }

    #[test]
    fn out_of_hours_a_call_waits_for_the_morning() {
        let mut policy = EscalationPolicy::default();
        policy.ladders[1].hours = Some(Calendar::weekdays(9, 17));
        let mut ladder = ladder(Severity::Medium);
        let friday_night = |minute: i64| Clock {
            now: At(minute * 60_000),
            local: Some(LocalMinute(4 * 1_440 + 22 * 60)),
            holiday: false,
        };
        assert_eq!(ladder.due(&policy, None, friday_night(30)), []);
        let morning = ladder.next_deadline(&policy, friday_night(30)).expect("opens");
        assert_eq!(morning.since(At(30 * 60_000)), Duration::from_secs(59 * 3_600), "Monday 09:00");
        let holiday = Clock { now: morning, local: Some(LocalMinute(9 * 60)), holiday: true };
        assert_eq!(ladder.due(&policy, None, holiday), []);
        let midnight = ladder.next_deadline(&policy, holiday).expect("looks again");
        assert_eq!(midnight.since(morning), Duration::from_secs(15 * 3_600));
        let monday = Clock { holiday: false, ..holiday };
        assert_eq!(who(&ladder.due(&policy, None, monday)), [("team_lead", 0, Cause::Step)]);
    }

    proptest! {
        #[test]
        fn a_calendar_opens_when_it_says(windows in prop::collection::vec((0_u16..10_080, 1_u16..600), 1..6), at in 0_u16..10_080) {
            let calendar = Calendar { windows: windows.into_iter().map(|(from, long)| (from, (from + long).min(10_080))).collect() };
            let wait = calendar.opens_in(LocalMinute(at)).expect("some window");
            let minutes = (wait.as_secs() / 60) as u16;
            prop_assert_eq!(calendar.opens_in(LocalMinute((at + minutes) % 10_080)), Some(Duration::ZERO));
            for earlier in 0..minutes {
                prop_assert_ne!(calendar.opens_in(LocalMinute((at + earlier) % 10_080)), Some(Duration::ZERO));
            }
        }

        #[test]
        fn calls_come_in_the_order_of_the_ladder(looks in prop::collection::vec(0_i64..40, 1..60), stop in 0_usize..80) {
            let mut policy = EscalationPolicy::default();
            policy.ladders[2].steps.insert(0, Step { after: Duration::ZERO, contacts: vec!["on_call".to_owned()] });
            let mut ladder = ladder(Severity::High);
            let (mut minute, mut last) = (0, (0, 0));
            for (n, gap) in looks.into_iter().enumerate() {
                minute += gap;
                if n == stop {
                    ladder.stop(clock(minute).now);
                }
                let calls = ladder.due(&policy, None, clock(minute));
                prop_assert!(n < stop || calls.is_empty());
                for call in calls {
                    prop_assert!((call.round, call.step) >= last);
                    last = (call.round, call.step);
                }
            }
        }
    }
}
