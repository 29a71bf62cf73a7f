//! Which step may follow which.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bounds::{BYTES, LINES};
use super::{Actor, Ending, Entry, EntryKind, Incident, Review, State};
use crate::names::IncidentId;
use crate::reliability::rule::{Rule, Severity};
use crate::units::At;

/// "At once" is a clock of zero, which everybody breaks; it counts as broken after this long.
const AT_ONCE: Duration = Duration::from_secs(60);

/// A change of state, for events and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    pub id: IncidentId,
    /// Found by which rule.
    pub rule: Rule,
    /// Its severity after the change.
    pub severity: Severity,
    /// Before; `None`: it has just begun.
    pub from: Option<State>,
    /// The state after the change.
    pub to: State,
    pub at: At,
}

impl Transition {
    /// It was suspected and is not any more: it is confirmed. Whoever took it meanwhile has it already.
    pub fn confirms(&self) -> bool {
        self.from == Some(State::Suspected) && self.to.is_live()
    }
}

/// Does a person insist?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Force {
    /// No: a condition that holds refuses.
    Asked,
    /// Yes: it is resolved although a condition holds.
    Forced,
}

/// Why an order was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is none of that name here (an old one may be in the store).
    NoSuchIncident,
    /// It is not in a state for that.
    Not {
        /// The state that it is in.
        state: State,
    },
    /// Its condition holds; resolving it needs force.
    StillHolds {
        /// The conditions that hold, as people read them.
        holding: Vec<String>,
    },
    /// A review without these is none.
    Incomplete(Vec<&'static str>),
    /// Empty where it must not be.
    Empty(&'static str),
    /// There is no silence of that number.
    NoSuchSilence,
    /// It would never hold: it ends before it begins, or has ended, or matches everything.
    NoUse(&'static str),
    /// The incident holds as many lines of people, or bytes of them, as it takes.
    Full,
    /// There are as many as there may be.
    TooMany {
        /// How many there may be.
        most: usize,
        /// What there are too many of, in words.
        what: &'static str,
    },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchIncident => f.write_str("no such incident"),
            Self::Not { state } => write!(f, "the incident is {}", state.label()),
            Self::StillHolds { holding } => write!(f, "the condition still holds: {}", holding.join(", ")),
            Self::Incomplete(what) => write!(f, "the review lacks {}", what.join(", ")),
            Self::Empty(what) => write!(f, "{what} must not be empty"),
            Self::NoSuchSilence => f.write_str("no such silence"),
            Self::NoUse(why) => f.write_str(why),
            Self::Full => {
                write!(
                    f,
                    "the incident takes {LINES} lines of people and {} KiB of them, and is full",
                    BYTES / 1_024
                )
            }
            Self::TooMany { most, what } => write!(f, "there are {most} {what}, the most there may be"),
        }
    }
}

impl std::error::Error for Refused {}

impl Incident {
    fn go(&mut self, to: State, actor: Actor, why: String, at: At) -> Transition {
        let from = self.state;
        self.state = to;
        self.tell(
            at,
            actor,
            EntryKind::State,
            format!("{} → {}: {why}", from.label(), to.label()),
            Vec::new(),
        );
        self.check_invariants();
        Transition {
            id: self.id.clone(),
            rule: self.key.rule,
            severity: self.severity,
            from: Some(from),
            to,
            at,
        }
    }

    /// It has just begun.
    pub fn begun(&self, at: At) -> Transition {
        let (rule, severity) = (self.key.rule, self.severity);
        Transition { id: self.id.clone(), rule, severity, from: None, to: self.state, at }
    }

    fn in_one_of(&self, states: &[State]) -> Result<(), Refused> {
        if states.contains(&self.state) { Ok(()) } else { Err(Refused::Not { state: self.state }) }
    }

