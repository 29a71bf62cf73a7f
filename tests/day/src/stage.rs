//! The stage: an origin, Strop in front of it, and an address where nobody listens.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};

use crate::args::Args;
use crate::client::Places;
use crate::lines::Reader;
use crate::metrics::Metrics;
use crate::origin::{LISTENING, Origin};
use crate::plan::Route;
use crate::report::Report;
use crate::strop::Strop;

/// Numbers beyond the day's, for what is asked in the evening.
pub const EXTRA: u32 = 4_000;
/// Threads that serve.
pub const WORKERS: usize = 2;
/// How long Strop may drain.
pub const DRAIN: Duration = Duration::from_secs(10);
/// How long an idle connection of the upstreams is kept.
pub const IDLE: Duration = Duration::from_secs(2);

/// All that runs.
pub struct Stage {
    /// Collects what is wrong.
    pub report: Arc<Report>,
    /// Behind Strop.
    pub origin: Origin,
    /// Itself.
    pub strop: Strop,
    /// Its access log.
    pub reader: Reader,
    /// Its listeners.
    pub places: Places,
    /// Descriptors that it has open with no connection.
    pub descriptors: Vec<String>,
    _dead: OwnedFd,
}

/// A port that is taken, so that nobody gets it, and on which nobody listens.
fn dead() -> std::io::Result<(OwnedFd, SocketAddr)> {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
    let address = SocketAddr::try_from(getsockname(&socket)?)?;
    Ok((socket, address))
}

fn upstream(name: &str, address: SocketAddr, more: &str) -> String {
    let idle = IDLE.as_secs();
    format!(
        r#"

            [upstreams.{name}]
            endpoints = ["{address}"]
            pool = {{ idle_for = "{idle}s" }}
            {more}
            [[routes]]
            name = "{name}"
            prefix = "/{name}"
            upstream = "{name}"
        "#
    )
}

/// Breakers that trip soon and are not open for long.
const NERVOUS: &str = "breaker = { mode = \"on\", lump = \"0s\", failures = 4, min_requests = 10, open_for = \"150ms\", open_for_max = \"400ms\", \
                       probes = 1, successes = 2, ramp = \"100ms\" }";
const NEVER: &str = "breaker = { enabled = false }";

fn config(origin: &Origin, dead: SocketAddr) -> String {
    let at = |route| origin.addresses[LISTENING.iter().position(|known| *known == route).unwrap_or(0)];
    let found = |route: Route| {
        format!("hosts = [\"{}\"]\nallow_addresses = [\"127.0.0.0/8\"]", crate::request::host(route))
    };
    let mut text = format!(
        r#"
            [process]
            workers = {WORKERS}
            drain_for = "{}s"
            [access_log]
            to = "stdout"
            [admin]
            listen = "127.0.0.1:0"
            [ingress]
            listen = "127.0.0.1:0"
            upstream = "plain"
            limits = {{ half_close = "30s" }}
            [egress]
            listen = "127.0.0.1:0"
            limits = {{ half_close = "30s" }}
        "#,
        DRAIN.as_secs()
    );
    text += &upstream("plain", at(Route::Plain), NEVER);
    text += &upstream("streams", at(Route::Streams), &format!("protocol = \"h2\"\n{NEVER}"));
    text += &upstream("probed", at(Route::Probed), NERVOUS);
    text += &upstream("dead", dead, NERVOUS);
    text += &upstream("held", at(Route::Plain), "");
    let vendor = format!("{}\nlocal = \"127.0.0.1:0\"\n{NEVER}", found(Route::Vendor));
    text += &upstream("vendor", at(Route::Vendor), &vendor);
    text += &upstream("tunnel", at(Route::Tunnel), &format!("{}\n{NERVOUS}", found(Route::Tunnel)));
    text
}

impl Stage {
    /// Starts everything.
    pub fn set(args: &Args, report: &Arc<Report>) -> Result<Self, String> {
        let text = |error: std::io::Error| error.to_string();
        let numbers = args.plan.requests + EXTRA;
        let origin = Origin::start(numbers, Arc::clone(report)).map_err(text)?;
        let (_dead, address) = dead().map_err(text)?;
        let mut strop = Strop::start(&args.strop, &config(&origin, address), 4)?;
        let places = Places {
            ingress: strop.at("ingress")?,
            egress: strop.at("egress")?,
            local: strop.at("local:vendor")?,
        };
        let lines = strop.lines.take().ok_or("no access log")?;
        let reader = Reader::start(lines, numbers, Arc::clone(report));
        let order = "{\"reason\": \"the day\", \"ttl\": \"2h\"}";
        let held = strop.post("/api/v2/sre/circuit-breakers/held/open", order)?;
        if !held.starts_with("HTTP/1.1 200") {
            return Err(format!("the breaker is not held: {held}"));
        }
        let mut stage = Self {
            report: Arc::clone(report),
            origin,
            strop,
            reader,
            places,
            descriptors: Vec::new(),
            _dead,
        };
        std::thread::sleep(Duration::from_millis(200)); // the admin port's last connection goes
        stage.descriptors = stage.strop.descriptors();
        Ok(stage)
    }

    /// What Strop counts now.
    pub fn metrics(&self) -> Metrics {
        match self.strop.get("/metrics") {
            Ok(text) => Metrics::read(&text),
            Err(error) => {
                self.report.find("no metrics", error);
                Metrics::default()
            }
        }
    }

    /// Waits until `holds`; a finding when it does not within `limit`.
    pub fn eventually(&self, limit: Duration, what: &str, mut holds: impl FnMut() -> Result<(), String>) {
        let until = Instant::now() + limit;
        loop {
            match holds() {
                Ok(()) => return,
                Err(_) if Instant::now() < until => std::thread::sleep(Duration::from_millis(50)),
                Err(is) => {
                    return self.report.find(&format!("never: {what}"), format!("within {limit:?}: {is}"));
                }
            }
        }
    }

    /// Nothing is under way and no client is connected.
    pub fn is_quiet(&self) -> Result<(), String> {
        let metrics = self.metrics();
        for family in ["http_server_active_requests", "http_client_active_requests", "listener_connections"] {
            let count = metrics.sum(family, &[]);
            if count > 0 {
                return Err(format!("{family} is {count}"));
            }
        }
        Ok(())
    }
}
