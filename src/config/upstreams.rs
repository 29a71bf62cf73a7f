//! Checks `[upstreams.<name>]`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::check::{address, timeouts};
use super::file::{ClientTlsFile, HealthFile, UpstreamFile};
use super::presets::{self, PRESETS, Preset};
use super::problem::{Collector, did_you_mean};
use super::word::OneOf;
use super::{ClientTls, Config, Endpoint, Health, Host, HostName, Protocol, Timeouts, Upstream, pool};
use crate::message::kept::LONGEST;
use crate::names::UpstreamName;
use crate::reliability::retry::RetryPolicy;
use crate::reliability::verdict::JudgePolicy;
use crate::units::{Size, Written as _};

fn preset(written: &UpstreamFile) -> Option<Preset> {
    let name = written.preset.as_deref()?;
    PRESETS.into_iter().find(|preset| preset.name == name)
}

/// The hosts an upstream lists, its preset's when it lists none.
pub(super) fn hosts(written: &UpstreamFile) -> Vec<String> {
    match (&written.hosts, preset(written)) {
        (Some(hosts), _) => {
            hosts.iter().map(|host| host.trim_end_matches('.').to_ascii_lowercase()).collect()
        }
        (None, Some(preset)) => preset.hosts.iter().map(|host| (*host).to_owned()).collect(),
        (None, None) => Vec::new(),
    }
}

/// Checks one upstream. `ingress`: requests of clients go there, so it is a neighbour and not a vendor.
pub(super) fn check(
    name: &str,
    written: &UpstreamFile,
    ingress: bool,
    problems: &mut Collector<'_>,
) -> Option<Upstream> {
    let at = format!("upstreams.{name}");
    let key = |key: &str| format!("{at}.{key}");
    let checked = problems.take(&at, UpstreamName::new(name));
    known_preset(&key("preset"), written, problems);
    let endpoints = endpoints(&at, written, problems);
    let hosts = hosts(written);
    host_names(&key("hosts"), &hosts, problems);
    let tls = tls(&at, written, problems);
    if written.upgrade_tls && tls.is_none() {
        problems.add(&key("upgrade_tls"), "needs tls = true: there is nothing to upgrade to");
    }
    let local = written.local.as_deref().map(address).transpose();
    let local = problems.take(&key("local"), local).flatten();
    let allow = written.allow_addresses.iter().map(|text| network(text)).collect::<Result<Vec<_>, _>>();
    let allow_addresses = problems.take(&key("allow_addresses"), allow);
    let timeouts = limits(&key("timeouts"), written, ingress, problems);
    let breaker = super::breaker::check(&key("breaker"), name, written, ingress, problems);
    let health = written.health.as_ref().map(|health| self::health(&key("health"), health, problems));
    let judge = judge(&key("judge"), written, problems);
    let retry = retry(&key("retry"), written, problems);
    let pool = pool::check(&key("pool"), &written.pool, ingress, problems);
    let dns_ttl = dns_ttl(&key("dns.min_ttl"), written, problems);
    Some(Upstream {
        name: checked?,
        endpoints: endpoints?,
        hosts,
        protocol: written.protocol.map_or(Protocol::Auto, |OneOf(protocol)| protocol),
        tls,
        upgrade_tls: written.upgrade_tls,
        local,
        allow_addresses: allow_addresses?,
        timeouts,
        pool,
        health: health.flatten(),
        breaker,
        operations: super::breaker::operations(&key("breaker.operations"), &written.breaker, problems),
        shadow_unasked: ingress && super::breaker::says_numbers_and_no_mode(&written.breaker),
        judge: judge?,
        retry: retry?,
        keep_body: keep_body(&key("retry.keep_body"), written, problems),
        dns_ttl,
    })
}

fn known_preset(at: &str, written: &UpstreamFile, problems: &mut Collector<'_>) {
    if let (Some(wanted), None) = (&written.preset, preset(written)) {
        let guess = did_you_mean(wanted, PRESETS.iter().map(|preset| preset.name));
        problems.add(
            at,
            format!("{wanted:?} is no preset{guess}; write stripe, sendgrid, twilio or google_calendar"),
        );
    }
}

fn host_names(at: &str, hosts: &[String], problems: &mut Collector<'_>) {
    for host in hosts {
        let plain = host.strip_prefix("*.").unwrap_or(host);
        if plain.is_empty() || plain.contains(['/', ':', '*', ' ', '@']) {
            problems.add(
                at,
                format!("{host:?} is not a host name; write \"api.example.com\" or \"*.example.com\""),
            );
        }
    }
}

fn limits(at: &str, written: &UpstreamFile, ingress: bool, problems: &mut Collector<'_>) -> Timeouts {
    let base = if ingress { presets::backend_timeouts() } else { presets::egress_timeouts() };
    let over = timeouts(at, &written.timeouts, problems);
    Timeouts {
        connect: over.connect.or(base.connect),
        first_byte: over.first_byte.or(base.first_byte),
        idle: over.idle.or(base.idle),
        per_try: over.per_try,
        total: over.total,
    }
}

