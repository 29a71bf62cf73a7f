//! Who of the process's own threads runs, who waits for a CPU, and who was interrupted, as the kernel accounts for it
//! (`/proc/self/task/*/schedstat` and `status`): a late answer on a busy core is explained by it, or is not.
//!
//! Threads come and go; what was seen of one stays in the sum of its name. Read when somebody asks, and only then.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use thread_priority::ThreadPriority;
use thread_priority::unix::{
    NormalThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};

/// Starts a thread that has time: when it wakes, it does not take the CPU from a worker (or anybody else) who runs, but waits
/// until that one sleeps or its turn is over (`SCHED_BATCH`, sched(7)). Its share is a worker's share: a full core does not starve
/// it. Where the system refuses, it is a thread as others are.
///
/// What it starts inherits that, threads and processes, so nothing that starts the programs of others may run on it. An error:
/// there is no thread.
pub fn start_patient(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let patient = move || {
        be_patient();
        work();
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(patient).map(drop)
}

fn be_patient() -> Option<()> {
    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch);
    // The policy is set together with a weight, by a scale of the library's own: the weight stays what it is.
    let nice = rustix::process::getpriority_process(None).ok()?;
    let weight = (0..=99_u8).find_map(|weight| {
        let weight = ThreadPriority::Crossplatform(weight.try_into().ok()?);
        (weight.to_posix(policy) == Ok(nice)).then_some(weight)
    })?;
    set_thread_priority_and_policy(thread_native_id(), weight, policy).ok()
}

/// What every thread of the process has in front of its name.
const OURS: &str = "strop-";

/// The times of all threads of one name, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadTimes {
    /// On a CPU.
    pub ran: Duration,
    /// Ready to run, while another had the CPU, or the quota of the control group was used up.
    pub waited: Duration,
    /// How often another got the CPU although the thread could have gone on.
    pub preempted: u64,
}

impl ThreadTimes {
    /// What came after `before`; nothing where the kernel gave the number of a thread to another one.
    fn since(self, before: Self) -> Self {
        Self {
            ran: self.ran.saturating_sub(before.ran),
            waited: self.waited.saturating_sub(before.waited),
            preempted: self.preempted.saturating_sub(before.preempted),
        }
    }

    fn add(&mut self, more: Self) {
        self.ran += more.ran;
        self.waited += more.waited;
        self.preempted += more.preempted;
    }
}

#[derive(Debug, Default)]
struct Seen {
    by_name: BTreeMap<String, ThreadTimes>,
    last: HashMap<String, ThreadTimes>,
}

/// By name without its prefix, such as `worker-0` or `control`; empty where the kernel does not tell.
pub fn times() -> BTreeMap<String, ThreadTimes> {
    static SEEN: Mutex<Option<Seen>> = Mutex::new(None);
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let seen = seen.get_or_insert_default();
    seen.look(Path::new("/proc/self/task"));
    seen.by_name.clone()
}

impl Seen {
    fn look(&mut self, tasks: &Path) {
        let before = std::mem::take(&mut self.last);
        for task in std::fs::read_dir(tasks).into_iter().flatten().flatten() {
            let id = task.file_name().to_string_lossy().into_owned();
            // One that ends meanwhile is left out.
            let Some((name, now)) = of_thread(&task.path()) else { continue };
            let earlier = before.get(&id).copied().unwrap_or_default();
            self.by_name.entry(name).or_default().add(now.since(earlier));
            self.last.insert(id, now);
        }
    }
}

fn of_thread(task: &Path) -> Option<(String, ThreadTimes)> {
    let read = |file: &str| std::fs::read_to_string(task.join(file)).ok();
    let name = read("comm")?.trim().strip_prefix(OURS)?.to_owned();
    let schedstat = read("schedstat")?;
    let mut nanos = schedstat.split(' ').map_while(|number| number.trim().parse().ok());
    let (ran, waited) = (Duration::from_nanos(nanos.next()?), Duration::from_nanos(nanos.next()?));
    let status = read("status")?;
    let preempted = status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"))?;
    Some((name, ThreadTimes { ran, waited, preempted: preempted.trim().parse().ok()? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(tasks: &Path, id: u32, name: &str, schedstat: &str, preempted: u64) {
        let task = tasks.join(id.to_string());
        std::fs::create_dir_all(&task).expect("makes");
        std::fs::write(task.join("comm"), format!("{name}\n")).expect("writes");
        std::fs::write(task.join("schedstat"), format!("{schedstat}\n")).expect("writes");
        let status =
            format!("Name:\t{name}\nvoluntary_ctxt_switches:\t9\nnonvoluntary_ctxt_switches:\t{preempted}\n");
        std::fs::write(task.join("status"), status).expect("writes");
    }

    fn times(seconds: u64, millis: u64, preempted: u64) -> ThreadTimes {
        ThreadTimes { ran: Duration::from_secs(seconds), waited: Duration::from_millis(millis), preempted }
    }

    #[test]
    fn a_name_is_the_sum_of_its_threads_and_never_falls() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut seen = Seen::default();
        thread(dir.path(), 1, "strop-control", "1000000000 5000000 7", 3);
        thread(dir.path(), 2, "strop-control", "2000000000 0 7", 0);
        thread(dir.path(), 3, "tokio-other", "9000000000 0 7", 9);
        seen.look(dir.path());
        assert_eq!(seen.by_name, BTreeMap::from([("control".to_owned(), times(3, 5, 3))]));
        std::fs::remove_dir_all(dir.path().join("2")).expect("removes");
        thread(dir.path(), 1, "strop-control", "4000000000 7000000 7", 4);
        seen.look(dir.path());
        assert_eq!(seen.by_name["control"], times(6, 7, 4));
    }

    #[test]
    fn a_patient_thread_is_of_the_batch_class_and_weighs_as_before() {
        // proc_pid_stat(5): nice is the 19th field and the policy the 41st, counted from the number of the process.
        let field = |at: usize| {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("reads");
            let (_, after) = stat.rsplit_once(") ").expect("a name");
            after.split(' ').nth(at - 3).map(str::to_owned).expect("a field")
        };
        let (before, (tell, told)) = (field(19), std::sync::mpsc::channel());
        assert_eq!(field(41), "0", "other threads are as they come");
        start_patient("strop-patient", move || drop(tell.send((field(41), field(19))))).expect("starts");
        assert_eq!(told.recv(), Ok(("3".to_owned(), before)));
    }

    #[test]
    fn what_the_kernel_tells_of_this_process_can_be_read() {
        let own = std::thread::Builder::new().name("strop-test".to_owned());
        let own = own.spawn(|| {
            let mut sum = 0_u64;
            while super::times()["test"].ran < Duration::from_millis(5) {
                sum = sum.wrapping_add(1);
            }
            sum
        });
        assert!(own.expect("starts").join().expect("ends") > 0, "it has run for a while, and sees it");
    }
}
