//! Short texts of one exchange, without asking the allocator: memory that its thread keeps.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// Pieces of memory that each thread keeps for reuse.
const SHELF: usize = 1_024;
/// What grew beyond this is not kept.
const KEEP: usize = 16 * 1024;
/// Room for the usual head.
const ROOM: usize = 512;

thread_local! {
    static SHELVES: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes that go back to their thread's shelf when they are dropped.
#[derive(Debug)]
pub struct Scratch(Vec<u8>);

impl Default for Scratch {
    fn default() -> Self {
        // A thread that is ending has no shelf any more.
        let kept = SHELVES.try_with(|shelf| shelf.borrow_mut().pop()).ok().flatten();
        Self(kept.unwrap_or_else(|| Vec::with_capacity(ROOM)))
    }
}

impl Scratch {
    /// As text; empty when it is not UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl From<&[u8]> for Scratch {
    fn from(bytes: &[u8]) -> Self {
        let mut scratch = Self::default();
        scratch.extend_from_slice(bytes);
        scratch
    }
}

impl Deref for Scratch {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0);
        if bytes.capacity() == 0 || bytes.capacity() > KEEP {
            return;
        }
        bytes.clear();
        let _ = SHELVES.try_with(|shelf| {
            let mut shelf = shelf.borrow_mut();
            if shelf.len() < SHELF {
                shelf.push(bytes);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_and_is_empty() {
        let first = Scratch::from(&b"once"[..]);
        let place = first.as_ptr();
        drop(first);
        let second = Scratch::default();
        assert!(second.is_empty());
        assert_eq!(second.as_ptr(), place);
    }
}
