//! The metric families: names, help, labels. `family` fills one of them.
//!
//! The guide's names and OpenTelemetry's stand side by side. Nothing is counted here; families are made from the
//! shards when somebody asks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use prometheus::Registry;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{MetricFamily, MetricType};

use super::Telemetry;
use super::exposer::Exposition;
use super::family::Family;
use super::labels::{Direction, ExchangeOutcome, status_label};
use super::load;
use super::series::{Series, StandInKey};
use super::totals::MS_BOUNDS;
use crate::runtime::clock;

/// The metrics in the format that `accept` asks for: OpenMetrics 1.0 or Prometheus text 0.0.4.
pub fn exposition(telemetry: &Arc<Telemetry>, accept: Option<&str>) -> Exposition {
    let registry = || {
        let registry = Registry::new();
        let source = MetricSource { telemetry: Arc::downgrade(telemetry), descs: descs() };
        // Cannot fail: a fresh registry, and names that a test reads.
        let _ = registry.register(Box::new(source));
        let process = prometheus::process_collector::ProcessCollector::for_self();
        let _ = registry.register(Box::new(process));
        registry
    };
    telemetry.exposer.expose(registry, || telemetry.all_series(), accept)
}

struct MetricSource {
    telemetry: Weak<Telemetry>,
    descs: Vec<Desc>,
}

impl Collector for MetricSource {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Some(telemetry) = self.telemetry.upgrade() else { return Vec::new() };
        let mut families = exchanges(&telemetry.all_series());
        families.extend(otel_exchanges(&telemetry.all_series()));
        families.push(stand_ins(&telemetry.all_series()));
        families.extend(rate_limits(&telemetry.all_series()));
        let of_upstreams = super::upstream_families::families(&telemetry.all_upstreams());
        families.extend(of_upstreams.into_iter().map(Family::done));
        families.extend(process(&telemetry));
        let more = [telemetry.sre.families(), telemetry.store.families(), telemetry.people.families()];
        families.extend(more.into_iter().flatten().chain(telemetry.fleet.families()).map(Family::done));
        families.extend(telemetry.recovery.families().into_iter().map(Family::done));
        families.extend(telemetry.runbooks.families().into_iter().map(Family::done));
        families.extend(telemetry.bypass.families().into_iter().map(Family::done));
        families.extend(telemetry.degradation.families().into_iter().map(Family::done));
        families.extend(telemetry.drills.families().into_iter().map(Family::done));
        families.extend(telemetry.failover.families().into_iter().map(Family::done));
        families.extend(telemetry.outbox.families().into_iter().map(Family::done));
        families.extend(telemetry.application.families().map(Family::done));
        families.extend(telemetry.taps().families().map(Family::done));
        families.retain(|family| !family.get_metric().is_empty());
        super::prefix::both_names(families)
    }
}

/// One description is enough for the registry: families are checked by the tests of their text.
fn descs() -> Vec<Desc> {
    Desc::new("strop_build_info".to_owned(), "What is running.".to_owned(), Vec::new(), Default::default())
        .into_iter()
        .collect()
}

/// The families that the guide names, and their neighbours.
fn exchanges(all: &[Arc<Series>]) -> Vec<MetricFamily> {
    let mut ms = Family::histogram(
        "http_request_duration_ms",
        "Time from a request's head to its answer's last byte, milliseconds.",
    );
    let mut requests =
        Family::counter("http_requests_total", "Exchanges that have ended, by method and status.");
    let mut outcomes =
        Family::counter("http_request_outcomes_total", "Exchanges that have ended, by outcome.");
    let mut slow = Family::counter("slow_requests_total", "Exchanges that took longer than latency.slow.");
    let mut bytes = Family::counter("http_body_bytes_total", "Bytes of bodies, by direction of travel.");
    for series in all {
        let totals = series.totals();
        if totals.count_all() == 0 {
            continue;
        }
        let base = [("route", series.key.0.as_str()), ("upstream", series.key.1.as_str())];
        ms.buckets(&base, &MS_BOUNDS, &totals.ms, totals.sum.as_secs_f64() * 1_000.0);
        for pair in &totals.pairs {
            let status = status_label(pair.status);
            let labels = [base[0], base[1], ("method", pair.method.label()), ("status", &status)];
            requests.count(&labels, pair.took.count());
        }
        for (outcome, count) in ExchangeOutcome::ALL.iter().zip(totals.outcomes) {
            outcomes.count(&[base[0], base[1], ("outcome", outcome.label())], count);
        }
        slow.count(&base, totals.slow);
        bytes.count(&[base[0], base[1], ("direction", "received")], totals.bytes_in);
        bytes.count(&[base[0], base[1], ("direction", "sent")], totals.bytes_out);
    }
    [ms, requests, outcomes, slow, bytes].map(Family::done).into()
}

