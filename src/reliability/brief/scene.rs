//! What is known around an incident at the moment a message about it is written. Plain values: the shell fills them.

use std::time::Duration;

use crate::reliability::breaker::BreakerState;
use crate::reliability::detect::NETWORK;
use crate::reliability::incident::Incident;
use crate::reliability::rule::Rule;
use crate::units::At;

/// Traffic, dependencies and what the ladder does next. What cannot be observed is absent or `None`.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    /// The moment of the message.
    pub at: At,
    /// The name of the sidecar that writes.
    pub member: String,
    /// The upstream behind the ingress: the application itself.
    pub backend: Option<String>,
    /// Traffic of the last minute, one entry per route and upstream.
    pub routes: Vec<RouteScene>,
    pub upstreams: Vec<UpstreamScene>,
    /// The machine, as it was measured last.
    pub machine: Vec<ResourceScene>,
    /// How long the condition must be good before the incident ends by itself.
    pub clear_after: Option<Duration>,
    /// Where orders are taken.
    pub door: Door,
}

/// One route and one upstream that answers it, over the last minute.
#[derive(Clone, Debug, Default)]
pub struct RouteScene {
    /// Name of the route, as metrics label it.
    pub name: String,
    /// Name of the upstream that answers it.
    pub upstream: String,
    /// Exchanges that count: good and failed ones; not: the client's own errors.
    pub total: u64,
    /// Failed ones among them, by what the client met.
    pub faults: Vec<(ClientFault, u64)>,
    /// Statuses of 500 and above with their number, the most frequent first.
    pub statuses: Vec<(u16, u64)>,
    /// p50, p95, p99; `None`: nothing was measured.
    pub percentiles: Option<[Duration; 3]>,
    /// Exchanges that are under way.
    pub in_flight: u64,
    /// Target and alert threshold of p50, p95, p99; `None`: the route has no budget.
    pub limits: Option<[Duration; 6]>,
}

impl RouteScene {
    /// Exchanges that failed, whatever the client met.
    pub fn failed(&self) -> u64 {
        self.faults.iter().map(|(_, count)| count).sum()
    }
}

/// How an exchange failed, as its client met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientFault {
    /// The upstream answered 5xx.
    Status,
    /// Nothing came in time.
    Late,
    /// No connection, a reset, an answer that broke off or was none.
    Broken,
    /// Refused here: by a breaker or a limit.
    Refused,
}

/// What people are told of a vendor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendorScene {
    /// What it does for those who use the application, in plural: `payments (Stripe)`.
    pub thing: String,
    /// The page on which it says how it is.
    pub status_page: String,
}

/// One dependency, as it was seen last.
#[derive(Clone, Debug, Default)]
pub struct UpstreamScene {
    pub name: String,
    /// Of a known vendor; `None`: it is none.
    pub vendor: Option<VendorScene>,
    /// What customers notice when it fails, a sentence; `None`: nobody has written it.
    pub impact: Option<String>,
    /// Where a person asks it by hand, `https://api.stripe.com/`; `None`: not known, or not asked by HTTP/1.1.
    pub url: Option<String>,
    /// Its breaker; `None`: it has none.
    pub breaker: Option<BreakerScene>,
    /// Its addresses; none: its name has no address.
    pub endpoints: Vec<EndpointScene>,
    /// The latest attempts that counted against it, oldest first.
    pub failures: Vec<FailureScene>,
    /// Its last good answer or check; `None`: none was seen since the start.
    pub last_success: Option<At>,
}

/// A breaker, as far as messages tell of it.
#[derive(Clone, Copy, Debug)]
pub struct BreakerScene {
    /// Its state; in shadow, what it would be.
    pub state: BreakerState,
    /// Since when; `None`: not known (in shadow).
    pub since: Option<At>,
    /// It only counts and refuses nothing.
    pub shadow: bool,
    /// An operator holds it there.
    pub held: bool,
    /// How long until it sends the next probe, while it is open.
    pub probes_in: Option<Duration>,
}

/// An address of a dependency.
#[derive(Clone, Debug)]
pub struct EndpointScene {
    pub address: String,
    pub state: EndpointIs,
}

