//! Who is called when: the guide's matrix, as data.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::reliability::rule::Severity;

/// Minutes of a week.
const WEEK: u16 = 7 * 24 * 60;

/// A minute of the local week, 0 to 10079: Monday 00:00 is 0. The shell knows the time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LocalMinute(pub u16);

impl LocalMinute {
    /// How long until the next local day; never zero.
    pub fn to_midnight(self) -> Duration {
        Duration::from_secs(u64::from(1_440 - self.0 % 1_440) * 60)
    }
}

/// Hours in which somebody works.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calendar {
    /// From (inclusive) to (exclusive), in minutes of the local week. One over the end of the week is written as two.
    pub windows: Vec<(u16, u16)>,
}

impl Calendar {
    /// Monday to Friday, from hour to hour.
    pub fn weekdays(from_hour: u16, to_hour: u16) -> Self {
        let windows = (0..5).map(|day| (day * 1_440 + from_hour * 60, day * 1_440 + to_hour * 60)).collect();
        Self { windows }
    }

    /// How long from this minute until somebody works; zero: now; `None`: never.
    pub fn opens_in(&self, at: LocalMinute) -> Option<Duration> {
        let at = at.0 % WEEK;
        let wait = |&(from, to): &(u16, u16)| {
            if (from..to).contains(&at) {
                0
            } else {
                (u32::from(from) + u32::from(WEEK) - u32::from(at)) % u32::from(WEEK)
            }
        };
        let minutes = self.windows.iter().filter(|(from, to)| from < to && *from < WEEK).map(wait).min()?;
        Some(Duration::from_secs(u64::from(minutes) * 60))
    }
}

/// Somebody, and how to reach them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// The name that steps use.
    pub name: String,
    /// Channels by name, the preferred one first; the others are tried when it fails. Empty: all of
    /// the fallback at once.
    pub channels: Vec<String>,
}

/// One step of a ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LadderStep {
    /// This long after it was opened (or became that bad).
    pub after: Duration,
    /// Names of the contacts that it calls.
    pub contacts: Vec<String>,
}

/// What happens while nobody takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ladder {
    /// In the order of `after`.
    pub steps: Vec<LadderStep>,
    /// After the last step, all are called again this often; zero: never.
    pub again_every: Duration,
    /// How many times at most.
    pub again_at_most: u32,
    /// Calls wait for these hours; `None`: always.
    pub hours: Option<Calendar>,
}

/// Who is called for what, and through which channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EscalationPolicy {
    /// For low, medium, high, critical.
    pub ladders: [Ladder; 4],
    /// Everybody who can be called or told, with their channels.
    pub contacts: Vec<Contact>,
    /// Channels for when all of a contact's fail, tried in this order; who has none is called through all
    /// of them at once.
    pub fallback: Vec<String>,
    /// Contacts that hear of every change of state.
    pub stakeholders: Vec<String>,
    /// Channels on which whatever is told wakes somebody: they get calls and what becomes of them, and nothing else.
    pub pagers: Vec<String>,
}

/// The contact of the guide's last row: whoever the incident is assigned to.
pub const ASSIGNED: &str = "assigned_engineer";

impl EscalationPolicy {
    /// The ladder of a severity.
    pub fn ladder(&self, severity: Severity) -> &Ladder {
        let [low, medium, high, critical] = &self.ladders;
        match severity {
            Severity::Low => low,
            Severity::Medium => medium,
            Severity::High => high,
            Severity::Critical => critical,
        }
    }

    fn own(&self, contact: &str) -> &[String] {
        self.contacts.iter().find(|one| one.name == contact).map_or(&[], |one| &one.channels)
    }

    /// All channels for a contact in the order in which they are tried: its own, then the fallback.
    pub fn ways(&self, contact: &str) -> impl Iterator<Item = &str> {
        let own = self.own(contact);
        let rest = self.fallback.iter().filter(|channel| !own.contains(channel));
        own.iter().chain(rest).map(String::as_str)
    }

    /// The channels that a call to a contact goes through at first: the preferred one of its own, or
    /// all of the fallback.
    pub fn first_ways(&self, contact: &str) -> impl Iterator<Item = &str> {
        let own = self.own(contact);
        let first = if own.is_empty() { &self.fallback[..] } else { &own[..1] };
        first.iter().map(String::as_str)
    }

    /// Does whatever is told there wake somebody?
    pub fn is_pager(&self, channel: &str) -> bool {
        self.pagers.iter().any(|one| one == channel)
    }
}

impl Default for EscalationPolicy {
    /// The guide's matrix. Contacts have no channel of their own: everything goes to the fallback, `default`.
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(n * 60);
        let ladder = |after: u64, contacts: &[&str], again: u64| Ladder {
            steps: vec![LadderStep {
                after: minutes(after),
                contacts: contacts.iter().map(|name| (*name).to_owned()).collect(),
            }],
            again_every: minutes(again),
            again_at_most: 12,
            hours: None,
        };
        let ladders = [
            ladder(120, &[ASSIGNED], 240),
            ladder(30, &["team_lead"], 60),
            ladder(5, &["engineering_manager"], 15),
            ladder(0, &["cto", "engineering_lead"], 5),
        ];
        let names = ["cto", "engineering_lead", "engineering_manager", "team_lead", ASSIGNED, "stakeholders"];
        let contacts =
            names.into_iter().map(|name| Contact { name: name.to_owned(), channels: Vec::new() }).collect();
        Self {
            ladders,
            contacts,
            fallback: vec!["default".to_owned()],
            stakeholders: vec!["stakeholders".to_owned()],
            pagers: Vec::new(),
        }
    }
}
