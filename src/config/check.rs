//! From what was written to what runs, or to a list of problems. Every check runs; then the list decides.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::file::{AccessLogFile, AdminFile, ConfigFile, EgressFile, IngressFile, LimitsFile, TimeoutsFile};
use super::problem::{Collector, did_you_mean};
use super::{
    AccessLog, AccessSink, Admin, Config, Egress, Ingress, Limits, ServerTls, Timeouts, Upstream, channels,
    desk, process, routes, store, upstreams,
};
use crate::names::UpstreamName;

/// Checks everything. `None` when problems were noted.
pub fn check(file: &ConfigFile, hash: String, problems: &mut Collector<'_>) -> Option<Config> {
    let named: Vec<&str> = file.upstreams.keys().map(String::as_str).collect();
    let ingress = file.ingress.as_ref().map(|written| ingress(written, &named, problems));
    let egress = file.egress.as_ref().map(|written| egress(written, problems));
    let backend = ingress.as_ref().and_then(Option::as_ref).map(|ingress| ingress.upstream.clone());
    let latency = desk::latency(&file.latency, problems);
    let routes = routes::check(&file.routes, backend.as_ref(), &named, latency.budget, problems);
    let is_ingress = |name: &str| {
        backend.as_ref().is_some_and(|backend| backend.as_str() == name)
            || file.routes.iter().any(|route| route.upstream == name)
    };
    let upstreams: Vec<Option<Upstream>> = file
        .upstreams
        .iter()
        .map(|(name, written)| upstreams::check(name, written, is_ingress(name), problems))
        .collect();
    let notify: Vec<Option<channels::Channel>> =
        file.notify.iter().map(|(name, written)| channels::check(name, written, problems)).collect();
    let admin = admin(&file.admin, problems);
    let access_log = access_log(&file.access_log, problems);
    let store = store::check(&file.store, problems);
    let process = process::check(&file.process, problems);
    let watch = desk::check(file, latency, &routes, problems);
    let upstreams: Vec<Arc<Upstream>> = upstreams.into_iter().flatten().map(Arc::new).collect();
    let local = upstreams.iter().any(|upstream| upstream.local.is_some());
    if file.ingress.is_none() && file.egress.is_none() && !local && problems.is_clean() {
        problems.add(
            "",
            "there is nothing to do: write [ingress], [egress] or a `local` listener of an upstream",
        );
    }
    twice(file, problems);
    exposed(file, problems);
    let config = Config {
        ingress: ingress.flatten(),
        egress: egress.flatten(),
        upstreams,
        routes,
        notify: notify.into_iter().flatten().map(Arc::new).collect(),
        admin: admin?,
        latency,
        watch: watch?,
        access_log: access_log?,
        store: store?,
        process,
        hash,
        written: Arc::new(super::written::written(file)),
    };
    problems.is_clean().then_some(config)
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("{text:?} is not an address with a port; write \"127.0.0.1:8000\" or \"[::1]:8000\"")
    })
}

pub(super) fn known(
    path: &str,
    name: &str,
    named: &[&str],
    problems: &mut Collector<'_>,
) -> Option<UpstreamName> {
    if !named.contains(&name) {
        let guess = did_you_mean(name, named.iter().copied());
        problems.add(
            path,
            format!("no upstream is named {name:?}{guess}; write [upstreams.{name}] or another name"),
        );
    }
    problems.take(path, UpstreamName::new(name))
}

fn ingress(written: &IngressFile, named: &[&str], problems: &mut Collector<'_>) -> Option<Ingress> {
    let listen = problems.take("ingress.listen", address(&written.listen));
    let upstream = known("ingress.upstream", &written.upstream, named, problems);
    let limits = limits("ingress.limits", &written.limits, problems);
    let tls = written.tls.as_ref().map(|tls| {
        for (key, file) in [("cert_file", &tls.cert_file), ("key_file", &tls.key_file)] {
            if let Err(error) = std::fs::metadata(file) {
                problems.add(&format!("ingress.tls.{key}"), format!("{file:?} cannot be read: {error}"));
            }
        }
        ServerTls { cert_file: PathBuf::from(&tls.cert_file), key_file: PathBuf::from(&tls.key_file) }
    });
    Some(Ingress {
        listen: listen?,
        upstream: upstream?,
        tls,
        trusted_hops: written.trusted_hops,
        claim_sre_api: written.claim_sre_api,
        limits: Arc::new(limits),
    })
}

fn egress(written: &EgressFile, problems: &mut Collector<'_>) -> Option<Egress> {
    let listen = problems.take("egress.listen", address(&written.listen));
    let limits = limits("egress.limits", &written.limits, problems);
    Some(Egress { listen: listen?, unlisted: written.unlisted.0, limits: Arc::new(limits) })
}

fn limits(at: &str, written: &LimitsFile, problems: &mut Collector<'_>) -> Limits {
    let mut within = |key: &str, value: u64, least: u64, most: u64| {
        problems.within(&format!("{at}.{key}"), value, least, most);
    };
    within("connections", written.connections.into(), 1, 10_000_000);
    within("header_bytes", written.header_bytes.0.0, 1_024, 1 << 20);
    within("header_count", written.header_count.into(), 1, crate::message::h1::parse::MOST_FIELDS as u64);
    within("h2_streams", written.h2_streams.into(), 1, 100_000);
    if written.header_read.0.is_zero() {
        problems
            .add(&format!("{at}.header_read"), "must be longer than 0s, or no request could ever be read");
    }
    Limits {
        connections: written.connections as usize,
        header_bytes: usize::try_from(written.header_bytes.0.0).unwrap_or(usize::MAX),
        header_count: written.header_count as usize,
        header_read: written.header_read.0,
        keep_alive: written.keep_alive.0,
        half_close: written.half_close.0,
        requests_per_connection: (written.requests_per_connection > 0)
            .then_some(written.requests_per_connection),
        h2_streams: written.h2_streams,
    }
}

