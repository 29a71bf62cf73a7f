//! The accounts of one worker: whoever looks at its connections one after the other finds them here.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::Account;
use crate::message::memory::MemoryBudget;

/// The accounts of one worker.
#[derive(Debug)]
pub struct Accounts {
    begun: Instant,
    all: RefCell<Vec<Rc<Account>>>,
}

impl Accounts {
    /// None yet.
    pub fn new(now: Instant) -> Self {
        Self { begun: now, all: RefCell::default() }
    }

    /// Polls the task of `account` at the first [`Self::end_rests`] after `at`, within a second or two of it; `None`: not any more.
    /// A timer of its own would be larger than all else that a connection that rests needs.
    pub fn rests_until(&self, account: &Account, at: Option<Instant>) {
        let seconds = at.map_or(0, |at| at.saturating_duration_since(self.begun).as_secs().saturating_add(1));
        account.rested_at.set(u32::try_from(seconds).unwrap_or(u32::MAX));
    }

    /// Once a second: polls the tasks of connections that have rested for long enough.
    pub fn end_rests(&self, now: Instant) {
        let second = now.saturating_duration_since(self.begun).as_secs();
        let is_over = |account: &&Rc<Account>| {
            let at = u64::from(account.rested_at.get());
            at != 0 && at <= second
        };
        self.all.borrow().iter().filter(is_over).for_each(|account| account.wake());
    }

    /// One more, for a connection of `client`.
    pub fn open(&self, budget: &Arc<MemoryBudget>, client: u32) -> Rc<Account> {
        let account = Account::new(budget, client);
        let mut all = self.all.borrow_mut();
        account.at.set(u32::try_from(all.len()).unwrap_or(u32::MAX));
        all.push(Rc::clone(&account));
        account
    }

    pub(super) fn close(&self, account: &Account) {
        let mut all = self.all.borrow_mut();
        let at = account.at.get() as usize;
        if at < all.len() {
            all.swap_remove(at);
        }
        if let Some(other) = all.get(at) {
            other.at.set(account.at.get());
        }
    }

    /// Polls the tasks of all connections: something that each looks at has changed.
    pub fn wake(&self) {
        let all = self.all.borrow();
        all.iter().for_each(|account| account.wake());
    }

    /// Looks at all of them.
    pub fn look<T>(&self, look: impl FnOnce(&[Rc<Account>]) -> T) -> T {
        look(&self.all.borrow())
    }
}
