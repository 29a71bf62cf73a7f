//! One dependency: the table `[upstreams.<name>]`.

mod breaker;
mod dns;
mod endpoint;
mod failover;
mod health;
mod idempotency;
mod judge;
mod outbox;
mod pool;
pub mod presets;
mod refusal;
mod retry;
mod throttle;
mod tls;
pub(super) mod vendor;

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::hosts::{self, Wild};
use super::problem::Part;
use super::timeouts::{Timeouts, TimeoutsFile};
use super::word::{OneOf, Word, words};
use crate::names::UpstreamName;
use crate::reliability::breaker::BreakerPolicy;
use crate::reliability::idempotency::KeyPolicy;
use crate::reliability::retry::RetryPolicy;
use crate::reliability::throttle::ThrottlePolicy;
use crate::reliability::verdict::JudgePolicy;
use crate::units::Text;
use breaker::BreakerFile;
pub use breaker::Operation;
pub(super) use breaker::is_known;
use dns::DnsFile;
pub use endpoint::{Endpoint, Host, HostName};
use failover::{BACKUP, BackupGroup, FailoverFile, WrittenGroups};
pub use health::HealthCheck;
use health::HealthFile;
use idempotency::IdempotencyFile;
use judge::JudgeFile;
pub use outbox::OutboxPolicy;
use outbox::UpstreamOutboxFile;
pub use pool::PoolConfig;
use pool::PoolFile;
use refusal::RefusalFile;
pub use refusal::{RefusalTemplate, RefusalValues};
use retry::RetryFile;
use throttle::ThrottleFile;
pub use tls::ClientTls;
use tls::ClientTlsFile;
use vendor::Preset;

/// Characters of what customers notice: what a message tells of a text that it did not write itself, and no more.
const IMPACT: usize = 200;

/// The table `[upstreams.<name>]` as the operator writes it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamFile {
    /// Fills hosts, endpoints, tls and breaker.
    pub preset: Option<OneOf<Preset>>,
    /// What customers notice when it fails: a sentence that stakeholders are told; absent: its name is all there is to say.
    pub impact: Option<String>,
    /// `host:port`, `[v6]:port` or `name:port`.
    pub endpoints: Vec<Text<Endpoint>>,
    /// Endpoints that are called while those are ill.
    pub backup: Vec<Text<Endpoint>>,
    /// When the backup endpoints are called; absent: as by default.
    pub failover: Option<FailoverFile>,
    /// Host names by which egress requests find it.
    pub hosts: Vec<String>,
    /// What is spoken with it.
    pub protocol: OneOf<Protocol>,
    /// How TLS is spoken with it; absent or false: plain.
    pub tls: ClientTlsFile,
    /// http:// requests of the forward proxy leave as https.
    pub upgrade_tls: bool,
    /// Requests say in `Via` that they came through here; absent: behind the ingress only.
    pub via: bool,
    /// A local base-URL listener.
    #[cfg_attr(test, schemars(extend("x-restart" = true)))]
    pub local: Option<Text<SocketAddr>>,
    /// Networks the address guard lets pass here.
    pub allow_addresses: Vec<Text<IpNet>>,
    /// How long things may take.
    pub timeouts: TimeoutsFile,
    /// Connections that are kept and how many there may be.
    pub pool: PoolFile,
    /// Active checks of its endpoints; absent: none.
    pub health: Option<HealthFile>,
    /// When to stop calling it.
    pub breaker: BreakerFile,
    /// What counts as bad.
    pub judge: JudgeFile,
    /// When a failed request is sent once more.
    pub retry: RetryFile,
    /// Asking it less while it turns requests away.
    pub throttle: ThrottleFile,
    /// By which key it knows a write that it has seen, so that it may be sent twice; absent: as its preset documents it.
    pub idempotency: IdempotencyFile,
    /// Writes that are queued while it cannot be asked; absent: none are.
    pub outbox: Option<UpstreamOutboxFile>,
    /// What its clients read when the proxy answers in its place; absent: as its preset's own library understands it, else
    /// `application/problem+json`.
    pub refusal: RefusalFile,
    /// How often names are looked up again.
    pub dns: DnsFile,
}

impl Default for UpstreamFile {
    fn default() -> Self {
        Self {
            preset: None,
            impact: None,
            endpoints: Vec::new(),
            backup: Vec::new(),
            failover: None,
            hosts: Vec::new(),
            protocol: OneOf(Protocol::Auto),
            tls: ClientTlsFile::Switch(false),
            upgrade_tls: false,
            via: false,
            local: None,
            allow_addresses: Vec::new(),
            timeouts: TimeoutsFile::base(false),
            pool: PoolFile::default(),
            health: None,
            breaker: BreakerFile::default(),
            judge: JudgeFile::default(),
            retry: RetryFile::default(),
            throttle: ThrottleFile::default(),
            idempotency: IdempotencyFile::default(),
            outbox: None,
            refusal: RefusalFile::default(),
            dns: DnsFile::default(),
        }
    }
}

