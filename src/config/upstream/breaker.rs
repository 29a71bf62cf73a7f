//! `breaker = { … }`: when an upstream is not called any more.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::vendor::{GuideBreaker, Preset};
use crate::config::problem::Part;
use crate::config::routes::spelled;
use crate::config::word::{OneOf, Word as _};
use crate::message::templates::Templates;
use crate::names::OperationName;
use crate::reliability::breaker::{BreakerPolicy, Mode};
use crate::units::{Percent, Text, Written, secs};

/// `breaker = { … }` as written; what is not written has the default of the upstream's name or preset.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct BreakerFile {
    /// Whether it refuses, only counts, or is off; absent: "shadow" behind the ingress, else "on".
    pub mode: OneOf<Mode>,
    /// false: the same as mode = "off".
    pub enabled: bool,
    /// Consecutive bad exchanges; 0: off.
    pub failures: u32,
    /// Share of bad exchanges, or "off".
    pub failure_rate: Text<Rate>,
    /// Share of slow exchanges, or "off".
    pub slow_rate: Text<Rate>,
    /// The time over which both rates are taken, 1s to 1h.
    pub window: Text<Duration>,
    /// Exchanges in the window below which neither rate is judged.
    pub min_requests: u64,
    /// Refused and broken connections and timeouts of one endpoint this close together are one event.
    pub lump: Text<Duration>,
    /// The first wait; each consecutive re-opening waits 1.5 times as long, ±20 %.
    pub open_for: Text<Duration>,
    /// The longest wait, however often it re-opens.
    pub open_for_max: Text<Duration>,
    /// Good probes (or checks) in a row that close it.
    pub successes: u32,
    /// Probes that may be in flight at once.
    pub probes: u32,
    /// A probe without an answer for so long has failed.
    pub probe_timeout: Text<Duration>,
    /// After closing, the share of requests that pass grows back to all over this time.
    pub ramp: Text<Duration>,
    /// Operations with a breaker of their own, by name: each a template of paths, such as "/v1/charges/{id}".
    pub operations: BTreeMap<String, String>,
}

/// The guide's services that are no vendors; vendors have their numbers in their rows.
const NEIGHBOURS: [(&str, GuideBreaker); 2] = [
    ("database", GuideBreaker { failures: 2, open_for: 15, successes: 3 }),
    ("redis", GuideBreaker { failures: 3, open_for: 30, successes: 2 }),
];

/// The guide's table of circuit breakers; `None`: it does not name this one.
fn guide(name: &str) -> Option<GuideBreaker> {
    let neighbour = || NEIGHBOURS.into_iter().find(|(known, _)| *known == name).map(|(_, breaker)| breaker);
    Preset::named(name).map(Preset::breaker).or_else(neighbour)
}

/// Is it one of the guide's services?
pub(in crate::config) fn is_known(name: &str) -> bool {
    guide(name).is_some()
}

/// The policy's defaults, as they are written. Services of the guide have its numbers instead.
impl Default for BreakerFile {
    fn default() -> Self {
        let BreakerPolicy {
            mode,
            failures,
            failure_rate,
            slow_rate,
            window,
            min_requests,
            dedup_window,
            open_for,
            open_for_max,
            successes,
            probes,
            probe_timeout,
            ramp,
        } = BreakerPolicy::default();
        Self {
            mode: OneOf(mode),
            enabled: mode != Mode::Off,
            failures: failures.map_or(0, NonZeroU32::get),
            failure_rate: Text(Rate(failure_rate)),
            slow_rate: Text(Rate(slow_rate)),
            window: Text(window),
            min_requests,
            lump: Text(dedup_window),
            open_for: Text(open_for),
            open_for_max: Text(open_for_max),
            successes: successes.get(),
            probes: probes.get(),
            probe_timeout: Text(probe_timeout),
            ramp: Text(ramp),
            operations: BTreeMap::new(),
        }
    }
}

/// A share above nothing, or "off".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(Option<Percent>);

impl Written for Rate {
    const LIKE: &'static str = r#"a share above 0% in quotes, such as "50%", or "off""#;
    const PATTERN: &'static str = r"^([0-9]+(\.[0-9]{1,2})?%|off)$";

    fn read(text: &str) -> Option<Self> {
        if text == "off" {
            return Some(Self(None));
        }
        Percent::read(text).filter(|share| *share > Percent::of(0)).map(|share| Self(Some(share)))
    }

    fn write(&self) -> String {
        self.0.map_or_else(|| "off".to_owned(), |share| share.write())
    }
}

/// Part of an upstream's work, with a breaker of its own under the upstream's and with its policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Behind the upstream's name and a dot it names the breaker: `stripe.charges`.
    pub name: OperationName,
    /// The paths it has, as [`Templates`] reads it.
    pub path: String,
}

/// The most operations of one upstream: each has metrics of its own.
const OPERATIONS: usize = 64;

