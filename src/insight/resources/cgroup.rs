//! CPU and memory of this process' control group, version 1 or 2.
//!
//! A limit may stand at any level above; the level that is nearest to its end is the one that is told. Memory is the working
//! set: what could be dropped at once (inactive file pages) is not in use.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Resource, ResourceReading};
use crate::units::At;

/// How much memory there is for this process, and how much is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRoom {
    /// Bytes: the control group's limit, or the machine's memory where it has none.
    pub limit: usize,
    /// Bytes in use: the working set of the same.
    pub used: usize,
    /// Is it the control group's limit, at which the kernel ends the process?
    pub is_group: bool,
    /// Bytes that the kernel holds for sockets; `None`: not observable.
    pub sockets: Option<usize>,
}

/// Where things are, and the CPU times of the last sample.
#[derive(Debug)]
pub(super) struct Groups {
    proc: PathBuf,
    layout: Option<Layout>,
    /// Bytes of memory of the machine.
    machine: Option<u64>,
    last: BTreeMap<PathBuf, (At, u64)>,
}

/// Directories from this process' own up to the root.
#[derive(Debug, PartialEq, Eq)]
enum Layout {
    V1 { cpu: Vec<PathBuf>, usage: Vec<PathBuf>, memory: Vec<PathBuf> },
    V2(Vec<PathBuf>),
}

/// How much of what.
#[derive(Clone, Copy, Debug)]
struct CgroupShare {
    used: f64,
    of: f64,
    limited: Limited,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limited {
    Group,
    Machine,
}

impl Groups {
    pub(super) fn of(root: &Path) -> Self {
        let proc = root.join("proc");
        let text = std::fs::read_to_string(proc.join("self/cgroup")).unwrap_or_default();
        let layout = layout(&root.join("sys/fs/cgroup"), &text);
        let machine = field(&proc.join("meminfo"), "MemTotal:").map(|kib| kib * 1024);
        Self { proc, layout, machine, last: BTreeMap::new() }
    }

    pub(super) fn sample(&mut self, now: At) -> [ResourceReading; 2] {
        let version = match &self.layout {
            Some(Layout::V1 { .. }) => "cgroup v1",
            Some(Layout::V2(_)) => "cgroup v2",
            None => "no cgroup",
        };
        let cpu = self.cpu(now);
        let memory = self.memory();
        let (cpu_of, memory_of) = self.whose();
        let reading = |what: Resource, which: &str, share: Option<CgroupShare>, unit: &str| ResourceReading {
            what,
            which: Arc::from(which),
            used: share.map(|share| share.used / share.of),
            sampled: now,
            source: share.map_or(version.to_owned(), |share| {
                let whose = match share.limited {
                    Limited::Group => "its limit",
                    Limited::Machine => "the machine, for it has no limit",
                };
                format!("{version}, of {} {unit} of {whose}", share.of)
            }),
        };
        [reading(Resource::Memory, memory_of, memory, "bytes"), reading(Resource::Cpu, cpu_of, cpu, "CPUs")]
    }

    /// Whose use of CPU and of memory is read: where a group is the machine's own, it is everybody's. A container's root lacks
    /// the files of the real one, or has one more.
    fn whose(&self) -> (&'static str, &'static str) {
        let of = |dirs: &[PathBuf], is_root: fn(&Path) -> bool| match dirs {
            [only] if is_root(only) => "machine",
            _ => "sidecar",
        };
        match &self.layout {
            Some(Layout::V1 { usage, memory, .. }) => {
                let is_root = |dir: &Path| dir.join("release_agent").exists();
                (of(usage, is_root), of(memory, is_root))
            }
            Some(Layout::V2(all)) => {
                let whose = of(all, |dir| !dir.join("cgroup.type").exists());
                (whose, whose)
            }
            None => ("sidecar", "sidecar"),
        }
    }

    fn memory(&self) -> Option<CgroupShare> {
        let (dirs, current, max, inactive) = match self.layout.as_ref()? {
            Layout::V1 { memory, .. } => {
                (memory, "memory.usage_in_bytes", "memory.limit_in_bytes", "total_inactive_file")
            }
            Layout::V2(all) => (all, "memory.current", "memory.max", "inactive_file"),
        };
        let machine = self.machine?;
        let working_set = |dir: &Path| {
            let dropped = field(&dir.join("memory.stat"), inactive).unwrap_or(0);
            Some(number(&dir.join(current))?.saturating_sub(dropped) as f64)
        };
        let limited = dirs.iter().filter_map(|dir| {
            // Version 1 says "no limit" with a number that no machine has.
            let of = number(&dir.join(max)).filter(|limit| *limit > 0 && *limit <= machine)?;
            Some(CgroupShare { used: working_set(dir)?, of: of as f64, limited: Limited::Group })
        });
        limited.max_by(|a, b| (a.used / a.of).total_cmp(&(b.used / b.of))).or_else(|| {
            let used = working_set(dirs.first()?).or_else(|| {
                let free = field(&self.proc.join("meminfo"), "MemAvailable:")? * 1024;
                Some(machine.saturating_sub(free) as f64)
            })?;
            Some(CgroupShare { used, of: machine as f64, limited: Limited::Machine })
        })
    }