fn dns_ttl(at: &str, written: &UpstreamFile, problems: &mut Collector<'_>) -> (Duration, Duration) {
    let (least, most) = (written.dns.min_ttl.0, written.dns.max_ttl.0);
    if least > most || least < Duration::from_secs(1) {
        problems.add(at, "must be at least 1s and not longer than max_ttl");
    }
    (least, most)
}

fn endpoints(at: &str, written: &UpstreamFile, problems: &mut Collector<'_>) -> Option<Vec<Endpoint>> {
    let path = format!("{at}.endpoints");
    let texts: Vec<String> = match (&written.endpoints, preset(written)) {
        (Some(endpoints), _) => endpoints.clone(),
        (None, Some(preset)) => vec![preset.endpoint.to_owned()],
        (None, None) => Vec::new(),
    };
    if texts.is_empty() {
        problems.add(&path, "needs at least one endpoint, such as [\"127.0.0.1:8001\"]");
    }
    let read: Result<Vec<_>, _> = texts.iter().map(|text| endpoint(text)).collect();
    let mut read = problems.take(&path, read)?;
    if written.endpoints.is_none() && hosts(written).is_empty() {
        // A preset's name is complete whether or not its hosts were taken away from it.
        for endpoint in &mut read {
            if let Host::Name(name) = &mut endpoint.host {
                name.complete = true;
            }
        }
    }
    Some(read)
}

impl Upstream {
    /// Is a name of its endpoints complete, so that no search domain of resolv.conf is appended? So are all names of an
    /// upstream that is found by host: it is somebody outside, and no neighbour.
    pub fn is_complete(&self, name: &HostName) -> bool {
        name.complete || !self.hosts.is_empty()
    }
}

/// Names that are looked up as they are and cannot be meant so.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    for upstream in config.upstreams.iter().filter(|upstream| !upstream.hosts.is_empty()) {
        for endpoint in &upstream.endpoints {
            if let Host::Name(name) = &endpoint.host
                && !(name.complete || name.text.contains('.') || name.text == "localhost")
            {
                found.push(format!(
                    "upstreams.{}.endpoints has {:?}: an upstream with hosts is looked up without the search domains of \
                     resolv.conf; write the whole name",
                    upstream.name, name.text
                ));
            }
        }
    }
    found
}

pub(super) fn endpoint(text: &str) -> Result<Endpoint, String> {
    let problem =
        || format!("{text:?} is not an endpoint; write \"host:port\", \"10.0.0.7:8001\" or \"[::1]:8001\"");
    let (host, port) = crate::message::head::split_authority(text);
    let port = port.filter(|port| *port > 0).ok_or_else(problem)?;
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(Endpoint { host: Host::Address(ip), port });
    }
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if host.is_empty() || !host.chars().all(named) {
        return Err(problem());
    }
    let complete = host.ends_with('.');
    let text = host.trim_end_matches('.').to_ascii_lowercase();
    if text.is_empty() {
        return Err(problem());
    }
    Ok(Endpoint { host: Host::Name(HostName { text, complete }), port })
}

fn network(text: &str) -> Result<ipnet::IpNet, String> {
    let single = || text.parse::<IpAddr>().map(ipnet::IpNet::from);
    text.parse()
        .or_else(|_| single())
        .map_err(|_| format!("{text:?} is not a network; write \"10.0.0.0/8\" or one address"))
}

fn tls(at: &str, written: &UpstreamFile, problems: &mut Collector<'_>) -> Option<ClientTls> {
    let table = match &written.tls {
        None if preset(written).is_some() && written.endpoints.is_none() => return Some(ClientTls::default()),
        None | Some(ClientTlsFile::Switch(false)) => return None,
        Some(ClientTlsFile::Switch(true)) => return Some(ClientTls::default()),
        Some(ClientTlsFile::Table(table)) => table,
    };
    if let Some(file) = &table.ca_file
        && let Err(error) = std::fs::metadata(file)
    {
        problems.add(&format!("{at}.tls.ca_file"), format!("{file:?} cannot be read: {error}"));
    }
    Some(ClientTls {
        server_name: table.server_name.clone(),
        ca_file: table.ca_file.as_ref().map(PathBuf::from),
    })
}

/// `"500"` or `"502-504"`.
fn statuses(text: &str) -> Result<(u16, u16), String> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    match (low.trim().parse(), high.trim().parse()) {
        (Ok(low @ 100..=999), Ok(high @ 100..=999)) if low <= high => Ok((low, high)),
        _ => Err(format!("{text:?} is not a status or a range; write \"503\" or \"502-504\"")),
    }
}

