//! What a process needs around its work: time, chance, tasks, threads, signals, leaving.

pub mod chance;
pub mod clock;
pub mod drain;
pub mod fds;
pub mod files;
pub mod heap;
pub mod pauses;
pub mod polls;
pub mod readiness;
pub mod signals;
pub mod tasks;
pub mod threads;
pub mod timer;
pub mod workers;
pub mod zone;
