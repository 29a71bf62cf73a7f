//! What the system asks: stop (SIGTERM, SIGINT), read the config again (SIGHUP).

use std::future::Future;
use std::io;
use std::time::Duration;

pub use tokio::signal::unix::Signal;
use tokio::signal::unix::{SignalKind, signal};

use super::clock;

/// Until the process is asked to stop; the signal's name.
pub async fn stop() -> io::Result<&'static str> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = term.recv() => "SIGTERM",
        _ = int.recv() => "SIGINT",
    })
}

/// What is sent within this time of the first signal is the same wish: process groups get one twice.
const SAME_WISH: Duration = Duration::from_secs(1);

/// Until the process is asked to stop once more. Listens from now on.
pub fn again() -> impl Future<Output = &'static str> {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let since = clock::instant();
    async move {
        let (Ok(mut term), Ok(mut int)) = signals else { return std::future::pending().await };
        loop {
            let name = tokio::select! {
                _ = term.recv() => "SIGTERM",
                _ = int.recv() => "SIGINT",
            };
            if clock::instant().saturating_duration_since(since) >= SAME_WISH {
                return name;
            }
        }
    }
}

/// The stream of SIGHUPs.
pub fn hangups() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}
