//! Channels, told by their own means: what each is sent, what becomes of it, what it costs where it hangs or lies.

mod mail;
mod pagers;
mod slack;
mod webhook;
mod whole;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use strop::names::ChannelName;
use strop::notify::queue::{DeliveryState, NotificationQueue, Queued};
use strop::notify::{
    Channels, DeliveryError, DeliveryFailure, Message, MessageKind, Receipt, Sender, Severity, millis,
};
use strop::reliability::brief::Brief;

use crate::support::secure::{TlsFront, issue};
use crate::support::tools::{Server, python, run, tool};
use crate::support::upstream::{Seen, Upstream, bytes, status};
use crate::support::{PATIENCE, eventually};

const SECRET: &str = "0123456789abcdef";

/// A sender with the channels of a config, and the files that hold its secrets.
struct Engine {
    runtime: tokio::runtime::Runtime,
    sender: Sender,
    dir: tempfile::TempDir,
}

/// `SECRET_FILE` in the config stands for a file with [`SECRET`], `DIR` for a directory.
fn engine(toml: &str, patience: Duration) -> Engine {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("secret"), SECRET).expect("writes");
    let sender = Sender::new(Arc::new(channels(toml, dir.path())), patience);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    Engine { runtime: runtime.expect("a runtime"), sender, dir }
}

fn config(toml: &str, dir: &Path) -> String {
    let dir = dir.display().to_string();
    let toml = toml.replace("SECRET_FILE", &format!("\"{dir}/secret\"")).replace("DIR", &dir);
    format!(
        r#"
            [ingress]
            [upstreams.backend]
            endpoints = ["127.0.0.1:1"]
            {toml}
        "#
    )
}

fn channels(toml: &str, dir: &Path) -> Channels {
    let config = strop::config::load(&config(toml, dir), "a test", &[]);
    Channels::new(&config.unwrap_or_else(|problems| panic!("{problems}")))
}

fn named(name: &str) -> ChannelName {
    ChannelName::new(name).expect("a name")
}

impl Engine {
    fn tell(&self, channel: &str, message: &Message) -> Result<Receipt, DeliveryError> {
        self.tell_as(channel, message, "019-message")
    }

    fn tell_as(&self, channel: &str, message: &Message, id: &str) -> Result<Receipt, DeliveryError> {
        self.runtime.block_on(self.sender.deliver(&named(channel), message, id))
    }

    fn fails(&self, channel: &str) -> DeliveryError {
        self.tell(channel, &incident(MessageKind::Trigger)).expect_err("nobody was told")
    }
}

fn now() -> u64 {
    millis(std::time::SystemTime::now())
}

fn incident(kind: MessageKind) -> Message {
    let at = now();
    Message {
        incident_id: "019-incident".to_owned(),
        dedup_key: "payments/UpstreamDown/stripe".to_owned(),
        kind,
        severity: Severity::Critical,
        title: "Stripe does not <answer> & bookings fail".to_owned(),
        summary: "42 % of attempts failed".to_owned(),
        service: "payments".to_owned(),
        rule: "UpstreamDown".to_owned(),
        started_at: at - 30_000,
        at,
        ends_at: (kind == MessageKind::Resolve).then_some(at),
        link: Some("https://strop.example/incidents/019?a=1&b=2".to_owned()),
        facts: vec![("error rate".to_owned(), "42 %".to_owned())],
        instance: "pod-7".to_owned(),
        brief: Brief::default(),
        thread: None,
    }
}

fn webhook(url: &str) -> String {
    format!(
        r#"
            [notify.hook]
            kind = "webhook"
            url = "{url}"
            secret_file = SECRET_FILE
        "#
    )
}

fn hook(receiver: &Upstream) -> Engine {
    engine(&webhook(&format!("http://{}/hook?to=us", receiver.address)), PATIENCE)
}

fn json(body: &[u8]) -> serde_json::Value {
    serde_json::from_slice(body).expect("JSON")
}
