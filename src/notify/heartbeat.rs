//! Calls an address outside, to say that all is watched.

use super::delivery::DeliveryError;
use super::web::{get, within};
use super::{PATIENCE, Sender};
use crate::config::{self, ClientTls};
use crate::net::client::{Tls, web_tls};

/// Who is called, with its TLS.
pub struct Heartbeat {
    config: config::HeartbeatConfig,
    tls: Tls,
}

impl Heartbeat {
    /// Reads the roots that it needs. One that cannot be used is there all the same and says so when it is.
    pub fn new(config: &config::HeartbeatConfig) -> Self {
        let tls = web_tls(&ClientTls { ca_file: config.ca_file.clone(), ..ClientTls::default() });
        Self { config: config.clone(), tls }
    }

    /// As it is configured.
    pub fn config(&self) -> &config::HeartbeatConfig {
        &self.config
    }
}

impl Sender {
    /// One call; what was said, for people.
    pub async fn beat(&self, to: &Heartbeat) -> Result<String, DeliveryError> {
        let asked = get(&self.addresses, &to.tls, &to.config.url);
        let answer = Box::pin(within(PATIENCE, asked)).await?;
        Ok(format!("{} {}", answer.status, answer.said).trim_end().to_owned())
    }
}
