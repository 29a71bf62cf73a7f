//! `[incidents.resources]`: what runs out.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::problem::{HOUR, Part};
use crate::reliability::detect::ResourcePolicy;
use crate::reliability::readings::Resource;
use crate::units::{Percent, Size, Text, secs};

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
#[serde(default, deny_unknown_fields)]
pub struct ShareFile {
    /// A warning.
    pub warn: Text<Percent>,
    /// An incident that calls.
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
