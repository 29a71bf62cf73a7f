//! Exchanges as they end: server-sent events for whoever looks on.
//!
//! A stream looks at its tap ten times a second and sends what has come as one piece. Where its client is slow the pieces wait
//! and the tap is not emptied: what then finds no room in it is lost and told by count. No worker waits for a client.
//!
//! No row of the audit log is written: it has what was changed, and by whom; a look changes nothing, and a GET names nobody.
//! That a tap is open, with what it asks for, and what came of it, are lines of the log.

mod query;

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::Admin;
use super::error::{ApiError, later, problem};
use super::request::Parameters;
use super::stream::UNBUFFERED;
use crate::runtime::clock;
use crate::runtime::drain::Drain;
use crate::runtime::timer::every;
use crate::telemetry::event::ProcessEvent;
use crate::telemetry::tap::{self, TapReader};
use query::{TapQuery, WantedTap};

/// How often a stream looks at its tap.
const LOOK: Duration = Duration::from_millis(100);
/// A comment after so long without anything shows both sides that the other one is there.
const ALIVE: Duration = Duration::from_secs(5);
/// Pieces on their way to one client.
const AHEAD: usize = 2;

/// Why a stream has ended, as its last event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TapEnd {
    /// As many exchanges were told as were asked for.
    Limit,
    /// Its time is over.
    Time,
    /// The process leaves.
    Leaving,
    /// Its client has left; nobody reads that.
    Gone,
}

impl TapEnd {
    fn label(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Time => "time",
            Self::Leaving => "leaving",
            Self::Gone => "gone",
        }
    }
}

/// Exchanges as they end: `event: exchange` with the line of the access log for each, without a query; `event: lost` with how many
/// found no room since the last one, because they came faster than they were read; at last `event: end` with why. Only those that began
/// while it was open. Filters are joined by "and".
#[cfg_attr(test, utoipa::path(get, path = "/tap", params(TapQuery),
    responses((status = 200, content_type = "text/event-stream", body = String), (status = 429))))]
pub(super) async fn tap(
    State(admin): State<Arc<Admin>>,
    Parameters(asked): Parameters<TapQuery>,
) -> Result<Response, ApiError> {
    let wanted = WantedTap::read(&asked, &admin.telemetry)?;
    let WantedTap { filter, limit, lasts } = wanted;
    let Some(reader) = admin.telemetry.tap(filter) else { return Ok(too_many()) };
    ProcessEvent::TapOpened { wanted: &asked.written(), seconds: lasts.as_secs_f64() }.tell();
    let (send, pieces) = mpsc::channel(AHEAD);
    let teller = TapTeller { reader, send, left: limit, told: 0, lost: 0, alive: clock::instant() };
    crate::runtime::tasks::detach("admin", "tap", teller.tell(lasts, admin.drain.clone()));
    let kind = (header::CONTENT_TYPE, "text/event-stream");
    // A proxy on the way must neither hold it back nor keep it.
    let head = [kind, (header::CACHE_CONTROL, "no-store"), (UNBUFFERED, "no")];
    Ok((head, Body::from_stream(ReceiverStream::new(pieces))).into_response())
}

fn too_many() -> Response {
    let told = format!("{} taps are open, which is the most", tap::MOST);
    let hint = "end one of them, or wait until its time is over; the log says what each asks for";
    later("60", problem(StatusCode::TOO_MANY_REQUESTS, "too_many_taps", &told, hint))
}

type TapPiece = Result<Bytes, Infallible>;

/// Sends one stream.
struct TapTeller {
    reader: TapReader,
    send: mpsc::Sender<TapPiece>,
    /// Exchanges that may still be told; `None`: all.
    left: Option<u64>,
    told: u64,
    lost: u64,
    /// When something was sent last.
    alive: Instant,
}

impl TapTeller {
    async fn tell(mut self, lasts: Duration, drain: Drain) {
        let send = self.send.clone();
        let end = tokio::select! {
            end = self.follow() => end,
            () = tokio::time::sleep(lasts) => TapEnd::Time,
            () = send.closed() => TapEnd::Gone,
            () = drain.requested() => TapEnd::Leaving,
        };
        let why = end.label();
        // A client that has left the pieces before unread is not waited for.
        if let Ok(place) = send.try_reserve() {
            let mut piece = self.look();
            // Numbers and a word: nothing in them would have to be escaped.
            let (told, lost) = (self.told, self.lost);
            put(&mut piece, "end", &format!("{{\"why\":\"{why}\",\"told\":{told},\"lost\":{lost}}}"));
            place.send(Ok(piece.into()));
        }
        ProcessEvent::TapClosed { why, told: self.told, lost: self.lost }.tell();
    }

    /// Until all that was asked for is told, or the client has left.
    async fn follow(&mut self) -> TapEnd {
        let mut looks = every(LOOK);
        loop {
            looks.tick().await;
            // First a place, then the look: while there is none the lines wait in the tap, where they are counted.
            let Ok(place) = self.send.clone().reserve_owned().await else { return TapEnd::Gone };
            if self.left == Some(0) {
                return TapEnd::Limit;
            }
            let mut piece = self.look();
            let now = clock::instant();
            if piece.is_empty() && now.saturating_duration_since(self.alive) >= ALIVE {
                piece.push_str(":\n\n");
            }
            if !piece.is_empty() {
                self.alive = now;
                place.send(Ok(piece.into()));
            }
        }
    }

    /// What has come, as events.
    fn look(&mut self) -> String {
        let mut piece = String::new();
        let most = self.left.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX));
        for line in self.reader.take(most) {
            put(&mut piece, "exchange", String::from_utf8_lossy(&line.text).trim_end());
            self.told += 1;
            self.left = self.left.map(|left| left.saturating_sub(1));
        }
        let lost = self.reader.lost();
        self.lost += lost;
        if lost > 0 {
            let data = format!("{{\"lost\":{lost},\"lost_in_all\":{}}}", self.lost);
            put(&mut piece, "lost", &data);
        }
        piece
    }
}

/// Appends one event. `data`: one line.
fn put(piece: &mut String, event: &str, data: &str) {
    // Writing to a text cannot fail.
    let _ = write!(piece, "event: {event}\ndata: {data}\n\n");
}