/// How an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointIs {
    /// It passes its active checks.
    Well,
    /// It fails its active checks.
    Unhealthy,
    /// It is left out for a while, for what it did to requests.
    Ejected,
    /// It has no checks: not observable beside the traffic.
    Unchecked,
}

/// What is used of a machine's means.
#[derive(Clone, Debug)]
pub struct ResourceScene {
    /// Its subject, as incidents have it: `memory`, `disk:/data`.
    pub service: String,
    /// The share in use, 0 to 1; `None`: not observable.
    pub used: Option<f64>,
    /// When it was sampled.
    pub at: At,
}

/// An attempt that counted against a dependency.
#[derive(Clone, Debug)]
pub struct FailureScene {
    /// When it was known.
    pub at: At,
    /// IP and port; `None`: no address was known.
    pub endpoint: Option<String>,
    /// The route of its exchange.
    pub route: Option<String>,
    /// What was wrong, as [`BadReason::label`](crate::reliability::verdict::BadReason::label) has it, or `rate_limited`.
    pub why: &'static str,
}

/// Where orders about incidents are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Door {
    /// Scheme, host and port, without a slash at the end.
    pub base: String,
    /// Reached from outside the pod; otherwise only beside the sidecar.
    pub public: bool,
    /// The file with the bearer token, as it is written in the config; `None`: no token is asked for.
    pub token_file: Option<String>,
    /// PagerDuty posts what is acknowledged there.
    pub hears_pagerduty: bool,
    /// Slack posts which button was pressed.
    pub hears_slack: bool,
}

/// The part of a scene that an incident is about.
pub(super) struct SceneSubject<'a> {
    /// Routes of its subject; of a subject that is no part of the traffic, all of them.
    pub(super) routes: Vec<&'a RouteScene>,
    /// Dependencies that are to blame or to suspect.
    pub(super) upstreams: Vec<&'a UpstreamScene>,
    /// The subject has traffic of its own.
    pub(super) carries: bool,
}

impl<'a> SceneSubject<'a> {
    pub(super) fn of(incident: &Incident, scene: &'a Scene) -> Self {
        let service = &*incident.key.service;
        let subjects: Vec<&str> =
            incident.signals.iter().map(|signal| &*signal.key.service).chain([service]).collect();
        let own = |route: &&RouteScene| {
            subjects.iter().any(|subject| *subject == route.name || *subject == route.upstream)
        };
        let mut routes: Vec<&RouteScene> = scene.routes.iter().filter(own).collect();
        let mut upstreams: Vec<&UpstreamScene> =
            scene.upstreams.iter().filter(|one| subjects.contains(&one.name.as_str())).collect();
        let carries = !routes.is_empty() || !upstreams.is_empty() || service == NETWORK;
        if routes.is_empty() && (!carries || service == NETWORK) {
            routes = scene.routes.iter().collect();
        }
        if upstreams.is_empty() {
            let behind = |one: &&UpstreamScene| {
                carries && routes.iter().any(|route| route.failed() > 0 && route.upstream == one.name)
            };
            upstreams = scene.upstreams.iter().filter(behind).collect();
        }
        routes.sort_by_key(|route| (std::cmp::Reverse(route.failed()), std::cmp::Reverse(route.total)));
        Self { routes, upstreams, carries }
    }

    /// Failed ones and all of the last minute.
    pub(super) fn counts(&self) -> (u64, u64) {
        let sum = |of: fn(&RouteScene) -> u64| self.routes.iter().map(|route| of(route)).sum();
        (sum(RouteScene::failed), sum(|route| route.total))
    }

    /// The subject's part of the machine, if it is one and was measured at all.
    pub(super) fn resource(incident: &Incident, scene: &'a Scene) -> Option<&'a ResourceScene> {
        let own = |one: &&ResourceScene| *one.service == *incident.key.service;
        scene.machine.iter().filter(|_| incident.key.rule == Rule::Resource).find(own)
    }

    /// Names of the routes that fail, each once, the worst first.
    pub(super) fn failing(&self) -> Vec<&'a str> {
        let mut names: Vec<&str> = Vec::new();
        for route in self.routes.iter().filter(|route| route.failed() > 0) {
            if !names.contains(&route.name.as_str()) {
                names.push(&route.name);
            }
        }
        names
    }
}
