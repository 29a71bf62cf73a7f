//! One lazily moved timer per connection.
//!
//! Deadlines of a busy connection move with every request, mostly further away. Moving a timer costs a lock of the
//! timer wheel, so it is moved only when the wanted deadline is earlier than the armed one; when it goes off too
//! early it is armed again. A connection with 30 s deadlines touches the wheel twice a minute.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::time::Sleep;

use super::clock;

/// A timer for changing deadlines.
#[derive(Debug, Default)]
pub struct Deadline {
    sleep: Option<Pin<Box<Sleep>>>,
    armed: Option<Instant>,
    /// It will wake the task that owns this. One task for the whole life of it: that is what lets a poll that finds it
    /// armed cost two comparisons.
    waits: bool,
}

impl Deadline {
    /// Ready once `at` has passed; `None` never does.
    pub fn poll_passed(&mut self, cx: &mut Context<'_>, at: Option<Instant>) -> Poll<()> {
        let Some(at) = at else { return Poll::Pending };
        loop {
            if self.armed.is_none_or(|armed| at < armed) {
                self.arm(at);
            }
            let Some(sleep) = &mut self.sleep else { return Poll::Pending };
            if self.waits && !sleep.is_elapsed() {
                return Poll::Pending;
            }
            self.waits = true;
            match sleep.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) if at <= clock::instant() => {
                    self.armed = None;
                    return Poll::Ready(());
                }
                Poll::Ready(()) => self.armed = None,
            }
        }
    }

    fn arm(&mut self, at: Instant) {
        let wheel = tokio::time::Instant::from_std(at);
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(wheel),
            None => self.sleep = Some(Box::pin(tokio::time::sleep_until(wheel))),
        }
        self.armed = Some(at);
        self.waits = false;
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_moved_away_does_not_pass_early() {
        let mut deadline = Deadline::default();
        let start = clock::instant();
        let near = Some(start + Duration::from_secs(1));
        let far = Some(start + Duration::from_secs(5));
        let armed = poll_fn(|cx| Poll::Ready(deadline.poll_passed(cx, near).is_pending())).await;
        assert!(armed);
        poll_fn(|cx| deadline.poll_passed(cx, far)).await;
        assert!(clock::instant() - start >= Duration::from_secs(5));
    }
}
