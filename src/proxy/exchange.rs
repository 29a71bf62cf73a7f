//! One exchange: who asked, when, what came of it. Closes once, at its last byte or when it is dropped.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::message::account;
use crate::message::fields::{self, Trace};
use crate::message::head::{Known, Method, RequestHead};
use crate::message::memory::CutReason;
use crate::message::scratch::Scratch;
use crate::reliability::drill::{Fault, Hittable};
use crate::reliability::party::Party;
use crate::runtime::clock;
use crate::telemetry::access::AccessLine;
use crate::telemetry::labels::StandIn;
use crate::telemetry::series::{ExchangeOutcome, Finished};
use crate::telemetry::tap::TapMarks;
use crate::upstream::drill::{DrilledEnd, Injection};
use crate::upstream::endpoint::EndpointState;
use crate::upstream::load::InFlight;
use crate::upstream::shares::ShareHeld;
use crate::upstream::{ConnectionSlot, RouteEntry};

use super::error::{Exhausted, ProxyError};
use super::worker::Worker;

/// What an exchange has to tell at its end.
pub struct Exchange {
    worker: Rc<Worker>,
    /// When its head was there.
    pub started: Instant,
    /// Did it come by TLS?
    pub secure: bool,
    /// Are proxies in front believed?
    pub forwarded: bool,
    /// Who asked, as far as that can be believed.
    pub client: IpAddr,
    /// The client's id when it is fit, else a UUIDv7 of our own.
    request_id: Scratch,
    /// The trace it belongs to and our span in it.
    pub trace: Option<(Trace, [u8; 8])>,
    /// Set when the route is known.
    pub route: Option<Arc<RouteEntry>>,
    /// Attempts that were begun so far.
    pub attempts: u32,
    /// When the upstream's final response head was there; an answer of our own is none.
    pub first_byte: Option<Duration>,
    /// When the final head was there, whoever made it.
    headed: Option<Duration>,
    /// Status of the final answer; `None`: none was sent.
    pub status: Option<u16>,
    /// Why the answer is ours, when it is.
    pub reason: Option<&'static str>,
    /// The address that answered.
    pub endpoint: Option<Arc<EndpointState>>,
    /// Those that an attempt failed at, each once.
    pub tried: Vec<Arc<EndpointState>>,
    /// Its place among those of the same upstream.
    pub held: Option<ShareHeld>,
    /// Its place among those that wait for their answer.
    pub in_flight: Option<InFlight>,
    /// What it may become.
    pub tunnel: Option<ConnectionSlot>,
    /// It is the replay of a queued write.
    pub replays: bool,
    /// An attempt of it may have reached an upstream.
    pub reached: bool,
    /// A drill runs on its upstream.
    pub drilled: Option<Drilled>,
    /// Bytes of the request's body.
    pub bytes_in: Cell<u64>,
    outcome: ExchangeOutcome,
    /// What was given in the place of the upstream's answer.
    stand_in: Option<StandIn>,
    line: Option<LoggedRequest>,
    method: Method,
    counted: bool,
    closed: bool,
}

/// A drill that runs on an exchange's upstream.
pub struct Drilled {
    pub injection: Arc<Injection>,
    /// Attempts of the exchange that were hit.
    pub hits: Cell<u32>,
}

/// What the access log and taps want to know of the request; copied only when a line may be written.
struct LoggedRequest {
    /// For the access log?
    logged: bool,
    tapped: TapMarks,
    text: Scratch,
    /// Where the method ends and the host begins.
    host_at: usize,
    /// Where the host ends and the path begins.
    path_at: usize,
    version: &'static str,
}

impl LoggedRequest {
    /// `None`: nobody wants a line of it.
    fn of(worker: &Worker, head: &RequestHead) -> Option<Self> {
        let logged = worker.telemetry.access_log().is_on();
        let tapped = worker.taps.begun(head, || worker.draw());
        (logged || !tapped.is_empty()).then(|| Self::copy(head, logged, tapped))
    }

