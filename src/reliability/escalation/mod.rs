//! Whom to call now, and whom next.
//!
//! The ladder of an incident's severity, step by step, until somebody takes it. It refuses to know what a channel is:
//! it names one, hears whether that delivered, and names another.
//!
//! A call is one message through one channel, addressed to every contact that is reached there. A contact with channels
//! of its own is called through the first of them, and through the next one where that fails; one without is called
//! through all channels of the fallback at once.
//!
//! # Invariants
//! * Steps come in order, each once per round.
//! * Calls of one moment go through different channels: nobody gets the same message twice.
//! * After the stop there is no call, not even for a failed delivery.

mod ahead;
mod policy;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::rule::Severity;
use crate::units::At;
pub use ahead::Ahead;
pub use policy::{ASSIGNED, Calendar, Contact, EscalationPolicy, Ladder, LadderStep, LocalMinute};

/// Calls that are remembered, for their deliveries.
const REMEMBERED: usize = 64;

/// Why somebody is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallCause {
    /// It is their step.
    Step,
    /// Nobody has taken it since.
    Again,
    /// The call before this one was not delivered.
    Undelivered,
}

/// One call: one message through one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// From 1 within its incident.
    pub number: u32,
    /// The first contact that it is addressed to.
    pub contact: String,
    /// The other contacts that are reached through the same channel. Apart, so that a version of before reads a call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// The name of the channel that the message goes through.
    pub channel: String,
    /// The step, from 0.
    pub step: u32,
    /// 0, then once more each time that all are called again.
    pub round: u32,
    /// What made this call be made.
    pub cause: CallCause,
    /// Channels tried before for the same call.
    #[serde(default)]
    pub tried: u32,
    /// The number of the first call of the same moment, also of those that went another way; 0: a version
    /// of before made it.
    #[serde(default)]
    pub batch: u32,
    /// Did it arrive? `None`: not known yet.
    #[serde(default)]
    pub delivered: Option<bool>,
    /// Was its receiver told that it is over? `None`: a version of before made it, and told or did not tell without a note of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<bool>,
}

impl Call {
    /// Everybody whom it is addressed to.
    pub fn contacts(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.contact.as_str()).chain(self.also.iter().map(String::as_str))
    }

    /// Everybody whom it is addressed to, in one text.
    pub fn whom(&self) -> String {
        self.contacts().collect::<Vec<_>>().join(", ")
    }

    /// Is `other` one of the calls of the same moment?
    fn is_beside(&self, other: &Self) -> bool {
        let place = |one: &Self| if one.batch == 0 { (one.step, one.round) } else { (0, 0) };
        self.batch == other.batch && place(self) == place(other)
    }
}

/// What those who were called were last told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastNotice {
    /// How bad it is.
    pub severity: Severity,
    /// Somebody has taken it.
    pub taken: bool,
}

/// The time, for machines and for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
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
    /// The severity whose ladder it is; `None`: none was begun.
    severity: Option<Severity>,
    /// When it started; `None`: it has not.
    started: Option<At>,
    /// The step up to which (exclusive, from 0) nobody waits any more.
    hastened: u32,
    /// When it stopped; `None`: it goes on.
    stopped: Option<At>,
    /// The next step, from 0.
    step: u32,
    /// How many times all were called again.
    round: u32,
    /// When somebody was last called.
    last: Option<At>,
    /// Calls that were made so far.
    made: u32,
    /// The latest calls, oldest first, for their deliveries.
    calls: Vec<Call>,
    /// What those who were called were last told; `None`: nobody was called, or a version of before did not note it.
    known: Option<LastNotice>,
}

impl Escalation {
    /// The ladder of `severity` starts.
    pub fn start(&mut self, severity: Severity, at: At) {
        self.severity = Some(severity);
        self.started = Some(at);
        (self.step, self.round, self.last, self.hastened) = (0, 0, None, 0);
    }

