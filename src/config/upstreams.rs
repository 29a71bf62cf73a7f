//! Checks `[upstreams.<name>]`.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::check::{address, timeouts};
use super::file::{BreakerFile, ClientTlsFile, HealthFile, UpstreamFile};
use super::presets::{self, PRESETS, Preset};
use super::problem::{Collector, did_you_mean};
use super::{ClientTls, Config, Endpoint, Health, Host, HostName, Pool, Protocol, Timeouts, Upstream};
use crate::names::UpstreamName;
use crate::reliability::breaker::BreakerPolicy;
use crate::reliability::retry::RetryPolicy;
use crate::reliability::verdict::JudgePolicy;
use crate::units::{Percent, Written as _};

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
    let protocol = problems.take(&key("protocol"), protocol(written.protocol.as_deref()));
    let tls = tls(&at, written, problems);
    if written.upgrade_tls && tls.is_none() {
        problems.add(&key("upgrade_tls"), "needs tls = true: there is nothing to upgrade to");
    }
    let local = written.local.as_deref().map(address).transpose();
    let local = problems.take(&key("local"), local).flatten();
    let allow = written.allow_addresses.iter().map(|text| network(text)).collect::<Result<Vec<_>, _>>();
    let allow_addresses = problems.take(&key("allow_addresses"), allow);
    let timeouts = limits(&key("timeouts"), written, ingress, problems);
    let breaker = breaker(&key("breaker"), name, written, problems);
    let health = written.health.as_ref().map(|health| self::health(&key("health"), health, problems));
    let judge = judge(&key("judge"), written, problems);
    let retry = retry(&key("retry"), written, problems);
    let pool = pool(&key("pool"), written, problems);
    let dns_ttl = dns_ttl(&key("dns.min_ttl"), written, problems);
    Some(Upstream {
        name: checked?,
        endpoints: endpoints?,
        hosts,
        protocol: protocol?,
        tls,
        upgrade_tls: written.upgrade_tls,
        local,
        allow_addresses: allow_addresses?,
        timeouts,
        pool,
        health: health.flatten(),
        breaker,
        judge: judge?,
        retry: retry?,
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

fn protocol(text: Option<&str>) -> Result<Protocol, String> {
    match text.unwrap_or("auto") {
        "auto" => Ok(Protocol::Auto),
        "http1" => Ok(Protocol::Http1),
        "h2" => Ok(Protocol::H2),
        other => Err(format!("{other:?} is not spoken here; write \"auto\", \"http1\" or \"h2\"")),
    }
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

/// `"off"` or a share.
fn rate(text: Option<&str>, default: Option<Percent>) -> Result<Option<Percent>, String> {
    match text {
        None => Ok(default),
        Some("off") => Ok(None),
        Some(text) => match Percent::read(text) {
            Some(share) if share > Percent::of(0) => Ok(Some(share)),
            Some(_) | None => Err(format!("{text:?} is not a share above 0%; write \"50%\" or \"off\"")),
        },
    }
}

fn breaker(at: &str, name: &str, written: &UpstreamFile, problems: &mut Collector<'_>) -> BreakerPolicy {
    let file: &BreakerFile = &written.breaker;
    let base = presets::breaker(written.preset.as_deref().unwrap_or(name));
    let key = |key: &str| format!("{at}.{key}");
    let failure_rate =
        problems.take(&key("failure_rate"), rate(file.failure_rate.as_deref(), base.failure_rate));
    let slow_rate = problems.take(&key("slow_rate"), rate(file.slow_rate.as_deref(), base.slow_rate));
    let mut count = |name: &str, value: Option<u32>, base: NonZeroU32| match value.map(NonZeroU32::new) {
        None => Some(base),
        Some(Some(value)) => Some(value),
        Some(None) => {
            problems.add(&key(name), "0 must be at least 1, or the breaker could never close");
            None
        }
    };
    let successes = count("successes", file.successes, base.successes);
    let probes = count("probes", file.probes, base.probes);
    let open_for = file.open_for.map_or(base.open_for, |open| open.0);
    // Where a value was refused the default stands in: the problem that was noted keeps it from running.
    let policy = BreakerPolicy {
        enabled: file.enabled.unwrap_or(base.enabled),
        failures: file.failures.map_or(base.failures, NonZeroU32::new),
        failure_rate: failure_rate.unwrap_or(base.failure_rate),
        slow_rate: slow_rate.unwrap_or(base.slow_rate),
        window: file.window.map_or(base.window, |window| window.0),
        min_requests: file.min_requests.unwrap_or(base.min_requests).max(1),
        lump: file.lump.map_or(base.lump, |lump| lump.0),
        open_for,
        open_for_max: file.open_for_max.map_or(base.open_for_max.max(open_for), |open| open.0),
        successes: successes.unwrap_or(base.successes),
        probes: probes.unwrap_or(base.probes),
        probe_timeout: file.probe_timeout.map_or(base.probe_timeout, |limit| limit.0),
        ramp: file.ramp.map_or(base.ramp, |ramp| ramp.0),
    };
    breaker_times(at, &policy, problems);
    policy
}

fn breaker_times(at: &str, policy: &BreakerPolicy, problems: &mut Collector<'_>) {
    if !(Duration::from_secs(1)..=Duration::from_secs(3_600)).contains(&policy.window) {
        problems.add(&format!("{at}.window"), "must be within 1s and 1h");
    }
    if policy.open_for.is_zero() || policy.open_for > policy.open_for_max {
        let (open_for, most) = (policy.open_for.write(), policy.open_for_max.write());
        problems.add(
            &format!("{at}.open_for"),
            format!("{open_for:?} must be longer than 0s and not longer than open_for_max, {most:?}"),
        );
    }
    if policy.probe_timeout.is_zero() {
        problems.add(&format!("{at}.probe_timeout"), "must be longer than 0s, or every probe would fail");
    }
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

fn retry(at: &str, written: &UpstreamFile, problems: &mut Collector<'_>) -> Option<RetryPolicy> {
    let file = &written.retry;
    Some(RetryPolicy {
        attempts: problems.within(&format!("{at}.attempts"), file.attempts, 1, 10),
        idempotent: file.idempotent,
        budget_percent: (file.budget.0.ratio() * 100.0).round() as u8,
        min_per_second: file.min_per_second,
    })
}

fn pool(at: &str, written: &UpstreamFile, problems: &mut Collector<'_>) -> Pool {
    let file = &written.pool;
    if file.connections == 0 {
        problems.add(&format!("{at}.connections"), "must be at least 1, or nothing could ever be sent");
    }
    Pool {
        idle_per_worker: file.idle_per_worker as usize,
        idle_for: file.idle_for.0,
        connections: file.connections as usize,
    }
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
