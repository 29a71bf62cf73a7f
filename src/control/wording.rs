//! What is known around an incident at the moment a message is written: counters and views become a
//! [`Scene`]; what is said of it is [`Brief`]'s. Decides nothing. What is not measured is absent.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Uptime;
use crate::config::{self, Config, Host, Protocol, Until, listeners};
use crate::notify::{Message, MessageKind};
use crate::reliability::breaker::{BreakerState, BreakerView, Mode};
use crate::reliability::brief::{
    Audience, BreakerScene, Brief, ClientFault, Door, EndpointIs, EndpointScene, FailureScene, Occasion,
    ResourceScene, RouteScene, Scene, UpstreamScene, VendorScene,
};
use crate::reliability::escalation::{CallCause, Clock, EscalationPolicy};
use crate::reliability::incident::Incident;
use crate::reliability::readings::{Readings, ResourceReading};
use crate::runtime::clock::Moment;
use crate::telemetry::Telemetry;
use crate::telemetry::labels::SeriesKey;
use crate::telemetry::latency::{LatencyWindow, Summary};
use crate::telemetry::series::{ExchangeOutcome, Series};
use crate::units::At;
use crate::upstream::Upstream;
use crate::upstream::registry::Registry;

/// The window of what a message says of traffic.
const WINDOW: Duration = Duration::from_secs(60);
/// Between two looks at the statuses.
const EVERY: Duration = Duration::from_secs(5);
/// Failed attempts that are told of one upstream.
const FAILURES: usize = 3;

type StatusCounts = Vec<(u16, u64)>;

/// Reads the counters; remembers the statuses of the last minute, which the counters have since the start only.
pub(super) struct Wording {
    registry: Arc<Registry>,
    telemetry: Arc<Telemetry>,
    door: Door,
    clear_after: Duration,
    /// Statuses of 500 and above since the start, by series, the oldest look first.
    statuses: VecDeque<(Instant, BTreeMap<SeriesKey, StatusCounts>)>,
    /// The last success of each upstream, as of the last look.
    well: BTreeMap<Arc<str>, Option<At>>,
    /// The machine, as of the last look.
    machine: Vec<ResourceReading>,
}

impl Wording {
    pub(super) fn new(registry: Arc<Registry>, telemetry: Arc<Telemetry>) -> Self {
        Self {
            registry,
            telemetry,
            door: Door::default(),
            clear_after: Duration::ZERO,
            statuses: VecDeque::new(),
            well: BTreeMap::new(),
            machine: Vec::new(),
        }
    }

    /// Another config is in force.
    pub(super) fn reconfigure(&mut self, config: &Config) {
        self.door = door(config);
        self.clear_after = config.watch.policy.detect.clear_after;
    }