impl BreakerFile {
    /// Of an upstream of this name (or preset). Behind the ingress nothing is refused unless that is asked for:
    /// refusing is all that a breaker could do there.
    pub(super) fn base(name: &str, behind: bool, written: Option<&Table>) -> Self {
        let mut base = Self::default();
        if let Some(GuideBreaker { failures, open_for, successes }) = guide(name) {
            base = Self { failures, open_for: secs(open_for), successes, ..base };
        }
        let said = |key: &str| written.and_then(|table| table.get(key));
        base.mode = OneOf(match said("enabled").and_then(Value::as_bool) {
            Some(false) => Mode::Off,
            Some(true) | None if behind => Mode::Shadow,
            Some(true) | None => Mode::On,
        });
        let mode = said("mode").and_then(Value::as_str).unwrap_or(base.mode.0.word());
        base.enabled = mode != Mode::Off.word();
        let open_for = said("open_for").and_then(Value::as_str).and_then(Duration::read);
        base.open_for_max = base.open_for_max.max(Text(open_for.unwrap_or_default()));
        base
    }

    pub(super) fn check(&self, mut at: Part<'_, '_>) -> BreakerPolicy {
        let mode = self.mode.0;
        if self.enabled == (mode == Mode::Off) {
            let told = format!("{} contradicts mode = {:?}; write mode alone", self.enabled, mode.word());
            at.add("enabled", told);
        }
        for (key, count) in [("successes", self.successes), ("probes", self.probes)] {
            if count == 0 {
                at.add(key, "0 must be at least 1, or the breaker could never close");
            }
        }
        if !(secs(1)..=secs(3_600)).contains(&self.window) {
            at.add("window", "must be within 1s and 1h");
        }
        if self.open_for.0.is_zero() || self.open_for > self.open_for_max {
            let (open_for, most) = (self.open_for.0.write(), self.open_for_max.0.write());
            let told = format!("must be longer than 0s and not longer than open_for_max, {most:?}");
            at.add("open_for", format!("{open_for:?} {told}"));
        }
        if self.probe_timeout.0.is_zero() {
            at.add("probe_timeout", "must be longer than 0s, or every probe would fail");
        }
        self.policy()
    }

    pub(super) fn policy(&self) -> BreakerPolicy {
        // Where one is 0, the problem that was noted keeps it from running.
        let at_least_one = |count: u32| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        BreakerPolicy {
            mode: self.mode.0,
            failures: NonZeroU32::new(self.failures),
            failure_rate: self.failure_rate.0.0,
            slow_rate: self.slow_rate.0.0,
            window: self.window.0,
            min_requests: self.min_requests.max(1),
            dedup_window: self.lump.0,
            open_for: self.open_for.0,
            open_for_max: self.open_for_max.0,
            successes: at_least_one(self.successes),
            probes: at_least_one(self.probes),
            probe_timeout: self.probe_timeout.0,
            ramp: self.ramp.0,
        }
    }

    /// In the order of their names.
    pub(super) fn operations(&self, mut at: Part<'_, '_>) -> Vec<Operation> {
        let many = self.operations.len();
        if many > OPERATIONS {
            let told = format!("{many} are more than {OPERATIONS}");
            at.add("", format!("{told}; write {{id}} or {{*rest}} for what varies"));
        }
        let mut templates = Templates::default();
        let mut all = Vec::new();
        for (key, path) in &self.operations {
            let inserted = at.take(key, templates.insert(path, ()));
            at.take(key, spelled(path));
            let name = at.take(key, OperationName::new(key));
            all.extend(
                name.filter(|_| inserted.is_some()).map(|name| Operation { name, path: path.clone() }),
            );
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::config_text;
    #[test]
    fn an_operation_that_cannot_be_says_what_to_write() {
        let text = &config_text(
            r#"
                [upstreams.stripe]
                preset = "stripe"
                [upstreams.stripe.breaker.operations]
                charges = "/v1/charges/{id}"
                Refunds = "/v1/refunds"
                other = "v1/other"
                same = "/v1/charges/{charge}"
            "#,
        );
        let problems = crate::config::load(text, "a test", &[]).expect_err("it cannot run");
        let told: Vec<_> =
            problems.all.iter().map(|problem| (problem.line, problem.message.as_str())).collect();
        assert_eq!(told.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [5, 6, 7], "{told:?}");
        assert!(told[0].1.contains("lower-case letter"), "{told:?}");
        assert!(told[1].1.contains("must begin with a slash"), "{told:?}");
        assert!(told[2].1.contains("\"/v1/charges/{id}\""), "{told:?}");
        let many: String = (0..65).map(|n| format!("o{n} = \"/{n}\"\n")).collect();
        let text = format!("[upstreams.stripe.breaker.operations]\n{many}");
        let problems = crate::config::load(&text, "a test", &[]).expect_err("too many");
        assert!(problems.to_string().contains("65 are more than 64"), "{problems}");
    }
}
