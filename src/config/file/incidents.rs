//! `[latency]`, `[slo]` and `[incidents]` as they were written.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secs;
use crate::config::desk::UntilWord;
use crate::config::word::OneOf;
use crate::reliability::rule::{Rule, Severity};
use crate::units::{Percent, Promise, Size, Text};

/// `[latency]`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LatencyFile {
    /// Longer exchanges are slow.
    pub slow: Text<Duration>,
    /// Budget of the median.
    pub p50: LimitsOfFile,
    /// Budget of the 95th percentile.
    pub p95: LimitsOfFile,
    /// Budget of the 99th percentile.
    pub p99: LimitsOfFile,
}

impl Default for LatencyFile {
    fn default() -> Self {
        let millis = |ms| Some(Text(Duration::from_millis(ms)));
        let limits = |warn, alert| LimitsOfFile { warn: millis(warn), alert: millis(alert) };
        Self { slow: secs(1), p50: limits(500, 1_000), p95: limits(2_000, 3_000), p99: limits(5_000, 8_000) }
    }
}

/// The budget of a percentile; what is not written is as above it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsOfFile {
    /// The target.
    pub warn: Option<Text<Duration>>,
    /// The alert threshold.
    pub alert: Option<Text<Duration>>,
}

/// `[routes.latency]`; what is not written is as in `[latency]`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouteLatencyFile {
    /// Up to where it is measured.
    pub until: OneOf<UntilWord>,
    /// Budget of the median.
    pub p50: LimitsOfFile,
    /// Budget of the 95th percentile.
    pub p95: LimitsOfFile,
    /// Budget of the 99th percentile.
    pub p99: LimitsOfFile,
}

impl Default for RouteLatencyFile {
    fn default() -> Self {
        let unwritten = LimitsOfFile::default();
        Self { until: OneOf(UntilWord::LastByte), p50: unwritten, p95: unwritten, p99: unwritten }
    }
}

/// `[slo]`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SloFile {
    /// Seconds in which it is up.
    pub uptime: Text<Promise>,
    /// Good replies.
    pub success: Text<Promise>,
}

impl Default for SloFile {
    fn default() -> Self {
        Self { uptime: Text(Promise::millionths(999_900)), success: Text(Promise::millionths(999_000)) }
    }
}

/// `[incidents]`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IncidentsFile {
    /// Rules that are off.
    pub off: Vec<OneOf<Rule>>,
    /// An upstream that has not answered since the start is not down yet.
    pub grace: Text<Duration>,
    /// Good for so long ends an incident.
    pub clear_after: Text<Duration>,
    /// Upstreams whose failure is critical, beside the backend.
    pub important: Vec<String>,
    /// Stakeholders hear of suspicions from this severity on.
    pub suspicions_from: OneOf<Severity>,
    /// The next of the same identity is linked to one that ended this recently.
    pub reopen_within: Text<Duration>,
    /// Closed ones stay in memory.
    pub keep: Text<Duration>,
    /// What is no longer observed at all is over.
    pub gone_after: Text<Duration>,
    /// No success.
    pub down: DownFile,
    /// Too many errors.
    pub errors: ErrorsFile,
    /// Too slow.
    pub latency: LatencyRuleFile,
    /// Many at once.
    pub network: NetworkFile,
    /// Payments.
    pub payments: PaymentsFile,
    /// Running out.
    pub resources: ResourcesFile,
}

impl Default for IncidentsFile {
    fn default() -> Self {
        Self {
            off: Vec::new(),
            grace: secs(30),
            clear_after: secs(120),
            important: vec!["stripe".to_owned(), "database".to_owned()],
            suspicions_from: OneOf(Severity::High),
            reopen_within: secs(3_600),
            keep: secs(86_400),
            gone_after: secs(300),
            down: DownFile::default(),
            errors: ErrorsFile::default(),
            latency: LatencyRuleFile::default(),
            network: NetworkFile::default(),
            payments: PaymentsFile::default(),
            resources: ResourcesFile::default(),
        }
    }
}