    fn copy(head: &RequestHead, logged: bool, tapped: TapMarks) -> Self {
        let mut text = Scratch::from(head.method_bytes());
        let host_at = text.len();
        text.extend_from_slice(head.authority_bytes());
        let path_at = text.len();
        text.extend_from_slice(head.path_and_query_bytes());
        Self { logged, tapped, text, host_at, path_at, version: head.version.label() }
    }

    fn parts(&self) -> (&[u8], &[u8], &[u8]) {
        let text = self.text.as_slice();
        let part = |range| text.get(range).unwrap_or_default();
        (part(0..self.host_at), part(self.host_at..self.path_at), part(self.path_at..text.len()))
    }
}

impl Exchange {
    /// Opens one for a head that was just read.
    pub fn open(worker: &Rc<Worker>, head: &RequestHead, client: IpAddr, now: Instant) -> Self {
        let sent_id = head.store.known(Known::RequestId).filter(|id| fields::is_request_id(id));
        let request_id = sent_id.map_or_else(|| worker.new_request_id(now), Scratch::from);
        let line = LoggedRequest::of(worker, head);
        Self {
            worker: Rc::clone(worker),
            started: now,
            secure: false,
            forwarded: false,
            client,
            request_id,
            trace: None,
            route: None,
            attempts: 0,
            first_byte: None,
            headed: None,
            status: None,
            reason: None,
            endpoint: None,
            tried: Vec::new(),
            held: None,
            in_flight: None,
            tunnel: None,
            replays: false,
            reached: false,
            drilled: None,
            bytes_in: Cell::new(0),
            outcome: ExchangeOutcome::ClientGone,
            stand_in: None,
            line,
            method: head.method,
            counted: false,
            closed: false,
        }
    }

    /// The route is known: from here it is in flight.
    pub fn routed(&mut self, route: Arc<RouteEntry>) {
        route.series.started(self.worker.number);
        self.route = Some(route);
        self.counted = true;
    }

    /// The upstream's final head is there.
    pub fn answered(&mut self, status: u16, now: Instant) {
        if let Some(place) = self.in_flight.take() {
            // An error may come fast, and what was sent again took as long as all of its attempts.
            let tells = status < 500 && self.attempts == 1;
            place.answered(tells.then(|| now.saturating_duration_since(self.started)));
        }
        self.headed(status, now);
        self.first_byte = self.headed;
    }

    /// An attempt failed at `endpoint`.
    pub fn tried(&mut self, endpoint: &Arc<EndpointState>) {
        if !self.tried.iter().any(|known| known.id == endpoint.id) {
            self.tried.push(Arc::clone(endpoint));
        }
    }

    /// A final head is there, perhaps our own.
    pub fn headed(&mut self, status: u16, now: Instant) {
        self.status = Some(status);
        self.headed = Some(now.saturating_duration_since(self.started));
        self.outcome = match status {
            0..400 => ExchangeOutcome::Ok,
            400..500 => ExchangeOutcome::ClientError,
            500.. => ExchangeOutcome::ServerError,
        };
    }

    /// The answer is ours.
    pub fn refused(&mut self, error: &ProxyError, now: Instant) {
        let facts = error.facts();
        if let (Some(place), ProxyError::Full { room: Exhausted::Connections, .. }) =
            (self.in_flight.take(), error)
        {
            place.found_none();
        }
        self.headed(facts.status, now);
        self.reason = Some(facts.label);
        self.outcome = facts.outcome;
    }

    /// An answer of this status stands in for what failed; the exchange is counted as that failure all the same.
    pub fn stood_in(&mut self, status: u16, reason: &'static str, by: StandIn) {
        self.status = Some(status);
        self.reason = Some(reason);
        self.stand_in = Some(by);
    }

    /// The body broke off after the head: on the upstream's side, or because the client left. Why an answer is ours is
    /// still so when the client does not wait for the end of it.
    pub fn broke(&mut self, by_upstream: bool) {
        self.outcome =
            if by_upstream { ExchangeOutcome::UpstreamFailed } else { ExchangeOutcome::ClientGone };
        self.reason.get_or_insert(if by_upstream { "body_broken" } else { "client_gone" });
    }

