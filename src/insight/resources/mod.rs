//! How near its end is what this process lives on: CPU and memory of its control group, volumes, the network.
//!
//! A sidecar sees its own control group, not the application's: that one is not observable from here, and nothing is said of
//! it. Where a group has no limit, its use is a share of the machine. The network's capacity is not observable either (a
//! virtual interface names none), so it is measured only where somebody has written it down.

mod cgroup;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use crate::reliability::readings::{Resource, ResourceReading};
use crate::units::At;
use cgroup::Groups;
pub use cgroup::MemoryRoom;

/// What of the machine is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// Directories; the volume that each lies on is measured.
    pub volumes: Vec<PathBuf>,
    /// What the network carries each way, bytes a second; `None`: unknown.
    pub network: Option<u64>,
}

/// Takes samples; remembers the last counters.
#[derive(Debug)]
pub struct Sampler {
    root: PathBuf,
    groups: Groups,
    traffic: Option<(At, Traffic)>,
}

/// Bytes since the machine's start, all interfaces but the loopback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Traffic {
    received: u64,
    sent: u64,
}

impl Default for Sampler {
    fn default() -> Self {
        Self::at(Path::new("/"))
    }
}

impl Sampler {
    /// `root` is where `proc` and `sys` are.
    fn at(root: &Path) -> Self {
        Self { root: root.to_owned(), groups: Groups::of(root), traffic: None }
    }

    /// One sample of everything. Shares of what only counters tell (CPU, network) are there from the second one on. Reads
    /// files and asks file systems, which may hang: not for a task that must go on.
    pub fn sample(&mut self, watched: &Watched, now: At) -> Vec<ResourceReading> {
        let mut all = self.groups.sample(now).to_vec();
        all.extend(volumes(&watched.volumes, now));
        all.extend(watched.network.map(|capacity| self.network(capacity, now)));
        all
    }

    fn network(&mut self, capacity: u64, now: At) -> ResourceReading {
        let seen = std::fs::read_to_string(self.root.join("proc/net/dev")).ok().map(|text| traffic(&text));
        let before = std::mem::replace(&mut self.traffic, seen.map(|seen| (now, seen)));
        let used = before.zip(seen).and_then(|((then, old), new)| {
            let seconds = now.since(then).as_secs_f64();
            let most = new.received.checked_sub(old.received)?.max(new.sent.checked_sub(old.sent)?);
            (seconds > 0.0 && capacity > 0).then(|| most as f64 / seconds / capacity as f64)
        });
        let source = format!("/proc/net/dev, of {capacity} bytes/s each way");
        ResourceReading { what: Resource::Network, which: Arc::from("pod"), used, sampled: now, source }
    }
}

/// Reads [`MemoryRoom`] again and again.
#[derive(Debug)]
pub struct MemoryGauge(Groups);

impl Default for MemoryGauge {
    fn default() -> Self {
        Self(Groups::of(Path::new("/")))
    }
}

impl MemoryGauge {
    /// As it is now: a few pseudo-files. `None`: not observable.
    pub fn read(&self) -> Option<MemoryRoom> {
        self.0.room()
    }
}

fn traffic(text: &str) -> Traffic {
    let mut sum = Traffic::default();
    for line in text.lines() {
        let Some((name, counters)) = line.split_once(':') else { continue };
        let counters: Vec<u64> =
            counters.split_ascii_whitespace().map_while(|one| one.parse().ok()).collect();
        if let (true, Some(received), Some(sent)) = (name.trim() != "lo", counters.first(), counters.get(8)) {
            sum = Traffic { received: sum.received + received, sent: sum.sent + sent };
        }
    }
    sum
}

/// One reading a volume, however many of the directories lie on it; blocks that only root may use count as used.
fn volumes(directories: &[PathBuf], now: At) -> Vec<ResourceReading> {
    let mut known = BTreeMap::new();
    for directory in directories {
        let Ok(seen) = rustix::fs::statvfs(directory) else {
            known.insert((1, directory.display().to_string()), unseen(directory, now));
            continue;
        };
        let room = seen.f_blocks.saturating_sub(seen.f_bfree) + seen.f_bavail;
        let used = (room > 0).then(|| 1.0 - seen.f_bavail as f64 / room as f64);
        let source = format!(
            "statvfs {}, {} of {} bytes free",
            directory.display(),
            seen.f_bavail * seen.f_frsize,
            room * seen.f_frsize
        );
        known.entry((0, seen.f_fsid.to_string())).or_insert(ResourceReading {
            what: Resource::Disk,
            which: Arc::from(directory.display().to_string()),
            used,
            sampled: now,
            source,
        });
    }
    known.into_values().collect()
}

fn unseen(directory: &Path, now: At) -> ResourceReading {
    let which = Arc::from(directory.display().to_string());
    ResourceReading {
        what: Resource::Disk,
        which,
        used: None,
        sampled: now,
        source: "statvfs fails".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_networks_share_is_that_of_its_busier_way_and_leaves_the_loopback_out() {
        let root = tempfile::tempdir().expect("a directory");
        let file = root.path().join("proc/net/dev");
        std::fs::create_dir_all(file.parent().expect("a parent")).expect("made");
        let write = |received: u64, sent: u64| {
            let text = format!(
                "Inter-|   Receive  |  Transmit\n face |bytes packets errs drop fifo frame compressed multicast|bytes packets\n    lo: 99999999 1 0 0 0 0 0 0 99999999 1 0 0 0 0 0 0\n  eth0: {received} 2 0 0 0 0 0 0 {sent} 2 0 0 0 0 0 0\n"
            );
            std::fs::write(&file, text).expect("writes");
        };
        let mut sampler = Sampler::at(root.path());
        write(1_000, 5_000);
        assert_eq!(sampler.network(1_000, At(0)).used, None, "one counter is no rate");
        write(6_000, 7_000);
        assert_eq!(sampler.network(1_000, At(10_000)).used, Some(0.5));
        write(0, 0);
        assert_eq!(sampler.network(1_000, At(20_000)).used, None, "it was reset");
    }

    #[test]
    fn a_volume_is_measured_once_and_one_that_cannot_be_is_not_observable() {
        let root = tempfile::tempdir().expect("a directory");
        let (a, b) = (root.path().join("a"), root.path().join("b"));
        [&a, &b].into_iter().for_each(|dir| std::fs::create_dir(dir).expect("made"));
        let seen = volumes(&[a.clone(), b, root.path().join("none")], At(0));
        let [volume, none] = &seen[..] else { panic!("{seen:?}") };
        assert_eq!(*volume.which, *a.display().to_string());
        assert!(volume.used.is_some_and(|used| (0.0..=1.0).contains(&used)), "{volume:?}");
        assert_eq!(none.used, None);
    }
}
