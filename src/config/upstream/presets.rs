//! What is known about the services of the guide, and what is built in.

use std::net::SocketAddr;
use std::time::Duration;

use super::breaker::BreakerFile;
use super::endpoint::{Endpoint, Host, HostName};
use super::pool::Pool;
use super::{Protocol, Upstream, UpstreamFile};
use crate::config::timeouts::{Timeouts, TimeoutsFile};
use crate::config::word::Word;
use crate::names::UpstreamName;
use crate::reliability::breaker::{BreakerPolicy, Mode};
use crate::reliability::idle::IdlePolicy;

/// The name of the upstream that is the SRE API on the traffic port.
pub const SRE_API: &str = "strop-admin";

/// A vendor of the guide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Payments.
    Stripe,
    /// Mail.
    SendGrid,
    /// Text messages.
    Twilio,
    /// Calendars.
    GoogleCalendar,
}

impl Word for Preset {
    const KIND: &'static str = "preset";
    const WORDS: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Stripe, "stripe", "api.stripe.com; payments"),
        (Self::SendGrid, "sendgrid", "api.sendgrid.com; mail"),
        (Self::Twilio, "twilio", "api.twilio.com; text messages"),
        (Self::GoogleCalendar, "google_calendar", "www.googleapis.com; calendars"),
    ];
}

impl Preset {
    /// Its host name.
    pub fn host(self) -> &'static str {
        match self {
            Self::Stripe => "api.stripe.com",
            Self::SendGrid => "api.sendgrid.com",
            Self::Twilio => "api.twilio.com",
            Self::GoogleCalendar => "www.googleapis.com",
        }
    }

    /// What takes payments there, as [`Templates`](crate::message::templates::Templates) reads it: POSTs to these paths charge
    /// somebody, or try to (docs.stripe.com/api: charges, payment intents, invoices, subscriptions). All else reads, prepares or
    /// gives back.
    pub fn payments(self) -> &'static [&'static str] {
        match self {
            Self::Stripe => &[
                "/v1/charges",
                "/v1/charges/{charge}/capture",
                "/v1/payment_intents",
                "/v1/payment_intents/{intent}/confirm",
                "/v1/payment_intents/{intent}/capture",
                "/v1/invoices/{invoice}/pay",
                "/v1/subscriptions",
            ],
            Self::SendGrid | Self::Twilio | Self::GoogleCalendar => &[],
        }
    }

    /// Where it listens: its name is complete, whatever hosts are written instead of its own.
    pub(super) fn endpoint(self) -> Endpoint {
        let name = HostName { text: self.host().to_owned(), complete: true };
        Endpoint { host: Host::Name(name), port: 443 }
    }
}

/// What a vendor's own client library does by default.
#[derive(Clone, Copy, Debug)]
pub struct Sdk {
    /// Whose.
    pub who: &'static str,
    /// It gives up a request after this.
    pub timeout: Duration,
    /// It repeats a failed one so many times by itself.
    pub retries: u32,
}

/// The client library by which an upstream is usually called, if it repeats by itself. Stripe's waits 80 s (`DEFAULT_TIMEOUT`
/// in stripe-node, `timeout` in stripe-python) and repeats up to twice (stripe-dotnet and stripe-go; stripe-node once from
/// version 13 on). Those of SendGrid, Twilio and Google repeat only where they are told to.
pub fn sdk(upstream: &Upstream) -> Option<Sdk> {
    let stripe = upstream.hosts.iter().any(|host| host == Preset::Stripe.host());
    stripe.then_some(Sdk { who: "Stripe's SDK", timeout: Duration::from_secs(80), retries: 2 })
}

/// The breaker's defaults for an upstream of this name (or preset).
pub fn breaker(name: &str) -> BreakerPolicy {
    BreakerFile::base(name, false, None).policy()
}

fn built_in(name: &str, timeouts: Timeouts) -> Upstream {
    let file = UpstreamFile::default();
    Upstream {
        name: UpstreamName::new(name).unwrap_or_else(|_| unreachable!("a valid name")),
        impact: None,
        endpoints: Vec::new(),
        hosts: Vec::new(),
        protocol: Protocol::Http1,
        tls: None,
        upgrade_tls: false,
        via: false,
        local: None,
        allow_addresses: Vec::new(),
        timeouts,
        pool: Pool {
            idle_per_worker: 8,
            idle_for: IdlePolicy::preset(false),
            connections: 1_024,
            tunnels: 1_024,
        },
        health: None,
        breaker: BreakerPolicy { mode: Mode::Off, ..breaker("") },
        operations: Vec::new(),
        payments: &[],
        judge: file.judge.policy(),
        retry: file.retry.policy(),
        keep_body: file.retry.keep_body(),
        dns_ttl: (file.dns.min_ttl.0, file.dns.max_ttl.0),
    }
}

/// The built-in upstream of hosts that no upstream lists, where the policy lets them pass. It has no breaker: the
/// hosts behind it have nothing in common.
pub fn unlisted() -> Upstream {
    built_in("unlisted", TimeoutsFile::base(false).timeouts())
}

/// The SRE API as an upstream of the traffic port: the admin listener at `admin`.
pub fn sre_api(admin: SocketAddr) -> Upstream {
    let common = built_in(SRE_API, TimeoutsFile::base(true).timeouts());
    let endpoint = Endpoint { host: Host::Address(admin.ip()), port: admin.port() };
    // A few: whoever floods the traffic port keeps nobody from the admin port.
    let pool = Pool { idle_for: IdlePolicy::preset(true), connections: 16, ..common.pool };
    Upstream { endpoints: vec![endpoint], pool, ..common }
}
