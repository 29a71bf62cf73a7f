//! Checks `[notify.<name>]`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use super::{Channel, ChannelKind, Hidden, Kind, Mail, MailTls, WebUrl, is_loopback};
use crate::config::check::secret;
use crate::config::file::NotifyFile;
use crate::config::problem::Collector;
use crate::config::upstreams::endpoint;
use crate::config::word::{OneOf, Word as _};
use crate::names::ChannelName;

/// PagerDuty's public API (developer.pagerduty.com, "Events API v2").
const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";
/// How often a firing alert is sent again; Prometheus does so each minute (`--rules.alert.resend-delay`).
const INTERVAL: Duration = Duration::from_secs(60);

/// Checks one channel.
pub(in crate::config) fn check(
    name: &str,
    written: &NotifyFile,
    problems: &mut Collector<'_>,
) -> Option<Channel> {
    let at = format!("notify.{name}");
    let checked = problems.take(&at, ChannelName::new(name));
    let mut part = Part { at: &at, written, problems };
    let kind = match written.kind.map(|OneOf(kind)| kind) {
        Some(Kind::Webhook) => part.webhook(),
        Some(Kind::PagerDuty) => part.pagerduty(),
        Some(Kind::Slack) => part.slack(),
        Some(Kind::Email) => part.email(),
        Some(Kind::Alertmanager) => part.alertmanager(),
        None => {
            let words: Vec<_> = Kind::WORDS.iter().map(|(_, word, _)| *word).collect();
            part.add("kind", format!("is missing; write one of {}", words.join(", ")));
            None
        }
    };
    let ca_file = part.ca_file();
    Some(Channel { name: checked?, ca_file, kind: kind? })
}

/// One table, and where its problems go.
struct Part<'a, 'p> {
    at: &'a str,
    written: &'a NotifyFile,
    problems: &'a mut Collector<'p>,
}

impl Part<'_, '_> {
    fn add(&mut self, key: &str, message: impl fmt::Display) {
        let path = if key.is_empty() { self.at.to_owned() } else { format!("{}.{key}", self.at) };
        self.problems.add(&path, message);
    }

    fn take<T>(&mut self, key: &str, read: Result<T, String>) -> Option<T> {
        self.problems.take(&format!("{}.{key}", self.at), read)
    }

