//! Room for bodies that may have to be sent again: blocks of one worker, bounded in all.
//!
//! A block is lent when the first byte of a body is to be kept and comes back when the body is let go. Blocks that came
//! back are kept for the next body, so that a warm request allocates nothing. Invariants: blocks lent and blocks in
//! store together never hold more than the room allows; several bodies of one connection never hold more than an eighth
//! of it, so that one client with many streams leaves some to others; no more than a sixteenth is in store.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::account::{self, Account};

/// Bytes of the blocks there are: a body moves to the next larger one when it grows.
const SIZES: [usize; 6] = [1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20];

/// The longest body that can be kept, in bytes.
pub const LONGEST: usize = 1 << 20;

/// The part of the room that several bodies of one connection may have is one in so many.
const SHARES: usize = 8;
/// Blocks in store have one part of the room in so many: what was needed for a moment is not kept for good.
const STORED: usize = 16;

/// The room of one worker.
#[derive(Debug, Default)]
pub struct KeptRoom {
    /// Bytes of all blocks, at most.
    most: Cell<usize>,
    /// Bytes of blocks that are lent or in store.
    held: Cell<usize>,
    /// Bytes of those in store.
    stored: Cell<usize>,
    store: RefCell<[Vec<Vec<u8>>; SIZES.len()]>,
}

impl KeptRoom {
    /// Room for `most` bytes.
    pub fn new(most: usize) -> Rc<Self> {
        let room = Self::default();
        room.most.set(most);
        Rc::new(room)
    }

    /// From now on `most` bytes; what is lent beyond that comes back in its time.
    pub fn allow(&self, most: usize) {
        self.most.set(most);
        self.shrink(most);
    }

    /// Bytes of all blocks, lent and in store.
    pub fn held(&self) -> usize {
        self.held.get()
    }

    /// An empty block for `bytes` bytes or more, for a connection of which `others` hold so many bytes already.
    fn lend(&self, bytes: usize, others: usize) -> Option<Vec<u8>> {
        let class = SIZES.iter().position(|size| *size >= bytes)?;
        if others > 0 && others + SIZES[class] > self.most.get() / SHARES {
            return None;
        }
        if let Some(block) = self.store.borrow_mut().get_mut(class)?.pop() {
            self.stored.set(self.stored.get().saturating_sub(block.capacity()));
            return Some(block);
        }
        let size = SIZES[class];
        let before = self.most.get().checked_sub(size)?;
        self.shrink(before);
        if self.held.get() > before {
            return None;
        }
        self.held.set(self.held.get() + size);
        Some(Vec::with_capacity(size))
    }

    fn back(&self, mut block: Vec<u8>) {
        block.clear();
        let class = SIZES.iter().position(|size| *size == block.capacity());
        let mut store = self.store.borrow_mut();
        let (most, stored) = (self.most.get(), self.stored.get() + block.capacity());
        match class.and_then(|class| store.get_mut(class)) {
            Some(shelf) if self.held.get() <= most && stored <= most / STORED => {
                self.stored.set(stored);
                shelf.push(block);
            }
            Some(_) | None => self.held.set(self.held.get().saturating_sub(block.capacity())),
        }
    }

    /// Gives blocks in store back to the allocator, the largest first, until no more than `bytes` are held.
    fn shrink(&self, bytes: usize) {
        let mut store = self.store.borrow_mut();
        for shelf in store.iter_mut().rev() {
            while self.held.get() > bytes
                && let Some(block) = shelf.pop()
            {
                self.held.set(self.held.get().saturating_sub(block.capacity()));
                self.stored.set(self.stored.get().saturating_sub(block.capacity()));
            }
        }
    }
}

/// The bytes of one body, from its start. Dropped, its room is free again.
#[derive(Debug)]
pub(super) struct KeptBody {
    block: Vec<u8>,
    limit: usize,
    room: Rc<KeptRoom>,
    /// Of the connection that it came by.
    account: Option<Rc<Account>>,
}

impl KeptBody {
    /// Nothing yet; up to `limit` bytes, of the connection whose task is being polled.
    pub(super) fn new(room: &Rc<KeptRoom>, limit: usize) -> Self {
        let account = account::with_current(Rc::clone);
        Self { block: Vec::new(), limit: limit.min(LONGEST), room: Rc::clone(room), account }
    }

    /// All bytes that were kept so far.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.block
    }

    /// Keeps `more`, of a body of which so much is `expected` in all; false: there is no room, and nothing was kept.
    pub(super) fn put(&mut self, more: &[u8], expected: usize) -> bool {
        let needed = self.block.len() + more.len();
        if needed > self.limit {
            return false;
        }
        if needed > self.block.capacity() {
            let all = self.account.as_ref().map_or(0, |account| account.kept().get());
            let others = all.saturating_sub(self.block.capacity());
            let wanted = needed.max(expected.min(self.limit));
            let Some(mut larger) = self.room.lend(wanted, others) else { return false };
            larger.extend_from_slice(&self.block);
            self.give(larger);
        }
        self.block.extend_from_slice(more);
        true
    }

    /// Puts `block` in the place of what was lent before.
    fn give(&mut self, block: Vec<u8>) {
        let before = std::mem::replace(&mut self.block, block);
        if let Some(account) = &self.account {
            let others = account.kept().get().saturating_sub(before.capacity());
            account.kept().set(others + self.block.capacity());
        }
        if before.capacity() > 0 {
            self.room.back(before);
        }
    }
}

