//! Who is not called now: silences and maintenance windows.
//!
//! Both hold calls back while they last and end by themselves; what is still the matter then is called out. A maintenance
//! window also marks the ledger. Neither hides an incident: it is found, shown and closed as always.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::incident::Refused;
use super::rule::{AlertKey, Severity};
use crate::units::At;

/// What a matcher looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// The label of the alert's rule.
    Rule,
    /// An upstream, a route class, a resource.
    Service,
    /// Which part of it.
    Scope,
    /// The label of the incident's severity.
    Severity,
}

/// Whether the text must be the same or another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Comparison {
    /// The texts are the same.
    #[serde(rename = "=")]
    Is,
    /// The texts are not the same.
    #[serde(rename = "!=")]
    IsNot,
}

/// One condition of a silence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matcher {
    /// What it looks at.
    pub label: Label,
    pub is: Comparison,
    /// The text to compare with.
    pub value: String,
}

impl Matcher {
    fn fits(&self, key: &AlertKey, severity: Severity) -> bool {
        let text = match self.label {
            Label::Rule => key.rule.label(),
            Label::Service => &key.service,
            Label::Scope => &key.scope,
            Label::Severity => severity.label(),
        };
        match self.is {
            Comparison::Is => text == self.value,
            Comparison::IsNot => text != self.value,
        }
    }
}

/// Why nobody is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Somebody does not want to hear of it.
    Silence,
    /// It is being worked on, as announced: not counted as downtime.
    Maintenance,
}

/// One silence or maintenance window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Given by the engine; 0 in an order.
    #[serde(default)]
    pub number: u64,
    /// Which of the two.
    pub purpose: Purpose,
    /// All of them must fit. A silence has at least one; maintenance without any is of everything.
    #[serde(default)]
    pub matchers: Vec<Matcher>,
    /// When it begins to hold calls back.
    pub from: At,
    /// When it ends (exclusive).
    pub until: At,
    pub actor: String,
    /// Why, in the words of whoever set it.
    pub reason: String,
}

impl Silence {
    /// Is it worth keeping?
    pub fn check(&self, now: At) -> Result<(), Refused> {
        if self.until <= self.from {
            Err(Refused::NoUse("it ends before it begins"))
        } else if self.until <= now {
            Err(Refused::NoUse("it has ended already"))
        } else if self.purpose == Purpose::Silence && self.matchers.is_empty() {
            Err(Refused::NoUse("a silence needs a matcher, or it would silence everything"))
        } else if self.reason.trim().is_empty() {
            Err(Refused::Empty("reason"))
        } else {
            Ok(())
        }
    }

    /// When it was made, by the clock that made it: in its number, see [`Silence::number`]. The epoch: nobody knows.
    fn made(&self) -> At {
        At(i64::try_from(self.number >> 10).unwrap_or_default())
    }

    /// One that was made for at once, by a clock that was ahead of this one, lasts as long as it was to last: nobody knows
    /// whether its end was a span or a moment, and a call that comes too early is better than one that does not come. What is
    /// planned stays. True: it is another one now.
    pub fn follow(&mut self, now: At) -> bool {
        let (made, ahead) = (self.made(), self.from.0.saturating_sub(now.0));
        let at_once = (self.from.0 - made.0).unsigned_abs() < 1_000;
        if ahead <= 0 || !at_once {
            return false;
        }
        (self.from, self.until) = (now, self.until.moved(-ahead));
        true
    }

    /// Does it last at `now`?
    pub fn lasts(&self, now: At) -> bool {
        self.from <= now && now < self.until
    }

    /// Does it hold calls about this back at `now`?
    pub fn covers(&self, key: &AlertKey, severity: Severity, now: At) -> bool {
        self.lasts(now) && self.matchers.iter().all(|matcher| matcher.fits(key, severity))
    }

    /// Is this service in maintenance at `now`? Only matchers on the service are asked; one with others does not mark
    /// the ledger, for a second is not of one rule or severity.
    pub fn maintains(&self, service: &Arc<str>, now: At) -> bool {
        self.purpose == Purpose::Maintenance
            && self.lasts(now)
            && self.matchers.iter().all(|matcher| {
                matcher.label == Label::Service
                    && (*matcher.value == **service) == (matcher.is == Comparison::Is)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reliability::rule::Rule;

    fn silence(purpose: Purpose, matchers: &[(Label, Comparison, &str)]) -> Silence {
        let matchers = matchers
            .iter()
            .map(|(label, is, value)| Matcher { label: *label, is: *is, value: (*value).to_owned() })
            .collect();
        let (actor, reason) = ("ada".to_owned(), "known".to_owned());
        Silence { number: 0, purpose, matchers, from: At(1_000), until: At(5_000), actor, reason }
    }

    #[test]
    fn all_matchers_must_fit_while_it_lasts() {
        let one = silence(
            Purpose::Silence,
            &[(Label::Service, Comparison::Is, "stripe"), (Label::Severity, Comparison::IsNot, "critical")],
        );
        let key = AlertKey::of(Rule::Breaker, "stripe", "");
        assert!(one.covers(&key, Severity::High, At(1_000)));
        assert!(!one.covers(&key, Severity::Critical, At(1_000)));
        assert!(!one.covers(&AlertKey::of(Rule::Breaker, "twilio", ""), Severity::High, At(1_000)));
        assert!(!one.covers(&key, Severity::High, At(999)) && !one.covers(&key, Severity::High, At(5_000)));
    }

    #[test]
    fn maintenance_marks_the_services_it_names() {
        let one = silence(Purpose::Maintenance, &[(Label::Service, Comparison::Is, "db")]);
        assert!(one.maintains(&Arc::from("db"), At(2_000)) && !one.maintains(&Arc::from("api"), At(2_000)));
        assert!(silence(Purpose::Maintenance, &[]).maintains(&Arc::from("api"), At(2_000)));
        assert!(!silence(Purpose::Silence, &[]).maintains(&Arc::from("api"), At(2_000)));
    }

    #[test]
    fn what_would_silence_everything_or_nothing_is_refused() {
        let fits = |one: &Silence| one.check(At(0)).is_ok();
        assert!(!fits(&silence(Purpose::Silence, &[])));
        assert!(fits(&silence(Purpose::Maintenance, &[])));
        let named = silence(Purpose::Silence, &[(Label::Rule, Comparison::Is, "latency")]);
        assert!(fits(&named) && named.check(At(5_000)).is_err());
        assert!(!fits(&Silence { until: At(1_000), ..named.clone() }));
        assert!(!fits(&Silence { reason: " ".to_owned(), ..named }));
    }
}