/// `[incidents.down]`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DownFile {
    /// Failures in a row.
    pub failures: u32,
    /// Failed checks in a row.
    pub probes: u32,
    /// No success for so long.
    pub confirm: Text<Duration>,
}

impl Default for DownFile {
    fn default() -> Self {
        Self { failures: 3, probes: 3, confirm: secs(30) }
    }
}

/// `[incidents.errors]`; the threshold is what `slo.success` allows.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ErrorsFile {
    /// Fewer bad replies prove nothing.
    pub least_bad: u64,
    /// Chance alone makes it suspected once in so many looks.
    pub suspect_odds: u64,
    /// Chance alone calls somebody once in so many looks.
    pub page_odds: u64,
    /// Suspected for so long.
    pub confirm: Text<Duration>,
}

impl Default for ErrorsFile {
    fn default() -> Self {
        Self { least_bad: 3, suspect_odds: 1_000, page_odds: 1_000_000, confirm: secs(120) }
    }
}

/// `[incidents.latency]`; the thresholds are those of `[latency]` and of routes.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LatencyRuleFile {
    /// Chance alone makes it suspected once in so many looks.
    pub suspect_odds: u64,
    /// Chance alone calls somebody once in so many looks.
    pub page_odds: u64,
    /// Suspected for so long.
    pub confirm: Text<Duration>,
}

impl Default for LatencyRuleFile {
    fn default() -> Self {
        Self { suspect_odds: 1_000, page_odds: 10_000, confirm: secs(60) }
    }
}

/// `[incidents.network]`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkFile {
    /// So many breakers …
    pub upstreams: u32,
    /// … that open within this long of each other.
    pub within: Text<Duration>,
    /// One waits so long for others that are well.
    pub alone: Text<Duration>,
}

impl Default for NetworkFile {
    fn default() -> Self {
        Self { upstreams: 3, within: secs(5), alone: secs(2) }
    }
}

/// `[incidents.payments]`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PaymentsFile {
    /// Share of processor failures.
    pub failures: Text<Percent>,
    /// Failing for so long.
    pub confirm: Text<Duration>,
    /// Declines are unusual over the usual share times this.
    pub declines_factor: f64,
    /// Decisions of three days that make a share the usual one.
    pub usual_from: u64,
}

impl Default for PaymentsFile {
    fn default() -> Self {
        Self { failures: Text(Percent::of(1)), confirm: secs(30), declines_factor: 1.5, usual_from: 200 }
    }
}

/// `[incidents.resources]`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ResourcesFile {
    /// Processor time of the limit.
    pub cpu: ShareFile,
    /// Working set of the limit.
    pub memory: ShareFile,
    /// Space of a volume.
    pub disk: ShareFile,
    /// Of `network_capacity`.
    pub network: ShareFile,
    /// Directories whose volumes are measured too.
    pub volumes: Vec<String>,
    /// What the network carries each way in a second.
    pub network_capacity: Option<Text<Size>>,
    /// So many in a row.
    pub samples: u32,
    /// Good is so much below the limit.
    pub margin: Text<Percent>,
    /// An older sample says nothing.
    pub stale: Text<Duration>,
}

impl Default for ResourcesFile {
    fn default() -> Self {
        let share = |warn, critical| ShareFile {
            warn: Text(Percent::of(warn)),
            critical: Text(Percent::of(critical)),
        };
        Self {
            cpu: share(80, 95),
            memory: share(85, 95),
            disk: share(85, 95),
            network: share(80, 95),
            volumes: Vec::new(),
            network_capacity: None,
            samples: 3,
            margin: Text(Percent::of(5)),
            stale: secs(60),
        }
    }
}

/// The two limits of a resource.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShareFile {
    /// A warning.
    pub warn: Text<Percent>,
    /// An incident that calls.
    pub critical: Text<Percent>,
}
