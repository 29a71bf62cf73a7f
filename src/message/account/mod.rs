//! Whose the bytes in buffers are.
//!
//! Every client connection has an [`Account`]. What is buffered while its task runs is charged to it ([`Charge`]) and
//! credited when it is given back, wherever that happens. At the end of each poll the account adds what has changed to
//! the [`MemoryBudget`] that all workers share, in steps of a standard buffer, so a request that holds nothing while it
//! waits costs no atomic operation.
//!
//! Invariant: what an account has published is taken off the budget when it is dropped.

mod accounts;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

pub use self::accounts::Accounts;
use super::memory::{CutReason, MemoryBudget, Widened};
use crate::reliability::overload::Pace;

/// What an account holds is published when it differs by so many bytes: one standard buffer.
const STEP: usize = 16 * 1024;
/// What the kernel may hold for a stalled connection where nobody has said it, in bytes: about what Linux begins with.
const SOCKET: usize = 128 * 1024;

/// What can be ended with a reset, so that the peer can tell that what it was sent is not whole.
pub trait Abort: std::fmt::Debug {
    /// Closes with a reset.
    fn abort(&self);
}

/// What one client connection holds, and whether it goes on. Each connection has one, so it is kept small.
pub struct Account {
    budget: Arc<MemoryBudget>,
    client: Cell<u32>,
    /// Its place in [`Accounts`].
    at: Cell<u32>,
    /// When its connection has rested for long enough, in seconds after [`Accounts::begun`]; 0: it does not rest.
    rested_at: Cell<u32>,
    bytes: Cell<usize>,
    /// Bytes of blocks that bodies of its requests are kept in; see [`super::kept`].
    kept: Cell<usize>,
    stalled: Cell<bool>,
    published: Cell<(usize, usize)>,
    moved: Cell<u64>,
    pace: Cell<Pace>,
    awaited: Cell<bool>,
    /// Whose connections it uses, as an address.
    pool: Cell<usize>,
    cut: Cell<Option<CutReason>>,
    waker: Cell<Option<Waker>>,
    conn: Cell<Option<Weak<dyn Abort>>>,
    /// What a look at it saw last: bytes that had moved, and since when they have not moved on by what it holds.
    seen: Cell<(u64, Option<Instant>)>,
}

thread_local! {
    /// That of the task which is being polled.
    static CURRENT: RefCell<Option<Rc<Account>>> = const { RefCell::new(None) };
}

/// Acts on the account of the task that is being polled, where it has one.
pub fn with_current<T>(act: impl FnOnce(&Rc<Account>) -> T) -> Option<T> {
    CURRENT.try_with(|current| current.borrow().as_ref().map(act)).ok().flatten()
}

/// What keeps the exchange of the task that is being polled; see [`Account::waits`].
pub fn waits(awaited: bool, stalled: bool) {
    with_current(|account| account.waits(awaited, stalled));
}

/// Are bytes short? Asked by whoever is about to read more than a standard buffer.
pub fn is_tight() -> bool {
    with_current(|account| account.budget.is_tight()).unwrap_or(false)
}

/// May a peer send `bytes` more ahead of its reader? What is given stands for them.
pub fn widen(bytes: usize) -> Option<Widened> {
    with_current(|account| account.budget.widen(bytes)).unwrap_or_else(|| Some(Widened::default()))
}

/// May the head that is being read grow beyond a standard buffer? Not when nothing is left, nor for a client that holds
/// much while it is short.
pub fn may_grow() -> bool {
    with_current(|account| {
        let (budget, client) = (&account.budget, account.client.get());
        !budget.is_used_up_for(client) && !budget.is_beyond_its_share(client)
    })
    .unwrap_or(true)
}

