//! How many streams of incidents are open at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::error::ApiError;

/// Streams at once: each holds one connection of the admin port.
const MOST: usize = 32;

/// How many streams are open, in all.
#[derive(Debug, Default)]
pub(super) struct OpenStreams(Arc<AtomicUsize>);

/// One of them; gives its place back.
pub(super) struct StreamPlace(Arc<AtomicUsize>);

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl OpenStreams {
    /// A place, if one is free.
    pub(super) fn hold(&self) -> Result<StreamPlace, ApiError> {
        let open = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < MOST).then_some(open + 1));
        open.map(|_| StreamPlace(Arc::clone(&self.0))).map_err(|_| ApiError::TooManyStreams { most: MOST })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_gives_its_place_back() {
        let streams = OpenStreams::default();
        let held: Vec<_> = (0..MOST).map(|_| streams.hold().expect("room")).collect();
        assert!(streams.hold().is_err());
        drop(held);
        assert!(streams.hold().is_ok());
    }
}
