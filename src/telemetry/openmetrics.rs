//! OpenMetrics 1.0 text (<https://prometheus.io/docs/specs/om/open_metrics_spec/>)
//! with exemplars, over gathered families.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

use super::labels::status_label;
use super::series::Series;
use super::totals::Exemplar;

/// The text of `families`; the buckets of the OpenTelemetry durations carry the last trace of their series.
pub fn encode(families: &[MetricFamily], series: &[Arc<Series>]) -> String {
    let mut out = String::new();
    let traces = Exemplars::of(series);
    for family in families {
        let counter = family.get_field_type() == MetricType::COUNTER;
        let name = if counter { family.name().trim_end_matches("_total") } else { family.name() };
        // Here a counter must end in `_total`; the guide's name for this one does not, and it must stay findable.
        let suffix = if name == family.name() { "" } else { "_total" };
        let kind = match family.get_field_type() {
            MetricType::COUNTER if suffix.is_empty() => "unknown",
            MetricType::COUNTER => "counter",
            MetricType::GAUGE => "gauge",
            MetricType::HISTOGRAM => "histogram",
            MetricType::SUMMARY => "summary",
            MetricType::UNTYPED => "unknown",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "# TYPE {name} {kind}");
        let _ = writeln!(out, "# HELP {name} {}", escaped(family.help()));
        for metric in family.get_metric() {
            match family.get_field_type() {
                MetricType::COUNTER => {
                    line(&mut out, name, suffix, metric, None, metric.get_counter().get_value())
                }
                MetricType::HISTOGRAM => histogram(&mut out, name, metric, traces.find(name, metric)),
                MetricType::GAUGE => line(&mut out, name, "", metric, None, metric.get_gauge().get_value()),
                // This product makes neither.
                MetricType::SUMMARY | MetricType::UNTYPED => {}
            }
        }
    }
    out.push_str("# EOF\n");
    out
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}

fn labels(out: &mut String, pairs: &[LabelPair], le: Option<&str>) {
    if pairs.is_empty() && le.is_none() {
        return;
    }
    out.push('{');
    for (at, pair) in pairs.iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        let _ = write!(out, "{comma}{}=\"{}\"", pair.name(), escaped(pair.value()));
    }
    if let Some(le) = le {
        let comma = if pairs.is_empty() { "" } else { "," };
        let _ = write!(out, "{comma}le=\"{le}\"");
    }
    out.push('}');
}

fn number(value: f64) -> String {
    if value.is_infinite() { "+Inf".to_owned() } else { format!("{value}") }
}

fn line(out: &mut String, name: &str, suffix: &str, metric: &Metric, le: Option<&str>, value: f64) {
    out.push_str(name);
    out.push_str(suffix);
    labels(out, metric.get_label(), le);
    let _ = writeln!(out, " {}", number(value));
}

fn histogram(out: &mut String, name: &str, metric: &Metric, traces: Option<&[Option<Exemplar>; 15]>) {
    let histogram = metric.get_histogram();
    let bounds =
        histogram.get_bucket().iter().map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
    let last = (f64::INFINITY, histogram.get_sample_count());
    for (at, (bound, count)) in bounds.chain([last]).enumerate() {
        let le = if bound.is_infinite() { "+Inf".to_owned() } else { format!("{bound:?}") };
        line(out, name, "_bucket", metric, Some(&le), count as f64);
        let trace = traces.and_then(|traces| traces.get(at)).copied().flatten();
        if let Some(trace) = trace {
            out.pop();
            let mut id = Vec::with_capacity(32);
            crate::message::fields::put_hex(&mut id, &trace.trace_id);
            let id = String::from_utf8(id).unwrap_or_default();
            let _ = writeln!(out, " # {{trace_id=\"{id}\"}} {}", trace.value);
        }
    }
    line(out, name, "_count", metric, None, histogram.get_sample_count() as f64);
    line(out, name, "_sum", metric, None, histogram.get_sample_sum());
}

/// The last traces of the OpenTelemetry durations, by the labels of their series.
struct Exemplars(HashMap<[String; 4], Box<[Option<Exemplar>; 15]>>);

/// The labels of such a series that tell it from the others.
const TOLD_APART: [&str; 4] = ["http_route", "upstream", "http_request_method", "http_response_status_code"];