/// Charges what `act` takes to `account`, where there is one, else to the task that is being polled.
pub fn charging<T>(account: Option<Rc<Account>>, act: impl FnOnce() -> T) -> T {
    let Some(account) = account else { return act() };
    let _before = PreviousAccount(CURRENT.with(|current| current.replace(Some(account))));
    act()
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account")
            .field("client", &self.client)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl Account {
    fn new(budget: &Arc<MemoryBudget>, client: u32) -> Rc<Self> {
        Rc::new(Self {
            budget: Arc::clone(budget),
            client: Cell::new(client),
            at: Cell::new(0),
            rested_at: Cell::new(0),
            bytes: Cell::new(0),
            kept: Cell::new(0),
            stalled: Cell::new(false),
            published: Cell::new((0, 0)),
            moved: Cell::new(0),
            pace: Cell::default(),
            awaited: Cell::new(false),
            pool: Cell::new(0),
            cut: Cell::new(None),
            waker: Cell::default(),
            conn: Cell::default(),
            seen: Cell::new((0, None)),
        })
    }

    /// The client's fingerprint, see [`Party`](crate::reliability::party::Party).
    pub fn client(&self) -> u32 {
        self.client.get()
    }

    /// An exchange begins: of `client`, over connections of `pool`.
    pub fn begins(&self, client: u32, pool: usize) {
        self.pool.set(pool);
        self.pace.set(Pace::default());
        if self.client.get() != client {
            let (buffers, reserved) = self.published.get();
            self.budget.change(self.client.replace(client), (buffers, 0), (reserved, 0));
            self.budget.change(client, (0, buffers), (0, reserved));
        }
    }

    /// Whose connections it uses.
    pub fn pool(&self) -> usize {
        self.pool.get()
    }

    /// Its connection, to be reset when it is ended.
    pub fn watch<C: Abort + 'static>(&self, conn: &Rc<C>) {
        let conn: Weak<dyn Abort> = Rc::<C>::downgrade(conn);
        self.conn.set(Some(conn));
    }

    /// Bytes of blocks that bodies of its requests are kept in.
    pub(super) fn kept(&self) -> &Cell<usize> {
        &self.kept
    }

    /// What keeps its exchange: `awaited`: the client, to read or to send; `stalled`: a side that does not read, while
    /// the other one sends.
    pub fn waits(&self, awaited: bool, stalled: bool) {
        self.awaited.set(awaited);
        self.stalled.set(stalled);
    }

    /// Is the client the one who is waited for?
    pub fn is_awaited(&self) -> bool {
        self.awaited.get()
    }

    /// A second has passed: how fast is its client?
    pub fn look_at_pace(&self) {
        let mut pace = self.pace.get();
        pace.look(self.moved.get(), self.awaited.get());
        self.pace.set(pace);
    }

    /// Bytes a second of its client; see [`Pace::rate`].
    pub fn rate(&self) -> Option<u64> {
        self.pace.get().rate()
    }

    /// Bytes that it holds, the kernel's included.
    pub fn held(&self) -> usize {
        self.bytes.get() + self.reserved()
    }

    /// Since when it has not moved as many bytes as it holds, as far as the looks at it show.
    pub fn still_since(&self, now: Instant) -> Instant {
        let (seen, since) = self.seen.get();
        match since {
            Some(since) if self.moved.get() - seen < self.held().max(1) as u64 => since,
            Some(_) | None => {
                self.seen.set((self.moved.get(), Some(now)));
                now
            }
        }
    }

    fn reserved(&self) -> usize {
        if self.stalled.get() { self.budget.socket().unwrap_or(SOCKET) } else { 0 }
    }

    fn publish(&self) {
        let (before, now) = (self.published.get(), (self.bytes.get(), self.reserved()));
        if before.0.abs_diff(now.0) >= STEP || before.1 != now.1 {
            self.published.set(now);
            self.budget.change(self.client.get(), (before.0, now.0), (before.1, now.1));
        }
    }

    /// Ends its connection, at the next poll of its task, which is at once.
    pub fn end(&self, cut: CutReason) {
        if self.cut.get().is_none() {
            self.cut.set(Some(cut));
            self.budget.ends(cut);
            if let Some(waker) = self.waker.take() {
                waker.wake();
            }
        }
    }

    /// Its connection has ended by itself, for this.
    pub fn ended(&self, cut: CutReason) {
        self.budget.ends(cut);
    }

    /// Has its task polled.
    fn wake(&self) {
        let waker = self.waker.take();
        waker.iter().for_each(Waker::wake_by_ref);
        self.waker.set(waker);
    }

    /// Why it is being ended.
    pub fn cut(&self) -> Option<CutReason> {
        self.cut.get()
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let (buffers, reserved) = self.published.get();
        self.budget.change(self.client.get(), (buffers, 0), (reserved, 0));
    }
}

/// Bytes that are charged to an account until they are credited or this is dropped.
#[derive(Debug, Default)]
pub struct Charge {
    account: Option<Rc<Account>>,
    bytes: usize,
}

impl Charge {
    /// From now on it is `bytes`: of the task that is being polled, when there were none.
    pub fn set(&mut self, bytes: usize) {
        if self.account.is_none() && bytes > 0 {
            self.account = with_current(Rc::clone);
        }
        // What nobody was charged for is credited to nobody.
        let Some(account) = &self.account else { return };
        account.bytes.set(account.bytes.get() + bytes - self.bytes);
        self.bytes = bytes;
        if bytes == 0 {
            self.account = None;
        }
    }

