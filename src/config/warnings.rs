//! What runs and yet is probably not meant: channels that would fall silent together with what they are to tell
//! about, ladders that reach nobody, names that nobody can look up, ways out that are open to others, secrets
//! that others can read.

use std::net::SocketAddr;

use super::engine::reach;
use super::{Config, Unlisted, listeners};

/// All warnings about a config that can run.
pub fn all(config: &Config) -> Vec<String> {
    let mut found = channels(config);
    found.extend(open_listeners(config));
    found.extend(config.origin.exposed.iter().cloned());
    found.extend(reach::warnings(config));
    found.extend(config.upstreams.iter().flat_map(|upstream| upstream.warnings()));
    found
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
