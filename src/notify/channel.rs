//! Channels ready to be used: the config's, each with its TLS.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::delivery::{DeliveryError, DeliveryFailure};
use super::message::Message;
use super::web::{HttpReply, Post, post, together, within};
use super::{alertmanager, email, pagerduty, slack, slack_api, smtp, webhook};
use crate::config::channels::{self as config, ChannelKind, Mail, SlackTo, WebUrl};
use crate::config::{ClientTls, Config};
use crate::names::ChannelName;
use crate::net::addresses::Addresses;
use crate::net::client::{Tls, shown, web_tls};
use crate::net::tls;

/// One way to tell people.
struct DeliveryChannel {
    config: Arc<config::Channel>,
    tls: Tls,
}

/// All of them, by name. A value: a reload makes a new one.
pub struct Channels(BTreeMap<ChannelName, DeliveryChannel>);

/// What a delivery came to: where it went, what was said, when again, where the next one goes on.
pub(super) struct DeliveryResult {
    pub(super) to: String,
    pub(super) said: String,
    pub(super) again_in: Option<Duration>,
    /// Recipients that are to be asked again.
    pub(super) left: Vec<String>,
    pub(super) thread: Option<String>,
}

/// One attempt to deliver a message through a channel.
pub(super) struct Task<'a> {
    pub(super) addresses: &'a Addresses,
    pub(super) message: &'a Message,
    pub(super) id: &'a str,
    /// Recipients that do not have it yet; none are named: nobody has it.
    pub(super) left: &'a [String],
    /// The moment of the attempt, in milliseconds since 1970.
    pub(super) now: u64,
    pub(super) patience: Duration,
}

impl Channels {
    /// Reads the roots that each needs. One that cannot be used is there all the same and says so when it is.
    pub fn new(config: &Config) -> Self {
        tls::install_provider();
        let prepare = |channel: &Arc<config::Channel>| {
            let tls = channel_tls(channel);
            (channel.name.clone(), DeliveryChannel { config: Arc::clone(channel), tls })
        };
        Self(config.notify.iter().map(prepare).collect())
    }

    /// Names of the channels, in the order of the alphabet.
    pub fn names(&self) -> impl Iterator<Item = &ChannelName> {
        self.0.keys()
    }

    /// Those on which whatever is told wakes somebody.
    pub fn pagers(&self) -> impl Iterator<Item = &ChannelName> {
        let is_pager = |channel: &DeliveryChannel| match channel.config.kind {
            ChannelKind::PagerDuty { .. } | ChannelKind::Alertmanager { .. } => true,
            ChannelKind::Webhook { .. } | ChannelKind::Slack(_) | ChannelKind::Email(_) => false,
        };
        self.0.iter().filter(move |(_, channel)| is_pager(channel)).map(|(name, _)| name)
    }

    /// What [`names`](Self::names) has and the word for its kind.
    pub fn kind(&self, name: &ChannelName) -> Option<&'static str> {
        self.0.get(name).map(|channel| channel.config.kind.label())
    }

    /// Does it write on beneath the first message of an incident? Then it must be told where that is.
    pub fn has_threads(&self, name: &ChannelName) -> bool {
        let kind = self.0.get(name).map(|channel| &channel.config.kind);
        matches!(kind, Some(ChannelKind::Slack(SlackTo::Api { .. })))
    }

    pub(super) async fn deliver(
        &self,
        name: &ChannelName,
        task: &Task<'_>,
    ) -> Result<DeliveryResult, DeliveryError> {
        match self.0.get(name) {
            Some(channel) => channel.deliver(task).await,
            None => Err(DeliveryError::permanent(
                DeliveryFailure::NoChannel,
                format!("no channel is named {name}"),
            )),
        }
    }
}

fn channel_tls(channel: &config::Channel) -> Tls {
    let config = ClientTls { ca_file: channel.ca_file.clone(), ..ClientTls::default() };
    match &channel.kind {
        // A mail server that is told of HTTP may hang up (RFC 7301 section 3.2).
        ChannelKind::Email(_) => tls::TlsClient::without_alpn(&config).map_err(|error| error.to_string()),
        ChannelKind::Webhook { .. }
        | ChannelKind::PagerDuty { .. }
        | ChannelKind::Slack(_)
        | ChannelKind::Alertmanager { .. } => web_tls(&config),
    }
}

impl DeliveryChannel {
    async fn deliver(&self, task: &Task<'_>) -> Result<DeliveryResult, DeliveryError> {
        let message = task.message;
        match &self.config.kind {
            ChannelKind::Webhook { url, secret } => {
                let request = webhook::post(url, secret, message, task.id, task.now / 1_000);
                self.web(task, url, request).await
            }
            ChannelKind::PagerDuty { url, routing_key } => {
                self.web(task, url, pagerduty::post(url, routing_key, message)).await
            }
            ChannelKind::Slack(SlackTo::Webhook(url)) => self.web(task, url, slack::post(url, message)).await,
            ChannelKind::Slack(SlackTo::Api { url, token, channel }) => {
                let api = slack_api::Api { url, token, channel };
                let told = slack_api::deliver(task.addresses, &self.tls, &api, message);
                let thread = within(task.patience, told).await?;
                let to = format!("{channel} by {}", url.authority());
                Ok(DeliveryResult {
                    to,
                    said: "ok".to_owned(),
                    again_in: None,
                    left: Vec::new(),
                    thread: Some(thread),
                })
            }
            ChannelKind::Email(mail) => self.mail(task, mail).await,
            ChannelKind::Alertmanager { urls, token, interval } => {
                let body = alertmanager::alerts(message, task.now, *interval);
                let asked = alertmanager::posts(urls, token.as_ref(), &body).into_iter();
                let asked = asked.map(|request| self.member(task, request));
                let came = together(asked.map(|one| Box::pin(one) as _).collect()).await;
                let said = alertmanager::summed(came, *interval)?;
                let to = urls.iter().map(WebUrl::authority).collect::<Vec<_>>().join(", ");
                let again_in = alertmanager::again_in(message, task.now, *interval);
                Ok(DeliveryResult { to, said, again_in, left: Vec::new(), thread: None })
            }
        }
    }

    async fn web(
        &self,
        task: &Task<'_>,
        url: &WebUrl,
        request: Post<'_>,
    ) -> Result<DeliveryResult, DeliveryError> {
        let answer = within(task.patience, post(task.addresses, &self.tls, request)).await?;
        let (to, said) = (url.authority(), told(&answer));
        Ok(DeliveryResult { to, said, again_in: None, left: Vec::new(), thread: None })
    }

    /// One Alertmanager of several; its deadline is its own.
    async fn member(&self, task: &Task<'_>, request: Post<'_>) -> (String, Result<String, DeliveryError>) {
        let at = request.url.authority();
        let came = within(task.patience, post(task.addresses, &self.tls, request)).await;
        (at, came.map(|answer| told(&answer)))
    }

    async fn mail(&self, task: &Task<'_>, mail: &Mail) -> Result<DeliveryResult, DeliveryError> {
        let written = email::written(mail, task.message, task.id)?;
        let asked = smtp::deliver(task.addresses, &self.tls, mail, task.left, &written);
        let mut done = within(task.patience, asked).await?;
        let to = format!("{} by {}", done.told.join(", "), shown(&mail.server.host));
        let left = std::mem::take(&mut done.left);
        Ok(DeliveryResult { to, said: done.goodbye().await, again_in: None, left, thread: None })
    }
}

fn told(answer: &HttpReply) -> String {
    format!("{} {}", answer.status, answer.said).trim_end().to_owned()
}
