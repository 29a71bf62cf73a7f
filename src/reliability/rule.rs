//! The words of incidents: which rule, how bad, about what.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What found it. The order is that of causes: what stands first explains what stands after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Many upstreams at once.
    NetworkDown,
    /// No success for 30 s.
    ServiceDown,
    /// A breaker has opened.
    Breaker,
    /// A payment processor fails (not: a card is declined).
    PaymentFailure,
    /// More errors than the objective allows.
    ErrorRate,
    /// A percentile is over its budget.
    Latency,
    /// CPU, memory, disk or network near its end.
    Resource,
    /// Cards are declined more often than usual.
    DeclineRate,
    /// Another part of the process says so: the store, a backup, an operator's own rule.
    Reported,
    /// A person opened it.
    Manual,
    /// A rule of a newer version.
    #[serde(other)]
    Unknown,
}

/// What is known of a rule beside what it measures: its row.
#[derive(Debug)]
pub struct RuleFacts {
    rule: Rule,
    label: &'static str,
    /// Rules that see the same fault from two sides share a family, so that two sidecars of which one noticed the open
    /// breaker first and the other the missing answers still speak of one incident.
    family: &'static str,
    /// What it means in `incidents.off`.
    pub meaning: &'static str,
    pub title: RuleTitle,
    pub effect: RuleEffect,
    pub hint: RuleHint,
}

/// How people say the title of an incident of the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleTitle {
    AsItIs,
    /// `memory is over 85 %`: with the name of the machine.
    OfMachine,
    /// `15.00 % of search replies fail`: the share was so when it was found.
    OfShare,
    /// `p95 of checkout is over 3000 ms`: as a number of requests.
    OfPercentile,
}

/// What it is to those who use the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleEffect {
    /// The service is out, or partly.
    Out,
    /// The service fails.
    Fails,
    /// Some requests to the service fail.
    SomeFail,
    /// The service is so.
    Is(&'static str),
    /// So many things, whatever the service, are so.
    Are(&'static str, &'static str),
    /// The resource is short.
    Short,
    /// What the title says.
    Title,
}

/// What is usually behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleHint {
    /// The application where the service is its own, else the way to the service.
    ApplicationOrWay,
    /// The way to the service.
    Way,
    /// What uses the machine.
    Machine,
    Says(&'static str),
    Nothing,
}

/// A row a rule, in the order of [`Rule`].
const ROWS: &[RuleFacts; 11] = &[
    RuleFacts {
        rule: Rule::NetworkDown,
        label: "network_down",
        family: "network_down",
        meaning: "several upstreams fail at once",
        title: RuleTitle::AsItIs,
        effect: RuleEffect::Out,
        hint: RuleHint::Says(
            "Several failed at the same moment: look at the node's network, its name server and its way out first.",
        ),
    },
    RuleFacts {
        rule: Rule::ServiceDown,
        label: "service_down",
        family: "availability",
        meaning: "an upstream answers nobody",
        title: RuleTitle::AsItIs,
        effect: RuleEffect::Out,
        hint: RuleHint::ApplicationOrWay,
    },
    RuleFacts {
        rule: Rule::Breaker,
        label: "breaker",
        family: "availability",
        meaning: "a breaker is open",
        title: RuleTitle::AsItIs,
        effect: RuleEffect::Out,
        hint: RuleHint::ApplicationOrWay,
    },
    RuleFacts {
        rule: Rule::PaymentFailure,
        label: "payment_failure",
        family: "payment_failure",
        meaning: "payments fail",
        title: RuleTitle::AsItIs,
        effect: RuleEffect::Fails,
        hint: RuleHint::Way,
    },
    RuleFacts {
        rule: Rule::ErrorRate,
        label: "error_rate",
        family: "error_rate",
        meaning: "the error budget burns too fast",
        title: RuleTitle::OfShare,
        effect: RuleEffect::SomeFail,
        hint: RuleHint::ApplicationOrWay,
    },
    RuleFacts {
        rule: Rule::Latency,
        label: "latency",
        family: "latency",
        meaning: "answers are slower than the budget",
        title: RuleTitle::OfPercentile,
        effect: RuleEffect::Is("slow"),
        hint: RuleHint::Says("What is slow: the application, its database, or a vendor behind it?"),
    },
    RuleFacts {
        rule: Rule::Resource,
        label: "resource",
        family: "resource",
        meaning: "processor, memory, disk or network is short",
        title: RuleTitle::OfMachine,
        effect: RuleEffect::Short,
        hint: RuleHint::Machine,
    },
    RuleFacts {
        rule: Rule::DeclineRate,
        label: "decline_rate",
        family: "decline_rate",
        meaning: "more cards are declined than usual",
        title: RuleTitle::AsItIs,
        effect: RuleEffect::Are("more card payments than usual", "declined"),
        hint: RuleHint::Says("Was anything about the checkout changed? A wave of fraud looks the same."),
    },
    RuleFacts {
        rule: Rule::Reported,
        label: "reported",
        family: "reported",
        meaning: "an alert from outside",
        title: RuleTitle::AsItIs,
        effect: RuleEffect::Title,
        hint: RuleHint::Nothing,
    },
    RuleFacts {
        rule: Rule::Manual,
        label: "manual",
        family: "manual",
        meaning: "a person opened it",
        title: RuleTitle::AsItIs,
        effect: RuleEffect::Title,
        hint: RuleHint::Nothing,
    },
    RuleFacts {
        rule: Rule::Unknown,
        label: "unknown",
        family: "unknown",
        meaning: "a rule of a newer version",
        title: RuleTitle::AsItIs,
        effect: RuleEffect::Title,
        hint: RuleHint::Nothing,
    },
];