    /// Where an open one stands by what has been done so far.
    fn resting(&self) -> State {
        match (self.clocks.mitigating, self.clocks.acknowledged) {
            (Some(_), _) => State::Mitigating,
            (None, Some(_)) => State::Acknowledged,
            (None, None) => State::Open,
        }
    }

    /// Suspected → open (or as far as people have taken it already). The response clock and the ladder start.
    pub fn open(&mut self, actor: Actor, why: String, at: At) -> Result<Transition, Refused> {
        self.in_one_of(&[State::Suspected])?;
        self.clocks.opened = Some(at);
        self.set_clock(at);
        self.escalation.start(self.severity, at);
        if self.clocks.acknowledged.is_some() {
            self.escalation.stop(at);
        }
        Ok(self.go(self.resting(), actor, why, at))
    }

    /// The same, by evidence that is worth `severity`: what was only suspected beside it opens nothing. What a
    /// person has said stays.
    pub fn open_as(&mut self, severity: Severity, why: String, at: At) -> Result<Transition, Refused> {
        self.in_one_of(&[State::Suspected])?;
        let rated =
            |entry: &Entry| entry.kind == EntryKind::Severity && matches!(entry.actor, Actor::Named(_));
        if severity < self.severity && !self.timeline.iter().any(rated) {
            self.set_severity(severity, Actor::Engine, "no more than that is confirmed", at);
        }
        self.open(Actor::Engine, why, at)
    }

    fn set_clock(&mut self, from: At) {
        let clock = self.severity.response();
        self.respond_by = Some(from + if clock.is_zero() { AT_ONCE } else { clock });
    }

    /// Somebody has taken it: the ladder stops. Again by somebody else: only a line.
    pub fn acknowledge(&mut self, actor: &str, at: At) -> Result<Option<Transition>, Refused> {
        self.in_one_of(&[
            State::Suspected,
            State::Open,
            State::Acknowledged,
            State::Mitigating,
            State::Monitoring,
        ])?;
        let first = self.clocks.acknowledged.is_none();
        self.clocks.acknowledged.get_or_insert(at);
        self.acknowledged_by.get_or_insert_with(|| actor.to_owned());
        self.escalation.stop(at);
        if self.state == State::Open {
            return Ok(Some(self.go(State::Acknowledged, named(actor), format!("taken by {actor}"), at)));
        }
        let text = if first { format!("taken by {actor}") } else { format!("taken by {actor} as well") };
        self.tell(at, named(actor), EntryKind::Note, text, Vec::new());
        Ok(None)
    }

    /// Nothing has been seen of what it is about since then; `None`: something is.
    pub fn see(&mut self, unseen_since: Option<At>, at: At) {
        if self.unseen_since.is_some() == unseen_since.is_some() {
            return;
        }
        self.unseen_since = unseen_since;
        let text = match unseen_since {
            Some(since) => {
                let minute = since.minute().rem_euclid(1_440);
                let (hour, minute) = (minute / 60, minute % 60);
                format!("not seen since {hour:02}:{minute:02} UTC: whether it still holds is not known")
            }
            None => "seen again".to_owned(),
        };
        self.tell(at, Actor::Engine, EntryKind::Signal, text, Vec::new());
    }

    /// Something is being done about it.
    pub fn mitigate(&mut self, actor: Actor, what: &str, at: At) -> Result<Option<Transition>, Refused> {
        self.in_one_of(&[State::Open, State::Acknowledged, State::Mitigating, State::Monitoring])?;
        self.clocks.mitigating.get_or_insert(at);
        if matches!(self.state, State::Open | State::Acknowledged) {
            return Ok(Some(self.go(State::Mitigating, actor, what.to_owned(), at)));
        }
        self.tell(at, actor, EntryKind::Action, what.to_owned(), Vec::new());
        Ok(None)
    }

