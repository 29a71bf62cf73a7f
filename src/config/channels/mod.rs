//! Ways to tell people: `[notify.<name>]`, checked.
//!
//! Secrets come from files and are never part of what is shown. An address that is itself a secret (Slack's) comes from a
//! file too.

mod check;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::upstreams::endpoint;
use super::word::Word;
use super::{Config, Endpoint, Host};
use crate::names::ChannelName;
pub(super) use check::check;

/// `[notify.<name>]`: one way to tell people.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Its name.
    pub name: ChannelName,
    /// Extra roots, PEM, beside the system's.
    pub ca_file: Option<PathBuf>,
    /// What is spoken, and where to.
    pub kind: ChannelKind,
}

/// What is spoken, and where to.
#[derive(Clone, Debug)]
pub enum ChannelKind {
    /// Signed JSON.
    Webhook {
        /// Where to.
        url: WebUrl,
        /// Signs.
        secret: SecretString,
    },
    /// Events API v2.
    PagerDuty {
        /// Where to.
        url: WebUrl,
        /// Of the integration.
        routing_key: SecretString,
    },
    /// An incoming webhook of Slack, or of what is compatible with it.
    Slack {
        /// Where to; whoever knows it may write there.
        url: WebUrl,
    },
    /// SMTP.
    Email(Mail),
    /// `POST /api/v2/alerts`.
    Alertmanager {
        /// All members of the cluster.
        urls: Vec<WebUrl>,
        /// Bearer token.
        token: Option<SecretString>,
        /// Between two sendings of an alert that still fires.
        interval: Duration,
    },
}

impl ChannelKind {
    /// As it is written.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::PagerDuty { .. } => "pagerduty",
            Self::Slack { .. } => "slack",
            Self::Email(_) => "email",
            Self::Alertmanager { .. } => "alertmanager",
        }
    }
}

/// A mail server and who writes to whom.
#[derive(Clone, Debug)]
pub struct Mail {
    /// Where it listens.
    pub server: Endpoint,
    /// How its connection is secured.
    pub tls: MailTls,
    /// User and password.
    pub login: Option<(String, SecretString)>,
    /// Sender.
    pub from: String,
    /// Recipients; at least one.
    pub to: Vec<String>,
}

/// How the connection to a mail server is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailTls {
    /// Plain at first, then TLS or nothing (RFC 3207); port 587.
    StartTls,
    /// TLS from the first byte (RFC 8314); port 465.
    Implicit,
    /// Not at all; to loopback only.
    Plain,
}

impl Word for MailTls {
    const KIND: &'static str = "kind of TLS";
    const WORDS: &'static [(Self, &'static str, &'static str)] = &[
        (Self::StartTls, "starttls", "plain at first, then TLS or nothing; port 587"),
        (Self::Implicit, "implicit", "TLS from the first byte; port 465"),
        (Self::Plain, "none", "not at all; to loopback only"),
    ];
}

/// What a channel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A signed POST.
    Webhook,
    /// Events API v2.
    PagerDuty,
    /// An incoming webhook.
    Slack,
    /// SMTP.
    Email,
    /// Alerts, sent again while they fire.
    Alertmanager,
}

impl Word for Kind {
    const KIND: &'static str = "kind of channel";
    const WORDS: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Webhook, "webhook", "a signed POST to an address of yours"),
        (Self::PagerDuty, "pagerduty", "PagerDuty's Events API v2"),
        (Self::Slack, "slack", "an incoming webhook of Slack"),
        (Self::Email, "email", "mail, by SMTP"),
        (Self::Alertmanager, "alertmanager", "all Alertmanagers of a cluster"),
    ];
}

/// An `http` or `https` address.
#[derive(Clone, Debug)]
pub struct WebUrl {
    /// TLS?
    pub secure: bool,
    /// Name or address.
    pub host: Host,
    /// TCP port.
    pub port: u16,
    /// Path and query as sent; may be a secret.
    pub path: SecretString,
    /// For people: without what may be a secret.
    pub shown: String,
}

