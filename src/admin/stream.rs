//! Incidents as they change: server-sent events.
//!
//! Each stream reads from a place in the stream of changes at its own pace. One that falls behind what is kept begins anew;
//! what it is behind on is kept there once for all streams, never in a queue of its own. Nothing here holds up the engine.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
#[cfg(test)]
use utoipa::IntoParams;

use super::Admin;
use super::contract::incidents::{IncidentView, Incidents};
use super::error::ApiError;
use super::open_streams::StreamPlace;
use super::request::Parameters;
use crate::control::{Change, Changes, NextChanges, Snapshot};
use crate::runtime::drain::Drain;

/// Events on their way to one reader.
const AHEAD: usize = 8;
/// When a client should come back.
const RETRY: Duration = Duration::from_secs(2);
/// A comment this often shows both sides that the other one is there.
const ALIVE: Duration = Duration::from_secs(15);

/// The event after which a stream begins.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(IntoParams))]
#[cfg_attr(test, into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
pub(super) struct From {
    /// The id of the last event that was received, for clients that cannot send the field Last-Event-ID.
    last_event_id: Option<String>,
}

/// Incidents as they change: first `event: reset` with those that are not over, then `event: incident` with each that changes.
/// With Last-Event-ID (or `last_event_id`) it goes on after that event; when that is too old, or of another start of the
/// process, it begins with `reset` again.
#[cfg_attr(test, utoipa::path(get, path = "/incidents/stream", params(From),
    responses((status = 200, content_type = "text/event-stream", body = String), (status = 503))))]
pub(super) async fn stream(
    State(admin): State<Arc<Admin>>,
    headers: HeaderMap,
    Parameters(from): Parameters<From>,
) -> Result<Response, ApiError> {
    let place = place(&headers, from.last_event_id.as_deref());
    open(&admin, place)
}

/// The last event that was received, as it was named.
pub(super) fn place(headers: &HeaderMap, asked: Option<&str>) -> Option<String> {
    let sent = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    sent.or(asked).map(str::to_owned)
}

/// A stream that begins there.
pub(super) fn open(admin: &Admin, place: Option<String>) -> Result<Response, ApiError> {
    let held = admin.streams.hold()?;
    let boot = admin.control.records().boot();
    let after = place.and_then(|id| number(&id, boot));
    let (send, events) = mpsc::channel(AHEAD);
    let teller = Teller { boot: boot.to_owned(), changes: admin.control.changes(), send, _held: held };
    crate::runtime::tasks::detach("admin", "stream of incidents", teller.tell(after, admin.drain.clone()));
    let stream = Sse::new(ReceiverStream::new(events)).keep_alive(KeepAlive::new().interval(ALIVE));
    // A proxy on the way must neither hold it back nor keep it.
    let unbuffered = [(header::CACHE_CONTROL, "no-store"), (UNBUFFERED, "no")];
    Ok((unbuffered, stream).into_response())
}

/// nginx's word for it.
pub(super) const UNBUFFERED: header::HeaderName = header::HeaderName::from_static("x-accel-buffering");

fn number(id: &str, boot: &str) -> Option<u64> {
    id.strip_prefix(boot)?.strip_prefix('.')?.parse().ok()
}

struct Teller {
    boot: String,
    changes: Changes,
    send: mpsc::Sender<Result<Event, Infallible>>,
    _held: StreamPlace,
}

impl Teller {
    /// Until the reader leaves, or the process.
    async fn tell(mut self, after: Option<u64>, drain: Drain) {
        let send = self.send.clone();
        tokio::select! {
            () = self.follow(after) => {}
            () = send.closed() => {}
            () = drain.requested() => {}
        }
    }

    async fn follow(&mut self, mut after: Option<u64>) {
        if self.send.send(Ok(Event::default().retry(RETRY))).await.is_err() {
            return;
        }
        loop {
            let events: Vec<(u64, Event)> = match self.changes.next(after) {
                NextChanges::Anew { snapshot, number } => vec![(number, self.reset(&snapshot, number))],
                NextChanges::Changes(changes) => {
                    changes.iter().map(|one| (one.number, self.change(one))).collect()
                }
            };
            if events.is_empty() && !self.changes.grown(after.unwrap_or(0)).await {
                return;
            }
            for (number, event) in events {
                if self.send.send(Ok(event)).await.is_err() {
                    return;
                }
                after = Some(number);
            }
        }
    }

    fn event(&self, name: &str, number: u64, data: &impl serde::Serialize) -> Event {
        // JSON has no line ends in it, and our values have text keys only: neither can fail.
        let data = serde_json::to_string(data).unwrap_or_default();
        Event::default().event(name).id(format!("{}.{number}", self.boot)).data(data)
    }

    fn reset(&self, snapshot: &Snapshot, number: u64) -> Event {
        let live = snapshot.incidents.iter().filter(|one| one.state.is_live());
        let incidents: Vec<_> = live.map(|one| IncidentView::of(one, snapshot)).collect();
        let list = Incidents { open: snapshot.open(), count: incidents.len(), incidents, next: None };
        self.event("reset", number, &list)
    }

    fn change(&self, change: &Change) -> Event {
        self.event("incident", change.number, &IncidentView::changed(change))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_of_another_start_is_none() {
        assert_eq!(number("boot-a.17", "boot-a"), Some(17));
        for id in ["boot-b.17", "boot-a", "boot-a.", "boot-a.x", "17", ""] {
            assert_eq!(number(id, "boot-a"), None, "{id:?}");
        }
    }
}
