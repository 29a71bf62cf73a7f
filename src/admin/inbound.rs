//! What a pager or a chat posts back, on a listener of its own: signed acknowledgements and nothing else.
//!
//! It knows two paths and no token; whatever is not signed by its sender is told nothing, and whoever says nothing has ten
//! seconds. What was verified becomes an order like any other, on the audit log by the name that the sender gave.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::serve::accept;
use crate::config::reload::Reloader;
use crate::control::{Handle, InboundResult, Posted};
use crate::runtime::clock;
use crate::runtime::drain::Drain;
use crate::runtime::timer::within;
use crate::telemetry::Telemetry;

/// Connections at the same time: two senders post one thing after the other.
const MOST: usize = 32;
/// For a whole exchange.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most that a post may say, in bytes.
const LONGEST: usize = 256 * 1024;
/// As listeners are called.
const NAME: &str = "inbound";

struct InboundPort {
    handle: Handle,
    reloader: Arc<Reloader>,
    telemetry: Arc<Telemetry>,
    places: Arc<Semaphore>,
}

/// Serves it on a bound listener, until asked to leave.
pub async fn serve(
    handle: Handle,
    reloader: Arc<Reloader>,
    telemetry: Arc<Telemetry>,
    listener: std::net::TcpListener,
    drain: Drain,
) {
    let port = Arc::new(InboundPort { handle, reloader, telemetry, places: Arc::new(Semaphore::new(MOST)) });
    accept(NAME, listener, drain, |tcp| {
        if let Ok(place) = Arc::clone(&port.places).try_acquire_owned() {
            let port = Arc::clone(&port);
            crate::runtime::tasks::detach("inbound", "connection", async move {
                let _ = within(PATIENCE, port.connection(tcp)).await;
                drop(place);
            });
        }
    })
    .await;
}

impl InboundPort {
    async fn connection(&self, tcp: TcpStream) {
        let service =
            hyper::service::service_fn(
                |request| async move { Ok::<_, Infallible>(self.answer(request).await) },
            );
        let mut served = hyper::server::conn::http1::Builder::new();
        let served = served.keep_alive(false).serve_connection(TokioIo::new(tcp), service);
        // How it ends is the sender's affair.
        let _ = served.await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let config = self.reloader.status().config;
        let inbound = config.inbound.as_ref().filter(|_| parts.method == Method::POST);
        let pagerduty = inbound.and_then(|inbound| inbound.pagerduty.as_ref());
        let slack = inbound.and_then(|inbound| inbound.slack.as_ref());
        let secret = match parts.uri.path() {
            "/pagerduty" => pagerduty,
            "/slack" => slack,
            _ => None,
        };
        let Some(secret) = secret else { return told(StatusCode::NOT_FOUND, "") };
        let Ok(collected) = Limited::new(body, LONGEST).collect().await else {
            return told(StatusCode::BAD_REQUEST, "");
        };
        let body = collected.to_bytes();
        let posted = if parts.uri.path() == "/slack" {
            Posted::Slack {
                timestamp: field(&parts.headers, "x-slack-request-timestamp"),
                signature: field(&parts.headers, "x-slack-signature"),
                now: clock::unix_seconds(clock::now().wall),
            }
        } else {
            Posted::PagerDuty { signatures: field(&parts.headers, "x-pagerduty-signature") }
        };
        let heard = self.handle.posted(&posted, secret, &body).await;
        self.telemetry.people.posted(posted.label(), heard.label());
        match heard {
            InboundResult::Forged => told(StatusCode::UNAUTHORIZED, ""),
            InboundResult::Unreadable => told(StatusCode::BAD_REQUEST, ""),
            InboundResult::Other => told(StatusCode::OK, ""),
            InboundResult::Nobody => told(StatusCode::OK, "There is no such incident that is not over."),
            InboundResult::Known => told(StatusCode::OK, "Somebody has it already."),
            InboundResult::Taken => told(StatusCode::OK, "Taken."),
            InboundResult::Leaving => told(StatusCode::SERVICE_UNAVAILABLE, ""),
        }
    }
}

fn field<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn told(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::from(text));
    *answer.status_mut() = status;
    answer
}