/// What is spoken with an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 only, also over TLS.
    Http1,
    /// HTTP/2 only (h2c with prior knowledge, or TLS with ALPN h2).
    H2,
    /// TLS: whatever ALPN gives. Plain: HTTP/1.1.
    Auto,
}

words! {
    Protocol: "protocol" {
        Auto = "auto", "by ALPN where there is TLS, else HTTP/1.1";
        Http1 = "http1", "HTTP/1.1 only";
        H2 = "h2", "HTTP/2 only, in the clear with prior knowledge";
    }
}

/// One dependency as it is called.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamConfig {
    pub name: UpstreamName,
    /// What customers notice when it fails, one sentence.
    pub impact: Option<String>,
    /// Addresses; several endpoints, or one name with several addresses, are balanced.
    pub endpoints: Vec<Endpoint>,
    /// A second group of endpoints; `None`: there is none.
    pub backup: Option<BackupGroup>,
    /// Hosts (lower case; `*.example.com` allowed; IPv6 addresses without brackets) by which egress requests find it.
    pub hosts: Vec<String>,
    /// HTTP/1.1, h2 with prior knowledge, or by ALPN.
    pub protocol: Protocol,
    /// How TLS is spoken with it; `None`: plain.
    pub tls: Option<ClientTls>,
    /// `http://` requests of the forward proxy leave as https (needs `tls`).
    pub upgrade_tls: bool,
    /// Do requests say in `Via` that they came through here?
    pub via: bool,
    /// A local base-URL listener.
    pub local: Option<SocketAddr>,
    /// Networks that the address guard (against SSRF) would refuse, allowed here. The ingress upstream's
    /// own addresses are always allowed.
    pub allow_addresses: Vec<IpNet>,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// Connections that are kept and how many there may be.
    pub pool: PoolConfig,
    /// Active checks; `None`: off.
    pub health: Option<HealthCheck>,
    /// When to stop calling it.
    pub breaker: BreakerPolicy,
    /// What has a breaker of its own under it.
    pub operations: Vec<Operation>,
    /// The vendor that it is: of its preset, or the one of its name; `None`: none that is known.
    pub vendor: Option<Preset>,
    /// Paths to which a POST takes a payment; those of its preset, or of the one of its name.
    pub payments: &'static [&'static str],
    /// What counts as bad.
    pub judge: JudgePolicy,
    /// When a failed request is sent once more.
    pub retry: RetryPolicy,
    /// When to ask it less.
    pub throttle: ThrottlePolicy,
    /// By which key it knows a write that it has seen; `None`: it knows none.
    pub keys: Option<KeyPolicy>,
    /// Writes that are queued while it cannot be asked; `None`: none are.
    pub outbox: Option<OutboxPolicy>,
    /// Request bodies up to so many bytes are kept while they are sent, so that they can be sent once more.
    pub keep_body: usize,
    /// What its clients read when the proxy answers in its place; `None`: `application/problem+json`.
    pub refusal: Option<RefusalTemplate>,
    /// How often names are looked up again: answers' TTL clamped to this range.
    pub dns_ttl: (Duration, Duration),
}

impl UpstreamFile {
    /// What an upstream of this name has by default. `behind`: requests of the ingress go there, so it is a
    /// neighbour and not a vendor.
    pub(super) fn base(name: &str, behind: bool, written: &Table) -> Self {
        let preset = written.get("preset").and_then(Value::as_str).and_then(Preset::named);
        let by_name = Preset::named(name).filter(|_| !behind);
        let breaker = written.get("breaker").and_then(Value::as_table);
        let mut base = Self {
            timeouts: TimeoutsFile::base(behind),
            via: behind,
            refusal: RefusalFile::base(preset.filter(|_| !behind).or(by_name)),
            // What a vendor does and says is so from wherever it is called.
            idempotency: IdempotencyFile::base(preset.or(by_name)),
            judge: JudgeFile::base(preset.or(by_name)),
            breaker: BreakerFile::base(preset.map_or(name, |preset| preset.word()), behind, breaker),
            ..Self::default()
        };
        if let Some(preset) = preset {
            base.hosts = vec![preset.host().to_owned()];
            if !written.contains_key("endpoints") {
                base.endpoints = vec![Text(preset.endpoint())];
                base.tls = ClientTlsFile::Switch(true);
            }
        }
        base
    }

    fn queued(
        &self,
        at: Part<'_, '_>,
        vendor: Option<Preset>,
        keys: Option<&KeyPolicy>,
    ) -> Option<OutboxPolicy> {
        self.outbox.as_ref().and_then(|outbox| outbox.check(at, vendor, keys))
    }

    fn check_impact(&self, at: &mut Part<'_, '_>) {
        let fits =
            |text: &String| (1..=IMPACT).contains(&text.chars().count()) && !text.contains(char::is_control);
        if self.impact.as_ref().is_some_and(|text| !fits(text)) {
            at.add(
                "impact",
                "is to be one sentence of at most 200 characters, such as \"Customers cannot pay by card.\"",
            );
        }
    }

    /// Does it know writes by a key?
    pub(super) fn knows_keys(&self) -> bool {
        !self.idempotency.header.is_empty()
    }

