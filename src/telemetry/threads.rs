//! The numbers of the process's own threads, as the kernel accounts for them.

use super::family::Family;
use crate::runtime::threads;

/// Without a sample where the kernel does not tell.
pub(super) fn families() -> [Family; 3] {
    let mut ran =
        Family::counter("strop_thread_cpu_seconds_total", "Seconds on a CPU, by the name of the thread.");
    let mut waited = Family::counter(
        "strop_thread_wait_seconds_total",
        "Seconds in which a thread was ready to run and another had the CPU, or the CPU quota was used up.",
    );
    let mut preempted = Family::counter(
        "strop_thread_preemptions_total",
        "How often another got the CPU although the thread could have gone on.",
    );
    for (thread, times) in threads::times() {
        let labels = [("thread", thread.as_str())];
        ran.sum(&labels, times.ran.as_secs_f64());
        waited.sum(&labels, times.waited.as_secs_f64());
        preempted.count(&labels, times.preempted);
    }
    [ran, waited, preempted]
}
