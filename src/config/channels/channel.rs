//! One way to tell people, as it is used.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use crate::config::problem::Part;
use crate::config::secret;
use crate::config::upstream::{Endpoint, Host};
use crate::config::word::words;
use crate::names::ChannelName;
use crate::units::Written as _;

/// `[notify.<name>]`: one way to tell people.
#[derive(Clone, Debug)]
pub struct Channel {
    pub name: ChannelName,
    /// Extra roots, PEM, beside the system's.
    pub ca_file: Option<PathBuf>,
    /// What is spoken, and where to.
    pub kind: ChannelKind,
}

/// What is spoken, and where to.
#[derive(Clone, Debug)]
pub enum ChannelKind {
    /// JSON with an HMAC signature, sent by POST.
    Webhook {
        url: WebUrl,
        /// The key of the signature, at least 16 characters.
        secret: SecretString,
    },
    /// The Events API v2 of PagerDuty.
    PagerDuty {
        /// Where events are posted; another address for the EU.
        url: WebUrl,
        /// The routing key of the integration; it decides who is paged.
        routing_key: SecretString,
    },
    /// Slack, or what is compatible with its webhooks.
    Slack(SlackTo),
    /// Mail, sent by SMTP.
    Email(Mail),
    /// Alertmanager's API v2: `POST /api/v2/alerts` to each member.
    Alertmanager {
        /// All members of the cluster.
        urls: Vec<WebUrl>,
        /// Sent as a bearer token; `None`: no `Authorization` header.
        token: Option<SecretString>,
        /// Between two sendings of an alert that still fires.
        interval: Duration,
    },
}

impl ChannelKind {
    /// What it is.
    pub fn is(&self) -> ChannelType {
        match self {
            Self::Webhook { .. } => ChannelType::Webhook,
            Self::PagerDuty { .. } => ChannelType::PagerDuty,
            Self::Slack(_) => ChannelType::Slack,
            Self::Email(_) => ChannelType::Email,
            Self::Alertmanager { .. } => ChannelType::Alertmanager,
        }
    }
}

/// How Slack is reached.
#[derive(Clone, Debug)]
pub enum SlackTo {
    /// An incoming webhook; whoever knows it may write there. It can only say something new.
    Webhook(WebUrl),
    /// The Web API: threads, and messages that are brought up to date.
    Api {
        /// Of the API, without the method.
        url: WebUrl,
        /// Of a bot with the scope chat:write.
        token: SecretString,
        /// The channel's id, or `#name`.
        channel: String,
    },
}

impl SlackTo {
    fn url(&self) -> &WebUrl {
        match self {
            Self::Webhook(url) | Self::Api { url, .. } => url,
        }
    }
}

/// A mail server and who writes to whom.
#[derive(Clone, Debug)]
pub struct Mail {
    /// Host and port of the mail server.
    pub server: Endpoint,
    /// How its connection is secured.
    pub tls: MailTls,
    /// User name and password; `None`: no log-in.
    pub login: Option<(String, SecretString)>,
    /// The sender's address, such as `strop@example.com`.
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

words! {
    MailTls: "kind of TLS" {
        StartTls = "starttls", "plain at first, then TLS or nothing; port 587";
        Implicit = "implicit", "TLS from the first byte; port 465";
        Plain = "none", "not at all; to loopback only";
    }
}

/// What a channel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelType {
    Webhook,
    PagerDuty,
    Slack,
    Email,
    Alertmanager,
}

impl ChannelType {
    /// Does whatever is told there wake somebody?
    pub fn is_pager(self) -> bool {
        match self {
            Self::PagerDuty | Self::Alertmanager => true,
            Self::Webhook | Self::Slack | Self::Email => false,
        }
    }
}

words! {
    ChannelType: "kind of channel" {
        Webhook = "webhook", "a signed POST to an address of yours";
        PagerDuty = "pagerduty", "PagerDuty's Events API v2";
        Slack = "slack", "Slack: an incoming webhook, or its Web API (threads)";
        Email = "email", "mail, by SMTP";
        Alertmanager = "alertmanager", "all Alertmanagers of a cluster";
    }
}

/// An `http` or `https` address.
#[derive(Clone, Debug)]
pub struct WebUrl {
    /// `https`: spoken over TLS.
    pub secure: bool,
    pub host: Host,
    pub port: u16,
    /// Path and query as sent; may be a secret.
    pub path: SecretString,
    /// For people: without what may be a secret.
    pub shown: String,
}

impl WebUrl {
    /// From the keys `url` and `url_file`, one of them; in the file its path is a secret. `None`: neither is written, or what
    /// is wrong was noted.
    pub(in crate::config) fn of_keys(
        at: &mut Part<'_, '_>,
        url: Option<&str>,
        url_file: Option<&str>,
    ) -> Option<Self> {
        match (url, url_file) {
            (Some(url), None) => at.take("url", Self::read(url, Hidden::No)),
            (None, Some(file)) => {
                let held = secret::read(file, "an address", 1);
                at.take("url_file", held.and_then(|url| Self::read(url.expose_secret(), Hidden::Path)))
            }
            (Some(_), Some(_)) => {
                at.add("url", "is written twice: take out url or url_file");
                None
            }
            (None, None) => None,
        }
    }

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
        let at = Endpoint::read(&format!("{host}:{port}"))
            .ok_or_else(|| problem("has no host that can be reached"))?;
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
    /// Path is shown, query is hidden.
    No,
    /// Path and query are both hidden: the path is the secret.
    Path,
}

impl Channel {
    /// Hosts that it sends to.
    pub fn hosts(&self) -> Vec<(&Host, u16)> {
        match &self.kind {
            ChannelKind::Webhook { url, .. } | ChannelKind::PagerDuty { url, .. } => {
                vec![(&url.host, url.port)]
            }
            ChannelKind::Slack(to) => vec![(&to.url().host, to.url().port)],
            ChannelKind::Alertmanager { urls, .. } => urls.iter().map(|url| (&url.host, url.port)).collect(),
            ChannelKind::Email(mail) => vec![(&mail.server.host, mail.server.port)],
        }
    }
}
