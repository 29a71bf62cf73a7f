//! A control group of 128 MiB, where the machine lets one be made; else a limit of the address space.

use std::path::{Path, PathBuf};

/// What the shipped pod has.
const LIMIT: u64 = 128 << 20;
/// Of the address space, of which much is never used.
const ADDRESSES_KIB: u64 = 2 << 20;

/// Where Strop runs.
pub struct Group {
    dir: Option<PathBuf>,
    most: &'static str,
}

impl Group {
    /// Makes one.
    pub fn make() -> Result<Self, String> {
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mount = Path::new("/sys/fs/cgroup");
        let name = format!("strop-abuse-{}", std::process::id());
        let path_of = |start: &str| {
            own.lines().find_map(|line| line.split_once(start)).map(|(_, path)| path.to_owned())
        };
        let tries = [
            (
                path_of(":memory:").map(|path| mount.join("memory").join(path.trim_start_matches('/'))),
                "memory.limit_in_bytes",
                "memory.max_usage_in_bytes",
            ),
            (
                path_of("0::").map(|path| mount.join(path.trim_start_matches('/'))),
                "memory.max",
                "memory.peak",
            ),
        ];
        for (parent, limit, most) in tries {
            let Some(dir) = parent.map(|parent| parent.join(&name)) else { continue };
            if std::fs::create_dir(&dir).is_err() {
                continue;
            }
            if std::fs::write(dir.join(limit), LIMIT.to_string()).is_ok() {
                return Ok(Self { dir: Some(dir), most });
            }
            // Made by us a moment ago, and empty.
            let _ = std::fs::remove_dir(&dir);
        }
        println!("no control group can be made here: the address space is limited instead");
        Ok(Self { dir: None, most: "" })
    }

    /// What a shell does before it becomes Strop.
    pub fn enter(&self) -> String {
        match &self.dir {
            Some(dir) => format!("echo $$ > '{}/cgroup.procs'", dir.display()),
            None => format!("ulimit -v {ADDRESSES_KIB}"),
        }
    }

    /// The share of the machine's memory that is half of the group's, where there is no group.
    pub fn share(&self) -> Option<f64> {
        if self.dir.is_some() {
            return None;
        }
        let text = std::fs::read_to_string("/proc/meminfo").ok()?;
        let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        let kib: f64 = total.split_whitespace().next()?.parse().ok()?;
        Some((LIMIT / 2) as f64 / (kib * 1024.0) * 100.0)
    }

    /// The most that was in use.
    pub fn most(&self) -> Option<u64> {
        std::fs::read_to_string(self.dir.as_ref()?.join(self.most)).ok()?.trim().parse().ok()
    }

    pub fn limit(&self) -> &'static str {
        if self.dir.is_some() { "128 MiB" } else { "an unlimited group" }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(dir) = &self.dir {
            for _ in 0..50 {
                // Refused until its last process is reaped.
                if std::fs::remove_dir(dir).is_ok() {
                    return;
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
    }
}
