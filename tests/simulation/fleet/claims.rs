//! What must be so of all members together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use strop::names::IncidentId;
use strop::reliability::delivery::NotificationId;
use strop::reliability::delivery::{DeliveryState as Delivered, Matter};
use strop::reliability::escalation::CallCause;
use strop::reliability::fleet::Duty;
use strop::reliability::incident::{Clocks, Entry, EntryKind, Incident, State};

use super::channels::{Channels, FORGETS, PAGERS};
use super::letters::Letter;
use super::member::{Called, Member};
use super::store::Store;

/// However members come and go, somebody calls after so many milliseconds.
const NOBODY: u64 = 25_000;

#[derive(Default)]
pub struct Claims {
    pub boots: u64,
    /// Calls that were settled by a process that did not know the incident yet, and is gone.
    pub unheard: BTreeSet<NotificationId>,
    /// Since when nobody acts.
    nobody_since: Option<u64>,
    /// Since when each lead has been held by whom: what was stored before is known to them.
    leads: Option<(Arc<str>, u64)>,
}

impl Claims {
    /// Never two at once whose lease is good; and never nobody for long.
    pub fn at_most_one_leads<'m>(
        &mut self,
        members: impl Iterator<Item = (Option<&'m Member>, u64, u64)>,
        store: &Store,
        t: u64,
    ) {
        let (mut holding, mut acting, mut able) = (Vec::new(), 0, false);
        for (member, still_until, starts) in members {
            let Some(member) = member else { continue };
            let duty = member.duty(t);
            if duty == Duty::Holds {
                holding.push(&member.boot);
            }
            let here = still_until <= t;
            acting += usize::from(duty.acts() && here);
            able |= still_until + NOBODY <= t && starts + NOBODY <= t;
        }
        assert!(holding.len() <= 1, "{holding:?} lead at once");
        for boot in &holding {
            assert_eq!(store.holder(t), Some(*boot), "leads without the lease");
        }
        match holding.first() {
            Some(boot) if self.leads.as_ref().is_none_or(|(held, _)| held != *boot) => {
                self.leads = Some((Arc::clone(boot), t));
            }
            Some(_) | None => {}
        }
        if acting > 0 || !able {
            self.nobody_since = None;
        } else {
            let since = *self.nobody_since.get_or_insert(t);
            assert!(t - since <= NOBODY, "nobody calls for {} ms", t - since);
        }
    }

    /// One call, at the moment at which the engine makes it.
    pub fn called(&self, called: &Called, member: &Member, store: &Store, t: u64) {
        let Called { page, incident, duty, silenced } = called;
        assert!(duty.acts(), "{} calls, and another one has the duty: {page:?}", member.boot);
        assert!(matches!(incident.state, State::Open | State::Mitigating), "about {:?}", incident.state);
        assert!(incident.clocks.acknowledged.is_none(), "called after it was taken");
        assert!(!silenced, "called while silenced");
        assert!(*duty != Duty::Holds || store.holder(t) == Some(&member.boot), "the lease is another's");
        if let Some(taken) = store.taken.get(&page.incident) {
            let heard = member.heard;
            assert!(*taken >= heard, "taken at {taken}, heard of at {heard}, and called at {t}: {page:?}");
        }
        let call = (page.incident.clone(), page.number.to_string());
        let stored = store.called.get(&call).is_none_or(|at| *at >= member.heard);
        assert!(stored, "the fleet had made this call when {} last heard of it: {page:?}", member.boot);
        let line = incident.timeline.iter().rev().find(|line| {
            line.kind == EntryKind::Page && line.evidence.contains(&("call".to_owned(), call.1.clone()))
        });
        assert!(line.is_some(), "a call without a line: {page:?}");
        let rated = incident.timeline.iter().any(|line| line.kind == EntryKind::Severity);
        let same = incident.escalation.calls().iter().filter(|one| {
            let step = (one.cause, one.step, one.round) == (CallCause::Step, page.step, page.round);
            step && one.channel == page.channel && one.batch != 0
        });
        assert!(rated || page.cause != CallCause::Step || same.count() <= 1, "a step twice: {incident:#?}");
    }

