//! Hooks: a program, a POST or a signal that does what Strop itself cannot.

use std::process::Stdio;
use std::time::Duration;

use http::Method;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::process::ChildStderr;

use super::unlink;
use crate::config::word::Word as _;
use crate::config::{BoundHook, ClientTls, Hook, HookSignal};
use crate::net::addresses::Addresses;
use crate::net::client::{self, WebRequest};
use crate::net::http::Bound;
use crate::reliability::recovery::{ActRequest, StepResult};
use crate::telemetry::event::NamesEvent;

/// What came of an act, in a word and in words for people.
pub(super) type Done = (StepResult, String);

/// Letters of what a program or a receiver says that are shown.
const SHOWN: usize = 200;

/// What a program has said at its end is there by then.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// What hooks are called with.
pub(super) struct Web {
    addresses: Addresses,
}

impl Default for Web {
    fn default() -> Self {
        Self { addresses: Addresses::system(NamesEvent::tell_of_receiver) }
    }
}

impl Web {
    /// Runs a hook to its end.
    pub(super) async fn run(&self, bound: &BoundHook, request: &ActRequest) -> Done {
        match &bound.hook {
            Hook::Exec(command) => exec(command, request, bound.within).await,
            Hook::Web { url, ca_file } => {
                let config = ClientTls { ca_file: ca_file.clone(), ..ClientTls::default() };
                let tls = client::web_tls(&config);
                let asked = WebRequest {
                    method: Method::POST,
                    url,
                    path: "",
                    fields: vec![
                        ("content-type", "application/json".to_owned()),
                        ("idempotency-key", key(request)),
                    ],
                    body: body(request).to_string().into_bytes(),
                };
                let read = Bound { bytes: SHOWN, within: Duration::from_secs(2) };
                let came =
                    tokio::time::timeout(bound.within, client::ask(&self.addresses, &tls, asked, read)).await;
                match came {
                    Ok(Ok(answer)) => {
                        let (status, said) = (answer.head.status, shown(&answer.body));
                        let result = if status.is_success() { StepResult::Done } else { StepResult::Failed };
                        (result, format!("{url} answered {}{said}", status.as_u16()))
                    }
                    Ok(Err(error)) => (StepResult::Failed, error.to_string()),
                    // It may have been done.
                    Err(_) => {
                        (StepResult::Unknown, format!("{url} did not answer within {:?}", bound.within))
                    }
                }
            }
            Hook::Redis(keys) => unlink::keys_of(keys, bound.within).await,
            Hook::Signal { pid_file, signal } => self::signal(pid_file, *signal),
        }
    }
}

/// The same for each attempt at one act, and another one for each act.
pub(super) fn key(request: &ActRequest) -> String {
    format!("{}-{}", request.run, request.generation)
}

fn body(request: &ActRequest) -> serde_json::Value {
    json!({
        "action": request.action.label(),
        "target": &*request.target,
        "plan": &*request.plan,
        "run": request.run.as_str(),
        "incident": request.incident.as_ref().map(|id| id.as_str()),
        "attempt": request.attempt,
        "idempotency_key": key(request),
    })
}

async fn exec(command: &[String], request: &ActRequest, within: Duration) -> Done {
    let Some((program, arguments)) = command.split_first() else {
        return (StepResult::NotPossible, "no program is written".to_owned());
    };
    let mut program_run = tokio::process::Command::new(program);
    program_run
        .args(arguments)
        .env("STROP_ACTION", request.action.label())
        .env("STROP_TARGET", &*request.target)
        .env("STROP_PLAN", &*request.plan)
        .env("STROP_RUN", request.run.as_str())
        .env("STROP_INCIDENT", request.incident.as_ref().map_or("", |id| id.as_str()))
        .env("STROP_ATTEMPT", request.attempt.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = match program_run.spawn() {
        Ok(child) => child,
        Err(error) => return (StepResult::Failed, format!("{program} cannot be started: {error}")),
    };
    let (mut stderr, mut said) = (child.stderr.take(), Vec::new());
    // What it leaves running may hold its standard error open for ever.
    let ended = tokio::time::timeout(within, async {
        tokio::select! {
            biased;
            status = child.wait() => status,
            () = listen(stderr.as_mut(), &mut said) => child.wait().await,
        }
    });
    let ended = ended.await;
    let _ = tokio::time::timeout(LAST_WORDS, listen(stderr.as_mut(), &mut said)).await;
    match ended {
        Ok(Ok(status)) if status.success() => (StepResult::Done, format!("{program} ended with 0")),
        Ok(Ok(status)) => (StepResult::Failed, format!("{program}: {status}{}", shown(&said))),
        Ok(Err(error)) => (StepResult::Unknown, format!("{program}: {error}")),
        Err(_) => (StepResult::Unknown, format!("{program} was ended: it had not within {within:?}")),
    }
}

/// Reads to the end, and keeps the beginning.
async fn listen(stderr: Option<&mut ChildStderr>, said: &mut Vec<u8>) {
    let Some(stderr) = stderr else { return };
    let mut piece = [0; 1_024];
    while let Ok(n @ 1..) = stderr.read(&mut piece).await {
        let room = SHOWN.saturating_sub(said.len());
        said.extend_from_slice(piece.get(..n.min(room)).unwrap_or_default());
    }
}

fn signal(pid_file: &std::path::Path, signal: HookSignal) -> Done {
    let failed = |why: String| (StepResult::Failed, why);
    let text = match crate::runtime::files::read_to_string(pid_file) {
        Ok(text) => text,
        Err(error) => return failed(format!("{}: {error}", pid_file.display())),
    };
    // 1 is whoever holds all others, 0 and below are groups.
    let Some(pid) = text.trim().parse::<i32>().ok().filter(|pid| *pid > 1) else {
        return failed(format!("{} holds no process id above 1", pid_file.display()));
    };
    if u32::try_from(pid) == Ok(std::process::id()) {
        return failed(format!("{} holds the id of this process", pid_file.display()));
    }
    let named = match signal {
        HookSignal::Terminate => rustix::process::Signal::TERM,
        HookSignal::HangUp => rustix::process::Signal::HUP,
        HookSignal::User1 => rustix::process::Signal::USR1,
        HookSignal::User2 => rustix::process::Signal::USR2,
    };
    let Some(process) = rustix::process::Pid::from_raw(pid) else {
        return failed(format!("{pid} is no process id"));
    };
    match rustix::process::kill_process(process, named) {
        Ok(()) => (StepResult::Done, format!("process {pid} was sent {}", signal.word())),
        Err(error) => failed(format!("process {pid}: {error}")),
    }
}

/// What was said, in one short line that begins with a colon; nothing where nothing was.
fn shown(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said.get(..SHOWN).unwrap_or(said));
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() { line } else { format!(": {line}") }
}
