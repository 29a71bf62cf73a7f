//! `[recovery.actions.<action>]`: how an action is done here that Strop cannot do itself.

use std::path::PathBuf;
use std::time::Duration;

#[cfg(test)]
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::channels::WebUrl;
use super::problem::{HOUR, Part};
use super::secret;
use super::word::{OneOf, words};
use crate::reliability::recovery::Action;
use crate::units::Text;

/// Of the keys of a cache.
const LONGEST_PREFIX: usize = 256;

/// `[recovery.actions.<action>]`: exactly one of `exec`, `url` (or `url_file`), `pid_file`, and for `cache_clear` also `redis`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct HookFile {
    /// Program and arguments, run without a shell; what is to be done is in its environment (`STROP_ACTION`,
    /// `STROP_TARGET`, `STROP_INCIDENT`, `STROP_RUN`, `STROP_ATTEMPT`). It has worked when it ends with 0.
    pub exec: Vec<String>,
    /// Called by POST with the same as JSON; it has worked when the answer is 2xx.
    pub url: Option<String>,
    /// File with the address, where it is itself a secret.
    pub url_file: Option<String>,
    /// Of `cache_clear`: `redis://[user@]host[:6379][/0]`, or `rediss://` for TLS; the keys that begin with `prefix` are
    /// removed. One server or the primary of several, not a Redis Cluster, whose members each hold a part.
    pub redis: Option<String>,
    /// File with the password for `redis`.
    pub password_file: Option<String>,
    /// Of `redis`: how the keys begin that are removed.
    pub prefix: Option<String>,
    /// Extra roots for `url` and `rediss://`, PEM, beside the system's.
    pub ca_file: Option<String>,
    /// File with the id of the process that is sent `signal`; needs the application's process to be seen
    /// (`shareProcessNamespace`).
    pub pid_file: Option<String>,
    /// The signal for `pid_file`.
    pub signal: OneOf<HookSignal>,
    /// How long `exec`, `url` and `redis` may take.
    pub within: Text<Duration>,
}

impl Default for HookFile {
    fn default() -> Self {
        Self {
            exec: Vec::new(),
            url: None,
            url_file: None,
            redis: None,
            password_file: None,
            prefix: None,
            ca_file: None,
            pid_file: None,
            signal: OneOf(HookSignal::Terminate),
            within: Text(Duration::from_secs(30)),
        }
    }
}

/// What a process is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookSignal {
    Terminate,
    HangUp,
    User1,
    User2,
}

words! {
    HookSignal: "signal" {
        Terminate = "TERM", "end in good order; whoever watches over it starts it again";
        HangUp = "HUP", "what many servers take for a reload";
        User1 = "USR1", "whatever the application does at it";
        User2 = "USR2", "whatever the application does at it";
    }
}

/// How an action is done here.
#[derive(Clone, Debug)]
pub enum Hook {
    /// A program with its arguments.
    Exec(Vec<String>),
    /// A POST.
    Web { url: WebUrl, ca_file: Option<PathBuf> },
    /// The keys of a Redis that begin so are removed.
    Redis(RedisKeys),
    /// A signal to the process whose id is in the file.
    Signal { pid_file: PathBuf, signal: HookSignal },
}

/// A hook, and how long it may take.
#[derive(Clone, Debug)]
pub struct BoundHook {
    pub hook: Hook,
    /// How long it may take.
    pub within: Duration,
}

/// Keys of a Redis.
#[derive(Clone, Debug)]
pub struct RedisKeys {
    /// Where it is; without a password.
    pub url: String,
    /// `None`: no password is sent.
    pub password: Option<SecretString>,
    /// Extra roots, PEM.
    pub ca_file: Option<PathBuf>,
    /// How the keys begin; never empty.
    pub prefix: String,
}

