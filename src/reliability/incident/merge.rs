//! Two copies of one incident become one: members of a fleet may change it at the same time.
//!
//! A copy that descends from the other is the newer one, as it is. Of two that went different ways, every line of both
//! timelines stays; what people did counts, whichever copy has it; an end is an end.

use super::{Clocks, Entry, EntryKind, Incident, Signal, State};
use crate::units::At;

impl Incident {
    /// Does this copy have everything that `other` has?
    pub fn descends_from(&self, other: &Self) -> bool {
        self.version >= other.version && self.timeline.starts_with(&other.timeline)
    }

    /// One copy of two. The order of the two makes no difference, nor does doing it again.
    pub fn merge(&self, other: &Self) -> Self {
        match (self.descends_from(other), other.descends_from(self)) {
            (true, false) => self.clone(),
            (false, true) => other.clone(),
            (true, true) if self.version == other.version && self != other => self.combined(other),
            (true, true) => self.clone(),
            (false, false) => self.combined(other),
        }
    }

    fn combined(&self, other: &Self) -> Self {
        let (new, old) = self.ranked(other);
        let timeline = woven(&new.timeline, &old.timeline);
        // More lines than either has are a version of its own; else it is the higher one's.
        let grown = timeline.len() > new.timeline.len().max(old.timeline.len());
        let mut merged = new.blended(old);
        merged.version = new.version.max(old.version) + u64::from(grown);
        merged.timeline = timeline;
        merged.check_invariants();
        merged
    }

    /// The copy that says how things are, and the other one.
    pub(super) fn ranked<'a>(&'a self, other: &'a Self) -> (&'a Self, &'a Self) {
        if self.rank() >= other.rank() { (self, other) } else { (other, self) }
    }

    /// Both copies but for timeline and version; `self` says how things are.
    pub(super) fn blended(&self, old: &Self) -> Self {
        let new = self;
        let ended =
            [new, old].into_iter().filter(|one| !one.state.is_live()).min_by_key(|one| one.ended_at());
        let clocks = clocks(new, old, ended);
        let mut merged = Self { timeline: Vec::new(), ..new.clone() };
        merged.state = match ended {
            Some(_) if clocks.reviewed.is_some() => State::Reviewed,
            Some(one) => one.state,
            None => standing(new.watched().max(old.watched()).1, &clocks),
        };
        merged.ending = ended.and_then(|one| one.ending.clone());
        let rated = later(new, old, EntryKind::Severity);
        (merged.severity, merged.respond_by) = (rated.severity, rated.respond_by);
        merged.assignee =
            later(new, old, EntryKind::Assigned).assignee.clone().or_else(|| old.assignee.clone());
        // Of two at the same moment it is the same one on every side.
        let taken = |one: &Self| one.clocks.acknowledged.map(|at| (at, one.acknowledged_by.clone()));
        let first = taken(new).into_iter().chain(taken(old)).min();
        merged.acknowledged_by = first.map_or_else(|| new.acknowledged_by.clone(), |(_, by)| by);
        merged.breached |= old.breached;
        let unseen = [new, old].map(|one| (one.moved(), one.unseen_since)).into_iter().max();
        merged.unseen_since = unseen.and_then(|(_, since)| since).filter(|_| merged.state.is_live());
        let title = [new, old].map(|one| (one.moved(), &one.title)).into_iter().max();
        merged.title = title.map_or_else(String::new, |(_, title)| title.clone());
        merged.flaps = merged.flaps.max(old.flaps);
        merged.untold = merged.untold.max(old.untold);
        merged.respond_by = merged.respond_by.or(new.respond_by).or(old.respond_by);
        merged.earlier = new.earlier.clone().max(old.earlier.clone());
        let reviews = [new, old].into_iter().filter(|one| one.review.is_some());
        let first = reviews.min_by_key(|one| (one.clocks.reviewed, format!("{:?}", one.review)));
        merged.review = first.and_then(|one| one.review.clone());
        merged.signals = signals(&new.signals, &old.signals);
        merged.escalation = new.escalation.merged(&old.escalation);
        merged.clocks = clocks;
        merged
    }

    /// Which of two copies says how things are: the one whose state moved last; of one moment the further one, for a
    /// version differs between a copy and its head.
    fn rank(&self) -> (At, State, u64, usize, String) {
        let last = self.timeline.last().map_or_else(String::new, |entry| format!("{entry:?}"));
        (self.moved(), self.state, self.version, self.timeline.len(), last)
    }

    /// When its state moved last.
    fn moved(&self) -> At {
        let moved = self.timeline.iter().rev().find(|entry| entry.kind == EntryKind::State);
        moved.map_or(self.clocks.suspected, |entry| entry.at)
    }

    /// Since its state moved last: is the condition gone, and since when?
    fn watched(&self) -> (At, Option<At>) {
        let gone = (self.state == State::Monitoring).then(|| self.clocks.recovered.unwrap_or_default());
        (self.moved(), gone)
    }

    fn ended_at(&self) -> (bool, Option<At>, Option<At>, String) {
        let Clocks { closed, recovered, .. } = self.clocks;
        (self.state == State::Cleared, closed, recovered, format!("{:?}", self.ending))
    }
}

