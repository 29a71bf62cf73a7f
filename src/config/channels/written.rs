//! `[notify.<name>]` as written, and its check.

use std::time::Duration;

#[cfg(test)]
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::channel::{Channel, ChannelKind, ChannelType, Hidden, Mail, MailTls, SlackTo, WebUrl};
use crate::config::problem::Part;
use crate::config::secret;
use crate::config::upstream::Endpoint;
use crate::config::word::{OneOf, Word as _};
use crate::names::ChannelName;
use crate::units::{Text, secs};

/// PagerDuty's public API (developer.pagerduty.com, "Events API v2").
const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";
/// Slack's Web API (docs.slack.dev/apis/web-api).
const SLACK: &str = "https://slack.com/api";

/// `[notify.<name>]`; which keys belong there depends on `kind`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct NotifyFile {
    /// What it is; needed.
    pub kind: Option<OneOf<ChannelType>>,
    /// Where to send (webhook; pagerduty, slack with token_file: instead of its public API).
    pub url: Option<String>,
    /// File with the address, where it is itself a secret (slack, webhook).
    pub url_file: Option<String>,
    /// All Alertmanagers of a cluster; each is sent to.
    pub urls: Option<Vec<String>>,
    /// File with the key that signs (webhook).
    pub secret_file: Option<String>,
    /// File with the integration's routing key (pagerduty).
    pub routing_key_file: Option<String>,
    /// File with a bearer token (alertmanager; slack: of a bot with the scope chat:write).
    pub token_file: Option<String>,
    /// The channel's id or "#name" (slack with token_file).
    pub channel: Option<String>,
    /// Between two sendings of an alert that still fires (alertmanager).
    pub interval: Option<Text<Duration>>,
    /// The mail server, host:port (email).
    pub server: Option<Text<Endpoint>>,
    /// How the mail server is spoken with (email).
    pub tls: Option<OneOf<MailTls>>,
    /// Who logs in (email).
    pub username: Option<String>,
    /// File with the password (email).
    pub password_file: Option<String>,
    /// The sender's address (email).
    pub from: Option<String>,
    /// The recipients' addresses (email).
    pub to: Option<Vec<String>>,
    /// Extra roots, PEM, beside the system's.
    pub ca_file: Option<String>,
}

impl NotifyFile {
    /// The keys that are written, beside `kind` and `ca_file`.
    fn written(&self) -> Vec<&'static str> {
        let Self {
            kind: _,
            ca_file: _,
            url,
            url_file,
            urls,
            secret_file,
            routing_key_file,
            token_file,
            channel,
            interval,
            server,
            tls,
            username,
            password_file,
            from,
            to,
        } = self;
        let all = [
            ("url", url.is_some()),
            ("url_file", url_file.is_some()),
            ("urls", urls.is_some()),
            ("secret_file", secret_file.is_some()),
            ("routing_key_file", routing_key_file.is_some()),
            ("token_file", token_file.is_some()),
            ("channel", channel.is_some()),
            ("interval", interval.is_some()),
            ("server", server.is_some()),
            ("tls", tls.is_some()),
            ("username", username.is_some()),
            ("password_file", password_file.is_some()),
            ("from", from.is_some()),
            ("to", to.is_some()),
        ];
        all.iter().filter(|(_, is)| *is).map(|(key, _)| *key).collect()
    }

    /// What a channel of this kind has by default.
    pub(in crate::config) fn base(written: &Table) -> Self {
        let kind = written.get("kind").and_then(Value::as_str).unwrap_or_default();
        let of = |wanted: ChannelType| kind == wanted.word();
        Self {
            url: match written.contains_key("token_file") {
                _ if of(ChannelType::PagerDuty) => Some(PAGERDUTY.to_owned()),
                true if of(ChannelType::Slack) => Some(SLACK.to_owned()),
                true | false => None,
            },
            // As Prometheus does (`--rules.alert.resend-delay`).
            interval: of(ChannelType::Alertmanager).then(|| secs(60)),
            tls: of(ChannelType::Email).then_some(OneOf(MailTls::StartTls)),
            ..Self::default()
        }
    }

    /// Does whatever is told there wake somebody?
    pub(in crate::config) fn is_pager(&self) -> bool {
        self.kind.is_some_and(|OneOf(kind)| kind.is_pager())
    }

    pub(in crate::config) fn check(&self, mut at: Part<'_, '_>, name: &str) -> Option<Channel> {
        let name = at.take("", ChannelName::new(name));
        let mut table = Channelled { written: self, at };
        let kind = match self.kind.map(|OneOf(kind)| kind) {
            Some(ChannelType::Webhook) => table.webhook(),
            Some(ChannelType::PagerDuty) => table.pagerduty(),
            Some(ChannelType::Slack) => table.slack(),
            Some(ChannelType::Email) => table.email(),
            Some(ChannelType::Alertmanager) => table.alertmanager(),
            None => {
                let words: Vec<_> = ChannelType::WORDS.iter().map(|(_, word, _)| *word).collect();
                table.at.add("kind", format!("is missing; write one of {}", words.join(", ")));
                None
            }
        };
        let ca_file = self.ca_file.as_ref().map(|file| table.at.readable("ca_file", file));
        Some(Channel { name: name?, ca_file, kind: kind? })
    }
}