    /// Does everybody have what is stored, and nothing else?
    pub fn agree<'m>(&self, members: impl Iterator<Item = &'m Member>, store: &Store) -> bool {
        self.apart(members, store).is_empty()
    }

    /// What differs.
    pub fn apart<'m>(&self, members: impl Iterator<Item = &'m Member>, store: &Store) -> String {
        let stored: BTreeMap<IncidentId, Incident> = store.all().map(|one| (one.id.clone(), one)).collect();
        let mut apart = String::new();
        for member in members {
            for (id, one) in &stored {
                match member.shown().incident(id) {
                    Some(own) => apart += &differ(&member.boot, own, one),
                    None => apart += &format!("{} does not have {id}\n", member.boot),
                }
            }
            let more = member.shown().incidents().find(|own| !stored.contains_key(&own.id));
            if let Some(more) = more {
                apart += &format!("{} has {more:#?}, which nobody stored", member.boot);
            }
        }
        apart
    }

    /// Every call that was stored has been delivered, or given up with a line, or is said better by a later one; and what is said
    /// to have been delivered has arrived.
    pub fn all_were_told(&self, store: &Store, channels: &Channels) {
        let incidents: BTreeMap<IncidentId, Incident> =
            store.all().map(|one| (one.id.clone(), one)).collect();
        for letter in store.letters() {
            let state = letter.progress.state;
            let arrived = channels.ids.contains(&letter.id);
            let said = matches!(state, Delivered::Sent | Delivered::Repeating);
            assert!(!said || arrived, "nobody has received {letter:?}");
            let Some(number) = letter.call else { continue };
            let one = incidents.get(&letter.incident).expect("a call is stored with its incident");
            let line = one.timeline.iter().find(|line| {
                line.kind == EntryKind::Delivery && line.text.starts_with(&format!("call {number} "))
            });
            // Who delivers what others have left may not know the incident yet, and ends before it does.
            let heard = state != Delivered::Folded && !self.unheard.contains(&letter.id);
            assert!(!heard || line.is_some(), "no line tells of {letter:?}: {one:#?}");
        }
        for one in incidents.values() {
            assert!(!one.state.is_live() || one.signals.is_empty(), "all is well, and yet: {one:#?}");
        }
    }
}

impl Claims {
    /// Whoever was called hears that it is over: by this incident's end, or, at a pager, by a later one of the same matter. Not
    /// of a call that nobody has stored, nor where the end was refused, nor a receiver that forgets by itself; and of one of two
    /// that were the same the others hear by the other's end.
    pub fn ends_are_told(&self, store: &Store, channels: &Channels) {
        for ((channel, line, id), first) in channels.called.iter().filter(|((one, ..), _)| one != FORGETS) {
            let letters = || store.letters().filter(|one| one.channel == *channel && one.incident == *id);
            let stored = letters().any(|one| one.matter == Matter::Call);
            let pager = PAGERS.contains(&channel.as_str());
            let ends = |one: &Incident| !one.state.is_live() && (pager || one.part_of().is_none());
            let Some(incident) = store.read(id).filter(|one| stored && ends(one)) else { continue };
            let refused = |one: &Letter| {
                one.matter == Matter::Over
                    && matches!(one.progress.state, Delivered::Failed | Delivered::Dead)
            };
            let hears = |((there, about, of), last): (&(String, String, IncidentId), &u64)| {
                (there, about) == (channel, line) && (of == id || last > first)
            };
            let beside = || store.letters().filter(|one| one.channel == *channel && one.line() == line);
            let told = beside().any(refused) || channels.ended.iter().any(hears);
            assert!(
                told,
                "{channel} never hears of the end: {:#?} {incident:#?}",
                beside().collect::<Vec<_>>()
            );
        }
    }
}

/// What differs in two copies of one incident, whoever numbered their lines.
fn differ(boot: &str, own: &Incident, stored: &Incident) -> String {
    // What is shown and decided by. How far a ladder that rests had come, and when the matter itself was over, the copies of
    // those who do not act may tell differently.
    let facts = |one: &Incident| {
        let Incident { state, severity, ending, clocks, acknowledged_by, assignee, dedup, .. } = one;
        let clocks = Clocks { recovered: None, ..*clocks };
        let runs = one.escalation.runs();
        format!(
            "{state:?} {severity:?} {ending:?} {clocks:?} {dedup} {acknowledged_by:?} {assignee:?} {runs}"
        )
    };
    let has = |line: &Entry| {
        let same = |own: &Entry| (own.at, own.kind, &own.text) == (line.at, line.kind, &line.text);
        own.timeline.iter().any(same)
    };
    let (ours, theirs) = (facts(own), facts(stored));
    let lost = stored.timeline.iter().find(|line| !has(line));
    match lost {
        None if ours == theirs => String::new(),
        _ => format!("{boot}, {}: {ours}; stored is {theirs}; {boot} does not have {lost:?}\n", own.id),
    }
}