    /// Remembers what messages will need; called once a second.
    pub(super) fn look(&mut self, readings: &Readings, moment: Moment) {
        self.well = readings.upstreams.iter().map(|one| (Arc::clone(&one.name), one.last_success)).collect();
        self.machine.clone_from(&readings.resources);
        let now = moment.instant;
        let due = self.statuses.back().is_none_or(|(at, _)| now.saturating_duration_since(*at) >= EVERY);
        if !due {
            return;
        }
        let all = self.telemetry.all_series();
        let failing =
            all.iter().filter(|one| one.outcomes().iter().zip(ExchangeOutcome::ALL).any(is_failure));
        self.statuses.push_back((now, failing.map(|one| (one.key.clone(), statuses(one))).collect()));
        while self.statuses.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > WINDOW) {
            self.statuses.pop_front();
        }
    }

    /// All that is known now. `now` is `moment` as incidents have it.
    pub(super) fn scene(&self, moment: Moment, now: At, member: &str) -> Scene {
        let world = self.registry.snapshot();
        let mut upstreams: Vec<&Arc<Upstream>> =
            world.serving().filter(|one| one.config.name.as_str() != config::presets::SRE_API).collect();
        upstreams.sort_by(|a, b| a.config.name.cmp(&b.config.name));
        let routes = self.telemetry.all_series();
        let mut routes: Vec<RouteScene> = routes
            .iter()
            .filter(|one| world.upstreams.contains_key(&one.key.1))
            .map(|one| self.route(one, moment.instant))
            .collect();
        routes.sort_by(|a, b| (&a.name, &a.upstream).cmp(&(&b.name, &b.upstream)));
        Scene {
            at: now,
            member: member.to_owned(),
            backend: world.config.ingress.as_ref().map(|ingress| ingress.upstream.as_str().to_owned()),
            routes,
            upstreams: upstreams.into_iter().map(|one| self.upstream(one, moment, now)).collect(),
            machine: self.machine.iter().map(resource).collect(),
            clear_after: (!self.clear_after.is_zero()).then_some(self.clear_after),
            door: self.door.clone(),
        }
    }

    fn route(&self, series: &Series, now: Instant) -> RouteScene {
        let outcomes = series.outcomes_within(WINDOW, now);
        let of = |outcome: ExchangeOutcome| outcomes.get(outcome as usize).copied().unwrap_or(0);
        let faults = [
            (ClientFault::Status, of(ExchangeOutcome::ServerError)),
            (ClientFault::Late, of(ExchangeOutcome::Timeout)),
            (ClientFault::Broken, of(ExchangeOutcome::UpstreamFailed)),
            (ClientFault::Refused, of(ExchangeOutcome::Refused)),
        ];
        let faults: Vec<(ClientFault, u64)> = faults.into_iter().filter(|(_, count)| *count > 0).collect();
        let failed: u64 = faults.iter().map(|(_, count)| count).sum();
        let measured = series.slow_within(WINDOW, now).map(|(yardstick, _)| yardstick);
        let (total, first) = series.window(LatencyWindow::Minute, now);
        let heads = measured.is_some_and(|yardstick| yardstick.until == Until::FirstByte);
        RouteScene {
            name: series.key.0.as_str().to_owned(),
            upstream: series.key.1.as_str().to_owned(),
            total: of(ExchangeOutcome::Ok) + failed,
            statuses: if failed > 0 { self.statuses_of(series) } else { Vec::new() },
            faults,
            percentiles: percentiles(if heads { &first } else { &total }),
            in_flight: series.in_flight(),
            limits: measured.map(|yardstick| yardstick.limits),
        }
    }

    /// Of the last minute: what there is more than at the oldest look within it.
    fn statuses_of(&self, series: &Series) -> StatusCounts {
        let before = self.statuses.front().and_then(|(_, all)| all.get(&series.key));
        let old = |status: u16| {
            let known = before.and_then(|all| all.iter().find(|(of, _)| *of == status));
            known.map_or(0, |(_, count)| *count)
        };
        let new =
            statuses(series).into_iter().map(|(status, count)| (status, count.saturating_sub(old(status))));
        let mut new: StatusCounts = new.filter(|(_, count)| *count > 0).collect();
        new.sort_by_key(|(status, count)| (std::cmp::Reverse(*count), *status));
        new
    }

    fn upstream(&self, upstream: &Upstream, moment: Moment, now: At) -> UpstreamScene {
        let name = upstream.config.name.as_str();
        let view = upstream.gate.view(moment.instant);
        let at = |instant: Instant| now - moment.instant.saturating_duration_since(instant);
        let checked = upstream.config.health.is_some();
        let endpoints = upstream.endpoints.load();
        let endpoints = endpoints.iter().map(|one| EndpointScene {
            address: one.addr.to_string(),
            state: match (one.out_until(moment.instant), checked, one.is_healthy()) {
                (Some(_), ..) => EndpointIs::Ejected,
                (None, false, _) => EndpointIs::Unchecked,
                (None, true, true) => EndpointIs::Well,
                (None, true, false) => EndpointIs::Unhealthy,
            },
        });
        let failures = view.evidence.iter().rev().take(FAILURES).rev().map(|seen| FailureScene {
            at: at(seen.at),
            endpoint: seen.endpoint.map(|endpoint| endpoint.to_string()),
            route: seen.route.as_ref().map(|route| route.as_str().to_owned()),
            why: seen.why.map_or("rate_limited", crate::reliability::verdict::BadReason::label),
        });
        UpstreamScene {
            name: name.to_owned(),
            vendor: upstream.config.vendor.map(|vendor| VendorScene {
                thing: vendor.thing().to_owned(),
                status_page: vendor.status_page().to_owned(),
            }),
            impact: upstream.config.impact.clone(),
            url: by_hand(&upstream.config),
            endpoints: endpoints.collect(),
            failures: failures.collect(),
            last_success: self.well.get(name).copied().flatten(),
            breaker: (upstream.config.breaker.mode != Mode::Off).then(|| breaker(&view, moment.instant, at)),
        }
    }
}