/// Requests of clients that asked too often.
fn rate_limits(all: &[Arc<Series>]) -> impl Iterator<Item = MetricFamily> {
    let routes = all.iter().map(|series| (series.key.0.as_str(), &*series.rate_limit));
    load::rate_limits(routes).into_iter().map(Family::done)
}

/// Answers that something stood in for.
fn stand_ins(all: &[Arc<Series>]) -> MetricFamily {
    let mut answers = Family::counter(
        "strop_degraded_answers_total",
        "Answers given in the place of an upstream's, by what stood in, why, and the outcome as which they are counted.",
    );
    for series in all {
        for (StandInKey { by, reason, outcome }, count) in series.stand_ins() {
            let labels = [
                ("route", series.key.0.as_str()),
                ("upstream", series.key.1.as_str()),
                ("instead", by.label()),
                ("reason", reason),
                ("outcome", outcome.label()),
            ];
            answers.count(&labels, count);
        }
    }
    answers.done()
}

/// OpenTelemetry's names for the same (<https://opentelemetry.io/docs/specs/semconv/http/http-metrics/>).
fn otel_exchanges(all: &[Arc<Series>]) -> Vec<MetricFamily> {
    let family = |side: &str, what: &str, kind| {
        let name = format!("http_{side}_{}", what.replace('.', "_"));
        Family::new(&name, kind, &format!("OpenTelemetry http.{side}.{}.", what.trim_end_matches("_seconds")))
    };
    let both = |what, kind| [family("server", what, kind), family("client", what, kind)];
    let mut took = both("request.duration_seconds", MetricType::HISTOGRAM);
    let mut active = both("active_requests", MetricType::GAUGE);
    for series in all {
        let (_, upstream, direction) = &series.key;
        let side = usize::from(*direction == Direction::Egress);
        let route = series.http_route();
        let base = [("http_route", &*route), ("upstream", upstream.as_str())];
        active[side].set(&base, series.in_flight() as f64);
        for pair in &series.totals().pairs {
            let status = status_label(pair.status);
            let method = ("http_request_method", pair.method.label());
            took[side]
                .seconds(&[base[0], base[1], method, ("http_response_status_code", &status)], &pair.took);
        }
    }
    took.into_iter().chain(active).map(Family::done).collect()
}

/// A family of one number.
fn counter(name: &str, help: &str, value: u64) -> MetricFamily {
    let mut family = Family::counter(name, help);
    family.count(&[], value);
    family.done()
}

/// What became of the log's lines.
/// May traffic come?
fn ready(telemetry: &Telemetry) -> MetricFamily {
    let reasons = telemetry.readiness.reasons(clock::instant());
    let mut ready =
        Family::gauge("strop_ready", "1: /readyz says that traffic may come; 0: it says why not.");
    ready.set(&[], f64::from(u8::from(reasons.is_empty())));
    ready.done()
}

