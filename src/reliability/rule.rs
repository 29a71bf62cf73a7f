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

impl Rule {
    /// All that this version knows.
    pub const ALL: [Self; 10] = [
        Self::NetworkDown,
        Self::ServiceDown,
        Self::Breaker,
        Self::PaymentFailure,
        Self::ErrorRate,
        Self::Latency,
        Self::Resource,
        Self::DeclineRate,
        Self::Reported,
        Self::Manual,
    ];

    /// As in the API, logs and labels.
    pub fn label(self) -> &'static str {
        match self {
            Self::NetworkDown => "network_down",
            Self::ServiceDown => "service_down",
            Self::Breaker => "breaker",
            Self::PaymentFailure => "payment_failure",
            Self::ErrorRate => "error_rate",
            Self::Latency => "latency",
            Self::Resource => "resource",
            Self::DeclineRate => "decline_rate",
            Self::Reported => "reported",
            Self::Manual => "manual",
            Self::Unknown => "unknown",
        }
    }

    /// Rules that see the same fault from two sides share a family, so that two sidecars of which one noticed the open
    /// breaker first and the other the missing answers still speak of one incident.
    fn family(self) -> &'static str {
        match self {
            Self::ServiceDown | Self::Breaker => "availability",
            Self::NetworkDown
            | Self::PaymentFailure
            | Self::ErrorRate
            | Self::Latency
            | Self::Resource
            | Self::DeclineRate
            | Self::Reported
            | Self::Manual
            | Self::Unknown => self.label(),
        }
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
