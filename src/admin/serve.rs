//! Connections of the admin port: nobody who says nothing keeps an operator, a probe or a scraper out.
//!
//! A connection without a whole request has a deadline, and gives its place to a newcomer when all are taken, the longest
//! silent first. The token is checked before a body is read, a body has a deadline and takes no slot while it comes, and
//! probes and scrapers have slots of their own.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};
use tower::ServiceExt as _;

use super::Admin;
use super::error::{self, later, problem, uniform};
use super::held_body::holding;
use super::router::router;
use super::{guard, texts};
use crate::net::acceptor::{Accepted, Acceptor, Uses};
use crate::runtime::drain::Drain;
use crate::runtime::fds;
use crate::runtime::timer::within;
use crate::telemetry::event::ProcessEvent;

/// Requests answered at the same time.
const MOST: usize = 64;
/// Beside them, of probes and scrapers.
const QUICK: usize = 8;
/// For a head, and for a body, to come in whole.
const PATIENCE: Duration = Duration::from_secs(10);

/// One connection of the port: whether it is at work, and since when it is not.
struct AdminConnection {
    /// Has it a request that came in whole, or an answer on its way?
    whole: AtomicBool,
    /// Since when it has none; see [`moment`].
    since: AtomicU64,
    leave: Notify,
}

/// All connections of the port.
#[derive(Default)]
struct Places(Mutex<Vec<Arc<AdminConnection>>>);

/// A later moment has a higher number.
fn moment() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Places {
    /// A place for a newcomer. `None`: all are taken by requests that came in whole.
    fn take(&self) -> Option<Arc<AdminConnection>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= fds::admin_places() {
            let silent = (0..).zip(&*all).filter(|(_, place)| !place.whole.load(Ordering::Relaxed));
            let longest = silent.min_by_key(|(_, place)| place.since.load(Ordering::Relaxed));
            let (at, _) = longest?;
            all.swap_remove(at).leave.notify_one();
        }
        let (whole, since) = (AtomicBool::new(false), AtomicU64::new(moment()));
        let place = Arc::new(AdminConnection { whole, since, leave: Notify::new() });
        all.push(Arc::clone(&place));
        Some(place)
    }

    fn give_back(&self, place: &Arc<AdminConnection>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| !Arc::ptr_eq(other, place));
    }
}

/// A request that came in whole, until the last byte of its answer.
struct Whole(Arc<AdminConnection>);

impl Whole {
    fn of(place: &Arc<AdminConnection>) -> Self {
        place.whole.store(true, Ordering::Relaxed);
        Self(Arc::clone(place))
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        self.0.since.store(moment(), Ordering::Relaxed);
        self.0.whole.store(false, Ordering::Relaxed);
    }
}

/// Answers the requests of one port.
struct PortService {
    admin: Arc<Admin>,
    router: Router,
    slots: Semaphore,
    quick: Semaphore,
    places: Places,
    /// Answers probes and scrapers alone.
    only_quick: bool,
}

fn refused(status: StatusCode, code: &str, message: &str, hint: &str) -> Response {
    later("1", problem(status, code, message, hint))
}

impl PortService {
    async fn answer(&self, place: &Arc<AdminConnection>, request: Request<Incoming>) -> Response {
        let is_quick = guard::PROBES.contains(&request.uri().path()) || request.uri().path() == "/metrics";
        if self.only_quick && !is_quick {
            return error::not_found(request.uri().clone()).await.into_response();
        }
        let (parts, body) = request.into_parts();
        if !self.only_quick
            && let Some(why) = guard::refusal(&self.admin, &parts)
        {
            return why.into_response();
        }
        let bytes = match within(PATIENCE, Limited::new(body, texts::BODY).collect()).await {
            Some(Ok(collected)) => collected.to_bytes(),
            Some(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                let message = format!("the body is longer than {} bytes", texts::BODY);
                return refused(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "body_too_long",
                    &message,
                    "say it in fewer words",
                );
            }
            Some(Err(_)) => {
                let told = "the body broke off, or is no HTTP";
                return problem(StatusCode::BAD_REQUEST, "bad_body", told, "send it again");
            }
            None => {
                let hint = "send it at once";
                return refused(
                    StatusCode::REQUEST_TIMEOUT,
                    "slow_body",
                    "the body did not come in time",
                    hint,
                );
            }
        };
        let whole = Whole::of(place);
        let slots = if is_quick { &self.quick } else { &self.slots };
        let Ok(slot) = slots.try_acquire() else {
            let hint = "ask again in a second";
            return refused(StatusCode::SERVICE_UNAVAILABLE, "busy", "too many requests at once", hint);
        };
        let path = parts.uri.path().to_owned();
        let request = Request::from_parts(parts, Body::from(bytes));
        let answer = self.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        // A stream may last for hours: its place is taken, a slot is not.
        drop(slot);
        holding(uniform(answer, &path), whole)
    }