impl Exemplars {
    fn of(series: &[Arc<Series>]) -> Self {
        let mut all = HashMap::new();
        for series in series {
            let (route, upstream) = (series.http_route(), &series.key.1);
            for pair in series.totals().pairs {
                let Some(exemplars) = pair.exemplars else { continue };
                let (method, status) = (pair.method.label().to_owned(), status_label(pair.status));
                all.insert([route.to_string(), upstream.to_string(), method, status], exemplars);
            }
        }
        Self(all)
    }

    fn find(&self, family: &str, metric: &Metric) -> Option<&[Option<Exemplar>; 15]> {
        if !matches!(family, "http_server_request_duration_seconds" | "http_client_request_duration_seconds")
        {
            return None;
        }
        let label = |wanted: &str| {
            let found = metric.get_label().iter().find(|pair| pair.name() == wanted);
            found.map_or("", LabelPair::value).to_owned()
        };
        self.0.get(&TOLD_APART.map(label)).map(|found| &**found)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::names::{RouteName, UpstreamName};
    use crate::runtime::clock;
    use crate::telemetry::Telemetry;
    use crate::telemetry::access::AccessLog;
    use crate::telemetry::series::{Direction, ExchangeOutcome, Finished, Method};

    fn counted() -> std::sync::Arc<Telemetry> {
        let telemetry = Telemetry::new(2, AccessLog::off(), clock::now());
        let route = RouteName::new("bookings").expect("a name");
        let upstream = UpstreamName::new("backend").expect("a name");
        let series = telemetry.series(&route, &upstream, Direction::Ingress);
        for worker in 0..2 {
            series.started(worker);
            series.finished(&Finished {
                worker,
                client: 1,
                method: Method::Get,
                status: Some(200),
                outcome: ExchangeOutcome::Ok,
                first_byte: Some(Duration::from_millis(3)),
                total: Duration::from_millis(30),
                bytes_in: 0,
                bytes_out: 5,
                trace_id: Some([0xab; 16]),
                slow: false,
                now: clock::instant(),
            });
        }
        telemetry
    }

    #[test]
    fn both_formats_show_the_same_counts() {
        let telemetry = counted();
        let text = crate::telemetry::metrics::exposition(&telemetry, None).body;
        assert!(
            text.contains(
                "http_requests_total{route=\"bookings\",upstream=\"backend\",method=\"GET\",status=\"200\"} 2"
            ),
            "{text}"
        );
        assert!(text.contains(
            "http_request_duration_ms_bucket{route=\"bookings\",upstream=\"backend\",le=\"50\"} 2"
        ));
        assert!(text.contains(
            "http_request_duration_ms_bucket{route=\"bookings\",upstream=\"backend\",le=\"25\"} 0"
        ));
        assert!(text.contains("process_open_fds"));
        let open = crate::telemetry::metrics::exposition(
            &telemetry,
            Some("application/openmetrics-text; version=1.0.0"),
        )
        .body;
        assert!(open.ends_with("# EOF\n"));
        assert!(
            open.contains(
                "http_requests_total{route=\"bookings\",upstream=\"backend\",method=\"GET\",status=\"200\"} 2"
            ),
            "{open}"
        );
        let traced = "le=\"0.05\"} 2 # {trace_id=\"abababababababababababababababab\"} 0.03";
        assert!(open.contains(traced), "{open}");
    }

    #[test]
    fn a_route_with_a_template_has_its_traces() {
        let telemetry = counted();
        telemetry.show_as(&telemetry.all_series()[0], Some("GET /bookings/{id}"));
        let accept = Some("application/openmetrics-text; version=1.0.0");
        let open = crate::telemetry::metrics::exposition(&telemetry, accept).body;
        let traced = |line: &&str| line.contains("GET /bookings/{id}") && line.contains("# {trace_id=");
        assert_eq!(open.lines().filter(traced).count(), 1, "{open}");
    }

    #[test]
    fn a_forgotten_upstream_leaves_no_series() {
        let telemetry = counted();
        telemetry.forget_upstream(&UpstreamName::new("backend").expect("a name"));
        assert!(!crate::telemetry::metrics::exposition(&telemetry, None).body.contains("backend"));
    }
}