    /// `n` of them were used up.
    pub fn moved(&self, n: usize) {
        if let Some(account) = &self.account {
            account.moved.set(account.moved.get() + n as u64);
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// A task whose buffers are charged to an account.
pub struct Charged<F> {
    account: Rc<Account>,
    /// Of the connection's own task: where its account is listed.
    home: Option<Rc<Accounts>>,
    task: Option<Pin<Box<F>>>,
}

impl<F> Charged<F> {
    /// The task of a connection; its account is closed with it.
    pub fn connection(account: Rc<Account>, home: &Rc<Accounts>, task: F) -> Self {
        Self { account, home: Some(Rc::clone(home)), task: Some(Box::pin(task)) }
    }

    /// Another task of the connection whose task is being polled; `None`: there is none.
    pub fn beside(task: F) -> Result<Self, F> {
        match with_current(Rc::clone) {
            Some(account) => Ok(Self { account, home: None, task: Some(Box::pin(task)) }),
            None => Err(task),
        }
    }
}

/// Puts back whose task was being polled, after a panic as well.
struct PreviousAccount(Option<Rc<Account>>);

impl Drop for PreviousAccount {
    fn drop(&mut self) {
        let before = self.0.take();
        let _ = CURRENT.try_with(|current| current.replace(before));
    }
}

impl<F: Future<Output = ()>> Future for Charged<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let account = Rc::clone(&self.account);
        let _before = PreviousAccount(CURRENT.with(|current| current.replace(Some(Rc::clone(&account)))));
        if account.cut.get().is_some() {
            // A reset frees what the kernel holds for it; an orderly close would wait for a client that does not read.
            if let Some(conn) = account.conn.take().and_then(|conn| conn.upgrade()) {
                conn.abort();
            }
            self.task = None;
        }
        let polled = self.task.as_mut().map_or(Poll::Ready(()), |task| task.as_mut().poll(cx));
        account.publish();
        if polled.is_pending() && self.home.is_some() {
            let known = account.waker.take().filter(|waker| waker.will_wake(cx.waker()));
            account.waker.set(Some(known.unwrap_or_else(|| cx.waker().clone())));
        }
        polled
    }
}

impl<F> Drop for Charged<F> {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            home.close(&self.account);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;
    use crate::message::buf::{Buf, LARGE, SIZE};

    fn poll<F: Future<Output = ()>>(task: &mut Charged<F>) -> Poll<()> {
        Pin::new(task).poll(&mut Context::from_waker(Waker::noop()))
    }

    fn tight() -> Arc<MemoryBudget> {
        let budget = Arc::new(MemoryBudget::default());
        budget.allow(8 * SIZE);
        budget.bound_sockets(Some(SIZE));
        budget
    }

    /// Its budget is used up by few buffers.
    fn worker() -> (Arc<MemoryBudget>, Rc<Accounts>) {
        (tight(), Rc::new(Accounts::new(Instant::now())))
    }

    /// A task that fills `buffers` buffers and then waits for ever.
    async fn holder(buffers: usize) {
        let mut held: Vec<Buf> = Vec::new();
        for _ in 0..buffers {
            let mut buf = Buf::default();
            buf.put(b"x");
            held.push(buf);
        }
        poll_fn(|_| Poll::Pending).await
    }

    #[test]
    fn what_a_task_holds_is_counted_for_its_client_and_gone_with_it() {
        let (budget, home) = worker();
        let mut task = Charged::connection(home.open(&budget, 7), &home, holder(3));
        assert!(poll(&mut task).is_pending());
        assert_eq!((budget.held(), budget.of_client(7)), (3 * SIZE, 3 * SIZE));
        assert!(!budget.is_tight());
        let mut other = Charged::connection(home.open(&budget, 8), &home, holder(3));
        assert!(poll(&mut other).is_pending());
        assert!(budget.is_tight() && !budget.is_used_up_for(7));
        assert!(budget.is_beyond_its_share(7) && !budget.is_beyond_its_share(9));
        drop(task);
        assert_eq!(home.look(<[_]>::len), 1);
        drop(other);
        assert_eq!((budget.held(), budget.is_tight()), (0, false));
        assert_eq!(home.look(<[_]>::len), 0);
    }

