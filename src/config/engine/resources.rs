//! `[incidents.resources]`: what runs out.

use std::path::PathBuf;
use std::time::Duration;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::problem::{HOUR, Part};
use crate::reliability::detect::{DetectPolicy, ResourcePolicy};
use crate::reliability::readings::Resource;
use crate::units::{Percent, Size, Text};

/// The table `[incidents.resources]`: the rule `resource`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ResourcesFile {
    /// Processor time as a share of the control group's limit.
    pub cpu: ShareFile,
    /// Working set as a share of the control group's limit.
    pub memory: ShareFile,
    /// Used space as a share of a volume.
    pub disk: ShareFile,
    /// Traffic as a share of `network_capacity`, in the busier direction.
    pub network: ShareFile,
    /// Directories whose volumes are measured too.
    pub volumes: Vec<String>,
    /// Bytes a second that the network carries each way; absent: traffic is not measured.
    pub network_capacity: Option<Text<Size>>,
    /// Consecutive samples (one each 5 s) over a limit that make an incident.
    pub samples: u32,
    /// How far below a limit a sample must be to count as good, in percentage points.
    pub margin: Text<Percent>,
    /// A sample older than this is not observable.
    pub stale: Text<Duration>,
}

/// The policy's defaults, as they are written.
impl Default for ResourcesFile {
    fn default() -> Self {
        let ResourcePolicy { limits, samples, margin, stale } = DetectPolicy::default().resources;
        let share = |what: Resource| {
            let limits = limits.iter().find(|(known, ..)| *known == what);
            limits.map_or_else(ShareFile::default, |(_, warn, critical)| ShareFile {
                warn: Text(Percent::of_ratio(*warn)),
                critical: Text(Percent::of_ratio(*critical)),
            })
        };
        Self {
            cpu: share(Resource::Cpu),
            memory: share(Resource::Memory),
            disk: share(Resource::Disk),
            network: share(Resource::Network),
            volumes: Vec::new(),
            network_capacity: None,
            samples,
            margin: Text(Percent::of_ratio(margin)),
            stale: Text(stale),
        }
    }
}

/// The two limits of a resource.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ShareFile {
    /// Over it for `samples` samples: an incident of low severity.
    pub warn: Text<Percent>,
    /// Over it for `samples` samples: an incident of high severity.
    pub critical: Text<Percent>,
}

/// In the place of what was written and could not be read.
impl Default for ShareFile {
    fn default() -> Self {
        Self { warn: Text(Percent::of(85)), critical: Text(Percent::of(95)) }
    }
}

/// What of the machine is looked at, beside this sidecar's control group and the volumes it writes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineConfig {
    /// Directories; the volume that each lies on is measured.
    pub volumes: Vec<PathBuf>,
    /// What the network carries each way, bytes a second; `None`: nobody said.
    pub network: Option<u64>,
}

impl ResourcesFile {
    pub(super) fn check(&self, at: &mut Part<'_, '_>) -> (ResourcePolicy, MachineConfig) {
        let margin = self.margin.0.ratio();
        let shares = [
            (Resource::Cpu, self.cpu),
            (Resource::Memory, self.memory),
            (Resource::Disk, self.disk),
            (Resource::Network, self.network),
        ];
        let limits = shares.map(|(what, share)| {
            let (warn, critical) = share.check(at.part(what.label()), margin);
            (what, warn, critical)
        });
        let policy = ResourcePolicy {
            limits: limits.into(),
            samples: at.within("samples", self.samples, 1, 1_000),
            margin,
            stale: at.lasts("stale", self.stale, 5, HOUR),
        };
        (policy, self.machine(at))
    }

    fn machine(&self, at: &mut Part<'_, '_>) -> MachineConfig {
        for (nth, volume) in self.volumes.iter().enumerate().filter(|(_, volume)| !volume.starts_with('/')) {
            at.add(&format!("volumes.{nth}"), format!("{volume:?} is no absolute path"));
        }
        let network = self.network_capacity.map(|size| size.0.0);
        if network == Some(0) {
            at.add("network_capacity", "carries nothing; write \"125MiB\" for a gigabit a second");
        }
        MachineConfig { volumes: self.volumes.iter().map(Into::into).collect(), network }
    }
}

impl ShareFile {
    fn check(self, mut at: Part<'_, '_>, margin: f64) -> (f64, f64) {
        let (warn, critical) = (self.warn.0.ratio(), self.critical.0.ratio());
        if warn > critical {
            at.add("warn", "is above critical; write a smaller share");
        }
        if warn <= margin {
            at.add("warn", "is not above margin, so it could never be good again");
        }
        (warn, critical)
    }
}