    async fn connection(self: Arc<Self>, tcp: TcpStream, place: Arc<AdminConnection>) {
        let of = (Arc::clone(&self), Arc::clone(&place));
        let service = hyper::service::service_fn(move |request| {
            let (port, place) = (Arc::clone(&of.0), Arc::clone(&of.1));
            async move { Ok::<_, Infallible>(port.answer(&place, request).await) }
        });
        let served = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .serve_connection(TokioIo::new(tcp), service);
        // How an operator's connection ends is the operator's affair.
        tokio::select! {
            _ = served => {}
            () = place.leave.notified() => {}
        }
        self.places.give_back(&place);
    }

    async fn accept(self: Arc<Self>, listener: std::net::TcpListener, drain: Drain) {
        let name = if self.only_quick { "probes" } else { "admin" };
        accept(name, listener, drain, |tcp| {
            if let Some(place) = self.places.take() {
                crate::runtime::tasks::detach(name, "connection", Arc::clone(&self).connection(tcp, place));
            }
        })
        .await;
    }
}

/// Hands what connects to `take`, until asked to leave.
pub(super) async fn accept(
    name: &str,
    listener: std::net::TcpListener,
    drain: Drain,
    mut take: impl FnMut(TcpStream),
) {
    let mut acceptor = match Acceptor::new(listener, Arc::default(), Uses::All) {
        Ok(acceptor) => acceptor,
        Err(error) => {
            return ProcessEvent::AcceptFailed { listener: name, error: &error.to_string() }.tell();
        }
    };
    loop {
        let Accepted { connection, news } = tokio::select! {
            came = acceptor.next() => came,
            () = drain.requested() => return,
        };
        news.iter().for_each(|news| ProcessEvent::accepting(name, news).tell());
        if let Some((tcp, _)) = connection {
            take(tcp);
        }
    }
}

/// Serves the API on a bound listener, and probes and scrapers on `probes`, until asked to leave.
pub async fn serve(
    admin: Arc<Admin>,
    listener: std::net::TcpListener,
    probes: Option<std::net::TcpListener>,
    drain: Drain,
) {
    let router = router(&admin);
    let port = |only_quick| {
        let (slots, quick, places) = (Semaphore::new(MOST), Semaphore::new(QUICK), Places::default());
        Arc::new(PortService {
            admin: Arc::clone(&admin),
            router: router.clone(),
            slots,
            quick,
            places,
            only_quick,
        })
    };
    if let Some(probes) = probes {
        crate::runtime::tasks::detach("probes", "accepting", port(true).accept(probes, drain.clone()));
    }
    port(false).accept(listener, drain).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_silent_gives_its_place_and_a_whole_request_keeps_it() {
        let places = Places::default();
        let all: Vec<_> = (0..fds::admin_places()).map(|_| places.take().expect("a place")).collect();
        let held: Vec<_> = all.iter().skip(1).map(Whole::of).collect();
        all[0].since.store(7, Ordering::Relaxed);
        assert!(places.take().is_some(), "the first has said nothing");
        assert!(places.0.lock().expect("not poisoned").iter().all(|place| !Arc::ptr_eq(place, &all[0])));
        drop(held);
        let whole: Vec<_> = places.0.lock().expect("not poisoned").iter().map(Whole::of).collect();
        assert!(places.take().is_none(), "all {} are being answered", whole.len());
    }
}
