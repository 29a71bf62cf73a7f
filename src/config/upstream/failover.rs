//! `backup = [ … ]` and `failover = { … }`: a second group of endpoints, and when it is called.

use std::time::Duration;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::endpoint::Endpoint;
use super::health::HealthCheck;
use crate::config::problem::{DAY, Part};
use crate::config::word::{OneOf, words};
use crate::reliability::breaker::{BreakerPolicy, Mode};
use crate::reliability::failover::{FailoverPolicy, FailoverWhen};
use crate::units::{Percent, Text, Written as _, secs};

/// The name of the breaker of the backup group, after the upstream's and a dot.
pub(super) const BACKUP: &str = "backup";

/// `failover = { … }` as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct FailoverFile {
    /// What makes a group ill: "health", "breaker".
    pub when: OneOf<FailoverWhen>,
    /// A group in which a smaller share of endpoints passes its checks is ill; one in which none does always is.
    pub min_healthy: Text<Percent>,
    /// The first endpoints have to be well for so long before they are called again.
    pub back_after: Text<Duration>,
}

/// Nothing moves before all is lost (HAProxy's `backup` does the same). A minute is twice the first wait of a breaker.
impl Default for FailoverFile {
    fn default() -> Self {
        Self { when: OneOf(FailoverWhen::Health), min_healthy: Text(Percent::of(0)), back_after: secs(60) }
    }
}

words! {
    FailoverWhen: "reason to fail over" {
        Health = "health", "too few endpoints pass their checks";
        Breaker = "breaker", "the same, or requests have opened its breaker";
    }
}

/// The second group of endpoints of an upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct BackupGroup {
    pub endpoints: Vec<Endpoint>,
    pub policy: FailoverPolicy,
}

/// What is written of both groups of an upstream.
pub(super) struct WrittenGroups<'a> {
    pub(super) first: &'a [Text<Endpoint>],
    pub(super) backup: &'a [Text<Endpoint>],
    pub(super) failover: Option<&'a FailoverFile>,
    /// An operation has the name of the backup's breaker.
    pub(super) name_is_taken: bool,
}

impl WrittenGroups<'_> {
    pub(super) fn check(
        &self,
        mut at: Part<'_, '_>,
        health: Option<&HealthCheck>,
        breaker: &BreakerPolicy,
    ) -> Option<BackupGroup> {
        if self.backup.is_empty() {
            if self.failover.is_some() {
                at.add(
                    "failover",
                    "says when backup endpoints are called, and there are none; write backup = [\"host:port\"]",
                );
            }
            return None;
        }
        for (nth, Text(endpoint)) in self.backup.iter().enumerate() {
            if self.first.iter().any(|Text(first)| first == endpoint) {
                let told = format!("{} is one of endpoints too; take it out there or here", endpoint.write());
                at.add(&format!("backup.{nth}"), told);
            }
        }
        if health.is_none() {
            at.add(
                "backup",
                "needs active checks: without them nobody sees that the first endpoints are well again; write health = { \
                 path = \"/healthz\" }",
            );
        }
        if self.name_is_taken {
            at.add(
                "breaker.operations.backup",
                "is what the breaker of the backup endpoints is called; name it otherwise",
            );
        }
        let written = self.failover.cloned().unwrap_or_default();
        let policy = written.check(at.part("failover"), health, breaker);
        let endpoints = self.backup.iter().map(|endpoint| endpoint.0.clone()).collect();
        Some(BackupGroup { endpoints, policy })
    }
}

impl FailoverFile {
    fn check(
        &self,
        mut at: Part<'_, '_>,
        health: Option<&HealthCheck>,
        breaker: &BreakerPolicy,
    ) -> FailoverPolicy {
        let when = self.when.0;
        if when == FailoverWhen::Breaker {
            if breaker.mode != Mode::On {
                let told = format!(
                    "is \"breaker\", and breaker.mode is {:?}: it never opens; write breaker.mode = \"on\", or when = \"health\"",
                    breaker.mode.label()
                );
                at.add("when", told);
            }
            if health.is_some_and(|health| health.path.is_none()) {
                at.add(
                    "when",
                    "is \"breaker\", and health has no path: a connect does not show that answers are good again; write \
                     health.path = \"/healthz\", or when = \"health\"",
                );
            }
        }
        let back_after = at.lasts("back_after", self.back_after, 1, DAY);
        FailoverPolicy { when, min_healthy: self.min_healthy.0, back_after }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;
    use crate::config::tests::config_text;

    fn with(more: &str) -> Result<Option<BackupGroup>, String> {
        let text = config_text(&format!(
            r#"
            [ingress]
            [upstreams.backend]
            endpoints = ["127.0.0.1:8001"]
            {more}
            "#
        ));
        let config = load(&text, "a test", &[]).map_err(|problems| problems.to_string())?;
        Ok(config.upstreams[0].backup.clone())
    }

    const CHECKED: &str =
        "backup = [\"10.0.1.7:8001\", \"far.shop:8001\"]\nhealth = { path = \"/healthz\" }\n";

    #[test]
    fn a_backup_group_is_called_when_no_first_endpoint_passes_and_left_after_a_minute() {
        assert_eq!(with("").expect("runs"), None);
        let group = with(CHECKED).expect("runs").expect("a group");
        let told: Vec<String> = group.endpoints.iter().map(Endpoint::write).collect();
        assert_eq!(told, ["10.0.1.7:8001", "far.shop:8001"]);
        let policy = FailoverPolicy {
            when: FailoverWhen::Health,
            min_healthy: Percent::of(0),
            back_after: Duration::from_secs(60),
        };
        assert_eq!(group.policy, policy);
        let more = "failover = { when = \"breaker\", min_healthy = \"50%\", back_after = \"5m\" }\nbreaker = { mode = \"on\" }\n";
        let group = with(&format!("{CHECKED}{more}")).expect("runs").expect("a group");
        assert_eq!(
            (group.policy.when, group.policy.min_healthy, group.policy.back_after.as_secs()),
            (FailoverWhen::Breaker, Percent::of(50), 300)
        );
    }

    #[test]
    fn what_could_not_fail_over_is_refused_with_what_to_write() {
        let checked = |more: &str| format!("{CHECKED}{more}");
        for (written, told) in [
            ("backup = [\"10.0.1.7:8001\"]".to_owned(), "write health = { path"),
            ("failover = {}".to_owned(), "and there are none; write backup"),
            (
                "backup = [\"127.0.0.1:8001\"]\nhealth = {}".to_owned(),
                "127.0.0.1:8001 is one of endpoints too",
            ),
            (checked("failover = { when = \"breaker\" }"), "breaker.mode is \"shadow\": it never opens"),
            (
                "backup = [\"10.0.1.7:8001\"]\nhealth = {}\nbreaker = { mode = \"on\" }\nfailover = { when = \"breaker\" }"
                    .to_owned(),
                "health has no path",
            ),
            (checked("failover = { when = \"brake\" }"), "did you mean \"breaker\"?"),
            (checked("failover = { back_after = \"0s\" }"), "0s is not within 1s to 1d"),
            (checked("failover = { min_healthy = \"101%\" }"), "write a percentage in quotes"),
            (checked("breaker = { operations = { backup = \"/b\" } }"), "name it otherwise"),
        ] {
            let problems = with(&written).expect_err(&written);
            assert!(problems.contains(told), "{written}: {problems}");
        }
    }
}