fn logged(telemetry: &Telemetry) -> [MetricFamily; 3] {
    let ordered = telemetry.log_filter().is_some_and(|filter| filter.view().order.is_some());
    let mut filter = Family::gauge(
        "strop_log_filter_ordered",
        "1: an order decides what is logged, until its time is over; 0: process.log does.",
    );
    filter.set(&[], f64::from(u8::from(ordered)));
    [
        filter.done(),
        counter(
            "log_lines_dropped_total",
            "Lines of the log that found no room: nobody reads standard error, or too slowly.",
            super::telling::lost(),
        ),
        counter(
            "log_lines_folded_total",
            "Warnings of one place beyond 20 in 10 s, which are counted and not written.",
            super::telling::folded(),
        ),
    ]
}

/// What is buffered of traffic, and what was ended for it.
fn memory(telemetry: &Telemetry) -> Vec<MetricFamily> {
    let memory = &telemetry.memory;
    let mut limit =
        Family::gauge("buffer_limit_bytes", "What may be buffered of traffic; absent: not observable.");
    if let Some(bytes) = memory.limit() {
        limit.set(&[], bytes as f64);
    }
    let mut held = Family::gauge(
        "buffered_bytes",
        "Bytes of traffic in buffers of the process, and in the kernel's of its sockets where that is observable.",
    );
    held.set(&[("where", "process")], memory.buffers() as f64);
    if let Some(bytes) = memory.kernel() {
        held.set(&[("where", "kernel")], bytes as f64);
    }
    let mut ended = Family::counter(
        "connections_ended_total",
        "Client connections ended so that others could go on, by reason.",
    );
    for (reason, count) in memory.ended() {
        ended.count(&[("reason", reason)], count);
    }
    [limit, held, ended].map(Family::done).into()
}

fn pauses() -> [MetricFamily; 2] {
    let (times, paused) = crate::runtime::pauses::counted();
    let mut seconds =
        Family::counter("strop_paused_seconds_total", "Seconds for which the process stood still.");
    seconds.sum(&[], paused.as_secs_f64());
    let times = counter("strop_pauses_total", "How often the process stood still, stopped or frozen.", times);
    [times, seconds.done()]
}

/// Client connections, and what came over them that is no request.
fn listeners(telemetry: &Telemetry) -> [MetricFamily; 3] {
    let mut open = Family::gauge("listener_connections", "Open client connections.");
    for (name, count) in telemetry.listener_counts() {
        open.set(&[("listener", &name)], count as f64);
    }
    let refused = counter(
        "listener_refused_total",
        "Connections refused by a listener's cap.",
        telemetry.process.connections_refused.load(Ordering::Relaxed),
    );
    let mut malformed =
        Family::counter("malformed_requests_total", "Malformed requests that were refused, by reason.");
    for (reason, count) in telemetry.malformed_counts() {
        malformed.count(&[("reason", reason)], count);
    }
    [open.done(), refused, malformed.done()]
}

/// Which config is in force, and what came of the last reload.
fn config(telemetry: &Telemetry) -> [MetricFamily; 3] {
    let gauge = |name: &str, help: &str, value: &AtomicU64| {
        let mut family = Family::gauge(name, help);
        family.set(&[], value.load(Ordering::Relaxed) as f64);
        family.done()
    };
    let numbers = &telemetry.process;
    [
        gauge("config_generation", "Rises with every applied config.", &numbers.config_generation),
        gauge("config_last_reload_successful", "1: the last reload was applied.", &numbers.config_ok),
        gauge(
            "config_last_reload_success_timestamp_seconds",
            "When a config was last applied.",
            &numbers.config_at,
        ),
    ]
}

fn process(telemetry: &Telemetry) -> Vec<MetricFamily> {
    let mut build = Family::gauge("strop_build_info", "What is running.");
    build.set(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    let mut families = vec![
        build.done(),
        counter("panics_total", "Connections and other tasks that ended by a panic.", telemetry.panics()),
        counter(
            "access_log_dropped_total",
            "Access lines lost: the writer was behind, or could not write.",
            telemetry.access_log().dropped(),
        ),
    ];
    families.push(ready(telemetry));
    families.extend(listeners(telemetry));
    families.extend(logged(telemetry));
    families.extend(memory(telemetry));
    families.extend(pauses());
    families.extend(super::threads::families().map(Family::done));
    families.extend(config(telemetry));
    families
}
