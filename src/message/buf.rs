//! Buffers that belong to a worker, lent to whoever has bytes in hand.
//!
//! An idle connection holds none. A buffer is taken when bytes arrive and goes back to its thread's shelf when it
//! is dropped, so a warm request allocates nothing.

use std::cell::RefCell;

use super::account::{self, Charge};

/// Bytes of a standard buffer: one read of a small message, four of them a socket's worth.
pub const SIZE: usize = 16 * 1024;
/// Bytes of a large buffer, for bodies that are known to be long.
pub const LARGE: usize = 128 * 1024;
/// Bytes of a short buffer, for what its receiver does not take: as good as any head fits.
pub const SHORT: usize = 4 * 1024;
/// Bytes of the shortest block that something is moved to.
const LEAST: usize = 1_024;
/// Bytes of buffers of each size that are kept per thread; more are given back to the allocator.
const SHELF: usize = 4 << 20;

#[derive(Default)]
struct Shelves {
    standard: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
}

thread_local! {
    static SHELVES: RefCell<Shelves> = const { RefCell::new(Shelves { standard: Vec::new(), large: Vec::new() }) };
}

/// A window of filled bytes in a block that is initialised once.
#[derive(Debug, Default)]
pub struct Buf {
    block: Vec<u8>,
    start: usize,
    end: usize,
    charge: Charge,
}

/// How much a read that could use a large buffer takes: a standard one where bytes are short.
pub fn room() -> usize {
    if account::is_tight() { SIZE } else { LARGE }
}

impl Buf {
    /// The bytes that are in it.
    pub fn filled(&self) -> &[u8] {
        self.block.get(self.start..self.end).unwrap_or_default()
    }

    /// The same, to be moved within it.
    pub fn filled_mut(&mut self) -> &mut [u8] {
        self.block.get_mut(self.start..self.end).unwrap_or_default()
    }

    /// Takes out `gap` bytes that follow the first `front` ones.
    pub fn close(&mut self, front: usize, gap: usize) {
        debug_assert!(front + gap <= self.len());
        let rest = self.len().saturating_sub(front + gap);
        let (begin, behind) = (self.start, self.start + front + gap);
        match (gap, front, rest) {
            (0, _, _) => {}
            (_, 0, _) => self.consume(gap),
            (_, _, 0) => self.end = begin + front,
            // What is shorter is moved.
            (_, _, _) if front <= rest => {
                self.block.copy_within(begin..begin + front, begin + gap);
                self.start += gap;
            }
            (_, _, _) => {
                self.block.copy_within(behind..self.end, begin + front);
                self.end -= gap;
            }
        }
    }

