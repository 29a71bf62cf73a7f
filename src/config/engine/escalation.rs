//! `[escalation]`: who is called. What is not written is the guide's matrix, through all channels.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::hours;
use crate::config::channels::ChannelType;
use crate::config::problem::{DAY, Part, did_you_mean};
use crate::config::word::{OneOf, words};
use crate::names::ContactName;
use crate::reliability::escalation::{Calendar, Contact, EscalationPolicy, Ladder, LadderStep};
use crate::reliability::rule::Severity;
use crate::runtime::zone::{Holiday, Zone};
use crate::units::Text;

/// The table `[escalation]` as the operator writes it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct EscalationFile {
    /// Channels for when all of a contact's fail, tried in this order, and all at once for contacts that have none;
    /// every channel when absent, pagers first.
    pub fallback: Vec<String>,
    /// Contacts that hear of every change of state.
    pub stakeholders: Vec<String>,
    /// People and teams, by name.
    pub contacts: BTreeMap<String, ContactFile>,
    /// Working hours, for ladders that call only within them.
    pub hours: HoursFile,
    /// Who is called for critical incidents.
    pub critical: LadderFile,
    /// Who is called for high incidents.
    pub high: LadderFile,
    /// Who is called for medium incidents.
    pub medium: LadderFile,
    /// Who is called for low incidents.
    pub low: LadderFile,
}

impl Default for EscalationFile {
    fn default() -> Self {
        let EscalationPolicy { ladders, contacts, stakeholders, .. } = EscalationPolicy::default();
        let contacts = contacts.into_iter().map(|one| (one.name, ContactFile { channels: one.channels }));
        let [low, medium, high, critical] = ladders.map(LadderFile::from);
        let (contacts, hours) = (contacts.collect(), HoursFile::default());
        Self { fallback: Vec::new(), stakeholders, contacts, hours, critical, high, medium, low }
    }
}

/// The table `[escalation.contacts.<name>]`: one person or team.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ContactFile {
    /// Names of `[notify.<name>]`, the preferred one first, the next one where that fails; none: the
    /// whole fallback at once.
    pub channels: Vec<String>,
}

/// The table `[escalation.hours]` as the operator writes it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct HoursFile {
    /// Time zone of the IANA database, such as "Europe/Berlin"; summer time is heeded.
    pub time_zone: String,
    /// Days and hours in which somebody works.
    pub open: Vec<String>,
    /// Days on which nobody works.
    pub holidays: Vec<String>,
}

impl Default for HoursFile {
    fn default() -> Self {
        Self {
            time_zone: "UTC".to_owned(),
            open: vec!["mon-fri 09:00-17:00".to_owned()],
            holidays: Vec::new(),
        }
    }
}

/// `[escalation.<severity>]`; what is not written is the guide's.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct LadderFile {
    /// The steps in the order of `after`.
    pub steps: Vec<StepFile>,
    /// Time after which all steps call again while nobody takes the incident; 0s: never.
    pub again_every: Text<Duration>,
    /// How many times they are called again at most.
    pub again_at_most: u32,
    /// Whether calls wait for working hours: "always" calls at once.
    pub hours: OneOf<Staffed>,
}

/// In the place of what was written and could not be read.
impl Default for LadderFile {
    fn default() -> Self {
        let [ladder, ..] = EscalationPolicy::default().ladders;
        ladder.into()
    }
}

impl From<Ladder> for LadderFile {
    fn from(ladder: Ladder) -> Self {
        let step = |step: LadderStep| StepFile { after: Text(step.after), contacts: step.contacts };
        Self {
            steps: ladder.steps.into_iter().map(step).collect(),
            again_every: Text(ladder.again_every),
            again_at_most: ladder.again_at_most,
            hours: OneOf(if ladder.hours.is_some() { Staffed::Working } else { Staffed::Always }),
        }
    }
}

/// One step of a ladder: who is called when.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct StepFile {
    /// Time since the incident was opened or got its severity.
    pub after: Text<Duration>,
    /// Names of `[escalation.contacts.<name>]`; all of a step are called at once.
    pub contacts: Vec<String>,
}

impl Default for StepFile {
    fn default() -> Self {
        Self { after: Text(Duration::ZERO), contacts: Vec::new() }
    }
}

/// When a ladder calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Staffed {
    /// By day and by night.
    Always,
    /// In the hours of `[escalation.hours]`.
    Working,
}

words! {
    Staffed: "time to call" {
        Always = "always", "at any time";
        Working = "working", "in the hours of [escalation.hours]; until then calls wait";
    }
}

/// The clock and the calendar of those who are called in working hours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct People {
    /// The time zone in which working hours and holidays are read.
    pub zone: Zone,
    /// When they do not.
    pub holidays: Vec<Holiday>,
}

impl People {
    /// Is it a day there on which nobody works?
    pub fn rest(&self, wall: SystemTime) -> bool {
        self.holidays.iter().any(|day| self.zone.is_on(wall, *day))
    }
}

