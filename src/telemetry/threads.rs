//! The numbers of the process's own threads, as the kernel accounts for them and the workers do.

use super::family::Family;
use crate::runtime::{polls, threads};

/// Without a sample where the kernel does not tell.
pub(super) fn families() -> [Family; 5] {
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
    let [busy, longest] = polls();
    [ran, waited, preempted, busy, longest]
}

fn polls() -> [Family; 2] {
    let mut busy = Family::counter(
        "strop_worker_busy_seconds_total",
        "Seconds in which a worker did not sleep, whether it had a CPU or not.",
    );
    let mut longest = Family::gauge(
        "strop_worker_longest_poll_seconds",
        "The longest that one task held a worker within the last minute: whoever came meanwhile waited.",
    );
    for seen in polls::times() {
        let labels = [("thread", seen.thread.as_str())];
        busy.sum(&labels, seen.busy.as_secs_f64());
        longest.set(&labels, seen.longest.as_secs_f64());
    }
    [busy, longest]
}
