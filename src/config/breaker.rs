//! Checks `[upstreams.<name>.breaker]`.

use std::num::NonZeroU32;
use std::time::Duration;

use super::file::{BreakerFile, UpstreamFile};
use super::presets;
use super::problem::Collector;
use super::word::{OneOf, Word as _};
use crate::message::templates::Templates;
use crate::names::OperationName;
use crate::reliability::breaker::{BreakerPolicy, Mode};
use crate::units::{Percent, Written as _};

/// The most operations of one upstream: each has metrics of its own.
const OPERATIONS: usize = 64;

/// Part of an upstream's work, with a breaker of its own under the upstream's and with its policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Behind the upstream's name and a dot it names the breaker: `stripe.charges`.
    pub name: OperationName,
    /// The paths it has, as [`Templates`] reads it.
    pub path: String,
}

/// `"off"` or a share.
fn rate(text: Option<&str>, default: Option<Percent>) -> Result<Option<Percent>, String> {
    match text {
        None => Ok(default),
        Some("off") => Ok(None),
        Some(text) => match Percent::read(text) {
            Some(share) if share > Percent::of(0) => Ok(Some(share)),
            Some(_) | None => Err(format!("{text:?} is not a share above 0%; write \"50%\" or \"off\"")),
        },
    }
}

/// For an upstream behind the ingress nothing is refused unless that is asked for: refusing is all that a breaker could do
/// there.
fn mode(at: &str, file: &BreakerFile, ingress: bool, problems: &mut Collector<'_>) -> Mode {
    match (file.mode, file.enabled) {
        (None, Some(false)) => Mode::Off,
        (None, _) if ingress => Mode::Shadow,
        (None, _) => Mode::On,
        (Some(OneOf(mode)), enabled) => {
            if let Some(enabled) = enabled.filter(|enabled| *enabled == (mode == Mode::Off)) {
                let told = format!("{enabled} contradicts mode = {:?}; write mode alone", mode.word());
                problems.add(&format!("{at}.enabled"), told);
            }
            mode
        }
    }
}

/// Checks `breaker = { … }`; `ingress`: its upstream stands behind the ingress.
pub(super) fn check(
    at: &str,
    name: &str,
    written: &UpstreamFile,
    ingress: bool,
    problems: &mut Collector<'_>,
) -> BreakerPolicy {
    let file: &BreakerFile = &written.breaker;
    let base = presets::breaker(written.preset.as_deref().unwrap_or(name));
    let key = |key: &str| format!("{at}.{key}");
    let failure_rate =
        problems.take(&key("failure_rate"), rate(file.failure_rate.as_deref(), base.failure_rate));
    let slow_rate = problems.take(&key("slow_rate"), rate(file.slow_rate.as_deref(), base.slow_rate));
    let mut count = |name: &str, value: Option<u32>, base: NonZeroU32| match value.map(NonZeroU32::new) {
        None => Some(base),
        Some(Some(value)) => Some(value),
        Some(None) => {
            problems.add(&key(name), "0 must be at least 1, or the breaker could never close");
            None
        }
    };
    let successes = count("successes", file.successes, base.successes);
    let probes = count("probes", file.probes, base.probes);
    let open_for = file.open_for.map_or(base.open_for, |open| open.0);
    // Where a value was refused the default stands in: the problem that was noted keeps it from running.
    let policy = BreakerPolicy {
        mode: mode(at, file, ingress, problems),
        failures: file.failures.map_or(base.failures, NonZeroU32::new),
        failure_rate: failure_rate.unwrap_or(base.failure_rate),
        slow_rate: slow_rate.unwrap_or(base.slow_rate),
        window: file.window.map_or(base.window, |window| window.0),
        min_requests: file.min_requests.unwrap_or(base.min_requests).max(1),
        lump: file.lump.map_or(base.lump, |lump| lump.0),
        open_for,
        open_for_max: file.open_for_max.map_or(base.open_for_max.max(open_for), |open| open.0),
        successes: successes.unwrap_or(base.successes),
        probes: probes.unwrap_or(base.probes),
        probe_timeout: file.probe_timeout.map_or(base.probe_timeout, |limit| limit.0),
        ramp: file.ramp.map_or(base.ramp, |ramp| ramp.0),
    };
    breaker_times(at, &policy, problems);
    policy
}

/// Checks `breaker.operations`. In the order of their names.
pub(super) fn operations(at: &str, file: &BreakerFile, problems: &mut Collector<'_>) -> Vec<Operation> {
    if file.operations.len() > OPERATIONS {
        let many = file.operations.len();
        problems
            .add(at, format!("{many} are more than {OPERATIONS}; write {{id}} or {{*rest}} for what varies"));
    }
    let mut templates = Templates::default();
    let mut all = Vec::new();
    for (name, path) in &file.operations {
        let at = format!("{at}.{name}");
        let inserted = problems.take(&at, templates.insert(path, ()));
        let name = problems.take(&at, OperationName::new(name));
        if let (Some(()), Some(name)) = (inserted, name) {
            all.push(Operation { name, path: path.clone() });
        }
    }
    all
}

fn breaker_times(at: &str, policy: &BreakerPolicy, problems: &mut Collector<'_>) {
    if !(Duration::from_secs(1)..=Duration::from_secs(3_600)).contains(&policy.window) {
        problems.add(&format!("{at}.window"), "must be within 1s and 1h");
    }
    if policy.open_for.is_zero() || policy.open_for > policy.open_for_max {
        let (open_for, most) = (policy.open_for.write(), policy.open_for_max.write());
        problems.add(
            &format!("{at}.open_for"),
            format!("{open_for:?} must be longer than 0s and not longer than open_for_max, {most:?}"),
        );
    }
    if policy.probe_timeout.is_zero() {
        problems.add(&format!("{at}.probe_timeout"), "must be longer than 0s, or every probe would fail");
    }
}

/// Was anything of it written but neither `mode` nor `enabled`?
pub(super) fn says_numbers_and_no_mode(file: &BreakerFile) -> bool {
    let BreakerFile {
        mode,
        enabled,
        failures,
        failure_rate,
        slow_rate,
        window,
        min_requests,
        lump,
        open_for,
        open_for_max,
        successes,
        probes,
        probe_timeout,
        ramp,
        operations,
    } = file;
    let times = [window, lump, open_for, open_for_max, probe_timeout, ramp];
    let counts = [failures, successes, probes];
    let shares = [failure_rate, slow_rate];
    mode.is_none()
        && enabled.is_none()
        && (times.iter().any(|time| time.is_some())
            || counts.iter().any(|count| count.is_some())
            || shares.iter().any(|share| share.is_some())
            || min_requests.is_some()
            || !operations.is_empty())
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_operation_that_cannot_be_says_what_to_write() {
        let text = "[upstreams.stripe]\npreset = \"stripe\"\n[upstreams.stripe.breaker.operations]\ncharges = \"/v1/charges/{id}\"\nRefunds = \"/v1/refunds\"\n\
                    other = \"v1/other\"\nsame = \"/v1/charges/{charge}\"\n";
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
