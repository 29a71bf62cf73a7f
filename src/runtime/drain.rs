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

/// Asks this process to leave, as a signal does.
#[derive(Clone, Debug)]
pub struct AskLeave(watch::Sender<Option<String>>);

/// Hears who asks the process to leave.
#[derive(Debug)]
pub struct LeaveAsked(watch::Receiver<Option<String>>);

/// A pair of both.
pub fn leaving() -> (AskLeave, LeaveAsked) {
    let (ask, asked) = watch::channel(None);
    (AskLeave(ask), LeaveAsked(asked))
}

impl AskLeave {
    /// Asks once the value that this returns is dropped, so that an answer may be sent first. `why`: for the log.
    pub fn when_dropped(&self, why: String) -> impl Send + Sync + Unpin + 'static {
        AskedWhenDropped(self.0.clone(), Some(why))
    }
}

struct AskedWhenDropped(watch::Sender<Option<String>>, Option<String>);

impl Drop for AskedWhenDropped {
    fn drop(&mut self) {
        // Nobody there to hear it has left already.
        let _ = self.0.send(self.1.take());
    }
}

impl LeaveAsked {
    /// Until it is asked; why.
    pub async fn asked(&mut self) -> String {
        match self.0.wait_for(Option::is_some).await.map(|why| why.clone()) {
            Ok(Some(why)) => why,
            // Nobody is left who could ask.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Was it asked?
    pub fn is_asked(&self) -> bool {
        self.0.borrow().is_some()
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

    #[tokio::test]
    async fn whoever_asks_to_leave_has_sent_the_answer_first() {
        let (ask, mut asked) = leaving();
        let sent = ask.when_dropped("ann: a deploy".to_owned());
        assert!(!asked.is_asked());
        drop(sent);
        assert_eq!(asked.asked().await, "ann: a deploy");
        assert!(asked.is_asked());
    }
}
