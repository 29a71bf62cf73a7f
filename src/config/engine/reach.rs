//! Who is reached through what: ladders that reach nobody, channels that nobody is told through,
//! contacts without a channel.

use std::collections::BTreeSet;

use crate::config::Config;
use crate::reliability::escalation::EscalationPolicy;
use crate::reliability::rule::Severity;

/// What is probably not meant. Nothing of it is an error: calls go where the config says.
pub(in crate::config) fn warnings(config: &Config) -> Vec<String> {
    let channels: Vec<&str> = config.notify.iter().map(|channel| channel.name.as_str()).collect();
    if channels.is_empty() {
        return vec!["nobody is called: there is no [notify.<name>], so incidents are only shown".to_owned()];
    }
    let policy = &config.watch.policy.escalation;
    let meant = config.written(&["escalation", "fallback"]).is_some();
    let mut found = ladders(policy);
    found.extend(contacts(policy));
    found.extend(unused(policy, &channels, meant));
    found
}

/// Ladders that reach nobody, or nobody at night.
fn ladders(policy: &EscalationPolicy) -> Vec<String> {
    let mut found = Vec::new();
    for severity in Severity::ALL {
        let (ladder, at) = (policy.ladder(severity), format!("escalation.{}", severity.label()));
        let mut called = ladder.steps.iter().flat_map(|step| &step.contacts);
        if !called.any(|contact| policy.ways(contact).next().is_some()) {
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

/// Contacts of the ladders, in their order, each once.
fn called(policy: &EscalationPolicy) -> Vec<&str> {
    let mut seen = BTreeSet::new();
    let steps = policy.ladders.iter().flat_map(|ladder| &ladder.steps);
    let all = steps.flat_map(|step| step.contacts.iter().map(String::as_str));
    all.filter(|contact| seen.insert(*contact)).collect()
}

/// Contacts without a channel of their own where others have one, and stakeholders who only have pagers.
fn contacts(policy: &EscalationPolicy) -> Vec<String> {
    let own = |name: &str| {
        policy.contacts.iter().any(|contact| contact.name == name && !contact.channels.is_empty())
    };
    let mut all = called(policy);
    all.extend(
        policy.stakeholders.iter().map(String::as_str).filter(|name| !all.contains(name)).collect::<Vec<_>>(),
    );
    let mixed = all.iter().any(|name| own(name));
    let mut found = Vec::new();
    for name in all {
        let ways: Vec<&str> = policy.first_ways(name).collect();
        if ways.is_empty() {
            found.push(format!(
                "escalation.contacts.{name} is never reached: it has no channel, and escalation.fallback names none; \
                 write channels = [\"…\"]"
            ));
        } else if mixed && !own(name) {
            found.push(format!(
                "escalation.contacts.{name} has no channel of its own and is reached through {}; write its channels",
                ways.join(", ")
            ));
        } else if policy.stakeholders.iter().any(|one| one == name)
            && own(name)
            && ways.iter().all(|way| policy.is_pager(way))
        {
            found.push(format!(
                "escalation.contacts.{name} is a stakeholder with {} alone, a pager: what is told there wakes somebody, so \
                 changes of state are not; give it a channel of another kind",
                ways.join(", ")
            ));
        }
    }
    found
}

/// Channels that nobody is told through, or only where another one fails and nobody wrote that.
fn unused(policy: &EscalationPolicy, channels: &[&str], meant: bool) -> Vec<String> {
    let called = called(policy);
    let first = called.iter().flat_map(|name| policy.first_ways(name));
    let told = policy.stakeholders.iter().flat_map(|name| policy.first_ways(name));
    let told = told.filter(|way| !policy.is_pager(way));
    let first: BTreeSet<&str> = first.chain(told).collect();
    let ways: BTreeSet<&str> = called.iter().flat_map(|name| policy.ways(name)).collect();
    let own: BTreeSet<&str> = policy
        .contacts
        .iter()
        .filter(|contact| called.contains(&contact.name.as_str()))
        .flat_map(|contact| contact.channels.iter().map(String::as_str))
        .collect();
    let mut found = Vec::new();
    for name in channels.iter().filter(|name| !first.contains(*name)) {
        if !ways.contains(name) {
            found.push(format!(
                "nobody is ever told through notify.{name}: no contact that is called has it, nor has escalation.fallback; \
                 write it into the channels of a contact, or take it out"
            ));
        } else if !meant && !own.contains(name) {
            found.push(format!(
                "nobody is told through notify.{name} but where another channel fails; write it into the channels of a \
                 contact, or into escalation.fallback to say that this is meant"
            ));
        }
    }
    found
}
