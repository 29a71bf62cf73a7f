//! What an incident can be about: the names by which a silence is checked.

use std::collections::BTreeSet;

use super::{Admin, dependencies};
use crate::reliability::detect::NETWORK;
use crate::reliability::incident::DRILL;
use crate::reliability::readings::Resource;

/// Conditions of the sidecar itself that are reported.
const OWN: [&str; 5] = ["store", "config", "clock", "ingress", "egress"];

/// Upstreams, routes, resources, the sidecar's own parts, and whatever an incident or alert at hand is about.
pub(super) fn known(admin: &Admin) -> BTreeSet<String> {
    let snapshot = admin.control.snapshot();
    let upstreams = dependencies::sorted(admin).into_iter().map(|one| one.config.name.as_str().to_owned());
    let series = admin.telemetry.all_series();
    let measured = series.iter().map(|one| one.key.0.as_str().to_owned());
    let config = admin.reloader.status().config;
    let configured = config.routes.iter().map(|route| route.name.as_str().to_owned());
    let channels = config.notify.iter().map(|channel| channel.name.as_str().to_owned());
    let resources = Resource::ALL.map(|one| one.label().to_owned());
    let sampled = snapshot.resources.iter().map(|one| format!("{}{}", one.what.label(), one.which));
    let own = OWN.iter().chain(&[crate::control::SERVICE, NETWORK, DRILL]).map(|one| (*one).to_owned());
    let incidents = snapshot.incidents.iter().map(|one| one.key.service.to_string());
    let alerts = snapshot.alerts.iter().map(|one| one.key.service.to_string());
    upstreams
        .chain(measured)
        .chain(configured)
        .chain(channels)
        .chain(resources)
        .chain(sampled)
        .chain(own)
        .chain(incidents)
        .chain(alerts)
        .collect()
}
