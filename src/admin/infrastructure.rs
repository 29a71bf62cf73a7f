//! What this process is made of, for people who look: listeners, certificates, the rules in force.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
#[cfg(test)]
use utoipa::ToSchema;

use super::contract::moment::when;
use super::observed::{Observed, Provenance};
use super::{Admin, dependencies};
use crate::config::Host;
use crate::control::ActiveAlert;
use crate::net::shown::ShownCertificate;
use crate::reliability::rule::Rule;
use crate::store::rows::millis;
use crate::units::At;
use crate::upstream::Upstream;

/// One listener of this process.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct ListenerView {
    /// admin, probes, inbound, ingress, egress, or the upstream of a local one.
    name: String,
    /// The address that is bound.
    address: String,
    /// It shows a certificate to its clients.
    tls: bool,
    /// Open connections; null: not counted here.
    connections: Option<usize>,
}

/// A certificate that clients of this process are shown.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct CertificateView {
    /// The listener that shows it.
    listener: String,
    /// When it becomes valid.
    valid_from: String,
    /// When it runs out.
    valid_until: String,
    /// Whole days until then; 0: it runs out within a day, or has.
    days_left: u64,
    /// valid, not_yet or over.
    validity: &'static str,
}

/// The certificate that a server of an upstream shows to this process.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct UpstreamCertificateView {
    upstream: String,
    /// The name that it is verified for.
    host: String,
    /// When it becomes valid; null: not observable before a handshake.
    valid_from: Option<String>,
    /// When it runs out; null: not observable before a handshake.
    valid_until: Option<String>,
    /// Whole days until then; 0: it runs out within a day, or has. null: not observable before a handshake.
    days_left: Option<u64>,
    /// valid, not_yet, over or not_observable.
    validity: &'static str,
    /// When it was last shown, RFC 3339; null: there was no handshake yet, or it is the client's own in a tunnel.
    seen_at: Option<String>,
}

/// Listeners and certificates.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct Infrastructure {
    listeners: Vec<ListenerView>,
    /// Those of listeners that speak TLS, looked at every ten seconds; empty for so long after the start. One that is about to run out is an incident.
    certificates: Vec<CertificateView>,
    /// Those of upstreams that are reached by TLS, each as of the last handshake that was well. Their owners renew them: none is an incident.
    upstream_certificates: Vec<UpstreamCertificateView>,
}

/// The word for it, and whole days until it runs out.
fn lasts((from, until): (At, At), now: At) -> (&'static str, u64) {
    let validity = match () {
        () if now < from => "not_yet",
        () if now >= until => "over",
        () => "valid",
    };
    (validity, until.since(now).as_secs() / 86_400)
}

/// What a server's certificate is verified for.
fn verified(host: &Host) -> String {
    match host {
        Host::Name(name) => name.text.clone(),
        Host::Address(ip) => ip.to_string(),
    }
}

/// The certificates of an upstream's servers; of one that was not reached yet nothing is known but that it is called.
fn of_upstream(upstream: &Upstream, now: At) -> Vec<UpstreamCertificateView> {
    let (Some(config), Some(tls)) = (&upstream.config.tls, &upstream.tls) else { return Vec::new() };
    let mut all: BTreeMap<String, Option<ShownCertificate>> = match &config.server_name {
        Some(name) => [(name.clone(), None)].into(),
        None => upstream.config.all_endpoints().map(|one| (verified(&one.host), None)).collect(),
    };
    all.extend(tls.shown().all().into_iter().map(|one| (one.name.clone(), Some(one))));
    let at = |wall| At(millis(wall));
    let view = |(host, shown): (String, Option<ShownCertificate>)| {
        let valid = shown.as_ref().and_then(|one| one.valid).map(|(from, until)| (at(from), at(until)));
        let (validity, days_left) = valid.map(|valid| lasts(valid, now)).unzip();
        UpstreamCertificateView {
            upstream: upstream.config.name.as_str().to_owned(),
            host,
            valid_from: valid.map(|(from, _)| when(from)),
            valid_until: valid.map(|(_, until)| when(until)),
            days_left,
            validity: validity.unwrap_or("not_observable"),
            seen_at: shown.map(|one| when(at(one.seen))),
        }
    };
    all.into_iter().map(view).collect()
}

