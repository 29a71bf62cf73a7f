//! One lazily moved timer per connection.
//!
//! Deadlines of a busy connection move with every request, mostly further away. Moving a timer costs a lock of the
//! timer wheel, so it is moved only when the wanted deadline is earlier than the armed one; when it goes off too
//! early it is armed again. A connection with 30 s deadlines touches the wheel twice a minute.
//!
//! While the process stands still nobody can keep a deadline: those of an exchange, and [`within`], are later by as
//! long as that took ([`pauses`]).

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use super::{clock, pauses};

/// A timer for changing deadlines.
#[derive(Debug)]
pub struct Deadline {
    sleep: Option<Pin<Box<Sleep>>>,
    armed: Option<Instant>,
    /// It will wake the task that owns this. One task for the whole life of it: that is what lets a poll that finds it
    /// armed cost two comparisons.
    waits: bool,
    /// [`pauses::total`] when the exchange began.
    paused: u64,
    /// How long the process has stood still since, as far as that has mattered.
    grace: Duration,
}

impl Default for Deadline {
    fn default() -> Self {
        Self { sleep: None, armed: None, waits: false, paused: pauses::total(), grace: Duration::ZERO }
    }
}

impl Deadline {
    /// Another exchange begins: what was before it prolongs none of its deadlines.
    pub fn begin(&mut self) {
        (self.paused, self.grace) = (pauses::total(), Duration::ZERO);
    }

    /// Ready once `at` has passed; `None` never does.
    pub fn poll_passed(&mut self, cx: &mut Context<'_>, at: Option<Instant>) -> Poll<()> {
        let Some(wanted) = at else { return Poll::Pending };
        loop {
            let at = wanted + self.grace;
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
                Poll::Ready(()) => self.armed = None,
            }
            if self.has_passed(wanted) {
                return Poll::Ready(());
            }
        }
    }

    /// Lets the timer go, which the next [`Self::poll_passed`] makes anew.
    pub fn let_go(&mut self) {
        (self.sleep, self.armed) = (None, None);
    }

    /// Has `at` passed? Arms nothing: for whoever is polled then by something else.
    pub fn has_passed(&mut self, at: Instant) -> bool {
        let now = clock::instant();
        if at + self.grace <= now {
            self.grace = pauses::since(self.paused, now);
        }
        at + self.grace <= now
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

/// What `work` comes to within `limit`; `None`: nothing, though the process ran for so long.
pub async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let (mut work, before) = (pin!(work), pauses::total());
    // What never ends by itself may have a limit beyond the clock.
    let Some(at) = clock::instant().checked_add(limit) else { return Some(work.await) };
    let mut until = at;
    loop {
        match tokio::time::timeout_at(until.into(), &mut work).await {
            Ok(done) => return Some(done),
            Err(_) => {
                let later = at + pauses::since(before, clock::instant());
                if later <= until {
                    return None;
                }
                until = later;
            }
        }
    }
}

/// Ticks this far apart, the first at once; after a late one the next is as far away, and none is made up for.
pub fn every(span: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(span);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
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