/// A table, and where its problems go.
struct Channelled<'a, 'p, 't> {
    written: &'a NotifyFile,
    at: Part<'p, 't>,
}

impl Channelled<'_, '_, '_> {
    fn kind(&self) -> &'static str {
        self.written.kind.map_or("", |OneOf(kind)| kind.word())
    }

    /// Only these keys mean anything here.
    fn only(&mut self, known: &[&str]) {
        for key in self.written.written() {
            if !known.contains(&key) {
                let kind = self.kind();
                self.at.add(
                    key,
                    format!("{kind} has no key {key:?}; take it out (known: {})", known.join(", ")),
                );
            }
        }
    }

    fn needed(&mut self, key: &str, file: Option<&String>, what: &str, least: usize) -> Option<SecretString> {
        match file {
            Some(file) => self.at.take(key, secret::read(file, what, least)),
            None => {
                self.at.add(key, format!("{} needs {key} = \"FILE\", a file with {what}", self.kind()));
                None
            }
        }
    }

    /// From `url` or `url_file`, exactly one of them.
    fn one_url(&mut self) -> Option<WebUrl> {
        let (url, file) = (self.written.url.as_deref(), self.written.url_file.as_deref());
        if url.is_none() && file.is_none() {
            let kind = self.kind();
            let message =
                format!("{kind} needs url = \"https://…\", or url_file when the address is a secret");
            self.at.add("url", message);
        }
        WebUrl::of_keys(&mut self.at, url, file)
    }

    /// What carries a secret in the clear is for this machine only.
    fn sealed(&mut self, key: &str, url: Option<WebUrl>) -> Option<WebUrl> {
        let url = url?;
        if !url.secure && !url.host.is_loopback() {
            self.at.add(key, "would send a secret in the clear: write https://");
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
        let url = WebUrl::read(self.written.url.as_deref().unwrap_or_default(), Hidden::No);
        let url = self.at.take("url", url);
        let url = self.sealed("url", url);
        let file = self.written.routing_key_file.as_ref();
        let routing_key = self.needed("routing_key_file", file, "the integration's routing key", 16);
        Some(ChannelKind::PagerDuty { url: url?, routing_key: routing_key? })
    }

    fn slack(&mut self) -> Option<ChannelKind> {
        self.only(&["url", "url_file", "token_file", "channel"]);
        if let (Some(_), None) = (&self.written.url_file, &self.written.token_file) {
            if self.written.channel.is_some() {
                self.at.add("channel", "is the webhook's own where there is url_file; take it out");
            }
            let url = self.one_url();
            return Some(ChannelKind::Slack(SlackTo::Webhook(self.sealed("url_file", url)?)));
        }
        if self.written.token_file.is_none() {
            self.at.add(
                "url_file",
                "slack needs url_file = \"FILE\", a file with the address of the incoming webhook; or, for threads and \
                 messages that are brought up to date, token_file = \"FILE\" and channel = \"#incidents\"",
            );
            return None;
        }
        if self.written.url_file.is_some() {
            self.at.add("url_file", "goes to a webhook, token_file to the Web API: take one of them out");
            return None;
        }
        let url = self.written.url.as_deref().unwrap_or_default();
        let url = self.at.take("url", WebUrl::read(url, Hidden::No));
        let url = self.sealed("url", url);
        let file = self.written.token_file.as_ref();
        let token = self.needed("token_file", file, "a bot's token", 16);
        let channel = self.written.channel.clone().unwrap_or_default();
        let channel = self.at.take("channel", slack_channel(channel));
        Some(ChannelKind::Slack(SlackTo::Api { url: url?, token: token?, channel: channel? }))
    }

    fn alertmanager(&mut self) -> Option<ChannelKind> {
        self.only(&["urls", "token_file", "interval"]);
        let urls = self.written.urls.clone().unwrap_or_default();
        if urls.is_empty() {
            self.at.add(
                "urls",
                "alertmanager needs urls = [\"http://alertmanager:9093\"], all members of its cluster",
            );
        }
        let urls: Result<Vec<_>, _> = urls.iter().map(|url| WebUrl::read(url, Hidden::No)).collect();
        let urls = self.at.take("urls", urls);
        let token = match &self.written.token_file {
            Some(file) => Some(self.at.take("token_file", secret::read(file, "a token", 16))?),
            None => None,
        };
        let interval = self.written.interval.map(|interval| interval.0).unwrap_or_default();
        if !(Duration::from_secs(1)..=Duration::from_secs(3_600)).contains(&interval) {
            self.at.add("interval", "must be within 1s and 1h");
        }
        Some(ChannelKind::Alertmanager { urls: urls?, token, interval })
    }

    fn email(&mut self) -> Option<ChannelKind> {
        self.only(&["server", "tls", "username", "password_file", "from", "to"]);
        let tls = self.written.tls.map_or(MailTls::StartTls, |OneOf(tls)| tls);
        let server = self.written.server.as_ref().map(|server| server.0.clone());
        if server.is_none() {
            self.at.add("server", "email needs server = \"smtp.example.com:587\"");
        }
        if let (MailTls::Plain, Some(server)) = (tls, &server)
            && !server.host.is_loopback()
        {
            self.at.add("tls", "\"none\" is for servers on loopback; write \"starttls\" or \"implicit\"");
        }
        let login = self.login();
        let from = self.written.from.clone().unwrap_or_default();
        let from = self.at.take("from", address(from));
        let to = self.written.to.clone().unwrap_or_default();
        if to.is_empty() {
            self.at.add("to", "email needs to = [\"oncall@example.com\"]");
        }
        let to: Result<Vec<_>, _> = to.into_iter().map(address).collect();
        let to = self.at.take("to", to);
        Some(ChannelKind::Email(Mail { server: server?, tls, login, from: from?, to: to? }))
    }

    fn login(&mut self) -> Option<(String, SecretString)> {
        match (&self.written.username, &self.written.password_file) {
            (None, None) => None,
            (Some(user), Some(file)) => {
                let user = user.clone();
                Some((user, self.at.take("password_file", secret::read(file, "a password", 1))?))
            }
            (user, _) => {
                let missing = if user.is_some() { "password_file" } else { "username" };
                self.at.add(missing, "username and password_file go together: write both, or neither");
                None
            }
        }
    }
}