impl WebUrl {
    /// Reads an address. `hidden`: its path is a secret.
    pub fn read(text: &str, hidden: Hidden) -> Result<Self, String> {
        let shown = match hidden {
            Hidden::No => format!("{text:?}"),
            Hidden::Path => "what it holds".to_owned(),
        };
        let problem = |why: &str| format!("{shown} {why}; write \"https://host/path\"");
        let uri: http::Uri = text.parse().map_err(|_| problem("is not an address"))?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => return Err(problem("begins neither with https:// nor with http://")),
        };
        let authority = uri.authority().ok_or_else(|| problem("has no host"))?;
        if authority.as_str().contains('@') {
            return Err("an address must not hold a user or a password; take them out".to_owned());
        }
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let host = uri.host().unwrap_or_default();
        let at =
            endpoint(&format!("{host}:{port}")).map_err(|_| problem("has no host that can be reached"))?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let told = match (hidden, uri.query()) {
            (Hidden::Path, _) => "/…".to_owned(),
            (Hidden::No, None) => path.to_owned(),
            (Hidden::No, Some(_)) => format!("{}?…", uri.path()),
        };
        let shown = format!("{}://{authority}{told}", if secure { "https" } else { "http" });
        Ok(Self { secure, host: at.host, port: at.port, path: SecretString::from(path), shown })
    }

    /// `host:port`, brackets around IPv6, the port left out where it is the scheme's own.
    pub fn authority(&self) -> String {
        let host = match &self.host {
            Host::Address(IpAddr::V6(ip)) => format!("[{ip}]"),
            Host::Address(IpAddr::V4(ip)) => ip.to_string(),
            Host::Name(name) => name.text.clone(),
        };
        let own = if self.secure { 443 } else { 80 };
        if self.port == own { host } else { format!("{host}:{}", self.port) }
    }
}

impl fmt::Display for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// Which part of an address is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hidden {
    /// The query alone.
    No,
    /// Path and query.
    Path,
}

/// Is it this very machine?
pub fn is_loopback(host: &Host) -> bool {
    match host {
        Host::Address(ip) => ip.is_loopback(),
        Host::Name(name) => name.text == "localhost",
    }
}

impl Channel {
    /// Hosts that it sends to.
    pub fn hosts(&self) -> Vec<(&Host, u16)> {
        match &self.kind {
            ChannelKind::Webhook { url, .. }
            | ChannelKind::PagerDuty { url, .. }
            | ChannelKind::Slack { url } => {
                vec![(&url.host, url.port)]
            }
            ChannelKind::Alertmanager { urls, .. } => urls.iter().map(|url| (&url.host, url.port)).collect(),
            ChannelKind::Email(mail) => vec![(&mail.server.host, mail.server.port)],
        }
    }
}

/// Channels that would fall silent together with what they are to tell about. They work; somebody should know.
pub fn warnings(config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    for channel in &config.notify {
        for (host, port) in channel.hosts() {
            let name = &channel.name;
            if let Some(listener) = own_listener(config, host, port) {
                found.push(format!(
                    "notify.{name} sends to {listener} of this very process: it depends on what it tells about; \
                     write the address of the service itself"
                ));
            }
            for upstream in config.upstreams.iter().filter(|upstream| leads_to(upstream, host, port)) {
                found.push(format!(
                    "notify.{name} sends where upstreams.{} leads to: it does not wait for that breaker, but when the \
                     one is down the other is too; have a channel of another service beside it",
                    upstream.name
                ));
            }
        }
    }
    found
}

fn own_listener(config: &Config, host: &Host, port: u16) -> Option<&'static str> {
    if !is_loopback(host) {
        return None;
    }
    let ingress = config.ingress.as_ref().map(|ingress| ingress.listen);
    let egress = config.egress.as_ref().map(|egress| egress.listen);
    let locals = config.upstreams.iter().filter_map(|upstream| upstream.local);
    let mut all =
        [(ingress, "the ingress"), (egress, "the egress"), (Some(config.admin.listen), "the admin port")]
            .into_iter()
            .chain(locals.map(|local| (Some(local), "a local listener")));
    all.find(|(listen, _)| listen.is_some_and(|listen| listen.port() == port && port != 0))
        .map(|(_, label)| label)
}

