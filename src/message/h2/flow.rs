//! Flow control of HTTP/2 (RFC 9113 section 5.2): what this side may still send, what the peer may.
//!
//! A receive window begins small and doubles as long as its reader keeps up: then the window, not the reader, is what
//! slows a fast peer far away. A reader that stands still pins no more than its window.

use super::frame::{ErrorCode, MOST_WINDOW};

/// Bytes that this side may send.
#[derive(Clone, Copy, Debug)]
pub(super) struct SendWindow(i64);

impl SendWindow {
    /// A window of `bytes`.
    pub(super) fn new(bytes: u32) -> Self {
        Self(i64::from(bytes))
    }

    /// Bytes that may be sent now; settings may have made it negative.
    pub(super) fn room(self) -> usize {
        self.0.max(0) as usize
    }

    /// `bytes` were sent.
    pub(super) fn used(&mut self, bytes: usize) {
        self.0 -= bytes as i64;
    }

    /// The peer gives `bytes` more; an error: that is more than a window can be.
    pub(super) fn add(&mut self, bytes: i64) -> Result<(), ErrorCode> {
        self.0 += bytes;
        if self.0 > i64::from(MOST_WINDOW) { Err(ErrorCode::FlowControl) } else { Ok(()) }
    }
}

/// Bytes that the peer may send.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReceiveWindow {
    /// What it is at its widest.
    size: u32,
    /// What the peer may send now.
    left: i64,
    /// Used up by the reader, and not given back yet.
    owed: u32,
    /// Bytes that came since it was widened last.
    came: u32,
}

impl ReceiveWindow {
    /// A window of `size` bytes.
    pub(super) fn new(size: u32) -> Self {
        Self { size, left: i64::from(size), owed: 0, came: 0 }
    }

    /// What it is at its widest now, in bytes.
    pub(super) fn size(&self) -> u32 {
        self.size
    }

    /// `bytes` came; an error: more than was allowed.
    pub(super) fn came(&mut self, bytes: usize) -> Result<(), ErrorCode> {
        self.left -= bytes as i64;
        self.came = self.came.saturating_add(bytes as u32);
        if self.left < 0 { Err(ErrorCode::FlowControl) } else { Ok(()) }
    }

    /// `bytes` were used up by the reader. What is to be given back to the peer now, when half a window is owed.
    pub(super) fn used(&mut self, bytes: usize) -> Option<u32> {
        self.owed = self.owed.saturating_add(bytes as u32);
        if self.owed < self.size / 2 {
            return None;
        }
        self.left += i64::from(self.owed);
        Some(std::mem::take(&mut self.owed))
    }

    /// It is smaller than the peer took it for until now. What is to be given back for that: of what was used up before, the
    /// peer may have nothing left, and the reader nothing more to use up.
    pub(super) fn shrink(&mut self, less: u32) -> Option<u32> {
        self.size = self.size.saturating_sub(less);
        self.left -= i64::from(less);
        self.used(0)
    }

    /// May it be widened? When a whole window has passed since it was last.
    pub(super) fn is_used_up(&self) -> bool {
        self.came >= self.size
    }

    /// Widens it by `more` bytes, to be told to the peer.
    pub(super) fn widen(&mut self, more: u32) -> u32 {
        self.size += more;
        self.left += i64::from(more);
        self.came = 0;
        more
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_window_that_settings_made_negative_has_no_room() {
        let mut window = SendWindow::new(10);
        window.used(10);
        window.add(-5).unwrap();
        assert_eq!(window.room(), 0);
        window.add(6).unwrap();
        assert_eq!(window.room(), 1);
        assert_eq!(window.add(i64::from(MOST_WINDOW)), Err(ErrorCode::FlowControl));
    }

    proptest! {
        /// What the peer was told is always what it may send and what nobody has used up.
        #[test]
        fn nothing_of_a_window_is_lost(steps in prop::collection::vec((0_usize..9_000, 0_usize..9_000), 1..200)) {
            let mut window = ReceiveWindow::new(32_768);
            let (mut told, mut came, mut waits) = (32_768_i64, 0_i64, 0_usize);
            for (comes, uses) in steps {
                let comes = comes.min((told - came) as usize);
                window.came(comes).unwrap();
                came += comes as i64;
                waits += comes;
                let uses = uses.min(waits);
                waits -= uses;
                told += window.used(uses).map_or(0, i64::from);
                if waits == 0 && window.is_used_up() {
                    told += i64::from(window.widen(32_768));
                }
                prop_assert!(told - came + (waits as i64) <= i64::from(window.size()));
                prop_assert!(waits > 0 || told - came > i64::from(window.size() / 2), "it never dries up");
            }
            prop_assert_eq!(window.came((told - came + 1) as usize), Err(ErrorCode::FlowControl));
        }
    }
}
