//! What a pager or a chat says back becomes an order.

use secrecy::SecretString;

use super::{AuditRecord, Handle, Order, OrderedBy};
use crate::notify::inbound::{self, Said, Unheard, Which};
use crate::reliability::engine::Command;
use crate::reliability::incident::Incident;
use crate::telemetry::event::{Event, ProcessEvent};

/// Who has posted, and how it is signed.
#[derive(Clone, Copy, Debug)]
pub enum Posted<'p> {
    /// PagerDuty, by a webhook subscription.
    PagerDuty {
        /// Its signatures, with commas between them.
        signatures: &'p str,
    },
    /// Slack, by a command or a button.
    Slack {
        /// When, in seconds since 1970, as it was signed.
        timestamp: &'p str,
        /// The signature as it was sent: `v0=` and hex.
        signature: &'p str,
        /// Now, in seconds since 1970.
        now: u64,
    },
}

impl Posted<'_> {
    /// The sender, as the label of metrics and logs.
    pub fn label(&self) -> &'static str {
        match self {
            Self::PagerDuty { .. } => "pagerduty",
            Self::Slack { .. } => "slack",
        }
    }
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InboundResult {
    /// It is not signed by the sender, or was signed too long ago.
    Forged,
    /// It is not what the sender documents.
    Unreadable,
    /// It is nobody's acknowledgement.
    Other,
    /// No live incident is meant.
    Nobody,
    /// Somebody has it already; so it is with what Strop said itself and hears back.
    Known,
    /// The incident is acknowledged with this post.
    Taken,
    /// The process is leaving.
    Leaving,
}

impl InboundResult {
    /// The result, as the label of metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::Forged => "forged",
            Self::Unreadable => "unreadable",
            Self::Other => "other",
            Self::Nobody => "no_incident",
            Self::Known => "known",
            Self::Taken => "taken",
            Self::Leaving => "leaving",
        }
    }
}

impl Handle {
    /// Reads what was posted and does what it says.
    pub async fn posted(&self, posted: &Posted<'_>, secret: &SecretString, body: &[u8]) -> InboundResult {
        let said = match *posted {
            Posted::PagerDuty { signatures } => inbound::pagerduty(secret, signatures, body),
            Posted::Slack { timestamp, signature, now } => {
                inbound::slack(secret, timestamp, signature, body, now)
            }
        };
        let heard = match said {
            Ok(Said::Taken { which, by }) => self.taken(&which, by, posted.label()).await,
            Ok(Said::Other) => InboundResult::Other,
            Err(Unheard::Forged | Unheard::Stale) => InboundResult::Forged,
            Err(Unheard::Unreadable) => InboundResult::Unreadable,
        };
        if matches!(heard, InboundResult::Forged | InboundResult::Unreadable) {
            ProcessEvent::PostRefused { from: posted.label(), why: heard.label() }.tell();
        }
        heard
    }

    async fn taken(&self, which: &Which, by: String, from: &'static str) -> InboundResult {
        let snapshot = self.snapshot();
        let meant =
            |one: &&std::sync::Arc<Incident>| one.state.is_live() && which.is(one.id.as_str(), &one.dedup);
        let Some(incident) = snapshot.incidents.iter().find(meant) else { return InboundResult::Nobody };
        if incident.clocks.acknowledged.is_some() {
            return InboundResult::Known;
        }
        let (action, target, reason) = ("incident.ack", incident.id.to_string(), format!("taken in {from}"));
        Event::AdminMutation { actor: &by, action, target: &target, reason: &reason }.tell();
        let audit = AuditRecord { actor: OrderedBy::Named(by.clone()), action, target, reason };
        let command = Command::Ack { id: incident.id.clone(), actor: by };
        match self.order(Order { command, audit: Some(audit) }).await {
            Some(Ok(_)) => InboundResult::Taken,
            Some(Err(_)) => InboundResult::Nobody,
            None => InboundResult::Leaving,
        }
    }
}
