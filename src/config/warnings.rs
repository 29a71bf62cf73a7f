//! What runs and yet is probably not meant: channels that would fall silent together with what they are to tell
//! about, ladders that reach nobody, names that nobody can look up, ways out that are open to others, secrets
//! that others can read.

use std::net::SocketAddr;

use super::engine::reach;
use super::{Config, Host, HostName, Unlisted, UpstreamConfig, listeners};

/// All warnings about a config that can run.
pub fn all(config: &Config) -> Vec<String> {
    let mut found = channels(config);
    found.extend(open_listeners(config));
    found.extend(config.origin.exposed.iter().cloned());
    found.extend(reach::warnings(config));
    found.extend(config.upstreams.iter().flat_map(|upstream| short_names(upstream)));
    found
}

/// Names of endpoints that are looked up as they are and cannot be meant so.
pub(super) fn short_names(upstream: &UpstreamConfig) -> impl Iterator<Item = String> {
    let backup =
        upstream.backup.iter().flat_map(|backup| &backup.endpoints).map(|endpoint| ("backup", endpoint));
    let all = upstream.endpoints.iter().map(|endpoint| ("endpoints", endpoint)).chain(backup);
    let names = all.filter_map(|(key, endpoint)| match &endpoint.host {
        Host::Name(name) => Some((key, name)),
        Host::Address(_) => None,
    });
    let short = |(_, name): &(&str, &HostName)| {
        !(name.complete || name.text.contains('.') || name.text == "localhost")
    };
    names.filter(|_| !upstream.hosts.is_empty()).filter(short).map(|(key, name)| {
        format!(
            "upstreams.{}.{key} has {:?}: an upstream with hosts is looked up without the search domains of \
             resolv.conf; write the whole name",
            upstream.name, name.text
        )
    })
}

/// Listeners that let whoever reaches them out.
pub(super) fn open_listeners(config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    let open = |listen: SocketAddr| !listen.ip().to_canonical().is_loopback();
    if let Some(egress) = config.egress.as_ref().filter(|egress| open(egress.listen)) {
        let to = match egress.unlisted {
            Unlisted::Deny => "to all hosts that upstreams list, with this address as the sender",
            Unlisted::Allow | Unlisted::Report => "to any public host: an open proxy",
        };
        found.push(format!(
            "egress.listen: {} is reachable from outside, and whoever reaches it gets out through it {to}; write \
             listen = \"127.0.0.1:{}\", or let a network policy or a firewall say who may connect",
            egress.listen,
            egress.listen.port()
        ));
    }
    for upstream in &config.upstreams {
        if let Some(local) = upstream.local.filter(|local| open(*local)) {
            found.push(format!(
                "upstreams.{0}.local: {local} is reachable from outside, and whoever reaches it calls {0} as this process \
                 does; write local = \"127.0.0.1:{1}\", or let a network policy or a firewall say who may connect",
                upstream.name,
                local.port()
            ));
        }
    }
    found
}

/// Channels that would fall silent together with what they are to tell about. They work; somebody should know.
fn channels(config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    for channel in &config.notify {
        for (host, port) in channel.hosts() {
            let name = &channel.name;
            if let Some(listener) = listeners::of_loopback(&config.origin.file, host, port) {
                found.push(format!(
                    "notify.{name} sends to {listener} of this very process: it depends on what it tells about; \
                     write the address of the service itself"
                ));
            }
            for upstream in config.upstreams.iter().filter(|upstream| upstream.leads_to(host, port)) {
                found.push(format!(
                    "notify.{name} sends where upstreams.{} leads to: it does not wait for that breaker, but when the \
                     one is down the other is too; have a channel of another service beside it",
                    upstream.name
                ));
            }
        }
    }
    found
}
