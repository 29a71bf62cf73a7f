//! What a request would meet on its way, fact by fact, each with the key that says so.

mod fact;
mod rules;
mod way;

use super::route::Entrance;
use crate::config::{Config, Unlisted};
use crate::message::head::RequestHead;
use crate::units::Written as _;
use crate::upstream::RouteEntry;
pub(super) use fact::Fact;
use fact::Facts;

/// What a request of this route would meet.
pub(super) fn facts(
    config: &Config,
    entry: &RouteEntry,
    head: &RequestHead,
    entrance: &Entrance,
) -> Vec<Fact> {
    let mut facts = Facts::of(entry);
    let is_default = entry.config.name.as_str() == crate::config::DEFAULT_ROUTE;
    facts.is_written = *entrance == Entrance::Ingress && !is_default;
    facts.route(entrance);
    facts.admission(config, entrance);
    facts.upstream();
    facts.timeouts();
    facts.keys(head);
    facts.breaker(head);
    facts.repeats(head);
    facts.verdicts();
    facts.stand_ins(head, config);
    facts.all
}

/// What a tunnel would meet: what is spoken inside is not seen.
pub(super) fn tunnel(entry: &RouteEntry) -> Vec<Fact> {
    let mut facts = Facts::of(entry);
    facts.upstream();
    let connect = entry.timeouts.connect.map_or("no time".to_owned(), |time| time.write());
    let key = facts.key("timeouts.connect");
    facts.add("timeouts", format!("its connection may take {connect}"), key);
    facts.breaker_of(None);
    facts.add(
        "tunnel",
        "what is spoken inside is not seen: it is not repeated, its answers are not judged, nothing stands in for them; a \
         connection that fails counts. A local listener, or http:// with upgrade_tls, is seen",
        facts.key("local"),
    );
    facts.all
}

/// What a request for a host that no upstream lists would meet.
pub(super) fn unlisted(policy: Unlisted) -> Vec<Fact> {
    let told = match policy {
        Unlisted::Deny => "no upstream lists the host: it is refused",
        Unlisted::Allow => {
            "no upstream lists the host: it is looked up, the address guard holds, and no breaker is asked"
        }
        Unlisted::Report => {
            "no upstream lists the host: it is told once, looked up, the address guard holds, and no breaker is asked"
        }
    };
    vec![Fact { about: "route", says: told.to_owned(), key: "egress.unlisted".to_owned() }]
}
