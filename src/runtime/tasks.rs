//! The only spawner. A task has a name, an owner and an end.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::sync::{mpsc, oneshot};

use super::polls;

/// Named tasks of the control runtime.
#[derive(Debug)]
pub struct Tasks {
    ended: mpsc::UnboundedSender<&'static str>,
    ends: mpsc::UnboundedReceiver<&'static str>,
}

impl Default for Tasks {
    fn default() -> Self {
        let (ended, ends) = mpsc::unbounded_channel();
        Self { ended, ends }
    }
}

impl Tasks {
    /// Starts `task`; that it ended (or panicked) is told by [`Self::first_to_end`].
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let ended = self.ended.clone();
        tokio::spawn(async move {
            PanicGuard(Box::pin(task)).await;
            // The owner may have left already.
            let _ = ended.send(name);
        });
    }

    /// The name of the task that ends next.
    pub async fn first_to_end(&mut self) -> &'static str {
        // `self.ended` lives as long as `self`, so the channel cannot be closed.
        self.ends.recv().await.unwrap_or("tasks")
    }
}

/// A part of a task: ends when it ends or panics, true after a panic, which costs that part alone.
pub struct Guarded(PanicGuard<Pin<Box<dyn Future<Output = ()>>>>);

impl Guarded {
    /// Guards `part`.
    pub fn new(part: impl Future<Output = ()> + 'static) -> Self {
        Self(PanicGuard(Box::pin(part)))
    }
}

impl Future for Guarded {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        Pin::new(&mut self.0).poll(cx)
    }
}

/// Ends when the inner future ends or panics; true after a panic.
struct PanicGuard<F>(F);

impl<F: Future<Output = ()> + Unpin> Future for PanicGuard<F> {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        // The future is dropped after a panic and never polled again.
        match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut self.0).poll(cx))) {
            Ok(polled) => polled.map(|()| false),
            Err(_) => Poll::Ready(true),
        }
    }
}

/// Which part of the process started a task, and what the task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskName {
    /// The module that started it and is worse off without it.
    pub owner: &'static str,
    /// What it does.
    pub task: &'static str,
}

/// What hears of tasks that panicked; set once.
static ON_PANIC: OnceLock<fn(TaskName)> = OnceLock::new();
/// Detached tasks that panicked since the start.
static PANICKED: AtomicU64 = AtomicU64::new(0);

/// From now on `tell` hears of each detached task that panics. The first caller wins.
pub fn tell_panics(tell: fn(TaskName)) {
    let _ = ON_PANIC.set(tell);
}

/// Detached tasks that panicked since the start.
pub fn panicked() -> u64 {
    PANICKED.load(Ordering::Relaxed)
}

fn note_panic(name: TaskName) {
    PANICKED.fetch_add(1, Ordering::Relaxed);
    if let Some(tell) = ON_PANIC.get() {
        tell(name);
    }
}

/// Starts a task of the control runtime that ends with what it is for: a connection, an order, an upstream. A panic ends it
/// alone, is counted by [`panicked`] and is told.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub fn detach(owner: &'static str, task: &'static str, work: impl Future<Output = ()> + Send + 'static) {
    let guarded = PanicGuard(Box::pin(work));
    tokio::spawn(async move {
        if guarded.await {
            note_panic(TaskName { owner, task });
        }
    });
}

/// Runs what reads files on a thread that may wait; `None`: it panicked.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

/// Runs what reads files on a thread of its own: whatever hangs elsewhere, it begins at once. `None`: it panicked, or there is
/// no thread for it.
pub async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, told) = oneshot::channel();
    let run = move || drop(done.send(work()));
    std::thread::Builder::new().name("strop-apart".to_owned()).spawn(run).ok()?;
    told.await.ok()
}

/// Runs `work` to its end on a thread that may compute for long, whether its asker waits or not; `None`: it panicked.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub async fn aside<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Option<T> {
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || runtime.block_on(work)).await.ok()
}

/// Starts a task that a worker needs for as long as it lives; a panic is counted and told as that of a detached one.
pub fn spawn_on_worker(owner: &'static str, task: &'static str, work: impl Future<Output = ()> + 'static) {
    spawn_connection(Box::pin(work), move || note_panic(TaskName { owner, task }));
}

/// Starts a task on this worker.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
fn spawn_local(task: impl Future<Output = ()> + 'static) {
    drop(tokio::task::spawn_local(task));
}

/// Starts the task of one connection: a panic costs that connection and is told to `on_panic`.
///
/// It is polled where it stands: what is large in it is behind a pointer.
pub fn spawn_connection(task: impl Future<Output = ()> + Unpin + 'static, on_panic: impl FnOnce() + 'static) {
    let mut guarded = PanicGuard(task);
    spawn_local(async move {
        let measured = poll_fn(|cx| {
            let polled = Pin::new(&mut guarded).poll(cx);
            polls::ended();
            polled
        });
        if measured.await {
            on_panic();
        }
    });
}

/// Lets hyper start its tasks on the control runtime, under this name.
#[derive(Clone, Copy, Debug)]
pub struct SendExec(pub TaskName);

impl<F> hyper::rt::Executor<F> for SendExec
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        let TaskName { owner, task: name } = self.0;
        detach(owner, name, async move {
            task.await;
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_end_and_is_told() {
        let mut tasks = Tasks::default();
        tasks.spawn("dies", async { panic!("on purpose") });
        assert_eq!(tasks.first_to_end().await, "dies");
    }

    static TOLD: Mutex<Vec<TaskName>> = Mutex::new(Vec::new());

    /// Waits for what is told of `owner`; other tests of this process panic on purpose, too.
    async fn told_of(owner: &str) -> TaskName {
        loop {
            let told = TOLD.lock().expect("not poisoned").iter().copied().find(|one| one.owner == owner);
            match told {
                Some(told) => return told,
                None => tokio::task::yield_now().await,
            }
        }
    }

    #[tokio::test]
    async fn a_panic_of_a_detached_task_is_counted_and_told_by_its_name() {
        tell_panics(|name| TOLD.lock().expect("not poisoned").push(name));
        let before = panicked();
        detach("tests", "ends", async {});
        detach("tests", "dies", async { panic!("on purpose") });
        assert_eq!(told_of("tests").await, TaskName { owner: "tests", task: "dies" });
        assert!(panicked() > before);
        let name = TaskName { owner: "hyper", task: "connection" };
        hyper::rt::Executor::execute(&SendExec(name), async { panic!("on purpose") });
        assert_eq!(told_of("hyper").await, name);
        let worker = tokio::task::LocalSet::new();
        worker
            .run_until(async {
                spawn_on_worker("worker", "accepts", async { panic!("on purpose") });
                assert_eq!(told_of("worker").await.task, "accepts");
            })
            .await;
    }
}
