//! A clock that is set while it runs: a real binary under a clock of its own, which a library in front of the C library makes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::support::proxy::{Proxy, proxy_by};
use crate::support::upstream::{Upstream, status};
use crate::support::{eventually, within};

/// The wall clock plus as many seconds as the file says; all others are the kernel's.
const CLOCK: &str = r#"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *at) {
  int done = (int)syscall(SYS_clock_gettime, id, at);
  if (done != 0 || id != CLOCK_REALTIME) return done;
  char text[32] = {0};
  int file = open(getenv("WALL_CLOCK"), O_RDONLY);
  if (file >= 0) {
    if (read(file, text, sizeof text - 1) > 0) at->tv_sec += atol(text);
    close(file);
  }
  return done;
}
"#;

pub struct Clock {
    dir: tempfile::TempDir,
}

impl Clock {
    pub fn new(seconds: i64) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("clock.c"), CLOCK).expect("writes");
        let made = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o", "clock.so", "clock.c"])
            .current_dir(&dir)
            .status();
        assert!(made.expect("a C compiler, as Rust needs one").success());
        let clock = Self { dir };
        clock.set(seconds);
        clock
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("seconds")
    }

    /// So many seconds ahead of the machine's, from now on.
    pub fn set(&self, seconds: i64) {
        let draft = self.dir.path().join("draft");
        std::fs::write(&draft, seconds.to_string()).expect("writes");
        std::fs::rename(draft, self.file()).expect("swaps");
    }

    fn proxy(&self, toml: &str) -> Proxy {
        self.proxy_in(tempfile::tempdir().expect("a directory"), toml)
    }

    pub fn proxy_in(&self, dir: tempfile::TempDir, toml: &str) -> Proxy {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strop"));
        command
            .args(["run", "--config"])
            .arg(dir.path().join("strop.toml"))
            .env("STATE_DIRECTORY", dir.path());
        command.env("LD_PRELOAD", self.dir.path().join("clock.so")).env("WALL_CLOCK", self.file());
        proxy_by(&mut command, dir, toml)
    }
}

fn now() -> SystemTime {
    SystemTime::now()
}

fn moment(text: &serde_json::Value) -> SystemTime {
    let at: jiff::Timestamp = text.as_str().expect("text").parse().unwrap_or_else(|_| panic!("{text}"));
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(at.as_millisecond()).expect("after 1970"))
}

fn secret(dir: &Path) -> String {
    let file = dir.join("secret");
    std::fs::write(&file, "0123456789abcdef").expect("writes");
    format!("{}", file.display())
}

fn opened(proxy: &Proxy, severity: &str) -> String {
    eventually("it has looked", || {
        proxy.sre("uptime")["subjects"].as_array().is_some_and(|all| !all.is_empty())
    });
    let made = proxy.post("test/incident", &format!(r#"{{"title": "A test", "severity": "{severity}"}}"#));
    made.json()["incident"]["id"].as_str().unwrap_or_else(|| panic!("{}", made.text())).to_owned()
}

#[test]
fn a_start_that_was_two_hours_ahead_is_set_right_and_nothing_lies_in_the_future() {
    let clock = Clock::new(7_200);
    let (backend, alertmanager) = (Upstream::start(status(200)), Upstream::start(status(200)));
    let proxy = clock.proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{}"]
            [notify.am]
            kind = "alertmanager"
            urls = ["http://{}"]
            interval = "1s"
        "#,
        backend.address, alertmanager.address
    ));
    let id = opened(&proxy, "critical");
    let shown = || proxy.sre(&format!("incidents/{id}"));
    eventually("it is told", || alertmanager.hits() > 0);
    clock.set(0);
    eventually("the step is a line of the timeline", || {
        shown()["timeline"].to_string().contains("the clock was set back by ")
    });
    let told = shown();
    let began = told["began_at"].clone();
    assert!(moment(&began) <= now(), "{told}");
    let before = alertmanager.hits();
    eventually("it is told again", || alertmanager.hits() > before + 1);
    let last = alertmanager.seen().pop().expect("told");
    let alert = serde_json::from_slice::<serde_json::Value>(&last.body).expect("JSON")[0].clone();
    assert!(moment(&alert["startsAt"]) < moment(&alert["endsAt"]), "it would be refused: {alert}");
    assert!(moment(&alert["startsAt"]) <= now(), "{alert}");
    eventually("that it was set is an incident of its own", || {
        let all = proxy.sre("incidents")["incidents"].as_array().expect("a list").clone();
        all.iter().any(|one| {
            let title = one["title"].as_str().unwrap_or_default();
            title.starts_with("the clock of this machine was set back by ") && one["severity"] == "low"
        })
    });
    // A silence for an hour from now is one.
    let made =
        proxy.post("silences", r#"{"service": "backend", "for": "1h", "reason": "known", "actor": "ann"}"#);
    let until = moment(&made.json()["silence"]["until"]);
    let left = until.duration_since(now()).unwrap_or_default();
    assert!(left > Duration::from_secs(3_500) && left <= Duration::from_secs(3_601), "{left:?}");
}

#[test]
fn a_call_that_waits_is_not_held_back_by_a_clock_that_is_set_back() {
    let clock = Clock::new(0);
    let (backend, hook) = (Upstream::start(status(200)), Upstream::start(status(500)));
    let secrets = tempfile::tempdir().expect("a directory");
    let proxy = clock.proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{}"]
            [notify.hook]
            kind = "webhook"
            url = "http://{}/"
            secret_file = "{}"
        "#,
        backend.address,
        hook.address,
        secret(secrets.path())
    ));
    let id = opened(&proxy, "critical");
    eventually("the call has failed once", || hook.hits() > 0);
    hook.answer(status(200));
    let (failed, before) = (hook.hits(), std::time::Instant::now());
    clock.set(-3_600);
    within(Duration::from_secs(30), "it is called again within seconds, not within an hour", || {
        hook.hits() > failed
    });
    assert!(before.elapsed() < Duration::from_secs(30));
    eventually("it arrived", || {
        proxy.sre(&format!("incidents/{id}"))["timeline"].to_string().contains("arrived")
    });
}