/// An id, `C024BE91L`, or a name, `#incidents`.
fn slack_channel(text: String) -> Result<String, String> {
    let name = text.strip_prefix('#').unwrap_or(&text);
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    let fits = (1..=80).contains(&name.chars().count()) && name.chars().all(plain);
    let fault = || format!("{text:?} is no channel of Slack; write channel = \"#incidents\", or its id");
    if fits { Ok(text.clone()) } else { Err(fault()) }
}

/// `local@domain` and nothing else: a dot-string and a domain (RFC 5321 section 4.1.2) of letters that need no encoding, with the
/// lengths of section 4.5.3.1 and of labels in RFC 1035 section 2.3.4.
fn address(text: String) -> Result<String, String> {
    let in_atom = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    let atom = |part: &str| !part.is_empty() && part.chars().all(in_atom);
    let label = |part: &str| {
        (1..=63).contains(&part.len())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    let fits = text.rsplit_once('@').is_some_and(|(local, domain)| {
        local.len() <= 64 && local.split('.').all(atom) && domain.len() <= 253 && domain.split('.').all(label)
    });
    if fits { Ok(text) } else { Err(format!("{text:?} is not a mail address; write \"oncall@example.com\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_for_an_address_of_mail_is_one() {
        for good in ["oncall@example.com", "a.b+c@mail.example.com", "o'hara@x.org", "root@localhost"] {
            assert_eq!(address(good.to_owned()).as_deref(), Ok(good));
        }
        for bad in [
            "nobody",
            "@x.org",
            "a@",
            "a..b@x.org",
            ".a@x.org",
            "a.@x.org",
            "a@x..org",
            "a@.org",
            "a@x.",
            "a@-x.org",
            "a@x-.org",
            "a b@x.org",
            "a@x_y.org",
            "Ann <a@x.org>",
            "a@x.org, b@x.org",
        ] {
            assert!(address(bad.to_owned()).is_err(), "{bad:?}");
        }
    }
}