/// Each row stands where its rule does.
const _: () = {
    let mut at = 0;
    while at < ROWS.len() {
        assert!(ROWS[at].rule as usize == at);
        at += 1;
    }
    assert!(Rule::Unknown as usize == ROWS.len() - 1);
};

impl Rule {
    /// All that this version knows; the last one is [`Self::Manual`].
    pub const ALL: [Self; ROWS.len() - 1] = {
        let mut all = [Self::Unknown; ROWS.len() - 1];
        let mut at = 0;
        while at < all.len() {
            all[at] = ROWS[at].rule;
            at += 1;
        }
        all
    };

    /// Is what it finds about an upstream?
    pub fn is_of_upstream(self) -> bool {
        matches!(self, Self::ServiceDown | Self::Breaker | Self::PaymentFailure | Self::DeclineRate)
    }

    /// Its row.
    pub const fn facts(self) -> &'static RuleFacts {
        &ROWS[self as usize]
    }

    /// As in the API, logs and labels.
    pub const fn label(self) -> &'static str {
        self.facts().label
    }

    fn family(self) -> &'static str {
        self.facts().family
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Cosmetic issues and non-critical warnings, in the guide's words.
    Low,
    /// Minor trouble, more errors than usual.
    Medium,
    /// Degraded, or partly out.
    High,
    /// Down, payments fail, data is lost.
    Critical,
}

impl Severity {
    /// From least to worst.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// As in the API, logs and labels.
    pub fn label(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// Reads the label back; `None`: it is no severity.
    pub fn read(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.label() == text)
    }

    /// The guide's response clock: at once, 5 min, 30 min, 2 h.
    pub fn response(self) -> Duration {
        Duration::from_secs(match self {
            Self::Critical => 0,
            Self::High => 300,
            Self::Medium => 1_800,
            Self::Low => 7_200,
        })
    }
}

/// What an alert is about: its identity. Never a measured value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AlertKey {
    pub rule: Rule,
    /// An upstream, a route class, a resource.
    pub service: Arc<str>,
    /// Which part of it; often empty.
    #[serde(default)]
    pub scope: Arc<str>,
}

impl AlertKey {
    /// The key of `rule` about `service`.
    pub fn of(rule: Rule, service: &str, scope: &str) -> Self {
        Self { rule, service: Arc::from(service), scope: Arc::from(scope) }
    }

    /// The same for ever and in every process: 32 hex letters of FNV-1a (128 bits) over family, service and scope.
    /// Fits PagerDuty's `dedup_key` (255 letters).
    pub fn dedup(&self) -> Arc<str> {
        const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
        let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
        let parts = [self.rule.family(), &self.service, &self.scope];
        for byte in parts.iter().flat_map(|part| part.bytes().chain([0])) {
            hash = (hash ^ u128::from(byte)).wrapping_mul(PRIME);
        }
        let mut text = String::with_capacity(32);
        let _ = write!(text, "{hash:032x}");
        Arc::from(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_the_same_for_ever() {
        // Fixed: incidents in a store and at PagerDuty carry it.
        assert_eq!(&*AlertKey::of(Rule::ErrorRate, "api", "").dedup(), "96d23ce5b08b39c6d0235e6f390d25f0");
        assert_ne!(
            AlertKey::of(Rule::Latency, "a", "bc").dedup(),
            AlertKey::of(Rule::Latency, "ab", "c").dedup()
        );
    }

    #[test]
    fn an_open_breaker_and_a_dead_service_are_one_fault() {
        assert_eq!(
            AlertKey::of(Rule::Breaker, "stripe", "").dedup(),
            AlertKey::of(Rule::ServiceDown, "stripe", "").dedup()
        );
    }

    #[test]
    fn a_rule_of_a_newer_version_is_read() {
        assert_eq!(serde_json::from_str::<Rule>("\"moon_phase\"").expect("reads"), Rule::Unknown);
        for rule in Rule::ALL {
            assert_eq!(serde_json::to_string(&rule).expect("writes"), format!("\"{}\"", rule.label()));
        }
    }

    #[test]
    fn the_response_clocks_are_those_of_the_guide() {
        assert_eq!(Severity::ALL.map(|severity| severity.response().as_secs()), [7_200, 1_800, 300, 0]);
        assert!(Severity::Critical > Severity::High);
        assert_eq!(Severity::read("medium"), Some(Severity::Medium));
    }
}
