//! What is worth telling of the process itself.

use std::net::IpAddr;

use tracing::{info, warn};

use crate::net::acceptor::ListenerNews;
use crate::reliability::failover::Group;

/// Something worth telling of what is buffered.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum MemoryEvent<'a> {
    Budget { bytes: usize, limit: usize, of: &'a str },
    Short { held: usize, limit: usize },
    Enough { held: usize, limit: usize },
}

impl MemoryEvent<'_> {
    pub(super) fn tell(&self) {
        match *self {
            Self::Budget { bytes, limit, of } => {
                info!(bytes, limit, of, "traffic may take so much memory for its buffers");
            }
            Self::Short { held, limit } => {
                warn!(held, limit, "memory for buffers is short: what holds most and does not move is ended");
            }
            Self::Enough { held, limit } => info!(held, limit, "memory for buffers is no longer short"),
        }
    }
}

/// Something worth telling of the process itself: what it may use, when it stood still.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum ProcessEvent<'a> {
    AcceptFailed { listener: &'a str, error: &'a str },
    AcceptsAgain { listener: &'a str, failures: u64, seconds: f64 },
    FdLimit { was: Option<u64>, limit: Option<u64>, kept: u64 },
    FdsLow { used: u64, limit: u64 },
    Paused { seconds: f64 },
    PostRefused { from: &'a str, why: &'a str },
    Heartbeat { heard: Result<&'a str, (&'a str, &'a str)> },
    ClockStepped { seconds: f64, slept: bool },
    Flooded { client: IpAddr, frames: &'a str },
    AutoscalerLetDown { told: &'a str },
    TapOpened { wanted: &'a str, seconds: f64 },
    TapClosed { why: &'a str, told: u64, lost: u64 },
}

impl<'a> ProcessEvent<'a> {
    /// What a listener has to tell.
    pub fn accepting(listener: &'a str, news: &'a ListenerNews) -> Self {
        match news {
            ListenerNews::Failing { error } => Self::AcceptFailed { listener, error },
            ListenerNews::Over { failures, lasted } => {
                Self::AcceptsAgain { listener, failures: *failures, seconds: lasted.as_secs_f64() }
            }
        }
    }
}

impl ProcessEvent<'_> {
    pub fn tell(&self) {
        match *self {
            Self::AcceptFailed { listener, error } => {
                warn!(listener, error, "accept failed; it is told again when it works")
            }
            Self::AcceptsAgain { listener, failures, seconds } => {
                info!(listener, failures, seconds, "connections are accepted again");
            }
            Self::Flooded { client, frames } => {
                warn!(%client, frames, "an HTTP/2 client sent too many frames that bring nothing: its connection is ended");
            }
            Self::AutoscalerLetDown { told } => info!(component = super::RECOVERY, told, "its time is over"),
            Self::TapOpened { wanted, seconds } => {
                info!(wanted, seconds, "a tap is open: somebody looks on as exchanges end");
            }
            Self::TapClosed { why, told, lost } => info!(why, told, lost, "a tap is closed"),
            Self::FdLimit { was, limit, kept } => {
                info!(was, limit, kept, "file descriptors; `kept` are for the admin port and the store");
            }
            Self::FdsLow { used, limit } => warn!(used, limit, "file descriptors are running out"),
            Self::PostRefused { from, why } => {
                warn!(from, why, "a post that says it is from a pager or a chat is not heard");
            }
            Self::Heartbeat { heard: Ok(said) } => info!(said, "the heartbeat is heard"),
            Self::Heartbeat { heard: Err((why, error)) } => {
                warn!(
                    why,
                    error,
                    "no heartbeat: whoever waits for it will notice; it is told again when it is heard"
                );
            }
            Self::ClockStepped { seconds, slept: true } => {
                info!(seconds, "the machine slept: nobody saw these seconds");
            }
            Self::ClockStepped { seconds, slept: false } => {
                warn!(
                    seconds,
                    "the wall clock made a step against the monotonic one: moments follow it, spans stay"
                );
            }
            Self::Paused { seconds } => {
                warn!(
                    seconds,
                    "the process stood still: deadlines are later by that, nobody saw these seconds"
                );
            }
        }
    }
}

/// Something worth telling of orders about the process.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum OrderEvent<'a> {
    LogFilter { filter: &'a str, why: &'a str },
    ReadinessReleased { actor: &'a str, reason: &'a str },
}

impl OrderEvent<'_> {
    pub fn tell(&self) {
        match *self {
            Self::LogFilter { filter, why } => {
                info!(filter, why, "what is logged is decided by another filter")
            }
            Self::ReadinessReleased { actor, reason } => {
                info!(actor, reason, "the time is over for which an order held traffic off");
            }
        }
    }
}

/// The degradation level, or what it says, is another one.
#[derive(Debug)]
pub struct LevelMoved<'a> {
    pub from: u8,
    pub to: u8,
    /// What the application is told; empty: nothing any more.
    pub told: &'a str,
    pub why: &'a str,
}

impl LevelMoved<'_> {
    pub fn tell(&self) {
        let Self { from, to, told, why } = *self;
        if to == 0 {
            info!(component = super::RECOVERY, from, to, why, "degradation is over");
        } else {
            warn!(from, to, told, why, "degradation level");
        }
    }
}

/// Another group of an upstream's endpoints is called.
#[derive(Debug)]
pub struct FailedOver<'a> {
    pub upstream: &'a str,
    pub to: Group,
    pub why: &'a str,
}

impl FailedOver<'_> {
    pub fn tell(&self) {
        let Self { upstream, to, why } = *self;
        match to {
            Group::First => {
                info!(component = super::RECOVERY, upstream, why, "first endpoints are called again")
            }
            Group::Backup => warn!(upstream, why, "failed over to the backup endpoints"),
        }
    }
}