    /// The condition is gone since `recovered`; is it for good?
    pub fn monitor(&mut self, recovered: At, at: At) -> Result<Transition, Refused> {
        self.in_one_of(&[State::Open, State::Acknowledged, State::Mitigating])?;
        self.clocks.recovered = Some(recovered);
        Ok(self.go(State::Monitoring, Actor::Engine, "the condition is gone; watching it".to_owned(), at))
    }

    /// It was not: back to where it was.
    pub fn relapse(&mut self, why: String, at: At) -> Result<Transition, Refused> {
        self.in_one_of(&[State::Monitoring])?;
        self.clocks.recovered = None;
        self.flaps = self.flaps.saturating_add(1);
        Ok(self.go(self.resting(), Actor::Engine, why, at))
    }

    /// It ends: resolved, or cleared when it was never confirmed. Whether it may end is the engine's to know.
    pub fn close(
        &mut self,
        ending: Ending,
        actor: Actor,
        why: String,
        at: At,
    ) -> Result<Transition, Refused> {
        if !self.state.is_live() {
            return Err(Refused::Not { state: self.state });
        }
        let to = match (self.state, &ending) {
            (State::Suspected, _) | (_, Ending::PartOf(_) | Ending::NeverConfirmed) => State::Cleared,
            (
                _,
                Ending::Recovered | Ending::ByHand | Ending::Forced | Ending::Unobserved | Ending::Unknown,
            ) => State::Resolved,
        };
        self.clocks.closed = Some(at);
        self.unseen_since = None;
        self.ending = Some(ending);
        self.escalation.stop(at);
        if self.untold > 0 {
            let text = format!("{} more lines of its signals were only counted", self.untold);
            self.tell(at, Actor::Engine, EntryKind::Evidence, text, Vec::new());
        }
        Ok(self.go(to, actor, why, at))
    }

    /// What was learnt. Complete, it makes the incident reviewed.
    pub fn review(&mut self, actor: &str, review: Review, at: At) -> Result<Transition, Refused> {
        self.in_one_of(&[State::Resolved])?;
        let missing = review.missing();
        if !missing.is_empty() {
            return Err(Refused::Incomplete(missing));
        }
        self.review = Some(review);
        self.clocks.reviewed = Some(at);
        Ok(self.go(State::Reviewed, named(actor), format!("reviewed by {actor}"), at))
    }

    /// Evidence raises; it never lowers. Tells whether it did. The ladder starts anew, unless somebody has taken it.
    pub fn raise(&mut self, to: Severity, why: &str, at: At) -> bool {
        let higher = to > self.severity;
        if higher {
            self.set_severity(to, Actor::Engine, why, at);
        }
        higher
    }

    /// A person says how bad it is, up or down.
    pub fn rate(&mut self, to: Severity, actor: &str, why: &str, at: At) -> Result<(), Refused> {
        if !self.state.is_live() {
            return Err(Refused::Not { state: self.state });
        }
        if to != self.severity {
            self.set_severity(to, named(actor), why, at);
        }
        Ok(())
    }

    fn set_severity(&mut self, to: Severity, actor: Actor, why: &str, at: At) {
        let text = format!("{} → {}: {why}", self.severity.label(), to.label());
        self.severity = to;
        if self.clocks.opened.is_some() {
            self.escalation.rate(to, at);
            if self.clocks.acknowledged.is_none() {
                self.set_clock(at);
            }
        }
        self.tell(at, actor, EntryKind::Severity, text, Vec::new());
    }

    /// Has the response clock run out just now?
    pub fn check_clock(&mut self, now: At) -> bool {
        let late = self.respond_by.is_some_and(|by| now > by) && self.clocks.acknowledged.is_none();
        let fresh = late && !self.breached && matches!(self.state, State::Open | State::Mitigating);
        if fresh {
            self.breached = true;
            let text = "nobody has taken it within its response time".to_owned();
            self.tell(now, Actor::Engine, EntryKind::Breach, text, Vec::new());
        }
        fresh
    }
}

fn named(actor: &str) -> Actor {
    Actor::Named(actor.to_owned())
}
