//! Which path is answered by which handler.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};

use super::Admin;
use super::{
    audit, breakers, calendar, config, dashboard, degradation, drills, error, feed, health, idempotency,
    incidents, infrastructure, log_level, naming, outbox, page, performance, plain, readiness, recovery,
    reports, runbooks, served, silences, stream, strict, tap, traffic, upstreams, uptime,
};

/// One list for what is served and, in tests, for what the handlers declare of it.
macro_rules! operations {
    ($($method:ident $path:literal $module:ident::$handler:ident;)*) => {
        /// What is served below the prefix.
        fn sre() -> Router<Arc<Admin>> {
            Router::new()$(.route($path, $method($module::$handler)))*
        }

        /// The same with the contract that the handlers declare.
        #[cfg(test)]
        pub(super) fn declared() -> utoipa_axum::router::OpenApiRouter<Arc<Admin>> {
            utoipa_axum::router::OpenApiRouter::new()$(.routes(utoipa_axum::routes!($module::$handler)))*
        }

        #[cfg(test)]
        pub(super) const LISTED: &[(&str, &str)] = &[$((stringify!($method), $path)),*];
    };
}

operations! {
    get "/health/comprehensive" health::comprehensive;
    get "/dashboard" dashboard::dashboard;
    get "/circuit-breakers" breakers::list;
    get "/circuit-breakers/{name}" breakers::show;
    post "/circuit-breakers/{name}/open" breakers::open;
    post "/circuit-breakers/{name}/close" breakers::close;
    post "/circuit-breakers/{name}/release" breakers::release;
    get "/degradation" degradation::show;
    post "/degradation" degradation::order;
    get "/drills" drills::list;
    post "/drills" drills::begin;
    delete "/drills" drills::end;
    get "/drills/{id}" drills::show;
    get "/performance" performance::performance;
    get "/traffic" traffic::traffic;
    get "/metrics" performance::metrics;
    get "/latency.hlog" performance::hlog;
    get "/upstreams" upstreams::list;
    get "/upstreams/{name}" upstreams::show;
    post "/upstreams/{name}/failover" upstreams::fail_over;
    get "/incidents" incidents::list;
    get "/incidents.atom" feed::atom;
    get "/incidents/stream" stream::stream;
    get "/incidents/{id}" incidents::show;
    post "/incidents/{id}/ack" incidents::ack;
    post "/incidents/{id}/resolve" incidents::resolve;
    post "/incidents/{id}/note" incidents::note;
    post "/incidents/{id}/assign" incidents::assign;
    post "/incidents/{id}/rate" incidents::rate;
    get "/incidents/{id}/review" reports::review;
    post "/incidents/{id}/review" incidents::review;
    post "/test/incident" incidents::test;
    get "/reports/sla" reports::sla;
    get "/tap" tap::tap;
    get "/silences" silences::list;
    post "/silences" silences::create;
    delete "/silences/{id}" silences::remove;
    post "/silences/{id}/end" silences::end;
    get "/recovery" recovery::list;
    post "/recovery/trigger" recovery::trigger;
    post "/recovery/{id}/approve" recovery::approve;
    post "/recovery/{id}/cancel" recovery::cancel;
    get "/runbooks" runbooks::list;
    get "/runbooks/{name}" runbooks::show;
    post "/runbooks/{name}/run" runbooks::run;
    post "/runbooks/{name}/done" runbooks::done;
    get "/outbox" outbox::list;
    post "/outbox/{id}/retry" outbox::retry;
    post "/outbox/{id}/drop" outbox::discard;
    get "/uptime" uptime::uptime;
    get "/uptime/days" calendar::days;
    get "/slo" uptime::slo;
    get "/alerts" uptime::alerts;
    get "/infrastructure" infrastructure::infrastructure;
    get "/rules" infrastructure::rules;
    get "/log-level" log_level::show;
    post "/log-level" log_level::order;
    post "/log-level/release" log_level::release;
    get "/readiness" readiness::show;
    post "/readiness/hold" readiness::hold;
    post "/readiness/release" readiness::release;
    post "/drain" readiness::drain;
    get "/routes" naming::names;
    get "/config" config::show;
    post "/config/reload" config::reload;
    get "/audit" audit::audit;
}

/// All routes: the guide's, under both prefixes, and what probes and scrapers look for.
pub(super) fn router(admin: &Arc<Admin>) -> Router {
    let keys = Arc::new(idempotency::Keys::default());
    let sre = sre()
        .layer(axum::middleware::from_fn_with_state(keys, idempotency::once))
        .layer(axum::middleware::from_fn(plain::in_form))
        .layer(axum::middleware::from_fn(strict::only_known));
    Router::new()
        .nest("/api/v2/sre", sre.clone())
        .nest("/sre", sre)
        .route("/api/v2/sre/openapi.json", get(async || json(served::OPENAPI)))
        .route("/metrics", get(metrics))
        .route("/healthz", get(health::healthz))
        .route("/livez", get(health::healthz))
        .route("/readyz", get(health::readyz))
        // As Prometheus and its kin name them.
        .route("/-/healthy", get(health::healthz))
        .route("/-/ready", get(health::readyz))
        .route("/-/reload", post(config::reload))
        .route("/-/unready", post(readiness::hold))
        .route("/-/drain", post(readiness::drain))
        .route("/help", get(async || ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], help())))
        .route("/", get(front))
        .merge(page::routes())
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::wrong_method)
        .with_state(Arc::clone(admin))
}

fn json(body: impl IntoResponse) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], body)
}

fn index() -> String {
    let mut paths: Vec<&str> = served::operations().iter().map(|one| one.path).collect();
    paths.dedup();
    serde_json::json!({ "product": "strop", "version": env!("CARGO_PKG_VERSION"), "paths": paths })
        .to_string()
}

/// A line for each operation, for people at a terminal.
fn help() -> String {
    let others = [
        ("GET", "/", "The page for browsers; for others all paths."),
        ("GET", "/metrics", "For Prometheus; OpenMetrics by Accept."),
        ("GET", "/livez", "Alive; also /healthz and /-/healthy."),
        ("GET", "/readyz", "May traffic come? Also /-/ready."),
        ("POST", "/-/reload", "As /api/v2/sre/config/reload."),
        ("POST", "/-/unready", "As /api/v2/sre/readiness/hold."),
        ("POST", "/-/drain", "As /api/v2/sre/drain."),
        ("GET", "/api/v2/sre/openapi.json", "All that follows, for machines."),
    ];
    let mut lines: Vec<String> =
        others.iter().map(|(method, path, what)| format!("{method:<6} {path:<50} {what}")).collect();
    lines.extend(served::operations().iter().map(|one| {
        let served::Operation { method, path, summary, .. } = one;
        format!("{:<6} {path:<50} {}", method.as_str(), summary.replace('\n', " "))
    }));
    lines.join("\n") + "\n"
}

/// The page for browsers, the index for others.
async fn front(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Response {
    let mut answer = match page::wants_html(&headers) {
        true => page::page(&admin, &headers),
        false => json(index()).into_response(),
    };
    answer.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    answer
}

async fn metrics(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> impl IntoResponse {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let exposition = crate::telemetry::metrics::exposition(&admin.telemetry, accept);
    ([(header::CONTENT_TYPE, exposition.content_type)], exposition.body)
}