fn certificate(listener: String, (from, until): (At, At), now: At) -> CertificateView {
    let (validity, days_left) = lasts((from, until), now);
    CertificateView { listener, valid_from: when(from), valid_until: when(until), days_left, validity }
}

/// Where this process listens, and how long the certificates last that it shows and is shown.
#[cfg_attr(test, utoipa::path(get, path = "/infrastructure", responses((status = 200, body = Observed<Infrastructure>))))]
pub(super) async fn infrastructure(State(admin): State<Arc<Admin>>) -> Json<Observed<Infrastructure>> {
    let (counts, certificates) = (admin.telemetry.listener_counts(), admin.own.certificates());
    let listener = |(name, address): &(String, std::net::SocketAddr)| ListenerView {
        name: name.clone(),
        address: address.to_string(),
        tls: certificates.contains_key(name) || name == "ingress" && has_tls(&admin),
        connections: counts.iter().find(|(counted, _)| counted == name).map(|(_, count)| *count),
    };
    let (listeners, now) = (admin.listeners.iter().map(listener).collect(), admin.control.now());
    let one = |(listener, valid)| certificate(listener, valid, now);
    let upstream_certificates =
        dependencies::sorted(&admin).iter().flat_map(|upstream| of_upstream(upstream, now)).collect();
    let certificates = certificates.clone().into_iter().map(one).collect();
    let view = Infrastructure { listeners, certificates, upstream_certificates };
    Provenance::now().answer(&admin, view)
}

/// Before the first look at its certificate, the config says so.
fn has_tls(admin: &Admin) -> bool {
    admin.reloader.status().config.ingress.as_ref().is_some_and(|ingress| ingress.tls.is_some())
}

/// A rule that makes incidents.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct RuleView {
    rule: &'static str,
    /// What it finds.
    meaning: &'static str,
    /// By which thresholds, in force now.
    threshold: String,
    /// False: `incidents.off` lists it.
    on: bool,
    /// Conditions that it finds and that are not confirmed.
    pending: usize,
    /// Those that are.
    firing: usize,
}

/// The rules in force.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct Rules {
    /// What stands first explains what stands after it.
    rules: Vec<RuleView>,
    /// Good for so many seconds ends an incident.
    clear_after_seconds: u64,
}

/// Each rule with its threshold in force, and what it finds at this moment.
#[cfg_attr(test, utoipa::path(get, path = "/rules", responses((status = 200, body = Observed<Rules>))))]
pub(super) async fn rules(State(admin): State<Arc<Admin>>) -> Json<Observed<Rules>> {
    let (snapshot, config) = (admin.control.snapshot(), admin.reloader.status().config);
    let policy = &config.watch.policy.detect;
    let view = |rule: Rule| {
        let of_it = |one: &&ActiveAlert| one.key.rule == rule;
        let all = snapshot.alerts.iter().filter(of_it).count();
        let firing = snapshot.alerts.iter().filter(of_it).filter(|one| one.alert.is_firing()).count();
        RuleView {
            rule: rule.label(),
            meaning: rule.facts().meaning,
            threshold: policy.describe(rule),
            on: policy.runs(rule),
            pending: all - firing,
            firing,
        }
    };
    let view = Rules { rules: Rule::ALL.map(view).into(), clear_after_seconds: policy.clear_after.as_secs() };
    Provenance::looked(&admin, &snapshot).answer(&admin, view)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_says_how_long_it_lasts() {
        let (from, until) = (At(1_000), At(1_000 + 30 * 86_400_000));
        let at = |now| {
            let view = certificate("ingress".to_owned(), (from, until), At(now));
            (view.days_left, view.validity)
        };
        assert_eq!((at(0), at(1_000), at(1_001)), ((30, "not_yet"), (30, "valid"), (29, "valid")));
        assert_eq!((at(until.0), at(until.0 + 1)), ((0, "over"), (0, "over")));
    }
}
