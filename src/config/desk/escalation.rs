//! Checks `[escalation]`: what is not written is the guide's matrix, through all channels.

use std::collections::BTreeMap;

use super::{People, hours, lasts};
use crate::config::Config;
use crate::config::file::{ConfigFile, ContactFile, HoursFile, LadderFile, NotifyFile, StepFile};
use crate::config::problem::{Collector, did_you_mean};
use crate::config::word::{OneOf, Word};
use crate::names::ContactName;
use crate::reliability::escalation::{Calendar, Contact, EscalationPolicy, Ladder, Step};
use crate::reliability::rule::Severity;
use crate::runtime::zone::{Day, Zone};

/// When a ladder calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Staffed {
    /// At any time.
    Always,
    /// In the hours of `[escalation.hours]`.
    Working,
}

impl Word for Staffed {
    const KIND: &'static str = "time to call";
    const WORDS: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Always, "always", "at any time"),
        (Self::Working, "working", "in the hours of [escalation.hours]; until then calls wait"),
    ];
}

const DAY: u64 = 86_400;

/// Who is called.
pub(super) fn check(file: &ConfigFile, problems: &mut Collector<'_>) -> EscalationPolicy {
    let written = &file.escalation;
    let guide = EscalationPolicy::default();
    let contacts = contacts(&written.contacts, &guide.contacts, &file.notify, problems);
    let fallback = match &written.fallback {
        Some(channels) => {
            channels_known("escalation.fallback", channels, &file.notify, problems);
            channels.clone()
        }
        None => all_channels(&file.notify),
    };
    let stakeholders = written.stakeholders.clone().unwrap_or(guide.stakeholders);
    contacts_known("escalation.stakeholders", &stakeholders, &contacts, problems);
    let open = open(&written.hours, problems);
    let [low, medium, high, critical] = guide.ladders;
    let mut ladder = |severity: Severity, written: &LadderFile, base: Ladder| {
        let at = format!("escalation.{}", severity.label());
        ladder(&at, written, base, &contacts, &open, problems)
    };
    let ladders = [
        ladder(Severity::Low, &written.low, low),
        ladder(Severity::Medium, &written.medium, medium),
        ladder(Severity::High, &written.high, high),
        ladder(Severity::Critical, &written.critical, critical),
    ];
    EscalationPolicy { ladders, contacts, fallback, stakeholders }
}

/// `default` first, if there is one, else in the order of their names.
fn all_channels(notify: &BTreeMap<String, NotifyFile>) -> Vec<String> {
    let mut names: Vec<String> = notify.keys().cloned().collect();
    names.sort_by_key(|name| name != "default");
    names
}