impl EscalationFile {
    /// What is there by default where there are these channels.
    pub(in crate::config) fn base<'a>(
        channels: impl Iterator<Item = (&'a String, Option<ChannelType>)>,
    ) -> Self {
        let wakes = |kind: Option<ChannelType>| kind.is_some_and(ChannelType::is_pager);
        let mut all: Vec<(bool, bool, &String)> =
            channels.map(|(name, kind)| (!wakes(kind), name != "default", name)).collect();
        all.sort_unstable();
        let fallback = all.into_iter().map(|(_, _, name)| name.clone()).collect();
        Self { fallback, ..Self::default() }
    }

    /// `channels`: those that there are; `pagers`: those of them that wake somebody whatever is told there.
    pub(super) fn check(&self, mut at: Part<'_, '_>, channels: &[&str], pagers: &[&str]) -> EscalationPolicy {
        let mut contacts: Vec<Contact> = Vec::new();
        for (name, contact) in &self.contacts {
            let mut at = at.part(&format!("contacts.{name}"));
            if at.take("", ContactName::new(name)).is_some() {
                names("channels", &contact.channels, CHANNEL, channels, &mut at);
                contacts.push(Contact { name: name.clone(), channels: contact.channels.clone() });
            }
        }
        let called: Vec<&str> = contacts.iter().map(|contact| contact.name.as_str()).collect();
        names("fallback", &self.fallback, CHANNEL, channels, &mut at);
        names("stakeholders", &self.stakeholders, CONTACT, &called, &mut at);
        let open = self.hours.open(at.part("hours"));
        let mut ladder = |severity: Severity, written: &LadderFile| {
            written.check(at.part(severity.label()), &called, &open)
        };
        let ladders = [
            ladder(Severity::Low, &self.low),
            ladder(Severity::Medium, &self.medium),
            ladder(Severity::High, &self.high),
            ladder(Severity::Critical, &self.critical),
        ];
        let (fallback, stakeholders) = (self.fallback.clone(), self.stakeholders.clone());
        let pagers = pagers.iter().map(|name| (*name).to_owned()).collect();
        EscalationPolicy { ladders, contacts, fallback, stakeholders, pagers }
    }
}

const CHANNEL: (&str, &str) = ("channel", "notify");
const CONTACT: (&str, &str) = ("contact", "escalation.contacts");

fn names(key: &str, written: &[String], what: (&str, &str), known: &[&str], at: &mut Part<'_, '_>) {
    for (nth, name) in written.iter().enumerate() {
        at.known(&format!("{key}.{nth}"), name, what, known);
    }
}

impl LadderFile {
    fn check(&self, mut at: Part<'_, '_>, contacts: &[&str], open: &Calendar) -> Ladder {
        let mut steps: Vec<LadderStep> = Vec::new();
        for (nth, step) in self.steps.iter().enumerate() {
            let mut at = at.part(&format!("steps.{nth}"));
            let after = at.lasts("after", step.after, 0, 7 * DAY);
            if steps.last().is_some_and(|before| before.after > after) {
                at.add("after", "is sooner than the step before it; write the steps in the order of after");
            }
            if step.contacts.is_empty() {
                at.add("contacts", "calls nobody; write contacts = [\"team_lead\"], or take the step out");
            }
            names("contacts", &step.contacts, CONTACT, contacts, &mut at);
            steps.push(LadderStep { after, contacts: step.contacts.clone() });
        }
        Ladder {
            steps,
            again_every: at.lasts("again_every", self.again_every, 0, 7 * DAY),
            again_at_most: at.within("again_at_most", self.again_at_most, 0, 1_000),
            hours: (self.hours.0 == Staffed::Working).then(|| open.clone()),
        }
    }
}

impl HoursFile {
    fn open(&self, mut at: Part<'_, '_>) -> Calendar {
        let mut calendar = Calendar::default();
        if self.open.is_empty() {
            at.add("open", "nobody ever works; write [\"mon-fri 09:00-17:00\"]");
        }
        for (nth, text) in self.open.iter().enumerate() {
            at.take(&format!("open.{nth}"), hours::add(&mut calendar, text));
        }
        calendar
    }

    /// Where and when people work, beside the hours of a week.
    pub(super) fn people(&self, mut at: Part<'_, '_>) -> Option<People> {
        let zone = at.take("time_zone", zone(&self.time_zone));
        let mut holidays = Vec::new();
        for (nth, text) in self.holidays.iter().enumerate() {
            let told = "is no day; write \"2026-12-25\", or \"12-25\" for each year";
            let day = Holiday::read(text).ok_or_else(|| format!("{text:?} {told}"));
            holidays.extend(at.take(&format!("holidays.{nth}"), day));
        }
        Some(People { zone: zone?, holidays })
    }
}

/// The time zone of that name; `Err` says what to write.
pub(in crate::config) fn zone(name: &str) -> Result<Zone, String> {
    Zone::named(name).ok_or_else(|| {
        let known = Zone::names();
        let guess = did_you_mean(name, known.iter().map(String::as_str));
        format!("{name:?} is no time zone of the IANA database{guess}; write \"UTC\" or \"Europe/Berlin\"")
    })
}
