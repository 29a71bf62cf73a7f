//! Takes connections from a listening socket, and stops before the last descriptors are gone.
//!
//! Some descriptors are kept for the admin port, the store and whoever tells people ([`fds::reserve`]): a listener of the
//! traffic leaves connections in the kernel's queue while only those are left. What goes wrong is told once, when it begins, and
//! once when it is over; meanwhile it is tried again less and less often.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};

use super::listener::pause_after;
use crate::runtime::{clock, fds};

/// So long after the last failure it is over.
const QUIET: Duration = Duration::from_secs(1);
/// The longest wait before the next try.
const LONGEST: Duration = Duration::from_millis(500);

/// Something worth telling of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenerNews {
    /// Connections cannot be taken.
    Failing { error: String },
    /// They are taken again.
    Over {
        /// How often it was tried in vain.
        failures: u64,
        /// From the first failure to the last.
        lasted: Duration,
    },
}

/// Failures in a row of one listener, over all workers.
#[derive(Debug, Default)]
pub struct FailureStreak {
    lasts: AtomicBool,
    held: Mutex<Option<AcceptFailures>>,
}

#[derive(Clone, Copy, Debug)]
struct AcceptFailures {
    since: Instant,
    last: Instant,
    failures: u64,
}

impl FailureStreak {
    fn failed(&self, error: &str, now: Instant) -> Option<ListenerNews> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(failed) = &mut *held {
            (failed.last, failed.failures) = (now, failed.failures + 1);
            return None;
        }
        *held = Some(AcceptFailures { since: now, last: now, failures: 1 });
        self.lasts.store(true, Ordering::Relaxed);
        Some(ListenerNews::Failing { error: error.to_owned() })
    }

    /// It goes well, or nobody came. Of several workers one may be well while another one is not.
    fn well(&self, now: Instant) -> Option<ListenerNews> {
        if !self.lasts.load(Ordering::Relaxed) {
            return None;
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let AcceptFailures { since, last, failures } = (*held)?;
        if now.saturating_duration_since(last) < QUIET {
            return None;
        }
        *held = None;
        self.lasts.store(false, Ordering::Relaxed);
        Some(ListenerNews::Over { failures, lasted: last.saturating_duration_since(since) })
    }
}

/// Which descriptors a listener may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uses {
    /// All of them: it is one of those for whom some are kept.
    All,
    /// Not those that are kept for others.
    Most,
}

/// A connection, something to tell, or both.
#[derive(Debug)]
pub struct Accepted {
    /// The connection and the address it comes from.
    pub connection: Option<(TcpStream, SocketAddr)>,
    /// What is to be told about the listener.
    pub news: Option<ListenerNews>,
}

/// One worker's side of a listener.
#[derive(Debug)]
pub struct Acceptor {
    listener: TcpListener,
    streak: Arc<FailureStreak>,
    uses: Uses,
    /// Only descriptors that are kept for others are left.
    full: bool,
    /// Before the next try, and how often it was put off in a row.
    wait: Duration,
    tries: u32,
}

impl Acceptor {
    /// Of a bound socket; all workers share the `streak`.
    pub fn new(listener: std::net::TcpListener, streak: Arc<FailureStreak>, uses: Uses) -> io::Result<Self> {
        let listener = TcpListener::from_std(listener)?;
        Ok(Self { listener, streak, uses, full: false, wait: Duration::ZERO, tries: 0 })
    }

    /// The next connection, or something to tell. May be dropped and called again.
    pub async fn next(&mut self) -> Accepted {
        loop {
            if !self.wait.is_zero() {
                tokio::time::sleep(self.wait).await;
                self.wait = Duration::ZERO;
            }
            if self.full {
                if let Some(told) = fds::only_reserved(self.listener.as_fd()) {
                    if let Some(news) = self.put_off(&told, true) {
                        return Accepted { connection: None, news: Some(news) };
                    }
                    continue;
                }
                self.full = false;
            }
            if let Some(came) = self.try_next().await {
                return came;
            }
        }
    }

    async fn try_next(&mut self) -> Option<Accepted> {
        let accepted = if self.streak.lasts.load(Ordering::Relaxed) {
            match tokio::time::timeout(QUIET, self.listener.accept()).await {
                Ok(accepted) => accepted,
                Err(_) => {
                    let news = self.streak.well(clock::instant())?;
                    return Some(Accepted { connection: None, news: Some(news) });
                }
            }
        } else {
            self.listener.accept().await
        };
        match accepted {
            Ok((tcp, peer)) => {
                self.tries = 0;
                self.full = self.uses == Uses::Most && fds::is_reserved(tcp.as_fd());
                let lasts = !self.full && self.streak.lasts.load(Ordering::Relaxed);
                let news = if lasts { self.streak.well(clock::instant()) } else { None };
                Some(Accepted { connection: Some((tcp, peer)), news })
            }
            Err(error) => {
                let lacks = !pause_after(&error).is_zero();
                let news = self.put_off(&error.to_string(), lacks)?;
                Some(Accepted { connection: None, news: Some(news) })
            }
        }
    }

    /// It did not work; `lacks`: for want of something that others must give back first.
    fn put_off(&mut self, error: &str, lacks: bool) -> Option<ListenerNews> {
        if lacks {
            self.wait = (Duration::from_millis(50) * 2_u32.pow(self.tries.min(5))).min(LONGEST);
            self.tries += 1;
        }
        self.streak.failed(error, clock::instant())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streak_is_told_when_it_begins_and_when_it_is_over() {
        let (streak, t0) = (FailureStreak::default(), clock::instant());
        let at = |millis: u64| t0 + Duration::from_millis(millis);
        assert_eq!(streak.well(at(0)), None);
        assert_eq!(
            streak.failed("EMFILE", at(0)),
            Some(ListenerNews::Failing { error: "EMFILE".to_owned() })
        );
        for n in 1..90 {
            assert_eq!(streak.failed("EMFILE", at(n * 11)), None);
            assert_eq!(streak.well(at(n * 11 + 5)), None, "another worker is well");
        }
        assert_eq!(streak.well(at(1_900)), None, "not yet for a second");
        let lasted = Duration::from_millis(979);
        assert_eq!(streak.well(at(1_980)), Some(ListenerNews::Over { failures: 90, lasted }));
        assert_eq!(streak.well(at(3_000)), None);
        assert!(streak.failed("EMFILE", at(4_000)).is_some(), "the next one is another one");
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_tried_again_less_and_less_often() {
        let bound =
            super::super::listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), 1, None).expect("binds");
        let socket = bound.into_iter().next().expect("one");
        let mut acceptor = Acceptor::new(socket, Arc::default(), Uses::Most).expect("made");
        let waits: Vec<_> = (0..6)
            .map(|_| {
                acceptor.put_off("EMFILE", true);
                acceptor.wait.as_millis()
            })
            .collect();
        assert_eq!(waits, [50, 100, 200, 400, 500, 500]);
        acceptor.wait = Duration::ZERO;
        acceptor.put_off("ECONNABORTED", false);
        assert!(acceptor.wait.is_zero(), "that was the peer's doing");
    }
}