fn resource(reading: &ResourceReading) -> ResourceScene {
    let which = if reading.which.is_empty() { String::new() } else { format!(":{}", reading.which) };
    let service = format!("{}{which}", reading.what.label());
    ResourceScene { service, used: reading.used, at: reading.sampled }
}

/// Where a person asks it by hand: its first endpoint by the name that TLS verifies, at the path of its checks.
fn by_hand(config: &config::UpstreamConfig) -> Option<String> {
    let first = config.endpoints.first()?;
    let server_name = config.tls.as_ref().map(|tls| tls.server_name.as_deref());
    if server_name.is_none() && config.protocol == Protocol::H2 {
        return None;
    }
    let host = match (server_name.flatten(), &first.host) {
        (Some(name), _) => name.to_owned(),
        (None, Host::Name(name)) => name.text.clone(),
        (None, Host::Address(IpAddr::V6(ip))) => format!("[{ip}]"),
        (None, Host::Address(IpAddr::V4(ip))) => ip.to_string(),
    };
    let (scheme, usual) = if server_name.is_some() { ("https", 443) } else { ("http", 80) };
    let port = if first.port == usual { String::new() } else { format!(":{}", first.port) };
    // In a shell, other letters would have to be quoted.
    let plain = |path: &&str| path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-~%".contains(c));
    let path = config.health.as_ref().and_then(|health| health.path.as_deref()).filter(plain).unwrap_or("/");
    Some(format!("{scheme}://{host}{port}{path}"))
}

fn breaker(view: &BreakerView, now: Instant, at: impl Fn(Instant) -> At) -> BreakerScene {
    let shadow = view.shadow_state;
    let state = shadow.unwrap_or(view.state);
    let waits = view.open_until.filter(|_| state == BreakerState::Open);
    BreakerScene {
        state,
        since: shadow.is_none().then(|| at(view.since)),
        shadow: shadow.is_some(),
        held: view.hold.is_some(),
        probes_in: waits.map(|until| until.saturating_duration_since(now)),
    }
}

fn is_failure((count, outcome): (&u64, ExchangeOutcome)) -> bool {
    *count > 0 && outcome.is_failure()
}

fn statuses(series: &Series) -> StatusCounts {
    let mut sums: BTreeMap<u16, u64> = BTreeMap::new();
    for pair in series.totals().pairs.iter().filter(|pair| pair.status >= 500) {
        *sums.entry(pair.status).or_default() += pair.took.count();
    }
    sums.into_iter().collect()
}

fn percentiles(summary: &Summary) -> Option<[Duration; 3]> {
    let span = |ms: Option<f64>| ms.map(|ms| Duration::from_secs_f64(ms / 1_000.0));
    Some([span(summary.p50_ms)?, span(summary.p95_ms)?, span(summary.p99_ms)?])
}

/// Where orders are taken: the address for people, else the listener, seen from beside the sidecar; and whose clicks are heard.
fn door(config: &Config) -> Door {
    let (admin, heard) = (&config.admin, config.inbound.as_ref());
    let door = Door {
        token_file: admin.token_file.clone(),
        hears_pagerduty: heard.is_some_and(|inbound| inbound.pagerduty.is_some()),
        hears_slack: heard.is_some_and(|inbound| inbound.slack.is_some()),
        ..Door::default()
    };
    if let Some(base) = &admin.public_url {
        return Door { base: base.clone(), public: true, ..door };
    }
    let ip = listeners::connected(admin.listen.ip());
    let base = format!("http://{}", SocketAddr::new(ip, admin.listen.port()));
    Door { base, ..door }
}

