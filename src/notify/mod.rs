//! Tells people. Knows how to reach them, not what is worth telling, nor to whom.
//!
//! A notifier must not depend on what is down: its connections are its own (no breaker, no degradation, no pool), so is its
//! cache of addresses (the last good ones outlive the name server), and nothing takes longer than [`PATIENCE`]. TLS is
//! verified, redirects are not followed, secrets are neither logged nor shown.
//!
//! [`Sender`] makes one attempt; a [`queue::NotificationQueue`] holds what waits, by the decisions of
//! [`delivery`](crate::reliability::delivery); whoever keeps the entries on disk brings the two together:
//!
//! ```text
//! for entry in queue.depart(now) {
//!     let came = sender.deliver_to(&channel, &entry.message, &entry.id, &entry.left).await;
//!     store(queue.landed(entry, &came, now, chance));
//! }
//! ```
//!
//! Delivery is at least once: an attempt that broke off may have arrived. What is sent again has the same id.

mod alertmanager;
mod channel;
mod delivery;
mod email;
mod heartbeat;
pub mod inbound;
mod mail_body;
mod message;
mod pagerduty;
pub mod queue;
mod slack;
mod slack_api;
mod smtp;
mod web;
mod webhook;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use channel::Channels;
use channel::Task;
pub use delivery::{DeliveryError, DeliveryFailure, Receipt};
pub use heartbeat::Heartbeat;
pub use message::{Message, MessageKind, Severity, millis};

use crate::names::ChannelName;
use crate::net::addresses::Addresses;
use crate::runtime::clock;
use crate::telemetry::event::{DeliveryAttempt, Event, NamesEvent, Untold};

/// A whole attempt: look-up, connection, TLS, message, answer.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Delivers messages, one attempt at a time.
pub struct Sender {
    channels: Mutex<Arc<Channels>>,
    addresses: Addresses,
    patience: Duration,
}

impl Sender {
    /// With the channels of the config in force; `patience` is [`PATIENCE`] but in tests.
    pub fn new(channels: Arc<Channels>, patience: Duration) -> Self {
        Self {
            channels: Mutex::new(channels),
            addresses: Addresses::system(NamesEvent::tell_of_receiver),
            patience,
        }
    }

    /// After a reload: the next attempt sees these. What is known of addresses stays.
    pub fn replace(&self, channels: Arc<Channels>) {
        *self.channels.lock().unwrap_or_else(PoisonError::into_inner) = channels;
    }

    /// The channels that are in force.
    pub fn channels(&self) -> Arc<Channels> {
        Arc::clone(&self.channels.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One attempt. `id` is the same with each attempt for the same message.
    pub async fn deliver(
        &self,
        channel: &ChannelName,
        message: &Message,
        id: &str,
    ) -> Result<Receipt, DeliveryError> {
        self.deliver_to(channel, message, id, &[]).await
    }

    /// One attempt for those recipients alone who are left; none are named: for all of them.
    pub async fn deliver_to(
        &self,
        channel: &ChannelName,
        message: &Message,
        id: &str,
        left: &[String],
    ) -> Result<Receipt, DeliveryError> {
        let channels = self.channels();
        let start = clock::now();
        let (addresses, patience) = (&self.addresses, self.patience);
        let task = Task { addresses, message, id, left, now: millis(start.wall), patience };
        // On the heap: a TLS handshake within a mail within a message is large.
        let came = Box::pin(channels.deliver(channel, &task)).await;
        let took = clock::instant().saturating_duration_since(start.instant);
        let came = came.map(|came| Receipt {
            channel: channel.as_str().to_owned(),
            to: came.to,
            said: came.said,
            at: millis(clock::now().wall),
            took,
            again_in: came.again_in,
            left: came.left,
            thread: came.thread,
        });
        tell(channel, message, &came);
        came
    }

    /// Sends what says of itself that it is a test.
    pub async fn test(&self, channel: &ChannelName, instance: &str) -> Result<Receipt, DeliveryError> {
        let message = Message::test(instance, millis(clock::now().wall));
        self.deliver(channel, &message, &uuid::Uuid::now_v7().to_string()).await
    }
}

fn tell(channel: &ChannelName, message: &Message, came: &Result<Receipt, DeliveryError>) {
    let came = match came {
        Ok(receipt) => Ok(receipt.said.as_str()),
        Err(error) if error.permanent => Err(Untold::Ever { why: error.why.label(), error: &error.cause }),
        Err(error) => Err(Untold::Yet { why: error.why.label(), error: &error.cause }),
    };
    let (channel, incident, kind) = (channel.as_str(), message.incident_id.as_str(), message.kind.label());
    Event::Told(&DeliveryAttempt { channel, incident, kind, came }).tell();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn can_be_spawned<T: Send>(value: T) -> T {
        value
    }

    #[tokio::test]
    async fn an_attempt_can_be_a_task_and_a_channel_that_is_gone_is_told_as_such() {
        let config = crate::config::load(
            "[ingress]\n[upstreams.backend]\nendpoints = [\"127.0.0.1:1\"]\n",
            "a test",
            &[],
        );
        let channels = Arc::new(Channels::new(&config.expect("runs")));
        let sender = Sender::new(channels, PATIENCE);
        let name = ChannelName::new("pager").expect("a name");
        let error = can_be_spawned(sender.test(&name, "pod-7")).await.expect_err("nobody");
        assert_eq!((error.why, error.permanent), (DeliveryFailure::NoChannel, true));
    }
}