    /// No bytes in it?
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// How many bytes are in it.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Room for the next read: takes a block from the shelf when there is none, moves bytes to the front when
    /// the end is near, grows when it is full and shorter than `limit`. Empty only when `limit` is reached.
    pub fn space(&mut self, limit: usize) -> &mut [u8] {
        if self.is_empty() && self.block.len() < limit.min(LARGE) {
            give(std::mem::replace(&mut self.block, take(limit)));
            self.charge.set(self.block.len());
        }
        if self.start > 0 && self.end == self.block.len() {
            self.block.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.block.len() && self.block.len() < limit {
            let more = (self.block.len() * 2).min(limit);
            self.block.resize(more, 0);
            self.charge.set(more);
        }
        self.block.get_mut(self.end..).unwrap_or_default()
    }

    /// `n` bytes were written to [`Self::space`].
    pub fn commit(&mut self, n: usize) {
        debug_assert!(self.end + n <= self.block.len());
        self.end = (self.end + n).min(self.block.len());
    }

    /// The first `n` bytes are done with.
    pub fn consume(&mut self, n: usize) {
        debug_assert!(n <= self.len());
        self.start = (self.start + n).min(self.end);
        self.charge.moved(n);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Appends, growing as needed.
    pub fn put(&mut self, bytes: &[u8]) {
        if self.end + bytes.len() > self.block.len() {
            self.make_room(bytes.len());
        }
        let needed = self.end + bytes.len();
        if let Some(room) = self.block.get_mut(self.end..needed) {
            room.copy_from_slice(bytes);
            self.end = needed;
        }
    }

    /// Room for `more` bytes behind what is there: at the front of the block, else in a large one, else in one that was
    /// made for it.
    fn make_room(&mut self, more: usize) {
        let there = self.len();
        let needed = there + more;
        if needed <= self.block.len() {
            self.block.copy_within(self.start..self.end, 0);
        } else if needed <= LARGE {
            let mut block = take(if needed <= SIZE { SIZE } else { LARGE });
            if let Some(front) = block.get_mut(..there) {
                front.copy_from_slice(self.filled());
            }
            give(std::mem::replace(&mut self.block, block));
            self.charge.set(self.block.len());
        } else {
            self.block.copy_within(self.start..self.end, 0);
            self.block.resize(needed.next_power_of_two(), 0);
            self.charge.set(self.block.len());
        }
        (self.start, self.end) = (0, there);
    }

    /// Moves what is left of a long block to a short one: whoever uses it may take his time.
    pub fn fit(&mut self) {
        let (there, needed) = (self.len(), self.len().next_power_of_two().max(LEAST));
        if there == 0 || needed * 2 > self.block.len() {
            return;
        }
        let mut block = vec![0; needed];
        if let Some(front) = block.get_mut(..there) {
            front.copy_from_slice(self.filled());
        }
        give(std::mem::replace(&mut self.block, block));
        self.charge.set(needed);
        (self.start, self.end) = (0, there);
    }

    /// Gives the block back when there is nothing in it.
    pub fn rest(&mut self) {
        if self.is_empty() && !self.block.is_empty() {
            give(std::mem::take(&mut self.block));
            self.charge.set(0);
            self.start = 0;
            self.end = 0;
        }
    }
}

impl Drop for Buf {
    fn drop(&mut self) {
        if !self.block.is_empty() {
            give(std::mem::take(&mut self.block));
        }
    }
}

fn take(limit: usize) -> Vec<u8> {
    if limit < SIZE {
        return vec![0; limit];
    }
    let large = limit >= LARGE;
    let kept = SHELVES.try_with(|shelves| {
        let mut shelves = shelves.borrow_mut();
        if large { shelves.large.pop() } else { shelves.standard.pop() }
    });
    kept.ok().flatten().unwrap_or_else(|| vec![0; if large { LARGE } else { SIZE }])
}

fn give(block: Vec<u8>) {
    // A thread that is ending has no shelf any more; then the block is simply freed.
    let _ = SHELVES.try_with(|shelves| {
        let mut shelves = shelves.borrow_mut();
        let shelf = match block.len() {
            SIZE => &mut shelves.standard,
            LARGE => &mut shelves.large,
            _ => return, // grown for one large head: not worth keeping
        };
        if (shelf.len() + 1) * block.len() <= SHELF && !account::is_tight() {
            shelf.push(block);
        }
    });
}

/// Gives what this thread keeps for later back to the allocator.
pub fn clear_shelves() {
    let _ = SHELVES.try_with(|shelves| std::mem::take(&mut *shelves.borrow_mut()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let mut buf = Buf::default();
        buf.put(b"hello ");
        buf.put(b"world");
        buf.consume(6);
        assert_eq!(buf.filled(), b"world");
        let room = buf.space(SIZE).len();
        assert_eq!(room, SIZE - 11);
        buf.consume(5);
        assert!(buf.is_empty());
    }

    #[test]
    fn a_full_buffer_grows_up_to_its_limit() {
        let mut buf = Buf::default();
        buf.put(&vec![7; SIZE]);
        assert_eq!(buf.space(SIZE).len(), 0);
        assert_eq!(buf.space(SIZE * 2).len(), SIZE);
        assert_eq!(buf.filled(), vec![7; SIZE]);
    }

    #[test]
    fn a_gap_is_closed_from_the_shorter_side() {
        for (front, gap, rest) in
            [(2, 3, 5), (5, 3, 2), (4, 1, 4), (0, 3, 4), (4, 3, 0), (3, 0, 3), (0, 2, 0)]
        {
            let mut buf = Buf::default();
            buf.put(b"??");
            buf.consume(2);
            let wanted = [vec![b'a'; front], vec![b'c'; rest]].concat();
            buf.put(&[vec![b'a'; front], vec![b'b'; gap], vec![b'c'; rest]].concat());
            buf.close(front, gap);
            assert_eq!(buf.filled(), wanted, "{front} {gap} {rest}");
            buf.put(b"d");
            assert_eq!(buf.filled(), [&wanted[..], b"d"].concat());
        }
    }

    #[test]
    fn what_is_left_of_a_buffer_fits_into_a_short_one() {
        let mut buf = Buf::default();
        buf.put(&[7; SIZE]);
        buf.consume(SIZE / 2 - 1);
        buf.fit();
        assert_eq!(buf.block.len(), SIZE, "more than half is left");
        buf.consume(SIZE / 2 - 99);
        buf.fit();
        assert_eq!((buf.block.len(), buf.filled()), (LEAST, &[7; 100][..]));
        buf.put(&[8; LEAST]);
        assert_eq!(buf.filled(), [vec![7; 100], vec![8; LEAST]].concat());
    }

    #[test]
    fn a_rested_buffer_holds_no_block() {
        let mut buf = Buf::default();
        buf.put(b"x");
        buf.consume(1);
        buf.rest();
        assert_eq!(buf.block.capacity(), 0);
    }
}