fn leads_to(upstream: &super::Upstream, host: &Host, port: u16) -> bool {
    let same = |endpoint: &Endpoint| {
        let one = match (&endpoint.host, host) {
            (Host::Name(a), Host::Name(b)) => a.text == b.text,
            (a, b) => a == b,
        };
        one && endpoint.port == port
    };
    upstream.endpoints.iter().any(same)
        || if let Host::Name(name) = host {
            upstream.hosts.iter().any(|listed| match listed.strip_prefix('*') {
                Some(end) => name.text.ends_with(end) && name.text.len() > end.len(),
                None => name.text == *listed,
            })
        } else {
            false
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALLEST: &str = "[ingress]\n[upstreams.backend]\nendpoints = [\"127.0.0.1:8001\"]\n";

    fn load(more: &str) -> Result<Config, Vec<String>> {
        crate::config::load(&format!("{SMALLEST}{more}"), "a test", &[])
            .map_err(|problems| problems.all.iter().map(|p| format!("{}: {}", p.path, p.message)).collect())
    }

    fn file(dir: &tempfile::TempDir, name: &str, text: &str) -> String {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("writes");
        path.display().to_string()
    }

    #[test]
    fn every_kind_can_be_written_and_no_secret_is_shown() {
        let dir = tempfile::tempdir().expect("a directory");
        let key = file(&dir, "key", "0123456789abcdef-the-secret\n");
        let url = file(&dir, "url", "https://hooks.slack.com/services/T0/B0/the-secret\n");
        let config = load(&format!(
            "[notify.a]\nkind = \"webhook\"\nurl = \"https://a.example/hook?token=the-secret\"\nsecret_file = {key:?}\n\
             [notify.b]\nkind = \"pagerduty\"\nrouting_key_file = {key:?}\n\
             [notify.c]\nkind = \"slack\"\nurl_file = {url:?}\n\
             [notify.d]\nkind = \"email\"\nserver = \"smtp.example.com:587\"\nusername = \"strop\"\npassword_file = {key:?}\n\
             from = \"strop@example.com\"\nto = [\"oncall@example.com\"]\n\
             [notify.e]\nkind = \"alertmanager\"\nurls = [\"http://am-0:9093\", \"http://am-1:9093\"]\ntoken_file = {key:?}\n"
        ))
        .expect("runs");
        let names: Vec<&str> = config.notify.iter().map(|channel| channel.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c", "d", "e"]);
        let shown = crate::config::show::effective(&config);
        insta::assert_snapshot!(
            "channels_shown",
            serde_json::to_string_pretty(&shown["notify"]).expect("JSON")
        );
        for text in [shown.to_string(), format!("{config:?}")] {
            assert!(!text.contains("the-secret"), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_what_to_write() {
        let dir = tempfile::tempdir().expect("a directory");
        let short = file(&dir, "short", "abc");
        let problems = load(&format!(
            "[notify.a]\nkind = \"webhok\"\n\
             [notify.b]\nkind = \"webhook\"\nurl = \"a.example/hook\"\nsecret_file = {short:?}\nrouting_key_file = \"x\"\n\
             [notify.c]\nkind = \"slack\"\nurl = \"https://hooks.slack.com/x\"\n\
             [notify.d]\nkind = \"email\"\nserver = \"smtp.example.com\"\ntls = \"none\"\nfrom = \"me\"\nusername = \"x\"\n\
             [notify.e]\nkind = \"alertmanager\"\ninterval = \"1ms\"\n\
             [notify.f]\nkind = \"pagerduty\"\nurl = \"http://pd.example/\"\n\
             [notify.g]\nkind = \"webhook\"\nurl = \"https://me:pw@a.example/\"\n\
             [notify.h]\nkind = \"email\"\nserver = \"smtp.example.com:25\"\ntls = \"none\"\nto = [\"a@b\\r\\nBcc: x@y\"]\n\
             [notify.I]\nkind = \"pagerduty\"\n"
        ))
        .expect_err("cannot run");
        insta::assert_snapshot!(
            "channels_refused",
            problems.join("\n").replace(dir.path().to_str().expect("text"), "DIR")
        );
    }

    #[test]
    fn a_channel_that_would_fall_with_what_it_tells_about_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let key = file(&dir, "key", "0123456789abcdef");
        let config = load(&format!(
            "[upstreams.sendgrid]\npreset = \"sendgrid\"\nlocal = \"127.0.0.1:9102\"\n\
             [upstreams.any]\nhosts = [\"*.vendor.example\"]\nendpoints = [\"10.0.0.7:443\"]\n\
             [notify.a]\nkind = \"webhook\"\nurl = \"https://api.sendgrid.com/hook\"\nsecret_file = {key:?}\n\
             [notify.b]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:9102/hook\"\nsecret_file = {key:?}\n\
             [notify.c]\nkind = \"webhook\"\nurl = \"https://hook.vendor.example/\"\nsecret_file = {key:?}\n\
             [notify.d]\nkind = \"webhook\"\nurl = \"https://elsewhere.example/\"\nsecret_file = {key:?}\n"
        ))
        .expect("runs: a warning is no problem");
        let told = warnings(&config);
        assert_eq!(told.len(), 3, "{told:#?}");
        assert!(told[0].contains("notify.a") && told[0].contains("upstreams.sendgrid"), "{told:#?}");
        assert!(told[1].contains("notify.b") && told[1].contains("a local listener"), "{told:#?}");
        assert!(told[2].contains("notify.c") && told[2].contains("upstreams.any"), "{told:#?}");
    }

    #[test]
    fn a_changed_channel_is_in_force_at_once() {
        let channel = |port| format!("[notify.am]\nkind = \"alertmanager\"\nurls = [\"http://am:{port}\"]\n");
        let (old, new) = (load(&channel(9093)).expect("runs"), load(&channel(9094)).expect("runs"));
        let diff = crate::config::diff::diff(&old, &new);
        assert!(diff.needs_restart.is_empty());
        assert_eq!(diff.applied.iter().map(|c| c.path.as_str()).collect::<Vec<_>>(), ["notify.am.urls"]);
    }
}
