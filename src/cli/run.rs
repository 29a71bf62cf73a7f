//! `strop run` and `strop healthcheck`.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::file::{found, overrides, read};
use super::output::{complain, say};
use crate::app::{App, Start};
use crate::config::Config;
use crate::runtime::signals::{self, Signal};
use crate::telemetry::event::Event;
use crate::telemetry::logging;

/// Runs until it is told to stop. 0: left in order; 1: could not start; 2: the config cannot run; 3: left late.
pub(super) fn run(named: Option<PathBuf>, backend: Option<&str>) -> ExitCode {
    let ground = match Ground::lay() {
        Ok(ground) => ground,
        Err(code) => return code,
    };
    let env = overrides(backend);
    let path = found(named);
    match read(path.as_deref(), &env) {
        Ok(config) => {
            // Whoever begins without a file of their own is told where to look.
            let begins = path.is_none() || backend.is_some();
            serve(ground, config, path, env, |app| {
                if begins {
                    page(app)
                }
            })
        }
        Err(problem) => {
            complain(&problem);
            ExitCode::from(2)
        }
    }
}

/// Says where the page is.
pub(super) fn page(app: &App) {
    if let Some((_, address)) = app.addresses.iter().find(|(name, _)| name == "admin") {
        say(&format!("the page is at http://{address}/ and `strop status` says the same; stop with Ctrl-C"));
    }
}

/// What there is before anything is read: whoever sends a SIGHUP to a process that is only starting means no harm.
pub(super) struct Ground {
    runtime: tokio::runtime::Runtime,
    hangups: std::io::Result<Signal>,
}

impl Ground {
    /// Hangups are heard from now on.
    pub(super) fn lay() -> Result<Self, ExitCode> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime =
            builder.worker_threads(1).max_blocking_threads(8).thread_name("strop-control").enable_all();
        match runtime.build() {
            Ok(runtime) => {
                let hangups = runtime.block_on(async { signals::hangups() });
                Ok(Self { runtime, hangups })
            }
            Err(error) => {
                complain(&format!("the control runtime cannot start: {error}"));
                Err(ExitCode::FAILURE)
            }
        }
    }
}

/// Runs a checked config; `started` hears of the running app.
pub(super) fn serve(
    Ground { runtime, hangups }: Ground,
    config: Config,
    path: Option<PathBuf>,
    env: Vec<(String, String)>,
    started: impl FnOnce(&App),
) -> ExitCode {
    let filter = logging::start(&config.process.log, config.process.log_json);
    let shown = path.as_ref().map_or("built-in".to_owned(), |path| path.display().to_string());
    let version = env!("CARGO_PKG_VERSION");
    Event::Starting { version, workers: config.process.workers, config: &shown }.tell();
    let code = runtime.block_on(async {
        let mut stop = std::pin::pin!(signals::stop());
        let starting = App::start(Start { config, path, env, filter, hangups });
        let began = tokio::select! {
            biased;
            began = starting => began,
            // As the first process of a container it would not be heard otherwise.
            _ = &mut stop => return ExitCode::SUCCESS,
        };
        let mut app = match began {
            Ok(app) => app,
            Err(error) => {
                complain(&format!("cannot start: {error:#}"));
                return ExitCode::FAILURE;
            }
        };
        app.watch_config();
        started(&app);
        let why =
            app.until_stopped(stop).await.unwrap_or_else(|error| format!("signals cannot be heard: {error}"));
        if app.leave(&why).await { ExitCode::SUCCESS } else { ExitCode::from(3) }
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    code
}

/// Asks `/readyz` of whichever address of `admin` answers, as a container's health check does. 0: ready; 1: not, or nobody
/// answers; 2: it is no address.
pub(super) fn healthcheck(admin: &str) -> ExitCode {
    let all: Vec<SocketAddr> = match admin.to_socket_addrs() {
        Ok(all) => all.collect(),
        Err(error) => {
            complain(&format!(
                "--admin {admin:?} leads nowhere: {error}; write HOST:PORT, such as 127.0.0.1:9901"
            ));
            return ExitCode::from(2);
        }
    };
    let mut told = format!("--admin {admin:?} has no address");
    for address in all {
        match asked(address) {
            Ok(answer) if answer.starts_with("HTTP/1.1 200 ") => return ExitCode::SUCCESS,
            Ok(answer) => {
                let said = answer.rsplit("\r\n\r\n").next().unwrap_or_default().trim();
                complain(&format!("{address} is not ready: {said}"));
                return ExitCode::FAILURE;
            }
            Err(error) => told = format!("nobody answers at {address}: {error}"),
        }
    }
    complain(&told);
    ExitCode::FAILURE
}

fn asked(admin: SocketAddr) -> std::io::Result<String> {
    let patience = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&admin, patience)?;
    stream.set_read_timeout(Some(patience))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
