//! What the system asks: stop (SIGTERM, SIGINT), read the config again (SIGHUP).

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Until the process is asked to stop; the signal's name.
pub async fn stop() -> io::Result<&'static str> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = term.recv() => "SIGTERM",
        _ = int.recv() => "SIGINT",
    })
}

/// The stream of SIGHUPs.
pub fn hangups() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}