    /// When the final head was there, or the request when there is none.
    pub fn answered_at(&self) -> Instant {
        self.started + self.headed.unwrap_or_default()
    }

    /// The id that the client sent or got.
    pub fn request_id(&self) -> &Scratch {
        &self.request_id
    }

    /// Closes it: one histogram value, one line. Returns when that was.
    pub fn close(&mut self, bytes_out: u64) -> Instant {
        let now = clock::instant();
        self.finish(bytes_out, now);
        now
    }

    /// It will last: it keeps no room that it does not use.
    pub fn lasts(&mut self) {
        self.request_id.shrink_to_fit();
    }

    fn finish(&mut self, bytes_out: u64, now: Instant) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        if let Some(cut) = account::with_current(|account| account.cut()).flatten() {
            self.reason = Some(cut.label());
            self.outcome = match cut {
                CutReason::Memory => ExchangeOutcome::Refused,
                CutReason::Slow | CutReason::Flood => ExchangeOutcome::ClientError,
            };
        }
        let total = now.saturating_duration_since(self.started);
        let slow = total > self.worker.slow_after();
        let trace_id = self.trace.map(|(trace, _)| trace.trace_id);
        self.end_drill();
        if let (Some(route), true) = (&self.route, self.counted) {
            route.series.finished(&Finished {
                worker: self.worker.number,
                client: Party::client(self.client),
                method: self.method,
                status: self.status,
                outcome: self.outcome,
                first_byte: self.first_byte,
                total,
                bytes_in: self.bytes_in.get(),
                bytes_out,
                trace_id,
                slow,
                now,
            });
        }
        if let (Some(route), Some(by), Some(reason)) = (&self.route, self.stand_in, self.reason) {
            route.series.stood_in(by, reason, self.outcome);
        }
        self.log(total, bytes_out, slow, now);
    }

    /// The fault of an attempt that begins now, where a drill hits it.
    pub(super) fn fault(&self, what: Hittable, now: Instant) -> Option<Fault> {
        let drilled = self.drilled.as_ref()?;
        let fault = drilled.injection.hits(what, self.worker.draw(), now)?;
        drilled.hits.set(drilled.hits.get() + 1);
        Some(fault)
    }

    /// The drill learns first what its exchanges came to.
    fn end_drill(&mut self) {
        if let (Some(Drilled { injection, hits }), Some(route)) = (&self.drilled, &self.route) {
            let (outcome, hits) = (self.outcome, hits.get());
            injection.ended(DrilledEnd { outcome, direction: route.series.key.2, hits });
            if hits > 0 {
                self.reason.get_or_insert("drill");
            }
        }
    }

    fn log(&mut self, total: Duration, bytes_out: u64, slow: bool, now: Instant) {
        let Some(asked) = self.line.take() else { return };
        let access = self.worker.telemetry.access_log();
        let plain = self.outcome == ExchangeOutcome::Ok && !slow;
        let written = asked.logged && access.wants(plain, self.worker.draw());
        if !written && asked.tapped.is_empty() {
            return;
        }
        let (method, host, path) = asked.parts();
        let tried: Vec<_> = self.tried.iter().map(|endpoint| endpoint.addr).collect();
        let line = AccessLine {
            wall: clock::wall_at(now),
            request_id: &self.request_id,
            trace_id: self.trace.map(|(trace, _)| trace.trace_id),
            client: self.client,
            method,
            host,
            path,
            status: self.status,
            outcome: self.outcome.label(),
            reason: self.reason,
            slow,
            way: self.route.as_ref().map_or(&[], |route| &*route.logged),
            endpoint: self.endpoint.as_ref().map_or(&[], |endpoint| &*endpoint.logged),
            attempts: self.attempts,
            tried: &tried,
            first_byte: self.first_byte,
            total,
            bytes_in: self.bytes_in.get(),
            bytes_out,
            protocol: asked.version,
        };
        if written {
            self.worker.access.write(&line);
        }
        let key = self.route.as_ref().map(|route| &route.series.key);
        self.worker.taps.ended(asked.tapped, &line, key, now);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.closed {
            self.finish(0, clock::instant());
        }
    }
}
