//! Leaving in order: everybody is asked once, and the last one to let go of its [`Drain`] ends the wait.

use tokio::sync::{mpsc, watch};

/// Asks everybody to finish.
#[derive(Debug)]
pub struct Stop {
    ask: watch::Sender<bool>,
    gone: mpsc::Receiver<()>,
}

/// Held by whoever has something to finish.
#[derive(Clone, Debug)]
pub struct Drain {
    asked: watch::Receiver<bool>,
    _held: Option<mpsc::Sender<()>>,
}

/// A pair of both.
pub fn channel() -> (Stop, Drain) {
    let (ask, asked) = watch::channel(false);
    let (held, gone) = mpsc::channel(1);
    (Stop { ask, gone }, Drain { asked, _held: Some(held) })
}

impl Stop {
    /// Asks all holders of a [`Stop`] to end.
    pub fn request(&self) {
        // Nobody left to ask is as good as everybody gone.
        let _ = self.ask.send(true);
    }

    /// Until the last [`Drain`] is dropped.
    pub async fn wait(&mut self) {
        while self.gone.recv().await.is_some() {}
    }
}

impl Drain {
    /// Waits until [`Stop::request`] was called.
    pub async fn requested(&self) {
        let mut asked = self.asked.clone();
        // An error means that the asker is gone: time to go as well.
        let _ = asked.wait_for(|asked| *asked).await;
    }

    /// One that hears, but is not waited for: for whoever has nothing to finish.
    pub fn listening(&self) -> Self {
        Self { asked: self.asked.clone(), _held: None }
    }

    /// Whether [`Stop::request`] was called.
    pub fn is_requested(&self) -> bool {
        *self.asked.borrow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_wait_ends_with_the_last_one() {
        let (mut stop, drain) = channel();
        let other = drain.clone();
        assert!(!drain.is_requested());
        stop.request();
        drain.requested().await;
        other.requested().await;
        drop((drain, other));
        stop.wait().await;
    }
}
