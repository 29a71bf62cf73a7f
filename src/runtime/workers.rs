//! The data path's threads: one per core, each with a runtime of its own. Nothing moves between them.

use std::future::Future;
use std::io;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, LocalOptions};

use super::polls;

/// Threads that run until their futures end.
#[derive(Debug)]
pub struct Workers {
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts one thread per maker; each makes its future on its own thread. A thread that cannot have a runtime says so.
    pub fn start<M, F>(makers: Vec<M>, on_failed: fn(&io::Error)) -> io::Result<Self>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future<Output = ()> + 'static,
    {
        let mut threads = Vec::with_capacity(makers.len());
        for (at, make) in makers.into_iter().enumerate() {
            let runtime = Builder::new_current_thread();
            let thread = std::thread::Builder::new()
                .name(format!("strop-worker-{at}"))
                .spawn(move || run(at, runtime, make, on_failed))?;
            threads.push(thread);
        }
        Ok(Self { threads })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.threads.len()
    }
}

fn run<M, F>(number: usize, mut builder: Builder, make: M, on_failed: fn(&io::Error))
where
    M: FnOnce() -> F,
    F: Future<Output = ()>,
{
    // Many ready connections are polled between two looks at the kernel: fewer system calls under load.
    builder.enable_all().event_interval(128).global_queue_interval(61);
    polls::begin(number);
    builder.on_thread_unpark(polls::woke);
    match builder.build_local(LocalOptions::default()) {
        Ok(runtime) => runtime.block_on(make()),
        Err(error) => on_failed(&error),
    }
}