    /// The next step is due at once.
    pub fn hasten(&mut self) {
        self.hastened = self.step.saturating_add(1);
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

    /// One of two copies: the one that has come further, stopped if either was, with the calls of both and what is known of them.
    pub fn merged(&self, other: &Self) -> Self {
        let far = |one: &Self| (one.round, one.step, one.last, one.hastened, one.started, one.severity);
        let (ahead, behind) = if far(self) >= far(other) { (self, other) } else { (other, self) };
        let mut merged = ahead.clone();
        merged.known = ahead.known.or(behind.known);
        merged.made = ahead.made.max(behind.made);
        merged.stopped = ahead.stopped.into_iter().chain(behind.stopped).min();
        let place = |one: &Call| (one.number, one.channel.clone());
        // Both have called: whoever was called by either hears that it is over.
        for call in &behind.calls {
            match merged.calls.iter_mut().find(|one| place(one) == place(call)) {
                Some(known) => {
                    known.delivered = known.delivered.max(call.delivered);
                    known.ended = known.ended.max(call.ended);
                }
                None => merged.calls.push(call.clone()),
            }
        }
        merged.calls.sort_by_cached_key(place);
        merged.calls.drain(..merged.calls.len().saturating_sub(REMEMBERED));
        merged
    }

    /// Those who were called are told that it is over. Tells whether any of them was not before.
    pub fn end(&mut self) -> bool {
        let owed = self.owes_an_end();
        self.calls.iter_mut().filter(|call| call.ended.is_some()).for_each(|call| call.ended = Some(true));
        owed
    }

    /// Was somebody called who was not told of an end?
    pub fn owes_an_end(&self) -> bool {
        self.calls.iter().any(|call| call.ended == Some(false))
    }

    /// When the next step, or the next round, is due, apart from working hours.
    fn due_at(&self, policy: &EscalationPolicy) -> Option<At> {
        let (started, severity) = (self.started.filter(|_| self.runs())?, self.severity?);
        let ladder = policy.ladder(severity);
        if let Some(step) = ladder.steps.get(self.step as usize) {
            return Some(if self.step < self.hastened { started } else { started + step.after });
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
            return Vec::new();
        }
        while self.due_at(policy).is_some_and(|due| due <= clock.now) {
            let Some(severity) = self.severity else { break };
            let ladder = policy.ladder(severity);
            let (cause, steps) = match ladder.steps.get(self.step as usize) {
                Some(step) => (
                    if self.round == 0 { CallCause::Step } else { CallCause::Again },
                    vec![(self.step, step)],
                ),
                None => {
                    self.round += 1;
                    (CallCause::Again, (0..).zip(&ladder.steps).collect())
                }
            };
            self.step = self.step.saturating_add(u32::from(cause == CallCause::Step));
            self.last = Some(clock.now);
            for (step, contact) in
                steps.into_iter().flat_map(|(n, step)| step.contacts.iter().map(move |c| (n, c)))
            {
                let contact = assignee.filter(|_| contact == ASSIGNED).unwrap_or(contact);
                for channel in policy.first_ways(contact) {
                    add(&mut calls, contact, channel, step, cause);
                }
            }
        }
        let batch = self.made + 1;
        calls.into_iter().map(|call| self.make(Call { round: self.round, batch, ..call })).collect()
    }

    /// Numbers and remembers a call.
    fn make(&mut self, call: Call) -> Call {
        self.made += 1;
        let call = Call { number: self.made, ..call };
        if self.calls.len() >= REMEMBERED {
            self.calls.remove(0);
        }
        self.calls.push(call.clone());
        call
    }

    /// What became of call `number`; the call, when it is known now that it did not arrive. What did not arrive at
    /// first may do so later.
    pub fn record(&mut self, number: u32, arrived: Arrived) -> Option<Call> {
        let call = self.calls.iter_mut().find(|call| call.number == number)?;
        let failed = arrived == Arrived::No && call.delivered.is_none();
        match arrived {
            Arrived::Yes => call.delivered = Some(true),
            Arrived::No => call.delivered = call.delivered.or(Some(false)),
        }
        failed.then(|| call.clone())
    }

    /// The same call through the next channel of each contact that it was addressed to. Nothing where the ladder
    /// has stopped or no channel is left; where a call of the same moment has the channel already, the contact is
    /// added to that one.
    pub fn another_way(&mut self, policy: &EscalationPolicy, failed: &Call) -> Vec<Call> {
        let mut calls = Vec::new();
        if !self.runs() {
            return calls;
        }
        for contact in failed.contacts() {
            let beside = |call: &&mut Call| call.is_beside(failed);
            let tried: Vec<&str> = self
                .calls
                .iter()
                .filter(|call| call.is_beside(failed) && call.contacts().any(|one| one == contact))
                .map(|call| call.channel.as_str())
                .collect();
            let left = policy.ways(contact).filter(|channel| !tried.contains(channel));
            for channel in left.map(str::to_owned).collect::<Vec<_>>() {
                let known = self.calls.iter_mut().filter(beside).find(|call| call.channel == channel);
                let Some(known) = known else {
                    add(&mut calls, contact, &channel, failed.step, CallCause::Undelivered);
                    break;
                };
                if known.delivered != Some(false) {
                    // It has the message, or will have; if that fails, this contact is called another way as well.
                    known.also.push(contact.to_owned());
                    break;
                }
            }
        }
        let (round, tried, batch) = (failed.round, failed.tried + 1, failed.batch);
        calls.into_iter().map(|call| self.make(Call { round, tried, batch, ..call })).collect()
    }

    /// Those who were called know this now.
    pub fn know(&mut self, now: LastNotice) {
        self.known = Some(now);
    }

    /// Do those who were called know that somebody has taken it?
    pub fn knows_it_is_taken(&self) -> bool {
        self.known.is_some_and(|known| known.taken)
    }

    /// Is this new to those who were called? Not when nobody was.
    pub fn is_news(&self, now: LastNotice) -> bool {
        self.known.is_some_and(|before| before != now)
    }

    /// When to look again; `None`: nothing is due by itself.
    pub fn next_deadline(&self, policy: &EscalationPolicy, clock: Clock) -> Option<At> {
        let due = self.due_at(policy)?;
        // A calendar is asked again each time: what is due later is looked at when it is due.
        if due > clock.now { Some(due) } else { self.waits(policy, clock).map(|wait| clock.now + wait) }
    }
}

/// Addresses a contact through a channel: one message for each channel.
fn add(calls: &mut Vec<Call>, contact: &str, channel: &str, step: u32, cause: CallCause) {
    match calls.iter_mut().find(|call| call.channel == channel) {
        Some(call) if call.contacts().any(|one| one == contact) => {}
        Some(call) => call.also.push(contact.to_owned()),
        None => calls.push(Call {
            number: 0,
            contact: contact.to_owned(),
            also: Vec::new(),
            channel: channel.to_owned(),
            step,
            round: 0,
            cause,
            tried: 0,
            batch: 0,
            delivered: None,
            ended: Some(false),
        }),
    }
}

/// Whether a call has arrived at its channel.
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