    /// Memory of the level that is nearest to its limit, and what the kernel holds for sockets.
    pub(super) fn room(&self) -> Option<MemoryRoom> {
        let share = self.memory()?;
        let whole = |bytes: f64| usize::try_from(bytes as u64).unwrap_or(usize::MAX);
        Some(MemoryRoom {
            limit: whole(share.of),
            used: whole(share.used),
            is_group: share.limited == Limited::Group,
            sockets: self.sockets().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
        })
    }

    /// Bytes of socket buffers that are charged to this process' own group. Version 1 counts them only where they have a limit.
    fn sockets(&self) -> Option<u64> {
        match self.layout.as_ref()? {
            Layout::V2(all) => field(&all.first()?.join("memory.stat"), "sock"),
            Layout::V1 { memory, .. } => {
                let own = memory.first()?;
                number(&own.join("memory.kmem.tcp.limit_in_bytes")).filter(|limit| *limit < 1 << 60)?;
                number(&own.join("memory.kmem.tcp.usage_in_bytes"))
            }
        }
    }

    fn cpu(&mut self, now: At) -> Option<CgroupShare> {
        let levels: Vec<(PathBuf, Option<u64>, Option<f64>)> = match self.layout.as_ref()? {
            Layout::V1 { cpu, usage, .. } => {
                let quota = |dir: &PathBuf| {
                    let quota = number(&dir.join("cpu.cfs_quota_us"))? as f64;
                    Some(quota / number(&dir.join("cpu.cfs_period_us"))? as f64)
                };
                let used = |dir: &PathBuf| Some(number(&dir.join("cpuacct.usage"))? / 1_000);
                usage.iter().zip(cpu).map(|(usage, cpu)| (usage.clone(), used(usage), quota(cpu))).collect()
            }
            Layout::V2(all) => {
                let used = |dir: &PathBuf| field(&dir.join("cpu.stat"), "usage_usec");
                all.iter().map(|dir| (dir.clone(), used(dir), quota(&dir.join("cpu.max")))).collect()
            }
        };
        let machine = cpus(&self.proc)? as f64;
        let mut shares = Vec::new();
        for (n, (dir, used, quota)) in levels.into_iter().enumerate() {
            let (Some(used), true) = (used, n == 0 || quota.is_some()) else { continue };
            let Some((then, before)) = self.last.insert(dir, (now, used)) else { continue };
            let passed = now.since(then).as_secs_f64();
            let Some(busy) = used.checked_sub(before).filter(|_| passed > 0.0) else { continue };
            let used = busy as f64 / 1e6 / passed;
            let limited = if quota.is_some() { Limited::Group } else { Limited::Machine };
            shares.push(CgroupShare { used, of: quota.unwrap_or(machine), limited });
        }
        shares.into_iter().max_by(|a, b| (a.used / a.of).total_cmp(&(b.used / b.of)))
    }
}

fn layout(mount: &Path, text: &str) -> Option<Layout> {
    let path_of = |wanted: &str| {
        text.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let controllers = parts.next()?;
            controllers.split(',').any(|one| one == wanted).then(|| parts.next().unwrap_or("/"))
        })
    };
    if mount.join("cgroup.controllers").exists() {
        return Some(Layout::V2(levels(mount, path_of("")?)));
    }
    let of = |controller: &str| Some(levels(&mount.join(controller), path_of(controller)?));
    let (cpu, usage, memory) = (of("cpu")?, of("cpuacct")?, of("memory")?);
    Some(Layout::V1 { cpu, usage, memory })
}

/// In a container the group's own directory is often mounted as the root, and its path leads nowhere.
fn levels(mount: &Path, path: &str) -> Vec<PathBuf> {
    let own = mount.join(path.trim_start_matches('/'));
    let own = if own.is_dir() { own } else { mount.to_owned() };
    own.ancestors().take_while(|dir| dir.starts_with(mount)).map(Path::to_owned).collect()
}

fn number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The number after a name at the start of a line.
fn field(path: &Path, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next() == Some(name)).then(|| words.next()?.parse().ok()).flatten()
    })
}

/// `cpu.max`: quota and period, or "max".
fn quota(path: &Path) -> Option<f64> {
    let text = std::fs::read_to_string(path).ok()?;
    let mut words = text.split_ascii_whitespace().map(str::parse::<f64>);
    let (quota, period) = (words.next()?.ok()?, words.next()?.ok()?);
    (period > 0.0).then(|| quota / period)
}

