//! Which path is answered by which handler, and the contract that is made of them.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Admin;
use super::{
    audit, breakers, calendar, config, dashboard, degradation, drills, error, feed, health, idempotency,
    incidents, infrastructure, log_level, naming, outbox, page, performance, plain, readiness, recovery,
    reports, runbooks, silences, stream, strict, tap, texts, traffic, upstreams, uptime,
};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Strop SRE API",
        description = "State, breakers, latency and configuration of one sidecar.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(error::Error, error::ConfigRefused))
)]
struct Document;

fn sre() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new()
        .routes(routes!(health::comprehensive))
        .routes(routes!(dashboard::dashboard))
        .routes(routes!(breakers::list))
        .routes(routes!(breakers::show))
        .routes(routes!(breakers::open))
        .routes(routes!(breakers::close))
        .routes(routes!(breakers::release))
        .routes(routes!(degradation::show, degradation::order))
        .routes(routes!(drills::list, drills::begin, drills::end))
        .routes(routes!(drills::show))
        .routes(routes!(performance::performance))
        .routes(routes!(traffic::traffic))
        .routes(routes!(performance::metrics))
        .routes(routes!(performance::hlog))
        .routes(routes!(upstreams::list))
        .routes(routes!(upstreams::show))
        .routes(routes!(upstreams::fail_over))
        .merge(about_incidents())
        .routes(routes!(reports::sla))
        .routes(routes!(stream::stream))
        .routes(routes!(tap::tap))
        .routes(routes!(silences::list, silences::create))
        .routes(routes!(silences::remove))
        .routes(routes!(silences::end))
        .routes(routes!(recovery::list))
        .routes(routes!(recovery::trigger))
        .routes(routes!(recovery::approve))
        .routes(routes!(recovery::cancel))
        .routes(routes!(runbooks::list))
        .routes(routes!(runbooks::show))
        .routes(routes!(runbooks::run))
        .routes(routes!(runbooks::done))
        .routes(routes!(outbox::list))
        .routes(routes!(outbox::retry))
        .routes(routes!(outbox::discard))
        .routes(routes!(uptime::uptime))
        .routes(routes!(calendar::days))
        .routes(routes!(uptime::slo))
        .routes(routes!(uptime::alerts))
        .merge(about_the_process())
}

fn about_the_process() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new()
        .routes(routes!(infrastructure::infrastructure))
        .routes(routes!(infrastructure::rules))
        .routes(routes!(log_level::show, log_level::order))
        .routes(routes!(log_level::release))
        .routes(routes!(readiness::show))
        .routes(routes!(readiness::hold))
        .routes(routes!(readiness::release))
        .routes(routes!(readiness::drain))
        .routes(routes!(naming::names))
        .routes(routes!(config::show))
        .routes(routes!(config::reload))
        .routes(routes!(audit::audit))
}

fn about_incidents() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::new()
        .routes(routes!(incidents::list))
        .routes(routes!(feed::atom))
        .routes(routes!(incidents::show))
        .routes(routes!(incidents::ack))
        .routes(routes!(incidents::resolve))
        .routes(routes!(incidents::note))
        .routes(routes!(incidents::assign))
        .routes(routes!(incidents::rate))
        .routes(routes!(incidents::review))
        .routes(routes!(incidents::test))
        .routes(routes!(reports::review))
}

/// The OpenAPI 3.1 document, as it is served.
pub fn document() -> serde_json::Value {
    finished(openapi())
}

fn finished(document: utoipa::openapi::OpenApi) -> serde_json::Value {
    // Made of values with text keys alone: this cannot fail.
    super::document::finish(serde_json::to_value(document).unwrap_or_default())
}

/// What the handlers declare.
pub(super) fn openapi() -> utoipa::openapi::OpenApi {
    let (_, mut document) =
        OpenApiRouter::with_openapi(Document::openapi()).nest("/api/v2/sre", sre()).split_for_parts();
    document.openapi = utoipa::openapi::OpenApiVersion::Version31;
    name_operations(&mut document);
    plain::describe(&mut document);
    texts::describe(&mut document);
    document
}