impl Drop for KeptBody {
    fn drop(&mut self) {
        self.give(Vec::new());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::message::account::Accounts;

    #[test]
    fn a_body_grows_from_block_to_block_and_gives_them_back() {
        let room = KeptRoom::new(2 << 20);
        let mut kept = KeptBody::new(&room, 64 << 10);
        let bytes: Vec<u8> = (0..64 << 10).map(|n: u32| n as u8).collect();
        for piece in bytes.chunks(700) {
            assert!(kept.put(piece, 0));
        }
        assert_eq!(kept.bytes(), bytes);
        assert!(!kept.put(b"x", 0), "that is beyond its limit");
        assert_eq!(kept.bytes(), bytes, "what was kept stays");
        drop(kept);
        let held = room.held();
        let mut again = KeptBody::new(&room, 64 << 10);
        assert!(again.put(b"x", 64 << 10));
        assert_eq!(room.held(), held, "the block was there already");
        assert_eq!(again.bytes(), b"x");
    }

    #[test]
    fn where_there_is_no_room_nothing_is_kept_until_some_comes_back() {
        let room = KeptRoom::new(2 << 10);
        let mut first = KeptBody::new(&room, 4 << 10);
        let mut second = KeptBody::new(&room, 4 << 10);
        let mut third = KeptBody::new(&room, 4 << 10);
        assert!(first.put(&[1; 10], 0) && second.put(&[2; 10], 0));
        assert!(!third.put(&[3; 10], 0));
        assert!(!first.put(&[1; 1 << 10], 0), "nor to grow");
        drop(second);
        assert!(third.put(&[3; 10], 0));
        assert_eq!(room.held(), 2 << 10);
    }

    #[test]
    fn several_bodies_of_one_connection_leave_some_to_others() {
        let room = KeptRoom::new(64 << 10);
        let budget = Arc::default();
        let accounts = Accounts::new(std::time::Instant::now());
        let (one, other) = (accounts.open(&budget, 7), accounts.open(&budget, 8));
        let body = |account: &Rc<Account>| {
            account::charging(Some(Rc::clone(account)), || KeptBody::new(&room, 64 << 10))
        };
        let mut bodies: Vec<_> = (0..9).map(|_| body(&one)).collect();
        let kept = |bodies: &mut [KeptBody], bytes: usize| {
            bodies.iter_mut().map(|body| body.put(&vec![7; bytes], 0)).filter(|kept| *kept).count()
        };
        assert_eq!(kept(&mut bodies, 4 << 10), 2, "an eighth");
        assert!(!bodies[0].put(b"x", 0), "nor may they grow");
        assert_eq!(kept(&mut [body(&other)], 1), 1, "there is some for others");
        bodies.clear();
        assert_eq!(one.kept().get(), 0);
        assert_eq!(kept(&mut [body(&one)], 60 << 10), 1, "one alone may have all");
    }

    #[test]
    fn less_room_takes_effect_as_blocks_come_back() {
        let room = KeptRoom::new(64 << 10);
        let mut kept = KeptBody::new(&room, 4 << 10);
        assert!(kept.put(&[1; 4 << 10], 0));
        room.allow(0);
        assert_eq!(room.held(), 4 << 10);
        drop(kept);
        assert_eq!(room.held(), 0);
        assert!(!KeptBody::new(&room, 4 << 10).put(b"x", 0));
    }

    proptest! {
        #[test]
        fn blocks_never_hold_more_than_the_room_allows(
            most in 0_usize..200_000,
            steps in prop::collection::vec((0_usize..8, 0_usize..40_000, any::<bool>()), 1..200),
        ) {
            let room = KeptRoom::new(most);
            let mut bodies: [Option<KeptBody>; 8] = Default::default();
            for (which, bytes, drop_it) in steps {
                let body = &mut bodies[which];
                if drop_it {
                    *body = None;
                } else {
                    let before = body.as_ref().map_or(0, |kept| kept.bytes().len());
                    let kept = body.get_or_insert_with(|| KeptBody::new(&room, 64 << 10));
                    let put = kept.put(&vec![7; bytes], 0);
                    prop_assert_eq!(kept.bytes().len(), before + if put { bytes } else { 0 });
                }
                prop_assert!(room.held() <= most);
                let lent: usize = bodies.iter().flatten().map(|kept| kept.block.capacity()).sum();
                prop_assert!(lent <= room.held());
            }
            bodies.iter_mut().for_each(|body| *body = None);
            room.allow(0);
            prop_assert_eq!(room.held(), 0);
        }
    }
}
