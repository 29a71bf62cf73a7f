//! `[notify.<name>]` as written.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::channels::{Kind, MailTls};
use crate::config::word::OneOf;
use crate::units::Text;

/// `[notify.<name>]`; which keys belong there depends on `kind`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NotifyFile {
    /// What it is; needed.
    pub kind: Option<OneOf<Kind>>,
    /// Where to send (webhook; pagerduty: instead of its public API).
    pub url: Option<String>,
    /// File with the address, where it is itself a secret (slack, webhook).
    pub url_file: Option<String>,
    /// All Alertmanagers of a cluster; each is sent to.
    pub urls: Option<Vec<String>>,
    /// File with the key that signs (webhook).
    pub secret_file: Option<String>,
    /// File with the integration's routing key (pagerduty).
    pub routing_key_file: Option<String>,
    /// File with a bearer token (alertmanager).
    pub token_file: Option<String>,
    /// Between two sendings of an alert that still fires (alertmanager).
    pub interval: Option<Text<Duration>>,
    /// The mail server, host:port (email).
    pub server: Option<String>,
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
    pub fn written(&self) -> Vec<&'static str> {
        let all = [
            ("url", self.url.is_some()),
            ("url_file", self.url_file.is_some()),
            ("urls", self.urls.is_some()),
            ("secret_file", self.secret_file.is_some()),
            ("routing_key_file", self.routing_key_file.is_some()),
            ("token_file", self.token_file.is_some()),
            ("interval", self.interval.is_some()),
            ("server", self.server.is_some()),
            ("tls", self.tls.is_some()),
            ("username", self.username.is_some()),
            ("password_file", self.password_file.is_some()),
            ("from", self.from.is_some()),
            ("to", self.to.is_some()),
        ];
        all.iter().filter(|(_, is)| *is).map(|(key, _)| *key).collect()
    }
}