fn health(at: &str, written: &HealthFile, problems: &mut Collector<'_>) -> Option<Health> {
    let expect = problems.take(&format!("{at}.expect"), statuses(&written.expect));
    if written.path.as_ref().is_some_and(|path| !path.starts_with('/')) {
        problems.add(&format!("{at}.path"), "must begin with a slash");
    }
    for (key, value) in [
        ("interval", written.interval.0),
        ("suspect_interval", written.suspect_interval.0),
        ("timeout", written.timeout.0),
    ] {
        if value < Duration::from_millis(10) {
            problems.add(&format!("{at}.{key}"), "must be at least 10ms");
        }
    }
    if written.fall == 0 || written.rise == 0 {
        problems.add(at, "fall and rise must be at least 1");
    }
    Some(Health {
        path: written.path.clone(),
        expect: expect?,
        interval: written.interval.0,
        suspect_interval: written.suspect_interval.0,
        timeout: written.timeout.0,
        fall: written.fall,
        rise: written.rise,
    })
}

fn judge(at: &str, written: &UpstreamFile, problems: &mut Collector<'_>) -> Option<JudgePolicy> {
    let read: Result<Vec<_>, _> = written.judge.bad_statuses.iter().map(|text| statuses(text)).collect();
    let bad_statuses = problems.take(&format!("{at}.bad_statuses"), read);
    Some(JudgePolicy { bad_statuses: bad_statuses?, slow_after: written.judge.slow_after.map(|slow| slow.0) })
}

fn keep_body(at: &str, written: &UpstreamFile, problems: &mut Collector<'_>) -> usize {
    let bytes = usize::try_from(written.retry.keep_body.0.0).unwrap_or(usize::MAX);
    if bytes > LONGEST {
        let (is, most) = (written.retry.keep_body.0.write(), Size(LONGEST as u64).write());
        problems
            .add(at, format!("{is:?} is more than can be kept; write at most {most:?}, or \"0B\" for none"));
    }
    bytes
}

fn retry(at: &str, written: &UpstreamFile, problems: &mut Collector<'_>) -> Option<RetryPolicy> {
    let file = &written.retry;
    Some(RetryPolicy {
        attempts: problems.within(&format!("{at}.attempts"), file.attempts, 1, 10),
        idempotent: file.idempotent,
        budget_percent: (file.budget.0.ratio() * 100.0).round() as u8,
        min_per_second: file.min_per_second,
        backoff: within_a_minute(&format!("{at}.backoff"), file.backoff.0, problems),
        wait: within_a_minute(&format!("{at}.wait"), file.wait.0, problems),
    })
}

fn within_a_minute(at: &str, written: Duration, problems: &mut Collector<'_>) -> Duration {
    if written > Duration::from_secs(60) {
        problems.add(at, format!("{:?} must not be longer than 1m: a client is waiting", written.write()));
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(text: &str) -> std::sync::Arc<Upstream> {
        let config = crate::config::load(text, "a test", &[]).expect("it can run");
        std::sync::Arc::clone(config.upstreams.last().expect("one"))
    }

    fn is_complete(text: &str) -> bool {
        let upstream = upstream(text);
        match &upstream.endpoints[0].host {
            Host::Name(name) => {
                assert!(!name.text.ends_with('.'), "what TLS verifies has no dot");
                upstream.is_complete(name)
            }
            Host::Address(ip) => panic!("{ip} is no name"),
        }
    }

    #[test]
    fn a_dot_a_preset_and_hosts_make_a_name_complete() {
        let behind =
            |endpoint: &str| format!("[ingress]\n[upstreams.backend]\nendpoints = [\"{endpoint}\"]\n");
        assert!(!is_complete(&behind("db.shop:80")));
        assert!(is_complete(&behind("DB.shop.:80")));
        assert!(is_complete("[egress]\n[upstreams.stripe]\npreset = \"stripe\"\n"));
        assert!(is_complete("[egress]\n[upstreams.stripe]\npreset = \"stripe\"\nhosts = []\n"));
        assert!(is_complete(
            "[egress]\n[upstreams.x]\nhosts = [\"x.example\"]\nendpoints = [\"x.example:443\"]\n"
        ));
        assert!(endpoint(".:80").is_err() && endpoint("..:80").is_err());
    }

    #[test]
    fn a_short_name_of_an_upstream_with_hosts_is_warned_of() {
        let told = |endpoint: &str| {
            let text =
                format!("[egress]\n[upstreams.x]\nhosts = [\"x.example\"]\nendpoints = [\"{endpoint}\"]\n");
            warnings(&crate::config::load(&text, "a test", &[]).expect("it can run"))
        };
        let short = told("gateway:443");
        assert!(short.len() == 1 && short[0].contains("upstreams.x.endpoints has \"gateway\""), "{short:?}");
        for fine in ["gateway.ns.svc:443", "gateway.:443", "localhost:443", "192.0.2.1:443"] {
            assert!(told(fine).is_empty(), "{fine}");
        }
    }
}