    fn groups(&self) -> WrittenGroups<'_> {
        WrittenGroups {
            first: &self.endpoints,
            backup: &self.backup,
            failover: self.failover.as_ref(),
            name_is_taken: self.breaker.operations.contains_key(BACKUP),
        }
    }

    /// The hosts it lists, as they are compared; those that cannot be are as they were written.
    pub(super) fn hosts(&self) -> Vec<String> {
        let one = |host: &String| hosts::read(host, Wild::Allowed).unwrap_or_else(|_| host.clone());
        self.hosts.iter().map(one).collect()
    }

    pub(super) fn check(&self, mut at: Part<'_, '_>, name: &str, behind: bool) -> Option<UpstreamConfig> {
        let preset = self.preset.map(|OneOf(preset)| preset).or_else(|| Preset::named(name));
        let name = at.take("", UpstreamName::new(name));
        if self.endpoints.is_empty() {
            at.add("endpoints", "needs at least one endpoint, such as [\"127.0.0.1:8001\"]");
        }
        for (nth, host) in self.hosts.iter().enumerate() {
            at.take(&format!("hosts.{nth}"), hosts::read(host, Wild::Allowed));
        }
        self.check_impact(&mut at);
        let tls = self.tls.check(at.part("tls"));
        if self.upgrade_tls && tls.is_none() {
            at.add("upgrade_tls", "needs tls = true: there is nothing to upgrade to");
        }
        let keys = self.idempotency.check(at.part("idempotency"));
        let outbox = self.queued(at.part("outbox"), preset, keys.as_ref());
        let health = self.health.as_ref().map(|health| health.check(at.part("health")));
        let breaker = self.breaker.check(at.part("breaker"));
        let backup = self.groups().check(at.part(""), health.as_ref(), &breaker);
        Some(UpstreamConfig {
            impact: self.impact.clone(),
            endpoints: self.endpoints.iter().map(|endpoint| endpoint.0.clone()).collect(),
            backup,
            hosts: self.hosts(),
            protocol: self.protocol.0,
            tls,
            upgrade_tls: self.upgrade_tls,
            via: self.via,
            local: self.local.map(|local| local.0),
            allow_addresses: self.allow_addresses.iter().map(|network| network.0).collect(),
            timeouts: self.timeouts.check(at.part("timeouts")),
            pool: self.pool.check(at.part("pool"), behind),
            health,
            breaker,
            operations: self.breaker.operations(at.part("breaker.operations")),
            vendor: preset,
            payments: preset.map_or(&[], Preset::payments),
            judge: self.judge.check(at.part("judge")),
            retry: self.retry.check(at.part("retry")),
            throttle: self.throttle.check(at.part("throttle")),
            keys,
            outbox,
            keep_body: self.retry.keep_body(),
            refusal: self.refusal.check(at.part("refusal")),
            dns_ttl: self.dns.check(at.part("dns")),
            name: name?,
        })
    }
}

impl UpstreamConfig {
    /// Does it take payments? Then declines and failed payments are watched.
    pub fn takes_payments(&self) -> bool {
        !self.payments.is_empty()
    }

    /// May an answer with `status`, or with that `grpc-status` alone, be followed by another attempt of the same exchange?
    pub fn repeats_after(&self, status: u16, grpc: Option<u16>) -> bool {
        let undone = |keys: &KeyPolicy| self.retry.idempotent && keys.is_undone(status);
        self.retry.repeats(status) || self.retry.repeats_grpc(grpc) || self.keys.as_ref().is_some_and(undone)
    }

    /// Is a name of its endpoints complete, so that no search domain of resolv.conf is appended? So are all names of an
    /// upstream that is found by host: it is somebody outside, and no neighbour.
    pub fn is_complete(&self, name: &HostName) -> bool {
        name.complete || !self.hosts.is_empty()
    }

    /// The endpoints of both of its groups.
    pub fn all_endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter().chain(self.backup.iter().flat_map(|backup| &backup.endpoints))
    }

    /// What its backup group is called by: all as written, but for the endpoints, and without operations, whose breakers are
    /// those of the first group.
    pub fn of_backup(&self) -> Option<Self> {
        let endpoints = self.backup.as_ref()?.endpoints.clone();
        Some(Self { endpoints, backup: None, operations: Vec::new(), ..self.clone() })
    }

    /// Do requests for `host` and `port` go where it leads to?
    pub(super) fn leads_to(&self, host: &Host, port: u16) -> bool {
        let same = |endpoint: &Endpoint| {
            let one = match (&endpoint.host, host) {
                (Host::Name(a), Host::Name(b)) => a.text == b.text,
                (a, b) => a == b,
            };
            one && endpoint.port == port
        };
        let text = match host {
            Host::Name(name) => name.text.clone(),
            Host::Address(ip) => ip.to_string(),
        };
        let listed = |listed: &String| match listed.strip_prefix('*') {
            Some(end) => text.ends_with(end) && text.len() > end.len(),
            None => text == *listed,
        };
        self.all_endpoints().any(same) || self.hosts.iter().any(listed)
    }
}

#[cfg(test)]
mod tests;