/// CPUs of the machine.
fn cpus(proc: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(proc.join("stat")).ok()?;
    let is_cpu = |line: &&str| line.starts_with("cpu") && !line.starts_with("cpu ");
    Some(text.lines().filter(is_cpu).count() as u64).filter(|count| *count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new(cgroup: &str) -> Self {
            let machine = Self(tempfile::tempdir().expect("a directory"));
            machine.write("proc/self/cgroup", cgroup);
            machine.write("proc/meminfo", "MemTotal: 1000000 kB\nMemAvailable: 250000 kB\n");
            machine.write("proc/stat", "cpu 1 2 3\ncpu0 1 2 3\ncpu1 1 2 3\nintr 0\n");
            machine
        }

        fn write(&self, path: &str, text: &str) {
            let file = self.0.path().join(path);
            std::fs::create_dir_all(file.parent().expect("a parent")).expect("made");
            std::fs::write(file, text).expect("writes");
        }

        fn used(&self, groups: &mut Groups, second: i64) -> [Option<f64>; 2] {
            groups.sample(At(second * 1_000)).map(|one| one.used.map(|used| (used * 1e4).round() / 1e4))
        }
    }

    #[test]
    fn the_level_nearest_to_its_limit_is_told() {
        let machine = Machine::new("0::/pod/strop\n");
        machine.write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
        let group = |path: &str, usage: u64, cpu: &str, memory: &str, max: &str| {
            let at = |file: &str| format!("sys/fs/cgroup/{path}{file}");
            machine.write(&at("cpu.stat"), &format!("usage_usec {usage}\nuser_usec 1\n"));
            machine.write(&at("cpu.max"), cpu);
            machine.write(&at("memory.current"), memory);
            machine.write(&at("memory.max"), max);
            machine.write(&at("memory.stat"), "anon 5\nsock 4096\ninactive_file 100\n");
        };
        group("pod/strop/", 0, "50000 100000\n", "1100\n", "4000\n");
        group("pod/", 0, "max 100000\n", "1900\n", "2000\n");
        let mut groups = Groups::of(machine.0.path());
        assert_eq!(machine.used(&mut groups, 0), [Some(0.9), None], "1800 of 2000, one level up");
        let room = groups.room().expect("it has a limit");
        assert_eq!((room.limit, room.used, room.is_group, room.sockets), (2_000, 1_800, true, Some(4_096)));
        group("pod/strop/", 1_000_000, "50000 100000\n", "1100\n", "2000\n");
        assert_eq!(machine.used(&mut groups, 4)[1], Some(0.5), "a second in four of half a CPU");
        group("pod/strop/", 2_000_000, "max 100000\n", "1100\n", "max\n");
        group("pod/", 0, "max 100000\n", "1900\n", "max\n");
        assert_eq!(machine.used(&mut groups, 9), [Some(0.0), Some(0.1)], "of the machine; of two CPUs");
    }

    #[test]
    fn version_1_says_the_same_and_its_boundless_limit_is_none() {
        let machine = Machine::new("5:memory:/a\n4:cpu,cpuacct:/a\n");
        machine.write("sys/fs/cgroup/memory/memory.usage_in_bytes", "512000000\n");
        machine.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        machine.write("sys/fs/cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 0\n");
        machine.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000\n");
        machine.write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
        machine.write("sys/fs/cgroup/cpuacct/cpuacct.usage", "0\n");
        let mut groups = Groups::of(machine.0.path());
        let sockets = |groups: &Groups| groups.room().and_then(|room| room.sockets);
        machine.write("sys/fs/cgroup/memory/memory.kmem.tcp.usage_in_bytes", "0\n");
        machine.write("sys/fs/cgroup/memory/memory.kmem.tcp.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(sockets(&groups), None, "nobody counts them");
        machine.write("sys/fs/cgroup/memory/memory.kmem.tcp.limit_in_bytes", "1000000\n");
        assert_eq!(sockets(&groups), Some(0));
        assert!(!groups.room().expect("the machine's").is_group);
        assert_eq!(machine.used(&mut groups, 0), [Some(0.5), None]);
        machine.write("sys/fs/cgroup/cpuacct/cpuacct.usage", "4000000000\n");
        assert_eq!(machine.used(&mut groups, 5)[1], Some(0.8));
        machine.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
        machine.write("sys/fs/cgroup/cpuacct/cpuacct.usage", "6000000000\n");
        assert_eq!(machine.used(&mut groups, 10)[1], Some(0.2), "of two CPUs");
    }

    #[test]
    fn without_a_group_of_its_own_nothing_is_claimed_that_is_not_seen() {
        let machine = Machine::new("0::/\n");
        machine.write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
        let mut groups = Groups::of(machine.0.path());
        assert_eq!(machine.used(&mut groups, 0), [Some(0.75), None], "the root group: the machine's memory");
        assert!(groups.sample(At(1)).iter().all(|one| &*one.which == "machine"), "it is everybody's use");
        machine.write("sys/fs/cgroup/cgroup.type", "domain\n");
        assert!(groups.sample(At(2)).iter().all(|one| &*one.which == "sidecar"), "a container's root");
        let nowhere = Machine::new("");
        assert_eq!(nowhere.used(&mut Groups::of(nowhere.0.path()), 0), [None, None]);
    }
}