/// Those that are written, and those of the guide.
fn contacts(
    written: &BTreeMap<String, ContactFile>,
    guide: &[Contact],
    notify: &BTreeMap<String, NotifyFile>,
    problems: &mut Collector<'_>,
) -> Vec<Contact> {
    let mut all: Vec<Contact> =
        guide.iter().filter(|contact| !written.contains_key(&contact.name)).cloned().collect();
    for (name, contact) in written {
        let at = format!("escalation.contacts.{name}");
        if problems.take(&at, ContactName::new(name)).is_some() {
            channels_known(&format!("{at}.channels"), &contact.channels, notify, problems);
            all.push(Contact { name: name.clone(), channels: contact.channels.clone() });
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn channels_known(
    at: &str,
    channels: &[String],
    notify: &BTreeMap<String, NotifyFile>,
    problems: &mut Collector<'_>,
) {
    for (nth, name) in channels.iter().enumerate().filter(|(_, name)| !notify.contains_key(*name)) {
        let known: Vec<&str> = notify.keys().map(String::as_str).collect();
        let guess = did_you_mean(name, known.iter().copied());
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        problems.add(
            &format!("{at}.{nth}"),
            format!(
                "no channel is named {name:?}{guess}; write [notify.{name}] or another name (known: {known})"
            ),
        );
    }
}

fn contacts_known(at: &str, names: &[String], contacts: &[Contact], problems: &mut Collector<'_>) {
    let known = |name: &str| contacts.iter().any(|contact| contact.name == name);
    for (nth, name) in names.iter().enumerate().filter(|(_, name)| !known(name)) {
        let known: Vec<&str> = contacts.iter().map(|contact| contact.name.as_str()).collect();
        let guess = did_you_mean(name, known.iter().copied());
        problems.add(
            &format!("{at}.{nth}"),
            format!(
                "no contact is named {name:?}{guess}; write [escalation.contacts.{name}] or another name (known: {})",
                known.join(", ")
            ),
        );
    }
}

fn ladder(
    at: &str,
    written: &LadderFile,
    base: Ladder,
    contacts: &[Contact],
    open: &Calendar,
    problems: &mut Collector<'_>,
) -> Ladder {
    let steps = match &written.steps {
        Some(steps) => self::steps(at, steps, contacts, problems),
        None => base.steps,
    };
    let again = format!("{at}.again_every");
    let again_every =
        written.again_every.map_or(base.again_every, |every| lasts(&again, every, 0, 7 * DAY, problems));
    let again_at_most = written
        .again_at_most
        .map_or(base.again_at_most, |most| problems.within(&format!("{at}.again_at_most"), most, 0, 1_000));
    let hours = match written.hours {
        None => base.hours,
        Some(OneOf(Staffed::Always)) => None,
        Some(OneOf(Staffed::Working)) => Some(open.clone()),
    };
    Ladder { steps, again_every, again_at_most, hours }
}

fn steps(at: &str, written: &[StepFile], contacts: &[Contact], problems: &mut Collector<'_>) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (nth, step) in written.iter().enumerate() {
        let at = format!("{at}.steps.{nth}");
        let after = lasts(&format!("{at}.after"), step.after, 0, 7 * DAY, problems);
        if steps.last().is_some_and(|before| before.after > after) {
            problems.add(
                &format!("{at}.after"),
                "is sooner than the step before it; write the steps in the order of after",
            );
        }
        if step.contacts.is_empty() {
            problems.add(&at, "calls nobody; write contacts = [\"team_lead\"], or take the step out");
        }
        contacts_known(&format!("{at}.contacts"), &step.contacts, contacts, problems);
        steps.push(Step { after, contacts: step.contacts.clone() });
    }
    steps
}

fn open(written: &HoursFile, problems: &mut Collector<'_>) -> Calendar {
    let mut calendar = Calendar::default();
    if written.open.is_empty() {
        problems.add("escalation.hours.open", "nobody ever works; write [\"mon-fri 09:00-17:00\"]");
    }
    for (nth, text) in written.open.iter().enumerate() {
        let added = hours::add(&mut calendar, text);
        problems.take(&format!("escalation.hours.open.{nth}"), added);
    }
    calendar
}

/// Where and when people work, beside the hours of a week.
pub(super) fn calendar(written: &HoursFile, problems: &mut Collector<'_>) -> Option<People> {
    let name = &written.time_zone;
    let zone = Zone::named(name).ok_or_else(|| {
        let known = Zone::names();
        let guess = did_you_mean(name, known.iter().map(String::as_str));
        format!("{name:?} is no time zone of the IANA database{guess}; write \"UTC\" or \"Europe/Berlin\"")
    });
    let zone = problems.take("escalation.hours.time_zone", zone);
    let mut holidays = Vec::new();
    for (nth, text) in written.holidays.iter().enumerate() {
        let day = Day::read(text)
            .ok_or_else(|| format!("{text:?} is no day; write \"2026-12-25\", or \"12-25\" for each year"));
        holidays.extend(problems.take(&format!("escalation.hours.holidays.{nth}"), day));
    }
    Some(People { zone: zone?, holidays })
}

/// Ladders that reach nobody, or nobody at night.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    if config.notify.is_empty() {
        return vec!["nobody is called: there is no [notify.<name>], so incidents are only shown".to_owned()];
    }
    let policy = &config.watch.policy.escalation;
    let mut found = Vec::new();
    for severity in Severity::ALL {
        let (ladder, at) = (policy.ladder(severity), format!("escalation.{}", severity.label()));
        let mut called = ladder.steps.iter().flat_map(|step| &step.contacts);
        if !called.any(|contact| policy.channel(contact, 0).is_some()) {
            found.push(format!(
                "{at} reaches nobody: none of its contacts has a channel, and escalation.fallback names none"
            ));
        }
        if severity >= Severity::High && ladder.hours.is_some() {
            found.push(format!(
                "{at} waits for working hours: at night nobody is called; write hours = \"always\""
            ));
        }
    }
    found
}
