//! What a rule measures and by which thresholds, in one sentence.

use std::time::Duration;

use super::policy::{DetectPolicy, PercentileLimits};
use crate::reliability::rule::Rule;
use crate::units::Written as _;

fn limits(limits: PercentileLimits) -> String {
    format!("{} ({} is an alert)", limits.warn.write(), limits.alert.write())
}

fn percent(share: f64) -> String {
    // Digits of a share that nobody has written: 0.1 % and not 0.10000000000000009 %.
    format!("{} %", (share * 1e6).round() / 1e4)
}

impl DetectPolicy {
    /// What has to be so, and for how long.
    pub fn describe(&self, rule: Rule) -> String {
        let held = |confirm: Duration| format!("confirmed after {}", confirm.write());
        match rule {
            Rule::NetworkDown => format!(
                "{} upstreams or more fail within {}",
                self.network.upstreams,
                self.network.within.write()
            ),
            Rule::ServiceDown => format!(
                "{} failures in a row, or {} probes, and no success; {}",
                self.down.failures,
                self.down.probes,
                held(self.down.confirm)
            ),
            Rule::Breaker => "the breaker of an upstream is open, and nobody holds it open".to_owned(),
            Rule::PaymentFailure => format!(
                "more than {} of payments fail at the processor; {}",
                percent(self.payments.failures),
                held(self.payments.confirm)
            ),
            Rule::ErrorRate => format!(
                "more than {} of replies fail, beyond chance and in two windows at once, and {} of them at least; {}",
                percent(self.errors.objective.allowed()),
                self.errors.least_bad,
                held(self.errors.confirm)
            ),
            Rule::Latency => format!(
                "p50 over {}, p95 over {}, p99 over {}, where a route has no budget of its own; {}",
                limits(self.latency.budget.p50),
                limits(self.latency.budget.p95),
                limits(self.latency.budget.p99),
                held(self.latency.confirm)
            ),
            Rule::Resource => {
                let of = |(what, warn, alert): &(crate::reliability::readings::Resource, f64, f64)| {
                    format!("{} over {} or {}", what.label(), percent(*warn), percent(*alert))
                };
                let all: Vec<String> = self.resources.limits.iter().map(of).collect();
                format!("{}, in {} samples in a row", all.join("; "), self.resources.samples)
            }
            Rule::DeclineRate => format!(
                "{} times as many cards are declined as in the last three days, once these hold {} decisions",
                self.payments.declines, self.payments.usual_from
            ),
            Rule::Reported => "another part of the process, or a receiver of alerts, says so".to_owned(),
            Rule::Manual => "a person opens it".to_owned(),
            Rule::Unknown => "a rule of a newer version".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_says_its_numbers() {
        let policy = DetectPolicy::default();
        let of = |rule| policy.describe(rule);
        assert!(
            of(Rule::ErrorRate).starts_with("more than 0.1 % of replies fail"),
            "{}",
            of(Rule::ErrorRate)
        );
        assert!(of(Rule::Latency).contains("p95 over 2s (3s is an alert)"), "{}", of(Rule::Latency));
        assert!(of(Rule::Resource).contains("memory over 85 % or 95 %"), "{}", of(Rule::Resource));
        assert!(Rule::ALL.iter().all(|rule| !of(*rule).is_empty()));
    }
}