/// The messages of one moment.
pub(super) struct MessageWriter<'a> {
    pub(super) scene: Scene,
    pub(super) policy: &'a EscalationPolicy,
    pub(super) clock: Clock,
    pub(super) uptime: &'a Uptime,
}

impl MessageWriter<'_> {
    /// One message; `call`: it calls somebody, for that reason.
    pub(super) fn message(
        &self,
        incident: &Incident,
        kind: MessageKind,
        audience: Audience,
        call: Option<CallCause>,
    ) -> Message {
        let next = incident.escalation.ahead(self.policy, incident.assignee.as_deref(), self.clock);
        let brief = Brief::of(
            incident,
            &self.scene,
            &Occasion { audience, call, next, in_all: self.in_all(incident) },
        );
        let door = &self.scene.door;
        let link = format!("{}/api/v2/sre/incidents/{}", door.base, incident.id);
        // What is behind it is for those who act.
        let link = (door.public && audience == Audience::Called).then_some(link);
        Message { link, ..Message::about(incident, brief, kind, self.scene.at) }
    }

    /// Failed requests and all, of the minutes in which it lasted.
    fn in_all(&self, incident: &Incident) -> Option<(u64, u64)> {
        let until = incident.clocks.recovered.or(incident.clocks.closed)?;
        let counts = self.uptime.requests(&incident.key.service, incident.clocks.began, until)?;
        Some((counts.bad, counts.total()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        config::load(text, "a test", &[]).expect("it can run")
    }

    #[test]
    fn what_fails_can_be_asked_by_hand_as_it_is_asked_here() {
        let url = |rest: &str| {
            let config = config(&format!("[egress]\n[upstreams.x]\nhosts = [\"x.example\"]\n{rest}"));
            by_hand(config.upstreams.last().expect("one"))
        };
        let wanted = [
            ("endpoints = [\"10.0.0.7:80\"]\n", Some("http://10.0.0.7/")),
            ("endpoints = [\"10.0.0.7:8001\"]\n", Some("http://10.0.0.7:8001/")),
            ("endpoints = [\"[2001:db8::1]:8001\"]\n", Some("http://[2001:db8::1]:8001/")),
            ("endpoints = [\"X.example.:443\"]\ntls = true\n", Some("https://x.example/")),
            (
                "endpoints = [\"10.0.0.7:443\"]\ntls = { server_name = \"api.example\" }\n",
                Some("https://api.example/"),
            ),
            ("endpoints = [\"10.0.0.7:443\"]\nhealth = { path = \"/up\" }\n", Some("http://10.0.0.7:443/up")),
            (
                "endpoints = [\"10.0.0.7:80\"]\nhealth = { path = \"/up?a=1&b=$(x)\" }\n",
                Some("http://10.0.0.7/"),
            ),
            ("endpoints = [\"10.0.0.7:80\"]\nprotocol = \"h2\"\n", None),
        ];
        for (rest, wanted) in wanted {
            assert_eq!(url(rest).as_deref(), wanted, "{rest}");
        }
    }

    #[test]
    fn a_click_is_offered_only_where_it_is_heard() {
        let dir = tempfile::tempdir().expect("a directory");
        let key = dir.path().join("key");
        std::fs::write(&key, "0123456789abcdef").expect("writes");
        let heard = |secrets: &[&str]| {
            let secrets: String =
                secrets.iter().map(|name| format!("{name}_secret_file = {key:?}\n")).collect();
            let inbound = if secrets.is_empty() { "" } else { "[inbound]\nlisten = \"127.0.0.1:0\"\n" };
            let upstream = "[ingress]\n[upstreams.backend]\nendpoints = [\"127.0.0.1:1\"]\n";
            let door = door(&config(&format!("{upstream}{inbound}{secrets}")));
            (door.hears_pagerduty, door.hears_slack, door.public)
        };
        assert_eq!(heard(&[]), (false, false, false));
        assert_eq!(heard(&["pagerduty"]), (true, false, false));
        assert_eq!(heard(&["slack"]), (false, true, false));
        assert_eq!(heard(&["pagerduty", "slack"]), (true, true, false));
    }
}
