//! `[egress]`: forward proxy and CONNECT.

use std::net::SocketAddr;
use std::sync::Arc;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::limits::{ClientLimits, LimitsFile};
use super::problem::Part;
use super::word::{OneOf, words};
use crate::units::Text;

/// The table `[egress]` as the operator writes it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct EgressFile {
    /// Address and port of the forward proxy, such as `127.0.0.1:3128`.
    #[cfg_attr(test, schemars(extend("x-restart" = true)))]
    pub listen: Text<SocketAddr>,
    /// What happens to hosts that no upstream lists.
    pub unlisted: OneOf<Unlisted>,
    /// Ports of unlisted hosts that a CONNECT may ask for; others are refused with "allow" and told with "report".
    pub ports: Vec<u16>,
    /// Ports to which connections of this network namespace that pass the egress by are counted.
    pub bypass_ports: Vec<u16>,
    /// What one client may ask.
    pub limits: LimitsFile,
}

impl Default for EgressFile {
    fn default() -> Self {
        Self {
            listen: Text(SocketAddr::from(([127, 0, 0, 1], 3_128))),
            unlisted: OneOf(Unlisted::Deny),
            ports: vec![80, 443],
            bypass_ports: vec![443],
            limits: LimitsFile::default(),
        }
    }
}

/// `[egress]` as it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Egress {
    /// Where the application's `HTTP_PROXY`/`HTTPS_PROXY` points.
    pub listen: SocketAddr,
    /// What happens to hosts that no upstream lists.
    pub unlisted: Unlisted,
    /// Ports of unlisted hosts that a tunnel may lead to.
    pub ports: Vec<u16>,
    /// Ports to which connections that pass the egress by are counted; none: they are not looked for.
    pub bypass_ports: Vec<u16>,
    /// As for ingress. Also applies to the `local` listeners.
    pub limits: Arc<ClientLimits>,
}

/// What happens to hosts that no upstream lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlisted {
    /// The request is answered with 403 and goes nowhere.
    Deny,
    /// Forwarded through the built-in upstream `unlisted`; the SSRF guard stays on.
    Allow,
    /// As `Allow`, and each new host is reported once.
    Report,
}

words! {
    Unlisted: "policy" {
        Deny = "deny", "403";
        Allow = "allow", "forwarded, where its addresses are not forbidden";
        Report = "report", "forwarded, and each new host is reported once";
    }
}

impl EgressFile {
    pub(super) fn check(&self, mut at: Part<'_, '_>) -> Egress {
        let limits = Arc::new(self.limits.check(at.part("limits")));
        if self.bypass_ports.contains(&0) {
            at.add("bypass_ports", "0 is no port; write [443], or [] to look for none");
        }
        Egress {
            listen: self.listen.0,
            unlisted: self.unlisted.0,
            ports: self.ports.clone(),
            bypass_ports: self.bypass_ports.clone(),
            limits,
        }
    }
}