impl HookFile {
    pub(super) fn check(&self, mut at: Part<'_, '_>, action: Action) -> Option<BoundHook> {
        let within = at.lasts("within", self.within, 1, HOUR);
        let ways = [
            !self.exec.is_empty(),
            self.url.is_some(),
            self.url_file.is_some(),
            self.pid_file.is_some(),
            self.redis.is_some(),
        ];
        if ways.iter().filter(|way| **way).count() != 1 {
            let redis = if action == Action::CacheClear { ", redis" } else { "" };
            let ways = format!("exec = [\"/path\", …], url = \"https://…\", url_file{redis} and pid_file");
            at.add("", format!("write exactly one of {ways}"));
            return None;
        }
        self.of_redis_alone(&mut at);
        let hook = if let Some(file) = &self.pid_file {
            Hook::Signal { pid_file: PathBuf::from(file), signal: self.signal.0 }
        } else if let Some(url) = &self.redis {
            if action != Action::CacheClear {
                at.add("redis", format!("removes keys, which is no way to do {}", action.label()));
            }
            Hook::Redis(self.redis(&mut at, url)?)
        } else if let Some(program) = self.exec.first() {
            if !program.starts_with('/') {
                at.add(
                    "exec",
                    format!("{program:?} is no absolute path; there is no shell that would search it"),
                );
            }
            Hook::Exec(self.exec.clone())
        } else {
            let ca_file = self.ca_file.as_ref().map(|file| at.readable("ca_file", file));
            let url = WebUrl::of_keys(&mut at, self.url.as_deref(), self.url_file.as_deref())?;
            Hook::Web { url, ca_file }
        };
        Some(BoundHook { hook, within })
    }

    fn of_redis_alone(&self, at: &mut Part<'_, '_>) {
        let written = [("password_file", &self.password_file), ("prefix", &self.prefix)];
        for (key, _) in written.iter().filter(|(_, value)| value.is_some() && self.redis.is_none()) {
            at.add(key, "is of no use without redis = \"redis://host:6379/0\"");
        }
    }

    fn redis(&self, at: &mut Part<'_, '_>, url: &str) -> Option<RedisKeys> {
        let url = at.take("redis", redis_url(url));
        let password = self.password_file.as_deref().map(|file| secret::read(file, "a password", 1));
        let password = password.and_then(|read| at.take("password_file", read));
        let ca_file = self.ca_file.as_ref().map(|file| at.readable("ca_file", file));
        let prefix = self.prefix.clone().unwrap_or_default();
        if prefix.is_empty() || prefix.len() > LONGEST_PREFIX {
            let told = format!(
                "write how the keys of the cache begin, in at most {LONGEST_PREFIX} bytes, as in prefix = \"cache:\"; \
                 without one all keys would be removed"
            );
            at.add("prefix", told);
        }
        Some(RedisKeys { url: url?, password, ca_file, prefix })
    }
}

/// Checks an address of a Redis, which holds no password and asks for nothing that is not known here.
fn redis_url(url: &str) -> Result<String, String> {
    let bad =
        |why: &str| format!("{why}; write \"redis://[user@]host[:port][/database]\", or rediss:// for TLS");
    let Some(rest) = url.strip_prefix("redis://").or_else(|| url.strip_prefix("rediss://")) else {
        return Err(bad(&format!("{url:?} is no address of a Redis")));
    };
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    secret::none_in(authority)?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if rest.contains(['?', '#']) {
        return Err(bad("has parameters, of which none is known here"));
    }
    if !database.is_empty() && database.parse::<u16>().is_err() {
        return Err(bad(&format!("{database:?} is no number of a database")));
    }
    let authority: http::uri::Authority =
        host.parse().map_err(|_| bad(&format!("{host:?} is no host and port")))?;
    if authority.host().is_empty() || (host != authority.host() && authority.port_u16().is_none()) {
        return Err(bad(&format!("{host:?} is no host and port")));
    }
    Ok(url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_a_redis_is_one_and_holds_no_password() {
        for url in ["redis://h", "rediss://user@h:6380/3", "redis://127.0.0.1:6379", "redis://[::1]:6379/0"] {
            assert_eq!(redis_url(url).as_deref(), Ok(url));
        }
        for (url, told) in [
            ("http://h", "is no address of a Redis"),
            ("redis://", "is no host and port"),
            ("redis://h:99999", "is no host and port"),
            ("redis://h:6379/x", "is no number of a database"),
            ("redis://h:6379/0?protocol=resp3", "has parameters"),
        ] {
            let problem = redis_url(url).expect_err(url);
            assert!(problem.contains(told) && problem.contains("write \"redis://"), "{url}: {problem}");
        }
        let problem = redis_url("redis://:s3cret@h:6379/0").expect_err("a password");
        assert!(problem.contains("password_file") && !problem.contains("s3cret"), "{problem}");
    }
}