pub(super) fn timeouts(at: &str, written: &TimeoutsFile, problems: &mut Collector<'_>) -> Timeouts {
    let mut read = |key: &str, value: Option<crate::units::Text<Duration>>| {
        if value.is_some_and(|value| value.0.is_zero()) {
            problems.add(
                &format!("{at}.{key}"),
                "must be longer than 0s; leave the key out to have no limit of its own",
            );
        }
        value.map(|value| value.0)
    };
    Timeouts {
        connect: read("connect", written.connect),
        first_byte: read("first_byte", written.first_byte),
        idle: read("idle", written.idle),
        per_try: read("per_try", written.per_try),
        total: read("total", written.total),
    }
}

fn admin(written: &AdminFile, problems: &mut Collector<'_>) -> Option<Admin> {
    let listen = problems.take("admin.listen", address(&written.listen));
    let token = match &written.token_file {
        None => None,
        Some(file) => problems.take("admin.token_file", secret(file, "a token", 16)),
    };
    if let Some(listen) = listen
        && !listen.ip().is_loopback()
        && written.token_file.is_none()
    {
        problems.add(
            "admin.listen",
            format!("{listen} is reachable from outside: write admin.token_file, or listen on 127.0.0.1"),
        );
    }
    Some(Admin {
        listen: listen?,
        token,
        hosts: written.hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
    })
}

/// What a file holds, without the white space around it; the text itself is never shown.
pub(super) fn secret(file: &str, what: &str, least: usize) -> Result<SecretString, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{file:?} cannot be read: {error}"))?;
    let held = text.trim();
    if held.len() < least {
        return Err(format!("{file:?} must hold {what} of at least {least} characters"));
    }
    if held.contains(char::is_control) {
        return Err(format!("{file:?} must hold {what} on one line, and nothing else"));
    }
    Ok(SecretString::from(held))
}

fn access_log(written: &AccessLogFile, problems: &mut Collector<'_>) -> Option<AccessLog> {
    let to = match written.to.as_str() {
        "off" => Ok(None),
        "stdout" => Ok(Some(AccessSink::Stdout)),
        other => match other.strip_prefix("file:") {
            Some(path) if !path.is_empty() => Ok(Some(AccessSink::File(PathBuf::from(path)))),
            Some(_) | None => {
                Err(format!("{other:?} is nowhere to write; write \"stdout\", \"off\" or \"file:PATH\""))
            }
        },
    };
    let to = problems.take("access_log.to", to);
    Some(AccessLog { to: to?, sample: written.sample.0.ratio(), keep_query: written.keep_query.clone() })
}

/// Addresses and hosts that two parts claim.
fn twice(file: &ConfigFile, problems: &mut Collector<'_>) {
    let mut listeners: Vec<(String, String)> = vec![("admin.listen".to_owned(), file.admin.listen.clone())];
    if let Some(ingress) = &file.ingress {
        listeners.push(("ingress.listen".to_owned(), ingress.listen.clone()));
    }
    if let Some(egress) = &file.egress {
        listeners.push(("egress.listen".to_owned(), egress.listen.clone()));
    }
    for (name, upstream) in &file.upstreams {
        if let Some(local) = &upstream.local {
            listeners.push((format!("upstreams.{name}.local"), local.clone()));
        }
    }
    for (at, (path, listen)) in listeners.iter().enumerate() {
        let earlier = listeners.iter().take(at).find(|(_, other)| other == listen && !listen.ends_with(":0"));
        if let Some((other, _)) = earlier {
            problems.add(path, format!("{listen} is taken by {other} already; write another port"));
        }
    }
    let mut hosts: Vec<(&str, String)> = Vec::new();
    for (name, upstream) in &file.upstreams {
        for host in upstreams::hosts(upstream) {
            match hosts.iter().find(|(_, other)| *other == host) {
                Some((other, _)) => problems.add(
                    &format!("upstreams.{name}.hosts"),
                    format!("{host:?} is listed by {other} already"),
                ),
                None => hosts.push((name, host)),
            }
        }
    }
}

/// What would be open to strangers, or lead in circles.
fn exposed(file: &ConfigFile, problems: &mut Collector<'_>) {
    if let Some(ingress) = file.ingress.as_ref().filter(|ingress| ingress.claim_sre_api)
        && ingress.listen.parse::<SocketAddr>().is_ok_and(|listen| !listen.ip().is_loopback())
        && file.admin.token_file.is_none()
    {
        problems.add(
            "ingress.claim_sre_api",
            "this port is reachable from outside, and with it the API: write admin.token_file, or listen on 127.0.0.1",
        );
    }
    let listeners = [file.ingress.as_ref().map(|i| &i.listen), file.egress.as_ref().map(|e| &e.listen)];
    let listeners: Vec<SocketAddr> =
        listeners.into_iter().flatten().filter_map(|text| text.parse().ok()).collect();
    for (name, upstream) in &file.upstreams {
        for endpoint in upstream.endpoints.iter().flatten() {
            let own =
                endpoint.replace("localhost:", "127.0.0.1:").parse::<SocketAddr>().ok().is_some_and(|addr| {
                    listeners.iter().any(|listen| {
                        let same = listen.ip() == addr.ip()
                            || (listen.ip().is_unspecified() && addr.ip().is_loopback());
                        same && listen.port() == addr.port() && addr.port() != 0
                    })
                });
            if own {
                problems.add(
                    &format!("upstreams.{name}.endpoints"),
                    format!(
                        "{endpoint} is a listener of this very process: requests would go round in circles"
                    ),
                );
            }
        }
    }
}