    fn kind(&self) -> &'static str {
        self.written.kind.map_or("", |OneOf(kind)| kind.word())
    }

    /// Only these keys mean anything here.
    fn only(&mut self, known: &[&str]) {
        for key in self.written.written() {
            if !known.contains(&key) {
                let kind = self.kind();
                self.add(
                    key,
                    format!("{kind} has no key {key:?}; take it out (known: {})", known.join(", ")),
                );
            }
        }
    }

    fn needed(&mut self, key: &str, file: Option<&String>, what: &str, least: usize) -> Option<SecretString> {
        match file {
            Some(file) => self.take(key, secret(file, what, least)),
            None => {
                self.add("", format!("{} needs {key} = \"FILE\", a file with {what}", self.kind()));
                None
            }
        }
    }

    fn ca_file(&mut self) -> Option<PathBuf> {
        let file = self.written.ca_file.as_ref()?;
        if let Err(error) = std::fs::metadata(file) {
            self.add("ca_file", format!("{file:?} cannot be read: {error}"));
        }
        Some(PathBuf::from(file))
    }

    /// From `url` or `url_file`, exactly one of them.
    fn one_url(&mut self) -> Option<WebUrl> {
        let (key, read) = match (&self.written.url, &self.written.url_file) {
            (Some(url), None) => ("url", WebUrl::read(url, Hidden::No)),
            (None, Some(file)) => {
                let held = secret(file, "an address", 1);
                ("url_file", held.and_then(|url| WebUrl::read(url.expose_secret(), Hidden::Path)))
            }
            (Some(_), Some(_)) => ("url", Err("is written twice: take out url or url_file".to_owned())),
            (None, None) => {
                let kind = self.kind();
                let message =
                    format!("{kind} needs url = \"https://…\", or url_file when the address is a secret");
                self.add("", message);
                return None;
            }
        };
        self.take(key, read)
    }

    /// What carries a secret in the clear is for this machine only.
    fn sealed(&mut self, key: &str, url: Option<WebUrl>) -> Option<WebUrl> {
        let url = url?;
        if !url.secure && !is_loopback(&url.host) {
            self.add(key, "would send a secret in the clear: write https://");
        }
        Some(url)
    }

    fn webhook(&mut self) -> Option<ChannelKind> {
        self.only(&["url", "url_file", "secret_file"]);
        let url = self.one_url();
        let file = self.written.secret_file.as_ref();
        let secret = self.needed("secret_file", file, "a key that signs", 16);
        Some(ChannelKind::Webhook { url: url?, secret: secret? })
    }

    fn pagerduty(&mut self) -> Option<ChannelKind> {
        self.only(&["url", "routing_key_file"]);
        let url = WebUrl::read(self.written.url.as_deref().unwrap_or(PAGERDUTY), Hidden::No);
        let url = self.take("url", url);
        let url = self.sealed("url", url);
        let file = self.written.routing_key_file.as_ref();
        let routing_key = self.needed("routing_key_file", file, "the integration's routing key", 16);
        Some(ChannelKind::PagerDuty { url: url?, routing_key: routing_key? })
    }

    fn slack(&mut self) -> Option<ChannelKind> {
        self.only(&["url_file"]);
        if self.written.url_file.is_none() {
            self.add("", "slack needs url_file = \"FILE\", a file with the address of the incoming webhook");
            return None;
        }
        let url = self.one_url();
        let url = self.sealed("url_file", url);
        Some(ChannelKind::Slack { url: url? })
    }

    fn alertmanager(&mut self) -> Option<ChannelKind> {
        self.only(&["urls", "token_file", "interval"]);
        let urls = self.written.urls.clone().unwrap_or_default();
        if urls.is_empty() {
            self.add(
                "",
                "alertmanager needs urls = [\"http://alertmanager:9093\"], all members of its cluster",
            );
        }
        let urls: Result<Vec<_>, _> = urls.iter().map(|url| WebUrl::read(url, Hidden::No)).collect();
        let urls = self.take("urls", urls);
        let token = match &self.written.token_file {
            Some(file) => Some(self.take("token_file", secret(file, "a token", 16))?),
            None => None,
        };
        let interval = self.written.interval.map_or(INTERVAL, |interval| interval.0);
        if !(Duration::from_secs(1)..=Duration::from_secs(3_600)).contains(&interval) {
            self.add("interval", "must be within 1s and 1h");
        }
        Some(ChannelKind::Alertmanager { urls: urls?, token, interval })
    }

    fn email(&mut self) -> Option<ChannelKind> {
        self.only(&["server", "tls", "username", "password_file", "from", "to"]);
        let tls = self.written.tls.map_or(MailTls::StartTls, |OneOf(tls)| tls);
        let server = match self.written.server.as_deref() {
            Some(server) => self.take("server", endpoint(server)),
            None => {
                self.add("", "email needs server = \"smtp.example.com:587\"");
                None
            }
        };
        if let (MailTls::Plain, Some(server)) = (tls, &server)
            && !is_loopback(&server.host)
        {
            self.add("tls", "\"none\" is for servers on loopback; write \"starttls\" or \"implicit\"");
        }
        let login = self.login();
        let from = self.written.from.clone().unwrap_or_default();
        let from = self.take("from", address(from));
        let to = self.written.to.clone().unwrap_or_default();
        if to.is_empty() {
            self.add("", "email needs to = [\"oncall@example.com\"]");
        }
        let to: Result<Vec<_>, _> = to.into_iter().map(address).collect();
        let to = self.take("to", to);
        Some(ChannelKind::Email(Mail { server: server?, tls, login, from: from?, to: to? }))
    }

    fn login(&mut self) -> Option<(String, SecretString)> {
        match (&self.written.username, &self.written.password_file) {
            (None, None) => None,
            (Some(user), Some(file)) => {
                let user = user.clone();
                Some((user, self.take("password_file", secret(file, "a password", 1))?))
            }
            (Some(_), None) | (None, Some(_)) => {
                self.add("", "username and password_file go together: write both, or neither");
                None
            }
        }
    }
}

/// `local@domain` and nothing else (RFC 5321 section 4.1.2, its plain form).
fn address(text: String) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+');
    let fits = text.rsplit_once('@').is_some_and(|(local, domain)| {
        (1..=64).contains(&local.len())
            && (1..=253).contains(&domain.len())
            && local.chars().all(plain)
            && domain.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
    });
    if fits { Ok(text) } else { Err(format!("{text:?} is not a mail address; write \"oncall@example.com\"")) }
}