    fn who(calls: &[Call]) -> Vec<(&str, u32, CallCause)> {
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
            let [call] = &calls[..] else { panic!("one message: {calls:?}") };
            assert_eq!(call.contacts().collect::<Vec<_>>(), contacts, "{severity:?}");
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
        assert_eq!(ladder.another_way(&policy, &failed), []);
        assert_eq!(ladder.due(&policy, None, clock(500)), []);
        ladder.rate(Severity::Critical, clock(501).now);
        assert_eq!(ladder.due(&policy, None, clock(502)), []);
        assert_eq!(ladder.next_deadline(&policy, clock(502)), None);
    }

    #[test]
    fn of_two_copies_whoever_was_called_by_either_is_owed_the_end_and_no_number_comes_twice() {
        let policy = EscalationPolicy { fallback: words(&["mail", "pager"]), ..Default::default() };
        let (mut one, mut other) = (ladder(Severity::Critical), ladder(Severity::Critical));
        let calls = one.due(&policy, None, clock(0));
        let policy = EscalationPolicy { fallback: words(&["chat"]), ..policy };
        other.due(&policy, None, clock(0));
        let mut both = one.merged(&other);
        assert_eq!(both, other.merged(&one));
        let ways = |one: &Escalation| one.calls().iter().map(|call| call.channel.clone()).collect::<Vec<_>>();
        assert_eq!(ways(&both), ["chat", "mail", "pager"]);
        assert!(both.owes_an_end() && both.end() && !both.end());
        let later = both.merged(&one);
        assert_eq!(
            (&later, later.owes_an_end()),
            (&both, false),
            "who does not know it yet makes no second end"
        );
        let due = both.due(&EscalationPolicy::default(), None, clock(5));
        assert!(due.iter().all(|call| call.number > calls.len() as u32), "{due:?}");
        // What a version of before has called: it told the end, or did not, without a note of it.
        let old: Call = serde_json::from_str(
            r#"{"number":1,"contact":"cto","channel":"mail","step":0,"round":0,"cause":"step"}"#,
        )
        .expect("reads");
        let mut old = Escalation { calls: vec![old], made: 1, ..Escalation::default() };
        assert!(!old.owes_an_end() && !old.end());
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
            [("cto", 0, CallCause::Step), ("cto", 1, CallCause::Again), ("cto", 2, CallCause::Again)]
        );
    }

    fn words(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn sent(calls: &[Call]) -> Vec<(&str, String)> {
        calls.iter().map(|call| (call.channel.as_str(), call.whom())).collect()
    }

    #[test]
    fn what_is_not_delivered_goes_through_the_next_channel_and_then_the_fallback() {
        let mut policy = EscalationPolicy {
            fallback: words(&["mail", "pager"]),
            stakeholders: vec![],
            ..Default::default()
        };
        policy.contacts[0].channels = words(&["pager", "chat"]);
        policy.ladders[3].steps[0].contacts = words(&["cto"]);
        let mut ladder = ladder(Severity::Critical);
        let mut call = ladder.due(&policy, None, clock(0)).remove(0);
        for channel in ["pager", "chat", "mail"] {
            assert_eq!(call.channel, channel);
            let failed = ladder.record(call.number, Arrived::No).expect("known");
            match ladder.another_way(&policy, &failed).pop() {
                Some(next) => call = next,
                None => assert_eq!(channel, "mail"),
            }
        }
        assert_eq!(ladder.record(call.number, Arrived::No), None, "told twice");
        assert_eq!(ladder.calls().last().expect("kept").delivered, Some(false));
        ladder.record(call.number, Arrived::Yes);
        assert_eq!(ladder.calls().last().expect("kept").delivered, Some(true), "it arrived late");
    }

    #[test]
    fn who_has_no_channel_of_their_own_is_called_through_all_of_them_at_once() {
        let policy = EscalationPolicy { fallback: words(&["pager", "chat"]), ..Default::default() };
        let mut ladder = ladder(Severity::Critical);
        let calls = ladder.due(&policy, None, clock(0));
        let both = "cto, engineering_lead";
        assert_eq!(sent(&calls), [("pager", both.to_owned()), ("chat", both.to_owned())]);
        let failed = ladder.record(calls[0].number, Arrived::No).expect("known");
        assert_eq!(ladder.another_way(&policy, &failed), [], "the other one has it already");
    }

    #[test]
    fn two_contacts_with_one_channel_get_one_message_addressed_to_both() {
        let mut policy = EscalationPolicy { fallback: words(&["sre", "pager"]), ..Default::default() };
        (policy.contacts[0].channels, policy.contacts[1].channels) =
            (words(&["mail", "chat"]), words(&["mail"]));
        policy.ladders[3].steps.push(LadderStep { after: Duration::ZERO, contacts: words(&["team_lead"]) });
        policy.contacts[3].channels = words(&["mail"]);
        let mut ladder = ladder(Severity::Critical);
        let calls = ladder.due(&policy, None, clock(0));
        assert_eq!(sent(&calls), [("mail", "cto, engineering_lead, team_lead".to_owned())]);
        let failed = ladder.record(calls[0].number, Arrived::No).expect("known");
        let others = ladder.another_way(&policy, &failed);
        let wanted = [("chat", "cto".to_owned()), ("sre", "engineering_lead, team_lead".to_owned())];
        assert_eq!(sent(&others), wanted);
        let failed = ladder.record(others[0].number, Arrived::No).expect("known");
        assert_eq!(ladder.another_way(&policy, &failed), [], "sre is on its way already, to cto as well now");
        let failed = ladder.record(others[1].number, Arrived::No).expect("known");
        let last = ladder.another_way(&policy, &failed);
        assert_eq!(sent(&last), [("pager", "engineering_lead, team_lead, cto".to_owned())]);
        let again = ladder.due(&policy, None, clock(5));
        assert_eq!(sent(&again), [("mail", "cto, engineering_lead, team_lead".to_owned())], "a new round");
    }

    #[test]
    fn a_call_of_the_version_before_reads_and_a_call_to_one_is_written_as_it_was() {
        let old = r#"{"number":1,"contact":"cto","channel":"pager","step":0,"round":0,"cause":"step"}"#;
        let call: Call = serde_json::from_str(old).expect("reads");
        assert_eq!((call.whom(), call.delivered), ("cto".to_owned(), None));
        let text = serde_json::to_string(&call).expect("writes");
        assert!(text.contains("\"contact\":\"cto\"") && !text.contains("also"), "{text}");
        assert!(call.is_beside(&Call { number: 2, ..call.clone() }));
        assert!(!call.is_beside(&Call { number: 2, round: 1, ..call.clone() }));
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
        assert_eq!(who(&ladder.due(&policy, None, monday)), [("team_lead", 0, CallCause::Step)]);
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

        /// Whatever fails, at one moment nobody gets a message twice, and everybody is tried on all channels there are.
        #[test]
        fn one_message_a_channel_and_no_way_is_left_untried(
            own in prop::collection::vec(prop::collection::vec(0_usize..4, 0..3), 4),
            fallback in prop::collection::vec(0_usize..4, 0..4),
            fails in prop::collection::vec(any::<bool>(), 4),
        ) {
            let channels = |picked: &[usize]| {
                let mut names: Vec<String> = Vec::new();
                for name in picked.iter().map(|at| format!("channel{at}")) {
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
                names
            };
            let contact = |(at, own): (usize, &Vec<usize>)| Contact { name: format!("c{at}"), channels: channels(own) };
            let contacts: Vec<Contact> = own.iter().enumerate().map(contact).collect();
            let mut policy = EscalationPolicy { fallback: channels(&fallback), ..Default::default() };
            policy.ladders[3].steps[0].contacts = contacts.iter().map(|one| one.name.clone()).collect();
            policy.contacts = contacts.clone();
            let mut ladder = ladder(Severity::Critical);
            let mut open = ladder.due(&policy, None, clock(0));
            while let Some(call) = open.pop() {
                let at: usize = call.channel.trim_start_matches("channel").parse().expect("a number");
                let arrived = if fails[at] { Arrived::No } else { Arrived::Yes };
                if let Some(failed) = ladder.record(call.number, arrived) {
                    open.extend(ladder.another_way(&policy, &failed));
                }
            }
            let used: Vec<&str> = ladder.calls().iter().map(|call| call.channel.as_str()).collect();
            let mut once = used.clone();
            once.sort_unstable();
            once.dedup();
            prop_assert_eq!(once.len(), used.len(), "twice through one channel: {:?}", ladder.calls());
            for contact in &contacts {
                let of_it = |call: &&Call| call.contacts().any(|one| one == contact.name);
                let reached = ladder.calls().iter().filter(of_it).any(|call| call.delivered == Some(true));
                let has_a_way = policy.ways(&contact.name).any(|way| !fails[way[7..].parse::<usize>().expect("a number")]);
                prop_assert_eq!(reached, has_a_way, "{} {:?}", &contact.name, ladder.calls());
            }
        }

        #[test]
        fn calls_come_in_the_order_of_the_ladder(looks in prop::collection::vec(0_i64..40, 1..60), stop in 0_usize..80) {
            let mut policy = EscalationPolicy::default();
            policy.ladders[2].steps.insert(0, LadderStep { after: Duration::ZERO, contacts: vec!["on_call".to_owned()] });
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