    #[test]
    fn a_buffer_is_credited_to_whoever_it_was_charged_to() {
        let (budget, home) = worker();
        let slot: Rc<RefCell<Option<Buf>>> = Rc::default();
        let filled = Rc::clone(&slot);
        let task = async move {
            let mut buf = Buf::default();
            buf.put(&[0; SIZE + 1]);
            *filled.borrow_mut() = Some(buf);
            poll_fn(|_| Poll::Pending).await
        };
        let account = home.open(&budget, 7);
        let mut task = Charged::connection(Rc::clone(&account), &home, task);
        assert!(poll(&mut task).is_pending());
        assert_eq!(account.held(), LARGE, "it has grown");
        drop(slot.take());
        assert_eq!(account.held(), 0, "wherever it is dropped");
        assert!(poll(&mut task).is_pending());
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn a_buffer_that_was_taken_for_nobody_is_credited_to_nobody() {
        let (budget, home) = worker();
        let mut buf = Buf::default();
        buf.put(b"before there was a task");
        let slot = Rc::new(RefCell::new(Some(buf)));
        let grown = Rc::clone(&slot);
        let account = home.open(&budget, 7);
        let mut task = Charged::connection(Rc::clone(&account), &home, async move {
            if let Some(buf) = grown.borrow_mut().as_mut() {
                buf.put(&[0; SIZE]);
            }
            poll_fn(|_| Poll::Pending).await
        });
        assert!(poll(&mut task).is_pending());
        assert_eq!(account.held(), LARGE, "from now on it is the task's, as it is");
        drop(slot.take());
        assert_eq!(account.held(), 0);
    }

    #[test]
    fn a_stall_counts_until_the_kernel_has_been_asked() {
        let (budget, home) = worker();
        let stalls = async {
            with_current(|account| account.waits(true, true));
            poll_fn(|_| Poll::Pending).await
        };
        let mut task = Charged::connection(home.open(&budget, 7), &home, stalls);
        assert!(poll(&mut task).is_pending());
        assert_eq!(budget.held(), SIZE, "nobody has asked: what it may be");
        budget.measured(Some(100), false);
        assert_eq!(budget.held(), 100, "what it is");
        let mut other = Charged::connection(home.open(&budget, 8), &home, async {
            with_current(|account| account.waits(true, true));
            poll_fn(|_| Poll::Pending).await
        });
        assert!(poll(&mut other).is_pending());
        assert_eq!(budget.held(), 100 + SIZE);
        budget.measured(None, true);
        assert!(budget.is_tight(), "its control group is near its end");
        assert_eq!(budget.held(), 2 * SIZE, "not observable: what it may be");
        drop((task, other));
        budget.measured(None, false);
        assert_eq!((budget.held(), budget.is_tight()), (0, false));
    }

    #[test]
    fn an_account_that_is_ended_takes_its_task_with_it() {
        let (budget, home) = worker();
        let account = home.open(&budget, 7);
        let mut task = Charged::connection(Rc::clone(&account), &home, holder(2));
        assert!(poll(&mut task).is_pending());
        account.end(CutReason::Memory);
        account.end(CutReason::Slow);
        assert!(poll(&mut task).is_ready());
        assert_eq!((budget.held(), account.cut()), (0, Some(CutReason::Memory)));
        assert_eq!(
            budget.ended().collect::<Vec<_>>(),
            [("memory_short", 1), ("client_too_slow", 0), ("h2_flood", 0)]
        );
    }

    #[test]
    fn a_rest_is_over_soon_after_its_time_and_never_before() {
        struct Woken(std::sync::atomic::AtomicUsize);
        impl std::task::Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
        }
        let (budget, t0) = (tight(), Instant::now());
        let home = Rc::new(Accounts::new(t0));
        let account = home.open(&budget, 7);
        let mut task = Charged::connection(Rc::clone(&account), &home, holder(0));
        let woken = Arc::new(Woken(0.into()));
        let waker = Waker::from(Arc::clone(&woken));
        assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&waker)).is_pending());
        let mut ends_by = |millis: u64| {
            home.end_rests(t0 + Duration::from_millis(millis));
            woken.0.swap(0, std::sync::atomic::Ordering::SeqCst)
        };
        assert_eq!(ends_by(1_000_000), 0, "it does not rest");
        home.rests_until(&account, Some(t0 + Duration::from_millis(10_500)));
        assert_eq!([10_499, 10_999, 11_000, 12_000].map(&mut ends_by), [0, 0, 1, 1]);
        home.rests_until(&account, None);
        assert_eq!(ends_by(1_000_000), 0, "not any more");
    }

    #[test]
    fn a_client_that_turns_out_to_be_another_takes_its_bytes_along() {
        let (budget, home) = worker();
        let account = home.open(&budget, 7);
        let mut task = Charged::connection(Rc::clone(&account), &home, holder(2));
        assert!(poll(&mut task).is_pending());
        account.begins(9, 0);
        assert_eq!((budget.of_client(7), budget.of_client(9)), (0, 2 * SIZE));
        assert_eq!(budget.held(), 2 * SIZE);
    }
}