/// The copy in which something of this kind was told last; of two at one moment, the one that [`woven`] puts last.
fn later<'a>(new: &'a Incident, old: &'a Incident, kind: EntryKind) -> &'a Incident {
    let last = |one: &Incident| {
        let told = one.timeline.iter().rev().find(|entry| entry.kind == kind);
        told.map(order)
    };
    if last(old) > last(new) { old } else { new }
}

/// Where a live one stands, given what both copies know.
fn standing(gone: Option<At>, clocks: &Clocks) -> State {
    match (gone, clocks.opened) {
        (Some(_), _) => State::Monitoring,
        (None, None) => State::Suspected,
        _ if clocks.mitigating.is_some() => State::Mitigating,
        _ if clocks.acknowledged.is_some() => State::Acknowledged,
        _ => State::Open,
    }
}

fn first(a: Option<At>, b: Option<At>) -> Option<At> {
    a.into_iter().chain(b).min()
}

fn clocks(new: &Incident, old: &Incident, ended: Option<&Incident>) -> Clocks {
    let (a, b) = (new.clocks, old.clocks);
    Clocks {
        began: a.began.min(b.began),
        suspected: a.suspected.min(b.suspected),
        opened: first(a.opened, b.opened),
        acknowledged: first(a.acknowledged, b.acknowledged),
        mitigating: first(a.mitigating, b.mitigating),
        recovered: match ended {
            Some(one) => one.clocks.recovered,
            None => new.watched().max(old.watched()).1,
        },
        closed: ended.and_then(|one| one.clocks.closed),
        reviewed: first(a.reviewed, b.reviewed),
    }
}

/// Lines of two copies are put in this order: by time, those of one moment in any one that is the same for everybody.
pub(super) fn order(entry: &Entry) -> (At, String) {
    (entry.at, format!("{:?}", Entry { number: 0, ..entry.clone() }))
}

/// Both timelines: what is the same up to where they part, then the rest of both by time, each line once.
fn woven(new: &[Entry], old: &[Entry]) -> Vec<Entry> {
    let same = new.iter().zip(old).take_while(|(a, b)| a == b).count();
    let told = |entry: &Entry| Entry { number: 0, ..entry.clone() };
    let mut rest: Vec<Entry> = new[same..].iter().map(told).collect();
    for entry in old[same..].iter().map(told) {
        if !rest.contains(&entry) {
            rest.push(entry);
        }
    }
    rest.sort_by_cached_key(order);
    let both = new[..same].iter().cloned().chain(rest);
    both.zip(1..).map(|(entry, number)| Entry { number, ..entry }).collect()
}