/// Names of operations are unique, for whoever makes a client from them.
fn name_operations(document: &mut utoipa::openapi::OpenApi) {
    for (path, item) in &mut document.paths.paths {
        let path =
            path.trim_start_matches("/api/v2/sre/").replace(['/', '-', '.'], "_").replace(['{', '}'], "");
        let methods = [("get", &mut item.get), ("post", &mut item.post), ("delete", &mut item.delete)];
        for (method, operation) in methods {
            operation
                .iter_mut()
                .for_each(|operation| operation.operation_id = Some(format!("{method}_{path}")));
        }
    }
}

/// All routes: the guide's, under both prefixes, and what probes and scrapers look for.
///
/// Made on a thread that ends. The document takes megabytes while it is made; the allocator gives back what an ended
/// thread has freed and keeps it for one that lives (resident and idle, measured: 11.4 against 6.9 MiB).
pub(super) fn router(admin: &Arc<Admin>) -> Router {
    std::thread::scope(|threads| {
        let made = threads.spawn(|| make_router(admin)).join();
        made.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn make_router(admin: &Arc<Admin>) -> Router {
    let (sre, _) = sre().split_for_parts();
    let keys = Arc::new(idempotency::Keys::default());
    let sre = sre.layer(axum::middleware::from_fn_with_state(keys, idempotency::once));
    let document = openapi();
    let plain = Arc::new(plain::PlainPaths::of(&document));
    let sre = sre.layer(axum::middleware::from_fn_with_state(plain, plain::in_form));
    let parameters = Arc::new(strict::KnownParameters::of(&document));
    let sre = sre.layer(axum::middleware::from_fn_with_state(parameters, strict::only_known));
    let (help, index) = (Bytes::from(help(&document)), Bytes::from(index(&document).to_string()));
    let document = Bytes::from(serde_json::to_string_pretty(&finished(document)).unwrap_or_default());
    let json = |body: Bytes| ([(header::CONTENT_TYPE, "application/json")], body);
    Router::new()
        .nest("/api/v2/sre", sre.clone())
        .nest("/sre", sre)
        .route("/api/v2/sre/openapi.json", get(async move || json(document)))
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
        .route("/help", get(async move || ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], help)))
        .route("/", get(async move |admin, headers| front(admin, headers, index)))
        .merge(page::routes())
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::wrong_method)
        .with_state(Arc::clone(admin))
}

fn index(document: &utoipa::openapi::OpenApi) -> serde_json::Value {
    let paths: Vec<&String> = document.paths.paths.keys().collect();
    serde_json::json!({ "product": "strop", "version": env!("CARGO_PKG_VERSION"), "paths": paths })
}

/// A line for each operation, for people at a terminal.
fn help(document: &utoipa::openapi::OpenApi) -> String {
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
    for (path, item) in &document.paths.paths {
        for (method, operation) in [("GET", &item.get), ("POST", &item.post), ("DELETE", &item.delete)] {
            let Some(operation) = operation else { continue };
            let what = operation.summary.as_deref().unwrap_or_default().replace('\n', " ");
            lines.push(format!("{method:<6} {path:<50} {what}"));
        }
    }
    lines.join("\n") + "\n"
}

/// The page for browsers, the index for others.
fn front(State(admin): State<Arc<Admin>>, headers: HeaderMap, index: Bytes) -> Response {
    let mut answer = match page::wants_html(&headers) {
        true => page::page(&admin, &headers),
        false => ([(header::CONTENT_TYPE, "application/json")], index).into_response(),
    };
    answer.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    answer
}

async fn metrics(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> impl IntoResponse {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let exposition = crate::telemetry::metrics::exposition(&admin.telemetry, accept);
    ([(header::CONTENT_TYPE, exposition.content_type)], exposition.body)
}