/// Each signal once: the later time it went bad, and how far that has come.
fn signals(new: &[Signal], old: &[Signal]) -> Vec<Signal> {
    let mut signals = new.to_vec();
    for other in old {
        let Some(held) = signals.iter_mut().find(|held| held.key == other.key) else {
            signals.push(other.clone());
            continue;
        };
        if other.first_bad > held.first_bad {
            *held = other.clone();
        } else if other.first_bad == held.first_bad {
            held.confirmed = first(held.confirmed, other.confirmed);
            held.over = first(held.over, other.over);
            held.worst = held.worst.max(other.worst);
        }
    }
    signals
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::names::IncidentId;
    use crate::reliability::escalation::{Clock, EscalationPolicy};
    use crate::reliability::incident::{Actor, Beginning, Ending, Head};
    use crate::reliability::rule::{AlertKey, Rule, Severity};

    fn at(second: i64) -> At {
        At(second * 1_000)
    }

    fn open() -> Incident {
        let beginning = Beginning {
            id: IncidentId::of(0, 1),
            key: AlertKey::of(Rule::ServiceDown, "billing", ""),
            title: "billing is down".to_owned(),
            severity: Severity::High,
            began: at(0),
            earlier: None,
        };
        let mut one = Incident::suspected(beginning, at(1));
        one.open(Actor::Engine, "confirmed".to_owned(), at(10)).expect("opens");
        one
    }

    fn said(one: &Incident, what: &str) -> bool {
        one.timeline.iter().any(|entry| entry.text.contains(what))
    }

    #[test]
    fn the_newer_of_two_versions_stays_as_it_is() {
        let old = open();
        let mut new = old.clone();
        new.acknowledge("ada", at(20)).expect("takes");
        assert_eq!((old.merge(&new), new.merge(&old)), (new.clone(), new));
    }

    #[test]
    fn what_two_people_did_at_the_same_time_is_all_there() {
        let base = open();
        let (mut ours, mut theirs) = (base.clone(), base);
        ours.acknowledge("ada", at(20)).expect("takes");
        theirs.tell(at(19), Actor::Named("bo".to_owned()), EntryKind::Note, "looking".to_owned(), Vec::new());
        theirs.rate(Severity::Critical, "bo", "it is worse", at(21)).expect("rates");
        let merged = ours.merge(&theirs);
        assert_eq!(merged, theirs.merge(&ours));
        assert!(said(&merged, "taken by ada") && said(&merged, "looking"), "{merged:#?}");
        assert_eq!((merged.state, merged.severity), (State::Acknowledged, Severity::Critical));
        assert_eq!(merged.acknowledged_by.as_deref(), Some("ada"));
        assert!(!merged.escalation.runs(), "whoever takes it ends the calls");
        assert!(merged.version > ours.version.max(theirs.version));
        assert_eq!(merged.merge(&ours), merged);
    }

    #[test]
    fn an_end_is_an_end_and_keeps_what_was_noted_meanwhile() {
        let base = open();
        let (mut ours, mut theirs) = (base.clone(), base);
        ours.close(Ending::ByHand, Actor::Named("ada".to_owned()), "done".to_owned(), at(30))
            .expect("closes");
        theirs.monitor(at(31), at(32)).expect("monitors");
        let merged = theirs.merge(&ours);
        assert_eq!((merged.state, &merged.ending), (State::Resolved, &Some(Ending::ByHand)));
        assert!(said(&merged, "watching it"), "{merged:#?}");
    }

    fn step(one: &mut Incident, what: u8, at: At) {
        let (who, text) = (format!("p{what}"), format!("{what} at {at:?}"));
        match what % 7 {
            0 => drop(one.acknowledge(&who, at)),
            1 => drop(one.rate(Severity::ALL[usize::from(what) % 4], &who, &text, at)),
            2 => drop(one.mitigate(Actor::Named(who), &text, at)),
            3 => drop(one.monitor(at, at)),
            4 => drop(one.relapse(text, at)),
            5 => drop(one.close(Ending::ByHand, Actor::Named(who), text, at)),
            _ => one.tell(at, Actor::Named(who), EntryKind::Note, text, Vec::new()),
        }
    }

    /// All that members do, the engine's part included.
    fn any_step(one: &mut Incident, what: u8, at: At) {
        let (who, text) = (format!("p{what}"), format!("{what} at {at:?}"));
        let policy = EscalationPolicy::default();
        match what % 14 {
            7 | 8 if one.state == State::Open => {
                let calls = one.escalation.due(&policy, None, Clock { now: at, local: None, holiday: false });
                for call in calls {
                    let text = format!("calling {}", call.whom());
                    one.tell(at, Actor::Engine, EntryKind::Page, text, Vec::new());
                }
            }
            9 => {
                one.assignee = Some(who.clone());
                one.tell(at, Actor::Named(who), EntryKind::Assigned, text, Vec::new());
            }
            10 => one.see(Some(at), at),
            11 => one.see(None, at),
            12 => one.version += u64::from(!one.state.is_live() && one.escalation.end()),
            13 => {
                let key = AlertKey::of(Rule::ErrorRate, if what < 128 { "a" } else { "b" }, "");
                let over = one.state == State::Monitoring;
                one.signals.retain(|signal| signal.key != key);
                let over = over.then_some(at);
                one.signals.push(Signal { key, first_bad: at, confirmed: None, over, worst: None });
                one.tell(at, Actor::Engine, EntryKind::Signal, text, Vec::new());
            }
            other => step(one, other, at),
        }
    }

    /// What is stored without timelines comes to the same; the rows have the lines of both.
    fn heads_become_the_head_of_both(
        base: &Incident,
        a: &Incident,
        b: &Incident,
        merged: &Incident,
    ) -> Result<(), TestCaseError> {
        let head = |one: &Incident| Head::from(one).following(Some(Head::mark(base)));
        let but_version = |one: Head| Incident { version: 0, ..one.incident().marked() };
        prop_assert_eq!(
            Head::join(&head(base), &head(a), false),
            head(a),
            "what follows replaces what it follows"
        );
        if a.descends_from(b) || b.descends_from(a) {
            return Ok(());
        }
        let both = Head::join(&head(a), &head(b), false);
        prop_assert_eq!(but_version(both.clone()), but_version(head(merged)));
        // Whoever wrote the first copy goes on without knowing the second.
        let mut later = a.clone();
        later.tell(At(90_000), Actor::Engine, EntryKind::Evidence, "measured".to_owned(), Vec::new());
        let all = Head::join(&both, &Head::from(&later).following(Some(Head::mark(a))), true);
        prop_assert_eq!(all.incident().state, merged.merge(&later).state);
        prop_assert!(all.incident().version > both.incident().version);
        prop_assert!(both.incident().version >= a.version.max(b.version));
        let new = |one: &Incident| one.timeline[base.timeline.len()..].to_vec();
        let rows: Vec<Entry> = base.timeline.iter().cloned().chain(new(a)).chain(new(b)).collect();
        let whole = both.whole(rows);
        for entry in a.timeline.iter().chain(&b.timeline) {
            let same =
                |one: &&Entry| Entry { number: 0, ..(*one).clone() } == Entry { number: 0, ..entry.clone() };
            prop_assert!(whole.timeline.iter().any(|one| same(&one)), "{:?} is lost", entry);
        }
        Ok(())
    }

    proptest! {
        /// Whatever two members do: the same from both sides, nothing told is lost, and once merged it stays so.
        #[test]
        fn nothing_told_is_lost_whatever_two_members_do(
            common in proptest::collection::vec(any::<u8>(), 0..4),
            ours in proptest::collection::vec((any::<u8>(), 1_i64..9), 0..8),
            theirs in proptest::collection::vec((any::<u8>(), 1_i64..9), 0..8),
        ) {
            let mut base = open();
            for (n, what) in (11..).zip(common) {
                step(&mut base, what, at(n));
            }
            let walk = |steps: Vec<(u8, i64)>| {
                let (mut one, mut now) = (base.clone(), 20);
                for (what, wait) in steps {
                    now += wait;
                    step(&mut one, what, at(now));
                }
                one
            };
            let (a, b) = (walk(ours), walk(theirs));
            let merged = a.merge(&b);
            heads_become_the_head_of_both(&base, &a, &b, &merged)?;
            prop_assert_eq!(&merged, &b.merge(&a));
            for copy in [&a, &b] {
                for entry in &copy.timeline {
                    let there = merged.timeline.iter().any(|one| Entry { number: 0, ..one.clone() } == Entry { number: 0, ..entry.clone() });
                    prop_assert!(there, "{:?} is lost", entry);
                }
                prop_assert_eq!(&merged.merge(copy), &merged);
                prop_assert_eq!(&copy.merge(&merged), &merged);
                prop_assert!(merged.version >= copy.version);
                prop_assert!(copy.state.is_live() || !merged.state.is_live());
                prop_assert!(copy.clocks.acknowledged.is_none() || merged.clocks.acknowledged.is_some());
            }
        }

        /// Whatever three members do, and whoever hears of whom first: the same incident, with the same lines.
        #[test]
        fn whoever_hears_of_whom_first_all_come_to_the_same_incident(
            common in proptest::collection::vec(any::<u8>(), 0..4),
            walks in proptest::collection::vec(proptest::collection::vec((any::<u8>(), 1_i64..400), 0..10), 3),
        ) {
            let mut base = open();
            for (n, what) in (11..).zip(common) {
                any_step(&mut base, what, at(n));
            }
            let all: Vec<Incident> = walks.iter().map(|walk| {
                let (mut one, mut now) = (base.clone(), 20);
                for (what, wait) in walk {
                    now += wait;
                    any_step(&mut one, *what, at(now));
                }
                one
            }).collect();
            let facts = |one: &Incident| {
                let mut one = Incident { version: 0, ..one.clone() };
                one.timeline.iter_mut().for_each(|entry| entry.number = 0);
                one.timeline.sort_by_cached_key(order);
                one.signals.sort_by(|a, b| a.key.cmp(&b.key));
                one
            };
            let [a, b, c] = [&all[0], &all[1], &all[2]];
            let first = facts(&a.merge(b).merge(c));
            for (x, y, z) in [(a, c, b), (b, a, c), (b, c, a), (c, a, b), (c, b, a)] {
                prop_assert_eq!(&facts(&x.merge(y).merge(z)), &first);
                prop_assert_eq!(&facts(&x.merge(&y.merge(z))), &first);
            }
        }
    }
}
